/* SPDX-License-Identifier: Apache-2.0 */
/* verb_port.c - casemate port: a TCP port of this host's loopback that leads to one of a sandbox.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "api/cli/args.h"
#include "api/cli/call.h"
#include "api/cli/tunnel.h"
#include "base/fd.h"
#include "base/num.h"

#define TUNNELS_MAX 32U /* at a time; the daemon has a limit for each sandbox */

struct port {
	struct cli *cli;
	const char *id;
	uint64_t host, guest;
	bool json;
	int fd;
	unsigned tunnels;
	struct loop_io *io; /* NULL while there are TUNNELS_MAX */
};

static void on_accept(struct loop_io *io, int fd, uint32_t events, void *arg);

/* Out of memory ends the listening, and with it the verb. */
static void listen_again(struct port *p)
{
	if (p->io == NULL && p->tunnels < TUNNELS_MAX &&
	    loop_io_add(p->cli->loop, p->fd, EPOLLIN, on_accept, p, &p->io) < 0)
		loop_stop(p->cli->loop, -ENOMEM);
}

static void on_ended(struct tunnel *t, const char *why, void *arg)
{
	struct port *p = arg;

	tunnel_free(t);
	p->tunnels--;
	if (why != NULL)
		cli_warn("port %d: %s", (int)p->guest, why);
	listen_again(p);
}

static void on_accept(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct port *p = arg;
	struct err err = { 0 };
	struct tunnel *t;
	int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

	(void)events;
	if (client < 0)
		return; /* it has gone again */
	if (tunnel_new(p->cli, p->id, (uint16_t)p->guest, client, on_ended, p, &t, &err) < 0) {
		cli_warn("%s", err.msg);
		return;
	}
	if (++p->tunnels == TUNNELS_MAX) {
		loop_io_del(io);
		p->io = NULL;
	}
}

/* Loopback alone: what is in the sandbox is not to be offered to the network by a slip. */
static int open_port(struct port *p, struct err *err)
{
	struct sockaddr_in a = { .sin_family = AF_INET,
				 .sin_port = htons((uint16_t)p->host),
				 .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	const int on = 1;

	p->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (p->fd < 0)
		return err_sys(err, -errno, "socket");
	(void)setsockopt(p->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(p->fd, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(p->fd, 64) < 0 ||
	    getsockname(p->fd, (struct sockaddr *)&a, &len) < 0)
		return err_sys(err, -errno, "port %d of 127.0.0.1", (int)p->host);
	p->host = ntohs(a.sin_port);
	return 0;
}

static int announce(const struct port *p)
{
	json_t *o;

	if (!p->json) {
		(void)printf("127.0.0.1:%d\n", (int)p->host);
		return fflush(stdout) == 0 ? 0 : -EPIPE;
	}
	o = json_pack("{s:s, s:s, s:i, s:i}", "id", p->id, "address", "127.0.0.1", "host",
		      (int)p->host, "guest", (int)p->guest);
	(void)cli_print_json(o);
	json_decref(o);
	return fflush(stdout) == 0 ? 0 : -EPIPE;
}

static int serve(struct port *p)
{
	struct err err = { 0 };
	int r = open_port(p, &err);

	if (r == 0)
		r = announce(p);
	listen_again(p);
	while (r == 0 && p->cli->signo == 0)
		r = loop_stopped(p->cli->loop) ? -ENOMEM : loop_step(p->cli->loop, -1);
	loop_io_del(p->io);
	fd_closep(&p->fd);
	if (r == 0)
		return CLI_SIGNALLED + p->cli->signo;
	return cli_fail("%s", err.code != 0 ? err.msg : strerror(-r));
}

/* [HOST:]GUEST: 0 or CLI_FAILED (said). */
static int parse_ports(struct port *p, const char *text)
{
	const char *at = text;
	int r = parse_u64_at(&at, 10, UINT16_MAX, &p->host);

	p->guest = p->host;
	if (r == 0 && *at == ':') {
		at++;
		r = parse_u64_at(&at, 10, UINT16_MAX, &p->guest);
	}
	if (r < 0 || *at != '\0' || p->guest == 0)
		return cli_fail("port: \"%.32s\" is not GUEST or HOST:GUEST", text);
	return 0;
}

int verb_port(struct cli *cli, int argc, char **argv)
{
	struct port p = { .cli = cli, .fd = -1 };
	const struct option_spec list[] = { { "json", 0, OPTION_FLAG, &p.json, 0, 0, NULL } };
	const struct args args = {
		"Usage: casemate port [--json] ID [HOST:]GUEST\n"
		"Until it is interrupted, passes TCP connections to 127.0.0.1:HOST (default the same\n"
		"as GUEST; 0 = any, printed) on to port GUEST of the sandbox's loopback.",
		list,
		ARRAY_SIZE(list),
		2,
		2,
		true
	};
	int status = args_parse(&args, argc, argv);
	char path[80];

	if (status != ARGS_GO)
		return status;
	p.id = argv[optind];
	if (!cli_id_valid(p.id))
		return cli_fail("sandbox \"%.40s\": not a sandbox id; see casemate ps", p.id);
	status = parse_ports(&p, argv[optind + 1]);
	/* Rather now than at the first connection. */
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%s", p.id);
	if (status == CLI_OK)
		status = call_get(cli, path, NULL);
	return status == CLI_OK ? serve(&p) : status;
}

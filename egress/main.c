/* SPDX-License-Identifier: Apache-2.0 */
/*
 * main.c - casemate-egress: a sandbox's resolver and transparent proxy.
 *
 *     casemate-egress [--uid N] [--connections N] KIND...
 *
 * Descriptor 3 is the control socket; each KIND (tcp, dns-udp, dns-tcp) says what the next
 * descriptor from 4 on is. casemate-egress(8).
 */
#include <errno.h>
#include <getopt.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "egress/authority.h"
#include "egress/confine.h"
#include "egress/control.h"
#include "egress/dnsd.h"
#include "egress/egress_fds.h"
#include "egress/resolver.h"
#include "egress/route.h"

#define STATUS_USAGE	2
#define DNS_SOCKETS_MAX 4U
#define KINDS_MAX	(PROXY_LISTENERS_MAX + 2U * DNS_SOCKETS_MAX)

struct options {
	uid_t uid;
	size_t flows;
	char *const *kinds;
	size_t kinds_count;
};

struct parts {
	struct egress egress;
	struct proxy *proxy;
	struct control *control;
	struct dnsd_udp *udp[DNS_SOCKETS_MAX];
	struct dnsd_tcp *tcp[DNS_SOCKETS_MAX];
	size_t udp_count, tcp_count;
};

static int usage(void)
{
	(void)fputs("usage: casemate-egress [--uid N] [--connections N] tcp|dns-udp|dns-tcp...\n",
		    stderr);
	return STATUS_USAGE;
}

static bool parse(int argc, char **argv, struct options *o)
{
	static const struct option options[] = {
		{ "uid", required_argument, NULL, 'u' },
		{ "connections", required_argument, NULL, 'c' },
		{ NULL, 0, NULL, 0 },
	};
	uint64_t n = 0;
	int c;

	while ((c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'u' && parse_u64(optarg, 1, UINT32_MAX - 1, &n) == 0)
			o->uid = (uid_t)n;
		else if (c == 'c' && parse_u64(optarg, 1, EGRESS_FLOWS_MAX, &n) == 0)
			o->flows = (size_t)n;
		else
			return false;
	}
	o->kinds = argv + optind;
	o->kinds_count = (size_t)(argc - optind);
	return o->kinds_count > 0 && o->kinds_count <= KINDS_MAX;
}

/* Is it what its owner says? A mistake here would be a wall with a hole. */
static int check_socket(int fd, int type, bool listening, struct err *err)
{
	int have = 0, accepts = 0;
	socklen_t len = sizeof(have);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &have, &len) < 0 ||
	    getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &accepts, &len) < 0)
		return err_sys(err, -errno, "descriptor %d", fd);
	if (have != type || (accepts != 0) != listening)
		return err_set(err, -EINVAL, "descriptor %d is another kind of socket", fd);
	return fd_set_nonblock(fd, true);
}

static int take_udp(struct parts *p, int fd, struct err *err)
{
	int r = check_socket(fd, SOCK_DGRAM, false, err);

	if (r == 0 && p->udp_count == DNS_SOCKETS_MAX)
		return err_set(err, -E2BIG, "too many of dns-udp");
	if (r == 0)
		r = dnsd_udp_new(&p->egress, fd, &p->udp[p->udp_count]);
	if (r == 0)
		p->udp_count++;
	return r;
}

static int take_tcp(struct parts *p, int fd, bool dns, struct err *err)
{
	int r = check_socket(fd, SOCK_STREAM, true, err);

	if (r < 0)
		return r;
	if (!dns)
		return proxy_listen(p->proxy, fd);
	if (p->tcp_count == DNS_SOCKETS_MAX)
		return err_set(err, -E2BIG, "too many of dns-tcp");
	r = dnsd_tcp_new(&p->egress, fd, &p->tcp[p->tcp_count]);
	if (r == 0)
		p->tcp_count++;
	return r;
}

static int take_sockets(struct parts *p, const struct options *o, struct err *err)
{
	int r = check_socket(EGRESS_FD_CONTROL, SOCK_SEQPACKET, false, err);

	if (r == 0)
		r = control_new(&p->egress, p->proxy, EGRESS_FD_CONTROL, &p->control);
	for (size_t i = 0; r == 0 && i < o->kinds_count; i++) {
		int fd = EGRESS_FD_TCP + (int)i;

		if (strcmp(o->kinds[i], "dns-udp") == 0)
			r = take_udp(p, fd, err);
		else if (strcmp(o->kinds[i], "dns-tcp") == 0)
			r = take_tcp(p, fd, true, err);
		else if (strcmp(o->kinds[i], "tcp") == 0)
			r = take_tcp(p, fd, false, err);
		else
			return err_set(err, -EINVAL, "%.40s: no kind of socket", o->kinds[i]);
	}
	return r < 0 && err->code == 0 ? err_sys(err, r, "sockets") : r;
}

static void on_signal(int signo, void *arg)
{
	(void)signo;
	loop_stop(arg, 0);
}

/* Before the filter, which lets no socket of that family be made. */
static int open_routes(struct egress *e)
{
	e->routes = route_open();
	return e->routes < 0 ? e->routes : 0;
}

static int set_up(struct parts *p, const struct options *o, struct err *err)
{
	int r = loop_new(&p->egress.loop);

	if (r == 0)
		r = open_routes(&p->egress);
	if (r == 0)
		r = loop_signal_add(p->egress.loop, SIGTERM, on_signal, p->egress.loop);
	if (r == 0)
		r = loop_signal_add(p->egress.loop, SIGINT, on_signal, p->egress.loop);
	if (r == 0)
		r = resolver_new(p->egress.loop, &p->egress.counts, &p->egress.resolver);
	if (r == 0)
		r = proxy_new(&p->egress, o->flows, &p->proxy);
	if (r < 0)
		return err_sys(err, r, "set-up");
	return take_sockets(p, o, err);
}

static void tear_down(struct parts *p)
{
	control_free(p->control);
	for (size_t i = 0; i < p->udp_count; i++)
		dnsd_udp_free(p->udp[i]);
	for (size_t i = 0; i < p->tcp_count; i++)
		dnsd_tcp_free(p->tcp[i]);
	proxy_free(p->proxy);
	resolver_free(p->egress.resolver);
	authority_free(p->egress.authority);
	policy_free(p->egress.policy);
	fd_closep(&p->egress.routes);
	loop_free(p->egress.loop);
}

int main(int argc, char **argv)
{
	static struct parts parts;
	struct options o = { .flows = EGRESS_FLOWS };
	struct err err = { 0 };
	size_t seed;
	int r;

	if (!parse(argc, argv, &o))
		return usage();
	/* What leads the guest's connections here stays open, and is never used. */
	fd_close_from(MAX((unsigned)(EGRESS_FD_TCP + o.kinds_count), EGRESS_FD_DYNAMIC));
	log_setup("egress", LOG_LEVEL_INFO);
	/* For the times of certificates the C library reads the time zone, once. */
	tzset();
	/* OpenSSL writes to sockets whose other end may have gone. */
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		BUG("SIGPIPE");
	/* By itself jansson would look for /dev/urandom. */
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t)sizeof(seed))
		seed = 0;
	json_object_seed(seed | 1);
	r = set_up(&parts, &o, &err);
	if (r == 0)
		r = confine(o.uid, o.flows, &err);
	if (r < 0) {
		log_error("start.failed", "reason=\"%s\"", err.msg);
		return EXIT_FAILURE;
	}
	r = loop_run(parts.egress.loop);
	tear_down(&parts);
	return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

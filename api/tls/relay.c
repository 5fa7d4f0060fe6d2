/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls/relay.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/crypto.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/tls/context.h"
#include "api/tls/server.h"
#include "base/fd.h"
#include "base/landlock.h"
#include "base/log.h"
#include "base/num.h"
#include "base/rlimit.h"
#include "policies/seccomp/filter.h"
#include "seccomp/tls_relay.h"

#define FDS_FIXED   64U
#define CONN_BYTES  (UINT64_C(256) << 10)
#define OTHER_BYTES (UINT64_C(256) << 20) /* libraries, with their gaps */

struct relay {
	const struct options *opt;
	struct loop *loop;
	struct server *server;
	struct loop_io *io;
	int channel;
	bool stopping;
	size_t got;	  /* bytes of next */
	struct pair next; /* a secret: cleared when it has been used */
};

/* ---- What it gives up ----------------------------------------------------------------------- */

static int confine(const struct options *o, struct err *err)
{
	const struct rlimit_lower all[] = {
#ifndef CASEMATE_NO_FILTERS /* a sanitizer maps terabytes */
		RLIMIT_LOWER(AS, OTHER_BYTES + o->conns * CONN_BYTES),
#endif
		RLIMIT_LOWER(NOFILE, FDS_FIXED + 2 * o->conns),
		RLIMIT_LOWER(NPROC, 0),
		RLIMIT_LOWER(MEMLOCK, 0),
	};
	int abi, r = rlimit_lower_all(all, ARRAY_SIZE(all), err);

	if (r < 0)
		return r;
	r = landlock_deny_all(&abi);
	if (r < 0)
		return err_sys(err, r, "Landlock");
	r = SECCOMP_INSTALL(seccomp_tls_relay, 0);
	return r < 0 ? err_sys(err, r, "seccomp filter") : 0;
}

/* ---- Its end -------------------------------------------------------------------------------- */

static void on_drained(void *arg)
{
	struct relay *r = arg;

	loop_stop(r->loop, 0);
}

static void on_grace_over(void *arg)
{
	on_drained(arg);
}

/* More than once does no harm: a service manager may tell both processes. */
static void stop(struct relay *r)
{
	struct server_counts n;

	if (r->stopping)
		return;
	r->stopping = true;
	server_count(r->server, &n);
	log_info("tls.stop",
		 "connections=%zu accepted=%" PRIu64 " established=%" PRIu64 " refused=%" PRIu64
		 " evicted=%" PRIu64 " late=%" PRIu64,
		 n.conns, n.accepted, n.established, n.refused, n.evicted, n.late);
	if (loop_timer_add(r->loop, r->opt->grace_ms, on_grace_over, r, NULL) < 0)
		loop_stop(r->loop, 0);
	server_drain(r->server);
}

static void on_stop(int signo, void *arg)
{
	(void)signo;
	stop(arg);
}

/* ---- Its channel ---------------------------------------------------------------------------- */

static int use_next(struct relay *r, struct err *err)
{
	SSL_CTX *tls;
	int64_t end;
	int ret;

	r->next.certificate[PAIR_PEM_MAX - 1] = '\0';
	r->next.key[PAIR_PEM_MAX - 1] = '\0';
	ret = context_new(&r->next, &tls, &end, err);
	pair_clear(&r->next);
	r->got = 0;
	if (ret < 0)
		return ret;
	server_use(r->server, tls);
	log_info("tls.certificate", "ends=%" PRId64, end);
	return 0;
}

static void on_channel(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct relay *r = arg;
	uint8_t *to = (uint8_t *)&r->next;
	struct err err;
	ssize_t n = recv(fd, to + r->got, sizeof(r->next) - r->got, MSG_DONTWAIT);

	(void)io;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) { /* it is over */
		loop_io_del(r->io);
		r->io = NULL;
		stop(r);
		return;
	}
	r->got += (size_t)n;
	if (r->got == sizeof(r->next) && use_next(r, &err) < 0)
		log_error("tls.certificate", "error=\"%s\": the one before stays", err.msg);
}

/* ---- Its life ------------------------------------------------------------------------------- */

static int set_up(struct relay *r, struct err *err)
{
	const struct server_config cfg = { .loop = r->loop,
					   .to = r->opt->to,
					   .conns = r->opt->conns,
					   .conns_per_source = r->opt->conns_per_source,
					   .handshake_ms = r->opt->handshake_ms,
					   .idle_ms = r->opt->idle_ms,
					   .drained = on_drained,
					   .arg = r };
	int ret = server_new(&cfg, &r->server);

	if (ret == 0)
		ret = loop_signal_add(r->loop, SIGTERM, on_stop, r);
	if (ret == 0)
		ret = loop_signal_add(r->loop, SIGINT, on_stop, r);
	return ret < 0 ? err_sys(err, ret, "set-up") : 0;
}

static int begin(struct relay *r, const int *doors, size_t doors_count, struct err *err)
{
	int ret = fd_read_full(r->channel, &r->next, sizeof(r->next));

	if (ret < 0)
		return err_sys(err, ret, "channel");
	ret = use_next(r, err);
	if (ret == 0)
		ret = loop_io_add(r->loop, r->channel, EPOLLIN, on_channel, r, &r->io);
	for (size_t i = 0; i < doors_count && ret == 0; i++)
		ret = server_listen(r->server, doors[i]);
	return ret;
}

int relay_run(const struct options *o, int channel, const int *doors, size_t doors_count)
{
	static struct relay r;
	struct err err = { 0 };
	int ret;

	log_setup("tls", o->log_level);
	r = (struct relay){ .opt = o, .channel = channel };
	ret = loop_new(&r.loop);
	if (ret == 0)
		ret = set_up(&r, &err);
	if (ret == 0)
		ret = confine(o, &err);
	if (ret == 0)
		ret = begin(&r, doors, doors_count, &err);
	if (ret == 0)
		ret = loop_run(r.loop);
	if (ret == -EPIPE) /* the other process has ended before it began, and said why */
		return EXIT_FAILURE;
	if (ret < 0)
		log_error("start.failed", "reason=\"%s\"", err.msg);
	server_free(r.server);
	loop_free(r.loop);
	return ret < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

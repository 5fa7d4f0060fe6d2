/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls/keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/tls/files.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/loop.h"
#include "policies/seccomp/filter.h"
#include "seccomp/tls_keeper.h"

#define LOOK_MS	    3600000U
#define DAY_SECONDS 86400
#define WARN_DAYS   14 /* an operator's certificate with less to go is told of */

struct keeper {
	const struct options *opt;
	struct loop *loop;
	int channel; /* -1: closed, it is to end */
	pid_t relay;
	int64_t end_s; /* of the certificate that is in use */
	bool stopping;
	int status;
	struct pair pair; /* cleared when it has been sent */
};

static int64_t now_s(void)
{
	return (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000000U);
}

/* Loads, and hands it over. On failure the relay keeps what it has. */
static int load(struct keeper *k, struct err *err)
{
	int64_t end = 0;
	bool made = false;
	int r = files_load(k->opt, now_s(), &k->pair, &end, &made, err);

	if (r == 0) {
		r = fd_write_full(k->channel, &k->pair, sizeof(k->pair));
		if (r < 0)
			(void)err_sys(err, r, "channel");
	}
	pair_clear(&k->pair);
	if (r < 0)
		return r;
	k->end_s = end;
	log_info("certificate.loaded", "ends=%" PRId64 " made=%s", end, made ? "true" : "false");
	return 0;
}

static void load_again(struct keeper *k)
{
	struct err err;

	if (load(k, &err) < 0)
		log_error("certificate.failed", "error=\"%s\": the one before stays", err.msg);
}

static void on_look(void *arg)
{
	struct keeper *k = arg;
	int64_t days = (k->end_s - now_s()) / DAY_SECONDS;

	if (loop_timer_add(k->loop, LOOK_MS, on_look, k, NULL) < 0)
		BUG("no memory for one timer");
	if (k->stopping)
		return;
	if (k->opt->certificate == NULL && days < (int64_t)FILES_RENEW_DAYS)
		load_again(k);
	else if (k->opt->certificate != NULL && days < WARN_DAYS)
		log_warn("certificate.ends", "days=%" PRId64, days);
}

static void on_reload(int signo, void *arg)
{
	struct keeper *k = arg;

	(void)signo;
	if (!k->stopping)
		load_again(k);
}

static void on_stop(int signo, void *arg)
{
	struct keeper *k = arg;

	(void)signo;
	if (k->stopping && k->relay > 0) /* 0 would be all of our process group */
		(void)kill(k->relay, SIGKILL);
	k->stopping = true;
	fd_closep(&k->channel);
}

static void on_child(int signo, void *arg)
{
	struct keeper *k = arg;
	int status;

	(void)signo;
	if (waitpid(k->relay, &status, WNOHANG) != k->relay)
		return;
	k->relay = 0;
	if (!k->stopping)
		log_error("relay.ended", "status=%d signal=%d",
			  WIFEXITED(status) ? WEXITSTATUS(status) : -1,
			  WIFSIGNALED(status) ? WTERMSIG(status) : 0);
	k->status = k->stopping ? EXIT_SUCCESS : EXIT_FAILURE;
	loop_stop(k->loop, 0);
}

static int set_up(struct keeper *k, struct err *err)
{
	static const struct {
		int signo;
		loop_signal_fn *fn;
	} signals[] = { { SIGTERM, on_stop },
			{ SIGINT, on_stop },
			{ SIGHUP, on_reload },
			{ SIGCHLD, on_child } };
	int r = loop_new(&k->loop);

	for (size_t i = 0; i < ARRAY_SIZE(signals) && r == 0; i++)
		r = loop_signal_add(k->loop, signals[i].signo, signals[i].fn, k);
	if (r == 0)
		r = loop_timer_add(k->loop, LOOK_MS, on_look, k, NULL);
	if (r == 0)
		r = SECCOMP_INSTALL(seccomp_tls_keeper, 0);
	return r < 0 ? err_sys(err, r, "set-up") : load(k, err);
}

int keeper_run(const struct options *o, int channel, pid_t relay)
{
	static struct keeper k;
	struct err err = { 0 };
	int r;

	k = (struct keeper){ .opt = o, .channel = channel, .relay = relay, .status = EXIT_FAILURE };
	r = set_up(&k, &err);
	if (r < 0) {
		(void)fprintf(stderr, "casemate-tls: %s\n", err.msg);
		fd_closep(&k.channel);
		(void)waitpid(relay, NULL, 0);
	} else {
		/* It may have ended before its end was listened for. */
		on_child(SIGCHLD, &k);
		r = k.relay == 0 ? 0 : loop_run(k.loop);
	}
	loop_free(k.loop);
	return r < 0 ? EXIT_FAILURE : k.status;
}

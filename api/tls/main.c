/* SPDX-License-Identifier: Apache-2.0 */
/*
 * casemate-tls - terminates TLS for casemated. The order of main is the design: options, sockets
 * and the state's directory (as root if it was started so), privileges away for good, then two
 * processes: the child speaks with clients and can reach no file, the parent has the private key's
 * file and no client. Each installs its filter before it does either.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/daemon/listen.h"
#include "api/tls/context.h"
#include "api/tls/keeper.h"
#include "api/tls/options.h"
#include "api/tls/relay.h"
#include "api/tls/server.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"

_Static_assert(OPTIONS_LISTEN_MAX <= SERVER_DOORS_MAX && LISTEN_PASSED_MAX <= SERVER_DOORS_MAX,
	       "all that may be passed or asked for");

struct doors {
	int fds[SERVER_DOORS_MAX];
	size_t count;
};

/* Those of a service manager, or else our own. */
static int open_doors(const struct options *o, struct doors *d, struct err *err)
{
	struct listen_passed passed[LISTEN_PASSED_MAX];
	int n = listen_inherited(LISTEN_TCP, passed, err);

	if (n < 0 && n != -ENOENT)
		return n;
	for (int i = 0; i < n; i++)
		d->fds[d->count++] = passed[i].fd;
	for (size_t i = 0; i < o->listen_count && n == -ENOENT; i++) {
		int fd = listen_tcp(o->listen[i], err);

		if (fd < 0)
			return fd;
		d->fds[d->count++] = fd;
	}
	return 0;
}

static int find_owner(const struct options *o, struct identity *id, bool *ret_change,
		      struct err *err)
{
	*ret_change = geteuid() == 0;
	if (*ret_change && o->user == NULL)
		return err_set(
			err, -EPERM,
			"user: will not run as root; pass --user NAME or start it as that user");
	if (!*ret_change && o->user != NULL)
		return err_set(err, -EPERM, "user: only root can become %.64s; leave --user out",
			       o->user);
	return *ret_change ? identity_find(o->user, id, err) : 0;
}

/* As many descriptors as may be had, before root goes: two a connection. */
static void raise_fd_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	lim.rlim_cur = lim.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &lim);
}

static int prepare(const struct options *o, struct doors *d, struct err *err)
{
	struct identity id;
	bool change;
	int r = find_owner(o, &id, &change, err);

	if (r < 0)
		return r;
	raise_fd_limit();
	r = open_doors(o, d, err);
	if (r == 0 && o->certificate == NULL)
		r = listen_make_dir(o->state, change ? &id : NULL, err);
	if (r == 0)
		r = privilege_drop(change ? &id : NULL, err);
	if (r == 0)
		r = context_prepare(err);
	for (size_t i = 0; i < d->count && r == 0; i++)
		r = listen_open(d->fds[i], err);
	return r;
}

/* Which of the two this is. */
static int divide(const struct options *o, struct doors *d, struct err *err)
{
	int channel[2];
	int r = fd_socketpair(channel, false);
	pid_t pid;

	if (r < 0)
		return err_sys(err, r, "channel");
	pid = fork();
	if (pid < 0)
		return err_sys(err, -errno, "second process");
	if (pid == 0) {
		fd_closep(&channel[0]);
		_exit(relay_run(o, channel[1], d->fds, d->count));
	}
	fd_closep(&channel[1]);
	for (size_t i = 0; i < d->count; i++)
		fd_closep(&d->fds[i]);
	return keeper_run(o, channel[0], pid);
}

int main(int argc, char **argv)
{
	static struct options opt;
	struct doors doors = { .count = 0 };
	struct err err = { 0 };
	int r = options_parse(argc, argv, &opt, &err);

	if (r == OPTIONS_DONE)
		return EXIT_SUCCESS;
	if (r == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		log_setup("tls-keeper", opt.log_level);
		r = prepare(&opt, &doors, &err);
	}
	if (r == 0)
		r = divide(&opt, &doors, &err);
	if (r < 0) {
		(void)fprintf(stderr, "casemate-tls: %s\n", err.msg);
		return EXIT_FAILURE;
	}
	return r;
}

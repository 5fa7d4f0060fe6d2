/* SPDX-License-Identifier: Apache-2.0 */
/*
 * casemate-jailer: the one process with root. It opens, clones and cleans up; it doesn't listen on
 * a network, parse HTTP or read anything that a guest wrote.
 *
 * The order of the start: arguments; who we are; a clean process; the host's checks and the
 * leftovers of an earlier run; only then the socket.
 */
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "jailer/blobs.h"
#include "jailer/handlers.h"
#include "jailer/jail.h"
#include "jailer/keeper.h"
#include "jailer/options.h"
#include "jailer/saves.h"
#include "jailer/seal.h"
#include "jailer/server.h"
#include "policies/seccomp/filter.h"
#ifndef CASEMATE_TEST
#include "seccomp/jailer.h"
#endif

#define STATUS_USAGE 2
#define STOP_MS_MAX  5000
/* Its process, its groups, its handover socket and its log; its egress process and that one's
 * socket. */
#define FDS_EACH_JAIL (5 + CGROUP_TREE_COUNT)
/* One that is being cleaned up has its groups. (The events of a group, too, where there is only one
 * group.) There are as many identities for those as for jails, but it takes milliseconds: half of
 * them are counted. One that lies ready has its process and its report beside its groups. */
#define FDS_EACH_CLEANED CGROUP_TREE_COUNT
#define FDS_EACH_READY	 (2 + CGROUP_TREE_COUNT)
/* What a request opens until its jail runs, and the report of a cell that waits for one. */
#define FDS_EACH_MAKING 14
/* Ours, and what clients can make us hold at once: 64 answers of two descriptors each for each of 8
 * clients that don't read. So there is always one for the next connection. */
#define FDS_OWN (128 + 2 * 64 * SERVER_CLIENTS_MAX)

static int check_root(struct err *err)
{
	uid_t r, e, s;

	if (getresuid(&r, &e, &s) < 0)
		return err_sys(err, -errno, "user ids");
	if (e != 0)
		return err_set(err, -EPERM, "must be started as root");
	/* Not to be made a set-uid helper: the environment and arguments would be hostile. */
	if (r != 0 || s != 0)
		return err_set(err, -EPERM, "must not be set-uid");
	return 0;
}

static int find_user(const char *name, uid_t *ret, struct err *err)
{
	const struct passwd *pw;

	errno = 0;
	pw = getpwnam(name);
	if (pw == NULL)
		return err_set(err, -ENOENT, "the user %s (--daemon-user) doesn't exist", name);
	*ret = pw->pw_uid;
	return 0;
}

/* Before anything is opened: else the store could become 2, and the log would go there. */
static int fill_standard_fds(struct err *err)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return err_set(err, -EBADF, "descriptor %d is closed", fd);
	}
	return 0;
}

/* An ignored SIGCHLD would reap our children before we do. */
static int reset_signals(void)
{
	sigset_t none;

	(void)sigemptyset(&none);
	if (signal(SIGCHLD, SIG_DFL) == SIG_ERR || signal(SIGPIPE, SIG_IGN) == SIG_ERR ||
	    sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return -errno;
	return 0;
}

/* Nothing inherited that we didn't choose. */
static int clean_process(const struct options *o, struct err *err)
{
	struct rlimit core = { 0, 0 }, files;
	rlim_t want = (rlim_t)o->jails.max * FDS_EACH_JAIL +
		      (rlim_t)(o->host.slots - o->jails.max) / 2 * FDS_EACH_CLEANED +
		      (rlim_t)(o->jails.pool + o->jails.pool_nics) * FDS_EACH_READY +
		      (rlim_t)JAILS_MAKING_MAX * FDS_EACH_MAKING + FDS_OWN;

	fd_close_from(3);
	if (clearenv() != 0)
		return err_set(err, -ENOMEM, "environment");
	(void)umask(077);
	/* The VMM would inherit fixed addresses from a persona that has them. */
	if (chdir("/") < 0 || reset_signals() < 0 || personality(PER_LINUX) < 0)
		return err_sys(err, -errno, "process");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || setrlimit(RLIMIT_CORE, &core) < 0 ||
	    getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_sys(err, -errno, "process");
	if (files.rlim_cur < want) {
		files.rlim_cur = want;
		if (files.rlim_max < want)
			files.rlim_max = want;
		if (setrlimit(RLIMIT_NOFILE, &files) < 0)
			return err_sys(err, -errno, "limit of %llu open files",
				       (unsigned long long)want);
	}
	return 0;
}

/*
 * What making a jail takes, and no more: no modules, no raw devices, no ptrace, no clock, no device
 * nodes. SYS_ADMIN is in it, so this is a hurdle and not a wall.
 */
static int drop_capabilities(struct err *err)
{
	capng_clear(CAPNG_SELECT_ALL);
	if (capng_updatev(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED | CAPNG_BOUNDING_SET,
			  CAP_SYS_ADMIN,	  /* namespaces, mounts, host name */
			  CAP_SYS_CHROOT,	  /* the last step into the empty root */
			  CAP_SETPCAP,		  /* emptying the bounding set */
			  CAP_SETUID, CAP_SETGID, /* the jail's own ids */
			  CAP_KILL,		  /* processes with those ids */
			  CAP_NET_ADMIN,	  /* a jail's own tap */
			  CAP_CHOWN,		  /* the socket, to the daemon's user */
			  CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, /* a store in a private home */
#ifdef CASEMATE_TEST
			  CAP_SETFCAP, /* a jail's map with root in it, when the uid is left out */
#endif
			  -1) < 0 ||
	    capng_apply(CAPNG_SELECT_ALL) != CAPNG_NONE)
		return err_set(err, -EPERM,
			       "the capabilities that are not needed can't be dropped");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, -errno, "no_new_privs");
	return 0;
}

static void on_stop(int signo, void *arg)
{
	(void)signo;
	loop_stop(arg, 0);
}

/* Ends all jails and waits, for a while, until nothing is left of them. */
static int stop_jails(struct loop *l, struct jails *js)
{
	uint64_t deadline = now_ms() + STOP_MS_MAX;

	jails_kill_all(js);
	while (jails_left(js) > 0 && now_ms() < deadline) {
		if (loop_step(l, 100) < 0)
			break;
	}
	return jails_left(js) > 0 ? -EBUSY : 0;
}

/*
 * What is inherited by the jails as well, down to the VMM. Not in the test build: the probes that
 * stand in for the VMM try what no filter would let through.
 */
#ifdef CASEMATE_TEST
static int install_filter(void)
{
	return 0;
}
#else
static int install_filter(void)
{
	return SECCOMP_INSTALL(seccomp_jailer, 0);
}
#endif

static int serve(const struct options *o, const struct host *h, uid_t daemon_uid, struct err *err)
{
	struct sealer *sealer = NULL;
	struct saves *saves = NULL, *snapshots = NULL;
	struct keeper *keeper = NULL;
	struct blobs blobs = { .dir = -1 };
	struct server *server = NULL;
	struct jails *js = NULL;
	struct loop *l = NULL;
	int r;

	if (loop_new(&l) < 0 || jails_new(l, h, &o->jails, &js) < 0 ||
	    sealer_new(l, &h->key, &sealer) < 0 || loop_signal_add(l, SIGTERM, on_stop, l) < 0 ||
	    loop_signal_add(l, SIGINT, on_stop, l) < 0)
		r = err_set(err, -ENOMEM, "event loop");
	else
		r = blobs_open(&blobs, &h->store, o->image_bytes_max, err);
	if (r == 0 && keeper_new(l, &blobs, &keeper) < 0)
		r = err_set(err, -ENOMEM, "images");
	if (r == 0)
		r = saves_new(l, &h->store, SAVES_PAUSED, &h->key, o->paused_bytes_max, &saves,
			      err);
	if (r == 0)
		r = saves_new(l, &h->store, SAVES_SNAPSHOTS, &h->key, o->snapshot_bytes_max,
			      &snapshots, err);
	if (r == 0) {
		const struct session shared = { .host = h,
						.jails = js,
						.sealer = sealer,
						.saves = saves,
						.snapshots = snapshots,
						.blobs = &blobs,
						.keeper = keeper };
		r = server_new(l, &shared, o->socket, daemon_uid, &server, err);
	}
	if (r == 0) {
		r = install_filter();
		if (r < 0)
			(void)err_sys(err, r, "seccomp filter");
	}
	if (r == 0) {
		log_info("jailer.ready", "socket=%s selinux=%s userns=%d cgroup=v%u max=%u",
			 o->socket, label_mode_name(h->label), (int)h->userns, h->cgroups.version,
			 o->jails.max);
		r = loop_run(l);
		if (r < 0)
			(void)err_sys(err, r, "event loop");
		server_free(server);
		server = NULL;
		if (stop_jails(l, js) < 0)
			r = err_set(err, -EBUSY, "%u jails could not be cleaned up",
				    jails_left(js));
	}
	server_free(server);
	sealer_free(sealer);
	saves_free(saves);
	saves_free(snapshots);
	keeper_free(keeper);
	blobs_close(&blobs);
	if (js != NULL && jails_left(js) == 0)
		jails_free(js);
	loop_free(l);
	return r;
}

static int run(const struct options *o, struct err *err)
{
	struct host h = { 0 };
	unsigned swept = 0;
	uid_t uid = 0;
	int r = fill_standard_fds(err);

	if (r == 0)
		r = check_root(err);
	if (r == 0)
		r = find_user(o->daemon_user, &uid, err);
	if (r == 0)
		r = clean_process(o, err);
	if (r == 0)
		r = drop_capabilities(err);
	if (r == 0)
		r = host_open(&h, &o->host, &swept, err);
	if (r < 0)
		return r;
	if (swept > 0)
		log_warn("jailer.swept", "cgroups=%u", swept);
	if (h.label == LABEL_PERMISSIVE)
		log_warn("jailer.selinux", "SELinux is permissive: it denies nothing");
	r = serve(o, &h, uid, err);
	host_close(&h);
	return r;
}

int main(int argc, char **argv)
{
	struct options o;
	struct err err = { 0 };
	int r = options_parse(argc, argv, &o, &err);

	if (r < 0)
		(void)fprintf(stderr, "casemate-jailer: %s\n", err.msg);
	if (r != 0)
		return r < 0 ? STATUS_USAGE : EXIT_SUCCESS;
	log_setup("jailer", o.level);
	/* A binary that is run by its descriptor has its number for a name. */
	if (seal_self(argv, environ, &err) < 0 ||
	    prctl(PR_SET_NAME, "casemate-jailer", 0, 0, 0) < 0) {
		log_error("jailer.failed", "%s", err.msg);
		return EXIT_FAILURE;
	}
	if (run(&o, &err) < 0) {
		log_error("jailer.failed", "%s", err.msg);
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

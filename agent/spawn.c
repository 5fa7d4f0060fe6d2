/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent_limits.h"
#include "base/fd.h"

#define STATUS_FD 3 /* where the child keeps the status pipe */

enum stage { STAGE_STDIO, STAGE_USER, STAGE_CWD, STAGE_EXEC, STAGE_COUNT };

struct report {
	uint32_t stage;
	int32_t error; /* positive errno */
};

/* The child's side of the descriptors. */
struct ends {
	int in, out, err;
	int status;
};

static void ends_close(struct ends *e)
{
	fd_closep(&e->in);
	fd_closep(&e->out);
	fd_closep(&e->err);
	fd_closep(&e->status);
}

static void child_close(struct spawn_child *c)
{
	fd_closep(&c->in);
	fd_closep(&c->out);
	fd_closep(&c->err);
	fd_closep(&c->status);
}

/* ---- In the child ------------------------------------------------------------------------ */

static NORETURN void child_fail(enum stage stage, int error)
{
	struct report r = { .stage = (uint32_t)stage, .error = error };

	/* A pipe takes so few bytes at once or not at all; then the parent sees a silent death. */
	(void)!write(STATUS_FD, &r, sizeof(r));
	_exit(127);
}

static void child_signals(void)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;

	for (int s = 1; s < NSIG; s++)
		(void)sigaction(s, &dfl, NULL); /* refused for KILL, STOP and libc's own two */
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * Puts the ends on 0, 1, 2 and the status pipe on 3, and closes the rest. None of the ends is
 * below 4 already (spawn_start saw to it), so no dup2 hits another one.
 */
static int child_stdio(struct ends *e, bool pty)
{
	if (dup3(e->status, STATUS_FD, O_CLOEXEC) < 0)
		return -errno;
	if (pty && ioctl(e->in, TIOCSCTTY, 0) < 0)
		return -errno;
	if (dup2(e->in, 0) < 0 || dup2(e->out, 1) < 0 || dup2(e->err, 2) < 0)
		return -errno;
	fd_close_from(STATUS_FD + 1);
	return 0;
}

/* Under memory pressure the command goes, not the agent's other children or a service. */
static void child_oom(void)
{
	CLEANUP(fd_closep) int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd >= 0)
		(void)!write(fd, "100", 3);
}

/* The agent raised its own limit; a command that loops over all possible descriptors, or uses
 * select(), expects the usual one. */
static void child_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur > CHILD_NOFILE_SOFT) {
		rl.rlim_cur = CHILD_NOFILE_SOFT;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
}

/* As execvpe, except that a file without a known format is an error instead of a shell script,
 * and PATH is the child's. Returns the errno that says most. */
static int child_exec(const struct spawn_plan *p)
{
	const char *path = env_get(p->env, "PATH"), *end;
	char file[PATH_MAX];
	int best = ENOENT;

	if (p->cmd[0] == '\0')
		return ENOENT;
	if (strchr(p->cmd, '/') != NULL) {
		(void)execve(p->cmd, p->argv, p->env->list);
		return errno;
	}
	for (const char *dir = path != NULL ? path : ENV_PATH;; dir = end + 1) {
		end = strchrnul(dir, ':');
		size_t len = (size_t)(end - dir);
		if (len + strlen(p->cmd) + 2 < sizeof(file)) {
			memcpy(file, dir, len);
			file[len] = '/';
			memcpy(file + len + (len > 0), p->cmd, strlen(p->cmd) + 1);
			(void)execve(file, p->argv, p->env->list);
			if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
				return errno;
			if (errno == EACCES)
				best = EACCES;
		}
		if (*end == '\0')
			return best;
	}
}

static NORETURN void child_main(const struct spawn_plan *p, struct ends *e)
{
	int r;

	(void)setsid();
	child_signals();
	r = child_stdio(e, p->pty);
	if (r < 0)
		child_fail(STAGE_STDIO, -r);
	child_oom();
	child_limits();
	(void)umask(022);
	r = user_become(p->user);
	if (r < 0)
		child_fail(STAGE_USER, -r);
	/* After the change of user: its own rights decide whether it may go there. */
	if (chdir(p->cwd) < 0 && !(p->cwd_implied && chdir("/") == 0))
		child_fail(STAGE_CWD, errno);
	child_fail(STAGE_EXEC, child_exec(p));
}

/* ---- In the agent ------------------------------------------------------------------------ */

/* A pipe with both ends above the numbers that child_stdio fills. */
static int make_pipe(int *ret_read, int *ret_write)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	for (int i = 0; i < 2; i++) {
		if (fds[i] > STATUS_FD)
			continue;
		int up = fd_dup(fds[i], STATUS_FD + 1);
		if (up < 0) {
			(void)close(fds[0]);
			(void)close(fds[1]);
			return up;
		}
		(void)close(fds[i]);
		fds[i] = up;
	}
	*ret_read = fds[0];
	*ret_write = fds[1];
	return 0;
}

/* The terminal belongs to the user, as login(1) does it. */
static int make_pty(const struct spawn_plan *p, struct spawn_child *c, struct ends *e)
{
	struct winsize ws = { .ws_col = p->cols > 0 ? p->cols : 80,
			      .ws_row = p->rows > 0 ? p->rows : 24 };
	int unlock = 0;

	CLEANUP(fd_closep) int master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (master < 0)
		return -errno;
	c->out = fd_dup(master, STATUS_FD + 1);
	if (c->out < 0)
		return c->out;
	/* The slave by ioctl instead of by path: /dev/pts may be anything by now. */
	if (ioctl(c->out, TIOCSPTLCK, &unlock) < 0)
		return -errno;
	CLEANUP(fd_closep) int slave = ioctl(c->out, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
	if (slave < 0)
		return -errno;
	e->in = fd_dup(slave, STATUS_FD + 1);
	e->out = fd_dup(slave, STATUS_FD + 1);
	e->err = fd_dup(slave, STATUS_FD + 1);
	c->in = fd_dup(c->out, STATUS_FD + 1);
	if (e->in < 0 || e->out < 0 || e->err < 0 || c->in < 0)
		return -EMFILE;
	if (ioctl(c->out, TIOCSWINSZ, &ws) < 0)
		return -errno;
	if (!user_is_self(p->user) &&
	    (fchown(slave, p->user->pw.uid, (gid_t)-1) < 0 || fchmod(slave, 0620) < 0))
		return -errno;
	return 0;
}

static int make_pipes(const struct spawn_plan *p, struct spawn_child *c, struct ends *e)
{
	int r;

	if (p->stdin_pipe) {
		r = make_pipe(&e->in, &c->in);
	} else {
		CLEANUP(fd_closep) int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
		r = null < 0 ? -errno : fd_dup(null, STATUS_FD + 1);
		if (r >= 0) {
			e->in = r;
			r = 0;
		}
	}
	if (r == 0)
		r = make_pipe(&c->out, &e->out);
	if (r == 0)
		r = make_pipe(&c->err, &e->err);
	return r;
}

static int set_nonblock(struct spawn_child *c)
{
	int fds[] = { c->in, c->out, c->err, c->status };

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		int r = fds[i] >= 0 ? fd_set_nonblock(fds[i], true) : 0;
		if (r < 0)
			return r;
	}
	return 0;
}

int spawn_start(const struct spawn_plan *p, struct spawn_child *ret)
{
	struct spawn_child c = { .pid = -1, .in = -1, .out = -1, .err = -1, .status = -1 };
	struct ends e = { .in = -1, .out = -1, .err = -1, .status = -1 };
	int r = p->pty ? make_pty(p, &c, &e) : make_pipes(p, &c, &e);

	if (r == 0)
		r = make_pipe(&c.status, &e.status);
	if (r == 0)
		r = set_nonblock(&c);
	if (r == 0) {
		c.pid = fork();
		if (c.pid == 0)
			child_main(p, &e);
		if (c.pid < 0)
			r = -errno;
	}
	ends_close(&e);
	if (r < 0) {
		child_close(&c);
		return r;
	}
	*ret = c;
	return 0;
}

static int exec_failed(int error, const char *cmd, enum rpc_code *ret_code, struct err *err)
{
	switch (error) {
	case ENOENT:
	case ENOTDIR:
		*ret_code = RPC_NOT_FOUND;
		return err_set(err, -error, "%.128s: no such command", cmd);
	case E2BIG:
		*ret_code = RPC_INVALID_ARGUMENT;
		return err_set(err, -error, "%.128s: arguments and environment are too large", cmd);
	case ENOMEM:
	case EMFILE:
	case ENFILE:
		*ret_code = RPC_RESOURCE_EXHAUSTED;
		break;
	default: /* EACCES, ENOEXEC, EPERM, ELOOP, ETXTBSY, ELIBBAD...: it is there and can't run */
		*ret_code = RPC_PERMISSION_DENIED;
		break;
	}
	return err_sys(err, -error, "%.128s", cmd);
}

int spawn_result(int status_fd, const char *cmd, const char *cwd, enum rpc_code *ret_code,
		 struct err *err)
{
	struct report rep;
	ssize_t n;

	do
		n = read(status_fd, &rep, sizeof(rep));
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return -EAGAIN;
	if (n != (ssize_t)sizeof(rep) || rep.error <= 0)
		return 0;
	switch (rep.stage) {
	case STAGE_EXEC:
		return exec_failed(rep.error, cmd, ret_code, err);
	case STAGE_CWD:
		*ret_code = RPC_INVALID_ARGUMENT;
		return err_sys(err, -rep.error, "working directory %.128s", cwd);
	case STAGE_USER:
		*ret_code = RPC_PERMISSION_DENIED;
		return err_sys(err, -rep.error, "can't become the user");
	default:
		*ret_code = RPC_INTERNAL;
		return err_sys(err, -rep.error, "can't set up the command's stdio");
	}
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/doctor_jail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jailer.pb-c.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "api/rpc/rpc.h"
#include "base/fd.h"
#include "base/num.h"
#include "probe/off.h"
#include "probe/wire.h"
#include "vmm/seccomp.h"

#define START_TRIES    400 /* times 5 ms */
#define CALL_MS	       20000
#define MEMORY	       (64 * MIB)
#define RUN_DIR	       "/run/casemate"
#define STORE_NAME_MAX 64

static char canary[] = CANARY, jail_id[] = "doctor";

/* A jailer of our own, with the probe for its VMM, and one jail. */
struct trial {
	const struct doctor_jail_config *cfg;
	struct loop *loop;
	struct rpc_conn *conn;
	pid_t jailer;
	int control, log; /* of the jail; -1 = none */
	char socket[96];
	char secret[SCENE_TEXT];
	char jailer_path[200], probe_path[200];
	char kernel[STORE_NAME_MAX + 1], image[STORE_NAME_MAX + 1];
};

/* The first directory of the store that has the file; the jailer checks both. */
static bool first_name(const char *store, const char *kind, const char *file, char *ret)
{
	char path[600];
	const struct dirent *e;
	bool got = false;
	DIR *d;

	(void)snprintf(path, sizeof(path), "%.256s/%s", store, kind);
	d = opendir(path);
	while (d != NULL && !got && (e = readdir(d)) != NULL) {
		(void)snprintf(path, sizeof(path), "%s/%s", e->d_name, file);
		if (e->d_name[0] == '.' || strlen(e->d_name) > STORE_NAME_MAX ||
		    faccessat(dirfd(d), path, R_OK, 0) < 0)
			continue;
		memcpy(ret, e->d_name, strlen(e->d_name) + 1);
		got = true;
	}
	if (d != NULL)
		(void)closedir(d);
	return got;
}

static int find_parts(struct trial *t, struct err *err)
{
	const struct doctor_jail_config *c = t->cfg;

	(void)snprintf(t->jailer_path, sizeof(t->jailer_path), "%.180s/casemate-jailer",
		       c->libexec);
	(void)snprintf(t->probe_path, sizeof(t->probe_path), "%.180s/casemate-probe", c->libexec);
	if (access(t->jailer_path, X_OK) < 0)
		return err_sys(err, -errno, "%s", t->jailer_path);
	if (access(t->probe_path, X_OK) < 0)
		return err_sys(err, -errno, "%s", t->probe_path);
	if (!first_name(c->store, "kernels", "kernel", t->kernel) ||
	    !first_name(c->store, "images", "root.erofs", t->image))
		return err_set(err, -ENOENT, "no kernel or no image in %s", c->store);
	return 0;
}

static NORETURN void run_jailer(const struct trial *t)
{
	char group[48];
	const char *args[20] = { "casemate-jailer",
				 "--socket",
				 t->socket,
				 "--store",
				 t->cfg->store,
				 "--vmm",
				 t->probe_path,
				 "--daemon-user",
				 "root",
				 "--cgroup",
				 group,
				 "--max",
				 "1",
				 "--pool",
				 "0",
				 "--log-level",
				 "error" };

	(void)snprintf(group, sizeof(group), "casemate-doctor-%d", (int)getppid());
	/* What SELinux does here is a check of its own; this one is about the other layers as well.
	 */
	if (access("/sys/fs/selinux/enforce", F_OK) < 0)
		args[17] = "--allow-no-selinux";
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) == 0)
		(void)execv(t->jailer_path, (char *const *)(uintptr_t)args);
	_exit(127);
}

static int start_jailer(struct trial *t, struct err *err)
{
	static const struct rpc_conn_config cfg;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	CLEANUP(fd_closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r = -1;

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", t->socket);
	t->jailer = fork();
	if (t->jailer < 0 || fd < 0)
		return err_sys(err, -errno, "process");
	if (t->jailer == 0)
		run_jailer(t);
	for (unsigned i = 0; r < 0 && i < START_TRIES; i++) {
		r = connect(fd, (const struct sockaddr *)&a, sizeof(a));
		if (r < 0 && waitpid(t->jailer, NULL, WNOHANG) == t->jailer) {
			t->jailer = 0;
			return err_set(err, -ECHILD, "casemate-jailer has ended, see above");
		}
		if (r < 0)
			(void)usleep(5000);
	}
	if (r < 0)
		return err_sys(err, -errno, "casemate-jailer");
	r = rpc_conn_new(t->loop, fd_steal(&fd), &cfg, &t->conn);
	return r < 0 ? err_sys(err, r, "casemate-jailer") : 0;
}

static int call(struct trial *t, enum jailer_method m, const ProtobufCMessage *q,
		ProtobufCMessage **ret, int *fds, struct err *err)
{
	struct rpc_status st;
	int r = rpc_call_wait(t->loop, t->conn, &jailer_methods[m], q, NULL, CALL_MS, &st, ret,
			      fds);

	if (r < 0)
		return err_sys(err, r, "casemate-jailer");
	return st.code == RPC_OK ? 0 : err_set(err, -EPROTO, "%s", st.msg);
}

static int create_jail(struct trial *t, struct err *err)
{
	Casemate__Jailer__V1__CreateRequest q = CASEMATE__JAILER__V1__CREATE_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	int r, fds[2];

	q.id = jail_id;
	q.kernel = t->kernel;
	q.image = t->image;
	q.vcpus = 1;
	q.memory_bytes = MEMORY;
	r = call(t, JAILER_CREATE, &q.base, &out, fds, err);
	if (r < 0)
		return r;
	protobuf_c_message_free_unpacked(out, NULL);
	t->control = fds[0];
	t->log = fds[1];
	/* The probe waits for a template's memory, and does without. */
	return write(t->control, "t", 1) == 1 ? 0 : err_sys(err, -errno, "probe");
}

/* How a probe ended that doesn't answer any more. */
static int ask_end(struct trial *t, struct wire_answer *ret, struct err *err)
{
	Casemate__Jailer__V1__WaitRequest q = CASEMATE__JAILER__V1__WAIT_REQUEST__INIT;
	const Casemate__Jailer__V1__WaitResponse *a;
	ProtobufCMessage *out = NULL;
	int r;

	q.id = jail_id;
	r = call(t, JAILER_WAIT, &q.base, &out, NULL, err);
	if (r < 0)
		return r;
	a = (const Casemate__Jailer__V1__WaitResponse *)(const void *)out;
	ret->kind = a->exited ? WIRE_EXIT : WIRE_SIGNAL;
	ret->value = a->status;
	protobuf_c_message_free_unpacked(out, NULL);
	return 0;
}

static int destroy_jail(struct trial *t, struct err *err)
{
	Casemate__Jailer__V1__DestroyRequest q = CASEMATE__JAILER__V1__DESTROY_REQUEST__INIT;
	ProtobufCMessage *out = NULL;
	int r;

	fd_closep(&t->control);
	fd_closep(&t->log);
	q.id = jail_id;
	r = call(t, JAILER_DESTROY, &q.base, &out, NULL, err);
	if (r == 0)
		protobuf_c_message_free_unpacked(out, NULL);
	return r;
}

/* What an attacker in the jail would be after, all of it ours. */
static int make_scene(const struct trial *t, struct scene *s, struct err *err)
{
	CLEANUP(fd_closep)
	int fd = open(t->secret, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);

	if (fd < 0 || fd_write_full(fd, CANARY, strlen(CANARY)) < 0)
		return err_sys(err, -errno, "%s", t->secret);
	*s = (struct scene){ .victim = getpid(), .victim_canary = (uint64_t)(uintptr_t)canary };
	(void)snprintf(s->secret, sizeof(s->secret), "%s", t->secret);
	(void)snprintf(s->dir, sizeof(s->dir), "/nonexistent");
	return 0;
}

static void count(struct doctor_jail_tally *ret, const struct wire_answer *a)
{
	size_t len = strlen(ret->ids);

	ret->tried++;
	if (!wire_succeeded(a))
		return;
	ret->succeeded++;
	ret->need_selinux += (a->flags & ATTACK_NEEDS_X) != 0;
	(void)snprintf(ret->ids + len, sizeof(ret->ids) - len, "%s%.7s", len > 0 ? " " : "", a->id);
}

/* One row, in a jail that nothing has attacked from yet. It is used up unless the row was skipped.
 */
static int attack_once(struct trial *t, struct wire_order *o, unsigned row, struct wire_answer *ret,
		       struct err *err)
{
	int r = t->control < 0 ? create_jail(t, err) : 0;

	if (r < 0)
		return r;
	(void)snprintf(o->id, sizeof(o->id), WIRE_ROW "%u", row);
	*ret = (struct wire_answer){ .kind = WIRE_NONE };
	wire_run(t->control, -1, o, ret);
	if (ret->kind == WIRE_GONE) {
		/* It hasn't said which it was. */
		(void)snprintf(ret->id, sizeof(ret->id), "#%u", row % 1000);
		r = ask_end(t, ret, err);
	}
	if (r < 0 || ret->kind == WIRE_SKIPPED || ret->kind == WIRE_END)
		return r;
	if (ret->kind == WIRE_HARNESS || ret->kind == WIRE_NONE)
		return err_set(err, -EPROTO, "casemate-probe can't attack");
	return destroy_jail(t, err);
}

/* All rows that may be tried anywhere. */
static int attack(struct trial *t, struct wire_order *o, struct doctor_jail_tally *ret,
		  struct err *err)
{
	struct wire_answer a = { .kind = WIRE_NONE };
	int r = 0;

	for (unsigned i = 0; r == 0 && a.kind != WIRE_END; i++) {
		if (i > WIRE_ROWS_MAX)
			return err_set(err, -EPROTO, "casemate-probe has no end");
		r = attack_once(t, o, i, &a, err);
		if (r == 0 && a.kind != WIRE_END && a.kind != WIRE_SKIPPED)
			count(ret, &a);
	}
	return r;
}

static int attack_all(struct trial *t, struct doctor_jail_result *ret, struct err *err)
{
	struct wire_order o = { .role = SECCOMP_START, .here = 1 };
	int r = make_scene(t, &o.scene, err);

	if (r == 0)
		r = attack(t, &o, &ret->full, err);
	if (r < 0)
		return r;
	o.role = SECCOMP_CONTROL;
	o.off = OFF_BIT(OFF_SEC) | OFF_BIT(OFF_LLK);
	return attack(t, &o, &ret->alone, err);
}

static void end(struct trial *t)
{
	rpc_conn_free(t->conn);
	fd_closep(&t->control);
	fd_closep(&t->log);
	if (t->jailer > 0) {
		/* It ends its jail, and removes socket and group. */
		(void)kill(t->jailer, SIGTERM);
		(void)waitpid(t->jailer, NULL, 0);
	}
	(void)unlink(t->secret);
}

int doctor_jail_try(struct loop *l, const struct doctor_jail_config *cfg,
		    struct doctor_jail_result *ret, struct err *err)
{
	struct trial t = { .cfg = cfg, .loop = l, .control = -1, .log = -1 };
	int r;

	*ret = (struct doctor_jail_result){ .full = { .tried = 0 } };
	(void)snprintf(t.socket, sizeof(t.socket), RUN_DIR "/doctor-%d.sock", (int)getpid());
	(void)snprintf(t.secret, sizeof(t.secret), RUN_DIR "/doctor-%d.secret", (int)getpid());
	r = find_parts(&t, err);
	if (r == 0)
		r = start_jailer(&t, err);
	if (r == 0)
		r = create_jail(&t, err);
	if (r == 0)
		r = attack_all(&t, ret, err);
	end(&t);
	return r;
}

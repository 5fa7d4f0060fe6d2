/* SPDX-License-Identifier: Apache-2.0 */
/*
 * egress.c - the second process of a jail with a tap: casemate-egress, which holds the gateway's
 * sockets and decides what becomes of them (egress/egress_fds.h).
 *
 * It is a child of the jail's own process, in its control group and below its pid namespace: so it
 * ends with the VMM, whatever happens to the jailer. It has a pid namespace below that one, and
 * sees no VMM; a root and a uid of its own, an SELinux domain of its own with the sandbox's
 * categories; and the network namespace of the host, whose sockets it needs. It has no user
 * namespace of its own: the jailer would have to write its map, and its uid has no rights outside
 * of it either.
 *
 * Its stages are the VMM's where they have the same name, and run in this order for the same
 * reasons (stage.h). All of it happens while the cell is made, before it is known for whom.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/gateway.h"
#include "jailer/stage.h"

/* Should: connect from where the host does. Mustn't: come after the capabilities are gone. */
static int enter_host_network(struct stage_env *env)
{
	(void)env;
	return setns(STAGE_FD_HOSTNET, CLONE_NEWNET) < 0 ? -errno : 0;
}

static int execute(struct stage_env *env)
{
	static char name[] = "casemate-egress";
	static char tcp[] = "tcp", dns_udp[] = "dns-udp", dns_tcp[] = "dns-tcp";
	/* What EGRESS_FD_TCP and the next two are. */
	char *argv[] = { name, tcp, dns_udp, dns_tcp, NULL };
	char *envp[] = { NULL };

	(void)env;
	(void)execveat(STAGE_FD_EGRESS, "", argv, envp, AT_EMPTY_PATH);
	return -errno;
}

static const struct {
	int (*run)(struct stage_env *env);
	unsigned layer;
} steps[] = {
	{ stage_egress_fds, LAYER_NONE }, { enter_host_network, LAYER_NONE },
	{ stage_session, LAYER_SYSC },	  { stage_label, LAYER_X },
	{ stage_memfd, LAYER_SYSC },	  { stage_uts, LAYER_NONE },
	{ stage_root, LAYER_FS },	  { stage_chroot, LAYER_FS },
	{ stage_bounding, LAYER_CAP },	  { stage_egress_rlimits, LAYER_RLIM },
	{ stage_ids, LAYER_UID },	  { stage_caps, LAYER_NONE },
	{ stage_locks, LAYER_NONE },	  { execute, LAYER_NONE },
};

/* The child's life until the exec; what went wrong goes into the pipe that the exec closes. */
static NORETURN void become(const struct stage_env *env)
{
	struct stage_env own = *env;
	int r = 0;

	own.uid = env->egress_uid;
	memcpy(own.label, env->egress_label, sizeof(own.label));
	for (unsigned i = 0; i < ARRAY_SIZE(steps) && r == 0; i++)
		r = layer_is_off(&own, steps[i].layer) ? 0 : steps[i].run(&own);
	if (write(STAGE_FD_FAILURE, &r, sizeof(r)) < 0)
		_exit(125);
	_exit(126);
}

static int start(const struct stage_env *env, int *ret_failure)
{
	struct clone_args args = {
		.flags = CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_CLEAR_SIGHAND,
		.exit_signal = SIGCHLD,
	};
	int ends[2];
	long pid;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	if (dup3(ends[1], STAGE_FD_FAILURE, O_CLOEXEC) < 0)
		return -errno;
	(void)close(ends[1]);
	pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0)
		become(env);
	*ret_failure = ends[0];
	return pid < 0 ? -errno : 0;
}

/* All that only the other process has from here on. */
static void close_all(void)
{
	static const int ours[] = { STAGE_FD_HOSTNET,	     STAGE_FD_EGRESS,
				    STAGE_FD_EGRESS_CONTROL, STAGE_FD_EGRESS_LOG,
				    STAGE_FD_FAILURE,	     STAGE_FD_GATEWAY,
				    STAGE_FD_GATEWAY + 1,    STAGE_FD_GATEWAY + 2,
				    STAGE_FD_GATEWAY + 3 };

	for (unsigned i = 0; i < ARRAY_SIZE(ours); i++)
		(void)close(ours[i]);
}

static int open_gateway(void)
{
	struct gateway g;
	int r = gateway_open(NIC_NAME, &g);

	if (r < 0)
		return r;
	if (dup3(g.tcp, STAGE_FD_GATEWAY, O_CLOEXEC) < 0 ||
	    dup3(g.dns_udp, STAGE_FD_GATEWAY + 1, O_CLOEXEC) < 0 ||
	    dup3(g.dns_tcp, STAGE_FD_GATEWAY + 2, O_CLOEXEC) < 0 ||
	    dup3(g.steer, STAGE_FD_GATEWAY + 3, O_CLOEXEC) < 0)
		r = -errno;
	gateway_close(&g);
	return r;
}

/*
 * Should: leave a running casemate-egress that holds the gateway's sockets, and none here.
 * Mustn't: come before the tap, or after this process's root is gone.
 */
int stage_egress(struct stage_env *env)
{
	CLEANUP(fd_closep) int failure = -1;
	int r, why = 0;
	ssize_t n;

	if (!env->nic || env->egress < 0)
		return 0;
	r = open_gateway();
	if (r == 0)
		r = start(env, &failure);
	close_all();
	if (r < 0)
		return r;
	/* Ends without a word when the exec has closed the other end. */
	n = read(failure, &why, sizeof(why));
	if (n == 0)
		return 0;
	return n == (ssize_t)sizeof(why) && why < 0 ? why : -EIO;
}

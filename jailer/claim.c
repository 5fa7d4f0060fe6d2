/* SPDX-License-Identifier: Apache-2.0 */
/* claim.c - the finished jail waits for a virtual machine. */
#include <errno.h>
#include <unistd.h>

#include "jailer/stage.h"

static int check_order(const struct stage_order *o, size_t len, size_t fds)
{
	if (len != sizeof(*o) || o->kind != ORDER_CLAIM || o->fds_count != fds ||
	    o->fds_count > STAGE_FDS_MAX || o->nic_queues > VMM_TAPS_MAX)
		return -EPROTO;
	for (uint32_t i = 0; i < o->fds_count; i++) {
		if (o->to[i] < STDERR_FILENO || o->to[i] >= VMM_FD_DYNAMIC)
			return -EPROTO;
	}
	return 0;
}

/*
 * Should: say that the jail is ready and wait for as long as the jailer lives. Nothing that needs a
 * privilege is left to do.
 * Mustn't: outlive the jailer: its end of the socket closing is the end of this process.
 */
int stage_claim(struct stage_env *env)
{
	const struct stage_report ready = { .kind = REPORT_READY };
	struct stage_order o = { 0 };
	int fds[STAGE_FDS_MAX];
	size_t n = ARRAY_SIZE(fds);
	ssize_t got;
	int r;

	if (fd_send(STAGE_FD_REPORT, &ready, sizeof(ready), NULL, 0) != (ssize_t)sizeof(ready))
		return -EPIPE;
	got = fd_recv(STAGE_FD_REPORT, &o, sizeof(o), fds, &n);
	if (got <= 0)
		_exit(0); /* never wanted */
	r = check_order(&o, (size_t)got, n);
	if (r < 0)
		return r;
	for (uint32_t i = 0; i < o.fds_count; i++)
		env->fds[i] = (struct stage_fd){ fds[i], o.to[i] };
	env->fds_count = o.fds_count;
	env->nic_queues = o.nic_queues;
	env->file_bytes_max = o.file_bytes_max;
	env->address_bytes_max = o.address_bytes_max;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * result.h - how the VM ended. The first reason wins; whoever finds one, on any thread, says so
 * here, and the control loop is woken by a descriptor. Exit statuses are part of the contract
 * (api/proto/vmm.proto).
 */
#ifndef VMM_RESULT_H
#define VMM_RESULT_H

#include <pthread.h>
#include <stdbool.h>

#include "base/compiler.h"

#define RESULT_DETAIL_MAX 160

enum end_reason {
	END_NONE,
	END_POWER_OFF,
	END_REBOOT,
	END_PANIC,
	END_TRIPLE_FAULT,
	END_GUEST_ERROR,
	END_STOPPED,
	END_HOST_ERROR,
	END_REASON_COUNT
};

struct result {
	pthread_mutex_t lock;
	int event_fd;		/* becomes readable once */
	enum end_reason reason; /* written once; read without the lock, atomic */
	char detail[RESULT_DETAIL_MAX];
};

/* 0 or -errno. */
MUST_USE int result_init(struct result *r);

/* The VM ends for this reason. detail: one line of our own words, never the guest's. Any thread. */
void result_end(struct result *r, enum end_reason reason, const char *fmt, ...) PRINTF(3, 4);

/* END_NONE while it runs. Any thread, no system call. */
enum end_reason result_reason(const struct result *r);
static inline bool result_ended(const struct result *r)
{
	return result_reason(r) != END_NONE;
}
/* Copies the detail. Any thread. */
void result_detail(struct result *r, char detail[RESULT_DETAIL_MAX]);

/* The reason's name ("power-off") and the exit status of the process. */
const char *end_reason_name(enum end_reason reason);
int end_reason_status(enum end_reason reason);

#endif

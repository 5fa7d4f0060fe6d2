/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/result.h"

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/bug.h"

static const struct {
	const char *name;
	int status;
} reasons[] = {
	[END_NONE] = { "none", 1 },
	[END_POWER_OFF] = { "power-off", 0 },
	[END_REBOOT] = { "reboot", 10 },
	[END_PANIC] = { "panic", 11 },
	[END_TRIPLE_FAULT] = { "triple-fault", 12 },
	[END_GUEST_ERROR] = { "guest-error", 13 },
	[END_STOPPED] = { "stopped", 14 },
	[END_HOST_ERROR] = { "host-error", 1 },
};
_Static_assert(ARRAY_SIZE(reasons) == END_REASON_COUNT, "one line a reason");

int result_init(struct result *r)
{
	memset(r, 0, sizeof(*r));
	(void)pthread_mutex_init(&r->lock, NULL);
	r->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	return r->event_fd < 0 ? -errno : 0;
}

void result_end(struct result *r, enum end_reason reason, const char *fmt, ...)
{
	const uint64_t one = 1;
	bool first;
	va_list ap;

	BUG_ON(reason == END_NONE || reason >= END_REASON_COUNT);
	va_start(ap, fmt);
	(void)pthread_mutex_lock(&r->lock);
	first = !result_ended(r);
	if (first) {
		(void)vsnprintf(r->detail, sizeof(r->detail), fmt, ap);
		/* Pairs with the acquire in result_reason: who sees the reason sees the detail. */
		__atomic_store_n(&r->reason, reason, __ATOMIC_RELEASE);
	}
	(void)pthread_mutex_unlock(&r->lock);
	va_end(ap);
	if (first && write(r->event_fd, &one, sizeof(one)) != (ssize_t)sizeof(one))
		BUG("an eventfd refused its first write");
}

enum end_reason result_reason(const struct result *r)
{
	return __atomic_load_n(&r->reason, __ATOMIC_ACQUIRE);
}

void result_detail(struct result *r, char detail[RESULT_DETAIL_MAX])
{
	(void)pthread_mutex_lock(&r->lock);
	memcpy(detail, r->detail, RESULT_DETAIL_MAX);
	(void)pthread_mutex_unlock(&r->lock);
}

const char *end_reason_name(enum end_reason reason)
{
	BUG_ON(reason >= END_REASON_COUNT);
	return reasons[reason].name;
}

int end_reason_status(enum end_reason reason)
{
	BUG_ON(reason >= END_REASON_COUNT);
	return reasons[reason].status;
}

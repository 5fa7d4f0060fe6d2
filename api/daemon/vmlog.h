/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmlog.h - the log pipe of one VMM: its lines are passed to our own log, tagged with the
 * sandbox's id, and the last of them are kept. A VMM may have been taken over by its guest, so
 * lines are cut at 1 KiB, escaped, and limited in rate; a flood is counted, not stored.
 */
#ifndef API_DAEMON_VMLOG_H
#define API_DAEMON_VMLOG_H

#include <stddef.h>

#include "base/compiler.h"
#include "base/loop.h"

#define VMLOG_KEEP_BYTES 8192U
#define VMLOG_LINE_MAX	 1024U

struct vmlog;

/* Takes fd (closed by vmlog_free, also on failure here). id is copied. */
MUST_USE int vmlog_new(struct loop *l, int fd, const char *id, struct vmlog **ret);
/* NULL is fine. */
void vmlog_free(struct vmlog *v);
/* Reads what is left in the pipe and stops watching it. */
void vmlog_close(struct vmlog *v);
/* The kept text, whole lines, ASCII only; valid until the next event. */
const char *vmlog_text(const struct vmlog *v, size_t *ret_len);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * err.h - the one way to report a failure with a reason.
 *
 * Functions return 0 or a negative errno (MUST_USE). Where a person will read the reason, the
 * callee also fills a struct err, and each caller may put its own words before it:
 *
 *     r = kernel_load(fd, &k, err);
 *     if (r < 0)
 *             return err_wrap(err, "kernel");        -> "kernel: not an ELF file"
 *
 * Library code never logs and never exits; the layer that decides does, once.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include "base/compiler.h"

#define ERR_MSG_MAX 256

struct err {
	int code; /* negative errno; 0 = nothing went wrong */
	char msg[ERR_MSG_MAX];
};

/* Fills *e (may be NULL) with code and text; returns code. code must be negative. */
int err_set(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);

/* As err_set, and appends ": " and the text of errno -code. */
int err_sys(struct err *e, int code, const char *fmt, ...) PRINTF(3, 4);

/* Puts "WHAT: " before the message that is there; returns e->code. Where e may be NULL, keep the
 * code elsewhere: the answer is then -EIO, whatever it was. */
int err_wrap(struct err *e, const char *fmt, ...) PRINTF(2, 3);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label.h - SELinux: each VMM runs in casemate_vmm_t with a category pair of its own, so that two
 * VMMs of the same domain still can't reach each other's files and processes.
 */
#ifndef JAILER_LABEL_H
#define JAILER_LABEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define LABEL_MAX 128

enum label_mode { LABEL_ABSENT, LABEL_PERMISSIVE, LABEL_ENFORCING, LABEL_MODE_COUNT };

enum label_mode label_mode(void);
const char *label_mode_name(enum label_mode mode);

/* Anything less than enforcing is a wall less, and the operator must have allowed that. */
MUST_USE int label_mode_accept(enum label_mode mode, bool allow_no_selinux, struct err *err);

/* Does the loaded policy have our domains and categories? 0, or -errno and what to do. */
MUST_USE int label_check_policy(enum label_mode mode, struct err *err);

/* The context of the process in this slot; "" when SELinux is absent. */
void label_of_slot(enum label_mode mode, uint32_t slot, char ret[LABEL_MAX]);

/* The same for the casemate-egress of this slot, whose categories are the VMM's. */
void label_of_egress(enum label_mode mode, uint32_t slot, char ret[LABEL_MAX]);

/* The context of the sealed copy of a program: what its domain is entered through; "" as above. */
enum label_binary { LABEL_JAILER, LABEL_VMM, LABEL_EGRESS, LABEL_BINARY_COUNT };
void label_of_binary(enum label_mode mode, enum label_binary which, char ret[LABEL_MAX]);

/* Files that are created until the matching label_files_end carry the slot's level. */
MUST_USE int label_files_begin(enum label_mode mode, uint32_t slot, struct err *err);
void label_files_end(enum label_mode mode);

/* In the new process: the next exec enters this context. "" does nothing. */
MUST_USE int label_next_exec(const char *context);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * snapshot_rig.h - saves a VM of the test guest to two memfds, and brings it back from them. What
 * fails fails the test, unless said otherwise.
 */
#ifndef TESTS_NATIVE_SNAPSHOT_RIG_H
#define TESTS_NATIVE_SNAPSHOT_RIG_H

#include <stdbool.h>

#include "base/num.h"
#include "tests/native/harness.h"

#define SNAPSHOT_MEMORY (64 * MIB)

/* The caller's. */
struct snapshot {
	int state, memory;
	int rest; /* of a memory in two files; 0 = there is none */
};

/* Empty files, the memory's of its length. */
struct snapshot snapshot_new(void);
/* The same for a memory in two. */
struct snapshot snapshot_new_split(void);
void snapshot_close(struct snapshot *s);
/* Of a running VM, which is paused afterwards. */
struct snapshot snapshot_take(struct vmm *v);

/* Borrows cmdline. */
configure_req snapshot_request(const char *cmdline, unsigned vcpus, bool restore);
/* Starts the test guest. */
void snapshot_boot(struct vmm *v, const char *cmdline, unsigned vcpus);
/* Configures a VMM from the files: the answer's code. */
enum rpc_code snapshot_restore(struct vmm *v, const struct snapshot *s, const configure_req *q,
			       struct rpc_status *st);
void snapshot_must_restore(struct vmm *v, const struct snapshot *s, unsigned vcpus);

#endif

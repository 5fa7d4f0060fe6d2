/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CreateRequest from the wire to struct request: whatever passes is within every bound, can be
 * used as a file name, and says the same again when it is checked again.
 */
#include <jailer.pb-c.h>
#include <stdint.h>
#include <string.h>

#include "base/bug.h"
#include "jailer/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name)
{
	size_t n = strnlen(name, REQUEST_NAME_MAX + 1);

	BUG_ON(n == 0 || n > REQUEST_NAME_MAX);
	BUG_ON(name[0] == '.' || strchr(name, '/') != NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct request_limits limits = { .memory_max = UINT64_C(8) << 30 };
	Casemate__Jailer__V1__CreateRequest *in =
		casemate__jailer__v1__create_request__unpack(NULL, size, data);
	struct request q;
	struct err err = { 0 };
	int r;

	if (in == NULL)
		return 0;
	r = request_check(in, false, &limits, &q, &err);
	BUG_ON(r > 0 || (r < 0 && (err.code != r || err.msg[0] == '\0')));
	if (r == 0) {
		check_name(q.id);
		check_name(q.kernel);
		check_name(q.image);
		BUG_ON(strcmp(q.id, in->id) != 0 || strcmp(q.kernel, in->kernel) != 0 ||
		       strcmp(q.image, in->image) != 0);
		BUG_ON(q.vcpus < 1 || q.vcpus > REQUEST_VCPUS_MAX);
		BUG_ON(q.memory_bytes < REQUEST_MEMORY_MIN || q.memory_bytes > limits.memory_max ||
		       q.memory_bytes % REQUEST_MEMORY_ALIGN != 0);
		BUG_ON(q.scratch_bytes > REQUEST_SCRATCH_MAX);
		BUG_ON(strcmp(q.cpus, in->cpuset_cpus) != 0 ||
		       strcmp(q.mems, in->cpuset_mems) != 0);
		BUG_ON(strlen(q.cpus) > REQUEST_CPUSET_MAX || strlen(q.mems) > REQUEST_CPUSET_MAX);
		BUG_ON(q.cpus[strspn(q.cpus, "0123456789,-")] != '\0');
		BUG_ON(q.nic_queues > REQUEST_NIC_QUEUES_MAX || q.nic_queues != in->nic_queues);
	}
	casemate__jailer__v1__create_request__free_unpacked(in, NULL);
	return 0;
}

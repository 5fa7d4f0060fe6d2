/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/request.h"

#include <errno.h>
#include <fcntl.h>
#include <jailer.pb-c.h>
#include <string.h>
#include <sys/stat.h>

#include "base/num.h"
#include "jailer/cpuset.h"
#include "vmm/vmm_fds.h"

_Static_assert(REQUEST_NIC_QUEUES_MAX == VMM_TAPS_MAX, "a descriptor for each queue");

/* Locale-free, unlike islower and isdigit. */
static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
}

bool request_id_ok(const char *s)
{
	size_t n = 0;

	for (; s[n] != '\0'; n++) {
		if (n == REQUEST_NAME_MAX || !is_plain(s[n]))
			return false;
	}
	return n > 0;
}

bool request_name_ok(const char *s)
{
	size_t n = 0;

	for (; s[n] != '\0'; n++) {
		if (n == REQUEST_NAME_MAX || !(is_plain(s[n]) || s[n] == '.' || s[n] == '_'))
			return false;
	}
	return n > 0 && s[0] != '.';
}

static unsigned long long mib(uint64_t bytes)
{
	return (unsigned long long)(bytes / MIB);
}

/* The text of a bad name is never repeated: it may be anything. */
static int check_names(const Casemate__Jailer__V1__CreateRequest *in, bool restore, struct err *err)
{
	if (!request_id_ok(in->id))
		return err_set(err, -EINVAL, "the id is not 1 to 64 of a-z, 0-9 and '-'");
	if (restore && in->kernel[0] != '\0')
		return err_set(err, -EINVAL, "a snapshot has its kernel in it: none can be named");
	if (!restore && !request_name_ok(in->kernel))
		return err_set(err, -EINVAL,
			       "the kernel's name is not 1 to 64 of a-z, 0-9, '.', '_' and '-'");
	if (in->disk_id[0] != '\0' && (restore || !request_id_ok(in->disk_id)))
		return err_set(err, -EINVAL, "the id of the kept disk is not one, or not for this");
	if (!request_name_ok(in->image))
		return err_set(err, -EINVAL,
			       "the image's name is not 1 to 64 of a-z, 0-9, '.', '_' and '-'");
	return 0;
}

static bool list_ok(const char *s)
{
	struct cpuset set;

	return s[0] == '\0' || (strlen(s) <= REQUEST_CPUSET_MAX && cpuset_parse(s, &set) == 0);
}

static int check_cpuset(const Casemate__Jailer__V1__CreateRequest *in, struct err *err)
{
	if (!list_ok(in->cpuset_cpus))
		return err_set(err, -EINVAL, "the list of CPUs is not one such as 0-3,8");
	if (!list_ok(in->cpuset_mems))
		return err_set(err, -EINVAL, "the list of memory nodes is not one such as 0-1");
	return 0;
}

static int check_sizes(const Casemate__Jailer__V1__CreateRequest *in,
		       const struct request_limits *limits, struct err *err)
{
	if (in->vcpus < 1 || in->vcpus > REQUEST_VCPUS_MAX)
		return err_set(err, -ERANGE, "%u vCPUs asked for: 1 to %d are possible", in->vcpus,
			       REQUEST_VCPUS_MAX);
	if (in->memory_bytes < REQUEST_MEMORY_MIN)
		return err_set(err, -ERANGE, "%llu bytes of memory asked for: at least %llu MiB",
			       (unsigned long long)in->memory_bytes, mib(REQUEST_MEMORY_MIN));
	if (in->memory_bytes > limits->memory_max)
		return err_set(err, -ERANGE, "%llu MiB of memory asked for: this host has %llu MiB",
			       mib(in->memory_bytes), mib(limits->memory_max));
	if (in->memory_bytes % REQUEST_MEMORY_ALIGN != 0)
		return err_set(err, -EINVAL, "memory is not a multiple of 2 MiB");
	if (in->scratch_bytes > REQUEST_SCRATCH_MAX)
		return err_set(err, -ERANGE, "%llu MiB of scratch disk asked for: at most %llu MiB",
			       mib(in->scratch_bytes), mib(REQUEST_SCRATCH_MAX));
	if (in->scratch_bytes % REQUEST_SCRATCH_ALIGN != 0)
		return err_set(err, -EINVAL, "the scratch disk is not a multiple of 4096 bytes");
	if (in->disk_id[0] != '\0' && in->scratch_bytes == 0)
		return err_set(err, -EINVAL, "a kept disk, and no scratch disk");
	if (in->nic_queues > REQUEST_NIC_QUEUES_MAX)
		return err_set(err, -ERANGE, "%u network queues asked for: at most %d",
			       in->nic_queues, REQUEST_NIC_QUEUES_MAX);
	if (in->image_id.len != 0 && in->image_id.len != REQUEST_IMAGE_ID_BYTES)
		return err_set(err, -EINVAL, "the image's id has %zu bytes instead of %d",
			       in->image_id.len, REQUEST_IMAGE_ID_BYTES);
	return 0;
}

int request_check(const Casemate__Jailer__V1__CreateRequest *in, bool restore,
		  const struct request_limits *limits, struct request *ret, struct err *err)
{
	struct request q = { .state = -1, .memory = -1, .rest = -1, .scratch = -1 };
	int r = check_names(in, restore, err);

	if (r == 0)
		r = check_sizes(in, limits, err);
	if (r == 0)
		r = check_cpuset(in, err);
	if (r < 0)
		return r;
	/* Lengths were checked: the terminating NUL is there because q was zero. */
	memcpy(q.id, in->id, strlen(in->id));
	memcpy(q.kernel, in->kernel, strlen(in->kernel));
	memcpy(q.image, in->image, strlen(in->image));
	memcpy(q.disk_id, in->disk_id, strlen(in->disk_id));
	q.vcpus = in->vcpus;
	q.memory_bytes = in->memory_bytes;
	q.scratch_bytes = in->scratch_bytes;
	q.snapshot = in->snapshot;
	q.map_image = in->map_image;
	q.image_known = in->image_id.len > 0;
	if (q.image_known)
		memcpy(q.image_id, in->image_id.data, sizeof(q.image_id));
	q.nic_queues = in->nic_queues;
	memcpy(q.cpus, in->cpuset_cpus, strlen(in->cpuset_cpus));
	memcpy(q.mems, in->cpuset_mems, strlen(in->cpuset_mems));
	*ret = q;
	return 0;
}

static int check_sealed(int fd, const char *what, uint64_t *ret_bytes, struct err *err)
{
	const int need = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int seals = fcntl(fd, F_GET_SEALS);
	struct stat st;

	if (seals < 0 || (seals & need) != need)
		return err_set(err, -EINVAL, "the snapshot's %s is not a sealed memfd", what);
	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "the snapshot's %s", what);
	*ret_bytes = (uint64_t)st.st_size;
	return 0;
}

static int check_memory(const struct request *q, int fd, struct err *err)
{
	uint64_t bytes = 0;
	int r = check_sealed(fd, "memory", &bytes, err);

	if (r < 0)
		return r;
	if (bytes != q->memory_bytes)
		return err_set(err, -EINVAL, "the snapshot has %llu MiB of memory, not %llu MiB",
			       mib(bytes), mib(q->memory_bytes));
	return 0;
}

int request_check_snapshot(struct request *q, int state, int memory, struct err *err)
{
	uint64_t bytes = 0;
	int r = check_sealed(state, "state", &bytes, err);

	if (r < 0)
		return r;
	if (bytes == 0 || bytes > REQUEST_STATE_MAX)
		return err_set(err, -EINVAL, "the snapshot's state has %llu bytes",
			       (unsigned long long)bytes);
	r = check_memory(q, memory, err);
	if (r < 0)
		return r;
	q->state = state;
	q->memory = memory;
	return 0;
}

int request_check_split(struct request *q, int state, int memory, int rest, struct err *err)
{
	int r = check_memory(q, rest, err);

	if (r == 0)
		r = request_check_snapshot(q, state, memory, err);
	if (r == 0)
		q->rest = rest;
	return r;
}

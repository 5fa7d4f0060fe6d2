/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/request.h"

#include <errno.h>
#include <jailer.pb-c.h>
#include <string.h>

#include "base/num.h"

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
static int check_names(const Casemate__Jailer__V1__CreateRequest *in, struct err *err)
{
	if (!request_id_ok(in->id))
		return err_set(err, -EINVAL, "the id is not 1 to 64 of a-z, 0-9 and '-'");
	if (!request_name_ok(in->kernel))
		return err_set(err, -EINVAL,
			       "the kernel's name is not 1 to 64 of a-z, 0-9, '.', '_' and '-'");
	if (!request_name_ok(in->image))
		return err_set(err, -EINVAL,
			       "the image's name is not 1 to 64 of a-z, 0-9, '.', '_' and '-'");
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
	return 0;
}

int request_check(const Casemate__Jailer__V1__CreateRequest *in,
		  const struct request_limits *limits, struct request *ret, struct err *err)
{
	struct request q = { 0 };
	int r = check_names(in, err);

	if (r == 0)
		r = check_sizes(in, limits, err);
	if (r < 0)
		return r;
	/* Lengths were checked: the terminating NUL is there because q was zero. */
	memcpy(q.id, in->id, strlen(in->id));
	memcpy(q.kernel, in->kernel, strlen(in->kernel));
	memcpy(q.image, in->image, strlen(in->image));
	q.vcpus = in->vcpus;
	q.memory_bytes = in->memory_bytes;
	q.scratch_bytes = in->scratch_bytes;
	*ret = q;
	return 0;
}

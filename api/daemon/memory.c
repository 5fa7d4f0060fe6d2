/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"

#define RESERVE (256 * MIB) /* of the host's, not to be used up */

/* MemAvailable; 0 when the kernel doesn't say. */
static uint64_t available(void)
{
	static const char key[] = "MemAvailable:";
	char text[4096], *at;
	uint64_t kib = 0;

	if (fd_read_file(AT_FDCWD, "/proc/meminfo", text, sizeof(text)) < 0)
		return 0;
	at = strstr(text, key);
	if (at == NULL)
		return 0;
	at += strlen(key);
	at += strspn(at, " ");
	at[strspn(at, "0123456789")] = '\0';
	return parse_u64(at, 0, UINT64_MAX / KIB, &kib) == 0 ? kib * KIB : 0;
}

int memory_check(const struct memory *m, uint64_t bytes, struct err *err)
{
	/* Of sizes that were checked, and of no more copies than there are sandboxes. */
	const uint64_t want = m->promised + bytes + RESERVE;

	if (available() >= want)
		return 0;
	return err_set(err, -ENOMEM, "host: less than %" PRIu64 " MiB of memory available",
		       want / MIB);
}

int memory_promise(struct memory *m, uint64_t bytes, uint64_t *held, struct err *err)
{
	int r = memory_check(m, bytes, err);

	BUG_ON(*held != 0);
	if (r < 0)
		return r;
	m->promised += bytes;
	*held = bytes;
	return 0;
}

void memory_settle(struct memory *m, uint64_t *held)
{
	BUG_ON(m->promised < *held);
	m->promised -= *held;
	*held = 0;
}

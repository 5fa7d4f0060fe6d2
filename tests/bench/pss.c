/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/pss.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* What else may adjoin guest memory without a guard between. */
#define SLACK_BYTES (4 * MIB)

/* Mappings without a gap and without a guard between them: guest memory may be several, where files
 * are mapped into it. */
struct run {
	uint64_t end, bytes, largest;
	double kib;
};

static bool is_ram(const struct run *r, uint64_t ram)
{
	return r->largest >= ram || (r->bytes >= ram && r->bytes < ram + SLACK_BYTES);
}

/* Ends a run: what counts of it. */
static double end_run(struct run *r, uint64_t ram)
{
	double kib = is_ram(r, ram) ? 0 : r->kib;

	*r = (struct run){ 0 };
	return kib;
}

double pss_without_ram_kib(pid_t pid, uint64_t ram_kib)
{
	char path[64], line[512];
	struct run run = { 0 };
	double sum = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return -errno;
	while (fgets(line, sizeof(line), f) != NULL) {
		const char *p = line;
		uint64_t from, to, kib;

		/* "FROM-TO perms ..." opens a mapping */
		if (parse_u64_at(&p, 16, UINT64_MAX, &from) == 0 && *p++ == '-' &&
		    parse_u64_at(&p, 16, UINT64_MAX, &to) == 0) {
			if (from != run.end || strncmp(p, " ---", 4) == 0)
				sum += end_run(&run, ram_kib * KIB);
			if (strncmp(p, " ---", 4) == 0)
				continue;
			run.end = to;
			run.bytes += to - from;
			run.largest = MAX(run.largest, to - from);
		} else if (strncmp(line, "Pss:", 4) == 0) {
			p = line + 4;
			p += strspn(p, " ");
			run.kib += parse_u64_at(&p, 10, UINT32_MAX, &kib) == 0 ? (double)kib : 0;
		}
	}
	(void)fclose(f);
	return sum + end_run(&run, ram_kib * KIB);
}

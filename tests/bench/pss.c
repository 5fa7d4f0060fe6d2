/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/pss.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* A hexadecimal number at *p, which moves behind it. */
static uint64_t take_hex(char **p)
{
	return strtoull(*p, p, 16);
}

double pss_without_ram_kib(pid_t pid, uint64_t ram_kib)
{
	char path[64], line[512];
	uint64_t bytes = 0;
	double sum = 0;
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/smaps", (int)pid);
	f = fopen(path, "re");
	if (f == NULL)
		return -errno;
	while (fgets(line, sizeof(line), f) != NULL) {
		char *p = line;
		uint64_t from = take_hex(&p);

		if (p != line && *p == '-') { /* "FROM-TO perms ..." opens a mapping */
			p++;
			bytes = take_hex(&p) - from;
		} else if (strncmp(line, "Pss:", 4) == 0 && bytes / KIB < ram_kib) {
			sum += strtod(line + 4, NULL);
		}
	}
	(void)fclose(f);
	return sum;
}

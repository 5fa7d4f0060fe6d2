/* SPDX-License-Identifier: Apache-2.0 */
/* proc.h - numbers in texts, and in files of /proc, for Criterion programs: what is none fails. */
#ifndef TESTS_NATIVE_PROC_H
#define TESTS_NATIVE_PROC_H

#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "base/fd.h"
#include "base/num.h"

/* The number that `at` begins with, after blanks. */
static inline uint64_t number_at(const char *at, unsigned base)
{
	uint64_t v = 0;

	at += strspn(at, " \t");
	cr_assert_eq(parse_u64_at(&at, base, UINT64_MAX, &v), 0, "no number: %.40s", at);
	return v;
}

/* The number behind "NAME:", at the beginning of a line of a file. */
static inline uint64_t number_in(const char *path, const char *name, unsigned base)
{
	char text[8192];
	const char *at = text;
	size_t len = strlen(name);

	cr_assert_geq(fd_read_file(AT_FDCWD, path, text, sizeof(text)), 0, "%s", path);
	while (at != NULL && (strncmp(at, name, len) != 0 || at[len] != ':')) {
		at = strchr(at, '\n');
		at = at == NULL ? NULL : at + 1;
	}
	cr_assert_not_null(at, "%s has no %s", path, name);
	return number_at(at + len + 1, base);
}

static inline uint64_t status_number(pid_t pid, const char *name, unsigned base)
{
	char path[48];

	(void)snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	return number_in(path, name, base);
}

#endif

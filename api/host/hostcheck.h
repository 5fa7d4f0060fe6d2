/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostcheck.h - is this host fit to run untrusted tenants? Reads /proc, /sys and /dev, changes
 * nothing, needs no privilege. What it can't read it reports as unknown, never as fine.
 */
#ifndef API_HOST_HOSTCHECK_H
#define API_HOST_HOSTCHECK_H

enum hostcheck_level {
	HOSTCHECK_OK,
	HOSTCHECK_INFO,
	HOSTCHECK_WARN,
	HOSTCHECK_FAIL, /* do not run untrusted tenants here */
	HOSTCHECK_LEVEL_COUNT
};

struct hostcheck {
	const char *id; /* stable, for programs */
	enum hostcheck_level level;
	char value[160];  /* what was found, printable ASCII */
	const char *want; /* what should be */
	const char *fix;  /* how to get there; "" when level is OK or there is no fix */
};

/* "ok", "I", "W", "F" */
const char *hostcheck_level_name(enum hostcheck_level level);

/* Calls fn for each check. rootfd: a directory that holds proc, sys and dev. */
void hostcheck_run(int rootfd, void (*fn)(const struct hostcheck *c, void *arg), void *arg);

#endif

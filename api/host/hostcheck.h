/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostcheck.h - is this host fit to run untrusted tenants? Reads /proc, /sys, /dev, /boot and the
 * jailer's store, changes nothing, needs no privilege. What it can't read it reports as unknown,
 * never as fine.
 *
 * A check is a function and a line in the table of a hostcheck_*.c file; one that compares a number
 * or a word in a file is a line in hostcheck_settings.c alone.
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
	const char *code; /* stable, for programs */
	enum hostcheck_level level;
	char what[160];	 /* what was found, printable ASCII */
	const char *why; /* what it should be, and why */
	const char *fix; /* how to get there; "" when level is OK or there is no fix */
};

/* "ok", "I", "W", "F" */
const char *hostcheck_level_name(enum hostcheck_level level);

/* Calls fn for each check that means something here. rootfd: a directory that holds proc, sys, dev,
 * boot and var. */
void hostcheck_run(int rootfd, void (*fn)(const struct hostcheck *c, void *arg), void *arg);

#endif

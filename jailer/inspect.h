/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inspect.h - what the kernel says about a process in its jail, as opposed to what we meant to do.
 *
 * Everything is read anew from /proc and the cgroup. Names that the process itself can choose
 * (threads, memfds) are hostile: what isn't plain is replaced. A fact that this kernel, or the
 * rights of the caller, don't show is left out, or 0 where it is a number. Landlock shows nowhere.
 */
#ifndef JAILER_INSPECT_H
#define JAILER_INSPECT_H

#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"
#include "base/err.h"
#include "jailer/cgroup.h"

#define INSPECT_FACTS_MAX   32
#define INSPECT_THREADS_MAX 128
#define INSPECT_FDS_MAX	    320
#define INSPECT_NAME_MAX    32
#define INSPECT_VALUE_MAX   128

struct inspect_fact {
	char name[INSPECT_NAME_MAX];
	char value[INSPECT_VALUE_MAX];
};

struct inspect_facts {
	unsigned count;
	struct inspect_fact list[INSPECT_FACTS_MAX];
};

struct inspect_thread {
	pid_t tid;
	char name[INSPECT_NAME_MAX];
	unsigned seccomp_mode; /* 2 = filter */
	unsigned seccomp_filters;
};

struct inspect_namespace {
	char name[INSPECT_NAME_MAX];
	uint64_t inode;
	uint64_t host_inode; /* of the caller's own */
};

struct inspect_fd {
	int number;
	char kind[INSPECT_NAME_MAX]; /* "file", "socket", "pipe", "memfd", "kvm-vm", "/dev/kvm"...
				      */
	char mode[4];		     /* "r", "w", "rw"; "?" = none of these */
};

struct inspection {
	pid_t pid;
	char label[INSPECT_VALUE_MAX]; /* "" = none */
	struct inspect_facts status;   /* lines of /proc/PID/status */
	struct inspect_facts rlimits;  /* "soft hard unit" */
	struct inspect_facts cgroup;   /* files of its groups */
	unsigned threads_count;
	struct inspect_thread threads[INSPECT_THREADS_MAX];
	unsigned namespaces_count;
	struct inspect_namespace namespaces[INSPECT_FACTS_MAX];
	unsigned fds_count;
	struct inspect_fd fds[INSPECT_FDS_MAX];
};

/* proc: a directory like /proc. The process must not be reaped meanwhile, so that the number stays
 * its own. 0, or -errno when not even its status can be read. */
MUST_USE int inspect_process(int proc, pid_t pid, struct inspection *ret, struct err *err);
/* Adds what the groups' files say. */
void inspect_cgroup(const struct cgroup *c, struct inspection *ret);

/* What a /proc/PID/fd link points to, as a kind. Pure. */
void inspect_kind(const char *link, char ret[INSPECT_NAME_MAX]);
/* The value of a line "NAME:<space>VALUE" of text, blanks squeezed: 0 or -ENOENT. Pure. */
MUST_USE int inspect_line(const char *text, const char *name, char ret[INSPECT_VALUE_MAX]);

#endif

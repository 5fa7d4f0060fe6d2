/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attack.h - one row of the battery: arbitrary code in the place of casemate-vmm tries to reach
 * something outside its jail.
 *
 * A row is a function that returns 0 when the attacker has what he wanted, or a negative errno
 * when something has stopped him. It must check that he really has it (read the secret, not just
 * call open). It runs in a child process of its own with all filters of the VMM on, so it may be
 * killed at any system call, and it needs not clean up. It must leave no trace outside its world
 * when it succeeds without a jail: it then runs as root in namespaces that nobody else uses, with
 * every file system read-only but those of struct scene.
 *
 * README.md tells how to add one.
 */
#ifndef PROBE_ATTACK_H
#define PROBE_ATTACK_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

#define SCENE_TEXT   64
#define SCENE_HANDLE 128
#define CANARY	     "casemate-canary-7f3a" /* what a secret begins with */

/* What there is outside, and where. Plain data: it goes to the probe over its control socket. */
struct scene {
	bool outside;		      /* this is the control run: there is no jail */
	char dir[SCENE_TEXT];	      /* a directory that anybody may write to */
	char secret[SCENE_TEXT];      /* a file of root's, mode 0600 */
	char disk[SCENE_TEXT];	      /* a neighbour's disk, mode 0600 */
	char shm[SCENE_TEXT];	      /* a neighbour's file in /dev/shm */
	char suid_helper[SCENE_TEXT]; /* exits with ATTACK_EXEC_OK when its euid is 0 */
	char socket[SCENE_TEXT];      /* a control socket of the host's */
	char abstract[SCENE_TEXT];    /* an abstract socket, without the leading NUL */
	char giver[SCENE_TEXT];	      /* another; it hands a descriptor of the secret to anybody */
	char nic[16];		      /* a network interface of the host's */
	char cgroup_procs[128];	      /* a cgroup that is not ours */
	unsigned char handle[SCENE_HANDLE]; /* struct file_handle of the secret */
	pid_t victim;			    /* another process, of another uid */
	uint64_t victim_canary;		    /* address of CANARY in its memory */
	int32_t shm_key;		    /* of its System V segment */
	int32_t key;			    /* a key in the session keyring of the jail's maker */
	uint64_t memory_bytes;		    /* what the jail may use */
	uint64_t scratch_bytes;		    /* size of its disk */
	uint32_t low_page;		    /* address below 4 GiB of a copy of `secret` */
};

/* An attack that ends in another program: that program's exit status says that it ran. */
#define ATTACK_EXEC_OK 42

enum attack_flag {
	/* Before Configure the VMM still has to do this; it counts from then on. */
	ATTACK_RUNNING_ONLY = 1U << 0,
	/* Succeeded if something of it is alive after the jail was ended. */
	ATTACK_OUTLIVES = 1U << 1,
	/* Only seccomp and SELinux stand against it: without SELinux it may succeed when seccomp
	 * is off. Harmless alone; README.md says why. */
	ATTACK_NEEDS_X = 1U << 2,
	/* May cost the whole jail its life or leave it unusable: a new one is made afterwards. With
	 * any other row the end of the jail is a failure of the harness. */
	ATTACK_ENDS_JAIL = 1U << 3,
	/* Only a resource limit stands against it: with that one off it may succeed. It is told,
	 * and README.md says what bounds the harm. */
	ATTACK_RESTS_ON_RLIM = 1U << 4,
	/* Does no harm wherever it succeeds, and needs no more of the scene than `secret`, `victim`
	 * and `victim_canary`: `casemate doctor` tries it on hosts in production. */
	ATTACK_ANYWHERE = 1U << 5,
};

struct attack {
	const char *id;
	const char *what;
	int (*run)(const struct scene *s);
	unsigned flags;
};

/* The tables, by file. */
extern const struct attack attacks_file[];
extern const struct attack attacks_code[];
extern const struct attack attacks_peer[];
extern const struct attack attacks_net[];
extern const struct attack attacks_kernel[];
extern const struct attack attacks_resource[];

/* All rows in order; NULL behind the last. table.c */
const struct attack *attack_at(size_t i);
const struct attack *attack_find(const char *id);

/* What a system call said. */
static inline int attack_result(long r)
{
	return r < 0 ? -errno : 0;
}
/* Reads a secret from fd: 0 when CANARY is there, else -errno. table.c */
MUST_USE int attack_reads_canary(int fd);
/* Opens it and reads. */
MUST_USE int attack_opens_canary(int dirfd, const char *path);
/* A socket connected to an abstract name, or -errno. */
MUST_USE int attack_connect_abstract(const char *name);

#endif

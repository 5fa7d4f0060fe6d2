/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "jailer/cgroup.h"
#include "jailer/request.h"

#define RECORD_BYTES 80 /* a name, padded with zeroes */

_Static_assert(RECORD_BYTES > CGROUP_NAME_MAX, "room for a name and its end");

static off_t record_at(unsigned block)
{
	return (off_t)block * RECORD_BYTES;
}

static int open_file(struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	struct stat st;

	if (mkdir("/run/casemate", 0755) == 0) {
		/* Clients of the sockets beside it go through the directory. */
		if (chmod("/run/casemate", 0755) < 0)
			return err_sys(err, -errno, "/run/casemate");
	} else if (errno != EEXIST) {
		return err_sys(err, -errno, "/run/casemate");
	}
	if (lstat("/run/casemate", &st) < 0)
		return err_sys(err, -errno, "/run/casemate");
	if (!S_ISDIR(st.st_mode) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return err_set(err, -EPERM,
			       "/run/casemate must be a directory that only root may write");
	fd = open(IDENTITY_FILE, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, IDENTITY_FILE);
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & (S_IWGRP | S_IWOTH)) != 0)
		return err_set(err, -EPERM,
			       IDENTITY_FILE " must be a file that only root may write");
	return fd_steal(&fd);
}

/* 1 = ours now, 0 = somebody's, or -errno. */
static int lock_block(int fd, unsigned block)
{
	struct flock l = { .l_type = F_WRLCK,
			   .l_whence = SEEK_SET,
			   .l_start = record_at(block),
			   .l_len = RECORD_BYTES };

	if (fcntl(fd, F_OFD_SETLK, &l) == 0)
		return 1;
	return errno == EAGAIN || errno == EACCES ? 0 : -errno;
}

/* What a dead jailer may have left under identities of this block. */
static int sweep_old(const char *old, struct err *err)
{
	const struct cgroup_config cfg = { .parent = old };
	struct cgroup_host h;
	unsigned swept;
	int r = cgroup_host_open(&h, &cfg, err);

	if (r < 0)
		return r;
	r = cgroup_sweep(&h, &swept, err);
	cgroup_host_close(&h);
	return r;
}

static int take_over(int fd, unsigned block, const char *parent, struct err *err)
{
	char record[RECORD_BYTES] = { 0 }, old[RECORD_BYTES] = { 0 };
	ssize_t n = pread(fd, old, sizeof(old), record_at(block));
	int r = 0;

	if (n < 0)
		return err_sys(err, -errno, IDENTITY_FILE);
	old[sizeof(old) - 1] = '\0';
	if (request_name_ok(old) && strcmp(old, parent) != 0)
		r = sweep_old(old, err);
	if (r < 0)
		return r;
	(void)snprintf(record, sizeof(record), "%s", parent);
	n = pwrite(fd, record, sizeof(record), record_at(block));
	if (n != (ssize_t)sizeof(record)) /* errno says nothing about a short write */
		return err_sys(err, n < 0 ? -errno : -EIO, IDENTITY_FILE);
	return 0;
}

int identity_open(struct identity *id, const char *parent, unsigned slots, struct slots *s,
		  struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	unsigned have = 0;

	BUG_ON(strlen(parent) > CGROUP_NAME_MAX);
	slots_init(s);
	fd = open_file(err);
	if (fd < 0)
		return fd;
	for (unsigned b = 0; b < SLOT_BLOCKS && have < slots; b++) {
		int r = lock_block(fd, b);
		if (r < 0)
			return err_sys(err, r, IDENTITY_FILE);
		if (r == 0)
			continue;
		r = take_over(fd, b, parent, err);
		/* The old owner's group has a jailer again, which may not have swept it yet. The
		 * record's lock stays with us, unused: nobody else could take it either. */
		if (r == -EBUSY)
			continue;
		if (r < 0)
			return r;
		slots_add_block(s, b);
		have += SLOT_BLOCK;
	}
	if (have < slots)
		return err_set(err, -EBUSY,
			       "other jailers have all identities but %u; %u are needed (--max)",
			       have, slots);
	id->fd = fd_steal(&fd);
	return 0;
}

void identity_close(struct identity *id)
{
	fd_closep(&id->fd);
}

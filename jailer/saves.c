/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/saves.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"
#include "jailer/saves_internal.h"
#include "jailer/sparse.h"

struct saves_job {
	struct saves_job *next;
	struct saves *saves;
	struct save *save;
	struct loop_timer *timer; /* of the next step */
	struct sparse copy;
	bool put;
	enum { SAVES_MEMORY, SAVES_STATE, SAVES_DISK } part;
	int file, state, memory; /* -1: for a disk alone */
	int disk, scratch;	 /* of put: the disk's file, and what is copied there; -1 */
	saves_fn *fn;
	void *arg;
	uint8_t seal[SNAPSEAL_BYTES];
};

/* What people call it, and where it lies. */
static const char *const nouns[] = {
	[SAVES_PAUSED] = "paused sandbox", [SAVES_SNAPSHOTS] = "snapshot"
};
static const char *const places[] = { [SAVES_PAUSED] = "paused", [SAVES_SNAPSHOTS] = "snapshots" };

static const char *const plurals[] = {
	[SAVES_PAUSED] = "paused sandboxes", [SAVES_SNAPSHOTS] = "snapshots"
};

const char *saves_place(const struct saves *ss)
{
	return places[ss->kind];
}

static const char *noun(const struct saves *ss)
{
	return nouns[ss->kind];
}

void saves_disk_name(const char *id, char ret[SAVES_DISK_NAME])
{
	(void)snprintf(ret, SAVES_DISK_NAME, "%.*s" SAVES_DISK_SUFFIX, (int)REQUEST_NAME_MAX, id);
}

int saves_new(struct loop *l, const struct store *s, enum saves_kind kind, const struct sealkey *k,
	      uint64_t bytes_max, struct saves **ret, struct err *err)
{
	struct saves *ss = calloc(1, sizeof(*ss));
	int r;

	if (ss == NULL)
		return err_sys(err, -ENOMEM, "%s", plurals[kind]);
	ss->loop = l;
	ss->kind = kind;
	ss->bytes_max = bytes_max;
	ss->dir = -1;
	r = kind == SAVES_PAUSED ? store_open_paused(s, &ss->dir, err)
				 : store_open_snapshots(s, &ss->dir, err);
	if (r == 0)
		r = saves_scan(ss, k, err);
	if (r < 0) {
		saves_free(ss);
		return r;
	}
	*ret = ss;
	return 0;
}

uint64_t saves_bytes_max(const struct saves *ss)
{
	return ss->bytes_max;
}

const void *saves_nobody(const struct saves *ss)
{
	return ss;
}

/* ---- Files --------------------------------------------------------------------------------- */

static struct save *find(const struct saves *ss, const char *id)
{
	for (struct save *s = ss->first; s != NULL; s = s->next)
		if (strcmp(s->id, id) == 0)
			return s;
	return NULL;
}

/* Its record; and the file, unless that is for the next jailer. */
static void drop_save(struct saves *ss, struct save *s, bool file)
{
	struct save **at = &ss->first;
	char disk[SAVES_DISK_NAME];

	BUG_ON(s->jobs > 0);
	while (*at != s) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = s->next;
	if (file && s->whole && unlinkat(ss->dir, s->id, 0) < 0 && errno != ENOENT)
		log_error("save.remove", "path=%s/%s error=\"%s\"", places[ss->kind], s->id,
			  strerror(errno));
	saves_disk_name(s->id, disk);
	if (file && s->whole && s->scratch_bytes > 0 && unlinkat(ss->dir, disk, 0) < 0 &&
	    errno != ENOENT)
		log_error("save.remove", "path=%s/%s error=\"%s\"", places[ss->kind], disk,
			  strerror(errno));
	ss->bytes -= s->charged;
	ss->count--;
	free(s);
}

static void remove_save(struct saves *ss, struct save *s)
{
	drop_save(ss, s, true);
}

int saves_discard(struct saves *ss, const void *owner, const char *id)
{
	struct save *s = find(ss, id);

	if (s == NULL || s->owner != owner)
		return 0;
	if (s->jobs > 0)
		return -EBUSY;
	remove_save(ss, s);
	return 0;
}

uint64_t saves_bytes(const struct saves *ss, const void *owner, const char *id)
{
	const struct save *s = find(ss, id);

	return s == NULL || s->owner != owner ? 0 : s->charged;
}

bool saves_owned(const struct saves *ss, const void *owner)
{
	for (const struct save *s = ss->first; s != NULL; s = s->next)
		if (s->owner == owner)
			return true;
	return false;
}

void saves_drop_owner(struct saves *ss, const void *owner)
{
	struct save *next;

	for (struct save *s = ss->first; s != NULL; s = next) {
		next = s->next;
		if (s->owner == owner)
			remove_save(ss, s);
	}
}

void saves_free(struct saves *ss)
{
	if (ss == NULL)
		return;
	while (ss->jobs != NULL)
		saves_cancel(ss->jobs);
	while (ss->first != NULL)
		drop_save(ss, ss->first, ss->kind == SAVES_PAUSED);
	fd_closep(&ss->dir);
	free(ss);
}

/* ---- Jobs ---------------------------------------------------------------------------------- */

void saves_cancel(struct saves_job *j)
{
	struct saves_job **at = &j->saves->jobs;
	struct saves *ss = j->saves;
	struct save *s = j->save;

	while (*at != j) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = j->next;
	ss->jobs_count--;
	loop_timer_del(j->timer);
	fd_closep(&j->file);
	fd_closep(&j->state);
	fd_closep(&j->memory);
	fd_closep(&j->disk);
	fd_closep(&j->scratch);
	free(j);
	s->jobs--;
	if (!s->whole)
		remove_save(ss, s);
}

/* The seal, and the names, its own last: from now on it is a file. */
static int complete(struct saves_job *j)
{
	const struct save *s = j->save;
	const int dir = j->saves->dir;
	char disk[SAVES_DISK_NAME];
	int r = 0;

	if (!j->put)
		return 0;
	if (j->file >= 0)
		r = fd_pwrite_full(j->file, j->seal, sizeof(j->seal),
				   s->memory_bytes + s->state_bytes);
	if (r < 0)
		return r;
	saves_disk_name(s->id, disk);
	if (s->scratch_bytes > 0 && linkat(j->disk, "", dir, disk, AT_EMPTY_PATH) < 0)
		return -errno;
	if (j->file >= 0 && linkat(j->file, "", dir, s->id, AT_EMPTY_PATH) < 0)
		r = -errno;
	if (r < 0 && s->scratch_bytes > 0)
		(void)unlinkat(dir, disk, 0);
	j->save->whole = r == 0;
	return r;
}

static struct sparse disk_copy(const struct saves_job *j)
{
	return (struct sparse){ .from = j->scratch, .to = j->disk, .left = j->save->scratch_bytes };
}

/* Memory first, then the state, then the disk that is kept: 1 = there is more. */
static int step(struct saves_job *j)
{
	const struct save *s = j->save;
	int r = sparse_step(&j->copy);

	if (r != 0 || j->part == SAVES_DISK || (j->part == SAVES_STATE && j->disk < 0))
		return r;
	if (j->part == SAVES_STATE)
		j->copy = disk_copy(j);
	else
		j->copy = j->put ? (struct sparse){ .from = j->state,
						    .to = j->file,
						    .to_at = s->memory_bytes,
						    .left = s->state_bytes }
				 : (struct sparse){ .from = j->file,
						    .to = j->state,
						    .from_at = s->memory_bytes,
						    .left = s->state_bytes };
	j->part = j->part == SAVES_STATE ? SAVES_DISK : SAVES_STATE;
	return 1;
}

static void on_step(void *arg)
{
	struct saves_job *j = arg;
	uint8_t seal[SNAPSEAL_BYTES];
	struct err err = { 0 };
	saves_fn *fn = j->fn;
	int r = step(j);

	j->timer = NULL;
	if (r > 0) {
		r = loop_timer_add(j->saves->loop, 0, on_step, j, &j->timer);
		if (r == 0)
			return;
	}
	if (r == 0)
		r = complete(j);
	if (r < 0)
		(void)err_sys(&err, r, "the store's file of %s %s", noun(j->saves), j->save->id);
	memcpy(seal, j->seal, sizeof(seal));
	arg = j->arg;
	saves_cancel(j);
	fn(arg, r, seal, &err);
}

static int dup_if(int fd)
{
	return fd < 0 ? fd : fd_dup(fd, STDERR_FILENO + 1);
}

/* Takes file over. On failure the record stays the caller's. */
static int begin(struct saves *ss, struct save *s, int file, int state, int memory, bool put,
		 const uint8_t *seal, saves_fn *fn, void *arg, struct saves_job **ret)
{
	struct saves_job *j = calloc(1, sizeof(*j));
	int r;

	if (j == NULL) {
		fd_closep(&file);
		return -ENOMEM;
	}
	*j = (struct saves_job){ .saves = ss,
				 .save = s,
				 .put = put,
				 .file = file,
				 .state = dup_if(state),
				 .memory = dup_if(memory),
				 .disk = -1,
				 .scratch = -1,
				 .fn = fn,
				 .arg = arg };
	memcpy(j->seal, seal, sizeof(j->seal));
	j->copy = (struct sparse){ .from = put ? j->memory : file,
				   .to = put ? file : j->memory,
				   .left = s->memory_bytes };
	r = file < 0 ? 0 : j->state < 0 ? j->state : MIN(j->memory, 0);
	if (r == 0)
		r = loop_timer_add(ss->loop, 0, on_step, j, &j->timer);
	if (r < 0) {
		fd_closep(&j->file);
		fd_closep(&j->state);
		fd_closep(&j->memory);
		free(j);
		return r;
	}
	j->next = ss->jobs;
	ss->jobs = j;
	ss->jobs_count++;
	s->jobs++;
	*ret = j;
	return 0;
}

/* ---- Put ----------------------------------------------------------------------------------- */

/* What the file will take, and whether there is room for it. */
static int check_room(const struct saves *ss, const char *id, const struct request *q,
		      uint64_t *ret_state_bytes, uint64_t *ret_charge, struct err *err)
{
	struct stat memory = { 0 }, state = { 0 }, scratch = { 0 };
	struct statvfs vfs;
	uint64_t need, room;

	if (ss->bytes_max == 0)
		return err_set(err, -EOPNOTSUPP, "this jailer keeps no %s", plurals[ss->kind]);
	if (find(ss, id) != NULL)
		return err_set(err, -EEXIST, "%s %s is there already", noun(ss), id);
	if (ss->jobs_count == SAVES_JOBS_MAX)
		return err_set(err, -EBUSY, "%u %s are being written or read", ss->jobs_count,
			       plurals[ss->kind]);
	if ((q->memory >= 0 && (fstat(q->memory, &memory) < 0 || fstat(q->state, &state) < 0)) ||
	    (q->scratch_bytes > 0 && fstat(q->scratch, &scratch) < 0) ||
	    fstatvfs(ss->dir, &vfs) < 0)
		return err_sys(err, -errno, "%s", plurals[ss->kind]);
	need = ((uint64_t)memory.st_blocks + (uint64_t)scratch.st_blocks) * SAVES_BLOCK_BYTES +
	       (uint64_t)state.st_size + SNAPSEAL_BYTES;
	/* What was taken over may be more than may be now. */
	if (ss->count == SAVES_MAX || ss->bytes > ss->bytes_max || need > ss->bytes_max - ss->bytes)
		return err_set(err, -EDQUOT,
			       "%llu MiB for %s are in use, of %llu; "
			       "this one needs %llu",
			       (unsigned long long)(ss->bytes / MIB), plurals[ss->kind],
			       (unsigned long long)(ss->bytes_max / MIB),
			       (unsigned long long)(need / MIB));
	room = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	if (room < STORE_FREE_MIN || need > room - STORE_FREE_MIN)
		return err_set(err, -ENOSPC,
			       "the store's disk has %llu MiB free: not enough for a %s "
			       "of %llu MiB and leave %llu",
			       (unsigned long long)(room / MIB), noun(ss),
			       (unsigned long long)(need / MIB),
			       (unsigned long long)(STORE_FREE_MIN / MIB));
	*ret_state_bytes = (uint64_t)state.st_size;
	*ret_charge = need;
	return 0;
}

struct save *saves_add(struct saves *ss, const void *owner, const char *id, uint64_t memory_bytes,
		       uint64_t state_bytes, uint64_t charge)
{
	struct save *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return NULL;
	*s = (struct save){ .next = ss->first,
			    .owner = owner,
			    .memory_bytes = memory_bytes,
			    .state_bytes = state_bytes,
			    .charged = charge };
	memcpy(s->id, id, strlen(id) + 1);
	ss->first = s;
	ss->bytes += charge;
	ss->count++;
	return s;
}

/* A file without a name, for so many bytes. */
static int open_unnamed(const struct saves *ss, uint64_t bytes)
{
	CLEANUP(fd_closep)
	int fd = openat(ss->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, (off_t)bytes) < 0)
		return -errno;
	return fd_steal(&fd);
}

/* The job keeps q's scratch disk, too. */
static int add_disk(const struct saves *ss, const struct request *q, struct saves_job *j)
{
	j->disk = open_unnamed(ss, q->scratch_bytes);
	if (j->disk < 0)
		return j->disk;
	j->scratch = dup_if(q->scratch);
	if (j->file < 0) {
		j->part = SAVES_DISK;
		j->copy = disk_copy(j);
	}
	return MIN(j->scratch, 0);
}

int saves_put(struct saves *ss, const void *owner, const char *id, const struct request *q,
	      const uint8_t seal[SNAPSEAL_BYTES], saves_fn *fn, void *arg, struct saves_job **ret,
	      struct err *err)
{
	uint64_t state_bytes = 0, charge = 0;
	const uint64_t memory_bytes = q->memory < 0 ? 0 : q->memory_bytes;
	struct saves_job *j = NULL;
	struct save *s;
	int fd = -1, r = check_room(ss, id, q, &state_bytes, &charge, err);

	BUG_ON(q->memory < 0 && (ss->kind != SAVES_PAUSED || q->scratch_bytes == 0));
	if (r < 0)
		return r;
	if (memory_bytes > 0)
		fd = open_unnamed(ss, memory_bytes + state_bytes + SNAPSEAL_BYTES);
	if (memory_bytes > 0 && fd < 0)
		return err_sys(err, fd, "the store's directory %s", places[ss->kind]);
	s = saves_add(ss, owner, id, memory_bytes, state_bytes, charge);
	if (s == NULL) {
		fd_closep(&fd);
		return err_sys(err, -ENOMEM, "the file of %s %s", noun(ss), id);
	}
	s->scratch_bytes = q->scratch_bytes;
	r = begin(ss, s, fd, q->state, q->memory, true, seal, fn, arg, &j);
	if (r < 0) {
		remove_save(ss, s);
	} else if (s->scratch_bytes > 0) {
		r = add_disk(ss, q, j);
		if (r < 0)
			saves_cancel(j); /* and s with it */
	}
	if (r < 0)
		return err_sys(err, r, "the file of %s %s", noun(ss), id);
	*ret = j;
	return 0;
}

/* ---- Get ----------------------------------------------------------------------------------- */

/* Only memfds: a write to anything else could block, or be somebody's. */
static int check_memfds(const struct save *s, int state, int memory, struct err *err)
{
	struct stat a, b;

	if (fcntl(state, F_GET_SEALS) < 0 || fcntl(memory, F_GET_SEALS) < 0)
		return err_set(err, -EINVAL, "not memfds");
	if (fstat(state, &a) < 0 || fstat(memory, &b) < 0)
		return err_sys(err, -errno, "memfds");
	if (a.st_size != 0 || b.st_size < 0 || (uint64_t)b.st_size != s->memory_bytes)
		return err_set(err, -EINVAL, "the memfds aren't of the sizes that are wanted");
	return ftruncate(state, (off_t)s->state_bytes) < 0 ? err_sys(err, -errno, "memfds") : 0;
}

static int open_file(const struct saves *ss, const struct save *s, int *ret, uint8_t *seal,
		     struct err *err)
{
	CLEANUP(fd_closep)
	int fd = openat(ss->dir, s->id, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	const uint64_t before = s->memory_bytes + s->state_bytes;
	const struct iovec v = { seal, SNAPSEAL_BYTES };
	struct stat st = { 0 };

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, -errno, "the file of %s %s", noun(ss), s->id);
	if (!S_ISREG(st.st_mode) || st.st_uid != 0 || (st.st_mode & 077) != 0 ||
	    (uint64_t)st.st_size != before + SNAPSEAL_BYTES)
		return err_set(err, -EBADMSG,
			       "the file of %s %s isn't as it was written: uid %u, "
			       "mode %04o, %jd bytes instead of %ju",
			       noun(ss), s->id, (unsigned)st.st_uid, (unsigned)(st.st_mode & 07777),
			       (intmax_t)st.st_size, (uintmax_t)(before + SNAPSEAL_BYTES));
	if (preadv(fd, &v, 1, (off_t)before) != (ssize_t)SNAPSEAL_BYTES)
		return err_set(err, -EIO, "the file of %s %s can't be read", noun(ss), s->id);
	*ret = fd_steal(&fd);
	return 0;
}

int saves_get(struct saves *ss, const void *owner, const char *id, int state, int memory,
	      saves_fn *fn, void *arg, struct saves_job **ret, struct err *err)
{
	struct save *s = find(ss, id);
	uint8_t seal[SNAPSEAL_BYTES];
	int fd = -1, r;

	if (s == NULL || s->owner != owner || !s->whole || s->memory_bytes == 0)
		return err_set(err, -ENOENT, "no %s %s", noun(ss), id);
	if (ss->jobs_count == SAVES_JOBS_MAX)
		return err_set(err, -EBUSY, "%u %s are being written or read", ss->jobs_count,
			       plurals[ss->kind]);
	r = check_memfds(s, state, memory, err);
	if (r == 0)
		r = open_file(ss, s, &fd, seal, err);
	if (r < 0)
		return r;
	r = begin(ss, s, fd, state, memory, false, seal, fn, arg, ret);
	return r < 0 ? err_sys(err, r, "%s %s", noun(ss), id) : 0;
}

int saves_open_disk(const struct saves *ss, const void *owner, const char *id, uint64_t bytes,
		    int *ret, struct err *err)
{
	const struct save *s = find(ss, id);
	CLEANUP(fd_closep) int fd = -1;
	char disk[SAVES_DISK_NAME];
	struct stat st = { 0 };
	int r;

	if (s == NULL || s->owner != owner || !s->whole)
		return err_set(err, -ENOENT, "no %s %s", noun(ss), id);
	if (s->scratch_bytes != bytes)
		return err_set(err, -EINVAL, "%s %s has another scratch disk", noun(ss), id);
	saves_disk_name(id, disk);
	r = saves_open_ours(ss->dir, disk, &fd, &st, err);
	if (r < 0)
		return err_wrap(err, "the scratch disk of %s %s", noun(ss), id);
	if ((uint64_t)st.st_size != bytes)
		return err_set(err, -EBADMSG, "the scratch disk of %s %s isn't as it was written",
			       noun(ss), id);
	*ret = fd_steal(&fd);
	return 0;
}

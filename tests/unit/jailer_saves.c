/* SPDX-License-Identifier: Apache-2.0 */
/* Files of paused sandboxes: what comes back, what is refused, and that nothing else is left. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "jailer/saves.h"

#define MEMORY (4 * MIB)
#define STATE  10001U

static char dir[64], store_path[80], paused[96];
static struct store store = { .dir = -1 };
static struct loop *loop;
static struct saves *ss;
static int ended, ended_r;
static uint8_t ended_seal[SNAPSEAL_BYTES];
static const uint8_t seal[SNAPSEAL_BYTES] = { 'S', 'E', 'A', 'L', [SNAPSEAL_BYTES - 1] = 7 };

static void open_saves(uint64_t bytes_max)
{
	struct err err = { 0 };

	cr_assert_eq(saves_new(loop, &store, SAVES_PAUSED, NULL, bytes_max, &ss, &err), 0, "%s",
		     err.msg);
}

static void setup(void)
{
	if (geteuid() != 0)
		cr_skip_test("the files are root's");
	(void)snprintf(dir, sizeof(dir), "/tmp/casemate-saves.XXXXXX");
	cr_assert_not_null(mkdtemp(dir));
	(void)snprintf(store_path, sizeof(store_path), "%s/store", dir);
	(void)snprintf(paused, sizeof(paused), "%s/paused", store_path);
	cr_assert_eq(mkdir(store_path, 0755) + mkdir(paused, 0700), 0);
	store.dir = open(store_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cr_assert_eq(loop_new(&loop), 0);
	open_saves(64 * MIB);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void teardown(void)
{
	saves_free(ss);
	loop_free(loop);
	fd_closep(&store.dir);
	(void)nftw(dir, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}

TestSuite(jailer_saves, .init = setup, .fini = teardown, .timeout = 20);

static int memfd(uint64_t bytes)
{
	int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	cr_assert(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0);
	return fd;
}

/* Not a multiple of a block, and something in the last byte. */
static void fill(struct request *q, const char *id)
{
	uint8_t state[STATE];

	*q = (struct request){ .memory_bytes = MEMORY,
			       .state = memfd(STATE),
			       .memory = memfd(MEMORY) };
	(void)snprintf(q->id, sizeof(q->id), "%s", id);
	for (size_t i = 0; i < sizeof(state); i++)
		state[i] = (uint8_t)(i * 7);
	cr_assert_eq(pwrite(q->state, state, sizeof(state), 0), (ssize_t)sizeof(state));
	cr_assert_eq(pwrite(q->memory, "first", 5, 0), 5);
	cr_assert_eq(pwrite(q->memory, "middle", 6, 1234567), 6);
	cr_assert_eq(pwrite(q->memory, "!", 1, MEMORY - 1), 1);
}

static void done(struct request *q)
{
	fd_closep(&q->state);
	fd_closep(&q->memory);
}

static void on_end(void *arg, int r, const uint8_t *got, const struct err *err)
{
	(void)arg;
	(void)err;
	ended++;
	ended_r = r;
	if (r == 0)
		memcpy(ended_seal, got, sizeof(ended_seal));
}

static int wait_end(int r)
{
	int before = ended;

	while (r == 0 && ended == before)
		cr_assert_geq(loop_step(loop, 1000), 0);
	return r == 0 ? ended_r : r;
}

static int put(const void *owner, const struct request *q)
{
	struct saves_job *j;
	struct err err = { 0 };

	return wait_end(saves_put(ss, owner, q->id, q, seal, on_end, NULL, &j, &err));
}

static int get(const void *owner, const char *id, int state, int memory)
{
	struct saves_job *j;
	struct err err = { 0 };

	return wait_end(saves_get(ss, owner, id, state, memory, on_end, NULL, &j, &err));
}

static int files(void)
{
	DIR *d = opendir(paused);
	struct dirent *e;
	int n = 0;

	cr_assert_not_null(d);
	while ((e = readdir(d)) != NULL)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static const char *path_of(const char *id)
{
	static char path[192];

	(void)snprintf(path, sizeof(path), "%s/%s", paused, id);
	return path;
}

static bool same(int a, int b, size_t len)
{
	void *x = mmap(NULL, len, PROT_READ, MAP_SHARED, a, 0);
	void *y = mmap(NULL, len, PROT_READ, MAP_SHARED, b, 0);
	bool equal;

	cr_assert(x != MAP_FAILED && y != MAP_FAILED);
	equal = memcmp(x, y, len) == 0;
	(void)munmap(x, len);
	(void)munmap(y, len);
	return equal;
}

Test(jailer_saves, comes_back)
{
	int state = memfd(0), memory = memfd(MEMORY);
	struct request q;
	struct stat st;

	fill(&q, "one");
	cr_assert_eq(put(&loop, &q), 0);
	cr_assert_eq(stat(path_of("one"), &st), 0);
	cr_assert_eq(st.st_mode, S_IFREG | 0600);
	cr_assert_eq(st.st_size, MEMORY + STATE + SNAPSEAL_BYTES);
	cr_assert_lt((uint64_t)st.st_blocks * 512, MIB, "not sparse");
	cr_assert_eq(get(&loop, "one", state, memory), 0);
	cr_assert_eq(memcmp(ended_seal, seal, sizeof(seal)), 0);
	cr_assert_eq(fstat(memory, &st), 0); /* before reading makes pages of its holes */
	cr_assert_lt((uint64_t)st.st_blocks * 512, MIB, "not sparse");
	cr_assert(same(state, q.state, STATE));
	cr_assert(same(memory, q.memory, MEMORY));
	/* The file stays until it is discarded. */
	cr_assert_eq(put(&loop, &q), -EEXIST);
	cr_assert_eq(saves_discard(ss, &loop, "one"), 0);
	cr_assert_eq(files(), 0);
	cr_assert_eq(saves_discard(ss, &loop, "one"), 0);
	cr_assert_eq(put(&loop, &q), 0);
	done(&q);
	close(state);
	close(memory);
}

Test(jailer_saves, is_its_owners)
{
	int state = memfd(0), memory = memfd(MEMORY);
	struct request q;

	fill(&q, "one");
	cr_assert_eq(put(&loop, &q), 0);
	cr_assert_eq(get(&ss, "one", state, memory), -ENOENT);
	cr_assert_eq(saves_discard(ss, &ss, "one"), 0);
	saves_drop_owner(ss, &ss);
	cr_assert_eq(files(), 1);
	cr_assert_eq(get(&loop, "one", state, memory), 0);
	saves_drop_owner(ss, &loop);
	cr_assert_eq(files(), 0);
	done(&q);
	close(state);
	close(memory);
}

Test(jailer_saves, what_it_writes_to)
{
	int state = memfd(0), memory = memfd(MEMORY), other = memfd(MEMORY / 2), pipes[2];
	struct request q;

	fill(&q, "one");
	cr_assert_eq(put(&loop, &q), 0);
	cr_assert_eq(pipe2(pipes, O_CLOEXEC), 0);
	cr_assert_eq(get(&loop, "one", pipes[1], memory), -EINVAL, "it could block");
	cr_assert_eq(get(&loop, "one", state, pipes[1]), -EINVAL);
	cr_assert_eq(get(&loop, "one", state, other), -EINVAL, "too small");
	cr_assert_eq(get(&loop, "one", memory, memory), -EINVAL, "not empty");
	cr_assert_eq(fcntl(memory, F_ADD_SEALS, F_SEAL_WRITE), 0);
	cr_assert_eq(get(&loop, "one", state, memory), -EPERM, "can't be written");
	done(&q);
}

Test(jailer_saves, truncated_or_replaced)
{
	int state = memfd(0), memory = memfd(MEMORY);
	struct request q;
	struct stat st;

	fill(&q, "one");
	cr_assert_eq(put(&loop, &q), 0);
	cr_assert_eq(stat(path_of("one"), &st), 0);
	cr_assert_eq(chmod(path_of("one"), 0640), 0);
	cr_assert_eq(get(&loop, "one", state, memory), -EBADMSG);
	cr_assert_eq(chmod(path_of("one"), 0600), 0);
	close(state);
	state = memfd(0);
	cr_assert_eq(truncate(path_of("one"), st.st_size - 1), 0);
	cr_assert_eq(get(&loop, "one", state, memory), -EBADMSG);
	cr_assert_eq(unlink(path_of("one")) + symlink("/etc/passwd", path_of("one")), 0);
	close(state);
	state = memfd(0);
	cr_assert_eq(get(&loop, "one", state, memory), -ELOOP);
	cr_assert_eq(saves_discard(ss, &loop, "one"), 0);
	cr_assert_eq(files(), 0);
	done(&q);
}

/* Whatever ends in the middle leaves no file, and nothing that counts. */
Test(jailer_saves, cancelled)
{
	struct err err = { 0 };
	struct saves_job *j;
	struct request q;

	fill(&q, "one");
	for (unsigned steps = 0; steps < 2; steps++) {
		cr_assert_eq(saves_put(ss, &loop, q.id, &q, seal, on_end, NULL, &j, &err), 0);
		for (unsigned i = 0; i < steps; i++)
			cr_assert_geq(loop_step(loop, 1000), 0);
		cr_assert_eq(saves_discard(ss, &loop, "one"), -EBUSY);
		cr_assert_eq(ended, 0);
		saves_cancel(j);
		cr_assert_eq(files(), 0);
	}
	cr_assert_eq(put(&loop, &q), 0);
	cr_assert_eq(files(), 1);
	done(&q);
}

static uint64_t free_bytes(void)
{
	struct statvfs v;

	cr_assert_eq(statvfs(paused, &v), 0);
	return (uint64_t)v.f_bavail * v.f_frsize;
}

/* Of a small disk of its own, over the directory. */
static void mount_small(uint64_t bytes)
{
	char size[48];

	(void)snprintf(size, sizeof(size), "size=%llu,mode=0700", (unsigned long long)bytes);
	if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount("tmpfs", paused, "tmpfs", 0, size) < 0)
		cr_skip_test("can't mount: %s", strerror(errno));
	saves_free(ss);
	close(store.dir); /* in the mount namespace before */
	store.dir = open(store_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	open_saves(64 * MIB);
}

/* There was room when it began, and somebody else has taken it. */
Test(jailer_saves, full_in_the_middle)
{
	static uint8_t data[2 * MIB];
	struct err err = { 0 };
	struct saves_job *j;
	struct request q;
	uint64_t before;
	int other;

	mount_small(STORE_FREE_MIN + 8 * MIB);
	fill(&q, "one");
	memset(data, 1, sizeof(data));
	cr_assert_eq(pwrite(q.memory, data, sizeof(data), MIB), (ssize_t)sizeof(data));
	before = free_bytes();
	for (unsigned steps = 0; steps < 10; steps++) {
		cr_assert_eq(saves_put(ss, &loop, q.id, &q, seal, on_end, NULL, &j, &err), 0);
		for (unsigned i = 0; i < steps; i++)
			cr_assert_geq(loop_step(loop, 1000), 0);
		other = open(path_of("other"), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
		cr_assert_eq(fallocate(other, 0, 0, (off_t)free_bytes()), 0);
		cr_assert_eq(wait_end(0), -ENOSPC, "after %u steps: %d", steps, ended_r);
		cr_assert_eq(unlink(path_of("other")), 0);
		close(other);
		cr_assert_eq(files(), 0);
		cr_assert_eq(free_bytes(), before, "after %u steps", steps);
	}
	cr_assert_eq(put(&loop, &q), 0);
	cr_assert_lt(free_bytes(), before);
	saves_free(ss);
	ss = NULL;
	cr_assert_eq(umount(paused), 0);
	done(&q);
}

Test(jailer_saves, bounded)
{
	struct saves_job *jobs[SAVES_JOBS_MAX + 1];
	struct err err = { 0 };
	struct request q, r;

	fill(&q, "one");
	fill(&r, "two");
	saves_free(ss);
	open_saves(100 * KIB); /* each takes three pages and its state */
	for (unsigned i = 0; i < 3; i++) {
		cr_assert_eq(put(&loop, &q), 0);
		(void)snprintf(q.id, sizeof(q.id), "more-%u", i);
	}
	cr_assert_eq(put(&loop, &r), 0);
	cr_assert_eq(put(&loop, &q), -EDQUOT);
	cr_assert_eq(saves_discard(ss, &loop, "two"), 0);
	cr_assert_eq(put(&loop, &q), 0);
	cr_assert_eq(put(&loop, &r), -EDQUOT);
	saves_free(ss);
	open_saves(0);
	cr_assert_eq(put(&loop, &q), -EOPNOTSUPP);
	saves_free(ss);
	open_saves(MIB);
	for (unsigned i = 0; i <= SAVES_JOBS_MAX; i++) {
		(void)snprintf(q.id, sizeof(q.id), "at-once-%u", i);
		cr_assert_eq(saves_put(ss, &loop, q.id, &q, seal, on_end, NULL, &jobs[i], &err),
			     i < SAVES_JOBS_MAX ? 0 : -EBUSY);
	}
	done(&q);
	done(&r);
}

/* What an earlier jailer has left is removed; a store that others may write is refused. */
Test(jailer_saves, start)
{
	struct err err = { 0 };
	struct saves *other;
	int fd = open(path_of("old"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	cr_assert_geq(fd, 0);
	close(fd);
	saves_free(ss);
	open_saves(MIB);
	cr_assert_eq(files(), 0);
	cr_assert_eq(chmod(paused, 0777), 0);
	cr_assert_eq(saves_new(loop, &store, SAVES_PAUSED, NULL, MIB, &other, &err), -EPERM);
}

/* ---- Snapshots ----------------------------------------------------------------------------- */

static const uint8_t key_bytes[SNAPSEAL_KEY_BYTES] = { 1, 2, 3 };
static const struct sealkey key = { .bytes = key_bytes };

/* The next jailer's. */
static struct saves *open_snapshots(const struct sealkey *k)
{
	struct saves *snapshots = NULL;
	struct err err = { 0 };

	cr_assert_eq(saves_new(loop, &store, SAVES_SNAPSHOTS, k, 64 * MIB, &snapshots, &err), 0,
		     "%s", err.msg);
	return snapshots;
}

static int put_snapshot(struct saves *snapshots, const struct request *q, const char *name)
{
	struct snapseal seal_of = { .memory_bytes = MEMORY, .state_bytes = STATE };
	uint8_t bytes[SNAPSEAL_BYTES];
	struct err err = { 0 };
	struct saves_job *j;

	snapseal_make(&seal_of, key_bytes, bytes);
	return wait_end(saves_put(snapshots, saves_nobody(snapshots), name, q, bytes, on_end, NULL,
				  &j, &err));
}

static int get_snapshot(struct saves *snapshots, const char *name)
{
	int state = memfd(0), memory = memfd(MEMORY), r;
	struct err err = { 0 };
	struct saves_job *j;
	char text[6] = "";

	r = wait_end(saves_get(snapshots, saves_nobody(snapshots), name, state, memory, on_end,
			       NULL, &j, &err));
	if (r == 0) {
		cr_assert_eq(pread(memory, text, 6, 1234567), 6);
		cr_assert_eq(memcmp(text, "middle", 6), 0);
	}
	close(state);
	close(memory);
	return r;
}

/* It outlives the jailer that wrote it, for one with the same key, until it is discarded. */
Test(jailer_saves, snapshots_stay)
{
	static const uint8_t other_bytes[SNAPSEAL_KEY_BYTES] = { 9 };
	static const struct sealkey other = { .bytes = other_bytes };
	char dir_path[128], path[192];
	struct saves *snapshots;
	struct request q;

	(void)snprintf(dir_path, sizeof(dir_path), "%s/snapshots", store_path);
	cr_assert_eq(mkdir(dir_path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/torn", dir_path);
	snapshots = open_snapshots(&key);
	fill(&q, "jail");
	cr_assert_eq(put_snapshot(snapshots, &q, "snap"), 0);
	cr_assert_eq(put_snapshot(snapshots, &q, "snap"), -EEXIST);
	cr_assert_eq(put_snapshot(snapshots, &q, "torn"), 0);
	saves_free(snapshots);
	cr_assert_eq(truncate(path, MEMORY), 0);

	snapshots = open_snapshots(&key);
	cr_assert_eq(get_snapshot(snapshots, "snap"), 0);
	cr_assert_eq(get_snapshot(snapshots, "torn"), -ENOENT);
	saves_free(snapshots);
	snapshots = open_snapshots(&other);
	cr_assert_eq(get_snapshot(snapshots, "snap"), -ENOENT);
	saves_free(snapshots);
	cr_assert_eq(access(path, F_OK), 0, "what isn't known is left alone");

	snapshots = open_snapshots(&key);
	cr_assert_eq(saves_discard(snapshots, saves_nobody(snapshots), "snap"), 0);
	saves_free(snapshots);
	snapshots = open_snapshots(&key);
	cr_assert_eq(get_snapshot(snapshots, "snap"), -ENOENT);
	saves_free(snapshots);
	done(&q);
}

/* ---- Scratch disks ------------------------------------------------------------------------- */

#define DISK (UINT64_C(1) << 30)

static void disk_path(char ret[160], const char *dir_name, const char *id)
{
	(void)snprintf(ret, 160, "%s/%s/%s.disk", store_path, dir_name, id);
}

/* Beside the file, sparse, and gone with it. */
Test(jailer_saves, a_scratch_disk)
{
	struct err err = { 0 };
	struct request q;
	struct stat st;
	char path[160], text[6] = "";
	int fd = -1;

	fill(&q, "disky");
	q.scratch_bytes = DISK;
	q.scratch = memfd(DISK);
	cr_assert_eq(pwrite(q.scratch, "begin", 5, 0), 5);
	cr_assert_eq(pwrite(q.scratch, "end!!", 5, DISK - 5), 5);
	cr_assert_eq(put(&loop, &q), 0);
	disk_path(path, "paused", "disky");
	cr_assert_eq(stat(path, &st), 0);
	cr_assert(st.st_size == (off_t)DISK && st.st_mode == (S_IFREG | 0600));
	cr_assert_lt((uint64_t)st.st_blocks * 512, MIB);
	cr_assert_gt(saves_bytes(ss, &loop, "disky"), STATE);
	cr_assert_eq(saves_open_disk(ss, &fd, "disky", DISK, &fd, &err), -ENOENT, "another's");
	cr_assert_eq(saves_open_disk(ss, &loop, "disky", DISK / 2, &fd, &err), -EINVAL);
	cr_assert_eq(saves_open_disk(ss, &loop, "disky", DISK, &fd, &err), 0, "%s", err.msg);
	cr_assert_eq(pread(fd, text, 5, DISK - 5), 5);
	cr_assert_str_eq(text, "end!!");
	close(fd);
	cr_assert_eq(truncate(path, 5), 0);
	cr_assert_eq(saves_open_disk(ss, &loop, "disky", DISK, &fd, &err), -EBADMSG);
	cr_assert_eq(saves_discard(ss, &loop, "disky"), 0);
	cr_assert_lt(access(path, F_OK), 0);
	close(q.scratch);
	done(&q);
}

/* Without a memory there is a disk and nothing else, which counts, and isn't taken for more. */
Test(jailer_saves, a_disk_alone)
{
	int state = memfd(0), memory = memfd(MEMORY), fd = -1;
	struct request q = { .memory_bytes = MEMORY,
			     .scratch_bytes = DISK,
			     .state = -1,
			     .memory = -1,
			     .scratch = memfd(DISK) };
	struct err err = { 0 };
	char end[6] = "", path[160];

	(void)snprintf(q.id, sizeof(q.id), "alone");
	cr_assert_eq(pwrite(q.scratch, "end!!", 5, DISK - 5), 5);
	cr_assert_eq(put(&loop, &q), 0);
	cr_assert_eq(put(&loop, &q), -EEXIST);
	cr_assert_eq(files(), 1);
	disk_path(path, "paused", "alone");
	cr_assert_eq(access(path, F_OK), 0);
	cr_assert_geq(saves_bytes(ss, &loop, "alone"), 4096U);
	cr_assert_eq(get(&loop, "alone", state, memory), -ENOENT);
	cr_assert_eq(saves_open_disk(ss, &fd, "alone", DISK, &fd, &err), -ENOENT, "another's");
	cr_assert_eq(saves_open_disk(ss, &loop, "alone", DISK, &fd, &err), 0, "%s", err.msg);
	cr_assert_eq(pread(fd, end, 5, DISK - 5), 5);
	cr_assert_str_eq(end, "end!!");
	close(fd);
	cr_assert_eq(saves_discard(ss, &loop, "alone"), 0);
	cr_assert_eq(files(), 0);
	/* A jailer that starts removes it, as all that was paused. */
	cr_assert_eq(put(&loop, &q), 0);
	saves_free(ss);
	cr_assert_eq(files(), 0);
	open_saves(4096);
	cr_assert_eq(pwrite(q.scratch, "more", 4, 0), 4);
	cr_assert_eq(put(&loop, &q), -EDQUOT);
	cr_assert_eq(files(), 0);
	close(q.scratch);
	close(state);
	close(memory);
}

/* One without its file was never whole; one whose file is there stays. */
Test(jailer_saves, disks_of_snapshots)
{
	char dir_path[128], path[160], alone[160];
	struct snapseal of = { .memory_bytes = MEMORY,
			       .state_bytes = STATE,
			       .scratch_bytes = DISK };
	uint8_t bytes[SNAPSEAL_BYTES];
	struct saves *snapshots;
	struct err err = { 0 };
	struct saves_job *j;
	struct request q;
	int fd;

	(void)snprintf(dir_path, sizeof(dir_path), "%s/snapshots", store_path);
	cr_assert_eq(mkdir(dir_path, 0700), 0);
	fill(&q, "jail");
	q.scratch_bytes = DISK;
	q.scratch = memfd(DISK);
	snapseal_make(&of, key_bytes, bytes);
	snapshots = open_snapshots(&key);
	cr_assert_eq(wait_end(saves_put(snapshots, saves_nobody(snapshots), "snap", &q, bytes,
					on_end, NULL, &j, &err)),
		     0);
	saves_free(snapshots);
	disk_path(alone, "snapshots", "alone");
	fd = open(alone, O_CREAT | O_RDWR | O_CLOEXEC, 0600);
	cr_assert_geq(fd, 0);
	close(fd);
	snapshots = open_snapshots(&key);
	cr_assert_lt(access(alone, F_OK), 0);
	cr_assert_eq(saves_open_disk(snapshots, saves_nobody(snapshots), "snap", DISK, &fd, &err),
		     0, "%s", err.msg);
	close(fd);
	saves_free(snapshots);
	disk_path(path, "snapshots", "snap");
	cr_assert_eq(unlink(path), 0);
	snapshots = open_snapshots(&key);
	cr_assert_eq(get_snapshot(snapshots, "snap"), -ENOENT, "its disk is gone");
	saves_free(snapshots);
	close(q.scratch);
	done(&q);
}

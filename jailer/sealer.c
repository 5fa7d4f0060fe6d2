/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/sealer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"
#include "jailer/memdigest.h"

#define KNOWN_MAX 32U

/* A sealed memfd whose digest is known. An inode's number may come again, but not with this
 * time of its last change, to the nanosecond: no descriptor needs to be kept open. */
struct known {
	dev_t dev;
	ino_t ino;
	struct timespec changed;
	uint64_t bytes; /* 0 = free */
	uint8_t digest[SNAPSEAL_DIGEST_BYTES];
};

struct sealer_job {
	struct memdigest digest; /* first: it is aligned to a cache line */
	struct sealer_job *next;
	struct sealer *sealer;
	struct loop_timer *timer; /* of the next step */
	sealer_fn *fn;
	void *arg;
	struct snapseal seal; /* what is to be sealed, or what the memory must be */
	int memory;
	bool check;
};

struct sealer {
	struct loop *loop;
	const struct sealkey *key;
	struct sealer_job *first;
	unsigned count;
	struct known known[KNOWN_MAX];
	unsigned next_known;
};

int sealer_new(struct loop *l, const struct sealkey *k, struct sealer **ret)
{
	struct sealer *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->loop = l;
	s->key = k;
	*ret = s;
	return 0;
}

void sealer_cancel(struct sealer_job *j)
{
	struct sealer_job **at = &j->sealer->first;

	while (*at != j) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = j->next;
	j->sealer->count--;
	loop_timer_del(j->timer);
	fd_closep(&j->memory);
	free(j);
}

void sealer_free(struct sealer *s)
{
	if (s == NULL)
		return;
	while (s->first != NULL)
		sealer_cancel(s->first);
	free(s);
}

/* ---- Digests that are known --------------------------------------------------------------- */

static bool same_file(const struct known *k, const struct stat *st)
{
	return k->bytes != 0 && k->dev == st->st_dev && k->ino == st->st_ino &&
	       k->bytes == (uint64_t)st->st_size && k->changed.tv_sec == st->st_ctim.tv_sec &&
	       k->changed.tv_nsec == st->st_ctim.tv_nsec;
}

static bool recall(const struct sealer *s, int fd, uint8_t ret[SNAPSEAL_DIGEST_BYTES])
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return false;
	for (unsigned i = 0; i < KNOWN_MAX; i++) {
		if (!same_file(&s->known[i], &st))
			continue;
		memcpy(ret, s->known[i].digest, SNAPSEAL_DIGEST_BYTES);
		return true;
	}
	return false;
}

static void remember(struct sealer *s, int fd, const uint8_t digest[SNAPSEAL_DIGEST_BYTES])
{
	struct known *k = &s->known[s->next_known++ % KNOWN_MAX];
	struct stat st;

	if (fstat(fd, &st) < 0)
		return;
	*k = (struct known){ .dev = st.st_dev,
			     .ino = st.st_ino,
			     .changed = st.st_ctim,
			     .bytes = (uint64_t)st.st_size };
	memcpy(k->digest, digest, sizeof(k->digest));
}

/* ---- Jobs ---------------------------------------------------------------------------------- */

static void finish(struct sealer *s, struct snapseal *seal, bool check,
		   const uint8_t digest[SNAPSEAL_DIGEST_BYTES], sealer_fn *fn, void *arg)
{
	uint8_t bytes[SNAPSEAL_BYTES];
	struct err err = { 0 };

	if (check) {
		if (memcmp(seal->memory, digest, sizeof(seal->memory)) != 0)
			(void)err_set(&err, -EKEYREJECTED,
				      "the snapshot's memory isn't what was sealed");
		fn(arg, err.code, NULL, &err);
		return;
	}
	memcpy(seal->memory, digest, sizeof(seal->memory));
	snapseal_make(seal, s->key->bytes, bytes);
	fn(arg, 0, bytes, &err);
}

static void on_step(void *arg)
{
	struct sealer_job *j = arg;
	struct sealer *s = j->sealer;
	uint8_t digest[SNAPSEAL_DIGEST_BYTES];
	struct snapseal seal = j->seal;
	bool check = j->check;
	sealer_fn *fn = j->fn;
	struct err err = { 0 };
	int r;

	j->timer = NULL;
	r = memdigest_step(&j->digest);
	if (r > 0) {
		r = loop_timer_add(s->loop, 0, on_step, j, &j->timer);
		if (r == 0)
			return;
	}
	if (r == 0) {
		memdigest_end(&j->digest, digest);
		remember(s, j->memory, digest);
	}
	arg = j->arg;
	sealer_cancel(j);
	if (r == 0) {
		finish(s, &seal, check, digest, fn, arg);
		return;
	}
	(void)err_sys(&err, r, "the snapshot's memory");
	fn(arg, r, NULL, &err);
}

/* The digest of q's memory, then fn. */
static int begin(struct sealer *s, const struct request *q, struct snapseal *seal, bool check,
		 sealer_fn *fn, void *arg, struct sealer_job **ret, struct err *err)
{
	uint8_t digest[SNAPSEAL_DIGEST_BYTES];
	struct sealer_job *j;
	int r;

	*ret = NULL;
	if (recall(s, q->memory, digest)) {
		finish(s, seal, check, digest, fn, arg);
		return 0;
	}
	if (s->count == SEALER_JOBS_MAX)
		return err_set(err, -EBUSY, "%u snapshots are being sealed or checked", s->count);
	/* Not calloc: libsodium's state wants to lie at a multiple of 64. */
	j = aligned_alloc(_Alignof(struct sealer_job), sizeof(*j));
	if (j == NULL)
		return err_sys(err, -ENOMEM, "the snapshot's seal");
	*j = (struct sealer_job){
		.next = s->first, .sealer = s, .seal = *seal, .check = check, .fn = fn, .arg = arg
	};
	s->first = j;
	s->count++;
	j->memory = fd_dup(q->memory, STDERR_FILENO + 1);
	r = j->memory < 0 ? j->memory : loop_timer_add(s->loop, 0, on_step, j, &j->timer);
	if (r < 0) {
		sealer_cancel(j);
		return err_sys(err, r, "the snapshot's seal");
	}
	memdigest_begin(&j->digest, j->memory, q->memory_bytes);
	*ret = j;
	return 0;
}

static int digest_state(int fd, uint64_t *ret_bytes, uint8_t ret[SNAPSEAL_DIGEST_BYTES],
			struct err *err)
{
	static uint8_t bytes[REQUEST_STATE_MAX]; /* one thread */
	struct stat st;
	size_t len;
	int r;

	if (fstat(fd, &st) < 0)
		return err_sys(err, -errno, "the snapshot's state");
	BUG_ON(st.st_size <= 0 || st.st_size > (off_t)sizeof(bytes)); /* request_check_snapshot */
	len = (size_t)st.st_size;
	r = fd_pread_full(fd, bytes, len, 0);
	if (r < 0)
		return err_sys(err, r, "the snapshot's state");
	snapseal_digest(bytes, len, ret);
	explicit_bzero(bytes, len); /* a tenant's */
	*ret_bytes = len;
	return 0;
}

int sealer_seal(struct sealer *s, const struct request *q, sealer_fn *fn, void *arg,
		struct sealer_job **ret, struct err *err)
{
	struct snapseal seal;
	int r;

	snapseal_describe(&seal, q);
	r = digest_state(q->state, &seal.state_bytes, seal.state, err);
	return r < 0 ? r : begin(s, q, &seal, false, fn, arg, ret, err);
}

int sealer_check(struct sealer *s, const struct request *q, const void *seal, size_t len,
		 sealer_fn *fn, void *arg, struct sealer_job **ret, struct err *err)
{
	uint8_t state[SNAPSEAL_DIGEST_BYTES];
	struct snapseal is;
	uint64_t bytes = 0;
	int r = snapseal_open(seal, len, s->key->bytes, &is, err);

	if (r == 0)
		r = snapseal_check(&is, q, err);
	if (r == 0)
		r = digest_state(q->state, &bytes, state, err);
	if (r < 0)
		return r;
	if (bytes != is.state_bytes || memcmp(state, is.state, sizeof(state)) != 0)
		return err_set(err, -EKEYREJECTED, "the snapshot's state isn't what was sealed");
	return begin(s, q, &is, true, fn, arg, ret, err);
}

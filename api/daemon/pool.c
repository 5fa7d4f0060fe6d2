/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "api/daemon/memory.h"
#include "api/daemon/sandbox_internal.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

#define TICK_MS	      2U /* after a change, so that a claim is served before the filling */
#define RETRY_MS      10000U
#define NS_PER_MS     UINT64_C(1000000)
#define SPARES_MAKING 2U /* at a time */
#define POOL_SEALS    (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

struct shape {
	struct spec spec; /* only what makes a shape; owns nothing */
	struct pool_template template;
	bool casting;
	enum { UNSCOUTED, SCOUTING, SCOUTED } scouted; /* the template that there is */
	uint64_t not_before_ns;			       /* after a failure */
	uint64_t wanted_ns;
};

struct pool {
	struct sandboxes *table;
	unsigned depth;
	struct shape shapes[POOL_SHAPES_MAX];
	unsigned count;
	struct loop_timer *tick;
	uint64_t tick_ns; /* when */
};

int pool_new(struct sandboxes *t, unsigned depth, struct pool **ret)
{
	struct pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return -ENOMEM;
	p->table = t;
	p->depth = depth;
	*ret = p;
	return 0;
}

static void close_files(struct pool_template *t)
{
	fd_closep(&t->fds[0]);
	fd_closep(&t->fds[1]);
}

void pool_free(struct pool *p)
{
	if (p == NULL)
		return;
	loop_timer_del(p->tick);
	for (unsigned i = 0; i < p->count; i++)
		close_files(&p->shapes[i].template);
	free(p);
}

static bool can_be_pooled(const struct spec *s)
{
	return s->scratch_bytes == 0 && s->cpu == NULL && s->huge_pages == SPEC_PAGES_NONE &&
	       s->cpuset_cpus[0] == '\0' && s->cpuset_mems[0] == '\0';
}

static bool same_shape(const struct spec *a, const struct spec *b)
{
	return a->vcpus == b->vcpus && a->memory_bytes == b->memory_bytes && a->root == b->root &&
	       a->nic == b->nic && strcmp(a->kernel, b->kernel) == 0 &&
	       strcmp(a->image, b->image) == 0 && strcmp(a->digest, b->digest) == 0 &&
	       can_be_pooled(a) && can_be_pooled(b);
}

static struct shape *find(struct pool *p, const struct spec *spec)
{
	for (unsigned i = 0; i < p->count; i++)
		if (same_shape(&p->shapes[i].spec, spec))
			return &p->shapes[i];
	return NULL;
}

/* How many spares of this shape there are in this state. The newest come first, and spares are
 * among them: the walk ends at the last of those that there are of all shapes. */
static unsigned count_spares(const struct pool *p, const struct spec *spec,
			     enum sandbox_state state)
{
	unsigned left = p->table->count[SANDBOX_KIND_SPARE][state], n = 0;

	for (const struct sandbox *s = p->table->first; s != NULL && left > 0; s = s->next) {
		if (s->kind != SANDBOX_KIND_SPARE || s->state != state)
			continue;
		n += same_shape(&s->spec, spec);
		left--;
	}
	return n;
}

/* ---- When to look ------------------------------------------------------------------------- */

static void on_tick(void *arg);

/* The sooner one counts. */
static void poke_in(struct pool *p, uint64_t ms)
{
	uint64_t due_ns = now_ns() + ms * NS_PER_MS;

	if (p->tick != NULL && p->tick_ns <= due_ns)
		return;
	loop_timer_del(p->tick);
	p->tick = NULL;
	p->tick_ns = due_ns;
	if (loop_timer_add(p->table->cfg.loop, ms, on_tick, p, &p->tick) < 0)
		log_warn("pool.fill", "error=\"no memory for a timer\"");
}

/* Something of this shape has failed. */
static void not_before(struct pool *p, struct shape *sh)
{
	sh->not_before_ns = now_ns() + RETRY_MS * NS_PER_MS;
	poke_in(p, RETRY_MS);
}

/* ---- Making ------------------------------------------------------------------------------ */

/* A shape's spec as one of its own: nothing in it is owned. */
static struct spec shape_of(const struct spec *spec)
{
	struct spec s = { .vcpus = spec->vcpus,
			  .memory_bytes = spec->memory_bytes,
			  .root = spec->root,
			  .nic = spec->nic };

	memcpy(s.kernel, spec->kernel, sizeof(s.kernel));
	memcpy(s.image, spec->image, sizeof(s.image));
	memcpy(s.digest, spec->digest, sizeof(s.digest));
	return s;
}

static bool make(struct pool *p, struct shape *sh, enum sandbox_kind kind)
{
	struct spec spec = shape_of(&sh->spec);
	struct sandbox *s;
	struct err err;

	if (sandbox_create_kind(p->table, &spec, kind, &s, &err) == 0)
		return true;
	log_warn("pool.fill", "error=\"%s\"", err.msg);
	not_before(p, sh);
	return false;
}

/* One thing at a time; true when there may be more. */
static bool fill(struct pool *p, struct shape *sh)
{
	const struct sandboxes *t = p->table;

	if (sh->template.fds[0] < 0) {
		if (!sh->casting && t->count[SANDBOX_KIND_MOULD][SANDBOX_CREATING] == 0)
			sh->casting = make(p, sh, SANDBOX_KIND_MOULD);
		return false;
	}
	if (sh->scouted != SCOUTED) {
		if (sh->scouted == UNSCOUTED && make(p, sh, SANDBOX_KIND_SCOUT))
			sh->scouted = SCOUTING;
		return false;
	}
	return t->count[SANDBOX_KIND_SPARE][SANDBOX_CREATING] < SPARES_MAKING &&
	       count_spares(p, &sh->spec, SANDBOX_SPARE) +
			       count_spares(p, &sh->spec, SANDBOX_CREATING) <
		       p->depth &&
	       make(p, sh, SANDBOX_KIND_SPARE);
}

static void on_tick(void *arg)
{
	struct pool *p = arg;
	struct err err;

	p->tick = NULL;
	if (p->table->stopping)
		return;
	/* Tenants first: when they have what they want, their change of state comes back here. */
	if (p->table->count[SANDBOX_KIND_TENANT][SANDBOX_CREATING] > 0)
		return;
	/* A spare takes little until it runs: as long as the host isn't short already. */
	if (memory_check(&p->table->memory, 0, &err) < 0) {
		poke_in(p, RETRY_MS);
		return;
	}
	for (unsigned i = 0; i < p->count; i++) {
		uint64_t now = now_ns(), then = p->shapes[i].not_before_ns;
		if (then > now) /* there may have been a sooner one */
			poke_in(p, (then - now) / NS_PER_MS + 1);
		else
			while (fill(p, &p->shapes[i]))
				;
	}
}

void pool_poke(struct pool *p)
{
	poke_in(p, TICK_MS);
}

/* ---- Templates --------------------------------------------------------------------------- */

/* Empty, of `bytes`. */
static int make_file(const char *name, uint64_t bytes, int *ret_fd)
{
	const unsigned flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	CLEANUP(fd_closep) int fd = memfd_create(name, flags | MFD_NOEXEC_SEAL);

	if (fd < 0 && errno == EINVAL) /* Linux before 6.3 */
		fd = memfd_create(name, flags);
	if (fd < 0 || (bytes > 0 && ftruncate(fd, (off_t)bytes) < 0))
		return -errno;
	*ret_fd = fd_steal(&fd);
	return 0;
}

int pool_memory_file(const struct spec *spec, int *ret_fd)
{
	return make_file("casemate-memory", spec->memory_bytes, ret_fd);
}

int pool_files(const struct spec *spec, int ret_fds[2])
{
	int r;

	ret_fds[0] = ret_fds[1] = -1;
	r = make_file("casemate-state", 0, &ret_fds[0]);
	if (r == 0)
		r = pool_memory_file(spec, &ret_fds[1]);
	if (r < 0)
		fd_closep(&ret_fds[0]);
	return r;
}

int pool_freeze(const int *fds, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (fcntl(fds[i], F_ADD_SEALS, POOL_SEALS) < 0)
			return -errno;
	return 0;
}

static void no_template(struct pool *p, struct shape *sh)
{
	log_warn("pool.template", "image=%s: none could be made", sh->spec.image);
	not_before(p, sh);
}

void pool_cast(struct pool *p, const struct spec *spec, struct pool_template *t)
{
	struct shape *sh = find(p, spec);

	if (sh != NULL)
		sh->casting = false;
	if (sh == NULL || t == NULL) {
		if (t != NULL)
			close_files(t);
		if (sh != NULL)
			no_template(p, sh);
		return;
	}
	close_files(&sh->template);
	sh->template = *t;
	sh->scouted = UNSCOUTED;
	t->fds[0] = t->fds[1] = -1;
	log_info("pool.template", "kernel=%s image=%s vcpus=%u memory=%llu", spec->kernel,
		 spec->image, spec->vcpus, (unsigned long long)spec->memory_bytes);
	pool_poke(p);
}

void pool_scouted(struct pool *p, const struct spec *spec, const struct working_set *w)
{
	struct shape *sh = find(p, spec);

	if (sh == NULL || sh->template.fds[0] < 0)
		return;
	sh->scouted = SCOUTED;
	if (w != NULL) {
		sh->template.working_set = *w;
		log_info("pool.scout", "image=%s pages=%u runs=%zu", spec->image, w->pages,
			 w->count / 2);
	} else {
		log_warn("pool.scout", "image=%s: what its clones write isn't known", spec->image);
	}
	pool_poke(p);
}

/* What the pool has made of a shape ends: spares, its mould, its scout. */
static void stop_made(struct pool *p, const struct shape *sh)
{
	for (struct sandbox *s = p->table->first, *next; s != NULL; s = next) {
		next = s->next;
		if (s->kind != SANDBOX_KIND_TENANT && same_shape(&s->spec, &sh->spec))
			sandbox_stop(s, "evicted");
	}
}

void pool_forget(struct pool *p, const char *digest)
{
	for (unsigned i = 0; i < p->count;) {
		struct shape *sh = &p->shapes[i];
		if (strcmp(sh->spec.digest, digest) != 0) {
			i++;
			continue;
		}
		stop_made(p, sh);
		close_files(&sh->template);
		*sh = p->shapes[--p->count];
	}
}

void pool_template_refused(struct pool *p, const struct spec *spec, const char *why)
{
	struct shape *sh = find(p, spec);

	if (sh == NULL || sh->template.fds[0] < 0)
		return;
	log_warn("pool.template", "image=%s refused=\"%s\"", spec->image, why);
	close_files(&sh->template);
	stop_made(p, sh);
	pool_poke(p);
}

void pool_spare_failed(struct pool *p, const struct spec *spec)
{
	struct shape *sh = find(p, spec);

	if (sh != NULL && sh->template.fds[0] >= 0)
		not_before(p, sh);
}

/* The shape that was wanted longest ago, with its spares, makes room. */
static struct shape *evict(struct pool *p)
{
	struct shape *oldest = &p->shapes[0];

	for (unsigned i = 1; i < p->count; i++)
		if (p->shapes[i].wanted_ns < oldest->wanted_ns)
			oldest = &p->shapes[i];
	if (oldest->casting)
		return NULL;
	stop_made(p, oldest);
	close_files(&oldest->template);
	return oldest;
}

void pool_want(struct pool *p, const struct spec *spec)
{
	struct shape *sh = find(p, spec);

	if (!can_be_pooled(spec))
		return;
	if (sh == NULL) {
		sh = p->count < POOL_SHAPES_MAX ? &p->shapes[p->count] : evict(p);
		if (sh == NULL)
			return;
		p->count += p->count < POOL_SHAPES_MAX;
		*sh = (struct shape){ .spec = shape_of(spec), .template.fds = { -1, -1 } };
	}
	sh->wanted_ns = now_ns();
	pool_poke(p);
}

struct sandbox *pool_spare(const struct pool *p, const struct spec *spec)
{
	unsigned left = p->table->count[SANDBOX_KIND_SPARE][SANDBOX_SPARE];

	for (struct sandbox *s = p->table->first; s != NULL && left > 0; s = s->next) {
		if (s->state != SANDBOX_SPARE)
			continue;
		if (same_shape(&s->spec, spec))
			return s;
		left--;
	}
	return NULL;
}

const struct pool_template *pool_template(struct pool *p, const struct spec *spec)
{
	const struct shape *sh = find(p, spec);

	return sh != NULL && sh->template.fds[0] >= 0 ? &sh->template : NULL;
}

json_t *pool_json(const struct pool *p)
{
	json_t *list = json_array();

	for (unsigned i = 0; i < p->count && list != NULL; i++) {
		const struct shape *sh = &p->shapes[i];
		json_t *o = json_pack(
			"{s:s, s:s, s:i, s:I, s:b, s:I, s:i}", "kernel", sh->spec.kernel, "image",
			sh->spec.image, "vcpus", (int)sh->spec.vcpus, "memory_bytes",
			(json_int_t)sh->spec.memory_bytes, "template", sh->template.fds[0] >= 0,
			"working_set_bytes",
			(json_int_t)sh->template.working_set.pages * WORKING_SET_PAGE_BYTES,
			"spares", (int)count_spares(p, &sh->spec, SANDBOX_SPARE));
		if (json_array_append_new(list, o) < 0) {
			json_decref(list);
			list = NULL;
		}
	}
	return list;
}

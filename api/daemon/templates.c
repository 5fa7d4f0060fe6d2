/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/templates.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/build.h"
#include "api/daemon/build_files.h"
#include "api/daemon/image_config.h"
#include "api/daemon/snapshot.h"
#include "api/daemon/tenant.h"
#include "api/store/templates.h"
#include "base/log.h"

#define GONE_MAX 64U /* builds that go at once */

/* ---- Finding ------------------------------------------------------------------------------- */

/* The store's texts are ours: longer ones are somebody else's file. */
static bool copy(char *dst, size_t cap, const char *src)
{
	const size_t len = strlen(src);

	if (len >= cap)
		return false;
	memcpy(dst, src, len + 1);
	return true;
}

static int take_template(const struct store_template *t, void *arg)
{
	struct template *ret = arg;

	ret->public = t->public;
	ret->created_ms = t->created_ms;
	return copy(ret->id, sizeof(ret->id), t->id) &&
			       copy(ret->name, sizeof(ret->name), t->name) &&
			       copy(ret->tenant, sizeof(ret->tenant), t->tenant)
		       ? 0
		       : -EPROTO;
}

int template_find(const struct service *sv, const struct tenant *tenant, const char *key,
		  struct template *ret)
{
	return store_template_find(sv->store, tenant->limits.name, key, take_template, ret);
}

struct tag_search {
	const char *tag;
	char *build;
};

static int match_tag(const struct store_tag *t, void *arg)
{
	const struct tag_search *q = arg;

	if (strcmp(t->tag, q->tag) != 0)
		return 0;
	return copy(q->build, BUILD_ID_LEN + 1, t->build) ? 1 : -EPROTO;
}

int template_build(const struct service *sv, const char *template, const char *tag,
		   char build[BUILD_ID_LEN + 1])
{
	struct tag_search q = { tag, build };
	int r = store_tags_each(sv->store, template, match_tag, &q);

	return r == 1 ? 0 : r == 0 ? -ENOENT : r;
}

struct ready {
	struct spec *spec;
	struct err *err;
	char snapshot[SNAPSHOT_ID_LEN + 1];
};

static int take_ready(const struct store_build *b, void *arg)
{
	struct ready *y = arg;

	if (strcmp(b->state, STORE_BUILD_READY) != 0 ||
	    !copy(y->snapshot, sizeof(y->snapshot), b->snapshot))
		return err_set(y->err, -ESTALE, "template: its build isn't ready");
	return image_config_apply(b->config, y->spec, y->err);
}

/* The build that text names. -ENOENT: no such template. */
static int find_build(const struct service *sv, const struct tenant *tenant, const char *text,
		      char build[BUILD_ID_LEN + 1], struct err *err)
{
	struct template_ref ref;
	struct template t = { 0 };
	const char *tag;
	int r;

	if (template_ref_find(text, &ref) < 0)
		return -ENOENT;
	r = template_find(sv, tenant, ref.name, &t);
	if (r < 0)
		return r == -ENOENT ? r : err_sys(err, r, "template: state");
	tag = ref.tag[0] != '\0' ? ref.tag : TEMPLATE_TAG_NONE;
	r = template_build(sv, t.id, tag, build);
	if (r == -ENOENT)
		return err_set(err, -ESTALE, "template %s: no build of it is tagged \"%s\"", t.name,
			       tag);
	return r < 0 ? err_sys(err, r, "template: state") : 0;
}

static int shape(const struct service *sv, const char *build, struct spec *spec,
		 struct snapshot **ret, struct err *err)
{
	struct ready y = { .spec = spec, .err = err };
	const bool nic = spec->nic;
	int r = store_build_find(sv->store, build, take_ready, &y);

	if (r < 0)
		return err->code != 0 ? r : err_sys(err, r, "template: state");
	*ret = snapshot_by_id(sandboxes_snapshots(sv->sandboxes), y.snapshot);
	if (*ret == NULL)
		return err_set(err, -ESTALE, "template: its snapshot is gone; build it again");
	spec->nic = nic && snapshot_spec(*ret)->nic;
	r = snapshot_shape(*ret, spec, err);
	if (r == 0 && !nic) { /* who asks for no network doesn't get the build's */
		free(spec->network);
		spec->network = NULL;
	}
	return r;
}

int templates_shape(const struct service *sv, const char *text, struct spec *spec,
		    struct snapshot **ret, struct err *err)
{
	char build[BUILD_ID_LEN + 1];
	int r = find_build(sv, spec->tenant, text, build, err);

	return r < 0 ? r : shape(sv, build, spec, ret, err);
}

int templates_create(const struct service *sv, const char *text, bool own_user, struct spec *spec,
		     struct sandbox **ret, struct err *err)
{
	struct snapshot *from = NULL;
	char build[BUILD_ID_LEN + 1];
	int r = find_build(sv, spec->tenant, text, build, err);

	if (r == -ENOENT)
		return r;
	if (r == 0) {
		if (!own_user)
			spec->user[0] = '\0';
		r = shape(sv, build, spec, &from, err);
	}
	if (r == 0)
		return sandbox_create_from(sv->sandboxes, spec, from, ret, err);
	spec_done(spec);
	return r;
}

/* ---- What goes ----------------------------------------------------------------------------- */

struct tagged {
	char builds[STORE_TAGS_MAX][BUILD_ID_LEN + 1];
	size_t count;
	bool all; /* there was room for all of them */
};

static int add_tagged(const struct store_tag *t, void *arg)
{
	struct tagged *g = arg;

	g->all = g->count < sizeof(g->builds) / sizeof(g->builds[0]) &&
		 copy(g->builds[g->count], sizeof(g->builds[0]), t->build);
	g->count++;
	return g->all ? 0 : 1;
}

static bool is_tagged(const struct tagged *g, const char *build)
{
	for (size_t i = 0; i < g->count; i++)
		if (strcmp(g->builds[i], build) == 0)
			return true;
	return false;
}

struct going {
	const struct tagged *tagged; /* NULL: all go */
	char builds[GONE_MAX][BUILD_ID_LEN + 1];
	char snapshots[GONE_MAX][SNAPSHOT_ID_LEN + 1];
	size_t count;
	unsigned failed;
};

static int add_going(const struct store_build *b, void *arg)
{
	struct going *g = arg;

	if (g->tagged != NULL) {
		if (b->ended_ms == 0 || is_tagged(g->tagged, b->id))
			return 0;
		if (strcmp(b->state, STORE_BUILD_READY) != 0 && ++g->failed <= TEMPLATES_FAILED)
			return 0;
	}
	if (!copy(g->builds[g->count], sizeof(g->builds[0]), b->id) ||
	    !copy(g->snapshots[g->count], sizeof(g->snapshots[0]), b->snapshot))
		return -EPROTO;
	return ++g->count == GONE_MAX;
}

static void drop_snapshots(const struct service *sv, const struct going *g)
{
	const struct snapshots *ss = sandboxes_snapshots(sv->sandboxes);

	for (size_t i = 0; i < g->count; i++) {
		struct snapshot *p =
			g->snapshots[i][0] == '\0' ? NULL : snapshot_by_id(ss, g->snapshots[i]);
		if (p != NULL)
			snapshot_delete(p);
	}
}

void templates_tidy(struct service *sv, const char *template)
{
	struct tagged *tagged = calloc(1, sizeof(*tagged));
	struct going *g = calloc(1, sizeof(*g));
	int r = tagged == NULL || g == NULL ? -ENOMEM : 0;

	if (r == 0)
		r = store_tags_each(sv->store, template, add_tagged, tagged);
	if (r == 0) {
		g->tagged = tagged;
		r = store_builds_each(sv->store, template, add_going, g);
	}
	if (r >= 0 && g != NULL && g->tagged != NULL) {
		for (size_t i = 0; i < g->count && r >= 0; i++)
			r = store_build_remove(sv->store, g->builds[i]);
		drop_snapshots(sv, g);
	}
	if (r < 0) /* the next time will do */
		log_warn("template.tidy", "id=%s error=%d", template, r);
	free(tagged);
	free(g);
}

int templates_remove(struct service *sv, const char *template)
{
	struct going *g = calloc(1, sizeof(*g));
	char id[TEMPLATE_ID_LEN + 1];
	int r = g == NULL ? -ENOMEM : 0;

	if (r == 0 && !copy(id, sizeof(id), template))
		r = -ENOENT;
	/* First what is under way, which would name it again. */
	if (r == 0)
		builds_drop(sv->builds, id);
	while (r == 0) {
		g->count = 0;
		r = store_builds_each(sv->store, id, add_going, g);
		if (r < 0 || g->count == 0)
			break;
		drop_snapshots(sv, g);
		r = 0;
		for (size_t i = 0; i < g->count && r == 0; i++)
			r = store_build_remove(sv->store, g->builds[i]);
	}
	if (r == 0)
		r = store_template_remove(sv->store, id);
	if (r == 0)
		build_files_drop(sv->files, id);
	free(g);
	return r;
}

/* ---- At the start -------------------------------------------------------------------------- */

static int is_used(const struct store_build *b, void *arg)
{
	return strcmp(b->snapshot, arg) == 0;
}

struct sweep {
	const struct service *sv;
	struct snapshot *found;
};

static bool find_stray(struct snapshot *p, void *arg)
{
	struct sweep *w = arg;
	const size_t len = strlen(TEMPLATES_SNAPSHOT);
	char id[SNAPSHOT_ID_LEN + 1];

	if (strncmp(snapshot_name(p), TEMPLATES_SNAPSHOT, len) != 0 ||
	    !build_id_ok(snapshot_name(p) + len) || !copy(id, sizeof(id), snapshot_id(p)))
		return true;
	/* An answer of the store's that isn't one proves nothing. */
	int r = store_build_find(w->sv->store, snapshot_name(p) + len, is_used, id);
	if (r == 0 || r == -ENOENT)
		w->found = p;
	return w->found == NULL;
}

void templates_sweep(struct service *sv)
{
	struct sweep w = { .sv = sv };

	do {
		w.found = NULL;
		snapshots_each(sandboxes_snapshots(sv->sandboxes), find_stray, &w);
		if (w.found != NULL) {
			log_info("template.sweep", "snapshot=%s", snapshot_id(w.found));
			snapshot_delete(w.found);
		}
	} while (w.found != NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/tenant.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/clock.h"
#include "base/num.h"

#define NS_PER_MIN 60e9

struct tenants {
	struct store *store;
	struct tenant *list[TENANTS_MAX];
	size_t count;
};

bool tenant_name_valid(const char *s)
{
	size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-");

	return n > 0 && n <= STORE_NAME_MAX && s[n] == '\0' && s[0] != '-';
}

struct store_tenant tenant_defaults(const char *name)
{
	struct store_tenant t = { .sandboxes_max = 20,
				  .memory_max = 16 * GIB,
				  .vcpus_max = 40,
				  .creates_per_min = 120,
				  .snapshots_max = 32,
				  .snapshot_bytes_max = 16 * GIB };

	(void)snprintf(t.name, sizeof(t.name), "%s", name);
	return t;
}

static struct tenant *add(struct tenants *t, const struct store_tenant *limits)
{
	struct tenant *n = t->count < TENANTS_MAX ? calloc(1, sizeof(*n)) : NULL;

	if (n == NULL)
		return NULL;
	n->limits = *limits;
	n->as_user = (struct principal){ .tenant = n };
	n->as_admin = (struct principal){ .tenant = n, .admin = true };
	n->creates = (double)limits->creates_per_min;
	n->creates_ns = now_ns();
	t->list[t->count++] = n;
	return n;
}

static int on_stored(const struct store_tenant *limits, void *arg)
{
	return add(arg, limits) == NULL ? -ENOMEM : 0;
}

static int add_local(struct tenants *t)
{
	struct store_tenant local = { .name = TENANT_LOCAL,
				      .sandboxes_max = INT64_MAX,
				      .memory_max = INT64_MAX,
				      .vcpus_max = INT64_MAX,
				      .creates_per_min = INT64_MAX,
				      .snapshots_max = INT64_MAX,
				      .snapshot_bytes_max = INT64_MAX };
	struct tenant *unused;
	struct err err;

	return tenants_find(t, TENANT_LOCAL) != NULL ? 0 : tenants_put(t, &local, &unused, &err);
}

int tenants_new(struct store *store, struct tenants **ret, struct err *err)
{
	struct tenants *t = calloc(1, sizeof(*t));
	int r = t == NULL ? -ENOMEM : 0;

	if (r == 0) {
		t->store = store;
		r = store_tenants_each(store, on_stored, t);
	}
	if (r == 0)
		r = add_local(t);
	if (r < 0) {
		tenants_free(t);
		return err_sys(err, r, "tenants");
	}
	*ret = t;
	return 0;
}

void tenants_free(struct tenants *t)
{
	for (size_t i = 0; t != NULL && i < t->count; i++)
		free(t->list[i]);
	free(t);
}

struct tenant *tenants_find(const struct tenants *t, const char *name)
{
	for (size_t i = 0; i < t->count; i++)
		if (strcmp(t->list[i]->limits.name, name) == 0)
			return t->list[i];
	return NULL;
}

size_t tenants_count(const struct tenants *t)
{
	return t->count;
}

const struct tenant *tenants_at(const struct tenants *t, size_t i)
{
	BUG_ON(i >= t->count);
	return t->list[i];
}

struct tenant *tenants_local(const struct tenants *t)
{
	struct tenant *local = tenants_find(t, TENANT_LOCAL);

	BUG_ON(local == NULL);
	return local;
}

int tenants_put(struct tenants *t, const struct store_tenant *limits, struct tenant **ret,
		struct err *err)
{
	struct tenant *n = tenants_find(t, limits->name);
	struct store_tenant put = *limits;
	int r;

	if (!tenant_name_valid(limits->name))
		return err_set(err, -EINVAL, "tenant: a name is 1 to %u of a-z 0-9 -",
			       STORE_NAME_MAX);
	if (n == NULL && t->count == TENANTS_MAX)
		return err_set(err, -E2BIG, "tenant: there are %u already", TENANTS_MAX);
	put.created_ms =
		n != NULL ? n->limits.created_ms : (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	r = store_tenant_put(t->store, &put);
	if (r < 0)
		return err_sys(err, r, "tenant: store");
	if (n == NULL)
		n = add(t, &put);
	if (n == NULL) /* it is stored, and there after a restart */
		return err_sys(err, -ENOMEM, "tenant: store");
	n->limits = put;
	*ret = n;
	return 0;
}

json_t *tenant_json(const struct tenant *t)
{
	const struct store_tenant *l = &t->limits;

	return json_pack("{s:s, s:{s:I, s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I, s:I}}", "name",
			 l->name, "limits", "sandboxes", (json_int_t)l->sandboxes_max,
			 "memory_bytes", (json_int_t)l->memory_max, "vcpus",
			 (json_int_t)l->vcpus_max, "creates_per_minute",
			 (json_int_t)l->creates_per_min, "snapshots", (json_int_t)l->snapshots_max,
			 "snapshot_bytes", (json_int_t)l->snapshot_bytes_max, "usage", "sandboxes",
			 (json_int_t)t->sandboxes, "memory_bytes", (json_int_t)t->memory, "vcpus",
			 (json_int_t)t->vcpus);
}

json_t *tenants_json(const struct tenants *t)
{
	json_t *list = json_array();

	for (size_t i = 0; i < t->count; i++)
		(void)json_array_append_new(list, tenant_json(t->list[i]));
	return list;
}

static bool take_creation(struct tenant *t)
{
	const double rate = (double)t->limits.creates_per_min;
	uint64_t now = now_ns();

	t->creates += (double)(now - t->creates_ns) * rate / NS_PER_MIN;
	t->creates = MIN(t->creates, rate);
	t->creates_ns = now;
	if (t->creates < 1)
		return false;
	t->creates -= 1;
	return true;
}

static int check_size(const struct tenant *t, uint64_t memory, uint64_t vcpus, struct err *err)
{
	const struct store_tenant *l = &t->limits;

	if (t->memory > l->memory_max || memory > l->memory_max - t->memory)
		return err_set(err, -EDQUOT,
			       "tenant %s: %" PRIu64 " of %" PRIu64 " MiB of memory in use",
			       l->name, t->memory / MIB, l->memory_max / MIB);
	if (t->vcpus > l->vcpus_max || vcpus > l->vcpus_max - t->vcpus)
		return err_set(err, -EDQUOT, "tenant %s: %" PRIu64 " of %" PRIu64 " vCPUs in use",
			       l->name, t->vcpus, l->vcpus_max);
	return 0;
}

int tenant_admit(struct tenant *t, uint64_t memory, uint64_t vcpus, struct err *err)
{
	const struct store_tenant *l = &t->limits;
	int r;

	if (t->sandboxes >= l->sandboxes_max)
		return err_set(err, -EDQUOT,
			       "tenant %s: %" PRIu64 " of %" PRIu64 " sandboxes in use", l->name,
			       t->sandboxes, l->sandboxes_max);
	r = check_size(t, memory, vcpus, err);
	if (r < 0)
		return r;
	if (!take_creation(t))
		return err_set(err, -EAGAIN, "tenant %s: more than %" PRIu64 " creations a minute",
			       l->name, l->creates_per_min);
	return 0;
}

void tenant_charge(struct tenant *t, uint64_t memory, uint64_t vcpus)
{
	t->sandboxes++;
	t->memory += memory;
	t->vcpus += vcpus;
}

void tenant_release(struct tenant *t, uint64_t memory, uint64_t vcpus)
{
	BUG_ON(t->sandboxes == 0 || t->memory < memory || t->vcpus < vcpus);
	t->sandboxes--;
	t->memory -= memory;
	t->vcpus -= vcpus;
}

void tenant_park(struct tenant *t, uint64_t memory, uint64_t vcpus)
{
	BUG_ON(t->memory < memory || t->vcpus < vcpus);
	t->memory -= memory;
	t->vcpus -= vcpus;
}

int tenant_unpark(struct tenant *t, uint64_t memory, uint64_t vcpus, struct err *err)
{
	int r = check_size(t, memory, vcpus, err);

	if (r < 0)
		return r;
	t->memory += memory;
	t->vcpus += vcpus;
	return 0;
}

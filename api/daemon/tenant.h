/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tenant.h - whom sandboxes belong to, and how much each may have.
 *
 * The tenant "local" is the operator's: it has what the host has. Others are made with their first
 * key. A tenant lives as long as the daemon. Threads: the loop's.
 */
#ifndef API_DAEMON_TENANT_H
#define API_DAEMON_TENANT_H

#include <jansson.h>

#include "api/store/store.h"
#include "base/compiler.h"
#include "base/err.h"

#define TENANTS_MAX  1024U
#define TENANT_LOCAL "local"

struct tenant;

/* Whom a request is for. */
struct principal {
	struct tenant *tenant;
	bool admin; /* the operator, or a key that may what he may */
};

struct tenant {
	struct store_tenant limits;
	struct principal as_user, as_admin;
	uint64_t sandboxes, memory, vcpus; /* in use */
	double creates;			   /* that may begin now: a token bucket */
	uint64_t creates_ns;		   /* when that was so; monotonic */
};

struct tenants;

/* Loads them from the store, which outlives it. */
MUST_USE int tenants_new(struct store *store, struct tenants **ret, struct err *err);
void tenants_free(struct tenants *t); /* NULL is fine */
struct tenant *tenants_find(const struct tenants *t, const char *name);
size_t tenants_count(const struct tenants *t);
const struct tenant *tenants_at(const struct tenants *t, size_t i);
struct tenant *tenants_local(const struct tenants *t);
/* Has s the form of a tenant's name? */
bool tenant_name_valid(const char *s);
/* The limits of one who has none of his own yet. */
struct store_tenant tenant_defaults(const char *name);
/* Makes it, or changes its limits. -EINVAL: the name; -E2BIG: too many. */
MUST_USE int tenants_put(struct tenants *t, const struct store_tenant *limits, struct tenant **ret,
			 struct err *err);
/* New reference, NULL = no memory. */
json_t *tenant_json(const struct tenant *t);
json_t *tenants_json(const struct tenants *t);

/* May it have one more sandbox like this? Takes it from the rate of creations, too.
 * -EDQUOT: never while the others live; -EAGAIN: too fast. */
MUST_USE int tenant_admit(struct tenant *t, uint64_t memory, uint64_t vcpus, struct err *err);
/* A sandbox of its exists, and exists no more. */
void tenant_charge(struct tenant *t, uint64_t memory, uint64_t vcpus);
/* It is on the disk: still one of the sandboxes, but without memory and processors; and back.
 * -EDQUOT: there are too few left. */
void tenant_park(struct tenant *t, uint64_t memory, uint64_t vcpus);
MUST_USE int tenant_unpark(struct tenant *t, uint64_t memory, uint64_t vcpus, struct err *err);
void tenant_release(struct tenant *t, uint64_t memory, uint64_t vcpus);

#endif

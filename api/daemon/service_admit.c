/* SPDX-License-Identifier: Apache-2.0 */
/* service_admit.c - what happens to a request before its route, and to the store when a sandbox
 * changes. */
#include <errno.h>
#include <stdlib.h>

#include "api/daemon/profile.h"
#include "api/daemon/service.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/log.h"

void service_admit(struct http_req *req, void *arg)
{
	const struct service *sv = arg;

	auth_admit(&sv->auth, req);
}

/* What a restart needs to know of it. */
static char *profile_text(const struct sandbox *s)
{
	const struct profile *p = sandbox_profile(s);
	const struct spec *spec = sandbox_spec(s);
	json_t *o = json_pack("{s:s, s:s, s:i, s:I}", "kernel", spec->kernel, "image", spec->image,
			      "vcpus", (int)spec->vcpus, "memory_bytes",
			      (json_int_t)spec->memory_bytes);
	char *text;

	if (o != NULL && p != NULL && p->template[0] != '\0')
		(void)json_object_set_new(o, "template", json_string(p->template));
	if (o != NULL && p != NULL && p->metadata != NULL)
		(void)json_object_set(o, "metadata", p->metadata);
	text = o == NULL ? NULL : json_dumps(o, JSON_COMPACT | JSON_ENSURE_ASCII);
	json_decref(o);
	return text;
}

static int put(const struct service *sv, const struct sandbox *s)
{
	struct store_sandbox b = { .id = sandbox_id(s),
				   .tenant = sandbox_tenant(s)->limits.name,
				   .created_ms = sandbox_created_unix_ms(s) };
	char *text = profile_text(s);
	int r;

	if (text == NULL)
		return -ENOMEM;
	b.profile = text;
	r = store_sandbox_put(sv->store, &b);
	free(text);
	return r;
}

/* Called before whoever waits for the sandbox gets an answer: what is acknowledged is stored. */
void service_changed(struct sandbox *s, void *arg)
{
	const struct service *sv = arg;
	const int64_t now = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	int r = 0;

	if (sandbox_tenant(s) == NULL)
		return;
	switch (sandbox_state(s)) {
	case SANDBOX_RUNNING:
		r = put(sv, s);
		break;
	case SANDBOX_ENDED:
	case SANDBOX_FAILED:
		r = store_sandbox_end(sv->store, sandbox_id(s), now, sandbox_reason(s));
		break;
	case SANDBOX_CREATING:
	case SANDBOX_SPARE:
	case SANDBOX_STOPPING:
		break;
	case SANDBOX_STATE_COUNT:
		BUG("not a state");
	}
	if (r == 0)
		return;
	log_error("store.sandbox", "id=%s error=%d", sandbox_id(s), r);
	sandbox_stop(s, "store-failed"); /* one that runs; the ended don't care */
}

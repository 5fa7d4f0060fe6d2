/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/hold.h"

#include <errno.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/log.h"
#include "jailer/jail.h"
#include "jailer/saves.h"

struct hold {
	struct hold *next;
	struct holds *holds;
	uint8_t token[HOLD_TOKEN_BYTES];
	uid_t uid;
	uint64_t seconds;
	bool client; /* it has one */
	struct loop_timer *timer;
};

struct holds {
	struct loop *loop;
	struct jails *jails;
	struct saves *saves;
	struct hold *first;
	unsigned count;
};

int holds_new(struct loop *l, struct jails *js, struct saves *ss, struct holds **ret)
{
	struct holds *hs = calloc(1, sizeof(*hs));

	if (hs == NULL)
		return -ENOMEM;
	*hs = (struct holds){ .loop = l, .jails = js, .saves = ss };
	*ret = hs;
	return 0;
}

static void let_go(struct hold *h)
{
	struct hold **at = &h->holds->first;

	while (*at != h) {
		BUG_ON(*at == NULL);
		at = &(*at)->next;
	}
	*at = h->next;
	h->holds->count--;
	loop_timer_del(h->timer);
	jails_drop_owner(h->holds->jails, h);
	saves_drop_owner(h->holds->saves, h);
	explicit_bzero(h->token, sizeof(h->token));
	free(h);
}

void holds_free(struct holds *hs)
{
	if (hs == NULL)
		return;
	while (hs->first != NULL)
		let_go(hs->first);
	free(hs);
}

static struct hold *find(const struct holds *hs, const uint8_t *token)
{
	for (struct hold *h = hs->first; h != NULL; h = h->next)
		if (sodium_memcmp(h->token, token, sizeof(h->token)) == 0)
			return h;
	return NULL;
}

static int add(struct holds *hs, const uint8_t *token, uid_t uid, struct hold **ret,
	       struct err *err)
{
	struct hold *h;

	if (hs->count == HOLDS_MAX)
		return err_set(err, -EDQUOT, "there are %u holds already", HOLDS_MAX);
	h = calloc(1, sizeof(*h));
	if (h == NULL)
		return err_sys(err, -ENOMEM, "hold");
	*h = (struct hold){ .next = hs->first, .holds = hs, .uid = uid };
	memcpy(h->token, token, sizeof(h->token));
	hs->first = h;
	hs->count++;
	*ret = h;
	return 0;
}

int holds_take(struct holds *hs, const uint8_t *token, size_t len, uid_t uid, uint64_t seconds,
	       struct hold **ret, bool *ret_found, struct err *err)
{
	struct hold *h;
	int r = 0;

	if (len != HOLD_TOKEN_BYTES || seconds == 0 || seconds > HOLD_SECONDS_MAX)
		return err_set(err, -EINVAL, "a token of %u bytes and 1 to %u seconds are needed",
			       HOLD_TOKEN_BYTES, HOLD_SECONDS_MAX);
	h = find(hs, token);
	*ret_found = h != NULL;
	if (h != NULL && h->uid != uid)
		return err_set(err, -EACCES, "another user made this hold");
	if (h != NULL && h->client)
		return err_set(err, -EBUSY, "this hold has a client");
	if (h == NULL)
		r = add(hs, token, uid, &h, err);
	if (r < 0)
		return r;
	BUG_ON(h == NULL);
	loop_timer_del(h->timer);
	h->timer = NULL;
	h->client = true;
	h->seconds = seconds;
	*ret = h;
	return 0;
}

static void on_late(void *arg)
{
	struct hold *h = arg;

	h->timer = NULL;
	log_warn("hold.over", "jails=%u seconds=%llu: nobody came", jails_owned(h->holds->jails, h),
		 (unsigned long long)h->seconds);
	let_go(h);
}

void hold_lose(struct hold *h)
{
	unsigned jails;

	h->client = false;
	jails_drop_unfinished(h->holds->jails, h);
	jails = jails_owned(h->holds->jails, h);
	if (jails == 0 && !saves_owned(h->holds->saves, h)) {
		let_go(h);
		return;
	}
	log_info("hold.wait", "jails=%u seconds=%llu", jails, (unsigned long long)h->seconds);
	if (loop_timer_add(h->holds->loop, h->seconds * 1000, on_late, h, &h->timer) < 0)
		let_go(h);
}

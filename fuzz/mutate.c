/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A step of the script is a byte: its two low bits say what happens to the bytes just fetched, the
 * others to which of them, or how many fetches are left in peace first. When the script has ended
 * nothing changes any more.
 */
#include "fuzz/mutate.h"

#include <pthread.h>
#include <string.h>

#include "base/bug.h"
#include "base/num.h"
#include "tests/unit/gmem_watch.h"

/* Devices with threads of their own fetch there. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static const uint8_t *script;
static size_t script_len;
static unsigned skip;

static uint8_t next(void)
{
	if (script_len == 0)
		return 0;
	script_len--;
	return *script++;
}

void mutate_split(const uint8_t **data, size_t *len)
{
	script_len = 0;
	skip = 0;
	if (*len == 0)
		return;
	(*len)--;
	script_len = *len * (*data)[*len] / 256;
	*len -= script_len;
	script = *data + *len;
}

/* One byte of what was fetched becomes `v`. */
static void put(const struct gmem *m, gpa_t a, size_t len, size_t at, uint8_t v)
{
	/* The one region of a fuzz target's memory: the guest needs no accessor. Files don't
	 * change. */
	BUG_ON(len == 0);
	if (gmem_check(m, a, len) < 0)
		return;
	m->regions[0].hva[a.v + at % len] = v;
}

static void on_fetch(const struct gmem *m, gpa_t a, size_t len, enum gmem_fetch kind, void *arg)
{
	uint8_t step, v;

	(void)arg;
	if (kind == GMEM_FETCH_IOV || len == 0)
		return;
	(void)pthread_mutex_lock(&lock);
	if (skip > 0) {
		skip--;
	} else if (script_len > 0) {
		step = next();
		switch (step & 3U) {
		case 0:
			break;
		case 1: /* one byte, to anything */
			v = next();
			put(m, a, len, step >> 2, v);
			break;
		case 2: /* all of it, to one value at an edge */
			v = (step & 4U) != 0 ? 0xff : 0;
			for (size_t i = 0; i < MIN(len, (size_t)16); i++)
				put(m, a, len, i, v);
			break;
		default:
			skip = step >> 2;
			break;
		}
	}
	(void)pthread_mutex_unlock(&lock);
}

void mutate_on(void)
{
	gmem_watch(on_fetch, NULL);
}

void mutate_off(void)
{
	gmem_watch(NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* casemated's events taken apart, and what sandboxes use as a table. */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/events.h"
#include "api/cli/usage_table.h"

static char told[512];
static unsigned listening;

static int on_listening(void *arg)
{
	(void)arg;
	listening++;
	return 0;
}

static int on_event(const json_t *o, const char *kind, void *arg)
{
	char *text = json_dumps(o, JSON_COMPACT);

	for (const char *const *part = (const char *const[]){ kind, text, "\n", NULL };
	     *part != NULL; part++) {
		cr_assert_lt(strlen(told) + strlen(*part), sizeof(told));
		memcpy(told + strlen(told), *part, strlen(*part) + 1);
	}
	free(text);
	return strcmp(kind, "stop") == 0 ? *(int *)arg : 0;
}

static int feed(const char *text, size_t len, size_t step)
{
	static int seven = 7;
	const struct events_ops ops = { on_listening, on_event, &seven };
	struct events e = { .ops = &ops };
	int r = 0;

	told[0] = '\0';
	listening = 0;
	for (size_t at = 0; at < len && r == 0; at += step)
		r = events_feed(&e, text + at, step < len - at ? step : len - at);
	return r;
}

Test(cli_events, whole_and_in_pieces)
{
	static const char text[] = ": ping\n\nid: 1\nevent: sandbox\ndata: {\"id\":\"a\"}\n\n"
				   ": ping\n\nevent:lost\ndata:{\"events\":2}\n\n";

	for (size_t step = 1; step < sizeof(text); step++) {
		cr_assert_eq(feed(text, sizeof(text) - 1, step), 0);
		cr_assert_str_eq(told, "sandbox{\"id\":\"a\"}\nlost{\"events\":2}\n");
		cr_assert_eq(listening, 1);
	}
	cr_assert_eq(feed("", 0, 1), 0);
	cr_assert_eq(listening, 0, "not before it says something");
	cr_assert_eq(feed("event: stop\ndata: {}\ndata: {}\n", 29, 29), 7, "ends at once");
	cr_assert_str_eq(told, "stop{}\n");
}

Test(cli_events, refused)
{
	static const char *const bad[] = { "data: x\n", "data: [1]\n", "data: {\n",
					   "data: {\"a\":1,\"a\":2}\n",
					   "event: 0123456789012345\n" };
	static char longest[EVENTS_LINE_MAX + 8];

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		cr_assert_eq(feed(bad[i], strlen(bad[i]), 64), -EPROTO, "%s", bad[i]);
	cr_assert_eq(feed("data\0: {}\n", 10, 10), -EPROTO);
	memset(longest, 'x', sizeof(longest));
	cr_assert_eq(feed(longest, EVENTS_LINE_MAX - 1, 100), 0);
	cr_assert_eq(feed(longest, EVENTS_LINE_MAX, 100), -EPROTO);
}

static char *table(size_t rows, size_t cols)
{
	json_t *o = json_pack("{s:[{s:s,s:f},{s:s,s:f},{s:s,s:f}]}", "sandboxes", "id", "idle",
			      "cpu_percent", 0.0, "id", "busy\033[2J", "cpu_percent", 99.5, "id",
			      "calm", "cpu_percent", 1.25);
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	usage_table_print(f, o, rows, cols, "|");
	(void)fclose(f);
	json_decref(o);
	return text;
}

Test(usage_table, sorted_and_bounded)
{
	char *text = table(0, 0), *busy = strstr(text, "busy"), *calm = strstr(text, "calm");

	cr_assert(busy != NULL && calm > busy && strstr(text, "idle") > calm, "%s", text);
	cr_assert_not_null(strstr(text, "  99.5 "), "%s", text);
	cr_assert_null(strchr(text, '\033'), "%s", text);
	free(text);
	text = table(1, 30);
	cr_assert(strstr(text, "busy") != NULL && strstr(text, "calm") == NULL, "%s", text);
	cr_assert_eq(strlen(text), 62, "%s", text);
	free(text);
}

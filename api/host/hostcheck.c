/* SPDX-License-Identifier: Apache-2.0 */
#include "api/host/hostcheck.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "api/host/hostcheck_internal.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

static const char *const level_names[] = {
	[HOSTCHECK_OK] = "ok",
	[HOSTCHECK_INFO] = "I",
	[HOSTCHECK_WARN] = "W",
	[HOSTCHECK_FAIL] = "F",
};
_Static_assert(ARRAY_SIZE(level_names) == HOSTCHECK_LEVEL_COUNT, "a name for each level");

const char *hostcheck_level_name(enum hostcheck_level level)
{
	BUG_ON(level >= HOSTCHECK_LEVEL_COUNT);
	return level_names[level];
}

void checkup_found(struct checkup *c, enum hostcheck_level level, const char *fmt, ...)
{
	char text[sizeof(c->what)];
	va_list ap;

	BUG_ON(c->said || level >= HOSTCHECK_LEVEL_COUNT);
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	(void)log_escape(c->what, sizeof(c->what), text, strlen(text));
	c->level = level;
	c->said = true;
}

ssize_t checkup_read_line(const struct checkup *c, const char *path, char *buf, size_t cap)
{
	ssize_t n = fd_read_file(c->rootfd, path, buf, cap);

	if (n >= 0)
		buf[strcspn(buf, "\n")] = '\0';
	return n;
}

void words_add(struct words *w, const char *word)
{
	size_t len = strlen(word), sep = w->len > 0 ? 1 : 0;

	if (len + sep >= sizeof(w->text) - w->len)
		return;
	if (sep > 0)
		w->text[w->len] = ' ';
	memcpy(w->text + w->len + sep, word, len + 1);
	w->len += sep + len;
}

char *words_next(char **at)
{
	char *word = *at + strspn(*at, " ,");
	size_t len = strcspn(word, " ,");

	if (len == 0)
		return NULL;
	*at = word + len;
	if (**at != '\0')
		*(*at)++ = '\0';
	return word;
}

bool words_have(const char *list, const char *word)
{
	size_t len = strlen(word);

	for (const char *at = list; *at != '\0'; at += strspn(at, " ")) {
		size_t n = strcspn(at, " ");
		if (n == len && memcmp(at, word, n) == 0)
			return true;
		at += n;
	}
	return false;
}

/* ---- The tables ---------------------------------------------------------------------------- */

struct run {
	int rootfd;
	void (*fn)(const struct hostcheck *c, void *arg);
	void *arg;
};

static void report(const struct run *run, const struct checkup *c, const char *code,
		   const char *why, const char *fix)
{
	struct hostcheck h = { .code = code, .level = c->level, .why = why };

	if (!c->said)
		return;
	h.fix = c->level == HOSTCHECK_OK ? "" : fix;
	memcpy(h.what, c->what, sizeof(h.what));
	run->fn(&h, run->arg);
}

/* The daemon's own confinement may deny a file: that is no answer. */
static bool setting_is_absent(struct checkup *c, ssize_t r, enum hostcheck_level absent)
{
	if (r >= 0)
		return false;
	if (r != -ENOENT)
		checkup_found(c, HOSTCHECK_WARN, "unknown: %s", strerror((int)-r));
	else if (absent != HOSTCHECK_SILENT)
		checkup_found(c, absent, "not there");
	return true;
}

static void run_number(const struct run *run, const struct number_check *n)
{
	struct checkup c = { .rootfd = run->rootfd };
	char line[64];
	uint64_t v;

	if (!setting_is_absent(&c, checkup_read_line(&c, n->path, line, sizeof(line)), n->absent)) {
		if (parse_u64(line, 0, UINT64_MAX, &v) < 0 || v < n->min || v > n->max)
			checkup_found(&c, n->bad, "%.40s", line);
		else
			checkup_found(&c, HOSTCHECK_OK, "%s", line);
	}
	report(run, &c, n->code, n->why, n->fix);
}

/* "always [madvise] never": what is in brackets; else the first word. */
static const char *chosen(char *line)
{
	char *open = strchr(line, '[');
	char *word = open != NULL ? open + 1 : line;

	word[strcspn(word, open != NULL ? "]" : " ")] = '\0';
	return word;
}

static void run_word(const struct run *run, const struct word_check *w)
{
	struct checkup c = { .rootfd = run->rootfd };
	char line[128];

	if (!setting_is_absent(&c, checkup_read_line(&c, w->path, line, sizeof(line)), w->absent)) {
		const char *word = chosen(line);
		checkup_found(&c, words_have(w->good, word) ? HOSTCHECK_OK : w->bad, "%.40s", word);
	}
	report(run, &c, w->code, w->why, w->fix);
}

void hostcheck_run(int rootfd, void (*fn)(const struct hostcheck *c, void *arg), void *arg)
{
	static const struct check *const tables[] = { hostcheck_kvm, hostcheck_cpu,
						      hostcheck_kernel, hostcheck_store };
	const struct run run = { .rootfd = rootfd, .fn = fn, .arg = arg };

	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		for (const struct check *k = tables[t]; k->code != NULL; k++) {
			struct checkup c = { .rootfd = rootfd };
			k->fn(&c);
			report(&run, &c, k->code, k->why, k->fix);
		}
	}
	for (const struct number_check *n = hostcheck_numbers; n->code != NULL; n++)
		run_number(&run, n);
	for (const struct word_check *w = hostcheck_words; w->code != NULL; w++)
		run_word(&run, w);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* hostcheck_internal.h - what the files of hostcheck share: the tables and how a check answers. */
#ifndef API_HOST_HOSTCHECK_INTERNAL_H
#define API_HOST_HOSTCHECK_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "api/host/hostcheck.h"
#include "base/compiler.h"

/* Level of a setting that isn't there: the check then says nothing. */
#define HOSTCHECK_SILENT HOSTCHECK_LEVEL_COUNT

/* One check under way. A function calls checkup_found() once, or never if it means nothing here. */
struct checkup {
	int rootfd;
	bool said;
	enum hostcheck_level level;
	char what[160];
};

void checkup_found(struct checkup *c, enum hostcheck_level level, const char *fmt, ...)
	PRINTF(3, 4);

struct check {
	const char *code;
	void (*fn)(struct checkup *c);
	const char *why;
	const char *fix;
};

/* A file with one number, which has to lie between min and max. */
struct number_check {
	const char *code;
	const char *path;
	uint64_t min, max;
	enum hostcheck_level bad;
	enum hostcheck_level absent; /* a kernel without the file: OK = the danger isn't there */
	const char *why;
	const char *fix;
};

/* A file whose first word, or the one in [brackets], has to be one of `good`. */
struct word_check {
	const char *code;
	const char *path;
	const char *good; /* with spaces between */
	enum hostcheck_level bad;
	enum hostcheck_level absent;
	const char *why;
	const char *fix;
};

/* The tables; a NULL code ends each. */
extern const struct check hostcheck_cpu[];
extern const struct check hostcheck_kvm[];
extern const struct check hostcheck_kernel[];
extern const struct check hostcheck_store[];
extern const struct number_check hostcheck_numbers[];
extern const struct word_check hostcheck_words[];

/* The first line of a file: its length or -errno. */
MUST_USE ssize_t checkup_read_line(const struct checkup *c, const char *path, char *buf,
				   size_t cap);

/* A list of words as far as it fits; the last ones are dropped. */
struct words {
	char text[120];
	size_t len;
};
void words_add(struct words *w, const char *word);
/* The next word of a list with spaces or commas, cut out of the text; NULL = no more. */
char *words_next(char **at);
/* Is the word one of a list with spaces? */
bool words_have(const char *list, const char *word);

#endif

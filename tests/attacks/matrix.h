/* SPDX-License-Identifier: Apache-2.0 */
/* matrix.h - which attack came how far with which layers off. */
#ifndef TESTS_ATTACKS_MATRIX_H
#define TESTS_ATTACKS_MATRIX_H

#include <stdbool.h>
#include <stdio.h>

#include "probe/off.h"
#include "probe/wire.h"

#define MATRIX_ROWS_MAX 128

enum column_kind { COLUMN_FULL, COLUMN_ONE, COLUMN_SEC_AND_ONE, COLUMN_CONTROL };

struct column {
	enum column_kind kind;
	unsigned off;
};

#define MATRIX_COLUMNS_MAX (2 + 2 * OFF_COUNT)

struct matrix {
	const char *where; /* "native" or "lab" */
	bool selinux;
	size_t rows;
	size_t columns;
	const struct attack *attacks[MATRIX_ROWS_MAX];
	struct column column[MATRIX_COLUMNS_MAX];
	struct wire_answer cell[MATRIX_ROWS_MAX][MATRIX_COLUMNS_MAX];
};

/* All rows (or only this one, if not NULL), and the columns that make sense here. */
void matrix_init(struct matrix *m, const char *where, bool selinux, const char *only);

/* Several roles of one attack give one cell: the worst. */
void matrix_put(struct matrix *m, size_t row, size_t col, const struct wire_answer *a);

/* "full", "-cap", "-sec-cap", "outside" */
void matrix_column_name(const struct column *c, char *ret, size_t cap);

/* What decides. */
struct verdict {
	unsigned full;	     /* attacks that succeed with all layers on */
	unsigned one_off;    /* with some layer off */
	unsigned known;	     /* of these: those that only SELinux would stop, where there is none */
	unsigned single;     /* rest on the layer that is off, and are known to */
	unsigned attacker;   /* without seccomp and Landlock, which the VMM puts on itself */
	unsigned controls;   /* outside the jail */
	unsigned unfinished; /* cells where the harness failed */
	bool good;
};
void matrix_judge(const struct matrix *m, struct verdict *ret);

void matrix_write_markdown(const struct matrix *m, FILE *f);
void matrix_write_json(const struct matrix *m, FILE *f);
/* The closing line. */
void matrix_print_verdict(const struct matrix *m, FILE *f);

#endif

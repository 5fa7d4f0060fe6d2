/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - the matrix for people and for programs. */
#include <string.h>

#include "tests/attacks/matrix.h"
#include "tests/attacks/siege.h"

#define NAME_TEXT 48
#define HOW_MAX	  48

/* Each column's successes, below the table. */
static void list_successes(const struct matrix *m, enum column_kind kind, FILE *f)
{
	char name[NAME_TEXT];

	for (size_t c = 0; c < m->columns; c++) {
		unsigned n = 0;
		if (m->column[c].kind != kind)
			continue;
		matrix_column_name(&m->column[c], name, sizeof(name));
		(void)fprintf(f, "| %s |", name);
		for (size_t r = 0; r < m->rows; r++) {
			if (wire_succeeded(&m->cell[r][c])) {
				(void)fprintf(f, " %s", m->attacks[r]->id);
				n++;
			}
		}
		(void)fprintf(f, "%s |\n", n == 0 ? " none" : "");
	}
}

/* Without the jail: the attacks that fail there too prove nothing in the other columns. */
static void list_uncontrolled(const struct matrix *m, FILE *f)
{
	char how[HOW_MAX];
	size_t c = m->columns - 1;

	for (size_t r = 0; r < m->rows; r++) {
		if (wire_succeeded(&m->cell[r][c]))
			continue;
		wire_describe(&m->cell[r][c], how, sizeof(how));
		(void)fprintf(f, "- %s %s: %s\n", m->attacks[r]->id, m->attacks[r]->what, how);
	}
}

static void write_table(const struct matrix *m, FILE *f)
{
	char text[NAME_TEXT];

	(void)fputs("| id | attack |", f);
	for (size_t c = 0; c < m->columns; c++) {
		if (m->column[c].kind == COLUMN_SEC_AND_ONE)
			continue;
		matrix_column_name(&m->column[c], text, sizeof(text));
		(void)fprintf(f, " %s |", text);
	}
	(void)fputs("\n|---|---|", f);
	for (size_t c = 0; c < m->columns; c++)
		(void)fputs(m->column[c].kind == COLUMN_SEC_AND_ONE ? "" : "---|", f);
	for (size_t r = 0; r < m->rows; r++) {
		(void)fprintf(f, "\n| %s | %s |", m->attacks[r]->id, m->attacks[r]->what);
		for (size_t c = 0; c < m->columns; c++) {
			const struct wire_answer *a = &m->cell[r][c];
			if (m->column[c].kind == COLUMN_SEC_AND_ONE)
				continue;
			wire_describe(a, text, sizeof(text));
			(void)fprintf(f, wire_succeeded(a) ? " **%s** |" : " %s |", text);
		}
	}
	(void)fputs("\n", f);
}

static void write_matrix(const struct matrix *m, FILE *f)
{
	(void)fprintf(
		f,
		"# Attacks from inside a jail (%s, SELinux %s)\n\n"
		"Each cell says what stopped the attack: an error, a filter that killed it, the "
		"end of the jail. `full`: all layers on;\n`-cap`: that layer off; `outside`: no "
		"jail at all, where the attack is meant to succeed.\n\n",
		m->where, m->selinux ? "enforcing" : "absent");
	write_table(m, f);
	(void)fputs("\n## Succeeds with one layer off\n\n| off | attacks |\n|---|---|\n", f);
	list_successes(m, COLUMN_ONE, f);
	(void)fputs("\n## Succeeds with seccomp and one more layer off\n\n| off | attacks "
		    "|\n|---|---|\n",
		    f);
	list_successes(m, COLUMN_SEC_AND_ONE, f);
	(void)fputs("\n## Fails outside the jail too (no positive control here)\n\n", f);
	list_uncontrolled(m, f);
}

void matrix_write_markdown(const struct matrix *m, FILE *f)
{
	if (m->rows > 0)
		write_matrix(m, f);
	siege_write_markdown(f);
	(void)fputs("\n", f);
	matrix_print_verdict(m, f);
}

static void write_cells(const struct matrix *m, size_t r, FILE *f)
{
	char name[NAME_TEXT], how[HOW_MAX];

	for (size_t c = 0; c < m->columns; c++) {
		matrix_column_name(&m->column[c], name, sizeof(name));
		wire_describe(&m->cell[r][c], how, sizeof(how));
		(void)fprintf(f, "%s\"%s\":{\"succeeded\":%s,\"how\":\"%s\"}", c > 0 ? "," : "",
			      name, wire_succeeded(&m->cell[r][c]) ? "true" : "false", how);
	}
}

void matrix_write_json(const struct matrix *m, FILE *f)
{
	struct verdict v;

	matrix_judge(m, &v);
	(void)fprintf(
		f,
		"{\"where\":\"%s\",\"selinux\":%s,\"rows\":%zu,\"full\":%u,\"one_off\":%u,"
		"\"known_without_selinux\":%u,\"rest_on_rlim\":%u,\"controls\":%u,\"unfinished\":%u,\"good\":%s,",
		m->where, m->selinux ? "true" : "false", m->rows, v.full, v.one_off, v.known,
		v.single, v.controls, v.unfinished, v.good ? "true" : "false");
	siege_write_json(f);
	(void)fputs(",\"attacks\":[\n", f);
	for (size_t r = 0; r < m->rows; r++) {
		(void)fprintf(f, "{\"id\":\"%s\",\"what\":\"%s\",\"cells\":{", m->attacks[r]->id,
			      m->attacks[r]->what);
		write_cells(m, r, f);
		(void)fprintf(f, "}}%s\n", r + 1 < m->rows ? "," : "");
	}
	(void)fputs("]}\n", f);
}

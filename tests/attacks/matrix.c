/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/attacks/matrix.h"

#include <string.h>

#include "base/bug.h"

#define CONTROLS_PERCENT 90

/* What the VMM puts on itself: a binary that only attacks would do without. */
#define BY_ITSELF (OFF_BIT(OFF_SEC) | OFF_BIT(OFF_LLK))

static void add_column(struct matrix *m, enum column_kind kind, unsigned off)
{
	BUG_ON(m->columns == MATRIX_COLUMNS_MAX);
	m->column[m->columns++] = (struct column){ .kind = kind, .off = off };
}

void matrix_init(struct matrix *m, const char *where, bool selinux, const char *only)
{
	const unsigned layers = selinux ? OFF_COUNT : OFF_X;
	const struct attack *a;

	*m = (struct matrix){ .where = where, .selinux = selinux };
	for (size_t i = 0; (a = attack_at(i)) != NULL; i++) {
		if (only != NULL && strcmp(a->id, only) != 0)
			continue;
		BUG_ON(m->rows == MATRIX_ROWS_MAX);
		m->attacks[m->rows++] = a;
	}
	add_column(m, COLUMN_FULL, 0);
	for (unsigned o = 0; o < layers; o++)
		add_column(m, COLUMN_ONE, OFF_BIT(o));
	for (unsigned o = OFF_SEC + 1; o < layers; o++)
		add_column(m, COLUMN_SEC_AND_ONE, OFF_BIT(OFF_SEC) | OFF_BIT(o));
	add_column(m, COLUMN_CONTROL, 0);
}

void matrix_put(struct matrix *m, size_t row, size_t col, const struct wire_answer *a)
{
	struct wire_answer *cell = &m->cell[row][col];
	bool worse = wire_succeeded(a) ||
		     (!wire_succeeded(cell) &&
		      (cell->kind == WIRE_NONE || a->kind == WIRE_HARNESS || a->kind == WIRE_LATE));

	if (worse)
		*cell = *a;
}

void matrix_column_name(const struct column *c, char *ret, size_t cap)
{
	const char *plain = c->kind == COLUMN_CONTROL ? "outside" : "full";
	size_t len = 0;

	ret[0] = '\0';
	for (unsigned o = 0; o < OFF_COUNT; o++) {
		if ((c->off & OFF_BIT(o)) != 0)
			len += (size_t)snprintf(ret + len, cap - len, "-%s", off_name(o));
	}
	if (len == 0)
		(void)snprintf(ret, cap, "%s", plain);
}

/* Without SELinux nothing but seccomp stands against some harmless calls. */
static bool needs_selinux(const struct matrix *m, size_t row, size_t col)
{
	return !m->selinux && (m->attacks[row]->flags & ATTACK_NEEDS_X) != 0 &&
	       (m->column[col].off & OFF_BIT(OFF_SEC)) != 0;
}

static bool rests_on(const struct matrix *m, size_t row, size_t col)
{
	return (m->attacks[row]->flags & ATTACK_RESTS_ON_RLIM) != 0 &&
	       (m->column[col].off & OFF_BIT(OFF_RLIM)) != 0;
}

static void judge_row(const struct matrix *m, size_t row, struct verdict *v)
{
	unsigned one = 0, known = 0, single = 0;

	for (size_t c = 0; c < m->columns; c++) {
		const struct wire_answer *a = &m->cell[row][c];
		v->unfinished += a->kind == WIRE_NONE || a->kind == WIRE_HARNESS;
		if (!wire_succeeded(a))
			continue;
		v->full += m->column[c].kind == COLUMN_FULL;
		v->attacker += m->column[c].off == BY_ITSELF && !needs_selinux(m, row, c);
		v->controls += m->column[c].kind == COLUMN_CONTROL;
		if (m->column[c].kind != COLUMN_ONE)
			continue;
		if (rests_on(m, row, c)) {
			single++;
			continue;
		}
		one++;
		known += needs_selinux(m, row, c);
	}
	v->one_off += one > 0;
	v->known += one > 0 && one == known;
	v->single += single > 0;
}

void matrix_judge(const struct matrix *m, struct verdict *ret)
{
	struct verdict v = { 0 };

	for (size_t r = 0; r < m->rows; r++)
		judge_row(m, r, &v);
	v.good = v.full == 0 && v.attacker == 0 && v.one_off == v.known && v.unfinished == 0 &&
		 m->rows > 0 && v.controls * 100 >= m->rows * CONTROLS_PERCENT;
	*ret = v;
}

void matrix_print_verdict(const struct matrix *m, FILE *f)
{
	struct verdict v;

	matrix_judge(m, &v);
	if (v.unfinished > 0)
		(void)fprintf(f, "attacks: %u cells could not be tried\n", v.unfinished);
	if (v.known > 0)
		(void)fprintf(f,
			      "attacks: %u of those with one layer off need SELinux, which is "
			      "not here\n",
			      v.known);
	if (v.single > 0)
		(void)fprintf(f,
			      "attacks: %u rest on one layer, the resource limits, and are not "
			      "counted\n",
			      v.single);
	if (m->rows == 0)
		return;
	(void)fprintf(f, "attacks: a VMM that puts no filter and no Landlock on itself %u/%zu\n",
		      v.attacker, m->rows);
	(void)fprintf(f, "attacks: full %u/%zu, one layer off %u/%zu, controls %u/%zu\n", v.full,
		      m->rows, v.one_off, m->rows, v.controls, m->rows);
}

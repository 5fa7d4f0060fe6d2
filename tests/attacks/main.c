/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attacks - runs the battery: every row with all layers of the jail on, with each one off, with
 * seccomp and each other one off, and outside any jail. Exit status 0 when no attack succeeds that
 * must not, and nine in ten succeed without a jail; 1 when not; 2 when the battery itself could not
 * run. Needs root; the host sees none of it (world.h).
 */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "tests/attacks/harness.h"
#include "tests/attacks/matrix.h"
#include "tests/attacks/siege.h"
#include "tests/attacks/stand.h"
#include "tests/attacks/victim.h"
#include "tests/attacks/world.h"
#include "vmm/seccomp.h"

#define SLOW_MS 2000 /* a row that takes longer is told: the tier must stay short */

struct options {
	const char *jailer, *probe, *where, *only;
	FILE *json, *markdown;
};

static struct matrix m;

/* SELinux enforces or only watches; only ever in the lab, whose kernel is its own. */
static void enforce(bool on)
{
	FILE *f = fopen("/sys/fs/selinux/enforce", "we");

	if (f == NULL || fputs(on ? "1" : "0", f) < 0 || fclose(f) != 0)
		harness_die("SELinux: %s", on ? "enforcing" : "permissive");
}

static void attack_as(struct stand *s, size_t row, size_t col, uint32_t role,
		      const struct scene *scene)
{
	const struct attack *a = m.attacks[row];
	struct wire_answer answer;

	if (role == SECCOMP_START && (a->flags & ATTACK_RUNNING_ONLY) != 0)
		return;
	stand_attack(s, a, role, scene, &answer);
	matrix_put(&m, row, col, &answer);
}

/*
 * Which filters: each role's with all layers on. With a layer off, the first filter alone, which
 * all others only narrow, and that of the main thread. Without seccomp there are no roles.
 */
static size_t roles_of(const struct column *c, uint32_t roles[SECCOMP_ROLE_COUNT])
{
	size_t n = 0;

	if (c->kind == COLUMN_CONTROL) {
		roles[n++] = WIRE_ROLE_NONE;
	} else if (c->kind == COLUMN_FULL) {
		while (n < SECCOMP_ROLE_COUNT) {
			roles[n] = (uint32_t)n;
			n++;
		}
	} else {
		if ((c->off & OFF_BIT(OFF_SEC)) == 0)
			roles[n++] = SECCOMP_START;
		roles[n++] = SECCOMP_CONTROL;
	}
	return n;
}

static void run_column(size_t col, const struct scene *scene)
{
	const struct column *c = &m.column[col];
	uint32_t roles[SECCOMP_ROLE_COUNT];
	size_t count = roles_of(c, roles);
	struct stand s;

	if (c->kind == COLUMN_CONTROL)
		stand_open_outside(&s);
	else
		stand_open(&s, c->off);
	for (size_t i = 0; i < count; i++)
		stand_check(&s, roles[i], scene);
	for (size_t row = 0; row < m.rows; row++) {
		uint64_t t0 = now_ms();
		for (size_t i = 0; i < count; i++)
			attack_as(&s, row, col, roles[i], scene);
		if (now_ms() - t0 > SLOW_MS)
			(void)fprintf(stderr, "attacks: %s took %llu ms\n", m.attacks[row]->id,
				      (unsigned long long)(now_ms() - t0));
	}
	stand_close(&s);
}

static int run_battery(void *arg)
{
	const struct options *o = arg;
	struct scene scene = { 0 };
	struct victims v;
	struct verdict verdict;
	struct siege_verdict siege = { .good = true };
	char name[48];

	world_furnish(o->jailer, o->probe);
	world_make_cgroup(scene.cgroup_procs, sizeof(scene.cgroup_procs));
	victims_start(&v, &scene);
	for (size_t col = 0; col < m.columns && m.rows > 0; col++) {
		uint64_t t0 = now_ms();
		bool x_off = (m.column[col].off & OFF_BIT(OFF_X)) != 0;
		if (x_off)
			enforce(false);
		run_column(col, &scene);
		if (x_off)
			enforce(true);
		matrix_column_name(&m.column[col], name, sizeof(name));
		(void)fprintf(stderr, "attacks: %s: %llu ms\n", name,
			      (unsigned long long)(now_ms() - t0));
	}
	if (o->only == NULL || m.rows == 0)
		siege_run(&scene, o->only, &siege);
	victims_stop(&v);
	world_remove_cgroup();
	if (o->json != NULL)
		matrix_write_json(&m, o->json);
	if (o->markdown != NULL)
		matrix_write_markdown(&m, o->markdown);
	matrix_write_markdown(&m, stdout);
	matrix_judge(&m, &verdict);
	if (!siege.good)
		return 1;
	return verdict.good || (o->only != NULL && verdict.full == 0) ? 0 : 1;
}

static FILE *create(const char *path)
{
	FILE *f = fopen(path, "we");

	if (f == NULL)
		harness_die("%s", path);
	return f;
}

static void parse_options(struct options *o, int argc, char **argv)
{
	static const struct option longs[] = {
		{ "jailer", required_argument, NULL, 'j' },
		{ "probe", required_argument, NULL, 'p' },
		{ "where", required_argument, NULL, 'w' },
		{ "only", required_argument, NULL, 'o' },
		{ "json", required_argument, NULL, 'J' },
		{ "markdown", required_argument, NULL, 'M' },
		{ NULL, 0, NULL, 0 },
	};
	int c;

	*o = (struct options){ .jailer = JAILER_BIN, .probe = PROBE_BIN, .where = "native" };
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'j':
			o->jailer = optarg;
			break;
		case 'p':
			o->probe = optarg;
			break;
		case 'w':
			o->where = optarg;
			break;
		case 'o':
			o->only = optarg;
			break;
		case 'J':
			o->json = create(optarg);
			break;
		case 'M':
			o->markdown = create(optarg);
			break;
		default:
			exit(2);
		}
	}
}

int main(int argc, char **argv)
{
	struct options o;

	parse_options(&o, argc, argv);
	if (geteuid() != 0) {
		fputs("attacks: needs root (for namespaces of its own)\n", stderr);
		return 2;
	}
	if (o.only != NULL && attack_find(o.only) == NULL && !siege_exists(o.only)) {
		fprintf(stderr, "attacks: there is no row %s\n", o.only);
		return 2;
	}
	matrix_init(&m, o.where, harness_selinux(), o.only);
	return world_run(run_battery, &o);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile.c - runs rows of hostile_rows.h: `test=hostile rows=G01,G07 seed=N rounds=M hold=1`. No
 * rows= means all that can't end the VM; G01 also means G01b. `test=hostile-list` names them.
 */
#include "hostile.h"

static const struct row {
	const char *id;
	void (*run)(struct hx *h);
	uint32_t devices, proof;
	unsigned rounds;
	const char *what;
} rows[] = {
#define HX_ROW(id, fn, devices, proof, rounds, what) { #id, fn, devices, proof, rounds, what },
#include "hostile_rows.h"
#undef HX_ROW
};
#define ROWS (sizeof(rows) / sizeof(rows[0]))

static const struct row *current;

/* Only by name: it must fail, because its row breaks nothing. */
static void do_nothing(struct hx *h)
{
	hx_up_any(h);
}
static const struct row harmless = { "X00", do_nothing, HX_ANY, HX_BREAKS, 1, "nothing" };

static void print_number(const char *name, uint64_t v)
{
	print(name);
	print_u64(v);
}

void hx_hit(struct hx *h)
{
	h->hits++;
}

__attribute__((noreturn)) void hx_fail(struct hx *h, const char *why, uint64_t value)
{
	hx_race_end(h);
	(void)console_init();
	print("\nat ");
	print(current->id);
	print_number(" seed ", arg_u64("seed", 1));
	if (h->dev != NULL) {
		print(" device ");
		print(hx_kind_name(h->dev->id));
	}
	print_number(" round ", h->round);
	print(": ");
	test_fail(why, value);
}

/* The numbers of a round depend on nothing that came before it. */
static uint64_t round_seed(const struct row *r, unsigned device, unsigned round)
{
	uint64_t x = arg_u64("seed", 1) * 0x9e3779b97f4a7c15ULL;

	for (const char *p = r->id; *p != '\0'; p++)
		x = (x ^ (uint64_t)(uint8_t)*p) * 0x100000001b3ULL;
	return (x ^ device << 16 ^ round) * 0x9e3779b97f4a7c15ULL | 1;
}

struct tally {
	uint64_t rounds, breaks, hits;
};

static void run_round(const struct row *r, struct hx_dev *d, unsigned round, struct tally *t)
{
	struct hx h = { .round = round };
	bool broken;

	hx_round_begin(&h, d, round_seed(r, d != NULL ? d->n : 99, round));
	r->run(&h);
	hx_race_end(&h);
	t->rounds++;
	t->hits += h.hits;
	if (d == NULL)
		return;
	broken = hx_broken(&h);
	t->breaks += broken;
	if ((r->proof & HX_BREAKS) != 0 && !broken)
		hx_fail(&h, "the device should have broken down; status", hx_get(&h, REG_STATUS));
	if ((r->proof & HX_SURVIVES) != 0 && broken)
		hx_fail(&h, "the device should have survived; status", hx_get(&h, REG_STATUS));
	hx_check_good(&h);
}

static void check_proof(const struct row *r, const struct tally *t)
{
	struct hx h = { 0 };

	if (t->rounds == 0)
		return; /* no such device here */
	if ((r->proof & HX_MAY_BREAK) != 0 && t->breaks == 0)
		hx_fail(&h, "no round broke the device; rounds", t->rounds);
	if ((r->proof & HX_HIT) != 0 && t->hits == 0)
		hx_fail(&h, "no round reached its target; rounds", t->rounds);
}

static void run_row(const struct row *r)
{
	unsigned rounds = (unsigned)arg_u64("rounds", r->rounds);
	struct tally t = { 0 };

	current = r;
	if (r->devices == HX_PROCESSOR) {
		for (unsigned i = 0; i < rounds; i++)
			run_round(r, NULL, i, &t);
	}
	for (unsigned d = 0; d < hx_devs_count; d++) {
		if ((r->devices >> hx_devs[d].id & 1) == 0)
			continue;
		for (unsigned i = 0; i < rounds; i++)
			run_round(r, &hx_devs[d], i, &t);
	}
	/* None of the others was harmed. */
	for (unsigned d = 0; d < hx_devs_count; d++) {
		struct hx h = { .round = rounds };
		hx_round_begin(&h, &hx_devs[d], 1);
		hx_check_good(&h);
	}
	(void)console_init();
	if (rounds >= r->rounds) /* with fewer, chance may have missed */
		check_proof(r, &t);
	print("\nrow ");
	print(r->id);
	print_number(" rounds ", t.rounds);
	print_number(" breaks ", t.breaks);
	print_number(" hits ", t.hits);
	print(" proof");
	print((r->proof & HX_BREAKS) != 0 ? " breaks" : "");
	print((r->proof & HX_MAY_BREAK) != 0 ? " may-break" : "");
	print((r->proof & HX_SURVIVES) != 0 ? " survives" : "");
	print((r->proof & HX_HIT) != 0 ? " hit" : "");
	print((r->proof & HX_COUNTED) != 0 ? " counted" : "");
	print("\n");
}

/* Does a list like "G01,G07" name this id? A letter behind the number is one of its parts. */
static bool named(const char *list, const char *id)
{
	size_t whole = strlen(id), n = whole;

	if (n > 0 && id[n - 1] >= 'a' && id[n - 1] <= 'z')
		n--;
	for (const char *p = list; *p != '\0' && *p != ' ';) {
		size_t len = 0;
		while (p[len] != '\0' && p[len] != ' ' && p[len] != ',')
			len++;
		if ((len == n || len == whole) && memcmp(p, id, len) == 0)
			return true;
		p += len;
		if (*p == ',')
			p++;
	}
	return false;
}

void test_hostile(void)
{
	static char cmdline[256];
	const char *list;
	unsigned done = 0;

	/* Out of the way of what rows make devices write to low memory. */
	for (size_t i = 0; i + 1 < sizeof(cmdline) && boot.cmdline[i] != '\0'; i++)
		cmdline[i] = boot.cmdline[i];
	boot.cmdline = cmdline;
	list = arg_get("rows");

	hx_find_devices();
	for (size_t i = 0; i < ROWS; i++) {
		if (list != NULL ? !named(list, rows[i].id) : (rows[i].proof & HX_MAY_END) != 0)
			continue;
		run_row(&rows[i]);
		done++;
	}
	if (list != NULL && named(list, harmless.id))
		run_row(&harmless);
	if (done == 0)
		test_fail("no such row", 0);
	if (arg_u64("hold", 0) != 0) {
		print("held\n");
		for (;;)
			__asm__ volatile("cli; hlt");
	}
}

void test_hostile_list(void)
{
	for (size_t i = 0; i < ROWS; i++) {
		print(rows[i].id);
		print((rows[i].proof & HX_MAY_END) != 0 ? " may-end " : " lives ");
		print((rows[i].proof & HX_COUNTED) != 0 ? "counted " : "- ");
		print(rows[i].what);
		print("\n");
	}
}

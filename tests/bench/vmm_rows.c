/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/vmm_rows.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/num.h"
#include "tests/bench/stat.h"

#define BENCH "vmm"

/* A sample of a time is printed in us; of a rate, `amount` units were done in it. */
static const struct row {
	enum row_group group;
	const char *name, *unit;
	double amount; /* 0: a time, or a value of the harness's own */
} rows[] = {
	{ GROUP_START, "start_first_insn", "us", 0 },
	{ GROUP_START, "memory_idle", "KiB", 0 },
	{ GROUP_EXITS, "exit_pio", "us", 0 },
	{ GROUP_EXITS, "exit_mmio", "us", 0 },
	{ GROUP_EXITS, "exit_ioeventfd_busy", "us", 0 },
	{ GROUP_EXITS, "exit_ioeventfd_idle", "us", 0 },
	{ GROUP_BLK, "blk_randread_4k_d1", "us", 0 },
	{ GROUP_BLK, "blk_randwrite_4k_d1", "us", 0 },
	{ GROUP_BLK, "blk_randread_4k_d32", "kIOPS", 256e-3 },
	{ GROUP_BLK, "blk_randwrite_4k_d32", "kIOPS", 256e-3 },
	{ GROUP_BLK, "blk_read_1m_d1", "MiB/s", 1 },
	{ GROUP_BLK, "blk_write_1m_d1", "MiB/s", 1 },
	{ GROUP_BLK, "blk_read_1m_d32", "MiB/s", 64 },
	{ GROUP_BLK, "blk_write_1m_d32", "MiB/s", 64 },
	{ GROUP_BLK, "memory_after_blk", "KiB", 0 },
	{ GROUP_NET, "net_rr", "us", 0 },
	{ GROUP_NET, "net_tx", "MiB/s", 64 * 60000 / 1048576.0 },
	{ GROUP_NET, "net_rx", "MiB/s", 32 * 60000 / 1048576.0 },
	{ GROUP_VSOCK, "vsock_ping", "us", 0 },
	{ GROUP_VSOCK, "vsock_tx", "MiB/s", 1 },
	{ GROUP_VSOCK, "vsock_rx", "MiB/s", 1 },
	{ GROUP_LINUX, "linux_init", "ms", 0 },
	{ GROUP_LINUX, "linux_randread_4k", "us", 0 },
	{ GROUP_LINUX, "linux_randwrite_4k", "us", 0 },
	{ GROUP_LINUX, "linux_randread_4k_4x8", "kIOPS", 256e-3 },
	{ GROUP_LINUX, "linux_randwrite_4k_4x8", "kIOPS", 256e-3 },
	{ GROUP_LINUX, "linux_read_1m_4x8", "MiB/s", 64 },
	{ GROUP_LINUX, "linux_write_1m_4x8", "MiB/s", 64 },
	{ GROUP_LINUX, "linux_net_rr", "us", 0 },
	{ GROUP_LINUX, "linux_net_tx", "MiB/s", 4 },
	{ GROUP_LINUX, "linux_net_rx", "MiB/s", 4 },
	{ GROUP_LINUX, "linux_vsock_ping", "us", 0 },
	{ GROUP_LINUX, "linux_vsock_tx", "MiB/s", 4 },
	{ GROUP_LINUX, "linux_vsock_rx", "MiB/s", 4 },
};

static struct samples samples[ARRAY_SIZE(rows)][ROW_VMMS_MAX];

const char *row_group_name(enum row_group g)
{
	static const char *const names[] = {
		[GROUP_START] = "start", [GROUP_EXITS] = "exits", [GROUP_BLK] = "blk",
		[GROUP_NET] = "net",	 [GROUP_VSOCK] = "vsock", [GROUP_LINUX] = "linux",
	};
	_Static_assert(ARRAY_SIZE(names) == GROUP_COUNT, "one name a group");

	return names[g];
}

static struct samples *find(unsigned vmm, const char *name, size_t len, const struct row **ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (strlen(rows[i].name) != len || strncmp(rows[i].name, name, len) != 0)
			continue;
		*ret = &rows[i];
		return &samples[i][vmm];
	}
	return NULL;
}

void rows_add(unsigned vmm, const char *name, double value)
{
	const struct row *row;
	struct samples *s = find(vmm, name, strlen(name), &row);

	BUG_ON(s == NULL);
	samples_add(s, value);
}

unsigned long long rows_first_ns(const char *text)
{
	const char *first = strstr(text, "first ");
	uint64_t ns = 0;

	if (first != NULL) {
		first += strlen("first ");
		(void)!parse_u64_at(&first, 10, UINT64_MAX, &ns);
	}
	return ns;
}

/* `NAME NS NS ...` up to the end of the line. */
static int parse_line(unsigned vmm, const char *line)
{
	size_t len = strcspn(line, " \n");
	const struct row *row;
	struct samples *s = find(vmm, line, len, &row);
	const char *p = line + len;

	if (s == NULL)
		return -EPROTO;
	while (*p == ' ') {
		uint64_t ns;
		p++;
		if (parse_u64_at(&p, 10, UINT64_MAX, &ns) < 0)
			return -EPROTO;
		samples_add(s, row->amount > 0 ? row->amount * 1e9 / (double)ns : (double)ns / 1e3);
	}
	return 0;
}

int rows_parse(unsigned vmm, const char *text)
{
	int r = 0;

	if (strstr(text, "\nend\n") == NULL)
		return -EBADMSG;
	for (const char *p = text; r == 0 && p != NULL; p = strchr(p, '\n')) {
		p += *p == '\n';
		if (strncmp(p, "s ", 2) == 0)
			r = parse_line(vmm, p + 2);
	}
	return r;
}

static void print_row(size_t i, const char *peer, struct samples *theirs, const char *where)
{
	const struct row *row = &rows[i];

	if (row->amount > 0)
		bench_print_rate(BENCH, row->name, row->unit, &samples[i][0], peer, theirs, where);
	else
		bench_print(BENCH, row->name, row->unit, &samples[i][0], peer, theirs, where);
}

void rows_print(enum row_group g, const char *const names[], unsigned vmms, const char *where)
{
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		bool any = false;

		if (rows[i].group != g || samples[i][0].n == 0)
			continue;
		for (unsigned v = 1; v < vmms; v++) {
			if (samples[i][v].n == 0)
				continue;
			any = true;
			print_row(i, names[v], &samples[i][v], where);
		}
		if (!any)
			print_row(i, NULL, NULL, where);
	}
}

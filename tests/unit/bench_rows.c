/* SPDX-License-Identifier: Apache-2.0 */
/* bench_rows.c - what ./dev bench vmm makes of a guest's output, and the line that it prints. */
#include <criterion/criterion.h>
#include <criterion/redirect.h>
#include <errno.h>

#include "tests/bench/vmm_rows.h"

static const char *const names[] = { "casemate", "qemu-microvm", "other" };

Test(bench_rows, output_without_its_end_is_refused)
{
	cr_expect_eq(rows_parse(0, "first 5\ns exit_pio 1000\n"), -EBADMSG);
	cr_expect_eq(rows_parse(0, ""), -EBADMSG);
}

Test(bench_rows, unknown_row_is_refused)
{
	cr_expect_eq(rows_parse(0, "first 5\ns exit_tea 1000\nend\n"), -EPROTO);
}

Test(bench_rows, first_instruction)
{
	cr_expect_eq(rows_first_ns("noise\nfirst 1234567890123456789\nend\n"),
		     1234567890123456789U);
	cr_expect_eq(rows_first_ns("end\n"), 0);
}

Test(bench_rows, times_in_us_beside_a_peer, .init = cr_redirect_stdout)
{
	cr_assert_eq(rows_parse(0, "first 5\ns exit_pio 3000 1000 2000\nend\n"), 0);
	cr_assert_eq(rows_parse(1, "first 5\ns exit_pio 4000\nend\n"), 0);
	rows_print(GROUP_EXITS, names, 3, "here");
	cr_assert_stdout_eq_str(
		"{\"bench\":\"vmm\",\"name\":\"exit_pio\",\"unit\":\"us\",\"p50\":2.000,"
		"\"p99\":3.000,\"n\":3,\"peer\":\"qemu-microvm\",\"peer_p50\":4.000,"
		"\"peer_p99\":4.000,\"ratio\":0.500,\"where\":\"here\"}\n");
}

/* 1 MiB in 0.5 ms and in 1 ms; the slow one is the tail. Nobody beside us. */
Test(bench_rows, rates_without_a_peer, .init = cr_redirect_stdout)
{
	cr_assert_eq(rows_parse(0, "s blk_read_1m_d1 500000 1000000 500000\nend\n"), 0);
	rows_print(GROUP_BLK, names, 3, "here");
	cr_assert_stdout_eq_str(
		"{\"bench\":\"vmm\",\"name\":\"blk_read_1m_d1\",\"unit\":\"MiB/s\",\"p50\":2000.000,"
		"\"p99\":1000.000,\"n\":3,\"peer\":null,\"peer_p50\":null,\"peer_p99\":null,"
		"\"ratio\":null,\"where\":\"here\"}\n");
}

/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_bench.c - the groups of ./dev bench vmm come to their end, with few samples: the benchmark's
 * guest can't rot unseen. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "api/proto/contract.h"
#include "base/num.h"
#include "tests/native/harness.h"

#define DISK_BYTES (8 * MIB)

static void run_group(const char *group, const char *last_row)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__Drive drive = CASEMATE__VMM__V1__DRIVE__INIT, *drives[] = { &drive };
	static uint8_t disk[DISK_BYTES];
	static char seen[80 * 1024];
	struct vmm_files files = { .kernel = open_guest(), .initrd = -1, .drives_count = 1 };
	char cmdline[64], id[] = "disk";
	configure_req q;
	struct vmm v;

	need_kvm();
	(void)snprintf(cmdline, sizeof(cmdline), "test=bench group=%s n=16", group);
	q = vmm_request(cmdline);
	q.memory_bytes = 128 * MIB; /* the buffers are in the second half */
	drive.id = id;
	q.drives = drives;
	q.n_drives = 1;
	files.drives[0].fd = make_file(disk, sizeof(disk));
	vmm_spawn(&v, &files);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	vmm_console_until(&v, "\nend\n");
	(void)vmm_console(&v, seen, sizeof(seen));
	cr_expect(strstr(seen, last_row) != NULL, "no row %s: %.500s", last_row, seen);
	cr_expect(strncmp(seen, "first ", 6) == 0, "no time of the start: %.100s", seen);
	vmm_done(&v);
}

Test(vmm_bench, start)
{
	run_group("start", "first ");
}

Test(vmm_bench, exits)
{
	run_group("exits", "\ns exit_ioeventfd_idle ");
}

Test(vmm_bench, blk)
{
	run_group("blk", "\ns blk_randwrite_4k_d1 ");
}

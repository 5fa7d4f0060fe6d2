/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_ends.c - both boot protocols, sizes of machines, and each way in which a VM can end. */
#include <criterion/criterion.h>
#include <stdio.h>

#include "api/proto/contract.h"
#include "base/num.h"
#include "tests/native/harness.h"

#define POWER_OFF    CASEMATE__VMM__V1__END_REASON__END_REASON_POWER_OFF
#define REBOOT	     CASEMATE__VMM__V1__END_REASON__END_REASON_REBOOT
#define PANIC	     CASEMATE__VMM__V1__END_REASON__END_REASON_PANIC
#define TRIPLE_FAULT CASEMATE__VMM__V1__END_REASON__END_REASON_TRIPLE_FAULT
#define STOPPED	     CASEMATE__VMM__V1__END_REASON__END_REASON_STOPPED

static const struct vmm_files no_files = { .kernel = -1, .initrd = -1 };

static struct vmm_files guest_files(void)
{
	struct vmm_files f = no_files;

	need_kvm();
	f.kernel = open_guest();
	return f;
}

Test(vmm_boot, linux64)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=hello");

	q.boot = CASEMATE__VMM__V1__BOOT_PROTOCOL__BOOT_PROTOCOL_LINUX64;
	vmm_expect(&f, &q, POWER_OFF, 0, "entry linux64\nok hello\n");
}

Test(vmm_boot, pvh)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=hello");

	q.boot = CASEMATE__VMM__V1__BOOT_PROTOCOL__BOOT_PROTOCOL_PVH;
	vmm_expect(&f, &q, POWER_OFF, 0, "entry pvh\nok hello\n");
}

Test(vmm_boot, auto_prefers_pvh)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=hello");

	vmm_expect(&f, &q, POWER_OFF, 0, "entry pvh\n");
}

Test(vmm_end, acpi_reset)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=reset");

	vmm_expect(&f, &q, REBOOT, 10, NULL);
}

Test(vmm_end, keyboard_controller_reset)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=i8042");

	vmm_expect(&f, &q, REBOOT, 10, NULL);
}

Test(vmm_end, panic)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=panic");

	vmm_expect(&f, &q, PANIC, 11, NULL);
}

Test(vmm_end, triple_fault)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=triple-fault");

	vmm_expect(&f, &q, TRIPLE_FAULT, 12, NULL);
}

/* A guest that never leaves the processor is stopped all the same. */
static void stop_running(const char *cmdline, const char *sign)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__StopRequest stop = CASEMATE__VMM__V1__STOP_REQUEST__INIT;
	struct vmm_files f = guest_files();
	configure_req q = vmm_request(cmdline);
	struct vmm v;
	wait_resp *w;

	vmm_spawn(&v, &f);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	vmm_console_until(&v, sign);
	vmm_must(&v, VMM_STOP, &stop, NULL, NULL);
	w = vmm_wait(&v);
	cr_expect_eq(w->reason, STOPPED);
	vmm_free_wait(w);
	cr_expect_eq(vmm_reap(&v), 14);
	vmm_done(&v);
}

Test(vmm_end, stop_spinning)
{
	stop_running("test=spin", "spinning\n");
}

Test(vmm_end, stop_idle)
{
	stop_running("test=idle", "idling\n");
}

/* The control socket is the VM's life line, in any state. */
Test(vmm_end, control_closed)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=spin");
	struct vmm v;

	vmm_spawn(&v, &f);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	vmm_console_until(&v, "spinning\n");
	rpc_conn_free(v.conn);
	v.conn = NULL;
	cr_expect_eq(vmm_reap(&v), 14);
	vmm_done(&v);
}

Test(vmm_end, control_closed_before_configure)
{
	struct vmm_files f = guest_files();
	struct vmm v;

	vmm_spawn(&v, &f);
	rpc_conn_free(v.conn);
	v.conn = NULL;
	cr_expect_eq(vmm_reap(&v), 14);
	vmm_done(&v);
}

/* RAM as the memory map tells it: all but the 384 KiB below 1 MiB that are not RAM. */
static void expect_ram(uint64_t mib)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=mem");
	char text[64];

	q.memory_bytes = mib * MIB;
	q.boot = CASEMATE__VMM__V1__BOOT_PROTOCOL__BOOT_PROTOCOL_LINUX64;
	(void)snprintf(text, sizeof(text), "ram %llu\nok mem\n",
		       (unsigned long long)(mib * MIB - MIB + 0x9fc00));
	vmm_expect(&f, &q, POWER_OFF, 0, text);
}

Test(vmm_memory, smallest)
{
	expect_ram(64);
}

Test(vmm_memory, odd)
{
	expect_ram(514);
}

Test(vmm_memory, up_to_the_hole)
{
	expect_ram(3072);
}

Test(vmm_memory, across_the_hole)
{
	expect_ram(3074);
}

Test(vmm_memory, large)
{
	expect_ram(6144);
}

static void expect_cpus(unsigned n)
{
	struct vmm_files f = guest_files();
	configure_req q = vmm_request("test=smp");
	char text[64];

	q.vcpus = n;
	(void)snprintf(text, sizeof(text), "cpus %u\nok smp\n", n);
	vmm_expect(&f, &q, POWER_OFF, 0, text);
}

Test(vmm_smp, one)
{
	expect_cpus(1);
}

Test(vmm_smp, two)
{
	expect_cpus(2);
}

Test(vmm_smp, eight)
{
	expect_cpus(8);
}

Test(vmm_smp, most)
{
	expect_cpus(32);
}

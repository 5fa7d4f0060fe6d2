/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The switches of the test build: each layer that is left out is really out, seen from inside.
 * Without this the attack battery's rows with a layer off would show nothing. And the product has
 * no switch.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "jailer/cgroup.h"
#include "tests/native/jail_rig.h"
#include "vmm/vmm_fds.h"

static struct rig g;

static void setup(void)
{
	rig_require();
	g = (struct rig){ 0 };
	rig_prepare(&g);
}

static void teardown(void)
{
	if (g.loop != NULL)
		rig_close(&g);
}

TestSuite(jail_layers, .init = setup, .fini = teardown, .timeout = 120);

/* What one layer is for, in the probe's words. */
static const struct {
	const char *layer;
	const char *key;
	long long with; /* all layers */
} layers[] = {
	{ "cap", "cap.sets", 0 },
	{ "cap", "cap.bounding", 0 },
	{ "uid", "uid.zero", 0 },
	{ "ns", "hostname.ours", 1 },
	{ "ns", "pid", 1 },
	{ "fs", "open.passwd", EACCES },
	{ "fds", "fds.table",
	  1LL << 0 | 1LL << 1 | 1LL << 2 | 1LL << VMM_FD_CONTROL | 1LL << VMM_FD_KVM |
		  1LL << VMM_FD_KERNEL | 1LL << VMM_FD_INITRD | 1LL << VMM_FD_DRIVE0 |
		  1LL << VMM_FD_HANDOVER | 1LL << VMM_FD_CPUID | 1LL << (VMM_FD_DRIVE0 + 1) },
	{ "rlim", "rlimit.nproc", CGROUP_PIDS_MAX },
	{ "sysc", "sid.own", 1 },
};

static void look(const char *off, struct rig_report *ret)
{
	struct rig_jail j;

	g.test_option = off == NULL ? NULL : "--layers-off";
	g.test_value = off;
	rig_start_jailer(&g);
	rig_connect(&g);
	rig_create_ok(&g, "one", &j);
	rig_report(&j, ret);
	close(j.control);
	close(j.log);
	rig_stop_jailer(&g);
}

Test(jail_layers, each_is_out_when_left_out)
{
	struct rig_report r;

	for (size_t i = 0; i < ARRAY_SIZE(layers); i++) {
		look(layers[i].layer, &r);
		cr_expect_neq(rig_value(&r, layers[i].key), layers[i].with, "%s: %s",
			      layers[i].layer, layers[i].key);
	}
	look(NULL, &r);
	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		cr_expect_eq(rig_value(&r, layers[i].key), layers[i].with, "%s", layers[i].key);
}

Test(jail_layers, the_group)
{
	char text[64] = "";
	struct rig_jail j;

	g.test_option = "--layers-off";
	g.test_value = "cgrp";
	rig_start_jailer(&g);
	rig_connect(&g);
	rig_create_ok(&g, "one", &j);
	cr_assert(rig_group_file(&j, "cgroup.procs", text, sizeof(text)));
	cr_expect_str_empty(text);
}

/* Whoever controls the product's command line can't take a layer away. */
Test(jail_layers, the_product_has_no_switch)
{
	static const char *const options[][2] = { { "--layers-off", "cap" },
						  { "--stop", "3" },
						  { "--stop-point", "clone" } };

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int status;
		pid_t pid = fork();
		cr_assert_geq(pid, 0);
		if (pid == 0) {
			execl(JAILER_BIN, JAILER_BIN, options[i][0], options[i][1], "--help",
			      (char *)NULL);
			_exit(127);
		}
		cr_assert_eq(waitpid(pid, &status, 0), pid);
		cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 2, "%s: status %#x",
			  options[i][0], status);
	}
}

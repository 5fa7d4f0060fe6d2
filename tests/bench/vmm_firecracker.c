/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Firecracker, when --firecracker names its binary: started by its configuration file, without its
 * jailer and API, filters on. Its only console is the serial port, so the guest is told to use
 * that.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/bench/vmm_machine.h"
#include "tests/bench/vmm_rows.h"

const char *firecracker_program;

struct firecracker {
	int out;
	char config[64];
};

static void write_config(const struct machine *m, const char *path)
{
	FILE *f = fopen(path, "we");

	if (f == NULL)
		bench_die("%s: %s", path, strerror(errno));
	(void)fprintf(
		f,
		"{\"boot-source\":{\"kernel_image_path\":\"%s\",\"boot_args\":\"%s serial=1\"},"
		"\"machine-config\":{\"vcpu_count\":1,\"mem_size_mib\":%u},"
		"\"entropy\":{},\"drives\":[",
		m->kernel, m->cmdline, m->memory_mib);
	if (m->drive != NULL)
		(void)fprintf(
			f,
			"{\"drive_id\":\"disk\",\"path_on_host\":\"%s\",\"is_root_device\":false,"
			"\"is_read_only\":false,\"cache_type\":\"Writeback\"}",
			m->drive);
	(void)fprintf(f, "]}\n");
	if (fclose(f) != 0)
		bench_die("%s: %s", path, strerror(errno));
}

static void firecracker_start(struct instance *in, const struct machine *m)
{
	struct firecracker *f = calloc(1, sizeof(*f));
	const char *argv[] = {
		firecracker_program, "--no-api", "--config-file", NULL, "--level", "Error", NULL
	};
	int fd;

	if (f == NULL)
		bench_die("no memory");
	in->own = f;
	(void)snprintf(f->config, sizeof(f->config), "/tmp/casemate-bench.XXXXXX");
	fd = mkostemp(f->config, O_CLOEXEC);
	if (fd < 0)
		bench_die("%s: %s", f->config, strerror(errno));
	fd_closep(&fd);
	write_config(m, f->config);
	argv[3] = f->config;
	process_start(in, argv, false, &f->out);
}

static bool firecracker_read(struct instance *in)
{
	struct firecracker *f = in->own;

	return process_read(in, f->out);
}

static void firecracker_stop(struct instance *in)
{
	struct firecracker *f = in->own;

	process_kill(in);
	fd_closep(&f->out);
	(void)unlink(f->config);
	free(f);
}

const struct vmm_type vmm_firecracker = { "firecracker",
					  IN_GROUP(GROUP_START) | IN_GROUP(GROUP_EXITS) |
						  IN_GROUP(GROUP_BLK),
					  firecracker_start, firecracker_read, firecracker_stop };

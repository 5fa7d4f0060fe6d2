/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vmm_machine.h - one virtual machine under test, whoever runs it: the same guest, memory, vCPUs
 * and devices for every VMM. Helpers that can't do their part end the benchmark (bench_die),
 * because a table with silent holes is worse than none; what a VMM does wrong only ends its run.
 */
#ifndef TESTS_BENCH_VMM_MACHINE_H
#define TESTS_BENCH_VMM_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

#define OUTPUT_MAX (64U * 1024U)

struct machine {
	const char *kernel, *cmdline;
	const char *initrd; /* NULL = none */
	const char *drive;  /* a raw file; NULL = none */
	unsigned memory_mib, vcpus;
	int tap; /* -1 = no network card */
	const uint8_t *mac;
	bool stream; /* to a host_stream() */
};

struct vmm_type;
struct instance {
	const struct vmm_type *type;
	void *own; /* the type's */
	pid_t pid;
	pid_t host;	   /* of the stream, 0 = none */
	int pass_fd;	   /* what the VMM inherits beside the standard descriptors, -1 = nothing */
	uint64_t begun_ns; /* CLOCK_REALTIME before the process was forked */
	char text[OUTPUT_MAX]; /* what the guest has written to its console */
	size_t text_len;
};

struct vmm_type {
	const char *name; /* in the table */
	unsigned groups;  /* a bit for each enum row_group that it takes part in */
	/* Forks and executes the VMM and lets the guest run; sets pid and begun_ns. */
	void (*start)(struct instance *in, const struct machine *m);
	/* Appends new console output to text; waits for it at most some 10 ms. False: the VMM has
	 * ended or is broken. */
	bool (*read)(struct instance *in);
	/* Ends the process and frees what start made. */
	void (*stop)(struct instance *in);
};

/* The programs, set by options. */
extern const char *vmm_program, *qemu_program, *qemu_machine, *qemu_firmware, *firecracker_program;

extern const struct vmm_type vmm_casemate;
extern const struct vmm_type vmm_qemu;	      /* aio=io_uring, or threads where there is none */
extern const struct vmm_type vmm_qemu_direct; /* the same with O_DIRECT and aio=native */
extern const struct vmm_type vmm_qemu_vhost;  /* network card and vsock by the kernel */
extern const struct vmm_type vmm_firecracker;

/* ---- vmm_process.c, for the types ---- */
NORETURN void bench_die(const char *fmt, ...) PRINTF(1, 2);
/* Starts argv with standard output on a pipe (its read end in *ret_out, non-blocking), standard
 * error on it too if `errors`, else on /dev/null. */
void process_start(struct instance *in, const char *const argv[], bool errors, int *ret_out);
/* Appends what the pipe has, waiting at most 10 ms. False: end of file. */
bool process_read(struct instance *in, int fd);
void process_kill(struct instance *in);
void instance_append(struct instance *in, const char *data, size_t len);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* vmm_refusals.c - what casemate-vmm must not accept: kernels, configurations, orders, calls. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <elf.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/proto/contract.h"
#include "base/num.h"
#include "tests/native/harness.h"
#include "tests/native/proc.h"

static const struct vmm_files no_files = { .kernel = -1, .initrd = -1 };

/* The test guest's bytes, to be damaged. */
static uint8_t *guest_bytes(size_t *ret_len)
{
	int fd = open_guest();
	struct stat st;
	uint8_t *p;

	cr_assert_eq(fstat(fd, &st), 0);
	p = malloc((size_t)st.st_size);
	cr_assert_not_null(p);
	cr_assert_eq(pread(fd, p, (size_t)st.st_size, 0), st.st_size);
	(void)close(fd);
	*ret_len = (size_t)st.st_size;
	return p;
}

/* Configure must refuse with INVALID_ARGUMENT and a reason that holds `why`; the process then goes
 * by itself, and no VM was made. */
static void expect_refused(const struct vmm_files *f, const configure_req *q, const char *why)
{
	struct rpc_status st;
	enum rpc_code code;
	struct vmm v;

	vmm_spawn(&v, f);
	code = vmm_call(&v, VMM_CONFIGURE, q, NULL, &st, NULL);
	cr_expect_eq(code, RPC_INVALID_ARGUMENT, "%s: %s", rpc_code_name(code), st.msg);
	cr_expect(strstr(st.msg, why) != NULL, "\"%s\" lacks \"%s\"", st.msg, why);
	rpc_conn_free(v.conn);
	v.conn = NULL;
	cr_expect_eq(vmm_reap(&v), 1);
	vmm_done(&v);
}

static void expect_bad_kernel(int kernel, const char *why)
{
	struct vmm_files f = no_files;
	configure_req q = vmm_request("test=hello");

	f.kernel = kernel;
	expect_refused(&f, &q, why);
}

static Elf64_Ehdr *ehdr(uint8_t *p)
{
	return (Elf64_Ehdr *)(void *)p;
}

static Elf64_Phdr *first_load(uint8_t *p)
{
	Elf64_Phdr *ph = (Elf64_Phdr *)(void *)(p + ehdr(p)->e_phoff);

	for (unsigned i = 0; i < ehdr(p)->e_phnum; i++)
		if (ph[i].p_type == PT_LOAD && ph[i].p_filesz > 0)
			return &ph[i];
	cr_assert(false, "no segment");
	abort();
}

Test(vmm_kernel, empty)
{
	need_kvm();
	expect_bad_kernel(make_file("", 0), "kernel: the file is empty");
}

Test(vmm_kernel, not_a_file)
{
	need_kvm();
	expect_bad_kernel(open("/dev/zero", O_RDONLY), "kernel: not a regular file");
}

Test(vmm_kernel, garbage)
{
	char text[1024];

	need_kvm();
	memset(text, 'x', sizeof(text));
	expect_bad_kernel(make_file(text, sizeof(text)), "neither an ELF file nor a bzImage");
}

Test(vmm_kernel, truncated)
{
	size_t len;
	uint8_t *p = guest_bytes(&len);
	Elf64_Phdr *ph = first_load(p);

	need_kvm();
	expect_bad_kernel(make_file(p, ph->p_offset + ph->p_filesz - 1), "truncated");
	expect_bad_kernel(make_file(p, 32), "truncated: the ELF header");
	free(p);
}

Test(vmm_kernel, wrong_class_and_machine)
{
	size_t len;
	uint8_t *p = guest_bytes(&len);

	need_kvm();
	p[EI_CLASS] = ELFCLASS32;
	expect_bad_kernel(make_file(p, len), "not a 64-bit");
	p[EI_CLASS] = ELFCLASS64;
	ehdr(p)->e_machine = EM_AARCH64;
	expect_bad_kernel(make_file(p, len), "not x86_64");
	free(p);
}

Test(vmm_kernel, segment_outside_memory)
{
	size_t len;
	uint8_t *p = guest_bytes(&len);

	need_kvm();
	first_load(p)->p_paddr = 64 * MIB - 4096;
	expect_bad_kernel(make_file(p, len), "outside the guest's memory");
	first_load(p)->p_paddr = UINT64_MAX - 4095;
	expect_bad_kernel(make_file(p, len), "outside the guest's memory");
	first_load(p)->p_paddr = 0x1000;
	expect_bad_kernel(make_file(p, len), "below 1 MiB");
	free(p);
}

Test(vmm_kernel, missing_initrd)
{
	struct vmm_files f = no_files;
	configure_req q = vmm_request("test=hello");

	need_kvm();
	f.kernel = open_guest();
	q.initrd = true;
	expect_refused(&f, &q, "initrd: not a regular file");
}

Test(vmm_kernel, initrd_too_large)
{
	struct vmm_files f = no_files;
	configure_req q = vmm_request("test=hello");

	need_kvm();
	f.kernel = open_guest();
	f.initrd = make_file("x", 1);
	cr_assert_eq(ftruncate(f.initrd, (off_t)(65 * MIB)), 0);
	q.initrd = true;
	expect_refused(&f, &q, "don't fit");
}

/* ---- Configurations ---------------------------------------------------------------------- */

static void expect_bad_config(const configure_req *q, const char *why)
{
	struct vmm_files f = no_files;

	need_kvm();
	f.kernel = open_guest();
	expect_refused(&f, q, why);
	(void)close(f.kernel);
}

Test(vmm_config, limits)
{
	static char long_line[2100], spaces[] = "a b", empty[] = "";
	configure_req q = vmm_request("test=hello");

	q.vcpus = 0;
	expect_bad_config(&q, "vcpus: 0");
	q.vcpus = 33;
	expect_bad_config(&q, "vcpus: 33");
	q = vmm_request("test=hello");
	q.memory_bytes = 0;
	expect_bad_config(&q, "memory_bytes: 0");
	q.memory_bytes = 65 * MIB;
	expect_bad_config(&q, "multiple of 2 MiB");
	q.memory_bytes = UINT64_MAX & ~(2 * MIB - 1);
	expect_bad_config(&q, "memory_bytes");
	memset(long_line, 'x', 2048);
	q = vmm_request(long_line);
	expect_bad_config(&q, "cmdline");
	q = vmm_request("test=hello");
	q.id = spaces;
	expect_bad_config(&q, "id:");
	q.id = empty;
	expect_bad_config(&q, "id:");
	q = vmm_request("test=hello");
	q.guest_cid = 2;
	expect_bad_config(&q, "guest_cid");
}

Test(vmm_config, writable_drive_on_a_read_only_descriptor)
{
	static char id[] = "d";
	Casemate__Vmm__V1__Drive drive = CASEMATE__VMM__V1__DRIVE__INIT, *drives[1] = { &drive };
	configure_req q = vmm_request("test=hello");
	struct vmm_files f = no_files;
	struct rpc_status st;
	char path[32];
	struct vmm v;
	int file;

	need_kvm();
	file = make_file("0123456789", 10);
	cr_assert_eq(ftruncate(file, 4096), 0);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
	f.kernel = open_guest();
	f.drives[0].fd = open(path, O_RDONLY | O_CLOEXEC);
	cr_assert(f.drives[0].fd >= 0);
	f.drives_count = 1;
	drive.id = id;
	q.drives = drives;
	q.n_drives = 1;
	vmm_spawn(&v, &f);
	cr_expect_neq(vmm_call(&v, VMM_CONFIGURE, &q, NULL, &st, NULL), RPC_OK);
	cr_expect(strstr(st.msg, "drive 0") != NULL, "%s", st.msg);
	vmm_done(&v);
}

/* ---- Order of calls ---------------------------------------------------------------------- */

static void expect_code(struct vmm *v, unsigned method, const void *in, const int *fds,
			enum rpc_code want)
{
	struct rpc_status st;
	enum rpc_code code = vmm_call(v, method, in, fds, &st, NULL);

	cr_expect_eq(code, want, "%s: %s, expected %s: %s", vmm_methods[method].name,
		     rpc_code_name(code), rpc_code_name(want), st.msg);
}

Test(vmm_order, methods_in_the_wrong_state)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__WaitRequest wait = CASEMATE__VMM__V1__WAIT_REQUEST__INIT;
	Casemate__Vmm__V1__ListenRequest listen_q = CASEMATE__VMM__V1__LISTEN_REQUEST__INIT;
	struct vmm_files f = no_files;
	configure_req q = vmm_request("test=spin");
	struct vmm v;

	need_kvm();
	f.kernel = open_guest();
	vmm_spawn(&v, &f);
	expect_code(&v, VMM_START, &start, NULL, RPC_FAILED_PRECONDITION);
	expect_code(&v, VMM_WAIT, &wait, NULL, RPC_FAILED_PRECONDITION);
	expect_code(&v, VMM_LISTEN, &listen_q, &f.kernel, RPC_FAILED_PRECONDITION);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	expect_code(&v, VMM_CONFIGURE, &q, NULL, RPC_FAILED_PRECONDITION);
	/* No vsock device was configured. */
	expect_code(&v, VMM_LISTEN, &listen_q, &f.kernel, RPC_FAILED_PRECONDITION);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	expect_code(&v, VMM_START, &start, NULL, RPC_FAILED_PRECONDITION);
	vmm_done(&v);
}

/* ---- The process ------------------------------------------------------------------------- */

/* A field of /proc/PID/task/TID/status. */
static uint64_t status_field(pid_t pid, const char *tid, const char *name)
{
	char path[320];

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/status", (int)pid, tid);
	return number_in(path, name, 10);
}

/* Newer kernels put a worker of KVM's own into the process; it runs no user code. */
static bool is_kernel_worker(pid_t pid, const char *tid)
{
	char path[320], comm[32] = "";
	FILE *f;

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%s/comm", (int)pid, tid);
	f = fopen(path, "re");
	cr_assert_not_null(f, "%s", path);
	cr_assert_not_null(fgets(comm, sizeof(comm), f));
	(void)fclose(f);
	return strncmp(comm, "kvm-", 4) == 0;
}

Test(vmm_process, every_thread_is_filtered)
{
	static char id[] = "d";
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	Casemate__Vmm__V1__Drive drive = CASEMATE__VMM__V1__DRIVE__INIT, *drives[1] = { &drive };
	configure_req q = vmm_request("test=spin");
	struct vmm_files f = no_files;
	char path[64];
	struct dirent *e;
	unsigned threads = 0;
	struct vmm v;
	DIR *d;

	need_kvm();
	f.kernel = open_guest();
	f.drives[0] = (struct drive_file){ .fd = make_file("x", 1), .read_only = true };
	cr_assert_eq(ftruncate(f.drives[0].fd, 4096), 0);
	f.drives_count = 1;
	drive.id = id;
	drive.read_only = true;
	q.drives = drives;
	q.n_drives = 1;
	q.vcpus = 2;
	vmm_spawn(&v, &f);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	vmm_console_until(&v, "spinning\n");
	(void)snprintf(path, sizeof(path), "/proc/%d/task", (int)v.pid);
	d = opendir(path);
	cr_assert_not_null(d);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.' || is_kernel_worker(v.pid, e->d_name))
			continue;
		threads++;
		cr_expect_eq(status_field(v.pid, e->d_name, "Seccomp"), 2);
		/* The process's filter, and the thread's own. */
		cr_expect_eq(status_field(v.pid, e->d_name, "Seccomp_filters"), 2);
		cr_expect_eq(status_field(v.pid, e->d_name, "NoNewPrivs"), 1);
	}
	(void)closedir(d);
	/* Main, two vCPUs, one drive, and the two threads of the pool for one that is only read. */
	cr_expect_eq(threads, 6, "%u threads", threads);
	vmm_done(&v);
}

/* What is open while the guest runs: everything that building needed is gone. */
Test(vmm_process, descriptors_of_the_start_are_closed)
{
	Casemate__Vmm__V1__StartRequest start = CASEMATE__VMM__V1__START_REQUEST__INIT;
	static const int gone[] = { VMM_FD_KVM, VMM_FD_KERNEL, VMM_FD_INITRD };
	configure_req q = vmm_request("test=spin");
	struct vmm_files f = no_files;
	struct vmm v;

	need_kvm();
	f.kernel = open_guest();
	f.initrd = make_file("initrd", 6);
	q.initrd = true;
	vmm_spawn(&v, &f);
	vmm_must(&v, VMM_CONFIGURE, &q, NULL, NULL);
	vmm_must(&v, VMM_START, &start, NULL, NULL);
	for (size_t i = 0; i < sizeof(gone) / sizeof(gone[0]); i++) {
		char path[64], target[64] = "";
		(void)snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)v.pid, gone[i]);
		cr_assert_gt(readlink(path, target, sizeof(target) - 1), 0, "%s", path);
		cr_expect_str_eq(target, "/dev/null", "%d is %s", gone[i], target);
	}
	vmm_done(&v);
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * QEMU microvm in its fastest form that we know of: no legacy devices, qboot instead of SeaBIOS,
 * modern virtio-mmio, and the disk on an I/O thread. There is no best way to reach a file, so there
 * are two peers: buffered through io_uring, and O_DIRECT through Linux AIO. The same for the
 * network: QEMU's own device, and the kernel's vhost. For vsock QEMU has only vhost.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/bench/vmm_host.h"
#include "tests/bench/vmm_machine.h"
#include "tests/bench/vmm_rows.h"

const char *qemu_program = "qemu-system-x86_64";
const char *qemu_machine = "microvm,pit=off,pic=off,rtc=off,isa-serial=off";
const char *qemu_firmware = "qboot.rom";

#define ARGS_MAX 64U

struct qemu {
	int out;
	char memory[32], smp[16], drive[512], net[64], card[64];
	const char *argv[ARGS_MAX];
	unsigned argc;
};

static void add(struct qemu *q, const char *a, const char *b)
{
	if (q->argc + 2 >= ARGS_MAX)
		bench_die("too many arguments for QEMU");
	q->argv[q->argc++] = a;
	if (b != NULL)
		q->argv[q->argc++] = b;
}

static const char *buffered_aio(void)
{
	/* EFAULT: the kernel has it and lets us. */
	bool has = syscall(SYS_io_uring_setup, 1, NULL) < 0 && errno == EFAULT;

	return has ? "io_uring" : "threads";
}

/* The card's backend: QEMU itself, or the kernel's vhost. */
static void add_nic(struct qemu *q, struct instance *in, const struct machine *m, bool vhost)
{
	(void)snprintf(q->net, sizeof(q->net), "tap,id=net,fd=%d,vhost=%s", m->tap,
		       vhost ? "on" : "off");
	(void)snprintf(q->card, sizeof(q->card),
		       "virtio-net-device,netdev=net,mac=%02x:%02x:%02x:%02x:%02x:%02x", m->mac[0],
		       m->mac[1], m->mac[2], m->mac[3], m->mac[4], m->mac[5]);
	add(q, "-netdev", q->net);
	add(q, "-device", q->card);
	in->pass_fd = m->tap;
}

static void add_vsock(struct qemu *q, struct instance *in)
{
	int fd = host_vsock_listen();

	if (fd < 0)
		bench_die("vsock is not there any more");
	in->host = host_stream(fd, true);
	add(q, "-device", "vhost-vsock-device,guest-cid=77");
}

static void start(struct instance *in, const struct machine *m, const char *aio, bool vhost)
{
	struct qemu *q = calloc(1, sizeof(*q));

	if (q == NULL)
		bench_die("no memory");
	in->own = q;
	(void)snprintf(q->memory, sizeof(q->memory), "%uM", m->memory_mib);
	add(q, qemu_program, NULL);
	add(q, "-M", qemu_machine);
	add(q, "-enable-kvm", NULL);
	add(q, "-cpu", "host,pmu=off");
	(void)snprintf(q->smp, sizeof(q->smp), "%u", m->vcpus);
	add(q, "-smp", q->smp);
	add(q, "-m", q->memory);
	add(q, "-nodefaults", "-no-user-config");
	add(q, "-display", "none");
	add(q, "-no-reboot", NULL);
	add(q, "-bios", qemu_firmware);
	add(q, "-global", "virtio-mmio.force-legacy=false");
	add(q, "-kernel", m->kernel);
	if (m->initrd != NULL)
		add(q, "-initrd", m->initrd);
	add(q, "-append", m->cmdline);
	add(q, "-device", "virtio-serial-device,max_ports=1");
	add(q, "-chardev", "stdio,id=con,signal=off");
	add(q, "-device", "virtconsole,chardev=con");
	add(q, "-device", "virtio-rng-device");
	if (m->drive != NULL) {
		(void)snprintf(q->drive, sizeof(q->drive),
			       "id=disk,if=none,format=raw,file=%s,aio=%s", m->drive, aio);
		add(q, "-object", "iothread,id=io");
		add(q, "-drive", q->drive);
		add(q, "-device", "virtio-blk-device,drive=disk,iothread=io");
	}
	if (m->tap >= 0)
		add_nic(q, in, m, vhost);
	if (m->stream)
		add_vsock(q, in);
	process_start(in, q->argv, false, &q->out);
}

static void qemu_start(struct instance *in, const struct machine *m)
{
	start(in, m, buffered_aio(), false);
}

static void qemu_vhost_start(struct instance *in, const struct machine *m)
{
	start(in, m, buffered_aio(), true);
}

static void qemu_direct_start(struct instance *in, const struct machine *m)
{
	start(in, m, "native,cache.direct=on", false);
}

static bool qemu_read(struct instance *in)
{
	struct qemu *q = in->own;

	return process_read(in, q->out);
}

static void qemu_stop(struct instance *in)
{
	struct qemu *q = in->own;

	process_kill(in);
	fd_closep(&q->out);
	free(q);
}

#define IN_BASIC (IN_GROUP(GROUP_START) | IN_GROUP(GROUP_EXITS) | IN_GROUP(GROUP_BLK))

const struct vmm_type vmm_qemu = { "qemu-microvm",
				   IN_BASIC | IN_GROUP(GROUP_NET) | IN_GROUP(GROUP_LINUX),
				   qemu_start, qemu_read, qemu_stop };
const struct vmm_type vmm_qemu_direct = { "qemu-direct", IN_GROUP(GROUP_BLK), qemu_direct_start,
					  qemu_read, qemu_stop };
const struct vmm_type vmm_qemu_vhost = { "qemu-vhost",
					 IN_GROUP(GROUP_NET) | IN_GROUP(GROUP_VSOCK) |
						 IN_GROUP(GROUP_LINUX),
					 qemu_vhost_start, qemu_read, qemu_stop };

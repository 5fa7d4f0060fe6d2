/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/vcpu.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"
#include "vmm/seccomp.h"
#include "vmm/vmm_fds.h"

#define KICK_SIGNAL	  SIGUSR1
#define STACK_BYTES	  (128 * KIB)
#define KERNEL_SIGSET_MAX 8U /* bytes of a signal set in the kernel's ABI */
/* An instruction is done after one or two rounds; a string instruction ends at a page. */
#define SETTLE_ROUNDS_MAX 4096U

_Static_assert(VCPUS_MAX <= VMM_VCPUS_MAX, "the descriptors are pinned in a range");

/* In KVM_RUN all signals but the kick are blocked. */
static int set_signal_mask(int vcpu_fd)
{
	union {
		struct kvm_signal_mask h;
		uint8_t room[sizeof(struct kvm_signal_mask) + KERNEL_SIGSET_MAX];
	} u = { .h = { .len = KERNEL_SIGSET_MAX } };
	uint64_t mask = ~(UINT64_C(1) << (KICK_SIGNAL - 1));

	memcpy(u.h.sigset, &mask, sizeof(mask));
	return ioctl(vcpu_fd, KVM_SET_SIGNAL_MASK, &u.h) < 0 ? -errno : 0;
}

int vcpu_init(struct vcpu *v, struct vcpu_world *w, int kvm_fd, int vm_fd, unsigned index,
	      struct err *err)
{
	CLEANUP(fd_closep) int fd = -1;
	int bytes, r;
	void *run;

	BUG_ON(index >= VCPUS_MAX);
	fd = ioctl(vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
	if (fd < 0)
		return err_sys(err, -errno, "KVM_CREATE_VCPU %u", index);
	*v = (struct vcpu){
		.world = w, .index = index, .fd = VMM_FD_VCPU0 + (int)index, .pid = getpid()
	};
	if (dup3(fd, v->fd, O_CLOEXEC) < 0)
		return err_sys(err, -errno, "vcpu %u: pinning its descriptor", index);
	bytes = ioctl(kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (bytes < (int)sizeof(struct kvm_run))
		return err_set(err, -EIO, "KVM_GET_VCPU_MMAP_SIZE: %d", bytes);
	v->run_bytes = (size_t)bytes;
	run = mmap(NULL, v->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, v->fd, 0);
	if (run == MAP_FAILED)
		return err_sys(err, -errno, "vcpu %u: mapping struct kvm_run", index);
	v->run = run;
	r = set_signal_mask(v->fd);
	if (r < 0)
		return err_sys(err, r, "KVM_SET_SIGNAL_MASK");
	return 0;
}

static void handle_mmio(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	size_t len = run->mmio.len;

	/* The kernel's promise, not the guest's. */
	BUG_ON(len == 0 || len > sizeof(run->mmio.data));
	if (run->mmio.is_write != 0)
		bus_write(&v->world->mmio, run->mmio.phys_addr, run->mmio.data, len);
	else
		bus_read(&v->world->mmio, run->mmio.phys_addr, run->mmio.data, len);
}

static void handle_io(struct vcpu *v)
{
	struct kvm_run *run = v->run;
	uint64_t off = run->io.data_offset;
	uint64_t bytes = (uint64_t)run->io.size * run->io.count;
	uint8_t *data = (uint8_t *)run + off;

	BUG_ON(!range_fits(off, bytes, v->run_bytes));
	/* A string instruction gives many values at once; KVM bounds them by one page. */
	for (uint32_t i = 0; i < run->io.count; i++, data += run->io.size) {
		if (run->io.direction == KVM_EXIT_IO_OUT)
			bus_write(&v->world->pio, run->io.port, data, run->io.size);
		else
			bus_read(&v->world->pio, run->io.port, data, run->io.size);
	}
}

static const struct {
	uint32_t reason;
	const char *name;
} exit_kinds[] = {
	[VCPU_EXIT_MMIO] = { KVM_EXIT_MMIO, "mmio" },
	[VCPU_EXIT_IO] = { KVM_EXIT_IO, "io" },
	[VCPU_EXIT_EOI] = { KVM_EXIT_IOAPIC_EOI, "ioapic_eoi" },
	[VCPU_EXIT_INTR] = { KVM_EXIT_INTR, "intr" },
	[VCPU_EXIT_BUS_LOCK] = { KVM_EXIT_X86_BUS_LOCK, "bus_lock" },
	[VCPU_EXIT_NOTIFY] = { KVM_EXIT_NOTIFY, "notify" },
	[VCPU_EXIT_SHUTDOWN] = { KVM_EXIT_SHUTDOWN, "shutdown" },
	[VCPU_EXIT_INTERNAL_ERROR] = { KVM_EXIT_INTERNAL_ERROR, "internal_error" },
	[VCPU_EXIT_FAIL_ENTRY] = { KVM_EXIT_FAIL_ENTRY, "fail_entry" },
	[VCPU_EXIT_OTHER] = { UINT32_MAX, "other" },
};
_Static_assert(ARRAY_SIZE(exit_kinds) == VCPU_EXIT_COUNT, "one line a kind");

static enum vcpu_exit exit_kind(uint32_t reason)
{
	unsigned i = 0;

	while (i < VCPU_EXIT_OTHER && exit_kinds[i].reason != reason)
		i++;
	return (enum vcpu_exit)i;
}

static void count_exit(struct vcpu *v, enum vcpu_exit exit)
{
	/* One writer: no need for a locked instruction. */
	__atomic_store_n(&v->exits[exit], v->exits[exit] + 1, __ATOMIC_RELAXED);
}

uint64_t vcpu_exits(const struct vcpu *v, enum vcpu_exit exit)
{
	BUG_ON(exit >= VCPU_EXIT_COUNT);
	return __atomic_load_n(&v->exits[exit], __ATOMIC_RELAXED);
}

const char *vcpu_exit_name(enum vcpu_exit exit)
{
	BUG_ON(exit >= VCPU_EXIT_COUNT);
	return exit_kinds[exit].name;
}

/* Answers one exit; an exit that ends the VM sets its result. */
static void handle_exit(struct vcpu *v)
{
	const struct kvm_run *run = v->run;
	struct result *res = v->world->result;
	enum vcpu_exit kind = exit_kind(run->exit_reason);

	count_exit(v, kind);
	/* One that came with another exit. */
	if ((run->flags & KVM_RUN_X86_BUS_LOCK) != 0 && kind != VCPU_EXIT_BUS_LOCK)
		count_exit(v, VCPU_EXIT_BUS_LOCK);
	switch (kind) {
	case VCPU_EXIT_MMIO:
		handle_mmio(v);
		break;
	case VCPU_EXIT_IO:
		handle_io(v);
		break;
	case VCPU_EXIT_EOI:
		ioapic_eoi(&v->world->ioapic, run->eoi.vector);
		break;
	case VCPU_EXIT_NOTIFY:
		if ((run->notify.flags & KVM_NOTIFY_CONTEXT_INVALID) != 0)
			result_end(res, END_GUEST_ERROR, "vcpu %u lost its context", v->index);
		break;
	case VCPU_EXIT_BUS_LOCK:
	case VCPU_EXIT_INTR:
		break;
	case VCPU_EXIT_SHUTDOWN:
		result_end(res, END_TRIPLE_FAULT, "triple fault on vcpu %u", v->index);
		break;
	case VCPU_EXIT_INTERNAL_ERROR:
		result_end(res, END_GUEST_ERROR, "KVM internal error %u on vcpu %u",
			   run->internal.suberror, v->index);
		break;
	case VCPU_EXIT_FAIL_ENTRY:
		result_end(res, END_GUEST_ERROR, "KVM entry failed on vcpu %u: 0x%llx", v->index,
			   (unsigned long long)run->fail_entry.hardware_entry_failure_reason);
		break;
	case VCPU_EXIT_OTHER:
		result_end(res, END_GUEST_ERROR, "unexpected KVM exit %u on vcpu %u",
			   run->exit_reason, v->index);
		break;
	case VCPU_EXIT_COUNT:
		BUG("no kind of exit");
	}
}

/* Takes a kick that has done its work off the thread's queue; KVM_RUN would not start with it. */
static void take_kick(void)
{
	const struct timespec at_once = { 0, 0 };
	sigset_t kick;

	(void)sigemptyset(&kick);
	(void)sigaddset(&kick, KICK_SIGNAL);
	(void)sigtimedwait(&kick, NULL, &at_once);
}

/* Has KVM end the instruction whose exit was answered last, without running the guest. */
static void settle(struct vcpu *v)
{
	v->run->immediate_exit = 1;
	for (unsigned i = 0; i < SETTLE_ROUNDS_MAX && ioctl(v->fd, KVM_RUN, 0) == 0; i++)
		handle_exit(v);
	v->run->immediate_exit = 0;
}

/* The guest was stopped: its watchdogs shall not take that for a hang. EINVAL: it has no
 * kvm-clock. */
static void tell_of_pause(struct vcpu *v)
{
	if (ioctl(v->fd, KVM_KVMCLOCK_CTRL, 0) < 0 && errno != EINVAL)
		result_end(v->world->result, END_HOST_ERROR, "KVM_KVMCLOCK_CTRL: %s",
			   strerrorname_np(errno));
}

static bool gate_is_open(struct vcpu_world *w)
{
	/* Acquire: pairs with set_gate; whoever is let in sees what was done behind the gate. */
	return __atomic_load_n(&w->open, __ATOMIC_ACQUIRE);
}

/* Waits until the gate is open. */
static void wait_at_gate(struct vcpu_world *w)
{
	(void)pthread_mutex_lock(&w->lock);
	w->parked++;
	(void)pthread_cond_broadcast(&w->changed);
	while (!gate_is_open(w))
		(void)pthread_cond_wait(&w->changed, &w->lock);
	w->parked--;
	(void)pthread_mutex_unlock(&w->lock);
}

static void run_guest(struct vcpu *v)
{
	while (!result_ended(v->world->result)) {
		if (!gate_is_open(v->world)) {
			settle(v);
			wait_at_gate(v->world);
			tell_of_pause(v);
		} else if (ioctl(v->fd, KVM_RUN, 0) == 0) {
			handle_exit(v);
		} else if (errno == EINTR) {
			count_exit(v, VCPU_EXIT_INTR);
			take_kick();
		} else if (errno != EAGAIN) { /* which wakes one that waits for INIT */
			result_end(v->world->result, END_HOST_ERROR, "KVM_RUN on vcpu %u: %s",
				   v->index, strerrorname_np(errno));
		}
	}
}

static void *vcpu_thread(void *arg)
{
	struct vcpu *v = arg;
	struct vcpu_world *w = v->world;
	int r;

	v->tid = gettid();
	r = vmm_seccomp_install(SECCOMP_VCPU);
	/* KVM does some work in a VM's first KVM_RUN (since Linux 6.14 it starts a thread, 40 us):
	 * now, and not when somebody waits for the guest. */
	if (r == 0)
		settle(v);
	(void)pthread_mutex_lock(&w->lock);
	if (r < 0)
		w->failed = r;
	w->ready++;
	(void)pthread_cond_broadcast(&w->changed);
	(void)pthread_mutex_unlock(&w->lock);
	wait_at_gate(w);
	if (r == 0)
		run_guest(v);
	/* One that has ended counts as parked, or a pause that comes now would wait for ever. */
	(void)pthread_mutex_lock(&w->lock);
	w->parked++;
	(void)pthread_cond_broadcast(&w->changed);
	(void)pthread_mutex_unlock(&w->lock);
	/* Not by returning: glibc's way out needs system calls that the filter leaves out. */
	(void)syscall(SYS_exit, 0);
	BUG("a thread survived its exit");
}

static void on_kick(int signo)
{
	(void)signo;
}

static int make_threads(struct vcpu *vcpus, unsigned count, unsigned *ret_made)
{
	pthread_attr_t attr;
	int r = 0;

	(void)pthread_attr_init(&attr);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (*ret_made = 0; *ret_made < count && r == 0; *ret_made += r == 0)
		r = -pthread_create(&vcpus[*ret_made].thread, &attr, vcpu_thread,
				    &vcpus[*ret_made]);
	(void)pthread_attr_destroy(&attr);
	return r;
}

int vcpus_start_threads(struct vcpu *vcpus, unsigned count, struct err *err)
{
	/* With the default action a blocked signal would do too, but a bug would then kill. */
	struct sigaction sa = { .sa_handler = on_kick };
	struct vcpu_world *w = vcpus[0].world;
	sigset_t all, old;
	unsigned made;
	int r;

	if (sigaction(KICK_SIGNAL, &sa, NULL) < 0)
		return err_sys(err, -errno, "vcpu: signal");
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &old);
	r = make_threads(vcpus, count, &made);
	(void)pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (r < 0)
		return err_sys(err, r, "vcpu: thread %u", made);
	(void)pthread_mutex_lock(&w->lock);
	while (w->ready < count)
		(void)pthread_cond_wait(&w->changed, &w->lock);
	r = w->failed;
	(void)pthread_mutex_unlock(&w->lock);
	return r < 0 ? err_sys(err, r, "vcpu: seccomp filter") : 0;
}

static void set_gate(struct vcpu_world *w, bool open)
{
	(void)pthread_mutex_lock(&w->lock);
	__atomic_store_n(&w->open, open, __ATOMIC_RELEASE);
	(void)pthread_mutex_unlock(&w->lock);
	/* Without the lock: who wakes up wants it first. */
	(void)pthread_cond_broadcast(&w->changed);
}

void vcpus_run(struct vcpu_world *w)
{
	set_gate(w, true);
}

void vcpus_pause(struct vcpu *vcpus, unsigned count)
{
	struct vcpu_world *w = vcpus[0].world;

	/* First the gate, then the kick: whoever takes the kick finds the gate closed. */
	set_gate(w, false);
	vcpus_kick(vcpus, count);
	(void)pthread_mutex_lock(&w->lock);
	while (w->parked < count)
		(void)pthread_cond_wait(&w->changed, &w->lock);
	(void)pthread_mutex_unlock(&w->lock);
}

void vcpus_kick(struct vcpu *vcpus, unsigned count)
{
	/* Not pthread_kill, which needs more system calls. A thread that is already gone is fine:
	 * its number is not used again, because nothing makes threads any more. */
	for (unsigned i = 0; i < count; i++)
		(void)tgkill(vcpus[i].pid, vcpus[i].tid, KICK_SIGNAL);
}

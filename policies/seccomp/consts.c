/* SPDX-License-Identifier: Apache-2.0 */
#include "policies/seccomp/consts.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <linux/futex.h>
#include <linux/if_tun.h>
#include <linux/keyctl.h>
#include <linux/kvm.h>
#include <linux/prctl.h>
#include <linux/random.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>

#include "base/compiler.h"
#include "vmm/vmm_fds.h"

struct named {
	const char *name;
	uint64_t value;
};

#define N(c)                      \
	{                         \
#c, (uint64_t)(c) \
	}

static const struct named table[] = {
	/* our own descriptors */
	N(VMM_FD_CONTROL),
	N(VMM_FD_KVM),
	N(VMM_FD_KERNEL),
	N(VMM_FD_INITRD),
	N(VMM_FD_DRIVE0),
	N(VMM_DRIVES_MAX),
	N(VMM_FD_VM),
	N(VMM_FD_TAP0),
	N(VMM_TAPS_MAX),
	N(VMM_FD_VCPU0),
	N(VMM_VCPUS_MAX),
	N(VMM_FD_DYNAMIC),
	N(VMM_FD_END),

	/* ioctl on /dev/kvm, a VM, a vCPU */
	N(KVM_CHECK_EXTENSION),
	N(KVM_CREATE_DEVICE),
	N(KVM_CREATE_IRQCHIP),
	N(KVM_CREATE_PIT2),
	N(KVM_CREATE_VCPU),
	N(KVM_CREATE_VM),
	N(KVM_ENABLE_CAP),
	N(KVM_GET_API_VERSION),
	N(KVM_GET_CLOCK),
	N(KVM_GET_CPUID2),
	N(KVM_GET_DEBUGREGS),
	N(KVM_GET_DIRTY_LOG),
	N(KVM_CLEAR_DIRTY_LOG),
	N(KVM_GET_FPU),
	N(KVM_GET_IRQCHIP),
	N(KVM_GET_LAPIC),
	N(KVM_GET_MP_STATE),
	N(KVM_GET_MSRS),
	N(KVM_GET_MSR_FEATURE_INDEX_LIST),
	N(KVM_GET_MSR_INDEX_LIST),
	N(KVM_GET_REGS),
	N(KVM_GET_SREGS),
	N(KVM_GET_SREGS2),
	N(KVM_GET_STATS_FD),
	N(KVM_GET_SUPPORTED_CPUID),
	N(KVM_GET_TSC_KHZ),
	N(KVM_GET_VCPU_EVENTS),
	N(KVM_GET_VCPU_MMAP_SIZE),
	N(KVM_GET_XCRS),
	N(KVM_GET_XSAVE),
	N(KVM_GET_XSAVE2),
	N(KVM_INTERRUPT),
	N(KVM_IOEVENTFD),
	N(KVM_IRQFD),
	N(KVM_IRQ_LINE),
	N(KVM_KVMCLOCK_CTRL),
	N(KVM_NMI),
	N(KVM_RUN),
	N(KVM_SET_CLOCK),
	N(KVM_SET_CPUID2),
	N(KVM_SET_DEBUGREGS),
	N(KVM_SET_FPU),
	N(KVM_SET_GSI_ROUTING),
	N(KVM_SET_IDENTITY_MAP_ADDR),
	N(KVM_SET_IRQCHIP),
	N(KVM_SET_LAPIC),
	N(KVM_SET_MP_STATE),
	N(KVM_SET_MSRS),
	N(KVM_SET_REGS),
	N(KVM_SET_SIGNAL_MASK),
	N(KVM_SET_SREGS),
	N(KVM_SET_SREGS2),
	N(KVM_SET_TSC_KHZ),
	N(KVM_SET_TSS_ADDR),
	N(KVM_SET_USER_MEMORY_REGION),
	N(KVM_SET_VCPU_EVENTS),
	N(KVM_SET_XCRS),
	N(KVM_SET_XSAVE),
	N(KVM_SIGNAL_MSI),
	N(KVM_X86_SET_MSR_FILTER),

	/* other ioctls */
	N(TCGETS),
	N(TIOCGWINSZ),
	N(FIONBIO),
	N(FIONREAD),
	N(TUNGETIFF),
	N(TUNGETVNETHDRSZ),
	N(TUNSETIFF),
	N(TUNSETOFFLOAD),
	N(TUNSETVNETHDRSZ),
	N(TUN_F_CSUM),
	N(TUN_F_TSO4),
	N(TUN_F_TSO6),
	N(TUN_F_TSO_ECN),

	/* memory */
	N(PROT_NONE),
	N(PROT_READ),
	N(PROT_WRITE),
	N(PROT_EXEC),
	N(MAP_SHARED),
	N(MAP_PRIVATE),
	N(MAP_FIXED),
	N(MAP_FIXED_NOREPLACE),
	N(MAP_ANONYMOUS),
	N(MAP_NORESERVE),
	N(MAP_STACK),
	N(MAP_GROWSDOWN),
	N(MAP_POPULATE),
	N(MADV_NORMAL),
	N(MADV_DONTNEED),
	N(MADV_FREE),
	N(MADV_DONTDUMP),
	N(MADV_DONTFORK),
	N(MADV_HUGEPAGE),
	N(MADV_NOHUGEPAGE),
	N(MADV_POPULATE_READ),
	N(MADV_POPULATE_WRITE),
	N(MREMAP_MAYMOVE),

	/* files and descriptors */
	N(AT_FDCWD),
	N(AT_EMPTY_PATH),
	N(O_RDONLY),
	N(O_WRONLY),
	N(O_RDWR),
	N(O_CLOEXEC),
	N(O_DIRECTORY),
	N(O_NOFOLLOW),
	N(O_NONBLOCK),
	N(O_PATH),
	N(O_TMPFILE),
	N(O_CREAT),
	N(O_TRUNC),
	N(O_ACCMODE),
	N(F_GETFD),
	N(F_SETFD),
	N(F_GETFL),
	N(F_SETFL),
	N(F_DUPFD),
	N(F_DUPFD_CLOEXEC),
	N(F_ADD_SEALS),
	N(F_GET_SEALS),
	N(FD_CLOEXEC),
	N(CLOSE_RANGE_CLOEXEC),
	N(CLOSE_RANGE_UNSHARE),
	N(SEEK_SET),
	N(SEEK_CUR),
	N(SEEK_END),
	N(EPOLL_CLOEXEC),
	N(EPOLL_CTL_ADD),
	N(EPOLL_CTL_MOD),
	N(EPOLL_CTL_DEL),
	N(EFD_CLOEXEC),
	N(EFD_NONBLOCK),
	N(FALLOC_FL_KEEP_SIZE),
	N(FALLOC_FL_PUNCH_HOLE),
	N(FALLOC_FL_ZERO_RANGE),
	N(RWF_DSYNC),
	N(RWF_NOWAIT),
	N(CLOCK_MONOTONIC),
	N(TFD_CLOEXEC),
	N(TFD_NONBLOCK),
	N(TFD_TIMER_ABSTIME),
	N(CLOCK_MONOTONIC),

	/* sockets */
	N(AF_UNIX),
	N(SOCK_STREAM),
	N(SOCK_SEQPACKET),
	N(SOCK_DGRAM),
	N(SOCK_CLOEXEC),
	N(SOCK_NONBLOCK),
	N(SOL_SOCKET),
	N(SO_PEERCRED),
	N(SO_ERROR),
	N(SO_SNDBUF),
	N(SO_RCVBUF),
	N(SO_TYPE),
	N(SHUT_RD),
	N(SHUT_WR),
	N(SHUT_RDWR),
	N(MSG_NOSIGNAL),
	N(MSG_DONTWAIT),
	N(MSG_CMSG_CLOEXEC),

	/* processes, threads, signals */
	N(CLONE_VM),
	N(CLONE_FS),
	N(CLONE_FILES),
	N(CLONE_SIGHAND),
	N(CLONE_THREAD),
	N(CLONE_SYSVSEM),
	N(CLONE_SETTLS),
	N(CLONE_PARENT_SETTID),
	N(CLONE_CHILD_CLEARTID),
	N(CLONE_CHILD_SETTID),
	N(FUTEX_WAIT),
	N(FUTEX_WAKE),
	N(FUTEX_WAIT_BITSET),
	N(FUTEX_WAKE_BITSET),
	N(FUTEX_PRIVATE_FLAG),
	N(FUTEX_CLOCK_REALTIME),
	N(FUTEX_WAIT_PRIVATE),
	N(FUTEX_WAKE_PRIVATE),
	N(FUTEX_WAIT_BITSET_PRIVATE),
	N(FUTEX_WAKE_BITSET_PRIVATE),
	N(FUTEX_CMP_REQUEUE_PRIVATE),
	N(SIG_BLOCK),
	N(SIG_UNBLOCK),
	N(SIG_SETMASK),
	N(SIGABRT),
	N(SIGKILL),
	N(SIGTERM),
	N(SIGUSR1),
	N(SIGUSR2),
	N(WNOHANG),
	N(P_PIDFD),
	N(WEXITED),
	N(PRIO_PROCESS),
	N(PR_SET_NAME),
	N(PR_SET_PDEATHSIG),
	N(PR_SET_DUMPABLE),
	N(PR_GET_DUMPABLE),
	N(PR_SET_SECCOMP),
	N(PR_SET_NO_NEW_PRIVS),
	N(PR_GET_NO_NEW_PRIVS),
	N(PR_CAPBSET_READ),
	N(PR_CAPBSET_DROP),
	N(PR_SET_SECUREBITS),
	N(PR_GET_SECUREBITS),
	N(PR_CAP_AMBIENT),
	N(PR_SET_VMA),
	N(PR_SET_SPECULATION_CTRL),
	N(PR_GET_SPECULATION_CTRL),
	{ "PR_SET_MDWE", 65 }, /* Linux 6.3; not in Debian 12's headers */
	{ "PR_GET_MDWE", 66 },
	N(SECCOMP_SET_MODE_FILTER),
	N(SECCOMP_FILTER_FLAG_TSYNC),
	N(SECCOMP_GET_ACTION_AVAIL),
	N(KEYCTL_JOIN_SESSION_KEYRING),
	N(RLIMIT_NOFILE),
	N(RLIMIT_CORE),
	N(GRND_NONBLOCK),

	/* answers of `-> ERRNO` */
	N(ENOSYS),
	N(EPERM),
	N(EACCES),
	N(EINVAL),
	N(ENOTTY),
};

bool const_find(const char *name, size_t len, uint64_t *ret)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		if (strlen(table[i].name) == len && memcmp(table[i].name, name, len) == 0) {
			*ret = table[i].value;
			return true;
		}
	}
	return false;
}

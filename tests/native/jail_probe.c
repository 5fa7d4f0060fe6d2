/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail_probe - stands in for casemate-vmm in the tests of the jail: it has no system-call filter of
 * its own, so it sees what the jail alone allows, and says so on the control socket.
 *
 * One byte is a command: 'r' report (lines `key value`, the last one `end 0`), 'x' exit with
 * status 7, 'm' use memory until killed, 'b' use BURN_MS of a processor and BURN_BYTES of memory
 * and say `burnt 1`. End of file: exit 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <linux/capability.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/native/jail_probe.h"
#include "vmm/vmm_fds.h"

#define FDS_LOOKED_AT 4096
#define CAPS	      64UL

#ifndef MFD_EXEC /* Linux 6.3; Debian 12's headers are older */
#define MFD_EXEC 0x0010U
#endif

extern char **environ;

static FILE *out;

static void say(const char *key, long long value)
{
	fprintf(out, "%s %lld\n", key, value);
}

/* 0 = it worked, else errno. */
static int result(long r)
{
	return r < 0 ? errno : 0;
}

static void say_caps(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	unsigned bounding = 0, ambient = 0, sets = 1;

	for (unsigned long c = 0; c < CAPS; c++) {
		bounding += prctl(PR_CAPBSET_READ, c, 0, 0, 0) == 1 ? 1 : 0;
		ambient += prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, c, 0, 0) == 1 ? 1 : 0;
	}
	if (syscall(SYS_capget, &head, data) == 0)
		sets = data[0].effective | data[0].permitted | data[0].inheritable |
		       data[1].effective | data[1].permitted | data[1].inheritable;
	say("cap.bounding", bounding);
	say("cap.ambient", ambient);
	say("cap.sets", sets);
	say("securebits", prctl(PR_GET_SECUREBITS, 0, 0, 0, 0));
	say("nnp", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0));
}

static void say_ids(int argc)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;

	if (getresuid(&r, &e, &s) < 0 || getresgid(&rg, &eg, &sg) < 0)
		exit(99);
	say("uid", r);
	say("uid.zero", r == 0);
	say("ids.same", r == e && r == s && r == rg && r == eg && r == sg);
	say("groups", getgroups(0, NULL));
	say("pid", getpid());
	say("sid.own", getsid(0) == getpid());
	say("argc", argc);
	say("environ", environ[0] != NULL);
	say("setuid0", result(setuid(0)));
}

static void say_fds(void)
{
	unsigned long table = 0;
	long long beyond = 0;

	for (int fd = 0; fd < FDS_LOOKED_AT; fd++) {
		if (fcntl(fd, F_GETFD) < 0)
			continue;
		if (fd < VMM_FD_DYNAMIC)
			table |= 1UL << fd;
		else
			beyond++;
	}
	say("fds.table", (long long)table);
	say("fds.beyond", beyond);
	say("fd.kernel.mode", fcntl(VMM_FD_KERNEL, F_GETFL) & O_ACCMODE);
	say("fd.image.mode", fcntl(VMM_FD_DRIVE0, F_GETFL) & O_ACCMODE);
	say("fd.scratch.mode", fcntl(VMM_FD_DRIVE0 + 1, F_GETFL) & O_ACCMODE);
	/* Whole entries of 40 bytes, and at least one. */
	say("fd.cpuid.mode", fcntl(VMM_FD_CPUID, F_GETFL) & O_ACCMODE);
	say("fd.cpuid.rest",
	    lseek(VMM_FD_CPUID, 0, SEEK_END) > 0 ? lseek(VMM_FD_CPUID, 0, SEEK_END) % 40 : -1);
	say("fd.scratch.write", result(pwrite(VMM_FD_DRIVE0 + 1, "x", 1, 0)));
	say("fd.scratch.beyond", result(pwrite(VMM_FD_DRIVE0 + 1, "x", 1, 1 << 30)));
}

static void say_root(void)
{
	say("open.root", result(open("/", O_RDONLY | O_DIRECTORY)));
	say("open.shadow", result(open("/etc/shadow", O_RDONLY)));
	say("open.passwd", result(open("/etc/passwd", O_RDONLY)));
	say("open.dotdot", result(open("../../../../etc/passwd", O_RDONLY)));
	say("open.proc", result(open("/proc/self/status", O_RDONLY)));
	say("create", result(open("/x", O_CREAT | O_WRONLY, 0600)));
	say("mknod", result(mknod("/x", S_IFCHR | 0600, 0)));
	say("mount", result(mount("none", "/", "tmpfs", 0, NULL)));
}

static void say_net(void)
{
	struct ifreq ifr = { .ifr_name = "lo" };
	struct if_nameindex *list = if_nameindex();
	long long n = 0;
	int s = socket(AF_INET, SOCK_DGRAM, 0);

	while (list != NULL && list[n].if_index != 0)
		n++;
	say("net.interfaces", n);
	say("net.lo.up",
	    s >= 0 && ioctl(s, SIOCGIFFLAGS, &ifr) == 0 && (ifr.ifr_flags & IFF_UP) != 0);
	say("net.raw", result(socket(AF_INET, SOCK_RAW, 1)));
	if (s >= 0)
		close(s);
}

static bool is_tap(int fd, struct ifreq *ifr)
{
	memset(ifr, 0, sizeof(*ifr));
	return ioctl(fd, TUNGETIFF, ifr) == 0;
}

/* The tap in this namespace, from the queues that we were given. */
static void say_tap(void)
{
	struct ifreq ifr, up;
	struct ifaddrs *list = NULL;
	long long addresses = 0, queues = 0;
	int size = 0, s = socket(AF_INET, SOCK_DGRAM, 0);

	while (queues < VMM_TAPS_MAX && is_tap(VMM_FD_TAP0 + (int)queues, &ifr))
		queues++;
	say("tap.queues", queues);
	if (queues == 0 || !is_tap(VMM_FD_TAP0, &ifr))
		return;
	say("tap.flags", (unsigned short)ifr.ifr_flags & ~(IFF_ATTACH_QUEUE | IFF_DETACH_QUEUE));
	say("tap.vnet_hdr", ioctl(VMM_FD_TAP0, TUNGETVNETHDRSZ, &size) == 0 ? size : -1);
	up = ifr;
	say("tap.up", s >= 0 && ioctl(s, SIOCGIFFLAGS, &up) == 0 && (up.ifr_flags & IFF_UP) != 0);
	if (getifaddrs(&list) == 0) {
		for (struct ifaddrs *a = list; a != NULL; a = a->ifa_next) {
			int family = a->ifa_addr == NULL ? AF_UNSPEC : a->ifa_addr->sa_family;
			addresses += family == AF_INET || family == AF_INET6;
		}
		freeifaddrs(list);
	}
	say("tap.addresses", addresses);
	if (s >= 0)
		close(s);
}

static void say_memory(void)
{
	int fd = memfd_create("x", MFD_EXEC);

	say("mmap.rwx", mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED);
	say("memfd.exec", fd >= 0);
	say("dumpable", prctl(PR_GET_DUMPABLE, 0, 0, 0, 0));
	say("mlock", result(mlock(&out, sizeof(out))));
	if (fd >= 0)
		close(fd);
}

static void say_limits(void)
{
	static const struct {
		const char *name;
		__rlimit_resource_t what;
	} limits[] = {
		{ "rlimit.core", RLIMIT_CORE },	  { "rlimit.nofile", RLIMIT_NOFILE },
		{ "rlimit.nproc", RLIMIT_NPROC }, { "rlimit.memlock", RLIMIT_MEMLOCK },
		{ "rlimit.fsize", RLIMIT_FSIZE }, { "rlimit.as", RLIMIT_AS },
	};
	int death = 0;

	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		struct rlimit r = { 0 };
		if (getrlimit(limits[i].what, &r) < 0)
			exit(99);
		say(limits[i].name, (long long)r.rlim_max);
	}
	if (prctl(PR_GET_PDEATHSIG, &death, 0, 0, 0) < 0)
		exit(99);
	say("pdeathsig", death);
}

static void report(int argc)
{
	char host[65] = "";

	say_ids(argc);
	say_caps();
	say_fds();
	say_root();
	say_net();
	say_tap();
	say_memory();
	say_limits();
	say("unshare.user", result(unshare(CLONE_NEWUSER)));
	say("unshare.mount", result(unshare(CLONE_NEWNS)));
	if (gethostname(host, sizeof(host)) < 0)
		exit(99);
	say("hostname.ours", strcmp(host, "casemate") == 0);
	say("end", 0);
	fflush(out);
}

static void eat(void)
{
	const size_t step = 1U << 20;

	for (;;) {
		char *p = mmap(NULL, step, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0);
		if (p == MAP_FAILED)
			exit(98);
		memset(p, 1, step);
	}
}

/* The time is measured as the kernel counts it, so a busy machine only makes it take longer. */
static void burn(void)
{
	struct timespec from, now;
	char *memory =
		mmap(NULL, BURN_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from) < 0)
		exit(98);
	memset(memory, 1, BURN_BYTES);
	do {
		if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now) < 0)
			exit(98);
	} while ((now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 <
		 BURN_MS);
	say("burnt", memory[BURN_BYTES - 1]);
	fflush(out);
}

int main(int argc, char **argv)
{
	char command;

	(void)argv;
	if (write(STDERR_FILENO, "probe: log\n", 11) != 11)
		return 97;
	out = fdopen(VMM_FD_CONTROL, "w");
	if (out == NULL || signal(SIGXFSZ, SIG_IGN) == SIG_ERR)
		return 97;
	while (read(VMM_FD_CONTROL, &command, 1) == 1) {
		if (command == 'r')
			report(argc);
		else if (command == 'x')
			return 7;
		else if (command == 'm')
			eat();
		else if (command == 'b')
			burn();
	}
	return 0;
}

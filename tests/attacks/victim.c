/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/attacks/victim.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/if_tun.h>
#include <linux/keyctl.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "probe/tiny.h"
#include "tests/attacks/harness.h"
#include "tests/attacks/world.h"

#define SHM_KEY	   0x7f3aca5e
#define SECRET_FD  3 /* in the neighbour: what V29 steals */
#define DISK_LABEL "system_u:object_r:casemate_scratch_t:s0:c510,c1022" /* nobody's pair */

static char canary[] = CANARY;

/* ---- Processes ----------------------------------------------------------------------------- */

static NORETURN void be_neighbour(const char *secret, int ready)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0 || dup2(ready, 10) < 0)
		_exit(1);
	(void)close_range(SECRET_FD, 9, 0);
	if (open(secret, O_RDONLY) != SECRET_FD || setgroups(0, NULL) < 0 ||
	    setresgid(VICTIM_UID, VICTIM_UID, VICTIM_UID) < 0 ||
	    setresuid(VICTIM_UID, VICTIM_UID, VICTIM_UID) < 0 ||
	    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) < 0 || write(10, "x", 1) != 1)
		_exit(1);
	for (;;)
		(void)pause();
}

static int listen_on(const struct sockaddr_un *a, socklen_t len)
{
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)a, len) < 0 || listen(fd, 16) < 0)
		harness_die("socket of the host");
	return fd;
}

static int listen_abstract(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t len = strlen(name);

	memcpy(a.sun_path + 1, name, len);
	return listen_on(&a, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len));
}

static int listen_path(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd;

	(void)snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	(void)unlink(path);
	fd = listen_on(&a, sizeof(a));
	if (chmod(path, 0600) < 0)
		harness_die("%s", path);
	return fd;
}

/* Takes connections; the last of the sockets hands out the secret. */
static NORETURN void be_server(const struct scene *s, int ready)
{
	struct pollfd p[3] = { { .events = POLLIN }, { .events = POLLIN }, { .events = POLLIN } };
	int secret = open(s->secret, O_RDONLY | O_CLOEXEC);

	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		_exit(1);
	p[0].fd = listen_path(s->socket);
	p[1].fd = listen_abstract(s->abstract);
	p[2].fd = listen_abstract(s->giver);
	if (write(ready, "x", 1) != 1)
		_exit(1);
	for (;;) {
		if (poll(p, ARRAY_SIZE(p), -1) < 0)
			continue;
		for (size_t i = 0; i < ARRAY_SIZE(p); i++) {
			CLEANUP(fd_closep) int fd = -1;
			if ((p[i].revents & POLLIN) == 0)
				continue;
			fd = accept4(p[i].fd, NULL, NULL, SOCK_CLOEXEC);
			if (i == 2 && fd >= 0) {
				(void)lseek(secret, 0, SEEK_SET);
				(void)!fd_send(fd, "x", 1, &secret, 1);
			}
		}
	}
}

static void wait_ready(int fd, const char *who)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	if (poll(&p, 1, 10000) != 1 || read(fd, &byte, 1) != 1)
		harness_die("%s does not come up", who);
}

static void start_processes(struct victims *v, const struct scene *s)
{
	int ready[2];

	if (pipe2(ready, O_CLOEXEC) < 0)
		harness_die("pipe");
	v->neighbour = fork();
	if (v->neighbour == 0)
		be_neighbour(s->secret, ready[1]);
	wait_ready(ready[0], "the neighbour");
	v->server = fork();
	if (v->server == 0)
		be_server(s, ready[1]);
	wait_ready(ready[0], "the server");
	(void)close(ready[0]);
	(void)close(ready[1]);
}

/* ---- Objects ------------------------------------------------------------------------------- */

static void make_files(struct scene *s)
{
	struct file_handle *h = (struct file_handle *)(void *)s->handle;
	int mount_id;

	harness_write(s->secret, CANARY, strlen(CANARY), 0600);
	harness_mkdir(WORLD_LIB "/neighbour", 0755);
	harness_write(s->disk, CANARY, strlen(CANARY), 0600);
	if (chown(s->disk, VICTIM_UID, VICTIM_UID) < 0)
		harness_die("%s", s->disk);
	harness_label(s->disk, DISK_LABEL);
	harness_write(s->shm, CANARY, strlen(CANARY), 0600);
	harness_mkdir(s->dir, 01777);
	harness_write(s->suid_helper, tiny_suid, sizeof(tiny_suid), 04755);
	h->handle_bytes = SCENE_HANDLE - sizeof(*h);
	if (name_to_handle_at(AT_FDCWD, s->secret, h, &mount_id, 0) < 0)
		harness_die("handle of %s", s->secret);
}

static void make_segment(struct scene *s)
{
	int id = shmget(SHM_KEY, sizeof(CANARY), IPC_CREAT | 0600);
	char *p = id < 0 ? (void *)-1 : shmat(id, NULL, 0);

	if (p == (void *)-1)
		harness_die("System V memory");
	memcpy(p, CANARY, sizeof(CANARY));
	(void)shmdt(p);
	s->shm_key = SHM_KEY;
}

/* A kernel without keys has none to steal: the row then has no positive control either. */
static void make_key(struct scene *s)
{
	(void)syscall(SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, "casemate-attacks");
	s->key = (int32_t)syscall(SYS_add_key, "user", "casemate-secret", CANARY, strlen(CANARY),
				  KEY_SPEC_SESSION_KEYRING);
}

static void make_nic(const char *name)
{
	struct ifreq q = { .ifr_flags = IFF_TAP | IFF_NO_PI };
	CLEANUP(fd_closep) int tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
	CLEANUP(fd_closep) int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)snprintf(q.ifr_name, sizeof(q.ifr_name), "%s", name);
	if (tun < 0 || sock < 0 || ioctl(tun, TUNSETIFF, &q) < 0 ||
	    ioctl(tun, TUNSETPERSIST, 1) < 0)
		harness_die("interface %s", name);
	q.ifr_flags = IFF_UP;
	if (ioctl(sock, SIOCSIFFLAGS, &q) < 0)
		harness_die("interface %s", name);
}

static void set_text(char *dst, size_t cap, const char *text)
{
	(void)snprintf(dst, cap, "%s", text);
}

void victims_start(struct victims *v, struct scene *s)
{
	set_text(s->dir, sizeof(s->dir), WORLD_LIB "/drop");
	set_text(s->secret, sizeof(s->secret), WORLD_LIB "/secret");
	set_text(s->disk, sizeof(s->disk), WORLD_LIB "/neighbour/disk");
	set_text(s->shm, sizeof(s->shm), "/dev/shm/neighbour");
	set_text(s->suid_helper, sizeof(s->suid_helper), WORLD_LIB "/helper");
	set_text(s->socket, sizeof(s->socket), WORLD_LIB "/host.sock");
	set_text(s->abstract, sizeof(s->abstract), "casemate-attacks");
	set_text(s->giver, sizeof(s->giver), "casemate-attacks-giver");
	set_text(s->nic, sizeof(s->nic), "casehost0");
	make_files(s);
	make_segment(s);
	make_key(s);
	make_nic(s->nic);
	start_processes(v, s);
	s->victim = v->neighbour;
	s->victim_canary = (uint64_t)(uintptr_t)canary;
}

void victims_stop(struct victims *v)
{
	harness_end(v->neighbour, SIGKILL);
	harness_end(v->server, SIGKILL);
	*v = (struct victims){ 0 };
}

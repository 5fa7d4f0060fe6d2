/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/power.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

#define TERM_MS 200  /* what a polite process gets */
#define KILL_MS 1000 /* a process in an uninterruptible sleep isn't waited for */
#define STEP_NS 1000000L

/* Reaps until no child is left or the time is over. */
static bool reap_all(uint64_t ms)
{
	const struct timespec step = { .tv_nsec = STEP_NS };
	uint64_t deadline = now_ms() + ms;

	for (;;) {
		pid_t pid = waitpid(-1, NULL, WNOHANG);
		if (pid < 0 && errno == ECHILD)
			return true;
		if (pid > 0)
			continue;
		if (now_ms() >= deadline)
			return false;
		(void)nanosleep(&step, NULL);
	}
}

static NORETURN void machine_off(bool restart)
{
	(void)reboot(restart ? RB_AUTOBOOT : RB_POWER_OFF);
	/* A kernel that can't: the end of PID 1 is its panic, and the host sees that. */
	_exit(1);
}

void power_down(bool restart)
{
	if (kill(-1, SIGTERM) == 0 && !reap_all(TERM_MS)) {
		(void)kill(-1, SIGKILL);
		(void)reap_all(KILL_MS);
	}
	sync();
	(void)mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
	machine_off(restart);
}

void power_fail(const char *what, const struct err *err)
{
	char line[ERR_MSG_MAX + 64];
	/* Through the kernel's log, at a level that `quiet` lets pass: printing there is
	 * synchronous, while what is written to /dev/console may be lost at power-off. */
	int n = snprintf(line, sizeof(line), "<2>casemate-agent: %s: %s\n", what, err->msg);
	CLEANUP(fd_closep) int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (n > 0 && (fd < 0 || write(fd, line, (size_t)n) < 0))
		(void)!write(STDERR_FILENO, line + 3, (size_t)n - 3);
	sync();
	machine_off(false);
}

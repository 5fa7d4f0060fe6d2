/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in for casemate-egress where only its place is tested: answers each policy with "ok"
 * until the control socket is closed. It makes no call that the jailer's own filter wouldn't let
 * the VMM make; that the descriptors are what they should be, it says at its start.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "egress/egress_fds.h"

int main(int argc, char **argv)
{
	struct pollfd control = { .fd = EGRESS_FD_CONTROL, .events = POLLIN };
	static char policy[EGRESS_POLICY_MAX];

	(void)argv;
	for (int fd = 0; fd < EGRESS_FD_END; fd++) {
		bool open = fcntl(fd, F_GETFD) >= 0;
		if (open != (fd < EGRESS_FD_DYNAMIC))
			return 3;
	}
	if (argc != 4 || environ[0] != NULL || write(STDERR_FILENO, "here\n", 5) != 5)
		return 4;
	for (;;) {
		if (poll(&control, 1, -1) < 0)
			return 5;
		ssize_t n = read(EGRESS_FD_CONTROL, policy, sizeof(policy));
		if (n <= 0)
			return 0;
		if (write(EGRESS_FD_CONTROL, "ok", 2) != 2)
			return 6;
	}
}

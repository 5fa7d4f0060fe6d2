/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/egress.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/fd.h"

/* True also when it can't be told for want of a descriptor: then nothing could be connected. */
static bool is_own(const struct addr *a)
{
	struct sockaddr_storage ss;
	socklen_t len = addr_to_sockaddr(a, 9, &ss);
	CLEANUP(fd_closep)
	int fd = socket(ss.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct addr own;

	if (fd < 0)
		return true;
	if (connect(fd, (const struct sockaddr *)&ss, len) < 0)
		return false; /* there is no way to it, so it isn't here */
	len = sizeof(ss);
	if (getsockname(fd, (struct sockaddr *)&ss, &len) < 0 ||
	    addr_from_sockaddr(&ss, &own, NULL) < 0)
		return true;
	return addr_equal(&own, a);
}

static bool is_own_unless_lifted(const struct egress *e, const struct addr *a, uint16_t port)
{
	return !policy_lifts(e->policy, a, port) && is_own(a);
}

enum policy_verdict egress_decide(const struct egress *e, const char *name, const struct addr *a,
				  uint16_t port)
{
	enum policy_verdict v;

	if (e->policy == NULL)
		return POLICY_DENY_REST;
	v = policy_decide(e->policy, name, a, port);
	if (v == POLICY_ALLOW && is_own_unless_lifted(e, a, port))
		return POLICY_DENY_SPECIAL;
	return v;
}

bool egress_walled(const struct egress *e, const struct addr *a, uint16_t port)
{
	return e->policy == NULL || policy_wall(e->policy, a, port) != POLICY_ALLOW ||
	       is_own_unless_lifted(e, a, port);
}

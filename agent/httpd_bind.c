/* SPDX-License-Identifier: Apache-2.0 */
/* httpd_bind.c - "127.0.0.1:49983" to a listening socket. Numbers only: a static program doesn't
 * resolve names. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "agent/httpd.h"
#include "base/fd.h"
#include "base/num.h"

#define BACKLOG 128

/* The part before the last colon, without brackets, and the port. */
static int split(const char *address, char *host, size_t cap, uint16_t *ret_port)
{
	const char *colon = strrchr(address, ':');
	size_t len = colon != NULL ? (size_t)(colon - address) : 0;
	uint64_t port;

	if (colon == NULL || parse_u64(colon + 1, 0, UINT16_MAX, &port) < 0)
		return -EINVAL;
	if (len >= 2 && address[0] == '[' && address[len - 1] == ']') {
		address++;
		len -= 2;
	}
	if (len >= cap)
		return -EINVAL;
	memcpy(host, address, len);
	host[len] = '\0';
	*ret_port = (uint16_t)port;
	return 0;
}

int httpd_bind_tcp(const char *address, struct err *err)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in in4 = { .sin_family = AF_INET };
	char host[INET6_ADDRSTRLEN];
	bool is4;
	uint16_t port;

	if (split(address, host, sizeof(host), &port) < 0)
		return err_set(err, -EINVAL, "%.64s: not ADDRESS:PORT", address);
	in4.sin_port = in6.sin6_port = htons(port);
	is4 = inet_pton(AF_INET, host, &in4.sin_addr) == 1;
	if (!is4 && inet_pton(AF_INET6, host, &in6.sin6_addr) != 1)
		return err_set(err, -EINVAL, "%.64s: not an IP address", address);
	CLEANUP(fd_closep)
	int fd = socket(is4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) < 0 ||
	    bind(fd, is4 ? (struct sockaddr *)&in4 : (struct sockaddr *)&in6,
		 is4 ? sizeof(in4) : sizeof(in6)) < 0 ||
	    listen(fd, BACKLOG) < 0)
		return err_sys(err, -errno, "%.64s", address);
	return fd_steal(&fd);
}

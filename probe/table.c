/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "probe/attack.h"

static const struct attack *const tables[] = { attacks_file, attacks_code,   attacks_peer,
					       attacks_net,  attacks_kernel, attacks_resource };

const struct attack *attack_at(size_t i)
{
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		for (const struct attack *a = tables[t]; a->id != NULL; a++) {
			if (i-- == 0)
				return a;
		}
	}
	return NULL;
}

const struct attack *attack_find(const char *id)
{
	const struct attack *a;

	for (size_t i = 0; (a = attack_at(i)) != NULL; i++) {
		if (strcmp(a->id, id) == 0)
			return a;
	}
	return NULL;
}

int attack_reads_canary(int fd)
{
	char text[sizeof(CANARY)] = "";
	ssize_t n = read(fd, text, sizeof(text) - 1);

	if (n < 0)
		return -errno;
	return strcmp(text, CANARY) == 0 ? 0 : -ENODATA;
}

int attack_opens_canary(int dirfd, const char *path)
{
	int fd = openat(dirfd, path, O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -errno : attack_reads_canary(fd);
}

int attack_connect_abstract(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return -errno;
	if (len > sizeof(a.sun_path) - 1)
		return -ENAMETOOLONG;
	memcpy(a.sun_path + 1, name, len);
	if (connect(fd, (const struct sockaddr *)&a,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len)) < 0)
		return -errno;
	return fd;
}

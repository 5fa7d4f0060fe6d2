/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/doors.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "api/daemon/listen.h"
#include "base/bug.h"
#include "base/fd.h"
#include "policies/seccomp/filter.h"
#include "seccomp/casemated.h"

/* Who may connect to the local door is the operator; at the other one API keys decide, as on TCP.
 */
#define LOCAL_MODE 0660U
#define NET_MODE   0666U

#define UNIX_PREFIX "unix:"

_Static_assert(OPTIONS_LISTEN_MAX + 2 <= DOORS_MAX, "all that may be passed or asked for");

static void add(struct doors *d, int fd, enum http_door kind, const char *made)
{
	BUG_ON(d->count == DOORS_MAX);
	d->list[d->count++] = (struct door){ .fd = fd, .kind = kind, .made = made };
}

/* As many descriptors as may be had: three or so a sandbox, two a relay. */
static void raise_fd_limit(void)
{
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) < 0)
		return;
	lim.rlim_cur = lim.rlim_max;
	(void)setrlimit(RLIMIT_NOFILE, &lim);
}

/*
 * What the service manager has opened. A socket without a name is the local door only where it is
 * the only one, as it was before there were others; a name that is not known is an error, because
 * the wrong guess would make everybody who can connect the operator.
 */
static int take_passed(struct doors *d, bool *ret_local, struct err *err)
{
	static const char *const names[] = {
		[HTTP_DOOR_LOCAL] = "casemated.socket", [HTTP_DOOR_TLS] = "net"
	};
	struct listen_passed passed[LISTEN_PASSED_MAX];
	bool have[ARRAY_SIZE(names)] = { false };
	int n = listen_inherited(LISTEN_UNIX, passed, err);

	if (n < 0)
		return n == -ENOENT ? 0 : n;
	for (size_t i = 0; i < (size_t)n; i++) {
		size_t kind = 0;

		while (kind < ARRAY_SIZE(names) && strcmp(passed[i].name, names[kind]) != 0)
			kind++;
		if (n == 1 && passed[i].name[0] == '\0')
			kind = HTTP_DOOR_LOCAL;
		if (kind == ARRAY_SIZE(names) || have[kind])
			return err_set(err, -EINVAL,
				       "LISTEN_FDNAMES: \"%s\": want one casemated.socket, one net",
				       passed[i].name);
		have[kind] = true;
		add(d, passed[i].fd, (enum http_door)kind, NULL);
	}
	*ret_local = have[HTTP_DOOR_LOCAL];
	return 0;
}

static int add_unix(struct doors *d, const char *path, enum http_door kind,
		    const struct identity *owner, struct err *err)
{
	int fd = listen_unix(path, kind == HTTP_DOOR_LOCAL ? LOCAL_MODE : NET_MODE, owner, err);

	if (fd < 0)
		return fd;
	add(d, fd, kind, path);
	return 0;
}

static int add_net(struct doors *d, const char *where, const struct identity *owner,
		   struct err *err)
{
	int fd;

	if (strncmp(where, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0)
		return add_unix(d, where + strlen(UNIX_PREFIX), HTTP_DOOR_TLS, owner, err);
	fd = listen_tcp(where, err);
	if (fd < 0)
		return fd;
	add(d, fd, HTTP_DOOR_NET, NULL);
	return 0;
}

static int bind_all(struct doors *d, const struct options *o, const struct identity *owner,
		    struct err *err)
{
	bool have_local = false;
	int r = take_passed(d, &have_local, err);

	if (r == 0 && !have_local)
		r = add_unix(d, o->socket, HTTP_DOOR_LOCAL, owner, err);
	for (size_t i = 0; i < o->listen_count && r == 0; i++)
		r = add_net(d, o->listen[i], owner, err);
	return r;
}

int doors_open(const struct options *o, struct doors *ret, struct err *err)
{
	struct identity id, *owner = NULL;
	int r;

	if (geteuid() == 0) {
		if (o->user == NULL)
			return err_set(
				err, -EPERM,
				"user: will not run as root; pass --user NAME or start it as that user");
		r = identity_find(o->user, &id, err);
		if (r < 0)
			return r;
		owner = &id;
	} else if (o->user != NULL) {
		return err_set(err, -EPERM, "user: only root can become %.64s; leave --user out",
			       o->user);
	}
	raise_fd_limit();
	r = bind_all(ret, o, owner, err);
	if (r == 0 && o->state != NULL)
		r = listen_state_dir(o->state, owner, err);
	if (r == 0)
		r = privilege_drop(owner, err);
	if (r < 0)
		return r;
	r = SECCOMP_INSTALL(seccomp_casemated, 0);
	if (r < 0)
		return err_sys(err, r, "seccomp filter");
	for (size_t i = 0; i < ret->count && r == 0; i++)
		r = listen_open(ret->list[i].fd, err);
	return r;
}

void doors_close(struct doors *d)
{
	for (size_t i = 0; i < d->count; i++) {
		fd_closep(&d->list[i].fd);
		if (d->list[i].made != NULL)
			(void)unlink(d->list[i].made); /* in a directory of root's it stays, and is
							* stale */
	}
}

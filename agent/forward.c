/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/forward.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "base/relay.h"

struct forward {
	struct forward_table *table;
	struct forward *prev, *next;
	int host, port; /* -1 = not there yet */
	struct loop_io *io;
	struct loop_timer *timer, *again;
	struct relay *relay;
	unsigned tries; /* that were refused */
	size_t got;	/* bytes of wanted */
	uint8_t wanted[2];
	bool second; /* ::1 is being tried */
};

struct forward_table {
	struct loop *loop;
	struct forward *forwards;
	unsigned count;
};

static void forward_free(struct forward *f)
{
	loop_io_del(f->io);
	loop_timer_del(f->timer);
	loop_timer_del(f->again);
	relay_free(f->relay);
	fd_closep(&f->host);
	fd_closep(&f->port);
	if (f->prev != NULL)
		f->prev->next = f->next;
	else
		f->table->forwards = f->next;
	if (f->next != NULL)
		f->next->prev = f->prev;
	f->table->count--;
	free(f);
}

/* One byte into a socket that nothing was written to fits. */
static int tell(const struct forward *f, int error)
{
	const uint8_t status = (uint8_t)error;

	return send(f->host, &status, 1, MSG_NOSIGNAL | MSG_DONTWAIT) == 1 ? 0 : -EPIPE;
}

static void fail(struct forward *f, int error)
{
	/* Gone already? Then nobody is left to be told. */
	(void)tell(f, error > 0 && error < 256 ? error : EIO);
	forward_free(f);
}

static void on_ended(struct relay *r, void *arg)
{
	(void)r;
	forward_free(arg);
}

static void connected(struct forward *f)
{
	int r;

	loop_io_del(f->io);
	f->io = NULL;
	loop_timer_del(f->timer);
	f->timer = NULL;
	(void)setsockopt(f->port, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
	r = tell(f, 0);
	if (r == 0)
		r = relay_new(f->table->loop, f->host, f->port, NULL, 0, on_ended, f, &f->relay);
	if (r < 0)
		forward_free(f);
}

static void on_connected(struct loop_io *io, int fd, uint32_t events, void *arg);

/* Begins to connect to one of the two loopback addresses: 0, or a positive errno. */
static int try_connect(struct forward *f)
{
	const uint16_t port = (uint16_t)(f->wanted[0] | f->wanted[1] << 8);
	const struct sockaddr_in in4 = { .sin_family = AF_INET,
					 .sin_port = htons(port),
					 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	const struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
					  .sin6_port = htons(port),
					  .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	int r;

	f->port = socket(f->second ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			 0);
	if (f->port < 0)
		return errno;
	r = f->second ? connect(f->port, (const struct sockaddr *)&in6, sizeof(in6))
		      : connect(f->port, (const struct sockaddr *)&in4, sizeof(in4));
	if (r < 0 && errno != EINPROGRESS)
		return errno;
	return -loop_io_add(f->table->loop, f->port, EPOLLOUT, on_connected, f, &f->io);
}

static void refused(struct forward *f, int error);

static void on_again(void *arg)
{
	struct forward *f = arg;
	int error;

	f->again = NULL;
	f->second = false;
	error = try_connect(f);
	if (error != 0)
		refused(f, error);
}

/* Neither address answers. */
static void try_later(struct forward *f, int error)
{
	f->tries++;
	if (error != ECONNREFUSED || f->tries == FORWARD_TRIES ||
	    loop_timer_add(f->table->loop, f->tries * FORWARD_AGAIN_MS, on_again, f, &f->again) < 0)
		fail(f, error);
}

/* This address is not the one: the other, or later. */
static void refused(struct forward *f, int error)
{
	loop_io_del(f->io);
	f->io = NULL;
	fd_closep(&f->port);
	if (!f->second) {
		f->second = true;
		error = try_connect(f);
		if (error == 0)
			return;
		/* A guest without IPv6: what IPv4 said is the reason, and it said "refused". */
		if (error == EAFNOSUPPORT || error == EADDRNOTAVAIL)
			error = ECONNREFUSED;
	}
	try_later(f, error);
}

static void on_connected(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	int error = 0;
	socklen_t len = sizeof(error);

	(void)io;
	(void)events;
	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error != 0)
		refused(arg, error);
	else
		connected(arg);
}

/* The port, and not a byte more: what follows is the port's. */
static void on_port(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct forward *f = arg;
	ssize_t n = recv(fd, f->wanted + f->got, sizeof(f->wanted) - f->got, MSG_DONTWAIT);
	int error;

	(void)io;
	(void)events;
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		forward_free(f);
		return;
	}
	f->got += (size_t)n;
	if (f->got < sizeof(f->wanted))
		return;
	loop_io_del(f->io);
	f->io = NULL;
	error = try_connect(f);
	if (error != 0)
		refused(f, error);
}

static void on_timeout(void *arg)
{
	struct forward *f = arg;

	f->timer = NULL;
	fail(f, ETIMEDOUT);
}

int forward_serve(struct forward_table *t, int fd)
{
	CLEANUP(fd_closep) int owned = fd;
	struct forward *f;
	int r;

	if (t->count >= FORWARDS_MAX)
		return -EAGAIN;
	f = calloc(1, sizeof(*f));
	if (f == NULL)
		return -ENOMEM;
	*f = (struct forward){ .table = t, .next = t->forwards, .host = -1, .port = -1 };
	if (t->forwards != NULL)
		t->forwards->prev = f;
	t->forwards = f;
	t->count++;
	r = loop_io_add(t->loop, owned, EPOLLIN, on_port, f, &f->io);
	if (r == 0)
		r = loop_timer_add(t->loop, FORWARD_CONNECT_MS, on_timeout, f, &f->timer);
	if (r < 0) {
		forward_free(f);
		return r;
	}
	f->host = fd_steal(&owned);
	return 0;
}

int forward_table_new(struct loop *l, struct forward_table **ret)
{
	struct forward_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->loop = l;
	*ret = t;
	return 0;
}

void forward_table_free(struct forward_table *t)
{
	if (t == NULL)
		return;
	for (struct forward *f = t->forwards, *next; f != NULL; f = next) {
		next = f->next;
		forward_free(f);
	}
	free(t);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "egress/control.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/log.h"
#include "egress/authority.h"

struct control {
	struct egress *egress;
	struct proxy *proxy;
	struct loop_io *io;
	int fd;
	char in[CONTROL_BYTES_MAX + 1]; /* one more, to see that it is too long */
};

static json_t *error_answer(const char *why)
{
	return json_pack("{s:s}", "error", why);
}

/* What p needs to be kept: an authority for names with headers, where the host's are there to check
 * servers by; else plain HTTP has to do. */
static int prepare(struct control *c, const struct policy *p, int roots, struct err *err)
{
	struct egress *e = c->egress;

	if (!policy_has_headers(p))
		return 0;
	if (e->authority == NULL && roots >= 0)
		return authority_new(roots, &e->authority, err);
	return e->authority != NULL ? 0 : policy_check_plain(p, err);
}

static json_t *take_policy(struct control *c, const json_t *document, int roots)
{
	struct err err = { 0 };
	struct policy *p;
	size_t ended;
	bool headers;

	if (policy_from_json(document, &p, &err) < 0)
		return error_answer(err.msg);
	if (prepare(c, p, roots, &err) < 0) {
		policy_free(p);
		return error_answer(err.msg);
	}
	headers = policy_has_headers(p);
	ended = proxy_set_policy(c->proxy, p);
	log_info("policy.taken", "ended=%zu", ended);
	if (headers && c->egress->authority != NULL)
		return json_pack("{s:I, s:s}", "ended", (json_int_t)ended, "certificate",
				 authority_certificate(c->egress->authority));
	return json_pack("{s:I}", "ended", (json_int_t)ended);
}

static json_t *give_status(const struct control *c)
{
	json_t *counters = json_object();

	for (size_t i = 0; i < COUNT_COUNT; i++) {
		json_int_t v = (json_int_t)c->egress->counts.v[i];

		if (json_object_set_new(counters, count_name((enum count)i), json_integer(v)) < 0) {
			json_decref(counters);
			return NULL;
		}
	}
	return json_pack("{s:I, s:o}", "connections", (json_int_t)proxy_count(c->proxy), "counters",
			 counters);
}

static json_t *handle(struct control *c, size_t len, int roots)
{
	json_error_t e;
	json_t *message = json_loadb(c->in, len, JSON_REJECT_DUPLICATES, &e);
	const json_t *policy = json_object_get(message, "policy");
	json_t *answer;

	if (json_object_size(message) != 1)
		answer = error_answer("not one request");
	else if (policy != NULL)
		answer = take_policy(c, policy, roots);
	else if (json_object_get(message, "status") != NULL)
		answer = give_status(c);
	else
		answer = error_answer("unknown request");
	json_decref(message);
	return answer;
}

/* False: the peer is gone, or doesn't take its answers. */
static bool reply(struct control *c, json_t *answer)
{
	char *text = answer == NULL ? NULL : json_dumps(answer, JSON_COMPACT);
	ssize_t n = -1;

	json_decref(answer);
	if (text != NULL)
		n = send(c->fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
	free(text);
	return n >= 0;
}

static void on_message(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct control *c = arg;
	CLEANUP(fd_closep) int roots = -1;
	size_t fds = 1;
	ssize_t n = fd_recv(fd, c->in, sizeof(c->in), &roots, &fds); /* non-blocking: main.c */
	bool ok;

	(void)io;
	(void)events;
	if (n == -EAGAIN)
		return;
	if (n <= 0) {
		loop_stop(c->egress->loop, 0);
		return;
	}
	if ((size_t)n == sizeof(c->in))
		ok = reply(c, error_answer("too long"));
	else
		ok = reply(c, handle(c, (size_t)n, roots));
	explicit_bzero(c->in, (size_t)n);
	if (!ok)
		loop_stop(c->egress->loop, 0);
}

int control_new(struct egress *e, struct proxy *p, int fd, struct control **ret)
{
	struct control *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return -ENOMEM;
	c->egress = e;
	c->proxy = p;
	c->fd = fd;
	r = loop_io_add(e->loop, fd, EPOLLIN, on_message, c, &c->io);
	if (r < 0) {
		free(c);
		return r;
	}
	*ret = c;
	return 0;
}

void control_free(struct control *c)
{
	if (c == NULL)
		return;
	loop_io_del(c->io);
	free(c);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/network.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/daemon/vmlog.h"
#include "base/fd.h"
#include "base/log.h"
#include "egress/egress_fds.h"

struct network {
	const struct network_operator *op;
	const char *id;
	int control; /* -1 = the other end is gone */
	struct loop_io *io;
	struct vmlog *log;
	char *certificate;
	network_done_fn *done; /* NULL = nothing is under way */
	void *arg;
};

int network_list_add(const char **list, size_t max, size_t *count, const char *text)
{
	if (*count == max)
		return -E2BIG;
	list[(*count)++] = text;
	return 0;
}

void network_find_resolvers(struct network_operator *op, const char *text)
{
	static const char word[] = "nameserver";

	for (const char *at = text; at != NULL; at = strchr(at, '\n')) {
		char *to = op->found[op->resolvers_count % NETWORK_RESOLVERS_MAX];
		size_t len;
		at += *at == '\n';
		if (op->resolvers_count == NETWORK_RESOLVERS_MAX)
			return;
		if (strncmp(at, word, strlen(word)) != 0)
			continue;
		at += strlen(word);
		at += strspn(at, " \t");
		len = strcspn(at, " \t\r\n");
		if (len == 0 || len >= sizeof(op->found[0]))
			continue;
		memcpy(to, at, len);
		to[len] = '\0';
		op->resolvers[op->resolvers_count++] = to;
	}
}

int network_open_authorities(struct network_operator *op, struct err *err)
{
	static const char usual[] = "/etc/ssl/certs/ca-certificates.crt";
	const char *path = op->authorities != NULL ? op->authorities : usual;

	op->authorities_fd = -1;
	if (!op->on)
		return 0;
	op->authorities_fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (op->authorities_fd >= 0)
		return 0;
	if (op->authorities != NULL)
		return err_sys(err, -errno, "--ca-file %s", path);
	log_warn("network.authorities", "path=%s error=\"%s\"", path, strerror(errno));
	return 0;
}

/* ---- Policies ------------------------------------------------------------------------------ */

int network_policy(const json_t *from, char **ret, struct err *err)
{
	static const char *const members[] = { "allowOut", "denyOut", "rules", "egressProxy",
					       "allow_internet_access" };
	json_t *policy = json_object();
	size_t taken = 0;
	char *text = NULL;

	if (!json_is_object(from)) {
		json_decref(policy);
		return err_set(err, -EINVAL, "network: must be an object");
	}
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		json_t *v = json_object_get(from, members[i]);
		taken += v != NULL;
		if (v != NULL && !json_is_null(v) && json_object_set(policy, members[i], v) < 0)
			break; /* no memory: the text says less than was asked for */
		if (i == ARRAY_SIZE(members) - 1)
			text = json_dumps(policy, JSON_COMPACT);
	}
	json_decref(policy);
	if (text == NULL)
		return err_set(err, -ENOMEM, "network: out of memory");
	if (taken != json_object_size(from) || strlen(text) > NETWORK_TEXT_MAX) {
		free(text);
		return err_set(err, -EINVAL,
			       "network: has a member that is not allowOut, denyOut, rules, "
			       "egressProxy or allow_internet_access, or is too long");
	}
	*ret = text;
	return 0;
}

static json_t *list_json(const char *const *list, size_t count)
{
	json_t *a = json_array();

	for (size_t i = 0; i < count; i++)
		if (json_array_append_new(a, json_string(list[i])) < 0) {
			json_decref(a);
			return NULL;
		}
	return a;
}

/* What is sent: the tenant's policy with the operator's part. NULL = no memory. */
static char *make_message(const struct network_operator *op, const char *policy)
{
	json_t *p = json_loads(policy, 0, NULL);
	json_t *o = json_pack("{s:o?, s:o?}", "allow", list_json(op->allow, op->allow_count),
			      "deny", list_json(op->deny, op->deny_count));
	json_t *resolvers = list_json(op->resolvers, op->resolvers_count);
	json_t *message = NULL;
	char *text = NULL;

	if (p != NULL && o != NULL && json_object_size(o) == 2 && resolvers != NULL &&
	    json_object_set(p, "operator", o) == 0 &&
	    json_object_set(p, "resolvers", resolvers) == 0)
		message = json_pack("{s:O}", "policy", p);
	if (message != NULL)
		text = json_dumps(message, JSON_COMPACT);
	json_decref(message);
	json_decref(resolvers);
	json_decref(o);
	json_decref(p);
	return text;
}

/* ---- The control socket -------------------------------------------------------------------- */

static void finish(struct network *n, const char *why)
{
	network_done_fn *done = n->done;

	n->done = NULL;
	if (done != NULL)
		done(n->arg, why);
}

static void lose(struct network *n)
{
	loop_io_del(n->io);
	n->io = NULL;
	fd_closep(&n->control);
	log_warn("network.lost", "id=%s", n->id);
	finish(n, "the sandbox's casemate-egress has ended");
}

static void take_answer(struct network *n, const char *text, size_t len)
{
	json_t *answer = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *certificate = json_string_value(json_object_get(answer, "certificate"));
	const char *error = json_string_value(json_object_get(answer, "error"));
	char shown[256];

	if (json_is_integer(json_object_get(answer, "ended"))) {
		free(n->certificate);
		n->certificate = certificate == NULL ? NULL : strdup(certificate);
		finish(n, certificate != NULL && n->certificate == NULL ? "out of memory" : NULL);
	} else {
		if (error == NULL)
			error = "casemate-egress gave no proper answer";
		(void)log_escape(shown, sizeof(shown), error, strlen(error));
		finish(n, shown);
	}
	json_decref(answer);
}

static void on_answer(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	struct network *n = arg;
	char text[EGRESS_ANSWER_MAX];
	ssize_t len = recv(fd, text, sizeof(text), MSG_DONTWAIT);

	(void)io;
	(void)events;
	if (len < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (len <= 0)
		lose(n);
	else
		take_answer(n, text, (size_t)len);
}

int network_new(struct loop *l, const struct network_operator *op, int control, int log,
		const char *id, struct network **ret)
{
	struct network *n = calloc(1, sizeof(*n));
	int r;

	if (n == NULL) {
		fd_closep(&control);
		fd_closep(&log);
		return -ENOMEM;
	}
	*n = (struct network){ .op = op, .id = id, .control = control };
	r = fd_set_nonblock(control, true);
	if (r < 0)
		fd_closep(&log);
	else
		r = vmlog_new(l, log, id, &n->log);
	if (r == 0)
		r = loop_io_add(l, n->control, EPOLLIN, on_answer, n, &n->io);
	if (r < 0) {
		network_free(n);
		return r;
	}
	*ret = n;
	return 0;
}

void network_free(struct network *n)
{
	if (n == NULL)
		return;
	loop_io_del(n->io);
	fd_closep(&n->control);
	vmlog_free(n->log);
	free(n->certificate);
	free(n);
}

const char *network_certificate(const struct network *n)
{
	return n->certificate;
}

int network_apply(struct network *n, const char *policy, network_done_fn *done, void *arg)
{
	const int fd = n->op->authorities_fd;
	char *text;
	ssize_t sent;

	if (n->done != NULL)
		return -EBUSY;
	if (n->control < 0)
		return -EPIPE;
	text = make_message(n->op, policy);
	if (text == NULL)
		return -ENOMEM;
	sent = fd_send(n->control, text, strlen(text), &fd, fd >= 0); /* non-blocking */
	/* It may have a proxy's password in it. */
	explicit_bzero(text, strlen(text));
	free(text);
	if (sent < 0)
		return (int)sent;
	n->done = done;
	n->arg = arg;
	return 0;
}

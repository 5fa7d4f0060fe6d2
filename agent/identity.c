/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/identity.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/random.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "agent/machine.h"
#include "agent/user.h"
#include "base/bug.h"
#include "base/fd.h"

#define ENTROPY_BYTES_MIN 32
#define ENTROPY_BYTES_MAX 256
#define TOKEN_BYTES_MIN	  16
#define LABEL_MAX	  63
#define NS_PER_S	  INT64_C(1000000000)

typedef Casemate__Agent__V1__IdentifyRequest identify_pb;

/* struct rand_pool_info, whose bytes are a flexible array. */
struct pool {
	int entropy_bits, size;
	uint8_t bytes[ENTROPY_BYTES_MAX];
};
_Static_assert(offsetof(struct pool, bytes) == offsetof(struct rand_pool_info, buf), "same layout");

bool identity_hostname_valid(const char *name)
{
	size_t label = 0;
	char before = '.';

	if (strlen(name) > HOST_NAME_MAX)
		return false;
	for (const char *p = name;; before = *p++) {
		char c = *p;
		bool alnum =
			(c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (c == '.' || c == '\0') {
			if (label == 0 || label > LABEL_MAX || before == '-')
				return false;
			if (c == '\0')
				return true;
			label = 0;
		} else if (alnum || (c == '-' && label > 0)) {
			label++;
		} else {
			return false;
		}
	}
}

static int check(const struct agent *a, const identify_pb *req, struct err *err)
{
	size_t n = req->entropy.len;

	if (req->hostname[0] != '\0' && !identity_hostname_valid(req->hostname))
		return err_set(err, -EINVAL, "not a host name: %.80s", req->hostname);
	if (a->is_init && (n < ENTROPY_BYTES_MIN || n > ENTROPY_BYTES_MAX))
		return err_set(err, -EINVAL, "%zu bytes of entropy: must be %d to %d", n,
			       ENTROPY_BYTES_MIN, ENTROPY_BYTES_MAX);
	if (req->token.len != 0 &&
	    (req->token.len < TOKEN_BYTES_MIN || req->token.len > sizeof(a->token)))
		return err_set(err, -EINVAL, "%zu bytes of token: must be %d to %zu",
			       req->token.len, TOKEN_BYTES_MIN, sizeof(a->token));
	if (req->unix_time_ns < 0)
		return err_set(err, -EINVAL, "the time is before 1970");
	if (req->default_cwd[0] != '\0' && req->default_cwd[0] != '/')
		return err_set(err, -EINVAL, "default directory %.80s is not absolute",
			       req->default_cwd);
	if (strlen(req->default_user) >= sizeof(a->default_user))
		return err_set(err, -EINVAL, "default user name is too long");
	if (strlen(req->access_token) >= sizeof(a->access_token))
		return err_set(err, -EINVAL, "access token is too long");
	return 0;
}

/* Credits the bytes and makes the kernel's generator use them at once. */
static int add_entropy(const ProtobufCBinaryData *b, struct err *err)
{
	CLEANUP(fd_closep) int fd = open("/dev/urandom", O_RDWR | O_CLOEXEC);
	struct pool pool = { .entropy_bits = (int)b->len * 8, .size = (int)b->len };
	int r = 0;

	memcpy(pool.bytes, b->data, b->len);
	if (fd < 0 || ioctl(fd, RNDADDENTROPY, &pool) < 0 || ioctl(fd, RNDRESEEDCRNG) < 0)
		r = err_sys(err, -errno, "/dev/urandom");
	explicit_bzero(&pool, sizeof(pool));
	return r;
}

/* A small file of the image: the link that it may be is not followed. */
static int put_file(const char *path, int flags, const char *text, struct err *err)
{
	CLEANUP(fd_closep)
	int fd = open(path, O_WRONLY | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags, 0644);
	int r = fd < 0 ? -errno : fd_write_full(fd, text, strlen(text));

	/* An image without /etc, or with a link there, has its own idea of these files. */
	if (r == -ENOENT || r == -ELOOP || r == -ENOTDIR)
		return 0;
	return r < 0 ? err_sys(err, r, "%s", path) : 0;
}

/* A new one for each machine: programs take it for the machine's identity. */
static int put_machine_id(struct err *err)
{
	static const char hex[] = "0123456789abcdef";
	uint8_t bytes[16];
	char text[2 * sizeof(bytes) + 2];
	size_t n = 0;

	if (getrandom(bytes, sizeof(bytes), GRND_NONBLOCK) != (ssize_t)sizeof(bytes))
		return err_sys(err, -errno, "getrandom");
	bytes[6] = (uint8_t)((bytes[6] & 0x0f) | 0x40); /* a version 4 UUID: machine-id(5) */
	bytes[8] = (uint8_t)((bytes[8] & 0x3f) | 0x80);
	for (size_t i = 0; i < sizeof(bytes); i++) {
		text[n++] = hex[bytes[i] >> 4];
		text[n++] = hex[bytes[i] & 15];
	}
	text[n++] = '\n';
	text[n] = '\0';
	return put_file("/etc/machine-id", O_TRUNC, text, err);
}

static int set_hostname(const char *name, struct err *err)
{
	char line[HOST_NAME_MAX + 32];
	int r;

	if (name[0] == '\0')
		return 0;
	if (sethostname(name, strlen(name)) < 0)
		return err_sys(err, -errno, "sethostname");
	(void)snprintf(line, sizeof(line), "%s\n", name);
	r = put_file("/etc/hostname", O_TRUNC, line, err);
	if (r < 0)
		return r;
	(void)snprintf(line, sizeof(line), "127.0.1.1 %s\n", name);
	return put_file("/etc/hosts", O_APPEND, line, err);
}

int identity_prepare(struct err *err)
{
	int r = put_file("/etc/machine-id", O_TRUNC, "", err);

	if (r == 0)
		r = put_file("/etc/hostname", O_APPEND, "", err);
	return r < 0 ? r : put_file("/etc/hosts", O_APPEND, "", err);
}

/* What belongs to the machine. What is in its memory already may be another machine's, or its own
 * of before it was paused. */
static int apply_machine(const struct agent *a, const identify_pb *req, struct err *err)
{
	struct timespec ts = { .tv_sec = req->unix_time_ns / NS_PER_S,
			       .tv_nsec = (long)(req->unix_time_ns % NS_PER_S) };
	int r = add_entropy(&req->entropy, err);

	if (r == 0 && req->unix_time_ns != 0 && clock_settime(CLOCK_REALTIME, &ts) < 0)
		r = err_sys(err, -errno, "clock_settime");
	machine_drain_rng();
	if (r < 0 || (a->identified && req->same_machine))
		return r;
	r = put_machine_id(err);
	if (r == 0 && a->identified) /* in a template nobody has asked for it yet */
		r = machine_renew_boot_id(err);
	if (r == 0)
		r = set_hostname(req->hostname, err);
	return r;
}

int identity_apply(struct agent *a, const identify_pb *req, struct err *err)
{
	struct user user;
	struct env envs;
	char *cwd = NULL;
	int r = check(a, req, err);

	if (r == 0 && req->default_user[0] != '\0')
		r = user_lookup(req->default_user, NULL, &user, err);
	if (r < 0)
		return r;
	env_init(&envs);
	for (size_t i = 0; r == 0 && i < req->n_envs; i++)
		r = env_set(&envs, req->envs[i]->key, req->envs[i]->value, err);
	if (r == 0 && req->default_cwd[0] != '\0') {
		cwd = strdup(req->default_cwd);
		if (cwd == NULL)
			r = err_set(err, -ENOMEM, "out of memory");
	}
	if (r == 0 && a->is_init)
		r = apply_machine(a, req, err);
	if (r < 0) {
		env_done(&envs);
		free(cwd);
		return r;
	}
	env_done(&a->envs);
	a->envs = envs;
	free(a->default_cwd);
	a->default_cwd = cwd;
	memcpy(a->default_user, req->default_user, strlen(req->default_user) + 1);
	memcpy(a->access_token, req->access_token, strlen(req->access_token) + 1);
	explicit_bzero(a->token, sizeof(a->token));
	a->token_len = req->token.len;
	if (a->token_len > 0)
		memcpy(a->token, req->token.data, a->token_len);
	a->identified = true;
	return 0;
}

/* ---- Later ------------------------------------------------------------------------------- */

typedef Casemate__Agent__V1__InitRequest init_pb;

static int check_change(const struct agent *a, const init_pb *req, struct err *err)
{
	struct user user;

	if (req->default_workdir[0] != '\0' && req->default_workdir[0] != '/')
		return err_set(err, -EINVAL, "default directory %.80s is not absolute",
			       req->default_workdir);
	if (strlen(req->default_user) >= sizeof(a->default_user))
		return err_set(err, -EINVAL, "default user name is too long");
	if (strlen(req->access_token) >= sizeof(a->access_token))
		return err_set(err, -EINVAL, "access token is too long");
	if (req->default_user[0] != '\0')
		return user_lookup(req->default_user, NULL, &user, err);
	return 0;
}

/* The old environment and the new variables, in *ret. */
static int change_envs(const struct agent *a, const init_pb *req, struct env *ret, struct err *err)
{
	int r;

	env_init(ret);
	r = env_merge(ret, &a->envs, err);
	for (size_t i = 0; r == 0 && i < req->n_env_vars; i++)
		r = env_set(ret, req->env_vars[i]->key, req->env_vars[i]->value, err);
	if (r < 0)
		env_done(ret);
	return r;
}

int identity_change(struct agent *a, const init_pb *req, struct err *err)
{
	struct timespec ts;
	struct env envs;
	char *cwd = NULL;
	int r;

	if (req == NULL)
		return 0;
	r = check_change(a, req, err);
	if (r == 0 && req->default_workdir[0] != '\0') {
		cwd = strdup(req->default_workdir);
		r = cwd == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
	}
	if (r == 0)
		r = change_envs(a, req, &envs, err);
	if (r < 0) {
		free(cwd);
		return r;
	}
	if (a->is_init && req->timestamp != NULL) {
		ts = (struct timespec){ .tv_sec = req->timestamp->seconds,
					.tv_nsec = req->timestamp->nanos };
		if (clock_settime(CLOCK_REALTIME, &ts) < 0)
			r = err_sys(err, -errno, "clock_settime");
	}
	if (r < 0) {
		env_done(&envs);
		free(cwd);
		return r;
	}
	env_done(&a->envs);
	a->envs = envs;
	if (cwd != NULL) {
		free(a->default_cwd);
		a->default_cwd = cwd;
	}
	if (req->default_user[0] != '\0')
		memcpy(a->default_user, req->default_user, strlen(req->default_user) + 1);
	if (req->access_token[0] != '\0')
		memcpy(a->access_token, req->access_token, strlen(req->access_token) + 1);
	return 0;
}

bool identity_may_change(const struct agent *a, const identify_pb *req)
{
	const ProtobufCBinaryData *t = &req->token_before;
	uint8_t differs = 0;

	if (!a->identified)
		return t->len == 0;
	if (a->token_len == 0 || t->len != a->token_len)
		return false;
	for (size_t i = 0; i < t->len; i++)
		differs |= t->data[i] ^ a->token[i];
	return differs == 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/template_build.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "api/cli/context.h"
#include "api/cli/http_client.h"
#include "api/cli/progress.h"
#include "base/fd.h"
#include "base/num.h"

#define CALL_TIME_MS 30000U
#define POLL_MS	     300
#define ID_MAX	     64U
#define KEY_LEN	     64U /* hexadecimal digits: archives are known by it, to this template alone */
#define PART_BYTES   (UINT64_C(64) << 10)

struct job {
	struct cli *cli;
	const struct template_build *b;
	struct http_client *http;
	char template[ID_MAX + 1], build[ID_MAX + 1];
	uint64_t logs; /* entries that were shown */
};

/* SHA-256 of the archive. tar puts the same files in the same order, so what has been sent is known
 * again, and a step that was done with it, too. */
static int make_key(int fd, char key[KEY_LEN + 1], struct err *err)
{
	uint8_t *part = malloc(PART_BYTES), hash[crypto_hash_sha256_BYTES];
	crypto_hash_sha256_state h;
	off_t at = 0;
	ssize_t n = -1;

	if (part == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	(void)crypto_hash_sha256_init(&h);
	while ((n = pread(fd, part, PART_BYTES, at)) > 0) {
		(void)crypto_hash_sha256_update(&h, part, (size_t)n);
		at += n;
	}
	n = n < 0 ? err_sys(err, -errno, "the archive") : 0;
	free(part);
	(void)crypto_hash_sha256_final(&h, hash);
	(void)sodium_bin2hex(key, KEY_LEN + 1, hash, sizeof(hash));
	return (int)n;
}

static int call(struct job *j, const char *method, const char *path, const json_t *body,
		json_t **ret, struct err *err)
{
	return http_client_call(j->http, method, path, body, CALL_TIME_MS, ret, NULL, err);
}

/* An id of the daemon's becomes a part of paths. */
static int take_id(const json_t *o, const char *name, char dst[ID_MAX + 1], struct err *err)
{
	const char *s = json_string_value(json_object_get(o, name));

	if (s == NULL || s[0] == '\0' || strlen(s) > ID_MAX ||
	    s[strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-")] != '\0')
		return err_set(err, -EPROTO, "the daemon's answer can't be understood");
	memcpy(dst, s, strlen(s) + 1);
	return 0;
}

static int register_it(struct job *j, struct err *err)
{
	json_t *answer = NULL;
	json_t *body = json_pack("{s:s, s:I, s:I}", "name", j->b->name, "cpuCount",
				 (json_int_t)j->b->cpus, "memoryMB", (json_int_t)j->b->memory_mib);
	int r = body == NULL ? err_set(err, -ENOMEM, "out of memory")
			     : call(j, "POST", "/v3/templates", body, &answer, err);

	if (r == 0)
		r = take_id(answer, "templateID", j->template, err);
	if (r == 0)
		r = take_id(answer, "buildID", j->build, err);
	json_decref(body);
	json_decref(answer);
	return r;
}

/* ---- Files --------------------------------------------------------------------------------- */

static int send_archive(struct job *j, const char *key, int fd, struct err *err)
{
	json_t *where = NULL, *answer = NULL;
	char path[2 * ID_MAX + KEY_LEN];
	const char *url, *target;
	struct progress p;
	struct stat st;
	int r;

	(void)snprintf(path, sizeof(path), "/templates/%s/files/%s", j->template, key);
	r = call(j, "GET", path, NULL, &where, err);
	if (r < 0)
		return r;
	/* The way there is the one that we have: only its path counts. */
	url = json_string_value(json_object_get(where, "url"));
	target = url == NULL ? NULL : strstr(url, "/templates/");
	if (json_is_true(json_object_get(where, "present"))) {
		json_decref(where);
		return 0;
	}
	progress_begin(&p, j->cli, "sending files");
	p.total = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
	if (target == NULL || strpbrk(target, " \r\n\t") != NULL)
		r = err_set(err, -EPROTO, "the daemon's answer can't be understood");
	else
		r = http_client_upload(j->http, "PUT", target, fd, &p.done, &answer, err);
	progress_end(&p);
	json_decref(where);
	json_decref(answer);
	return r;
}

/* Sends what each COPY takes, and says in the step what it is known by. */
static int send_files(struct job *j, struct err *err)
{
	json_t *step;
	size_t i;
	int r = 0;

	json_array_foreach(j->b->file.steps, i, step)
	{
		const json_t *line = json_object_get(step, "line");
		const char *source =
			json_string_value(json_array_get(json_object_get(step, "args"), 0));
		CLEANUP(fd_closep) int fd = -1;
		char key[KEY_LEN + 1];
		if (line == NULL || source == NULL)
			continue;
		r = context_archive(j->cli, source, &fd, err);
		if (r < 0) {
			(void)err_wrap(err, "line %" PRId64 ": COPY",
				       (int64_t)json_integer_value(line));
			return r;
		}
		r = make_key(fd, key, err);
		if (r == 0)
			r = send_archive(j, key, fd, err);
		if (r == 0 && json_object_set_new(step, "filesHash", json_string(key)) < 0)
			r = err_set(err, -ENOMEM, "out of memory");
		if (r < 0)
			return r;
	}
	return r;
}

/* ---- The order, and how it goes -------------------------------------------------------------- */

/* FROM names a template of ours, or else an image. */
static int choose_origin(struct job *j, json_t *body, struct err *err)
{
	const char *from = j->b->file.from;
	json_t *answer = NULL;
	char path[200];
	int r = -EREMOTEIO;

	if (strlen(from) <= 129 &&
	    from[strspn(from, "abcdefghijklmnopqrstuvwxyz0123456789._:-")] == '\0') {
		(void)snprintf(path, sizeof(path), "/templates/%s", from);
		r = call(j, "GET", path, NULL, &answer, err);
		json_decref(answer);
	}
	if (r < 0 && r != -EREMOTEIO)
		return r;
	*err = (struct err){ 0 };
	if (json_object_set_new(body, r == 0 ? "fromTemplate" : "fromImage", json_string(from)) < 0)
		return err_set(err, -EINVAL, "FROM: isn't UTF-8");
	return 0;
}

static int begin(struct job *j, struct err *err)
{
	/* As docker has it, where the image says nothing. */
	json_t *body =
		json_pack("{s:O, s:s*, s:s*, s:s, s:s, s:b, s:I}", "steps", j->b->file.steps,
			  "startCmd", j->b->file.start, "readyCmd", j->b->ready, "defaultUser",
			  "root", "defaultWorkdir", "/", "force", (int)j->b->no_cache,
			  "scratch_bytes", (json_int_t)j->b->scratch_bytes);
	json_t *answer = NULL;
	char path[4 * ID_MAX];
	int r = body == NULL ? err_set(err, -ENOMEM, "out of memory") : choose_origin(j, body, err);

	(void)snprintf(path, sizeof(path), "/v2/templates/%s/builds/%s", j->template, j->build);
	if (r == 0)
		r = call(j, "POST", path, body, &answer, err);
	json_decref(body);
	json_decref(answer);
	return r;
}

static void show(struct job *j, const json_t *entries)
{
	const json_t *e;
	size_t i;

	json_array_foreach(entries, i, e)
	{
		/* Escaped: what it says comes from the guest. */
		if (!j->b->json)
			(void)fprintf(stderr, "%s\n", cli_text(e, "message"));
	}
	j->logs += json_array_size(entries);
}

/* One look: 1 = it has ended and all of its log was shown, 0 = not yet. */
static int look(struct job *j, json_t **ret, struct err *err)
{
	char path[4 * ID_MAX];
	const char *state;
	json_t *o = NULL, *entries;
	bool over;
	int r;

	(void)snprintf(path, sizeof(path), "/templates/%s/builds/%s/status?logsOffset=%" PRIu64,
		       j->template, j->build, j->logs);
	r = call(j, "GET", path, NULL, &o, err);
	if (r < 0)
		return r;
	entries = json_object_get(o, "logEntries");
	show(j, entries);
	state = json_string_value(json_object_get(o, "status"));
	over = state != NULL && (strcmp(state, "ready") == 0 || strcmp(state, "error") == 0);
	if (over && json_array_size(entries) == 0) {
		*ret = o;
		return 1;
	}
	json_decref(o);
	return over ? look(j, ret, err) : 0;
}

static int await(struct job *j, json_t **ret, struct err *err)
{
	for (;;) {
		int r = look(j, ret, err);
		if (r != 0)
			return r < 0 ? r : 0;
		r = loop_step(j->cli->loop, POLL_MS);
		if (r < 0)
			return err_sys(err, r, "event loop");
		if (j->cli->signo != 0)
			return err_set(err, -EINTR, "the build goes on without us");
	}
}

static int finish(struct job *j, const json_t *end)
{
	const char *state = json_string_value(json_object_get(end, "status"));

	if (j->b->json && cli_print_json(end) != CLI_OK)
		return CLI_FAILED;
	if (state != NULL && strcmp(state, "ready") == 0) {
		if (!j->b->json)
			(void)printf("%s %s\n", j->b->name, j->template);
		return CLI_OK;
	}
	return cli_fail("template build: %s", cli_text(json_object_get(end, "reason"), "message"));
}

int template_build(struct cli *cli, struct template_build *b)
{
	struct job j = { .cli = cli, .b = b };
	json_t *end = NULL;
	struct err err = { 0 };
	int status, r;

	cli->quiet = b->json;
	r = http_client_open(cli, &j.http, &err);
	if (r == 0)
		r = register_it(&j, &err);
	if (r == 0)
		r = send_files(&j, &err);
	if (r == 0)
		r = begin(&j, &err);
	if (r == 0)
		r = await(&j, &end, &err);
	if (r < 0 && cli->signo != 0)
		status = CLI_SIGNALLED + cli->signo;
	else
		status = r < 0 ? cli_fail("template build: %s", err.msg) : finish(&j, end);
	json_decref(end);
	http_client_free(j.http);
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/dockerfile.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/num.h"

struct parsing {
	struct dockerfile *d;
	struct err *err;
	unsigned line;		    /* where the instruction begins */
	char *entrypoint, *command; /* for a shell */
	bool entrypoint_is_list;
};

static int bad(const struct parsing *p, const char *what)
{
	return err_set(p->err, -EINVAL, "line %u: %s", p->line, what);
}

static int no_memory(const struct parsing *p)
{
	return err_set(p->err, -ENOMEM, "out of memory");
}

/* ---- Words --------------------------------------------------------------------------------- */

struct words {
	char *list[DOCKERFILE_WORDS_MAX];
	size_t count;
	char *text; /* theirs */
};

static void words_done(struct words *w)
{
	free(w->text);
}

/* One word from *in to *out: blanks end it, quotes and backslashes as a shell has them. */
static int take_word(const char **in, char **out, const struct parsing *p)
{
	const char *s = *in;
	char quote = '\0';

	for (; *s != '\0' && (quote != '\0' || (*s != ' ' && *s != '\t')); s++) {
		if (*s == '$' && quote != '\'')
			return bad(p, "variables aren't expanded here; write what it stands for");
		if (quote == '\0' && (*s == '"' || *s == '\'')) {
			quote = *s;
		} else if (*s == quote) {
			quote = '\0';
		} else if (*s == '\\' && quote != '\'' && s[1] != '\0') {
			*(*out)++ = *++s;
		} else {
			*(*out)++ = *s;
		}
	}
	if (quote != '\0')
		return bad(p, "a quote isn't closed");
	*(*out)++ = '\0';
	*in = s;
	return 0;
}

static int split(const char *s, struct words *w, const struct parsing *p)
{
	char *out;
	int r;

	*w = (struct words){ .text = calloc(1, strlen(s) + 2) };
	if (w->text == NULL)
		return no_memory(p);
	out = w->text;
	for (;;) {
		s += strspn(s, " \t");
		if (*s == '\0')
			return 0;
		if (w->count == DOCKERFILE_WORDS_MAX)
			return bad(p, "too many words");
		w->list[w->count++] = out;
		r = take_word(&s, &out, p);
		if (r < 0)
			return r;
	}
}

/* ---- Steps --------------------------------------------------------------------------------- */

/* args: taken over. */
static int add_step(const struct parsing *p, const char *type, json_t *args)
{
	json_t *o = json_pack("{s:s, s:o}", "type", type, "args", args);

	if (o != NULL && strcmp(type, "COPY") == 0)
		(void)json_object_set_new(o, "line", json_integer(p->line));
	if (json_array_size(p->d->steps) >= DOCKERFILE_STEPS_MAX) {
		json_decref(o);
		return bad(p, "more than 256 steps");
	}
	return o == NULL || json_array_append_new(p->d->steps, o) < 0 ? no_memory(p) : 0;
}

/* Text that no JSON can be made of is no text. */
static int add_text_step(const struct parsing *p, const char *type, const char *text)
{
	json_t *v = json_string(text);

	if (v == NULL)
		return bad(p, "isn't UTF-8");
	return add_step(p, type, json_pack("[o]", v));
}

/* '["a","b"]' as a list of strings: NULL when it isn't one. New reference. */
static json_t *exec_form(const char *s)
{
	json_t *list, *v;
	size_t i;

	if (*s != '[')
		return NULL;
	list = json_loads(s, JSON_REJECT_DUPLICATES, NULL);
	json_array_foreach(list, i, v)
	{
		if (json_is_string(v))
			continue;
		json_decref(list);
		return NULL;
	}
	if (json_is_array(list) && json_array_size(list) > 0)
		return list;
	json_decref(list);
	return NULL;
}

/* A list as one line for a shell: each word in single quotes. free(); NULL = no memory. */
static char *shell_line(const json_t *list)
{
	size_t need = 1, i;
	char *line, *out;

	for (i = 0; i < json_array_size(list); i++)
		need += 4 * json_string_length(json_array_get(list, i)) + 3;
	line = out = calloc(1, need);
	for (i = 0; line != NULL && i < json_array_size(list); i++) {
		if (i > 0)
			*out++ = ' ';
		*out++ = '\'';
		for (const char *s = json_string_value(json_array_get(list, i)); *s != '\0'; s++) {
			if (*s == '\'') { /* ends them, one in a backslash, begins them */
				memcpy(out, "'\\'", 3);
				out += 3;
			}
			*out++ = *s;
		}
		*out++ = '\'';
	}
	if (line != NULL)
		*out = '\0';
	return line;
}

static char *take_command(const char *rest, bool *ret_is_list)
{
	json_t *list = exec_form(rest);
	char *line = list != NULL ? shell_line(list) : strdup(rest);

	*ret_is_list = list != NULL;
	json_decref(list);
	return line;
}

/* ---- Instructions -------------------------------------------------------------------------- */

static int on_from(struct parsing *p, const char *rest)
{
	struct words w;
	int r = split(rest, &w, p);

	if (r == 0 && p->d->from != NULL)
		r = bad(p, "FROM: only one is supported (no stages)");
	else if (r == 0 && w.count > 0 && strncmp(w.list[0], "--", 2) == 0)
		r = bad(p, "FROM: options aren't supported");
	else if (r == 0 && w.count != 1 && !(w.count == 3 && strcasecmp(w.list[1], "AS") == 0))
		r = bad(p, "FROM: needs the name of an image or a template");
	if (r == 0) {
		p->d->from = strdup(w.list[0]);
		r = p->d->from == NULL ? no_memory(p) : 0;
	}
	words_done(&w);
	return r;
}

static int on_run(struct parsing *p, const char *rest)
{
	bool is_list;
	char *line;
	int r;

	if (strncmp(rest, "--", 2) == 0)
		return bad(p, "RUN: options aren't supported");
	if (strncmp(rest, "<<", 2) == 0)
		return bad(p, "RUN: here-documents aren't supported");
	line = take_command(rest, &is_list);
	r = line == NULL ? no_memory(p) : add_text_step(p, "RUN", line);
	free(line);
	return r;
}

/* "--name=value": the value, or NULL. */
static const char *option(const char *word, const char *name)
{
	const size_t len = strlen(name);

	return strncmp(word, name, len) == 0 ? word + len : NULL;
}

static int add_copies(const struct parsing *p, char *const *list, size_t count, const char *owner,
		      const char *mode)
{
	const char *target = list[count - 1];
	int r = 0;

	if (count > 2 && (target[0] == '\0' || target[strlen(target) - 1] != '/'))
		return bad(p, "COPY: of several sources, the target must end with a slash");
	for (size_t i = 0; i + 1 < count && r == 0; i++) {
		/* "/x" is "x" of the directory that is built from. */
		const char *source = list[i] + strspn(list[i], "/");
		json_t *args = json_pack("[s, s, s, s]", source[0] == '\0' ? "." : source, target,
					 owner, mode);
		r = args == NULL ? bad(p, "isn't UTF-8") : add_step(p, "COPY", args);
	}
	return r;
}

static int on_copy(struct parsing *p, const char *rest)
{
	const char *owner = "", *mode = "", *v;
	struct words w;
	size_t first = 0;
	int r = split(rest, &w, p);

	for (; r == 0 && first < w.count && strncmp(w.list[first], "--", 2) == 0; first++) {
		if ((v = option(w.list[first], "--chown=")) != NULL)
			owner = v;
		else if ((v = option(w.list[first], "--chmod=")) != NULL)
			mode = v;
		else
			r = bad(p, "COPY: only --chown and --chmod are supported");
	}
	if (r == 0 && first < w.count && w.list[first][0] == '[')
		r = bad(p, "COPY: the form in brackets isn't supported; use quotes");
	if (r == 0 && w.count < first + 2)
		r = bad(p, "COPY: needs a source and a target");
	if (r == 0)
		r = add_copies(p, w.list + first, w.count - first, owner, mode);
	words_done(&w);
	return r;
}

static int on_env(struct parsing *p, const char *rest)
{
	json_t *args = json_array();
	struct words w;
	int r = split(rest, &w, p);

	if (r == 0 && w.count == 0)
		r = bad(p, "ENV: needs NAME=VALUE");
	for (size_t i = 0; r == 0 && i < w.count; i++) {
		char *eq = strchr(w.list[i], '=');
		if (eq == NULL || eq == w.list[i]) {
			r = bad(p, "ENV: needs NAME=VALUE");
			break;
		}
		*eq = '\0';
		if (json_array_append_new(args, json_string(w.list[i])) < 0 ||
		    json_array_append_new(args, json_string(eq + 1)) < 0)
			r = bad(p, "isn't UTF-8");
	}
	words_done(&w);
	if (r == 0)
		return add_step(p, "ENV", args);
	json_decref(args);
	return r;
}

static int one_word(struct parsing *p, const char *type, const char *rest)
{
	struct words w;
	int r = split(rest, &w, p);

	if (r == 0)
		r = w.count == 1 && w.list[0][0] != '\0' ? add_text_step(p, type, w.list[0])
							 : bad(p, "needs one word");
	words_done(&w);
	return r;
}

static int on_workdir(struct parsing *p, const char *rest)
{
	return one_word(p, "WORKDIR", rest);
}

static int on_user(struct parsing *p, const char *rest)
{
	return one_word(p, "USER", rest);
}

static int on_entrypoint(struct parsing *p, const char *rest)
{
	free(p->entrypoint);
	p->entrypoint = take_command(rest, &p->entrypoint_is_list);
	return p->entrypoint == NULL ? no_memory(p) : 0;
}

static int on_cmd(struct parsing *p, const char *rest)
{
	bool is_list;

	free(p->command);
	p->command = take_command(rest, &is_list);
	return p->command == NULL ? no_memory(p) : 0;
}

static int on_expose(struct parsing *p, const char *rest)
{
	(void)rest;
	p->d->skipped = p->line;
	return 0;
}

static const struct {
	const char *name;
	int (*on)(struct parsing *p, const char *rest);
} instructions[] = {
	{ "FROM", on_from },
	{ "RUN", on_run },
	{ "COPY", on_copy },
	{ "ENV", on_env },
	{ "USER", on_user },
	{ "WORKDIR", on_workdir },
	{ "ENTRYPOINT", on_entrypoint },
	{ "CMD", on_cmd },
	{ "EXPOSE", on_expose },
};

static int on_line(struct parsing *p, char *line)
{
	const size_t len = strcspn(line, " \t");
	char *rest = line + len + strspn(line + len, " \t");

	for (size_t i = 0; i < ARRAY_SIZE(instructions); i++) {
		if (strlen(instructions[i].name) != len ||
		    strncasecmp(instructions[i].name, line, len) != 0)
			continue;
		if (p->d->from == NULL && i != 0)
			return bad(p, "the first instruction must be FROM");
		if (*rest == '\0')
			return bad(p, "it says nothing");
		return instructions[i].on(p, rest);
	}
	return err_set(p->err, -EINVAL, "line %u: %.*s: is not supported", p->line,
		       (int)MIN(len, (size_t)20), line);
}

/* ---- Lines --------------------------------------------------------------------------------- */

/* The physical line at *at, cut, without blanks around it; *at is then behind it. */
static char *cut_line(char **at)
{
	char *line = *at + strspn(*at, " \t\r"), *end;

	*at += strcspn(*at, "\n");
	end = *at;
	if (**at == '\n')
		*(*at)++ = '\0';
	while (end > line && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
		*--end = '\0';
	return line;
}

/* Puts lines that end in a backslash together, in place: what is put together is never longer. */
static int all_lines(struct parsing *p, char *text)
{
	char *at = text, *logical = text, *out = text;
	unsigned number = 0;
	bool open = false;
	int r = 0;

	while (*at != '\0' && r == 0) {
		const char *begin = at;
		char *line = cut_line(&at);
		size_t len = strlen(line);
		number++;
		if (len == 0 || line[0] == '#')
			continue; /* also in the middle of one */
		if (!open) {
			p->line = number;
			logical = out = text;
		} else if (line > begin) {
			*out++ = ' '; /* "a\" and "  b" are two words */
		}
		open = line[len - 1] == '\\';
		memmove(out, line, open ? len - 1 : len);
		out += open ? len - 1 : len;
		*out = '\0';
		if (!open)
			r = on_line(p, logical);
	}
	return r == 0 && open ? bad(p, "ends in the middle of an instruction") : r;
}

/* As docker has it: CMD is what a list of ENTRYPOINT gets for arguments, else what runs. */
static int join_commands(struct parsing *p)
{
	const char *e = p->entrypoint, *c = p->command;
	size_t need;

	if (e == NULL && c == NULL)
		return 0;
	if (e == NULL || c == NULL || !p->entrypoint_is_list) {
		p->d->start = strdup(e != NULL ? e : c);
		return p->d->start == NULL ? no_memory(p) : 0;
	}
	need = strlen(e) + strlen(c) + 2;
	p->d->start = malloc(need);
	if (p->d->start == NULL)
		return no_memory(p);
	memcpy(p->d->start, e, strlen(e));
	p->d->start[strlen(e)] = ' ';
	memcpy(p->d->start + strlen(e) + 1, c, strlen(c) + 1);
	return 0;
}

int dockerfile_parse(const char *text, size_t len, struct dockerfile *ret, struct err *err)
{
	struct parsing p = { .d = ret, .err = err, .line = 1 };
	char *copy;
	int r;

	*ret = (struct dockerfile){ .steps = json_array() };
	copy = len > DOCKERFILE_BYTES_MAX ? NULL : strndup(text, len);
	if (len > DOCKERFILE_BYTES_MAX)
		r = err_set(err, -EINVAL, "is longer than %u bytes", DOCKERFILE_BYTES_MAX);
	else if (copy == NULL || ret->steps == NULL)
		r = no_memory(&p);
	else if (strlen(copy) != len)
		r = err_set(err, -EINVAL, "is no text");
	else
		r = all_lines(&p, copy);
	if (r == 0 && ret->from == NULL)
		r = err_set(err, -EINVAL, "has no FROM");
	if (r == 0)
		r = join_commands(&p);
	free(p.entrypoint);
	free(p.command);
	free(copy);
	if (r < 0)
		dockerfile_done(ret);
	return r;
}

void dockerfile_done(struct dockerfile *d)
{
	free(d->from);
	free(d->start);
	json_decref(d->steps);
	*d = (struct dockerfile){ 0 };
}

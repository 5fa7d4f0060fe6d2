/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.c - from text to rules.
 *
 *     line  := rule | "include" FILE "#" reason
 *     rule  := syscall [cond {"&&" cond}] ["->" ERRNO] "#" reason
 *     cond  := "argN" [":32"] ["&" value] op value          op: == != < <= > >=
 *     value := term {("|" | "+") term}
 *     term  := ["~"] (number | CONSTANT | "(" value ")")
 */
#include "policies/seccomp/policy.h"

#include <ctype.h>
#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "policies/seccomp/consts.h"

#define LINE_MAX_BYTES 512
#define INCLUDES_MAX   2
#define DEPTH_MAX      8

struct cursor {
	const struct policy *policy;
	unsigned line;
	const char *at;
};

static void skip_space(struct cursor *c)
{
	while (*c->at == ' ' || *c->at == '\t')
		c->at++;
}

/* Takes the text if it is next. */
static bool take(struct cursor *c, const char *text)
{
	size_t n = strlen(text);

	skip_space(c);
	if (strncmp(c->at, text, n) != 0)
		return false;
	c->at += n;
	return true;
}

static size_t word_len(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	return n;
}

/* As in C: 0x and hexadecimal, 0 and octal, or decimal. n is the word's length. */
static bool parse_number(struct cursor *c, size_t n, uint64_t *ret)
{
	const char *at = c->at, *end = c->at + n;
	unsigned base = at[0] == '0' && n > 1 ? 8 : 10;

	if (base == 8 && (at[1] == 'x' || at[1] == 'X')) {
		base = 16;
		at += 2;
	}
	if (parse_u64_at(&at, base, UINT64_MAX, ret) < 0 || at != end)
		return policy_complain(c->policy, c->line, "bad number '%.*s'", (int)n, c->at);
	c->at = end;
	return true;
}

static bool parse_value(struct cursor *c, unsigned depth, uint64_t *ret);

static bool parse_term(struct cursor *c, unsigned depth, uint64_t *ret)
{
	bool invert = take(c, "~");
	uint64_t v = 0;
	size_t n;

	if (depth > DEPTH_MAX)
		return policy_complain(c->policy, c->line, "value is nested too deeply");
	skip_space(c);
	n = word_len(c->at);
	if (take(c, "(")) {
		if (!parse_value(c, depth + 1, &v))
			return false;
		if (!take(c, ")"))
			return policy_complain(c->policy, c->line, "missing )");
	} else if (n > 0 && isdigit((unsigned char)*c->at)) {
		if (!parse_number(c, n, &v))
			return false;
	} else if (n > 0) {
		if (!const_find(c->at, n, &v))
			return policy_complain(
				c->policy, c->line,
				"unknown constant '%.*s' (policies/seccomp/consts.c)", (int)n,
				c->at);
		c->at += n;
	} else {
		return policy_complain(c->policy, c->line, "a value is missing at '%.20s'", c->at);
	}
	*ret = invert ? ~v : v;
	return true;
}

static bool parse_value(struct cursor *c, unsigned depth, uint64_t *ret)
{
	uint64_t v = 0;

	*ret = 0;
	if (!parse_term(c, depth, ret))
		return false;
	for (;;) {
		if (take(c, "|")) {
			if (!parse_term(c, depth, &v))
				return false;
			*ret |= v;
		} else if (take(c, "+")) {
			if (!parse_term(c, depth, &v))
				return false;
			*ret += v;
		} else {
			return true;
		}
	}
}

static bool parse_cmp(struct cursor *c, enum cmp *ret)
{
	static const struct {
		const char *text;
		enum cmp cmp;
	} ops[] = {
		{ "==", CMP_EQ }, { "!=", CMP_NE }, { "<=", CMP_LE },
		{ ">=", CMP_GE }, { "<", CMP_LT },  { ">", CMP_GT },
	};

	for (size_t i = 0; i < ARRAY_SIZE(ops); i++) {
		if (take(c, ops[i].text)) {
			*ret = ops[i].cmp;
			return true;
		}
	}
	return policy_complain(c->policy, c->line, "expected a comparison at '%.20s'", c->at);
}

static bool parse_cond(struct cursor *c, struct rule *r)
{
	struct cond cond = { .mask = UINT64_MAX };
	bool masked = false;
	uint64_t width = UINT64_MAX, mask;

	if (!take(c, "arg") || *c->at < '0' || *c->at >= '0' + POLICY_ARGS)
		return policy_complain(c->policy, c->line, "expected arg0..arg5 at '%.20s'", c->at);
	cond.arg = (unsigned)(*c->at++ - '0');
	if (take(c, ":32")) {
		width = UINT32_MAX;
		masked = true;
	}
	skip_space(c);
	if (c->at[0] == '&' && c->at[1] != '&') {
		c->at++;
		if (!parse_value(c, 0, &mask))
			return false;
		cond.mask = mask;
		masked = true;
	}
	cond.mask &= width;
	if (!parse_cmp(c, &cond.cmp) || !parse_value(c, 0, &cond.value))
		return false;
	cond.value &= width;
	if (masked && cond.cmp != CMP_EQ)
		return policy_complain(c->policy, c->line, "a mask or :32 goes with == only");
	if ((cond.value & ~cond.mask) != 0)
		return policy_complain(c->policy, c->line, "value has bits outside its mask");
	for (size_t i = 0; i < r->conds_count; i++) {
		if (r->conds[i].arg == cond.arg)
			return policy_complain(c->policy, c->line,
					       "two conditions on arg%u in one rule", cond.arg);
	}
	r->conds[r->conds_count++] = cond;
	return true;
}

static bool parse_reason(struct cursor *c)
{
	size_t letters = 0;

	if (!take(c, "#"))
		return policy_complain(c->policy, c->line, "expected '# reason' at '%.20s'", c->at);
	for (; *c->at != '\0'; c->at++)
		letters += isalpha((unsigned char)*c->at) ? 1 : 0;
	if (letters < 4)
		return policy_complain(c->policy, c->line, "the rule has no reason");
	return true;
}

static bool parse_syscall(struct cursor *c, int *ret)
{
	char name[48];
	size_t n = word_len(c->at);

	if (n == 0 || n >= sizeof(name))
		return policy_complain(c->policy, c->line, "expected the name of a system call");
	memcpy(name, c->at, n);
	name[n] = '\0';
	c->at += n;
	*ret = seccomp_syscall_resolve_name_arch(SCMP_ARCH_NATIVE, name);
	if (*ret < 0)
		return policy_complain(c->policy, c->line, "unknown system call '%s'", name);
	return true;
}

static bool parse_rule(struct cursor *c, struct rule *r)
{
	uint64_t err;

	if (!parse_syscall(c, &r->nr))
		return false;
	skip_space(c);
	if (strncmp(c->at, "arg", 3) == 0) {
		do {
			if (!parse_cond(c, r))
				return false;
		} while (take(c, "&&"));
	}
	if (take(c, "->")) {
		if (!parse_value(c, 0, &err))
			return false;
		if (err == 0 || err > 4095)
			return policy_complain(c->policy, c->line, "not an errno");
		r->err = (int)err;
	}
	return parse_reason(c);
}

/* Does a rule of this policy itself take an included one's place? */
static bool replaces(const struct rule *own, const struct rule *other)
{
	return own->nr == other->nr &&
	       (own->err != other->err || own->conds_count == 0 || rule_same_conds(own, other));
}

/* Does a rule of a policy that was included before say what this one says? */
static bool covers(const struct rule *before, const struct rule *other)
{
	return before->nr == other->nr && before->err == other->err &&
	       (before->conds_count == 0 || rule_same_conds(before, other));
}

/* A call without conditions makes those pointless that were included before it with some. */
static void drop_covered(struct policy *p, const struct rule *by)
{
	size_t kept = p->own;

	for (size_t k = p->own; k < p->count; k++)
		if (!covers(by, &p->rules[k]))
			p->rules[kept++] = p->rules[k];
	p->count = kept;
}

static bool merge(struct policy *p, const struct policy *other, unsigned line)
{
	for (size_t i = 0; i < other->count; i++) {
		bool replaced = false;
		for (size_t k = 0; k < p->count && !replaced; k++)
			replaced = k < p->own ? replaces(&p->rules[k], &other->rules[i])
					      : covers(&p->rules[k], &other->rules[i]);
		if (replaced)
			continue;
		if (other->rules[i].conds_count == 0)
			drop_covered(p, &other->rules[i]);
		if (p->count == POLICY_RULES_MAX)
			return policy_complain(p, line, "more than %d rules", POLICY_RULES_MAX);
		p->rules[p->count] = other->rules[i];
		p->rules[p->count++].line = line;
	}
	return true;
}

/* `name` lies beside the policy. */
static bool parse_included(struct policy *p, const char *name, unsigned line)
{
	static struct policy other; /* large, and one at a time: an included one includes none */
	const char *slash = strrchr(p->file, '/');
	size_t dir = slash == NULL ? 0 : (size_t)(slash - p->file + 1);
	char path[512];
	FILE *in;
	bool ok;

	if (dir + strlen(name) >= sizeof(path))
		return policy_complain(p, line, "the path of %s is too long", name);
	memcpy(path, p->file, dir);
	memcpy(path + dir, name, strlen(name) + 1);
	in = fopen(path, "re");
	if (in == NULL)
		return policy_complain(p, line, "%s: %s", path, strerror(errno));
	other = (struct policy){ .file = path, .included = true };
	ok = policy_parse(&other, in);
	(void)fclose(in);
	return ok && merge(p, &other, line);
}

struct include {
	char name[64];
	unsigned line;
};

/* "include NAME # reason"; the name is kept: own rules, anywhere in the file, come first. */
static bool parse_include(struct cursor *c, struct include *all, size_t *count)
{
	struct include *one = &all[*count];
	size_t n;

	skip_space(c);
	n = strcspn(c->at, " \t#");
	if (c->policy->included)
		return policy_complain(c->policy, c->line, "an included policy includes none");
	if (n == 0 || n >= sizeof(one->name) || memchr(c->at, '/', n) != NULL)
		return policy_complain(c->policy, c->line, "expected the name of a policy");
	if (*count == INCLUDES_MAX)
		return policy_complain(c->policy, c->line, "more than %d policies are included",
				       INCLUDES_MAX);
	memcpy(one->name, c->at, n);
	one->name[n] = '\0';
	one->line = c->line;
	++*count;
	c->at += n;
	return parse_reason(c);
}

bool policy_parse(struct policy *p, FILE *in)
{
	struct include included[INCLUDES_MAX];
	char text[LINE_MAX_BYTES];
	struct cursor c = { .policy = p };
	size_t includes = 0;
	bool ok = true;

	while (fgets(text, sizeof(text), in) != NULL) {
		size_t n = strlen(text);
		c.line++;
		c.at = text;
		if (n > 0 && text[n - 1] == '\n')
			text[--n] = '\0';
		else if (!feof(in))
			return policy_complain(p, c.line, "line is longer than %zu bytes",
					       sizeof(text) - 2);
		skip_space(&c);
		if (*c.at == '\0' || *c.at == '#')
			continue;
		if (take(&c, "include ")) {
			if (!parse_include(&c, included, &includes))
				ok = false;
			continue;
		}
		if (p->count == POLICY_RULES_MAX)
			return policy_complain(p, c.line, "more than %d rules", POLICY_RULES_MAX);
		p->rules[p->count] = (struct rule){ .line = c.line };
		if (parse_rule(&c, &p->rules[p->count]))
			p->count++;
		else
			ok = false;
	}
	p->own = p->count;
	for (size_t i = 0; i < includes && ok; i++)
		ok = parse_included(p, included[i].name, included[i].line);
	if (ok && p->count == 0)
		return policy_complain(p, c.line, "the policy has no rule");
	return ok;
}

static const struct cond *cond_on(const struct rule *r, unsigned arg)
{
	for (size_t i = 0; i < r->conds_count; i++) {
		if (r->conds[i].arg == arg)
			return &r->conds[i];
	}
	return NULL;
}

bool rule_same_conds(const struct rule *a, const struct rule *b)
{
	if (a->conds_count != b->conds_count)
		return false;
	for (size_t i = 0; i < a->conds_count; i++) {
		const struct cond *x = &a->conds[i], *y = cond_on(b, x->arg);
		if (y == NULL || x->mask != y->mask || x->cmp != y->cmp || x->value != y->value)
			return false;
	}
	return true;
}

bool cond_holds(const struct cond *c, uint64_t arg)
{
	uint64_t v = arg & c->mask;

	switch (c->cmp) {
	case CMP_EQ:
		return v == c->value;
	case CMP_NE:
		return v != c->value;
	case CMP_LT:
		return v < c->value;
	case CMP_LE:
		return v <= c->value;
	case CMP_GT:
		return v > c->value;
	case CMP_GE:
		return v >= c->value;
	case CMP_COUNT:
		break;
	}
	abort();
}

uint64_t cond_sample(const struct cond *c)
{
	switch (c->cmp) {
	case CMP_EQ:
	case CMP_LE:
	case CMP_GE:
		return c->value;
	case CMP_NE:
	case CMP_GT:
		return c->value + 1;
	case CMP_LT:
		return c->value - 1;
	case CMP_COUNT:
		break;
	}
	abort();
}

size_t policy_calls(const struct policy *p)
{
	size_t n = 0;

	for (size_t i = 0; i < p->count; i++) {
		bool first = p->rules[i].err == 0;
		for (size_t k = 0; k < i && first; k++)
			first = p->rules[k].nr != p->rules[i].nr;
		n += first;
	}
	return n;
}

int policy_eval(const struct policy *p, int nr, const uint64_t args[POLICY_ARGS])
{
	for (size_t i = 0; i < p->count; i++) {
		const struct rule *r = &p->rules[i];
		bool all = r->nr == nr;
		for (size_t k = 0; all && k < r->conds_count; k++)
			all = cond_holds(&r->conds[k], args[r->conds[k].arg]);
		if (all)
			return r->err;
	}
	return -1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * policy.h - a seccomp policy as text, parsed. Build-time only; README.md describes the language.
 *
 * A policy is a list of rules, each for one system call: all its conditions must hold. A call that
 * no rule matches kills the process.
 */
#ifndef POLICIES_SECCOMP_POLICY_H
#define POLICIES_SECCOMP_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/compiler.h"

#define POLICY_RULES_MAX 256
#define POLICY_CONDS_MAX 6 /* one an argument: libseccomp allows no more */
#define POLICY_ARGS	 6

enum cmp { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE, CMP_COUNT };

struct cond {
	unsigned arg;
	uint64_t mask; /* applied to the argument first; ~0 = the whole argument */
	enum cmp cmp;
	uint64_t value;
};

struct rule {
	int nr;
	int err; /* 0 = allow, else the errno that the call gets */
	unsigned line;
	size_t conds_count;
	struct cond conds[POLICY_CONDS_MAX];
};

struct policy {
	const char *file; /* for messages */
	bool included;	  /* by another one */
	size_t own;	  /* of these, the first so many are not from an included policy */
	size_t count;
	struct rule rules[POLICY_RULES_MAX];
};

/* Reads the whole policy. false, with `FILE:LINE: what` on stderr, when any line is wrong. */
MUST_USE bool policy_parse(struct policy *p, FILE *in);

/* Is every rule narrow enough (lint.c)? false with messages on stderr. */
MUST_USE bool policy_lint(const struct policy *p);

/* What the text says about a call: 0 = allowed, errno > 0, or -1 = killed. */
int policy_eval(const struct policy *p, int nr, const uint64_t args[POLICY_ARGS]);

/* How many different calls it allows. */
size_t policy_calls(const struct policy *p);

/* The same conditions, in whatever order? */
bool rule_same_conds(const struct rule *a, const struct rule *b);

/* Does the condition hold for this argument value? */
bool cond_holds(const struct cond *c, uint64_t arg);

/* A value that satisfies the condition. */
uint64_t cond_sample(const struct cond *c);

/* `FILE:LINE: text` on stderr; always returns false. */
bool policy_complain(const struct policy *p, unsigned line, const char *fmt, ...) PRINTF(3, 4);

#endif

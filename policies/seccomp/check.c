/* SPDX-License-Identifier: Apache-2.0 */
#include "policies/seccomp/check.h"

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <string.h>

#define NUMBERS_MAX 1024 /* every system call number below this is tried */
#define VALUES_MAX  512	 /* interesting values of one argument */
#define CASES_MAX   (1U << 22)
#define X32_BIT	    0x40000000

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#else
#error "name the architecture's AUDIT_ARCH here"
#endif

struct values {
	size_t count;
	uint64_t v[VALUES_MAX];
};

/* One instruction of those that libseccomp emits. false: the program ends with *ret. */
static bool step(const struct sock_filter *f, size_t len, size_t *pc, uint32_t *acc,
		 const struct seccomp_data *d, uint32_t *ret)
{
	const struct sock_filter *i = &f[(*pc)++];
	bool taken;

	switch (i->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		if (i->k > sizeof(*d) - 4 || (i->k & 3) != 0)
			return false;
		memcpy(acc, (const char *)d + i->k, 4);
		return true;
	case BPF_ALU | BPF_AND | BPF_K:
		*acc &= i->k;
		return true;
	case BPF_JMP | BPF_JA:
		*pc += i->k;
		return *pc < len;
	case BPF_JMP | BPF_JEQ | BPF_K:
		taken = *acc == i->k;
		break;
	case BPF_JMP | BPF_JGT | BPF_K:
		taken = *acc > i->k;
		break;
	case BPF_JMP | BPF_JGE | BPF_K:
		taken = *acc >= i->k;
		break;
	case BPF_JMP | BPF_JSET | BPF_K:
		taken = (*acc & i->k) != 0;
		break;
	case BPF_RET | BPF_K:
		*ret = i->k;
		return false;
	default:
		return false;
	}
	*pc += taken ? i->jt : i->jf;
	return *pc < len;
}

/* The filter's answer; an answer that no filter gives when the program is not understood. */
static uint32_t run(const struct sock_filter *f, size_t len, const struct seccomp_data *d)
{
	uint32_t ret = UINT32_MAX, acc = 0;
	size_t pc = 0;

	while (pc < len && step(f, len, &pc, &acc, d, &ret))
		;
	return ret;
}

static uint32_t wanted(const struct policy *p, uint32_t arch, int nr, const uint64_t *args)
{
	int e = arch == ARCH ? policy_eval(p, nr, args) : -1;

	if (e < 0)
		return SECCOMP_RET_KILL_PROCESS;
	return e == 0 ? SECCOMP_RET_ALLOW : SECCOMP_RET_ERRNO | (uint32_t)e;
}

static bool compare(const struct policy *p, const struct sock_filter *f, size_t len, uint32_t arch,
		    int nr, const uint64_t args[POLICY_ARGS])
{
	struct seccomp_data d = { .nr = nr, .arch = arch };
	uint32_t got, want = wanted(p, arch, nr, args);

	for (unsigned i = 0; i < POLICY_ARGS; i++)
		d.args[i] = args[i];
	got = run(f, len, &d);
	if (got == want)
		return true;
	fprintf(stderr,
		"%s: the filter answers %#x instead of %#x to call %d (arch %#x) with %#llx %#llx "
		"%#llx %#llx %#llx %#llx\n",
		p->file, got, want, nr, arch, (unsigned long long)args[0],
		(unsigned long long)args[1], (unsigned long long)args[2],
		(unsigned long long)args[3], (unsigned long long)args[4],
		(unsigned long long)args[5]);
	return false;
}

static void add_value(struct values *vs, uint64_t v)
{
	for (size_t i = 0; i < vs->count; i++) {
		if (vs->v[i] == v)
			return;
	}
	if (vs->count < VALUES_MAX)
		vs->v[vs->count++] = v;
}

/* The values of an argument at which some rule of this call may change its mind. */
static void collect(const struct policy *p, int nr, unsigned arg, struct values *vs)
{
	vs->count = 0;
	add_value(vs, 0);
	for (size_t i = 0; i < p->count; i++) {
		const struct rule *r = &p->rules[i];
		for (size_t k = 0; r->nr == nr && k < r->conds_count; k++) {
			const struct cond *c = &r->conds[k];
			if (c->arg != arg)
				continue;
			add_value(vs, c->value);
			add_value(vs, c->value + 1);
			add_value(vs, c->value - 1);
			add_value(vs, c->value | ~c->mask);
			add_value(vs, c->value ^ (UINT64_C(1) << 31));
			add_value(vs, c->value ^ (UINT64_C(1) << 32));
			add_value(vs, c->value ^ (UINT64_C(1) << 63));
			for (unsigned b = 0; b < 64 && c->mask != UINT64_MAX; b++)
				add_value(vs, c->value ^ (UINT64_C(1) << b));
		}
	}
	add_value(vs, UINT64_MAX);
}

/*
 * Every combination of the interesting values, or, when there are too many, the values of each
 * argument on their own around each rule's own example.
 */
static bool check_call(const struct policy *p, const struct sock_filter *f, size_t len, int nr,
		       size_t *cases)
{
	static struct values vs[POLICY_ARGS];
	size_t total = 1, index[POLICY_ARGS] = { 0 };
	uint64_t args[POLICY_ARGS];

	for (unsigned a = 0; a < POLICY_ARGS; a++) {
		collect(p, nr, a, &vs[a]);
		if (vs[a].count == 2)
			vs[a].count = 1; /* no condition on it */
		total = total > CASES_MAX ? total : total * vs[a].count;
	}
	for (size_t n = 0; total <= CASES_MAX && n < total; n++) {
		size_t rest = n;
		for (unsigned a = 0; a < POLICY_ARGS; a++) {
			args[a] = vs[a].v[rest % vs[a].count];
			rest /= vs[a].count;
		}
		*cases += 1;
		if (!compare(p, f, len, ARCH, nr, args))
			return false;
	}
	for (size_t i = 0; total > CASES_MAX && i < p->count; i++) {
		const struct rule *r = &p->rules[i];
		for (unsigned a = 0; r->nr == nr && a < POLICY_ARGS; a++) {
			for (index[a] = 0; index[a] < vs[a].count; index[a]++) {
				memset(args, 0, sizeof(args));
				for (size_t k = 0; k < r->conds_count; k++)
					args[r->conds[k].arg] = cond_sample(&r->conds[k]);
				args[a] = vs[a].v[index[a]];
				*cases += 1;
				if (!compare(p, f, len, ARCH, nr, args))
					return false;
			}
		}
	}
	return true;
}

bool check_filter(const struct policy *p, const struct sock_filter *f, size_t len,
		  size_t *ret_cases)
{
	static const uint32_t foreign[] = { AUDIT_ARCH_I386, AUDIT_ARCH_ARM, AUDIT_ARCH_AARCH64,
					    AUDIT_ARCH_X86_64, 0 };
	static const uint64_t none[POLICY_ARGS];
	size_t cases = 0;

	for (int nr = 0; nr < NUMBERS_MAX; nr++) {
		if (!check_call(p, f, len, nr, &cases))
			return false;
		if (!compare(p, f, len, ARCH, nr | X32_BIT, none))
			return false;
		for (size_t i = 0; i < ARRAY_SIZE(foreign); i++) {
			if (foreign[i] != ARCH && !compare(p, f, len, foreign[i], nr, none))
				return false;
		}
	}
	/* The first thing that a filter looks at is the architecture. */
	if (f[0].code != (BPF_LD | BPF_W | BPF_ABS) ||
	    f[0].k != offsetof(struct seccomp_data, arch)) {
		fprintf(stderr, "%s: the filter doesn't begin with the architecture\n", p->file);
		return false;
	}
	*ret_cases = cases;
	return true;
}

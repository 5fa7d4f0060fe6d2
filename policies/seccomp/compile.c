/* SPDX-License-Identifier: Apache-2.0 */
/*
 * compile.c - seccomp-compile: a text policy in, two C headers out.
 *
 *     seccomp-compile POLICY ARRAY FILTER.h CASES.h
 *
 * FILTER.h holds `static const struct sock_filter ARRAY[]`, to be built into the program; no
 * policy is parsed at run time. CASES.h lists one example call for each rule, for the test that
 * tries the filter in the running kernel (tests/unit/seccomp_policy.c). Nothing is written unless
 * the filter was proved equal to the text (check.h).
 */
#include <errno.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "policies/seccomp/check.h"
#include "policies/seccomp/policy.h"

#define FILTER_MAX 4096 /* BPF_MAXINSNS */

static enum scmp_compare scmp_op(const struct cond *c)
{
	static const enum scmp_compare ops[CMP_COUNT] = {
		[CMP_EQ] = SCMP_CMP_EQ, [CMP_NE] = SCMP_CMP_NE, [CMP_LT] = SCMP_CMP_LT,
		[CMP_LE] = SCMP_CMP_LE, [CMP_GT] = SCMP_CMP_GT, [CMP_GE] = SCMP_CMP_GE,
	};

	return c->mask != UINT64_MAX ? SCMP_CMP_MASKED_EQ : ops[c->cmp];
}

static bool add_rule(scmp_filter_ctx ctx, const struct policy *p, const struct rule *r)
{
	struct scmp_arg_cmp cmp[POLICY_CONDS_MAX];
	uint32_t action = r->err == 0 ? SCMP_ACT_ALLOW : SCMP_ACT_ERRNO((uint32_t)r->err);
	int e;

	for (size_t i = 0; i < r->conds_count; i++) {
		const struct cond *c = &r->conds[i];
		bool masked = c->mask != UINT64_MAX;
		cmp[i] = (struct scmp_arg_cmp){ .arg = c->arg,
						.op = scmp_op(c),
						.datum_a = masked ? c->mask : c->value,
						.datum_b = masked ? c->value : 0 };
	}
	e = seccomp_rule_add_exact_array(ctx, action, r->nr, (unsigned)r->conds_count, cmp);
	if (e < 0)
		return policy_complain(p, r->line, "libseccomp: %s", strerror(-e));
	return true;
}

static scmp_filter_ctx make_filter(const struct policy *p)
{
	scmp_filter_ctx ctx = seccomp_init(SCMP_ACT_KILL_PROCESS);

	if (ctx == NULL)
		return NULL;
	/* A balanced tree over the numbers: half the time to load and to run of a list. */
	if (seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, 2) < 0 ||
	    seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS) < 0) {
		seccomp_release(ctx);
		return NULL;
	}
	for (size_t i = 0; i < p->count; i++) {
		if (!add_rule(ctx, p, &p->rules[i])) {
			seccomp_release(ctx);
			return NULL;
		}
	}
	return ctx;
}

/* The number of instructions, 0 on failure. */
static size_t export_filter(const struct policy *p, struct sock_filter *f)
{
	scmp_filter_ctx ctx = make_filter(p);
	int fd = memfd_create("bpf", MFD_CLOEXEC);
	ssize_t n = -1;

	if (ctx != NULL && fd >= 0 && seccomp_export_bpf(ctx, fd) == 0)
		n = pread(fd, f, FILTER_MAX * sizeof(*f), 0);
	if (ctx != NULL)
		seccomp_release(ctx);
	if (fd >= 0)
		(void)close(fd);
	return n <= 0 ? 0 : (size_t)n / sizeof(*f);
}

static void print_filter(FILE *out, const char *name, const struct sock_filter *f, size_t len)
{
	fprintf(out, "#include <linux/filter.h>\n\nstatic const struct sock_filter %s[] = {\n",
		name);
	for (size_t i = 0; i < len; i++)
		fprintf(out, "\t{ 0x%02x, %u, %u, 0x%08x },\n", f[i].code, f[i].jt, f[i].jf,
			f[i].k);
	fprintf(out, "};\n");
}

static void print_cases(FILE *out, const char *name, const struct policy *p)
{
	fprintf(out, "static const struct seccomp_case %s_cases[] = {\n", name);
	for (size_t i = 0; i < p->count; i++) {
		const struct rule *r = &p->rules[i];
		uint64_t args[POLICY_ARGS] = { 0 };
		for (size_t k = 0; k < r->conds_count; k++)
			args[r->conds[k].arg] = cond_sample(&r->conds[k]);
		fprintf(out, "\t{ %u, %d, %d, {", r->line, r->nr, r->err);
		for (unsigned k = 0; k < POLICY_ARGS; k++)
			fprintf(out, "%s 0x%llxU", k == 0 ? "" : ",", (unsigned long long)args[k]);
		fprintf(out, " } },\n");
	}
	fprintf(out, "};\n");
}

static FILE *open_output(const char *path, const char *policy)
{
	FILE *out = fopen(path, "we");

	if (out == NULL)
		fprintf(stderr, "%s: %s\n", path, strerror(errno));
	else
		fprintf(out, "/* Made from %s by seccomp-compile. */\n", policy);
	return out;
}

static bool close_output(FILE *out, const char *path)
{
	bool ok = ferror(out) == 0;

	if (fclose(out) != 0)
		ok = false;
	if (!ok) {
		fprintf(stderr, "%s: can't be written\n", path);
		(void)unlink(path);
	}
	return ok;
}

static bool write_outputs(const struct policy *p, const struct sock_filter *f, size_t len,
			  char **argv)
{
	const char *base = strrchr(p->file, '/');
	FILE *out;

	base = base == NULL ? p->file : base + 1;
	out = open_output(argv[3], base);
	if (out == NULL)
		return false;
	print_filter(out, argv[2], f, len);
	if (!close_output(out, argv[3]))
		return false;
	out = open_output(argv[4], base);
	if (out == NULL)
		return false;
	print_cases(out, argv[2], p);
	return close_output(out, argv[4]);
}

int main(int argc, char **argv)
{
	static struct policy p;
	static struct sock_filter f[FILTER_MAX];
	size_t len, cases;
	bool ok;
	FILE *in;

	if (argc != 5) {
		fprintf(stderr, "usage: seccomp-compile POLICY ARRAY FILTER.h CASES.h\n");
		return 2;
	}
	p.file = argv[1];
	in = fopen(argv[1], "re");
	if (in == NULL) {
		fprintf(stderr, "%s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	ok = policy_parse(&p, in);
	(void)fclose(in);
	if (!ok || !policy_lint(&p))
		return 1;
	len = export_filter(&p, f);
	if (len == 0) {
		fprintf(stderr, "%s: libseccomp made no filter\n", p.file);
		return 1;
	}
	if (!check_filter(&p, f, len, &cases) || !write_outputs(&p, f, len, argv))
		return 1;
	printf("%s: %zu calls, %zu rules, %zu instructions, %zu cases compared\n", p.file,
	       policy_calls(&p), p.count, len, cases);
	return 0;
}

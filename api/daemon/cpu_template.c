/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/cpu_template.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"

#define HEX_DIGITS_MAX 16U

/* "0x" and 1 to 16 digits. */
static int parse_hex(const char *s, uint64_t *ret)
{
	if (s[0] != '0' || s[1] != 'x' || strlen(s + 2) > HEX_DIGITS_MAX)
		return -EINVAL;
	s += 2;
	return parse_u64_at(&s, 16, UINT64_MAX, ret) < 0 || *s != '\0' ? -EINVAL : 0;
}

static int take_number(const char *list, size_t n, const char *name, const json_t *v, uint64_t max,
		       uint64_t *ret, struct err *err)
{
	uint64_t x = 0;
	int r = -EINVAL;

	if (json_is_string(v)) {
		r = parse_hex(json_string_value(v), &x);
	} else if (json_is_integer(v) && json_integer_value(v) >= 0) {
		x = (uint64_t)json_integer_value(v);
		r = 0;
	}
	if (r < 0 || x > max)
		return err_set(err, -EINVAL,
			       "cpu_template: %s %zu: %s: must be a number or \"0x...\", at most "
			       "0x%" PRIx64,
			       list, n, name, max);
	*ret = x;
	return 0;
}

/* One field of an entry: where it goes, how large it may be, must it be there. */
struct field {
	const char *name;
	uint64_t max;
	uint64_t *value;
	bool needed;
	bool seen;
};

/* Reads an object whose fields are all numbers. */
static int take_entry(const char *list, size_t n, const json_t *v, struct field *fields,
		      size_t count, struct err *err)
{
	json_t *obj;
	int r = 0;

	if (!json_is_object(v))
		return err_set(err, -EINVAL, "cpu_template: %s %zu: must be an object", list, n);
	/* jansson's iterator wants a non-const object though it does not change it. */
	memcpy(&obj, &v, sizeof(obj));
	for (void *it = json_object_iter(obj); it != NULL && r == 0;
	     it = json_object_iter_next(obj, it)) {
		const char *key = json_object_iter_key(it);
		size_t i = 0;
		while (i < count && strcmp(fields[i].name, key) != 0)
			i++;
		if (i == count) {
			char shown[64];
			(void)log_escape(shown, sizeof(shown), key, strlen(key));
			return err_set(err, -EINVAL, "cpu_template: %s %zu: %s: unknown field",
				       list, n, shown);
		}
		fields[i].seen = true;
		r = take_number(list, n, key, json_object_iter_value(it), fields[i].max,
				fields[i].value, err);
	}
	for (size_t i = 0; i < count && r == 0; i++)
		if (fields[i].needed && !fields[i].seen)
			r = err_set(err, -EINVAL, "cpu_template: %s %zu: %s is missing", list, n,
				    fields[i].name);
	return r;
}

static int take_cpuid(const json_t *v, size_t n, struct cpu_template *t, struct err *err)
{
	uint64_t leaf = 0, subleaf = 0, reg[4] = { UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX };
	struct field fields[] = {
		{ .name = "leaf", .max = UINT32_MAX, .value = &leaf, .needed = true },
		{ .name = "subleaf", .max = UINT32_MAX, .value = &subleaf },
		{ .name = "eax", .max = UINT32_MAX, .value = &reg[0] },
		{ .name = "ebx", .max = UINT32_MAX, .value = &reg[1] },
		{ .name = "ecx", .max = UINT32_MAX, .value = &reg[2] },
		{ .name = "edx", .max = UINT32_MAX, .value = &reg[3] },
	};
	int r = take_entry("cpuid", n, v, fields, ARRAY_SIZE(fields), err);

	if (r < 0)
		return r;
	t->cpuid[n].leaf = (uint32_t)leaf;
	t->cpuid[n].subleaf = (uint32_t)subleaf;
	t->cpuid[n].eax = (uint32_t)reg[0];
	t->cpuid[n].ebx = (uint32_t)reg[1];
	t->cpuid[n].ecx = (uint32_t)reg[2];
	t->cpuid[n].edx = (uint32_t)reg[3];
	t->cpuid_count++;
	return 0;
}

static int take_msr(const json_t *v, size_t n, struct cpu_template *t, struct err *err)
{
	uint64_t index = 0, mask = 0, value = 0;
	struct field fields[] = {
		{ .name = "index", .max = UINT32_MAX, .value = &index, .needed = true },
		{ .name = "mask", .max = UINT64_MAX, .value = &mask, .needed = true },
		{ .name = "value", .max = UINT64_MAX, .value = &value, .needed = true },
	};
	int r = take_entry("msrs", n, v, fields, ARRAY_SIZE(fields), err);

	if (r < 0)
		return r;
	t->msrs[n].index = (uint32_t)index;
	t->msrs[n].mask = mask;
	t->msrs[n].value = value;
	t->msrs_count++;
	return 0;
}

static int take_list(const char *name, const json_t *v, size_t max, struct cpu_template *t,
		     int (*take)(const json_t *, size_t, struct cpu_template *, struct err *),
		     struct err *err)
{
	int r = 0;

	if (!json_is_array(v) || json_array_size(v) > max)
		return err_set(err, -EINVAL, "cpu_template: %s: must be a list of at most %zu",
			       name, max);
	for (size_t i = 0; i < json_array_size(v) && r == 0; i++)
		r = take(json_array_get(v, i), i, t, err);
	return r;
}

static int take_description(const json_t *v, struct err *err)
{
	if (!json_is_string(v) || json_string_length(v) > CPU_TEMPLATE_DESCRIPTION_MAX)
		return err_set(err, -EINVAL,
			       "cpu_template: description: must be a string of at most %u bytes",
			       CPU_TEMPLATE_DESCRIPTION_MAX);
	return 0;
}

int cpu_template_parse(const json_t *v, struct cpu_template *ret, struct err *err)
{
	struct cpu_template t = { 0 };
	json_t *obj;
	int r = 0;

	if (!json_is_object(v))
		return err_set(err, -EINVAL, "cpu_template: must be an object");
	memcpy(&obj, &v, sizeof(obj));
	for (void *it = json_object_iter(obj); it != NULL && r == 0;
	     it = json_object_iter_next(obj, it)) {
		const char *key = json_object_iter_key(it);
		const json_t *item = json_object_iter_value(it);
		char shown[64];
		if (strcmp(key, "cpuid") == 0) {
			r = take_list(key, item, CPU_TEMPLATE_CPUID_MAX, &t, take_cpuid, err);
		} else if (strcmp(key, "msrs") == 0) {
			r = take_list(key, item, CPU_TEMPLATE_MSRS_MAX, &t, take_msr, err);
		} else if (strcmp(key, "description") == 0) {
			r = take_description(item, err);
		} else {
			(void)log_escape(shown, sizeof(shown), key, strlen(key));
			r = err_set(err, -EINVAL, "cpu_template: %s: unknown field", shown);
		}
	}
	if (r < 0)
		return r;
	*ret = t;
	return 0;
}

void cpu_template_encode(const struct cpu_template *t, struct cpu_template_message *ret)
{
	casemate__vmm__v1__cpu_template__init(&ret->msg);
	for (unsigned i = 0; i < t->cpuid_count; i++) {
		Casemate__Vmm__V1__CpuidMask *m = &ret->cpuid[i];
		casemate__vmm__v1__cpuid_mask__init(m);
		m->function = t->cpuid[i].leaf;
		m->index = t->cpuid[i].subleaf;
		m->eax = t->cpuid[i].eax;
		m->ebx = t->cpuid[i].ebx;
		m->ecx = t->cpuid[i].ecx;
		m->edx = t->cpuid[i].edx;
		ret->cpuid_refs[i] = m;
	}
	for (unsigned i = 0; i < t->msrs_count; i++) {
		Casemate__Vmm__V1__MsrValue *m = &ret->msrs[i];
		casemate__vmm__v1__msr_value__init(m);
		m->index = t->msrs[i].index;
		m->mask = t->msrs[i].mask;
		m->value = t->msrs[i].value;
		ret->msr_refs[i] = m;
	}
	ret->msg.cpuid = ret->cpuid_refs;
	ret->msg.n_cpuid = t->cpuid_count;
	ret->msg.msrs = ret->msr_refs;
	ret->msg.n_msrs = t->msrs_count;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* A CPU template in JSON, as it comes in a request. */
#include <stddef.h>
#include <stdint.h>

#include "api/daemon/cpu_template.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	json_t *v = size <= 65536
			    ? json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, NULL)
			    : NULL;
	struct cpu_template_message m;
	struct cpu_template t;
	struct err err = { 0 };

	if (v == NULL)
		return 0;
	if (cpu_template_parse(v, &t, &err) == 0) {
		BUG_ON(t.cpuid_count > CPU_TEMPLATE_CPUID_MAX);
		BUG_ON(t.msrs_count > CPU_TEMPLATE_MSRS_MAX);
		cpu_template_encode(&t, &m);
		BUG_ON(m.msg.n_cpuid != t.cpuid_count || m.msg.n_msrs != t.msrs_count);
		/* Configure's own bound (contract.c) must hold the largest. */
		BUG_ON(casemate__vmm__v1__cpu_template__get_packed_size(&m.msg) > 8192);
	} else {
		BUG_ON(err.msg[0] == '\0');
	}
	json_decref(v);
	return 0;
}

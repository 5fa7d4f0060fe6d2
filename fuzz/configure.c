/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ConfigureRequest of any bytes: whatever the decoder accepts keeps to the bounds that building
 * the VM relies on. The input is the encoded message.
 */
#include <string.h>

#include "base/bug.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/control_internal.h"
#include "vmm/vm_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct vm_config *cfg)
{
	BUG_ON(cfg->vcpus < 1 || cfg->vcpus > VCPUS_MAX);
	BUG_ON(cfg->memory_bytes < VM_MEMORY_MIN || cfg->memory_bytes > VM_MEMORY_MAX);
	BUG_ON(cfg->memory_bytes % VM_MEMORY_STEP != 0);
	BUG_ON(strlen(cfg->id) == 0 || strlen(cfg->id) > VM_ID_MAX);
	BUG_ON(strlen(cfg->cmdline) > LAYOUT_CMDLINE_MAX);
	BUG_ON(cfg->drives_count > VMM_DRIVES_MAX);
	for (unsigned i = 0; i < cfg->drives_count; i++)
		BUG_ON(strlen(cfg->drives[i].serial) > VM_SERIAL_MAX);
	BUG_ON(cfg->guest_cid != 0 && cfg->guest_cid < VM_GUEST_CID_MIN);
	BUG_ON(cfg->cpu.cpuid_count > CPU_TEMPLATE_CPUID_MAX);
	BUG_ON(cfg->cpu.msrs_count > CPU_TEMPLATE_MSRS_MAX);
	BUG_ON(vm_count_devices(cfg) > VM_DEVICES_MAX);
	BUG_ON(cfg->working_set_count % 2 != 0);
	for (size_t i = 0; i < cfg->working_set_count; i += 2)
		BUG_ON(((uint64_t)cfg->working_set[i] + cfg->working_set[i + 1]) * 4096 >
		       cfg->memory_bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct vm_config cfg;
	Casemate__Vmm__V1__ConfigureRequest *q;
	struct err err = { 0 };

	if (size > 16384) /* api/proto/contract.c */
		return 0;
	q = casemate__vmm__v1__configure_request__unpack(NULL, size, data);
	if (q == NULL)
		return 0;
	if (control_decode(q, &cfg, &err) == 0)
		check(&cfg);
	else
		BUG_ON(err.msg[0] == '\0');
	casemate__vmm__v1__configure_request__free_unpacked(q, NULL);
	return 0;
}

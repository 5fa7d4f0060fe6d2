/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "vmm/control_internal.h"

/* How often a guest is asked for its memory statistics: it is woken for each answer. */
#define BALLOON_STATISTICS_MS 5000U

static int to_boot_protocol(Casemate__Vmm__V1__BootProtocol p, enum boot_protocol *ret)
{
	switch ((int)p) {
	case CASEMATE__VMM__V1__BOOT_PROTOCOL__BOOT_PROTOCOL_AUTO:
		*ret = BOOT_AUTO;
		return 0;
	case CASEMATE__VMM__V1__BOOT_PROTOCOL__BOOT_PROTOCOL_PVH:
		*ret = BOOT_PVH;
		return 0;
	case CASEMATE__VMM__V1__BOOT_PROTOCOL__BOOT_PROTOCOL_LINUX64:
		*ret = BOOT_LINUX64;
		return 0;
	case CASEMATE__VMM__V1__BOOT_PROTOCOL__BOOT_PROTOCOL_BZIMAGE:
		*ret = BOOT_BZIMAGE;
		return 0;
	default: /* a number that the contract doesn't have yet */
		return -EINVAL;
	}
}

static int to_pages(Casemate__Vmm__V1__HugePages p, enum gmem_pages *ret)
{
	switch ((int)p) {
	case CASEMATE__VMM__V1__HUGE_PAGES__HUGE_PAGES_NONE:
		*ret = GMEM_PAGES_SMALL;
		return 0;
	case CASEMATE__VMM__V1__HUGE_PAGES__HUGE_PAGES_TRANSPARENT:
		*ret = GMEM_PAGES_TRANSPARENT;
		return 0;
	case CASEMATE__VMM__V1__HUGE_PAGES__HUGE_PAGES_HUGETLB:
		*ret = GMEM_PAGES_HUGETLB;
		return 0;
	default: /* a number that the contract doesn't have yet */
		return -EINVAL;
	}
}

static int to_cpu(const Casemate__Vmm__V1__CpuTemplate *q, struct cpu_template *ret,
		  struct err *err)
{
	if (q == NULL)
		return 0;
	if (q->n_cpuid > CPU_TEMPLATE_CPUID_MAX || q->n_msrs > CPU_TEMPLATE_MSRS_MAX)
		return err_set(err, -EINVAL, "cpu: more than %u leaves or %u MSRs",
			       CPU_TEMPLATE_CPUID_MAX, CPU_TEMPLATE_MSRS_MAX);
	for (size_t i = 0; i < q->n_cpuid; i++) {
		const Casemate__Vmm__V1__CpuidMask *m = q->cpuid[i];
		ret->cpuid[i] = (struct cpu_template_cpuid){ .function = m->function,
							     .index = m->index,
							     .eax = m->eax,
							     .ebx = m->ebx,
							     .ecx = m->ecx,
							     .edx = m->edx };
	}
	for (size_t i = 0; i < q->n_msrs; i++)
		ret->msrs[i] = (struct cpu_template_msr){ .index = q->msrs[i]->index,
							  .mask = q->msrs[i]->mask,
							  .value = q->msrs[i]->value };
	ret->cpuid_count = (unsigned)q->n_cpuid;
	ret->msrs_count = (unsigned)q->n_msrs;
	return 0;
}

static void to_bucket(const Casemate__Vmm__V1__Bucket *b, struct limit_bucket *ret)
{
	if (b != NULL)
		*ret = (struct limit_bucket){ .rate = b->rate, .burst = b->burst };
}

struct limits control_limits(const Casemate__Vmm__V1__Limits *l)
{
	struct limits ret = { 0 };

	if (l != NULL) {
		to_bucket(l->bytes, &ret.bytes);
		to_bucket(l->operations, &ret.operations);
	}
	return ret;
}

int control_decode(const Casemate__Vmm__V1__ConfigureRequest *q, struct vm_config *cfg,
		   struct err *err)
{
	*cfg = (struct vm_config){
		.id = q->id,
		.vcpus = q->vcpus,
		.memory_bytes = q->memory_bytes,
		.cmdline = q->cmdline,
		.initrd = q->initrd,
		.guest_cid = q->guest_cid,
		.restore = q->restore,
		.track_dirty = q->track_dirty,
		.working_set = q->working_set,
		.working_set_count = q->n_working_set,
		.rng = q->rng,
		.console = q->console,
	};
	if (to_boot_protocol(q->boot, &cfg->boot) < 0)
		return err_set(err, -EINVAL, "boot: unknown protocol %d", (int)q->boot);
	if (to_pages(q->huge_pages, &cfg->pages) < 0)
		return err_set(err, -EINVAL, "huge_pages: unknown kind %d", (int)q->huge_pages);
	if (q->generation.len != 0 && q->generation.len != GENID_BYTES)
		return err_set(err, -EINVAL, "generation: %zu bytes instead of %u",
			       q->generation.len, GENID_BYTES);
	if (q->generation.len != 0)
		cfg->generation = q->generation.data;
	if (q->n_drives > VMM_DRIVES_MAX)
		return err_set(err, -EINVAL, "drives: %zu, at most %d", q->n_drives,
			       VMM_DRIVES_MAX);
	cfg->drives_count = (unsigned)q->n_drives;
	for (unsigned i = 0; i < cfg->drives_count; i++)
		cfg->drives[i] =
			(struct vm_drive){ .serial = q->drives[i]->id,
					   .read_only = q->drives[i]->read_only,
					   .discard = q->drives[i]->discard,
					   .pmem = q->drives[i]->pmem,
					   .queues = q->drives[i]->queues,
					   .limits = control_limits(q->drives[i]->limits) };
	if (q->balloon != NULL) {
		cfg->balloon = true;
		cfg->balloon_options = (struct virtio_balloon_options){
			.deflate_on_oom = q->balloon->deflate_on_oom,
			.free_page_reporting = q->balloon->free_page_reporting,
			.statistics_ms = q->balloon->statistics ? BALLOON_STATISTICS_MS : 0,
		};
	}
	if (control_decode_nics(q, cfg, err) < 0)
		return -EINVAL;
	if (to_cpu(q->cpu, &cfg->cpu, err) < 0)
		return -EINVAL;
	return vm_check_config(cfg, err);
}

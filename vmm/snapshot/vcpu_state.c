/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Theory of operation: each part is one row of a table: section, size, and the ioctls that read
 * and write it; the order of the rows is the order of loading. CPUID comes first, because KVM
 * checks the rest against it; the local APIC before the MSRs, because the deadline timer's MSR is
 * the APIC's; pending events last.
 */
#include "vmm/snapshot/vcpu_state.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/le.h"

struct part {
	enum snap_type type;
	size_t bytes;
	unsigned long get, set;
	const char *name;
};

#define PART(type, st, verb)                                                              \
	{                                                                                 \
		type, sizeof(struct st), KVM_GET_##verb, KVM_SET_##verb, "KVM_SET_" #verb \
	}
static const struct part parts[] = {
	PART(SNAP_MP_STATE, kvm_mp_state, MP_STATE),
	PART(SNAP_REGS, kvm_regs, REGS),
	PART(SNAP_SREGS, kvm_sregs, SREGS),
	PART(SNAP_XSAVE, kvm_xsave, XSAVE),
	PART(SNAP_XCRS, kvm_xcrs, XCRS),
	PART(SNAP_DEBUGREGS, kvm_debugregs, DEBUGREGS),
	PART(SNAP_LAPIC, kvm_lapic_state, LAPIC),
};

/* The largest of them, and room for the CPUID table. */
union part_buf {
	struct kvm_mp_state mp_state;
	struct kvm_regs regs;
	struct kvm_sregs sregs;
	struct kvm_xsave xsave;
	struct kvm_xcrs xcrs;
	struct kvm_debugregs debugregs;
	struct kvm_lapic_state lapic;
};

/*
 * MSRs that hold state of a guest (Intel SDM volume 4, AMD APM volume 2 appendix A,
 * Documentation/virt/kvm/x86/msr.rst). What a CPU doesn't have is left out when saving. The order
 * matters for two: the TSC before its deadline.
 */
static const uint32_t msrs[] = {
	0x10,							     /* IA32_TSC */
	0x3b,							     /* IA32_TSC_ADJUST */
	0x48,							     /* IA32_SPEC_CTRL */
	0x174,							     /* IA32_SYSENTER_CS */
	0x175,							     /* IA32_SYSENTER_ESP */
	0x176,							     /* IA32_SYSENTER_EIP */
	0x17a,							     /* IA32_MCG_STATUS */
	0x17b,							     /* IA32_MCG_CTL */
	0x1a0,							     /* IA32_MISC_ENABLE */
	0x1c4,							     /* IA32_XFD */
	0x1c5,							     /* IA32_XFD_ERR */
	0x200,	    0x201, 0x202, 0x203, 0x204, 0x205, 0x206, 0x207, /* IA32_MTRR_PHYS* */
	0x208,	    0x209, 0x20a, 0x20b, 0x20c, 0x20d, 0x20e, 0x20f,
	0x250,	    0x258, 0x259, 0x268, 0x269, 0x26a, 0x26b, 0x26c, /* IA32_MTRR_FIX* */
	0x26d,	    0x26e, 0x26f, 0x277,			     /* IA32_PAT */
	0x2ff,							     /* IA32_MTRR_DEF_TYPE */
	0xda0,							     /* IA32_XSS */
	0x6e0,							     /* IA32_TSC_DEADLINE */
	0xc0000081,						     /* STAR */
	0xc0000082,						     /* LSTAR */
	0xc0000083,						     /* CSTAR */
	0xc0000084,						     /* FMASK */
	0xc0000102,						     /* KERNEL_GS_BASE */
	0xc0000103,						     /* TSC_AUX */
	0xc001011f,						     /* VIRT_SPEC_CTRL */
	0x4b564d00,						     /* MSR_KVM_WALL_CLOCK_NEW */
	0x4b564d01,						     /* MSR_KVM_SYSTEM_TIME_NEW */
	0x4b564d03,						     /* MSR_KVM_STEAL_TIME */
	0x4b564d04,						     /* MSR_KVM_PV_EOI_EN */
};
#define MSRS_MAX (sizeof(msrs) / sizeof(msrs[0]))

/*
 * As many as one call takes: each call of a vCPU loads its state onto the processor and back, which
 * costs more than the MSR (20 us where the host is itself a guest).
 */
union msr_buf {
	struct kvm_msrs h;
	uint8_t room[sizeof(struct kvm_msrs) + MSRS_MAX * sizeof(struct kvm_msr_entry)];
};

/* ---- Saving ------------------------------------------------------------------------------ */

/* KVM stops at the first one that it doesn't have. */
static void save_msrs(int fd, unsigned index, struct snap_writer *w)
{
	struct kvm_msr_entry kept[MSRS_MAX];
	size_t kept_count = 0;

	for (size_t i = 0; i < MSRS_MAX; i++) {
		union msr_buf u = { .h = { .nmsrs = (uint32_t)(MSRS_MAX - i) } };
		int n;
		for (size_t k = i; k < MSRS_MAX; k++)
			u.h.entries[k - i].index = msrs[k];
		n = ioctl(fd, KVM_GET_MSRS, &u.h);
		if (n <= 0)
			continue;
		memcpy(&kept[kept_count], u.h.entries, (size_t)n * sizeof(kept[0]));
		kept_count += (size_t)n;
		i += (size_t)n;
	}
	if (kept_count > 0)
		snap_put(w, SNAP_MSRS, index, true, kept, kept_count * sizeof(kept[0]));
}

static int save_events(int fd, unsigned index, struct snap_writer *w, struct err *err)
{
	struct kvm_vcpu_events ev = { 0 };

	if (ioctl(fd, KVM_GET_VCPU_EVENTS, &ev) < 0)
		return err_sys(err, -errno, "KVM_GET_VCPU_EVENTS");
	snap_put(w, SNAP_EVENTS, index, true, &ev, sizeof(ev));
	return 0;
}

int vcpu_state_save(int fd, unsigned index, const struct cpuid *cpuid, struct snap_writer *w,
		    struct err *err)
{
	int khz, r = 0;

	snap_put(w, SNAP_CPUID, index, true, cpuid->entries,
		 cpuid->count * sizeof(cpuid->entries[0]));
	for (size_t i = 0; i < ARRAY_SIZE(parts) && r == 0; i++) {
		union part_buf u;
		memset(&u, 0, sizeof(u));
		if (ioctl(fd, parts[i].get, &u) < 0)
			r = err_sys(err, -errno, "saving vcpu %u, section %d", index,
				    (int)parts[i].type);
		else
			snap_put(w, parts[i].type, index, true, &u, parts[i].bytes);
	}
	if (r < 0)
		return r;
	save_msrs(fd, index, w);
	khz = ioctl(fd, KVM_GET_TSC_KHZ, 0);
	if (khz > 0) {
		le32_t v = le32_put((uint32_t)khz);
		snap_put(w, SNAP_TSC_KHZ, index, false, &v, sizeof(v));
	}
	return save_events(fd, index, w, err);
}

/* ---- Loading ----------------------------------------------------------------------------- */

enum reg { EAX, EBX, ECX, EDX };

/* The registers that are sets of features: none may be wanted that isn't there. */
static const struct {
	uint32_t function, index;
	enum reg reg;
	uint32_t state; /* bits that show the guest's own doing (OSXSAVE, APIC, OSPKE) */
} features[] = {
	{ 0x1, 0, ECX, 1U << 27 },
	{ 0x1, 0, EDX, 1U << 9 },
	{ 0x7, 0, EBX, 0 },
	{ 0x7, 0, ECX, 1U << 4 },
	{ 0x7, 0, EDX, 0 },
	{ 0x7, 1, EAX, 0 },
	{ 0x7, 1, EBX, 0 },
	{ 0x7, 1, ECX, 0 },
	{ 0x7, 1, EDX, 0 },
	{ 0x7, 2, EDX, 0 },
	{ 0xd, 0, EAX, 0 },
	{ 0xd, 0, EDX, 0 },
	{ 0xd, 1, EAX, 0 },
	{ 0xd, 1, ECX, 0 },
	{ 0xd, 1, EDX, 0 },
	{ 0x80000001, 0, ECX, 0 },
	{ 0x80000001, 0, EDX, 1U << 9 },
	{ 0x80000007, 0, EDX, 0 },
	{ 0x80000008, 0, EBX, 0 },
	{ 0x80000021, 0, EAX, 0 },
	{ 0x40000001, 0, EAX, 0 },
};

static uint32_t reg_of(const struct kvm_cpuid_entry2 *e, enum reg reg)
{
	const uint32_t regs[] = { [EAX] = e->eax, [EBX] = e->ebx, [ECX] = e->ecx, [EDX] = e->edx };

	return regs[reg];
}

static const struct kvm_cpuid_entry2 *entry_of(const struct cpuid *c, uint32_t function,
					       uint32_t index)
{
	for (unsigned i = 0; i < c->count; i++)
		if (c->entries[i].function == function && c->entries[i].index == index)
			return &c->entries[i];
	return NULL;
}

/* GenuineIntel or AuthenticAMD: what MSRs and errata there are depends on it. */
static bool same_vendor(const struct kvm_cpuid_entry2 *a, const struct kvm_cpuid_entry2 *b)
{
	return a->ebx == b->ebx && a->ecx == b->ecx && a->edx == b->edx;
}

int vcpu_state_check_cpuid(const struct cpuid *ours, const struct cpuid *wanted, struct err *err)
{
	static const struct kvm_cpuid_entry2 none;
	const struct kvm_cpuid_entry2 *a = entry_of(wanted, 0, 0), *b = entry_of(ours, 0, 0);

	if (a == NULL || b == NULL || !same_vendor(a, b))
		return err_set(err, -ENOTSUP, "the snapshot is of a CPU of another vendor");
	for (size_t i = 0; i < ARRAY_SIZE(features); i++) {
		uint32_t missing;
		a = entry_of(wanted, features[i].function, features[i].index);
		b = entry_of(ours, features[i].function, features[i].index);
		missing = reg_of(a != NULL ? a : &none, features[i].reg) &
			  ~(reg_of(b != NULL ? b : &none, features[i].reg) | features[i].state);
		if (missing != 0)
			return err_set(err, -ENOTSUP,
				       "the snapshot needs CPU features that this host doesn't "
				       "have (CPUID 0x%" PRIx32 "/%" PRIu32
				       ", register %d, bits 0x%" PRIx32 ")",
				       features[i].function, features[i].index,
				       (int)features[i].reg, missing);
	}
	return 0;
}

static int set_cpuid(int fd, const struct cpuid *table, struct err *err)
{
	struct kvm_cpuid2 *c = calloc(1, sizeof(*c) + sizeof(table->entries));
	int r = 0;

	if (c == NULL)
		return err_sys(err, -ENOMEM, "cpuid");
	c->nent = table->count;
	memcpy(c->entries, table->entries, table->count * sizeof(table->entries[0]));
	if (ioctl(fd, KVM_SET_CPUID2, c) < 0)
		r = err_sys(err, -errno, "KVM_SET_CPUID2");
	free(c);
	return r;
}

static int load_cpuid(int fd, unsigned index, struct cpuid *cpuid, const struct snap_reader *r,
		      struct err *err)
{
	const struct snap_section *s = snap_find(r, SNAP_CPUID, index);
	struct cpuid *wanted;
	int rc;

	if (s == NULL || s->len % sizeof(wanted->entries[0]) != 0 ||
	    s->len > sizeof(wanted->entries))
		return err_set(err, -EINVAL, "state file: CPUID of vcpu %u", index);
	wanted = calloc(1, sizeof(*wanted));
	if (wanted == NULL)
		return err_sys(err, -ENOMEM, "cpuid");
	wanted->count = s->len / (uint32_t)sizeof(wanted->entries[0]);
	memcpy(wanted->entries, s->data, s->len);
	rc = vcpu_state_check_cpuid(cpuid, wanted, err);
	if (rc == 0)
		rc = set_cpuid(fd, wanted, err);
	if (rc == 0)
		*cpuid = *wanted;
	free(wanted);
	return rc;
}

static bool is_listed(uint32_t msr)
{
	for (size_t i = 0; i < MSRS_MAX; i++)
		if (msrs[i] == msr)
			return true;
	return false;
}

/* There are KVMs that let an MSR be read but not written: has it this value anyway? */
static bool has_value(int fd, const struct kvm_msr_entry *e)
{
	union msr_buf u = { .h = { .nmsrs = 1 } };

	u.h.entries[0].index = e->index;
	return ioctl(fd, KVM_GET_MSRS, &u.h) == 1 && u.h.entries[0].data == e->data;
}

/* In their order. KVM stops at the first one that it refuses. */
static int set_msrs(int fd, const struct kvm_msr_entry *e, size_t count, struct err *err)
{
	while (count > 0) {
		union msr_buf u = { .h = { .nmsrs = (uint32_t)count } };
		int n;
		memcpy(u.h.entries, e, count * sizeof(*e));
		n = ioctl(fd, KVM_SET_MSRS, &u.h);
		if (n > 0) {
			e += n;
			count -= (size_t)n;
		} else if (has_value(fd, e)) {
			e++;
			count--;
		} else {
			return err_set(err, -ENOTSUP, "this host's KVM refuses MSR 0x%" PRIx32,
				       e->index);
		}
	}
	return 0;
}

static int load_msrs(int fd, unsigned index, const struct snap_reader *r, struct err *err)
{
	const struct snap_section *s = snap_find(r, SNAP_MSRS, index);
	struct kvm_msr_entry entries[MSRS_MAX];
	size_t count;

	if (s == NULL || s->len % sizeof(entries[0]) != 0 || s->len > sizeof(entries))
		return err_set(err, -EINVAL, "state file: MSRs of vcpu %u", index);
	count = s->len / sizeof(entries[0]);
	memcpy(entries, s->data, s->len);
	for (size_t i = 0; i < count; i++) {
		if (!is_listed(entries[i].index))
			return err_set(err, -EINVAL, "state file: MSR 0x%" PRIx32,
				       entries[i].index);
		entries[i].reserved = 0;
	}
	return set_msrs(fd, entries, count, err);
}

static int load_tsc_khz(int fd, unsigned index, const struct snap_reader *r, struct err *err)
{
	le32_t wanted;
	int khz;

	if (snap_find(r, SNAP_TSC_KHZ, index) == NULL)
		return 0;
	khz = snap_take(r, SNAP_TSC_KHZ, index, &wanted, sizeof(wanted), err);
	if (khz < 0)
		return khz;
	khz = ioctl(fd, KVM_GET_TSC_KHZ, 0);
	/* The same host, or as good as: KVM itself tolerates 250 parts in a million. */
	if (khz > 0 && llabs((long long)khz - le32_get(wanted)) <= khz / 4000)
		return 0;
	if (ioctl(fd, KVM_SET_TSC_KHZ, (unsigned long)le32_get(wanted)) < 0)
		return err_set(err, -ENOTSUP,
			       "the snapshot's TSC runs at %" PRIu32
			       " kHz and this host can't scale its own",
			       le32_get(wanted));
	return 0;
}

static int load_events(int fd, unsigned index, const struct snap_reader *r, struct err *err)
{
	struct kvm_vcpu_events ev;
	int rc = snap_take(r, SNAP_EVENTS, index, &ev, sizeof(ev), err);

	if (rc == 0 && ioctl(fd, KVM_SET_VCPU_EVENTS, &ev) < 0)
		rc = err_sys(err, -errno, "KVM_SET_VCPU_EVENTS");
	return rc;
}

int vcpu_state_load(int fd, unsigned index, struct cpuid *cpuid, const struct snap_reader *r,
		    struct err *err)
{
	int rc = load_cpuid(fd, index, cpuid, r, err);

	if (rc == 0)
		rc = load_tsc_khz(fd, index, r, err);
	for (size_t i = 0; i < ARRAY_SIZE(parts) && rc == 0; i++) {
		union part_buf u;
		rc = snap_take(r, parts[i].type, index, &u, parts[i].bytes, err);
		if (rc == 0 && ioctl(fd, parts[i].set, &u) < 0)
			rc = err_sys(err, -errno, "vcpu %u: %s", index, parts[i].name);
	}
	if (rc == 0)
		rc = load_msrs(fd, index, r, err);
	return rc == 0 ? load_events(fd, index, r, err) : rc;
}

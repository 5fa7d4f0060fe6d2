/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock.c - KVM's paravirtual clock (Linux, Documentation/virt/kvm/x86/msr.rst): it says how many
 * nanoseconds a tick of the counter is and what time the host had, so that a guest's moment can be
 * compared with one of the host's, on any VMM that offers it.
 */
#include "guest.h"

#define KVM_LEAF_SIGNATURE	0x40000000
#define KVM_LEAF_FEATURES	0x40000001
#define KVM_FEATURE_CLOCK2	3
#define MSR_KVM_WALL_CLOCK_NEW	0x4b564d00
#define MSR_KVM_SYSTEM_TIME_NEW 0x4b564d01
#define NS_PER_S		1000000000ULL

/* The host writes both; version is odd meanwhile. */
static volatile struct __attribute__((aligned(32))) {
	uint32_t version, pad0;
	uint64_t tsc_timestamp, system_time;
	uint32_t mul;
	int8_t shift;
	uint8_t flags, pad[2];
} now;
static volatile struct __attribute__((aligned(32))) {
	uint32_t version, sec, nsec;
} wall;

static uint64_t tsc_timestamp, system_time, wall_at_boot;
static uint32_t mul;
static int shift;

static uint32_t cpuid_eax(uint32_t leaf)
{
	uint32_t a = leaf, b, c = 0, d;

	__asm__ volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
	return a;
}

bool clock_init(void)
{
	uint32_t version;

	if (cpuid_eax(KVM_LEAF_SIGNATURE) < KVM_LEAF_FEATURES ||
	    (cpuid_eax(KVM_LEAF_FEATURES) >> KVM_FEATURE_CLOCK2 & 1) == 0)
		return false;
	wrmsr(MSR_KVM_SYSTEM_TIME_NEW, (uint64_t)&now | 1);
	wrmsr(MSR_KVM_WALL_CLOCK_NEW, (uint64_t)&wall);
	do {
		version = now.version;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
		tsc_timestamp = now.tsc_timestamp;
		system_time = now.system_time;
		mul = now.mul;
		shift = now.shift;
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	} while (version == 0 || (version & 1) != 0 || version != now.version);
	wall_at_boot = wall.sec * NS_PER_S + wall.nsec;
	return true;
}

uint64_t clock_ns(uint64_t cycles)
{
	cycles = shift >= 0 ? cycles << shift : cycles >> -shift;
	return (uint64_t)((unsigned __int128)cycles * mul >> 32);
}

uint64_t clock_wall_ns(uint64_t tsc)
{
	uint64_t t = wall_at_boot + system_time;

	return tsc >= tsc_timestamp ? t + clock_ns(tsc - tsc_timestamp)
				    : t - clock_ns(tsc_timestamp - tsc);
}

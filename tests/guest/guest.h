/* SPDX-License-Identifier: Apache-2.0 */
/* guest.h - the bare-metal test guest: one address space, polling and interrupts. */
#ifndef TESTS_GUEST_GUEST_H
#define TESTS_GUEST_GUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- entry.S ---- */
extern uint64_t first_tsc; /* the counter at the first instruction of this guest */

/* ---- main.c ---- */
struct mem_range {
	uint64_t base, size;
};
#define MEM_RANGES_MAX 8
struct boot_info {
	bool pvh;
	const char *cmdline;
	uint64_t rsdp;
	struct mem_range ram[MEM_RANGES_MAX];
	unsigned ram_count;
};
extern struct boot_info boot;

/* The value of key=VALUE of the command line, ended by a blank; NULL = not there. */
const char *arg_get(const char *key);
uint64_t arg_u64(const char *key, uint64_t otherwise);
/* End the test: prints the verdict, powers off. */
__attribute__((noreturn)) void test_ok(void);
__attribute__((noreturn)) void test_fail(const char *why, uint64_t value);

/* Each of these is a test of its name; they return when they hold. */
void test_mem(void);
void test_ripple(void);
void test_touch(void);
void test_smp(void);
void test_blk_read(void);
void test_blk_write(void);
void test_blk_refused(void);
void test_blk_loop(void);
void test_blk_queues(void);
void test_blk_discard(void);
void test_blk_resize(void);
void test_blk_reads(void);
void test_rng(void);
void test_pmem(void);
void test_pmem_dma(void);
void test_flood(void);
void test_vsock(void);
void test_agent(void);
/* agent_http.c: answers a request of len bytes; how many bytes, how often to send them, and whether
 * to close after that. */
uint32_t agent_http(const uint8_t *req, uint32_t len, uint8_t *out, uint32_t cap, unsigned *times,
		    bool *close);
void test_balloon(void);
void test_balloon_bad(void);
void test_net_echo(void);
void test_net_large(void);
void test_net_pairs(void);
void test_net_link(void);
void test_ports(void);
void test_mmio(void);
void test_level(void);
void test_genid(void);
void test_msr(void);
void test_cpuid(void);
void test_hidden(void); /* ends by an exception */
void test_bench(void);	/* bench.c; doesn't return */
void test_hostile(void);
void test_hostile_list(void);

/* ---- cpu.c ---- */
#define IRQ_VECTOR0 64U
extern volatile uint32_t irq_count[32]; /* by vector - IRQ_VECTOR0 */
extern volatile uint32_t irq_skip_ack;	/* so many interrupts are not acknowledged at the device */
void cpu_init(void);
void cpu_route_irq(uint32_t gsi, unsigned n); /* IOAPIC pin -> vector IRQ_VECTOR0 + n */
/* Sleeps until irq_count[n] differs from seen. */
void cpu_wait_irq(unsigned n, uint32_t seen);
void cpu_start_ap(uint32_t apic_id);
void cpu_delay(uint64_t tsc_cycles);
uint64_t rdmsr(uint32_t msr);
void wrmsr(uint32_t msr, uint64_t v);
/*
 * Tries one instruction that may fault: its exception's vector, or FAULT_NONE. What follows the
 * text are the operands of the asm statement. The boot processor only.
 *     if (CPU_TRY("wrmsr", ::"c"(msr), "a"(low), "d"(high)) == 13) ...
 */
#define FAULT_NONE 256U
#define CPU_TRY(text, ...)                                                   \
	({                                                                   \
		fault_vector = FAULT_NONE;                                   \
		__asm__ volatile("movq $1f, fault_resume\n\t" text           \
				 "\n1:\tmovq $0, fault_resume" __VA_ARGS__); \
		fault_vector;                                                \
	})
extern volatile uint64_t fault_resume;
extern volatile uint32_t fault_vector;

static inline void outb(uint16_t port, uint8_t v)
{
	__asm__ volatile("outb %0, %1" ::"a"(v), "dN"(port));
}
static inline uint8_t inb(uint16_t port)
{
	uint8_t v;

	__asm__ volatile("inb %1, %0" : "=a"(v) : "dN"(port));
	return v;
}
static inline uint64_t rdtsc(void)
{
	uint32_t lo, hi;
	__asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
	return (uint64_t)hi << 32 | lo;
}
static inline uint32_t mmio_read32(uint64_t a)
{
	return *(volatile uint32_t *)a;
}
static inline void mmio_write32(uint64_t a, uint32_t v)
{
	*(volatile uint32_t *)a = v;
}
void *memcpy(void *dst, const void *src, size_t n);
void *memset(void *dst, int c, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

/* ---- acpi.c ---- */
#define ACPI_DEVICES_MAX 16
#define ACPI_CPUS_MAX	 64
#define ACPI_IOAPICS_MAX 2
struct acpi_reg {
	uint8_t space; /* 0 = memory, 1 = I/O port */
	uint64_t addr;
};
struct acpi {
	struct acpi_reg sleep, reset;
	uint16_t panic_port;
	uint8_t reset_value;
	uint64_t ioapic; /* the first */
	struct {
		uint64_t base;
		uint32_t gsi;
	} ioapics[ACPI_IOAPICS_MAX];
	unsigned ioapic_count;
	uint32_t apic_ids[ACPI_CPUS_MAX];
	unsigned cpus;
	struct {
		uint64_t base;
		uint32_t gsi;
	} devices[ACPI_DEVICES_MAX];
	unsigned device_count;
	uint64_t generation; /* where the generation id lies; 0 = there is none */
	uint32_t event_gsi;  /* of the generic event device */
};
extern struct acpi acpi;
bool acpi_init(uint64_t rsdp);
void acpi_reg_write(const struct acpi_reg *r, uint8_t v);

/* ---- virtio.c ---- */
#define VQ_SIZE 32U
struct vq_desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};
struct vq {
	struct vq_desc *desc;
	volatile uint16_t *avail; /* flags, idx, ring[] */
	volatile uint16_t *used;  /* flags, idx, then {u32 id, u32 len}[] */
	uint16_t free, last_used;
	unsigned index;
};
struct vdev {
	uint64_t base;
	unsigned irq; /* vector number - IRQ_VECTOR0 */
	struct vq q[5];
};
#define VIRTIO_NET     1
#define VIRTIO_BLK     2
#define VIRTIO_CONSOLE 3
#define VIRTIO_RNG     4
#define VIRTIO_BALLOON 5
#define VIRTIO_VSOCK   19
#define VIRTIO_PMEM    27
struct vq_buf {
	const void *data;
	uint32_t len;
	bool device_writes;
};
/* Finds the nth device of this kind, negotiates `features` and VERSION_1, enables `queues`. */
bool vdev_open(struct vdev *d, uint32_t id, unsigned nth, uint64_t features, unsigned queues);
/* Acknowledges the interrupts of the ACPI table's nth device. */
void vdev_ack(unsigned n);
/* Adds one chain of <= 3 buffers, starting at descriptor `head` (the caller manages them). */
void vq_add(struct vq *q, uint16_t head, const struct vq_buf *bufs, unsigned n);
/* The same chain once more, after the device has used it. */
void vq_again(struct vq *q, uint16_t head);
void vq_kick(struct vdev *d, struct vq *q);
/* A used element: its head; *len = written bytes. False: none there. */
bool vq_used(struct vq *q, uint16_t *head, uint32_t *len);
/* Waits, asleep, for a used element. */
void vq_wait(struct vdev *d, struct vq *q, uint16_t *head, uint32_t *len);

/* ---- console.c ---- */
bool console_init(void);
void console_write(const char *s, size_t n);
void print(const char *s);
void print_u64(uint64_t v);

/* ---- clock.c: KVM's paravirtual clock ---- */
/* False: the hypervisor doesn't offer one. */
bool clock_init(void);
uint64_t clock_ns(uint64_t cycles);   /* of a difference of two counter values */
uint64_t clock_wall_ns(uint64_t tsc); /* the host's CLOCK_REALTIME when the counter stood there */

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* virtio-rng and virtio-console. */
#include <criterion/criterion.h>
#include <errno.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "base/clock.h"
#include "base/num.h"
#include "fake_driver.h"

struct counter {
	const char *name;
	uint64_t value;
};

static void rng(struct drv *d, uint64_t without)
{
	struct virtio_dev *dev;

	drv_init(d);
	cr_assert_eq(virtio_rng_new(&d->mem, &dev), 0);
	drv_attach(d, dev);
	drv_start(d, without);
}

static void console(struct drv *d, uint64_t without)
{
	struct virtio_dev *dev;

	drv_init(d);
	cr_assert_eq(virtio_console_new(&d->mem, &dev), 0);
	drv_attach(d, dev);
	drv_start(d, without);
}

Test(virtio_rng, gives_random_bytes)
{
	uint8_t a[64], b[64], zero[64] = { 0 };
	uint32_t head, len;
	struct drv d;

	rng(&d, 0);
	uint64_t at = drv_alloc(&d, 128, 1);
	struct drv_seg s[2] = { { at, 10, true }, { at + 10, 118, true } };
	cr_assert_geq(drv_post(&d, 0, s, 2, false), 0);
	cr_assert(drv_wait_used(&d, 0, &head, &len, 1000));
	cr_assert_eq(len, 128);
	drv_read(&d, at, a, 64);
	drv_read(&d, at + 64, b, 64);
	cr_assert(memcmp(a, b, 64) != 0 && memcmp(a, zero, 64) != 0 && memcmp(b, zero, 64) != 0);
	cr_assert_eq(drv_irqs(&d), 1);
	drv_done(&d);
}

/* A request for very much gets 4 KiB, and not a byte behind them is touched. */
Test(virtio_rng, request_is_capped)
{
	uint8_t tail[64], zero[64] = { 0 };
	uint32_t head, len;
	struct drv d;

	rng(&d, 0);
	struct drv_seg s = { 0x100000, 8 << 20, true };
	cr_assert_geq(drv_post(&d, 0, &s, 1, false), 0);
	cr_assert(drv_wait_used(&d, 0, &head, &len, 1000));
	cr_assert_eq(len, 4096);
	drv_read(&d, 0x100000 + 4096, tail, 64);
	cr_assert_arr_eq(tail, zero, 64);
	drv_done(&d);
}

/* A greedy guest gets the burst and then the rate, and the loop doesn't spin. */
Test(virtio_rng, rate_is_limited)
{
	uint64_t bytes = 0, begin, ms;
	unsigned steps = 0;
	uint32_t head, len;
	struct drv d;

	rng(&d, 0);
	uint64_t at = drv_alloc(&d, 4096, 1);
	struct drv_seg s = { at, 4096, true };
	begin = now_ms();
	while (now_ms() < begin + 500) {
		while (drv_post(&d, 0, &s, 1, false) >= 0)
			;
		cr_assert_eq(loop_step(d.loop, 20), 0);
		steps++;
		while (drv_used(&d, 0, &head, &len))
			bytes += len;
	}
	ms = now_ms() - begin;
	cr_assert_leq(bytes, 65536 + 1048576 * (ms + 1) / 1000 + 4096, "%llu bytes in %llu ms",
		      (unsigned long long)bytes, (unsigned long long)ms);
	cr_assert_geq(bytes, 65536 + 200000, "and not much less: %llu", (unsigned long long)bytes);
	cr_assert_lt(steps, 500);
	drv_done(&d);
}

static void find_counter(const char *name, uint64_t value, void *arg)
{
	struct counter *c = arg;

	if (strcmp(name, c->name) == 0)
		c->value = value;
}

static uint64_t counter(struct drv *d, const char *name)
{
	struct counter c = { name, UINT64_MAX };

	virtio_dev_metrics(d->dev, find_counter, &c);
	cr_assert_neq(c.value, UINT64_MAX, "no counter %s", name);
	return c.value;
}

/* Single bytes are cheap in bytes and dear in requests. */
Test(virtio_rng, requests_are_limited)
{
	uint64_t begin, ms, got = 0;
	uint32_t head, len;
	struct drv d;

	rng(&d, 0);
	struct drv_seg s = { drv_alloc(&d, 1, 1), 1, true };
	begin = now_ms();
	while (now_ms() < begin + 300) {
		while (drv_post(&d, 0, &s, 1, false) >= 0)
			;
		cr_assert_eq(loop_step(d.loop, 20), 0);
		while (drv_used(&d, 0, &head, &len))
			got += len;
	}
	ms = now_ms() - begin;
	cr_expect_leq(got, 4096 + 4096 * (ms + 1) / 1000 + 1, "%d in %d ms", (int)got, (int)ms);
	cr_expect_gt(got, 4096);
	cr_expect_eq(counter(&d, "bytes"), got);
	cr_expect_eq(counter(&d, "requests"), got);
	cr_expect_gt(counter(&d, "throttled"), 0);
	drv_done(&d);
}

Test(virtio_rng, malformed)
{
	for (int i = 0; i < 2; i++) {
		struct drv d;
		rng(&d, 0);
		struct drv_seg s = { 0x100000, i == 0 ? 64U : 0U, i != 0 };
		cr_assert_geq(drv_post(&d, 0, &s, 1, false), 0);
		drv_run(&d);
		cr_assert(drv_broken(&d));
		drv_done(&d);
	}
}

/* Freed or reset while it waits for tokens. */
Test(virtio_rng, reset_while_waiting)
{
	uint32_t head, len;
	struct drv d;

	rng(&d, 0);
	struct drv_seg s = { 0x100000, 4096, true };
	for (int i = 0; i < 30; i++)
		cr_assert_geq(drv_post(&d, 0, &s, 1, false), 0);
	drv_run(&d);
	drv_start(&d, 0);
	cr_assert_geq(drv_post(&d, 0, &s, 1, false), 0);
	cr_assert(drv_wait_used(&d, 0, &head, &len, 1000));
	for (int i = 0; i < 30; i++)
		cr_assert_geq(drv_post(&d, 0, &s, 1, false), 0);
	drv_run(&d);
	drv_done(&d);
}

static void print(struct drv *d, uint64_t at, const void *text, uint32_t len)
{
	struct drv_seg s = { at, len, false };
	uint32_t head, used;

	drv_write(d, at, text, len);
	cr_assert_geq(drv_post(d, 1, &s, 1, false), 0);
	cr_assert(drv_wait_used(d, 1, &head, &used, 1000));
	cr_assert_eq(used, 0);
}

Test(virtio_console, output_is_kept)
{
	uint64_t from = 0;
	char buf[64];
	struct drv d;

	console(&d, 0);
	struct drv_seg in = { 0x200000, 64, true };
	cr_assert_geq(drv_post(&d, 0, &in, 1, false),
		      0); /* a receive buffer: accepted, never used */
	cr_assert_eq(virtio_console_read(d.dev, &from, buf, sizeof(buf)), 0);
	print(&d, 0x100000, "hello ", 6);
	print(&d, 0x100000, "world", 5);
	cr_assert_eq(virtio_console_read(d.dev, &from, buf, sizeof(buf)), 11);
	cr_assert_eq(from, 0);
	cr_assert_eq(memcmp(buf, "hello world", 11), 0);
	from = 6;
	cr_assert_eq(virtio_console_read(d.dev, &from, buf, 3), 3);
	cr_assert_eq(memcmp(buf, "wor", 3), 0);
	from = 1000; /* from the future: nothing yet, and told where now is */
	cr_assert_eq(virtio_console_read(d.dev, &from, buf, 3), 0);
	cr_assert_eq(from, 11);
	/* Output survives a reboot of the driver. */
	drv_start(&d, 0);
	from = 0;
	cr_assert_eq(virtio_console_read(d.dev, &from, buf, sizeof(buf)), 11);
	drv_done(&d);
}

static uint8_t pattern(uint64_t i)
{
	return (uint8_t)(i * 37 + (i >> 8));
}

/* The ring wraps at each size of portion; what a reader gets is always the truth. */
Test(virtio_console, ring_wraps)
{
	static const uint32_t portions[] = { 1, 7, 1000, 4096, 30000, 65535, 65536, 65537, 200000 };
	static uint8_t text[200000], got[70000];
	uint64_t total = 0;
	struct drv d;

	console(&d, UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX);
	for (size_t p = 0; p < ARRAY_SIZE(portions); p++) {
		for (int round = 0; round < 5; round++) {
			for (uint32_t i = 0; i < portions[p]; i++)
				text[i] = pattern(total + i);
			print(&d, 0x100000, text, portions[p]);
			total += portions[p];
			uint64_t from = 0;
			size_t n = virtio_console_read(d.dev, &from, got, sizeof(got));
			cr_assert_eq(n, MIN(total, 65536));
			cr_assert_eq(from, total - n);
			for (size_t i = 0; i < n; i++)
				cr_assert_eq(got[i], pattern(from + i));
		}
	}
	cr_expect_eq(counter(&d, "bytes"), total);
	cr_expect_eq(counter(&d, "overwritten_bytes"), total - 65536);
	cr_expect_eq(counter(&d, "requests"), 5 * ARRAY_SIZE(portions));
	drv_done(&d);
}

Test(virtio_console, malformed)
{
	struct drv d;

	console(&d, 0);
	struct drv_seg s[2] = { { 0x100000, 4, false }, { 0x100000, 4, true } };
	cr_assert_geq(drv_post(&d, 1, s, 2, false), 0);
	drv_run(&d);
	cr_assert(drv_broken(&d));
	drv_done(&d);
}

/* A flood is bounded memory and bounded rounds; the loop gets to others in between. */
Test(virtio_console, flood)
{
	uint64_t sent = 0, begin = now_ms();
	uint32_t head, len;
	struct drv d;

	console(&d, 0);
	struct drv_seg s = { 0x100000, 1 << 20, false };
	while (sent < (UINT64_C(1) << 30) && now_ms() < begin + 1000) {
		while (drv_post(&d, 1, &s, 1, false) >= 0)
			sent += s.len;
		cr_assert_eq(loop_step(d.loop, 0), 0);
		while (drv_used(&d, 1, &head, &len))
			;
	}
	cr_assert_gt(sent, 100 * MIB);
	cr_assert(!drv_broken(&d));
	drv_done(&d);
}

/* ---- Pause and counters ------------------------------------------------------------------- */

/* A paused device leaves guest memory alone, loses nothing, and goes on when it resumes. */
Test(virtio_pause, requests_wait_for_the_resume)
{
	uint8_t bytes[64], zero[64] = { 0 };
	uint32_t head, len;
	struct drv d;

	rng(&d, 0);
	uint64_t at = drv_alloc(&d, sizeof(bytes), 1);
	struct drv_seg s = { at, sizeof(bytes), true };
	drv_run(&d);
	virtio_dev_pause(d.dev);
	cr_assert_geq(drv_post(&d, 0, &s, 1, false), 0);
	drv_run(&d);
	cr_expect_not(drv_used(&d, 0, &head, &len));
	drv_read(&d, at, bytes, sizeof(bytes));
	cr_expect_eq(memcmp(bytes, zero, sizeof(bytes)), 0);
	virtio_dev_resume(d.dev);
	cr_assert(drv_wait_used(&d, 0, &head, &len, 1000));
	cr_expect_eq(len, sizeof(bytes));
	drv_done(&d);
}

struct seen {
	uint64_t kicks, resets, errors;
	unsigned count;
};

static void see(const char *name, uint64_t value, void *arg)
{
	struct seen *s = arg;

	s->count++;
	if (strcmp(name, "kicks") == 0)
		s->kicks = value;
	else if (strcmp(name, "resets") == 0)
		s->resets = value;
	else if (strcmp(name, "errors") == 0)
		s->errors = value;
}

Test(virtio_pause, counters_tell_what_happened)
{
	struct seen before = { 0 }, after = { 0 };
	uint32_t head, len;
	struct drv d;

	rng(&d, 0);
	drv_run(&d);
	virtio_dev_metrics(d.dev, see, &before);
	struct drv_seg s = { drv_alloc(&d, 64, 1), 64, true };
	cr_assert_geq(drv_post(&d, 0, &s, 1, false), 0);
	cr_assert(drv_wait_used(&d, 0, &head, &len, 1000));
	drv_set(&d, VIRTIO_MMIO_STATUS, 0);
	virtio_mmio_write(d.dev, 0xffc, &len, sizeof(len));
	virtio_dev_metrics(d.dev, see, &after);
	cr_expect_geq(after.count, 4);
	cr_expect_gt(after.kicks, before.kicks);
	cr_expect_eq(after.resets, before.resets + 1);
	cr_expect_eq(after.errors, before.errors + 1);
	drv_done(&d);
}

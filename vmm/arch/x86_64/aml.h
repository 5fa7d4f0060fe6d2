/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aml.h - a small emitter of ACPI Machine Language (ACPI 6.5, section 20), just what our DSDT
 * needs. Writes into a fixed buffer; an overflow or a bad nesting sticks and aml_finish reports
 * it, so the callers needn't check each step. Pure.
 */
#ifndef VMM_ARCH_X86_64_AML_H
#define VMM_ARCH_X86_64_AML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"

#define AML_DEPTH_MAX 8U

struct aml {
	uint8_t *buf;
	size_t len, cap;
	size_t open[AML_DEPTH_MAX]; /* where the PkgLength of each open package stands */
	unsigned depth;
	bool failed;
};

void aml_init(struct aml *a, uint8_t *buf, size_t cap);
/* 0 and *ret_len, or -ENOSPC (buffer full, package too long) or -EINVAL (nesting). */
MUST_USE int aml_finish(const struct aml *a, size_t *ret_len);

/* Names are 4 characters, "\\" may stand before one: "VR00", "\\_SB_". */
void aml_scope_begin(struct aml *a, const char *name);
void aml_device_begin(struct aml *a, const char *name);
/* DefPackage of `count` elements, which follow. */
void aml_package_begin(struct aml *a, uint8_t count);
/* Method(NAME) with `args` arguments, of the statements that follow. */
void aml_method_begin(struct aml *a, const char *name, uint8_t args);
/* Ends the innermost scope, device, package or method. */
void aml_end(struct aml *a);

/* Name(NAME, ...): the object follows. */
void aml_name(struct aml *a, const char *name);
void aml_integer(struct aml *a, uint64_t v);
void aml_string(struct aml *a, const char *s);

/* Name(_CRS, Buffer) with one memory range and one edge-triggered, active-high, exclusive
 * interrupt (for a virtio-mmio device). */
void aml_crs_mmio(struct aml *a, uint32_t base, uint32_t size, uint32_t gsi);
/* Notify(NAME, value): a statement; NAME is looked for outwards. */
void aml_notify(struct aml *a, const char *name, uint8_t value);

/* Name(_CRS, Buffer) with one such interrupt alone. */
void aml_crs_irq(struct aml *a, uint32_t gsi);
/* Name(_CRS, Buffer) with one range of I/O ports. */
void aml_crs_io(struct aml *a, uint16_t port, uint8_t count);

#endif

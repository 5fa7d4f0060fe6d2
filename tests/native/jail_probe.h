/* SPDX-License-Identifier: Apache-2.0 */
/* jail_probe.h - what jail_probe's command 'b' uses, at least. */
#ifndef TESTS_NATIVE_JAIL_PROBE_H
#define TESTS_NATIVE_JAIL_PROBE_H

#define BURN_MS	   50
#define BURN_BYTES ((size_t)8 << 20)

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mutate.h - guest memory that changes right after it was read, as the input says: a value that is
 * fetched twice is then two different values. For every target that serves queues:
 *
 *     mutate_split(&data, &len);      the script comes off the input's end, the rest is the
 * target's mutate_on();                    from here on each fetch takes one step of the script
 *     ... drv_run(&d) ...
 *     mutate_off();                   before memory goes away
 *
 * and in the target's cmake file: casemate_fuzz(NAME SOURCES NAME.c ${fuzz_mutate} LINKS virtio)
 * and casemate_watch_gmem(fuzz_NAME).
 */
#ifndef FUZZ_MUTATE_H
#define FUZZ_MUTATE_H

#include <stddef.h>
#include <stdint.h>

/* The last byte says how much of the input is the script; both are cut off. */
void mutate_split(const uint8_t **data, size_t *len);
void mutate_on(void);
void mutate_off(void);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* footprint.h - what of the program itself stays in memory. */
#ifndef VMM_FOOTPRINT_H
#define VMM_FOOTPRINT_H

/*
 * Takes the program's read-only pages out of our page tables: most of them were needed to build the
 * VM (parsers, loaders, the C library's start), and those that are needed on come back with their
 * next use, from the page cache. Any time; threads may run.
 */
void footprint_shrink(void);

#endif

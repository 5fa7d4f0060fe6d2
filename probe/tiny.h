/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tiny.h - whole programs as bytes: an ELF header, one PT_LOAD, a few instructions. They need no
 * library, no file and no path, as an attacker's would.
 */
#ifndef PROBE_TINY_H
#define PROBE_TINY_H

#define TINY_HEADERS 120

/* ELF64 header and one program header (R and X, the whole file at 4 MiB), for SIZE bytes. */
#define TINY_ELF(SIZE)                                                                             \
	0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0x3e, 0, 1, 0, 0, 0, 0x78,  \
		0, 0x40, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,   \
		0, 0, 0x40, 0, 0x38, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0,   \
		0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0, 0, (SIZE), 0, 0, \
		0, 0, 0, 0, 0, (SIZE), 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 0

/* exit(42) */
static const unsigned char tiny_exit[] = {
	TINY_ELF(132), 0xb8, 60, 0, 0, 0, 0xbf, 42, 0, 0, 0, 0x0f, 0x05,
};

/* exit(geteuid() == 0 ? 42 : 43) */
static const unsigned char tiny_suid[] UNUSED = {
	TINY_ELF(148), 0xb8, 107,  0,  0, 0,	0x0f, 0x05, /* geteuid */
	0xbf,	       43,   0,	   0,  0, 0x85, 0xc0,	    /* edi = 43 */
	0x75,	       0x05, 0xbf, 42, 0, 0,	0,	    /* 0: edi = 42 */
	0xb8,	       60,   0,	   0,  0, 0x0f, 0x05,	    /* exit */
};
_Static_assert(sizeof(tiny_exit) == 132, "the header's size");
_Static_assert(sizeof(tiny_suid) == 148, "the header's size");

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bzimage.c - a compressed kernel by the 64-bit Linux boot protocol (Documentation/arch/x86/
 * boot.rst in Linux): a real-mode part that is skipped, its setup header, and the protected-mode
 * kernel, which decompresses itself.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/le.h"
#include "base/num.h"
#include "vmm/arch/x86_64/image.h"
#include "vmm/arch/x86_64/layout.h"

#define HEADER_MAGIC	    0x53726448U /* "HdrS" */
#define BOOT_FLAG	    0xaa55U
#define VERSION_MIN	    0x020cU /* xloadflags: Linux 3.8 */
#define LOADED_HIGH	    0x01U
#define XLF_KERNEL_64	    0x0001U
#define ENTRY64_OFF	    0x200U
#define SECTOR		    512U
#define SETUP_SECTS_DEFAULT 4U
#define INIT_SIZE_MAX	    (UINT64_C(1) << 30)

/* The fields of the setup header that we use, by their offset in the file. */
#define OFF_SETUP_SECTS	 0x1f1U
#define OFF_SYSSIZE	 0x1f4U
#define OFF_BOOT_FLAG	 0x1feU
#define OFF_JUMP_LEN	 0x201U
#define OFF_MAGIC	 0x202U
#define OFF_VERSION	 0x206U
#define OFF_LOADFLAGS	 0x211U
#define OFF_INITRD_MAX	 0x22cU
#define OFF_XLOADFLAGS	 0x236U
#define OFF_CMDLINE_SIZE 0x238U
#define OFF_PREF_ADDRESS 0x258U
#define OFF_INIT_SIZE	 0x260U
#define HEADER_END_MIN	 0x264U

static uint64_t field(const uint8_t *h, unsigned off, unsigned bytes)
{
	uint64_t v = 0;

	for (unsigned i = bytes; i > 0; i--)
		v = v << 8 | h[off - SETUP_HEADER_OFF + i - 1];
	return v;
}

bool bzimage_probe(const struct source *s)
{
	uint8_t magic[4];

	if (source_read(s, OFF_MAGIC, magic, sizeof(magic), "the boot header", NULL) < 0)
		return false;
	return memcmp(magic, "HdrS", sizeof(magic)) == 0;
}

/* Reads and checks the header. Bytes of it beyond its own stated end become zero. */
static int read_header(const struct source *s, uint8_t h[SETUP_HEADER_MAX], uint32_t *ret_bytes,
		       struct err *err)
{
	uint64_t end;
	int r = source_read(s, SETUP_HEADER_OFF, h, SETUP_HEADER_MAX, "the boot header", err);

	if (r < 0)
		return r;
	if (field(h, OFF_BOOT_FLAG, 2) != BOOT_FLAG || field(h, OFF_MAGIC, 4) != HEADER_MAGIC)
		return err_set(err, -EINVAL, "kernel: not a bzImage");
	if (field(h, OFF_VERSION, 2) < VERSION_MIN)
		return err_set(err, -EINVAL,
			       "kernel: boot protocol 0x%" PRIx64 " is too old, 0x%x is needed",
			       field(h, OFF_VERSION, 2), VERSION_MIN);
	if ((field(h, OFF_LOADFLAGS, 1) & LOADED_HIGH) == 0)
		return err_set(err, -EINVAL, "kernel: a zImage; only bzImage is supported");
	if ((field(h, OFF_XLOADFLAGS, 2) & XLF_KERNEL_64) == 0)
		return err_set(err, -EINVAL, "kernel: this bzImage has no 64-bit entry");
	end = OFF_MAGIC + field(h, OFF_JUMP_LEN, 1);
	if (end < HEADER_END_MIN || end > SETUP_HEADER_OFF + SETUP_HEADER_MAX)
		return err_set(err, -EINVAL, "kernel: the boot header ends at 0x%" PRIx64, end);
	*ret_bytes = (uint32_t)(end - SETUP_HEADER_OFF);
	memset(h + *ret_bytes, 0, SETUP_HEADER_MAX - *ret_bytes);
	return 0;
}

int bzimage_load(const struct source *s, struct gmem *m, struct image *ret, struct err *err)
{
	struct image img = { 0 };
	const uint8_t *h = img.setup_header;
	uint64_t off, bytes, load, need;
	int r = read_header(s, img.setup_header, &img.setup_header_bytes, err);

	if (r < 0)
		return r;
	off = field(h, OFF_SETUP_SECTS, 1);
	off = ((off == 0 ? SETUP_SECTS_DEFAULT : off) + 1) * SECTOR;
	bytes = field(h, OFF_SYSSIZE, 4) * 16;
	if (bytes <= ENTRY64_OFF)
		return err_set(err, -EINVAL, "kernel: a bzImage with %" PRIu64 " bytes of code",
			       bytes);
	/* syssize is in units of 16 bytes and may round the file's end up. */
	if (off < s->size && bytes > s->size - off && bytes - (s->size - off) < 16)
		bytes = s->size - off;
	if (!range_fits(off, bytes, s->size))
		return err_set(err, -EINVAL,
			       "kernel: truncated: the bzImage's code ends at %" PRIu64
			       ", beyond the file size %" PRIu64,
			       off + bytes, s->size);
	load = field(h, OFF_PREF_ADDRESS, 8);
	/* It decompresses in place: init_size bytes from the load address are its own. */
	need = MAX(field(h, OFF_INIT_SIZE, 4), bytes);
	if (load < LAYOUT_KERNEL_MIN || need > INIT_SIZE_MAX)
		return err_set(err, -EINVAL, "kernel: load address 0x%" PRIx64 ", size 0x%" PRIx64,
			       load, need);
	if (gmem_check(m, gpa(load), need) < 0)
		return err_set(err, -EINVAL,
			       "kernel: it needs %" PRIu64 " MiB at %" PRIu64
			       " MiB, outside the guest's memory",
			       need / MIB, load / MIB);
	r = source_load(s, off, m, gpa(load), bytes, "the code", err);
	if (r < 0)
		return r;
	img.start = load;
	img.end = load + need;
	img.entry64 = load + ENTRY64_OFF;
	img.initrd_max = field(h, OFF_INITRD_MAX, 4);
	img.cmdline_max = (uint32_t)MIN(field(h, OFF_CMDLINE_SIZE, 4), LAYOUT_CMDLINE_MAX);
	*ret = img;
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* The bzImage loader over a hostile file; what it accepts must lie in RAM. The input is the file.
 */
#include <stdlib.h>
#include <string.h>

#include "base/bug.h"
#include "base/num.h"
#include "vmm/arch/x86_64/boot.h"
#include "vmm/arch/x86_64/layout.h"

#define RAM (32 * MIB)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct gmem mem;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct boot_config cfg = { .cmdline = "quiet", .protocol = BOOT_BZIMAGE };
	struct boot_entry entry;
	struct image img;
	struct err err = { 0 };

	if (mem.count == 0)
		BUG_ON(gmem_init(&mem, RAM) != 0);
	source_from_mem(&cfg.kernel, "kernel", data, size);
	if (bzimage_load(&cfg.kernel, &mem, &img, &err) == 0) {
		BUG_ON(img.start < LAYOUT_KERNEL_MIN || img.start >= img.end || img.end > RAM);
		BUG_ON(img.entry64 < img.start || img.entry64 >= img.end);
		BUG_ON(img.setup_header_bytes > sizeof(img.setup_header));
		(void)boot_load(&cfg, &mem, &entry, &err);
	} else {
		BUG_ON(err.code >= 0 || err.msg[0] == '\0');
	}
	return 0;
}

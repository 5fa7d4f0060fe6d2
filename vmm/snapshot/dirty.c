/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/snapshot/dirty.h"

#include <errno.h>
#include <linux/kvm.h>
#include <stdlib.h>
#include <sys/ioctl.h>

int dirty_collect(struct gmem *m, int vm_fd, struct err *err)
{
	uint64_t *bits = calloc(1, gmem_marks_bytes(m));
	int r = 0;

	if (bits == NULL)
		return err_sys(err, -ENOMEM, "dirty log");
	for (unsigned i = 0; i < m->count && r == 0; i++) {
		const struct kvm_dirty_log log = { .slot = i, .dirty_bitmap = bits };
		if (ioctl(vm_fd, KVM_GET_DIRTY_LOG, &log) < 0)
			r = err_sys(err, -errno, "KVM_GET_DIRTY_LOG");
		else
			gmem_mark_bits(m, i, bits);
	}
	free(bits);
	return r;
}

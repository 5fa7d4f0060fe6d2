/* SPDX-License-Identifier: Apache-2.0 */
#include "vmm/genid.h"

#include <errno.h>
#include <sys/random.h>

#include "vmm/arch/x86_64/layout.h"

int genid_write(struct gmem *m, const uint8_t *id)
{
	uint8_t fresh[GENID_BYTES];

	if (id == NULL) {
		if (getrandom(fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
			return -EIO;
		id = fresh;
	}
	return gmem_write(m, gpa(LAYOUT_GENID), id, GENID_BYTES);
}

void genid_tell(struct genid *g, struct ioapic *io)
{
	__atomic_store_n(&g->untold, true, __ATOMIC_SEQ_CST);
	ioapic_raise(io, LAYOUT_GSI_GED);
}

bool genid_asserted(struct genid *g)
{
	return __atomic_exchange_n(&g->untold, false, __ATOMIC_SEQ_CST);
}

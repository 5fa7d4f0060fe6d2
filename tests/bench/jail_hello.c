/* SPDX-License-Identifier: Apache-2.0 */
/* jail_hello - says that it runs, one byte on VMM_FD_CONTROL, and ends when that is closed. */
#include <unistd.h>

#include "vmm/vmm_fds.h"

int main(void)
{
	char byte = 'x';

	if (write(VMM_FD_CONTROL, &byte, 1) != 1)
		return 1;
	return read(VMM_FD_CONTROL, &byte, 1) == 0 ? 0 : 1;
}

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * landlock.h - the kernel's own "no" to what the filters forbid as well: no file by path, no TCP
 * port, no signal and no abstract socket outside. Descriptors that are open already go on working.
 */
#ifndef BASE_LANDLOCK_H
#define BASE_LANDLOCK_H

#include "base/compiler.h"

/*
 * Denies all that this kernel's Landlock knows, for the calling thread and all that it makes: so
 * before there are others, and after the last exec. Needs no_new_privs. 0 and *ret_abi (1 to 3:
 * files; 4: TCP; 5: device ioctls; 6: signals and abstract sockets; 0: this kernel has no Landlock,
 * and nothing was done), or -errno.
 */
MUST_USE int landlock_deny_all(int *ret_abi);
/* The same for a process whose work is to connect by TCP; it still can't take a port. */
MUST_USE int landlock_deny_all_but_connect(int *ret_abi);

#endif

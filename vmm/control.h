/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - the VMM's only door: a ttrpc server for api/proto/vmm.proto on VMM_FD_CONTROL. It
 * runs on the main thread's loop, which also serves the devices.
 */
#ifndef VMM_CONTROL_H
#define VMM_CONTROL_H

#include "base/compiler.h"
#include "base/err.h"

/* Serves until the VM has ended and its result was fetched, or the peer has gone. Returns the
 * exit status of the process, or a negative errno with err when it could not even begin. */
MUST_USE int control_serve(struct err *err);

#endif

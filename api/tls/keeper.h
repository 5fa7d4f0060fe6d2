/* SPDX-License-Identifier: Apache-2.0 */
/*
 * keeper.h - the process that has the files: it loads, makes and renews the certificate, hands it
 * to the process that speaks with clients, and has nothing to do with those.
 */
#ifndef API_TLS_KEEPER_H
#define API_TLS_KEEPER_H

#include <sys/types.h>

#include "api/tls/options.h"
#include "base/compiler.h"

/*
 * channel: to relay, which is our child; taken over. Runs until it has ended: SIGHUP loads the
 * certificate anew, SIGTERM and SIGINT have it end what is under way, a second one ends it at
 * once. The process's exit status.
 */
MUST_USE int keeper_run(const struct options *o, int channel, pid_t relay);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * relay.h - the process that speaks with clients. It has no file access, and its filter lets it
 * start nothing and connect to unix sockets only; certificates come over its channel.
 */
#ifndef API_TLS_RELAY_H
#define API_TLS_RELAY_H

#include <stddef.h>

#include "api/tls/options.h"
#include "base/compiler.h"

/*
 * Should: give up what it doesn't need, take the first pair from `channel` (a stream of struct
 * pair; its end means: stop), and serve `doors` until it is told to stop. Mustn't: touch a client
 * before. Takes all descriptors over. The process's exit status.
 */
MUST_USE int relay_run(const struct options *o, int channel, const int *doors, size_t doors_count);

#endif

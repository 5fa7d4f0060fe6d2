/* SPDX-License-Identifier: Apache-2.0 */
/*
 * envelope.h - how the Connect protocol frames the messages of a stream: one byte of flags, the
 * length as 32 bits big-endian, the message. Pure; fuzzed by fuzz/agent_connect.c.
 */
#ifndef AGENT_CONNECT_ENVELOPE_H
#define AGENT_CONNECT_ENVELOPE_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/compiler.h"

#define ENVELOPE_HEADER	    5U
#define ENVELOPE_COMPRESSED 0x01U
#define ENVELOPE_END	    0x02U

void envelope_put(uint8_t dst[ENVELOPE_HEADER], uint8_t flags, uint32_t len);

/* The envelope at the start of data: its length with the header (the message is what follows the
 * header), 0 = more is needed, -EPROTO (flags that a client can't send; we take no compression),
 * -EMSGSIZE (message longer than max). */
MUST_USE ssize_t envelope_get(const uint8_t *data, size_t len, size_t max);

#endif

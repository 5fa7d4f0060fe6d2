/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hello.h - which server a TLS client asks for: the server_name of its ClientHello (RFC 8446
 * §4.1.2, RFC 6066 §3). Nothing else of the message is kept. Pure; fuzzed by fuzz/egress_hello.c.
 */
#ifndef EGRESS_HELLO_H
#define EGRESS_HELLO_H

#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "egress/name.h"

struct hello {
	char name[NAME_CAP]; /* "" = none, or none that is a name (an address, say) */
	bool encrypted;	     /* has an encrypted ClientHello, whose name can't be seen (RFC 9849) */
};

/* Does the first byte say that this is TLS? */
bool hello_begins(const void *data, size_t len);

/*
 * data: all that the client has sent. 0; -EAGAIN: there is more to come; -EPROTO: no ClientHello,
 * one that is malformed, longer than EGRESS_HELLO_MAX, or cut into more than EGRESS_RECORDS_MAX
 * records.
 */
MUST_USE int hello_parse(const void *data, size_t len, struct hello *ret);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* egress_rig.h - the real casemate-egress between a guest and a world (egress_world.h). */
#ifndef TESTS_NATIVE_EGRESS_RIG_H
#define TESTS_NATIVE_EGRESS_RIG_H

#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "egress/dns.h"
#include "tests/native/egress_world.h"
#include "tests/unit/egress_hello.h"

struct rig {
	struct world world;
	unsigned descriptors; /* that the program may have open, set before the start; 0 = its own
			       * limit */
	pid_t pid;
	int control;
	int log;
	int roots; /* a file with certificate authorities that goes with each message; 0 = none */
};

#define RIG_TEXT_MAX 65536

/* Listens for the guest on 80, 443, 8080 and 22 (TCP), and 53. connections: NULL = the default. */
void rig_start(struct rig *r, const char *connections);
/* Ends the program: did it end well? */
bool rig_stop(struct rig *r);

/* One message to the control socket; the answer is the caller's. */
json_t *rig_control(struct rig *r, const char *message);
/* Puts a policy in force: the text's ' are ". The world's name server is added. How many it ended.
 */
int rig_policy(struct rig *r, const char *policy);
/* A counter. */
long long rig_count(struct rig *r, const char *name);

/* Dials, sends, half-closes, reads to the end: the length in text (terminated), or -errno. */
ssize_t rig_exchange(struct rig *r, const char *address, uint16_t port, const void *data,
		     size_t len, char text[RIG_TEXT_MAX]);
/* GET / with this Host (and more header lines): whose banner came back, "" = reset or refused
 * without a word, "403", "502". Static memory. */
const char *rig_get(struct rig *r, const char *address, uint16_t port, const char *host,
		    const char *headers);
/* A ClientHello: whose banner came back, "" = reset, "alert". Static memory. */
const char *rig_hello(struct rig *r, const char *address, uint16_t port, const char *name,
		      unsigned flags);
/* The last answer's text, of rig_get. */
extern char rig_text[RIG_TEXT_MAX];

/* A question of the guest's; the rcode, -1 without an answer. addresses as text, blanks between. */
int rig_ask(struct rig *r, const char *name, uint16_t type, bool stream, char *addresses,
	    size_t cap);

#endif

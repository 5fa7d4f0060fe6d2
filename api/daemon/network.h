/* SPDX-License-Identifier: Apache-2.0 */
/*
 * network.h - what a sandbox may reach: policies as clients write them, what the operator adds, and
 * the control socket of a sandbox's casemate-egress, where they go.
 *
 * A policy is an object of the members that casemate-egress(8) has for tenants. Here only its form
 * is looked at; casemate-egress, which enforces it, checks every part of it, and its refusal is
 * the client's answer.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_NETWORK_H
#define API_DAEMON_NETWORK_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/loop.h"

#define NETWORK_TEXT_MAX      (32U * 1024U) /* of a policy */
#define NETWORK_LIST_MAX      64U
#define NETWORK_RESOLVERS_MAX 3U

/* The operator's part; the strings are somebody else's, and live longer. */
struct network_operator {
	bool on; /* sandboxes may ask for a network */
	const char *allow[NETWORK_LIST_MAX];
	size_t allow_count;
	const char *deny[NETWORK_LIST_MAX];
	size_t deny_count;
	const char *resolvers[NETWORK_RESOLVERS_MAX];
	size_t resolvers_count;
	char found[NETWORK_RESOLVERS_MAX][64]; /* network_find_resolvers */
	const char *authorities; /* the host's certificate authorities; NULL = usual */
	int authorities_fd;	 /* it, open; -1 = headers are set in HTTP only */
};

/* Appends to one of these lists: 0 or -E2BIG. */
MUST_USE int network_list_add(const char **list, size_t max, size_t *count, const char *text);

/* The host's own, from the text of a resolv.conf(5), where the operator has named none. */
void network_find_resolvers(struct network_operator *op, const char *text);

/* Opens the authorities: 0, also without the usual file; -errno with err. */
MUST_USE int network_open_authorities(struct network_operator *op, struct err *err);

/* The members of `from` that a policy has, as text (the caller's to free): 0; -EINVAL with err: not
 * an object, a member that is none, or too long; -ENOMEM. */
MUST_USE int network_policy(const json_t *from, char **ret, struct err *err);

/* The control socket and log pipe of one casemate-egress. */
struct network;

/* why: NULL = the policy is in force; else it was refused, or the process is gone, and the one
 * before holds. Valid during the call. */
typedef void network_done_fn(void *arg, const char *why);

/* Takes the descriptors, also on failure. op and id outlive it. */
MUST_USE int network_new(struct loop *l, const struct network_operator *op, int control, int log,
			 const char *id, struct network **ret);
/* done isn't called any more. NULL is fine. */
void network_free(struct network *n);
/* What the guest is to trust since the last answer (PEM, as the other end says): NULL = nothing.
 * Until the next answer. */
const char *network_certificate(const struct network *n);
/* Sends a policy of network_policy's. One at a time: -EBUSY; or -errno. done is called later. */
MUST_USE int network_apply(struct network *n, const char *policy, network_done_fn *done, void *arg);

#endif

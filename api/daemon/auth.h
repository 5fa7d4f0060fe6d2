/* SPDX-License-Identifier: Apache-2.0 */
/*
 * auth.h - who asks, and may he? Called for each request of the control plane before its body is
 * read.
 *
 * On the unix socket a request without a key is the operator's: whoever may open the socket. With a
 * key it is the key's tenant's, as on TCP, where a key is always needed (X-API-Key, or
 * Authorization: Bearer). On TCP the Host must be one that this daemon serves, so that a web page
 * whose name was made to resolve to it (DNS rebinding) can't speak to it.
 */
#ifndef API_DAEMON_AUTH_H
#define API_DAEMON_AUTH_H

#include "api/daemon/tenant.h"
#include "api/http/http.h"

struct auth {
	struct store *store;
	struct tenants *tenants;
	const char *domain; /* also served as Host, with its sub-domains; NULL = none */
};

/* False: it came to a Host that isn't served, and has been answered 421. */
bool auth_host_admit(const struct auth *a, struct http_req *req);
/* Sets the request's principal, or answers 401, 403 or 421. */
void auth_admit(const struct auth *a, struct http_req *req);
/* The principal; a request that auth_admit let pass has one. */
const struct principal *auth_principal(const struct http_req *req);
/* True when the operator asks; else the request has been answered 403. */
bool auth_admin(struct http_req *req);
/* Is it a Host that is served: an address, localhost, the domain or a name below it? Pure. */
bool auth_host_ok(const char *host, const char *domain);

#endif

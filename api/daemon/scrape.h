/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scrape.h - a request that asks what many sandboxes use, and is answered when the last of them is
 * known (usage.h). The request's state. Threads: the loop's.
 */
#ifndef API_DAEMON_SCRAPE_H
#define API_DAEMON_SCRAPE_H

#include "api/daemon/service.h"
#include "api/daemon/usage.h"

#define SCRAPE_MAX 4096U

struct scrape;

struct scraped {
	struct usage_wait wait; /* its code and got count once the answer is due */
	struct scrape *scrape;
	char id[SANDBOX_ID_LEN + 1];
};

struct scrape {
	struct http_req *req;
	const struct service *sv;
	unsigned count, max, waiting;
	void (*answer)(struct scrape *m);
	struct scraped list[];
};

/* For at most max sandboxes (SCRAPE_MAX at most). NULL: answered 500. answer must answer the
 * request; it gets the sandboxes in the order in which they were added. */
struct scrape *scrape_new(struct http_req *req, const struct service *sv, unsigned max,
			  void (*answer)(struct scrape *m));
/* One more; nothing when there are max already. */
void scrape_add(struct scrape *m, const struct sandbox *s);
/* All that run and that the request's principal may see: for max = scrape_running(sv). */
void scrape_add_all(struct scrape *m);
unsigned scrape_running(const struct service *sv);
/* Asks; the answer may come before this returns, when all samples are fresh. */
void scrape_run(struct scrape *m);
/* The sandbox of a sample; NULL: there is no sample, it may have ended meanwhile. */
const struct sandbox *scrape_sandbox(const struct scrape *m, const struct scraped *x);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* images_internal.h - between service_images.c (names of images) and service_image_gc.c (their
 * end): a request that waits for the jailer. */
#ifndef API_DAEMON_IMAGES_INTERNAL_H
#define API_DAEMON_IMAGES_INTERNAL_H

#include <jailer.pb-c.h>

#include "api/daemon/service.h"

#define IMAGES_CALL_MS 30000U

typedef Casemate__Jailer__V1__ListImagesResponse images_listing;
typedef Casemate__Jailer__V1__ListImagesResponse__Image images_listed;

/* The request's state. */
struct images_op {
	struct http_req *req;
	struct service *sv;
	struct rpc_pending *call;
	struct loop_timer *timer;
	void (*listed)(struct images_op *op, const images_listing *m);
	char name[SPEC_NAME_MAX + 1];
	char digest[SPEC_DIGEST_LEN + 1];
	char *config;	/* of put */
	uint64_t age_s; /* of gc */
	char (*removals)[SPEC_DIGEST_LEN + 1];
	size_t removals_count, at;
	unsigned tries;
	uint64_t freed;
	json_t *removed;
};

/* begin: NULL = answered 500. begin_named: the path's name is in op->name, else answered 400. fn
 * gets what the jailer has, once images_ask has been called. */
struct images_op *images_begin(struct http_req *req, struct service *sv,
			       void (*fn)(struct images_op *op, const images_listing *m));
struct images_op *images_begin_named(struct http_req *req, struct service *sv,
				     void (*fn)(struct images_op *op, const images_listing *m));
/* Holds the request until the jailer has answered, or answers that it can't. */
void images_ask(struct images_op *op);
/* For http_hold. */
void images_gone(struct http_req *req, void *state);
void images_fail(struct images_op *op, unsigned status, const char *code, const char *msg);

/* "sha256:HEX" or HEX, into dst. */
bool images_take_digest(const char *s, char dst[SPEC_DIGEST_LEN + 1]);
json_t *images_digest_json(const char *digest);
/* Is it one that the operator has put into the store? */
bool images_is_placed(const images_listing *m, const char *name);
/* How many names it has; -errno. */
int images_names_of(const struct service *sv, const char *digest);

/* service_image_gc.c: routes. */
void images_delete(struct http_req *req, void *arg);
void images_gc(struct http_req *req, void *arg);

#endif

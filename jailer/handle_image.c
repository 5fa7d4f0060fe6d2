/* SPDX-License-Identifier: Apache-2.0 */
/* handle_image.c - StoreImage, RemoveImage and ListImages: images that came through the API. */
#include <errno.h>
#include <jailer.pb-c.h>
#include <stdlib.h>
#include <string.h>

#include "jailer/handlers.h"

/* A StoreImage that waits for its process. */
struct storing {
	struct rpc_call *call;
	struct keeper_job *job;
};

static void on_cancelled(struct rpc_call *call, void *arg)
{
	struct storing *p = arg;

	(void)call;
	keeper_cancel(p->job);
	free(p);
}

static const struct rpc_call_ops storing_ops = { .cancelled = on_cancelled };

static void on_stored(void *arg, int r, const struct kept *kept, const struct err *err)
{
	Casemate__Jailer__V1__StoreImageResponse out =
		CASEMATE__JAILER__V1__STORE_IMAGE_RESPONSE__INIT;
	struct storing *p = arg;

	rpc_call_watch(p->call, NULL, NULL);
	if (r < 0) {
		refuse_call(p->call, err);
	} else {
		out.digest = (char *)(size_t)kept->digest;
		out.existed = kept->existed;
		out.verity = kept->verity;
		rpc_reply(p->call, &out.base, NULL);
	}
	free(p);
}

void handle_store_image(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	const Casemate__Jailer__V1__StoreImageRequest *m = (const void *)in;
	struct session *s = arg;
	struct err err = { 0 };
	struct storing *p;

	if (m->digest[0] != '\0' && !blob_digest_ok(m->digest)) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "the digest is not 64 of 0-9 and a-f");
		return;
	}
	p = calloc(1, sizeof(*p));
	if (p == NULL) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "the jailer is out of memory");
		return;
	}
	p->call = call;
	if (keeper_store(s->keeper, fds[0], m->bytes, m->digest, on_stored, p, &p->job, &err) < 0) {
		refuse_call(call, &err);
		free(p);
		return;
	}
	rpc_call_watch(call, &storing_ops, p);
}

static bool in_use(const struct session *s, const char *digest)
{
	for (const struct jail *j = jails_first(s->jails); j != NULL; j = j->next)
		if (j->state != JAIL_ENDED && strcmp(j->req.image, digest) == 0)
			return true;
	return false;
}

void handle_remove_image(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	Casemate__Jailer__V1__RemoveImageResponse out =
		CASEMATE__JAILER__V1__REMOVE_IMAGE_RESPONSE__INIT;
	const Casemate__Jailer__V1__RemoveImageRequest *m = (const void *)in;
	struct session *s = arg;
	struct blob_info info;
	struct err err = { 0 };
	int r;

	(void)fds;
	if (!blob_digest_ok(m->digest)) {
		rpc_fail(call, RPC_INVALID_ARGUMENT, "the digest is not 64 of 0-9 and a-f");
		return;
	}
	if (in_use(s, m->digest)) {
		rpc_fail(call, RPC_FAILED_PRECONDITION, "image %.16s... is used by a jail",
			 m->digest);
		return;
	}
	r = blobs_find(s->blobs, m->digest, &info);
	if (r == 0)
		r = blobs_remove(s->blobs, m->digest);
	if (r == 0) {
		out.bytes = info.bytes;
		rpc_reply(call, &out.base, NULL);
		return;
	}
	(void)err_sys(&err, r, "image %.16s...", m->digest);
	rpc_fail_err(call, &err);
}

/* The texts of `all`, as a message wants them. */
static void describe(const struct blob_info *all, int n,
		     Casemate__Jailer__V1__ListImagesResponse__Image *images,
		     Casemate__Jailer__V1__ListImagesResponse__Image **list)
{
	for (int i = 0; i < n; i++) {
		casemate__jailer__v1__list_images_response__image__init(&images[i]);
		images[i].digest = (char *)(size_t)all[i].digest;
		images[i].bytes = all[i].bytes;
		images[i].stored_unix_ms = all[i].stored_ms;
		images[i].verity = all[i].verity;
		list[i] = &images[i];
	}
}

void handle_list_images(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	/* One thread. */
	static Casemate__Jailer__V1__ListImagesResponse__Image images[BLOBS_MAX];
	static Casemate__Jailer__V1__ListImagesResponse__Image *list[BLOBS_MAX];
	static struct blob_info all[BLOBS_MAX];
	Casemate__Jailer__V1__ListImagesResponse out =
		CASEMATE__JAILER__V1__LIST_IMAGES_RESPONSE__INIT;
	char *placed[STORE_LIST_MAX];
	struct session *s = arg;
	struct err err = { 0 };
	int n = blobs_list(s->blobs, all);

	(void)in;
	(void)fds;
	if (n < 0) {
		(void)err_sys(&err, n, "the store's directory blobs");
		rpc_fail_err(call, &err);
		return;
	}
	describe(all, n, images, list);
	out.images = list;
	out.n_images = (size_t)n;
	out.bytes_max = s->blobs->bytes_max;
	out.n_placed = store_list(&s->host->store, "images", placed);
	out.placed = placed;
	rpc_reply(call, &out.base, NULL);
	for (size_t i = 0; i < out.n_placed; i++)
		free(placed[i]);
}

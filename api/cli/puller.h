/* SPDX-License-Identifier: Apache-2.0 */
/*
 * puller.h - an image from a registry: skopeo as a child of ours, with our user's rights, its own
 * configuration and its own credentials. It writes an OCI layout into a directory of this pull's,
 * which goes when the pull ends. What is in it is as hostile as any archive: casemate-import reads
 * it.
 */
#ifndef API_CLI_PULLER_H
#define API_CLI_PULLER_H

#include <stdbool.h>
#include <stddef.h>

#include "api/cli/cli.h"
#include "base/compiler.h"
#include "base/err.h"

#define PULLER_REF_MAX 1024U

struct puller {
	const char *ref; /* as a person writes it: debian:12, docker://..., oci:DIR, ... */
	bool insecure;	 /* HTTP, or a certificate of anybody's */
	char dir[512];	 /* from puller_run to puller_done */
};

/*
 * Copies: *ret_layout, the caller's, is a directory with an OCI layout of one image. -ENOENT: no
 * skopeo; -EIO: skopeo failed, and err has its last words; -EINTR: a signal came.
 */
MUST_USE int puller_run(struct cli *cli, struct puller *p, int *ret_layout, struct err *err);
/* Removes what puller_run has made; may be called without it. */
void puller_done(struct puller *p);

/* What skopeo is to be told: a reference without a transport is a registry's. -EINVAL, -E2BIG. */
MUST_USE int puller_source(const char *ref, char *dst, size_t cap);

/* The name of what a reference names: "docker://host:5000/lib/Debian:12@sha256:..." is "debian-12".
 * Cut to fit, and not checked further. */
void puller_name(const char *ref, char *dst, size_t cap);

/* What skopeo complained of, from all that it wrote: the text of its last message. Cut to fit. */
void puller_complaint(const char *text, size_t len, char *dst, size_t cap);

#endif

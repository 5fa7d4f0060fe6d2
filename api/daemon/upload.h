/* SPDX-License-Identifier: Apache-2.0 */
/*
 * upload.h - POST /v1/images: an image's bytes, from a client straight into a socket whose other
 * end a process of the jailer's reads. Nothing of it is kept here but one piece, and nothing is
 * looked at. A side that is slow holds the other back; a client that sends nothing for a while is
 * let go.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_UPLOAD_H
#define API_DAEMON_UPLOAD_H

#include <stdbool.h>

#include "api/http/http.h"

struct service;

#define UPLOAD_STALL_MS 60000U

bool upload_is(const struct http_req *req);
/* From admit, for the operator's request: takes it, or answers. */
void upload_begin(const struct service *sv, struct http_req *req);

#endif

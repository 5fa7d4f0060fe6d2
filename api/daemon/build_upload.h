/* SPDX-License-Identifier: Apache-2.0 */
/*
 * build_upload.h - PUT /templates/ID/files/HASH?expires=TIME&token=TOKEN: an archive for a build's
 * COPY. SDKs send it to the URL that they were given, without their key: the token stands for it.
 *
 * Threads: the loop's.
 */
#ifndef API_DAEMON_BUILD_UPLOAD_H
#define API_DAEMON_BUILD_UPLOAD_H

#include <stdbool.h>

#include "api/daemon/build_files.h"
#include "api/daemon/service.h"

#define BUILD_UPLOAD_URL_MAX  640U
#define BUILD_UPLOAD_STALL_MS 60000U
#define BUILD_UPLOAD_LIFE_S   3600U /* of a URL */

/* Where the client of req sends this one. */
void build_upload_url(const struct service *sv, const struct http_req *req,
		      const struct build_files_key *key, char url[BUILD_UPLOAD_URL_MAX]);
bool build_upload_is(const struct http_req *req);
/* From admit: takes it, or answers. */
void build_upload_begin(const struct service *sv, struct http_req *req);

#endif

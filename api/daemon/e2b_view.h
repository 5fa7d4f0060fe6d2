/* SPDX-License-Identifier: Apache-2.0 */
/* e2b_view.h - a sandbox as the E2B API shows it, and its metrics. */
#ifndef API_DAEMON_E2B_VIEW_H
#define API_DAEMON_E2B_VIEW_H

#include "api/daemon/service.h"

/* What of the SDKs' features there is: they look at it. */
#define E2B_ENVD_VERSION "0.6.13"
#define E2B_CLIENT_ID	 "local"

#define E2B_TIME_LEN 24U /* "2026-11-20T18:44:28.358Z" */

void e2b_time(int64_t unix_ms, char text[E2B_TIME_LEN + 1]);
/* RFC 3339, in UTC or with an offset: 0 or -EINVAL. */
MUST_USE int e2b_time_parse(const char *text, int64_t *ret_unix_ms);

/* New references; NULL = no memory. */
json_t *e2b_sandbox_json(const struct service *sv, const struct sandbox *s); /* with its tokens */
json_t *e2b_listed_json(const struct service *sv, const struct sandbox *s);
json_t *e2b_detail_json(const struct service *sv, const struct sandbox *s);

/* Routes (e2b_metrics.c). */
void e2b_metrics(struct http_req *req, void *arg);
void e2b_all_metrics(struct http_req *req, void *arg);
/* Answers a fork of s, which runs (e2b_fork.c). */
void e2b_fork(struct http_req *req, struct service *sv, struct sandbox *s);
/* Routes (e2b_logs.c). */
void e2b_logs_v1(struct http_req *req, void *arg);
void e2b_logs_v2(struct http_req *req, void *arg);

#endif

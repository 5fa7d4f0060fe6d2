/* SPDX-License-Identifier: Apache-2.0 */
/* service_templates.h - between service_templates.c (templates and tags), service_builds.c (their
 * builds) and service_alias.c (is there one of this name?). */
#ifndef API_DAEMON_SERVICE_TEMPLATES_H
#define API_DAEMON_SERVICE_TEMPLATES_H

#include "api/daemon/service.h"
#include "api/daemon/templates.h"

/* The template that the path's first parameter names, of the request's tenant (own), or one that it
 * may use. False: answered 404 or 500. */
bool service_template(struct http_req *req, const struct service *sv, bool own,
		      struct template *ret);

/* Routes with a file of their own. */
void service_alias(struct http_req *req, void *arg);
void service_build_files(struct http_req *req, void *arg);
void service_build_begin(struct http_req *req, void *arg);
void service_build_status(struct http_req *req, void *arg);
void service_build_logs(struct http_req *req, void *arg);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* route_file.c - what downloads and uploads have in common: who may, whose file, which status. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "agent/access.h"
#include "agent/httpd_internal.h"

unsigned route_status(int error)
{
	switch (error) {
	case -ENOENT:
		return 404;
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return 403;
	case -EINVAL:
	case -EISDIR:
	case -ENOTDIR:
	case -ELOOP:
	case -ENAMETOOLONG:
	case -EBADMSG:
	case -EMSGSIZE:
	case -EPIPE: /* the body was cut off */
		return 400;
	case -ENOSPC:
	case -EDQUOT:
		return 507;
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -EAGAIN:
		return 503;
	default:
		return 500;
	}
}

/* By token, or by signature over the query's arguments as they were sent. */
static int may(const struct httpd *h, const struct web_req *req, const char *operation,
	       struct err *err)
{
	const char *token = h->agent->access_token;

	if (access_token_is(token, web_req_field(req, "x-access-token")))
		return 0;
	return access_check_signature(web_req_query(req, "signature"), web_req_query(req, "path"),
				      operation, web_req_query(req, "username"), token,
				      web_req_query(req, "signature_expiration"),
				      (uint64_t)time(NULL), err);
}

int route_file_place(struct httpd *h, struct web_req *req, const char *operation, const char *path,
		     struct place *ret)
{
	const char *user = web_req_query(req, "username");
	char basic[CONNECT_USER_MAX];
	struct err err;
	int r = may(h, req, operation, &err);

	if (r < 0) {
		web_fail(req, 401, "%s", err.msg);
		return r;
	}
	if (user == NULL || user[0] == '\0') {
		r = connect_user(req, basic, sizeof(basic));
		user = basic;
	}
	if (r == 0 && user[0] != '\0')
		r = h->connect.check_user(user, h->agent, &err);
	else if (r < 0)
		(void)err_set(&err, r, "malformed authorization");
	if (r < 0) {
		web_fail(req, 401, "%s", err.msg);
		return r;
	}
	r = place_resolve(h->agent, user, path != NULL ? path : "", ret, &err);
	if (r < 0)
		web_fail(req, route_status(r), "%s", err.msg);
	return r;
}

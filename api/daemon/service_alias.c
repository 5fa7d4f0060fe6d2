/* SPDX-License-Identifier: Apache-2.0 */
/* service_alias.c - GET /templates/aliases/NAME: is there a template of this name, or an image,
 * which stands for one? */
#include <errno.h>
#include <string.h>

#include "api/daemon/images_internal.h"
#include "api/daemon/service_templates.h"

static int is_there(const struct store_image *i, void *arg)
{
	(void)i;
	(void)arg;
	return 0;
}

static void answer_image(struct images_op *op, const images_listing *m)
{
	int r = images_is_placed(m, op->name)
			? 0
			: store_image_find(op->sv->store, op->name, is_there, NULL);

	if (r == 0)
		http_answer(op->req, 200,
			    json_pack("{s:s, s:b}", "templateID", op->name, "public", 1));
	else if (r == -ENOENT)
		images_fail(op, 404, "not_found", "template: no such template");
	else
		images_fail(op, 500, "internal", "state: can't be read");
}

/* Up to a colon, as in a templateID. */
static int image_name(const char *text, const char *fallback, char name[SPEC_NAME_MAX + 1])
{
	const size_t len = strcspn(text, ":");
	char s[SPEC_NAME_MAX + 1] = "";
	struct err err = { 0 };

	if (len > SPEC_NAME_MAX)
		return -EINVAL;
	memcpy(s, text, len);
	return template_image_name(s, fallback, name, &err);
}

void service_alias(struct http_req *req, void *arg)
{
	struct service *sv = arg;
	struct images_op *op;
	struct template_ref ref;
	struct template t = { 0 };

	if (template_ref_find(http_param(req), &ref) == 0 &&
	    template_find(sv, auth_principal(req)->tenant, ref.name, &t) == 0) {
		http_answer(req, 200,
			    json_pack("{s:s, s:b}", "templateID", t.id, "public", (int)t.public));
		return;
	}
	op = images_begin(req, sv, answer_image);
	if (op == NULL)
		return;
	if (image_name(http_param(req), sv->limits.image, op->name) < 0)
		images_fail(op, 404, "not_found", "template: no such template");
	else
		images_ask(op);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* build_origin.c - what a build starts from, and the network that it has. */
#include <errno.h>
#include <string.h>

#include "api/daemon/build_internal.h"
#include "api/daemon/profile.h"
#include "api/daemon/snapshot.h"
#include "api/daemon/templates.h"

/* As sandboxes of the E2B API have it by default: where there is one at all, out to the internet. A
 * sandbox of the template has a network card because its build had one. */
int build_network(const struct service *sv, struct spec *spec, struct err *err)
{
	if (!sv->limits.networks)
		return 0;
	spec->nic = true;
	return profile_network(NULL, true, &spec->network, err);
}

static int from_image(const struct build *b, const char *ref, struct spec *spec, struct err *err)
{
	const struct service *sv = b->all->sv;
	char name[SPEC_NAME_MAX + 1];
	int r = template_image_name(ref, sv->limits.image, name, err);

	if (r < 0)
		return r;
	memcpy(spec->image, name, sizeof(name));
	return service_image(sv, spec, err);
}

static bool is_base(const char *text)
{
	return strcmp(text, "base") == 0 || strncmp(text, "base:", 5) == 0;
}

int build_origin(const struct build *b, struct spec *spec, struct snapshot **ret_from,
		 struct err *err)
{
	const struct recipe *r = &b->recipe;
	int e;

	*ret_from = NULL;
	if (r->image != NULL)
		return from_image(b, r->image, spec, err);
	e = templates_shape(b->all->sv, r->template, spec, ret_from, err);
	if (e == -ENOENT && is_base(r->template))
		return from_image(b, "base", spec, err);
	if (e == -ENOENT)
		return err_set(err, e, "fromTemplate: there is no such template");
	return e;
}

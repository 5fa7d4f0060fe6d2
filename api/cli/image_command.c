/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/image_command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/http_client.h"

#define CALL_MS 30000U

void image_command_done(struct image_command *c)
{
	json_decref(c->image);
	free(c->argv);
	*c = (struct image_command){ .count = 0 };
}

static void add(struct image_command *c, const json_t *list)
{
	size_t i;
	json_t *s;

	json_array_foreach(list, i, s)
	{
		if (json_is_string(s))
			c->argv[c->count++] = (char *)(size_t)json_string_value(s);
	}
}

static int take(struct image_command *c, const char *name, struct err *err)
{
	const json_t *config = json_object_get(c->image, "config");
	const json_t *entry = json_object_get(config, "entrypoint");
	const json_t *cmd = json_object_get(config, "cmd");

	c->argv = calloc(json_array_size(entry) + json_array_size(cmd) + 1, sizeof(*c->argv));
	if (c->argv == NULL)
		return err_set(err, -ENOMEM, "out of memory");
	add(c, entry);
	add(c, cmd);
	if (c->count == 0)
		return err_set(err, -ENOENT,
			       "run: image %s has no command of its own; write casemate run "
			       "--image %s -- COMMAND",
			       name, name);
	return 0;
}

int image_command_get(struct cli *cli, const char *name, struct image_command *ret, struct err *err)
{
	struct http_client *c = NULL;
	char path[128];
	int r;

	if (name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-")] != '\0' ||
	    snprintf(path, sizeof(path), "/v1/images/%s", name) >= (int)sizeof(path))
		return err_set(err, -EINVAL, "run: %.64s: is not the name of an image", name);
	r = http_client_open(cli, &c, err);
	if (r == 0)
		r = http_client_call(c, "GET", path, NULL, CALL_MS, &ret->image, NULL, err);
	http_client_free(c);
	if (r == -EREMOTEIO)
		return err_wrap(err, "run: no command, and --image %s", name);
	return r < 0 ? r : take(ret, name, err);
}

/* SPDX-License-Identifier: Apache-2.0 */
/* layer.c - the names of the layers, for the test build only. */
#include "jailer/layer.h"

#include <errno.h>
#include <string.h>

static const struct {
	const char *name;
	enum layer layer;
} names[] = {
	{ "cap", LAYER_CAP },	{ "uid", LAYER_UID },	{ "ns", LAYER_NS },
	{ "fs", LAYER_FS },	{ "fds", LAYER_FDS },	{ "cgrp", LAYER_CGRP },
	{ "rlim", LAYER_RLIM }, { "sysc", LAYER_SYSC }, { "x", LAYER_X },
};

int layers_parse(const char *text, unsigned *ret)
{
	unsigned mask = 0;

	for (;;) {
		size_t n = strcspn(text, ",");
		unsigned found = 0;
		for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
			if (strlen(names[i].name) == n && strncmp(names[i].name, text, n) == 0)
				found = names[i].layer;
		}
		if (found == 0)
			return -EINVAL;
		mask |= found;
		if (text[n] == '\0')
			break;
		text += n + 1;
	}
	*ret = mask;
	return 0;
}

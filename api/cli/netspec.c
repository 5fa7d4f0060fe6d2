/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/netspec.h"

#include <errno.h>
#include <jansson.h>
#include <string.h>

static int append(json_t *policy, const char *list, const char *text)
{
	json_t *a = json_object_get(policy, list);

	if (a == NULL) {
		a = json_array();
		if (json_object_set_new(policy, list, a) < 0)
			return -ENOMEM;
	}
	return json_array_append_new(a, json_string(text)) < 0 ? -ENOMEM : 0;
}

int netspec_add(json_t **policy, const char *arg, struct err *err)
{
	static const char allow[] = "allow=", deny[] = "deny=";
	int r = 0;

	if (*policy == NULL)
		*policy = json_object();
	if (strncmp(arg, allow, strlen(allow)) == 0 && arg[strlen(allow)] != '\0')
		r = append(*policy, "allowOut", arg + strlen(allow));
	else if (strncmp(arg, deny, strlen(deny)) == 0 && arg[strlen(deny)] != '\0')
		r = append(*policy, "denyOut", arg + strlen(deny));
	else if (strcmp(arg, "internet") == 0)
		r = json_object_set_new(*policy, "allow_internet_access", json_true());
	else if (strcmp(arg, "none") != 0)
		return err_set(err, -EINVAL,
			       "--net: \"%.64s\" is not internet, none, allow=DESTINATION or "
			       "deny=CIDR",
			       arg);
	return r < 0 || *policy == NULL ? err_set(err, -ENOMEM, "out of memory") : 0;
}

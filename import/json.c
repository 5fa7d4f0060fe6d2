/* SPDX-License-Identifier: Apache-2.0 */
#include "import/json.h"

#include <errno.h>
#include <stdbool.h>

#include "import/limits.h"

/* jansson recurses as deep as 2048; the brackets outside strings tell beforehand. */
static bool too_deep(const char *text, size_t len)
{
	size_t depth = 0;
	bool in_string = false;

	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '[' || c == '{') {
			if (++depth > IMPORT_JSON_DEPTH)
				return true;
		} else if ((c == ']' || c == '}') && depth > 0) {
			depth--;
		}
	}
	return false;
}

int import_json_parse(const char *text, size_t len, json_t **ret, struct err *err)
{
	json_error_t e;
	json_t *j;

	if (len > IMPORT_JSON_MAX)
		return err_set(err, -E2BIG, "more than %u bytes of JSON", IMPORT_JSON_MAX);
	if (too_deep(text, len))
		return err_set(err, -E2BIG, "JSON of more than %d levels", IMPORT_JSON_DEPTH);
	j = json_loadb(text, len, JSON_REJECT_DUPLICATES, &e);
	if (j == NULL)
		return err_set(err, -EINVAL, "not JSON: %.120s, line %d", e.text, e.line);
	*ret = j;
	return 0;
}

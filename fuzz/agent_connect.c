/* SPDX-License-Identifier: Apache-2.0 */
/* The small parsers of the agent's HTTP side: envelopes, ranges, paths, base64, parameters. */
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "agent/connect/envelope.h"
#include "agent/json/base64.h"
#include "agent/multipart.h"
#include "agent/path.h"
#include "agent/range.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGE_MAX 4096

static void envelopes(const uint8_t *data, size_t len)
{
	while (len > 0) {
		ssize_t n = envelope_get(data, len, MESSAGE_MAX);
		if (n <= 0)
			return;
		BUG_ON((size_t)n > len || (size_t)n > ENVELOPE_HEADER + MESSAGE_MAX);
		/* What is whole isn't whole with a byte less. */
		BUG_ON(envelope_get(data, (size_t)n - 1, MESSAGE_MAX) > 0);
		data += n;
		len -= (size_t)n;
	}
}

static void base64(const char *text, size_t len)
{
	uint8_t *bytes = malloc(BASE64_BYTES(len));
	ssize_t n;

	BUG_ON(bytes == NULL);
	n = base64_decode(text, len, bytes);
	if (n >= 0) {
		char *again = malloc(BASE64_LEN((size_t)n) + 1);
		uint8_t *twice = malloc(BASE64_BYTES(BASE64_LEN((size_t)n)));
		BUG_ON(again == NULL || twice == NULL || (size_t)n > BASE64_BYTES(len));
		base64_encode(bytes, (size_t)n, again);
		BUG_ON(base64_decode(again, BASE64_LEN((size_t)n), twice) != n);
		BUG_ON(memcmp(bytes, twice, (size_t)n) != 0);
		free(again);
		free(twice);
	}
	free(bytes);
}

static void paths(const char *text)
{
	char once[PATH_MAX], twice[PATH_MAX];

	if (path_expand(text, "/home/u", NULL, once, sizeof(once), NULL) < 0)
		return;
	BUG_ON(once[0] != '/' || strstr(once, "//") != NULL || strstr(once, "/./") != NULL ||
	       strstr(once, "/../") != NULL);
	BUG_ON(strlen(once) > 1 && once[strlen(once) - 1] == '/');
	BUG_ON(path_expand(once, "/x", NULL, twice, sizeof(twice), NULL) != 0);
	BUG_ON(strcmp(once, twice) != 0);
}

static void ranges(const char *text)
{
	static const uint64_t sizes[] = { 1, 10, UINT64_MAX };

	for (size_t i = 0; i < 3; i++) {
		struct range r;
		int found = range_parse(text, sizes[i], &r);
		BUG_ON(found != 0 && found != 1 && found != -ERANGE);
		BUG_ON(found == 1 &&
		       (r.length == 0 || r.first >= sizes[i] || r.length > sizes[i] - r.first));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = strndup((const char *)data, size);
	char value[64];
	int r;

	BUG_ON(text == NULL);
	envelopes(data, size);
	base64((const char *)data, size);
	paths(text);
	if (strlen(text) >= 6)
		ranges(text);
	r = multipart_param(text, "name", value, sizeof(value));
	BUG_ON(r >= 0 && strnlen(value, sizeof(value)) == sizeof(value));
	free(text);
	return 0;
}

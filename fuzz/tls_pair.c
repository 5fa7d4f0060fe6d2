/* SPDX-License-Identifier: Apache-2.0 */
/* A certificate with its chain and a key, as an operator's files may have them: two texts with a
 * NUL between. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <openssl/ssl.h>

#include "api/tls/context.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = { "casemate.localhost" };
	static struct pair p;
	const uint8_t *nul = memchr(data, 0, size);
	size_t first = nul == NULL ? size : (size_t)(nul - data);
	size_t second = nul == NULL ? 0 : size - first - 1;
	struct err err = { 0 };
	SSL_CTX *ctx = NULL;
	int64_t end = INT64_MIN;

	if (first >= PAIR_PEM_MAX || second >= PAIR_PEM_MAX)
		return 0;
	memset(&p, 0, sizeof(p));
	memcpy(p.certificate, data, first);
	if (second > 0)
		memcpy(p.key, nul + 1, second);
	if (context_new(&p, &ctx, &end, &err) == 0) {
		BUG_ON(ctx == NULL || end == INT64_MIN || end == INT64_MAX);
		SSL_CTX_free(ctx);
	} else {
		BUG_ON(ctx != NULL || end != INT64_MIN || err.msg[0] == '\0');
	}
	(void)pair_is_for(&p, names, 1);
	pair_clear(&p);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "agent/connect/code.h"

#include <string.h>

#include "base/json_text.h"

static const struct {
	const char *name;
	unsigned status;
} codes[] = {
	[RPC_OK] = { "ok", 200 },
	[RPC_CANCELLED] = { "canceled", 499 },
	[RPC_UNKNOWN] = { "unknown", 500 },
	[RPC_INVALID_ARGUMENT] = { "invalid_argument", 400 },
	[RPC_DEADLINE_EXCEEDED] = { "deadline_exceeded", 504 },
	[RPC_NOT_FOUND] = { "not_found", 404 },
	[RPC_ALREADY_EXISTS] = { "already_exists", 409 },
	[RPC_PERMISSION_DENIED] = { "permission_denied", 403 },
	[RPC_RESOURCE_EXHAUSTED] = { "resource_exhausted", 429 },
	[RPC_FAILED_PRECONDITION] = { "failed_precondition", 400 },
	[RPC_ABORTED] = { "aborted", 409 },
	[RPC_OUT_OF_RANGE] = { "out_of_range", 400 },
	[RPC_UNIMPLEMENTED] = { "unimplemented", 501 },
	[RPC_INTERNAL] = { "internal", 500 },
	[RPC_UNAVAILABLE] = { "unavailable", 503 },
	[RPC_DATA_LOSS] = { "data_loss", 500 },
	[RPC_UNAUTHENTICATED] = { "unauthenticated", 401 },
};
_Static_assert(ARRAY_SIZE(codes) == RPC_UNAUTHENTICATED + 1, "a row for each code");

unsigned connect_http_status(enum rpc_code code)
{
	return codes[code].status;
}

int connect_put_error(struct buf *b, enum rpc_code code, const char *msg)
{
	int r = json_printf(b, "{\"code\":\"%s\",\"message\":", codes[code].name);

	if (r == 0)
		r = json_put_string(b, msg, strlen(msg));
	return r < 0 ? r : buf_put(b, "}", 1);
}

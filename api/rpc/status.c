/* SPDX-License-Identifier: Apache-2.0 */
/* status.c - status codes: their names, what errno they stand for, texts from a peer. */
#include <errno.h>

#include "api/rpc/internal.h"
#include "base/log.h"

static const char *const code_names[] = {
	[RPC_OK] = "OK",
	[RPC_CANCELLED] = "CANCELLED",
	[RPC_UNKNOWN] = "UNKNOWN",
	[RPC_INVALID_ARGUMENT] = "INVALID_ARGUMENT",
	[RPC_DEADLINE_EXCEEDED] = "DEADLINE_EXCEEDED",
	[RPC_NOT_FOUND] = "NOT_FOUND",
	[RPC_ALREADY_EXISTS] = "ALREADY_EXISTS",
	[RPC_PERMISSION_DENIED] = "PERMISSION_DENIED",
	[RPC_RESOURCE_EXHAUSTED] = "RESOURCE_EXHAUSTED",
	[RPC_FAILED_PRECONDITION] = "FAILED_PRECONDITION",
	[RPC_ABORTED] = "ABORTED",
	[RPC_OUT_OF_RANGE] = "OUT_OF_RANGE",
	[RPC_UNIMPLEMENTED] = "UNIMPLEMENTED",
	[RPC_INTERNAL] = "INTERNAL",
	[RPC_UNAVAILABLE] = "UNAVAILABLE",
	[RPC_DATA_LOSS] = "DATA_LOSS",
	[RPC_UNAUTHENTICATED] = "UNAUTHENTICATED",
};
_Static_assert(ARRAY_SIZE(code_names) == RPC_UNAUTHENTICATED + 1, "a name for each code");

static const struct {
	int err;
	enum rpc_code code;
} errno_codes[] = {
	{ ECANCELED, RPC_CANCELLED },
	{ EINVAL, RPC_INVALID_ARGUMENT },
	{ ENAMETOOLONG, RPC_INVALID_ARGUMENT },
	{ ENOTDIR, RPC_INVALID_ARGUMENT },
	{ EISDIR, RPC_INVALID_ARGUMENT },
	{ ELOOP, RPC_INVALID_ARGUMENT },
	{ EILSEQ, RPC_INVALID_ARGUMENT },
	{ EBADMSG, RPC_INVALID_ARGUMENT },
	{ EKEYREJECTED, RPC_DATA_LOSS },
	{ ENOEXEC, RPC_INVALID_ARGUMENT },
	{ ETIMEDOUT, RPC_DEADLINE_EXCEEDED },
	{ ENOENT, RPC_NOT_FOUND },
	{ ESRCH, RPC_NOT_FOUND },
	{ ENXIO, RPC_NOT_FOUND },
	{ ENODEV, RPC_NOT_FOUND },
	{ EEXIST, RPC_ALREADY_EXISTS },
	{ EALREADY, RPC_ALREADY_EXISTS },
	{ EACCES, RPC_PERMISSION_DENIED },
	{ EPERM, RPC_PERMISSION_DENIED },
	{ EROFS, RPC_PERMISSION_DENIED },
	{ ENOMEM, RPC_RESOURCE_EXHAUSTED },
	{ ENOSPC, RPC_RESOURCE_EXHAUSTED },
	{ ENOBUFS, RPC_RESOURCE_EXHAUSTED },
	{ EDQUOT, RPC_RESOURCE_EXHAUSTED },
	{ EMFILE, RPC_RESOURCE_EXHAUSTED },
	{ ENFILE, RPC_RESOURCE_EXHAUSTED },
	{ EAGAIN, RPC_RESOURCE_EXHAUSTED },
	{ EMSGSIZE, RPC_RESOURCE_EXHAUSTED },
	{ E2BIG, RPC_RESOURCE_EXHAUSTED },
	{ EFBIG, RPC_RESOURCE_EXHAUSTED },
	{ EBUSY, RPC_FAILED_PRECONDITION },
	{ ENOTSUP, RPC_FAILED_PRECONDITION },
	{ ENOTEMPTY, RPC_FAILED_PRECONDITION },
	{ ESTALE, RPC_FAILED_PRECONDITION },
	{ ERANGE, RPC_OUT_OF_RANGE },
	{ EOVERFLOW, RPC_OUT_OF_RANGE },
	{ ENOSYS, RPC_UNIMPLEMENTED },
	{ EOPNOTSUPP, RPC_UNIMPLEMENTED },
	{ ECONNREFUSED, RPC_UNAVAILABLE },
	{ ECONNRESET, RPC_UNAVAILABLE },
	{ ENOTCONN, RPC_UNAVAILABLE },
	{ EHOSTUNREACH, RPC_UNAVAILABLE },
	{ ENETUNREACH, RPC_UNAVAILABLE },
	{ EPIPE, RPC_UNAVAILABLE },
};

const char *rpc_code_name(enum rpc_code code)
{
	size_t i = (size_t)code;

	return i < ARRAY_SIZE(code_names) ? code_names[i] : code_names[RPC_UNKNOWN];
}

enum rpc_code rpc_code_from_wire(int32_t code)
{
	if (code < 0 || code > (int32_t)RPC_UNAUTHENTICATED)
		return RPC_UNKNOWN;
	return (enum rpc_code)code;
}

enum rpc_code rpc_code_from_errno(int negative_errno)
{
	for (size_t i = 0; i < ARRAY_SIZE(errno_codes); i++)
		if (errno_codes[i].err == -negative_errno)
			return errno_codes[i].code;
	return RPC_INTERNAL;
}

void rpc_status_set(struct rpc_status *st, enum rpc_code code, const char *text, size_t len)
{
	st->code = code;
	(void)log_escape(st->msg, sizeof(st->msg), text, len);
}

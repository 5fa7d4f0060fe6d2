/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/gmem_watch.h"

#include <stdbool.h>

static gmem_watch_fn *watcher;
static void *watcher_arg;
static _Thread_local bool inside;

void gmem_watch(gmem_watch_fn *fn, void *arg)
{
	watcher_arg = arg;
	__atomic_store_n(&watcher, fn, __ATOMIC_RELEASE);
}

static int fetched(int r, const struct gmem *m, gpa_t a, size_t len, enum gmem_fetch kind)
{
	gmem_watch_fn *fn = __atomic_load_n(&watcher, __ATOMIC_ACQUIRE);

	if (r == 0 && fn != NULL && !inside) {
		inside = true;
		fn(m, a, len, kind, watcher_arg);
		inside = false;
	}
	return r;
}

int __real_gmem_read(const struct gmem *m, gpa_t a, void *dst, size_t len);
int __wrap_gmem_read(const struct gmem *m, gpa_t a, void *dst, size_t len);

int __wrap_gmem_read(const struct gmem *m, gpa_t a, void *dst, size_t len)
{
	return fetched(__real_gmem_read(m, a, dst, len), m, a, len, GMEM_FETCH_COPY);
}

#define VALUE(name, type)                                                                       \
	int __real_##name(const struct gmem *m, gpa_t a, type *ret);                            \
	int __wrap_##name(const struct gmem *m, gpa_t a, type *ret);                            \
	int __wrap_##name(const struct gmem *m, gpa_t a, type *ret)                             \
	{                                                                                       \
		return fetched(__real_##name(m, a, ret), m, a, sizeof(*ret), GMEM_FETCH_VALUE); \
	}
VALUE(gmem_read_le16, uint16_t)
VALUE(gmem_read_le16_acquire, uint16_t)
VALUE(gmem_read_le32, uint32_t)
VALUE(gmem_read_le64, uint64_t)

int __real_gmem_iov(const struct gmem *m, gpa_t a, uint64_t len, bool writable, struct iovec *iov,
		    size_t cap, size_t *n);
int __wrap_gmem_iov(const struct gmem *m, gpa_t a, uint64_t len, bool writable, struct iovec *iov,
		    size_t cap, size_t *n);

int __wrap_gmem_iov(const struct gmem *m, gpa_t a, uint64_t len, bool writable, struct iovec *iov,
		    size_t cap, size_t *n)
{
	return fetched(__real_gmem_iov(m, a, len, writable, iov, cap, n), m, a, len,
		       GMEM_FETCH_IOV);
}

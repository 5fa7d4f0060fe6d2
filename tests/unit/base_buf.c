/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

Test(base_buf, bounded)
{
	struct buf b;

	buf_init(&b, 10);
	cr_assert_eq(buf_head(&b), NULL);
	cr_assert_eq(buf_put(&b, "0123456789", 10), 0);
	cr_assert_eq(buf_put(&b, "x", 1), -ENOSPC);
	cr_assert_eq(buf_put(&b, "", 0), 0);
	cr_assert_eq(buf_reserve(&b, 1), NULL);
	cr_assert_eq(buf_room(&b), 0);
	buf_consume(&b, 4);
	cr_assert_eq(buf_room(&b), 4);
	cr_assert_eq(buf_put(&b, "abcde", 5), -ENOSPC); /* all or nothing */
	cr_assert_eq(buf_put(&b, "abcd", 4), 0);
	cr_assert_eq(buf_len(&b), 10);
	cr_assert_arr_eq(buf_head(&b), "456789abcd", 10);
	buf_consume(&b, 10);
	cr_assert_eq(buf_head(&b), NULL);
	cr_assert_leq(b.cap, 10);
	buf_done(&b);
	cr_assert_eq(buf_put(&b, "again", 5), 0);
	buf_done(&b);
}

/* AddressSanitizer would rather abort than let malloc fail. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "allocator_may_return_null=1";
}

Test(base_buf, limits_of_size)
{
	struct buf b;

	buf_init(&b, 0);
	cr_assert_eq(buf_put(&b, "", 0), 0);
	cr_assert_eq(buf_put(&b, "x", 1), -ENOSPC);
	cr_assert_eq(buf_reserve(&b, 1), NULL);
	buf_done(&b);
	buf_init(&b, SIZE_MAX);
	cr_assert_eq(buf_put(&b, "x", 1), 0);
	/* More than there is memory: refused, and the buffer is as it was. */
	cr_assert_eq(buf_reserve(&b, SIZE_MAX / 2), NULL);
	cr_assert_eq(buf_reserve(&b, SIZE_MAX), NULL);
	cr_assert_eq(buf_len(&b), 1);
	cr_assert_eq(*buf_head(&b), 'x');
	buf_done(&b);
}

/* Against a model: random puts, reserves and consumes of a known byte sequence. */
Test(base_buf, model)
{
	static const size_t maxima[] = { 1, 7, 512, 1000, 65536 };

	for (size_t m = 0; m < ARRAY_SIZE(maxima); m++) {
		uint64_t in = 0, out = 0;
		uint8_t chunk[3000];
		struct buf b;

		srand(1);
		buf_init(&b, maxima[m]);
		for (int i = 0; i < 20000; i++) {
			size_t n = (size_t)rand() % MIN(sizeof(chunk), 2 * maxima[m]);
			for (size_t k = 0; k < n; k++)
				chunk[k] = (uint8_t)((in + k) * 131 >> 3);
			if (rand() % 2) {
				int r = buf_put(&b, chunk, n);
				cr_assert_eq(r, in - out + n <= maxima[m] ? 0 : -ENOSPC);
				in += r == 0 ? n : 0;
			} else if (rand() % 2) {
				uint8_t *p = buf_reserve(&b, n);
				cr_assert_eq(p != NULL, in - out + n <= maxima[m]);
				if (p != NULL) {
					size_t some = n > 0 ? (size_t)rand() % n : 0;
					memcpy(p, chunk, some);
					buf_commit(&b, some);
					in += some;
				}
			} else {
				n = n < buf_len(&b) ? n : buf_len(&b);
				for (size_t k = 0; k < n; k++)
					cr_assert_eq(buf_head(&b)[k],
						     (uint8_t)((out + k) * 131 >> 3));
				buf_consume(&b, n);
				out += n;
			}
			cr_assert_eq(buf_len(&b), in - out);
			cr_assert_leq(b.cap, maxima[m]);
		}
		cr_assert_gt(out, 1000 * MIN(maxima[m], 7));
		buf_done(&b);
	}
}

Test(base_buf, over_consume_is_a_bug, .signal = SIGABRT)
{
	struct buf b;

	buf_init(&b, 10);
	cr_assert_eq(buf_put(&b, "123", 3), 0);
	buf_consume(&b, 4);
}

Test(base_buf, over_commit_is_a_bug, .signal = SIGABRT)
{
	struct buf b;

	buf_init(&b, 10);
	cr_assert_eq(buf_put(&b, "123", 3), 0);
	buf_commit(&b, 8);
}

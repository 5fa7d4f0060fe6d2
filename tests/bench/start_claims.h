/* SPDX-License-Identifier: Apache-2.0 */
/* start_claims.h - how many sandboxes a second: one client and several, each creating and deleting
 * without a pause, while the pool fills behind them; and what CPU time each costs whom. */
#ifndef TESTS_BENCH_START_CLAIMS_H
#define TESTS_BENCH_START_CLAIMS_H

#define CLAIMS_SECONDS_MAX 60U

void start_claims_rows(unsigned seconds, const char *where);

#endif

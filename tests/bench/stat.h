/* SPDX-License-Identifier: Apache-2.0 */
/* stat.h - samples, percentiles and the one output line of a benchmark. */
#ifndef TESTS_BENCH_STAT_H
#define TESTS_BENCH_STAT_H

#include <stdbool.h>
#include <stddef.h>

#define SAMPLES_MAX 10000

struct samples {
	double v[SAMPLES_MAX];
	size_t n;
};

/* Beyond SAMPLES_MAX samples are dropped. */
void samples_add(struct samples *s, double v);
/* Nearest-rank percentile, p in (0,100]; sorts s. 0 when empty. */
double samples_percentile(struct samples *s, double p);

/* One JSON object a line on stdout, the form that `./dev bench --json` promises; ratio is ours
 * divided by the peer's p50. theirs NULL: there is no peer, and its fields are null. */
void bench_print(const char *bench, const char *name, const char *unit, struct samples *ours,
		 const char *peer, struct samples *theirs, const char *where);
/* The same for a rate, of which more is better: p99 is what 99 of 100 samples reach. */
void bench_print_rate(const char *bench, const char *name, const char *unit, struct samples *ours,
		      const char *peer, struct samples *theirs, const char *where);

#endif

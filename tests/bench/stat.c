/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/stat.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void samples_add(struct samples *s, double v)
{
	if (s->n < SAMPLES_MAX)
		s->v[s->n++] = v;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double samples_percentile(struct samples *s, double p)
{
	size_t rank;

	if (s->n == 0)
		return 0;
	qsort(s->v, s->n, sizeof(s->v[0]), by_value);
	rank = (size_t)ceil(p / 100.0 * (double)s->n);
	return s->v[rank > 0 ? rank - 1 : 0];
}

static void print_line(const char *bench, const char *name, const char *unit, struct samples *ours,
		       const char *peer, struct samples *theirs, const char *where, double tail)
{
	double p50 = samples_percentile(ours, 50), peer_p50;

	printf("{\"bench\":\"%s\",\"name\":\"%s\",\"unit\":\"%s\",\"p50\":%.3f,\"p99\":%.3f,\"n\":%zu,",
	       bench, name, unit, p50, samples_percentile(ours, tail), ours->n);
	if (theirs != NULL && theirs->n > 0) {
		peer_p50 = samples_percentile(theirs, 50);
		printf("\"peer\":\"%s\",\"peer_p50\":%.3f,\"peer_p99\":%.3f,\"ratio\":%.3f,", peer,
		       peer_p50, samples_percentile(theirs, tail),
		       peer_p50 > 0 ? p50 / peer_p50 : 0.0);
	} else {
		printf("\"peer\":null,\"peer_p50\":null,\"peer_p99\":null,\"ratio\":null,");
	}
	printf("\"where\":\"%s\"}\n", where);
	(void)fflush(stdout);
}

void bench_print(const char *bench, const char *name, const char *unit, struct samples *ours,
		 const char *peer, struct samples *theirs, const char *where)
{
	print_line(bench, name, unit, ours, peer, theirs, where, 99);
}

void bench_print_rate(const char *bench, const char *name, const char *unit, struct samples *ours,
		      const char *peer, struct samples *theirs, const char *where)
{
	print_line(bench, name, unit, ours, peer, theirs, where, 1);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/usage_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/num.h"

static double percent(const json_t *o)
{
	return json_number_value(json_object_get(o, "cpu_percent"));
}

static int busier(const void *a, const void *b)
{
	const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
	const double p = percent(x), q = percent(y);

	if (p > q || p < q)
		return p > q ? -1 : 1;
	return strcmp(cli_text(x, "id"), cli_text(y, "id"));
}

static void put_line(FILE *f, const char *line, size_t cols, const char *end)
{
	const size_t len = strlen(line);

	(void)fprintf(f, "%.*s%s", (int)(cols > 0 ? MIN(len, cols) : len), line, end);
}

static void put_row(FILE *f, const json_t *o, size_t cols, const char *end)
{
	const double mib = (double)MIB;
	char line[2048]; /* a double may have 300 digits */

	(void)snprintf(line, sizeof(line),
		       "%-20s %6.1f %9.1f %8.1fM %8.1fM %6" PRId64 "M %5" PRId64, cli_text(o, "id"),
		       percent(o), (double)cli_number(o, "cpu_us") / 1e6,
		       (double)cli_number(o, "memory_bytes") / mib,
		       (double)cli_number(o, "memory_peak_bytes") / mib,
		       cli_number(o, "guest_memory_bytes") / (int64_t)MIB, cli_number(o, "vcpus"));
	put_line(f, line, cols, end);
}

void usage_table_print(FILE *f, const json_t *answer, size_t rows, size_t cols, const char *end)
{
	const json_t *list = json_object_get(answer, "sandboxes");
	const size_t count = json_array_size(list);
	json_t **sorted = calloc(count + 1, sizeof(json_t *));
	char line[96];

	(void)snprintf(line, sizeof(line), "%-20s %6s %9s %9s %9s %7s %5s", "ID", "CPU%", "CPU S",
		       "MEMORY", "PEAK", "GUEST", "VCPUS");
	put_line(f, line, cols, end);
	if (sorted == NULL)
		return;
	for (size_t i = 0; i < count; i++)
		sorted[i] = json_array_get(list, i);
	qsort(sorted, count, sizeof(json_t *), busier);
	for (size_t i = 0; i < count && (rows == 0 || i < rows); i++)
		put_row(f, sorted[i], cols, end);
	free(sorted);
}

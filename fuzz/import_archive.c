/* SPDX-License-Identifier: Apache-2.0 */
/* A whole import, of any kind of archive, under small limits. What is accepted gives an image of
 * whole blocks, within the limit, and the same one again. */
#include <locale.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bug.h"
#include "base/fd.h"
#include "import/import.h"

#define IMAGE_MAX (1U << 20)

static const struct import_limits limits = { .image_bytes = IMAGE_MAX,
					     .stream_bytes = 2U << 20,
					     .metadata_bytes = 1U << 20,
					     .entries = 500 };
static struct source source;

static int memory_file(const char *name)
{
	int fd = memfd_create(name, MFD_CLOEXEC);

	BUG_ON(fd < 0);
	return fd;
}

/* The digest of the image, as the report has it; false when it was refused. */
static bool import(int input, char digest[80])
{
	struct import_request q = { .source = &source, .limits = limits };
	struct err err = { 0 };
	json_t *report;
	struct stat st;
	int r;

	q.output = memory_file("image");
	r = source_open(&source, input, &err);
	BUG_ON(r != 0);
	r = import_run(&q, &report, &err);
	source_close(&source);
	BUG_ON(r > 0 || (r < 0 && (err.code != r || err.msg[0] == '\0')));
	BUG_ON(fstat(q.output, &st) < 0 || (uint64_t)st.st_size > limits.image_bytes);
	if (r == 0) {
		const json_t *image = json_object_get(report, "image");

		BUG_ON(st.st_size == 0 || st.st_size % 4096 != 0);
		(void)snprintf(digest, 80, "%s",
			       json_string_value(json_object_get(image, "digest")));
		json_decref(report);
	}
	(void)close(q.output);
	return r == 0;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	BUG_ON(setlocale(LC_CTYPE, "C.UTF-8") == NULL || sodium_init() < 0);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char once[80] = "", again[80] = "";
	int input = memory_file("archive");

	BUG_ON(fd_write_full(input, data, size) < 0);
	if (import(input, once))
		BUG_ON(!import(input, again) || strcmp(once, again) != 0);
	(void)close(input);
	return 0;
}

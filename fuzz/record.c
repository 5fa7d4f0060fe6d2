/* SPDX-License-Identifier: Apache-2.0 */
/* A record of a sandbox: what is read is what would be written. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/daemon/record.h"
#include "base/bug.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct record a, b;
	struct err err = { 0 };
	char *text, *again;

	if (size > 65536)
		return 0;
	text = malloc(size + 1);
	BUG_ON(text == NULL);
	if (size > 0)
		memcpy(text, data, size);
	text[size] = '\0';
	if (record_read(text, &a, &err) == 0) {
		again = record_write(&a);
		BUG_ON(again == NULL || record_read(again, &b, &err) != 0);
		record_done(&b);
		free(again);
		record_done(&a);
	} else {
		BUG_ON(err.msg[0] == '\0');
	}
	free(text);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0 */
/* console.c - writes through the virtio console, and the test that floods it. */
#include "guest.h"

static struct vdev console;
static bool console_open;

bool console_init(void)
{
	console_open = vdev_open(&console, VIRTIO_CONSOLE, 0, 0, 2);
	return console_open;
}

void console_write(const char *s, size_t n)
{
	struct vq_buf b = { s, (uint32_t)n, false };
	uint16_t head;
	uint32_t len;

	if (n == 0)
		return;
	if (!console_open) {
		/* A VMM whose only console is the serial port says so. */
		for (size_t i = 0; i < n && arg_get("serial") != NULL; i++)
			outb(0x3f8, (uint8_t)s[i]);
		return;
	}
	vq_add(&console.q[1], 0, &b, 1);
	vq_kick(&console, &console.q[1]);
	vq_wait(&console, &console.q[1], &head, &len);
}

void print(const char *s)
{
	console_write(s, strlen(s));
}

void print_u64(uint64_t v)
{
	char text[21];
	size_t at = sizeof(text);

	do {
		text[--at] = (char)('0' + v % 10);
		v /= 10;
	} while (v != 0);
	console_write(text + at, sizeof(text) - at);
}

/* bytes=N of numbered lines; the host keeps only the last of them. */
void test_flood(void)
{
	static char line[1024];
	uint64_t left = arg_u64("bytes", 1 << 20);

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	for (; left >= sizeof(line); left -= sizeof(line))
		console_write(line, sizeof(line));
}

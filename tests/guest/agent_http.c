/* SPDX-License-Identifier: Apache-2.0 */
/*
 * agent_http.c - what casemated's proxy may meet behind a port of a guest: a server that echoes,
 * and, by the first letters of the path, one that lies, or answers for a command. A request's head
 * comes in one packet: the host writes it in one piece; more of a body is swallowed.
 */
#include "guest.h"

#define ENDLESS (128U * 1024U)

static bool begins(const uint8_t *p, uint32_t len, const char *with)
{
	while (*with != '\0')
		if (len-- == 0 || *p++ != (uint8_t)*with++)
			return false;
	return true;
}

static uint32_t put(uint8_t *out, uint32_t at, uint32_t cap, const char *text)
{
	while (*text != '\0' && at < cap)
		out[at++] = (uint8_t)*text++;
	return at;
}

static uint32_t put_number(uint8_t *out, uint32_t at, uint32_t cap, uint32_t n)
{
	char digits[12];
	unsigned i = sizeof(digits) - 1;

	digits[i] = '\0';
	do
		digits[--i] = (char)('0' + n % 10);
	while ((n /= 10) > 0);
	return put(out, at, cap, digits + i);
}

/* What no server should say, or a harmless special case; NULL = none of these. */
static const char *special(const uint8_t *path, uint32_t len, bool *close)
{
	static const struct {
		const char *path, *answer;
		bool close;
	} table[] = {
		{ "/health", "HTTP/1.1 204 No Content\r\nCache-Control: no-store\r\n\r\n", true },
		{ "/garbage", "HTTP/1.1 beer\r\n\r\n", true },
		{ "/twice", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nhi!",
		  true },
		{ "/short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello", true },
		{ "/smuggle",
		  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n"
		  "Content-Length: 6\r\n\r\nforged",
		  false },
		{ "/chunks",
		  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: X-Hop\r\nX-Hop: 1\r\n"
		  "X-End: 2\r\n\r\n5\r\nhello\r\n1;a=b\r\n!\r\n0\r\n\r\n",
		  false },
		{ "/badchunk", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
		  false },
		{ "/untilclose", "HTTP/1.1 200 OK\r\n\r\nall of it", true },
		{ "/switch", "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n", false },
		{ "/silent", "", true },
		{ "/never", "", false },
	};

	for (unsigned i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		if (!begins(path, len, table[i].path))
			continue;
		*close = table[i].close;
		return table[i].answer;
	}
	return NULL;
}

/* A head without an end, of good fields: as often as the host could take it, and more. */
static uint32_t endless(uint8_t *out, uint32_t cap, unsigned *times)
{
	uint32_t at = put(out, 0, cap, "HTTP/1.1 200 OK\r\nX: ");

	*times = ENDLESS / cap;
	while (at < cap)
		out[at++] = 'a';
	return at;
}

/* A command that has run already: what an agent answers to Start, as Connect's JSON, each message
 * behind its flags and length. */
static uint32_t put_command(uint8_t *out, uint32_t cap)
{
	static const char body[] =
		"\0\0\0\0\x1d{\"event\":{\"start\":{\"pid\":1}}}"
		"\0\0\0\0\x47{\"event\":{\"end\":{\"exitCode\":0,\"exited\":true,"
		"\"status\":\"exit status 0\"}}}"
		"\x02\0\0\0\x02{}";
	uint32_t at = put(out, 0, cap,
			  "HTTP/1.1 200 OK\r\nContent-Type: application/connect+json\r\n"
			  "Connection: close\r\nContent-Length: ");

	at = put_number(out, at, cap, sizeof(body) - 1);
	at = put(out, at, cap, "\r\n\r\n");
	for (uint32_t i = 0; i < sizeof(body) - 1 && at < cap; i++)
		out[at++] = (uint8_t)body[i];
	return at;
}

/* "/note=TEXT" keeps it, "/note " has it: what is in the memory, and stays there. */
static uint32_t put_note(const uint8_t *path, uint32_t len, uint8_t *out, uint32_t cap)
{
	static char note[32];
	uint32_t n = 0, at;

	if (len > 6 && path[5] == '=') {
		while (n < sizeof(note) - 1 && 6 + n < len && path[6 + n] != ' ') {
			note[n] = (char)path[6 + n];
			n++;
		}
		note[n] = '\0';
	}
	for (n = 0; note[n] != '\0'; n++)
		;
	at = put(out, 0, cap, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ");
	at = put_number(out, at, cap, n);
	at = put(out, at, cap, "\r\n\r\n");
	return put(out, at, cap, note);
}

uint32_t agent_http(const uint8_t *req, uint32_t len, uint8_t *out, uint32_t cap, unsigned *times,
		    bool *close)
{
	uint32_t path = 0, at = 0;
	const char *answer;

	*close = false;
	*times = 1;
	while (path < len && req[path] != ' ')
		path++;
	if (begins(req + path, len - path, " /endless"))
		return endless(out, cap, times);
	answer = special(req + path + 1, len > path ? len - path - 1 : 0, close);
	if (answer != NULL)
		return put(out, 0, cap, answer);
	if (begins(req + path + 1, len > path ? len - path - 1 : 0, "/process.Process/Start")) {
		*close = true;
		return put_command(out, cap);
	}
	if (begins(req + path + 1, len > path ? len - path - 1 : 0, "/note")) {
		*close = true;
		return put_note(req + path + 1, len - path - 1, out, cap);
	}
	/* The request itself comes back. */
	at = put(out, at, cap, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: ");
	at = put_number(out, at, cap, len);
	at = put(out, at, cap, "\r\n\r\n");
	for (uint32_t i = 0; i < len && at < cap; i++)
		out[at++] = req[i];
	return at;
}

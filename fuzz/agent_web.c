/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The agent's HTTP server: the input is all that a client sends. Handlers answer at once, after the
 * body, in chunks, too little, or never, as the request's path says. Every request ends once.
 */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/web/server.h"
#include "base/bug.h"
#include "base/fd.h"
#include "base/num.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PIECE 4096

static unsigned begun, ended;
static size_t body_bytes;

static void on_body(struct web_req *req, const uint8_t *data, size_t len, void *arg)
{
	(void)req;
	(void)data;
	(void)arg;
	BUG_ON(len == 0);
	body_bytes += len;
}

static void on_body_end(struct web_req *req, void *arg)
{
	(void)arg;
	web_answer(req, 200, "text/plain", "", "done", 4);
	ended++;
}

static void on_gone(struct web_req *req, void *arg)
{
	(void)req;
	(void)arg;
	ended++;
}

static void handle(struct web_req *req, void *arg)
{
	static const struct web_req_ops collect = {
		.body = on_body, .body_end = on_body_end, .gone = on_gone, .gone_at_eof = true
	};
	static const struct web_req_ops never = { .gone = on_gone, .gone_at_eof = true };
	const char *path = web_req_path(req);

	(void)arg;
	begun++;
	(void)web_req_query(req, "path");
	switch (path[1]) {
	case 'b':
		web_req_watch(req, &collect, NULL);
		return;
	case 'n':
		web_req_watch(req, &never, NULL);
		return;
	case 'c':
		web_begin(req, 200, NULL, "", WEB_LENGTH_UNKNOWN);
		BUG_ON(web_send(req, "chunk", 5) != 0);
		web_end(req);
		break;
	case 's':
		web_begin(req, 200, NULL, "", 10);
		BUG_ON(web_send(req, "short", 5) != 0);
		web_end(req);
		break;
	default:
		web_fail(req, 404, "no %s", path);
		break;
	}
	ended++;
}

static void drain(int fd)
{
	char out[PIECE];

	while (recv(fd, out, sizeof(out), MSG_DONTWAIT) > 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct web_server_config cfg = { .conns_max = 1, .handle = handle };
	struct web_server *server;
	int sv[2];

	begun = ended = 0;
	body_bytes = 0;
	BUG_ON(loop_new(&cfg.loop) != 0 || web_server_new(&cfg, &server) != 0);
	BUG_ON(fd_socketpair(sv, true) != 0 || web_serve(server, sv[0], 7) != 0);
	BUG_ON(!web_server_full(server));
	for (size_t at = 0; at < size; at += PIECE) {
		if (send(sv[1], data + at, MIN(size - at, (size_t)PIECE), MSG_NOSIGNAL) < 0)
			break;
		BUG_ON(loop_step(cfg.loop, 0) != 0);
		drain(sv[1]);
	}
	(void)shutdown(sv[1], SHUT_WR);
	for (int i = 0; i < 8; i++) {
		BUG_ON(loop_step(cfg.loop, 0) != 0);
		drain(sv[1]);
	}
	BUG_ON(body_bytes > size);
	web_server_free(server);
	BUG_ON(begun != ended);
	loop_free(cfg.loop);
	(void)close(sv[1]);
	return 0;
}

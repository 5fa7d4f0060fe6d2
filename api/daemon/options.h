/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - casemated's command line. Pure but for --help and --version, which print. */
#ifndef API_DAEMON_OPTIONS_H
#define API_DAEMON_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "api/daemon/cors.h"
#include "api/daemon/network.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"
#include "base/options.h"

#define OPTIONS_LISTEN_MAX  2U
#define OPTIONS_SCRATCH_MAX (UINT64_C(256) << 30) /* the jailer's */

struct options {
	const char *socket;
	const char *jailer;
	const char *state;			/* NULL = in memory */
	const char *listen[OPTIONS_LISTEN_MAX]; /* each ADDRESS:PORT or unix:PATH */
	size_t listen_count;
	const char *domain; /* NULL = none */
	struct cors cors;   /* which web pages may call */
	const char *user;   /* NULL = stay who we are (not root) */
	struct network_operator network;
	const char *kernel;
	const char *image;
	uint64_t scratch; /* bytes; 0 = none */
	uint64_t sandboxes_max;
	uint64_t boot_timeout_ms;
	uint64_t pool_depth;
	uint64_t layer_after_ms; /* of template builds; BUILD_LAYERS_NONE = none */
	uint64_t hold_ms;	 /* how long sandboxes wait for another casemated; 0 = not at all */
	enum log_level log_level;
};

/* 0, OPTIONS_DONE (base/options.h), or -errno and *err. */
MUST_USE int options_parse(int argc, char **argv, struct options *ret, struct err *err);

#endif

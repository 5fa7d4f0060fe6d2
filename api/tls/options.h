/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - casemate-tls's command line. Pure but for --help and --version, which print. */
#ifndef API_TLS_OPTIONS_H
#define API_TLS_OPTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"
#include "base/options.h"

#define OPTIONS_LISTEN_MAX 4U
#define OPTIONS_NAMES_MAX  16U
#define OPTIONS_CONNS_MAX  4096U

struct options {
	const char *listen[OPTIONS_LISTEN_MAX]; /* each ADDRESS:PORT */
	size_t listen_count;
	const char *to;			      /* the unix socket of casemated's net door */
	const char *state;		      /* directory of the generated certificate */
	const char *certificate, *key;	      /* files; both or neither */
	const char *names[OPTIONS_NAMES_MAX]; /* that the generated certificate is for */
	size_t names_count;
	const char *user; /* NULL = stay who we are (not root) */
	uint64_t conns, conns_per_source;
	uint64_t handshake_ms, idle_ms, grace_ms;
	enum log_level log_level;
};

/* 0, OPTIONS_DONE (base/options.h), or -errno and *err. */
MUST_USE int options_parse(int argc, char **argv, struct options *ret, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/* options.h - casemate-jailer's command line. */
#ifndef JAILER_OPTIONS_H
#define JAILER_OPTIONS_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"
#include "base/log.h"
#include "base/options.h"
#include "jailer/host.h"
#include "jailer/jail.h"

struct options {
	const char *socket;
	const char *daemon_user;
	struct jails_config jails;
	uint64_t snapshot_bytes_max;
	uint64_t paused_bytes_max; /* of sandboxes that are paused on the disk */
	uint64_t image_bytes_max;  /* of images that came through the API */
	enum log_level level;
	struct host_config host;
};

/* 0, OPTIONS_DONE (base/options.h), or -errno and *err. The strings are argv's. */
MUST_USE int options_parse(int argc, char **argv, struct options *ret, struct err *err);

#endif

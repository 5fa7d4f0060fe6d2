/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/options.h"

#include <errno.h>
#include <string.h>

#include "api/daemon/build.h"
#include "api/daemon/pool.h"
#include "base/num.h"
#include "base/options.h"

#define BOOT_MS_MAX 600000U
#define HOLD_MS_MAX 3600000U

static const char help[] =
	"Usage: casemated [OPTION]...\n"
	"Serves Casemate's HTTP API on a unix socket.\n"
	"\n"
	"  --socket PATH          listen here (default /run/casemate/casemated.sock)\n"
	"  --jailer PATH          casemate-jailer's socket (default /run/casemate/jailer.sock)\n"
	"  --user NAME            become NAME once the socket exists; required as root\n"
	"  --state PATH           remember keys and sandboxes in this file (default\n"
	"                         /var/lib/casemated/state.db; none = only in memory)\n"
	"  --listen ADDRESS:PORT  listen on TCP, too, for clients with an API key; may be repeated\n"
	"  --listen unix:PATH     the same on a second unix socket: for casemate-tls\n"
	"  --domain NAME[:PORT]   what host names of sandboxes end in\n"
	"  --cors-origin ORIGIN   web pages of this origin may call the API; may be repeated\n"
	"  --networks             sandboxes may ask for a network (default: none has one)\n"
	"  --network-allow CIDR[:PORT]\n"
	"                         although it is private or this host's; may be repeated\n"
	"  --network-deny CIDR[:PORT]\n"
	"                         whatever a sandbox's policy says; may be repeated\n"
	"  --ca-file PATH         certificate authorities that servers are checked by, whose\n"
	"                         requests get headers (default\n"
	"                         /etc/ssl/certs/ca-certificates.crt)\n"
	"  --resolver ADDRESS[:PORT]\n"
	"                         where sandboxes' names are asked for; up to three times\n"
	"  --default-kernel NAME  kernel of sandboxes that name none (default \"default\")\n"
	"  --default-image NAME   image of sandboxes that name none (default \"default\")\n"
	"  --default-scratch SIZE\n"
	"                         scratch disk of sandboxes that say nothing of one\n"
	"                         (default 0: what they write is in their memory)\n"
	"  --max-sandboxes N      at most N sandboxes at a time (default 64)\n"
	"  --boot-timeout TIME    a guest must be up within TIME (default 30s)\n"
	"  --pool N               keep N ready VMs for each shape of sandbox that is asked for\n"
	"                         (default 0: every sandbox boots)\n"
	"  --hold TIME            after our end sandboxes wait for another casemated for TIME\n"
	"                         (default 60s; 0s: they end with us)\n"
	"  --build-layers TIME    keep what a template's build was after work that took TIME, for\n"
	"                         later builds (default 1s; 0s: after each RUN and COPY; none)\n"
	"  --log-level LEVEL      error, warn, info or debug (default info)\n"
	"  --help                 show this text\n"
	"  --version              show the version\n";

static int set_state(const char *arg, void *dst, struct err *err)
{
	struct options *o = dst;

	(void)err;
	o->state = strcmp(arg, "none") == 0 ? NULL : arg;
	return 0;
}

static int set_listen(const char *arg, void *dst, struct err *err)
{
	struct options *o = dst;

	if (o->listen_count == OPTIONS_LISTEN_MAX)
		return err_set(err, -EINVAL, "--listen: more than %u", OPTIONS_LISTEN_MAX);
	o->listen[o->listen_count++] = arg;
	return 0;
}

static int set_cors(const char *arg, void *dst, struct err *err)
{
	return cors_add(dst, arg, err);
}

/* Whether they are addresses, casemate-egress says. */
static int set_allow(const char *arg, void *dst, struct err *err)
{
	struct network_operator *n = dst;

	if (network_list_add(n->allow, NETWORK_LIST_MAX, &n->allow_count, arg) == 0)
		return 0;
	return err_set(err, -EINVAL, "--network-allow: more than %u", NETWORK_LIST_MAX);
}

static int set_deny(const char *arg, void *dst, struct err *err)
{
	struct network_operator *n = dst;

	if (network_list_add(n->deny, NETWORK_LIST_MAX, &n->deny_count, arg) == 0)
		return 0;
	return err_set(err, -EINVAL, "--network-deny: more than %u", NETWORK_LIST_MAX);
}

static int set_resolver(const char *arg, void *dst, struct err *err)
{
	struct network_operator *n = dst;

	if (network_list_add(n->resolvers, NETWORK_RESOLVERS_MAX, &n->resolvers_count, arg) == 0)
		return 0;
	return err_set(err, -EINVAL, "--resolver: more than %u", NETWORK_RESOLVERS_MAX);
}

static int set_scratch(const char *arg, void *dst, struct err *err)
{
	uint64_t bytes;

	if (parse_size(arg, 0, OPTIONS_SCRATCH_MAX, &bytes) < 0 || bytes % MIB != 0)
		return err_set(err, -EINVAL,
			       "--default-scratch: \"%.32s\" is not a size of whole MiB", arg);
	*(uint64_t *)dst = bytes;
	return 0;
}

static int set_hold(const char *arg, void *dst, struct err *err)
{
	uint64_t ms;

	if (parse_duration_ms(arg, HOLD_MS_MAX, &ms) < 0 || ms % 1000 != 0)
		return err_set(err, -EINVAL,
			       "--hold: \"%.32s\" is not a time of at most 1h, in whole seconds",
			       arg);
	*(uint64_t *)dst = ms;
	return 0;
}

static int set_layers(const char *arg, void *dst, struct err *err)
{
	uint64_t ms = BUILD_LAYERS_NONE;

	if (strcmp(arg, "none") != 0 && parse_duration_ms(arg, BUILD_TIME_MS, &ms) < 0)
		return err_set(err, -EINVAL,
			       "--build-layers: \"%.32s\" is not none or a time of at most 1h",
			       arg);
	*(uint64_t *)dst = ms;
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err)
{
	struct options o = {
		.socket = "/run/casemate/casemated.sock",
		.jailer = "/run/casemate/jailer.sock",
		.state = "/var/lib/casemated/state.db",
		.kernel = "default",
		.image = "default",
		.network = { .authorities_fd = -1 },
		.sandboxes_max = 64,
		.boot_timeout_ms = 30000,
		.hold_ms = 60000,
		.layer_after_ms = 1000,
		.log_level = LOG_LEVEL_INFO,
	};
	const struct option_spec list[] = {
		{ "socket", 0, OPTION_TEXT, &o.socket, 0, 0, NULL },
		{ "jailer", 0, OPTION_TEXT, &o.jailer, 0, 0, NULL },
		{ "user", 0, OPTION_TEXT, &o.user, 0, 0, NULL },
		{ "state", 0, OPTION_OWN, &o, 0, 0, set_state },
		{ "listen", 0, OPTION_OWN, &o, 0, 0, set_listen },
		{ "domain", 0, OPTION_TEXT, &o.domain, 0, 0, NULL },
		{ "cors-origin", 0, OPTION_OWN, &o.cors, 0, 0, set_cors },
		{ "networks", 0, OPTION_FLAG, &o.network.on, 0, 0, NULL },
		{ "network-allow", 0, OPTION_OWN, &o.network, 0, 0, set_allow },
		{ "network-deny", 0, OPTION_OWN, &o.network, 0, 0, set_deny },
		{ "ca-file", 0, OPTION_TEXT, &o.network.authorities, 0, 0, NULL },
		{ "resolver", 0, OPTION_OWN, &o.network, 0, 0, set_resolver },
		{ "default-kernel", 0, OPTION_TEXT, &o.kernel, 0, 0, NULL },
		{ "default-image", 0, OPTION_TEXT, &o.image, 0, 0, NULL },
		{ "default-scratch", 0, OPTION_OWN, &o.scratch, 0, 0, set_scratch },
		{ "max-sandboxes", 0, OPTION_NUMBER, &o.sandboxes_max, 1, 4096, NULL },
		{ "boot-timeout", 0, OPTION_TIME, &o.boot_timeout_ms, 1, BOOT_MS_MAX, NULL },
		{ "pool", 0, OPTION_NUMBER, &o.pool_depth, 0, POOL_DEPTH_MAX, NULL },
		{ "hold", 0, OPTION_OWN, &o.hold_ms, 0, 0, set_hold },
		{ "build-layers", 0, OPTION_OWN, &o.layer_after_ms, 0, 0, set_layers },
		{ "log-level", 0, OPTION_LEVEL, &o.log_level, 0, 0, NULL },
	};
	int r = options_read(argc, argv, list, ARRAY_SIZE(list), help,
			     "casemated " CASEMATE_VERSION "\n", err);

	if (r == 0)
		*ret = o;
	return r;
}

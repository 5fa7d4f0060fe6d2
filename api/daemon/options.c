/* SPDX-License-Identifier: Apache-2.0 */
#include "api/daemon/options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "api/daemon/build.h"
#include "api/daemon/pool.h"
#include "base/bug.h"
#include "base/num.h"
#include "base/options.h"

enum option_id {
	OPT_SOCKET = 256,
	OPT_JAILER,
	OPT_USER,
	OPT_STATE,
	OPT_LISTEN,
	OPT_DOMAIN,
	OPT_CORS,
	OPT_NETWORKS,
	OPT_NET_ALLOW,
	OPT_NET_DENY,
	OPT_CA_FILE,
	OPT_RESOLVER,
	OPT_KERNEL,
	OPT_IMAGE,
	OPT_SCRATCH,
	OPT_MAX,
	OPT_BOOT,
	OPT_POOL,
	OPT_HOLD,
	OPT_LAYERS,
	OPT_LOG,
	OPT_HELP,
	OPT_VERSION
};

static const struct option longs[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "jailer", required_argument, NULL, OPT_JAILER },
	{ "user", required_argument, NULL, OPT_USER },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "domain", required_argument, NULL, OPT_DOMAIN },
	{ "cors-origin", required_argument, NULL, OPT_CORS },
	{ "networks", no_argument, NULL, OPT_NETWORKS },
	{ "network-allow", required_argument, NULL, OPT_NET_ALLOW },
	{ "network-deny", required_argument, NULL, OPT_NET_DENY },
	{ "ca-file", required_argument, NULL, OPT_CA_FILE },
	{ "resolver", required_argument, NULL, OPT_RESOLVER },
	{ "default-kernel", required_argument, NULL, OPT_KERNEL },
	{ "default-image", required_argument, NULL, OPT_IMAGE },
	{ "default-scratch", required_argument, NULL, OPT_SCRATCH },
	{ "max-sandboxes", required_argument, NULL, OPT_MAX },
	{ "boot-timeout", required_argument, NULL, OPT_BOOT },
	{ "pool", required_argument, NULL, OPT_POOL },
	{ "hold", required_argument, NULL, OPT_HOLD },
	{ "build-layers", required_argument, NULL, OPT_LAYERS },
	{ "log-level", required_argument, NULL, OPT_LOG },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

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

/* Whether it is an address, casemate-egress says. */
static int take_network(int id, const char *arg, struct network_operator *n, struct err *err)
{
	int r;

	if (id == OPT_NET_ALLOW)
		r = network_list_add(n->allow, NETWORK_LIST_MAX, &n->allow_count, arg);
	else if (id == OPT_NET_DENY)
		r = network_list_add(n->deny, NETWORK_LIST_MAX, &n->deny_count, arg);
	else
		r = network_list_add(n->resolvers, NETWORK_RESOLVERS_MAX, &n->resolvers_count, arg);
	return r < 0 ? err_set(err, -EINVAL,
			       "--network-allow, --network-deny, --resolver: more than %u, %u, %u",
			       NETWORK_LIST_MAX, NETWORK_LIST_MAX, NETWORK_RESOLVERS_MAX)
		     : 0;
}

static int take(int id, const char *arg, void *dst, struct err *err)
{
	struct options *o = dst;

	switch (id) {
	case OPT_SOCKET:
		o->socket = arg;
		return 0;
	case OPT_JAILER:
		o->jailer = arg;
		return 0;
	case OPT_USER:
		o->user = arg;
		return 0;
	case OPT_STATE:
		o->state = strcmp(arg, "none") == 0 ? NULL : arg;
		return 0;
	case OPT_LISTEN:
		if (o->listen_count == OPTIONS_LISTEN_MAX)
			return err_set(err, -EINVAL, "--listen: more than %u", OPTIONS_LISTEN_MAX);
		o->listen[o->listen_count++] = arg;
		return 0;
	case OPT_DOMAIN:
		o->domain = arg;
		return 0;
	case OPT_CORS:
		return cors_add(&o->cors, arg, err);
	case OPT_NETWORKS:
		o->network.on = true;
		return 0;
	case OPT_CA_FILE:
		o->network.authorities = arg;
		return 0;
	case OPT_NET_ALLOW:
	case OPT_NET_DENY:
	case OPT_RESOLVER:
		return take_network(id, arg, &o->network, err);
	case OPT_KERNEL:
		o->kernel = arg;
		return 0;
	case OPT_IMAGE:
		o->image = arg;
		return 0;
	case OPT_SCRATCH:
		if (parse_size(arg, 0, OPTIONS_SCRATCH_MAX, &o->scratch) == 0 &&
		    o->scratch % MIB == 0)
			return 0;
		return err_set(err, -EINVAL,
			       "--default-scratch: \"%.32s\" is not a size of whole MiB", arg);
	case OPT_MAX:
		if (parse_u64(arg, 1, 4096, &o->sandboxes_max) == 0)
			return 0;
		return err_set(err, -EINVAL, "--max-sandboxes: \"%.32s\" is not from 1 to 4096",
			       arg);
	case OPT_BOOT:
		if (parse_duration_ms(arg, 600000, &o->boot_timeout_ms) == 0 &&
		    o->boot_timeout_ms > 0)
			return 0;
		return err_set(err, -EINVAL,
			       "--boot-timeout: \"%.32s\" is not a time of at most 10m", arg);
	case OPT_POOL:
		if (parse_u64(arg, 0, POOL_DEPTH_MAX, &o->pool_depth) == 0)
			return 0;
		return err_set(err, -EINVAL, "--pool: \"%.32s\" is not from 0 to %u", arg,
			       POOL_DEPTH_MAX);
	case OPT_HOLD:
		if (parse_duration_ms(arg, 3600000, &o->hold_ms) == 0 && o->hold_ms % 1000 == 0)
			return 0;
		return err_set(err, -EINVAL,
			       "--hold: \"%.32s\" is not a time of at most 1h, in whole seconds",
			       arg);
	case OPT_LAYERS:
		o->layer_after_ms = BUILD_LAYERS_NONE;
		if (strcmp(arg, "none") == 0 ||
		    parse_duration_ms(arg, BUILD_TIME_MS, &o->layer_after_ms) == 0)
			return 0;
		return err_set(err, -EINVAL,
			       "--build-layers: \"%.32s\" is not none or a time of at most 1h",
			       arg);
	case OPT_LOG:
		if (log_level_parse(arg, &o->log_level) == 0)
			return 0;
		return err_set(err, -EINVAL,
			       "--log-level: \"%.32s\" is not error, warn, info or debug", arg);
	case OPT_HELP:
		(void)fputs(help, stdout);
		return OPTIONS_DONE;
	case OPT_VERSION:
		(void)puts("casemated " CASEMATE_VERSION);
		return OPTIONS_DONE;
	default:
		BUG("an option without a case");
	}
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
	int r = options_each(argc, argv, longs, take, &o, err);

	if (r == 0)
		*ret = o;
	return r;
}

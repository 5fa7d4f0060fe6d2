/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "jailer/layer.h"
#include "jailer/slot.h"

enum {
	OPT_SOCKET = 256,
	OPT_STORE,
	OPT_VMM,
	OPT_USER,
	OPT_NO_SELINUX,
	OPT_MAX,
	OPT_UID_BASE,
	OPT_CGROUP,
	OPT_LEVEL,
#ifdef CASEMATE_TEST
	OPT_LAYERS_OFF,
#endif
	OPT_VERSION,
	OPT_HELP,
};

static const struct option table[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "store", required_argument, NULL, OPT_STORE },
	{ "vmm", required_argument, NULL, OPT_VMM },
	{ "daemon-user", required_argument, NULL, OPT_USER },
	{ "allow-no-selinux", no_argument, NULL, OPT_NO_SELINUX },
	{ "max", required_argument, NULL, OPT_MAX },
	{ "uid-base", required_argument, NULL, OPT_UID_BASE },
	{ "cgroup", required_argument, NULL, OPT_CGROUP },
	{ "log-level", required_argument, NULL, OPT_LEVEL },
#ifdef CASEMATE_TEST
	{ "layers-off", required_argument, NULL, OPT_LAYERS_OFF },
#endif
	{ "version", no_argument, NULL, OPT_VERSION },
	{ "help", no_argument, NULL, OPT_HELP },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"Usage: casemate-jailer [OPTION...]\n"
	"Creates and destroys the jails of casemate's virtual machines. Runs as root.\n"
	"\n"
	"  --socket PATH         unix socket to serve, mode 0600 for the daemon's user\n"
	"                        (default /run/casemate/jailer.sock)\n"
	"  --store DIR           kernels and images (default /var/lib/casemate)\n"
	"  --vmm PATH            the VMM (default /usr/libexec/casemate/casemate-vmm)\n"
	"  --daemon-user NAME    who may connect, beside root (default casemate)\n"
	"  --allow-no-selinux    run on a host where SELinux is absent or permissive\n"
	"  --max N               jails at a time (default 256, at most 4096)\n"
	"  --uid-base N          first of the 4096 uids of jails (default 1879048192)\n"
	"  --cgroup NAME         parent cgroup (default casemate)\n"
	"  --log-level LEVEL     error, warn, info or debug (default info)\n"
	"  --version, --help\n";

static int wrong(const char *option, const char *why)
{
	fprintf(stderr, "casemate-jailer: %s: %s\n", option, why);
	return -1;
}

static int set_number(const char *option, const char *text, uint64_t max, uint64_t *ret)
{
	return parse_u64(text, 1, max, ret) < 0 ? wrong(option, "not a number in range") : 0;
}

static int set_option(struct options *o, int opt, const char *arg)
{
	uint64_t n = 0;
	int r = 0;

	switch (opt) {
	case OPT_SOCKET:
		o->socket = arg;
		break;
	case OPT_STORE:
		o->host.store = arg;
		break;
	case OPT_VMM:
		o->host.vmm = arg;
		break;
	case OPT_USER:
		o->daemon_user = arg;
		break;
	case OPT_NO_SELINUX:
		o->host.allow_no_selinux = true;
		break;
	case OPT_MAX:
		r = set_number("--max", arg, SLOT_COUNT, &n);
		o->max = (unsigned)n;
		break;
	case OPT_UID_BASE:
		r = set_number("--uid-base", arg, UINT32_MAX - 1, &n);
		o->host.uid_base = (uint32_t)n;
		break;
	case OPT_CGROUP:
		if (!request_name_ok(arg))
			r = wrong("--cgroup", "not 1 to 64 of a-z, 0-9, '.', '_' and '-'");
		o->host.cgroup = arg;
		break;
	case OPT_LEVEL:
		if (log_level_parse(arg, &o->level) < 0)
			r = wrong("--log-level", "not one of error, warn, info, debug");
		break;
#ifdef CASEMATE_TEST
	case OPT_LAYERS_OFF:
		if (layers_parse(arg, &o->host.layers_off) < 0)
			r = wrong("--layers-off",
				  "not a list of cap, uid, ns, fs, fds, cgrp, rlim, sysc, x");
		break;
#endif
	default:
		return -1; /* getopt has said why */
	}
	return r;
}

enum options_result options_parse(struct options *o, int argc, char **argv)
{
	int opt;

	*o = (struct options){ .socket = "/run/casemate/jailer.sock",
			       .daemon_user = "casemate",
			       .max = 256,
			       .level = LOG_LEVEL_INFO,
			       .host = { .store = "/var/lib/casemate",
					 .vmm = "/usr/libexec/casemate/casemate-vmm",
					 .cgroup = "casemate",
					 .uid_base = SLOT_UID_BASE } };
	while ((opt = getopt_long(argc, argv, "", table, NULL)) != -1) {
		if (opt == OPT_HELP || opt == OPT_VERSION) {
			fputs(opt == OPT_HELP ? help : "casemate-jailer " CASEMATE_VERSION "\n",
			      stdout);
			return OPTIONS_DONE;
		}
		if (set_option(o, opt, optarg) < 0)
			return OPTIONS_WRONG;
	}
	if (optind < argc)
		return wrong(argv[optind], "unexpected argument; see --help") < 0 ? OPTIONS_WRONG
										  : OPTIONS_RUN;
	return OPTIONS_RUN;
}

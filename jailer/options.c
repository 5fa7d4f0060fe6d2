/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "jailer/layer.h"
#include "jailer/slot.h"

#define POOL_MAX    256U
#define SPARE_SLOTS 8U
#define IO_MAX	    (UINT64_C(1) << 40)
#define PAUSED_MAX  (UINT64_C(1) << 50) /* of stored images, too */

enum {
	OPT_SOCKET = 256,
	OPT_STORE,
	OPT_VMM,
	OPT_EGRESS,
	OPT_USER,
	OPT_NO_SELINUX,
	OPT_MAX,
	OPT_UID_BASE,
	OPT_CGROUP,
	OPT_DELEGATED,
	OPT_POOL,
	OPT_POOL_NICS,
	OPT_IO_BYTES,
	OPT_IO_OPS,
	OPT_PAUSED_BYTES,
	OPT_SNAPSHOT_BYTES,
	OPT_IMAGE_BYTES,
	OPT_LEVEL,
#ifdef CASEMATE_TEST
	OPT_LAYERS_OFF,
	OPT_STOP,
	OPT_STOP_POINT,
#endif
	OPT_VERSION,
	OPT_HELP,
};

static const struct option table[] = {
	{ "socket", required_argument, NULL, OPT_SOCKET },
	{ "store", required_argument, NULL, OPT_STORE },
	{ "vmm", required_argument, NULL, OPT_VMM },
	{ "egress", required_argument, NULL, OPT_EGRESS },
	{ "daemon-user", required_argument, NULL, OPT_USER },
	{ "allow-no-selinux", no_argument, NULL, OPT_NO_SELINUX },
	{ "max", required_argument, NULL, OPT_MAX },
	{ "uid-base", required_argument, NULL, OPT_UID_BASE },
	{ "cgroup", required_argument, NULL, OPT_CGROUP },
	{ "delegated", no_argument, NULL, OPT_DELEGATED },
	{ "pool", required_argument, NULL, OPT_POOL },
	{ "pool-nics", required_argument, NULL, OPT_POOL_NICS },
	{ "io-bytes", required_argument, NULL, OPT_IO_BYTES },
	{ "io-ops", required_argument, NULL, OPT_IO_OPS },
	{ "paused-bytes", required_argument, NULL, OPT_PAUSED_BYTES },
	{ "snapshot-bytes", required_argument, NULL, OPT_SNAPSHOT_BYTES },
	{ "image-bytes", required_argument, NULL, OPT_IMAGE_BYTES },
	{ "log-level", required_argument, NULL, OPT_LEVEL },
#ifdef CASEMATE_TEST
	{ "layers-off", required_argument, NULL, OPT_LAYERS_OFF },
	{ "stop", required_argument, NULL, OPT_STOP },
	{ "stop-point", required_argument, NULL, OPT_STOP_POINT },
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
	"  --egress PATH         what a sandbox reaches networks by; '' = no networks\n"
	"                        (default /usr/libexec/casemate/casemate-egress, if it is there)\n"
	"  --daemon-user NAME    who may connect, beside root (default casemate)\n"
	"  --allow-no-selinux    run on a host where SELinux is absent or permissive\n"
	"  --max N               jails at a time (default 256, at most 2048)\n"
	"  --uid-base N          first of the 8192 uids of jails (default 1879048192)\n"
	"  --cgroup NAME         parent cgroup (default casemate)\n"
	"  --delegated           below the jailer's own cgroup, which a service manager has\n"
	"                        delegated to it (systemd: Delegate=yes)\n"
	"  --pool N              jails that lie ready (default 4)\n"
	"  --pool-nics N         the same with a network interface (default 0)\n"
	"  --io-bytes SIZE       a jail's disk bandwidth, each way, a second (default 512M; 0 = no limit)\n"
	"  --io-ops N            a jail's disk requests, each way, a second (default 20000; 0 = no limit)\n"
	"  --paused-bytes SIZE   disk for all paused sandboxes together (default 64G; 0 = none is kept)\n"
	"  --snapshot-bytes SIZE disk for all snapshots together (default 64G; 0 = none is kept)\n"
	"  --image-bytes SIZE    disk for all images that come through the API (default 64G; 0 = none is kept)\n"
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

static int set_count(const char *option, const char *text, unsigned *ret)
{
	uint64_t n = 0;

	if (parse_u64(text, 0, POOL_MAX, &n) < 0)
		return wrong(option, "not a number in range");
	*ret = (unsigned)n;
	return 0;
}

#ifdef CASEMATE_TEST
/* What only the test build has. */
static int set_test_option(struct options *o, int opt, const char *arg)
{
	uint64_t n = 0;

	switch (opt) {
	case OPT_LAYERS_OFF:
		if (layers_parse(arg, &o->host.layers_off) < 0)
			return wrong("--layers-off", "not a list of cap, uid, ns, fs, fds, cgrp, "
						     "rlim, sysc, x");
		return 0;
	case OPT_STOP:
		if (parse_u64(arg, 1, UINT32_MAX, &n) < 0)
			return wrong("--stop", "not the number of a stage");
		o->host.stop = (uint32_t)n;
		return 0;
	case OPT_STOP_POINT:
		o->host.stop_point = arg;
		return 0;
	default:
		return -1; /* getopt has said why */
	}
}
#else
static int set_test_option(struct options *o, int opt, const char *arg)
{
	(void)o;
	(void)opt;
	(void)arg;
	return -1; /* getopt has said why */
}
#endif

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
	case OPT_EGRESS:
		o->host.egress = arg;
		break;
	case OPT_USER:
		o->daemon_user = arg;
		break;
	case OPT_NO_SELINUX:
		o->host.allow_no_selinux = true;
		break;
	case OPT_MAX:
		r = set_number("--max", arg, SLOT_COUNT / 2, &n);
		o->jails.max = (unsigned)n;
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
	case OPT_DELEGATED:
		o->host.delegated = true;
		break;
	case OPT_LEVEL:
		if (log_level_parse(arg, &o->level) < 0)
			r = wrong("--log-level", "not one of error, warn, info, debug");
		break;
	case OPT_POOL:
		r = set_count("--pool", arg, &o->jails.pool);
		break;
	case OPT_POOL_NICS:
		r = set_count("--pool-nics", arg, &o->jails.pool_nics);
		break;
	case OPT_IO_BYTES:
		if (parse_size(arg, 0, IO_MAX, &o->host.io.bytes_per_s) < 0)
			r = wrong("--io-bytes", "not a size");
		break;
	case OPT_IO_OPS:
		if (parse_u64(arg, 0, IO_MAX, &o->host.io.ops_per_s) < 0)
			r = wrong("--io-ops", "not a number");
		break;
	case OPT_PAUSED_BYTES:
		if (parse_size(arg, 0, PAUSED_MAX, &o->paused_bytes_max) < 0)
			r = wrong("--paused-bytes", "not a size");
		break;
	case OPT_SNAPSHOT_BYTES:
		if (parse_size(arg, 0, PAUSED_MAX, &o->snapshot_bytes_max) < 0)
			r = wrong("--snapshot-bytes", "not a size");
		break;
	case OPT_IMAGE_BYTES:
		if (parse_size(arg, 0, PAUSED_MAX, &o->image_bytes_max) < 0)
			r = wrong("--image-bytes", "not a size");
		break;
	default:
		r = set_test_option(o, opt, arg);
	}
	return r;
}

enum options_result options_parse(struct options *o, int argc, char **argv)
{
	int opt;

	*o = (struct options){ .socket = "/run/casemate/jailer.sock",
			       .daemon_user = "casemate",
			       .jails = { .max = 256, .pool = 4 },
			       .paused_bytes_max = UINT64_C(64) << 30,
			       .snapshot_bytes_max = UINT64_C(64) << 30,
			       .image_bytes_max = UINT64_C(64) << 30,
			       .level = LOG_LEVEL_INFO,
			       .host = { .store = "/var/lib/casemate",
					 .vmm = "/usr/libexec/casemate/casemate-vmm",
					 .cgroup = "casemate",
					 .io = { UINT64_C(512) << 20, 20000 },
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
	/* One for each jail, for what lies ready, and for as many that are being cleaned up. */
	o->host.slots = 2 * o->jails.max;
	if (o->host.slots < o->jails.max + 2 * (o->jails.pool + o->jails.pool_nics) + SPARE_SLOTS)
		o->host.slots =
			o->jails.max + 2 * (o->jails.pool + o->jails.pool_nics) + SPARE_SLOTS;
	return OPTIONS_RUN;
}

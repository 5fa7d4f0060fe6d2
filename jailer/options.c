/* SPDX-License-Identifier: Apache-2.0 */
#include "jailer/options.h"

#include <errno.h>

#include "base/num.h"
#include "base/options.h"
#include "jailer/layer.h"
#include "jailer/slot.h"

#define POOL_MAX    256U
#define SPARE_SLOTS 8U
#define IO_MAX	    (UINT64_C(1) << 40)
#define STORED_MAX  (UINT64_C(1) << 50)

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

static int set_cgroup(const char *arg, void *dst, struct err *err)
{
	if (!request_name_ok(arg))
		return err_set(err, -EINVAL,
			       "--cgroup: \"%.32s\" is not 1 to 64 of a-z, 0-9, '.', '_' and '-'",
			       arg);
	*(const char **)dst = arg;
	return 0;
}

#ifdef CASEMATE_TEST
static int set_layers_off(const char *arg, void *dst, struct err *err)
{
	if (layers_parse(arg, dst) == 0)
		return 0;
	return err_set(err, -EINVAL,
		       "--layers-off: \"%.32s\" is not a list of cap, uid, ns, fs, fds, cgrp, "
		       "rlim, sysc, x",
		       arg);
}

static int set_stop(const char *arg, void *dst, struct err *err)
{
	uint64_t stage;

	if (parse_u64(arg, 1, UINT32_MAX, &stage) < 0)
		return err_set(err, -EINVAL, "--stop: \"%.32s\" is not the number of a stage", arg);
	*(uint32_t *)dst = (uint32_t)stage;
	return 0;
}
#endif

/* What has another type where it is kept. */
struct counts {
	uint64_t jails, pool, pool_nics, uid_base;
};

static void complete(struct options *o, const struct counts *n)
{
	o->jails.max = (unsigned)n->jails;
	o->jails.pool = (unsigned)n->pool;
	o->jails.pool_nics = (unsigned)n->pool_nics;
	o->host.uid_base = (uint32_t)n->uid_base;
	/* One for each jail, for what lies ready, and for as many that are being cleaned up. */
	o->host.slots = MAX(2 * o->jails.max,
			    o->jails.max + 2 * (o->jails.pool + o->jails.pool_nics) + SPARE_SLOTS);
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err)
{
	struct counts n = { .jails = 256, .pool = 4, .uid_base = SLOT_UID_BASE };
	struct options o = { .socket = "/run/casemate/jailer.sock",
			     .daemon_user = "casemate",
			     .paused_bytes_max = UINT64_C(64) << 30,
			     .snapshot_bytes_max = UINT64_C(64) << 30,
			     .image_bytes_max = UINT64_C(64) << 30,
			     .level = LOG_LEVEL_INFO,
			     .host = { .store = "/var/lib/casemate",
				       .vmm = "/usr/libexec/casemate/casemate-vmm",
				       .cgroup = "casemate",
				       .io = { UINT64_C(512) << 20, 20000 } } };
	const struct option_spec list[] = {
		{ "socket", 0, OPTION_TEXT, &o.socket, 0, 0, NULL },
		{ "store", 0, OPTION_TEXT, &o.host.store, 0, 0, NULL },
		{ "vmm", 0, OPTION_TEXT, &o.host.vmm, 0, 0, NULL },
		{ "egress", 0, OPTION_TEXT, &o.host.egress, 0, 0, NULL },
		{ "daemon-user", 0, OPTION_TEXT, &o.daemon_user, 0, 0, NULL },
		{ "allow-no-selinux", 0, OPTION_FLAG, &o.host.allow_no_selinux, 0, 0, NULL },
		{ "max", 0, OPTION_NUMBER, &n.jails, 1, SLOT_COUNT / 2, NULL },
		{ "uid-base", 0, OPTION_NUMBER, &n.uid_base, 1, UINT32_MAX - 1, NULL },
		{ "cgroup", 0, OPTION_OWN, &o.host.cgroup, 0, 0, set_cgroup },
		{ "delegated", 0, OPTION_FLAG, &o.host.delegated, 0, 0, NULL },
		{ "pool", 0, OPTION_NUMBER, &n.pool, 0, POOL_MAX, NULL },
		{ "pool-nics", 0, OPTION_NUMBER, &n.pool_nics, 0, POOL_MAX, NULL },
		{ "io-bytes", 0, OPTION_SIZE, &o.host.io.bytes_per_s, 0, IO_MAX, NULL },
		{ "io-ops", 0, OPTION_NUMBER, &o.host.io.ops_per_s, 0, IO_MAX, NULL },
		{ "paused-bytes", 0, OPTION_SIZE, &o.paused_bytes_max, 0, STORED_MAX, NULL },
		{ "snapshot-bytes", 0, OPTION_SIZE, &o.snapshot_bytes_max, 0, STORED_MAX, NULL },
		{ "image-bytes", 0, OPTION_SIZE, &o.image_bytes_max, 0, STORED_MAX, NULL },
		{ "log-level", 0, OPTION_LEVEL, &o.level, 0, 0, NULL },
#ifdef CASEMATE_TEST
		{ "layers-off", 0, OPTION_OWN, &o.host.layers_off, 0, 0, set_layers_off },
		{ "stop", 0, OPTION_OWN, &o.host.stop, 0, 0, set_stop },
		{ "stop-point", 0, OPTION_TEXT, &o.host.stop_point, 0, 0, NULL },
#endif
	};
	int r = options_read(argc, argv, list, ARRAY_SIZE(list), help,
			     "casemate-jailer " CASEMATE_VERSION "\n", err);

	if (r != 0)
		return r;
	complete(&o, &n);
	*ret = o;
	return 0;
}

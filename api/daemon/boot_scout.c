/* SPDX-License-Identifier: Apache-2.0 */
/*
 * boot_scout.c - what a scout does beyond a restored sandbox's way: once its agent has answered to
 * an identity, which is nobody's, it is paused, and which pages it has written since its template
 * is asked for. Those that come from the template later have them before they run. The scout itself
 * is thrown away. What fails leaves a template without the list, which is as good and slower.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <vmm.pb-c.h>

#include "api/daemon/pool.h"
#include "api/daemon/sandbox_internal.h"
#include "api/proto/contract.h"
#include "base/num.h"

#define PAUSE_MS    20000U
#define SNAPSHOT_MS 30000U
#define PIECE	    4096U

static bool scouting(struct sandbox *s, const char *step, const struct rpc_status *st)
{
	if (s->state != SANDBOX_CREATING)
		return false;
	if (st->code == RPC_OK)
		return true;
	sandbox_fail(s, 500, "scout", "%s: %s", step, st->msg);
	return false;
}

/* A bit for each page, behind the memory (docs/SNAPSHOT.md). */
static uint64_t bitmap_bytes(const struct sandbox *s)
{
	return s->spec.memory_bytes / WORKING_SET_PAGE_BYTES / 8;
}

static int read_bitmap(const struct sandbox *s, struct working_set *ret)
{
	const uint64_t bytes = bitmap_bytes(s);
	uint8_t piece[PIECE];
	bool full = false;

	for (uint64_t at = 0, n; at < bytes && !full; at += n) {
		ssize_t got;
		n = MIN(bytes - at, sizeof(piece));
		got = pread(s->template_fds[1], piece, n, (off_t)(s->spec.memory_bytes + at));
		if (got != (ssize_t)n) /* its VMM has it, too */
			return got < 0 ? -errno : -EIO;
		full = working_set_add_bits(ret, (uint32_t)(8 * at), piece, n);
	}
	return 0;
}

static void on_snapshot(const struct rpc_status *st, const ProtobufCMessage *out, int *fds,
			void *arg)
{
	struct working_set w = { .count = 0 };
	struct sandbox *s = arg;
	int r;

	(void)out;
	(void)fds;
	if (!scouting(s, "VMM Snapshot", st))
		return;
	r = read_bitmap(s, &w);
	if (r < 0) {
		sandbox_fail(s, 500, "scout", "reading its pages: %s", strerror(-r));
		return;
	}
	s->cast = true;
	pool_scouted(s->table->pool, &s->spec, &w);
	sandbox_stop(s, "scout");
}

static void on_paused(const struct rpc_status *st, const ProtobufCMessage *out, int *fds, void *arg)
{
	static const struct rpc_pending_ops ops = { .done = on_snapshot };
	Casemate__Vmm__V1__SnapshotRequest req = CASEMATE__VMM__V1__SNAPSHOT_REQUEST__INIT;
	struct sandbox *s = arg;
	int r;

	(void)out;
	(void)fds;
	if (!scouting(s, "VMM Pause", st))
		return;
	r = pool_files(&s->spec, s->template_fds);
	if (r == 0 &&
	    ftruncate(s->template_fds[1], (off_t)(s->spec.memory_bytes + bitmap_bytes(s))) < 0)
		r = -errno;
	req.incremental = true;
	if (r < 0)
		sandbox_fail(s, 500, "scout", "memfd: %s", strerror(-r));
	else
		boot_vmm_call(s, VMM_SNAPSHOT, &req.base, s->template_fds, SNAPSHOT_MS, &ops);
}

void boot_scout_identified(struct sandbox *s)
{
	static const struct rpc_pending_ops ops = { .done = on_paused };
	Casemate__Vmm__V1__PauseRequest req = CASEMATE__VMM__V1__PAUSE_REQUEST__INIT;

	boot_vmm_call(s, VMM_PAUSE, &req.base, NULL, PAUSE_MS, &ops);
}

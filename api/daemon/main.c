/* SPDX-License-Identifier: Apache-2.0 */
/*
 * casemated - serves the HTTP API. The order of main is the design: options, socket (as root if
 * it was started so), privileges away for good, the seccomp filter, and only then the first client.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "api/daemon/build.h"
#include "api/daemon/build_files.h"
#include "api/daemon/doors.h"
#include "api/daemon/jailer.h"
#include "api/daemon/options.h"
#include "api/daemon/sandbox.h"
#include "api/daemon/service.h"
#include "api/daemon/snapshot.h"
#include "api/daemon/templates.h"
#include "api/http/http.h"
#include "base/bug.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/num.h"

#define STOP_WAIT_MS	     10000U
#define HOST_RESERVE	     (UINT64_C(64) * MIB)	     /* memory that no guest may ask for */
#define STORE_KEEP_MS	     (INT64_C(7) * 24 * 3600 * 1000) /* records of the ended */
#define STORE_KEEP_SANDBOXES 100000U
#define SCRATCH_MAX	     (UINT64_C(1024) * GIB)

#define RECALL_MS 3000U /* that clients wait for the jailer and the sandboxes of before */

struct daemon {
	struct options opt;
	struct loop *loop;
	struct http *http;
	struct service service;
	struct doors doors;
	struct loop_timer *waiting; /* until they are */
	bool stopping;
};

static void on_all_stopped(void *arg)
{
	struct daemon *d = arg;

	loop_stop(d->loop, 0);
}

static void on_stop_late(void *arg)
{
	struct daemon *d = arg;

	log_warn("daemon.stop", "%zu sandboxes are left; the next start ends them",
		 sandboxes_live(d->service.sandboxes));
	loop_stop(d->loop, 0);
}

/* Do sandboxes outlive us? Only a store that does tells the next one of them. */
static bool holds(const struct options *o)
{
	return o->state != NULL && o->hold_ms > 0;
}

static void on_stop_signal(int signo, void *arg)
{
	struct daemon *d = arg;

	if (d->stopping) {
		loop_stop(d->loop, 0);
		return;
	}
	d->stopping = true;
	log_info("daemon.stop", "signal=%d sandboxes=%zu", signo,
		 sandboxes_live(d->service.sandboxes));
	http_quiesce(d->http);
	if (loop_timer_add(d->loop, STOP_WAIT_MS, on_stop_late, d, NULL) < 0)
		BUG("no memory for one timer");
	if (signo == SIGTERM && holds(&d->opt))
		sandboxes_leave(d->service.sandboxes, on_all_stopped, d);
	else
		sandboxes_stop_all(d->service.sandboxes, on_all_stopped, d);
}

static void on_conn_closed(const void *conn, void *arg)
{
	struct service *sv = arg;

	sandboxes_lease_ended(sv->sandboxes, conn);
}

static uint64_t host_memory(void)
{
	struct sysinfo si;
	uint64_t total;

	if (sysinfo(&si) < 0)
		return SPEC_MEMORY_MIN;
	total = (uint64_t)si.totalram * si.mem_unit;
	return total > HOST_RESERVE + SPEC_MEMORY_MIN ? total - HOST_RESERVE : SPEC_MEMORY_MIN;
}

static int open_store(struct daemon *d, struct err *err)
{
	struct service *sv = &d->service;
	const int64_t now = (int64_t)(clock_ns(CLOCK_REALTIME) / 1000000);
	int r = store_open(d->opt.state, &sv->store, err);

	if (r < 0)
		return r;
	if (!holds(&d->opt))
		r = store_sandboxes_end_all(sv->store, now, "daemon-restart");
	if (r >= 0)
		r = store_sandboxes_trim(sv->store, now - STORE_KEEP_MS, STORE_KEEP_SANDBOXES);
	if (r < 0)
		return err_sys(err, r, "state");
	sv->auth.store = sv->store;
	sv->auth.domain = d->opt.domain;
	sv->domain = d->opt.domain;
	sv->cors = &d->opt.cors;
	return tenants_new(sv->store, &sv->auth.tenants, err);
}

/* The host's own resolvers, where none are named. Without any, sandboxes reach addresses only. */
static void find_resolvers(struct network_operator *op)
{
	char text[4096];

	if (op->on && op->resolvers_count == 0 &&
	    fd_read_file(AT_FDCWD, "/etc/resolv.conf", text, sizeof(text)) >= 0)
		network_find_resolvers(op, text);
}

static int open_up(struct daemon *d)
{
	struct doors *doors = &d->doors;
	int r = 0;

	loop_timer_del(d->waiting);
	d->waiting = NULL;
	for (size_t i = 0; i < doors->count && r == 0; i++)
		r = http_listen(d->http, fd_steal(&doors->list[i].fd), doors->list[i].kind);
	return r;
}

static void on_waited(void *arg)
{
	struct daemon *d = arg;
	int r;

	d->waiting = NULL;
	r = open_up(d);
	if (r < 0)
		loop_stop(d->loop, r);
}

static bool is_settled(const struct daemon *d)
{
	return !jailer_is_trying(d->service.jailer) &&
	       sandboxes_adopting(d->service.sandboxes) == 0;
}

/* The jailer has been asked, or what was recalled is there. What follows has a callback of its own:
 * this one is the jailer's or a sandbox's. */
static void on_settled(void *arg)
{
	struct service *sv = arg;
	struct daemon *d = CONTAINER_OF(sv, struct daemon, service);

	if (d->waiting == NULL || !is_settled(d))
		return;
	loop_timer_del(d->waiting);
	if (loop_timer_add(d->loop, 0, on_waited, d, &d->waiting) < 0)
		BUG("no memory for one timer");
}

/* Clients that come before the jailer has answered, or the sandboxes of before have been found,
 * wait a little; they would be told that it is away, or that there are none. */
static int open_when_settled(struct daemon *d)
{
	if (is_settled(d))
		return open_up(d);
	return loop_timer_add(d->loop, RECALL_MS, on_waited, d, &d->waiting);
}

static int set_up_sandboxes(struct daemon *d, struct err *err)
{
	struct service *sv = &d->service;
	const struct jailer_config jc = { .loop = d->loop,
					  .path = d->opt.jailer,
					  .hold_seconds =
						  holds(&d->opt) ? d->opt.hold_ms / 1000 : 0,
					  .token = store_hold_secret(sv->store),
					  .tried = on_settled,
					  .tried_arg = sv };
	struct sandboxes_config sc = { .loop = d->loop,
				       .max = d->opt.sandboxes_max,
				       .boot_timeout_ms = d->opt.boot_timeout_ms,
				       .network = &d->opt.network,
				       .pool_depth = (unsigned)d->opt.pool_depth,
				       .changed = service_changed,
				       .touched = service_touched,
				       .settled = on_settled,
				       .changed_arg = sv };
	int r = jailer_new(&jc, &sv->jailer);

	find_resolvers(&d->opt.network);
	sc.jailer = sv->jailer;
	if (r == 0) {
		r = network_open_authorities(&d->opt.network, err);
		if (r < 0)
			return r;
	}
	if (r == 0)
		r = sandboxes_new(&sc, &sv->sandboxes);
	return r < 0 ? err_sys(err, r, "sandboxes") : 0;
}

static int set_up_http(struct daemon *d, struct err *err)
{
	static const struct http_route *const tables[] = {
		service_routes,		 service_key_routes,	  service_image_routes,
		service_snapshot_routes, service_template_routes, service_e2b_routes
	};
	struct service *sv = &d->service;
	const struct http_config hc = { .loop = d->loop,
					.tables = tables,
					.tables_count = ARRAY_SIZE(tables),
					.arg = sv,
					.conn_closed = on_conn_closed,
					.admit = service_admit };
	int r = http_new(&hc, &d->http);

	sv->http = d->http;
	return r < 0 ? err_sys(err, r, "HTTP server") : 0;
}

/* Before anybody can reach us: who does may send the signal at once, and its default is to die with
 * the socket left behind. */
static int set_up_loop(struct daemon *d, struct err *err)
{
	int r = loop_new(&d->loop);

	if (r == 0)
		r = loop_signal_add(d->loop, SIGTERM, on_stop_signal, d);
	if (r == 0)
		r = loop_signal_add(d->loop, SIGINT, on_stop_signal, d);
	return r < 0 ? err_sys(err, r, "event loop") : 0;
}

static int set_up_templates(struct daemon *d, struct err *err)
{
	struct service *sv = &d->service;
	int r = build_files_new(d->loop, d->opt.state, &sv->files);

	if (r == 0)
		r = builds_new(sv, sv->files, d->opt.layer_after_ms, &sv->builds);
	if (r == 0)
		templates_sweep(sv);
	return r < 0 ? err_sys(err, r, "templates") : 0;
}

static int set_up(struct daemon *d, struct err *err)
{
	struct service *sv = &d->service;
	struct snapshots *snapshots;
	int r = open_store(d, err);

	if (r == 0)
		r = set_up_sandboxes(d, err);
	if (r < 0)
		return r;
	sv->loop = d->loop;
	sv->sandboxes_max = d->opt.sandboxes_max;
	sv->started_ms = now_ms();
	sv->limits = (struct spec_limits){ .memory_max = host_memory(),
					   .scratch_max = SCRATCH_MAX,
					   .scratch = d->opt.scratch,
					   .networks = d->opt.network.on,
					   .kernel = d->opt.kernel,
					   .image = d->opt.image };
	r = set_up_http(d, err);
	if (r < 0)
		return r;
	r = service_recall(sv);
	if (r < 0)
		return err_sys(err, r, "sandboxes of before");
	/* Without a state nobody would know of them again. */
	r = d->opt.state == NULL
		    ? 0
		    : snapshots_new(sv->sandboxes, sv->store, sv->auth.tenants, &snapshots);
	return r < 0 ? err_sys(err, r, "snapshots") : set_up_templates(d, err);
}

/* The jailer first: its calls end while those who wait for them still exist. */
static void tear_down(struct daemon *d)
{
	http_free(d->http);
	builds_free(d->service.builds);
	build_files_free(d->service.files);
	jailer_free(d->service.jailer);
	sandboxes_free(d->service.sandboxes);
	tenants_free(d->service.auth.tenants);
	store_close(d->service.store);
	loop_free(d->loop);
}

static int serve(struct daemon *d, struct err *err)
{
	int r = set_up_loop(d, err);

	if (r == 0)
		r = doors_open(&d->opt, &d->doors, err);
	if (r == 0)
		r = set_up(d, err);
	if (r == 0) {
		log_info("daemon.start", "version=%s socket=%s uid=%u", CASEMATE_VERSION,
			 d->opt.socket, geteuid());
		jailer_connect(d->service.jailer);
		r = open_when_settled(d);
		if (r == 0)
			r = loop_run(d->loop);
		if (r < 0)
			r = err_sys(err, r, "event loop");
	}
	tear_down(d);
	doors_close(&d->doors);
	return r;
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	struct daemon d = { 0 };
	int r = options_parse(argc, argv, &d.opt, &err);

	if (r == OPTIONS_DONE)
		return 0;
	if (r == 0) {
		(void)signal(SIGPIPE, SIG_IGN);
		log_setup("daemon", d.opt.log_level);
		r = serve(&d, &err);
	}
	if (r < 0) {
		(void)fprintf(stderr, "casemated: %s\n", err.msg);
		return 1;
	}
	log_info("daemon.end", "status=0");
	return 0;
}

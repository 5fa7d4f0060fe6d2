/* SPDX-License-Identifier: Apache-2.0 */
/*
 * watcher.c - filesystem.Filesystem's WatchDir, CreateWatcher, GetWatcherEvents, RemoveWatcher.
 * A slow client's events stay in the kernel's queue.
 */
#include "agent/watcher.h"

#include <agent.pb-c.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "agent/agent.h"
#include "agent/entry.h"
#include "agent/watch.h"

#define EVENTS_PER_TURN 64

typedef Casemate__Agent__V1__WatchDirRequest watch_pb;
typedef Casemate__Agent__V1__WatchDirResponse event_pb;
typedef Casemate__Agent__V1__FilesystemEvent fs_pb;

/* The message of a handler by its own type: base is its first member. */
#define REQUEST(type, in) ((const type *)(const void *)(in))

struct watcher {
	struct watcher_table *table;
	struct watcher *prev, *next;
	struct watch *watch;
	bool include_entry;
	struct rpc_call *call; /* of a stream; NULL = it is polled */
	struct loop_io *io;    /* of a stream that is not held back */
	struct loop_timer *again;
	char id[17]; /* of one that is polled */
};

struct watcher_table {
	struct loop *loop;
	struct watcher *watchers;
	unsigned count;
};

int watcher_table_new(struct loop *l, struct watcher_table **ret)
{
	struct watcher_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->loop = l;
	*ret = t;
	return 0;
}

static void watcher_free(struct watcher *w)
{
	loop_io_del(w->io);
	loop_timer_del(w->again);
	watch_close(w->watch);
	if (w->prev != NULL)
		w->prev->next = w->next;
	else
		w->table->watchers = w->next;
	if (w->next != NULL)
		w->next->prev = w->prev;
	w->table->count--;
	free(w);
}

void watcher_table_free(struct watcher_table *t)
{
	if (t == NULL)
		return;
	for (struct watcher *w = t->watchers, *next; w != NULL; w = next) {
		next = w->next;
		if (w->call != NULL)
			rpc_fail(w->call, RPC_UNAVAILABLE, "the agent is stopping");
		watcher_free(w);
	}
	free(t);
}

/* What both kinds begin with; NULL = *err says why not. */
static struct watcher *watcher_new(struct agent *a, const watch_pb *req, struct err *err)
{
	struct watcher_table *t = a->watchers;
	struct watcher *w;
	struct place p;

	if (place_resolve(a, req->user, req->path, &p, err) < 0)
		return NULL;
	w = t->count < WATCHERS_MAX ? calloc(1, sizeof(*w)) : NULL;
	if (w == NULL) {
		(void)err_set(err, -EAGAIN, "too many watchers");
		return NULL;
	}
	w->table = t;
	w->include_entry = req->include_entry;
	w->next = t->watchers;
	if (t->watchers != NULL)
		t->watchers->prev = w;
	t->watchers = w;
	t->count++;
	if (watch_open(&p, req->recursive, req->allow_network_mounts, &w->watch, err) < 0) {
		watcher_free(w);
		return NULL;
	}
	return w;
}

/* The entry that an event is about, if it is wanted and there. */
static entry_pb *entry_of(const struct watcher *w, const struct watch_event *ev)
{
	const struct place *p = watch_place(w->watch);
	struct entry_names names;
	entry_pb *e = NULL;
	struct err err;
	char *path;

	if (!w->include_entry || asprintf(&path, "%s/%s", p->path, ev->name) < 0)
		return NULL;
	if (place_enter(p, &err) == 0) {
		entry_names_init(&names);
		if (entry_get(path, &names, &e, NULL) < 0)
			e = NULL;
		entry_names_done(&names);
		user_leave_fs();
	}
	free(path);
	return e;
}

/* ---- Streams ----------------------------------------------------------------------------- */

static void pump(struct watcher *w);

static void on_again(void *arg)
{
	struct watcher *w = arg;

	w->again = NULL;
	pump(w);
}

static void on_readable(struct loop_io *io, int fd, uint32_t events, void *arg)
{
	(void)io;
	(void)fd;
	(void)events;
	pump(arg);
}

static void fail(struct watcher *w, int error)
{
	struct err err;

	if (error == -ENOBUFS)
		(void)err_set(&err, error, "events were lost: too many at once");
	else
		(void)err_sys(&err, error, "watch");
	rpc_fail_err(w->call, &err);
	watcher_free(w);
}

static int send_event(struct watcher *w, struct watch_event *ev)
{
	event_pb msg = CASEMATE__AGENT__V1__WATCH_DIR_RESPONSE__INIT;
	fs_pb fs = CASEMATE__AGENT__V1__FILESYSTEM_EVENT__INIT;
	int r;

	fs.name = ev->name;
	fs.type = ev->type;
	fs.entry = entry_of(w, ev);
	msg.event_case = CASEMATE__AGENT__V1__WATCH_DIR_RESPONSE__EVENT_FILESYSTEM;
	msg.filesystem = &fs;
	r = rpc_send(w->call, &msg.base);
	entry_free(fs.entry);
	return r == -EPIPE ? 0 : r; /* `cancelled` is on its way */
}

/* As many events as the client takes, a part in each turn of the loop. */
static void pump(struct watcher *w)
{
	struct watch_event ev;
	int r = 1;

	for (int i = 0; r > 0 && i < EVENTS_PER_TURN; i++) {
		if (!rpc_call_writable(w->call)) {
			loop_io_del(w->io);
			w->io = NULL;
			return; /* on_drained goes on */
		}
		r = watch_next(w->watch, &ev);
		if (r > 0)
			r = send_event(w, &ev) < 0 ? -ENOBUFS : 1;
	}
	if (r == 0 && w->io == NULL)
		r = loop_io_add(w->table->loop, watch_fd(w->watch), EPOLLIN, on_readable, w,
				&w->io);
	else if (r > 0 && w->again == NULL)
		r = loop_timer_add(w->table->loop, 0, on_again, w, &w->again);
	if (r < 0)
		fail(w, r);
}

static void on_drained(struct rpc_call *call, void *arg)
{
	(void)call;
	pump(arg);
}

static void on_cancelled(struct rpc_call *call, void *arg)
{
	(void)call;
	watcher_free(arg);
}

void service_fs_watch_dir(struct rpc_call *call, const ProtobufCMessage *in, int *fds, void *arg)
{
	static const struct rpc_call_ops ops = { .cancelled = on_cancelled, .drained = on_drained };
	Casemate__Agent__V1__WatchDirResponse__StartEvent start =
		CASEMATE__AGENT__V1__WATCH_DIR_RESPONSE__START_EVENT__INIT;
	event_pb msg = CASEMATE__AGENT__V1__WATCH_DIR_RESPONSE__INIT;
	struct watcher *w;
	struct err err;

	(void)fds;
	w = watcher_new(arg, REQUEST(watch_pb, in), &err);
	if (w == NULL) {
		rpc_fail_err(call, &err);
		return;
	}
	w->call = call;
	rpc_call_watch(call, &ops, w);
	msg.event_case = CASEMATE__AGENT__V1__WATCH_DIR_RESPONSE__EVENT_START;
	msg.start = &start;
	int r = rpc_send(call, &msg.base);
	if (r < 0 && r != -EPIPE)
		fail(w, r);
	else
		pump(w);
}

/* ---- Polling ----------------------------------------------------------------------------- */

void service_fs_create_watcher(struct rpc_call *call, const ProtobufCMessage *in, int *fds,
			       void *arg)
{
	Casemate__Agent__V1__CreateWatcherResponse out =
		CASEMATE__AGENT__V1__CREATE_WATCHER_RESPONSE__INIT;
	const Casemate__Agent__V1__CreateWatcherRequest *req =
		REQUEST(Casemate__Agent__V1__CreateWatcherRequest, in);
	watch_pb like = CASEMATE__AGENT__V1__WATCH_DIR_REQUEST__INIT;
	struct watcher *w;
	uint64_t random;
	struct err err;

	(void)fds;
	like.path = req->path;
	like.recursive = req->recursive;
	like.include_entry = req->include_entry;
	like.allow_network_mounts = req->allow_network_mounts;
	like.user = req->user;
	w = watcher_new(arg, &like, &err);
	if (w == NULL) {
		rpc_fail_err(call, &err);
		return;
	}
	/* A name, no secret: never wait for entropy. */
	if (getrandom(&random, sizeof(random), GRND_INSECURE) != (ssize_t)sizeof(random)) {
		watcher_free(w);
		rpc_fail(call, RPC_INTERNAL, "no random numbers");
		return;
	}
	(void)snprintf(w->id, sizeof(w->id), "%016" PRIx64, random);
	out.watcher_id = w->id;
	rpc_reply(call, &out.base, NULL);
}

/* The watcher, or NULL after the call has been refused. */
static struct watcher *find(const struct agent *a, const char *id, struct rpc_call *call)
{
	for (struct watcher *w = a->watchers->watchers; w != NULL; w = w->next)
		if (w->id[0] != '\0' && strcmp(w->id, id) == 0)
			return w;
	rpc_fail(call, RPC_NOT_FOUND, "watcher with id %.32s not found", id);
	return NULL;
}

static int add_event(const struct watcher *w, const struct watch_event *ev,
		     Casemate__Agent__V1__GetWatcherEventsResponse *out)
{
	fs_pb *fs = malloc(sizeof(*fs));

	if (fs == NULL)
		return -ENOMEM;
	casemate__agent__v1__filesystem_event__init(fs);
	out->events[out->n_events++] = fs;
	fs->name = strdup(ev->name);
	fs->type = ev->type;
	fs->entry = entry_of(w, ev);
	return fs->name == NULL ? -ENOMEM : 0;
}

void service_fs_get_watcher_events(struct rpc_call *call, const ProtobufCMessage *in, int *fds,
				   void *arg)
{
	Casemate__Agent__V1__GetWatcherEventsResponse *out;
	struct watch_event ev;
	struct watcher *w = find(
		arg, REQUEST(Casemate__Agent__V1__GetWatcherEventsRequest, in)->watcher_id, call);
	int r = 1;

	(void)fds;
	if (w == NULL)
		return;
	out = malloc(sizeof(*out));
	if (out != NULL) {
		casemate__agent__v1__get_watcher_events_response__init(out);
		out->events = calloc(WATCHER_EVENTS_MAX, sizeof(fs_pb *));
	}
	if (out == NULL || out->events == NULL)
		r = -ENOMEM;
	while (r > 0 && out->n_events < WATCHER_EVENTS_MAX) {
		r = watch_next(w->watch, &ev);
		if (r > 0 && add_event(w, &ev, out) < 0)
			r = -ENOMEM;
	}
	if (r == -ENOBUFS)
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "events were lost: too many at once");
	else if (r < 0)
		rpc_fail(call, RPC_INTERNAL, "watch: %s", strerrordesc_np(-r));
	else
		rpc_reply(call, &out->base, NULL);
	if (out != NULL)
		protobuf_c_message_free_unpacked(&out->base, NULL);
}

void service_fs_remove_watcher(struct rpc_call *call, const ProtobufCMessage *in, int *fds,
			       void *arg)
{
	Casemate__Agent__V1__RemoveWatcherResponse out =
		CASEMATE__AGENT__V1__REMOVE_WATCHER_RESPONSE__INIT;
	struct watcher *w =
		find(arg, REQUEST(Casemate__Agent__V1__RemoveWatcherRequest, in)->watcher_id, call);

	(void)fds;
	if (w == NULL)
		return;
	watcher_free(w);
	rpc_reply(call, &out.base, NULL);
}

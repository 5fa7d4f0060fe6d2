/* SPDX-License-Identifier: Apache-2.0 */
/* build_internal.h - between build.c (the table and the phases), build_steps.c (a recipe's steps)
 * and build_end.c (what comes after them). */
#ifndef API_DAEMON_BUILD_INTERNAL_H
#define API_DAEMON_BUILD_INTERNAL_H

#include "api/daemon/build.h"
#include "api/daemon/build_files.h"
#include "api/daemon/build_log.h"
#include "api/daemon/guest_command.h"
#include "api/daemon/guest_file.h"
#include "api/daemon/layers.h"
#include "api/daemon/sandbox.h"
#include "api/daemon/service.h"
#include "api/daemon/snapshot.h"

#define BUILD_REASON_MAX 512U
/* Who runs commands in a template, and where, when nothing says otherwise. */
#define BUILD_USER    "user"
#define BUILD_WORKDIR "/home/user"

enum build_phase {
	BUILD_WAITING,	 /* for its recipe */
	BUILD_QUEUED,	 /* for its turn */
	BUILD_BOOTING,	 /* its sandbox is being made */
	BUILD_PREPARING, /* the image gets what templates have: the user */
	BUILD_STEPS,
	BUILD_STARTING, /* the start command, until it is ready */
	BUILD_FREEZING, /* the snapshot is being made */
	BUILD_READY,
	BUILD_ERROR,
	BUILD_PHASE_COUNT
};

struct build {
	struct build *next; /* newer */
	struct builds *all;
	char id[BUILD_ID_LEN + 1];
	char template[TEMPLATE_ID_LEN + 1];
	struct build_order order; /* its template is the one above */
	enum build_phase phase;
	struct recipe recipe;
	struct build_log *log;
	struct loop_timer *limit; /* of its time, waiting or running */
	uint64_t until_ms;	  /* monotonic: when that is */

	/* The sandbox, while there is one. */
	struct sandbox *sandbox;
	struct sandbox_watch watch;
	json_t *config; /* environment, user, directory: as image_config.h has it */

	/* What is under way in it; NULL = not. */
	size_t step;		       /* of the recipe, from 0 */
	struct guest_command *command; /* of a step, or the ready command */
	struct guest_command *start;   /* the start command */
	struct guest_file *sending;    /* the archive of COPY */
	int archive;		       /* its file; -1 = none */
	struct loop_timer *again;      /* the next try of the ready command */
	uint64_t ready_until_ms;       /* monotonic */
	struct build_freeze *freeze;   /* a snapshot is being made */

	/* build_layers.c */
	uint8_t (*keys)[LAYER_KEY_BYTES]; /* of the first 0, 1, ... steps done; NULL = no layers */
	size_t keys_count;
	char layer[SNAPSHOT_ID_LEN + 1]; /* where it began; "" = at what FROM names */
	bool cold;			 /* that was lost: without one */
	uint64_t work_since_ms;		 /* monotonic: what wasn't kept began then */

	char reason[BUILD_REASON_MAX];
	unsigned failed_step; /* from 1; 0 = none */
};

/* What the answer of a snapshot finds; build is NULL once that has ended. */
struct build_freeze {
	struct build *build;
};

struct builds {
	struct service *sv;
	struct build_files *files;
	struct build *first; /* oldest first */
	struct loop_timer *later;
	uint64_t layer_after_ms; /* BUILD_LAYERS_NONE = never */
	bool closing;		 /* nothing comes after it */
};

/* build.c: the one place that changes a phase. */
void build_enter(struct build *b, enum build_phase phase);
/* It ends so; step from 1, 0 = of none. All that is under way is let go. */
void build_fail(struct build *b, unsigned step, const char *fmt, ...) PRINTF(3, 4);
/* It is ready: its row says so. */
void build_done(struct build *b);
/* Its time that is left; at least 1. */
uint64_t build_time_left_ms(const struct build *b);

/* A command in its sandbox: environment, user and directory as the recipe has them so far, unless
 * said otherwise; its output goes to the log. 0, or -errno when the build has failed. */
struct build_command {
	const char *argv[GUEST_COMMAND_ARGS_MAX + 1];
	const char *user; /* NULL = the recipe's */
	const char *cwd;  /* the same */
};
MUST_USE int build_run(struct build *b, const struct build_command *c,
		       const struct guest_command_ops *ops, struct guest_command **ret);
/* build_state.c, pure: the variable is so from now on. -ENOMEM, -E2BIG. */
MUST_USE int build_set_env(json_t *config, const char *name, const char *value);
/* The member, "" = none. */
const char *build_text(const json_t *config, const char *name);

/* The path as a recipe has it, a relative one below the directory before. New reference, NULL. */
json_t *build_path(const char *before, const char *path);
/* What a step makes of the config: ENV, WORKDIR, USER. -ENOMEM, -E2BIG. */
MUST_USE int build_config_step(json_t *config, const struct recipe_step *s);

/* build_steps.c: its sandbox runs; build_start comes after the last step. */
void build_prepare(struct build *b);
void build_next_step(struct build *b);
/* A descriptor of COPY's archive and its digest. -ENOENT, -errno. */
MUST_USE int build_archive(const struct build *b, const struct recipe_step *s,
			   char digest[BUILD_FILES_DIGEST_LEN + 1]);

/*
 * build_layers.c. Where the build begins: spec, *from and b->step are a layer's when there is one.
 * b->config is what the steps begin with, and becomes what they go on with. 0, -errno with err.
 */
MUST_USE int build_layers_find(struct build *b, struct spec *spec, struct snapshot **from,
			       struct err *err);
/* Forgets what it has found. */
void build_layers_done(struct build *b);
/* Its sandbox can't be made: true when that is its layer's fault, which is no more; it can be made
 * without. */
bool build_layers_lost(struct build *b);
/* RUN or COPY did its work: build_next_step comes, after it is kept or at once. */
void build_step_worked(struct build *b);

/* build_origin.c: the network that a build has, and what it starts from: *ret_from is the snapshot
 * of a template, NULL = spec names an image. 0 or -errno with err. */
MUST_USE int build_network(const struct service *sv, struct spec *spec, struct err *err);
MUST_USE int build_origin(const struct build *b, struct spec *spec, struct snapshot **ret_from,
			  struct err *err);
/* build_end.c */
void build_start(struct build *b);
/* Lets its snapshot's answer go. */
void build_end_cancel(struct build *b);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
/*
 * spec.h - what a client asks for in POST /v1/sandboxes: JSON in, a checked struct out. Pure.
 *
 * Fails closed: an unknown field, a duplicate, a wrong type or a value out of range refuses the
 * whole request with one line that names the field.
 */
#ifndef API_DAEMON_SPEC_H
#define API_DAEMON_SPEC_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

#define SPEC_NAME_MAX	  64U  /* kernel and image names: [a-z0-9._-] */
#define SPEC_TEMPLATE_MAX 129U /* NAME:TAG (template_ref.h) */
#define SPEC_DIGEST_LEN	  64U  /* of an image: SHA-256 in hex */
#define SPEC_HOST_MAX	  63U
#define SPEC_USER_MAX	  64U
#define SPEC_CWD_MAX	  1024U
#define SPEC_ENVS_MAX	  256U
#define SPEC_CPUSET_MAX	  128U
#define SPEC_VCPUS_MAX	  32U
#define SPEC_MEMORY_MIN	  (UINT64_C(64) << 20)
#define SPEC_MEMORY_STEP  (UINT64_C(2) << 20)
#define SPEC_FORK_MAX	  64U
#define SPEC_TIMEOUT_MAX  (UINT64_C(24) * 3600 * 1000) /* ms */

struct cpu_template; /* cpu_template.h */
struct tenant;	     /* tenant.h */

/* What backs the guest's memory. */
enum spec_pages { SPEC_PAGES_NONE, SPEC_PAGES_TRANSPARENT, SPEC_PAGES_HUGETLB, SPEC_PAGES_COUNT };

/* How the guest has its root image. */
enum spec_root { SPEC_ROOT_BLK, SPEC_ROOT_PMEM, SPEC_ROOT_COUNT };

struct spec_env {
	char *name;
	char *value;
};

struct spec {
	uint32_t vcpus;
	uint64_t memory_bytes;
	uint64_t scratch_bytes; /* 0 = no scratch drive */
	uint64_t timeout_ms;	/* 0 = none */
	bool pause_on_timeout;	/* else it ends */
	bool pause_files;	/* with that: its scratch disk is kept, and no memory */
	char kernel[SPEC_NAME_MAX + 1];
	char image[SPEC_NAME_MAX + 1];
	char digest[SPEC_DIGEST_LEN +
		    1]; /* what the image's name stood for; "" = the store's own */
	char snapshot[SPEC_NAME_MAX + 1];     /* to go on from, which says the shape; "" = none */
	char template[SPEC_TEMPLATE_MAX + 1]; /* the same of a template: NAME[:TAG] */
	char hostname[SPEC_HOST_MAX + 1];     /* "" = the sandbox's id */
	char user[SPEC_USER_MAX + 1];	      /* "" = the agent's default */
	char cwd[SPEC_CWD_MAX + 1];	      /* "" = the user's home */
	struct spec_env *envs;
	size_t envs_count;
	struct cpu_template *cpu; /* NULL = none */
	enum spec_pages huge_pages;
	enum spec_root root;
	bool nic;      /* it has a network card */
	char *network; /* and may reach what this policy says (network.h); NULL = nothing */
	char cpuset_cpus[SPEC_CPUSET_MAX + 1]; /* "0-3,8"; "" = any */
	char cpuset_mems[SPEC_CPUSET_MAX + 1];
	bool lease;
	struct tenant *tenant; /* whose it is to be; not owned. NULL = the daemon's own */
};

/* What this host and this daemon allow; also the defaults. */
struct spec_limits {
	uint64_t memory_max;
	uint64_t scratch_max;
	uint64_t scratch;   /* used when the request says nothing; 0 = none */
	bool networks;	    /* they may be asked for */
	const char *kernel; /* used when the request names none */
	const char *image;
};

/* 0 and *ret (free with spec_done), or -EINVAL / -ENOMEM with the reason in *err. */
MUST_USE int spec_parse(const char *body, size_t len, const struct spec_limits *lim,
			struct spec *ret, struct err *err);
/* What a request that says nothing asks for. */
void spec_defaults(struct spec *s, const struct spec_limits *lim);
/* What a variable may be called: letters, digits, '_', '.', '-', the first no digit; a user: NAME
 * or UID, either with :GROUP. Images are held to the same (image_config.h). */
bool spec_env_name_ok(const char *name, size_t len);
bool spec_user_ok(const char *user);
/* An object of strings as the environment: 0, -EINVAL, -ENOMEM. spec_done frees what there is. */
MUST_USE int spec_set_envs(const json_t *v, struct spec *s, struct err *err);
/* What on_timeout says: literal. */
const char *spec_on_timeout(const struct spec *s);
/* All of src, with its own memory: 0 (free with spec_done) or -ENOMEM. */
MUST_USE int spec_copy(const struct spec *src, struct spec *ret);

/* What POST /v1/sandboxes/ID/fork says. */
struct spec_fork {
	unsigned count; /* 1..SPEC_FORK_MAX */
	bool lease;
};
/* As spec_parse; an empty body asks for one. */
MUST_USE int spec_parse_fork(const char *body, size_t len, struct spec_fork *ret, struct err *err);
/* Frees what the spec owns; the struct may be zero or done already. */
void spec_done(struct spec *s);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls/options.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/bug.h"
#include "base/num.h"
#include "base/options.h"

#define DEFAULT_LISTEN "127.0.0.1:8443"
#define NAME_BYTES_MAX 230U /* with "*." still a domain name */
#define LABEL_MAX      63U
#define TIME_MS_MAX    86400000U

enum option_id {
	OPT_LISTEN = 256,
	OPT_TO,
	OPT_STATE,
	OPT_CERTIFICATE,
	OPT_KEY,
	OPT_NAME,
	OPT_USER,
	OPT_CONNS,
	OPT_PER_SOURCE,
	OPT_HANDSHAKE,
	OPT_IDLE,
	OPT_GRACE,
	OPT_LOG,
	OPT_HELP,
	OPT_VERSION
};

static const struct option longs[] = {
	{ "listen", required_argument, NULL, OPT_LISTEN },
	{ "to", required_argument, NULL, OPT_TO },
	{ "state", required_argument, NULL, OPT_STATE },
	{ "certificate", required_argument, NULL, OPT_CERTIFICATE },
	{ "key", required_argument, NULL, OPT_KEY },
	{ "name", required_argument, NULL, OPT_NAME },
	{ "user", required_argument, NULL, OPT_USER },
	{ "connections", required_argument, NULL, OPT_CONNS },
	{ "per-source", required_argument, NULL, OPT_PER_SOURCE },
	{ "handshake-timeout", required_argument, NULL, OPT_HANDSHAKE },
	{ "idle-timeout", required_argument, NULL, OPT_IDLE },
	{ "grace", required_argument, NULL, OPT_GRACE },
	{ "log-level", required_argument, NULL, OPT_LOG },
	{ "help", no_argument, NULL, OPT_HELP },
	{ "version", no_argument, NULL, OPT_VERSION },
	{ NULL, 0, NULL, 0 },
};

static const char help[] =
	"Usage: casemate-tls [OPTION]...\n"
	"Terminates TLS for casemated.\n"
	"\n"
	"  --listen ADDRESS:PORT  listen here (default " DEFAULT_LISTEN "); up to four times\n"
	"  --to PATH              casemated's unix socket for clients with keys\n"
	"                         (default /run/casemate/net.sock)\n"
	"  --certificate FILE     PEM: the certificate, then those between it and its root\n"
	"  --key FILE             PEM: its private key\n"
	"  --state DIR            without those: a certificate that is made, kept and renewed here\n"
	"                         (default /var/lib/casemate-tls)\n"
	"  --name NAME            which is for NAME and *.NAME, too; up to 16 times\n"
	"  --user NAME            become NAME once it listens; required as root\n"
	"  --connections N        at most N connections (default 1024)\n"
	"  --per-source N         at most N of one address (default 256)\n"
	"  --handshake-timeout TIME\n"
	"                         for the TLS handshake (default 10s)\n"
	"  --idle-timeout TIME    a connection without a byte ends (default 15m)\n"
	"  --grace TIME           for what is under way when this is stopped (default 10s)\n"
	"  --log-level LEVEL      error, warn, info or debug (default info)\n"
	"  --help                 show this text\n"
	"  --version              show the version\n";

/* A host name in lower case, as certificates have it: labels of letters, digits and hyphens. */
static bool is_name(const char *s)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-";
	size_t len = strlen(s);

	if (len == 0 || len > NAME_BYTES_MAX)
		return false;
	for (;;) {
		size_t label = strspn(s, allowed);

		if (label == 0 || label > LABEL_MAX || s[0] == '-' || s[label - 1] == '-')
			return false;
		if (s[label] == '\0')
			return true;
		if (s[label] != '.')
			return false;
		s += label + 1;
	}
}

static int take_count(const char *what, const char *arg, size_t *ret, struct err *err)
{
	uint64_t n;

	if (parse_u64(arg, 1, OPTIONS_CONNS_MAX, &n) < 0)
		return err_set(err, -EINVAL, "%s: \"%.32s\" is not from 1 to %u", what, arg,
			       OPTIONS_CONNS_MAX);
	*ret = (size_t)n;
	return 0;
}

static int take_time(const char *what, const char *arg, uint64_t *ret_ms, struct err *err)
{
	uint64_t ms;

	if (parse_duration_ms(arg, TIME_MS_MAX, &ms) < 0 || ms == 0)
		return err_set(err, -EINVAL, "%s: \"%.32s\" is not a time of at most 24h", what,
			       arg);
	*ret_ms = ms;
	return 0;
}

static int take_listed(int id, const char *arg, struct options *o, struct err *err)
{
	if (id == OPT_LISTEN) {
		if (o->listen_count == OPTIONS_LISTEN_MAX)
			return err_set(err, -EINVAL, "--listen: more than %u", OPTIONS_LISTEN_MAX);
		o->listen[o->listen_count++] = arg;
		return 0;
	}
	if (o->names_count == OPTIONS_NAMES_MAX)
		return err_set(err, -EINVAL, "--name: more than %u", OPTIONS_NAMES_MAX);
	if (!is_name(arg))
		return err_set(err, -EINVAL, "--name: \"%.64s\" is not a host name in lower case",
			       arg);
	o->names[o->names_count++] = arg;
	return 0;
}

static int take(int id, const char *arg, void *dst, struct err *err)
{
	struct options *o = dst;

	switch (id) {
	case OPT_LISTEN:
	case OPT_NAME:
		return take_listed(id, arg, o, err);
	case OPT_TO:
		o->to = arg;
		return 0;
	case OPT_STATE:
		o->state = arg;
		return 0;
	case OPT_CERTIFICATE:
		o->certificate = arg;
		return 0;
	case OPT_KEY:
		o->key = arg;
		return 0;
	case OPT_USER:
		o->user = arg;
		return 0;
	case OPT_CONNS:
		return take_count("--connections", arg, &o->conns, err);
	case OPT_PER_SOURCE:
		return take_count("--per-source", arg, &o->conns_per_source, err);
	case OPT_HANDSHAKE:
		return take_time("--handshake-timeout", arg, &o->handshake_ms, err);
	case OPT_IDLE:
		return take_time("--idle-timeout", arg, &o->idle_ms, err);
	case OPT_GRACE:
		return take_time("--grace", arg, &o->grace_ms, err);
	case OPT_LOG:
		if (log_level_parse(arg, &o->log_level) == 0)
			return 0;
		return err_set(err, -EINVAL,
			       "--log-level: \"%.32s\" is not error, warn, info or debug", arg);
	case OPT_HELP:
		(void)fputs(help, stdout);
		return OPTIONS_DONE;
	case OPT_VERSION:
		(void)puts("casemate-tls " CASEMATE_VERSION);
		return OPTIONS_DONE;
	default:
		BUG("an option without a case");
	}
}

static int complete(struct options *o, struct err *err)
{
	if ((o->certificate == NULL) != (o->key == NULL))
		return err_set(err, -EINVAL, "--certificate, --key: one needs the other");
	if (o->certificate != NULL && o->names_count > 0)
		return err_set(err, -EINVAL, "--name: is for a certificate that is made here");
	if (o->listen_count == 0)
		o->listen[o->listen_count++] = DEFAULT_LISTEN;
	return 0;
}

int options_parse(int argc, char **argv, struct options *ret, struct err *err)
{
	struct options o = {
		.to = "/run/casemate/net.sock",
		.state = "/var/lib/casemate-tls",
		.conns = 1024,
		.conns_per_source = 256,
		.handshake_ms = 10000,
		.idle_ms = 900000,
		.grace_ms = 10000,
		.log_level = LOG_LEVEL_INFO,
	};
	int r = options_each(argc, argv, longs, take, &o, err);

	if (r == 0)
		r = complete(&o, err);
	if (r == 0)
		*ret = o;
	return r;
}

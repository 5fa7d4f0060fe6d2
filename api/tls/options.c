/* SPDX-License-Identifier: Apache-2.0 */
#include "api/tls/options.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/options.h"

#define DEFAULT_LISTEN "127.0.0.1:8443"
#define NAME_BYTES_MAX 230U /* with "*." still a domain name */
#define LABEL_MAX      63U
#define TIME_MS_MAX    86400000U

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

static int set_listen(const char *arg, void *dst, struct err *err)
{
	struct options *o = dst;

	if (o->listen_count == OPTIONS_LISTEN_MAX)
		return err_set(err, -EINVAL, "--listen: more than %u", OPTIONS_LISTEN_MAX);
	o->listen[o->listen_count++] = arg;
	return 0;
}

static int set_name(const char *arg, void *dst, struct err *err)
{
	struct options *o = dst;

	if (o->names_count == OPTIONS_NAMES_MAX)
		return err_set(err, -EINVAL, "--name: more than %u", OPTIONS_NAMES_MAX);
	if (!is_name(arg))
		return err_set(err, -EINVAL, "--name: \"%.64s\" is not a host name in lower case",
			       arg);
	o->names[o->names_count++] = arg;
	return 0;
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
	const struct option_spec list[] = {
		{ "listen", 0, OPTION_OWN, &o, 0, 0, set_listen },
		{ "to", 0, OPTION_TEXT, &o.to, 0, 0, NULL },
		{ "state", 0, OPTION_TEXT, &o.state, 0, 0, NULL },
		{ "certificate", 0, OPTION_TEXT, &o.certificate, 0, 0, NULL },
		{ "key", 0, OPTION_TEXT, &o.key, 0, 0, NULL },
		{ "name", 0, OPTION_OWN, &o, 0, 0, set_name },
		{ "user", 0, OPTION_TEXT, &o.user, 0, 0, NULL },
		{ "connections", 0, OPTION_NUMBER, &o.conns, 1, OPTIONS_CONNS_MAX, NULL },
		{ "per-source", 0, OPTION_NUMBER, &o.conns_per_source, 1, OPTIONS_CONNS_MAX, NULL },
		{ "handshake-timeout", 0, OPTION_TIME, &o.handshake_ms, 1, TIME_MS_MAX, NULL },
		{ "idle-timeout", 0, OPTION_TIME, &o.idle_ms, 1, TIME_MS_MAX, NULL },
		{ "grace", 0, OPTION_TIME, &o.grace_ms, 1, TIME_MS_MAX, NULL },
		{ "log-level", 0, OPTION_LEVEL, &o.log_level, 0, 0, NULL },
	};
	int r = options_read(argc, argv, list, ARRAY_SIZE(list), help,
			     "casemate-tls " CASEMATE_VERSION "\n", err);

	if (r == 0)
		r = complete(&o, err);
	if (r == 0)
		*ret = o;
	return r;
}

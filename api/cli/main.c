/* SPDX-License-Identifier: Apache-2.0 */
/* casemate - the command line of Casemate: options that all verbs share, and the verbs. */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/cli/cli.h"
#include "base/compiler.h"

#define DEFAULT_SOCKET "/run/casemate/casemated.sock"

static int verb_help(struct cli *cli, int argc, char **argv);
static int verb_version(struct cli *cli, int argc, char **argv);

static const struct {
	const char *name;
	cli_verb_fn *fn;
	const char *text;
} verbs[] = {
	{ "run", verb_run, "run a command in a new sandbox that ends with it" },
	{ "create", verb_create, "make a sandbox and print its id" },
	{ "exec", verb_exec, "run a command in a sandbox" },
	{ "cp", verb_cp, "copy a file into a sandbox, or out of one" },
	{ "fork", verb_fork, "make sandboxes that go on where one is" },
	{ "snapshot", verb_snapshot, "keep what a sandbox is, to begin from there" },
	{ "template", verb_template, "build, list, tag and remove templates" },
	{ "net", verb_net, "change what a running sandbox may reach" },
	{ "pause", verb_pause, "stop a sandbox where it is" },
	{ "resume", verb_resume, "let a paused sandbox go on" },
	{ "ps", verb_ps, "list sandboxes" },
	{ "stats", verb_stats, "show what sandboxes use" },
	{ "top", verb_top, "show it live" },
	{ "events", verb_events, "tell what happens to sandboxes" },
	{ "wait", verb_wait, "wait until sandboxes have ended" },
	{ "port", verb_port, "reach a TCP port of a sandbox from here" },
	{ "rm", verb_rm, "end sandboxes" },
	{ "kill", verb_kill, "the same as rm" },
	{ "image", verb_image, "bring, list and remove root images" },
	{ "inspect", verb_inspect, "show a sandbox's jail as the kernel sees it" },
	{ "key", verb_key, "make, list and revoke API keys" },
	{ "logs", verb_logs, "show a guest's console" },
	{ "metrics", verb_metrics, "show what a sandbox's VMM has counted" },
	{ "doctor", verb_doctor, "check whether the host is fit for untrusted code" },
	{ "help", verb_help, "show this text" },
	{ "version", verb_version, "show the version" },
};

static int verb_help(struct cli *cli, int argc, char **argv)
{
	(void)cli;
	(void)argc;
	(void)argv;
	(void)puts("Usage: casemate [--socket PATH] VERB [OPTION]... [ARGUMENT]...\n"
		   "Runs untrusted programs in jailed microVMs.\n");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		(void)printf("  %-8s  %s\n", verbs[i].name, verbs[i].text);
	(void)puts("\n  --socket PATH  casemated's socket (default: $CASEMATE_SOCKET, or\n"
		   "                 " DEFAULT_SOCKET ")\n"
		   "\ncasemate VERB --help tells more about a verb.");
	return CLI_OK;
}

static int verb_version(struct cli *cli, int argc, char **argv)
{
	(void)cli;
	(void)argc;
	(void)argv;
	(void)puts("casemate " CASEMATE_VERSION);
	return CLI_OK;
}

static void on_signal(int signo, void *arg)
{
	struct cli *cli = arg;

	cli->signo = signo;
	cli->signals++;
	if (cli->on_signal != NULL)
		cli->on_signal(signo, cli->on_signal_arg);
}

static int run_verb(struct cli *cli, cli_verb_fn *fn, int argc, char **argv)
{
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
	int status, r = loop_new(&cli->loop);

	(void)signal(SIGPIPE, SIG_IGN);
	for (size_t i = 0; i < ARRAY_SIZE(signals) && r == 0; i++)
		r = loop_signal_add(cli->loop, signals[i], on_signal, cli);
	if (r < 0)
		return cli_fail("event loop: %s", strerror(-r));
	status = fn(cli, argc, argv);
	loop_free(cli->loop);
	if (fflush(stdout) != 0 && status == CLI_OK)
		return cli_fail("standard output: cannot be written");
	return status;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = { { "socket", required_argument, NULL, 's' },
					       { "help", no_argument, NULL, 'h' },
					       { "version", no_argument, NULL, 'v' },
					       { NULL, 0, NULL, 0 } };
	struct cli cli = { .socket = getenv("CASEMATE_SOCKET") };
	int c;

	if (cli.socket == NULL || cli.socket[0] == '\0')
		cli.socket = DEFAULT_SOCKET;
	opterr = 0;
	while ((c = getopt_long(argc, argv, "+:h", longs, NULL)) != -1) {
		if (c == 's')
			cli.socket = optarg;
		else if (c == 'h')
			return verb_help(&cli, argc, argv);
		else if (c == 'v')
			return verb_version(&cli, argc, argv);
		else
			return cli_fail("%s %.64s; see casemate help",
					c == ':' ? "missing value of" : "unknown option",
					argv[optind - 1]);
	}
	if (optind == argc)
		return cli_fail("no verb; see casemate help");
	for (size_t i = 0; i < ARRAY_SIZE(verbs); i++)
		if (strcmp(argv[optind], verbs[i].name) == 0)
			return run_verb(&cli, verbs[i].fn, argc - optind, argv + optind);
	return cli_fail("%.64s: unknown verb; see casemate help", argv[optind]);
}

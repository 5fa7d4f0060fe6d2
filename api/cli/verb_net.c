/* SPDX-License-Identifier: Apache-2.0 */
/* verb_net.c - casemate net: what a running sandbox may reach from now on. */
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>

#include "api/cli/args.h"
#include "api/cli/call.h"
#include "api/cli/netspec.h"

#define NET_MS 30000U

int verb_net(struct cli *cli, int argc, char **argv)
{
	const struct args args = {
		"Usage: casemate net ID WHAT...\n"
		"Replaces what a running sandbox may reach, all of it: internet, none, "
		"allow=DESTINATION,\ndeny=CIDR[:PORT]; as --net of casemate run.",
		NULL,
		0,
		2,
		ARGS_MANY,
		true
	};
	json_t *policy = NULL;
	struct err err = { 0 };
	char path[96];
	int status = args_parse(&args, argc, argv), r = 0;

	if (status != ARGS_GO)
		return status;
	for (int i = optind + 1; i < argc && r == 0; i++)
		r = netspec_add(&policy, argv[i], &err);
	if (r < 0) {
		json_decref(policy);
		return cli_fail("%s", err.msg);
	}
	(void)snprintf(path, sizeof(path), "/v1/sandboxes/%.64s/network", argv[optind]);
	status = call_daemon(
		cli,
		&(struct call){
			.method = "PUT", .path = path, .body = policy, .timeout_ms = NET_MS },
		NULL);
	json_decref(policy);
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "api/cli/call.h"

#include <errno.h>
#include <stdio.h>

#include "api/cli/http_client.h"
#include "api/cli/progress.h"
#include "base/bug.h"

int call_daemon(struct cli *cli, const struct call *c, json_t **ret)
{
	struct http_client *http = NULL;
	struct progress p = { 0 };
	struct err err = { 0 };
	int r = http_client_open(cli, &http, &err);

	if (r == 0 && c->what != NULL)
		progress_begin(&p, cli, c->what);
	if (r == 0)
		r = http_client_call(http, c->method, c->path, c->body, c->timeout_ms, ret, NULL,
				     &err);
	progress_end(&p);
	http_client_free(http);
	if (r == -EINTR && cli->signo != 0)
		return CLI_SIGNALLED + cli->signo;
	return r < 0 ? cli_fail("%s", err.msg) : CLI_OK;
}

int call_get(struct cli *cli, const char *path, json_t **ret)
{
	return call_daemon(
		cli, &(struct call){ .method = "GET", .path = path, .timeout_ms = CALL_MS }, ret);
}

int call_show(struct cli *cli, const char *path, bool json, void (*print)(const json_t *answer))
{
	json_t *answer = NULL;
	int status = call_get(cli, path, &answer);

	if (status == CLI_OK && json)
		status = cli_print_json(answer);
	else if (status == CLI_OK)
		print(answer);
	json_decref(answer);
	return status;
}

static int remove_one(struct cli *cli, const struct call_remove *all, const char *name)
{
	char path[192];
	int n;

	if (!all->valid(name))
		return cli_fail("%s: %.64s: is not %s", all->verb, name, all->kind);
	n = snprintf(path, sizeof(path), "%s%s", all->prefix, name);
	BUG_ON(n < 0 || (size_t)n >= sizeof(path)); /* valid bounds it */
	return call_daemon(cli,
			   &(struct call){ .method = "DELETE",
					   .path = path,
					   .timeout_ms = all->timeout_ms,
					   .what = all->what },
			   NULL);
}

int call_remove(struct cli *cli, const struct call_remove *all, int count, char **names)
{
	int status = CLI_OK;

	if (count <= 0)
		return cli_fail("%s: none named; see casemate help", all->verb);
	for (int i = 0; i < count && cli->signo == 0; i++) {
		int one = remove_one(cli, all, names[i]);

		if (one != CLI_OK)
			status = one;
	}
	return status;
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/attacks/siege.h"

#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/attacks/harness.h"
#include "tests/attacks/victim.h"

#define ROWS_MAX 32
#define ROUNDS	 60 /* CASEMATE_CYCLES in the environment: more */

/* sieges_file last: its rows start jailers of their own, which take the socket's name. */
static const struct siege *const tables[] = { sieges_race, sieges_peer, sieges_file };

static struct {
	size_t count;
	const struct siege *row[ROWS_MAX];
	int attack[ROWS_MAX], control[ROWS_MAX];
} done;

static const struct siege *siege_at(size_t i)
{
	for (size_t t = 0; t < ARRAY_SIZE(tables); t++) {
		for (const struct siege *s = tables[t]; s->id != NULL; s++) {
			if (i-- == 0)
				return s;
		}
	}
	return NULL;
}

bool siege_exists(const char *id)
{
	const struct siege *s;

	for (size_t i = 0; (s = siege_at(i)) != NULL; i++) {
		if (strcmp(s->id, id) == 0)
			return true;
	}
	return false;
}

int siege_as_user(int (*fn)(void *arg), void *arg)
{
	int status = 0;
	pid_t pid = fork();

	if (pid < 0)
		harness_die("fork");
	if (pid == 0) {
		if (setgroups(0, NULL) < 0 || setresgid(VICTIM_UID, VICTIM_UID, VICTIM_UID) < 0 ||
		    setresuid(VICTIM_UID, VICTIM_UID, VICTIM_UID) < 0)
			_exit(EIO);
		_exit(-fn(arg));
	}
	if (waitpid(pid, &status, 0) < 0)
		harness_die("waitpid");
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

static unsigned rounds(void)
{
	const char *text = getenv("CASEMATE_CYCLES");
	uint64_t n = 0;

	return text != NULL && parse_u64(text, 1, 1000000, &n) == 0 ? (unsigned)n : ROUNDS;
}

static void judge(struct siege_verdict *ret)
{
	*ret = (struct siege_verdict){ .rows = (unsigned)done.count };
	for (size_t i = 0; i < done.count; i++) {
		ret->succeeded += done.attack[i] == 0;
		ret->controls += done.control[i] == 0;
	}
	ret->good = ret->succeeded == 0 && ret->controls == ret->rows;
}

void siege_run(const struct scene *scene, const char *only, struct siege_verdict *ret)
{
	struct ground g = { .scene = scene, .rounds = rounds() };
	const struct siege *s;

	stand_open(&g.stand, 0);
	for (size_t i = 0; (s = siege_at(i)) != NULL; i++) {
		if (only != NULL && strcmp(only, s->id) != 0)
			continue;
		if (done.count == ROWS_MAX)
			harness_die("more than %d rows", ROWS_MAX);
		done.row[done.count] = s;
		done.attack[done.count] = s->run(&g);
		done.control[done.count] = s->control(&g);
		done.count++;
	}
	stand_close(&g.stand);
	judge(ret);
}

static const char *how(int r)
{
	const char *name = strerrorname_np(-r);

	return r == 0 ? "**succeeded**" : name != NULL ? name : "?";
}

void siege_write_markdown(FILE *f)
{
	struct siege_verdict v;

	judge(&v);
	if (v.rows == 0)
		return;
	(void)fputs("\n## On the jailer, from the host\n\nAll layers on. `careless`: the same on "
		    "something that doesn't take care, where it is meant to succeed.\n\n"
		    "| id | attack | jailer | careless |\n|---|---|---|---|\n",
		    f);
	for (size_t i = 0; i < done.count; i++)
		(void)fprintf(f, "| %s | %s | %s | %s |\n", done.row[i]->id, done.row[i]->what,
			      how(done.attack[i]), how(done.control[i]));
	(void)fprintf(f, "\nattacks: on the jailer %u/%u, controls %u/%u\n", v.succeeded, v.rows,
		      v.controls, v.rows);
}

void siege_write_json(FILE *f)
{
	struct siege_verdict v;

	judge(&v);
	(void)fprintf(f, "\"jailer\":{\"rows\":%u,\"succeeded\":%u,\"controls\":%u,\"attacks\":[",
		      v.rows, v.succeeded, v.controls);
	for (size_t i = 0; i < done.count; i++)
		(void)fprintf(f,
			      "%s{\"id\":\"%s\",\"what\":\"%s\",\"succeeded\":%s,\"control\":%s}",
			      i > 0 ? "," : "", done.row[i]->id, done.row[i]->what,
			      done.attack[i] == 0 ? "true" : "false",
			      done.control[i] == 0 ? "true" : "false");
	(void)fputs("]}", f);
}

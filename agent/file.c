/* SPDX-License-Identifier: Apache-2.0 */
/* file.c - the table of transfers. */
#include "agent/file.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "agent/file_internal.h"
#include "base/fd.h"

int file_table_new(struct loop *l, struct file_table **ret)
{
	struct file_table *t = calloc(1, sizeof(*t));

	if (t == NULL)
		return -ENOMEM;
	t->loop = l;
	*ret = t;
	return 0;
}

void file_table_free(struct file_table *t)
{
	struct err err;

	if (t == NULL)
		return;
	(void)err_set(&err, -ESHUTDOWN, "the agent is stopping");
	for (struct file *f = t->files, *next; f != NULL; f = next) {
		next = f->next;
		file_fail(f, &err);
	}
	free(t);
}

struct file *file_new(struct file_table *t, struct rpc_call *call)
{
	struct file *f = NULL;

	if (t->count < AGENT_FILES_MAX)
		f = calloc(1, sizeof(*f));
	if (f == NULL) {
		rpc_fail(call, RPC_RESOURCE_EXHAUSTED, "too many file transfers at once");
		return NULL;
	}
	f->table = t;
	f->call = call;
	f->fd = f->dir = -1;
	f->next = t->files;
	if (t->files != NULL)
		t->files->prev = f;
	t->files = f;
	t->count++;
	return f;
}

void file_free(struct file *f)
{
	/* As root, because the user's rights may have changed; the name is unguessable and ours. */
	if (f->temp[0] != '\0')
		(void)unlinkat(f->dir, f->temp, 0);
	fd_closep(&f->fd);
	fd_closep(&f->dir);
	loop_timer_del(f->again);
	if (f->prev != NULL)
		f->prev->next = f->next;
	else
		f->table->files = f->next;
	if (f->next != NULL)
		f->next->prev = f->prev;
	f->table->count--;
	free(f);
}

void file_fail(struct file *f, const struct err *err)
{
	rpc_fail_err(f->call, err);
	file_free(f);
}

/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/bench/start_claims.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "tests/bench/start_stack.h"
#include "tests/bench/stat.h"

#define DEPTH	64U
#define CLIENTS 8U
#define SECOND	UINT64_C(1000000000)

/* What one client did in one second. A pipe's write of it is whole. */
struct second {
	unsigned index, made, pooled;
	double delete_ms[2]; /* of all, and the longest */
	double create_ms;
};

static struct samples rate, share, create_ms, end_ms, cpu[5];
static const char *const cpu_names[] = { "cpu", "cpu_daemon", "cpu_jailer", "cpu_vmm",
					 "cpu_client" };

static void one(struct second *s)
{
	uint64_t begin = now_ns(), made;
	json_t *o = stack_create();
	const char *path = json_string_value(json_object_get(o, "path"));
	double ms;

	made = now_ns();
	s->create_ms += (double)(made - begin) / 1e6;
	s->pooled += path != NULL && strcmp(path, "pool") == 0;
	stack_destroy(json_string_value(json_object_get(o, "id")));
	ms = (double)(now_ns() - made) / 1e6;
	s->delete_ms[0] += ms;
	s->delete_ms[1] = ms > s->delete_ms[1] ? ms : s->delete_ms[1];
	s->made++;
	json_decref(o);
}

/* Child: seconds to the pipe, then the end. */
static NORETURN void client(unsigned seconds, uint64_t start, int out)
{
	stack_reconnect();
	for (unsigned i = 0; i < seconds; i++) {
		struct second s = { .index = i };
		while (now_ns() < start + (i + 1) * SECOND)
			one(&s);
		if (write(out, &s, sizeof(s)) != (ssize_t)sizeof(s))
			_exit(1);
	}
	_exit(0);
}

static void spawn_clients(unsigned clients, unsigned seconds, int out)
{
	uint64_t start = now_ns();

	for (unsigned i = 0; i < clients; i++) {
		pid_t pid = fork();
		if (pid == 0)
			client(seconds, start, out);
		if (pid < 0)
			stack_die("fork", "no more processes");
	}
}

/* Adds up what all clients did in each second. */
static void collect(unsigned clients, unsigned seconds, int in)
{
	static struct second sum[CLAIMS_SECONDS_MAX];
	struct second s;

	memset(sum, 0, sizeof(sum));
	for (unsigned i = 0; i < clients * seconds; i++) {
		if (read(in, &s, sizeof(s)) != (ssize_t)sizeof(s) || s.index >= seconds)
			stack_die("claims", "a client ended early");
		sum[s.index].made += s.made;
		sum[s.index].pooled += s.pooled;
		if (s.made == 0)
			continue;
		samples_add(&create_ms, s.create_ms / s.made);
		samples_add(&end_ms, s.delete_ms[0] / s.made);
	}
	for (unsigned i = 0; i < seconds; i++) {
		samples_add(&rate, sum[i].made);
		if (sum[i].made > 0)
			samples_add(&share, 100.0 * sum[i].pooled / sum[i].made);
	}
}

static uint64_t clients_cpu(void)
{
	struct rusage u;

	(void)getrusage(RUSAGE_CHILDREN, &u);
	return (uint64_t)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) * SECOND +
	       (uint64_t)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1000;
}

static void print(const char *what, const char *where)
{
	char name[48];

	bench_print_rate("start", what, "1/s", &rate, NULL, NULL, where);
	(void)snprintf(name, sizeof(name), "%s_from_pool", what);
	bench_print_rate("start", name, "%", &share, NULL, NULL, where);
	(void)snprintf(name, sizeof(name), "%s_create", what);
	bench_print("start", name, "ms", &create_ms, NULL, NULL, where);
	(void)snprintf(name, sizeof(name), "%s_delete", what);
	bench_print("start", name, "ms", &end_ms, NULL, NULL, where);
	for (unsigned i = 0; i < ARRAY_SIZE(cpu); i++) {
		(void)snprintf(name, sizeof(name), "%s_%s", what, cpu_names[i]);
		bench_print("start", name, "ms", &cpu[i], NULL, NULL, where);
	}
	(void)fflush(stdout);
}

static void measure(unsigned clients, unsigned seconds, const char *what, const char *where)
{
	struct stack_cpu before, after;
	uint64_t client_ns;
	double made = 0, parts[ARRAY_SIZE(cpu)];
	int pipes[2];

	rate.n = share.n = create_ms.n = end_ms.n = 0;
	if (pipe(pipes) < 0)
		stack_die("pipe", "no descriptors");
	client_ns = clients_cpu();
	stack_cpu(&before);
	spawn_clients(clients, seconds, pipes[1]);
	collect(clients, seconds, pipes[0]);
	stack_cpu(&after);
	for (unsigned i = 0; i < clients; i++)
		(void)wait(NULL);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
	for (size_t i = 0; i < rate.n; i++)
		made += rate.v[i];
	parts[1] = (double)(after.daemon - before.daemon);
	parts[2] = (double)(after.jailer - before.jailer);
	parts[3] = (double)(after.vmms - before.vmms);
	parts[4] = (double)(clients_cpu() - client_ns);
	parts[0] = parts[1] + parts[2] + parts[3] + parts[4];
	for (unsigned i = 0; i < ARRAY_SIZE(cpu); i++) {
		cpu[i].n = 0;
		if (made > 0)
			samples_add(&cpu[i], parts[i] / made / 1e6);
	}
	print(what, where);
}

void start_claims_rows(unsigned seconds, const char *where)
{
	stack_start_pool(DEPTH);
	measure(1, seconds, "claims", where);
	stack_wait_for_spares(DEPTH);
	measure(CLIENTS, seconds, "claims_parallel", where);
	stack_stop_daemon();
}

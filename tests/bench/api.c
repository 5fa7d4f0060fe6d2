/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api - the stack of bench start with a door for the E2B SDK: casemated on a port of the loopback,
 * a pool that is full, a key. Then the program that is named after "--" runs with the SDK's
 * variables in its environment, prints the rows (tests/bench/api.mjs), and ends. The guest answers
 * for each command at once (tests/guest/agent_http.c): what is measured is all but the guest.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/num.h"
#include "tests/bench/start_stack.h"

#define SANDBOXES_MAX 300U

static struct {
	struct stack_programs programs;
	const char *where;
	uint64_t pool;
} opt = { .where = "native", .pool = 50 };

/* A port that nobody has at this moment. */
static unsigned free_port(void)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t len = sizeof(a);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
	    getsockname(fd, (struct sockaddr *)&a, &len) < 0)
		stack_die("port", strerror(errno));
	close(fd);
	return ntohs(a.sin_port);
}

static int parse_options(int argc, char **argv)
{
	static const struct option longs[] = { { "daemon", required_argument, NULL, 'd' },
					       { "jailer", required_argument, NULL, 'j' },
					       { "vmm", required_argument, NULL, 'v' },
					       { "guest", required_argument, NULL, 'g' },
					       { "where", required_argument, NULL, 'w' },
					       { "pool", required_argument, NULL, 'p' },
					       { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "+", longs, NULL)) != -1) {
		if (c == 'd')
			opt.programs.daemon = optarg;
		else if (c == 'j')
			opt.programs.jailer = optarg;
		else if (c == 'v')
			opt.programs.vmm = optarg;
		else if (c == 'g')
			opt.programs.guest = optarg;
		else if (c == 'w')
			opt.where = optarg;
		else if (c != 'p' || parse_u64(optarg, 1, 500, &opt.pool) < 0)
			return -EINVAL;
	}
	return opt.programs.daemon == NULL || opt.programs.jailer == NULL ||
			       opt.programs.vmm == NULL || opt.programs.guest == NULL ||
			       optind == argc
		       ? -EINVAL
		       : 0;
}

/* The SDK has no say about a sandbox's memory: the shape is the default one. */
static void fill_pool(void)
{
	json_t *body = json_object(), *o = stack_call("POST", "/v1/sandboxes", body);

	stack_destroy(json_string_value(json_object_get(o, "id")));
	json_decref(o);
	json_decref(body);
	stack_wait_for_spares((unsigned)opt.pool);
}

static void set_environment(unsigned port)
{
	json_t *body = json_pack("{s:s, s:{s:i, s:I, s:i, s:i}}", "tenant", "bench", "limits",
				 "sandboxes", 500, "memory_bytes", (json_int_t)(INT64_C(1) << 40),
				 "vcpus", 1000, "creates_per_minute", 1000000);
	json_t *key = stack_call("POST", "/v1/keys", body);
	char url[48];

	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%u", port);
	if (setenv("E2B_API_URL", url, 1) < 0 || setenv("E2B_SANDBOX_URL", url, 1) < 0 ||
	    setenv("E2B_API_KEY", json_string_value(json_object_get(key, "key")), 1) < 0 ||
	    setenv("BENCH_WHERE", opt.where, 1) < 0)
		stack_die("environment", strerror(errno));
	json_decref(key);
	json_decref(body);
}

static int run_program(char **argv)
{
	pid_t pid = fork();
	int status = 1;

	if (pid == 0) {
		(void)execvp(argv[0], argv);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		stack_die(argv[0], strerror(errno));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
	const unsigned port = free_port();
	char listen[32];

	if (parse_options(argc, argv) < 0) {
		(void)fputs("usage: bench_api --daemon F --jailer F --vmm F --guest F [--where W] "
			    "[--pool N] -- PROGRAM...\n",
			    stderr);
		return 2;
	}
	(void)snprintf(listen, sizeof(listen), "127.0.0.1:%u", port);
	opt.programs.listen = listen;
	opt.programs.max = SANDBOXES_MAX;
	stack_set_up(&opt.programs);
	stack_start_daemon((unsigned)opt.pool);
	fill_pool();
	set_environment(port);
	return run_program(argv + optind);
}

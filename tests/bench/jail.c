/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jail - how long until untrusted code could run in a jail: casemate-jailer's, from nothing and
 * from its pool, beside bubblewrap's and QEMU's own. The jailed program is the same (jail_hello);
 * QEMU is its own. The runs alternate.
 *
 * Needs root. Everything lies in a directory and cgroups of its own.
 */
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/num.h"
#include "tests/bench/jail_bench.h"
#include "tests/bench/stat.h"

#define POOL 8

enum way { WAY_POOL, WAY_NOTHING, WAY_BWRAP, WAY_QEMU, WAY_COUNT };

static struct {
	const char *jailer, *hello, *where;
	uint64_t n;
} opt = { .jailer = "", .hello = "", .where = "native", .n = 200 };

static char dir[64];
static struct samples samples[WAY_COUNT];

void jail_bench_die(const char *what, const char *why)
{
	(void)fprintf(stderr, "bench: jail: %s: %s\n", what, why);
	exit(1);
}

static int remove_entry(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static void clean_up(void)
{
	if (dir[0] != '\0')
		(void)nftw(dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* The program: alone in bubblewrap's root, and trusted by the jailer. */
static void put_hello(char *root, size_t root_cap, char *path, size_t path_cap)
{
	CLEANUP(fd_closep) int in = open(opt.hello, O_RDONLY | O_CLOEXEC);
	CLEANUP(fd_closep) int out = -1;
	struct stat st;

	(void)snprintf(root, root_cap, "%s/root", dir);
	(void)snprintf(path, path_cap, "%s/root/hello", dir);
	if (mkdir(root, 0755) < 0)
		jail_bench_die(root, strerror(errno));
	out = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
	if (in < 0 || out < 0 || fstat(in, &st) < 0 ||
	    sendfile(out, in, NULL, (size_t)st.st_size) != st.st_size)
		jail_bench_die(opt.hello, strerror(errno));
}

static void add(enum way w, uint64_t ns)
{
	if (ns > 0)
		samples_add(&samples[w], (double)ns / 1e3);
}

static void measure(void)
{
	struct jailer *pool, *nothing;
	char root[96], hello[96], sub[96], name[48];

	put_hello(root, sizeof(root), hello, sizeof(hello));
	(void)snprintf(sub, sizeof(sub), "%s/a", dir);
	(void)snprintf(name, sizeof(name), "casemate-bench-%d-a", (int)getpid());
	pool = jailer_start(opt.jailer, hello, sub, name, POOL);
	(void)snprintf(sub, sizeof(sub), "%s/b", dir);
	(void)snprintf(name, sizeof(name), "casemate-bench-%d-b", (int)getpid());
	nothing = jailer_start(opt.jailer, hello, sub, name, 0);
	for (uint64_t i = 0; i < opt.n; i++) {
		add(WAY_POOL, jailer_measure(pool));
		add(WAY_NOTHING, jailer_measure(nothing));
		add(WAY_BWRAP, bwrap_measure(root));
		add(WAY_QEMU, qemu_measure());
		/* A peer that isn't there isn't asked again and again for long. */
		if (i == 0 && samples[WAY_BWRAP].n == 0)
			(void)fputs("bench: jail: no usable bwrap here\n", stderr);
	}
	jailer_stop(pool);
	jailer_stop(nothing);
}

static void parse_options(int argc, char **argv)
{
	static const struct option longs[] = { { "jailer", required_argument, NULL, 'j' },
					       { "hello", required_argument, NULL, 'h' },
					       { "where", required_argument, NULL, 'w' },
					       { "n", required_argument, NULL, 'n' },
					       { NULL, 0, NULL, 0 } };
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 'j')
			opt.jailer = optarg;
		else if (c == 'h')
			opt.hello = optarg;
		else if (c == 'w')
			opt.where = optarg;
		else if (c != 'n' || parse_u64(optarg, 1, SAMPLES_MAX, &opt.n) < 0)
			jail_bench_die("usage", "--jailer, --hello: FILE; --where TEXT; --n: how "
						"many");
	}
	if (opt.jailer[0] == '\0' || opt.hello[0] == '\0')
		jail_bench_die("usage", "--jailer and --hello are needed");
}

int main(int argc, char **argv)
{
	parse_options(argc, argv);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)snprintf(dir, sizeof(dir), "/tmp/casemate-bench.XXXXXX");
	if (mkdtemp(dir) == NULL || chmod(dir, 0755) < 0)
		jail_bench_die(dir, strerror(errno));
	(void)atexit(clean_up);
	measure();
	bench_print("jail", "from_pool", "us", &samples[WAY_POOL], "bubblewrap",
		    &samples[WAY_BWRAP], opt.where);
	bench_print("jail", "from_pool", "us", &samples[WAY_POOL], "qemu-sandbox",
		    &samples[WAY_QEMU], opt.where);
	bench_print("jail", "from_nothing", "us", &samples[WAY_NOTHING], "bubblewrap",
		    &samples[WAY_BWRAP], opt.where);
	bench_print("jail", "from_nothing", "us", &samples[WAY_NOTHING], "qemu-sandbox",
		    &samples[WAY_QEMU], opt.where);
	return 0;
}

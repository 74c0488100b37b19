/* SPDX-License-Identifier: Apache-2.0
 *
 * journal.c ENTRIES: writes a signer's journal of so many entries, two a certificate, and says how long the next signer's
 * start takes with it and how much memory, all of it young: nothing is passed over. The folder is below TMPDIR.
 */
#include "sign/sign.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define NOW_MS ((int64_t)1795305600 * 1000)
#define KEEP_MS ((int64_t)73 * 3600 * 1000)
#define BATCH 64
#define TBS_LEN 430
#define DER_LEN 520

static void check(struct rc rc, const struct err *err)
{
	if (!FAILED(rc))
		return;
	(void)fprintf(stderr, "bench-journal: %s %s\n", err->detail, err->cause);
	exit(1);
}
#define MUST(call) check((call), &err)

static int64_t bench_now(void *ctx)
{
	return *(int64_t *)ctx;
}

static double wall_s(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_s(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static long resident_kib(void)
{
	long pages = 0, all = 0;
	FILE *f = fopen("/proc/self/statm", "r");
	if (f == NULL || fscanf(f, "%ld %ld", &all, &pages) != 2)
		pages = 0;
	if (f != NULL)
		(void)fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void write_one(struct journal *j, size_t n, bool done)
{
	static const char bytes[DER_LEN] = { 0x30 };
	char serial[40];
	struct err err = { 0 };
	(void)snprintf(serial, sizeof serial, "01%034zx", n);
	struct journal_entry e = { .realm = STR("default"),
				   .profile = STR("server"),
				   .issuer = STR("default"),
				   .serial_hex = str_z(serial),
				   .tbs = str_n(bytes, TBS_LEN),
				   .der = str_n(bytes, DER_LEN),
				   .done = done };
	for (int i = 0; i < 8; i++)
		e.order.b[8 + i] = e.issuance.b[8 + i] = (uint8_t)(n >> (56 - 8 * i));
	e.order.b[6] = 0x70;
	if (done)
		MUST(journal_done(j, &e, &err));
	else
		MUST(journal_begin(j, &e, &err));
}

static void fill(struct journal *j, size_t certificates, int64_t *now_ms)
{
	struct err err = { 0 };
	for (size_t from = 0; from < certificates; from += BATCH) {
		size_t until = from + BATCH < certificates ? from + BATCH : certificates;
		for (int done = 0; done <= 1; done++) {
			for (size_t n = from; n < until; n++)
				write_one(j, n, done);
			MUST(journal_sync(j, &err));
		}
		*now_ms += 10;
	}
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	int64_t now_ms = NOW_MS;
	const struct clock clk = { bench_now, bench_now, &now_ms };
	char dir[256], command[512];
	struct crypto *crypto = NULL;
	struct journal *j = NULL;
	size_t entries = argc == 2 ? strtoul(argv[1], NULL, 10) : 0;
	const char *tmp = getenv("TMPDIR");
	if (entries < 2 || entries > 100000000) {
		(void)fprintf(stderr, "usage: bench-journal ENTRIES\n");
		return 2;
	}
	(void)snprintf(dir, sizeof dir, "%s/cairn-journal-XXXXXX", tmp == NULL ? "/tmp" : tmp);
	if (mkdtemp(dir) == NULL)
		return 1;
	MUST(crypto_new(&crypto, &err));
	MUST(journal_open(dir, KEEP_MS, crypto, &clk, &j, &err));
	fill(j, entries / 2, &now_ms);
	journal_close(j);
	long before = resident_kib();
	double cpu = cpu_s(), wall = wall_s();
	MUST(journal_open(dir, KEEP_MS, crypto, &clk, &j, &err));
	printf("journal of %zu entries: opened in %.2f s (CPU %.2f s), %ld KiB more\n", entries, wall_s() - wall,
	       cpu_s() - cpu, resident_kib() - before);
	journal_close(j);
	crypto_free(crypto);
	(void)snprintf(command, sizeof command, "rm -rf '%s'", dir);
	return system(command) == 0 ? 0 : 1;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * tally.c: histograms of a fixed size, failures by kind, and what /proc says of the processes that are watched.
 */
#include "generator.h"

#include "../syncs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define PROC_MAX 65536

int64_t mono_us(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

/* --- histograms ------------------------------------------------------------------------------------------------------*/

/* Below HIST_STEPS each number has a place of its own; from there on an octave has HIST_STEPS. */
static size_t hist_place(uint64_t us)
{
	unsigned top = us < HIST_STEPS ? 0 : 63u - (unsigned)__builtin_clzll(us) - 4;
	if (top == 0)
		return (size_t)us;
	size_t at = (size_t)top * HIST_STEPS + (size_t)(us >> (top - 1)) - HIST_STEPS;
	return at < HIST_OCTAVES * HIST_STEPS ? at : HIST_OCTAVES * HIST_STEPS - 1;
}

static uint64_t hist_value(size_t place)
{
	size_t top = place / HIST_STEPS;
	return top == 0 ? place : (uint64_t)(place % HIST_STEPS + HIST_STEPS) << (top - 1);
}

void hist_add(struct hist *h, int64_t us)
{
	uint64_t v = us < 0 ? 0 : (uint64_t)us;
	h->at[hist_place(v)]++;
	h->count++;
	h->sum += v;
	if (v > h->max)
		h->max = v;
}

uint64_t hist_at(const struct hist *h, double share)
{
	uint64_t want = (uint64_t)((double)h->count * share), seen = 0;
	for (size_t i = 0; i < HIST_OCTAVES * HIST_STEPS; i++) {
		seen += h->at[i];
		if (seen > want)
			return hist_value(i);
	}
	return h->max;
}

/* --- failures --------------------------------------------------------------------------------------------------------*/

void tally_failure(struct tally *t, const char *what, const char *detail)
{
	size_t i = 0;
	t->failed++;
	while (i < t->kind_count && strncmp(t->kinds[i].what, what, sizeof t->kinds[i].what - 1) != 0)
		i++;
	if (i == KINDS_MAX)
		return; /* the sum has it */
	if (i == t->kind_count) {
		t->kind_count++;
		(void)snprintf(t->kinds[i].what, sizeof t->kinds[i].what, "%s", what);
		(void)snprintf(t->kinds[i].first, sizeof t->kinds[i].first, "%s", detail);
	}
	t->kinds[i].count++;
}

/* --- what it costs ---------------------------------------------------------------------------------------------------*/

static bool proc_read(long pid, const char *file, struct buf *ret)
{
	char path[128];
	(void)snprintf(path, sizeof path, "/proc/%ld/%s", pid, file);
	return !FAILED(file_read(path, PROC_MAX, ret, NULL));
}

/* The number behind a label; 0 when it is not there. */
static uint64_t number_after(struct str text, const char *label)
{
	const char *at = memmem(text.p, text.n, label, strlen(label));
	return at == NULL ? 0 : strtoull(at + strlen(label), NULL, 10);
}

/* All threads of a process, those that have ended too; 0 when the process is gone. Ticks would not do: a program that works a
 * fifth of a millisecond at a time is hardly ever there when one strikes. */
static double clock_us(long pid)
{
	clockid_t clock;
	struct timespec t;
	if (clock_getcpuclockid((pid_t)pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
		return 0;
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* proc(5): utime and stime are fields 14 and 15, of children that were waited for 16 and 17, whose clocks are no more; the
 * name in parentheses may hold blanks. */
static void ticks_add(struct str stat, bool children, struct usage *ret)
{
	double tick_us = 1e6 / (double)sysconf(_SC_CLK_TCK);
	const char *at = memrchr(stat.p, ')', stat.n);
	unsigned long user = 0, sys = 0;
	long of_dead_user = 0, of_dead_sys = 0;
	if (at == NULL || sscanf(at + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", &user, &sys,
				 &of_dead_user, &of_dead_sys) != 4)
		return;
	double dead_user_us = children ? (double)of_dead_user * tick_us : 0;
	double dead_sys_us = children ? (double)of_dead_sys * tick_us : 0;
	ret->user_ticks_us += (double)user * tick_us + dead_user_us;
	ret->sys_ticks_us += (double)sys * tick_us + dead_sys_us;
	ret->cpu_us += dead_user_us + dead_sys_us;
}

struct cpu usage_cpu(const struct usage *before, const struct usage *after)
{
	double user = after->user_ticks_us - before->user_ticks_us, sys = after->sys_ticks_us - before->sys_ticks_us;
	double all = after->cpu_us - before->cpu_us, sys_share = user + sys > 0 ? sys / (user + sys) : 0;
	return (struct cpu){ .user_us = all * (1 - sys_share), .sys_us = all * sys_share };
}

fallible tally_syncs(struct tally *t, const char *path, struct err *err)
{
	AUTO(fd_close) int fd = open(path, O_RDONLY | O_CLOEXEC);
	const void *p = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct syncs), PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		FAIL(err, ERR_IO, "%s: %s", path, strerrordesc_np(errno));
	t->syncs = p; /* until the program ends */
	return OK;
}

/* A process that became another program has a row for each of them. */
static uint64_t syncs_of(const struct tally *t, long pid)
{
	uint64_t sum = UINT64_MAX;
	for (size_t i = 0; t->syncs != NULL && i < SYNCS_ROWS; i++)
		if (t->syncs->rows[i].pid == (uint32_t)pid)
			sum = (sum == UINT64_MAX ? 0 : sum) + t->syncs->rows[i].count;
	return sum;
}

static void usage_add(long pid, bool children, struct usage *ret)
{
	AUTO(buf_done) struct buf text = BUF_MAX(PROC_MAX + 1);
	ret->cpu_us += clock_us(pid);
	if (proc_read(pid, "stat", &text) && !FAILED(buf_add_char(&text, '\0', NULL)))
		ticks_add(buf_str(&text), children, ret);
	if (proc_read(pid, "io", &text))
		ret->written = (ret->written == UINT64_MAX ? 0 : ret->written) +
			       number_after(buf_str(&text), "\nwrite_bytes: ");
	if (proc_read(pid, "smaps_rollup", &text)) {
		uint64_t all = number_after(buf_str(&text), "\nPss:"),
			 anonymous = number_after(buf_str(&text), "\nPss_Anon:");
		ret->anonymous_kib += anonymous;
		ret->file_kib += all > anonymous ? all - anonymous : 0;
	}
}

static void usage_read(const struct tally *t, const struct watched *w, struct usage *ret)
{
	AUTO(buf_done) struct buf list = BUF_MAX(PROC_MAX + 1);
	char path[64];
	*ret = (struct usage){ .written = UINT64_MAX, .syncs = syncs_of(t, w->pid) };
	usage_add(w->pid, w->children, ret);
	(void)snprintf(path, sizeof path, "task/%ld/children", w->pid);
	if (!w->children || !proc_read(w->pid, path, &list) || FAILED(buf_add_char(&list, '\0', NULL)))
		return;
	char *end = list.p;
	for (long pid = strtol(end, &end, 10); pid > 0; pid = strtol(end, &end, 10))
		usage_add(pid, false, ret);
}

static void own_usage(const struct tally *own, struct usage *ret)
{
	const struct watched self = { .pid = getpid() };
	usage_read(own, &self, ret);
}

void tally_begin(struct tally *t)
{
	memset(t->hist, 0, sizeof t->hist);
	t->done = t->failed = t->refused = t->bad_nonces = t->reconnects = t->kind_count = 0;
	t->challenge_us = 0;
	for (size_t i = 0; i < t->watched_count; i++)
		usage_read(t, &t->watched[i], &t->watched[i].before);
	own_usage(t, &t->own_before);
	t->began_us = mono_us();
}

void tally_end(struct tally *t)
{
	t->ended_us = mono_us();
	own_usage(t, &t->own_after);
	for (size_t i = 0; i < t->watched_count; i++)
		usage_read(t, &t->watched[i], &t->watched[i].after);
}

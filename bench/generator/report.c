/* SPDX-License-Identifier: Apache-2.0
 *
 * report.c: the figures of one run, for a reader and as one JSON object.
 */
#include "generator.h"

#include <stdio.h>
#include <unistd.h>

#define REPORT_MAX 65536

static const char *const measured_names[M_COUNT] = {
	[M_ISSUANCE] = "whole",          [M_CONNECT] = "connect",    [M_NEW_NONCE] = "newNonce",
	[M_NEW_ACCOUNT] = "newAccount",  [M_NEW_ORDER] = "newOrder", [M_AUTHZ] = "authz",
	[M_CHALLENGE] = "challenge",     [M_POLL] = "poll",          [M_FINALIZE] = "finalize",
	[M_CERTIFICATE] = "certificate", [M_READ] = "read",          [M_REVOKE] = "revoke",
};

static uint64_t requests(const struct tally *t)
{
	uint64_t n = 0;
	for (size_t i = M_NEW_NONCE; i < M_COUNT; i++)
		n += t->hist[i].count;
	return n;
}

/* What was done before the time was up, a second; without an end in time, all of it. */
static double rate(const struct tally *t)
{
	int64_t us = t->time_up_us - t->began_us;
	return us > 0 ? (double)t->in_time * 1e6 / (double)us : 0;
}

static double each(const struct tally *t, double sum)
{
	return t->done == 0 ? 0 : sum / (double)t->done;
}

static void hist_text(const char *name, const struct hist *h)
{
	if (h->count > 0)
		printf("  %-12s %9llu %9.2f %9.2f %9.2f %9.2f\n", name, (unsigned long long)h->count,
		       (double)hist_at(h, 0.5) / 1e3, (double)hist_at(h, 0.9) / 1e3, (double)hist_at(h, 0.99) / 1e3,
		       (double)h->max / 1e3);
}

static void count_text(const struct tally *t, uint64_t a, uint64_t b, int digits)
{
	if (a == UINT64_MAX || b == UINT64_MAX)
		printf(" %9s", "-");
	else
		printf(" %9.*f", digits, each(t, (double)(b - a)));
}

static void usage_text(const struct tally *t, const char *name, const struct usage *a, const struct usage *b)
{
	const struct cpu cpu = usage_cpu(a, b);
	printf("  %-12s %9.1f %9.1f", name, each(t, cpu.user_us), each(t, cpu.sys_us));
	count_text(t, a->syncs, b->syncs, 2);
	count_text(t, a->written, b->written, 0);
	printf(" %9llu %9llu %9.1f\n", (unsigned long long)b->anonymous_kib, (unsigned long long)b->file_kib,
	       each(t, ((double)b->anonymous_kib - (double)a->anonymous_kib) * 1000));
}

void report_text(const struct tally *t, const struct report_about *a)
{
	printf("%s, %u clients, %u %s each: %llu done (%.1f a second), %llu failed, %llu refused for a while\n",
	       a->mode, a->clients, a->names, a->names == 1 ? "name" : "names", (unsigned long long)t->done, rate(t),
	       (unsigned long long)t->failed, (unsigned long long)t->refused);
	printf("  %.2f requests each, %.2f of them polls; %llu nonces refused, %llu connections lost; signatures of "
	       "%llu "
	       "certificates verified (1 in %u), all else of every one\n",
	       each(t, (double)requests(t)), each(t, (double)t->hist[M_POLL].count), (unsigned long long)t->bad_nonces,
	       (unsigned long long)t->reconnects, (unsigned long long)a->verified, a->share);
	printf("  %-12s %9s %9s %9s %9s %9s\n", "ms", "count", "p50", "p90", "p99", "max");
	for (size_t i = 0; i < M_COUNT; i++)
		hist_text(measured_names[i], &t->hist[i]);
	printf("  %-12s %9s %9s %9s %9s %9s %9s %9s\n", "us each", "user", "system", "syncs", "written", "anon KiB",
	       "file KiB", "KiB/1000");
	for (size_t i = 0; i < t->watched_count; i++)
		usage_text(t, t->watched[i].name, &t->watched[i].before, &t->watched[i].after);
	usage_text(t, "generator", &t->own_before, &t->own_after);
	double own = t->own_after.cpu_us - t->own_before.cpu_us;
	printf("  the generator: %.0f us each, %.1f signatures of OpenSSL (%.1f us); %.0f us of it for tls-alpn-01's "
	       "handshakes\n",
	       each(t, own), t->sign_us > 0 ? each(t, own) / t->sign_us : 0, t->sign_us, each(t, t->challenge_us));
	for (size_t i = 0; i < t->kind_count; i++)
		printf("  %llu x %s (%s)\n", (unsigned long long)t->kinds[i].count, t->kinds[i].what,
		       t->kinds[i].first);
}

/* --- JSON ------------------------------------------------------------------------------------------------------------*/

static void jw_kf(struct jw *w, const char *key, double v)
{
	char text[64];
	(void)snprintf(text, sizeof text, "%.3f", v);
	jw_key(w, key);
	jw_raw(w, str_z(text));
}

static void hist_json(struct jw *w, const char *name, const struct hist *h)
{
	if (h->count == 0)
		return;
	jw_key(w, name);
	jw_object(w);
	jw_ki64(w, "count", (int64_t)h->count);
	jw_kf(w, "p50_ms", (double)hist_at(h, 0.5) / 1e3);
	jw_kf(w, "p90_ms", (double)hist_at(h, 0.9) / 1e3);
	jw_kf(w, "p99_ms", (double)hist_at(h, 0.99) / 1e3);
	jw_kf(w, "max_ms", (double)h->max / 1e3);
	jw_object_end(w);
}

static void usage_json(struct jw *w, const struct tally *t, const char *name, const struct usage *a,
		       const struct usage *b)
{
	const struct cpu cpu = usage_cpu(a, b);
	jw_object(w);
	jw_kz(w, "name", name);
	jw_kf(w, "user_us", each(t, cpu.user_us));
	jw_kf(w, "sys_us", each(t, cpu.sys_us));
	if (a->syncs != UINT64_MAX && b->syncs != UINT64_MAX)
		jw_kf(w, "syncs", each(t, (double)(b->syncs - a->syncs)));
	if (a->written != UINT64_MAX && b->written != UINT64_MAX)
		jw_kf(w, "written", each(t, (double)(b->written - a->written)));
	jw_ki64(w, "anonymous_kib", (int64_t)b->anonymous_kib);
	jw_ki64(w, "file_kib", (int64_t)b->file_kib);
	jw_ki64(w, "anonymous_kib_before", (int64_t)a->anonymous_kib);
	jw_object_end(w);
}

static void counts_json(struct jw *w, const struct tally *t, const struct report_about *a)
{
	jw_kz(w, "mode", a->mode);
	jw_ki64(w, "clients", a->clients);
	jw_ki64(w, "names", a->names);
	jw_ki64(w, "orders", (int64_t)t->done);
	jw_ki64(w, "failed", (int64_t)t->failed);
	jw_ki64(w, "refused", (int64_t)t->refused);
	jw_ki64(w, "bad_nonces", (int64_t)t->bad_nonces);
	jw_ki64(w, "reconnects", (int64_t)t->reconnects);
	jw_ki64(w, "verified", (int64_t)a->verified);
	jw_kf(w, "seconds", (double)(t->time_up_us - t->began_us) / 1e6);
	jw_kf(w, "rate", rate(t));
	jw_kf(w, "requests", each(t, (double)requests(t)));
	jw_kf(w, "polls", each(t, (double)t->hist[M_POLL].count));
	jw_kf(w, "sign_us", t->sign_us);
	jw_kf(w, "challenge_us", each(t, t->challenge_us));
}

fallible report_json(const struct tally *t, const struct report_about *a, struct err *err)
{
	AUTO(buf_done) struct buf out = BUF_MAX(REPORT_MAX);
	struct jw w = jw_begin(&out, err);
	jw_object(&w);
	counts_json(&w, t, a);
	jw_key(&w, "took");
	jw_object(&w);
	for (size_t i = 0; i < M_COUNT; i++)
		hist_json(&w, measured_names[i], &t->hist[i]);
	jw_object_end(&w);
	jw_key(&w, "programs");
	jw_array(&w);
	for (size_t i = 0; i < t->watched_count; i++)
		usage_json(&w, t, t->watched[i].name, &t->watched[i].before, &t->watched[i].after);
	usage_json(&w, t, "generator", &t->own_before, &t->own_after);
	jw_array_end(&w);
	jw_key(&w, "failures");
	jw_array(&w);
	for (size_t i = 0; i < t->kind_count; i++) {
		jw_object(&w);
		jw_ki64(&w, "count", (int64_t)t->kinds[i].count);
		jw_kz(&w, "what", t->kinds[i].what);
		jw_kz(&w, "first", t->kinds[i].first);
		jw_object_end(&w);
	}
	jw_array_end(&w);
	jw_object_end(&w);
	TRY(jw_end(&w));
	TRY(buf_add_char(&out, '\n', err));
	return fd_write_all(STDOUT_FILENO, buf_str(&out), err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve_ask.c: blocking lookups over libunbound's asynchronous ones. A caller asks its one or two types at once and
 * sleeps; the library's dispatcher thread wakes it (resolve_library.c). The question is counted by its waiter and
 * by each outstanding callback, because a waiter may give up at the very moment when an answer arrives. libunbound
 * itself knows no deadline: it is kept here, and what libunbound gives up before it is asked again.
 */
#include "net/resolve_internal.h"

#include <stdlib.h>
#include <time.h>

#define PATIENCE_MIN_MS 3000
#define ASK_AGAIN_MIN_MS 500 /* with less time left, there is no use in asking again */
#define DNS_IN 1
#define DNS_A 1
#define DNS_TXT 16
#define DNS_AAAA 28
#define DNS_CAA 257

const struct ask_type address_types[ASK_COUNT] = {
	[ASK_AAAA] = { "AAAA", DNS_AAAA, AF_INET6, 16 },
	[ASK_A] = { "A", DNS_A, AF_INET, 4 },
};
const struct ask_type txt_type = { "TXT", DNS_TXT, AF_UNSPEC, 0 };
const struct ask_type caa_type = { "CAA", DNS_CAA, AF_UNSPEC, 0 };

struct ask_part {
	struct ask *ask;
	int id;
	bool asked, done;
	int error; /* of libunbound; 0: result is there */
	struct ub_result *result;
};
struct ask {
	struct library *library;
	pthread_mutex_t lock;
	pthread_cond_t answered;
	int refs; /* the waiter's and one for each callback that may still come */
	const struct ask_type *types;
	size_t count;
	struct ask_part parts[ASK_COUNT];
};

static struct ask *ask_new(struct library *library, const struct ask_type *types, size_t count)
{
	struct ask *a = mem_alloc(sizeof *a);
	a->library = library;
	a->refs = 1;
	a->types = types;
	a->count = count;
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&a->answered, &attr);
	pthread_condattr_destroy(&attr);
	for (size_t i = 0; i < count; i++)
		a->parts[i].ask = a;
	return a;
}

static void ask_unref(struct ask *a)
{
	pthread_mutex_lock(&a->lock);
	bool last = --a->refs == 0;
	pthread_mutex_unlock(&a->lock);
	if (!last)
		return;
	for (size_t i = 0; i < a->count; i++)
		ub_resolve_free(a->parts[i].result); /* accepts NULL */
	pthread_cond_destroy(&a->answered);
	pthread_mutex_destroy(&a->lock);
	free(a);
}

/* Dispatcher thread, inside ub_process. The result is ours to free. */
static void answer_cb(void *arg, int error, struct ub_result *result)
{
	struct ask_part *part = arg;
	struct ask *a = part->ask;
	pthread_mutex_lock(&a->lock);
	part->done = true;
	part->error = error;
	part->result = result;
	pthread_cond_signal(&a->answered);
	pthread_mutex_unlock(&a->lock);
	ask_unref(a);
}

static fallible ask_send(struct ask *a, const char *name, struct err *err)
{
	struct ub_ctx *ctx = library_ctx(a->library);
	for (size_t i = 0; i < a->count; i++) {
		struct ask_part *part = &a->parts[i];
		pthread_mutex_lock(&a->lock);
		a->refs++;
		pthread_mutex_unlock(&a->lock);
		int rc = ub_resolve_async(ctx, name, a->types[i].rrtype, DNS_IN, part, answer_cb, &part->id);
		if (rc != UB_NOERROR) {
			ask_unref(a);
			err_cause(err, "ub_resolve_async: %s", ub_strerror(rc));
			FAIL(err, ERR_INTERNAL, "the DNS library refused a lookup of %s", name);
		}
		part->asked = true;
	}
	return OK;
}

static bool ask_is_done(const struct ask *a)
{
	for (size_t i = 0; i < a->count; i++)
		if (a->parts[i].asked && !a->parts[i].done)
			return false;
	return true;
}

static void ask_wait(struct ask *a, const struct timespec *until)
{
	pthread_mutex_lock(&a->lock);
	while (!ask_is_done(a))
		if (pthread_cond_timedwait(&a->answered, &a->lock, until) != 0)
			break;
	pthread_mutex_unlock(&a->lock);
}

/* Ends the waiter's part. A successful ub_cancel promises that the callback will not come, so its count is ours to
 * drop; a failed one means that the callback has come or is coming, and drops it itself. */
void ask_end(struct ask *a)
{
	struct library *library = a->library;
	for (size_t i = 0; i < a->count; i++) {
		struct ask_part *part = &a->parts[i];
		pthread_mutex_lock(&a->lock);
		bool open = part->asked && !part->done;
		pthread_mutex_unlock(&a->lock);
		if (open && ub_cancel(library_ctx(library), part->id) == UB_NOERROR)
			ask_unref(a);
	}
	ask_unref(a);
	library_unref(library);
}

static void part_read(const struct ask_part *part, const struct ask_type *type, struct outcome *ret)
{
	*ret = (struct outcome){ .type = type, .answered = part->done, .error = part->error };
	if (part->done && part->error == 0 && part->result != NULL)
		outcome_read(part->result, ret);
}

/* Asks once and waits; *ret_ask as with ask_dns. */
static fallible ask_once(struct resolver *r, const struct ask_type *types, size_t count, const char *name,
			 const struct timespec *until, struct outcome *out, struct ask **ret_ask, struct err *err)
{
	struct ask *a = ask_new(library_ref(r), types, count);
	struct rc rc = library_check(a->library, name, err);
	if (rc.kind == ERR_NONE)
		rc = ask_send(a, name, err);
	if (rc.kind != ERR_NONE) {
		ask_end(a);
		return rc;
	}
	ask_wait(a, until);
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < count; i++)
		part_read(&a->parts[i], &types[i], &out[i]);
	pthread_mutex_unlock(&a->lock);
	*ret_ask = a;
	return OK;
}

/* When nobody answers, the library has enough after a while, 4 s at the least and mostly 12 s or more, and says SERVFAIL
 * as if somebody had said so. A server that says so itself is asked five times in a row, which takes no time. */
static bool has_given_up(const struct outcome *o, size_t count, int64_t took_ms)
{
	bool servfail = false;
	for (size_t i = 0; i < count; i++) {
		if (!o[i].answered || o[i].error != 0 || o[i].data != NULL || o[i].bogus || o[i].nxdomain)
			return false;
		servfail = servfail || o[i].rcode == RCODE_SERVFAIL;
	}
	return servfail && took_ms >= PATIENCE_MIN_MS;
}

static bool is_bogus(const struct outcome *o, size_t count)
{
	bool bogus = false;
	for (size_t i = 0; i < count; i++)
		bogus = bogus || o[i].bogus;
	return bogus;
}

fallible ask_dns(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, const struct ask_type *types,
		 size_t count, struct question *q, struct outcome *out, struct ask **ret_ask, struct err *err)
{
	const int64_t began = clock_mono_ms(clk);
	if (began >= deadline_mono_ms) /* an answer that comes at once must not hide that the time is over */
		FAIL(err, ERR_DNS, "looking up %s: the time for it was over before the question was asked", q->name);
	q->from = resolver_describe(r, str_z(q->name));
	q->waited_ms = deadline_mono_ms - began;
	const struct timespec until = mono_after_ms(deadline_mono_ms - clock_mono_ms(clk));
	bool doubted = false;
	for (int64_t asked = began;;) {
		struct ask *a;
		TRY(ask_once(r, types, count, q->name, &until, out, &a, err));
		int64_t now = clock_mono_ms(clk);
		bool again = has_given_up(out, count, now - asked);
		if (is_bogus(out, count) && library_doubt(a->library, now) && !doubted)
			again = doubted = true;
		if (again && deadline_mono_ms - now >= ASK_AGAIN_MIN_MS) {
			ask_end(a);
			asked = now;
			continue;
		}
		struct rc rc = count > 0 && !out[0].answered ? library_check(a->library, q->name, err) : OK;
		if (rc.kind != ERR_NONE)
			ask_end(a);
		else
			*ret_ask = a;
		return rc;
	}
}

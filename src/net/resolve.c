/* SPDX-License-Identifier: Apache-2.0
 *
 * resolve.c: blocking lookups over libunbound's asynchronous ones. A caller asks its one or two types at once and
 * sleeps; one dispatcher thread polls libunbound's descriptor and wakes it. The question is counted by its waiter and by each
 * outstanding callback, because a waiter may give up at the very moment when an answer arrives. libunbound itself has
 * no time limit (a dead forwarder takes 17 s), so the deadline is kept here. Nothing is read from /etc/hosts.
 */
#include "net/resolve.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unbound.h>
#include <unistd.h>

#define RESOLVE_STACK (256 * 1024)
#define RESOLVE_SERVERS_MAX 8
#define RESOLV_CONF "/etc/resolv.conf"
#define FORWARDS_TEXT_MAX (512 * 1024)
#define RESOLV_CONF_MAX (64 * 1024)
#define DNS_IN 1
#define DNS_A 1
#define DNS_TXT 16
#define DNS_AAAA 28
#define DNS_CAA 257
#define RCODE_SERVFAIL 2
#define FAMILY_ADDRS_MAX (RESOLVE_ADDRS_MAX / 2) /* so that neither family can crowd the other out */

struct forward { /* names at or below the domain */
	struct str domain, description;
};

struct resolver {
	struct arena mem; /* statics, description */
	struct resolve_static *statics;
	size_t static_count;
	struct str description;
	struct forward *forwards;
	size_t forward_count;
	struct ub_ctx *ctx; /* NULL: no server is known, only the static table answers */
	int wake_fd;
	pthread_t dispatcher;
	bool dispatching;
};

/* --- one question, one or two types -----------------------------------------------------------------------------*/

struct ask_type {
	const char *name;
	int rrtype, family;
	int size; /* of an address */
};
enum { ASK_AAAA, ASK_A, ASK_COUNT };
static const struct ask_type address_types[] = {
	[ASK_AAAA] = { "AAAA", DNS_AAAA, AF_INET6, 16 },
	[ASK_A] = { "A", DNS_A, AF_INET, 4 },
};
static_assert(ARRAY_LEN(address_types) == ASK_COUNT, "name them all");
static const struct ask_type txt_type = { "TXT", DNS_TXT, AF_UNSPEC, 0 };
static const struct ask_type caa_type = { "CAA", DNS_CAA, AF_UNSPEC, 0 };

struct ask;
struct ask_part {
	struct ask *ask;
	int id;
	bool asked, done;
	int error; /* of libunbound; 0: result is there */
	struct ub_result *result;
};
struct ask {
	pthread_mutex_t lock;
	pthread_cond_t answered;
	int refs; /* the waiter's and one for each callback that may still come */
	const struct ask_type *types;
	size_t count;
	struct ask_part parts[ASK_COUNT];
};

static struct ask *ask_new(const struct ask_type *types, size_t count)
{
	struct ask *a = mem_alloc(sizeof *a);
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

static fallible ask_send(struct ask *a, struct ub_ctx *ctx, const char *name, struct err *err)
{
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

static struct timespec real_deadline(const struct clock *clk, int64_t deadline_mono_ms)
{
	int64_t left = deadline_mono_ms - clock_mono_ms(clk);
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	if (left <= 0)
		return t;
	t.tv_sec += (time_t)(left / 1000);
	t.tv_nsec += (long)(left % 1000) * 1000000L;
	if (t.tv_nsec >= 1000000000L) {
		t.tv_nsec -= 1000000000L;
		t.tv_sec++;
	}
	return t;
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
static void ask_end(struct ask *a, struct ub_ctx *ctx)
{
	for (size_t i = 0; i < a->count; i++) {
		struct ask_part *part = &a->parts[i];
		pthread_mutex_lock(&a->lock);
		bool open = part->asked && !part->done;
		pthread_mutex_unlock(&a->lock);
		if (open && ub_cancel(ctx, part->id) == UB_NOERROR)
			ask_unref(a);
	}
	ask_unref(a);
}

/* --- reading the answers ------------------------------------------------------------------------------------------*/

/* What one type's lookup came to; text and data belong to the result, which the ask keeps. */
struct outcome {
	const struct ask_type *type;
	bool answered, bogus, secure, nxdomain;
	int error, rcode;
	const char *why_bogus, *canonical;
	const struct ub_result *data; /* NULL: none, or none that may be looked at */
	struct addr addrs[FAMILY_ADDRS_MAX];
	size_t count;
};
/* The words in which a question's failures are told. */
struct question {
	const char *name;
	struct str from;
	int64_t waited_ms;
	const char *wanted;
};

static void outcome_read(const struct ask_part *part, const struct ask_type *type, struct outcome *ret)
{
	*ret = (struct outcome){ .type = type, .answered = part->done, .error = part->error };
	const struct ub_result *r = part->result;
	if (!part->done || part->error != 0 || r == NULL)
		return;
	ret->rcode = r->rcode;
	ret->secure = r->secure != 0;
	ret->nxdomain = r->nxdomain != 0;
	ret->bogus = r->bogus != 0;
	ret->why_bogus = r->why_bogus;
	/* A bogus answer says havedata too: what it carries must never be looked at. */
	if (ret->bogus)
		return;
	ret->canonical = r->canonname;
	if (r->havedata != 0)
		ret->data = r;
}

static void outcome_read_addrs(struct outcome *o)
{
	const struct ub_result *r = o->data;
	for (size_t i = 0; r != NULL && r->data[i] != NULL && o->count < FAMILY_ADDRS_MAX; i++) {
		if (r->len[i] != o->type->size)
			continue;
		struct addr *to = &o->addrs[o->count++];
		to->family = o->type->family;
		memcpy(to->b, r->data[i], (size_t)r->len[i]);
	}
}

static const char *rcode_name(int rcode)
{
	static const char *const names[] = { "NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED" };
	return rcode >= 0 && (size_t)rcode < ARRAY_LEN(names) ? names[rcode] : "an unknown error code";
}

/* The failure of one type's lookup; OK when the answer is one, if only that there is nothing. */
static fallible outcome_check(const struct outcome *o, const struct question *q, struct err *err)
{
	if (!o->answered)
		FAIL(err, ERR_DNS,
		     "looking up %s of %s: no answer from %.*s within %.1f s; check that the resolver runs and that "
		     "the name's servers answer it",
		     o->type->name, q->name, STR_FMT(q->from), (double)q->waited_ms / 1000.0);
	if (o->error == UB_SYNTAX)
		FAIL(err, ERR_DNS, "%s cannot be looked up: it is not a DNS name", q->name);
	if (o->error != 0) {
		err_cause(err, "libunbound: %s", ub_strerror(o->error));
		FAIL(err, ERR_INTERNAL, "the DNS library failed to look up %s of %s", o->type->name, q->name);
	}
	if (o->bogus)
		FAIL(err, ERR_DNS,
		     "looking up %s of %s: the answer from %.*s is bogus (DNSSEC): %.200s; wanted a valid chain of "
		     "signatures; check the zone's DS and RRSIG records",
		     o->type->name, q->name, STR_FMT(q->from), o->why_bogus == NULL ? "no reason given" : o->why_bogus);
	if (o->rcode != 0 && !o->nxdomain)
		FAIL(err, ERR_DNS,
		     "looking up %s of %s: %s from %.*s%s; wanted %s; check the name servers of this name",
		     o->type->name, q->name, rcode_name(o->rcode), STR_FMT(q->from),
		     o->rcode == RCODE_SERVFAIL ? " (it failed, or did not answer)" : "", q->wanted);
	return OK;
}

static fallible addresses_fail(const struct outcome o[ASK_COUNT], const struct question *q, struct err *err)
{
	/* What was answered tells more than what was not. */
	for (size_t i = 0; i < ASK_COUNT; i++)
		if (o[i].answered && o[i].error != 0)
			return outcome_check(&o[i], q, err);
	for (size_t i = 0; i < ASK_COUNT; i++)
		if (o[i].nxdomain)
			FAIL(err, ERR_DNS,
			     "%s does not exist: NXDOMAIN from %.*s; wanted an A or AAAA record; publish one, or "
			     "correct the name",
			     q->name, STR_FMT(q->from));
	for (size_t i = 0; i < ASK_COUNT; i++)
		if (o[i].answered)
			TRY(outcome_check(&o[i], q, err));
	for (size_t i = 0; i < ASK_COUNT; i++)
		TRY(outcome_check(&o[i], q, err));
	FAIL(err, ERR_DNS, "%s has no address: no A and no AAAA record from %.*s; wanted one of them; publish it",
	     q->name, STR_FMT(q->from));
}

static fallible addresses_join(struct outcome o[ASK_COUNT], const struct question *q, struct arena *mem,
			       struct resolve_answer *ret, struct err *err)
{
	for (size_t i = 0; i < ASK_COUNT; i++) {
		ret->nxdomain = ret->nxdomain || o[i].nxdomain;
		/* One forged type spoils the other: the records of a name come from one zone. */
		if (o[i].bogus) {
			ret->dnssec = DNSSEC_BOGUS;
			return outcome_check(&o[i], q, err);
		}
		outcome_read_addrs(&o[i]);
	}
	if (o[ASK_AAAA].count + o[ASK_A].count == 0)
		return addresses_fail(o, q, err);
	ret->addrs = ARENA_ARRAY(mem, struct addr, RESOLVE_ADDRS_MAX);
	bool secure = true;
	for (size_t i = 0; i < ASK_COUNT; i++) {
		secure = secure && (o[i].count == 0 || o[i].secure);
		for (size_t k = 0; k < o[i].count; k++)
			ret->addrs[ret->addr_count++] = o[i].addrs[k];
	}
	ret->dnssec = secure ? DNSSEC_SECURE : DNSSEC_INSECURE;
	return OK;
}

fallible resolve_txt_join(struct str rdata, struct arena *mem, struct str *ret, struct err *err)
{
	char *out = arena_alloc(mem, rdata.n + 1); /* joined, they are shorter: no string's length is kept */
	size_t n = 0;
	uint8_t length;
	struct str one;
	for (struct cur c = cur_of(rdata); !cur_end(&c);) {
		TRY(cur_u8(&c, &length, err));
		TRY(cur_take(&c, length, &one, err));
		if (one.n > 0)
			memcpy(out + n, one.p, one.n);
		n += one.n;
	}
	*ret = str_n(out, n);
	return OK;
}

/* Empty: the name that was asked. */
static struct str canonical_read(const struct outcome *o, const struct question *q, struct arena *mem)
{
	struct str canonical = str_z(o->canonical);
	if (str_ends(canonical, STR(".")))
		canonical.n--;
	return str_eq_nocase(canonical, str_z(q->name)) ? STR_NONE : str_dup(mem, canonical);
}

static size_t data_count(const struct ub_result *r)
{
	size_t n = 0;
	while (r->data[n] != NULL)
		n++;
	return n;
}

static fallible txt_read(const struct outcome *o, const struct question *q, struct arena *mem,
			 struct resolve_txt_answer *ret, struct err *err)
{
	ret->nxdomain = o->nxdomain && !o->bogus;
	ret->dnssec = o->bogus ? DNSSEC_BOGUS : o->secure ? DNSSEC_SECURE : DNSSEC_INSECURE;
	TRY(outcome_check(o, q, err));
	ret->canonical = canonical_read(o, q, mem);
	const struct ub_result *r = o->data;
	if (r == NULL)
		return OK;
	size_t n = data_count(r);
	ret->records = ARENA_ARRAY(mem, struct str, n < RESOLVE_TXT_MAX ? n : RESOLVE_TXT_MAX);
	for (size_t i = 0; i < n; i++)
		if (ret->count < RESOLVE_TXT_MAX && r->len[i] >= 0 &&
		    !FAILED(resolve_txt_join(str_n(r->data[i], (size_t)r->len[i]), mem, &ret->records[ret->count],
					     NULL)))
			ret->count++;
		else
			ret->left_out++;
	return OK;
}

fallible resolve_caa_read(struct str rdata, struct resolve_caa_record *ret, struct err *err)
{
	struct resolve_caa_record rec = { .flags = 0 };
	struct cur c = cur_of(rdata);
	uint8_t length;
	TRY(cur_u8(&c, &rec.flags, err));
	TRY(cur_u8(&c, &length, err));
	if (length == 0)
		FAIL(err, ERR_MALFORMED, "a CAA record without a tag");
	TRY(cur_take(&c, length, &rec.tag, err));
	rec.value = cur_rest(&c);
	if (rec.value.n > RESOLVE_CAA_VALUE_MAX)
		FAIL(err, ERR_MALFORMED, "a CAA record with a value of %zu bytes; at most %d are read", rec.value.n,
		     RESOLVE_CAA_VALUE_MAX);
	*ret = rec;
	return OK;
}

static fallible caa_read(const struct outcome *o, const struct question *q, struct arena *mem,
			 struct resolve_caa_answer *ret, struct err *err)
{
	ret->nxdomain = o->nxdomain && !o->bogus;
	ret->dnssec = o->bogus ? DNSSEC_BOGUS : o->secure ? DNSSEC_SECURE : DNSSEC_INSECURE;
	TRY(outcome_check(o, q, err));
	ret->canonical = canonical_read(o, q, mem);
	const struct ub_result *r = o->data;
	size_t n = r == NULL ? 0 : data_count(r);
	ret->records = ARENA_ARRAY(mem, struct resolve_caa_record, n < RESOLVE_CAA_MAX ? n : RESOLVE_CAA_MAX);
	for (size_t i = 0; i < n; i++) {
		struct resolve_caa_record rec;
		if (ret->count == RESOLVE_CAA_MAX || r->len[i] < 0 ||
		    FAILED(resolve_caa_read(str_n(r->data[i], (size_t)r->len[i]), &rec, NULL))) {
			ret->left_out++;
			continue;
		}
		ret->records[ret->count++] =
			(struct resolve_caa_record){ rec.flags, str_dup(mem, rec.tag), str_dup(mem, rec.value) };
	}
	return OK;
}

/* --- asking -------------------------------------------------------------------------------------------------------*/

/* Asks and waits. On success *ret_ask is the caller's to end, and holds what `out` points at. */
static fallible ask_dns(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms,
			const struct ask_type *types, size_t count, struct question *q, struct outcome *out,
			struct ask **ret_ask, struct err *err)
{
	int64_t began = clock_mono_ms(clk);
	if (began >= deadline_mono_ms) /* an answer that comes at once must not hide that the time is over */
		FAIL(err, ERR_DNS, "looking up %s: the time for it was over before the question was asked", q->name);
	struct timespec until = real_deadline(clk, deadline_mono_ms);
	struct ask *a = ask_new(types, count);
	struct rc rc = ask_send(a, r->ctx, q->name, err);
	if (rc.kind != ERR_NONE) {
		ask_end(a, r->ctx);
		return rc;
	}
	ask_wait(a, &until);
	pthread_mutex_lock(&a->lock);
	for (size_t i = 0; i < count; i++)
		outcome_read(&a->parts[i], &types[i], &out[i]);
	pthread_mutex_unlock(&a->lock);
	q->from = resolver_describe(r, str_z(q->name));
	q->waited_ms = deadline_mono_ms - began;
	*ret_ask = a;
	return OK;
}

/* --- the static table --------------------------------------------------------------------------------------------*/

/* The most specific pattern that matches: the name itself, else the longest wildcard. */
static struct str static_find(const struct resolver *r, struct str name)
{
	struct str best = STR_NONE;
	for (size_t i = 0; i < r->static_count; i++) {
		struct str pattern = r->statics[i].pattern;
		if (str_eq_nocase(pattern, name))
			return pattern;
		if (!str_starts(pattern, STR("*.")))
			continue;
		struct str tail = str_sub(pattern, 1, pattern.n); /* ".a.test": something must stand before it */
		bool below = name.n > tail.n && str_eq_nocase(str_sub(name, name.n - tail.n, name.n), tail);
		if (below && pattern.n > best.n)
			best = pattern;
	}
	return best;
}

static bool ask_static(const struct resolver *r, struct str name, struct arena *mem, struct resolve_answer *ret)
{
	struct str pattern = static_find(r, name);
	if (pattern.p == NULL)
		return false;
	ret->addrs = ARENA_ARRAY(mem, struct addr, RESOLVE_ADDRS_MAX);
	ret->from_static = true;
	for (size_t t = 0; t < ASK_COUNT; t++) {
		size_t of_type = 0;
		for (size_t i = 0; i < r->static_count && of_type < FAMILY_ADDRS_MAX; i++) {
			const struct resolve_static *s = &r->statics[i];
			if (s->addr.family != address_types[t].family || !str_eq_nocase(s->pattern, pattern))
				continue;
			ret->addrs[ret->addr_count++] = s->addr;
			of_type++;
		}
	}
	return true;
}

static fallible name_usable(const struct resolver *r, struct str name, struct arena *mem, char **ret, struct err *err)
{
	if (name.n == 0 || name.n > NAME_MAX_LEN)
		FAIL(err, ERR_DNS, "a name of %zu bytes cannot be looked up; wanted 1 to %d", name.n, NAME_MAX_LEN);
	if (r->ctx == NULL)
		FAIL(err, ERR_DNS,
		     "%.*s is not in the static table, and no resolver is configured; set zone.resolvers, or name "
		     "servers in %s",
		     STR_FMT(name), RESOLV_CONF);
	return str_dupz(mem, name, ret, err);
}

fallible resolve_addrs(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, struct str name,
		       struct arena *mem, struct resolve_answer *ret, struct err *err)
{
	*ret = (struct resolve_answer){ .dnssec = DNSSEC_INSECURE };
	if (name.n > 0 && ask_static(r, name, mem, ret))
		return OK;
	char *namez;
	TRY(name_usable(r, name, mem, &namez, err));
	struct question q = { .name = namez, .wanted = "an address" };
	struct outcome o[ASK_COUNT];
	struct ask *a;
	TRY(ask_dns(r, clk, deadline_mono_ms, address_types, ASK_COUNT, &q, o, &a, err));
	struct rc rc = addresses_join(o, &q, mem, ret, err);
	ask_end(a, r->ctx);
	return rc;
}

fallible resolve_txt(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, struct str name,
		     struct arena *mem, struct resolve_txt_answer *ret, struct err *err)
{
	*ret = (struct resolve_txt_answer){ .dnssec = DNSSEC_INSECURE };
	char *namez;
	TRY(name_usable(r, name, mem, &namez, err));
	struct question q = { .name = namez, .wanted = "a TXT record" };
	struct outcome o;
	struct ask *a;
	TRY(ask_dns(r, clk, deadline_mono_ms, &txt_type, 1, &q, &o, &a, err));
	struct rc rc = txt_read(&o, &q, mem, ret, err);
	ask_end(a, r->ctx);
	return rc;
}

fallible resolve_caa(struct resolver *r, const struct clock *clk, int64_t deadline_mono_ms, struct str name,
		     struct arena *mem, struct resolve_caa_answer *ret, struct err *err)
{
	*ret = (struct resolve_caa_answer){ .dnssec = DNSSEC_INSECURE };
	char *namez;
	TRY(name_usable(r, name, mem, &namez, err));
	struct question q = { .name = namez, .wanted = "an answer, if only that there is no CAA record" };
	struct outcome o;
	struct ask *a;
	TRY(ask_dns(r, clk, deadline_mono_ms, &caa_type, 1, &q, &o, &a, err));
	struct rc rc = caa_read(&o, &q, mem, ret, err);
	ask_end(a, r->ctx);
	return rc;
}

bool resolver_has_static(const struct resolver *r, struct str name)
{
	return name.n > 0 && static_find(r, name).p != NULL;
}

/* --- making one ---------------------------------------------------------------------------------------------------*/

struct server {
	struct addr addr;
	uint16_t port;
};

static fallible server_read(struct str text, struct server *ret, struct err *err)
{
	ret->port = 53;
	if (!FAILED(addr_read(text, &ret->addr, NULL)))
		return OK;
	if (FAILED(addr_port_read(text, &ret->addr, &ret->port, NULL)) || ret->port == 0 || text.p[0] == ':')
		FAIL(err, ERR_CONFIG,
		     "resolver \"%.*s\" is not an address; wanted \"192.0.2.53\", \"127.0.0.1:5353\" or \"[::1]:53\"",
		     STR_FMT(text));
	return OK;
}

/* The nameserver lines of resolv.conf(5). What cannot be read is passed over, as the C library does: the file belongs
 * to the system, and an address with a zone ("fe80::1%eth0") is none of ours. */
static size_t servers_of_system(struct server out[RESOLVE_SERVERS_MAX])
{
	AUTO(buf_done) struct buf text = BUF_MAX(RESOLV_CONF_MAX);
	size_t n = 0;
	if (FAILED(file_read(RESOLV_CONF, RESOLV_CONF_MAX, &text, NULL)))
		return 0;
	struct str all = buf_str(&text);
	for (size_t at = 0; at < all.n && n < RESOLVE_SERVERS_MAX;) {
		size_t end = str_find(all, '\n', at);
		struct str line = str_trim(str_sub(all, at, end));
		at = end + 1;
		if (!str_skip(&line, STR("nameserver")) || line.n == 0 || (line.p[0] != ' ' && line.p[0] != '\t'))
			continue;
		line = str_trim(line);
		out[n].port = 53;
		if (!FAILED(addr_read(line, &out[n].addr, NULL)))
			n++;
	}
	return n;
}

static fallible servers_list(const struct str *texts, size_t n, struct server out[RESOLVE_SERVERS_MAX], struct err *err)
{
	if (n > RESOLVE_SERVERS_MAX)
		FAIL(err, ERR_CONFIG, "%zu resolvers are too many; at most %d", n, RESOLVE_SERVERS_MAX);
	for (size_t i = 0; i < n; i++)
		TRY(server_read(texts[i], &out[i], err));
	return OK;
}

static fallible servers_read(const struct resolve_conf *conf, struct server out[RESOLVE_SERVERS_MAX], size_t *ret_n,
			     struct err *err)
{
	TRY(servers_list(conf->servers, conf->server_count, out, err));
	*ret_n = conf->server_count > 0 ? conf->server_count : servers_of_system(out);
	return OK;
}

static struct str server_show(struct arena *mem, const struct server *s, char separator)
{
	char text[ADDR_TEXT_MAX];
	addr_show(&s->addr, text);
	if (separator == ':' && s->port == 53)
		return str_fmt(mem, "%s", text);
	if (separator == ':' && s->addr.family == AF_INET6)
		return str_fmt(mem, "[%s]:%u", text, s->port);
	return str_fmt(mem, "%s%c%u", text, separator, s->port);
}

static struct str servers_show(struct arena *mem, const char *before, const struct server *servers, size_t n)
{
	struct str all = str_z(before);
	for (size_t i = 0; i < n; i++) {
		struct str one = server_show(mem, &servers[i], ':');
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(one));
	}
	return all;
}

static struct str describe(struct resolver *r, const struct server *servers, size_t n, bool of_system)
{
	if (n == 0)
		return r->static_count > 0 ? STR("static table") : STR("no resolver");
	return servers_show(&r->mem, of_system ? "system resolvers " : "", servers, n);
}

static fallible ub_check(int rc, const char *what, struct err *err)
{
	if (rc == UB_NOERROR)
		return OK;
	FAIL(err, ERR_CONFIG, "DNS library: %s: %s", what, ub_strerror(rc));
}

static fallible ub_options(struct ub_ctx *ctx, struct err *err)
{
	const char *const options[][2] = {
		{ "do-not-query-localhost:", "no" }, /* a resolver on this host is the usual case */
		/* Nothing is kept, so that a corrected record counts at once. Zones' keys are asked for again too:
		 * the library cannot tell the one from the other, and its servers have them. */
		{ "cache-max-ttl:", "0" },
		{ "cache-max-negative-ttl:", "0" },
		/* Nor is a failure, or a denial without SOA, which the library would keep for 5 s. */
		{ "msg-cache-size:", "0" },
		{ "rrset-cache-size:", "0" },
		{ "msg-cache-slabs:", "1" },
		{ "rrset-cache-slabs:", "1" },
		{ "val-bogus-ttl:", "0" },
		/* Signatures end when they say so, but for a difference of clocks. The library by itself takes them for up
		 * to a day more (a tenth of their life). */
		{ "val-sig-skew-min:", "300" },
		{ "val-sig-skew-max:", "300" },
		{ "aggressive-nsec:", "no" }, /* would answer for names that were never asked */
		/* Of several servers, one that is silent must be known for long enough to be passed over (with 0, it is
		 * chosen again and again, measured: 5 s and more). But names that nobody answers, which clients
		 * choose, must not make the library take all of its servers for dead and leave them out for minutes:
		 * in 2 s its patience with one does not grow so far. */
		{ "infra-host-ttl:", "2" },
		/* The library's own 16 sockets are soon full of such questions, and then everybody waits. */
		{ "outgoing-range:", "256" },
		{ "num-queries-per-thread:", "512" },
		{ "outgoing-num-tcp:", "32" },
		{ "use-caps-for-id:", "yes" }, /* THREATS A41 */
		{ "edns-buffer-size:", "1232" },
		{ "use-syslog:", "no" },
	};
	for (size_t i = 0; i < ARRAY_LEN(options); i++)
		TRY(ub_check(ub_ctx_set_option(ctx, options[i][0], options[i][1]), options[i][0], err));
	return OK;
}

/* It goes into the library's configuration: a domain and nothing else. */
static fallible domain_check(struct str domain, struct err *err)
{
	bool good = domain.n > 0 && domain.n <= NAME_MAX_LEN && domain.p[0] != '.' && !str_ends(domain, STR("."));
	for (size_t i = 0; good && i < domain.n; i++) {
		char c = domain.p[i];
		good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
		       (c == '.' && domain.p[i - 1] != '.');
	}
	if (!good)
		FAIL(err, ERR_CONFIG, "\"%.*s\" is not a domain to forward; wanted one such as corp.example",
		     STR_FMT(domain));
	return OK;
}

static fallible forward_write(struct resolver *r, const struct resolve_forward *f, struct forward *to, struct buf *out,
			      struct err *err)
{
	struct server servers[RESOLVE_SERVERS_MAX];
	TRY(domain_check(f->domain, err));
	TRY(servers_list(f->servers, f->server_count, servers, err));
	if (f->server_count == 0)
		FAIL(err, ERR_CONFIG, "no server to forward %.*s to", STR_FMT(f->domain));
	*to = (struct forward){ str_dup(&r->mem, f->domain), servers_show(&r->mem, "", servers, f->server_count) };
	TRY(buf_addf(out, err, "forward-zone:\n  name: \"%.*s.\"\n", STR_FMT(f->domain)));
	for (size_t i = 0; i < f->server_count; i++)
		TRY(buf_addf(out, err, "  forward-addr: %.*s\n", STR_FMT(server_show(&r->mem, &servers[i], '@'))));
	return OK;
}

/* One context for all: aliases lead from one domain's servers to another's, and validation has one chain. Only a
 * file can tell the library of such domains, so it is given one that lies in memory. */
static fallible ub_forwards(struct resolver *r, const struct resolve_conf *conf, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(FORWARDS_TEXT_MAX);
	char path[32];
	r->forwards = ARENA_ARRAY(&r->mem, struct forward, conf->forward_count);
	for (size_t i = 0; i < conf->forward_count; i++)
		TRY(forward_write(r, &conf->forwards[i], &r->forwards[r->forward_count++], &text, err));
	if (text.n == 0)
		return OK;
	AUTO(fd_close) int fd = memfd_create("forwards", MFD_CLOEXEC);
	if (fd < 0)
		FAIL(err, ERR_IO, "memfd_create: %s", strerror(errno));
	TRY(fd_write_all(fd, buf_str(&text), err));
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	return ub_check(ub_ctx_config(r->ctx, path), "zone.forwards", err);
}

static fallible ub_setup(struct resolver *r, const struct resolve_conf *conf, const struct server *servers, size_t n,
			 struct err *err)
{
	struct ub_ctx *ctx = r->ctx;
	AUTO(arena_done) struct arena mem = { 0 };
	/* Its messages would go to stderr; results say what matters. */
	TRY(ub_check(ub_ctx_debugout(ctx, NULL), "debug output", err));
	TRY(ub_options(ctx, err));
	for (size_t i = 0; i < n; i++) {
		const char *fwd = str_dupz_raw(&mem, server_show(&mem, &servers[i], '@'));
		TRY(ub_check(ub_ctx_set_fwd(ctx, fwd), fwd, err));
	}
	TRY(ub_forwards(r, conf, err));
	if (conf->trust_anchor_file.n > 0) {
		char *path;
		TRY(str_dupz(&mem, conf->trust_anchor_file, &path, err));
		if (access(path, R_OK) != 0)
			FAIL(err, ERR_CONFIG, "trust anchor file %s: %s", path, strerror(errno));
		TRY(ub_check(ub_ctx_add_ta_file(ctx, path), path, err));
	}
	TRY(ub_check(ub_ctx_async(ctx, 1), "threads", err));
	/* Built-in zones answer NXDOMAIN for these, which private networks use. The first ub_ctx_zone_add finalises the
	 * context: nothing above may come after it. */
	static const char *const zones[] = { "test.", "invalid.", "home.arpa." };
	for (size_t i = 0; i < ARRAY_LEN(zones); i++)
		TRY(ub_check(ub_ctx_zone_add(ctx, zones[i], "nodefault"), zones[i], err));
	return OK;
}

static void *dispatch(void *arg)
{
	struct resolver *r = arg;
	struct pollfd fds[] = { { .fd = ub_fd(r->ctx), .events = POLLIN }, { .fd = r->wake_fd, .events = POLLIN } };
	for (;;) {
		if (poll(fds, ARRAY_LEN(fds), -1) < 0)
			continue; /* EINTR: the program's signals may land here */
		if (fds[1].revents != 0)
			return NULL;
		/* Failure here is a lost pipe to the library's own thread: the deadline of every waiter still holds. */
		if (fds[0].revents != 0 && ub_process(r->ctx) != UB_NOERROR)
			fds[0].fd = -1;
	}
}

static fallible dispatch_start(struct resolver *r, struct err *err)
{
	r->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (r->wake_fd < 0)
		FAIL(err, ERR_IO, "eventfd: %s", strerror(errno));
	pthread_attr_t attr;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, RESOLVE_STACK);
	int rc = pthread_create(&r->dispatcher, &attr, dispatch, r);
	pthread_attr_destroy(&attr);
	if (rc != 0)
		FAIL(err, ERR_IO, "starting the resolver thread: %s", strerror(rc));
	r->dispatching = true;
	return OK;
}

static void resolver_auto(struct resolver **r)
{
	resolver_free(*r);
}

fallible resolver_new(const struct resolve_conf *conf, struct resolver **ret, struct err *err)
{
	AUTO(resolver_auto) struct resolver *r = mem_alloc(sizeof *r);
	r->wake_fd = -1;
	r->statics = ARENA_ARRAY(&r->mem, struct resolve_static, conf->static_count);
	r->static_count = conf->static_count;
	for (size_t i = 0; i < conf->static_count; i++) {
		r->statics[i].pattern = str_dup(&r->mem, conf->statics[i].pattern);
		r->statics[i].addr = conf->statics[i].addr;
	}
	struct server servers[RESOLVE_SERVERS_MAX];
	size_t n = 0;
	TRY(servers_read(conf, servers, &n, err));
	r->description = describe(r, servers, n, conf->server_count == 0);
	if (n == 0 && conf->forward_count > 0)
		FAIL(err, ERR_CONFIG,
		     "domains are forwarded, but nobody is known to ask about other names; set zone.resolvers, or name "
		     "servers in %s",
		     RESOLV_CONF);
	if (n > 0) {
		r->ctx = ub_ctx_create();
		if (r->ctx == NULL)
			FAIL(err, ERR_IO, "the DNS library cannot be started: %s", strerror(errno));
		TRY(ub_setup(r, conf, servers, n, err));
		TRY(dispatch_start(r, err));
	}
	*ret = TAKE(r);
	return OK;
}

void resolver_free(struct resolver *r)
{
	if (r == NULL)
		return;
	if (r->dispatching) {
		uint64_t one = 1;
		ssize_t ignored = write(r->wake_fd, &one, sizeof one);
		(void)ignored; /* an eventfd at zero always takes a one */
		pthread_join(r->dispatcher, NULL);
	}
	if (r->ctx != NULL)
		ub_ctx_delete(r->ctx);
	fd_close(&r->wake_fd);
	arena_done(&r->mem);
	free(r);
}

static bool is_at_or_below(struct str name, struct str domain)
{
	struct str tail = str_sub(name, name.n < domain.n ? name.n : name.n - domain.n, name.n);
	return str_eq_nocase(tail, domain) && (name.n == domain.n || name.p[name.n - domain.n - 1] == '.');
}

struct str resolver_describe(const struct resolver *r, struct str name)
{
	const struct forward *best = NULL;
	for (size_t i = 0; i < r->forward_count; i++)
		if (is_at_or_below(name, r->forwards[i].domain) &&
		    (best == NULL || r->forwards[i].domain.n > best->domain.n))
			best = &r->forwards[i];
	return best == NULL ? r->description : best->description;
}

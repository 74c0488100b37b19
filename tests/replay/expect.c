/* SPDX-License-Identifier: Apache-2.0
 *
 * expect.c: what a story wants to be so.
 */
#include "story.h"

#include <stdio.h>

static bool contains(struct str hay, struct str needle)
{
	return memmem(hay.p, hay.n, needle.p, needle.n) != NULL;
}

static fallible problem_is(const struct json *p, struct str type, struct str text, struct err *err)
{
	struct str got_type, detail;
	WANT(p != NULL, "there is no problem document");
	TRY(json_want_str(p, "type", 256, &got_type, err));
	TRY(json_want_str(p, "detail", 4096, &detail, err));
	WANT(str_skip(&got_type, STR(PROBLEM_URN)) && str_eq(got_type, type), "problem type %.*s (%.*s), wanted %.*s",
	     STR_FMT(got_type), STR_FMT(detail), STR_FMT(type));
	WANT(contains(detail, text), "problem says \"%.*s\", wanted \"%.*s\" in it", STR_FMT(detail), STR_FMT(text));
	return OK;
}

static fallible count_store(struct store_tx *tx, void *ctx, struct err *err)
{
	return store_count(tx, ctx, err);
}

struct journal_count {
	size_t done, begun;
};

static fallible count_journal(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err)
{
	struct journal_count *c = ctx;
	(void)e;
	(void)err;
	c->done += kind == JOURNAL_DONE;
	c->begun += kind == JOURNAL_BEGIN;
	return OK;
}

/* Certificates in the store, and in the signer's journal: never more there than were finalized. */
static fallible expect_issued(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct store_counts counts;
	struct journal_count j = { 0 };
	uint64_t in_store, in_journal;
	char path[192];
	WANT(n == 2, "expect issued STORE JOURNAL");
	TRY(str_u64(w[0], 1000, &in_store, err));
	TRY(str_u64(w[1], 1000, &in_journal, err));
	TRY(store_read(s->w.store, count_store, &counts, err));
	snprintf(path, sizeof path, "%s/journal", s->w.dir);
	TRY(journal_walk(path, count_journal, &j, err));
	WANT(counts.certificates == in_store, "the store has %llu certificates",
	     (unsigned long long)counts.certificates);
	WANT(j.done == in_journal, "the journal has %zu certificates", j.done);
	return OK;
}

static fallible authz_is(struct story *s, const struct named_account *a, struct str url, const struct str *w, size_t n,
			 struct err *err)
{
	struct str status;
	TRY(post(s, a, url, STR_NONE, err));
	TRY(json_want_str(s->last.json, "status", 64, &status, err));
	WANT(str_eq(status, w[0]), "the authorization is %.*s", STR_FMT(status));
	if (n == 2) {
		TRY(json_want_str(json_at(json_get(s->last.json, "challenges"), 0), "status", 64, &status, err));
		WANT(str_eq(status, w[1]), "the challenge is %.*s", STR_FMT(status));
	}
	return OK;
}

static fallible expect_authz(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	struct named_authz *z;
	struct str urls[IDENTS_MAX];
	size_t count;
	WANT(n == 2 || n == 3, "expect authz ORDER|AUTHZ STATUS [CHALLENGE-STATUS]");
	if (!FAILED(authz_named(s, w[0], &z, NULL)))
		return authz_is(s, z->account, z->url, w + 1, n - 1, err);
	TRY(order_named(s, w[0], &o, err));
	TRY(order_authz_urls(s, o, urls, &count, err));
	return authz_is(s, o->account, urls[0], w + 1, n - 1, err);
}

/* The first authorization's challenge that was answered: its status, and the error that it shows, or that it shows
 * none; then how long it says to wait. */
static fallible expect_challenge(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	struct str urls[IDENTS_MAX], url = STR_NONE, status;
	size_t count;
	WANT(n >= 2 && n <= 5 && n != 3, "expect challenge ORDER STATUS [TYPE TEXT [RETRY-AFTER]]");
	TRY(order_named(s, w[0], &o, err));
	TRY(order_authz_urls(s, o, urls, &count, err));
	TRY(post(s, o->account, urls[0], STR_NONE, err));
	const struct json *list = json_get(s->last.json, "challenges");
	for (size_t i = 0; i < json_count(list) && url.n == 0; i++) {
		TRY(member(s, json_at(list, i), "status", &status, err));
		if (!str_eq(status, STR("pending")))
			TRY(member(s, json_at(list, i), "url", &url, err));
	}
	WANT(url.n > 0, "no challenge was answered");
	TRY(post(s, o->account, url, STR_NONE, err));
	TRY(json_want_str(s->last.json, "status", 64, &status, err));
	WANT(str_eq(status, w[1]), "the challenge is %.*s: %.*s", STR_FMT(status), STR_FMT(s->last.body));
	const struct json *error = json_get(s->last.json, "error");
	WANT(n > 2 || error == NULL, "the challenge has an error: %.*s", STR_FMT(s->last.body));
	if (n > 2)
		TRY(problem_is(error, w[2], w[3], err));
	struct str wait = world_header(&s->last, "Retry-After");
	WANT(n < 5 || str_eq(wait, w[4]), "Retry-After is %.*s", STR_FMT(wait));
	return OK;
}

/* All authorizations of both are the same; each may be an order or a preauth. */
static fallible authz_list(struct story *s, struct str name, struct str urls[IDENTS_MAX], size_t *ret_count,
			   struct err *err)
{
	struct named_order *o;
	struct named_authz *z;
	if (!FAILED(authz_named(s, name, &z, NULL))) {
		urls[0] = z->url;
		*ret_count = 1;
		return OK;
	}
	TRY(order_named(s, name, &o, err));
	return order_authz_urls(s, o, urls, ret_count, err);
}

static fallible expect_shared(struct story *s, const struct str *w, size_t n, bool wanted, struct err *err)
{
	struct str a[IDENTS_MAX], b[IDENTS_MAX];
	size_t a_count, b_count;
	WANT(n == 2, "expect shared|apart ORDER|AUTHZ ORDER|AUTHZ");
	TRY(authz_list(s, w[0], a, &a_count, err));
	TRY(authz_list(s, w[1], b, &b_count, err));
	bool same = a_count == b_count;
	bool some = false;
	for (size_t i = 0; i < a_count; i++)
		for (size_t k = 0; k < b_count; k++)
			some = some || str_eq(a[i], b[k]);
	for (size_t i = 0; same && i < a_count; i++)
		same = str_eq(a[i], b[i]);
	WANT(wanted ? same : !some, "they have %s authorizations", same ? "the same" : some ? "some common" : "other");
	return OK;
}

static fallible window_time(const struct story *s, const char *key, int64_t *ret, struct err *err)
{
	struct str text;
	const struct json *window;
	TRY(json_want_object(s->last.json, "suggestedWindow", &window, err));
	TRY(json_want_str(window, key, 64, &text, err));
	return time_read(text, ret, err);
}

/* Where the window of the last renewal information lies. */
static fallible expect_window(const struct story *s, struct str where, struct err *err)
{
	int64_t start, end, now = s->w.now_ms / 1000;
	TRY(window_time(s, "start", &start, err));
	TRY(window_time(s, "end", &end, err));
	WANT(start < end, "the window ends before it starts");
	struct str found = end < now ? STR("past") : start > now ? STR("future") : STR("now");
	WANT(str_eq(found, where), "the window is in the %.*s", STR_FMT(found));
	return OK;
}

/* How often CAA was asked for at this very name, since the story began. */
static fallible expect_lookups(struct story *s, const struct str *w, size_t n, struct err *err)
{
	uint64_t wanted;
	WANT(n == 2, "expect lookups NAME N");
	TRY(str_u64(w[1], 1000, &wanted, err));
	size_t found = world_site(&s->w, w[0])->caa_lookups;
	WANT(found == wanted, "CAA of %.*s was looked up %zu times", STR_FMT(w[0]), found);
	return OK;
}

/* Subproblems of the order's error: how many, and one of them for this name. */
static fallible expect_subproblem(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	struct str value;
	uint64_t wanted;
	WANT(n == 5, "expect subproblem ORDER COUNT NAME TYPE TEXT");
	TRY(order_named(s, w[0], &o, err));
	TRY(str_u64(w[1], 100, &wanted, err));
	TRY(read_order(s, o, err));
	const struct json *list = json_get(json_get(s->last.json, "error"), "subproblems");
	WANT(json_count(list) == wanted, "there are %zu subproblems: %.*s", json_count(list), STR_FMT(s->last.body));
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *one = json_at(list, i);
		TRY(json_want_str(json_get(one, "identifier"), "value", 256, &value, err));
		if (str_eq(value, w[2]))
			return problem_is(one, w[3], w[4], err);
	}
	FAIL(err, ERR_CONFLICT, "no subproblem is about %.*s", STR_FMT(w[2]));
}

static fallible expect_status(const struct story *s, struct str word, struct err *err)
{
	uint64_t code;
	TRY(str_u64(word, 999, &code, err));
	WANT(s->last.status == (int)code, "the last reply was %d: %.*s", s->last.status, STR_FMT(s->last.body));
	return OK;
}

static fallible expect_order(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	struct str status;
	TRY(order_named(s, w[1], &o, err));
	TRY(read_order(s, o, err));
	if (str_eq(w[0], STR("error")))
		return problem_is(json_get(s->last.json, "error"), w[2], n > 3 ? w[3] : STR_NONE, err);
	WANT(n == 3 && str_eq(w[0], STR("order")), "expect order ORDER STATUS");
	TRY(json_want_str(s->last.json, "status", 64, &status, err));
	WANT(str_eq(status, w[2]), "order %.*s is %.*s, wanted %.*s", STR_FMT(w[1]), STR_FMT(status), STR_FMT(w[2]));
	return OK;
}

fallible do_expect(struct story *s, const struct str *w, size_t n, struct err *err)
{
	WANT(n >= 2, "expect what?");
	if (str_eq(w[0], STR("issued")))
		return expect_issued(s, w + 1, n - 1, err);
	if (str_eq(w[0], STR("authz")))
		return expect_authz(s, w + 1, n - 1, err);
	if (str_eq(w[0], STR("lookups")))
		return expect_lookups(s, w + 1, n - 1, err);
	if (str_eq(w[0], STR("subproblem")))
		return expect_subproblem(s, w + 1, n - 1, err);
	if (str_eq(w[0], STR("challenge")))
		return expect_challenge(s, w + 1, n - 1, err);
	if (str_eq(w[0], STR("shared")) || str_eq(w[0], STR("apart")))
		return expect_shared(s, w + 1, n - 1, str_eq(w[0], STR("shared")), err);
	if (str_eq(w[0], STR("window")))
		return expect_window(s, w[1], err);
	if (str_eq(w[0], STR("status")))
		return expect_status(s, w[1], err);
	if (str_eq(w[0], STR("problem")))
		return problem_is(s->last.json, w[1], n > 2 ? w[2] : STR_NONE, err);
	WANT(n >= 3, "expect what?");
	return expect_order(s, w, n, err);
}

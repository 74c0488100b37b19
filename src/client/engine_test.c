/* SPDX-License-Identifier: Apache-2.0
 *
 * engine_test.c: the engine against a server inside the test, which checks every signature, nonce and URL as RFC 8555 6
 * asks, walks the story, and departs from it where a test's script says so.
 */
#include "client/client.h"
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#define HOST "https://ca.test"
#define NAMES_MAX 3
#define STEPS_MAX 3000
#define NOW INT64_C(1795305600)
#define CHAIN "-----BEGIN CERTIFICATE-----\nMAo=\n-----END CERTIFICATE-----\n"

/* Departs from the story: the nth request (0: each) whose URL begins so is answered like this instead. */
struct twist {
	const char *url;
	unsigned nth;
	int status;
	const char *body, *retry_after, *location;
	bool no_nonce;
	const char *nonce;
	bool after; /* the server does its part first: only the reply is another */
};

enum { PUBLISHED, WITHDRAWN, DEEDS };
struct server {
	const struct crypto *c;
	const struct key *account;
	struct arena mem;
	const struct twist *twists;
	size_t twist_count;
	unsigned seen[8]; /* how often each twist's URL was asked for */
	unsigned nonces, requests;
	bool spent[STEPS_MAX];
	const char *names[NAMES_MAX];
	size_t name_count;
	bool reused[NAMES_MAX], told[NAMES_MAX];
	unsigned polls_until_valid; /* of each authorization */
	unsigned polls[NAMES_MAX];
	bool finalized;
	struct str csr;
	unsigned finalizes;
	unsigned offers; /* bits of challenge types */
	const char *meta;
	unsigned asked[CHALLENGE_TYPE_COUNT]; /* how often which challenge was answered */
	const struct key *certificate, *next_key;
	bool agreed, has_account, deactivated;
	struct str account_payload, order_payload, revocation;
};

struct world {
	struct crypto *c;
	struct key *account, *certificate;
	struct client *cl;
	struct server srv;
	char story[4096];
	unsigned deeds[DEEDS];
	int64_t waited_ms, longest_ms;
	struct str chain, answers, profile;
};

static enum ident_type type_of(const char *name)
{
	struct addr a;
	return FAILED(addr_read(str_z(name), &a, NULL)) ? IDENT_DNS : IDENT_IP;
}

/* --- the server ---------------------------------------------------------------------------------------------------*/

#define OFFERS(type) (1u << (type))

static struct str challenges_text(struct server *s, size_t i)
{
	struct str all = STR_NONE;
	for (unsigned t = 0; t < CHALLENGE_TYPE_COUNT; t++) {
		if ((s->offers & OFFERS(t)) == 0)
			continue;
		struct str token = t == CHALLENGE_DNSPERSIST01
					   ? STR("")
					   : str_fmt(&s->mem, ",\"token\":\"token-of-authorization-%zu\"", i);
		all = str_fmt(&s->mem, "%.*s%s{\"type\":\"%s\",\"url\":\"" HOST "/chall/%u/%zu\"%.*s}", STR_FMT(all),
			      all.n == 0 ? "" : ",", challenge_type_name((enum challenge_type)t), t, i, STR_FMT(token));
	}
	return all;
}

static struct str authz_text(struct server *s, size_t i)
{
	bool valid = s->reused[i] || (s->told[i] && s->polls[i]++ >= s->polls_until_valid);
	struct str name = str_z(s->names[i]), challenges = challenges_text(s, i);
	bool wildcard = str_skip(&name, STR("*."));
	return str_fmt(
		&s->mem,
		"{\"status\":\"%s\",\"identifier\":{\"type\":\"%s\",\"value\":\"%.*s\"},%s\"challenges\":[%.*s]}",
		valid ? "valid" : "pending", ident_type_name(type_of(s->names[i])), STR_FMT(name),
		wildcard ? "\"wildcard\":true," : "", STR_FMT(challenges));
}

static struct str order_text(struct server *s)
{
	bool ready = true;
	for (size_t i = 0; i < s->name_count; i++)
		ready = ready && (s->reused[i] || (s->told[i] && s->polls[i] > s->polls_until_valid));
	struct str list = STR_NONE;
	for (size_t i = 0; i < s->name_count; i++)
		list = str_fmt(&s->mem, "%.*s%s\"" HOST "/authz/%zu\"", STR_FMT(list), i == 0 ? "" : ",", i);
	return str_fmt(&s->mem, "{\"status\":\"%s\",\"authorizations\":[%.*s],\"finalize\":\"" HOST "/finalize\"%s}",
		       s->finalized ? "valid"
		       : ready      ? "ready"
				    : "pending",
		       STR_FMT(list), s->finalized ? ",\"certificate\":\"" HOST "/cert\"" : "");
}

/* RFC 8555 6.2: jwk for newAccount, kid for all else; the URL is the request's; each nonce once. */
static struct jws check_signed(struct server *s, const struct client_step *step)
{
	struct err err = { 0 };
	struct jws j;
	unsigned nonce = 0;
	MUST(jws_read(&s->mem, step->body, &j, &err));
	bool by_certificate = j.jwk != NULL && str_eq(step->url, STR(HOST "/revoke"));
	MUST(jws_verify(s->c, &j, by_certificate ? s->certificate : s->account, &err));
	assert_true(str_eq(j.url, step->url));
	bool first = str_eq(step->url, STR(HOST "/account"));
	assert_int_equal(j.jwk != NULL, first || by_certificate);
	if (!first && !by_certificate)
		assert_true(str_eq(j.kid, STR(HOST "/account/1")));
	assert_int_equal(sscanf(str_dupz_raw(&s->mem, j.nonce), "nonce-%u", &nonce), 1);
	assert_in_range(nonce, 1, s->nonces);
	assert_false(s->spent[nonce]);
	s->spent[nonce] = true;
	return j;
}

static void check_finalize(struct server *s, struct str payload)
{
	struct err err = { 0 };
	AUTO(json_auto) struct json *body = NULL;
	AUTO(csr_done) struct csr csr = { 0 };
	struct str b64, der;
	MUST(json_read(payload, 65536, &body, &err));
	MUST(json_want_str(body, "csr", 65536, &b64, &err));
	MUST(b64url_decode(&s->mem, b64, CSR_DER_MAX, &der, &err));
	MUST(csr_read(s->c, &s->mem, der, &csr, &err));
	assert_int_equal(csr.name_count + csr.addr_count, s->name_count);
	if (s->csr.n > 0)
		assert_true(str_eq(der, s->csr)); /* a repeated finalize is the same request */
	s->csr = der;
	s->finalizes++;
	s->finalized = true;
}

static struct client_reply reply_of(int status, struct str body)
{
	return (struct client_reply){ .status = status, .body = body, .now_s = NOW };
}

/* RFC 8555 7.3.5 */
static void check_key_change(struct server *s, const struct jws *outer)
{
	struct err err = { 0 };
	struct jws inner;
	AUTO(json_auto) struct json *body = NULL;
	AUTO(key_auto) struct key *old = NULL;
	struct str account;
	MUST(jws_read(&s->mem, outer->payload, &inner, &err));
	assert_non_null(inner.jwk);
	assert_true(key_public_eq(inner.jwk, s->next_key));
	MUST(jws_verify(s->c, &inner, s->next_key, &err));
	assert_true(str_eq(inner.url, outer->url));
	assert_false(inner.has_nonce);
	MUST(json_read(inner.payload, 65536, &body, &err));
	MUST(json_want_str(body, "account", 256, &account, &err));
	assert_true(str_eq(account, STR(HOST "/account/1")));
	MUST(jwk_read(json_get(body, "oldKey"), &old, &err));
	assert_true(key_public_eq(old, s->account));
	s->account = s->next_key;
	jws_done(&inner);
}

static struct client_reply serve(struct server *s, const struct client_step *step)
{
	struct str path = step->url;
	assert_true(str_skip(&path, STR(HOST)));
	if (str_eq(path, STR("/directory"))) {
		assert_true(str_eq(step->method, STR("GET")));
		return reply_of(200, str_fmt(&s->mem,
					     "{\"newNonce\":\"" HOST "/nonce\",\"newAccount\":\"" HOST "/account\","
					     "\"newOrder\":\"" HOST "/order\",\"revokeCert\":\"" HOST
					     "/revoke\",\"keyChange\":\"" HOST "/change\",\"meta\":{%s}}",
					     s->meta == NULL ? "" : s->meta));
	}
	if (str_eq(path, STR("/nonce"))) {
		assert_true(str_eq(step->method, STR("HEAD")));
		return reply_of(200, STR_NONE);
	}
	assert_true(str_eq(step->method, STR("POST")));
	struct jws j = check_signed(s, step);
	struct client_reply r = reply_of(200, STR("{}"));
	unsigned i = path.n > 0 ? (unsigned)(path.p[path.n - 1] - '0') : 0;
	if (str_eq(path, STR("/account"))) {
		s->account_payload = str_dup(&s->mem, j.payload);
		r = reply_of(201, STR("{\"status\":\"valid\"}"));
		r.location = STR(HOST "/account/1");
	} else if (str_eq(path, STR("/account/1"))) {
		s->account_payload = str_dup(&s->mem, j.payload);
		s->agreed = s->agreed || str_eq(j.payload, STR("{\"termsOfServiceAgreed\":true}"));
		s->deactivated = str_eq(j.payload, STR("{\"status\":\"deactivated\"}"));
		r = reply_of(200, s->deactivated ? STR("{\"status\":\"deactivated\"}") : STR("{\"status\":\"valid\"}"));
	} else if (str_eq(path, STR("/revoke"))) {
		s->revocation = str_dup(&s->mem, j.payload);
		r = reply_of(200, STR_NONE);
	} else if (str_eq(path, STR("/change"))) {
		check_key_change(s, &j);
	} else if (str_eq(path, STR("/order"))) {
		s->order_payload = str_dup(&s->mem, j.payload);
		r = reply_of(201, order_text(s));
		r.location = STR(HOST "/order/1");
	} else if (str_eq(path, STR("/order/1"))) {
		r = reply_of(200, order_text(s));
	} else if (str_starts(path, STR("/authz/"))) {
		assert_int_equal(j.payload.n, 0);
		assert_true(i < s->name_count);
		r = reply_of(200, authz_text(s, i));
	} else if (str_starts(path, STR("/chall/"))) {
		assert_true(str_eq(j.payload, STR("{}")));
		assert_true(i < s->name_count);
		s->told[i] = true;
		s->asked[path.p[7] - '0']++;
	} else if (str_eq(path, STR("/finalize"))) {
		check_finalize(s, j.payload);
		r = reply_of(200, order_text(s));
	} else if (str_eq(path, STR("/cert"))) {
		r = reply_of(200, STR(CHAIN));
	} else {
		fail_msg("no such URL: %.*s", STR_FMT(step->url));
	}
	jws_done(&j);
	return r;
}

static const struct twist *twist_for(struct server *s, const struct client_step *step)
{
	const struct twist *found = NULL;
	for (size_t i = 0; i < s->twist_count; i++) {
		const struct twist *t = &s->twists[i];
		if (!str_starts(step->url, str_z(t->url)))
			continue;
		s->seen[i]++;
		if (found == NULL && (t->nth == 0 || t->nth == s->seen[i]))
			found = t;
	}
	return found;
}

static struct client_reply answer(struct server *s, const struct client_step *step)
{
	struct client_reply r;
	const struct twist *t = twist_for(s, step);
	assert_true(++s->requests < STEPS_MAX);
	if (t == NULL || t->after)
		r = serve(s, step);
	if (t != NULL) {
		if (!t->after && str_eq(step->method, STR("POST"))) {
			struct jws j = check_signed(s, step);
			jws_done(&j);
		}
		r = reply_of(t->status, str_z(t->body));
		r.retry_after = str_z(t->retry_after);
		r.location = str_z(t->location);
	}
	if (t != NULL && t->nonce != NULL)
		r.nonce = str_z(t->nonce);
	else if (t == NULL || !t->no_nonce)
		r.nonce = str_fmt(&s->mem, "nonce-%u", ++s->nonces);
	return r;
}

/* --- the world ----------------------------------------------------------------------------------------------------*/

static int world_setup(void **state)
{
	struct world *w = mem_alloc(sizeof *w);
	struct err err = { 0 };
	MUST(crypto_new(&w->c, &err));
	MUST(key_generate(KEY_P256, 0, &w->account, &err));
	MUST(key_generate(KEY_P256, 0, &w->certificate, &err));
	const struct client_conf conf = {
		.crypto = w->c,
		.directory_url = STR(HOST "/directory"),
		.account_key = w->account,
		.contact = STR("mailto:op@a.test"),
		.terms_agreed = true,
	};
	MUST(client_new(&conf, &w->cl, &err));
	w->srv = (struct server){ .c = w->c, .account = w->account, .names = { "www.a.test" }, .name_count = 1 };
	w->srv.offers = OFFERS(CHALLENGE_HTTP01) | OFFERS(CHALLENGE_DNS01);
	w->srv.certificate = w->certificate;
	*state = w;
	return 0;
}

static int world_teardown(void **state)
{
	struct world *w = *state;
	client_free(w->cl);
	key_free(w->account);
	key_free(w->certificate);
	crypto_free(w->c);
	arena_done(&w->srv.mem);
	free(w);
	return 0;
}

static void tell(struct world *w, const char *doing)
{
	size_t n = strlen(w->story);
	(void)snprintf(w->story + n, sizeof w->story - n, "%s%s", n == 0 ? "" : ", ", doing);
}

static void check_published(struct world *w, const struct client_step *step)
{
	struct err err = { 0 };
	struct thumbprint tp;
	MUST(jwk_thumbprint(w->c, w->account, &tp, &err));
	const struct client_answer *a = &step->answer;
	struct str want = str_fmt(&w->srv.mem, "%.*s.%s", STR_FMT(a->token), tp.z);
	struct sha256 digest;
	assert_true(str_eq(a->key_authorization, want));
	MUST(digest_sha256(w->c, want, &digest, &err));
	assert_memory_equal(a->digest.b, digest.b, sizeof digest.b);
	bool has_record = a->method == CHALLENGE_DNS01 || a->method == CHALLENGE_DNSACCOUNT01;
	assert_int_equal(a->dns_name.n > 0, has_record);
	if (has_record)
		assert_true(str_eq(a->dns_value, b64url_encode(&w->srv.mem, str_n(digest.b, sizeof digest.b))));
	w->answers = str_fmt(&w->srv.mem, "%.*s%s%s %.*s", STR_FMT(w->answers), w->answers.n == 0 ? "" : ", ",
			     challenge_type_name(a->method), STR_FMT(has_record ? a->dns_name : a->ident.value));
}

static fallible one_step(struct world *w, bool *ret_done, struct err *err)
{
	struct client_step step;
	TRY(client_next(w->cl, &step, err));
	tell(w, step.doing);
	switch (step.kind) {
	case CLIENT_REQUEST: {
		struct client_reply r = answer(&w->srv, &step);
		return client_replied(w->cl, &r, err);
	}
	case CLIENT_PUBLISH:
		check_published(w, &step);
		w->deeds[PUBLISHED]++;
		return client_did(w->cl, err);
	case CLIENT_WITHDRAW:
		w->deeds[WITHDRAWN]++;
		return client_did(w->cl, err);
	case CLIENT_WAIT:
		assert_in_range(step.wait_ms, 1, CLIENT_WAIT_MAX_MS);
		w->waited_ms += step.wait_ms;
		w->longest_ms = step.wait_ms > w->longest_ms ? step.wait_ms : w->longest_ms;
		return client_did(w->cl, err);
	case CLIENT_DONE:
		w->chain = step.chain_pem;
		if (w->chain.n > 0) {
			assert_true(str_eq(step.order_url, STR(HOST "/order/1")));
			assert_true(str_eq(step.certificate_url, STR(HOST "/cert")));
		}
		*ret_done = true;
		return OK;
	}
	return OK;
}

static fallible run_to_end(struct world *w, struct err *err)
{
	bool done = false;
	for (unsigned i = 0; !done; i++) {
		assert_true(i < STEPS_MAX);
		TRY(one_step(w, &done, err));
	}
	return OK;
}

static fallible begin_order(struct world *w, size_t count, struct err *err)
{
	struct ident idents[NAMES_MAX];
	for (size_t i = 0; i < w->srv.name_count; i++)
		idents[i] = (struct ident){ type_of(w->srv.names[i]), str_z(w->srv.names[i]) };
	const struct client_wanted wanted = {
		.idents = idents, .count = count, .key = w->certificate, .profile = w->profile
	};
	return client_order(w->cl, &wanted, err);
}

static fallible obtain(struct world *w, struct err *err)
{
	TRY(begin_order(w, w->srv.name_count, err));
	return run_to_end(w, err);
}

static void client_again(struct world *w, const struct client_conf *conf)
{
	struct err err = { 0 };
	struct client_conf c = *conf;
	c.crypto = w->c;
	c.directory_url = STR(HOST "/directory");
	c.account_key = w->account;
	client_free(w->cl);
	w->cl = NULL;
	MUST(client_new(&c, &w->cl, &err));
}

/* What was published has come down, whatever the end was. */
static void check_clean(const struct world *w)
{
	assert_int_equal(w->deeds[PUBLISHED], w->deeds[WITHDRAWN]);
}

/* --- good endings -------------------------------------------------------------------------------------------------*/

static void one_name_is_one_short_story(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	MUST(obtain(w, &err));
	assert_string_equal(w->story, "read the directory, new account, new order, read authorization, publish answer, "
				      "answer challenge, poll authorization, withdraw answer, finalize, "
				      "fetch certificate, done");
	assert_true(str_eq(w->chain, STR(CHAIN)));
	assert_int_equal(w->waited_ms, 0);
	check_clean(w);
}

/* RFC 8555 7.1.6: a valid challenge makes its authorization valid. One that is anything else decides nothing here. */
static void a_challenge_answered_with_its_outcome_saves_a_poll(void **state)
{
	static const struct {
		const char *body;
		bool saves;
	} rows[] = {
		{ "{\"status\":\"valid\"}", true },
		{ "{\"status\":\"processing\"}", false },
		{ "{\"status\":\"invalid\"}", false },
		{ "{\"status\":7}", false },
		{ "{}", false },
	};
	struct world *w = *state;
	struct err err = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct twist twist = {
			.url = HOST "/chall/", .status = 200, .after = true, .body = rows[i].body
		};
		w->srv.twists = &twist;
		w->srv.twist_count = 1;
		w->srv.finalized = w->srv.told[0] = false;
		w->srv.csr = STR_NONE;
		w->srv.polls[0] = rows[i].saves ? 1 : 0; /* so that the order says that it is ready */
		w->story[0] = '\0';
		MUST(obtain(w, &err));
		assert_int_equal(strstr(w->story, "poll authorization") == NULL, rows[i].saves);
		assert_non_null(strstr(w->story, "withdraw answer, finalize, fetch certificate, done"));
	}
	w->srv.twist_count = 0;
	check_clean(w);
}

static void a_directory_without_a_nonce_costs_one_request(void **state)
{
	static const struct twist twists[] = { { .url = HOST "/directory",
						 .status = 200,
						 .no_nonce = true,
						 .after = true,
						 .body = "{\"newNonce\":\"" HOST "/nonce\",\"newAccount\":\"" HOST
							 "/account\",\"newOrder\":\"" HOST "/order\"}" } };
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.twists = twists;
	w->srv.twist_count = 1;
	MUST(obtain(w, &err));
	assert_non_null(strstr(w->story, "read the directory, new nonce, new account"));
}

static void a_second_order_keeps_directory_account_and_nonce(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	MUST(obtain(w, &err));
	w->srv.finalized = false;
	w->srv.csr = STR_NONE;
	w->srv.told[0] = false;
	w->srv.polls[0] = 0;
	w->story[0] = '\0';
	MUST(obtain(w, &err));
	assert_int_equal(strncmp(w->story, "new order, read", 15), 0);
}

static void several_names_are_answered_then_polled(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.names[1] = "b.test.example";
	w->srv.names[2] = "c.test.example";
	w->srv.name_count = 3;
	w->srv.polls_until_valid = 2;
	MUST(obtain(w, &err));
	assert_int_equal(w->deeds[PUBLISHED], 3);
	assert_int_equal(w->waited_ms, 3 * (50 + 100));
	check_clean(w);
}

static void an_authorization_that_is_valid_already_needs_no_answer(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.names[1] = "b.test.example";
	w->srv.name_count = 2;
	w->srv.reused[0] = true;
	MUST(obtain(w, &err));
	assert_int_equal(w->deeds[PUBLISHED], 1);
	check_clean(w);
}

static void an_order_that_is_ready_at_once_is_finalized_at_once(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.reused[0] = true;
	MUST(obtain(w, &err));
	assert_non_null(strstr(w->story, "new order, finalize, fetch certificate"));
	assert_int_equal(w->deeds[PUBLISHED], 0);
}

struct passing_row {
	const char *label;
	struct twist twist;
	int64_t waited_min, waited_max;
};

#define BAD_NONCE "{\"type\":\"urn:ietf:params:acme:error:badNonce\",\"detail\":\"stale\",\"status\":400}"
#define NOT_READY "{\"type\":\"urn:ietf:params:acme:error:orderNotReady\",\"detail\":\"wait\",\"status\":403}"
#define PROCESSING \
	"{\"status\":\"processing\",\"authorizations\":[\"" HOST "/authz/0\"],\"finalize\":\"" HOST "/finalize\"}"

static const struct passing_row passing[] = {
	{ "badNonce", { .url = HOST "/order", .nth = 1, .status = 400, .body = BAD_NONCE }, 0, 0 },
	{ "badNonce without a fresh one",
	  { .url = HOST "/order", .nth = 1, .status = 400, .body = BAD_NONCE, .no_nonce = true },
	  0,
	  0 },
	{ "a nonce that is none",
	  { .url = HOST "/chall/", .nth = 1, .status = 200, .body = "{}", .nonce = "a b\"", .after = true },
	  0,
	  0 },
	{ "badNonce at finalize: the same CSR again",
	  { .url = HOST "/finalize", .nth = 1, .status = 400, .body = BAD_NONCE, .after = true },
	  0,
	  0 },
	{ "503 with Retry-After",
	  { .url = HOST "/order", .nth = 1, .status = 503, .body = "", .retry_after = "7" },
	  7000,
	  7000 },
	{ "503 without", { .url = HOST "/order", .nth = 1, .status = 503, .body = "<html>" }, 500, 2000 },
	{ "503 of newNonce, with a nonce",
	  { .url = HOST "/directory", .nth = 1, .status = 503, .body = "", .retry_after = "1" },
	  1000,
	  1000 },
	{ "429 until a date",
	  { .url = HOST "/order",
	    .nth = 1,
	    .status = 429,
	    .body = "{}",
	    .retry_after = "Sun, 22 Nov 2026 00:00:09 GMT" },
	  9000,
	  9000 },
	{ "a date that is over",
	  { .url = HOST "/order",
	    .nth = 1,
	    .status = 429,
	    .body = "{}",
	    .retry_after = "Sun, 22 Nov 2020 00:00:09 GMT" },
	  500,
	  2000 },
	{ "a Retry-After that is neither",
	  { .url = HOST "/order", .nth = 1, .status = 503, .body = "{}", .retry_after = "soon" },
	  500,
	  2000 },
	{ "finalize comes too early", { .url = HOST "/finalize", .nth = 1, .status = 403, .body = NOT_READY }, 0, 0 },
	{ "finalize was heard, its answer was not",
	  { .url = HOST "/finalize", .nth = 1, .status = 403, .body = NOT_READY, .after = true },
	  0,
	  0 },
	{ "processing, and a Retry-After",
	  { .url = HOST "/finalize", .nth = 1, .status = 200, .body = PROCESSING, .retry_after = "3", .after = true },
	  3000,
	  3000 },
};

static void what_passes_is_tried_again(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(passing); i++) {
		void *own = NULL;
		struct err err = { 0 };
		world_setup(&own);
		struct world *w = own;
		w->srv.twists = &passing[i].twist;
		w->srv.twist_count = 1;
		struct rc rc = obtain(w, &err);
		if (FAILED(rc) || w->waited_ms < passing[i].waited_min || w->waited_ms > passing[i].waited_max)
			fail_msg("%s: %s, waited %lld ms (%s)", passing[i].label, err.detail, (long long)w->waited_ms,
				 w->story);
		assert_true(w->srv.seen[0] >= 1);
		check_clean(w);
		world_teardown(&own);
	}
}

static void a_refused_nonce_request_is_not_taken_for_the_next_answer(void **state)
{
	/* No nonce with the account's answer, so newNonce is asked; it answers 503, but with a nonce. */
	static const struct twist twists[] = {
		{ .url = HOST "/account",
		  .nth = 1,
		  .status = 201,
		  .body = "{}",
		  .location = HOST "/account/1",
		  .no_nonce = true },
		{ .url = HOST "/nonce", .nth = 1, .status = 503, .body = "", .retry_after = "1" },
	};
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.twists = twists;
	w->srv.twist_count = 2;
	MUST(obtain(w, &err));
	assert_non_null(strstr(w->story, "new account, new nonce, wait, new order, read authorization"));
}

static void a_load_generator_looks_often_at_first(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	const struct client_conf conf = {
		.crypto = w->c, .directory_url = STR(HOST "/directory"), .account_key = w->account, .poll_ms = 3
	};
	client_free(w->cl);
	w->cl = NULL;
	MUST(client_new(&conf, &w->cl, &err));
	w->srv.polls_until_valid = 60;
	MUST(obtain(w, &err));
	assert_int_equal(w->waited_ms, 50 * 3 + 10 * 1000); /* soon, and when it is not soon, like anybody */
}

/* --- bad endings --------------------------------------------------------------------------------------------------*/

struct failing_row {
	const char *label;
	struct twist twist;
	enum err_kind kind;
	const char *words;
	unsigned published;
};

#define PROBLEM(type, detail) "{\"type\":\"urn:ietf:params:acme:error:" type "\",\"detail\":\"" detail "\"}"
#define AUTHZ(status, more)                                                                                           \
	"{\"status\":\"" status "\",\"identifier\":{\"type\":\"dns\",\"value\":\"www.a.test\"},\"challenges\":[" more \
	"]}"
#define HTTP01(url, token) "{\"type\":\"http-01\",\"url\":\"" url "\",\"token\":\"" token "\"}"
#define GOOD_TOKEN "token-of-authorization-0"
#define ORDER(status, authzs, more) \
	"{\"status\":\"" status "\",\"finalize\":\"" HOST "/finalize\",\"authorizations\":[" authzs "]" more "}"
#define AT_ORDER .url = HOST "/order", .status = 201, .location = HOST "/order/1"
#define AT_AUTHZ .url = HOST "/authz/", .status = 200
#define DEEP "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["

static const struct failing_row failing[] = {
	/* the server's own words */
	{ "terms",
	  { .url = HOST "/account", .status = 403, .body = PROBLEM("userActionRequired", "agree to the terms first") },
	  ERR_USER_ACTION_REQUIRED,
	  "new account: the server answered 403 userActionRequired: agree to the terms first",
	  0 },
	{ "rejected name, with its subproblems",
	  { .url = HOST "/order",
	    .status = 400,
	    .body = "{\"type\":\"urn:ietf:params:acme:error:compound\",\"detail\":\"see "
		    "below\",\"subproblems\":[{\"type\":"
		    "\"urn:ietf:params:acme:error:rejectedIdentifier\",\"detail\":\"not in this "
		    "realm\",\"identifier\":{"
		    "\"type\":\"dns\",\"value\":\"www.a.test\"}}]}" },
	  ERR_COMPOUND,
	  "see below; www.a.test: not in this realm",
	  0 },
	{ "no problem document",
	  { .url = HOST "/order", .status = 500, .body = "<html>oops</html>" },
	  ERR_INTERNAL,
	  "new order: the server answered 500 and does not say why",
	  0 },
	{ "a control sequence in the words",
	  { .url = HOST "/order", .status = 400, .body = PROBLEM("malformed", "\\u001b[2J") },
	  ERR_MALFORMED,
	  "\\x1b[2J",
	  0 },
	{ "come back tomorrow",
	  { .url = HOST "/order", .status = 429, .body = PROBLEM("rateLimited", "too many"), .retry_after = "86400" },
	  ERR_RATE_LIMITED,
	  "too many",
	  0 },
	{ "badNonce for ever", { .url = HOST "/order", .status = 400, .body = BAD_NONCE }, ERR_BAD_NONCE, "stale", 0 },
	{ "503 for ever", { .url = HOST "/order", .status = 503, .body = "{}" }, ERR_UNAVAILABLE, "answered 503", 0 },
	{ "invalid authorization",
	  { .url = HOST "/authz/",
	    .nth = 2,
	    .status = 200,
	    .body = AUTHZ("invalid", "{\"type\":\"dns-01\"},{\"type\":\"http-01\",\"error\":" PROBLEM(
					     "connection", "192.0.2.7 port 80: refused") "}") },
	  ERR_CONNECTION,
	  "www.a.test: 192.0.2.7 port 80: refused",
	  1 },
	{ "invalid authorization without words",
	  { .url = HOST "/authz/", .nth = 2, .status = 200, .body = AUTHZ("invalid", "") },
	  ERR_UNAUTHORIZED,
	  "does not say why",
	  1 },
	{ "order turns invalid",
	  { .url = HOST "/finalize",
	    .status = 200,
	    .body = ORDER("invalid", "", ",\"error\":" PROBLEM("caa", "a.test: CAA forbids")) },
	  ERR_CAA,
	  "finalize: a.test: CAA forbids",
	  1 },
	{ "finalize refused",
	  { .url = HOST "/finalize", .status = 400, .body = PROBLEM("badCSR", "weak key") },
	  ERR_BAD_CSR,
	  "weak key",
	  1 },
	{ "never ready",
	  { .url = HOST "/finalize", .status = 403, .body = NOT_READY },
	  ERR_ORDER_NOT_READY,
	  "wait",
	  1 },
	/* garbage and malice */
	{ "garbage for a directory",
	  { .url = HOST "/directory", .status = 200, .body = "not JSON" },
	  ERR_MALFORMED,
	  "read the directory",
	  0 },
	{ "directory of http",
	  { .url = HOST "/directory", .status = 200, .body = "{\"newNonce\":\"http://ca.test/nonce\"}" },
	  ERR_MALFORMED,
	  "newNonce is not an https URL",
	  0 },
	{ "directory of file",
	  { .url = HOST "/directory", .status = 200, .body = "{\"newNonce\":\"file:///etc/passwd\"}" },
	  ERR_MALFORMED,
	  "newNonce",
	  0 },
	{ "depth", { .url = HOST "/directory", .status = 200, .body = "{\"a\":" DEEP }, ERR_MALFORMED, "JSON", 0 },
	{ "newNonce without a nonce",
	  { .url = HOST "/directory",
	    .status = 200,
	    .no_nonce = true,
	    .body = "{\"newNonce\":\"" HOST "/directory/n\",\"newAccount\":\"" HOST "/a\",\"newOrder\":\"" HOST
		    "/o\"}" },
	  ERR_MALFORMED,
	  "no Replay-Nonce",
	  0 },
	{ "account without Location",
	  { .url = HOST "/account", .status = 201, .body = "{}" },
	  ERR_MALFORMED,
	  "Location",
	  0 },
	{ "account at http",
	  { .url = HOST "/account", .status = 201, .body = "{}", .location = "http://ca.test/a" },
	  ERR_MALFORMED,
	  "Location is not an https URL",
	  0 },
	{ "Location with a newline",
	  { .url = HOST "/account", .status = 201, .body = "{}", .location = "https://ca.test/a\nb" },
	  ERR_MALFORMED,
	  "Location",
	  0 },
	{ "order is an array", { AT_ORDER, .body = "[]" }, ERR_MALFORMED, "new order", 0 },
	{ "order is empty", { AT_ORDER, .body = "" }, ERR_MALFORMED, "new order", 0 },
	{ "order without Location",
	  { .url = HOST "/order", .status = 201, .body = ORDER("pending", "\"" HOST "/authz/0\"", "") },
	  ERR_MALFORMED,
	  "Location",
	  0 },
	{ "authorization at http",
	  { AT_ORDER, .body = ORDER("pending", "\"http://ca.test/authz/0\"", "") },
	  ERR_MALFORMED,
	  "https",
	  0 },
	{ "authorization is a number", { AT_ORDER, .body = ORDER("pending", "7", "") }, ERR_MALFORMED, "not a URL", 0 },
	{ "status that no order has", { AT_ORDER, .body = ORDER("paused", "", "") }, ERR_MALFORMED, "paused", 0 },
	{ "pending without authorizations",
	  { AT_ORDER, .body = ORDER("pending", "", "") },
	  ERR_TIMEOUT,
	  "did not come to an end",
	  0 },
	{ "certificate at http",
	  { .url = HOST "/finalize",
	    .status = 200,
	    .body = ORDER("valid", "", ",\"certificate\":\"http://ca.test/c\"") },
	  ERR_MALFORMED,
	  "certificate is not an https URL",
	  1 },
	{ "valid without a certificate",
	  { .url = HOST "/finalize", .status = 200, .body = ORDER("valid", "", "") },
	  ERR_MALFORMED,
	  "certificate",
	  1 },
	{ "processing for ever",
	  { .url = HOST "/finalize", .nth = 1, .status = 200, .body = PROCESSING },
	  ERR_TIMEOUT,
	  "did not come to an end",
	  1 },
	{ "a name that nobody ordered",
	  { AT_AUTHZ, .body = "{\"status\":\"pending\",\"identifier\":{\"value\":\"evil.test\"},\"challenges\":[]}" },
	  ERR_MALFORMED,
	  "evil.test, which was not ordered",
	  0 },
	{ "no http-01",
	  { AT_AUTHZ, .body = AUTHZ("pending", "{\"type\":\"dns-01\"}") },
	  ERR_UNAUTHORIZED,
	  "no http-01 challenge for www.a.test",
	  0 },
	{ "token with a path",
	  { AT_AUTHZ, .body = AUTHZ("pending", HTTP01(HOST "/chall/0", "../../../../etc/cron.d/x")) },
	  ERR_MALFORMED,
	  "token is not base64url",
	  0 },
	{ "token with a NUL",
	  { AT_AUTHZ, .body = AUTHZ("pending", HTTP01(HOST "/chall/0", "token-of-authorization\\u0000")) },
	  ERR_MALFORMED,
	  "",
	  0 },
	{ "token with shell words",
	  { AT_AUTHZ, .body = AUTHZ("pending", HTTP01(HOST "/chall/0", "$(reboot)$(reboot)$(reboot)")) },
	  ERR_MALFORMED,
	  "token is not base64url",
	  0 },
	{ "token too short",
	  { AT_AUTHZ, .body = AUTHZ("pending", HTTP01(HOST "/chall/0", "short")) },
	  ERR_MALFORMED,
	  "5 characters",
	  0 },
	{ "token is empty",
	  { AT_AUTHZ, .body = AUTHZ("pending", HTTP01(HOST "/chall/0", "")) },
	  ERR_MALFORMED,
	  "token",
	  0 },
	{ "challenge at http",
	  { AT_AUTHZ, .body = AUTHZ("pending", HTTP01("http://ca.test/chall/0", GOOD_TOKEN)) },
	  ERR_MALFORMED,
	  "https",
	  0 },
	{ "authorization is gone",
	  { AT_AUTHZ, .body = AUTHZ("deactivated", "") },
	  ERR_UNAUTHORIZED,
	  "is deactivated",
	  0 },
	{ "challenge refused",
	  { .url = HOST "/chall/", .status = 403, .body = PROBLEM("unauthorized", "not yours") },
	  ERR_UNAUTHORIZED,
	  "answer challenge: the server answered 403 unauthorized: not yours",
	  1 },
	{ "garbage while answers are up",
	  { .url = HOST "/authz/", .nth = 2, .status = 200, .body = "{" },
	  ERR_MALFORMED,
	  "poll authorization",
	  1 },
	{ "pending for ever",
	  { .url = HOST "/authz/",
	    .nth = 0,
	    .status = 200,
	    .body = AUTHZ("pending", HTTP01(HOST "/chall/0", GOOD_TOKEN)) },
	  ERR_TIMEOUT,
	  "did not come to an end",
	  1 },
	{ "a certificate that is none",
	  { .url = HOST "/cert", .status = 200, .body = "-----BEGIN PRIVATE KEY-----" },
	  ERR_MALFORMED,
	  "not a PEM chain",
	  1 },
	{ "no certificate at all",
	  { .url = HOST "/cert", .status = 200, .body = "" },
	  ERR_MALFORMED,
	  "not a PEM chain",
	  1 },
};

static void what_does_not_pass_ends_the_order_and_takes_the_answers_down(void **state)
{
	(void)state;
	static const struct twist still_processing = { .url = HOST "/order/1", .status = 200, .body = PROCESSING };
	for (size_t i = 0; i < ARRAY_LEN(failing); i++) {
		void *own = NULL;
		struct err err = { 0 };
		world_setup(&own);
		struct world *w = own;
		const struct twist twists[] = { failing[i].twist, still_processing };
		w->srv.twists = twists;
		w->srv.twist_count = failing[i].kind == ERR_TIMEOUT ? 2 : 1;
		struct rc rc = obtain(w, &err);
		if (rc.kind != failing[i].kind || err.kind != failing[i].kind ||
		    strstr(err.detail, failing[i].words) == NULL || w->deeds[PUBLISHED] != failing[i].published)
			fail_msg("%s: found %s \"%s\" after %u answers, wanted %s \"%s\" after %u", failing[i].label,
				 err_kind_name(rc.kind), err.detail, w->deeds[PUBLISHED],
				 err_kind_name(failing[i].kind), failing[i].words, failing[i].published);
		assert_in_range(w->srv.requests, 1, CLIENT_POLLS_MAX + 20);
		check_clean(w);
		struct client_step step;
		MUST_FAIL(client_next(w->cl, &step, &err), ERR_INTERNAL, "no order is under way");
		world_teardown(&own);
	}
}

static void a_wait_that_nobody_sits_through_is_told(void **state)
{
	static const struct twist twist = {
		.url = HOST "/order", .status = 429, .body = PROBLEM("rateLimited", "too many"), .retry_after = "3600"
	};
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.twists = &twist;
	w->srv.twist_count = 1;
	MUST_FAIL(obtain(w, &err), ERR_RATE_LIMITED, "too many");
	assert_int_equal(err.retry_after_s, 3600);
	assert_int_equal(w->waited_ms, 0);
}

/* RFC 8555 7.3 wants such an account refused and names no type for it: servers differ. */
static void terms_that_were_not_agreed_to_are_told(void **state)
{
	static const struct twist twists[] = {
		{ .url = HOST "/directory",
		  .status = 200,
		  .body = "{\"newNonce\":\"" HOST "/nonce\",\"newAccount\":\"" HOST "/account\",\"newOrder\":\"" HOST
			  "/order\",\"meta\":{\"termsOfService\":\"https://ca.test/terms\"}}" },
		{ .url = HOST "/account", .status = 403, .body = PROBLEM("unauthorized", "did not agree") },
	};
	struct world *w = *state;
	struct err err = { 0 };
	const struct client_conf conf = { .crypto = w->c,
					  .directory_url = STR(HOST "/directory"),
					  .account_key = w->account };
	client_free(w->cl);
	w->cl = NULL;
	MUST(client_new(&conf, &w->cl, &err));
	w->srv.twists = twists;
	w->srv.twist_count = 2;
	MUST_FAIL(obtain(w, &err), ERR_USER_ACTION_REQUIRED,
		  "the server's terms, https://ca.test/terms, were not agreed to; new account: the server answered 403 "
		  "unauthorized: did not agree");
}

static void after_a_failure_another_order_may_begin(void **state)
{
	static const struct twist twist = {
		.url = HOST "/authz/", .nth = 2, .status = 200, .body = AUTHZ("invalid", "")
	};
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.twists = &twist;
	w->srv.twist_count = 1;
	MUST_FAIL(obtain(w, &err), ERR_UNAUTHORIZED, "does not say why");
	w->srv.told[0] = false;
	err = (struct err){ 0 };
	MUST(obtain(w, &err));
	check_clean(w);
}

static void a_huge_answer_is_refused(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	char *body = mem_alloc(CLIENT_REPLY_MAX + 2);
	memset(body, ' ', CLIENT_REPLY_MAX + 1);
	const struct twist twist = { .url = HOST "/directory", .status = 200, .body = body };
	w->srv.twists = &twist;
	w->srv.twist_count = 1;
	MUST_FAIL(obtain(w, &err), ERR_MALFORMED, "over the limit");
	free(body);
}

static void more_authorizations_than_names_can_be_are_refused(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf body = BUF_MAX(65536);
	MUST(buf_add(&body, STR("{\"status\":\"pending\",\"finalize\":\"" HOST "/finalize\",\"authorizations\":[\"\""),
		     &err));
	for (int i = 0; i < IDENTS_MAX; i++)
		MUST(buf_add(&body, STR(",\"" HOST "/authz/0\""), &err));
	MUST(buf_add(&body, STR("]}"), &err));
	MUST(buf_add_char(&body, '\0', &err));
	const struct twist twist = { AT_ORDER, .body = body.p };
	w->srv.twists = &twist;
	w->srv.twist_count = 1;
	MUST_FAIL(obtain(w, &err), ERR_MALFORMED, "101 elements");
}

static void the_driver_may_end_an_order(void **state)
{
	static const struct err why = { .kind = ERR_TIMEOUT, .detail = "the time limit is over" };
	struct world *w = *state;
	struct err err = { 0 };
	bool done = false;
	struct client_step step;
	MUST_FAIL(client_fail(w->cl, &why, &err), ERR_INTERNAL, "no order");
	MUST(begin_order(w, 1, &err));
	while (w->deeds[PUBLISHED] == 0)
		MUST(one_step(w, &done, &err));
	MUST(client_fail(w->cl, &why, &err));
	MUST(client_next(w->cl, &step, &err));
	assert_int_equal(step.kind, CLIENT_WITHDRAW);
	MUST(client_fail(w->cl, &why, &err)); /* once more changes nothing */
	MUST_FAIL(client_did(w->cl, &err), ERR_TIMEOUT, "the time limit is over");
	MUST(begin_order(w, 1, &err));
	MUST_FAIL(client_fail(w->cl, &why, &err), ERR_TIMEOUT, "the time limit is over");
}

static void calls_out_of_turn_are_refused(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct client_step step;
	const struct client_reply r = { .status = 200 };
	MUST_FAIL(client_next(w->cl, &step, &err), ERR_INTERNAL, "no order");
	MUST_FAIL(client_replied(w->cl, &r, &err), ERR_INTERNAL, "no request");
	MUST_FAIL(begin_order(w, 0, &err), ERR_CONFIG, "0 names");
	MUST(begin_order(w, 1, &err));
	MUST_FAIL(client_did(w->cl, &err), ERR_INTERNAL, "nothing was to be done");
}

static void only_an_https_directory_is_taken(void **state)
{
	static const char *const urls[] = { "http://ca.test/directory", "ca.test", "", "ftp://ca.test/",
					    "https://u@ca.test/" };
	struct world *w = *state;
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct err err = { 0 };
		struct client *cl = NULL;
		const struct client_conf conf = { .crypto = w->c,
						  .directory_url = str_z(urls[i]),
						  .account_key = w->account };
		assert_true(FAILED(client_new(&conf, &cl, &err)));
		assert_non_null(strstr(err.detail, "directory: "));
	}
}

/* --- other methods, other identifiers -----------------------------------------------------------------------------*/

struct method_row {
	const char *label;
	enum challenge_type methods[3];
	size_t method_count;
	unsigned offers;
	const char *names[NAMES_MAX];
	const char *answers; /* what was published where */
	const char *words;   /* of the error; NULL: obtained */
};

#define H CHALLENGE_HTTP01
#define D CHALLENGE_DNS01
#define T CHALLENGE_TLSALPN01
#define A CHALLENGE_DNSACCOUNT01
#define P CHALLENGE_DNSPERSIST01
#define ALL_OFFERED 31

static const struct method_row method_rows[] = {
	{ "the first one that is offered", { H, D }, 2, ALL_OFFERED, { "www.a.test" }, "http-01 www.a.test", NULL },
	{ "the second one, where the first is not offered",
	  { T, D },
	  2,
	  OFFERS(D),
	  { "www.a.test" },
	  "dns-01 _acme-challenge.www.a.test",
	  NULL },
	{ "tls-alpn-01", { T }, 1, ALL_OFFERED, { "www.a.test" }, "tls-alpn-01 www.a.test", NULL },
	{ "a wildcard and the name itself",
	  { H, D },
	  2,
	  ALL_OFFERED,
	  { "a.test", "*.a.test" },
	  "http-01 a.test, dns-01 _acme-challenge.a.test",
	  NULL },
	{ "a wildcard is not shown over HTTP, even where it is offered",
	  { H },
	  1,
	  ALL_OFFERED,
	  { "*.a.test" },
	  "",
	  "the server offers no http-01 challenge for *.a.test, but http-01, dns-01, tls-alpn-01, dns-account-01, "
	  "dns-persist-01" },
	{ "addresses",
	  { D, T },
	  2,
	  ALL_OFFERED,
	  { "192.0.2.1", "2001:db8::1" },
	  "tls-alpn-01 192.0.2.1, tls-alpn-01 2001:db8::1",
	  NULL },
	{ "an address has no DNS",
	  { D, A, P },
	  3,
	  ALL_OFFERED,
	  { "192.0.2.1" },
	  "",
	  "no dns-01 or dns-account-01 or dns-persist-01 challenge for 192.0.2.1" },
	{ "the account's own label",
	  { A },
	  1,
	  ALL_OFFERED,
	  { "*.a.test" },
	  "dns-account-01 _olyvb6oxga3g4ahi._acme-challenge.a.test",
	  NULL },
	{ "a record that stays is not published", { P }, 1, ALL_OFFERED, { "*.a.test", "b.test.example" }, "", NULL },
	{ "nothing that is known",
	  { H },
	  1,
	  0,
	  { "www.a.test" },
	  "",
	  "no http-01 challenge for www.a.test, but nothing that we know" },
};

static void each_identifier_is_proved_by_the_first_method_that_can(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(method_rows); i++) {
		const struct method_row *row = &method_rows[i];
		void *own = NULL;
		struct err err = { 0 };
		world_setup(&own);
		struct world *w = own;
		const struct client_conf conf = { .methods = row->methods, .method_count = row->method_count };
		client_again(w, &conf);
		w->srv.offers = row->offers;
		w->srv.name_count = 0;
		for (size_t n = 0; n < NAMES_MAX && row->names[n] != NULL; n++)
			w->srv.names[w->srv.name_count++] = row->names[n];
		struct rc rc = obtain(w, &err);
		if (FAILED(rc) != (row->words != NULL) || !str_eq(w->answers, str_z(row->answers)) ||
		    (row->words != NULL && strstr(err.detail, row->words) == NULL))
			fail_msg("%s: \"%.*s\", %s \"%s\"", row->label, STR_FMT(w->answers), err_kind_name(rc.kind),
				 err.detail);
		check_clean(w);
		world_teardown(&own);
	}
}

static void an_authorization_of_another_kind_than_was_ordered_is_refused(void **state)
{
	static const struct {
		const char *ordered, *ident;
	} rows[] = {
		{ "www.a.test", "{\"type\":\"dns\",\"value\":\"www.a.test\"},\"wildcard\":true" },
		{ "*.a.test", "{\"type\":\"dns\",\"value\":\"a.test\"}" },
		{ "*.a.test", "{\"type\":\"dns\",\"value\":\"*.a.test\"}" },
		{ "192.0.2.1", "{\"type\":\"dns\",\"value\":\"192.0.2.1\"}" },
		{ "www.a.test", "{\"type\":\"ip\",\"value\":\"www.a.test\"}" },
		{ "www.a.test", "{\"type\":\"email\",\"value\":\"www.a.test\"}" },
		{ "192.0.2.1", "{\"type\":\"ip\",\"value\":\"192.0.2.2\"}" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		void *own = NULL;
		struct err err = { 0 };
		world_setup(&own);
		struct world *w = own;
		struct str body = str_fmt(&w->srv.mem, "{\"status\":\"pending\",\"challenges\":[],\"identifier\":%s}",
					  rows[i].ident);
		const struct twist twist = { AT_AUTHZ, .body = str_dupz_raw(&w->srv.mem, body) };
		w->srv.twists = &twist;
		w->srv.twist_count = 1;
		w->srv.names[0] = rows[i].ordered;
		MUST_FAIL(obtain(w, &err), ERR_MALFORMED, "which was not ordered");
		world_teardown(&own);
	}
}

static void an_address_in_another_spelling_is_the_same_address(void **state)
{
	static const struct twist twist = { .url = HOST "/authz/",
					    .status = 200,
					    .body = "{\"status\":\"valid\",\"identifier\":{\"type\":\"ip\",\"value\":"
						    "\"2001:DB8:0::1\"},\"challenges\":[]}" };
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.twists = &twist;
	w->srv.twist_count = 1;
	w->srv.names[0] = "2001:db8::1";
	MUST(obtain(w, &err));
}

static void records_get_time_before_the_server_looks(void **state)
{
	static const enum challenge_type methods[] = { CHALLENGE_DNS01 };
	struct world *w = *state;
	struct err err = { 0 };
	const struct client_conf conf = { .methods = methods, .method_count = 1, .settle_ms = 20000 };
	client_again(w, &conf);
	w->srv.names[1] = "b.test.example";
	w->srv.name_count = 2;
	MUST(obtain(w, &err));
	assert_int_equal(w->waited_ms, 20000); /* once for all of them */
	assert_non_null(strstr(w->story, "read authorization, publish answer, read authorization, publish answer, "
					 "wait for the DNS, answer challenge, answer challenge, poll authorization"));
}

static void files_need_no_such_time(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	const struct client_conf conf = { .settle_ms = 20000 };
	client_again(w, &conf);
	MUST(obtain(w, &err));
	assert_int_equal(w->waited_ms, 0);
}

/* --- accounts -----------------------------------------------------------------------------------------------------*/

static bool has(struct str text, const char *part)
{
	return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

static void an_account_is_bound_to_the_key_that_was_given(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	AUTO(secret_done) struct secret mac_key = { 0 };
	AUTO(json_auto) struct json *body = NULL;
	AUTO(key_auto) struct key *bound = NULL;
	struct jws_eab eab;
	MUST(secret_set(&mac_key, STR("0123456789abcdef0123456789abcdef"), &err));
	const struct client_conf conf = { .eab_kid = STR("eab-1"), .eab_key = &mac_key };
	client_again(w, &conf);
	MUST(obtain(w, &err));
	MUST(json_read(w->srv.account_payload, 65536, &body, &err));
	MUST(jws_read_eab(&w->srv.mem, json_get(body, "externalAccountBinding"), &eab, &err));
	MUST(jws_verify_eab(w->c, &eab, &mac_key, &err));
	assert_true(str_eq(eab.kid, STR("eab-1")));
	assert_true(str_eq(eab.url, STR(HOST "/account")));
	MUST(jwk_read_text(eab.payload, &bound, &err));
	assert_true(key_public_eq(bound, w->account));
}

static void terms_that_changed_are_agreed_to_again_by_those_who_agree(void **state)
{
	static const struct twist once = {
		.url = HOST "/order", .nth = 1, .status = 403, .body = PROBLEM("userActionRequired", "new terms")
	};
	static const struct twist always = { .url = HOST "/order",
					     .status = 403,
					     .body = PROBLEM("userActionRequired", "new terms") };
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.twists = &once;
	w->srv.twist_count = 1;
	MUST(obtain(w, &err));
	assert_true(w->srv.agreed);
	w->srv.twists = &always;
	w->srv.agreed = false;
	MUST_FAIL(obtain(w, &err), ERR_USER_ACTION_REQUIRED, "new terms");
	assert_true(w->srv.agreed);
	const struct client_conf conf = { .terms_agreed = false };
	client_again(w, &conf);
	w->srv.agreed = false;
	err = (struct err){ 0 };
	MUST_FAIL(obtain(w, &err), ERR_USER_ACTION_REQUIRED, "new terms");
	assert_false(w->srv.agreed);
}

static void a_key_is_changed_and_the_new_one_signs_from_then_on(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *next = NULL;
	MUST(key_generate(KEY_P384, 0, &next, &err));
	w->srv.next_key = next;
	MUST(client_key_change(w->cl, next, &err));
	MUST(run_to_end(w, &err));
	assert_string_equal(w->story, "read the directory, new account, change the key, done");
	assert_true(str_eq(w->srv.account_payload, STR("{\"onlyReturnExisting\":true}")));
	assert_true(w->srv.account == next);
	MUST_FAIL(client_key_change(w->cl, next, &err), ERR_CONFIG, "the account's already");
	client_free(w->cl); /* check_published looks for the thumbprint of w->account */
	w->cl = NULL;
}

static void orders_after_a_key_change_are_signed_by_the_new_key(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct key *old = w->account, *next = NULL;
	MUST(key_generate(KEY_P256, 0, &next, &err));
	w->srv.next_key = next;
	MUST(client_key_change(w->cl, next, &err));
	MUST(run_to_end(w, &err));
	w->account = next; /* key authorizations carry its thumbprint */
	MUST(obtain(w, &err));
	key_free(old);
}

static void a_key_that_is_in_use_changes_nothing(void **state)
{
	static const struct twist twist = {
		.url = HOST "/change",
		.status = 409,
		.body = "{\"type\":\"urn:ietf:params:acme:error:malformed\",\"detail\":\"another "
			"account has this key\",\"status\":409}",
		.location = HOST "/account/2"
	};
	struct world *w = *state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *next = NULL;
	MUST(key_generate(KEY_P256, 0, &next, &err));
	w->srv.next_key = next;
	w->srv.twists = &twist;
	w->srv.twist_count = 1;
	MUST(client_key_change(w->cl, next, &err));
	MUST_FAIL(run_to_end(w, &err), ERR_KEY_IN_USE, "answered 409");
	w->srv.twist_count = 0;
	MUST(obtain(w, &err)); /* by the old key, which is checked */
}

static void an_account_is_found_or_not(void **state)
{
	static const struct twist twist = { .url = HOST "/account",
					    .status = 400,
					    .body = PROBLEM("accountDoesNotExist", "nobody has this key") };
	struct world *w = *state;
	struct err err = { 0 };
	MUST(client_find(w->cl, &err));
	MUST(run_to_end(w, &err));
	assert_true(str_eq(w->srv.account_payload, STR("{\"onlyReturnExisting\":true}")));
	const struct client_conf conf = { .terms_agreed = false };
	w->srv.meta = "\"termsOfService\":\"https://ca.test/terms\""; /* they are not why */
	client_again(w, &conf);
	w->srv.twists = &twist;
	w->srv.twist_count = 1;
	MUST(client_find(w->cl, &err));
	MUST_FAIL(run_to_end(w, &err), ERR_ACCOUNT_DOES_NOT_EXIST, "nobody has this key");
}

static void an_account_ends(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	MUST(client_deactivate(w->cl, &err));
	MUST(run_to_end(w, &err));
	assert_true(w->srv.deactivated);
}

static void an_account_that_does_not_end_is_told(void **state)
{
	static const struct twist twist = { .url = HOST "/account/1", .status = 200, .body = "{\"status\":\"valid\"}" };
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.twists = &twist;
	w->srv.twist_count = 1;
	MUST(client_deactivate(w->cl, &err));
	MUST_FAIL(run_to_end(w, &err), ERR_MALFORMED, "status is \"valid\" afterwards; wanted deactivated");
}

/* --- revocation ---------------------------------------------------------------------------------------------------*/

static void a_certificate_is_revoked_by_the_account(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	MUST(client_revoke(w->cl, STR("0123"), 4, NULL, &err));
	MUST(run_to_end(w, &err));
	assert_true(str_eq(w->srv.revocation, STR("{\"certificate\":\"MDEyMw\",\"reason\":4}")));
	assert_string_equal(w->story, "read the directory, new account, revoke, done");
	assert_true(has(w->srv.account_payload, "onlyReturnExisting"));
}

static void a_certificate_is_revoked_by_its_own_key_without_an_account(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	MUST(client_revoke(w->cl, STR("0123"), 1, w->certificate, &err));
	MUST(run_to_end(w, &err));
	assert_true(str_eq(w->srv.revocation, STR("{\"certificate\":\"MDEyMw\",\"reason\":1}")));
	assert_string_equal(w->story, "read the directory, revoke, done");
	MUST(obtain(w, &err)); /* an account is made when one is needed */
}

static void a_revocation_that_is_refused_is_told(void **state)
{
	static const struct twist twists[] = {
		{ .url = HOST "/revoke", .nth = 1, .status = 400, .body = BAD_NONCE },
		{ .url = HOST "/revoke", .status = 400, .body = PROBLEM("alreadyRevoked", "long ago") },
	};
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.twists = twists;
	w->srv.twist_count = 2;
	MUST(client_revoke(w->cl, STR("0123"), 0, NULL, &err));
	MUST_FAIL(run_to_end(w, &err), ERR_ALREADY_REVOKED, "revoke: the server answered 400 alreadyRevoked: long ago");
	MUST_FAIL(client_revoke(w->cl, STR_NONE, 0, NULL, &err), ERR_CONFIG, "0 bytes");
}

static void a_server_without_the_resource_is_told(void **state)
{
	static const struct twist twist = { .url = HOST "/directory",
					    .status = 200,
					    .body = "{\"newNonce\":\"" HOST "/nonce\",\"newAccount\":\"" HOST
						    "/account\",\"newOrder\":\"" HOST "/order\"}" };
	struct world *w = *state;
	struct err err = { 0 };
	struct client_step step;
	bool done = false;
	w->srv.twists = &twist;
	w->srv.twist_count = 1;
	MUST(client_revoke(w->cl, STR("0123"), 0, w->certificate, &err));
	MUST(one_step(w, &done, &err));
	MUST_FAIL(client_next(w->cl, &step, &err), ERR_MALFORMED, "the server's directory has no revokeCert");
}

/* --- profiles -----------------------------------------------------------------------------------------------------*/

static void a_profile_is_asked_for_where_the_server_has_it(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	w->srv.meta = "\"profiles\":{\"short\":\"six days\",\"long\":\"ninety\"}";
	w->profile = STR("short");
	MUST(obtain(w, &err));
	assert_true(has(w->srv.order_payload, "\"profile\":\"short\""));
	w->profile = STR("middling");
	MUST_FAIL(obtain(w, &err), ERR_INVALID_PROFILE,
		  "the server has no profile middling; its profiles are short, long");
}

static void a_server_without_profiles_is_asked_for_none(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	MUST(obtain(w, &err));
	assert_false(has(w->srv.order_payload, "profile"));
	w->profile = STR("short");
	MUST_FAIL(obtain(w, &err), ERR_INVALID_PROFILE, "lists no profiles; wanted short");
}

/* --- dns-persist-01 -----------------------------------------------------------------------------------------------*/

static void the_record_that_stays_names_issuer_and_account(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct thumbprint tp;
	struct sha256 digest;
	struct str name, value;
	const struct ident base = { IDENT_DNS, STR("a.test") }, wild = { IDENT_DNS, STR("*.a.test") };
	const struct ident ip = { IDENT_IP, STR("192.0.2.1") };
	w->srv.meta = "\"issuerDomainNames\":[\"ca.test\",\"b.test\"],\"accountHashPrefix\":\"https://ca.test/h/\"";
	MUST(client_register(w->cl, &err));
	MUST(run_to_end(w, &err));
	MUST(jwk_thumbprint(w->c, w->account, &tp, &err));
	MUST(digest_sha256(w->c,
			   str_fmt(&w->srv.mem,
				   "\x06"
				   "a.test%s" HOST "/account/1",
				   tp.z),
			   &digest, &err));
	struct str hash = b64url_encode(&w->srv.mem, str_n(digest.b, sizeof digest.b));
	struct str want = str_fmt(&w->srv.mem, "ca.test; accounturi=https://ca.test/h/sha-256/%.*s", STR_FMT(hash));
	MUST(client_persist_record(w->cl, &w->srv.mem, &base, &name, &value, &err));
	assert_true(str_eq(name, STR("_validation-persist.a.test")));
	assert_true(str_eq(value, want));
	MUST(client_persist_record(w->cl, &w->srv.mem, &wild, &name, &value, &err));
	assert_true(str_eq(name, STR("_validation-persist.a.test")));
	assert_true(str_eq(value, str_fmt(&w->srv.mem, "%.*s; policy=wildcard", STR_FMT(want))));
	MUST_FAIL(client_persist_record(w->cl, &w->srv.mem, &ip, &name, &value, &err), ERR_CONFIG, "addresses have no");
}

static void a_server_without_such_records_or_with_odd_words_is_told(void **state)
{
	static const char *const metas[] = {
		"\"issuerDomainNames\":[\"ca.test\"]",
		"\"issuerDomainNames\":[],\"accountHashPrefix\":\"https://ca.test/\"",
		"\"issuerDomainNames\":[7],\"accountHashPrefix\":\"https://ca.test/\"",
		"\"issuerDomainNames\":[\"ca.test; policy=wildcard\"],\"accountHashPrefix\":\"https://ca.test/\"",
		"\"issuerDomainNames\":[\"ca.test\"],\"accountHashPrefix\":\"a\\u0007b\"",
		"\"issuerDomainNames\":[\"ca.test\"],\"accountHashPrefix\":\"a\\\"b\"",
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(metas); i++) {
		void *own = NULL;
		struct err err = { 0 };
		struct str name, value;
		const struct ident base = { IDENT_DNS, STR("a.test") };
		world_setup(&own);
		struct world *w = own;
		w->srv.meta = metas[i];
		MUST(client_register(w->cl, &err));
		MUST(run_to_end(w, &err));
		MUST_FAIL(client_persist_record(w->cl, &w->srv.mem, &base, &name, &value, &err), ERR_CONFIG,
			  "does not serve dns-persist-01");
		world_teardown(&own);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(one_name_is_one_short_story, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_challenge_answered_with_its_outcome_saves_a_poll, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_directory_without_a_nonce_costs_one_request, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_second_order_keeps_directory_account_and_nonce, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(several_names_are_answered_then_polled, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(an_authorization_that_is_valid_already_needs_no_answer, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(an_order_that_is_ready_at_once_is_finalized_at_once, world_setup,
						world_teardown),
		cmocka_unit_test(what_passes_is_tried_again),
		cmocka_unit_test_setup_teardown(a_refused_nonce_request_is_not_taken_for_the_next_answer, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_load_generator_looks_often_at_first, world_setup, world_teardown),
		cmocka_unit_test(what_does_not_pass_ends_the_order_and_takes_the_answers_down),
		cmocka_unit_test_setup_teardown(a_wait_that_nobody_sits_through_is_told, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(terms_that_were_not_agreed_to_are_told, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(after_a_failure_another_order_may_begin, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_huge_answer_is_refused, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(more_authorizations_than_names_can_be_are_refused, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(the_driver_may_end_an_order, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(calls_out_of_turn_are_refused, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(only_an_https_directory_is_taken, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(an_address_in_another_spelling_is_the_same_address, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(records_get_time_before_the_server_looks, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(files_need_no_such_time, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(an_account_is_bound_to_the_key_that_was_given, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(terms_that_changed_are_agreed_to_again_by_those_who_agree, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_key_is_changed_and_the_new_one_signs_from_then_on, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(orders_after_a_key_change_are_signed_by_the_new_key, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_key_that_is_in_use_changes_nothing, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(an_account_is_found_or_not, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(an_account_ends, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(an_account_that_does_not_end_is_told, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_certificate_is_revoked_by_the_account, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_certificate_is_revoked_by_its_own_key_without_an_account, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_revocation_that_is_refused_is_told, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_server_without_the_resource_is_told, world_setup, world_teardown),
		cmocka_unit_test_setup_teardown(a_profile_is_asked_for_where_the_server_has_it, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(a_server_without_profiles_is_asked_for_none, world_setup,
						world_teardown),
		cmocka_unit_test_setup_teardown(the_record_that_stays_names_issuer_and_account, world_setup,
						world_teardown),
		cmocka_unit_test(each_identifier_is_proved_by_the_first_method_that_can),
		cmocka_unit_test(an_authorization_of_another_kind_than_was_ordered_is_refused),
		cmocka_unit_test(a_server_without_such_records_or_with_odd_words_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

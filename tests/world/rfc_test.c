/* SPDX-License-Identifier: Apache-2.0
 *
 * rfc_test.c: clauses of RFC 8555, 9444 and 9773 that no other test walks, each named by its section. docs/rfc lists all
 * clauses with their tests.
 */
#include "expect.h"
#include "fixture.h"

#include <stdlib.h>

#define NEW_ACCOUNT STR(WORLD_BASE "/new-account")
#define NEW_ORDER STR(WORLD_BASE "/new-order")
#define NEW_AUTHZ STR(WORLD_BASE "/new-authz")
#define REALM(more)                                                                             \
	"realm:\n"                                                                              \
	"  default:\n    names: [\"*.a.test\"]\n    challenges: [http-01, dns-01]\n"            \
	"    subdomain-auth: true\n    accounts-per-hour: 0\n    orders-per-hour: 0\n" more     \
	"  other:\n    names: [\"*.a.test\"]\n    accounts-per-hour: 0\n"                       \
	"  few:\n    names: [\"*.a.test\"]\n    accounts-per-hour: 1\n    orders-per-hour: 1\n" \
	"zone:\n  default:\n    attempts: 1\n"

struct fixture {
	FIXTURE;
};

static struct key *key_new(enum key_kind kind, unsigned bits)
{
	struct err err = { 0 };
	struct key *k = NULL;
	MUST(key_generate(kind, bits, &k, &err));
	return k;
}

static struct world_reply post(struct fixture *f, const struct world_account *a, struct str url, struct str payload)
{
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_post(&f->w, a, url, payload, &r, &err));
	return r;
}

static struct str text_of(struct fixture *f, const struct json *o, const char *key)
{
	struct err err = { 0 };
	struct str text;
	MUST(json_want_str(o, key, 4096, &text, &err));
	return str_dup(&f->w.mem, text);
}

static struct str first_of(struct fixture *f, const struct json *o, const char *key)
{
	struct str text;
	assert_true(json_as_str(json_at(json_get(o, key), 0), &text));
	return str_dup(&f->w.mem, text);
}

static struct str order_new(struct fixture *f, const struct world_account *a, const char *name)
{
	struct err err = { 0 };
	struct str url;
	MUST(world_order_new(&f->w, a, str_z(name), &url, &err));
	return url;
}

static struct str authz_of(struct fixture *f, const struct world_account *a, struct str order)
{
	struct world_reply r = post(f, a, order, STR_NONE);
	struct str url = first_of(f, r.json, "authorizations");
	world_reply_done(&r);
	return url;
}

static struct str challenge_of(struct fixture *f, const struct world_account *a, struct str authz)
{
	struct world_reply r = post(f, a, authz, STR_NONE);
	struct str url = text_of(f, json_at(json_get(r.json, "challenges"), 0), "url");
	world_reply_done(&r);
	return url;
}

static struct str csr_payload(struct fixture *f, const struct key *k, const char *name)
{
	struct err err = { 0 };
	struct str payload;
	MUST(world_csr(&f->w, k, str_z(name), &payload, &err));
	return payload;
}

static struct world_reply finalize(struct fixture *f, const struct world_account *a, struct str order,
				   struct str payload)
{
	return post(f, a, str_fmt(&f->w.mem, "%.*s/finalize", STR_FMT(order)), payload);
}

static void assert_status(struct fixture *f, const struct world_account *a, struct str url, const char *status)
{
	struct err err = { 0 };
	struct str now;
	MUST(world_order_status(&f->w, a, url, &now, &err));
	if (!str_eq(now, str_z(status)))
		fail_msg("%.*s is %.*s, wanted %s", STR_FMT(url), STR_FMT(now), status);
}

static void assert_time(struct fixture *f, const struct json *o, const char *key)
{
	struct err err = { 0 };
	int64_t s;
	MUST(time_read(text_of(f, o, key), &s, &err));
}

/* --- 5, 6: messages ----------------------------------------------------------------------------------------------- */

/* 5: what is not UTF-8 is no message. */
static void a_payload_is_utf8(void **state)
{
	struct fixture *f = *state;
	static const char *const bad[] = { "\xff", "\xc0\xaf", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xe2\x82" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct str payload = str_fmt(&f->w.mem, "{\"contact\":[\"mailto:%s@a.test\"]}", bad[i]);
		struct world_reply r = post(f, &f->alice, f->alice.url, payload);
		expect_problem("not UTF-8", &r, 400, "malformed", "payload: ");
	}
}

/* 6.2: ES256 must be served, EdDSA with Ed25519 should be; what the refusal of others names is what is served. */
static void each_algorithm_that_is_served_makes_an_account(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static const struct {
		enum key_kind kind;
		unsigned bits;
	} rows[] = { { KEY_P256, 0 }, { KEY_P384, 0 }, { KEY_P521, 0 }, { KEY_RSA, 2048 }, { KEY_ED25519, 0 } };
	assert_int_equal(ARRAY_LEN(rows), SIG_ALG_COUNT);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_account a = { .key = key_new(rows[i].kind, rows[i].bits) };
		MUST(world_account_new(&f->w, &a, &err));
		struct world_reply r = post(f, &a, a.url, STR_NONE);
		expect_status("its own account", &r, 200);
		key_free(a.key);
	}
}

/* 6.2: the RFC's own examples of keys that are refused, each with the reason. */
static void a_key_that_is_refused_is_told_why(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static const uint8_t odd[64] = { [0] = 0xc1, [63] = 1 };
	struct str n = b64url_encode(&f->w.mem, str_n(odd, sizeof odd));
	struct str ed448 = b64url_encode(&f->w.mem, str_n(odd, 57)), point = b64url_encode(&f->w.mem, str_n(odd, 32));
	const struct {
		const char *alg, *words;
		struct str jwk;
	} rows[] = {
		{ "RS256", "512", str_fmt(&f->w.mem, "{\"kty\":\"RSA\",\"n\":\"%.*s\",\"e\":\"AQAB\"}", STR_FMT(n)) },
		{ "EdDSA", "Ed448",
		  str_fmt(&f->w.mem, "{\"kty\":\"OKP\",\"crv\":\"Ed448\",\"x\":\"%.*s\"}", STR_FMT(ed448)) },
		{ "ES256", "curve",
		  str_fmt(&f->w.mem, "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%.*s\",\"y\":\"%.*s\"}", STR_FMT(point),
			  STR_FMT(point)) },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_reply r;
		struct str header = b64url_encode(
			&f->w.mem, str_fmt(&f->w.mem, "{\"alg\":\"%s\",\"jwk\":%.*s,\"nonce\":\"AAAA\",\"url\":\"%s\"}",
					   rows[i].alg, STR_FMT(rows[i].jwk), WORLD_BASE "/new-account"));
		struct str body =
			str_fmt(&f->w.mem, "{\"protected\":\"%.*s\",\"payload\":\"e30\",\"signature\":\"AAAA\"}",
				STR_FMT(header));
		MUST(world_send(&f->w, HTTP_POST, STR("/new-account"), STR("application/jose+json"), body, &r, &err));
		expect_problem(rows[i].alg, &r, 400, "badPublicKey", rows[i].words);
	}
}

/* 6.5: the fresh nonce of a refusal is one that the second try may use, and once only. */
static void the_nonce_of_a_refusal_serves_the_second_try(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str nonce = STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	static const int wanted[] = { 400, 200 };
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		AUTO(buf_done) struct buf body = BUF_MAX(65536);
		struct world_reply r;
		MUST(jws_sign_acme(f->w.crypto, f->alice.key, f->alice.url, nonce, f->alice.url, STR_NONE, &body,
				   &err));
		MUST(world_send(&f->w, HTTP_POST, world_path(f->alice.url), STR("application/jose+json"),
				buf_str(&body), &r, &err));
		nonce = world_header(&r, "Replay-Nonce");
		assert_int_equal(reply_says(&r, PROBLEM_URN "badNonce"), i == 0);
		expect_status("with this nonce", &r, wanted[i]);
	}
}

/* 6.6: accounts by their address, orders by their account. */
static void a_limit_says_when_it_ends(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_account a = { .key = key_new(KEY_P256, 0) }, b = { .key = key_new(KEY_P256, 0) };
	struct str base = STR(WORLD_BASE "/realm/few");
	struct str account_url = str_fmt(&f->w.mem, "%.*s/new-account", STR_FMT(base));
	struct str order_url = str_fmt(&f->w.mem, "%.*s/new-order", STR_FMT(base));
	struct str one = STR("{\"identifiers\":[{\"type\":\"dns\",\"value\":\"few.a.test\"}]}");
	struct world_reply r = post(f, &a, account_url, STR("{}"));
	a.url = world_header(&r, "Location");
	expect_status("the first account", &r, 201);
	const struct {
		const struct world_account *who;
		struct str url, payload;
		const char *words;
	} rows[] = { { &b, account_url, STR("{}"), "too many new accounts" },
		     { &a, order_url, one, "too many new orders" } };
	r = post(f, &a, order_url, one);
	expect_status("the first order", &r, 201);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint64_t wait;
		r = post(f, rows[i].who, rows[i].url, rows[i].payload);
		MUST(str_u64(world_header(&r, "Retry-After"), 3600, &wait, &err));
		assert_true(wait > 0);
		expect_problem(rows[i].words, &r, 429, "rateLimited", rows[i].words);
		int64_t before = f->w.now_ms;
		f->w.now_ms += (int64_t)wait * 1000;
		r = post(f, rows[i].who, rows[i].url, rows[i].payload);
		expect_status("when it has ended", &r, 201);
		f->w.now_ms = before;
	}
	key_free(a.key);
	key_free(b.key);
}

/* 6.7.1: what is refused is named in subproblems only. */
static void no_problem_names_an_identifier_at_its_top(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *identifiers, *type;
		size_t subproblems;
	} rows[] = {
		{ "{\"type\":\"dns\",\"value\":\"a_.a.test\"}", "malformed", 0 },
		{ "{\"type\":\"dns\",\"value\":\"www.elsewhere.test\"}", "rejectedIdentifier", 0 },
		{ "{\"type\":\"dns\",\"value\":\"a_.a.test\"},{\"type\":\"dns\",\"value\":\"b_.a.test\"}", "compound",
		  2 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_reply r = post(f, &f->alice, NEW_ORDER,
					    str_fmt(&f->w.mem, "{\"identifiers\":[%s]}", rows[i].identifiers));
		assert_null(json_get(r.json, "identifier"));
		assert_int_equal(json_count(json_get(r.json, "subproblems")), rows[i].subproblems);
		for (size_t k = 0; k < rows[i].subproblems; k++) {
			const struct json *one = json_at(json_get(r.json, "subproblems"), k);
			assert_true(str_eq(text_of(f, json_get(one, "identifier"), "type"), STR("dns")));
		}
		expect_problem(rows[i].type, &r, 400, rows[i].type, "");
	}
}

/* --- 7.1: objects --------------------------------------------------------------------------------------------------*/

/* 7.1.2.1: the list has what may still go on, and not what is over. */
static void the_list_of_orders_has_the_open_and_not_the_invalid(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_account a = { 0 };
	MUST(world_account_new(&f->w, &a, &err));
	struct str open = order_new(f, &a, "listed.a.test"), over = order_new(f, &a, "over.a.test");
	struct world_reply r = post(f, &a, authz_of(f, &a, over), STR("{\"status\":\"deactivated\"}"));
	expect_status("deactivate", &r, 200);
	assert_status(f, &a, over, "invalid");
	r = post(f, &a, a.url, STR_NONE);
	struct str list = text_of(f, r.json, "orders");
	world_reply_done(&r);
	r = post(f, &a, list, STR_NONE);
	assert_int_equal(json_count(json_get(r.json, "orders")), 1);
	assert_true(str_eq(first_of(f, r.json, "orders"), open));
	expect_status("the list", &r, 200);
	key_free(a.key);
}

static void assert_order_object(struct fixture *f, const struct json *o, const char *status)
{
	assert_true(str_eq(text_of(f, o, "status"), str_z(status)));
	assert_time(f, o, "expires"); /* 7.1.3: required when pending or valid; we always say it */
	assert_int_equal(json_count(json_get(o, "identifiers")), 1);
	assert_int_equal(json_count(json_get(o, "authorizations")), 1);
	assert_true(str_starts(text_of(f, o, "finalize"), STR(WORLD_BASE "/order/")));
	assert_int_equal(json_get(o, "certificate") != NULL, strcmp(status, "valid") == 0);
	assert_int_equal(json_get(o, "error") != NULL, strcmp(status, "invalid") == 0);
}

/* 7.1.3: from its beginning to its end an order has the members that it must have, and the same lists. */
static void an_order_is_whole_in_every_state_and_keeps_its_lists(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = key_new(KEY_P256, 0);
	world_site(&f->w, STR("whole.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	struct str url = order_new(f, &f->alice, "whole.a.test"), authz = authz_of(f, &f->alice, url);
	static const char *const states[] = { "pending", "ready", "processing", "valid" };
	for (size_t i = 0; i < ARRAY_LEN(states); i++) {
		struct world_reply r = post(f, &f->alice, url, STR_NONE);
		assert_order_object(f, r.json, states[i]);
		assert_true(str_eq(first_of(f, r.json, "authorizations"), authz));
		assert_true(
			str_eq(text_of(f, json_at(json_get(r.json, "identifiers"), 0), "value"), STR("whole.a.test")));
		/* 7.4: when it is worth while to look again */
		assert_int_equal(world_header(&r, "Retry-After").n > 0, strcmp(states[i], "processing") == 0);
		world_reply_done(&r);
		if (i == 0) {
			MUST(world_order_prove(&f->w, &f->alice, url, &err));
		} else if (i == 1) {
			r = finalize(f, &f->alice, url, csr_payload(f, k, "whole.a.test"));
			assert_order_object(f, r.json, "processing"); /* 7.4: 200 with the order as it is now */
			expect_status("finalize", &r, 200);
		} else {
			MUST(world_run(&f->w, &err));
		}
	}
	url = order_new(f, &f->alice, "nobody.a.test");
	MUST(world_order_prove(&f->w, &f->alice, url, &err));
	struct world_reply r = post(f, &f->alice, url, STR_NONE);
	assert_order_object(f, r.json, "invalid");
	world_reply_done(&r);
}

/* 7.1.4, 7.5.1, 8: an authorization and its challenge, waiting, under way, proved and failed. */
static void authorizations_and_challenges_are_whole_in_every_state(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static const struct {
		const char *name, *authz, *challenge;
	} rows[] = { { "good.a.test", "valid", "valid" }, { "gone.a.test", "invalid", "invalid" } };
	world_site(&f->w, STR("good.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str order = order_new(f, &f->alice, rows[i].name);
		struct str authz = authz_of(f, &f->alice, order);
		struct str challenge = challenge_of(f, &f->alice, authz), link;
		struct world_reply r = post(f, &f->alice, challenge, STR_NONE);
		assert_true(str_eq(text_of(f, r.json, "status"), STR("pending")));
		assert_true(str_eq(text_of(f, r.json, "url"), challenge));
		assert_true(str_eq(text_of(f, r.json, "type"), STR("http-01")));
		assert_int_equal(text_of(f, r.json, "token").n, 43);
		assert_null(json_get(r.json, "validated"));
		assert_null(json_get(r.json, "error"));
		world_reply_done(&r);

		r = post(f, &f->alice, challenge, STR("{}"));
		assert_true(str_eq(text_of(f, r.json, "status"), STR("processing")));
		link = world_header(&r, "Link");
		assert_true(str_eq(link, str_fmt(&f->w.mem, "<%.*s>;rel=\"up\"", STR_FMT(authz))));
		assert_true(world_header(&r, "Retry-After").n > 0); /* 8.2 */
		expect_status("answered", &r, 200);
		r = post(f, &f->alice, authz, STR_NONE);
		assert_true(str_eq(text_of(f, r.json, "status"), STR("pending")));
		assert_true(world_header(&r, "Retry-After").n > 0); /* 7.5.1 */
		expect_status("under way", &r, 200);

		MUST(world_run(&f->w, &err));
		r = post(f, &f->alice, authz, STR_NONE);
		const struct json *list = json_get(r.json, "challenges"), *one = json_at(list, 0);
		assert_true(str_eq(text_of(f, r.json, "status"), str_z(rows[i].authz)));
		assert_time(f, r.json, "expires");
		assert_int_equal(json_count(list), 1); /* the one that decided, also when it failed */
		assert_true(str_eq(text_of(f, one, "status"), str_z(rows[i].challenge)));
		assert_int_equal(json_get(one, "error") != NULL, i == 1);
		if (i == 0)
			assert_time(f, one, "validated");
		else
			assert_true(str_starts(text_of(f, json_get(one, "error"), "type"), STR(PROBLEM_URN)));
		world_reply_done(&r);
	}
}

/* --- 7.3: accounts -------------------------------------------------------------------------------------------------*/

/* 7.3: what the client may not set, or nobody knows, is ignored, and is not in the account. */
static void a_new_account_ignores_what_is_not_the_clients(void **state)
{
	struct fixture *f = *state;
	struct world_account a = { .key = key_new(KEY_P256, 0) };
	struct world_reply r =
		post(f, &a, NEW_ACCOUNT,
		     STR("{\"contact\":[\"mailto:a@example.com\"],\"orders\":\"https://evil.test/\",\"status\":"
			 "\"revoked\",\"onlyReturnExisting\":false,\"favouriteColour\":\"blue\"}"));
	assert_true(reply_says(&r, "\"status\":\"valid\"") && reply_says(&r, "mailto:a@example.com"));
	assert_false(reply_says(&r, "evil") || reply_says(&r, "onlyReturn") || reply_says(&r, "blue"));
	assert_true(str_eq(text_of(f, r.json, "orders"),
			   str_fmt(&f->w.mem, "%.*s/orders", STR_FMT(world_header(&r, "Location")))));
	expect_status("new", &r, 201);
	key_free(a.key);
}

/* 7.3: terms that must be agreed to are in the directory. */
static void the_directory_names_the_terms(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_configure(&f->w, REALM("    terms-of-service: https://ca.test/terms/7\n"), &err));
	MUST(world_send(&f->w, HTTP_GET, STR("/directory"), STR_NONE, STR_NONE, &r, &err));
	assert_true(str_eq(text_of(f, json_get(r.json, "meta"), "termsOfService"), STR("https://ca.test/terms/7")));
	expect_status("directory", &r, 200);
	MUST(world_configure(&f->w, REALM(""), &err));
	MUST(world_send(&f->w, HTTP_GET, STR("/directory"), STR_NONE, STR_NONE, &r, &err));
	assert_null(json_get(json_get(r.json, "meta"), "termsOfService"));
	expect_status("directory", &r, 200);
}

/* 7.3.1: the account as it was, whatever the request says. */
static void a_known_key_gets_its_account_as_it_was(void **state)
{
	struct fixture *f = *state;
	struct world_account a = { .key = key_new(KEY_P256, 0) };
	struct world_reply r = post(f, &a, NEW_ACCOUNT, STR("{\"contact\":[\"mailto:first@example.com\"]}"));
	struct str url = world_header(&r, "Location"), first = r.body;
	expect_status("new", &r, 201);
	static const char *const again[] = { "{}", "{\"onlyReturnExisting\":true}", "{\"status\":\"deactivated\"}",
					     "{\"contact\":[\"mailto:second@example.com\"]}",
					     "{\"termsOfServiceAgreed\":true}" };
	for (size_t i = 0; i < ARRAY_LEN(again); i++) {
		r = post(f, &a, NEW_ACCOUNT, str_z(again[i]));
		assert_true(str_eq(world_header(&r, "Location"), url));
		assert_true(str_eq(r.body, first));
		expect_status(again[i], &r, 200);
	}
	a.url = url;
	r = post(f, &a, url, STR_NONE);
	assert_true(str_eq(r.body, first));
	expect_status("and it still is", &r, 200);
	key_free(a.key);
}

/* 7.3.6: nothing of the account's goes on, and none of its certificates is revoked. */
static void a_deactivated_account_leaves_its_certificates(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_account a = { 0 }, holder = { .key = key_new(KEY_P256, 0) };
	struct str der;
	MUST(world_account_new(&f->w, &a, &err));
	MUST(world_issue(&f->w, &a, holder.key, STR("left.a.test"), &der, &err));
	struct str order = order_new(f, &a, "left.a.test");
	assert_status(f, &a, order, "ready");
	struct world_reply r = post(f, &a, a.url, STR("{\"status\":\"deactivated\"}"));
	expect_status("deactivate", &r, 200);
	r = finalize(f, &a, order, csr_payload(f, holder.key, "left.a.test"));
	expect_problem("finalize", &r, 401, "unauthorized", "the account is deactivated");
	/* A certificate that was revoked with it could not be revoked now. */
	struct str text = b64url_encode(&f->w.mem, der);
	r = post(f, &holder, STR(WORLD_BASE "/revoke-cert"),
		 str_fmt(&f->w.mem, "{\"certificate\":\"%.*s\"}", STR_FMT(text)));
	assert_int_equal(r.body.n, 0);
	expect_status("revoke", &r, 200);
	key_free(a.key);
	key_free(holder.key);
}

/* --- 7.4, 7.5, 11.1: orders ----------------------------------------------------------------------------------------*/

/* 7.5.1 (and erratum 5729): the response is an object, whatever it holds. */
static void a_challenge_response_is_an_object_whatever_it_holds(void **state)
{
	struct fixture *f = *state;
	struct str order = order_new(f, &f->alice, "answered.a.test");
	struct str challenge = challenge_of(f, &f->alice, authz_of(f, &f->alice, order));
	static const char *const bad[] = { "[]", "[1]", "7", "\"{}\"", "null", "true", "{" };
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct world_reply r = post(f, &f->alice, challenge, str_z(bad[i]));
		expect_problem(bad[i], &r, 400, "malformed", "payload");
		assert_status(f, &f->alice, challenge, "pending");
	}
	struct world_reply r =
		post(f, &f->alice, challenge, STR("{\"keyAuthorization\":\"x\",\"status\":\"valid\",\"token\":\"y\"}"));
	assert_true(str_eq(text_of(f, r.json, "status"), STR("processing")));
	assert_false(str_eq(text_of(f, r.json, "token"), STR("y")) || reply_says(&r, "keyAuthorization"));
	expect_status("an object", &r, 200);
}

/* 11.1: no account's key is in a certificate, whoever asks: of whatever realm, and whether the account lives or not. */
static void no_certificate_holds_the_key_of_any_account(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_account bob = { 0 }, ended = { 0 }, other = { .key = key_new(KEY_P384, 0) };
	AUTO(key_auto) struct key *fine = key_new(KEY_P256, 0);
	MUST(world_account_new(&f->w, &bob, &err));
	MUST(world_account_new(&f->w, &ended, &err));
	struct world_reply r = post(f, &ended, ended.url, STR("{\"status\":\"deactivated\"}"));
	expect_status("deactivate", &r, 200);
	r = post(f, &other, STR(WORLD_BASE "/realm/other/new-account"), STR("{}"));
	expect_status("in another realm", &r, 201);
	world_site(&f->w, STR("keys.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	struct str order = order_new(f, &f->alice, "keys.a.test");
	MUST(world_order_prove(&f->w, &f->alice, order, &err));
	const struct {
		const char *name;
		const struct key *key;
	} rows[] = { { "its own", f->alice.key },
		     { "another's", bob.key },
		     { "one that has ended", ended.key },
		     { "of another realm", other.key } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		r = finalize(f, &f->alice, order, csr_payload(f, rows[i].key, "keys.a.test"));
		expect_problem(rows[i].name, &r, 400, "badCSR", "a certificate needs a key of its own");
		assert_status(f, &f->alice, order, "ready"); /* 7.4: it may try again */
	}
	r = finalize(f, &f->alice, order, csr_payload(f, fine, "keys.a.test"));
	expect_status("a key of its own", &r, 200);
	MUST(world_run(&f->w, &err));
	key_free(bob.key);
	key_free(ended.key);
	key_free(other.key);
}

/* --- RFC 9444 ------------------------------------------------------------------------------------------------------*/

/* 9444 4.1, 4.2, 4.4: an authorization says whether it serves what is below its name, and only where it does. */
static void an_authorization_says_whether_it_serves_what_is_below(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static const struct {
		const char *payload;
		int given; /* -1: absent */
	} rows[] = {
		{ "{\"identifier\":{\"type\":\"dns\",\"value\":\"b1.a.test\",\"subdomainAuthAllowed\":true}}", 1 },
		{ "{\"identifier\":{\"type\":\"dns\",\"value\":\"b2.a.test\",\"subdomainAuthAllowed\":false}}", -1 },
		{ "{\"identifier\":{\"type\":\"dns\",\"value\":\"b3.a.test\"}}", -1 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool given = false;
		struct world_reply r = post(f, &f->alice, NEW_AUTHZ, str_z(rows[i].payload));
		MUST(json_may_bool(r.json, "subdomainAuthAllowed", &given, &err));
		assert_int_equal(json_get(r.json, "subdomainAuthAllowed") == NULL ? -1 : given, rows[i].given);
		assert_true(str_eq(text_of(f, r.json, "status"), STR("pending"))); /* 8555 7.4.1 */
		expect_status(rows[i].payload, &r, 201);
	}
	struct world_account carol = { .key = key_new(KEY_P256, 0) };
	struct world_reply r = post(f, &carol, STR(WORLD_BASE "/realm/other/new-account"), STR("{}"));
	carol.url = world_header(&r, "Location");
	expect_status("in a realm that does not serve it", &r, 201);
	r = post(f, &carol, STR(WORLD_BASE "/realm/other/new-authz"), str_z(rows[0].payload));
	bool given = true;
	MUST(json_may_bool(r.json, "subdomainAuthAllowed", &given, &err));
	assert_false(given);
	expect_status("declined", &r, 201);
	key_free(carol.key);
}

/* --- RFC 9773 ------------------------------------------------------------------------------------------------------*/

static struct str certid_of(struct fixture *f, struct str der)
{
	struct err err = { 0 };
	AUTO(cert_auto) struct cert *cert = NULL;
	struct str aki, hex, serial;
	MUST(cert_read_der(der, &cert, &err));
	MUST(cert_get_aki(&f->w.mem, cert, &aki, &err));
	MUST(cert_get_serial_hex(&f->w.mem, cert, &hex, &err));
	MUST(hex_decode(&f->w.mem, hex, 64, &serial, &err));
	struct str a = b64url_encode(&f->w.mem, aki), s = b64url_encode(&f->w.mem, serial);
	return str_fmt(&f->w.mem, "%.*s.%.*s", (int)a.n, a.p, (int)s.n, s.p);
}

/* 9773 5: what an order replaces is in it whenever it is read. */
static void an_order_says_what_it_replaces_whenever_it_is_read(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = key_new(KEY_P256, 0);
	struct str der;
	MUST(world_issue(&f->w, &f->alice, k, STR("chain.a.test"), &der, &err));
	struct str certid = certid_of(f, der);
	struct world_reply r = post(f, &f->alice, NEW_ORDER,
				    str_fmt(&f->w.mem,
					    "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"chain.a.test\"}],"
					    "\"replaces\":\"%.*s\"}",
					    STR_FMT(certid)));
	struct str url = world_header(&r, "Location");
	assert_true(str_eq(text_of(f, r.json, "replaces"), certid));
	expect_status("ordered", &r, 201);
	r = finalize(f, &f->alice, url, csr_payload(f, k, "chain.a.test"));
	assert_true(str_eq(text_of(f, r.json, "replaces"), certid));
	expect_status("finalized", &r, 200);
	MUST(world_run(&f->w, &err));
	r = post(f, &f->alice, url, STR_NONE);
	assert_true(str_eq(text_of(f, r.json, "replaces"), certid));
	assert_true(str_eq(text_of(f, r.json, "status"), STR("valid")));
	world_reply_done(&r);
}

static int open_world(void **state)
{
	*state = fixture_new(sizeof(struct fixture), REALM(""), 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_payload_is_utf8),
		cmocka_unit_test(each_algorithm_that_is_served_makes_an_account),
		cmocka_unit_test(a_key_that_is_refused_is_told_why),
		cmocka_unit_test(the_nonce_of_a_refusal_serves_the_second_try),
		cmocka_unit_test(a_limit_says_when_it_ends),
		cmocka_unit_test(no_problem_names_an_identifier_at_its_top),
		cmocka_unit_test(the_list_of_orders_has_the_open_and_not_the_invalid),
		cmocka_unit_test(an_order_is_whole_in_every_state_and_keeps_its_lists),
		cmocka_unit_test(authorizations_and_challenges_are_whole_in_every_state),
		cmocka_unit_test(a_new_account_ignores_what_is_not_the_clients),
		cmocka_unit_test(the_directory_names_the_terms),
		cmocka_unit_test(a_known_key_gets_its_account_as_it_was),
		cmocka_unit_test(a_deactivated_account_leaves_its_certificates),
		cmocka_unit_test(a_challenge_response_is_an_object_whatever_it_holds),
		cmocka_unit_test(no_certificate_holds_the_key_of_any_account),
		cmocka_unit_test(an_authorization_says_whether_it_serves_what_is_below),
		cmocka_unit_test(an_order_says_what_it_replaces_whenever_it_is_read),
	};
	return cmocka_run_group_tests(tests, open_world, fixture_free);
}

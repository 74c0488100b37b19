/* SPDX-License-Identifier: Apache-2.0
 *
 * authz_test.c: which authorization serves whom: reuse between orders and its bounds, pre-authorization (RFC 8555 7.4.1),
 * domains that stand for the names below them (RFC 9444), and what a change of the account's key does to all of them
 * (THREATS A13, A20, A21).
 */
#include "fixture.h"
#include "steps.h"

#include <stdlib.h>

#define NEW_ORDER STR(WORLD_BASE "/new-order")
#define NEW_AUTHZ STR(WORLD_BASE "/new-authz")
#define HOUR_MS ((int64_t)3600 * 1000)
#define DAY_MS (24 * HOUR_MS)

#define REALM(more)                                                                             \
	"realm:\n  default:\n    names: [\"*.a.test\"]\n    addresses: [\"93.184.216.0/24\"]\n" \
	"    challenges: [\"http-01\", \"dns-01\"]\n    profiles: [server, short]\n" more       \
	"profile:\n  server: {}\n  short:\n    lifetime: 6d\nzone:\n  default:\n    attempts: 1\n"
#define BELOW_TOO "    subdomain-auth: true\n"

struct fixture {
	FIXTURE;
	size_t fresh_names;
};

#define DNS(name) "{\"type\":\"dns\",\"value\":\"" name "\"}"

/* A name that no test has used, with a site for alice. */
static struct str name_new(struct fixture *f)
{
	struct str name = str_fmt(&f->w.mem, "n%zu.a.test", f->fresh_names++ % 40);
	world_site(&f->w, name)->thumbprint = str_z(f->alice.thumbprint.z);
	return name;
}

static struct str order_text(struct fixture *f, struct str name, const char *more)
{
	return str_fmt(&f->w.mem, "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"%.*s\"}]%s}", STR_FMT(name), more);
}

static struct str order_new(struct fixture *f, const struct world_account *a, struct str name)
{
	return step_make(&f->w, a, NEW_ORDER, order_text(f, name, ""));
}

static struct str authz_text(struct fixture *f, struct str name, const char *more)
{
	return str_fmt(&f->w.mem, "{\"identifier\":{\"type\":\"dns\",\"value\":\"%.*s\"%s}}", STR_FMT(name), more);
}

static struct str first_authz(struct fixture *f, const struct world_account *a, struct str order)
{
	struct str urls[IDENTS_MAX];
	assert_true(step_authzs(&f->w, a, order, urls) >= 1);
	return urls[0];
}

/* A proved order for a fresh name: its authorization. */
static struct str proved(struct fixture *f, struct str name, const char *type)
{
	struct err err = { 0 };
	struct str order = order_new(f, &f->alice, name), authz = first_authz(f, &f->alice, order);
	step_answer(&f->w, &f->alice, authz, type);
	MUST(world_run(&f->w, &err));
	STATUS_IS(&f->w, &f->alice, order, "ready");
	return authz;
}

static void key_change(struct fixture *f, struct world_account *a)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	AUTO(buf_done) struct buf inner = BUF_MAX(16384);
	const struct str url = STR(WORLD_BASE "/key-change");
	struct key *fresh;
	MUST(key_generate(KEY_P256, 0, &fresh, &err));
	MUST(jwk_write(a->key, &jwk, &err));
	struct str payload =
		str_fmt(&f->w.mem, "{\"account\":\"%.*s\",\"oldKey\":%.*s}", STR_FMT(a->url), STR_FMT(buf_str(&jwk)));
	MUST(jws_sign_acme(f->w.crypto, fresh, STR_NONE, STR_NONE, url, payload, &inner, &err));
	struct world_reply r = step_post(&f->w, a, url, buf_str(&inner));
	expect_status("key change", &r, 200);
	key_free(a->key);
	a->key = fresh;
	MUST(jwk_thumbprint(f->w.crypto, a->key, &a->thumbprint, &err)); /* alice's sites serve it from now on */
}

/* --- reuse --------------------------------------------------------------------------------------------------------*/

/* What happens between the proof of a name and the next order, and whether that order gets the same authorization. */
static void nothing(struct fixture *f, struct str authz)
{
	(void)f;
	(void)authz;
}
static void deactivated(struct fixture *f, struct str authz)
{
	struct world_reply r = step_post(&f->w, &f->alice, authz, STR("{\"status\":\"deactivated\"}"));
	expect_status("deactivate", &r, 200);
}
static void reuse_time_passed(struct fixture *f, struct str authz)
{
	(void)authz;
	f->w.now_ms += 30 * DAY_MS;
}
static void reuse_time_almost_passed(struct fixture *f, struct str authz)
{
	(void)authz;
	f->w.now_ms += 30 * DAY_MS - HOUR_MS / 2; /* too near its end for an order to use it */
}
static void most_of_the_reuse_time_passed(struct fixture *f, struct str authz)
{
	(void)authz;
	f->w.now_ms += 29 * DAY_MS;
}
static void key_changed(struct fixture *f, struct str authz)
{
	(void)authz;
	key_change(f, &f->alice);
}
static void restarted(struct fixture *f, struct str authz)
{
	struct err err = { 0 };
	(void)authz;
	MUST(world_restart_api(&f->w, &err));
}

static void proofs_are_used_again_by_the_same_account_and_key_for_the_same_name_only(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *what;
		void (*between)(struct fixture *f, struct str authz);
		const char *prefix, *more; /* of the next order's name, and of its payload */
		bool by_bob, same;
	} rows[] = {
		{ "the same again", nothing, "", "", false, true },
		{ "with another profile, which says nothing about proofs", nothing, "", ",\"profile\":\"short\"", false,
		  true },
		{ "after a restart", restarted, "", "", false, true },
		{ "near the end of the reuse time", most_of_the_reuse_time_passed, "", "", false, true },
		{ "by another account", nothing, "", "", true, false },
		{ "for the wildcard", nothing, "*.", "", false, false },
		{ "for a name below (A21)", nothing, "www.", "", false, false },
		{ "after deactivation", deactivated, "", "", false, false },
		{ "after the reuse time", reuse_time_passed, "", "", false, false },
		{ "when it is almost over", reuse_time_almost_passed, "", "", false, false },
		{ "under another key (A13)", key_changed, "", "", false, false },
	};
	for (size_t i = 0; i < 2 * ARRAY_LEN(rows); i++) { /* proved in either way */
		const char *type = i % 2 == 0 ? "http-01" : "dns-01";
		struct str name = name_new(f), authz = proved(f, name, type);
		rows[i / 2].between(f, authz);
		const struct world_account *who = rows[i / 2].by_bob ? &f->bob : &f->alice;
		struct str next =
			step_make(&f->w, who, NEW_ORDER,
				  order_text(f, str_fmt(&f->w.mem, "%s%.*s", rows[i / 2].prefix, STR_FMT(name)),
					     rows[i / 2].more));
		bool same = str_eq(first_authz(f, who, next), authz);
		struct str status = step_status(&f->w, who, next);
		if (same != rows[i / 2].same || !str_eq(status, rows[i / 2].same ? STR("ready") : STR("pending")))
			fail_msg("%s, %s: %s, the order is %.*s", rows[i / 2].what, type,
				 same ? "reused" : "not reused", STR_FMT(status));
	}
}

static void a_wildcards_proof_is_not_its_base_names(void **state)
{
	struct fixture *f = *state;
	struct str name = name_new(f);
	(void)proved(f, str_fmt(&f->w.mem, "*.%.*s", STR_FMT(name)), "dns-01");
	STATUS_IS(&f->w, &f->alice, order_new(f, &f->alice, name), "pending");
}

static void an_order_ends_with_any_of_its_authorizations(void **state)
{
	struct fixture *f = *state;
	struct world_reply r;
	struct str name = name_new(f), authz = proved(f, name, "http-01");
	struct str ready = order_new(f, &f->alice, name);
	struct str pending = step_make(
		&f->w, &f->alice, NEW_ORDER,
		str_fmt(&f->w.mem, "{\"identifiers\":[" DNS("%.*s") "," DNS("open.a.test") "]}", STR_FMT(name)));
	STATUS_IS(&f->w, &f->alice, ready, "ready");
	STATUS_IS(&f->w, &f->alice, pending, "pending");
	deactivated(f, authz);
	STATUS_IS(&f->w, &f->alice, ready, "invalid");
	STATUS_IS(&f->w, &f->alice, pending, "invalid");
	r = step_post(&f->w, &f->alice, pending, STR_NONE);
	assert_true(reply_says(&r, "was deactivated"));
	world_reply_done(&r);
	r = step_post(&f->w, &f->alice, authz, STR("{\"status\":\"deactivated\"}")); /* again: it is */
	expect_status("again", &r, 200);
	r = step_post(&f->w, &f->alice, authz, STR("{\"status\":\"valid\"}"));
	expect_problem("valid", &r, 400, "malformed", "a client can only set \"deactivated\"");
}

/* --- newAuthz -----------------------------------------------------------------------------------------------------*/

static void an_authorization_made_beforehand_is_found_by_orders(void **state)
{
	struct fixture *f = *state;
	struct str name = name_new(f);
	struct world_reply r = step_post(&f->w, &f->alice, NEW_AUTHZ, authz_text(f, name, ""));
	struct str url = world_header(&r, "Location");
	assert_true(str_eq(step_text(&f->w, r.json, "status"), STR("pending")));
	assert_int_equal(json_count(json_get(r.json, "challenges")), 2);
	assert_null(json_get(r.json, "subdomainAuthAllowed"));
	assert_true(str_eq(step_text(&f->w, json_get(r.json, "identifier"), "value"), name));
	expect_status("new", &r, 201);
	r = step_post(&f->w, &f->alice, NEW_AUTHZ, authz_text(f, name, ""));
	assert_true(str_eq(world_header(&r, "Location"), url));
	expect_status("there already", &r, 200);
	r = step_post(&f->w, &f->bob, NEW_AUTHZ, authz_text(f, name, ""));
	assert_false(str_eq(world_header(&r, "Location"), url));
	expect_status("somebody else's", &r, 201);
	struct str order = order_new(f, &f->alice, name);
	assert_true(str_eq(first_authz(f, &f->alice, order), url));
	step_prove(&f->w, &f->alice, order);
	r = step_post(&f->w, &f->alice, NEW_AUTHZ, authz_text(f, name, ""));
	assert_true(str_eq(step_text(&f->w, r.json, "status"), STR("valid")));
	expect_status("valid already", &r, 200);
	r = step_post(&f->w, &f->alice, NEW_AUTHZ,
		      STR("{\"identifier\":{\"type\":\"ip\",\"value\":\"93.184.216.34\"}}"));
	assert_int_equal(json_count(json_get(r.json, "challenges")), 1);
	expect_status("address", &r, 201);
}

static void each_wrong_pre_authorization_has_its_refusal(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *payload, *type, *words;
	} rows[] = {
		{ "", "malformed", "the payload is empty; this resource wants a JSON object" },
		{ "{}", "malformed", "identifier" },
		{ "{\"identifier\":[]}", "malformed", "identifier" },
		{ "{\"identifier\":" DNS("*.n1.a.test") "}", "malformed",
		  "*.n1.a.test: a wildcard cannot be authorized beforehand (RFC 8555 7.4.1); order it with newOrder" },
		{ "{\"identifier\":{\"type\":\"ip\",\"value\":\"93.184.216.34\",\"subdomainAuthAllowed\":true}}",
		  "malformed", "subdomainAuthAllowed is for names; 93.184.216.34 is an address" },
		{ "{\"identifier\":{\"type\":\"dns\",\"value\":\"n1.a.test\",\"subdomainAuthAllowed\":1}}", "malformed",
		  "subdomainAuthAllowed" },
		{ "{\"identifier\":" DNS("n1.b.test") "}", "rejectedIdentifier", "n1.b.test is not allowed" },
		{ "{\"identifier\":{\"type\":\"dns\",\"value\":\"co.uk\",\"subdomainAuthAllowed\":true}}",
		  "rejectedIdentifier", "co.uk is a public suffix" },
	};
	struct err err = { 0 };
	MUST(world_configure(&f->w, REALM(BELOW_TOO), &err));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_reply r = step_post(&f->w, &f->alice, NEW_AUTHZ, str_z(rows[i].payload));
		expect_problem(rows[i].payload, &r, 400, rows[i].type, rows[i].words);
	}
	MUST(world_configure(&f->w, REALM(""), &err));
}

static void pre_authorizations_are_limited_as_orders_are(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	MUST(world_configure(&f->w, REALM("    orders-per-hour: 1\n"), &err));
	struct str first = name_new(f), second = name_new(f);
	f->w.now_ms += 60 * DAY_MS;
	struct world_reply r = step_post(&f->w, &f->bob, NEW_AUTHZ, authz_text(f, first, ""));
	expect_status("first", &r, 201);
	r = step_post(&f->w, &f->bob, NEW_AUTHZ, authz_text(f, second, ""));
	assert_true(world_header(&r, "Retry-After").n > 0);
	expect_problem("second", &r, 429, "rateLimited", "too many new authorizations by this account: 1 an hour");
	r = step_post(&f->w, &f->bob, NEW_AUTHZ, authz_text(f, first, ""));
	expect_status("what is there costs nothing", &r, 200);
	MUST(world_configure(&f->w, REALM(""), &err));
}

/* Where proofs are not used again, the signer takes none that was begun before the order: an order that stands on one
 * would be ready and could never be finalized. */
static void a_proof_that_is_under_way_serves_the_orders_that_it_was_begun_for(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	const char *const none[] = { NULL };
	MUST(world_configure(&f->w, REALM("    authz-valid: 0s\n"), &err));
	struct str name = name_new(f);
	const char *const names[] = { str_dupz_raw(&f->w.mem, name), NULL };
	f->w.now_ms += 60 * DAY_MS; /* earlier tests have proved it, too */
	struct str first = order_new(f, &f->alice, name);
	step_answer(&f->w, &f->alice, first_authz(f, &f->alice, first), NULL);
	MUST(world_step(&f->w, &err)); /* the validator has looked; nobody knows yet what it saw */
	f->w.now_ms += 1000;
	struct str second = order_new(f, &f->alice, name);
	MUST(world_run(&f->w, &err));
	f->w.now_ms += 1000;
	if (str_eq(step_status(&f->w, &f->alice, second), STR("pending")))
		step_prove(&f->w, &f->alice, second);
	STATUS_IS(&f->w, &f->alice, second, "ready");
	AUTO(key_auto) struct key *key = NULL;
	MUST(key_generate(KEY_P256, 0, &key, &err));
	struct world_reply r = step_finalize(&f->w, &f->alice, second, step_csr(&f->w, key, names, none));
	expect_status("finalize", &r, 200);
	MUST(world_run(&f->w, &err));
	STATUS_IS(&f->w, &f->alice, second, "valid");
	MUST(world_configure(&f->w, REALM(""), &err));
}

static void what_nobody_uses_ends(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str url = step_make(&f->w, &f->alice, NEW_AUTHZ, authz_text(f, STR("unused.a.test"), ""));
	f->w.now_ms += 8 * DAY_MS;
	STATUS_IS(&f->w, &f->alice, url, "invalid"); /* before the sweeper has written it down */
	MUST(acme_sweep(f->w.acme, &err));
	STATUS_IS(&f->w, &f->alice, url, "invalid");
	f->w.now_ms += 40 * DAY_MS;
	MUST(acme_sweep(f->w.acme, &err));
	struct world_reply r = step_post(&f->w, &f->alice, url, STR_NONE);
	expect_problem("gone", &r, 404, "malformed", "this account has no such authorization");
}

/* --- RFC 9444 -----------------------------------------------------------------------------------------------------*/

static struct str below(struct fixture *f, const char *name, const char *ancestor)
{
	return str_fmt(&f->w.mem, "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"%s\",\"ancestorDomain\":\"%s\"}]}",
		       name, ancestor);
}

static void a_domains_proof_serves_what_is_below_it_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	MUST(world_configure(&f->w, REALM(BELOW_TOO), &err));
	world_site(&f->w, STR("corp.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	struct str order =
		step_make(&f->w, &f->alice, NEW_ORDER,
			  STR("{\"identifiers\":[{\"type\":\"dns\",\"value\":\"x.corp.a.test\","
			      "\"ancestorDomain\":\"corp.a.test\"},{\"type\":\"dns\",\"value\":\"y.z.corp.a.test\","
			      "\"ancestorDomain\":\"corp.a.test\"}]}"));
	struct str urls[IDENTS_MAX];
	assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), 1); /* both stand on one */
	struct str authz = urls[0];
	step_prove(&f->w, &f->alice, order);
	STATUS_IS(&f->w, &f->alice, order, "ready");
	static const struct {
		const char *name;
		bool by_bob, served;
	} rows[] = {
		{ "corp.a.test", false, true },     { "x.corp.a.test", false, true },
		{ "new.corp.a.test", false, true }, { "a.b.c.d.corp.a.test", false, true },
		{ "*.corp.a.test", false, false },  { "*.x.corp.a.test", false, false },
		{ "xcorp.a.test", false, false },   { "corp.b.a.test", false, false },
		{ "other.a.test", false, false },   { "x.corp.a.test", true, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct world_account *who = rows[i].by_bob ? &f->bob : &f->alice;
		struct str next = order_new(f, who, str_z(rows[i].name));
		bool served = str_eq(first_authz(f, who, next), authz);
		if (served != rows[i].served)
			fail_msg("%s: %s", rows[i].name, served ? "served" : "not served");
	}
	/* RFC 8555 7.4.1: who asks for an authorization of a name gets one of that name. */
	struct world_reply r = step_post(&f->w, &f->alice, NEW_AUTHZ, authz_text(f, STR("w.corp.a.test"), ""));
	assert_true(str_eq(step_text(&f->w, json_get(r.json, "identifier"), "value"), STR("w.corp.a.test")));
	expect_status("beforehand", &r, 201);
	/* A realm that has stopped to offer it (promise 6). */
	MUST(world_configure(&f->w, REALM(""), &err));
	STATUS_IS(&f->w, &f->alice, order_new(f, &f->alice, STR("later.corp.a.test")), "pending");
	STATUS_IS(&f->w, &f->alice, order_new(f, &f->alice, STR("corp.a.test")),
		  "ready"); /* its own proof it is still */
	MUST(world_configure(&f->w, REALM(BELOW_TOO), &err));
	deactivated(f, authz);
	STATUS_IS(&f->w, &f->alice, order_new(f, &f->alice, STR("new.corp.a.test")), "pending");
	MUST(world_configure(&f->w, REALM(""), &err));
}

static void a_plain_proof_by_dns_does_not_serve_what_is_below(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	MUST(world_configure(&f->w, REALM(BELOW_TOO), &err));
	struct str name = name_new(f);
	struct str plain = proved(f, name, "dns-01");
	struct str order = order_new(f, &f->alice, str_fmt(&f->w.mem, "w.%.*s", STR_FMT(name)));
	STATUS_IS(&f->w, &f->alice, order, "pending");
	/* Nor is it taken for the domain's when that is asked for. */
	struct world_reply r =
		step_post(&f->w, &f->alice, NEW_AUTHZ, authz_text(f, name, ",\"subdomainAuthAllowed\":true"));
	assert_false(str_eq(world_header(&r, "Location"), plain));
	assert_true(reply_says(&r, "\"subdomainAuthAllowed\":true"));
	assert_int_equal(json_count(json_get(r.json, "challenges")), 1); /* dns-01 */
	expect_status("for all below", &r, 201);
	MUST(world_configure(&f->w, REALM(""), &err));
}

static void a_pending_domain_is_no_order_for_the_name_itself(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	MUST(world_configure(&f->w, REALM(BELOW_TOO), &err));
	struct str name = name_new(f);
	struct str domain =
		step_make(&f->w, &f->alice, NEW_AUTHZ, authz_text(f, name, ",\"subdomainAuthAllowed\":true"));
	struct str order = order_new(f, &f->alice, name), own = first_authz(f, &f->alice, order);
	assert_false(str_eq(own, domain)); /* which would offer less ways to prove it */
	/* Named as the ancestor it is taken while it is pending, too. */
	struct str named = step_make(&f->w, &f->alice, NEW_ORDER,
				     below(f, str_dupz_raw(&f->w.mem, str_fmt(&f->w.mem, "v.%.*s", STR_FMT(name))),
					   str_dupz_raw(&f->w.mem, name)));
	assert_true(str_eq(first_authz(f, &f->alice, named), domain));
	MUST(world_configure(&f->w, REALM(""), &err));
}

static void what_a_realm_does_not_offer_is_declined_aloud(void **state)
{
	struct fixture *f = *state;
	struct str name = name_new(f);
	struct world_reply r =
		step_post(&f->w, &f->alice, NEW_AUTHZ, authz_text(f, name, ",\"subdomainAuthAllowed\":true"));
	struct str url = world_header(&r, "Location");
	assert_true(reply_says(&r, "\"subdomainAuthAllowed\":false")); /* RFC 9444 4.2 */
	expect_status("declined", &r, 201);
	r = step_post(&f->w, &f->alice, url, STR_NONE);
	assert_null(json_get(r.json, "subdomainAuthAllowed"));
	world_reply_done(&r);
	struct str order = step_make(&f->w, &f->alice, NEW_ORDER, below(f, "q.w.a.test", "w.a.test"));
	r = step_post(&f->w, &f->alice, first_authz(f, &f->alice, order), STR_NONE);
	assert_true(reply_says(&r, "\"value\":\"q.w.a.test\""));
	world_reply_done(&r);
}

static int open_world(void **state)
{
	*state = fixture_new(sizeof(struct fixture), REALM(""), 2);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(proofs_are_used_again_by_the_same_account_and_key_for_the_same_name_only),
		cmocka_unit_test(a_wildcards_proof_is_not_its_base_names),
		cmocka_unit_test(an_order_ends_with_any_of_its_authorizations),
		cmocka_unit_test(an_authorization_made_beforehand_is_found_by_orders),
		cmocka_unit_test(each_wrong_pre_authorization_has_its_refusal),
		cmocka_unit_test(pre_authorizations_are_limited_as_orders_are),
		cmocka_unit_test(a_domains_proof_serves_what_is_below_it_and_nothing_else),
		cmocka_unit_test(a_plain_proof_by_dns_does_not_serve_what_is_below),
		cmocka_unit_test(a_pending_domain_is_no_order_for_the_name_itself),
		cmocka_unit_test(what_a_realm_does_not_offer_is_declined_aloud),
		cmocka_unit_test(a_proof_that_is_under_way_serves_the_orders_that_it_was_begun_for),
		cmocka_unit_test(what_nobody_uses_ends),
	};
	return cmocka_run_group_tests(tests, open_world, fixture_free);
}

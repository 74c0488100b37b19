/* SPDX-License-Identifier: Apache-2.0
 *
 * grant_test.c: the operations about grants: whose keys are meant, what is taken and what not, and what a revocation ends;
 * and that an export comes in pieces that make the same text, whatever their length.
 */
#include "admin/testing.h"

#include "jose/jose.h"

#define THUMB "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8"
#define OTHER "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define CONF T_CONF "operator:\n  alice:\n    public-key: %s/alice.jwk\n"

struct fixture {
	struct test_admin *t;
	struct key *alice, *mallory;
	struct arena mem;
};

static int setup(void **state)
{
	struct err err = { 0 };
	struct fixture *f = mem_alloc(sizeof *f);
	void *t;
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	if (setup_admin(&t) != 0)
		return -1;
	f->t = t;
	MUST(key_generate(KEY_P256, 0, &f->alice, &err));
	MUST(key_generate(KEY_P256, 0, &f->mallory, &err));
	MUST(jwk_write(f->alice, &jwk, &err));
	MUST(file_write_new(str_fmt(&f->mem, "%s/alice.jwk", f->t->folder).p, buf_str(&jwk), 0644, &err));
	admin_reload(f->t->admin, test_conf(str_fmt(&f->mem, CONF, f->t->folder).p));
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	void *t = f->t;
	key_free(f->alice);
	key_free(f->mallory);
	arena_done(&f->mem);
	free(f);
	return teardown_admin(&t);
}

static struct str names[] = { { "*.a.test", 8 } }, keys[] = { { THUMB, 43 } }, short_profile[] = { { "short", 5 } },
		  nowhere[] = { { "nowhere", 7 } };

static struct grant sound(void)
{
	return (struct grant){ .id = id_new(&clock_system, &rng_system),
			       .realm = STR("default"),
			       .thumbprints = keys,
			       .thumbprint_count = 1,
			       .names = names,
			       .name_count = 1,
			       .made_ms = T_START,
			       .from_s = T_START / 1000,
			       .until_s = T_START / 1000 + 86400,
			       .note = STR("ticket 7") };
}

static struct str signed_by(struct fixture *f, const struct grant *g, const struct key *k, const char *kid,
			    const char *typ)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf payload = BUF_MAX(GRANT_PAYLOAD_MAX), jws = BUF_MAX(2 * GRANT_JWS_MAX);
	MUST(grant_write(g, &payload, &err));
	MUST(jws_compact_sign(f->t->crypto, k, str_z(typ), str_z(kid), buf_str(&payload), &jws, &err));
	return str_dup(&f->mem, buf_str(&jws));
}

static struct json *add(struct fixture *f, struct str jws)
{
	return test_ask(f->t, "grant.add", str_fmt(&f->mem, "\"jws\":\"%.*s\"", (int)jws.n, jws.p).p);
}

static struct json *one(struct fixture *f, const char *op, struct id id)
{
	return test_ask(f->t, op, str_fmt(&f->mem, "\"id\":\"%s\"", id_show(id).z).p);
}

static void a_grant_is_added_listed_and_shown(void **state)
{
	struct fixture *f = *state;
	struct grant g = sound();
	g.profiles = short_profile;
	g.profile_count = 1;
	struct str jws = signed_by(f, &g, f->alice, "alice", GRANT_TYP);
	AUTO(json_auto) struct json *added = add(f, jws);
	AUTO(json_auto) struct json *again = add(f, jws);
	AUTO(json_auto) struct json *list = test_ask(f->t, "grant.list", "");
	AUTO(json_auto) struct json *shown = one(f, "grant.show", g.id);
	assert_true(test_bool(added, "ok") && !test_bool(added, "realmGrants"));
	ASSERT_STR(test_str(added, "status"), "active");
	ASSERT_STR(test_str(added, "operator"), "alice");
	ASSERT_STR(test_str(added, "until"), "2027-01-16T08:00:00Z");
	assert_refused(again, "conflict", "is there already");
	assert_int_equal(json_count(json_get(list, "grants")), 1);
	ASSERT_STR(test_str(json_at(json_get(list, "grants"), 0), "note"), "ticket 7");
	assert_true(str_eq(test_str(shown, "jws"), jws));
	f->t->now = g.until_s * 1000 + 1000;
	AUTO(json_auto) struct json *later = one(f, "grant.show", g.id);
	ASSERT_STR(test_str(later, "status"), "expired");
	AUTO(json_auto) struct json *unknown = one(f, "grant.show", id_new(&clock_system, &rng_system));
	assert_refused(unknown, "notFound", "no grant");
}

static void what_the_signer_would_refuse_is_not_taken(void **state)
{
	struct fixture *f = *state;
	const struct grant g = sound();
	struct grant over = g, long_one = g, early = g, realm = g, profile = g;
	over.from_s -= 2 * 86400;
	over.until_s -= 2 * 86400;
	long_one.until_s = long_one.from_s + GRANT_LIFE_MAX_S + 1;
	early.made_ms += 3600 * 1000;
	realm.realm = STR("nowhere");
	profile.profiles = nowhere;
	profile.profile_count = 1;
	const struct {
		const struct grant *g;
		const struct key *k;
		const char *kid, *typ, *says;
	} rows[] = {
		{ &g, f->mallory, "alice", GRANT_TYP, "did not sign" },
		{ &g, f->alice, "bob", GRANT_TYP, "no operator \"bob\"" },
		{ &g, f->alice, "alice", VERDICT_TYP, "" },
		{ &over, f->alice, "alice", GRANT_TYP, "ended at" },
		{ &long_one, f->alice, "alice", GRANT_TYP, "825 days" },
		{ &early, f->alice, "alice", GRANT_TYP, "compare the clocks" },
		{ &realm, f->alice, "alice", GRANT_TYP, "no realm" },
		{ &profile, f->alice, "alice", GRANT_TYP, "no profile" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(json_auto)
		struct json *answer = add(f, signed_by(f, rows[i].g, rows[i].k, rows[i].kid, rows[i].typ));
		const char *detail = str_dupz_raw(&f->mem, test_str(answer, "detail"));
		if (test_bool(answer, "ok") || strstr(detail, rows[i].says) == NULL)
			fail_msg("row %zu: \"%s\" does not say \"%s\"", i, detail, rows[i].says);
	}
	AUTO(json_auto) struct json *list = test_ask(f->t, "grant.list", "");
	assert_int_equal(json_count(json_get(list, "grants")), 0);
}

/* --- accounts, orders ----------------------------------------------------------------------------------------------*/
enum { ALICE_ACCOUNT = 1, LAB_ACCOUNT, ENDED_ACCOUNT, BOUND_ACCOUNT };

static struct id nth(unsigned n)
{
	return (struct id){ .b = { 1, 2, 3, 4, 5, 6, 0x70, 0, 0x80, [15] = (uint8_t)n } };
}

static fallible account_make(struct store_tx *tx, unsigned n, const char *realm, const char *thumbprint,
			     const char *eab, enum account_status status, struct err *err)
{
	const struct account_row a = { .id = nth(n),
				       .realm = str_z(realm),
				       .thumbprint = str_z(thumbprint),
				       .jwk = STR("{}"),
				       .status = status,
				       .eab_kid = str_z(eab),
				       .created_at = T_START };
	return account_insert(tx, &a, err);
}

static fallible accounts_make(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct eab_row key = { .kid = STR("eab-1"), .realm = STR("default"), .secret = STR("x") };
	const struct eab_row idle = { .kid = STR("eab-2"), .realm = STR("default"), .secret = STR("x") };
	(void)ctx;
	TRY(eab_insert(tx, &key, err));
	TRY(eab_insert(tx, &idle, err));
	TRY(account_make(tx, ALICE_ACCOUNT, "default", THUMB, "", ACCOUNT_VALID, err));
	TRY(account_make(tx, LAB_ACCOUNT, "lab", THUMB, "", ACCOUNT_VALID, err));
	TRY(account_make(tx, ENDED_ACCOUNT, "default", "ended", "", ACCOUNT_DEACTIVATED, err));
	return account_make(tx, BOUND_ACCOUNT, "default", OTHER, "eab-1", ACCOUNT_VALID, err);
}

static void accounts_and_external_keys_become_thumbprints(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	MUST(store_tx(f->t->store, accounts_make, NULL, &err));
	const struct {
		const char *members, *says; /* says: of a refusal; or the first thumbprint */
		size_t count;
	} rows[] = {
		{ "\"accounts\":[\"01020304-0506-7000-8000-000000000001\"]", THUMB, 1 },
		{ "\"accounts\":[\"" THUMB "\"]", THUMB, 1 },
		{ "\"accounts\":[\"01020304-0506-7000-8000-000000000001\",\"" THUMB "\"]", THUMB, 1 },
		{ "\"accounts\":[\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"]",
		  "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", 1 },
		{ "\"eabs\":[\"eab-1\"]", OTHER, 1 },
		{ "\"accounts\":[\"" THUMB "\"],\"eabs\":[\"eab-1\"]", THUMB, 2 },
		{ "\"accounts\":[\"01020304-0506-7000-8000-000000000002\"]", "is of realm lab", 0 },
		{ "\"accounts\":[\"01020304-0506-7000-8000-000000000003\"]", "is deactivated", 0 },
		{ "\"accounts\":[\"01020304-0506-7000-8000-000000000009\"]", "there is no account", 0 },
		{ "\"accounts\":[\"alice\"]", "thumbprint", 0 },
		{ "\"eabs\":[\"eab-2\"]", "no account is bound", 0 },
		{ "\"eabs\":[\"eab-3\"]", "no external account key", 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(json_auto)
		struct json *answer =
			test_ask(f->t, "grant.keys", str_fmt(&f->mem, "\"realm\":\"default\",%s", rows[i].members).p);
		const struct json *found = json_get(answer, "keys");
		struct str says =
			rows[i].count > 0 ? test_str(json_at(found, 0), "thumbprint") : test_str(answer, "detail");
		if (json_count(found) != rows[i].count ||
		    memmem(says.p, says.n, rows[i].says, strlen(rows[i].says)) == NULL)
			fail_msg("row %zu: %zu keys, \"%.*s\"", i, json_count(found), STR_FMT(says));
	}
}

struct standing {
	struct id grant;
	enum order_status order;
	enum authz_status authz;
	struct arena *mem;
};

static fallible order_make(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct standing *s = ctx;
	const struct authz_row z = { .id = nth(20),
				     .account = nth(ALICE_ACCOUNT),
				     .realm = STR("default"),
				     .thumbprint = STR(THUMB),
				     .ident = { IDENT_DNS, STR("w.a.test") },
				     .status = AUTHZ_VALID,
				     .created_at = T_START,
				     .expires_at = T_START + 86400000,
				     .grant = s->grant };
	const struct order_row o = { .id = nth(21),
				     .account = z.account,
				     .realm = z.realm,
				     .profile = STR("server"),
				     .status = ORDER_READY,
				     .identifiers = STR("[]"),
				     .created_at = T_START,
				     .expires_at = T_START + 1000 };
	TRY(accounts_make(tx, NULL, err));
	TRY(authz_insert(tx, &z, err));
	return order_insert(tx, &o, &z.id, 1, err);
}

static fallible order_look(struct store_tx *tx, void *ctx, struct err *err)
{
	struct standing *s = ctx;
	struct order_row o;
	struct authz_row z;
	TRY(order_by_id(tx, s->mem, nth(21), &o, err));
	TRY(authz_by_id(tx, s->mem, nth(20), &z, err));
	s->order = o.status;
	s->authz = z.status;
	return OK;
}

static void a_revocation_ends_what_stands_on_the_grant(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	const struct grant g = sound();
	struct standing s = { .grant = g.id, .mem = &f->mem };
	AUTO(json_auto) struct json *added = add(f, signed_by(f, &g, f->alice, "alice", GRANT_TYP));
	assert_true(test_bool(added, "ok"));
	MUST(store_tx(f->t->store, order_make, &s, &err));
	AUTO(json_auto) struct json *revoked = one(f, "grant.revoke", g.id);
	AUTO(json_auto) struct json *again = one(f, "grant.revoke", g.id);
	AUTO(json_auto) struct json *shown = one(f, "grant.show", g.id);
	AUTO(json_auto) struct json *unknown = one(f, "grant.revoke", nth(99));
	assert_true(test_bool(revoked, "ok") && !test_bool(revoked, "wasRevoked") && !test_bool(revoked, "more"));
	assert_int_equal(test_i64(revoked, "orders"), 1);
	assert_true(test_bool(again, "wasRevoked"));
	assert_int_equal(test_i64(again, "orders"), 0);
	ASSERT_STR(test_str(shown, "status"), "revoked");
	assert_refused(unknown, "notFound", "no grant");
	MUST(store_read(f->t->store, order_look, &s, &err));
	assert_int_equal(s.order, ORDER_INVALID);
	assert_int_equal(s.authz, AUTHZ_REVOKED);
}

/* --- the export -----------------------------------------------------------------------------------------------------*/
#define CERTS 130 /* more than one page of ids */

/* Lines of very different lengths, some longer than a piece. */
static fallible fake_evidence(void *ctx, struct id certificate, struct buf *ret, struct err *err)
{
	size_t n = certificate.b[15] % 40 == 7 ? 500000 : certificate.b[15];
	(void)ctx;
	if (certificate.b[15] == 5)
		FAIL(err, ERR_NOT_FOUND, "gone");
	for (size_t i = 0; i < n; i++)
		TRY(buf_add_char(ret, i % 3 == 0 ? '"' : (char)('a' + certificate.b[15] % 26), err));
	return OK;
}

static fallible certificates_make(struct store_tx *tx, void *ctx, struct err *err)
{
	(void)ctx;
	const struct authz_row z = { .id = nth(200),
				     .account = nth(ALICE_ACCOUNT),
				     .realm = STR("default"),
				     .thumbprint = STR(THUMB),
				     .ident = { IDENT_DNS, STR("w.a.test") },
				     .status = AUTHZ_VALID };
	TRY(accounts_make(tx, NULL, err));
	TRY(authz_insert(tx, &z, err));
	for (unsigned i = 1; i <= CERTS; i++) {
		char serial[16];
		(void)snprintf(serial, sizeof serial, "%02x", i);
		const struct order_row o = { .id = nth(i),
					     .account = nth(ALICE_ACCOUNT),
					     .realm = STR("default"),
					     .profile = STR("server"),
					     .status = ORDER_READY,
					     .identifiers = STR("[]"),
					     .created_at = T_START,
					     .expires_at = T_START };
		const struct certificate_row c = { .id = o.id,
						   .order = o.id,
						   .account = o.account,
						   .realm = o.realm,
						   .profile = o.profile,
						   .issuer = STR("main"),
						   .serial = str_z(serial),
						   .der = STR("x"),
						   .created_at = T_START };
		TRY(order_insert(tx, &o, &z.id, 1, err));
		TRY(certificate_insert(tx, &c, NULL, 0, err));
	}
	return OK;
}

static size_t export_all(struct fixture *f, const char *range, struct buf *text)
{
	struct err err = { 0 };
	struct str after = STR_NONE;
	int64_t offset = 0;
	size_t pieces = 0;
	for (bool more = true; more; pieces++) {
		AUTO(json_auto)
		struct json *a = test_ask(f->t, "audit.export",
					  str_fmt(&f->mem, "\"after\":\"%.*s\",\"offset\":%lld%s", STR_FMT(after),
						  (long long)offset, range)
						  .p);
		assert_true(test_bool(a, "ok"));
		MUST(buf_add(text, test_str(a, "text"), &err));
		after = str_dup(&f->mem, test_str(a, "after"));
		offset = test_i64(a, "offset");
		more = test_bool(a, "more");
	}
	return pieces;
}

static void an_export_in_pieces_is_the_whole_text(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf want = BUF_MAX(64u << 20), found = BUF_MAX(64u << 20), none = BUF_MAX(1024);
	MUST(store_tx(f->t->store, certificates_make, NULL, &err));
	for (unsigned i = 1; i <= CERTS; i++) {
		if (FAILED(fake_evidence(NULL, nth(i), &want, NULL)))
			continue;
		MUST(buf_add_char(&want, '\n', &err));
	}
	assert_in_range(export_all(f, "", &found), 8, 40);
	assert_int_equal(found.n, want.n);
	assert_memory_equal(found.p, want.p, want.n);
	/* The ids carry the time 0x010203040506. */
	assert_int_equal(export_all(f, ",\"since\":1108152157447", &none), 1);
	assert_int_equal(none.n, 0);
	assert_int_equal(export_all(f, ",\"until\":1108152157446", &none), 1);
	assert_int_equal(none.n, 0);
	buf_reset(&found);
	(void)export_all(f, ",\"since\":1108152157446,\"until\":1108152157447", &found);
	assert_int_equal(found.n, want.n);
	AUTO(json_auto) struct json *bad = test_ask(f->t, "audit.export", "\"offset\":-1");
	assert_refused(bad, "malformed", "offset");
}

static int setup_export(void **state)
{
	if (setup(state) != 0)
		return -1;
	struct fixture *f = *state;
	struct err err = { 0 };
	f->t->deps.evidence = fake_evidence;
	admin_free(f->t->admin);
	MUST(admin_new(&f->t->deps, test_conf(T_CONF), &f->t->admin, &err));
	return 0;
}

#define GRANT(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		GRANT(a_grant_is_added_listed_and_shown),
		GRANT(what_the_signer_would_refuse_is_not_taken),
		GRANT(accounts_and_external_keys_become_thumbprints),
		GRANT(a_revocation_ends_what_stands_on_the_grant),
		cmocka_unit_test_setup_teardown(an_export_in_pieces_is_the_whole_text, setup_export, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

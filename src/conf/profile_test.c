/* SPDX-License-Identifier: Apache-2.0
 *
 * profile_test.c: the built-in profiles, how long certificates may live, what a profile takes and what it may not say.
 */
#include "conf/internal.h"
#include "unit.h"

#define DAY_S INT64_C(86400)

static void conf_auto(struct conf **c)
{
	conf_free(*c);
}

static struct conf *read_ok(const char *text)
{
	struct err err = { 0 };
	struct conf *c = NULL;
	MUST(conf_read_text(str_z(text), "c", conf_env_none, NULL, &c, &err));
	return c;
}

static struct str list(struct arena *mem, const struct conf_list *l)
{
	struct str all = STR_NONE;
	for (size_t i = 0; i < l->n; i++)
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : " ", STR_FMT(l->v[i]));
	return all;
}

static void built_in_profiles_are_always_there(void **state)
{
	(void)state;
	static const struct {
		const char *name, *use, *identifiers, *policies, *subject;
		int64_t lifetime_s;
		size_t keys;
		bool encipher, crl;
	} rows[] = {
		{ "server", "server-auth", "dns wildcard ip", "2.23.140.1.2.1", "off", 90 * DAY_S, 6, true, true },
		{ "shortlived", "server-auth", "dns wildcard ip", "2.23.140.1.2.1", "off", 160 * 3600, 6, false,
		  false },
		{ "client", "client-auth", "dns ip", "", "off", 90 * DAY_S, 6, false, true },
		{ "codesigning", "code-signing", "dns", "", "required", 90 * DAY_S, 5, false, true },
		{ "email", "email-protection", "dns", "", "required", 90 * DAY_S, 6, true, true },
	};
	static const char *const files[] = { "", "profile: {}\n", "profile: { own: { lifetime: 2h } }\n" };
	for (size_t f = 0; f < ARRAY_LEN(files); f++) {
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(conf_auto) struct conf *c = read_ok(files[f]);
		assert_int_equal(c->profile_count, ARRAY_LEN(rows) + (f == 2));
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			const struct conf_profile *p = conf_profile(c, str_z(rows[i].name));
			assert_non_null(p);
			assert_true(str_eq(list(&mem, &p->use), str_z(rows[i].use)));
			assert_true(str_eq(list(&mem, &p->identifiers), str_z(rows[i].identifiers)));
			assert_true(str_eq(list(&mem, &p->policies), str_z(rows[i].policies)));
			assert_true(str_eq(p->subject, str_z(rows[i].subject)));
			assert_int_equal(p->lifetime_s, rows[i].lifetime_s);
			assert_int_equal(p->keys.n, rows[i].keys);
			assert_true(p->key_encipherment == rows[i].encipher && p->crl == rows[i].crl);
			assert_false(p->must_staple || p->common_name || p->public_rules);
		}
	}
}

/* One of the file is the built-in one with changes; an own one has nobody's defaults but the rows'. */
static void files_change_built_in_profiles(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(conf_auto)
	struct conf *c = read_ok("profile: { client: { lifetime: 12h }, own: { use: [client-auth, server-auth] } }\n");
	assert_int_equal(c->profile_count, 6);
	const struct conf_profile *client = conf_profile(c, STR("client")), *own = conf_profile(c, STR("own"));
	assert_int_equal(client->lifetime_s, 12 * 3600);
	assert_true(str_eq(list(&mem, &client->use), STR("client-auth")));
	assert_true(str_eq(list(&mem, &own->use), STR("client-auth server-auth")));
	assert_true(str_eq(list(&mem, &own->policies), STR("2.23.140.1.2.1")));
}

static void the_smallest_lifetime_counts(void **state)
{
	(void)state;
	static const struct {
		const char *profile, *realm;
		int64_t from, want;
	} rows[] = {
		{ "lifetime: 90d", "", 0, 90 * DAY_S },
		{ "lifetime: 398d", "", 0, 398 * DAY_S },
		{ "lifetime: 825d", "", 0, 398 * DAY_S },
		{ "lifetime: 90d", "lifetime-max: 30d", 0, 30 * DAY_S },
		{ "lifetime: 90d", "lifetime-max: 120d", 0, 90 * DAY_S },
		/* BR 6.3.2; by the last second that the signature may follow notBefore */
		{ "lifetime: 365d, public: true", "", 1805068800 - 2 * DAY_S - 1, 199 * DAY_S },
		{ "lifetime: 365d, public: true", "", 1805068800 - 2 * DAY_S, 99 * DAY_S },
		{ "lifetime: 365d, public: true", "", 1868227200, 46 * DAY_S },
		{ "lifetime: 365d, public: true", "lifetime-max: 20d", 1868227200, 20 * DAY_S },
		{ "lifetime: 30d, public: true", "", 1868227200, 30 * DAY_S },
		{ "lifetime: 365d", "", 1868227200, 365 * DAY_S },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct str text =
			str_fmt(&mem,
				"profile: { server: { %s } }\nrealm: { default: { %s } }\n"
				"issuer: { default: { aia-url: \"http://a.b/i\", crl-url: \"http://a.b/c\" } }\n",
				rows[i].profile, rows[i].realm);
		AUTO(conf_auto) struct conf *c = read_ok(str_dupz_raw(&mem, text));
		int64_t got = conf_lifetime(&c->realms[0], conf_profile(c, STR("server")), rows[i].from);
		if (got != rows[i].want)
			fail_msg("row %zu: %lld s, wanted %lld", i, (long long)got, (long long)rows[i].want);
	}
}

static void the_younger_proof_counts(void **state)
{
	(void)state;
	AUTO(conf_auto)
	struct conf *c = read_ok("profile: { a: { authz-valid: 7h }, b: { authz-valid: 300d } }\n"
				 "realm: { default: { authz-valid: 20d } }\n");
	assert_int_equal(conf_authz_valid(&c->realms[0], conf_profile(c, STR("a"))), 7 * 3600);
	assert_int_equal(conf_authz_valid(&c->realms[0], conf_profile(c, STR("b"))), 20 * DAY_S);
	assert_int_equal(conf_authz_valid(&c->realms[0], conf_profile(c, STR("server"))), 20 * DAY_S);
}

static void only_the_kinds_of_a_profile_are_taken(void **state)
{
	(void)state;
	AUTO(conf_auto)
	struct conf *c = read_ok("profile: { n: { identifiers: [dns] }, w: { identifiers: [wildcard] }, "
				 "i: { identifiers: [ip], keys: [P-256, RSA-3072], must-staple: true } }\n");
	static const struct {
		const char *profile, *value;
		bool address;
		const char *why; /* NULL: taken */
	} rows[] = {
		{ "n", "a.example", false, NULL },
		{ "n", "*.a.example", false, "*.a.example is not allowed: profile n is for dns" },
		{ "n", "192.0.2.1", true, "192.0.2.1 is not allowed: profile n is for dns" },
		{ "w", "*.a.example", false, NULL },
		{ "w", "a.example", false, "a.example is not allowed: profile w is for wildcard" },
		{ "i", "192.0.2.1", true, NULL },
		{ "i", "a.example", false, "a.example is not allowed: profile i is for ip" },
		{ "server", "*.a.example", false, NULL },
		{ "client", "*.a.example", false, "*.a.example is not allowed: profile client is for dns, ip" },
	};
	static const struct {
		const char *profile, *kind;
		unsigned bits;
		bool staple;
		const char *why;
	} keys[] = {
		{ "i", "P-256", 256, false, NULL },
		{ "i", "RSA", 3072, true, NULL },
		{ "i", "RSA", 2048, true, "the CSR's key is RSA-2048; profile i takes P-256, RSA-3072" },
		{ "i", "P-384", 384, false, "the CSR's key is P-384; profile i takes P-256, RSA-3072" },
		{ "server", "RSA", 2048, true,
		  "the CSR asks for must-staple (TLS feature 5), which profile server does not give" },
		{ "codesigning", "RSA", 2048, false,
		  "the CSR's key is RSA-2048; profile codesigning takes P-256, P-384, P-521, RSA-3072, RSA-4096" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		const struct conf_profile *p = conf_profile(c, str_z(rows[i].profile));
		struct rc rc = conf_profile_allows(p, str_z(rows[i].value), rows[i].address, &err);
		assert_int_equal(rc.kind, rows[i].why == NULL ? ERR_NONE : ERR_REJECTED_IDENTIFIER);
		if (rows[i].why != NULL)
			assert_string_equal(err.detail, rows[i].why);
	}
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		struct err err = { 0 };
		const struct conf_profile *p = conf_profile(c, str_z(keys[i].profile));
		struct rc rc = conf_profile_allows_csr(p, keys[i].kind, keys[i].bits, keys[i].staple, &err);
		assert_int_equal(rc.kind, keys[i].why == NULL ? ERR_NONE : ERR_BAD_CSR);
		if (keys[i].why != NULL)
			assert_string_equal(err.detail, keys[i].why);
	}
}

static void profiles_that_contradict_themselves_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "profile: { p: { use: [tls] } }",
		  "profile.p.use: found \"tls\"; allowed: server-auth, client-auth, code-signing, email-protection" },
		{ "profile: { p: { use: [] } }", "profile.p.use: found" },
		{ "profile: { p: { use: [client-auth, client-auth] } }",
		  "profile.p.use: found \"client-auth\"; allowed: each value once" },
		{ "profile: { p: { policies: [dv] } }",
		  "profile.p.policies: found \"dv\"; allowed: object identifiers" },
		{ "profile: { p: { policies: [1.2.3, 1.2.3] } }", "allowed: each value once" },
		{ "profile: { p: { keys: [RSA-1024] } }", "profile.p.keys: found \"RSA-1024\"; allowed: P-256" },
		{ "profile: { p: { identifiers: [email] } }", "profile.p.identifiers: found \"email\"; allowed: dns, "
							      "wildcard, ip" },
		{ "profile: { p: { subject: maybe } }", "allowed: off, allowed, required" },
		{ "profile: { p: { names-max: 101 } }", "profile.p.names-max: found \"101\"" },
		{ "profile: { p: { eku-client: true } }", "profile.p.eku-client: found an unknown setting" },
		{ "profile: { p: { public: true, use: [server-auth, client-auth] } }",
		  "profile.p.use: found \"server-auth, client-auth\"; allowed: server-auth alone" },
		{ "profile: { p: { public: true, policies: [] } }", "profile.p.policies: found" },
		{ "profile: { p: { public: true, policies: [1.2.3, 2.23.140.1.2.1] } }",
		  "allowed: 2.23.140.1.2.1 first" },
		{ "profile: { p: { public: true, subject: allowed } }",
		  "profile.p.subject: found \"allowed\"; allowed: off" },
		{ "profile: { p: { public: true, crl: false } }", "profile.p.crl: found \"false\"; allowed: true" },
		{ "profile: { server: { public: true } }",
		  "realm.default.profiles: found \"server\" (the default); allowed: profiles without public, until "
		  "issuer.default.aia-url is there" },
		{ "profile: { server: { public: true } }\nissuer: { default: { aia-url: \"http://a.b/i\" } }",
		  "until issuer.default.crl-url is there" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct conf *c = NULL;
		MUST_FAIL(conf_read_text(str_z(rows[i].text), "c", conf_env_none, NULL, &c, &err), ERR_CONFIG,
			  rows[i].want);
	}
	/* nobody offers it: nothing is missing; and without a list of its own it needs none */
	AUTO(conf_auto) struct conf *unused = read_ok("profile: { p: { public: true } }");
	AUTO(conf_auto)
	struct conf *brief = read_ok("profile: { shortlived: { public: true } }\nrealm: { default: { profiles: "
				     "[shortlived] } }\nissuer: { default: { aia-url: \"http://a.b/i\" } }");
	assert_true(conf_profile(unused, STR("p"))->public_rules);
	assert_true(conf_profile(brief, STR("shortlived"))->public_rules);
}

static void clamped_lifetimes_are_told(void **state)
{
	(void)state;
	static const struct {
		const char *text, *want; /* NULL: nothing is said of a profile */
	} rows[] = {
		{ "profile: { p: { lifetime: 398d } }", NULL },
		{ "profile: { p: { lifetime: 399d } }",
		  "c:1:27: profile.p.lifetime: more than 398d, so 398d counts\n" },
		{ "profile: { p: { lifetime: 199d, public: true } }", NULL },
		{ "profile: { p: { lifetime: 200d, public: true } }",
		  "profile.p.lifetime: public is true: the Baseline" },
		{ "profile: { p: { must-staple: true } }", NULL },
		{ "profile: { p: { must-staple: true, use: [code-signing] } }", "profile.p.must-staple: only servers" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(buf_done) struct buf lines = BUF_MAX(65536);
		AUTO(conf_auto) struct conf *c = read_ok(rows[i].text);
		struct err err = { 0 };
		MUST(conf_warnings(c, &lines, &err));
		const char *said = str_dupz_raw(&mem, buf_str(&lines));
		if (strstr(said, rows[i].want == NULL ? "profile." : rows[i].want) == NULL ? rows[i].want != NULL
											   : rows[i].want == NULL)
			fail_msg("row %zu: %s", i, said);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(built_in_profiles_are_always_there),
		cmocka_unit_test(files_change_built_in_profiles),
		cmocka_unit_test(the_smallest_lifetime_counts),
		cmocka_unit_test(the_younger_proof_counts),
		cmocka_unit_test(only_the_kinds_of_a_profile_are_taken),
		cmocka_unit_test(profiles_that_contradict_themselves_are_refused),
		cmocka_unit_test(clamped_lifetimes_are_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * profile_test.c: what a profile does not take is refused when the client could know better, with the problem that RFC 8555
 * has for it and in words that name the profile; what it takes comes out as the profile says.
 */
#include "fixture.h"
#include "steps.h"
#include "unit.h"
#include "world.h"

#include <openssl/x509v3.h>
#include <stdlib.h>

#define NEW_ORDER STR("https://ca.test/new-order")
#define IN(leaves)                                                                                                  \
	"realm:\n  default:\n    names: [\"*.a.test\"]\n    addresses: [\"192.0.2.0/24\"]\n    accounts-per-hour: " \
	"0\n" leaves
#define ALL "    profiles: [server, names, wild, two, small, staple, client]\n"
#define PROFILES                                                                                                    \
	"profile:\n  names: { identifiers: [dns], keys: [P-256, RSA-3072] }\n  wild: { identifiers: [wildcard] }\n" \
	"  two: { names-max: 2 }\n  small: { lifetime: 6h }\n  staple: { must-staple: true }\n"                     \
	"zone:\n  default:\n    attempts: 1\n    allow-addresses: [\"192.0.2.0/24\"]\n"

struct fixture {
	FIXTURE;
};

static struct str payload(struct fixture *f, const char *profile, const char *identifiers)
{
	return str_fmt(&f->w.mem, "{\"profile\":\"%s\",\"identifiers\":[%s]}", profile, identifiers);
}

#define NAME(v) "{\"type\":\"dns\",\"value\":\"" v "\"}"
#define ADDRESS(v) "{\"type\":\"ip\",\"value\":\"" v "\"}"

static void identifiers_of_other_kinds_are_refused_when_they_are_ordered(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *profile, *identifiers, *words; /* NULL: taken */
	} rows[] = {
		{ "names", NAME("x.a.test"), NULL },
		{ "names", NAME("*.a.test"), "*.a.test is not allowed: profile names is for dns" },
		{ "names", ADDRESS("192.0.2.1"), "192.0.2.1 is not allowed: profile names is for dns" },
		{ "wild", NAME("*.a.test"), NULL },
		{ "wild", NAME("x.a.test"), "x.a.test is not allowed: profile wild is for wildcard" },
		{ "client", NAME("*.a.test"), "*.a.test is not allowed: profile client is for dns, ip" },
		{ "client", ADDRESS("192.0.2.1"), NULL },
		{ "two", NAME("x.a.test") "," NAME("y.a.test"), NULL },
		{ "two", NAME("x.a.test") "," NAME("x.a.test") "," NAME("y.a.test"), NULL }, /* two of them */
		{ "two", NAME("x.a.test") "," NAME("y.a.test") "," NAME("z.a.test"),
		  "3 identifiers; profile two takes 2 in an order" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_reply r =
			step_post(&f->w, &f->alice, NEW_ORDER, payload(f, rows[i].profile, rows[i].identifiers));
		if (rows[i].words == NULL)
			expect_status(rows[i].identifiers, &r, 201);
		else
			expect_problem(rows[i].identifiers, &r, 400, "rejectedIdentifier", rows[i].words);
	}
}

static struct str ordered(struct fixture *f, const char *profile, const char *name)
{
	world_site(&f->w, str_z(name))->thumbprint = str_z(f->alice.thumbprint.z);
	struct str one = str_fmt(&f->w.mem, NAME("%s"), name);
	struct str order = step_make(&f->w, &f->alice, NEW_ORDER, payload(f, profile, str_dupz_raw(&f->w.mem, one)));
	step_prove(&f->w, &f->alice, order);
	return order;
}

/* A request by OpenSSL, which asks for must-staple. */
static struct str staple_csr(struct fixture *f, const struct key *k, const char *name)
{
	X509_REQ *req = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
	uint8_t *der = NULL;
	const char *san = str_dupz_raw(&f->w.mem, str_fmt(&f->w.mem, "DNS:%s", name));
	assert_int_equal(X509_REQ_set_pubkey(req, key_get_evp(k)), 1);
	sk_X509_EXTENSION_push(exts, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san));
	sk_X509_EXTENSION_push(exts, X509V3_EXT_conf_nid(NULL, NULL, NID_tlsfeature, "status_request"));
	assert_int_equal(X509_REQ_add_extensions(req, exts), 1);
	assert_true(X509_REQ_sign(req, key_get_evp(k), EVP_sha256()) > 0);
	int n = i2d_X509_REQ(req, &der);
	assert_true(n > 0);
	struct str text = b64url_encode(&f->w.mem, str_n(der, (size_t)n));
	OPENSSL_free(der);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(req);
	return str_fmt(&f->w.mem, "{\"csr\":\"%.*s\"}", (int)text.n, text.p);
}

static void keys_and_extensions_that_are_not_taken_are_refused_with_their_csr(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *profile, *name;
		enum key_kind kind;
		bool staple;
		const char *words; /* NULL: taken */
	} rows[] = {
		{ "names", "k1.a.test", KEY_P256, false, NULL },
		{ "names", "k2.a.test", KEY_P384, false,
		  "the CSR's key is P-384; profile names takes P-256, RSA-3072" },
		{ "names", "k3.a.test", KEY_RSA, false,
		  "the CSR's key is RSA-2048; profile names takes P-256, RSA-3072" },
		{ "server", "k4.a.test", KEY_RSA, false, NULL },
		{ "server", "k5.a.test", KEY_P256, true,
		  "the CSR asks for must-staple (TLS feature 5), which profile server does not give" },
		{ "staple", "k6.a.test", KEY_P256, true, NULL },
		{ "staple", "k7.a.test", KEY_P256, false, NULL },
	};
	static const char *const none[] = { NULL };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(key_auto) struct key *key = NULL;
		MUST(key_generate(rows[i].kind, 2048, &key, &err));
		struct str order = ordered(f, rows[i].profile, rows[i].name);
		const char *const names[] = { rows[i].name, NULL };
		struct world_reply r = step_finalize(&f->w, &f->alice, order,
						     rows[i].staple ? staple_csr(f, key, rows[i].name)
								    : step_csr(&f->w, key, names, none));
		if (rows[i].words != NULL) {
			expect_problem(rows[i].name, &r, 400, "badCSR", rows[i].words);
			STATUS_IS(&f->w, &f->alice, order, "ready"); /* another CSR may do */
			continue;
		}
		expect_status(rows[i].name, &r, 200);
		MUST(world_run(&f->w, &err));
		STATUS_IS(&f->w, &f->alice, order, "valid");
	}
}

/* The certificate of a valid order. */
static struct cert *issued(struct fixture *f, struct str order)
{
	struct err err = { 0 };
	struct cert *chain[4];
	size_t n;
	struct world_reply o = step_post(&f->w, &f->alice, order, STR_NONE);
	struct world_reply r = step_post(&f->w, &f->alice, step_text(&f->w, o.json, "certificate"), STR_NONE);
	world_reply_done(&o);
	MUST(cert_read_pem(r.body, chain, ARRAY_LEN(chain), &n, &err));
	for (size_t i = 1; i < n; i++)
		cert_free(chain[i]);
	world_reply_done(&r);
	return chain[0];
}

static void lives_are_as_long_as_the_smallest_limit(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *realm, *profile, *name;
		int64_t seconds, backdate;
	} rows[] = {
		{ IN(ALL), "server", "l1.a.test", INT64_C(90) * 86400, 3600 },
		{ IN(ALL), "small", "l2.a.test", INT64_C(6) * 3600, 3600 },
		{ IN(ALL "    lifetime-max: 4h\n"), "server", "l3.a.test", INT64_C(4) * 3600, 3600 },
		{ IN(ALL "    lifetime-max: 4h\n"), "small", "l4.a.test", INT64_C(4) * 3600, 3600 },
		{ IN(ALL "    lifetime-max: 1h\n"), "small", "l5.a.test", 3600, 1800 }, /* half of it lies ahead */
	};
	static const char *const none[] = { NULL };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(key_auto) struct key *key = NULL;
		const char *const names[] = { rows[i].name, NULL };
		MUST(world_configure(&f->w, str_dupz_raw(&f->w.mem, str_fmt(&f->w.mem, "%s" PROFILES, rows[i].realm)),
				     &err));
		MUST(key_generate(KEY_P256, 0, &key, &err));
		struct str order = ordered(f, rows[i].profile, rows[i].name);
		struct world_reply r = step_finalize(&f->w, &f->alice, order, step_csr(&f->w, key, names, none));
		expect_status(rows[i].name, &r, 200);
		MUST(world_run(&f->w, &err));
		struct cert *c = issued(f, order);
		assert_int_equal(cert_get_not_after(c) - cert_get_not_before(c) + 1, rows[i].seconds);
		int64_t behind = f->w.now_ms / 1000 - cert_get_not_before(c);
		assert_true(behind >= rows[i].backdate && behind < rows[i].backdate + 60);
		cert_free(c);
	}
}

/* What a reload took away is refused of orders that are there already. */
static void orders_of_before_are_held_against_the_profile_of_now(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *key = NULL;
	static const char *const none[] = { NULL }, *const names[] = { "n.a.test", NULL };
	MUST(key_generate(KEY_P256, 0, &key, &err));
	struct str order = ordered(f, "names", "n.a.test");
	MUST(world_configure(&f->w, IN("    profiles: [names]\n") "profile:\n  names: { identifiers: [ip] }\n", &err));
	struct world_reply r = step_finalize(&f->w, &f->alice, order, step_csr(&f->w, key, names, none));
	expect_problem("n.a.test", &r, 400, "rejectedIdentifier", "n.a.test is not allowed: profile names is for ip");
	MUST(world_configure(&f->w, IN("    profiles: [server]\n"), &err));
	r = step_finalize(&f->w, &f->alice, order, step_csr(&f->w, key, names, none));
	expect_problem("n.a.test", &r, 400, "invalidProfile",
		       "profile names, which the order has, is not served any more");
}

static int open_world(void **state)
{
	*state = fixture_new(sizeof(struct fixture), IN(ALL) PROFILES, 1);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(identifiers_of_other_kinds_are_refused_when_they_are_ordered),
		cmocka_unit_test(keys_and_extensions_that_are_not_taken_are_refused_with_their_csr),
		cmocka_unit_test(lives_are_as_long_as_the_smallest_limit),
		cmocka_unit_test(orders_of_before_are_held_against_the_profile_of_now),
	};
	return cmocka_run_group_tests(tests, open_world, fixture_free);
}

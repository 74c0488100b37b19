/* SPDX-License-Identifier: Apache-2.0
 *
 * sig_test.c: what verifies, and every shape of signature that must not (THREATS A2, A3).
 */
#include "crypto/crypto.h"
#include "unit.h"

#include "crypto/internal.h"

#include <openssl/err.h>
#include <pthread.h>

struct fixture {
	struct crypto *c;
	struct key *key[KEY_KIND_COUNT], *other[KEY_KIND_COUNT];
};

static int set_up(void **state)
{
	static struct fixture f;
	struct err err = { 0 };
	MUST(crypto_new(&f.c, &err));
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++) {
		MUST(key_generate((enum key_kind)i, 2048, &f.key[i], &err));
		MUST(key_generate((enum key_kind)i, 2048, &f.other[i], &err));
	}
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++) {
		key_free(f->key[i]);
		key_free(f->other[i]);
	}
	crypto_free(f->c);
	return 0;
}

static void only_served_algorithms_have_a_name(void **state)
{
	(void)state;
	static const char *const bad[] = { "none",   "None",  "HS256", "HS512", "PS256",  "RS512",  "RS1",
					   "ES256K", "es256", "ES",    "",      "ES256 ", "EdDSA\n" };
	for (unsigned i = 0; i < SIG_ALG_COUNT; i++) {
		struct err err = { 0 };
		enum sig_alg a;
		MUST(sig_alg_read(str_z(sig_alg_name((enum sig_alg)i)), &a, &err));
		assert_int_equal(a, i);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct err err = { 0 };
		enum sig_alg a;
		MUST_FAIL(sig_alg_read(str_z(bad[i]), &a, &err), ERR_BAD_SIGNATURE_ALGORITHM,
			  "ES256, ES384, ES512, RS256");
	}
	struct err err = { 0 };
	enum sig_alg a;
	MUST_FAIL(sig_alg_read(STR("ES256\0"), &a, &err), ERR_BAD_SIGNATURE_ALGORITHM, "not served");
}

static void signatures_verify_and_nothing_else_does(void **state)
{
	struct fixture *f = *state;
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		struct str sig;
		struct key *k = f->key[i];
		enum sig_alg alg = key_sig_alg(k);
		MUST(sig_sign(f->c, k, STR("text"), &mem, &sig, &err));
		assert_int_equal(sig.n, i == KEY_RSA ? 256 : 2 * key_rows[i].coord);
		MUST(sig_verify(f->c, k, alg, STR("text"), sig, &err));
		MUST_FAIL(sig_verify(f->c, k, alg, STR("texT"), sig, &err), ERR_MALFORMED, "does not verify");
		MUST_FAIL(sig_verify(f->c, f->other[i], alg, STR("text"), sig, &err), ERR_MALFORMED, "does not verify");
		MUST_FAIL(sig_verify(f->c, k, alg, STR_NONE, sig, &err), ERR_MALFORMED, "does not verify");
		MUST_FAIL(sig_verify(f->c, k, alg, STR("text"), str_sub(sig, 0, sig.n - 1), &err), ERR_MALFORMED,
			  "bytes");
		MUST_FAIL(sig_verify(f->c, k, alg, STR("text"), STR_NONE, &err), ERR_MALFORMED, "0 bytes");
		char *longer = arena_alloc(&mem, sig.n + 1);
		memcpy(longer, sig.p, sig.n);
		MUST_FAIL(sig_verify(f->c, k, alg, STR("text"), str_n(longer, sig.n + 1), &err), ERR_MALFORMED,
			  "bytes");
		for (size_t at = 0; at < sig.n; at += 7) {
			char *flipped = str_dupz_raw(&mem, sig);
			flipped[at] ^= 0x10;
			MUST_FAIL(sig_verify(f->c, k, alg, STR("text"), str_n(flipped, sig.n), &err), ERR_MALFORMED,
				  "does not verify");
		}
		for (unsigned other = 0; other < SIG_ALG_COUNT; other++)
			if (other != alg)
				MUST_FAIL(sig_verify(f->c, k, (enum sig_alg)other, STR("text"), sig, &err),
					  ERR_BAD_SIGNATURE_ALGORITHM, "does not go with");
		AUTO(key_auto) struct key *public_only = NULL;
		struct str spki;
		MUST(key_spki(&mem, k, &spki, &err));
		MUST(key_from_spki(spki, &public_only, &err));
		MUST(sig_verify(f->c, public_only, alg, STR("text"), sig, &err));
		MUST_FAIL(sig_sign(f->c, public_only, STR("text"), &mem, &sig, &err), ERR_INTERNAL, "public key");
	}
	assert_int_equal(ERR_peek_error(), 0);
}

/* r and s must be in 1..n-1: each row puts its scalars into a signature that is right otherwise. */
static void ecdsa_scalars_out_of_range_are_refused(void **state)
{
	struct fixture *f = *state;
	enum scalar { KEEP, ZERO, ORDER, ORDER_PLUS, ONES };
	static const enum scalar rows[][2] = { { ZERO, KEEP },  { KEEP, ZERO }, { ZERO, ZERO },       { ORDER, KEEP },
					       { KEEP, ORDER }, { ONES, KEEP }, { KEEP, ORDER_PLUS }, { ONES, ONES } };
	for (unsigned kind = KEY_P256; kind <= KEY_P521; kind++) {
		const struct key_row *row = &key_rows[kind];
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		struct str sig;
		MUST(sig_sign(f->c, f->key[kind], STR("text"), &mem, &sig, &err));
		for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
			char *bad = str_dupz_raw(&mem, sig);
			for (size_t half = 0; half < 2; half++) {
				char *at = bad + half * row->coord;
				if (rows[i][half] == ZERO)
					memset(at, 0, row->coord);
				else if (rows[i][half] == ONES)
					memset(at, 0xff, row->coord);
				else if (rows[i][half] != KEEP)
					memcpy(at, row->order.p, row->coord);
				if (rows[i][half] == ORDER_PLUS)
					at[row->coord - 1]++;
			}
			MUST_FAIL(sig_verify(f->c, f->key[kind], row->alg, STR("text"), str_n(bad, sig.n), &err),
				  ERR_MALFORMED, "does not verify");
		}
	}
}

static void ecdsa_in_der_form_is_refused_in_jose_and_taken_in_x509(void **state)
{
	struct fixture *f = *state;
	for (unsigned kind = KEY_P256; kind <= KEY_P521; kind++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		struct str der, raw;
		struct key *k = f->key[kind];
		MUST(sig_sign_x509(f->c, k, STR("text"), &mem, &der, &err));
		MUST(sig_sign(f->c, k, STR("text"), &mem, &raw, &err));
		MUST_FAIL(sig_verify(f->c, k, key_sig_alg(k), STR("text"), der, &err), ERR_MALFORMED, "bytes");
		MUST(sig_verify_x509(f->c, k, key_rows[kind].digest, STR("text"), der, &err));
		MUST_FAIL(sig_verify_x509(f->c, k, key_rows[kind].digest, STR("text"), raw, &err), ERR_MALFORMED,
			  "verify");
	}
	assert_int_equal(ERR_peek_error(), 0);
}

/* RFC 7515 A.3: the published ES256 example, which another implementation made. */
static void the_example_of_rfc_7515_verifies(void **state)
{
	struct fixture *f = *state;
	static const char x[] = "\x7f\xcd\xce\x27\x70\xf6\xc4\x5d\x41\x83\xcb\xee\x6f\xdb\x4b\x7b"
				"\x58\x07\x33\x35\x7b\xe9\xef\x13\xba\xcf\x6e\x3c\x7b\xd1\x54\x45";
	static const char y[] = "\xc7\xf1\x44\xcd\x1b\xbd\x9b\x7e\x87\x2c\xdf\xed\xb9\xee\xb9\xf4"
				"\xb3\x69\x5d\x6e\xa9\x0b\x24\xad\x8a\x46\x23\x28\x85\x88\xe5\xad";
	static const uint8_t sig[] = { 14,  209, 33,  83,  121, 99,  108, 72,  60,  47,  127, 21,  88,  7,   212, 2,
				       163, 178, 40,  3,   58,  249, 124, 126, 23,  129, 154, 195, 22,  158, 166, 101,
				       197, 10,  7,   211, 140, 60,  112, 229, 216, 241, 45,  175, 8,   74,  84,  128,
				       166, 101, 144, 197, 242, 147, 80,  154, 143, 63,  127, 138, 131, 163, 84,  213 };
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	MUST(key_from_ec(KEY_P256, str_n(x, 32), str_n(y, 32), &k, &err));
	MUST(sig_verify(
		f->c, k, SIG_ES256,
		STR("eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvb"
		    "S9pc19yb290Ijp0cnVlfQ"),
		str_n(sig, sizeof sig), &err));
}

struct job {
	struct fixture *f;
	struct str sig[KEY_KIND_COUNT];
	unsigned bad;
};

static void *verify_many(void *arg)
{
	struct job *j = arg;
	for (int round = 0; round < 50; round++)
		for (unsigned i = 0; i < KEY_KIND_COUNT; i++) {
			struct key *k = key_ref(j->f->key[i]);
			bool right = !FAILED(sig_verify(j->f->c, k, key_sig_alg(k), STR("text"), j->sig[i], NULL));
			bool wrong = !FAILED(sig_verify(j->f->c, k, key_sig_alg(k), STR("text "), j->sig[i], NULL));
			if (!right || wrong)
				j->bad++;
			key_free(k);
		}
	return NULL;
}

static void one_key_serves_four_threads(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	pthread_t threads[4];
	struct job jobs[4] = { 0 };
	for (size_t t = 0; t < 4; t++) {
		jobs[t].f = f;
		for (unsigned i = 0; i < KEY_KIND_COUNT; i++)
			MUST(sig_sign(f->c, f->key[i], STR("text"), &mem, &jobs[t].sig[i], &err));
	}
	for (size_t t = 0; t < 4; t++)
		assert_int_equal(pthread_create(&threads[t], NULL, verify_many, &jobs[t]), 0);
	for (size_t t = 0; t < 4; t++) {
		assert_int_equal(pthread_join(threads[t], NULL), 0);
		assert_int_equal(jobs[t].bad, 0);
	}
}

/* --- a key whose private half is elsewhere --- */
struct elsewhere {
	const struct fixture *f;
	const struct key *pair;
	bool cut; /* answers one byte less */
	int signs, frees;
};

static fallible elsewhere_sign(void *ctx, enum digest d, struct str tbs, struct arena *mem, struct str *ret,
			       struct err *err)
{
	struct elsewhere *e = ctx;
	struct str raw;
	assert_int_equal(d, key_rows[key_get_kind(e->pair)].digest);
	e->signs++;
	TRY(sig_sign(e->f->c, e->pair, tbs, mem, &raw, err)); /* JOSE's form is what tokens answer */
	return sig_x509_from_raw(e->pair, str_sub(raw, 0, raw.n - (e->cut ? 1 : 0)), mem, ret, err);
}

static void elsewhere_free(void *ctx)
{
	((struct elsewhere *)ctx)->frees++;
}

static void a_private_half_elsewhere_signs_in_both_forms_and_is_written_nowhere(void **state)
{
	static const struct key_signer ops = { elsewhere_sign, elsewhere_free };
	const struct fixture *f = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++) {
		if (i == KEY_ED25519) /* its form is one and the same; issuers have none */
			continue;
		struct err err = { 0 };
		struct elsewhere e = { .f = f, .pair = f->key[i] };
		struct key *public, *k;
		struct str spki, sig;
		AUTO(buf_done) struct buf pem = BUF_MAX(8192);
		MUST(key_spki(&mem, f->key[i], &spki, &err));
		MUST(key_from_spki(spki, &public, &err));
		MUST(key_with_signer(public, &ops, &e, &k, &err));
		assert_true(key_has_private(k) && !key_has_private(public) && key_public_eq(k, f->key[i]));
		key_free(public);
		MUST(sig_sign_x509(f->c, k, STR("text"), &mem, &sig, &err));
		MUST(sig_verify_x509(f->c, f->key[i], key_rows[i].digest, STR("text"), sig, &err));
		MUST(sig_sign(f->c, k, STR("text"), &mem, &sig, &err));
		MUST(sig_verify(f->c, f->key[i], key_sig_alg(k), STR("text"), sig, &err));
		assert_int_equal(e.signs, 2);
		MUST_FAIL(key_to_pem(k, NULL, &pem, &err), ERR_INTERNAL, "private half is not here");
		e.cut = true;
		MUST_FAIL(sig_sign_x509(f->c, k, STR("text"), &mem, &sig, &err), ERR_INTERNAL, "signature of ");
		key_free(key_ref(k));
		assert_int_equal(e.frees, 0);
		key_free(k);
		assert_int_equal(e.frees, 1);
	}
}

static void each_digest_is_what_its_name_says(void **state)
{
	/* the first bytes over "abc": FIPS 180-4's own example */
	static const struct {
		enum digest d;
		size_t n;
		const char *start;
	} rows[] = { { DIGEST_SHA256, 32, "\xba\x78\x16\xbf" },
		     { DIGEST_SHA384, 48, "\xcb\x00\x75\x3f" },
		     { DIGEST_SHA512, 64, "\xdd\xaf\x35\xa1" } };
	const struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		uint8_t out[DIGEST_MAX];
		size_t n = 0;
		struct err err = { 0 };
		MUST(digest_of(f->c, rows[i].d, STR("abc"), out, &n, &err));
		assert_int_equal(n, rows[i].n);
		assert_memory_equal(out, rows[i].start, 4);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_served_algorithms_have_a_name),
		cmocka_unit_test(signatures_verify_and_nothing_else_does),
		cmocka_unit_test(ecdsa_scalars_out_of_range_are_refused),
		cmocka_unit_test(ecdsa_in_der_form_is_refused_in_jose_and_taken_in_x509),
		cmocka_unit_test(the_example_of_rfc_7515_verifies),
		cmocka_unit_test(one_key_serves_four_threads),
		cmocka_unit_test(a_private_half_elsewhere_signs_in_both_forms_and_is_written_nowhere),
		cmocka_unit_test(each_digest_is_what_its_name_says),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * seal_test.c: secrets at rest open with the key and the label that they were sealed with, and with nothing else.
 */
#include "crypto/crypto.h"
#include "unit.h"

#define KEY "0123456789abcdef0123456789abcdef"

/* Gives the bytes that it points at, again and again. */
static void fixed_fill(void *ctx, void *p, size_t n)
{
	memcpy(p, ctx, n);
}

struct fixture {
	struct crypto *c;
	struct secret key;
};

static int set_up(void **state)
{
	static struct fixture f;
	struct err err = { 0 };
	MUST(crypto_new(&f.c, &err));
	MUST(secret_set(&f.key, STR(KEY), &err));
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	secret_done(&f->key);
	crypto_free(f->c);
	return 0;
}

/* Test case 16 of McGrew and Viega's GCM paper, which NIST's validation set carries on. */
static void sealing_is_aes_256_gcm(void **state)
{
	struct fixture *f = *state;
	static const char key_hex[] = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
	static const char nonce_hex[] = "cafebabefacedbaddecaf888";
	static const char aad_hex[] = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
	static const char plain_hex[] = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
					"1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
	static const char want_hex[] = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
				       "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
				       "76fc6ece0f4e1768cddf8853bb2d551b";
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf sealed = BUF_MAX(256);
	AUTO(secret_done) struct secret key = { 0 }, opened = { 0 };
	struct str raw, nonce, aad, plain, want;
	MUST(hex_decode(&mem, str_z(key_hex), 64, &raw, &err));
	MUST(secret_set(&key, raw, &err));
	MUST(hex_decode(&mem, str_z(nonce_hex), 64, &nonce, &err));
	MUST(hex_decode(&mem, str_z(aad_hex), 64, &aad, &err));
	MUST(hex_decode(&mem, str_z(plain_hex), 64, &plain, &err));
	MUST(hex_decode(&mem, str_z(want_hex), 128, &want, &err));
	char nonce_bytes[12];
	memcpy(nonce_bytes, nonce.p, sizeof nonce_bytes);
	struct rng rng = { fixed_fill, nonce_bytes };
	MUST(seal(f->c, &key, &rng, aad, plain, &sealed, &err));
	assert_int_equal(sealed.n, plain.n + SEAL_OVERHEAD);
	assert_true(str_eq(str_sub(buf_str(&sealed), 0, 12), nonce));
	assert_true(str_eq(str_sub(buf_str(&sealed), 12, sealed.n), want));
	MUST(unseal(f->c, &key, aad, buf_str(&sealed), &opened, &err));
	assert_true(str_eq(str_n(opened.p, opened.n), plain));
}

static void sealing_twice_gives_other_bytes_that_open_to_the_same(void **state)
{
	struct fixture *f = *state;
	static const struct str plains[] = { { NULL, 0 }, { "x", 1 }, { KEY, 32 } };
	for (size_t i = 0; i < ARRAY_LEN(plains); i++) {
		struct err err = { 0 };
		AUTO(buf_done) struct buf both = BUF_MAX(256);
		AUTO(secret_done) struct secret a = { 0 }, b = { 0 };
		MUST(seal(f->c, &f->key, &rng_system, STR("eab-1"), plains[i], &both, &err));
		size_t at = both.n;
		MUST(seal(f->c, &f->key, &rng_system, STR("eab-1"), plains[i], &both,
			  &err)); /* goes behind the first */
		struct str one = str_sub(buf_str(&both), 0, at), two = str_sub(buf_str(&both), at, both.n);
		assert_false(str_eq(one, two));
		MUST(unseal(f->c, &f->key, STR("eab-1"), one, &a, &err));
		MUST(unseal(f->c, &f->key, STR("eab-1"), two, &b, &err));
		assert_true(secret_eq(&a, &b) && str_eq(str_n(a.p, a.n), plains[i]));
	}
}

static void no_other_key_label_or_byte_opens(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf sealed = BUF_MAX(256);
	AUTO(secret_done) struct secret other = { 0 }, ret = { 0 };
	MUST(secret_set(&other, STR("0123456789abcdef0123456789abcdeF"), &err));
	MUST(secret_set(&ret, STR("what was there before"), &err));
	MUST(seal(f->c, &f->key, &rng_system, STR("eab-1"), STR("hush"), &sealed, &err));
	struct str s = buf_str(&sealed);
	MUST_FAIL(unseal(f->c, &other, STR("eab-1"), s, &ret, &err), ERR_INTERNAL, "does not open");
	MUST_FAIL(unseal(f->c, &f->key, STR("eab-2"), s, &ret, &err), ERR_INTERNAL, "does not open");
	MUST_FAIL(unseal(f->c, &f->key, STR_NONE, s, &ret, &err), ERR_INTERNAL, "does not open");
	for (size_t n = 0; n < s.n; n++)
		MUST_FAIL(unseal(f->c, &f->key, STR("eab-1"), str_sub(s, 0, n), &ret, &err), ERR_INTERNAL,
			  n < SEAL_OVERHEAD ? "at least 28" : "does not open");
	for (size_t i = 0; i < s.n; i++) {
		sealed.p[i] ^= 1;
		MUST_FAIL(unseal(f->c, &f->key, STR("eab-1"), s, &ret, &err), ERR_INTERNAL, "does not open");
		sealed.p[i] ^= 1;
	}
	assert_true(str_eq(str_n(ret.p, ret.n), STR("what was there before"))); /* a refusal leaves the old one */
	MUST(unseal(f->c, &f->key, STR("eab-1"), s, &ret, &err));
	assert_true(str_eq(str_n(ret.p, ret.n), STR("hush")));
}

static void keys_of_other_lengths_and_too_much_text_are_refused(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf sealed = BUF_MAX(128 * 1024);
	AUTO(buf_done) struct buf small = BUF_MAX(SEAL_OVERHEAD + 3);
	AUTO(secret_done) struct secret key = { 0 }, ret = { 0 };
	static char big[64 * 1024 + 1];
	static const size_t lengths[] = { 0, 16, 31, 33 };
	for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
		MUST(secret_set(&key, str_n(KEY "x", lengths[i]), &err));
		MUST_FAIL(seal(f->c, &key, &rng_system, STR("a"), STR("b"), &sealed, &err), ERR_INTERNAL, "wanted 32");
		MUST_FAIL(unseal(f->c, &key, STR("a"), str_n(big, 40), &ret, &err), ERR_INTERNAL, "wanted 32");
	}
	MUST_FAIL(seal(f->c, &f->key, &rng_system, STR("a"), str_n(big, sizeof big), &sealed, &err), ERR_INTERNAL,
		  "at most");
	MUST_FAIL(seal(f->c, &f->key, &rng_system, str_n(big, 4097), STR("b"), &sealed, &err), ERR_INTERNAL, "at most");
	assert_int_equal(sealed.n, 0);
	assert_true(FAILED(seal(f->c, &f->key, &rng_system, STR("a"), STR("four"), &small, &err)));
	assert_int_equal(small.n, 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(sealing_is_aes_256_gcm),
		cmocka_unit_test(sealing_twice_gives_other_bytes_that_open_to_the_same),
		cmocka_unit_test(no_other_key_label_or_byte_opens),
		cmocka_unit_test(keys_of_other_lengths_and_too_much_text_are_refused),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

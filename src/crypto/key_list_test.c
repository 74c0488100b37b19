/* SPDX-License-Identifier: Apache-2.0
 *
 * key_list_test.c: listed keys are refused by either list, others pass, and a list that does not read is no list.
 */
#include "crypto/crypto.h"
#include "unit.h"

#include "crypto/internal.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <unistd.h>

static void list_auto(struct key_list **l)
{
	key_list_free(*l);
}

struct file {
	char path[64];
};

static void file_done(struct file *f)
{
	(void)unlink(f->path);
}

static struct file file_of(struct str text)
{
	struct file f = { "/tmp/cairn-key-list-XXXXXX" };
	int fd = mkstemp(f.path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text.p, text.n), (ssize_t)text.n);
	assert_int_equal(close(fd), 0);
	return f;
}

static struct str spki_hex(struct arena *mem, const struct crypto *c, const struct key *k)
{
	struct err err = { 0 };
	struct sha256 hash;
	MUST(key_spki_hash(c, k, &hash, &err));
	return hex_encode(mem, str_n(hash.b, sizeof hash.b));
}

static void blocked_keys_are_refused(void **state)
{
	(void)state;
	static const enum key_kind kinds[] = { KEY_P256, KEY_P384, KEY_RSA, KEY_ED25519 };
	struct err err = { 0 };
	struct crypto *c;
	AUTO(arena_done) struct arena mem = { 0 };
	MUST(crypto_new(&c, &err));
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		AUTO(list_auto) struct key_list *l = key_list_new();
		AUTO(key_auto) struct key *bad = NULL, *good = NULL;
		MUST(key_generate(kinds[i], 2048, &bad, &err));
		MUST(key_generate(kinds[i], 2048, &good, &err));
		MUST(key_list_check(c, NULL, bad, ERR_BAD_PUBLIC_KEY, &err));
		MUST(key_list_check(c, l, bad, ERR_BAD_PUBLIC_KEY, &err));
		struct str hex = spki_hex(&mem, c, bad);
		AUTO(file_done)
		struct file f = file_of(str_fmt(&mem, "# stolen\n\n%064d # another\r\n  %.*s\t# this one\n%064d\n", 7,
						STR_FMT(hex), 1));
		MUST(key_list_add_blocked(l, f.path, &err));
		MUST_FAIL(key_list_check(c, l, bad, ERR_BAD_PUBLIC_KEY, &err), ERR_BAD_PUBLIC_KEY,
			  "on this CA's block list");
		MUST(key_list_check(c, l, good, ERR_BAD_PUBLIC_KEY, &err));
	}
	crypto_free(c);
}

/* The hash by another way than the list's own: BIGNUM's text and the one-shot digest. */
static struct str weak_hex(struct arena *mem, const struct key *k)
{
	struct err err = { 0 };
	struct str n, e;
	uint8_t sha1[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	MUST(key_get_parts(mem, k, &n, &e, &err));
	BIGNUM *modulus = BN_bin2bn((const uint8_t *)n.p, (int)n.n, NULL);
	char *text = BN_bn2hex(modulus);
	struct str line = str_fmt(mem, "Modulus=%s\n", text);
	assert_int_equal(EVP_Digest(line.p, line.n, sha1, &len, EVP_sha1(), NULL), 1);
	OPENSSL_free(text);
	BN_free(modulus);
	return str_sub(hex_encode(mem, str_n(sha1, len)), 20, 40);
}

static void listed_weak_keys_are_refused(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct crypto *c;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(list_auto) struct key_list *l = key_list_new();
	AUTO(key_auto) struct key *bad = NULL, *good = NULL, *ec = NULL;
	MUST(crypto_new(&c, &err));
	MUST(key_generate(KEY_RSA, 2048, &bad, &err));
	AUTO(key_auto) struct key *second = NULL;
	MUST(key_generate(KEY_RSA, 2048, &second, &err));
	MUST(key_generate(KEY_RSA, 2048, &good, &err));
	MUST(key_generate(KEY_P256, 0, &ec, &err));
	/* two files, as for two sizes: the second is added to the first */
	AUTO(file_done)
	struct file one =
		file_of(str_fmt(&mem, "# Debian\nffffffffffffffffffff\n%.*s\n", STR_FMT(weak_hex(&mem, bad))));
	AUTO(file_done)
	struct file two = file_of(str_fmt(&mem, "00000000000000000000\n%.*s", STR_FMT(weak_hex(&mem, second))));
	MUST(key_list_add_weak(l, one.path, &err));
	MUST_FAIL(key_list_check(c, l, bad, ERR_BAD_PUBLIC_KEY, &err), ERR_BAD_PUBLIC_KEY, "CVE-2008-0166");
	MUST(key_list_check(c, l, second, ERR_BAD_PUBLIC_KEY, &err));
	MUST(key_list_add_weak(l, two.path, &err));
	MUST_FAIL(key_list_check(c, l, bad, ERR_BAD_PUBLIC_KEY, &err), ERR_BAD_PUBLIC_KEY, "CVE-2008-0166");
	MUST_FAIL(key_list_check(c, l, second, ERR_BAD_PUBLIC_KEY, &err), ERR_BAD_PUBLIC_KEY, "CVE-2008-0166");
	MUST(key_list_check(c, l, good, ERR_BAD_PUBLIC_KEY, &err));
	MUST(key_list_check(c, l, ec, ERR_BAD_PUBLIC_KEY, &err));
	assert_int_equal(ERR_peek_error(), 0);
	crypto_free(c);
}

static void lists_that_do_not_read_are_refused_whole(void **state)
{
	(void)state;
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "ffffffffffffffffffff\nabc\n", ":2: found no hash; allowed: 20 hex digits a line" },
		{ "fffffffffffffffffffg\n", ":1: found no hash" },
		{ "fffffffffffffffffffff\n", ":1: found no hash" },
		{ "\n\n#\nffff ffffffffffffffff\n", ":4: found no hash" },
	};
	struct err err = { 0 };
	AUTO(list_auto) struct key_list *l = key_list_new();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(file_done) struct file f = file_of(str_z(rows[i].text));
		MUST_FAIL(key_list_add_weak(l, f.path, &err), ERR_CONFIG, rows[i].want);
		MUST_FAIL(key_list_add_blocked(l, f.path, &err), ERR_CONFIG, "64 hex digits a line");
	}
	assert_true(FAILED(key_list_add_weak(l, "/nonexistent/list", &err)));
	AUTO(file_done) struct file empty = file_of(STR(""));
	MUST(key_list_add_weak(l, empty.path, &err));
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocked_keys_are_refused),
		cmocka_unit_test(listed_weak_keys_are_refused),
		cmocka_unit_test(lists_that_do_not_read_are_refused_whole),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

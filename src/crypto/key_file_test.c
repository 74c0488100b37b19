/* SPDX-License-Identifier: Apache-2.0
 *
 * key_file_test.c: keys on disk: closed to others, never overwritten, sealed when a passphrase is given.
 */
#include "crypto/crypto.h"
#include "unit.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
	char dir[64], path[96];
};

static int set_up(void **state)
{
	static struct fixture f;
	(void)snprintf(f.dir, sizeof f.dir, "/tmp/cairn-key-XXXXXX");
	if (mkdtemp(f.dir) == NULL)
		return -1;
	(void)snprintf(f.path, sizeof f.path, "%s/key.pem", f.dir);
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	(void)unlink(f->path);
	return rmdir(f->dir);
}

static void every_kind_comes_back_from_its_file(void **state)
{
	struct fixture *f = *state;
	for (unsigned kind = 0; kind < KEY_KIND_COUNT; kind++) {
		struct err err = { 0 };
		struct stat st;
		AUTO(key_auto) struct key *k = NULL;
		AUTO(key_auto) struct key *got = NULL;
		MUST(key_generate((enum key_kind)kind, 2048, &k, &err));
		MUST(key_write_file(k, f->path, NULL, &err));
		assert_int_equal(stat(f->path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		MUST(key_read_file(f->path, NULL, &got, &err));
		assert_true(key_has_private(got) && key_public_eq(k, got));
		MUST_FAIL(key_write_file(got, f->path, NULL, &err), ERR_CONFLICT, "");
		assert_int_equal(unlink(f->path), 0);
	}
}

static void a_private_key_that_others_may_read_is_refused(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	struct key *got = NULL;
	char mend[128];
	MUST(key_generate(KEY_P256, 0, &k, &err));
	MUST(key_write_file(k, f->path, NULL, &err));
	assert_int_equal(chmod(f->path, 0640), 0);
	(void)snprintf(mend, sizeof mend, "chmod 600 %s", f->path);
	MUST_FAIL(key_read_file(f->path, NULL, &got, &err), ERR_CONFIG, mend);
	assert_null(got);
	assert_int_equal(unlink(f->path), 0);
}

static void a_public_key_is_open_to_all(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	AUTO(key_auto) struct key *pub = NULL;
	AUTO(key_auto) struct key *got = NULL;
	struct str spki;
	struct stat st;
	MUST(key_generate(KEY_P384, 0, &k, &err));
	MUST(key_spki(&mem, k, &spki, &err));
	MUST(key_from_spki(spki, &pub, &err));
	MUST(key_write_file(pub, f->path, NULL, &err));
	assert_int_equal(stat(f->path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0644);
	MUST(key_read_file(f->path, NULL, &got, &err));
	assert_true(key_public_eq(k, got) && !key_has_private(got));
	assert_int_equal(unlink(f->path), 0);
}

static void a_passphrase_seals_the_key(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	AUTO(key_auto) struct key *got = NULL;
	AUTO(key_auto) struct key *none = NULL;
	AUTO(secret_done) struct secret right = { 0 }, wrong = { 0 }, empty = { 0 };
	AUTO(buf_done) struct buf pem = BUF_MAX(16384);
	MUST(secret_set(&right, STR("correct horse"), &err));
	MUST(secret_set(&wrong, STR("incorrect horse"), &err));
	MUST(key_generate(KEY_P256, 0, &k, &err));
	MUST_FAIL(key_write_file(k, f->path, &empty, &err), ERR_CONFIG, "passphrase of 0 bytes");
	MUST(key_write_file(k, f->path, &right, &err));
	MUST(file_read(f->path, 16384, &pem, &err));
	assert_true(str_starts(buf_str(&pem), STR("-----BEGIN ENCRYPTED PRIVATE KEY-----\n")));
	MUST_FAIL(key_read_file(f->path, NULL, &none, &err), ERR_CONFIG, "no passphrase is given");
	MUST_FAIL(key_read_file(f->path, &wrong, &none, &err), ERR_CONFIG, "passphrase does not open the key");
	assert_non_null(strstr(err.detail, f->path));
	MUST(key_read_file(f->path, &right, &got, &err));
	assert_true(key_has_private(got) && key_public_eq(k, got));
	assert_int_equal(unlink(f->path), 0);
	assert_int_equal(ERR_peek_error(), 0);
}

/* hmacWithSHA256 and an INTEGER of at least 600,000 stand in the PBKDF2 parameters. */
static void sealed_keys_use_the_wanted_kdf(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	AUTO(secret_done) struct secret pass = { 0 };
	AUTO(buf_done) struct buf pem = BUF_MAX(16384);
	static const char rounds[] = "\x02\x03\x09\x27\xc0";
	static const char prf[] = "\x06\x08\x2a\x86\x48\x86\xf7\x0d\x02\x09";
	static const char aes[] = "\x06\x09\x60\x86\x48\x01\x65\x03\x04\x01\x2a";
	MUST(secret_set(&pass, STR("x"), &err));
	MUST(key_generate(KEY_P256, 0, &k, &err));
	MUST(key_to_pem(k, &pass, &pem, &err));
	uint8_t der[4096];
	size_t n = 0;
	unsigned acc = 0, bits = 0;
	static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	size_t from = str_find(buf_str(&pem), '\n', 0);
	size_t to = str_find(buf_str(&pem), '-', from);
	for (size_t i = from; i < to && n < sizeof der; i++) {
		const char *at = strchr(alphabet, pem.p[i]);
		if (pem.p[i] == '\n' || pem.p[i] == '=' || at == NULL)
			continue;
		acc = acc << 6 | (unsigned)(at - alphabet);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			der[n++] = (uint8_t)(acc >> bits);
		}
	}
	assert_non_null(memmem(der, n, rounds, sizeof rounds - 1));
	assert_non_null(memmem(der, n, prf, sizeof prf - 1));
	assert_non_null(memmem(der, n, aes, sizeof aes - 1));
}

static void what_is_no_key_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *pem, *text;
	} rows[] = {
		{ "", "no PEM block" },
		{ "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n", "no PEM block" },
		{ "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "does not load" },
		{ "-----BEGIN PRIVATE KEY-----\n", "does not load" },
		{ "-----BEGIN PUBLIC KEY-----\nAAA", "does not load" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct key *k = NULL;
		MUST_FAIL(key_from_pem(str_z(rows[i].pem), NULL, &k, &err), ERR_CONFIG, rows[i].text);
	}
	assert_int_equal(ERR_peek_error(), 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_kind_comes_back_from_its_file),
		cmocka_unit_test(a_private_key_that_others_may_read_is_refused),
		cmocka_unit_test(a_public_key_is_open_to_all),
		cmocka_unit_test(a_passphrase_seals_the_key),
		cmocka_unit_test(sealed_keys_use_the_wanted_kdf),
		cmocka_unit_test(what_is_no_key_is_refused),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

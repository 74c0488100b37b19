/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_test.c: secrets, their files, and the digests that they key.
 */
#include "crypto/crypto.h"
#include "unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static void write_file(const char *path, struct str body, mode_t mode)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, body.p, body.n), (ssize_t)body.n);
	assert_int_equal(fchmod(fd, mode), 0);
	assert_int_equal(close(fd), 0);
}

static void secrets_compare_by_content(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(secret_done) struct secret a = { 0 }, b = { 0 }, none = { 0 };
	MUST(secret_set(&a, STR("one"), &err));
	MUST(secret_set(&b, STR("two"), &err));
	assert_false(secret_eq(&a, &b));
	assert_false(secret_eq(&a, &none));
	MUST(secret_set(&b, STR("one"), &err));
	assert_true(secret_eq(&a, &b));
	assert_true(bytes_eq_ct(STR_NONE, STR("")));
	static char big[64 * 1024 + 1];
	MUST_FAIL(secret_set(&a, str_n(big, sizeof big), &err), ERR_MALFORMED, "at most");
	assert_true(secret_eq(&a, &b)); /* a refusal leaves the old one */
}

static void secret_files_must_keep_others_out(void **state)
{
	(void)state;
	static const struct {
		struct str body;
		mode_t mode;
		const char *refusal; /* NULL: read as want */
		struct str want;
	} rows[] = {
		{ { "pass word\n", 10 }, 0600, NULL, { "pass word", 9 } },
		{ { "pass", 4 }, 0400, NULL, { "pass", 4 } },
		{ { "\x01\xff\n", 3 }, 0600, NULL, { "\x01\xff\n", 3 } },
		{ { "pass", 4 }, 0640, "chmod 600 ", { NULL, 0 } },
		{ { "pass", 4 }, 0604, "mode 0604", { NULL, 0 } },
		{ { "\n", 1 }, 0600, "empty", { NULL, 0 } },
		{ { "0123456789012345678901234567890123", 34 }, 0600, "at most 32", { NULL, 0 } },
	};
	char dir[] = "/tmp/cairn-secret-XXXXXX", path[64];
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof path, "%s/f", dir);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(secret_done) struct secret s = { 0 };
		write_file(path, rows[i].body, rows[i].mode);
		if (rows[i].refusal != NULL) {
			MUST_FAIL(secret_read_file(&s, path, 32, &err), ERR_CONFIG, rows[i].refusal);
			continue;
		}
		MUST(secret_read_file(&s, path, 32, &err));
		assert_true(str_eq(str_n(s.p, s.n), rows[i].want));
	}
	struct err err = { 0 };
	AUTO(secret_done) struct secret s = { 0 };
	MUST_FAIL(secret_read_file(&s, dir, 32, &err), ERR_CONFIG, "regular");
	unlink(path);
	MUST_FAIL(secret_read_file(&s, path, 32, &err), ERR_CONFIG, "No such file");
	assert_int_equal(mkfifo(path, 0600), 0);
	MUST_FAIL(secret_read_file(&s, path, 32, &err), ERR_CONFIG, "regular");
	unlink(path);
	rmdir(dir);
}

/* FIPS 180-4's "abc", RFC 4231 test case 2 */
static void digests_match_published_vectors(void **state)
{
	(void)state;
	static const uint8_t abc[] = "\xba\x78\x16\xbf\x8f\x01\xcf\xea\x41\x41\x40\xde\x5d\xae\x22\x23"
				     "\xb0\x03\x61\xa3\x96\x17\x7a\x9c\xb4\x10\xff\x61\xf2\x00\x15\xad";
	static const uint8_t jefe[] = "\x5b\xdc\xc1\x46\xbf\x60\x75\x4e\x6a\x04\x24\x26\x08\x95\x75\xc7"
				      "\x5a\x00\x3f\x08\x9d\x27\x39\x83\x9d\xec\x58\xb9\x64\xec\x38\x43";
	struct err err = { 0 };
	struct crypto *c = NULL;
	struct sha256 d;
	uint8_t mac[DIGEST_MAX];
	size_t n;
	AUTO(secret_done) struct secret key = { 0 };
	MUST(crypto_new(&c, &err));
	MUST(digest_sha256(c, STR("abc"), &d, &err));
	assert_memory_equal(d.b, abc, 32);
	MUST(digest_sha256(c, STR_NONE, &d, &err));
	assert_int_equal(d.b[0], 0xe3);
	MUST(secret_set(&key, STR("Jefe"), &err));
	MUST(hmac(c, DIGEST_SHA256, &key, STR("what do ya want for nothing?"), mac, &n, &err));
	assert_int_equal(n, 32);
	assert_memory_equal(mac, jefe, 32);
	MUST(hmac(c, DIGEST_SHA384, &key, STR_NONE, mac, &n, &err));
	assert_int_equal(n, 48);
	MUST(hmac(c, DIGEST_SHA512, &key, STR("x"), mac, &n, &err));
	assert_int_equal(n, 64);
	secret_done(&key);
	MUST_FAIL(hmac(c, DIGEST_SHA256, &key, STR("x"), mac, &n, &err), ERR_INTERNAL, "without a key");
	crypto_free(c);
	crypto_free(NULL);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_compare_by_content),
		cmocka_unit_test(secret_files_must_keep_others_out),
		cmocka_unit_test(digests_match_published_vectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

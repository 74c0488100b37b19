/* SPDX-License-Identifier: Apache-2.0
 *
 * secret_test.c: secrets, their files, and the digests that they key.
 */
#include "crypto/crypto.h"
#include "unit.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
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

/* --- memory -------------------------------------------------------------------------------------------------------*/
#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif /* they make nothing of mlock(2) */

/* Both keep copies and memory of their own, and make little of mlock(2). */
static bool is_watched(void)
{
	const char *preload = getenv("LD_PRELOAD");
	return SANITIZED || (preload != NULL && strstr(preload, "vgpreload") != NULL);
}

#define PATTERN_LEN 24
#define REGION_MAX ((uintptr_t)1 << 28) /* a sanitizer's own are larger, and have no copies of ours */

/* Made at run time, backwards from what it is kept as: so that the program's own text is not found. */
static void pattern_make(char out[PATTERN_LEN], unsigned seed)
{
	for (unsigned i = 0; i < PATTERN_LEN; i++)
		out[i] = (char)(1 + (seed * 31 + i * 7919) % 251);
}

struct region {
	uintptr_t from, to;
	bool locked, undumped, wiped_on_fork;
};

/* The writable memory of this process that holds the pattern, but for the stack, where the pattern itself is. */
static unsigned regions_with(const char pattern[PATTERN_LEN], struct region *ret_last)
{
	char line[256], perms[8] = "";
	unsigned found = 0;
	struct region r = { 0 };
	bool look = false;
	FILE *f = fopen("/proc/self/smaps", "re");
	int mem = open("/proc/self/mem", O_RDONLY | O_CLOEXEC);
	static char bytes[256 * 1024];
	assert_true(f != NULL && mem >= 0);
	while (fgets(line, sizeof line, f) != NULL) {
		uintptr_t from, to; /* a key such as "Anonymous:" begins with a number, too */
		if (sscanf(line, "%lx-%lx %7s", &from, &to, perms) == 3) {
			r.from = from;
			r.to = to;
			look = perms[0] == 'r' && perms[1] == 'w' && strstr(line, "[stack]") == NULL;
			continue;
		}
		if (!look || r.to - r.from > REGION_MAX || strncmp(line, "VmFlags:", 8) != 0)
			continue;
		r.locked = strstr(line, " lo") != NULL;
		r.undumped = strstr(line, " dd") != NULL;
		r.wiped_on_fork = strstr(line, " wf") != NULL;
		for (uintptr_t at = r.from; at < r.to; at += sizeof bytes) {
			size_t want = r.to - at < sizeof bytes ? r.to - at : sizeof bytes;
			if (at <= (uintptr_t)bytes && (uintptr_t)bytes < at + want + sizeof bytes)
				continue; /* what was read before */
			ssize_t n = pread(mem, bytes, want, (off_t)at);
			if (n > 0 && memmem(bytes, (size_t)n, pattern, PATTERN_LEN) != NULL) {
				found++;
				*ret_last = r;
			}
		}
	}
	(void)fclose(f);
	(void)close(mem);
	explicit_bzero(bytes, sizeof bytes);
	return found;
}

static void secrets_lie_apart_and_are_gone_when_done(void **state)
{
	char pattern[PATTERN_LEN];
	struct err err = { 0 };
	struct region at = { 0 };
	AUTO(secret_done) struct secret s = { 0 };
	(void)state;
	if (is_watched())
		skip();
	pattern_make(pattern, 7);
	assert_int_equal(regions_with(pattern, &at), 0);
	MUST(secret_set(&s, str_n(pattern, sizeof pattern), &err));
	assert_int_equal(regions_with(pattern, &at), 1);
	assert_true(at.from <= (uintptr_t)s.p && (uintptr_t)s.p < at.to);
	assert_true(at.undumped);
	assert_true(at.wiped_on_fork);
	secret_done(&s);
	assert_int_equal(regions_with(pattern, &at), 0);
}

static void a_secret_is_locked_where_the_limit_allows_it(void **state)
{
	char pattern[PATTERN_LEN];
	struct err err = { 0 };
	struct region at = { 0 };
	AUTO(secret_done) struct secret s = { 0 };
	struct rlimit limit;
	(void)state;
	assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &limit), 0);
	if (is_watched() || limit.rlim_cur < 64 * 1024)
		skip();
	pattern_make(pattern, 8);
	MUST(secret_set(&s, str_n(pattern, sizeof pattern), &err));
	assert_int_equal(regions_with(pattern, &at), 1);
	assert_true(at.locked);
}

static void a_child_does_not_have_it(void **state)
{
	struct err err = { 0 };
	AUTO(secret_done) struct secret s = { 0 };
	int status;
	(void)state;
	MUST(secret_set(&s, STR("not for children"), &err));
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		unsigned char any = 0;
		for (size_t i = 0; i < s.n; i++)
			any |= s.p[i];
		_exit(any == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_true(bytes_eq_ct(str_n(s.p, s.n), STR("not for children")));
}

static void every_size_is_served(void **state)
{
	static char bytes[64 * 1024];
	static const size_t sizes[] = { 0, 1, 4095, 4096, 4097, sizeof bytes };
	struct err err = { 0 };
	AUTO(secret_done) struct secret s = { 0 };
	(void)state;
	memset(bytes, 0x5a, sizeof bytes);
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		MUST(secret_set(&s, str_n(bytes, sizes[i]), &err));
		assert_int_equal(s.n, sizes[i]);
		assert_true(bytes_eq_ct(str_n(s.p, s.n), str_n(bytes, sizes[i])));
	}
}

static void private_keys_lie_in_the_secure_heap(void **state)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL, *again = NULL;
	AUTO(buf_done) struct buf pem = BUF_MAX(64 * 1024);
	(void)state;
	struct rc rc = secret_memory_check(64 * 1024, &err);
	assert_true(rc.kind == ERR_NONE || rc.kind == ERR_UNAVAILABLE);
	MUST(key_generate(KEY_P256, 0, &k, &err)); /* OpenSSL's own random state lies there, too */
	key_free(k);
	k = NULL;
	size_t before = CRYPTO_secure_used();
	MUST(key_generate(KEY_P256, 0, &k, &err));
	assert_true(CRYPTO_secure_used() > before);
	MUST(key_to_pem(k, NULL, &pem, &err));
	size_t made = CRYPTO_secure_used();
	MUST(key_from_pem(buf_str(&pem), NULL, &again, &err));
	assert_true(CRYPTO_secure_used() > made);
	key_free(again);
	again = NULL;
	key_free(k);
	k = NULL;
	assert_int_equal(CRYPTO_secure_used(), before);
	MUST(secret_memory_check(64 * 1024, &err)); /* a second time it is there already */
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(secrets_compare_by_content),
		cmocka_unit_test(secrets_lie_apart_and_are_gone_when_done),
		cmocka_unit_test(a_secret_is_locked_where_the_limit_allows_it),
		cmocka_unit_test(a_child_does_not_have_it),
		cmocka_unit_test(every_size_is_served),
		cmocka_unit_test(private_keys_lie_in_the_secure_heap),
		cmocka_unit_test(secret_files_must_keep_others_out),
		cmocka_unit_test(digests_match_published_vectors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * seal_key_test.c: the file of store.secret-key: made once, never instead of one that is missed, never read when it is not
 * what it should be.
 */
#include "admin/testing.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define HEX64 "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF"

static void put(const char *path, const char *text, size_t n, mode_t mode)
{
	struct err err = { 0 };
	MUST(file_write_atomic(path, str_n(text, n), mode, &err));
	assert_int_equal(chmod(path, mode), 0);
}

static void a_made_file_reads_back_and_is_never_overwritten(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	struct stat st;
	struct secret again = { 0 };
	assert_int_equal(stat(t->key_file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(st.st_size, 65);
	MUST(seal_key_read(t->key_file, &again, &err));
	assert_int_equal(again.n, SEAL_KEY_LEN);
	assert_true(secret_eq(&again, &t->key));
	assert_int_equal(seal_key_make(t->key_file, &rng_system, &err).kind, ERR_CONFLICT);
	MUST(seal_key_read(t->key_file, &again, &(struct err){ 0 }));
	assert_true(secret_eq(&again, &t->key));
	secret_done(&again);
}

static void the_digits_are_the_bytes(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	struct secret s = { 0 };
	put(t->key_file, HEX64 "\n", 65, 0600);
	MUST(seal_key_read(t->key_file, &s, &err));
	assert_int_equal(s.p[1], 0x11);
	assert_int_equal(s.p[10], 0xaa);
	assert_int_equal(s.p[31], 0xff);
	secret_done(&s);
}

static void other_contents_and_modes_are_refused(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	static const struct {
		const char *text;
		size_t n;
		mode_t mode;
		const char *says;
	} rows[] = {
		{ "", 0, 0600, "64 hex digits" },
		{ HEX64, 64, 0600, "64 hex digits" },
		{ HEX64 "\n\n", 66, 0600, "64 hex digits" },
		{ HEX64 " ", 65, 0600, "64 hex digits" },
		{ "g0112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF\n", 65, 0600, "64 hex digits" },
		{ HEX64 "\n", 65, 0640, "mode 0640" },
		{ HEX64 "\n", 65, 0604, "chmod 600" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct secret s = { 0 };
		put(t->key_file, rows[i].text, rows[i].n, rows[i].mode);
		MUST_FAIL(seal_key_read(t->key_file, &s, &err), ERR_CONFIG, rows[i].says);
		assert_non_null(strstr(err.detail, t->key_file));
		assert_null(strstr(err.detail, "00112233")); /* A76: no secret in any output */
		assert_null(s.p);
	}
}

static void what_is_no_file_is_refused_and_holds_nobody(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	struct secret s = { 0 };
	assert_int_equal(unlink(t->key_file), 0);
	assert_int_equal(mkfifo(t->key_file, 0600), 0);
	MUST_FAIL(seal_key_read(t->key_file, &s, &err), ERR_CONFIG, "no regular file");
	assert_int_equal(unlink(t->key_file), 0);
	MUST_FAIL(seal_key_read(t->key_file, &s, &err), ERR_NOT_FOUND, "is missing");
	MUST_FAIL(seal_key_read(t->folder, &s, &err), ERR_CONFIG, "no regular file");
}

static void a_file_of_another_user_is_refused(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	struct secret s = { 0 };
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(t->key_file, 65534, 65534), 0);
	MUST_FAIL(seal_key_read(t->key_file, &s, &err), ERR_CONFIG, "belongs to uid 65534");
}

static void start_makes_it_only_for_a_store_without_keys(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	struct secret s = { 0 };
	bool made = false;
	test_open(t);
	assert_int_equal(unlink(t->key_file), 0);
	MUST(seal_key_open(&t->deps, t->key_file, &s, &made, &err));
	assert_true(made);
	struct secret first = s;
	s = (struct secret){ 0 };
	MUST(seal_key_open(&t->deps, t->key_file, &s, &made, &err));
	assert_false(made);
	assert_true(secret_eq(&s, &first));
	secret_done(&first);

	json_free(test_ask(t, "eab.add", "\"realm\":\"lab\",\"kid\":\"k\""));
	assert_int_equal(unlink(t->key_file), 0);
	MUST_FAIL(seal_key_open(&t->deps, t->key_file, &s, &made, &err), ERR_CONFIG, "put it back from the backup");
	assert_non_null(strstr(err.detail, t->key_file));
	assert_int_not_equal(access(t->key_file, F_OK), 0);
	put(t->key_file, "x", 1, 0600);
	err = (struct err){ 0 };
	MUST_FAIL(seal_key_open(&t->deps, t->key_file, &s, &made, &err), ERR_CONFIG, "64 hex digits");
	secret_done(&s);
}

static void a_file_of_another_store_is_told_at_start(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	struct secret s = { 0 };
	bool made = false;
	char line[LOG_LINE_MAX] = "";
	int pipe_fds[2];
	assert_int_equal(pipe2(pipe_fds, O_CLOEXEC | O_NONBLOCK), 0);
	const struct log log = {
		.program = "test", .level = LOG_INFO, .form = LOG_JSON, .fd = pipe_fds[1], .clock = &clock_system
	};
	test_open(t);
	t->deps.log = &log;
	json_free(test_ask(t, "eab.add", "\"realm\":\"lab\",\"kid\":\"k\"")); /* the server has its own copy: no line */
	MUST(seal_key_open(&t->deps, t->key_file, &s, &made, &err));
	assert_true(read(pipe_fds[0], line, sizeof line - 1) < 0); /* it opens: nothing to say */
	put(t->key_file, HEX64 "\n", 65, 0600);
	MUST(seal_key_open(&t->deps, t->key_file, &s, &made, &err));
	assert_true(read(pipe_fds[0], line, sizeof line - 1) > 0);
	assert_non_null(strstr(line, "cannot be opened"));
	fd_close(&pipe_fds[0]);
	fd_close(&pipe_fds[1]);
	secret_done(&s);
}

#define WITH(test) cmocka_unit_test_setup_teardown(test, setup_folder, teardown_admin)
int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_made_file_reads_back_and_is_never_overwritten),
		WITH(the_digits_are_the_bytes),
		WITH(other_contents_and_modes_are_refused),
		WITH(what_is_no_file_is_refused_and_holds_nobody),
		WITH(a_file_of_another_user_is_refused),
		WITH(start_makes_it_only_for_a_store_without_keys),
		WITH(a_file_of_another_store_is_told_at_start),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

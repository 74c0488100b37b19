/* SPDX-License-Identifier: Apache-2.0
 *
 * sys_test.c: ids, calendar, the keyed hash, and files that are old or new but never partial.
 */
#include "base/base.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static int64_t fake_now(void *ctx)
{
	return *(int64_t *)ctx;
}

static void fill_ones(void *ctx, void *p, size_t n)
{
	(void)ctx;
	memset(p, 0xff, n);
}

static void ids_are_uuid7_and_sort_by_time(void **state)
{
	(void)state;
	int64_t now = 0;
	const struct clock clk = { fake_now, fake_now, &now };
	const struct rng ones = { fill_ones, NULL };
	struct id before = { { 0 } };
	static const int64_t times[] = { 1, 255, 256, 65536, 1645557742000, 1795313000000, (INT64_C(1) << 48) - 1 };
	for (size_t i = 0; i < ARRAY_LEN(times); i++) {
		now = times[i];
		struct id id = id_new(&clk, i % 2 == 0 ? &ones : &rng_system);
		assert_int_equal(id.b[6] >> 4, 7);
		assert_int_equal(id.b[8] >> 6, 2);
		assert_int_equal(id_time_ms(id), now);
		assert_true(memcmp(before.b, id.b, 16) < 0);
		assert_true(strcmp(id_show(before).z, id_show(id).z) < 0);
		struct id back = { { 0 } };
		struct err err = { 0 };
		assert_int_equal(id_read(str_z(id_show(id).z), &back, &err).kind, ERR_NONE);
		assert_true(id_eq(id, back));
		before = id;
	}
	assert_true(id_is_zero((struct id){ { 0 } }));
	assert_false(id_is_zero(before));
	assert_false(id_eq(id_new(&clock_system, &rng_system), id_new(&clock_system, &rng_system)));
}

static void an_id_has_one_spelling(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		bool good;
	} rows[] = {
		{ "017f22e2-79b0-7cc3-98c4-dc0c0c07398f", true }, /* RFC 9562 A.6 */
		{ "017F22E2-79B0-7CC3-98C4-DC0C0C07398F", false },
		{ "017f22e279b07cc398c4dc0c0c07398f", false },
		{ "017f22e2-79b0-7cc3-98c4-dc0c0c07398", false },
		{ "017f22e2-79b0-7cc3-98c4-dc0c0c07398f0", false },
		{ "017f22e2-79b0-7cc3-98c4-dc0c0c07398g", false },
		{ "017f22e2_79b0-7cc3-98c4-dc0c0c07398f", false },
		{ "017f22e-279b0-7cc3-98c4-dc0c0c07398f", false },
		{ "017f22e2-79b0-4cc3-98c4-dc0c0c07398f", false }, /* version 4 */
		{ "017f22e2-79b0-7cc3-d8c4-dc0c0c07398f", false }, /* variant 11 */
		{ "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}", false },
		{ "", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct id id = { { 0 } };
		struct err err = { 0 };
		assert_int_equal(id_read(str_z(rows[i].text), &id, &err).kind, rows[i].good ? ERR_NONE : ERR_MALFORMED);
		if (rows[i].good)
			assert_string_equal(id_show(id).z, rows[i].text);
	}
	struct id id = { { 0 } };
	assert_int_equal(id_read(str_z(rows[0].text), &id, NULL).kind, ERR_NONE);
	assert_int_equal(id_time_ms(id), 0x017f22e279b0);
}

static void siphash_gives_the_reference_vectors(void **state)
{
	(void)state;
	static const struct {
		size_t n;
		uint64_t want;
	} rows[] = {
		{ 0, 0x726fdb47dd0e0e31 },  { 1, 0x74f839c593dc67fd },  { 2, 0x0d6c8009d9a94f5a },
		{ 3, 0x85676696d7fb7e2d },  { 7, 0xab0200f58b01d137 },  { 8, 0x93f5f5799a932462 },
		{ 15, 0xa129ca6149be45e5 }, { 63, 0x958a324ceb064572 },
	};
	uint8_t key[16];
	uint8_t text[64];
	for (size_t i = 0; i < sizeof key; i++)
		key[i] = (uint8_t)i;
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)i;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(hash_keyed(key, str_n(text, rows[i].n)), rows[i].want);
	assert_int_equal(hash_keyed(key, STR_NONE), rows[0].want);
	key[0] ^= 1;
	assert_int_not_equal(hash_keyed(key, STR_NONE), rows[0].want);
}

static void the_calendar_agrees_with_itself_and_with_known_days(void **state)
{
	(void)state;
	static const struct {
		int64_t unix_s;
		struct civil want;
	} rows[] = {
		{ 0, { 1970, 1, 1, 0, 0, 0 } },
		{ -1, { 1969, 12, 31, 23, 59, 59 } },
		{ 951782400, { 2000, 2, 29, 0, 0, 0 } },
		{ 951868800, { 2000, 3, 1, 0, 0, 0 } },
		{ 4107542399, { 2100, 2, 28, 23, 59, 59 } },
		{ 4107542400, { 2100, 3, 1, 0, 0, 0 } },
		{ 1795313323, { 2026, 11, 22, 2, 8, 43 } },
		{ -62167219200, { 0, 1, 1, 0, 0, 0 } },
		{ -62135596801, { 0, 12, 31, 23, 59, 59 } },
		{ 253402300799, { 9999, 12, 31, 23, 59, 59 } },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct civil got = civil_of(rows[i].unix_s);
		assert_int_equal(got.year, rows[i].want.year);
		assert_int_equal(got.month, rows[i].want.month);
		assert_int_equal(got.day, rows[i].want.day);
		assert_int_equal(got.hour, rows[i].want.hour);
		assert_int_equal(got.minute, rows[i].want.minute);
		assert_int_equal(got.second, rows[i].want.second);
		assert_int_equal(civil_unix(&got), rows[i].unix_s);
	}
	for (int64_t day = -800000; day < 800000; day += 17) {
		struct civil t = civil_of(day * 86400 + 86399);
		assert_int_equal(civil_unix(&t), day * 86400 + 86399);
		struct civil next = civil_of((day + 1) * 86400);
		assert_true(next.day == t.day + 1 || next.day == 1);
	}
}

static void the_system_clock_and_randomness_move(void **state)
{
	(void)state;
	int64_t a = clock_mono_ms(&clock_system);
	assert_true(clock_mono_ms(&clock_system) >= a);
	assert_true(clock_now_ms(&clock_system) > INT64_C(1700000000000));
	uint8_t x[300] = { 0 };
	uint8_t y[300] = { 0 };
	rng_fill(&rng_system, x, sizeof x);
	rng_fill(&rng_system, y, sizeof y);
	assert_memory_not_equal(x, y, sizeof x);
}

/* --- files, in a folder of their own -----------------------------------------------------------------------------*/

struct folder {
	char path[64];
	char file[128];
};

static int make_folder(void **state)
{
	static struct folder f;
	strcpy(f.path, "/tmp/cairn-sys-XXXXXX");
	if (mkdtemp(f.path) == NULL)
		return -1;
	(void)snprintf(f.file, sizeof f.file, "%s/file", f.path);
	*state = &f;
	return 0;
}

static size_t count_entries(const char *path)
{
	DIR *dir = opendir(path);
	assert_non_null(dir);
	size_t n = 0;
	for (struct dirent *e = readdir(dir); e != NULL; e = readdir(dir))
		n += e->d_name[0] == '.' ? 0 : 1;
	(void)closedir(dir);
	return n;
}

static int drop_folder(void **state)
{
	struct folder *f = *state;
	(void)chmod(f->path, 0700);
	(void)unlink(f->file);
	return rmdir(f->path); /* fails when something was left behind */
}

static void expect_file(const char *path, struct str want)
{
	AUTO(buf_done) struct buf b = BUF_MAX(1 << 20);
	struct err err = { 0 };
	assert_int_equal(file_read(path, 1 << 20, &b, &err).kind, ERR_NONE);
	assert_true(str_eq(buf_str(&b), want));
}

static void an_atomic_write_replaces_whole_and_leaves_nothing_beside(void **state)
{
	struct folder *f = *state;
	struct err err = { 0 };
	assert_int_equal(file_write_atomic(f->file, STR("old"), 0600, &err).kind, ERR_NONE);
	expect_file(f->file, STR("old"));
	struct stat st;
	assert_int_equal(stat(f->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(file_write_atomic(f->file, STR("new and longer"), 0644, &err).kind, ERR_NONE);
	expect_file(f->file, STR("new and longer"));
	assert_int_equal(stat(f->file, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(file_write_atomic(f->file, STR_NONE, 0600, &err).kind, ERR_NONE);
	expect_file(f->file, STR_NONE);
	assert_int_equal(count_entries(f->path), 1);
}

static void a_new_file_is_never_put_over_an_old_one(void **state)
{
	struct folder *f = *state;
	struct err err = { 0 };
	assert_int_equal(file_write_new(f->file, STR("first"), 0400, &err).kind, ERR_NONE);
	assert_int_equal(file_write_new(f->file, STR("second"), 0400, &err).kind, ERR_CONFLICT);
	expect_file(f->file, STR("first"));
	assert_int_equal(count_entries(f->path), 1);
	struct stat st;
	assert_int_equal(stat(f->file, &st), 0);
	assert_int_equal(st.st_nlink, 1);
	assert_int_equal(st.st_mode & 07777, 0400);
}

static void a_write_that_fails_half_way_leaves_the_old_file(void **state)
{
	struct folder *f = *state;
	struct err err = { 0 };
	assert_int_equal(file_write_atomic(f->file, STR("old"), 0600, &err).kind, ERR_NONE);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) { /* the file size limit is the process's: a child of its own takes it */
		static char big[100000];
		(void)signal(SIGXFSZ, SIG_IGN);
		struct rlimit small = { 4096, 4096 };
		if (setrlimit(RLIMIT_FSIZE, &small) != 0)
			_exit(2);
		struct rc rc = file_write_atomic(f->file, str_n(big, sizeof big), 0600, NULL);
		_exit(rc.kind == ERR_IO ? 0 : 1);
	}
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	expect_file(f->file, STR("old"));
	assert_int_equal(count_entries(f->path), 1);
}

static void reading_has_a_limit_and_errors_name_call_and_file(void **state)
{
	struct folder *f = *state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(100000);
	assert_int_equal(file_read(f->file, 10, &b, &err).kind, ERR_IO);
	assert_non_null(strstr(err.detail, "open "));
	assert_non_null(strstr(err.detail, f->file));
	assert_non_null(strstr(err.detail, "No such file"));
	static char body[50000];
	memset(body, 'x', sizeof body);
	assert_int_equal(file_write_new(f->file, str_n(body, sizeof body), 0600, &err).kind, ERR_NONE);
	assert_int_equal(file_read(f->file, sizeof body - 1, &b, &err).kind, ERR_IO);
	assert_non_null(strstr(err.detail, "over the limit of 49999"));
	assert_int_equal(file_read(f->file, sizeof body, &b, &err).kind, ERR_NONE);
	assert_true(str_eq(buf_str(&b), str_n(body, sizeof body)));
	assert_int_equal(file_read(f->path, 10, &b, &err).kind, ERR_IO);
	assert_non_null(strstr(err.detail, "Is a directory"));
}

static void a_folder_may_be_there_already_but_nothing_else(void **state)
{
	struct folder *f = *state;
	struct err err = { 0 };
	assert_int_equal(dir_make(f->file, 0700, &err).kind, ERR_NONE);
	assert_int_equal(dir_make(f->file, 0700, &err).kind, ERR_NONE);
	assert_int_equal(rmdir(f->file), 0);
	assert_int_equal(file_write_new(f->file, STR("x"), 0600, &err).kind, ERR_NONE);
	assert_int_equal(dir_make(f->file, 0700, &err).kind, ERR_IO);
	char deep[160];
	(void)snprintf(deep, sizeof deep, "%s/no/such", f->path);
	assert_int_equal(dir_make(deep, 0700, &err).kind, ERR_IO);
	assert_int_equal(file_write_atomic(deep, STR("x"), 0600, &err).kind, ERR_IO);
	assert_int_equal(file_write_new(deep, STR("x"), 0600, &err).kind, ERR_IO);
}

static void descriptors_write_all_and_close_once(void **state)
{
	(void)state;
	struct err err = { 0 };
	int ends[2];
	assert_int_equal(pipe(ends), 0);
	assert_int_equal(fd_write_all(ends[1], STR("hello"), &err).kind, ERR_NONE);
	char got[8] = { 0 };
	assert_int_equal(read(ends[0], got, sizeof got), 5);
	assert_string_equal(got, "hello");
	int old = ends[1];
	errno = ERANGE;
	fd_close(&ends[1]);
	assert_int_equal(errno, ERANGE);
	assert_int_equal(ends[1], -1);
	fd_close(&ends[1]);
	fd_close(NULL);
	assert_int_equal(fcntl(old, F_GETFD), -1);
	assert_int_equal(fd_write_all(old, STR("x"), &err).kind, ERR_IO);
	fd_close(&ends[0]);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, drop_folder)

static void a_moment_from_now_is_that_far_off(void **state)
{
	static const int64_t waits[] = { -5, 0, 1, 999, 1000, 1001, 86400000 };
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(waits); i++) {
		int64_t before = clock_mono_ms(&clock_system);
		const struct timespec t = mono_after_ms(waits[i]);
		int64_t at = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000, wait = waits[i] < 0 ? 0 : waits[i];
		assert_true(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
		assert_true(at >= before + wait && at <= clock_mono_ms(&clock_system) + wait);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_moment_from_now_is_that_far_off),
		cmocka_unit_test(ids_are_uuid7_and_sort_by_time),
		cmocka_unit_test(an_id_has_one_spelling),
		cmocka_unit_test(siphash_gives_the_reference_vectors),
		cmocka_unit_test(the_calendar_agrees_with_itself_and_with_known_days),
		cmocka_unit_test(the_system_clock_and_randomness_move),
		IN_FOLDER(an_atomic_write_replaces_whole_and_leaves_nothing_beside),
		IN_FOLDER(a_new_file_is_never_put_over_an_old_one),
		IN_FOLDER(a_write_that_fails_half_way_leaves_the_old_file),
		IN_FOLDER(reading_has_a_limit_and_errors_name_call_and_file),
		IN_FOLDER(a_folder_may_be_there_already_but_nothing_else),
		cmocka_unit_test(descriptors_write_all_and_close_once),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * frames_test.c: frames whole, in pieces and broken; sockets fresh, stale, served and in the way.
 */
#include "net/frames.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// clang-format off
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
// clang-format on

#define HEAD "CF\x01\x07"

static void frames_come_out_as_they_went_in(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf out = BUF_MAX(1024);
	assert_false(FAILED(frame_add(&out, 7, STR("one"), NULL)));
	assert_false(FAILED(frame_add(&out, 255, STR_NONE, NULL)));
	assert_int_equal(out.n, 2 * FRAME_HEAD + 3);
	assert_memory_equal(out.p, "CF\x01\x07\0\0\0\x03one", 11);
	struct frame f = { 0 };
	size_t used = 0;
	assert_false(FAILED(frame_read(buf_str(&out), &f, &used, NULL)));
	assert_int_equal(used, FRAME_HEAD + 3);
	assert_int_equal(f.type, 7);
	assert_true(str_eq(f.body, STR("one")));
	assert_false(FAILED(frame_read(str_sub(buf_str(&out), used, out.n), &f, &used, NULL)));
	assert_int_equal(used, FRAME_HEAD);
	assert_int_equal(f.type, 255);
	assert_int_equal(f.body.n, 0);
}

static void every_cut_of_a_frame_asks_for_more(void **state)
{
	(void)state;
	static const char whole[] = HEAD "\0\0\0\x05hello";
	for (size_t n = 0; n < FRAME_HEAD + 5; n++) {
		char *cut = (char *)malloc(n + 1); /* exact on the heap, for the sanitizer */
		memcpy(cut, whole, n);
		struct frame f = { 0 };
		size_t used = 99;
		assert_false(FAILED(frame_read(str_n(cut, n), &f, &used, NULL)));
		assert_int_equal(used, 0);
		assert_null(f.body.p);
		free(cut);
	}
}

static void broken_heads_are_refused_at_once(void **state)
{
	(void)state;
	static const struct {
		struct str in;
		const char *says;
	} rows[] = {
		{ { "G", 1 }, "byte 0 is 0x47" },
		{ { "CX", 2 }, "byte 1 is 0x58" },
		{ { "CF\x02", 3 }, "byte 2 is 0x02, wanted 0x01" },
		{ { "\xff", 1 }, "byte 0 is 0xff" },
		{ { HEAD "\0\xc0\0\x01", 8 }, "frame of 12582913 bytes" },
		{ { HEAD "\xff\xff\xff\xff", 8 }, "frame of 4294967295 bytes" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct frame f = { 0 };
		size_t used = 99;
		assert_int_equal(frame_read(rows[i].in, &f, &used, &err).kind, ERR_MALFORMED);
		if (strstr(err.detail, rows[i].says) == NULL)
			fail_msg("row %zu says: %s", i, err.detail);
	}
}

static void the_largest_body_passes_and_one_more_does_not(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf out = BUF_MAX(4 * FRAME_BODY_MAX);
	char *body = (char *)calloc(1, FRAME_BODY_MAX + 1);
	assert_false(FAILED(frame_add(&out, 1, str_n(body, FRAME_BODY_MAX), NULL)));
	struct frame f = { 0 };
	size_t used = 0;
	assert_false(FAILED(frame_read(buf_str(&out), &f, &used, NULL)));
	assert_int_equal(f.body.n, FRAME_BODY_MAX);
	assert_int_equal(frame_add(&out, 1, str_n(body, FRAME_BODY_MAX + 1), NULL).kind, ERR_TOO_LARGE);
	assert_int_equal(out.n, used);
	free(body);
}

static void a_full_buffer_takes_no_part_of_a_frame(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf out = BUF_MAX(FRAME_HEAD + 3);
	assert_int_equal(frame_add(&out, 1, STR("four"), NULL).kind, ERR_TOO_LARGE);
	assert_int_equal(out.n, 0);
	assert_false(FAILED(frame_add(&out, 1, STR("all"), NULL)));
}

/* --- sockets -----------------------------------------------------------------------------------------------------*/

struct place {
	char folder[64];
	char path[96];
};

static void place_make(struct place *at)
{
	(void)snprintf(at->folder, sizeof at->folder, "/tmp/frames-test-XXXXXX");
	assert_non_null(mkdtemp(at->folder));
	(void)snprintf(at->path, sizeof at->path, "%s/s", at->folder);
}

static void place_remove(const struct place *at)
{
	(void)unlink(at->path);
	assert_int_equal(rmdir(at->folder), 0);
}

static void a_listener_has_its_mode_whatever_the_umask(void **state)
{
	(void)state;
	static const mode_t modes[] = { 0600, 0660, 0666 };
	struct place at;
	place_make(&at);
	for (size_t i = 0; i < ARRAY_LEN(modes); i++) {
		int fd = -1;
		mode_t before = umask(0077);
		assert_false(FAILED(unix_listen(at.path, modes[i], &fd, NULL)));
		(void)umask(before);
		struct stat st;
		assert_int_equal(lstat(at.path, &st), 0);
		assert_int_equal(st.st_mode & 07777, modes[i]);
		assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
		assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
		fd_close(&fd); /* leaves a stale file, which the next round replaces */
	}
	place_remove(&at);
}

static void both_ends_know_each_other(void **state)
{
	(void)state;
	struct place at;
	place_make(&at);
	int listener = -1;
	int client = -1;
	assert_false(FAILED(unix_listen(at.path, 0600, &listener, NULL)));
	assert_false(FAILED(unix_connect(at.path, &client, NULL)));
	int server = accept(listener, NULL, NULL);
	assert_true(server >= 0);
	const int ends[] = { client, server };
	for (size_t i = 0; i < ARRAY_LEN(ends); i++) {
		uid_t uid = (uid_t)-1;
		pid_t pid = -1;
		assert_false(FAILED(unix_peer(ends[i], &uid, &pid, NULL)));
		assert_int_equal(uid, geteuid());
		assert_int_equal(pid, getpid());
	}
	fd_close(&client);
	fd_close(&server);
	fd_close(&listener);
	place_remove(&at);
}

static void a_served_path_is_refused_and_stays_served(void **state)
{
	(void)state;
	struct place at;
	place_make(&at);
	int first = -1;
	int second = -1;
	int client = -1;
	struct err err = { 0 };
	assert_false(FAILED(unix_listen(at.path, 0600, &first, NULL)));
	assert_int_equal(unix_listen(at.path, 0600, &second, &err).kind, ERR_CONFIG);
	assert_non_null(strstr(err.detail, "served by another process"));
	assert_int_equal(second, -1);
	assert_false(FAILED(unix_connect(at.path, &client, NULL)));
	fd_close(&client);
	fd_close(&first);
	place_remove(&at);
}

static void what_is_no_socket_is_not_removed(void **state)
{
	(void)state;
	struct place at;
	place_make(&at);
	int fd = open(at.path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_true(fd >= 0);
	fd_close(&fd);
	struct err err = { 0 };
	assert_int_equal(unix_listen(at.path, 0600, &fd, &err).kind, ERR_CONFIG);
	assert_non_null(strstr(err.detail, "is no socket"));
	assert_int_equal(access(at.path, F_OK), 0);
	place_remove(&at);
}

static void bad_paths_are_refused(void **state)
{
	(void)state;
	char too_long[200];
	memset(too_long, 'a', sizeof too_long - 1);
	too_long[sizeof too_long - 1] = '\0';
	int fd = -1;
	assert_int_equal(unix_listen("", 0600, &fd, NULL).kind, ERR_CONFIG);
	assert_int_equal(unix_listen(too_long, 0600, &fd, NULL).kind, ERR_CONFIG);
	assert_int_equal(unix_connect(too_long, &fd, NULL).kind, ERR_CONFIG);
	assert_int_equal(unix_listen("/nowhere/at/all", 0600, &fd, NULL).kind, ERR_IO);
	assert_int_equal(unix_connect("/nowhere/at/all", &fd, NULL).kind, ERR_IO);
	assert_int_equal(fd, -1);
	uid_t uid = 0;
	pid_t pid = 0;
	assert_int_equal(unix_peer(-1, &uid, &pid, NULL).kind, ERR_IO);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_come_out_as_they_went_in),
		cmocka_unit_test(every_cut_of_a_frame_asks_for_more),
		cmocka_unit_test(broken_heads_are_refused_at_once),
		cmocka_unit_test(the_largest_body_passes_and_one_more_does_not),
		cmocka_unit_test(a_full_buffer_takes_no_part_of_a_frame),
		cmocka_unit_test(a_listener_has_its_mode_whatever_the_umask),
		cmocka_unit_test(both_ends_know_each_other),
		cmocka_unit_test(a_served_path_is_refused_and_stays_served),
		cmocka_unit_test(what_is_no_socket_is_not_removed),
		cmocka_unit_test(bad_paths_are_refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * server_test.c: both halves over a real socket: who may come, what is said to whom may not, and that neither a slow, a
 * silent nor a talkative peer keeps the others waiting.
 */
#include "admin/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#define LIST "{\"v\":1,\"do\":\"eab.list\"}"
#define SHOW_NOPE "{\"v\":1,\"do\":\"eab.show\",\"kid\":\"nope\"}"
#define LONG_MS 20000

static void serve(struct test_admin *t, unsigned connections, int64_t request_ms, int64_t answer_ms)
{
	struct err err = { 0 };
	const struct admin_limits limits = { .connections = connections,
					     .request_ms = request_ms,
					     .answer_ms = answer_ms };
	MUST(admin_serve(t->admin, t->socket, &limits, &err));
}

static int64_t now_ms(void)
{
	return clock_mono_ms(&clock_system);
}

static int connect_raw(const struct test_admin *t)
{
	struct err err = { 0 };
	int fd = -1;
	MUST(unix_connect(t->socket, &fd, &err));
	return fd;
}

static void send_raw(int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);
		struct pollfd p = { .fd = fd, .events = POLLOUT };
		if (sent < 0 && errno != EAGAIN)
			return; /* the other side has heard enough */
		if (sent < 0)
			assert_true(poll(&p, 1, LONG_MS) == 1);
		bytes += sent > 0 ? sent : 0;
		n -= sent > 0 ? (size_t)sent : 0;
	}
}

static void send_frame(int fd, uint8_t type, struct str body)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf out = BUF_MAX(FRAME_HEAD + FRAME_BODY_MAX);
	MUST(frame_add(&out, type, body, &err));
	send_raw(fd, out.p, out.n);
}

/* What the server says to this connection. */
static struct json *receive_raw(int fd)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf in = BUF_MAX(2 * (FRAME_HEAD + ADMIN_ANSWER_MAX));
	struct json *answer = NULL;
	struct str text = STR_NONE;
	const struct wire w = { .fd = fd, .stop_fd = -1, .deadline_ms = now_ms() + LONG_MS, .clk = &clock_system };
	MUST(wire_receive(&w, ADMIN_ANSWER, ADMIN_ANSWER_MAX, &in, &text, &err));
	MUST(json_read(text, ADMIN_ANSWER_MAX, &answer, &err));
	return answer;
}

static fallible call(const struct test_admin *t, const char *request, struct json **ret, struct err *err)
{
	return admin_call(t->socket, str_z(request), LONG_MS, ret, err);
}

static void assert_served(const struct test_admin *t)
{
	struct err err = { 0 };
	AUTO(json_auto) struct json *answer = NULL;
	MUST(call(t, LIST, &answer, &err));
	assert_true(json_get(answer, "keys") != NULL);
}

/* --- the ordinary way -----------------------------------------------------------------------------------------------*/
static void a_question_gets_its_answer_or_its_refusal(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	AUTO(json_auto) struct json *answer = NULL;
	serve(t, 16, LONG_MS, LONG_MS);
	for (int i = 0; i < 20; i++)
		assert_served(t);
	MUST_FAIL(call(t, SHOW_NOPE, &answer, &err), ERR_NOT_FOUND, "there is no external account key \"nope\"");
	MUST_FAIL(call(t, "{}", &answer, &err), ERR_MALFORMED, "\"v\"");
}

static void *call_often(void *arg)
{
	for (int i = 0; i < 25; i++)
		assert_served(arg);
	return NULL;
}

static void commands_at_once_are_all_served(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	pthread_t threads[4];
	serve(t, 16, LONG_MS, LONG_MS);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_create(&threads[i], NULL, call_often, t), 0);
	for (size_t i = 0; i < ARRAY_LEN(threads); i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static void the_longest_answer_and_request_pass(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	char label[62];
	memset(label, 'x', sizeof label);
	serve(t, 16, LONG_MS, LONG_MS);
	for (int i = 0; i < 21; i++) {
		AUTO(json_auto) struct json *added = NULL;
		AUTO(buf_done) struct buf rq = BUF_MAX(ADMIN_REQUEST_MAX);
		MUST(buf_addf(&rq, &err, "{\"v\":1,\"do\":\"eab.add\",\"realm\":\"lab\",\"kid\":\"k%02d\",\"names\":[",
			      i));
		for (int n = 0; n < EAB_NAMES_MAX; n++)
			MUST(buf_addf(&rq, &err, "%s\"n%02d%.*s.%.*sx.%.*sx.%.*s\"", n == 0 ? "" : ",", n, 60, label,
				      62, label, 62, label, 61, label));
		MUST(buf_add(&rq, STR("]}"), &err));
		assert_true(rq.n > 25000);
		MUST(admin_call(t->socket, buf_str(&rq), LONG_MS, &added, &err));
		assert_int_equal(json_count(json_get(added, "names")), EAB_NAMES_MAX);
		assert_int_equal(test_str(added, "hmacKey").n, 43);
	}
	AUTO(json_auto) struct json *list = NULL;
	MUST(call(t, LIST, &list, &err));
	assert_int_equal(json_count(json_get(list, "keys")), 20);
	ASSERT_STR(test_str(list, "after"), "k19");
	/* The same with nobody who reads it: the server gives up in time and serves the others meanwhile. */
	test_close(t);
	test_open(t);
	serve(t, 16, LONG_MS, 300);
	int fd = connect_raw(t);
	send_frame(fd, ADMIN_REQUEST, STR(LIST));
	assert_served(t);
	int64_t before = now_ms();
	admin_free(t->admin);
	t->admin = NULL;
	assert_true(now_ms() - before < 5000);
	fd_close(&fd);
}

/* --- the socket -----------------------------------------------------------------------------------------------------*/
static void the_socket_is_the_users_own_and_goes_with_the_server(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	struct stat st;
	int stale = -1;
	MUST(unix_listen(t->socket, 0666, &stale, &err));
	fd_close(&stale);
	serve(t, 16, LONG_MS, LONG_MS); /* takes the place of one that nobody serves */
	assert_int_equal(stat(t->socket, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	struct admin *second = NULL;
	MUST(admin_new(&t->deps, test_conf(T_CONF), &second, &err));
	MUST_FAIL(admin_serve(second, t->socket, &admin_limits_default, &err), ERR_CONFIG, "served by another process");
	admin_free(second);
	assert_served(t); /* the loser has not taken it away */
	test_close(t);
	assert_int_not_equal(access(t->socket, F_OK), 0);
}

static void a_folder_that_everybody_may_write_to_is_refused(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	assert_int_equal(chmod(t->folder, 01777), 0);
	MUST_FAIL(admin_serve(t->admin, t->socket, &admin_limits_default, &err), ERR_CONFIG,
		  "everybody may write to the folder");
	assert_int_not_equal(access(t->socket, F_OK), 0);
	assert_int_equal(chmod(t->folder, 0700), 0);
}

static void a_path_that_cannot_be_is_refused(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	char path[256];
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	MUST_FAIL(admin_serve(t->admin, path, &admin_limits_default, &err), ERR_CONFIG, "at most 107");
	MUST_FAIL(admin_serve(t->admin, "/no/such/folder/s", &admin_limits_default, &err), ERR_IO, "/no/such/folder");
}

/* --- who may --------------------------------------------------------------------------------------------------------*/
/* The call as another user, in a process of its own; its failure's kind and text come back. */
static void call_as(const struct test_admin *t, uid_t uid, enum err_kind want, const char *says)
{
	int status = 0;
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct err err = { 0 };
		struct json *answer = NULL;
		if (setresuid(uid, uid, uid) != 0)
			_exit(2);
		struct rc rc = call(t, LIST, &answer, &err);
		if (rc.kind != want || strstr(err.detail, says) == NULL)
			(void)fprintf(stderr, "found %s \"%s\"\n", err_kind_name(rc.kind), err.detail);
		_exit(rc.kind == want && strstr(err.detail, says) != NULL ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

static void another_user_is_kept_out_by_the_mode_and_by_who_he_is(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	if (geteuid() != 0)
		skip();
	serve(t, 16, LONG_MS, LONG_MS);
	call_as(t, 65534, ERR_UNAUTHORIZED, "permission denied: be root or");
	assert_int_equal(chmod(t->folder, 0711), 0);
	call_as(t, 65534, ERR_UNAUTHORIZED, "permission denied: be root or");
	assert_int_equal(chmod(t->socket, 0666), 0);
	call_as(t, 65534, ERR_UNAUTHORIZED, "uid 65534");
	call_as(t, 65534, ERR_UNAUTHORIZED, "may not use the admin socket; allowed: root and uid 0");
	call_as(t, 0, ERR_NONE, "");
	assert_served(t);
}

/* The whole server in a process of its own that is this user, until `hold` is closed. */
static void serve_as(struct test_admin *t, uid_t uid, int ready, int hold)
{
	char byte = 0;
	if (setresuid(uid, uid, uid) != 0)
		_exit(2);
	test_open(t);
	serve(t, 16, LONG_MS, LONG_MS);
	if (write(ready, &byte, 1) != 1 || read(hold, &byte, 1) != 0)
		_exit(3);
	test_close(t);
	_exit(0);
}

static void root_is_served_by_an_api_of_any_user(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	int ready[2];
	int hold[2];
	int status = 0;
	char byte;
	if (geteuid() != 0)
		skip();
	assert_int_equal(chown(t->folder, 65534, 65534), 0);
	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		fd_close(&hold[1]);
		serve_as(t, 65534, ready[1], hold[0]);
	}
	fd_close(&ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	assert_served(t);
	call_as(t, 65534, ERR_NONE, "");
	assert_int_equal(chmod(t->folder, 0711), 0);
	assert_int_equal(chmod(t->socket, 0666), 0);
	call_as(t, 1, ERR_UNAUTHORIZED, "uid 1 ");
	call_as(t, 1, ERR_UNAUTHORIZED, "allowed: root and uid 65534");
	fd_close(&hold[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	fd_close(&hold[0]);
	fd_close(&ready[0]);
}

static void a_folder_of_another_user_is_told_by_his_name(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	if (geteuid() != 0)
		skip();
	serve(t, 16, LONG_MS, LONG_MS);
	assert_int_equal(chown(t->folder, 1, 1), 0); /* daemon, on every Unix */
	call_as(t, 65534, ERR_UNAUTHORIZED, "sudo -u daemon cairn");
	assert_int_equal(chown(t->folder, 0, 0), 0);
}

/* --- what comes over the wire ---------------------------------------------------------------------------------------*/
static void what_is_no_frame_is_answered_and_ends(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	static const struct {
		struct str bytes;
		const char *kind, *says;
	} rows[] = {
		{ { "GET / HTTP/1.1\r\n", 16 }, "malformed", "frame byte 0" },
		{ { "CF\x02\x01\0\0\0\0", 8 }, "malformed", "frame byte 2" },
		{ { "CF\x01\x02\0\0\0\x02{}", 10 }, "malformed", "type 2, wanted 1" },
		{ { "CF\x01\x01\0\0\0\x02{}x", 11 }, "malformed", "1 bytes behind the frame" },
		{ { "CF\x01\x01\xff\xff\xff\xff", 8 }, "malformed", "over the limit" },
		{ { "CF\x01\x01\0\0\0\0", 8 }, "malformed", "" },
		{ { "CF\x01\x01\0\0\0\x01\0", 9 }, "malformed", "" },
	};
	serve(t, 16, LONG_MS, LONG_MS);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = connect_raw(t);
		char more;
		send_raw(fd, rows[i].bytes.p, rows[i].bytes.n);
		AUTO(json_auto) struct json *answer = receive_raw(fd);
		assert_refused(answer, rows[i].kind, rows[i].says);
		assert_true(recv(fd, &more, 1, 0) <= 0); /* one request a connection */
		fd_close(&fd);
	}
	assert_served(t);
}

static void a_request_that_is_too_large_is_refused(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	serve(t, 16, LONG_MS, LONG_MS);
	for (size_t n = ADMIN_REQUEST_MAX; n <= ADMIN_REQUEST_MAX + 1; n++) {
		AUTO(json_auto) struct json *answer = NULL;
		char *body = (char *)mem_alloc(n);
		int fd = connect_raw(t);
		memset(body, ' ', n);
		memcpy(body, LIST, strlen(LIST));
		send_frame(fd, ADMIN_REQUEST, str_n(body, n));
		answer = receive_raw(fd);
		if (n == ADMIN_REQUEST_MAX)
			assert_true(test_bool(answer, "ok"));
		else
			assert_refused(answer, err_kind_name(ERR_TOO_LARGE), "65536");
		fd_close(&fd);
		free(body);
	}
}

static void who_hangs_up_early_harms_nobody(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	serve(t, 2, LONG_MS, LONG_MS);
	for (int i = 0; i < 20; i++) {
		int fd = connect_raw(t);
		if (i % 3 == 1)
			send_raw(fd, "CF\x01", 3);
		if (i % 3 == 2)
			send_frame(fd, ADMIN_REQUEST, STR(LIST));
		fd_close(&fd);
		struct err err = { 0 };
		AUTO(json_auto) struct json *answer = NULL;
		int64_t until = now_ms() + LONG_MS; /* its seat is free again in a moment */
		while (call(t, LIST, &answer, &err).kind == ERR_UNAVAILABLE && now_ms() < until)
			(void)poll(NULL, 0, 1);
		assert_true(answer != NULL);
	}
}

/* One byte every so often would keep a limit on silence busy for ever; this one is on the whole. */
static void a_slow_client_is_told_and_keeps_nobody_waiting(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	serve(t, 16, 400, LONG_MS);
	int fd = connect_raw(t);
	int64_t began = now_ms();
	const char request[] = "CF\x01\x01\0\0\0\x10";
	struct pollfd p = { .fd = fd, .events = POLLIN };
	for (size_t i = 0; i < sizeof request - 1 && poll(&p, 1, 100) == 0; i++) {
		send_raw(fd, request + i, 1);
		assert_served(t);
	}
	AUTO(json_auto) struct json *answer = receive_raw(fd);
	assert_refused(answer, "timeout", "took too long");
	assert_true(now_ms() - began >= 400);
	assert_true(now_ms() - began < 10000);
	fd_close(&fd);
}

static void one_too_many_is_told_and_comes_in_when_there_is_room(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	AUTO(json_auto) struct json *answer = NULL;
	serve(t, 2, LONG_MS, LONG_MS);
	int one = connect_raw(t);
	int two = connect_raw(t);
	MUST_FAIL(call(t, LIST, &answer, &err), ERR_UNAVAILABLE, "2 commands are served already");
	fd_close(&one);
	int64_t until = now_ms() + LONG_MS;
	struct rc rc;
	do {
		err = (struct err){ 0 };
		rc = call(t, LIST, &answer, &err);
	} while (rc.kind == ERR_UNAVAILABLE && now_ms() < until && poll(NULL, 0, 5) == 0);
	MUST(rc);
	fd_close(&two);
}

static void the_end_does_not_wait_for_the_silent(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	serve(t, 16, 60000, 60000);
	int fd = connect_raw(t);
	AUTO(json_auto) struct json *answer = NULL;
	assert_served(t); /* the silent one is in by now */
	int64_t before = now_ms();
	admin_free(t->admin);
	t->admin = NULL;
	assert_true(now_ms() - before < 5000);
	answer = receive_raw(fd);
	assert_refused(answer, "closed", "the program stops");
	fd_close(&fd);
}

/* --- the client and what is no cairn-api ----------------------------------------------------------------------------*/
static void nobody_there_is_said_with_the_path(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	struct err err = { 0 };
	AUTO(json_auto) struct json *answer = NULL;
	int fd = -1;
	MUST_FAIL(call(t, LIST, &answer, &err), ERR_UNAVAILABLE,
		  "cairn-api is not running, or api.admin-socket is elsewhere: ");
	assert_non_null(strstr(err.detail, t->socket));
	MUST(unix_listen(t->socket, 0600, &fd, &err));
	fd_close(&fd); /* left behind by a kill -9 */
	err = (struct err){ 0 };
	MUST_FAIL(call(t, LIST, &answer, &err), ERR_UNAVAILABLE, "cairn-api is not running");
	assert_non_null(strstr(err.cause, "refused"));
}

struct impostor { /* accepts one connection, and says this */
	int listen_fd;
	struct str says;
};

static void *impostor_main(void *arg)
{
	const struct impostor *im = arg;
	struct pollfd p = { .fd = im->listen_fd, .events = POLLIN };
	if (poll(&p, 1, LONG_MS) != 1)
		return NULL;
	int fd = accept4(im->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	char bytes[256];
	struct pollfd q = { .fd = fd, .events = POLLIN };
	if (poll(&q, 1, LONG_MS) == 1)
		(void)!recv(fd, bytes, sizeof bytes, 0);
	if (im->says.n > 0)
		send_raw(fd, im->says.p, im->says.n);
	else
		(void)poll(NULL, 0, 400); /* says nothing, longer than the client waits */
	fd_close(&fd);
	return NULL;
}

static void what_is_no_answer_is_told(void **state)
{
	struct test_admin *t = (struct test_admin *)*state;
	static const struct {
		struct str says;
		enum err_kind kind;
		const char *text;
	} rows[] = {
		{ { "x", 1 }, ERR_MALFORMED, "no answer, so whether it was done is not known: frame byte 0" },
		{ { "CF\x01", 3 }, ERR_CLOSED, "not known: the other side ended the connection after 3 bytes" },
		{ { "CF\x01\x01\0\0\0\x02{}", 10 }, ERR_MALFORMED, "type 1, wanted 2" },
		{ { "CF\x01\x02\0\0\0\x02{}", 10 }, ERR_MALFORMED, "\"v\"" },
		{ { "CF\x01\x02\0\0\0\x07{\"v\":2}", 15 }, ERR_MALFORMED, "\"v\" is 2" },
		{ { "CF\x01\x02\0\0\0\x07{\"v\":1}", 15 }, ERR_MALFORMED, "\"kind\"" },
		{ { NULL, 0 }, ERR_TIMEOUT, "took too long" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(json_auto) struct json *answer = NULL;
		struct impostor im = { .listen_fd = -1, .says = rows[i].says };
		pthread_t thread;
		MUST(unix_listen(t->socket, 0600, &im.listen_fd, &err));
		assert_int_equal(pthread_create(&thread, NULL, impostor_main, &im), 0);
		MUST_FAIL(admin_call(t->socket, STR(LIST), rows[i].says.n == 0 ? 200 : LONG_MS, &answer, &err),
			  rows[i].kind, rows[i].text);
		assert_int_equal(pthread_join(thread, NULL), 0);
		fd_close(&im.listen_fd);
	}
}

#define WITH_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup_folder, teardown_admin)
#define WITH(test) cmocka_unit_test_setup_teardown(test, setup_admin, teardown_admin)
int main(void)
{
	const struct CMUnitTest tests[] = {
		WITH(a_question_gets_its_answer_or_its_refusal),
		WITH(commands_at_once_are_all_served),
		WITH(the_longest_answer_and_request_pass),
		WITH(the_socket_is_the_users_own_and_goes_with_the_server),
		WITH(a_folder_that_everybody_may_write_to_is_refused),
		WITH(a_path_that_cannot_be_is_refused),
		WITH(another_user_is_kept_out_by_the_mode_and_by_who_he_is),
		WITH_FOLDER(root_is_served_by_an_api_of_any_user),
		WITH(a_folder_of_another_user_is_told_by_his_name),
		WITH(what_is_no_frame_is_answered_and_ends),
		WITH(a_request_that_is_too_large_is_refused),
		WITH(who_hangs_up_early_harms_nobody),
		WITH(a_slow_client_is_told_and_keeps_nobody_waiting),
		WITH(one_too_many_is_told_and_comes_in_when_there_is_room),
		WITH(the_end_does_not_wait_for_the_silent),
		WITH(nobody_there_is_said_with_the_path),
		WITH(what_is_no_answer_is_told),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

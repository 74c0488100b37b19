/* SPDX-License-Identifier: Apache-2.0
 *
 * proc_test.c: real processes. The supervisor runs in a child of the test, its children are this program again, started
 * as a "role"; each writes what happens to it into one file, a line an event.
 */
#include "proc/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define PATIENCE_MS 20000 /* the machine may be busy */

/* --- the role --- */

struct role {
	const char *name, *file;
	int stop[2]; /* the stop call writes, main reads */
	bool stubborn;
};

static void note(const struct role *r, const char *event)
{
	char line[128];
	int n = snprintf(line, sizeof line, "%s %s %ld\n", r->name, event, (long)getpid());
	int fd = open(r->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, line, (size_t)n) != n)
		_exit(9);
	(void)close(fd);
}

static void role_stop(void *ctx, unsigned times)
{
	const struct role *r = ctx;
	note(r, times == 1 ? "stop" : "stop-again");
	if (!r->stubborn && write(r->stop[1], "x", 1) != 1)
		_exit(9);
}

static void role_reload(void *ctx)
{
	note(ctx, "reload");
}

/* Sends its own name to whoever connects to the first socket. */
static void role_serve(const struct role *r, const struct proc_fd *fds, size_t count)
{
	for (;;) {
		struct pollfd p[2] = { { .fd = r->stop[0], .events = POLLIN },
				       { .fd = count > 0 ? fds[0].fd : -1, .events = POLLIN } };
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			_exit(9);
		if (p[0].revents != 0)
			return;
		if (p[1].revents == 0)
			continue;
		int c = accept4(fds[0].fd, NULL, NULL, SOCK_CLOEXEC);
		if (c >= 0) {
			(void)dprintf(c, "%.*s", STR_FMT(fds[0].name));
			(void)close(c);
		}
	}
}

static int role_main(const char *name, const char *file, const char *how)
{
	struct role r = { .name = name, .file = file, .stubborn = strcmp(how, "stubborn") == 0 };
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	struct proc_fd *fds = NULL;
	size_t count = 0;
	struct proc_signals *signals = NULL;
	int ready = -1;
	if (strcmp(how, "fail") == 0)
		return 3;
	if (pipe2(r.stop, O_CLOEXEC) != 0)
		return 9;
	const struct proc_signal_calls calls = { role_stop, role_reload, &r };
	if (FAILED(proc_listen_fds(&mem, &fds, &count, &err)) || FAILED(proc_signals_start(&calls, &signals, &err)))
		return 8;
	if (getenv("NOTIFY_SOCKET") != NULL || getenv("LISTEN_FDS") != NULL)
		return 7;
	note(&r, "ready");
	if (FAILED(proc_ready_open(&ready, &err)) || FAILED(proc_ready_say(&ready, &err)))
		return 6;
	role_serve(&r, fds, count);
	note(&r, "end");
	proc_signals_free(signals);
	return 0;
}

/* --- the world of one test --- */

struct world {
	char dir[32];
	char file[64];
	pid_t supervisor;
	bool bad_reload;
};

static void world_init(struct world *w)
{
	*w = (struct world){ .dir = "/tmp/cairn-proc-XXXXXX" };
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->file, sizeof w->file, "%s/log", w->dir);
}

static void world_done(struct world *w)
{
	(void)unlink(w->file);
	assert_int_equal(rmdir(w->dir), 0);
}

static fallible refuse_reload(void *ctx, struct err *err)
{
	const struct world *w = ctx;
	if (w->bad_reload)
		FAIL(err, ERR_CONFIG, "c:1:1: bad");
	return OK;
}

/* hows: one word a child, "" for none more. Exit: 0 OK, 5 ERR_CLOSED, 9 else. */
static void world_start(struct world *w, const char *const hows[3], const struct proc_pass *pass, int64_t stop_ms)
{
	w->supervisor = fork();
	assert_true(w->supervisor >= 0);
	if (w->supervisor > 0)
		return;
	static const char *const names[3] = { "a", "b", "c" };
	const char *argv[3][6];
	struct child_spec children[3];
	size_t n = 0;
	for (; n < 3 && hows[n][0] != '\0'; n++) {
		const char *const row[6] = { "/proc/self/exe", "role", names[n], w->file, hows[n], NULL };
		memcpy(argv[n], row, sizeof row);
		children[n] = (struct child_spec){ .name = names[n], .argv = argv[n], .critical = true };
	}
	children[0].pass = pass;
	children[0].pass_count = pass == NULL ? 0 : 1;
	struct supervisor_spec spec = { .children = children,
					.count = n,
					.clock = &clock_system,
					.reload = refuse_reload,
					.ctx = w,
					.stop_ms = stop_ms,
					.backoff_ms = 10,
					.backoff_max_ms = 50 };
	struct err err = { 0 };
	struct rc rc = supervise(&spec, &err);
	_exit(rc.kind == ERR_NONE ? 0 : rc.kind == ERR_CLOSED ? 5 : 9);
}

static size_t count_of(const struct world *w, const char *word)
{
	AUTO(buf_done) struct buf text = BUF_MAX(65536);
	if (FAILED(file_read(w->file, 65536, &text, NULL)) || FAILED(buf_add_char(&text, '\0', NULL)))
		return 0;
	size_t n = 0;
	for (const char *p = text.p; (p = strstr(p, word)) != NULL; p++)
		n++;
	return n;
}

static void wait_for(const struct world *w, const char *word, size_t count)
{
	for (int i = 0; i < PATIENCE_MS / 10; i++) {
		if (count_of(w, word) >= count)
			return;
		(void)usleep(10000);
	}
	fail_msg("%s did not come %zu times", word, count);
}

/* The number at the end of the last line that begins with these words. */
static pid_t pid_of(const struct world *w, const char *words)
{
	AUTO(buf_done) struct buf text = BUF_MAX(65536);
	assert_false(FAILED(file_read(w->file, 65536, &text, NULL)));
	assert_false(FAILED(buf_add_char(&text, '\0', NULL)));
	const char *at = NULL;
	for (const char *p = text.p; (p = strstr(p, words)) != NULL; p++)
		at = p;
	assert_non_null(at);
	return (pid_t)strtol(at + strlen(words), NULL, 10);
}

static int world_wait(const struct world *w)
{
	for (int i = 0; i < PATIENCE_MS / 10; i++) {
		int status = 0;
		if (waitpid(w->supervisor, &status, WNOHANG) == w->supervisor)
			return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
		(void)usleep(10000);
	}
	(void)kill(w->supervisor, SIGKILL);
	fail_msg("the supervisor did not end");
	return -1;
}

static void assert_log(const struct world *w, const char *const *events)
{
	AUTO(buf_done) struct buf text = BUF_MAX(65536);
	assert_false(FAILED(file_read(w->file, 65536, &text, NULL)));
	struct str rest = buf_str(&text);
	for (; *events != NULL; events++) {
		assert_true(rest.n > 0);
		struct str line = str_sub(rest, 0, str_find(rest, '\n', 0));
		if (!str_starts(line, str_z(*events)))
			fail_msg("found %.*s, wanted %s", STR_FMT(line), *events);
		rest = str_sub(rest, line.n + 1, rest.n);
	}
	assert_int_equal(rest.n, 0);
}

/* --- tests --- */

static void children_are_stopped_one_after_the_other(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	world_start(&w, (const char *const[3]){ "good", "good", "good" }, NULL, 0);
	wait_for(&w, "ready", 3);
	(void)unlink(w.file); /* who was ready first is chance */
	assert_int_equal(kill(w.supervisor, SIGTERM), 0);
	assert_int_equal(world_wait(&w), 0);
	assert_log(&w, (const char *const[]){ "a stop", "a end", "b stop", "b end", "c stop", "c end", NULL });
	world_done(&w);
}

static void a_killed_child_is_started_again_and_keeps_its_socket(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	struct err err = { 0 };
	struct addr addr = { .family = AF_INET, .b = { 127, 0, 0, 1 } };
	int fd = -1;
	assert_false(FAILED(proc_listen(&addr, 0, 16, &fd, &err)));
	struct sockaddr_storage sa;
	socklen_t size = sizeof sa;
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &size), 0);
	const struct proc_pass pass = { fd, "https" };
	world_start(&w, (const char *const[3]){ "good", "", "" }, &pass, 0);
	for (size_t run = 1; run <= 3; run++) {
		wait_for(&w, "a ready", run);
		int c = socket(AF_INET, SOCK_STREAM, 0);
		assert_int_equal(connect(c, (struct sockaddr *)&sa, size), 0);
		char word[16] = "";
		assert_int_equal(recv(c, word, 5, MSG_WAITALL), 5);
		assert_string_equal(word, "https");
		(void)close(c);
		assert_int_equal(kill(pid_of(&w, "a ready "), SIGKILL), 0);
	}
	wait_for(&w, "a ready", 4);
	assert_int_equal(kill(w.supervisor, SIGINT), 0);
	assert_int_equal(world_wait(&w), 0);
	(void)close(fd);
	world_done(&w);
}

static void a_child_that_cannot_start_ends_everything(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	world_start(&w, (const char *const[3]){ "good", "fail", "" }, NULL, 0);
	assert_int_equal(world_wait(&w), 5);
	world_done(&w);
}

static void no_child_outlives_a_killed_supervisor(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	world_start(&w, (const char *const[3]){ "stubborn", "good", "" }, NULL, 0);
	wait_for(&w, "ready", 2);
	pid_t pids[2] = { pid_of(&w, "a ready "), pid_of(&w, "b ready ") };
	assert_int_equal(kill(w.supervisor, SIGKILL), 0);
	assert_int_equal(world_wait(&w), 128 + SIGKILL);
	for (size_t i = 0; i < 2; i++) {
		int status = 0;
		assert_int_equal(waitpid(pids[i], &status, 0),
				 pids[i]); /* ours now; the test's own time limit ends a hang */
		assert_true(WIFSIGNALED(status));
		assert_int_equal(WTERMSIG(status), SIGKILL);
	}
	assert_int_equal(prctl(PR_SET_CHILD_SUBREAPER, 0), 0);
	world_done(&w);
}

static void a_good_configuration_is_forwarded_and_a_bad_one_is_not(void **state)
{
	(void)state;
	for (int bad = 0; bad < 2; bad++) {
		struct world w;
		world_init(&w);
		w.bad_reload = bad == 1;
		world_start(&w, (const char *const[3]){ "good", "good", "" }, NULL, 0);
		wait_for(&w, "ready", 2);
		assert_int_equal(kill(w.supervisor, SIGHUP), 0);
		if (!bad)
			wait_for(&w, "reload", 2);
		else
			(void)usleep(200000); /* long enough for a wrong one to arrive */
		assert_int_equal(kill(w.supervisor, SIGTERM), 0);
		assert_int_equal(world_wait(&w), 0);
		assert_int_equal(count_of(&w, "reload"), bad ? 0 : 2);
		world_done(&w);
	}
}

static void who_does_not_stop_is_killed(void **state)
{
	(void)state;
	static const struct {
		int64_t stop_ms;
		bool twice;
	} rows[] = { { 300, false }, { 600000, true } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world w;
		world_init(&w);
		world_start(&w, (const char *const[3]){ "stubborn", "good", "" }, NULL, rows[i].stop_ms);
		wait_for(&w, "ready", 2);
		assert_int_equal(kill(w.supervisor, SIGTERM), 0);
		wait_for(&w, "a stop", 1);
		if (rows[i].twice) {
			(void)usleep(700000); /* sooner would be the same request */
			assert_int_equal(kill(w.supervisor, SIGTERM), 0);
		}
		assert_int_equal(world_wait(&w), 0);
		assert_int_equal(count_of(&w, "a end"), 0);
		world_done(&w);
	}
}

static void two_signals_at_once_are_one_request(void **state)
{
	(void)state;
	struct world w;
	world_init(&w);
	world_start(&w, (const char *const[3]){ "good", "good", "" }, NULL, 0);
	wait_for(&w, "ready", 2);
	assert_int_equal(kill(w.supervisor, SIGTERM), 0);
	assert_int_equal(kill(w.supervisor, SIGINT), 0);
	assert_int_equal(world_wait(&w), 0);
	assert_int_equal(count_of(&w, " end "), 2);
	world_done(&w);
}

static void the_service_manager_is_told(void **state)
{
	(void)state;
	static const bool abstract[] = { false, true };
	for (size_t i = 0; i < ARRAY_LEN(abstract); i++) {
		struct world w;
		world_init(&w);
		char name[64];
		(void)snprintf(name, sizeof name, "%s%s/notify", abstract[i] ? "@" : "", w.dir);
		struct sockaddr_un sa = { .sun_family = AF_UNIX };
		memcpy(sa.sun_path, name, strlen(name));
		if (abstract[i])
			sa.sun_path[0] = '\0';
		socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name));
		int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
		assert_int_equal(bind(fd, (struct sockaddr *)&sa, size), 0);
		assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
		world_start(&w, (const char *const[3]){ "good", "", "" }, NULL, 0);
		assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
		static const char *const want[] = { "READY=1\nSTATUS=serving",
						    "RELOADING=1\nMONOTONIC_USEC=", "READY=1\nSTATUS=serving",
						    "STOPPING=1\nSTATUS=stopping" };
		for (size_t j = 0; j < ARRAY_LEN(want); j++) {
			struct pollfd p = { .fd = fd, .events = POLLIN };
			assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
			char got[256] = "";
			assert_true(recv(fd, got, sizeof got - 1, 0) > 0);
			assert_true(str_starts(str_z(got), str_z(want[j])));
			if (j == 0)
				assert_int_equal(kill(w.supervisor, SIGHUP), 0);
			if (j == 2)
				assert_int_equal(kill(w.supervisor, SIGTERM), 0);
		}
		assert_int_equal(world_wait(&w), 0);
		(void)close(fd);
		if (!abstract[i])
			assert_int_equal(unlink(name), 0);
		world_done(&w);
	}
}

static void a_wrong_notify_socket_is_named(void **state)
{
	(void)state;
	struct err err = { 0 };
	assert_false(FAILED(proc_notify(STR("READY=1"), &err)));
	assert_int_equal(setenv("NOTIFY_SOCKET", "relative", 1), 0);
	assert_int_equal(proc_notify(STR("READY=1"), &err).kind, ERR_CONFIG);
	assert_string_equal(err.detail,
			    "NOTIFY_SOCKET: found \"relative\"; allowed: an absolute path, or @ and an abstract name");
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
}

static void the_watchdog_is_for_the_process_it_names(void **state)
{
	(void)state;
	char me[24];
	(void)snprintf(me, sizeof me, "%ld", (long)getpid());
	const struct {
		const char *usec, *pid;
		int64_t want;
	} rows[] = { { NULL, NULL, 0 },      { "10000000", NULL, 5000 }, { "10000000", me, 5000 },
		     { "10000000", "1", 0 }, { "x", NULL, 0 },           { "1", NULL, 1 } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		(void)unsetenv("WATCHDOG_USEC");
		(void)unsetenv("WATCHDOG_PID");
		if (rows[i].usec != NULL)
			(void)setenv("WATCHDOG_USEC", rows[i].usec, 1);
		if (rows[i].pid != NULL)
			(void)setenv("WATCHDOG_PID", rows[i].pid, 1);
		assert_int_equal(proc_watchdog_ms(), rows[i].want);
	}
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
}

static void an_address_in_use_is_named(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct addr addr = { .family = AF_INET6 };
	AUTO(fd_close) int first = -1;
	int second = -1;
	assert_false(FAILED(proc_listen(&addr, 0, 16, &first, &err)));
	struct sockaddr_storage sa;
	socklen_t size = sizeof sa;
	uint16_t port = 0;
	assert_int_equal(getsockname(first, (struct sockaddr *)&sa, &size), 0);
	assert_true(addr_of_sockaddr(&sa, &addr, &port));
	assert_int_equal(proc_listen(&addr, port, 16, &second, &err).kind, ERR_CONFIG);
	assert_non_null(strstr(err.detail, "listening on :: port "));
	assert_non_null(strstr(err.detail, "ss -ltnp"));
	/* "::" serves IPv4 as well. */
	struct addr v4 = { .family = AF_INET, .b = { 127, 0, 0, 1 } };
	size = addr_sockaddr(&v4, port, &sa);
	AUTO(fd_close) int c = socket(AF_INET, SOCK_STREAM, 0);
	assert_int_equal(connect(c, (struct sockaddr *)&sa, size), 0);
}

static void sockets_for_another_process_are_not_taken(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct proc_fd *fds = NULL;
	size_t count = 1;
	struct err err = { 0 };
	(void)setenv("LISTEN_PID", "1", 1);
	(void)setenv("LISTEN_FDS", "1", 1);
	assert_false(FAILED(proc_listen_fds(&mem, &fds, &count, &err)));
	assert_int_equal(count, 0);
	assert_null(getenv("LISTEN_FDS"));
}

static void a_hardened_process_has_no_dumps_and_no_new_privileges(void **state)
{
	(void)state;
	pid_t pid = fork();
	if (pid == 0) {
		struct err err = { 0 };
		struct rlimit core = { 1, 1 };
		bool good = !FAILED(proc_harden(&err)) && prctl(PR_GET_DUMPABLE) == 0 &&
			    prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 && getrlimit(RLIMIT_CORE, &core) == 0 &&
			    core.rlim_max == 0;
		_exit(good ? 0 : 1);
	}
	int status = 1;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void programs_are_found_beside_us_then_in_path(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	const char *path = NULL;
	struct err err = { 0 };
	assert_false(FAILED(proc_find(&mem, "sh", &path, &err)));
	assert_int_equal(path[0], '/');
	assert_int_equal(proc_find(&mem, "cairn-no-such-program", &path, &err).kind, ERR_CONFIG);
	assert_non_null(strstr(err.detail, "cairn-no-such-program: found neither beside this program"));
}

static void descriptors_are_raised_as_far_as_the_hard_limit_and_never_lowered(void **state)
{
	(void)state;
	struct rlimit before, low;
	uint64_t got = 0;
	struct err err = { 0 };
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	low = (struct rlimit){ .rlim_cur = 64, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(proc_files_raise(100, &got, &err).kind, ERR_NONE);
	assert_int_equal(got, 100);
	assert_int_equal(proc_files_raise(80, &got, &err).kind, ERR_NONE);
	assert_int_equal(got, 100);
	assert_int_equal(proc_files_raise(UINT64_MAX - 1, &got, &err).kind, ERR_NONE);
	assert_int_equal(got, before.rlim_max);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
}

int main(int argc, char **argv)
{
	if (argc == 5 && strcmp(argv[1], "role") == 0)
		return role_main(argv[2], argv[3], argv[4]);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(descriptors_are_raised_as_far_as_the_hard_limit_and_never_lowered),
		cmocka_unit_test(children_are_stopped_one_after_the_other),
		cmocka_unit_test(a_killed_child_is_started_again_and_keeps_its_socket),
		cmocka_unit_test(a_child_that_cannot_start_ends_everything),
		cmocka_unit_test(no_child_outlives_a_killed_supervisor),
		cmocka_unit_test(a_good_configuration_is_forwarded_and_a_bad_one_is_not),
		cmocka_unit_test(who_does_not_stop_is_killed),
		cmocka_unit_test(two_signals_at_once_are_one_request),
		cmocka_unit_test(the_service_manager_is_told),
		cmocka_unit_test(a_wrong_notify_socket_is_named),
		cmocka_unit_test(the_watchdog_is_for_the_process_it_names),
		cmocka_unit_test(an_address_in_use_is_named),
		cmocka_unit_test(sockets_for_another_process_are_not_taken),
		cmocka_unit_test(a_hardened_process_has_no_dumps_and_no_new_privileges),
		cmocka_unit_test(programs_are_found_beside_us_then_in_path),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * door_test.c: a door and what it opens: the configuration, what that names at this moment, one socket; nothing else,
 * whatever it is asked, and nothing after it has ended.
 */
#include "net/net.h"
#include "proc/proc.h"
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

struct world {
	char dir[32], conf[64], named[64], other[64], socket[64], log[64];
	int listen_fd;
	struct log events;
	struct sandbox_spec sandbox;
	struct door *door;
};

static void write_file(const char *path, const char *text)
{
	struct err err = { 0 };
	MUST(file_write_atomic(path, str_z(text), 0600, &err));
}

/* The "configuration" is one path, or the word wrong. */
static fallible paths_of(void *ctx, struct arena *mem, const char *const **ret, size_t *ret_count, struct err *err)
{
	const struct world *w = ctx;
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	TRY(file_read(w->conf, 4096, &text, err));
	if (str_eq(buf_str(&text), STR("wrong")))
		FAIL(err, ERR_CONFIG, "wrong");
	const char **v = ARENA_ARRAY(mem, const char *, 1);
	v[0] = str_dupz_raw(mem, buf_str(&text));
	*ret = v;
	*ret_count = 1;
	return OK;
}

static void world_init(struct world *w, bool socket_allowed)
{
	struct err err = { 0 };
	*w = (struct world){ .dir = "/tmp/cairn-door-XXXXXX" };
	assert_non_null(mkdtemp(w->dir));
	(void)snprintf(w->conf, sizeof w->conf, "%s/conf", w->dir);
	(void)snprintf(w->named, sizeof w->named, "%s/named", w->dir);
	(void)snprintf(w->other, sizeof w->other, "%s/other", w->dir);
	(void)snprintf(w->socket, sizeof w->socket, "%s/sock", w->dir);
	(void)snprintf(w->log, sizeof w->log, "%s/log", w->dir);
	write_file(w->conf, w->named);
	write_file(w->named, "named");
	write_file(w->other, "other");
	MUST(unix_listen(w->socket, 0600, &w->listen_fd, &err));
	/* As in the programs: a door keeps stderr, to which it logs, and no other descriptor. */
	int fd = open(w->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	int err_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
	assert_true(fd >= 0 && err_fd >= 0 && dup2(fd, STDERR_FILENO) == STDERR_FILENO);
	(void)close(fd);
	w->events = (struct log){
		.program = "test", .level = LOG_DEBUG, .form = LOG_TEXT, .fd = STDERR_FILENO, .clock = &clock_system
	};
	w->sandbox = (struct sandbox_spec){ .role = SANDBOX_SIGNER,
					    .mode = sandbox_unfit() == NULL ? SANDBOX_AUTO : SANDBOX_OFF,
					    .log = &w->events };
	const struct door_spec spec = { .sandbox = &w->sandbox,
					.socket = socket_allowed ? w->socket : NULL,
					.conf_path = w->conf,
					.paths = paths_of,
					.ctx = w };
	MUST(proc_signals_hold(&err));
	MUST(door_open(&spec, &w->door, &err));
	assert_int_equal(dup2(err_fd, STDERR_FILENO), STDERR_FILENO);
	(void)close(err_fd);
}

/* Our child, of which the door is the only one; 0: none. */
static pid_t door_pid(void)
{
	char path[64], line[64] = "";
	(void)snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
	FILE *f = fopen(path, "re");
	assert_non_null(f);
	size_t n = fread(line, 1, sizeof line - 1, f);
	(void)fclose(f);
	return n == 0 ? 0 : (pid_t)strtol(line, NULL, 10);
}

static bool is_gone(pid_t pid)
{
	const struct timespec nap = { .tv_nsec = 10 * 1000000 };
	for (int i = 0; i < 500 && pid != 0 && kill(pid, 0) == 0; i++)
		(void)nanosleep(&nap, NULL);
	return pid == 0 || kill(pid, 0) != 0;
}

static void world_done(struct world *w)
{
	char command[64];
	door_close(w->door);
	(void)close(w->listen_fd);
	(void)snprintf(command, sizeof command, "rm -r %s", w->dir);
	assert_true(is_gone(door_pid()));
	(void)signal(SIGCHLD, SIG_DFL); /* system(3) waits */
	assert_int_equal(system(command), 0);
}

static int opens(struct world *w, const char *path, const char *want)
{
	char text[64] = "";
	int fd = door_file(w->door, path);
	if (fd < 0)
		return errno;
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDONLY);
	assert_true(read(fd, text, sizeof text - 1) >= 0);
	(void)close(fd);
	assert_string_equal(text, want);
	return 0;
}

static bool has_said(const struct world *w, const char *text)
{
	AUTO(buf_done) struct buf all = BUF_MAX(64 * 1024);
	struct err err = { 0 };
	MUST(file_read(w->log, 64 * 1024, &all, &err));
	return memmem(all.p == NULL ? "" : all.p, all.n, text, strlen(text)) != NULL;
}

static void it_opens_what_the_configuration_names(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, true);
	assert_int_equal(opens(&w, w.named, "named"), 0);
	assert_int_equal(opens(&w, w.named, "named"), 0);
	assert_false(has_said(&w, "alarm"));
	assert_int_equal(opens(&w, w.other, ""), EACCES);
	assert_true(has_said(&w, "alarm: the door was asked for what the configuration does not name"));
	/* another name of the same file is another file */
	char around[96];
	(void)snprintf(around, sizeof around, "%s/./named", w.dir);
	assert_int_equal(opens(&w, around, ""), EACCES);
	assert_int_equal(opens(&w, "", ""), EACCES);
	world_done(&w);
}

static void a_new_configuration_counts_once_it_is_read(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, true);
	assert_int_equal(opens(&w, w.named, "named"), 0); /* it has read the first one */
	write_file(w.conf, w.other);
	assert_int_equal(opens(&w, w.other, ""), EACCES);
	int fd = door_file(w.door, w.conf);
	assert_true(fd >= 0);
	(void)close(fd);
	assert_int_equal(opens(&w, w.other, "other"), 0);
	assert_int_equal(opens(&w, w.named, ""), EACCES);
	/* a wrong one changes nothing */
	write_file(w.conf, "wrong");
	assert_int_equal(opens(&w, w.conf, "wrong"), 0);
	assert_int_equal(opens(&w, w.other, "other"), 0);
	world_done(&w);
}

static void a_file_that_is_replaced_is_found(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, true);
	write_file(w.named, "new");
	assert_int_equal(opens(&w, w.named, "new"), 0);
	assert_int_equal(unlink(w.named), 0);
	assert_int_equal(opens(&w, w.named, ""), ENOENT);
	assert_int_equal(mkfifo(w.named, 0600), 0); /* does not hold it */
	assert_int_equal(opens(&w, w.named, ""), 0);
	assert_int_equal(opens(&w, w.conf, w.named), 0); /* nor what is read through it */
	world_done(&w);
}

static void it_connects_to_its_socket(void **state)
{
	struct world w;
	struct err err = { 0 };
	int fd = -1;
	uid_t uid;
	pid_t pid;
	(void)state;
	world_init(&w, true);
	MUST(door_connect(w.door, &fd, &err));
	MUST(unix_peer(fd, &uid, &pid, &err));
	assert_int_equal(uid, geteuid());
	assert_int_equal(pid, getpid()); /* who listens, not who connected */
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_true((fcntl(fd, F_GETFL) & O_NONBLOCK) != 0);
	(void)close(fd);
	(void)close(w.listen_fd);
	w.listen_fd = -1;
	MUST_FAIL(door_connect(w.door, &fd, &err), ERR_IO, "Connection refused");
	world_done(&w);
}

static void without_a_socket_it_connects_to_none(void **state)
{
	struct world w;
	struct err err = { 0 };
	int fd = -1;
	(void)state;
	world_init(&w, false);
	MUST_FAIL(door_connect(w.door, &fd, &err), ERR_IO, "Permission denied");
	assert_true(has_said(&w, "alarm"));
	world_done(&w);
}

static void a_door_that_was_killed_is_told(void **state)
{
	struct world w;
	struct err err = { 0 };
	int fd = -1;
	(void)state;
	world_init(&w, true);
	pid_t pid = door_pid();
	assert_int_equal(opens(&w, w.named, "named"), 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	assert_true(is_gone(pid)); /* and nobody has to wait for it */
	assert_int_equal(opens(&w, w.named, ""), EPIPE);
	assert_int_equal(opens(&w, w.named, ""), EPIPE);
	MUST_FAIL(door_connect(w.door, &fd, &err), ERR_CLOSED, "door");
	world_done(&w);
}

/* A mistake in the configuration must not pass for a door that has ended: its program would end with it. */
static void a_socket_in_the_place_of_a_file_is_an_error_like_others(void **state)
{
	struct world w;
	struct err err = { 0 };
	AUTO(fd_close) int fd = -1;
	(void)state;
	world_init(&w, true);
	assert_int_equal(unlink(w.named), 0);
	MUST(unix_listen(w.named, 0600, &fd, &err));
	assert_int_equal(opens(&w, w.named, ""), ENXIO);
	assert_int_equal(unlink(w.named), 0);
	write_file(w.named, "named");
	assert_int_equal(opens(&w, w.named, "named"), 0);
	world_done(&w);
}

static void it_ends_with_its_parent(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, true);
	pid_t pid = door_pid();
	door_close(w.door);
	w.door = NULL;
	assert_true(is_gone(pid));
	world_done(&w);
}

static unsigned descriptors_of(pid_t pid)
{
	char path[64];
	unsigned n = 0;
	(void)snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
	DIR *d = opendir(path);
	assert_non_null(d);
	for (const struct dirent *e = readdir(d); e != NULL; e = readdir(d))
		n += e->d_name[0] != '.';
	(void)closedir(d);
	return n;
}

static void it_keeps_nothing_of_its_parents(void **state)
{
	struct world w;
	(void)state;
	world_init(&w, true);
	assert_int_equal(opens(&w, w.named, "named"), 0);
	/* stdin, stdout, stderr and its end of the pair; for a moment more, what it has just passed on */
	const struct timespec nap = { .tv_nsec = 10 * 1000000 };
	unsigned n = descriptors_of(door_pid());
	for (int i = 0; i < 100 && n != 4; i++, n = descriptors_of(door_pid()))
		(void)nanosleep(&nap, NULL);
	assert_int_equal(n, 4);
	world_done(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(it_opens_what_the_configuration_names),
		cmocka_unit_test(a_new_configuration_counts_once_it_is_read),
		cmocka_unit_test(a_file_that_is_replaced_is_found),
		cmocka_unit_test(it_connects_to_its_socket),
		cmocka_unit_test(without_a_socket_it_connects_to_none),
		cmocka_unit_test(a_door_that_was_killed_is_told),
		cmocka_unit_test(a_socket_in_the_place_of_a_file_is_an_error_like_others),
		cmocka_unit_test(it_ends_with_its_parent),
		cmocka_unit_test(it_keeps_nothing_of_its_parents),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

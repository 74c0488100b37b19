/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox_test.c: each role's sandbox, in a child of its own that tries one thing. The table has what each role may do
 * and what is refused to it, and how: by an error, or by the end of the program. Each thing is tried outside of any
 * sandbox too, where it must work: else a refusal would say nothing.
 */
#include "proc/proc.h"
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

/* --- the things: each returns 0, or errno ---------------------------------------------------------------------------*/
struct place { /* paths of one test */
	char dir[32];
	char secret[64];        /* a file outside of all rules */
	char work[64];          /* a folder with SANDBOX_WRITE */
	char inside[96];        /* a file in it */
	char sockets[64];       /* a folder with SANDBOX_SOCKETS */
	char socket[96];        /* a served socket in it */
	int socket_fd, tcp_fd;  /* the two that are served */
	struct sockaddr_in tcp; /* where the second one is */
	pid_t other;            /* a process of the same user */
};

static int result(long rc)
{
	return rc < 0 ? errno : 0;
}

static int close_of(int fd)
{
	int rc = result(fd);
	if (fd >= 0)
		(void)close(fd);
	return rc;
}

static int read_secret(const struct place *p)
{
	return close_of(open(p->secret, O_RDONLY | O_CLOEXEC));
}

static int write_secret(const struct place *p)
{
	return close_of(open(p->secret, O_WRONLY | O_CLOEXEC));
}

static int truncate_secret(const struct place *p)
{
	return close_of(open(p->secret, O_WRONLY | O_TRUNC | O_CLOEXEC));
}

static int read_password_file(const struct place *p)
{
	(void)p;
	return close_of(open("/etc/passwd", O_RDONLY | O_CLOEXEC));
}

static int make_file_outside(const struct place *p)
{
	char path[96];
	(void)snprintf(path, sizeof path, "%s/new", p->dir);
	return close_of(open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static int read_inside(const struct place *p)
{
	return close_of(open(p->inside, O_RDONLY | O_CLOEXEC));
}

static int write_inside(const struct place *p)
{
	return close_of(open(p->inside, O_RDWR | O_CLOEXEC));
}

static int replace_inside(const struct place *p)
{
	char fresh[128];
	(void)snprintf(fresh, sizeof fresh, "%s.new", p->inside);
	int rc = close_of(open(fresh, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
	return rc != 0 ? rc : result(rename(fresh, p->inside));
}

static int list_outside(const struct place *p)
{
	return close_of(open(p->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
}

static int look_outside(const struct place *p)
{
	struct stat st;
	return result(stat(p->secret, &st));
}

static int remove_secret(const struct place *p)
{
	return result(unlink(p->secret));
}

static int remove_socket(const struct place *p)
{
	return result(unlink(p->socket));
}

static int chmod_secret(const struct place *p)
{
	return result(chmod(p->secret, 0644));
}

static int run_program(const struct place *p)
{
	(void)p;
	execl("/bin/true", "true", (char *)NULL); /* ends with 0 */
	return errno;
}

static int make_process(const struct place *p)
{
	(void)p;
	pid_t pid = fork();
	if (pid == 0)
		_exit(0);
	return result(pid);
}

static int make_namespace(const struct place *p)
{
	(void)p;
	return result(unshare(CLONE_NEWUSER));
}

static void *thread_main(void *arg)
{
	(void)prctl(PR_SET_NAME, "thread");
	return arg;
}

static int make_thread(const struct place *p)
{
	(void)p;
	pthread_t t;
	int rc = pthread_create(&t, NULL, thread_main, NULL);
	return rc != 0 ? rc : pthread_join(t, NULL);
}

static int socket_of(int family, int type)
{
	return close_of(socket(family, type | SOCK_CLOEXEC, 0));
}

static int make_unix_socket(const struct place *p)
{
	(void)p;
	return socket_of(AF_UNIX, SOCK_STREAM);
}

static int make_tcp_socket(const struct place *p)
{
	(void)p;
	return socket_of(AF_INET, SOCK_STREAM);
}

static int make_udp_socket(const struct place *p)
{
	(void)p;
	return socket_of(AF_INET6, SOCK_DGRAM);
}

static int make_netlink_socket(const struct place *p)
{
	(void)p;
	return socket_of(AF_NETLINK, SOCK_RAW);
}

static int connect_unix(const struct place *p)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	memcpy(to.sun_path, p->socket, strlen(p->socket));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? errno : result(connect(fd, (const struct sockaddr *)&to, sizeof to));
	(void)close_of(fd);
	return rc;
}

static int connect_tcp(const struct place *p)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? errno : result(connect(fd, (const struct sockaddr *)&p->tcp, sizeof p->tcp));
	(void)close_of(fd);
	return rc;
}

static int listen_tcp(const struct place *p)
{
	(void)p;
	const struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int rc = fd < 0 ? errno : result(bind(fd, (const struct sockaddr *)&any, sizeof any));
	(void)close_of(fd);
	return rc;
}

static int accept_nothing(const struct place *p)
{
	int fd = accept4(p->socket_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return fd < 0 && errno == EAGAIN ? 0 : close_of(fd);
}

static int signal_other(const struct place *p)
{
	return result(kill(p->other, 0));
}

static int trace_other(const struct place *p)
{
	return result(ptrace(PTRACE_SEIZE, p->other, NULL, NULL));
}

static int read_other(const struct place *p)
{
	return result(syscall(SYS_pidfd_open, p->other, 0));
}

static int map_code(const struct place *p)
{
	(void)p;
	void *at = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return at == MAP_FAILED ? errno : 0;
}

static int turn_into_code(const struct place *p)
{
	(void)p;
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return at == MAP_FAILED ? errno : result(mprotect(at, 4096, PROT_READ | PROT_EXEC));
}

static int io_uring(const struct place *p)
{
	(void)p;
	char params[256] = { 0 };
	return result(syscall(SYS_io_uring_setup, 1, params));
}

static int add_key(const struct place *p)
{
	(void)p;
	return result(syscall(SYS_keyctl, 0 /* KEYCTL_GET_KEYRING_ID */, -2, 1));
}

static int take_the_alarm_away(const struct place *p)
{
	(void)p;
	return signal(SIGSYS, SIG_IGN) == SIG_ERR ? errno : 0;
}

static int raise_limits(const struct place *p)
{
	(void)p;
	const struct rlimit none = { 0, 0 };
	return result(setrlimit(RLIMIT_CORE, &none));
}

static int become_dumpable(const struct place *p)
{
	(void)p;
	return result(prctl(PR_SET_DUMPABLE, 1));
}

static int lock_memory(const struct place *p)
{
	(void)p;
	char page[1] = { 1 };
	return result(mlock(page, sizeof page)) != 0 ? errno : result(munlock(page, sizeof page));
}

/* --- who may do what ------------------------------------------------------------------------------------------------*/
enum end { WORKS, REFUSED /* EACCES or EPERM */, KILLED /* SIGSYS, and a line that names the call */ };

static const struct {
	const char *name;
	int (*thing)(const struct place *p);
	const char *call; /* the name in the alarm, where it is killed */
	enum end api, validator, signer, door;
} rows[] = {
	{ "read a file elsewhere", read_secret, "openat", REFUSED, REFUSED, REFUSED, WORKS },
	{ "read /etc/passwd", read_password_file, "openat", REFUSED, REFUSED, REFUSED, WORKS },
	{ "write a file elsewhere", write_secret, "openat", REFUSED, KILLED, REFUSED, KILLED },
	{ "truncate a file elsewhere", truncate_secret, "openat", REFUSED, KILLED, REFUSED, KILLED },
	{ "make a file elsewhere", make_file_outside, "openat", REFUSED, KILLED, REFUSED, KILLED },
	{ "list a folder elsewhere", list_outside, "openat", REFUSED, REFUSED, REFUSED, WORKS },
	{ "remove a file elsewhere", remove_secret, "unlink", REFUSED, KILLED, REFUSED, KILLED },
	{ "change a file's mode", chmod_secret, "chmod", KILLED, KILLED, KILLED, KILLED },
	{ "look at a file elsewhere", look_outside, NULL, WORKS, WORKS, WORKS, WORKS },
	{ "read in its folder", read_inside, NULL, WORKS, WORKS, WORKS, WORKS },
	{ "write in its folder", write_inside, "openat", WORKS, KILLED, WORKS, KILLED },
	{ "replace in its folder", replace_inside, "openat", WORKS, KILLED, WORKS, KILLED },
	{ "remove a socket", remove_socket, "unlink", WORKS, KILLED, WORKS, KILLED },
	{ "run a program", run_program, "execve", KILLED, KILLED, KILLED, KILLED },
	{ "make a process", make_process, "clone", KILLED, KILLED, KILLED, KILLED },
	{ "make a namespace", make_namespace, "unshare", KILLED, KILLED, KILLED, KILLED },
	{ "make a thread", make_thread, NULL, WORKS, WORKS, WORKS, KILLED },
	{ "make a Unix socket", make_unix_socket, "socket", KILLED, KILLED, KILLED, WORKS },
	{ "make a TCP socket", make_tcp_socket, "socket", KILLED, WORKS, KILLED, KILLED },
	{ "make a UDP socket", make_udp_socket, "socket", KILLED, WORKS, KILLED, KILLED },
	{ "make a netlink socket", make_netlink_socket, "socket", KILLED, KILLED, KILLED, KILLED },
	{ "connect to a Unix socket", connect_unix, "socket", KILLED, KILLED, KILLED, WORKS },
	{ "connect to a TCP port", connect_tcp, "socket", KILLED, WORKS, KILLED, KILLED },
	{ "bind a TCP port", listen_tcp, "socket", KILLED, REFUSED, KILLED, KILLED },
	{ "accept a connection", accept_nothing, "accept4", WORKS, KILLED, KILLED, KILLED },
	{ "signal another process", signal_other, "kill", KILLED, KILLED, KILLED, KILLED },
	{ "trace another process", trace_other, "ptrace", KILLED, KILLED, KILLED, KILLED },
	{ "open another process", read_other, "pidfd_open", KILLED, KILLED, KILLED, KILLED },
	{ "map memory to run", map_code, "mmap", KILLED, KILLED, KILLED, KILLED },
	{ "turn memory into code", turn_into_code, "mprotect", KILLED, KILLED, KILLED, KILLED },
	{ "use io_uring", io_uring, "io_uring_setup", KILLED, KILLED, KILLED, KILLED },
	{ "use the kernel's keys", add_key, "keyctl", KILLED, KILLED, KILLED, KILLED },
	{ "ignore the alarm", take_the_alarm_away, "rt_sigaction", KILLED, KILLED, KILLED, KILLED },
	{ "set limits", raise_limits, "prlimit64", KILLED, KILLED, KILLED, KILLED },
	{ "become dumpable again", become_dumpable, "prctl", KILLED, KILLED, KILLED, KILLED },
	{ "lock memory", lock_memory, NULL, WORKS, WORKS, WORKS, WORKS },
};

static void place_init(struct place *p)
{
	socklen_t n = sizeof p->tcp;
	*p = (struct place){ .dir = "/tmp/cairn-sandbox-XXXXXX", .tcp = { .sin_family = AF_INET } };
	p->tcp.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_non_null(mkdtemp(p->dir));
	(void)snprintf(p->secret, sizeof p->secret, "%s/secret", p->dir);
	(void)snprintf(p->work, sizeof p->work, "%s/work", p->dir);
	(void)snprintf(p->inside, sizeof p->inside, "%s/inside", p->work);
	(void)snprintf(p->sockets, sizeof p->sockets, "%s/run", p->dir);
	(void)snprintf(p->socket, sizeof p->socket, "%s/sock", p->sockets);
	assert_int_equal(mkdir(p->work, 0700), 0);
	assert_int_equal(mkdir(p->sockets, 0700), 0);
	assert_int_equal(close_of(open(p->secret, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	assert_int_equal(close_of(open(p->inside, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)), 0);
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	memcpy(at.sun_path, p->socket, strlen(p->socket));
	p->socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_int_equal(bind(p->socket_fd, (const struct sockaddr *)&at, sizeof at), 0);
	assert_int_equal(listen(p->socket_fd, 8), 0);
	p->tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(p->tcp_fd, (const struct sockaddr *)&p->tcp, n), 0);
	assert_int_equal(listen(p->tcp_fd, 8), 0);
	assert_int_equal(getsockname(p->tcp_fd, (struct sockaddr *)&p->tcp, &n), 0);
	p->other = fork();
	assert_true(p->other >= 0);
	if (p->other == 0) {
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			(void)pause();
	}
}

static void place_done(struct place *p)
{
	char command[64];
	assert_int_equal(kill(p->other, SIGKILL), 0);
	assert_int_equal(waitpid(p->other, NULL, 0), p->other);
	(void)close(p->socket_fd);
	(void)close(p->tcp_fd);
	(void)snprintf(command, sizeof command, "rm -r %s", p->dir);
	assert_int_equal(system(command), 0);
}

/* In the child. stderr is the log. */
static _Noreturn void try(size_t row, const struct place *p, bool confined, enum sandbox_role role, int log_fd)
{
	struct err err = { 0 };
	struct log log = {
		.program = "test", .level = LOG_DEBUG, .form = LOG_TEXT, .fd = log_fd, .clock = &clock_system
	};
	const struct sandbox_path paths[] = {
		{ p->work, role == SANDBOX_VALIDATOR ? SANDBOX_READ : SANDBOX_WRITE },
		{ p->sockets, SANDBOX_SOCKETS },
		{ "/nonexistent/folder", SANDBOX_WRITE },
	};
	const struct sandbox_spec spec = {
		.role = role, .mode = SANDBOX_REQUIRED, .paths = paths, .path_count = ARRAY_LEN(paths), .log = &log
	};
	if (FAILED(proc_harden(&err)) ||
	    (confined && (FAILED(sandbox_files(&spec, &err)) || FAILED(sandbox_calls(&spec, &err))))) {
		LOG(&log, LOG_ERROR, "no sandbox", KV_ERR(&err));
		_exit(99);
	}
	_exit(rows[row].thing(p));
}

static bool ends_with_alarm(int status, const char *said, const char *call)
{
	char want[64];
	if (call == NULL) /* glibc had all signals blocked: no line, but the end */
		return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
	(void)snprintf(want, sizeof want, " call=%s ", call);
	return WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS &&
	       strstr(said, "alarm: the sandbox refused") != NULL && strstr(said, want) != NULL;
}

static void expect(size_t row, const struct place *p, bool confined, enum sandbox_role role, enum end want)
{
	char said[1024] = "";
	int fds[2], status = 0;
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		try(row, p, confined, role, fds[1]);
	(void)close(fds[1]);
	ssize_t n = read(fds[0], said, sizeof said - 1);
	(void)close(fds[0]);
	assert_true(n >= 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	bool ok = want == WORKS     ? code == 0
		  : want == REFUSED ? code == EACCES || code == EPERM
				    : ends_with_alarm(status, said, rows[row].call);
	if (!ok)
		fail_msg("%s, role %d%s: status %x, said: %s", rows[row].name, (int)role,
			 confined ? "" : " without sandbox", (unsigned)status, said);
}

/* A refusal by an error says something only where the thing works otherwise; the end of the program does anyway. */
static bool can_be_refused(size_t row)
{
	return rows[row].api == REFUSED || rows[row].validator == REFUSED || rows[row].signer == REFUSED;
}

static void for_rows(bool confined, enum sandbox_role role)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct place p;
		const enum end ends[] = { [SANDBOX_API] = rows[i].api,
					  [SANDBOX_VALIDATOR] = rows[i].validator,
					  [SANDBOX_SIGNER] = rows[i].signer,
					  [SANDBOX_DOOR] = rows[i].door };
		if (!confined && !can_be_refused(i))
			continue;
		place_init(&p);
		expect(i, &p, confined, role, confined ? ends[role] : WORKS);
		place_done(&p);
	}
}

static void without_a_sandbox_all_of_it_works(void **state)
{
	(void)state;
	for_rows(false, SANDBOX_API);
}

static void the_api_can_do_what_is_listed(void **state)
{
	(void)state;
	for_rows(true, SANDBOX_API);
}

static void a_validator_can_do_what_is_listed(void **state)
{
	(void)state;
	for_rows(true, SANDBOX_VALIDATOR);
}

static void the_signer_can_do_what_is_listed(void **state)
{
	(void)state;
	for_rows(true, SANDBOX_SIGNER);
}

static void a_door_can_do_what_is_listed(void **state)
{
	(void)state;
	for_rows(true, SANDBOX_DOOR);
}

/* --- children that do more than one thing ---------------------------------------------------------------------------*/
static struct log quiet_log(int fd)
{
	return (struct log){
		.program = "test", .level = LOG_DEBUG, .form = LOG_TEXT, .fd = fd, .clock = &clock_system
	};
}

/* Runs in a child and gives what it wrote to the descriptor it was given; *ret_status as of waitpid. */
static void in_child(void (*body)(int fd), char said[1024], int *ret_status)
{
	int fds[2];
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		body(fds[1]);
		_exit(0);
	}
	(void)close(fds[1]);
	size_t n = 0;
	for (ssize_t got; n < 1023 && (got = read(fds[0], said + n, 1023 - n)) > 0;)
		n += (size_t)got;
	said[n] = '\0';
	(void)close(fds[0]);
	assert_int_equal(waitpid(pid, ret_status, 0), pid);
}

static void *waits_then_runs(void *arg)
{
	char go;
	sigset_t old;
	signals_block(&old); /* as the programs' threads do */
	if (read(*(int *)arg, &go, 1) == 1)
		(void)execl("/bin/true", "true", (char *)NULL);
	return NULL;
}

static void a_thread_from_before(int fd)
{
	struct log log = quiet_log(fd);
	int go[2];
	pthread_t t;
	const struct sandbox_spec spec = { .role = SANDBOX_SIGNER, .mode = SANDBOX_REQUIRED, .log = &log };
	if (pipe2(go, O_CLOEXEC) != 0 || pthread_create(&t, NULL, waits_then_runs, &go[0]) != 0 ||
	    FAILED(proc_harden(NULL)) || FAILED(sandbox_calls(&spec, NULL)) || write(go[1], "x", 1) != 1)
		_exit(99);
	(void)pthread_join(t, NULL);
}

static void threads_from_before_are_confined_too(void **state)
{
	char said[1024];
	int status;
	(void)state;
	in_child(a_thread_from_before, said, &status);
	assert_true(ends_with_alarm(status, said, "execve"));
}

static void blocks_and_runs(int fd)
{
	struct log log = quiet_log(fd);
	const struct sandbox_spec spec = { .role = SANDBOX_API, .mode = SANDBOX_REQUIRED, .log = &log };
	sigset_t all;
	if (FAILED(proc_harden(NULL)) || FAILED(sandbox_calls(&spec, NULL)))
		_exit(99);
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_BLOCK, &all, NULL);
	(void)execl("/bin/true", "true", (char *)NULL);
}

static void blocking_the_signal_ends_the_program_all_the_same(void **state)
{
	char said[1024];
	int status;
	(void)state;
	in_child(blocks_and_runs, said, &status);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}

#ifdef __x86_64__
static void calls_by_another_table(int fd)
{
	struct log log = quiet_log(fd);
	const struct sandbox_spec spec = { .role = SANDBOX_API, .mode = SANDBOX_REQUIRED, .log = &log };
	if (FAILED(proc_harden(NULL)) || FAILED(sandbox_calls(&spec, NULL)))
		_exit(99);
	(void)syscall(0x40000000L + SYS_getpid); /* x32 */
}

static void the_tables_of_other_machines_are_closed(void **state)
{
	char said[1024];
	int status;
	(void)state;
	in_child(calls_by_another_table, said, &status);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
}
#endif

static void opens_its_network(int fd)
{
	struct log log = quiet_log(fd);
	const struct sandbox_spec spec = {
		.role = SANDBOX_SIGNER, .mode = SANDBOX_REQUIRED, .network = true, .log = &log
	};
	if (FAILED(proc_harden(NULL)) || FAILED(sandbox_files(&spec, NULL)) || FAILED(sandbox_calls(&spec, NULL)) ||
	    socket_of(AF_UNIX, SOCK_STREAM) != 0 || socket_of(AF_INET, SOCK_STREAM) != 0)
		_exit(99);
	(void)execl("/bin/true", "true", (char *)NULL);
}

static void a_signer_with_a_module_has_a_network_and_no_more(void **state)
{
	char said[1024];
	int status;
	(void)state;
	in_child(opens_its_network, said, &status);
	assert_true(ends_with_alarm(status, said, "execve"));
}

static void modes_are_words(void **state)
{
	(void)state;
	struct err err = { 0 };
	enum sandbox_mode mode;
	MUST(sandbox_mode_read(STR("auto"), &mode, &err));
	assert_int_equal(mode, SANDBOX_AUTO);
	MUST(sandbox_mode_read(STR("required"), &mode, &err));
	assert_int_equal(mode, SANDBOX_REQUIRED);
	MUST(sandbox_mode_read(STR("off"), &mode, &err));
	assert_int_equal(mode, SANDBOX_OFF);
	MUST_FAIL(sandbox_mode_read(STR("on"), &mode, &err), ERR_CONFIG, "allowed: auto, required, off");
}

static void off_is_off(int fd)
{
	struct log log = quiet_log(fd);
	const struct sandbox_spec spec = { .role = SANDBOX_SIGNER, .mode = SANDBOX_OFF, .log = &log };
	if (FAILED(sandbox_files(&spec, NULL)) || FAILED(sandbox_calls(&spec, NULL)))
		_exit(99);
	(void)execl("/bin/true", "true", (char *)NULL);
	_exit(98);
}

static void off_changes_nothing(void **state)
{
	char said[1024];
	int status;
	(void)state;
	in_child(off_is_off, said, &status);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(modes_are_words),
		cmocka_unit_test(off_changes_nothing),
		cmocka_unit_test(without_a_sandbox_all_of_it_works),
		cmocka_unit_test(the_api_can_do_what_is_listed),
		cmocka_unit_test(a_validator_can_do_what_is_listed),
		cmocka_unit_test(the_signer_can_do_what_is_listed),
		cmocka_unit_test(a_door_can_do_what_is_listed),
		cmocka_unit_test(threads_from_before_are_confined_too),
		cmocka_unit_test(blocking_the_signal_ends_the_program_all_the_same),
#ifdef __x86_64__
		cmocka_unit_test(the_tables_of_other_machines_are_closed),
#endif
		cmocka_unit_test(a_signer_with_a_module_has_a_network_and_no_more),
	};
	if (sandbox_unfit() != NULL) {
		printf("skipped: %s\n", sandbox_unfit());
		return 0; /* built so that it cannot be: another build looks */
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}

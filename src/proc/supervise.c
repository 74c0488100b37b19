/* SPDX-License-Identifier: Apache-2.0
 *
 * supervise.c: keeps the roles running. One thread polls a signalfd and the children's readiness pipes; signal handlers
 * do not exist here, so nothing runs at a bad moment.
 */
#include "proc/internal.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHILDREN_MAX 16
#define PASS_MAX 16
#define FIRST_FD 3 /* SD_LISTEN_FDS_START */
/* timeout(1) and others signal the process and then its group: twice, but meant once. */
#define SAME_STOP_MS 500

struct child {
	const struct child_spec *spec;
	pid_t pid; /* 0: not running */
	int ready_fd;
	char said[16];
	size_t said_n;
	bool ready;      /* this run */
	bool ever_ready; /* any run */
	bool reload_due; /* a SIGHUP came before it could take one */
	bool asked;      /* to stop */
	int64_t started_ms, restart_at_ms, delay_ms;
};

struct supervisor {
	struct supervisor_spec spec;
	struct child children[CHILDREN_MAX];
	sigset_t old_mask;
	int signal_fd;
	pid_t self;
	bool all_ready;
	bool stopping, killed;
	int64_t stop_at_ms, kill_at_ms; /* asked at, ends at */
	int64_t watchdog_ms, ping_at_ms;
	struct rc rc; /* why it ends */
	struct err why;
};

static int64_t now_ms(const struct supervisor *s)
{
	return clock_mono_ms(s->spec.clock);
}

/* The service manager only watches: failing to reach it must not stop the service. */
static void tell_manager(const struct supervisor *s, struct str lines)
{
	struct err err = { 0 };
	if (FAILED(proc_notify(lines, &err)))
		LOG(s->spec.log, LOG_WARNING, "service manager not told", KV_ERR(&err));
}

/* --- in the child, between fork and exec --- */

static void child_die(const char *what)
{
	char line[256];
	int n = snprintf(line, sizeof line, "cairn: starting a program: %s: %s\n", what, proc_errno_text(errno));
	if (n > 0 && write(STDERR_FILENO, line, (size_t)n < sizeof line ? (size_t)n : sizeof line - 1) < 0) {
		/* Nobody is left to tell; the exit status says it too. */
	}
	_exit(127);
}

/* The sockets and the pipe become 3, 4, 5 ... First all of them go out of the way, because one may sit where another
 * belongs. */
static void child_place_fds(const struct child_spec *spec, int ready_fd)
{
	int fds[PASS_MAX + 1];
	int count = (int)spec->pass_count + 1;
	for (int i = 0; i < count; i++) {
		int from = i + 1 < count ? spec->pass[i].fd : ready_fd;
		fds[i] = fcntl(from, F_DUPFD_CLOEXEC, FIRST_FD + PASS_MAX + 1);
		if (fds[i] < 0)
			child_die("fcntl");
	}
	for (int i = 0; i < count; i++) {
		if (dup2(fds[i], FIRST_FD + i) < 0) /* the copy stays open across exec */
			child_die("dup2");
	}
	/* Everything of ours is close-on-exec already; this is for what our own caller left open. */
	(void)close_range((unsigned)(FIRST_FD + count), ~0U, CLOSE_RANGE_CLOEXEC);
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null < 0 || dup2(null, STDIN_FILENO) < 0)
		child_die("/dev/null");
}

static void child_setenv(const char *name, const char *value)
{
	if (setenv(name, value, 1) != 0)
		child_die("setenv");
}

static void child_environment(const struct child_spec *spec)
{
	char number[24];
	char names[PASS_MAX * 64] = "";
	size_t n = 0;
	for (size_t i = 0; i < spec->pass_count; i++) {
		int more = snprintf(names + n, sizeof names - n, "%s%s", i == 0 ? "" : ":", spec->pass[i].name);
		if (more < 0 || (size_t)more >= sizeof names - n)
			child_die("LISTEN_FDNAMES");
		n += (size_t)more;
	}
	/* The supervisor alone talks to the service manager. */
	(void)unsetenv("NOTIFY_SOCKET");
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	(void)snprintf(number, sizeof number, "%zu", spec->pass_count);
	child_setenv("LISTEN_FDS", number);
	(void)snprintf(number, sizeof number, "%ld", (long)getpid());
	child_setenv("LISTEN_PID", number);
	child_setenv("LISTEN_FDNAMES", names);
	(void)snprintf(number, sizeof number, "%zu", FIRST_FD + spec->pass_count);
	child_setenv("CAIRN_READY_FD", number);
}

static void child_run(const struct supervisor *s, const struct child_spec *spec, int ready_fd)
{
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
		child_die("prctl");
	if (getppid() != s->self) /* it died before the line above could count */
		_exit(127);
	/* Ctrl-C is for the supervisor, which then stops the roles in order. */
	(void)setpgid(0, 0);
	static const int defaults[] = { SIGPIPE, SIGHUP, SIGTERM, SIGINT, SIGCHLD };
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		(void)signal(defaults[i], SIG_DFL); /* an ignored signal stays ignored across exec */
	child_place_fds(spec, ready_fd);
	child_environment(spec);
	if (sigprocmask(SIG_SETMASK, &s->old_mask, NULL) != 0)
		child_die("sigprocmask");
	/* execv wants pointers to char and changes none of them. */
	union {
		const char *const *in;
		char *const *out;
	} argv = { .in = spec->argv };
	(void)execv(spec->argv[0], argv.out);
	child_die(spec->argv[0]);
}

/* --- one child --- */

static fallible child_start(struct supervisor *s, struct child *c, struct err *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC | O_NONBLOCK) != 0)
		FAIL(err, ERR_IO, "a pipe for %s: %s", c->spec->name, proc_errno_text(errno));
	pid_t pid = fork();
	if (pid == 0)
		child_run(s, c->spec, fds[1]);
	int saved = errno;
	(void)close(fds[1]);
	if (pid < 0) {
		(void)close(fds[0]);
		FAIL(err, ERR_IO, "starting %s: fork: %s", c->spec->name, proc_errno_text(saved));
	}
	c->pid = pid;
	c->ready_fd = fds[0];
	c->said_n = 0;
	c->ready = c->reload_due = false;
	c->started_ms = now_ms(s);
	LOG(s->spec.log, LOG_INFO, "child started", KV_Z("child", c->spec->name), KV_I64("pid", pid));
	return OK;
}

static void child_schedule(struct supervisor *s, struct child *c)
{
	int64_t now = now_ms(s);
	bool settled = now - c->started_ms >= s->spec.settled_ms;
	if (c->delay_ms == 0 || settled)
		c->delay_ms = s->spec.backoff_ms;
	else
		c->delay_ms = c->delay_ms > s->spec.backoff_max_ms / 2 ? s->spec.backoff_max_ms : c->delay_ms * 2;
	c->restart_at_ms = now + c->delay_ms;
}

static void check_all_ready(struct supervisor *s)
{
	if (s->stopping)
		return;
	for (size_t i = 0; i < s->spec.count; i++) {
		if (!s->children[i].ready)
			return;
	}
	tell_manager(s, STR("READY=1\nSTATUS=serving"));
	if (s->all_ready)
		return;
	s->all_ready = true;
	LOG(s->spec.log, LOG_NOTICE, "ready", KV_U64("children", s->spec.count));
	if (s->spec.ready != NULL)
		s->spec.ready(s->spec.ctx);
}

static void child_signal(const struct child *c, int number)
{
	if (c->pid > 0) /* not reaped yet, so the number is still its own */
		(void)kill(c->pid, number);
}

static void child_is_ready(struct supervisor *s, struct child *c)
{
	c->ready = c->ever_ready = true;
	LOG(s->spec.log, LOG_INFO, "child ready", KV_Z("child", c->spec->name), KV_I64("pid", c->pid),
	    KV_I64("after_ms", now_ms(s) - c->started_ms));
	if (c->reload_due)
		child_signal(c, SIGHUP);
	c->reload_due = false;
	check_all_ready(s);
}

/* The first line that the child writes; what follows is not read. */
static void child_read_ready(struct supervisor *s, struct child *c)
{
	static const struct str word = { "READY=1\n", 8 };
	ssize_t got = read(c->ready_fd, c->said + c->said_n, sizeof c->said - c->said_n);
	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got > 0)
		c->said_n += (size_t)got;
	bool said = str_starts(str_n(c->said, c->said_n), word);
	if (got > 0 && !said && c->said_n < word.n)
		return;
	fd_close(&c->ready_fd);
	if (said)
		child_is_ready(s, c);
}

/* --- stopping --- */

static void stop_next(struct supervisor *s)
{
	for (size_t i = 0; i < s->spec.count; i++) {
		struct child *c = &s->children[i];
		if (c->pid == 0)
			continue;
		if (!c->asked)
			child_signal(c, SIGTERM);
		c->asked = true;
		return; /* the next one follows when this one has ended */
	}
}

static void stop_begin(struct supervisor *s)
{
	if (s->stopping)
		return;
	s->stopping = true;
	s->stop_at_ms = now_ms(s);
	s->kill_at_ms = s->stop_at_ms + s->spec.stop_ms;
	LOG(s->spec.log, LOG_NOTICE, "stopping", KV_I64("limit_ms", s->spec.stop_ms));
	tell_manager(s, STR("STOPPING=1\nSTATUS=stopping"));
	stop_next(s);
}

static void kill_rest(struct supervisor *s, const char *why)
{
	if (s->killed)
		return;
	s->killed = true;
	for (size_t i = 0; i < s->spec.count; i++) {
		struct child *c = &s->children[i];
		if (c->pid == 0)
			continue;
		LOG(s->spec.log, LOG_WARNING, "child killed", KV_Z("child", c->spec->name), KV_I64("pid", c->pid),
		    KV_Z("why", why));
		child_signal(c, SIGKILL);
	}
}

static bool any_running(const struct supervisor *s)
{
	for (size_t i = 0; i < s->spec.count; i++) {
		if (s->children[i].pid != 0)
			return true;
	}
	return false;
}

static struct str show_status(struct arena *mem, int status)
{
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
		return str_fmt(mem, "its sandbox refused a system call, which its own last line names");
	if (WIFSIGNALED(status))
		return str_fmt(mem, "signal %d (%s)", WTERMSIG(status), sigdescr_np(WTERMSIG(status)));
	return str_fmt(mem, "exit status %d", WEXITSTATUS(status));
}

static void child_ended(struct supervisor *s, struct child *c, int status)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str how = show_status(&mem, status);
	pid_t pid = c->pid;
	/* Readiness may still lie in the pipe. */
	if (c->ready_fd >= 0)
		child_read_ready(s, c);
	fd_close(&c->ready_fd);
	c->pid = 0;
	c->ready = false;
	enum log_level level = s->stopping ? LOG_INFO : LOG_ERROR;
	LOG(s->spec.log, level, "child ended", KV_Z("child", c->spec->name), KV_I64("pid", pid), KV_STR("how", how),
	    KV_I64("after_ms", now_ms(s) - c->started_ms));
	if (s->stopping) {
		stop_next(s);
	} else if (c->spec->critical && !c->ever_ready) {
		err_set(&s->why, ERR_CLOSED, "%s ended before it was ready (%.*s); its own last lines above say why",
			c->spec->name, STR_FMT(how));
		s->rc = (struct rc){ ERR_CLOSED };
		stop_begin(s);
	} else {
		child_schedule(s, c);
		struct str status_line = str_fmt(&mem, "STATUS=%s is being restarted", c->spec->name);
		tell_manager(s, status_line);
	}
}

static void reap(struct supervisor *s)
{
	for (size_t i = 0; i < s->spec.count; i++) {
		struct child *c = &s->children[i];
		int status = 0;
		if (c->pid != 0 && waitpid(c->pid, &status, WNOHANG) == c->pid)
			child_ended(s, c, status);
	}
}

/* --- signals and time --- */

static void reload(struct supervisor *s)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	if (s->stopping)
		return;
	tell_manager(s, str_fmt(&mem, "RELOADING=1\nMONOTONIC_USEC=%" PRId64, clock_mono_ms(&clock_system) * 1000));
	if (s->spec.reload != NULL && FAILED(s->spec.reload(s->spec.ctx, &err))) {
		LOG(s->spec.log, LOG_ERROR, "configuration not taken over", KV_ERR(&err));
		tell_manager(s, STR("READY=1\nSTATUS=serving with the old configuration: the new one is wrong"));
		return;
	}
	for (size_t i = 0; i < s->spec.count; i++) {
		struct child *c = &s->children[i];
		if (c->ready)
			child_signal(c, SIGHUP);
		else
			c->reload_due = c->pid != 0;
	}
	LOG(s->spec.log, LOG_NOTICE, "configuration reloaded");
	tell_manager(s, STR("READY=1\nSTATUS=serving"));
}

static void take_signals(struct supervisor *s)
{
	struct signalfd_siginfo info;
	while (read(s->signal_fd, &info, sizeof info) == (ssize_t)sizeof info) {
		if (info.ssi_signo == SIGCHLD)
			reap(s);
		else if (info.ssi_signo == SIGHUP)
			reload(s);
		else if (!s->stopping)
			stop_begin(s);
		else if (now_ms(s) - s->stop_at_ms >= SAME_STOP_MS)
			kill_rest(s, "asked to stop twice");
	}
}

static void run_due(struct supervisor *s)
{
	int64_t now = now_ms(s);
	if (s->watchdog_ms > 0 && now >= s->ping_at_ms) {
		tell_manager(s, STR("WATCHDOG=1"));
		s->ping_at_ms = now + s->watchdog_ms;
	}
	if (s->stopping) {
		if (now >= s->kill_at_ms)
			kill_rest(s, "did not end in time");
		return;
	}
	for (size_t i = 0; i < s->spec.count; i++) {
		struct child *c = &s->children[i];
		struct err err = { 0 };
		if (c->pid != 0 || now < c->restart_at_ms)
			continue;
		if (FAILED(child_start(s, c, &err))) {
			LOG(s->spec.log, LOG_ERROR, "child not started", KV_ERR(&err));
			child_schedule(s, c);
		}
	}
}

static int next_wait(const struct supervisor *s)
{
	int64_t at = INT64_MAX;
	if (s->watchdog_ms > 0)
		at = s->ping_at_ms;
	if (s->stopping && !s->killed && s->kill_at_ms < at)
		at = s->kill_at_ms;
	for (size_t i = 0; i < s->spec.count && !s->stopping; i++) {
		if (s->children[i].pid == 0 && s->children[i].restart_at_ms < at)
			at = s->children[i].restart_at_ms;
	}
	if (at == INT64_MAX)
		return -1;
	int64_t wait = at - now_ms(s);
	return wait < 0 ? 0 : wait > 60000 ? 60000 : (int)wait;
}

static fallible run(struct supervisor *s, struct err *err)
{
	for (;;) {
		run_due(s);
		if (s->stopping && !any_running(s))
			return OK;
		struct pollfd fds[1 + CHILDREN_MAX] = { { .fd = s->signal_fd, .events = POLLIN } };
		for (size_t i = 0; i < s->spec.count; i++)
			fds[1 + i] = (struct pollfd){ .fd = s->children[i].ready_fd, .events = POLLIN };
		if (poll(fds, 1 + (nfds_t)s->spec.count, next_wait(s)) < 0 && errno != EINTR)
			FAIL(err, ERR_IO, "poll: %s", proc_errno_text(errno));
		for (size_t i = 0; i < s->spec.count; i++) {
			if (fds[1 + i].revents != 0 && s->children[i].ready_fd == fds[1 + i].fd)
				child_read_ready(s, &s->children[i]);
		}
		if (fds[0].revents != 0)
			take_signals(s);
	}
}

/* --- start and end --- */

static int64_t or_default(int64_t value, int64_t deflt)
{
	return value > 0 ? value : deflt;
}

static fallible open_signals(struct supervisor *s, struct err *err)
{
	sigset_t set;
	(void)sigemptyset(&set);
	static const int ours[] = { SIGTERM, SIGINT, SIGHUP, SIGCHLD };
	for (size_t i = 0; i < ARRAY_LEN(ours); i++)
		(void)sigaddset(&set, ours[i]);
	if (sigprocmask(SIG_BLOCK, &set, &s->old_mask) != 0)
		FAIL(err, ERR_IO, "sigprocmask: %s", proc_errno_text(errno));
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0) {
		int saved = errno;
		(void)sigprocmask(SIG_SETMASK, &s->old_mask, NULL);
		FAIL(err, ERR_IO, "signalfd: %s", proc_errno_text(saved));
	}
	return OK;
}

/* Only after an error of our own: no child may be left behind. */
static void reap_rest(struct supervisor *s)
{
	kill_rest(s, "the supervisor failed");
	for (size_t i = 0; i < s->spec.count; i++) {
		struct child *c = &s->children[i];
		while (c->pid != 0 && waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
			continue;
		c->pid = 0;
		fd_close(&c->ready_fd);
	}
}

fallible supervise(const struct supervisor_spec *spec, struct err *err)
{
	assert(spec->count >= 1 && spec->count <= CHILDREN_MAX);
	struct supervisor s = { .spec = *spec, .signal_fd = -1, .self = getpid(), .rc = OK };
	s.spec.stop_ms = or_default(spec->stop_ms, 30000);
	s.spec.backoff_ms = or_default(spec->backoff_ms, 100);
	s.spec.backoff_max_ms = or_default(spec->backoff_max_ms, 5000);
	s.spec.settled_ms = or_default(spec->settled_ms, 30000);
	s.watchdog_ms = proc_watchdog_ms();
	for (size_t i = 0; i < spec->count; i++) {
		assert(spec->children[i].pass_count <= PASS_MAX);
		s.children[i] =
			(struct child){ .spec = &spec->children[i], .ready_fd = -1, .restart_at_ms = INT64_MIN };
	}
	TRY(open_signals(&s, err));
	struct rc rc = run(&s, err);
	if (FAILED(rc)) {
		reap_rest(&s);
	} else if (FAILED(s.rc)) {
		if (err != NULL)
			*err = s.why;
		rc = s.rc;
	}
	fd_close(&s.signal_fd);
	(void)sigprocmask(SIG_SETMASK, &s.old_mask, NULL);
	return rc;
}

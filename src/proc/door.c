/* SPDX-License-Identifier: Apache-2.0
 *
 * door.c: the child that connects and opens for a sandboxed program. A request is one packet: what is wanted and a path;
 * the answer is one packet: an errno, and with 0 a descriptor. The parent may be in strangers' hands: the child believes
 * the length of a packet and compares the path with its own list, byte by byte.
 */
#include "proc/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MS 5000
#define REFUSALS_MAX 20 /* more of them are not told: they come from somebody who has no end of them */

enum want { WANT_CONNECTION = 1, WANT_FILE };
struct request {
	uint8_t want;
	char path[PATH_MAX]; /* as many bytes as there are, without NUL */
};

struct door {
	pthread_mutex_t lock; /* one request at a time */
	int fd;               /* -1: gone */
};

/* --- the child ----------------------------------------------------------------------------------------------------*/
struct doorman {
	const struct door_spec *spec;
	const struct log *log;
	int fd;
	struct arena mem; /* of the list */
	const char *const *paths;
	size_t path_count;
	unsigned refusals;
};

static int answer(int fd, int number, int passed)
{
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .room = { 0 } };
	struct iovec body = { .iov_base = &number, .iov_len = sizeof number };
	struct msghdr m = { .msg_iov = &body, .msg_iovlen = 1 };
	if (passed >= 0) {
		m.msg_control = control.room;
		m.msg_controllen = sizeof control.room;
		struct cmsghdr *c = CMSG_FIRSTHDR(&m);
		*c = (struct cmsghdr){ .cmsg_level = SOL_SOCKET,
				       .cmsg_type = SCM_RIGHTS,
				       .cmsg_len = CMSG_LEN(sizeof passed) };
		memcpy(CMSG_DATA(c), &passed, sizeof passed);
	}
	return sendmsg(fd, &m, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

static void refused(struct doorman *d, struct str path)
{
	if (d->refusals++ < REFUSALS_MAX)
		LOG(d->log, LOG_ERROR, "alarm: the door was asked for what the configuration does not name",
		    KV_STR("path", path));
}

static void list_refresh(struct doorman *d)
{
	struct arena mem = { 0 };
	const char *const *paths;
	size_t count;
	/* A configuration that is wrong is the parent's to tell: it reads the same one now. */
	if (FAILED(d->spec->paths(d->spec->ctx, &mem, &paths, &count, NULL))) {
		arena_done(&mem);
		return;
	}
	arena_done(&d->mem);
	d->mem = mem;
	d->paths = paths;
	d->path_count = count;
}

static const char *list_find(const struct doorman *d, struct str path)
{
	for (size_t i = 0; i < d->path_count; i++) {
		if (str_eq(str_z(d->paths[i]), path))
			return d->paths[i];
	}
	return NULL;
}

/* O_NONBLOCK: a FIFO must not hold the door. */
static int file_for(struct doorman *d, struct str path)
{
	const char *z = d->spec->conf_path;
	if (str_eq(str_z(z), path))
		list_refresh(d);
	else
		z = list_find(d, path);
	if (z == NULL) {
		refused(d, path);
		errno = EACCES;
		return -1;
	}
	return open(z, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
}

static int connection_for(struct doorman *d)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	if (d->spec->socket == NULL || strlen(d->spec->socket) >= sizeof to.sun_path) {
		refused(d, STR("(a connection)"));
		errno = EACCES;
		return -1;
	}
	memcpy(to.sun_path, d->spec->socket, strlen(d->spec->socket));
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd >= 0 && connect(fd, (const struct sockaddr *)&to, sizeof to) != 0) {
		int saved = errno;
		(void)close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* Until the parent ends, or says what it never says. */
static void serve(struct doorman *d)
{
	struct request r;
	for (;;) {
		ssize_t n = recv(d->fd, &r, sizeof r, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 1 || (r.want != WANT_CONNECTION && r.want != WANT_FILE))
			return;
		struct str path = str_n(r.path, (size_t)n - 1);
		AUTO(fd_close) int fd = r.want == WANT_FILE ? file_for(d, path) : connection_for(d);
		if (answer(d->fd, fd < 0 ? errno : 0, fd) != 0)
			return;
	}
}

static fallible lock_down(const struct door_spec *spec, struct err *err)
{
	struct sandbox_spec own = *spec->sandbox;
	own.role = SANDBOX_DOOR;
	own.paths = NULL;
	own.path_count = 0;
	own.network = own.database = false;
	own.port_count = 0;
	TRY(sandbox_files(&own, err));
	return sandbox_calls(&own, err);
}

static _Noreturn void child(const struct door_spec *spec, int fd, pid_t parent)
{
	struct err err = { 0 };
	struct doorman d = { .spec = spec, .log = spec->sandbox->log, .fd = fd };
	(void)prctl(PR_SET_NAME, "cairn-door");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)
		_exit(1);
	/* What was passed to the parent is none of ours: a port would stay open as long as we live. */
	(void)close_range(3, (unsigned)fd - 1, 0);
	(void)close_range((unsigned)fd + 1, ~0U, 0);
	list_refresh(&d);
	if (FAILED(lock_down(spec, &err))) {
		LOG(d.log, LOG_ERROR, "the door does not open", KV_ERR(&err));
		_exit(1);
	}
	serve(&d);
	_exit(0);
}

/* --- the parent ---------------------------------------------------------------------------------------------------*/
fallible door_open(const struct door_spec *spec, struct door **ret, struct err *err)
{
	int fds[2];
	pid_t self = getpid();
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
		FAIL(err, ERR_IO, "a door: socketpair: %s", proc_errno_text(errno));
	pid_t pid = fork();
	if (pid == 0)
		child(spec, fds[1], self);
	int saved = errno;
	(void)close(fds[1]);
	if (pid < 0) {
		(void)close(fds[0]);
		FAIL(err, ERR_IO, "a door: fork: %s", proc_errno_text(saved));
	}
	struct door *d = mem_alloc(sizeof *d);
	(void)pthread_mutex_init(&d->lock, NULL);
	d->fd = fds[0];
	*ret = d;
	return OK;
}

/* A descriptor, or -1 with errno; EPIPE, which neither open nor connect says: the door is gone. */
static int answer_read(int fd)
{
	int number = 0;
	int passed = -1;
	union {
		char room[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control = { .room = { 0 } };
	struct iovec body = { .iov_base = &number, .iov_len = sizeof number };
	struct msghdr m = {
		.msg_iov = &body, .msg_iovlen = 1, .msg_control = control.room, .msg_controllen = sizeof control.room
	};
	ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&m);
	if (c != NULL && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
	    c->cmsg_len == CMSG_LEN(sizeof passed))
		memcpy(&passed, CMSG_DATA(c), sizeof passed);
	if (n == (ssize_t)sizeof number && (number == 0) == (passed >= 0)) {
		errno = number;
		return passed;
	}
	fd_close(&passed);
	errno = EPIPE;
	return -1;
}

static int ask_locked(struct door *d, const struct request *r, size_t n)
{
	struct pollfd wait = { .fd = d->fd, .events = POLLIN };
	if (d->fd < 0 || send(d->fd, r, n, MSG_NOSIGNAL) != (ssize_t)n) {
		errno = EPIPE;
		return -1;
	}
	int got = poll(&wait, 1, ANSWER_MS); /* all signals that have handlers are blocked, so it is not interrupted */
	if (got > 0)
		return answer_read(d->fd);
	errno = EPIPE;
	return -1;
}

/* After a late answer nobody knows which question the next one is for: then the door is gone, too. */
static int ask(struct door *d, enum want want, const char *path)
{
	struct request r = { .want = (uint8_t)want };
	size_t n = strlen(path);
	if (n > sizeof r.path) {
		errno = ENAMETOOLONG;
		return -1;
	}
	memcpy(r.path, path, n);
	(void)pthread_mutex_lock(&d->lock);
	int fd = ask_locked(d, &r, n + 1);
	int saved = errno;
	if (fd < 0 && saved == EPIPE)
		fd_close(&d->fd);
	(void)pthread_mutex_unlock(&d->lock);
	errno = saved;
	return fd;
}

fallible door_connect(struct door *d, int *ret_fd, struct err *err)
{
	int fd = ask(d, WANT_CONNECTION, "");
	if (fd < 0 && errno == EPIPE)
		FAIL(err, ERR_CLOSED, "the door, which makes this program's connections, has ended");
	if (fd < 0)
		FAIL(err, ERR_IO, "connect: %s", proc_errno_text(errno));
	*ret_fd = fd;
	return OK;
}

int door_file(struct door *d, const char *path)
{
	return ask(d, WANT_FILE, path);
}

void door_close(struct door *d)
{
	if (d == NULL)
		return;
	fd_close(&d->fd);
	(void)pthread_mutex_destroy(&d->lock);
	free(d);
}

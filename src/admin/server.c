/* SPDX-License-Identifier: Apache-2.0
 *
 * server.c: the socket in cairn-api. One thread accepts, looks who it is and hands the connection to one of a few others,
 * which reads the request, has it performed and writes the answer, in that order and without an event loop: there are
 * never many operators, and an operation may wait for the store.
 */
#include "admin/internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define STACK (256 * 1024)
#define ACCEPT_PAUSE_MS 100 /* when the system has no descriptor left */

const struct admin_limits admin_limits_default = { .connections = 8, .request_ms = 5000, .answer_ms = 5000 };

struct view { /* a configuration in use */
	struct conf *conf;
	unsigned refs; /* under the server's lock */
};

struct admin {
	struct admin_deps d;
	struct admin_limits limits;
	char path[sizeof((struct sockaddr_un *)NULL)->sun_path];
	int listen_fd, stop_fd;
	pthread_t thread;
	bool running;
	struct workers *workers;
	pthread_mutex_t lock;
	struct view *view;
	unsigned connections;
};

struct visit {
	struct admin *a;
	int fd;
	uid_t uid;
	int64_t deadline_ms;
};

/* --- the configuration ----------------------------------------------------------------------------------------------*/
static struct view *view_get(struct admin *a)
{
	(void)pthread_mutex_lock(&a->lock);
	struct view *v = a->view;
	v->refs++;
	(void)pthread_mutex_unlock(&a->lock);
	return v;
}

static void view_put(struct admin *a, struct view *v)
{
	(void)pthread_mutex_lock(&a->lock);
	bool last = --v->refs == 0;
	(void)pthread_mutex_unlock(&a->lock);
	if (!last)
		return;
	conf_free(v->conf);
	free(v);
}

static struct view *view_new(struct conf *conf)
{
	struct view *v = mem_alloc(sizeof *v);
	*v = (struct view){ .conf = conf, .refs = 1 };
	return v;
}

void admin_reload(struct admin *a, struct conf *conf)
{
	struct view *fresh = view_new(conf);
	(void)pthread_mutex_lock(&a->lock);
	struct view *old = a->view;
	a->view = fresh;
	(void)pthread_mutex_unlock(&a->lock);
	view_put(a, old);
}

/* --- one connection -------------------------------------------------------------------------------------------------*/
static void log_failure(const struct admin *a, uid_t uid, const struct err *why)
{
	enum log_level level = why->kind == ERR_INTERNAL || why->kind == ERR_IO ? LOG_ERROR : LOG_INFO;
	LOG(a->d.log, level, "admin request failed", KV_U64("uid", uid), KV_ERR(why));
}

void admin_answer(struct admin *a, struct str request, uid_t uid, struct buf *ret)
{
	struct err err = { 0 };
	struct view *v = view_get(a);
	if (FAILED(admin_perform(&a->d, v->conf, uid, request, ret, &err))) {
		log_failure(a, uid, &err);
		admin_refuse(&err, ret);
	}
	view_put(a, v);
}

static fallible serve_request(const struct visit *v, struct buf *out, struct err *err)
{
	AUTO(buf_done) struct buf in = BUF_MAX(2 * (FRAME_HEAD + ADMIN_REQUEST_MAX));
	struct str request = STR_NONE;
	const struct wire w = {
		.fd = v->fd, .stop_fd = v->a->stop_fd, .deadline_ms = v->deadline_ms, .clk = v->a->d.clk
	};
	TRY(wire_receive(&w, ADMIN_REQUEST, ADMIN_REQUEST_MAX, &in, &request, err));
	admin_answer(v->a, request, v->uid, out);
	return OK;
}

static void send_answer(const struct admin *a, int fd, uid_t uid, int64_t wait_ms, struct str answer)
{
	struct err err = { 0 };
	const struct wire w = {
		.fd = fd, .stop_fd = -1, .deadline_ms = clock_mono_ms(a->d.clk) + wait_ms, .clk = a->d.clk
	};
	if (FAILED(wire_send(&w, ADMIN_ANSWER, answer, &err)))
		LOG(a->d.log, LOG_INFO, "admin answer not taken", KV_U64("uid", uid), KV_ERR(&err));
}

static void connection_ended(struct admin *a)
{
	(void)pthread_mutex_lock(&a->lock);
	a->connections--;
	(void)pthread_mutex_unlock(&a->lock);
}

static void visit_run(void *arg)
{
	struct visit *v = arg;
	struct err err = { 0 };
	AUTO(wipe_done) struct buf out = BUF_MAX(ADMIN_ANSWER_MAX);
	char *at = NULL;
	struct rc rc = buf_room(&out, ADMIN_ROOM, &at, &err);
	if (!FAILED(rc))
		rc = serve_request(v, &out, &err);
	if (FAILED(rc)) {
		log_failure(v->a, v->uid, &err);
		admin_refuse(&err, &out);
	}
	if (out.n > 0)
		send_answer(v->a, v->fd, v->uid, v->a->limits.answer_ms, buf_str(&out));
	fd_close(&v->fd);
	connection_ended(v->a);
	free(v);
}

/* --- accepting ------------------------------------------------------------------------------------------------------*/
/* The file's mode keeps others out already; this holds also where somebody has loosened it. */
static fallible check_peer(int fd, uid_t *ret, struct err *err)
{
	uid_t uid = 0;
	pid_t pid = 0;
	TRY(unix_peer(fd, &uid, &pid, err));
	if (uid != 0 && uid != geteuid())
		FAIL(err, ERR_UNAUTHORIZED, "uid %u (pid %d) may not use the admin socket; allowed: root and uid %u",
		     (unsigned)uid, (int)pid, (unsigned)geteuid());
	*ret = uid;
	return OK;
}

static fallible take_seat(struct admin *a, struct err *err)
{
	(void)pthread_mutex_lock(&a->lock);
	bool full = a->connections == a->limits.connections;
	a->connections += full ? 0 : 1;
	(void)pthread_mutex_unlock(&a->lock);
	if (full)
		FAIL(err, ERR_UNAVAILABLE, "%u commands are served already: try again in a moment",
		     a->limits.connections);
	return OK;
}

static fallible admit(struct admin *a, int *fd, struct err *err)
{
	uid_t uid = 0;
	TRY(check_peer(*fd, &uid, err));
	TRY(take_seat(a, err));
	struct visit *v = mem_alloc(sizeof *v);
	*v = (struct visit){
		.a = a, .fd = *fd, .uid = uid, .deadline_ms = clock_mono_ms(a->d.clk) + a->limits.request_ms
	};
	struct rc rc = workers_submit(a->workers, visit_run, v, err);
	if (FAILED(rc)) {
		connection_ended(a);
		free(v);
		return rc;
	}
	*fd = -1;
	return OK;
}

/* Who is not served is told why, with what the socket takes at once. */
static void turn_away(const struct admin *a, int fd, const struct err *why)
{
	AUTO(buf_done) struct buf out = BUF_MAX(8 * 1024);
	LOG(a->d.log, LOG_WARNING, "admin connection refused", KV_ERR(why));
	admin_refuse(why, &out);
	send_answer(a, fd, 0, 0, buf_str(&out));
}

/* false: the system has no room for a connection now. */
static bool accept_one(struct admin *a)
{
	struct err why = { 0 };
	AUTO(fd_close) int fd = accept4(a->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED;
	if (FAILED(admit(a, &fd, &why)))
		turn_away(a, fd, &why);
	return true;
}

static void *accept_main(void *arg)
{
	struct admin *a = arg;
	struct pollfd fds[] = { { .fd = a->stop_fd, .events = POLLIN }, { .fd = a->listen_fd, .events = POLLIN } };
	nfds_t watched = 2; /* 1: for a moment nobody is let in */
	for (;;) {
		int n = poll(fds, watched, watched == 1 ? ACCEPT_PAUSE_MS : -1);
		if (n > 0 && fds[0].revents != 0)
			return NULL;
		bool ready = watched == 2 && n > 0;
		watched = ready && !accept_one(a) ? 1 : 2;
	}
}

/* --- opening and closing --------------------------------------------------------------------------------------------*/
fallible admin_new(const struct admin_deps *deps, struct conf *conf, struct admin **ret, struct err *err)
{
	if (deps->seal_key->n != SEAL_KEY_LEN)
		FAIL(err, ERR_INTERNAL, "a sealing key of %zu bytes, wanted %d", deps->seal_key->n, SEAL_KEY_LEN);
	struct admin *a = mem_alloc(sizeof *a);
	a->d = *deps;
	a->listen_fd = a->stop_fd = -1;
	(void)pthread_mutex_init(&a->lock, NULL);
	a->view = view_new(conf);
	*ret = a;
	return OK;
}

static fallible check_folder(const char *path, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const char *slash = strrchr(path, '/');
	size_t n = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
	const char *folder = n == 0 ? "." : str_dupz_raw(&mem, str_n(path, n));
	struct stat st;
	if (stat(folder, &st) != 0)
		FAIL(err, ERR_IO, "api.admin-socket: the folder %s: %s", folder, strerrordesc_np(errno));
	if ((st.st_mode & S_IWOTH) != 0)
		FAIL(err, ERR_CONFIG,
		     "api.admin-socket: everybody may write to the folder %s and could put another socket there; "
		     "allowed: a "
		     "folder of cairn's own",
		     folder);
	return OK;
}

fallible admin_serve(struct admin *a, const char *path, const struct admin_limits *limits, struct err *err)
{
	a->limits = *limits;
	if (strlen(path) >= sizeof a->path)
		FAIL(err, ERR_CONFIG, "api.admin-socket: \"%s\" has %zu characters, at most %zu are possible", path,
		     strlen(path), sizeof a->path - 1);
	TRY(check_folder(path, err));
	a->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (a->stop_fd < 0)
		FAIL(err, ERR_IO, "eventfd: %s", strerrordesc_np(errno));
	TRY(workers_new("admin", limits->connections, limits->connections, STACK, &a->workers, err));
	TRY(unix_listen(path, 0600, &a->listen_fd, err));
	memcpy(a->path, path, strlen(path) + 1);
	int rc = pthread_create(&a->thread, NULL, accept_main, a);
	if (rc != 0)
		FAIL(err, ERR_IO, "cannot start the admin socket's thread: %s", strerrordesc_np(rc));
	a->running = true;
	return OK;
}

void admin_free(struct admin *a)
{
	if (a == NULL)
		return;
	if (a->stop_fd >= 0)
		(void)eventfd_write(a->stop_fd, 1); /* never read: it stays readable for everybody who waits */
	if (a->running)
		(void)pthread_join(a->thread, NULL);
	workers_free(a->workers);
	if (a->listen_fd >= 0)
		(void)unlink(a->path); /* before close: until then nobody takes the path for a stale one */
	fd_close(&a->listen_fd);
	fd_close(&a->stop_fd);
	view_put(a, a->view);
	(void)pthread_mutex_destroy(&a->lock);
	free(a);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * server.c: shards (a loop and a thread each), accepting within limits, draining and stopping.
 */
#include "http/conn.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

/* Accepted in one go, so that several loops share a burst. */
#define ACCEPT_BATCH 16
#define ACCEPT_PAUSE_MS 100
/* A connection that is being read may be sacrificed for a new one after this long. */
#define EVICT_AFTER_MS 1000
/* Steps of handshakes in one go, each up to half a millisecond of arithmetic; between two goes the open connections have
 * their turn. */
#define SHAKES_IN_A_GO 4
/* --- accepting --------------------------------------------------------------------------------------------------- */

/* Room for a new one: THREATS A73, whoever waits longest without sending goes first. */
static bool evict_one(struct shard *s)
{
	struct conn *c = TAILQ_FIRST(&s->idle);
	if (c == NULL) {
		c = TAILQ_FIRST(&s->reading);
		if (c == NULL || loop_now_ms(s->loop) - c->waits_since < EVICT_AFTER_MS)
			return false;
	}
	conn_kill(c);
	return true;
}

static void uncount(struct http_server *server)
{
	pthread_mutex_lock(&server->lock);
	atomic_fetch_sub(&server->open, 1);
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
}

static void admit(struct shard *s, int fd, const struct sockaddr_storage *sa)
{
	struct http_server *server = s->server;
	struct addr peer = { .family = AF_UNSPEC };
	uint16_t port = 0;
	(void)addr_of_sockaddr(sa, &peer, &port); /* a Unix socket has none */
	atomic_fetch_add(&server->accepted, 1);
	unsigned before = atomic_fetch_add(&server->open, 1);
	if (before >= server->limits.connections_max && !evict_one(s)) {
		(void)close(fd);
		uncount(server);
		return;
	}
	if (!peers_enter(server->peers, &peer)) {
		(void)close(fd);
		uncount(server);
		return;
	}
	conn_new(s, fd, &peer, port);
}

static void listeners_set(struct shard *s, unsigned events)
{
	for (size_t i = 0; i < s->server->fd_count; i++) {
		if (s->listeners[i].io != NULL && FAILED(loop_io_set(s->listeners[i].io, events, NULL)))
			loop_timer_set(s->accept_again, ACCEPT_PAUSE_MS);
	}
}

static void on_accept_again(struct loop *l, void *arg)
{
	(void)l;
	listeners_set(arg, LOOP_READ);
}

/* Out of descriptors or memory: the connection stays in the backlog, where it would wake us for ever. So make room, and
 * look again a little later. */
static void accept_later(struct shard *s)
{
	(void)evict_one(s);
	listeners_set(s, 0);
	loop_timer_set(s->accept_again, ACCEPT_PAUSE_MS);
}

static void on_listener(struct loop *l, unsigned events, void *arg)
{
	(void)l;
	(void)events;
	const struct listener *in = arg;
	for (unsigned i = 0; i < ACCEPT_BATCH; i++) {
		struct sockaddr_storage sa = { 0 };
		socklen_t n = sizeof sa;
		int fd = accept4(in->fd, (struct sockaddr *)&sa, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd >= 0) {
			admit(in->shard, fd, &sa);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			accept_later(in->shard);
			return;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK)
			return;
		/* else this one connection has failed already (accept(2)): the next */
	}
}

static void listeners_free(struct shard *s)
{
	for (size_t i = 0; i < s->server->fd_count; i++) {
		loop_io_free(s->listeners[i].io);
		s->listeners[i].io = NULL;
	}
	loop_timer_stop(s->accept_again);
}

/* --- handshakes: later than all else ------------------------------------------------------------------------------ */

void shard_shake(struct conn *c)
{
	struct shard *s = c->shard;
	c->shakes_since = loop_now_ms(s->loop);
	turns_add(&s->shaking, c);
	if (!s->shake_set)
		loop_timer_set(s->shake, 0);
	s->shake_set = true;
}

static void on_shake(struct loop *l, void *arg)
{
	struct shard *s = arg;
	s->shake_set = false;
	for (unsigned i = 0; i < SHAKES_IN_A_GO; i++) {
		struct conn *c = turns_next(&s->shaking, loop_now_ms(l));
		if (c == NULL)
			return;
		conn_shake(c);
	}
	loop_timer_set(s->shake, 0);
	s->shake_set = true;
}

/* --- memory ------------------------------------------------------------------------------------------------------ */

/* THREATS A73: many may each send nearly all of a request and then nothing. The slowest goes first. */
void shard_buffers_grew(struct shard *s)
{
	size_t most = s->server->limits.buffered_max / s->server->shard_count;
	struct conn *next = NULL;
	for (struct conn *c = TAILQ_FIRST(&s->reading); c != NULL && s->buffered > most; c = next) {
		next = TAILQ_NEXT(c, wait_link); /* killing one ends no other */
		if (c->buffered == 0)
			continue;
		atomic_fetch_add(&s->server->refused, 1);
		conn_kill(c);
	}
}

/* --- shards ------------------------------------------------------------------------------------------------------ */

static void *shard_main(void *arg)
{
	struct shard *s = arg;
	struct err err = { 0 };
	(void)prctl(PR_SET_NAME, "http-loop");
	struct rc rc = loop_run(s->loop, &err);
	/* epoll_wait fails only on a descriptor or memory that we broke ourselves */
	assert(!FAILED(rc));
	return NULL;
}

static void shard_drain(struct loop *l, void *arg)
{
	(void)l;
	struct shard *s = arg;
	listeners_free(s);
	struct conn *next = NULL;
	for (struct conn *c = TAILQ_FIRST(&s->all); c != NULL; c = next) {
		next = TAILQ_NEXT(c, all_link); /* draining one ends no other */
		conn_drain(c);
	}
	struct http_server *server = s->server;
	pthread_mutex_lock(&server->lock);
	server->drained++;
	pthread_cond_broadcast(&server->changed);
	pthread_mutex_unlock(&server->lock);
}

static void shard_stop(struct loop *l, void *arg)
{
	struct shard *s = arg;
	listeners_free(s);
	s->stopping = true;
	while (!TAILQ_EMPTY(&s->all))
		conn_kill(TAILQ_FIRST(&s->all));
	if (s->held == 0)
		loop_stop(l); /* else the last worker to come back does it */
}

static fallible shard_init(struct shard *s, struct http_server *server, struct err *err)
{
	s->server = server;
	TAILQ_INIT(&s->all);
	TAILQ_INIT(&s->idle);
	TAILQ_INIT(&s->reading);
	turns_init(&s->shaking);
	s->listeners = mem_alloc_n(sizeof *s->listeners, server->fd_count);
	s->scratch = mem_alloc(SCRATCH);
	TRY(loop_new(server->clk, &s->loop, err));
	s->accept_again = loop_timer_new(s->loop, on_accept_again, s);
	s->shake = loop_timer_new(s->loop, on_shake, s);
	return OK;
}

static int start_thread(struct shard *s)
{
	sigset_t old;
	signals_block(&old); /* also SIGPIPE, which a write of OpenSSL's would raise */
	int e = pthread_create(&s->thread, NULL, shard_main, s);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	s->started = e == 0;
	return e;
}

static fallible shard_start(struct shard *s, struct err *err)
{
	const struct http_server *server = s->server;
	for (size_t i = 0; i < server->fd_count; i++) {
		struct listener *in = &s->listeners[i];
		*in = (struct listener){ .shard = s, .fd = server->fds[i] };
		TRY(loop_watch(s->loop, in->fd, LOOP_READ | LOOP_EXCLUSIVE, on_listener, in, &in->io, err));
	}
	int e = start_thread(s);
	if (e != 0)
		FAIL(err, ERR_IO, "starting a thread: %s", strerror(e));
	return OK;
}

static void shard_done(struct shard *s)
{
	if (s->loop == NULL) {
		free(s->listeners);
		free(s->scratch);
		return;
	}
	if (s->started) {
		loop_post(s->loop, shard_stop, s);
		pthread_join(s->thread, NULL);
	} else {
		listeners_free(s);
	}
	loop_timer_free(s->accept_again);
	loop_timer_free(s->shake);
	loop_free(s->loop);
	free(s->listeners);
	free(s->scratch);
}

/* --- the server -------------------------------------------------------------------------------------------------- */

static fallible prepare_listener(int fd, struct err *err)
{
	int flags = fcntl(fd, F_GETFL);
	/* Another loop may take the connection that woke this one. */
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)
		FAIL(err, ERR_IO, "listening socket %d: %s", fd, strerror(errno));
	/* Accepted sockets inherit it. A Unix socket has no such option and no need of it. */
	int one = 1;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	return OK;
}

static void init_waiting(struct http_server *s)
{
	pthread_condattr_t attr;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&s->changed, &attr);
	pthread_condattr_destroy(&attr);
	pthread_mutex_init(&s->lock, NULL);
}

static void server_auto(struct http_server **p)
{
	http_server_free(*p);
}

fallible http_server_new(const int *listen_fds, size_t listen_count, struct tls_server *tls, struct workers *workers,
			 unsigned loops, const struct http_limits *limits, const struct http_handlers *handlers,
			 const struct clock *clk, struct http_server **ret, struct err *err)
{
	assert(listen_count > 0 && loops > 0 && handlers->handle != NULL && handlers->refuse != NULL);
	AUTO(server_auto) struct http_server *s = mem_alloc(sizeof *s);
	init_waiting(s);
	s->tls = tls;
	s->workers = workers;
	s->limits = *limits;
	s->handlers = *handlers;
	s->clk = clk;
	s->peers = peers_new(limits->connections_per_ip);
	s->fds = mem_alloc_n(sizeof *s->fds, listen_count);
	for (; s->fd_count < listen_count; s->fd_count++) {
		s->fds[s->fd_count] = listen_fds[s->fd_count];
		TRY(prepare_listener(listen_fds[s->fd_count], err));
	}
	s->shards = mem_alloc_n(sizeof *s->shards, loops);
	while (s->shard_count < loops)
		TRY(shard_init(&s->shards[s->shard_count++], s, err));
	*ret = TAKE(s);
	return OK;
}

fallible http_server_start(struct http_server *s, struct err *err)
{
	for (unsigned i = 0; i < s->shard_count; i++)
		TRY(shard_start(&s->shards[i], err));
	return OK;
}

void http_server_drain(struct http_server *s, int64_t wait_ms)
{
	struct timespec until = mono_after_ms(wait_ms);
	unsigned started = 0;
	if (atomic_exchange(&s->draining, true))
		return;
	for (unsigned i = 0; i < s->shard_count; i++) {
		if (!s->shards[i].started)
			continue;
		started++;
		loop_post(s->shards[i].loop, shard_drain, &s->shards[i]);
	}
	pthread_mutex_lock(&s->lock);
	while (s->drained < started || atomic_load(&s->open) > 0) {
		if (pthread_cond_timedwait(&s->changed, &s->lock, &until) != 0)
			break;
	}
	pthread_mutex_unlock(&s->lock);
}

void http_server_free(struct http_server *s)
{
	if (s == NULL)
		return;
	for (unsigned i = 0; i < s->shard_count; i++)
		shard_done(&s->shards[i]);
	peers_free(s->peers);
	pthread_cond_destroy(&s->changed);
	pthread_mutex_destroy(&s->lock);
	free(s->shards);
	free(s->fds);
	free(s);
}

struct http_stats http_server_stats(const struct http_server *s)
{
	return (struct http_stats){
		.accepted = atomic_load(&s->accepted),
		.requests = atomic_load(&s->requests),
		.refused = atomic_load(&s->refused),
		.handshake_failures = atomic_load(&s->handshake_failures),
		.open = atomic_load(&s->open),
		.parked = atomic_load(&s->parked),
	};
}

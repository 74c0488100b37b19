/* SPDX-License-Identifier: Apache-2.0
 *
 * conn.c: the life of one connection; conn.h has the picture. Everything is driven by conn_pump, which does the next
 * possible step until one would block, so that no step calls the next and the stack stays flat.
 */
#include "http/conn.h"

#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Steps of one connection before the others get their turn. */
#define REQUESTS_PER_TURN 16
#define LINGER_MS 2000
#define LINGER_BYTES ((size_t)256 * 1024)

static void conn_pump(struct conn *c);

/* --- bytes in and out -------------------------------------------------------------------------------------------- */

enum io_end { IO_SOME, IO_WANT_READ, IO_WANT_WRITE, IO_OVER };

static enum io_end ssl_end(const struct conn *c, int r)
{
	int e = SSL_get_error(c->ssl, r);
	ERR_clear_error(); /* what is left here would be taken for the next connection's fault */
	return e == SSL_ERROR_WANT_READ ? IO_WANT_READ : e == SSL_ERROR_WANT_WRITE ? IO_WANT_WRITE : IO_OVER;
}

static enum io_end errno_end(enum io_end when_blocked)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR ? when_blocked : IO_OVER;
}

/* Also says whether more may be there without a new event: OpenSSL reads ahead. */
static enum io_end io_read(struct conn *c, char *p, size_t n, size_t *ret)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		int r = SSL_read_ex(c->ssl, p, n, ret);
		enum io_end end = r == 1 ? IO_SOME : ssl_end(c, r);
		/* a read that waits for a write has to be tried again after it */
		c->may_read = end == IO_WANT_WRITE || (end == IO_SOME && SSL_has_pending(c->ssl) == 1);
		return end;
	}
	ssize_t got = recv(c->fd, p, n, 0);
	c->may_read = got == (ssize_t)n;
	if (got < 0)
		return errno_end(IO_WANT_READ);
	*ret = (size_t)got;
	return got == 0 ? IO_OVER : IO_SOME;
}

static enum io_end io_write(struct conn *c, struct str s, size_t *ret)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		int r = SSL_write_ex(c->ssl, s.p, s.n, ret);
		return r == 1 ? IO_SOME : ssl_end(c, r);
	}
	ssize_t sent = send(c->fd, s.p, s.n, MSG_NOSIGNAL);
	if (sent < 0)
		return errno_end(IO_WANT_WRITE);
	*ret = (size_t)sent;
	return IO_SOME;
}

static void conn_watch(struct conn *c, unsigned events)
{
	if (c->dead || c->events == events)
		return;
	c->events = events;
	if (FAILED(loop_io_set(c->io, events, NULL)))
		conn_kill(c);
}

/* Waits for what a read or write was blocked by; false, so that callers can return it. */
static bool conn_blocked(struct conn *c, enum io_end end)
{
	if (end == IO_OVER)
		conn_kill(c);
	else
		conn_watch(c, end == IO_WANT_WRITE ? LOOP_WRITE : LOOP_READ);
	return false;
}

/* --- birth and death --------------------------------------------------------------------------------------------- */

static void wait_in(struct conn *c, struct conn_list *list)
{
	if (c->wait_list != NULL)
		TAILQ_REMOVE(c->wait_list, c, wait_link);
	c->wait_list = list;
	if (list == NULL)
		return;
	c->waits_since = loop_now_ms(c->shard->loop);
	TAILQ_INSERT_TAIL(list, c, wait_link);
}

static void conn_enter(struct conn *c, enum conn_state state, int64_t deadline_ms)
{
	c->state = state;
	wait_in(c, state == CONN_IDLE ? &c->shard->idle : &c->shard->reading);
	loop_timer_set(c->deadline, deadline_ms);
}

static void exchange_done(struct conn *c)
{
	http_reply_done(&c->reply);
	buf_done(&c->body);
	arena_done(&c->mem);
	c->head = (struct http_head){ 0 };
	c->chunked = (struct chunked){ 0 };
	c->body_left = 0;
}

static void conn_release(struct conn *c)
{
	struct shard *s = c->shard;
	if (--c->holds > 0 || !c->dead)
		return;
	exchange_done(c);
	free(c);
	s->held--;
	if (s->stopping && s->held == 0)
		loop_stop(s->loop);
}

static void server_closed_one(struct http_server *s)
{
	if (atomic_fetch_sub(&s->open, 1) != 1)
		return;
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

void conn_kill(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	struct http_server *server = c->shard->server;
	wait_in(c, NULL);
	TAILQ_REMOVE(&c->shard->all, c, all_link);
	loop_io_free(c->io);
	loop_timer_free(c->deadline);
	SSL_free(c->ssl);
	(void)close(c->fd);
	buf_done(&c->in);
	buf_done(&c->out);
	peers_leave(server->peers, &c->peer);
	server_closed_one(server);
	c->holds++; /* so that the release below sees the last one go */
	conn_release(c);
}

/* Says goodbye and goes, without waiting: for connections that have nothing outstanding. */
static void conn_bye(struct conn *c)
{
	if (c->ssl != NULL && c->state != CONN_HANDSHAKE) {
		ERR_clear_error();
		(void)SSL_shutdown(c->ssl);
		ERR_clear_error();
	}
	conn_kill(c);
}

static void conn_linger(struct conn *c)
{
	if (c->ssl != NULL) {
		ERR_clear_error();
		(void)SSL_shutdown(c->ssl);
		ERR_clear_error();
	}
	(void)shutdown(c->fd, SHUT_WR);
	buf_done(&c->in);
	c->linger_left = LINGER_BYTES;
	conn_enter(c, CONN_LINGER, LINGER_MS);
}

/* The bytes are dropped as they come, TLS or not. */
static void linger_read(struct conn *c)
{
	for (;;) {
		ssize_t got = recv(c->fd, c->shard->scratch, SCRATCH, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
			conn_watch(c, LOOP_READ);
			return;
		}
		if (got <= 0 || (size_t)got > c->linger_left) {
			conn_kill(c);
			return;
		}
		c->linger_left -= (size_t)got;
	}
}

/* --- replies ----------------------------------------------------------------------------------------------------- */

static const char *shard_date(struct shard *s)
{
	int64_t now_s = clock_now_ms(s->server->clk) / 1000;
	if (now_s != s->date_s || s->date[0] == '\0') {
		http_date(now_s, s->date);
		s->date_s = now_s;
	}
	return s->date;
}

static void conn_send(struct conn *c)
{
	const struct http_server *server = c->shard->server;
	if (!c->head.keep_alive || c->requests >= server->limits.requests_per_connection ||
	    atomic_load(&server->draining))
		c->reply.close = true;
	c->close_after = c->reply.close;
	loop_timer_stop(c->deadline);
	wait_in(c, NULL);
	c->state = CONN_WRITE;
	c->write_timed = false;
	bool head_only = c->head.rq.method == HTTP_HEAD;
	if (FAILED(reply_write(&c->reply, head_only, shard_date(c->shard), &c->out, NULL))) {
		conn_kill(c);
		return;
	}
	exchange_done(c);
}

/* RFC 9112 9.6: after a fault in the framing nothing that follows can be trusted, so these replies close; but a request
 * that was read whole and only found no worker leaves the connection usable. */
static void conn_refuse(struct conn *c, int status, const char *detail)
{
	const struct http_server *server = c->shard->server;
	atomic_fetch_add(&c->shard->server->refused, 1);
	http_reply_done(&c->reply);
	http_reply_init(&c->reply);
	c->reply.status = status;
	server->handlers.refuse(server->handlers.ctx, status, detail, &c->reply);
	c->reply.status = status;
	if (status == 503 && !reply_has_header(&c->reply, STR("Retry-After")))
		(void)FAILED(http_reply_header(&c->reply, "Retry-After", STR("1"), NULL));
	if (status != 503)
		c->reply.close = true;
	conn_send(c);
}

static bool conn_flush(struct conn *c)
{
	while (c->out_at < c->out.n) {
		size_t sent = 0;
		enum io_end end = io_write(c, str_sub(buf_str(&c->out), c->out_at, c->out.n), &sent);
		if (end != IO_SOME) {
			/* Armed only when it blocks, once: most replies leave at once. An interim reply has the body's
			 * deadline. */
			if (end != IO_OVER && c->state == CONN_WRITE && !c->write_timed) {
				c->write_timed = true;
				loop_timer_set(c->deadline, c->shard->server->limits.write_ms);
			}
			return conn_blocked(c, end);
		}
		c->out_at += sent;
	}
	buf_done(&c->out);
	c->out_at = 0;
	return true;
}

static void conn_replied(struct conn *c)
{
	if (c->close_after) {
		conn_linger(c);
		return;
	}
	c->scanned = 0;
	conn_enter(c, CONN_IDLE, c->shard->server->limits.idle_ms);
}

/* --- requests ---------------------------------------------------------------------------------------------------- */

/* Back from the worker, on the loop. */
static void conn_worked(struct loop *l, void *arg)
{
	(void)l;
	struct conn *c = arg;
	if (!c->dead) {
		conn_send(c);
		conn_pump(c);
	}
	conn_release(c);
}

/* On a worker: request and reply are ours until the post. */
static void conn_work(void *arg)
{
	struct conn *c = arg;
	const struct http_handlers *h = &c->shard->server->handlers;
	h->handle(h->ctx, &c->head.rq, &c->reply);
	loop_post(c->shard->loop, conn_worked, c);
}

static void conn_dispatch(struct conn *c)
{
	const struct http_server *server = c->shard->server;
	c->head.rq.body = buf_str(&c->body);
	http_reply_init(&c->reply);
	if (server->handlers.quick != NULL && server->handlers.quick(server->handlers.ctx, &c->head.rq, &c->reply)) {
		conn_send(c);
		return;
	}
	c->state = CONN_BUSY;
	loop_timer_stop(c->deadline);
	wait_in(c, NULL);
	c->holds++;
	struct err err = { 0 };
	if (FAILED(workers_submit(server->workers, conn_work, c, &err))) {
		c->holds--; /* never the last: a callback holds c, too */
		conn_refuse(c, 503, err.detail);
	}
}

/* The head is there: what comes next? */
static void conn_begin(struct conn *c, bool more_is_there)
{
	struct http_server *server = c->shard->server;
	const struct http_head *h = &c->head;
	atomic_fetch_add(&server->requests, 1);
	c->requests++;
	c->head.rq.peer = c->peer;
	c->head.rq.peer_port = c->peer_port;
	c->body = (struct buf)BUF_MAX(server->limits.body_max);
	if (h->content_length > server->limits.body_max) {
		struct err err = { 0 };
		err_set(&err, ERR_TOO_LARGE, "the body is over the limit of %zu bytes", server->limits.body_max);
		conn_refuse(c, 413, err.detail);
		return;
	}
	if (!h->chunked && h->content_length == 0) {
		conn_dispatch(c);
		return;
	}
	c->body_left = h->content_length;
	conn_enter(c, CONN_BODY, server->limits.body_ms);
	/* RFC 9110 10.1.1: not when the body has begun to arrive already */
	if (h->expect_continue && !more_is_there &&
	    FAILED(buf_add(&c->out, STR("HTTP/1.1 100 Continue\r\n\r\n"), NULL)))
		conn_kill(c);
}

/* How long the head is, with the empty line; 0: its end is not there yet. */
static size_t head_end(struct str in)
{
	const char *end = memmem(in.p, in.n, "\r\n\r\n", 4);
	return end == NULL ? 0 : (size_t)(end - in.p) + 4;
}

/* Eats a head, or nothing. It is copied into the request's arena before it is parsed, since `in` moves on. */
static size_t conn_head(struct conn *c, struct str in)
{
	const struct http_limits *limits = &c->shard->server->limits;
	bool new_line = str_find(in, '\n', c->scanned) < in.n;
	c->scanned = in.n;
	size_t end = new_line ? head_end(in) : 0;
	if (end == 0 && c->state == CONN_IDLE)
		conn_enter(c, CONN_HEAD, limits->head_ms);
	/* Without a new line there is nothing new to find, so a head that comes byte by byte is not parsed each time.
	 */
	if (!new_line && in.n <= limits->head_max)
		return 0;
	struct str head = end == 0 ? in : str_dup(&c->mem, str_sub(in, 0, end));
	/* What is said of a head that is too long must not depend on how much of it came at once. */
	if (head.n > limits->head_max)
		head.n = limits->head_max + 1;
	struct err err = { 0 };
	size_t used = 0;
	int status = 400;
	if (FAILED(http_head_read(&c->mem, head, limits, &c->head, &used, &status, &err))) {
		conn_refuse(c, status, err.detail);
		return in.n;
	}
	if (used > 0)
		conn_begin(c, used < in.n);
	return used;
}

static size_t conn_body(struct conn *c, struct str in)
{
	struct err err = { 0 };
	size_t used = in.n < c->body_left ? in.n : (size_t)c->body_left;
	bool done = false;
	if (c->head.chunked) {
		int status = 400;
		if (FAILED(chunked_feed(&c->chunked, in, &c->body, &used, &done, &status, &err))) {
			conn_refuse(c, status, err.detail);
			return in.n;
		}
	} else {
		/* fits: the length was checked against the buffer's maximum */
		if (FAILED(buf_add(&c->body, str_sub(in, 0, used), &err))) {
			conn_refuse(c, 413, err.detail);
			return in.n;
		}
		c->body_left -= used;
		done = c->body_left == 0;
	}
	if (done)
		conn_dispatch(c);
	return used;
}

static bool takes_input(const struct conn *c)
{
	return !c->dead && (c->state == CONN_IDLE || c->state == CONN_HEAD || c->state == CONN_BODY);
}

static size_t conn_consume(struct conn *c, struct str in)
{
	size_t used = 0;
	while (used < in.n && takes_input(c)) {
		struct str rest = str_sub(in, used, in.n);
		size_t n = c->state == CONN_BODY ? conn_body(c, rest) : conn_head(c, rest);
		if (n == 0)
			break;
		used += n;
	}
	return used;
}

/* New bytes (or none, when `in` is fresh) after those that are kept. */
static void conn_input(struct conn *c, struct str data)
{
	bool kept = c->in.n > 0;
	if (kept && FAILED(buf_add(&c->in, data, NULL))) {
		conn_kill(c);
		return;
	}
	struct str all = kept ? buf_str(&c->in) : data;
	size_t used = conn_consume(c, all);
	if (c->dead)
		return;
	if (kept)
		buf_eat(&c->in, used);
	else if (used < all.n && FAILED(buf_add(&c->in, str_sub(all, used, all.n), NULL)))
		conn_kill(c);
	c->fresh = c->in.n > 0 && !takes_input(c);
	if (c->in.n == 0)
		buf_done(&c->in);
}

/* False when there is nothing to be read now. */
static bool conn_fill(struct conn *c)
{
	if (!c->may_read) {
		conn_watch(c, LOOP_READ);
		return false;
	}
	size_t got = 0;
	enum io_end end = io_read(c, c->shard->scratch, SCRATCH, &got);
	if (end != IO_SOME)
		return conn_blocked(c, end);
	conn_input(c, str_n(c->shard->scratch, got));
	return true;
}

static bool conn_handshake(struct conn *c)
{
	ERR_clear_error();
	int r = SSL_do_handshake(c->ssl);
	if (r == 1) {
		c->may_read = true; /* the request may have come with the last flight */
		/* Without tickets we have nothing to send now, so the acknowledgement would be delayed, and a client
		 * that left Nagle's algorithm on would hold its first request back for it: 40 ms a connection,
		 * measured. */
		int one = 1;
		(void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
		conn_enter(c, CONN_IDLE, c->shard->server->limits.idle_ms);
		return true;
	}
	enum io_end end = ssl_end(c, r);
	if (end == IO_OVER)
		atomic_fetch_add(&c->shard->server->handshake_failures, 1);
	return conn_blocked(c, end);
}

/* --- the engine -------------------------------------------------------------------------------------------------- */

static void conn_next_turn(struct loop *l, void *arg)
{
	(void)l;
	struct conn *c = arg;
	conn_pump(c);
	conn_release(c);
}

/* The caller holds c. */
static void conn_pump(struct conn *c)
{
	unsigned turns = REQUESTS_PER_TURN;
	while (!c->dead) {
		if (c->out_at < c->out.n && !conn_flush(c))
			return;
		switch (c->state) {
		case CONN_HANDSHAKE:
			if (!conn_handshake(c))
				return;
			break;
		case CONN_IDLE:
		case CONN_HEAD:
		case CONN_BODY:
			if (c->fresh) {
				c->fresh = false;
				conn_input(c, STR_NONE);
			} else if (!conn_fill(c)) {
				return;
			}
			break;
		case CONN_WRITE:
			conn_replied(c);
			if (--turns == 0 && !c->dead) {
				c->holds++;
				loop_post(c->shard->loop, conn_next_turn, c);
				return;
			}
			break;
		case CONN_LINGER:
			linger_read(c);
			return;
		case CONN_BUSY:
		case CONN_STATE_COUNT:
			return;
		}
	}
}

static void conn_on_event(struct loop *l, unsigned events, void *arg)
{
	(void)l;
	struct conn *c = arg;
	c->holds++;
	if (events & LOOP_READ)
		c->may_read = true;
	/* More bytes, or the peer's end, while a worker has the request: both can wait, and must not wake us again. */
	if (c->state == CONN_BUSY)
		conn_watch(c, 0);
	else
		conn_pump(c);
	conn_release(c);
}

static void conn_on_deadline(struct loop *l, void *arg)
{
	(void)l;
	struct conn *c = arg;
	c->holds++;
	switch (c->state) {
	case CONN_HANDSHAKE:
		atomic_fetch_add(&c->shard->server->handshake_failures, 1);
		conn_kill(c);
		break;
	case CONN_IDLE:
		conn_bye(c);
		break;
	case CONN_HEAD:
		conn_refuse(c, 408, "the request head did not arrive in time");
		conn_pump(c);
		break;
	case CONN_BODY:
		conn_refuse(c, 408, "the request body did not arrive in time");
		conn_pump(c);
		break;
	case CONN_WRITE:
	case CONN_LINGER:
		conn_kill(c);
		break;
	case CONN_BUSY:
	case CONN_STATE_COUNT:
		break;
	}
	conn_release(c);
}

void conn_drain(struct conn *c)
{
	c->holds++;
	if (c->state == CONN_HANDSHAKE)
		conn_kill(c);
	/* A request that has arrived and was not seen yet is in flight as well. */
	c->may_read = true;
	if (!c->dead && c->state == CONN_IDLE)
		conn_pump(c);
	if (!c->dead && c->state == CONN_IDLE)
		conn_bye(c);
	conn_release(c);
}

void conn_new(struct shard *s, int fd, const struct addr *peer, uint16_t peer_port)
{
	const struct http_limits *limits = &s->server->limits;
	struct conn *c = mem_alloc(sizeof *c);
	c->shard = s;
	c->fd = fd;
	c->peer = *peer;
	c->peer_port = peer_port;
	c->holds = 1;
	c->may_read = true;
	c->in = (struct buf)BUF_MAX(limits->head_max + 2 * SCRATCH);
	c->out = (struct buf)BUF_MAX(HTTP_REPLY_BODY_MAX + HTTP_REPLY_HEADERS_MAX + 1024);
	c->deadline = loop_timer_new(s->loop, conn_on_deadline, c);
	TAILQ_INSERT_TAIL(&s->all, c, all_link);
	s->held++;
	bool ok = !FAILED(loop_watch(s->loop, fd, LOOP_READ, conn_on_event, c, &c->io, NULL));
	c->events = LOOP_READ;
	if (ok && s->server->tls != NULL)
		ok = (c->ssl = tls_server_accept(s->server->tls, fd)) != NULL;
	if (!ok)
		conn_kill(c);
	else if (c->ssl != NULL)
		conn_enter(c, CONN_HANDSHAKE, limits->handshake_ms);
	else
		conn_enter(c, CONN_IDLE, limits->idle_ms);
	conn_release(c);
}

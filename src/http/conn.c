/* SPDX-License-Identifier: Apache-2.0
 *
 * conn.c: the life of one connection; conn.h has the picture. Everything is driven by conn_pump, which does the next
 * possible step until one would block, so that no step calls the next and the stack stays flat.
 */
#include "http/conn.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

/* Steps of one connection before the others get their turn. */
#define REQUESTS_PER_TURN 16
/* Handshakes of one peer at a time, beyond which those of others go first. */
#define CROWD 8
#define LINGER_MS 2000
#define LINGER_BYTES ((size_t)256 * 1024)

/* --- waiting ------------------------------------------------------------------------------------------------------- */

static void conn_watch(struct conn *c, unsigned events)
{
	if (c->dead || c->events == events)
		return;
	c->events = events;
	if (FAILED(loop_io_set(c->io, events, NULL)))
		conn_kill(c);
}

/* Waits for what a read or write was blocked by; false, so that callers can return it. */
static bool conn_blocked(struct conn *c, enum wire_end end)
{
	if (end == WIRE_OVER)
		conn_kill(c);
	else
		conn_watch(c, end == WIRE_WANT_WRITE ? LOOP_WRITE : LOOP_READ);
	return false;
}

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

/* Bytes that a peer can make us keep without sending a whole request: also a head that is read already and waits for its
 * body. In CONN_BUSY all but `in` is the worker's. */
void conn_account(struct conn *c)
{
	if (c->dead)
		return;
	struct shard *s = c->shard;
	size_t now = c->in.cap + (conn_takes_input(c) ? c->body.cap + c->mem.total : 0);
	bool grew = now > c->buffered;
	s->buffered = s->buffered - c->buffered + now;
	c->buffered = now;
	if (grew)
		shard_buffers_grew(s);
}

void conn_enter(struct conn *c, enum conn_state state, int64_t deadline_ms)
{
	c->state = state;
	wait_in(c, state == CONN_IDLE ? &c->shard->idle : &c->shard->reading);
	loop_timer_set(c->deadline, deadline_ms);
}

void conn_unwatch(struct conn *c)
{
	loop_timer_stop(c->deadline);
	wait_in(c, NULL);
}

bool conn_takes_input(const struct conn *c)
{
	return !c->dead && (c->state == CONN_IDLE || c->state == CONN_HEAD || c->state == CONN_BODY);
}

/* --- birth and death --------------------------------------------------------------------------------------------- */

static void server_closed_one(struct http_server *s)
{
	if (atomic_fetch_sub(&s->open, 1) != 1)
		return;
	pthread_mutex_lock(&s->lock);
	pthread_cond_broadcast(&s->changed);
	pthread_mutex_unlock(&s->lock);
}

static void conn_close(struct conn *c)
{
	struct http_server *server = c->shard->server;
	wire_close(c);
	buf_done(&c->in);
	buf_done(&c->out);
	peers_leave(server->peers, &c->peer);
	server_closed_one(server);
}

void conn_release(struct conn *c)
{
	struct shard *s = c->shard;
	if (--c->holds > 0 || !c->dead)
		return;
	if (c->fd >= 0)
		conn_close(c);
	exchange_done(c);
	free(c);
	s->held--;
	if (s->stopping && s->held == 0)
		loop_stop(s->loop);
}

/* The shard's way to know how many of a peer shake hands at once. */
static void conn_shakes(struct conn *c, bool on)
{
	if (c->shakes == on)
		return;
	c->shakes = on;
	unsigned n = peers_shaking(c->shard->server->peers, &c->peer, on);
	c->crowded = n > CROWD;
}

void conn_kill(struct conn *c)
{
	if (c->dead)
		return;
	c->dead = true;
	struct shard *s = c->shard;
	wait_in(c, NULL);
	conn_shakes(c, false);
	if (c->shake_list != NULL)
		TAILQ_REMOVE(c->shake_list, c, shake_link);
	TAILQ_REMOVE(&s->all, c, all_link);
	loop_io_free(c->io);
	loop_timer_free(c->deadline);
	s->buffered -= c->buffered;
	c->buffered = 0;
	if (c->state == CONN_BUSY) { /* the worker may be writing: all is closed when it is back */
		(void)shutdown(c->fd, SHUT_RDWR);
		atomic_store(&c->hurry, true);
		http_parking_end(&c->parking);
	} else {
		conn_close(c);
	}
	c->holds++; /* so that the release below sees the last one go */
	conn_release(c);
}

/* Says goodbye and goes, without waiting: for connections that have nothing outstanding. */
static void conn_bye(struct conn *c)
{
	if (c->state != CONN_HANDSHAKE)
		wire_bye(c);
	conn_kill(c);
}

static void conn_linger(struct conn *c)
{
	wire_bye(c);
	(void)shutdown(c->fd, SHUT_WR);
	buf_done(&c->in);
	c->linger_left = LINGER_BYTES;
	conn_enter(c, CONN_LINGER, LINGER_MS);
	conn_account(c);
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

/* --- steps --------------------------------------------------------------------------------------------------------- */

static bool conn_flush(struct conn *c)
{
	while (c->out_at < c->out.n) {
		size_t sent = 0;
		enum wire_end end = wire_write(c, str_sub(buf_str(&c->out), c->out_at, c->out.n), &sent);
		if (end != WIRE_SOME) {
			/* Armed only when it blocks, once: most replies leave at once. An interim reply has the body's
			 * deadline. */
			if (end != WIRE_OVER && c->state == CONN_WRITE && !c->write_timed) {
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
	/* The drain met a reply that had not said goodbye and was still going out. What has arrived meanwhile is answered,
	 * but nothing is waited for. */
	bool draining = atomic_load(&c->shard->server->draining);
	if (draining)
		c->may_read = true;
	c->scanned = 0;
	conn_enter(c, CONN_IDLE, draining ? 0 : c->shard->server->limits.idle_ms);
	conn_account(c);
}

/* False when there is nothing to be read now. */
static bool conn_fill(struct conn *c)
{
	if (!c->may_read) {
		conn_watch(c, LOOP_READ);
		return false;
	}
	size_t got = 0;
	enum wire_end end = wire_read(c, c->shard->scratch, SCRATCH, &got, &c->may_read);
	if (end != WIRE_SOME)
		return conn_blocked(c, end);
	exchange_input(c, str_n(c->shard->scratch, got));
	return true;
}

static void conn_handshake(struct conn *c)
{
	enum wire_end end = wire_shake(c);
	if (end != WIRE_SOME) {
		if (end == WIRE_OVER)
			atomic_fetch_add(&c->shard->server->handshake_failures, 1);
		c->begun = wire_answered(c);
		(void)conn_blocked(c, end);
		return;
	}
	conn_shakes(c, false);
	c->may_read = true; /* the request may have come with the last flight */
	/* Without tickets we have nothing to send now, so the acknowledgement would be delayed, and a client that left
	 * Nagle's algorithm on would hold its first request back for it: 40 ms a connection, measured. */
	int one = 1;
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_QUICKACK, &one, sizeof one);
	conn_enter(c, CONN_IDLE, c->shard->server->limits.idle_ms);
	conn_pump(c);
}

void conn_shake(struct conn *c)
{
	c->holds++;
	conn_handshake(c);
	conn_release(c);
}

/* --- the engine -------------------------------------------------------------------------------------------------- */

static void conn_next_turn(struct loop *l, void *arg)
{
	(void)l;
	struct conn *c = arg;
	conn_pump(c);
	conn_release(c);
}

void conn_pump(struct conn *c)
{
	unsigned turns = REQUESTS_PER_TURN;
	while (!c->dead) {
		if (c->state == CONN_BUSY) /* `out` is not ours now */
			return;
		if (c->out_at < c->out.n && !conn_flush(c))
			return;
		switch (c->state) {
		case CONN_IDLE:
		case CONN_HEAD:
		case CONN_BODY:
			if (c->fresh) {
				c->fresh = false;
				exchange_input(c, STR_NONE);
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
		case CONN_HANDSHAKE: /* has turns of its own */
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
	if (c->state == CONN_BUSY) {
		/* More bytes, or the peer's end, while a worker has the request: both can wait, and must not wake us
		 * again; but it may be the answer to what the worker has just sent. */
		atomic_store(&c->hurry, true);
		conn_watch(c, 0);
		if (events & LOOP_HANGUP) /* not at the end of what it sends: it may still wait for the reply */
			http_parking_end(&c->parking);
	} else if (c->state == CONN_HANDSHAKE && c->shake_list != NULL) {
		conn_watch(c, 0); /* waits for its turn already */
	} else if (c->state == CONN_HANDSHAKE) {
		shard_shake(c);
	} else {
		conn_pump(c);
	}
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
		if (!atomic_load(&c->shard->server->draining)) {
			conn_bye(c);
			break;
		}
		conn_linger(c); /* its reply may still be on its way */
		conn_pump(c);
		break;
	case CONN_HEAD:
		exchange_refuse(c, 408, "the request head did not arrive in time");
		conn_pump(c);
		break;
	case CONN_BODY:
		exchange_refuse(c, 408, "the request body did not arrive in time");
		conn_pump(c);
		break;
	case CONN_WRITE:
	case CONN_LINGER:
		conn_kill(c);
		break;
	case CONN_BUSY:
		http_parking_end(&c->parking);
		break;
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
	if (c->state == CONN_BUSY) {
		atomic_store(&c->hurry, true);
		http_parking_end(&c->parking);
	}
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
	c->peer_key = peers_key(s->server->peers, peer);
	c->holds = 1;
	c->may_read = true;
	c->in = (struct buf)BUF_MAX(limits->head_max + 2 * SCRATCH);
	c->out = (struct buf)BUF_MAX(HTTP_REPLY_BODY_MAX + HTTP_REPLY_HEADERS_MAX + 1024);
	c->deadline = loop_timer_new(s->loop, conn_on_deadline, c);
	TAILQ_INSERT_TAIL(&s->all, c, all_link);
	s->held++;
	if (FAILED(loop_watch(s->loop, fd, LOOP_READ, conn_on_event, c, &c->io, NULL))) {
		conn_kill(c);
	} else if (s->server->tls != NULL) {
		conn_shakes(c, true);
		conn_enter(c, CONN_HANDSHAKE, limits->handshake_ms);
	} else {
		conn_enter(c, CONN_IDLE, limits->idle_ms);
	}
	c->events = LOOP_READ;
	conn_release(c);
}

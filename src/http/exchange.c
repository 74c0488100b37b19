/* SPDX-License-Identifier: Apache-2.0
 *
 * exchange.c: one request and its reply: bytes to a request on the loop, the request to a handler on a worker, which
 * parks it or sends the reply by itself, and back. A server that cannot keep up says so here, in time: by the length of the queue, by
 * how long the first in it has waited, and at last by not beginning what has waited longer than anyone waits.
 */
#include "http/conn.h"

/* The longest nap of a loop whose workers have answered without waking it. */
#define DOZE_MS 100

/* --- replies ----------------------------------------------------------------------------------------------------- */

void exchange_done(struct conn *c)
{
	http_reply_done(&c->reply);
	buf_done(&c->body);
	arena_done(&c->mem);
	c->head = (struct http_head){ 0 };
	c->chunked = (struct chunked){ 0 };
	c->body_left = 0;
}

/* The reply as bytes in `out`; on the loop or on the worker that has the exchange. */
static void exchange_compose(struct conn *c)
{
	const struct http_server *server = c->shard->server;
	if (!c->head.keep_alive || c->requests >= server->limits.requests_per_connection ||
	    atomic_load(&server->draining))
		c->reply.close = true;
	c->close_after = c->reply.close;
	char date[HTTP_DATE_MAX];
	http_date(clock_now_ms(server->clk) / 1000, date);
	bool head_only = c->head.rq.method == HTTP_HEAD;
	c->broken = FAILED(reply_write(&c->reply, head_only, date, &c->out, NULL));
	exchange_done(c);
}

/* From the loop. */
static void exchange_send(struct conn *c)
{
	conn_unwatch(c);
	c->state = CONN_WRITE;
	c->write_timed = false;
	exchange_compose(c);
	if (c->broken)
		conn_kill(c);
}

/* RFC 9112 9.6: after a fault in the framing nothing that follows can be trusted, so these replies close; but a request
 * that was read whole and only found no worker leaves the connection usable. */
void exchange_refuse(struct conn *c, int status, const char *detail)
{
	struct http_server *server = c->shard->server;
	bool whole = status == 503 && c->state == CONN_BUSY;
	atomic_fetch_add(&server->refused, 1);
	http_reply_done(&c->reply);
	http_reply_init(&c->reply);
	c->reply.status = status;
	server->handlers.refuse(server->handlers.ctx, status, detail, &c->reply);
	c->reply.status = status;
	if (status == 503 && !reply_has_header(&c->reply, STR("Retry-After")))
		(void)FAILED(http_reply_header(&c->reply, "Retry-After", STR("1"), NULL));
	if (!whole)
		c->reply.close = true;
	exchange_send(c);
}

/* --- workers ----------------------------------------------------------------------------------------------------- */

/* Back from the worker, on the loop. What could not be sent at once is sent from here. */
static void exchange_worked(struct loop *l, void *arg)
{
	struct conn *c = arg;
	if (--c->shard->busy == 0)
		loop_doze(l, -1);
	if (!c->dead)
		loop_timer_stop(c->deadline); /* of a wait that was over sooner */
	if (!c->dead && c->broken)
		conn_kill(c);
	if (!c->dead && c->not_begun != NULL)
		exchange_refuse(c, 503, c->not_begun);
	if (!c->dead) {
		c->state = CONN_WRITE;
		c->write_timed = false;
		conn_pump(c);
	}
	if (!c->dead && atomic_load(&c->shard->server->draining))
		conn_drain(c); /* it began while the reply went out without a goodbye */
	conn_release(c);
}

/* On the loop: a worker leaves it, or has left it. */
static void exchange_parked(struct loop *l, void *arg)
{
	struct conn *c = arg;
	if (!c->dead)
		loop_timer_set(c->deadline, c->parked_until - loop_now_ms(l));
}

static void worker_write(struct conn *c)
{
	while (c->out_at < c->out.n) {
		size_t sent = 0;
		enum wire_end end = wire_write(c, str_sub(buf_str(&c->out), c->out_at, c->out.n), &sent);
		c->broken = end == WIRE_OVER;
		if (end != WIRE_SOME)
			return; /* the loop waits for the socket */
		c->out_at += sent;
	}
	buf_done(&c->out);
	c->out_at = 0;
}

/* On a worker: exchange and way out are ours until the post. */
static void worker_reply(struct conn *c)
{
	struct loop *loop = c->shard->loop;
	exchange_compose(c);
	if (!c->broken)
		worker_write(c);
	if (c->broken || c->close_after || c->out.n > 0)
		loop_post(loop, exchange_worked, c);
	else
		loop_post_idly(loop, exchange_worked, c, &c->hurry);
}

static void worker_go_on(void *arg)
{
	struct conn *c = arg;
	http_parking_go_on(&c->parking, &c->reply);
	atomic_fetch_sub(&c->shard->server->parked, c->parked);
	worker_reply(c);
}

/* True: it has been left, and is not ours any more. */
static bool worker_parks(struct conn *c)
{
	const struct http_server *server = c->shard->server;
	c->parked_until = clock_mono_ms(server->clk) + c->parking.wait_ms;
	/* Before we leave it: the post of its end comes after this one. Within a doze the loop looks at it anyhow. */
	if (c->parking.wait_ms < DOZE_MS)
		loop_post(c->shard->loop, exchange_parked, c);
	else
		loop_post_idly(c->shard->loop, exchange_parked, c, &c->hurry);
	return http_parking_leave(&c->parking);
}

static void worker_run(void *arg)
{
	struct conn *c = arg;
	const struct http_server *server = c->shard->server;
	if (clock_mono_ms(server->clk) - c->queued_at > server->limits.queue_ms) {
		c->not_begun = "the server is busy: the request has waited for too long";
		loop_post(c->shard->loop, exchange_worked, c);
		return;
	}
	server->handlers.handle(server->handlers.ctx, &c->head.rq, &c->reply);
	if (c->parking.go_on == NULL)
		worker_reply(c);
	else if (!worker_parks(c))
		worker_go_on(c);
}

/* Instead of worker_run, on the loop of whoever came. */
static void worker_refuses(void *arg)
{
	struct conn *c = arg;
	c->not_begun = "the server is busy: too many requests of this address wait already";
	loop_post(c->shard->loop, exchange_worked, c);
}

/* --- parked requests ---------------------------------------------------------------------------------------------- */

static struct conn *conn_of(struct http_parking *p)
{
	return (struct conn *)(void *)((char *)p - offsetof(struct conn, parking));
}

static bool parking_admit(struct http_parking *p)
{
	struct conn *c = conn_of(p);
	struct http_server *server = c->shard->server;
	size_t takes = sizeof *c + c->mem.total + c->body.cap + c->behind;
	/* A drain that begins after this look ends the wait of every request that it finds. */
	if (atomic_load(&server->draining))
		return false;
	if (atomic_fetch_add(&server->parked, takes) + takes <= server->limits.parked_max) {
		c->parked = takes;
		return true;
	}
	atomic_fetch_sub(&server->parked, takes);
	return false;
}

static void parking_resume(struct http_parking *p)
{
	struct conn *c = conn_of(p);
	c->job = (struct workers_job){ .fn = worker_go_on, .arg = c };
	workers_resume(c->shard->server->workers, &c->job);
}

static const struct http_parking_ops parking_ops = { .admit = parking_admit, .resume = parking_resume };

static struct workers_offer offer_of(const struct conn *c)
{
	const struct http_server *server = c->shard->server;
	const struct http_handlers *h = &server->handlers;
	bool begins = h->begins != NULL && h->begins(h->ctx, &c->head.rq);
	return (struct workers_offer){ .rank = begins ? WORKERS_LATER : WORKERS_FIRST,
				       .peer = c->peer_key,
				       .now_ms = loop_now_ms(c->shard->loop),
				       .patience_ms =
					       begins ? server->limits.queue_begin_ms : server->limits.queue_ms };
}

/* behind: bytes of the next requests, which are there already. */
static void exchange_dispatch(struct conn *c, size_t behind)
{
	const struct http_server *server = c->shard->server;
	c->head.rq.body = buf_str(&c->body);
	http_reply_init(&c->reply);
	if (server->handlers.quick != NULL && server->handlers.quick(server->handlers.ctx, &c->head.rq, &c->reply)) {
		exchange_send(c);
		return;
	}
	const struct workers_offer offer = offer_of(c);
	conn_unwatch(c);
	c->state = CONN_BUSY;
	c->queued_at = offer.now_ms;
	/* Nothing is read in CONN_BUSY. `in` has them already, or will when we return: a worker must not look there. */
	c->behind = behind > 0 && c->in.cap > behind ? c->in.cap : behind;
	c->not_begun = NULL;
	http_parking_begin(&c->parking, &parking_ops);
	c->head.rq.parking = &c->parking;
	c->job = (struct workers_job){ .fn = worker_run, .refused = worker_refuses, .arg = c };
	/* An event while a worker had the last request ended the watch: then no event will tell us of the next one. */
	atomic_store(&c->hurry, (c->events & LOOP_READ) == 0);
	c->holds++;
	struct err err = { 0 };
	if (FAILED(workers_offer(server->workers, &offer, &c->job, &err))) {
		c->holds--; /* never the last: a callback holds c, too */
		exchange_refuse(c, 503, err.detail);
		return;
	}
	if (c->shard->busy++ == 0)
		loop_doze(c->shard->loop, DOZE_MS);
}

/* The head is there: what comes next? */
static void exchange_begin(struct conn *c, size_t behind)
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
		exchange_refuse(c, 413, err.detail);
		return;
	}
	if (!h->chunked && h->content_length == 0) {
		exchange_dispatch(c, behind);
		return;
	}
	c->body_left = h->content_length;
	conn_enter(c, CONN_BODY, server->limits.body_ms);
	/* RFC 9110 10.1.1: not when the body has begun to arrive already */
	if (h->expect_continue && behind == 0 && FAILED(buf_add(&c->out, STR("HTTP/1.1 100 Continue\r\n\r\n"), NULL)))
		conn_kill(c);
}

/* How long the head is, with the empty line; 0: its end is not there yet. */
static size_t head_end(struct str in)
{
	const char *end = memmem(in.p, in.n, "\r\n\r\n", 4);
	return end == NULL ? 0 : (size_t)(end - in.p) + 4;
}

/* Eats a head, or nothing. It is copied into the request's arena before it is parsed, since `in` moves on. */
static size_t exchange_head(struct conn *c, struct str in)
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
		exchange_refuse(c, status, err.detail);
		return in.n;
	}
	if (used > 0)
		exchange_begin(c, in.n - used);
	return used;
}

static size_t exchange_body(struct conn *c, struct str in)
{
	struct err err = { 0 };
	size_t used = in.n < c->body_left ? in.n : (size_t)c->body_left;
	bool done = false;
	if (c->head.chunked) {
		int status = 400;
		if (FAILED(chunked_feed(&c->chunked, in, &c->body, &used, &done, &status, &err))) {
			exchange_refuse(c, status, err.detail);
			return in.n;
		}
	} else {
		/* fits: the length was checked against the buffer's maximum */
		if (FAILED(buf_add(&c->body, str_sub(in, 0, used), &err))) {
			exchange_refuse(c, 413, err.detail);
			return in.n;
		}
		c->body_left -= used;
		done = c->body_left == 0;
	}
	if (done)
		exchange_dispatch(c, in.n - used);
	return used;
}

static size_t exchange_consume(struct conn *c, struct str in)
{
	size_t used = 0;
	while (used < in.n && conn_takes_input(c)) {
		struct str rest = str_sub(in, used, in.n);
		size_t n = c->state == CONN_BODY ? exchange_body(c, rest) : exchange_head(c, rest);
		if (n == 0)
			break;
		used += n;
	}
	return used;
}

/* New bytes (or none, when `in` is fresh) after those that are kept. */
void exchange_input(struct conn *c, struct str data)
{
	bool kept = c->in.n > 0;
	if (kept && FAILED(buf_add(&c->in, data, NULL))) {
		conn_kill(c);
		return;
	}
	struct str all = kept ? buf_str(&c->in) : data;
	size_t used = exchange_consume(c, all);
	if (c->dead)
		return;
	if (kept)
		buf_eat(&c->in, used);
	else if (used < all.n && FAILED(buf_add(&c->in, str_sub(all, used, all.n), NULL)))
		conn_kill(c);
	c->fresh = c->in.n > 0 && !conn_takes_input(c);
	if (c->in.n == 0)
		buf_done(&c->in);
	if (c->state == CONN_BUSY && (c->fresh || c->may_read))
		atomic_store(&c->hurry, true);
	conn_account(c);
}

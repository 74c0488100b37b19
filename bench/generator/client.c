/* SPDX-License-Identifier: Apache-2.0
 *
 * client.c: carries one client's requests: a nonce from the last reply, a signature, a time-out; what the server refuses
 * for a while is asked again; what it gets wrong is counted, and the client goes on with the next order.
 */
#include "client.h"

#include <stdio.h>
#include <stdlib.h>

#define PAYLOAD_MAX (64 * 1024)
#define AGAIN_MAX 5
#define PAUSE_MS 100           /* after a failure */
#define REFUSED_WAIT_MAX_S 10u /* whatever Retry-After says */

static const struct str bad_nonce = { "urn:ietf:params:acme:error:badNonce", 35 };

/* --- waiting ---------------------------------------------------------------------------------------------------------*/

static void wait_for(struct client *c, enum waiting what, int64_t ms)
{
	c->waiting = what;
	loop_timer_set(c->timer, ms);
}

static void failed(struct client *c, const char *what, const char *detail)
{
	char kind[96];
	(void)snprintf(kind, sizeof kind, "%s: %s", steps[c->step].name, what);
	if (c->b->phase == PHASE_SET_UP) {
		(void)fprintf(stderr, "cairn-bench: setting up, %s %s\n", kind, detail);
		c->b->broken = true;
		loop_stop(c->b->loop);
		return;
	}
	tally_failure(&c->b->tally, kind, detail);
	wait_for(c, WAITING_BEGIN, PAUSE_MS);
}

static void on_timer(struct loop *l, void *arg)
{
	struct client *c = arg;
	(void)l;
	switch (c->waiting) {
	case WAITING_REPLY:
		conn_close(c->conn);
		failed(c, "no reply in time", "");
		return;
	case WAITING_TURN:
		client_go(c, c->step);
		return;
	case WAITING_BEGIN:
		client_begin(c);
		return;
	}
}

static void refused(struct client *c, uint64_t wait_s)
{
	uint64_t s = wait_s < REFUSED_WAIT_MAX_S ? wait_s : REFUSED_WAIT_MAX_S;
	const struct bench *b = c->b;
	c->b->tally.refused++;
	if (b->phase == PHASE_SET_UP && mono_us() - b->started_us > (int64_t)b->o->timeout_s * 1000000)
		failed(c, "refused until the time was up", "");
	else if (b->phase == PHASE_OVER)
		client_begin(c); /* which ends it */
	else
		wait_for(c, WAITING_TURN, s == 0 ? PAUSE_MS : (int64_t)s * 1000);
}

/* --- replies ---------------------------------------------------------------------------------------------------------*/

static void again(struct client *c)
{
	unsigned n = c->again + 1;
	client_go(c, c->step);
	c->again = n;
}

static void on_reply(void *ctx, const struct reply *r)
{
	struct client *c = ctx;
	struct tally *t = &c->b->tally;
	struct str type = STR_NONE;
	struct err err = { 0 };
	enum step step = c->step;
	loop_timer_stop(c->timer);
	if (r->nonce.n > 0 && r->nonce.n <= NONCE_MAX) {
		memcpy(c->nonce, r->nonce.p, r->nonce.n);
		c->nonce_n = r->nonce.n;
	}
	if (c->b->o->overload && (r->status == 503 || r->status == 429)) {
		refused(c, r->retry_after_s);
		return;
	}
	hist_add(&t->hist[steps[step].measured], mono_us() - c->asked_us);
	if (r->status == 400 && c->again < AGAIN_MAX && scan_member(r->body, "type", &type) &&
	    str_eq(type, bad_nonce)) {
		t->bad_nonces++;
		again(c);
		return;
	}
	struct rc rc = steps[step].take(c, r, &err);
	if (!FAILED(rc))
		return;
	char what[80];
	(void)scan_member(r->body, "type", &type);
	(void)snprintf(what, sizeof what, "%d %.*s", r->status, STR_FMT(str_sub(type, 0, 60)));
	failed(c, what, err.detail);
}

static void on_failure(void *ctx, const char *what, bool fresh)
{
	struct client *c = ctx;
	loop_timer_stop(c->timer);
	if (!fresh && c->again < AGAIN_MAX) { /* a server may close a kept connection at any time */
		c->b->tally.reconnects++;
		again(c);
	} else if (c->b->o->overload) {
		refused(c, 1);
	} else {
		failed(c, what, "");
	}
}

static void on_open(void *ctx)
{
	struct client *c = ctx;
	hist_add(&c->b->tally.hist[M_CONNECT], mono_us() - c->asked_us);
}

/* --- requests --------------------------------------------------------------------------------------------------------*/

void client_go(struct client *c, enum step step)
{
	c->step = step;
	c->again = 0;
	steps[step].ask(c);
}

void client_go_later(struct client *c, enum step step, const struct reply *r)
{
	const struct options *o = c->b->o;
	int64_t ms =
		o->poll_ms > 0 ? (int64_t)o->poll_ms : (int64_t)(r->retry_after_s > 0 ? r->retry_after_s : 1) * 1000;
	c->step = step;
	c->again = 0;
	if (mono_us() - c->began_us > (int64_t)o->timeout_s * 1000000)
		failed(c, "the order takes too long", "");
	else
		wait_for(c, WAITING_TURN, ms);
}

static void send_it(struct client *c, const char *method, struct str url, struct str body)
{
	const struct bench *b = c->b;
	if (!str_skip(&url, b->base)) {
		failed(c, "a URL of another server", "");
		return;
	}
	if (b->o->kept == KEPT_REQUEST)
		conn_close(c->conn);
	wait_for(c, WAITING_REPLY, (int64_t)b->o->timeout_s * 1000);
	c->asked_us = mono_us();
	conn_send(c->conn, method, url, body);
}

void client_head(struct client *c, struct str url)
{
	send_it(c, c->step == STEP_DIRECTORY ? "GET" : "HEAD", url, STR_NONE);
}

void client_post_as(struct client *c, struct bench_key *key, struct str kid, struct str url, struct str payload)
{
	struct err err = { 0 };
	const struct jws_wanted w = {
		.key = key, .kid = kid, .nonce = str_n(c->nonce, c->nonce_n), .url = url, .payload = payload
	};
	if (FAILED(message_jws(c->b->signing, c->b->scratch, &w, &c->body, &err)))
		failed(c, "signing", err.detail);
	else
		send_it(c, "POST", url, buf_str(&c->body));
}

void client_post(struct client *c, struct str url, struct str payload)
{
	client_post_as(c, c->account_key, c->kid, url, payload);
}

/* --- the life of a client --------------------------------------------------------------------------------------------*/

struct client *client_new(struct bench *b, unsigned number, struct bench_key *account_key)
{
	struct client *c = mem_alloc(sizeof *c);
	c->b = b;
	c->number = number;
	c->account_key = account_key;
	c->conn = conn_new(&b->conn, c);
	c->timer = loop_timer_new(b->loop, on_timer, c);
	c->body = (struct buf)BUF_MAX(2 * PAYLOAD_MAX);
	c->payload = (struct buf)BUF_MAX(PAYLOAD_MAX);
	c->scratch = (struct buf)BUF_MAX(PAYLOAD_MAX);
	return c;
}

fallible client_set_up(struct client *c, struct err *err)
{
	c->b->conn.on_reply = on_reply;
	c->b->conn.on_failure = on_failure;
	c->b->conn.on_open = on_open;
	return bench_key_new(c->b->signing, BENCH_ES256, &c->key, err);
}

void client_free(struct client *c)
{
	if (c == NULL)
		return;
	conn_free(c->conn);
	loop_timer_free(c->timer);
	bench_key_free(c->key);
	bench_key_free(c->extra_key);
	arena_done(&c->account_mem);
	arena_done(&c->order_mem);
	free(c->certificates);
	buf_done(&c->body);
	buf_done(&c->payload);
	buf_done(&c->scratch);
	free(c);
}

void client_start(struct client *c)
{
	client_go(c, c->number == 0 ? STEP_DIRECTORY : STEP_NEW_NONCE);
}

void client_ready(struct client *c)
{
	struct bench *b = c->b;
	if (++b->ready == b->o->clients)
		bench_ready(b);
}

void client_done(struct client *c)
{
	struct bench *b = c->b;
	if (b->phase == PHASE_SET_UP) {
		if (c->certificate_count < c->certificate_room)
			client_begin(c);
		else
			client_ready(c);
		return;
	}
	hist_add(&b->tally.hist[M_ISSUANCE], mono_us() - c->began_us);
	b->tally.done++;
	if (b->phase == PHASE_RUN)
		b->tally.in_time++;
	client_begin(c);
}

/* Whether there is one more to begin; --rate may want it later. */
static bool may_begin(struct client *c)
{
	struct bench *b = c->b;
	const struct options *o = b->o;
	int64_t now = mono_us();
	c->began_us = now;
	if (b->phase == PHASE_SET_UP)
		return true;
	if (b->phase == PHASE_OVER || (o->orders > 0 && b->begun >= o->orders) ||
	    (o->task == TASK_REVOKE && c->certificate_count == 0)) {
		if (--b->busy == 0)
			bench_idle(b);
		return false;
	}
	if (o->rate > 0) {
		if (now < b->next_us) {
			wait_for(c, WAITING_BEGIN, (b->next_us - now + 999) / 1000);
			return false;
		}
		c->began_us = b->next_us; /* how long it had to wait for a client counts */
		b->next_us += (int64_t)(1000000 / o->rate);
	}
	b->begun++;
	return true;
}

void client_begin(struct client *c)
{
	static const enum step first[TASK_COUNT] = {
		[TASK_ISSUE] = STEP_NEW_ORDER,
		[TASK_NEW_NONCE] = STEP_NEW_NONCE,
		[TASK_NEW_ACCOUNT] = STEP_NEW_ACCOUNT,
		[TASK_NEW_ORDER] = STEP_NEW_ORDER,
		[TASK_READ] = STEP_READ,
		[TASK_REVOKE] = STEP_REVOKE,
	};
	if (!may_begin(c))
		return;
	arena_done(&c->order_mem);
	memset(c->token, 0, sizeof c->token);
	memset(c->names, 0, sizeof c->names);
	if (c->b->o->kept == KEPT_ORDER)
		conn_close(c->conn);
	client_go(c, c->b->phase == PHASE_SET_UP ? STEP_NEW_ORDER : first[c->b->o->task]);
}

/* --- names -----------------------------------------------------------------------------------------------------------*/

/* cCLIENT-RUN-ORDER.suffix, or cCLIENT-RUN-ORDER-I.suffix when there are several. */
void client_name(struct client *c, size_t i, uint64_t order)
{
	const struct options *o = c->b->o;
	struct arena *mem = &c->order_mem;
	if (o->names == 1)
		c->names[i] = str_fmt(mem, "c%u-%s-%llu%.*s", c->number, c->b->run_id, (unsigned long long)order,
				      STR_FMT(o->suffix));
	else
		c->names[i] = str_fmt(mem, "c%u-%s-%llu-%zu%.*s", c->number, c->b->run_id, (unsigned long long)order, i,
				      STR_FMT(o->suffix));
}

bool clients_answer(const struct bench *b, struct str name, struct client_answer *ret)
{
	uint64_t number = 0, i = 0;
	size_t dot = str_find(name, '.', 0), last = dot;
	if (!str_starts(name, STR("c")) ||
	    FAILED(str_u64(str_sub(name, 1, str_find(name, '-', 0)), b->o->clients - 1, &number, NULL)))
		return false;
	while (last > 0 && name.p[last - 1] != '-')
		last--;
	if (b->o->names > 1 && FAILED(str_u64(str_sub(name, last, dot), b->o->names - 1, &i, NULL)))
		return false;
	const struct client *c = b->clients[number];
	if (!str_eq(c->names[i], name) || c->token[i].n == 0)
		return false;
	*ret = (struct client_answer){ .token = c->token[i], .thumbprint = bench_key_thumbprint(c->account_key) };
	return true;
}

fallible client_answer_hash(const struct bench *b, const struct client_answer *a, uint8_t out[32])
{
	char text[512];
	size_t n = a->token.n + 1 + a->thumbprint.n;
	if (n > sizeof text)
		return (struct rc){ ERR_INTERNAL };
	memcpy(text, a->token.p, a->token.n);
	text[a->token.n] = '.';
	memcpy(text + a->token.n + 1, a->thumbprint.p, a->thumbprint.n);
	return bench_sha256(b->signing, str_n(text, n), out, NULL);
}

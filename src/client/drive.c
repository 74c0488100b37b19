/* SPDX-License-Identifier: Apache-2.0
 *
 * drive.c: does what the engine says, over libcurl: one request a step, waits in slices, everything under one deadline.
 * Whatever ends an order early, the answers that are up come down before the error goes out.
 */
#include "client/client.h"

#include <errno.h>
#include <time.h>

#define EXCHANGE_MAX_MS 30000
#define CONNECT_MAX_MS 10000
#define SLICE_MS 100 /* how soon a stop is seen */
#define AWAY_MS 200  /* between two tries at a server that is away */

static bool is_stopped(const struct client_drive *how)
{
	return how->stop != NULL && *how->stop != 0;
}

static int64_t left_ms(const struct client_drive *how)
{
	return how->deadline_mono_ms - clock_mono_ms(how->clk);
}

static fallible time_left(const struct client_drive *how, struct err *err)
{
	if (is_stopped(how))
		FAIL(err, ERR_CLOSED, "stopped");
	if (left_ms(how) <= 0)
		FAIL(err, ERR_TIMEOUT, "the time limit is over");
	return OK;
}

static fallible wait_for(const struct client_drive *how, int64_t ms, struct err *err)
{
	if (ms > left_ms(how))
		FAIL(err, ERR_TIMEOUT, "the next look is due in %lld ms, and the time limit ends before",
		     (long long)ms);
	int64_t until = clock_mono_ms(how->clk) + ms;
	for (;;) {
		int64_t left = until - clock_mono_ms(how->clk);
		if (left <= 0 || is_stopped(how))
			return OK;
		if (left > SLICE_MS)
			left = SLICE_MS;
		const struct timespec slice = { .tv_nsec = left * 1000000 };
		(void)nanosleep(&slice, NULL); /* a signal ends it early, and the loop looks why */
	}
}

static fallible exchange(const struct client_drive *how, const struct client_step *step, struct arena *mem,
			 struct fetch_reply *ret, struct err *err)
{
	int64_t limit = left_ms(how);
	if (limit > EXCHANGE_MAX_MS)
		limit = EXCHANGE_MAX_MS;
	if (limit < 1)
		limit = 1;
	const struct fetch_request rq = {
		.method = step->method,
		.url = step->url,
		.body = step->body,
		.content_type = STR("application/jose+json"), /* RFC 8555 6.2 */
		.verify_tls = true,
		.ca_file = how->ca_file,
		.user_agent = how->user_agent,
		.body_max = CLIENT_REPLY_MAX,
		.connect_timeout_ms = limit < CONNECT_MAX_MS ? limit : CONNECT_MAX_MS,
		.timeout_ms = limit,
	};
	struct rc rc = fetch(how->fetcher, &rq, mem, ret, err);
	if (FAILED(rc)) {
		err_prefix(err, "%s: %.*s: ", step->doing, STR_FMT(step->url));
		return rc;
	}
	if (ret->body_cut)
		FAIL(err, ERR_MALFORMED, "%s: %.*s: the answer is larger than %d bytes", step->doing,
		     STR_FMT(step->url), CLIENT_REPLY_MAX);
	return OK;
}

static bool is_away(struct rc rc, const struct fetch_reply *r)
{
	return rc.kind == ERR_CONNECTION || rc.kind == ERR_TIMEOUT || rc.kind == ERR_TLS ||
	       (rc.kind == ERR_NONE && r->status >= 500);
}

/* A server that was away may or may not have seen the request, so its nonce may be spent; the engine knows badNonce. */
static fallible exchange_patient(const struct client_drive *how, const struct client_step *step, struct arena *mem,
				 struct fetch_reply *ret, struct err *err)
{
	for (;;) {
		struct err why = { 0 };
		struct rc rc = exchange(how, step, mem, ret, &why);
		if (!is_away(rc, ret) || !how->patient || left_ms(how) <= AWAY_MS || is_stopped(how)) {
			if (FAILED(rc) && err != NULL)
				*err = why;
			return rc;
		}
		TRY(wait_for(how, AWAY_MS, err));
	}
}

static fallible do_request(struct client *cl, const struct client_drive *how, const struct client_step *step,
			   struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct fetch_reply r;
	struct err why = { 0 };
	if (FAILED(exchange_patient(how, step, &mem, &r, &why)))
		return client_fail(cl, &why, err);
	const struct client_reply reply = {
		.status = r.status,
		.nonce = fetch_reply_header(&r, "replay-nonce"),
		.location = fetch_reply_header(&r, "location"),
		.retry_after = fetch_reply_header(&r, "retry-after"),
		.body = r.body,
		.now_s = clock_now_ms(how->clk) / 1000,
	};
	return client_replied(cl, &reply, err);
}

static fallible do_publish(struct client *cl, const struct client_answers *a, const struct client_step *step,
			   struct err *err)
{
	struct err why = { 0 };
	if (FAILED(a->publish(a->ctx, &step->answer, &why)))
		return client_fail(cl, &why, err);
	return client_did(cl, err);
}

static fallible do_withdraw(struct client *cl, const struct client_answers *a, const struct client_step *step,
			    struct err *err)
{
	a->withdraw(a->ctx, &step->answer);
	return client_did(cl, err);
}

static fallible do_wait(struct client *cl, const struct client_drive *how, const struct client_step *step,
			struct err *err)
{
	struct err why = { 0 };
	if (FAILED(wait_for(how, step->wait_ms, &why)))
		return client_fail(cl, &why, err);
	return client_did(cl, err);
}

static void tell(const struct client_answers *a, const struct client_step *step)
{
	if (a->step != NULL)
		a->step(a->ctx, step);
	if (a->progress != NULL)
		a->progress(a->ctx, step->doing, step->answer.ident.value.n > 0 ? step->answer.ident.value : step->url);
}

fallible client_drive(struct client *cl, const struct client_drive *how, struct arena *mem, struct str *ret_chain_pem,
		      struct err *err)
{
	for (;;) {
		struct client_step step;
		struct err why = { 0 };
		struct rc rc = client_next(cl, &step, &why);
		if (FAILED(rc)) { /* it cannot even be asked for: a key that does not sign, a request that cannot be
				     made */
			TRY(client_fail(cl, &why, err));
			continue;
		}
		tell(how->answers, &step);
		if (step.kind != CLIENT_WITHDRAW && step.kind != CLIENT_DONE && FAILED(time_left(how, &why))) {
			err_prefix(&why, "%s: ", step.doing);
			TRY(client_fail(cl, &why, err));
			continue;
		}
		switch (step.kind) {
		case CLIENT_REQUEST:
			TRY(do_request(cl, how, &step, err));
			break;
		case CLIENT_PUBLISH:
			TRY(do_publish(cl, how->answers, &step, err));
			break;
		case CLIENT_WITHDRAW:
			TRY(do_withdraw(cl, how->answers, &step, err));
			break;
		case CLIENT_WAIT:
			TRY(do_wait(cl, how, &step, err));
			break;
		case CLIENT_DONE:
			if (ret_chain_pem != NULL)
				*ret_chain_pem = str_dup(mem, step.chain_pem);
			return OK;
		}
	}
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * engine.c: the machine. Each phase is a row of a table: what to ask and what the answer means (phases.c). This file
 * holds what all phases share: nonces, signing, retries, waiting, and the way out after a failure, which withdraws what
 * was published.
 */
#include "client/engine.h"

#include <stdlib.h>

#define NONCE_MAX 512
#define BODY_MAX (64 * 1024)

fallible client_new(const struct client_conf *conf, struct client **ret, struct err *err)
{
	struct client *cl = mem_alloc(sizeof *cl);
	cl->crypto = conf->crypto;
	cl->account_key = conf->account_key;
	cl->method = conf->method;
	cl->terms_agreed = conf->terms_agreed;
	cl->directory_url = str_dup(&cl->mem, conf->directory_url);
	cl->contact = str_dup(&cl->mem, conf->contact);
	cl->nonce.max = NONCE_MAX;
	cl->body.max = BODY_MAX;
	cl->chain.max = CLIENT_REPLY_MAX;
	struct rc rc = jwk_thumbprint(conf->crypto, conf->account_key, &cl->thumbprint, err);
	if (FAILED(rc)) {
		client_free(cl);
		return rc;
	}
	*ret = cl;
	return OK;
}

void client_free(struct client *cl)
{
	if (cl == NULL)
		return;
	buf_done(&cl->nonce);
	buf_done(&cl->body);
	buf_done(&cl->chain);
	arena_done(&cl->order_mem);
	arena_done(&cl->mem);
	free(cl);
}

fallible client_order(struct client *cl, const struct str *names, size_t count, const struct key *certificate_key,
		      struct err *err)
{
	if (count == 0 || count > IDENTS_MAX)
		FAIL(err, ERR_CONFIG, "%zu names; an order has 1 to %d", count, IDENTS_MAX);
	arena_done(&cl->order_mem);
	memset(cl->authzs, 0, sizeof cl->authzs);
	cl->authz_count = cl->at = 0;
	cl->certificate_key = certificate_key;
	cl->names = ARENA_ARRAY(&cl->order_mem, struct str, count);
	for (size_t i = 0; i < count; i++)
		cl->names[i] = str_dup(&cl->order_mem, names[i]);
	cl->name_count = count;
	cl->order_url = cl->finalize_url = cl->certificate_url = STR_NONE;
	cl->polls = cl->retries = 0;
	cl->wait_ms = 0;
	cl->asked_nonce = false;
	cl->failure = (struct err){ 0 };
	buf_reset(&cl->chain);
	cl->phase = cl->new_order.n == 0 ? PH_DIRECTORY : cl->account_url.n == 0 ? PH_ACCOUNT : PH_ORDER;
	return OK;
}

/* --- what to do now
 * --------------------------------------------------------------------------------------------------*/
static fallible step_signed(struct client *cl, struct client_step *ret, struct err *err)
{
	AUTO(buf_done) struct buf payload = BUF_MAX(BODY_MAX);
	struct str url = STR_NONE;
	if (cl->nonce.n == 0) {
		cl->asked_nonce = true;
		*ret = (struct client_step){
			.kind = CLIENT_REQUEST, .method = STR("HEAD"), .url = cl->new_nonce, .doing = "new nonce"
		};
		return OK;
	}
	TRY(phase_row(cl->phase)->ask(cl, &url, &payload, err));
	buf_reset(&cl->body);
	struct str kid = cl->phase == PH_ACCOUNT ? STR_NONE : cl->account_url;
	TRY(jws_sign_acme(cl->crypto, cl->account_key, kid, buf_str(&cl->nonce), url, buf_str(&payload), &cl->body,
			  err));
	*ret = (struct client_step){
		.kind = CLIENT_REQUEST, .method = STR("POST"), .url = url, .body = buf_str(&cl->body)
	};
	return OK;
}

static struct client_step step_answer(const struct client *cl, enum client_kind kind)
{
	const struct client_authz *z = &cl->authzs[cl->at];
	return (struct client_step){
		.kind = kind, .name = z->name, .token = z->token, .key_authorization = z->key_authorization
	};
}

fallible client_next(struct client *cl, struct client_step *ret, struct err *err)
{
	*ret = (struct client_step){ 0 };
	if (cl->wait_ms > 0) {
		*ret = (struct client_step){ .kind = CLIENT_WAIT, .wait_ms = cl->wait_ms };
	} else if (cl->phase == PH_DIRECTORY) {
		*ret = (struct client_step){ .kind = CLIENT_REQUEST, .method = STR("GET"), .url = cl->directory_url };
	} else if (cl->phase == PH_PUBLISH) {
		*ret = step_answer(cl, CLIENT_PUBLISH);
	} else if (cl->phase == PH_WITHDRAW) {
		*ret = step_answer(cl, CLIENT_WITHDRAW);
	} else if (cl->phase == PH_DONE) {
		*ret = (struct client_step){ .kind = CLIENT_DONE, .chain_pem = buf_str(&cl->chain) };
	} else if (cl->phase == PH_IDLE || cl->phase == PH_FAILED) {
		FAIL(err, ERR_INTERNAL, "no order is under way");
	} else {
		TRY(step_signed(cl, ret, err));
	}
	if (ret->doing == NULL)
		ret->doing = cl->wait_ms > 0 ? "wait" : phase_row(cl->phase)->doing;
	ret->account_url = cl->account_url;
	ret->order_url = cl->order_url;
	return OK;
}

/* --- what came of it
 * -------------------------------------------------------------------------------------------------*/
static fallible fail_with(struct client *cl, struct err *err)
{
	if (err != NULL)
		*err = cl->failure;
	return (struct rc){ cl->failure.kind };
}

/* The next published answer to take down, or the end of the withdrawing. */
static bool withdraw_next(struct client *cl)
{
	for (cl->at = 0; cl->at < cl->authz_count; cl->at++)
		if (cl->authzs[cl->at].published)
			return true;
	return false;
}

/* A failure first takes down what was published, then comes out of client_did; without answers it comes out at once. */
static fallible fail_order(struct client *cl, const struct err *why, struct err *err)
{
	cl->failure = *why;
	cl->wait_ms = 0;
	if (withdraw_next(cl)) {
		cl->phase = PH_WITHDRAW;
		return OK;
	}
	cl->phase = PH_FAILED;
	return fail_with(cl, err);
}

/* Retry-After is seconds or a date (RFC 9110 10.2.3). */
static int64_t retry_after_ms(const struct client_reply *r, int64_t otherwise_ms)
{
	uint64_t s;
	if (r->retry_after.p == NULL || FAILED(str_u64(r->retry_after, 86400, &s, NULL)))
		return r->retry_after.p == NULL ? otherwise_ms : 5000;
	int64_t ms = (int64_t)s * 1000;
	return ms < 1 ? otherwise_ms : ms > CLIENT_WAIT_MAX_MS ? CLIENT_WAIT_MAX_MS : ms;
}

static fallible nonce_keep(struct client *cl, const struct client_reply *r, struct err *err)
{
	buf_reset(&cl->nonce);
	for (size_t i = 0; i < r->nonce.n; i++) { /* base64url, or it is not a nonce (RFC 8555 6.5.1) */
		char c = r->nonce.p[i];
		bool fine = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
			    c == '_';
		if (!fine || r->nonce.n > NONCE_MAX)
			FAIL(err, ERR_MALFORMED, "the server's Replay-Nonce is not base64url");
	}
	return buf_add(&cl->nonce, r->nonce, err);
}

/* Says in *ret whether the same request is to be sent again. Only refusals that name themselves as passing are. */
static bool is_passing(struct client *cl, const struct client_reply *r, enum err_kind kind)
{
	bool busy = r->status == 429 || r->status == 503;
	if ((kind != ERR_BAD_NONCE && !busy) || cl->retries >= CLIENT_RETRIES_MAX)
		return false;
	cl->retries++;
	if (busy)
		cl->wait_ms = retry_after_ms(r, 1000 << cl->retries);
	return true;
}

static void problem_err(const struct client *cl, const struct client_reply *r, const struct json *body, struct err *ret)
{
	enum err_kind kind = ERR_INTERNAL;
	struct str detail = STR_NONE;
	const char *doing = cl->asked_nonce ? "new nonce" : phase_row(cl->phase)->doing;
	if (body == NULL || FAILED(problem_read(body, &kind, &detail, NULL)))
		err_set(ret, ERR_INTERNAL, "%s: the server answered %d without a problem document", doing, r->status);
	else
		err_set(ret, kind, "%s: the server answered %d %s: %.*s", doing, r->status, err_kind_name(kind),
			STR_FMT(detail));
	ret->kind = kind;
}

static fallible reply_failed(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	struct err why = { 0 };
	problem_err(cl, r, body, &why);
	if (is_passing(cl, r, why.kind))
		return OK;
	if (why.kind == ERR_NONE)
		why.kind = ERR_INTERNAL;
	return fail_order(cl, &why, err);
}

static fallible reply_read(struct client *cl, const struct client_reply *r, struct json **ret, struct err *err)
{
	*ret = NULL;
	if (cl->phase == PH_CERT && r->status == 200)
		return OK;
	if (r->body.n == 0)
		return OK;
	return json_read(r->body, CLIENT_REPLY_MAX, ret, err);
}

static fallible reply_take(struct client *cl, const struct client_reply *r, struct err *err)
{
	AUTO(json_auto) struct json *body = NULL;
	struct rc rc = reply_read(cl, r, &body, err);
	if (r->status < 200 || r->status > 299)
		return reply_failed(cl, r, body, err);
	TRY(rc);
	if (cl->asked_nonce) {
		cl->asked_nonce = false;
		if (cl->nonce.n == 0)
			FAIL(err, ERR_MALFORMED, "the server's newNonce gave no Replay-Nonce");
		return OK;
	}
	cl->retries = 0;
	return phase_row(cl->phase)->answer(cl, r, body, err);
}

fallible client_replied(struct client *cl, const struct client_reply *r, struct err *err)
{
	struct err why = { 0 };
	TRY(nonce_keep(cl, r, err)); /* without one in the reply there is none: a nonce is used once */
	struct rc rc = reply_take(cl, r, &why);
	if (!FAILED(rc))
		return OK;
	if (cl->phase == PH_FAILED)
		return fail_with(cl, err);
	return fail_order(cl, &why, err);
}

fallible client_did(struct client *cl, struct err *err)
{
	if (cl->wait_ms > 0) {
		cl->wait_ms = 0;
		return OK;
	}
	if (cl->phase == PH_PUBLISH) {
		cl->authzs[cl->at].published = true;
		cl->phase = PH_CHALLENGE;
		return OK;
	}
	if (cl->phase != PH_WITHDRAW)
		FAIL(err, ERR_INTERNAL, "nothing was to be done in this phase");
	cl->authzs[cl->at].published = false;
	if (withdraw_next(cl))
		return OK;
	if (cl->failure.kind != ERR_NONE) {
		cl->phase = PH_FAILED;
		return fail_with(cl, err);
	}
	cl->phase = PH_POLL_ORDER;
	return OK;
}

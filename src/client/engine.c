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

static fallible directory_url_check(struct str text, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct url u;
	struct rc rc = url_read(&mem, text, CLIENT_URL_MAX, &u, err);
	if (FAILED(rc)) {
		err_prefix(err, "directory: ");
		return rc;
	}
	if (!u.https)
		FAIL(err, ERR_CONFIG, "directory: %.*s is not an https URL (RFC 8555 6.1)", STR_FMT(text));
	return OK;
}

static void methods_take(struct client *cl, const struct client_conf *conf)
{
	for (size_t i = 0; i < conf->method_count && cl->method_count < CHALLENGE_TYPE_COUNT; i++)
		cl->methods[cl->method_count++] = conf->methods[i];
	if (cl->method_count == 0)
		cl->methods[cl->method_count++] = CHALLENGE_HTTP01;
}

fallible client_new(const struct client_conf *conf, struct client **ret, struct err *err)
{
	TRY(directory_url_check(conf->directory_url, err));
	struct client *cl = mem_alloc(sizeof *cl);
	cl->crypto = conf->crypto;
	cl->account_key = conf->account_key;
	methods_take(cl, conf);
	cl->terms_agreed = conf->terms_agreed;
	cl->poll_ms = conf->poll_ms;
	cl->settle_ms = conf->settle_ms;
	cl->directory_url = str_dup(&cl->mem, conf->directory_url);
	cl->contact = str_dup(&cl->mem, conf->contact);
	cl->eab_kid = str_dup(&cl->mem, conf->eab_kid);
	cl->eab_key = conf->eab_key;
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

/* --- what to do --- */
/* A certificate's own key is all that its revocation needs (RFC 8555 7.6). */
static bool needs_account(const struct client *cl)
{
	return cl->account_url.n == 0 && !(cl->goal == GOAL_REVOKE && cl->certificate_key != NULL);
}

static void begin(struct client *cl, enum goal goal)
{
	arena_done(&cl->order_mem);
	memset(cl->authzs, 0, sizeof cl->authzs);
	cl->authz_count = cl->at = cl->ident_count = 0;
	cl->goal = goal;
	cl->certificate_key = cl->new_key = NULL;
	cl->order_url = cl->finalize_url = cl->certificate_url = cl->csr_b64 = cl->revoke_b64 = cl->profile = STR_NONE;
	cl->looked = cl->agreed = false;
	cl->polls = cl->retries = 0;
	cl->wait_ms = 0;
	cl->asked_nonce = false;
	cl->failure = (struct err){ 0 };
	buf_reset(&cl->chain);
}

static void first_phase(struct client *cl)
{
	cl->phase = cl->directory.new_order.n == 0 ? PH_DIRECTORY
		    : needs_account(cl)            ? PH_ACCOUNT
						   : phase_of_goal(cl->goal);
}

fallible client_order(struct client *cl, const struct client_wanted *w, struct err *err)
{
	if (w->count == 0 || w->count > IDENTS_MAX)
		FAIL(err, ERR_CONFIG, "%zu names; an order has 1 to %d", w->count, IDENTS_MAX);
	for (size_t i = 0; i < w->count; i++)
		TRY(ident_check(&w->idents[i], true, err));
	begin(cl, GOAL_ORDER);
	cl->certificate_key = w->key;
	cl->profile = str_dup(&cl->order_mem, w->profile);
	cl->idents = ARENA_ARRAY(&cl->order_mem, struct ident, w->count);
	for (size_t i = 0; i < w->count; i++)
		cl->idents[i] = (struct ident){ w->idents[i].type, str_dup(&cl->order_mem, w->idents[i].value) };
	cl->ident_count = w->count;
	first_phase(cl);
	return OK;
}

fallible client_register(struct client *cl, struct err *err)
{
	(void)err;
	begin(cl, GOAL_REGISTER);
	first_phase(cl);
	return OK;
}

fallible client_find(struct client *cl, struct err *err)
{
	(void)err;
	begin(cl, GOAL_FIND);
	first_phase(cl);
	return OK;
}

fallible client_revoke(struct client *cl, struct str certificate_der, int reason, const struct key *certificate_key,
		       struct err *err)
{
	if (certificate_der.n == 0 || certificate_der.n > CERT_DER_MAX)
		FAIL(err, ERR_CONFIG, "a certificate of %zu bytes; wanted 1 to %d", certificate_der.n, CERT_DER_MAX);
	begin(cl, GOAL_REVOKE);
	cl->revoke_b64 = b64url_encode(&cl->order_mem, certificate_der);
	cl->revoke_reason = reason;
	cl->certificate_key = certificate_key;
	first_phase(cl);
	return OK;
}

fallible client_key_change(struct client *cl, const struct key *key, struct err *err)
{
	if (key_public_eq(key, cl->account_key))
		FAIL(err, ERR_CONFIG, "the new key is the account's already");
	begin(cl, GOAL_KEY_CHANGE);
	cl->new_key = key;
	first_phase(cl);
	return OK;
}

fallible client_deactivate(struct client *cl, struct err *err)
{
	(void)err;
	begin(cl, GOAL_DEACTIVATE);
	first_phase(cl);
	return OK;
}

/* --- what to do now --- */
static fallible step_signed(struct client *cl, struct client_step *ret, struct err *err)
{
	AUTO(buf_done) struct buf payload = BUF_MAX(BODY_MAX);
	struct str url = STR_NONE;
	cl->asked_nonce = cl->nonce.n == 0;
	if (cl->asked_nonce) {
		*ret = (struct client_step){ .kind = CLIENT_REQUEST,
					     .method = STR("HEAD"),
					     .url = cl->directory.new_nonce,
					     .doing = "new nonce" };
		return OK;
	}
	TRY(phase_row(cl->phase)->ask(cl, &url, &payload, err));
	buf_reset(&cl->body);
	/* RFC 8555 6.2: the key itself where there is no account that could name it. */
	bool by_certificate = cl->phase == PH_REVOKE && cl->certificate_key != NULL;
	struct str kid = cl->phase == PH_ACCOUNT || by_certificate ? STR_NONE : cl->account_url;
	const struct key *key = by_certificate ? cl->certificate_key : cl->account_key;
	TRY(jws_sign_acme(cl->crypto, key, kid, buf_str(&cl->nonce), url, buf_str(&payload), &cl->body, err));
	*ret = (struct client_step){
		.kind = CLIENT_REQUEST, .method = STR("POST"), .url = url, .body = buf_str(&cl->body)
	};
	return OK;
}

static struct client_step step_answer(const struct client *cl, enum client_kind kind)
{
	return (struct client_step){ .kind = kind, .answer = cl->authzs[cl->at].answer };
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
	} else if (cl->phase == PH_SETTLE) {
		*ret = (struct client_step){ .kind = CLIENT_WAIT, .wait_ms = cl->settle_ms };
	} else {
		TRY(step_signed(cl, ret, err));
	}
	if (ret->doing == NULL)
		ret->doing = cl->wait_ms > 0 ? "wait" : phase_row(cl->phase)->doing;
	ret->account_url = cl->account_url;
	ret->order_url = cl->order_url;
	ret->certificate_url = cl->certificate_url;
	return OK;
}

/* --- what came of it --- */
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

fallible client_fail(struct client *cl, const struct err *why, struct err *err)
{
	if (cl->phase == PH_IDLE || cl->phase == PH_DONE || cl->phase == PH_FAILED || why->kind == ERR_NONE)
		FAIL(err, ERR_INTERNAL, "no order is under way that could fail");
	if (cl->phase == PH_WITHDRAW && cl->failure.kind != ERR_NONE)
		return OK; /* it has failed already, and the first reason is the one to tell */
	return fail_order(cl, why, err);
}

/* "Sun, 06 Nov 1994 08:49:37 GMT" (RFC 9110 5.6.7); the day's name is not believed, so not read. */
static bool http_date_read(struct str s, int64_t *ret)
{
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	static const struct {
		size_t at, n;
	} fields[] = { { 5, 2 }, { 12, 4 }, { 17, 2 }, { 20, 2 }, { 23, 2 } };
	int v[ARRAY_LEN(fields)] = { 0 };
	if (s.n != 29 || !str_ends(s, STR(" GMT")))
		return false;
	for (size_t f = 0; f < ARRAY_LEN(fields); f++) {
		for (size_t i = 0; i < fields[f].n; i++) {
			char c = s.p[fields[f].at + i];
			if (c < '0' || c > '9')
				return false;
			v[f] = 10 * v[f] + (c - '0');
		}
	}
	for (int m = 0; m < 12; m++) {
		if (memcmp(s.p + 8, months + 3 * m, 3) != 0)
			continue;
		struct civil c = {
			.year = v[1], .month = m + 1, .day = v[0], .hour = v[2], .minute = v[3], .second = v[4]
		};
		if (c.day < 1 || c.day > 31 || c.hour > 23 || c.minute > 59 || c.second > 59)
			return false;
		*ret = civil_unix(&c);
		return true;
	}
	return false;
}

int64_t retry_after_ms(const struct client_reply *r)
{
	uint64_t s;
	int64_t at;
	if (r->retry_after.p == NULL)
		return -1;
	if (!FAILED(str_u64(r->retry_after, UINT32_MAX, &s, NULL)))
		return (int64_t)s * 1000;
	if (!http_date_read(r->retry_after, &at))
		return -1;
	if (r->now_s == 0)
		return 5000;
	return at > r->now_s ? (at - r->now_s) * 1000 : 0;
}

/* RFC 8555 6.5.1: a Replay-Nonce that is not base64url is ignored. */
static void nonce_keep(struct client *cl, struct str nonce)
{
	buf_reset(&cl->nonce);
	if (is_base64url(nonce) && nonce.n <= NONCE_MAX && FAILED(buf_add(&cl->nonce, nonce, NULL)))
		buf_reset(&cl->nonce);
}

/* Is the same request to be sent again? Only refusals that name themselves as passing are, and only when what they ask
 * for is a wait that somebody may sit through. */
static bool is_passing(struct client *cl, const struct client_reply *r, enum err_kind kind)
{
	bool busy = r->status == 429 || r->status == 503;
	int64_t wait = retry_after_ms(r);
	if ((kind != ERR_BAD_NONCE && !busy) || cl->retries >= CLIENT_RETRIES_MAX || wait > CLIENT_WAIT_MAX_MS)
		return false;
	cl->retries++;
	if (busy)
		cl->wait_ms = wait > 0 ? wait : 500 << cl->retries;
	return true;
}

/* The order is not ready though its authorizations are valid, or another finalize was first: the order itself knows. */
static bool is_unready(struct client *cl, enum err_kind kind)
{
	if (cl->phase != PH_FINALIZE || cl->asked_nonce || kind != ERR_ORDER_NOT_READY || cl->looked)
		return false;
	cl->looked = true;
	cl->phase = PH_POLL_ORDER;
	cl->polls = 0;
	return true;
}

/* RFC 8555 7.3.3: the terms have changed since the account agreed. Whoever runs us agrees to them as they are. */
static bool is_agreeable(struct client *cl, enum err_kind kind)
{
	if (cl->phase != PH_ORDER || cl->asked_nonce || kind != ERR_USER_ACTION_REQUIRED || !cl->terms_agreed ||
	    cl->agreed)
		return false;
	cl->agreed = true;
	cl->phase = PH_AGREE;
	return true;
}

static enum err_kind kind_of_status(int status)
{
	return status == 503   ? ERR_UNAVAILABLE
	       : status == 429 ? ERR_RATE_LIMITED
	       : status >= 500 ? ERR_INTERNAL
			       : ERR_MALFORMED;
}

/* RFC 8555 7.3 has a server with terms refuse those who did not agree, and names no type for it. */
static bool terms_are_why(const struct client *cl, const struct client_reply *r, enum err_kind kind)
{
	bool refused = r->status >= 400 && r->status < 500 && r->status != 429 && kind != ERR_BAD_NONCE;
	bool making = cl->goal == GOAL_ORDER || cl->goal == GOAL_REGISTER;
	return refused && making && cl->phase == PH_ACCOUNT && !cl->asked_nonce && !cl->terms_agreed &&
	       cl->directory.terms.n > 0;
}

static void problem_err(const struct client *cl, const struct client_reply *r, const struct json *body, struct err *ret)
{
	AUTO(arena_done) struct arena mem = { 0 };
	enum err_kind kind = ERR_INTERNAL;
	const char *doing = cl->asked_nonce ? "new nonce" : phase_row(cl->phase)->doing;
	struct str words = problem_words(&mem, body, &kind);
	if (words.n == 0)
		err_set(ret, kind_of_status(r->status), "%s: the server answered %d and does not say why", doing,
			r->status);
	else
		err_set(ret, kind, "%s: the server answered %d %s: %.*s", doing, r->status, err_kind_name(kind),
			STR_FMT(words));
	if (terms_are_why(cl, r, ret->kind)) {
		ret->kind = ERR_USER_ACTION_REQUIRED;
		err_prefix(ret, "the server's terms, %.*s, were not agreed to; ", STR_FMT(cl->directory.terms));
	}
	int64_t wait = retry_after_ms(r);
	if (wait > 0)
		ret->retry_after_s = wait / 1000 > UINT32_MAX ? UINT32_MAX : (uint32_t)(wait / 1000);
}

static fallible reply_failed(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	struct err why = { 0 };
	problem_err(cl, r, body, &why);
	if (is_passing(cl, r, why.kind) || is_unready(cl, why.kind) || is_agreeable(cl, why.kind))
		return OK;
	return fail_order(cl, &why, err);
}

/* A certificate is no JSON, a nonce has no body. */
static fallible reply_read(struct client *cl, const struct client_reply *r, struct json **ret, struct err *err)
{
	bool fine = r->status >= 200 && r->status <= 299;
	*ret = NULL;
	if (r->body.n == 0 || (fine && (cl->asked_nonce || cl->phase == PH_CERT)))
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
		if (cl->nonce.n == 0)
			FAIL(err, ERR_MALFORMED, "the server's newNonce gave no Replay-Nonce that can be used");
		return OK;
	}
	cl->retries = 0;
	return phase_row(cl->phase)->answer(cl, r, body, err);
}

fallible client_replied(struct client *cl, const struct client_reply *r, struct err *err)
{
	struct err why = { 0 };
	if (cl->wait_ms > 0 || phase_row(cl->phase)->answer == NULL)
		FAIL(err, ERR_INTERNAL, "no request is under way in this phase");
	const char *doing = phase_row(cl->phase)->doing;
	nonce_keep(cl, r->nonce); /* without one in the reply there is none: a nonce is used once */
	struct rc rc = reply_take(cl, r, &why);
	if (!FAILED(rc))
		return OK;
	if (cl->phase == PH_FAILED)
		return fail_with(cl, err);
	err_prefix(&why, "%s: ", cl->asked_nonce ? "new nonce" : doing);
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
		authz_next(cl);
		return OK;
	}
	if (cl->phase == PH_SETTLE) {
		challenges_begin(cl);
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
	cl->phase = PH_FINALIZE; /* RFC 8555 7.1.6: valid authorizations make it ready; if not, is_unready asks it */
	return OK;
}

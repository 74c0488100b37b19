/* SPDX-License-Identifier: Apache-2.0
 *
 * steps.c: the steps of RFC 8555, what each asks and what its reply must be. Whatever is not as it must be is a failure
 * that says so, and the order is given up.
 */
#include "client.h"

#include <stdlib.h>

#define TOKEN_MAX 256
#define CERTIFICATE_MAX 16384

/* --- looking at replies ----------------------------------------------------------------------------------------------*/

/* This status, and a nonce with it (RFC 8555 6.5). */
static fallible want_status(const struct reply *r, int status, struct err *err)
{
	struct str detail = STR_NONE;
	if (r->status != status) {
		(void)scan_member(r->body, "detail", &detail);
		FAIL(err, ERR_MALFORMED, "%.*s", STR_FMT(detail));
	}
	if (r->nonce.n == 0 || r->nonce.n > NONCE_MAX)
		FAIL(err, ERR_MALFORMED, "no Replay-Nonce comes with it");
	return OK;
}

/* A member that is a URL or another short text; kept as long as mem. */
static fallible want_member(struct arena *mem, const struct reply *r, const char *key, struct str *ret, struct err *err)
{
	struct str v;
	if (!scan_member(r->body, key, &v) || v.n == 0 || v.n > URL_MAX)
		FAIL(err, ERR_MALFORMED, "no %s in the reply", key);
	*ret = str_dup(mem, v);
	return OK;
}

static fallible want_location(struct arena *mem, const struct reply *r, struct str *ret, struct err *err)
{
	if (r->location.n == 0 || r->location.n > URL_MAX)
		FAIL(err, ERR_MALFORMED, "no Location in the reply");
	*ret = str_dup(mem, r->location);
	return OK;
}

static bool state_is(const struct reply *r, const char *state)
{
	struct str v;
	return scan_member(r->body, "status", &v) && str_eq(v, str_z(state));
}

static fallible wrong_state(const struct reply *r, struct err *err)
{
	struct str state = STR_NONE, why = STR_NONE, detail = STR_NONE;
	(void)scan_member(r->body, "status", &state);
	if (!scan_member(r->body, "error", &why)) { /* an authorization has it in its challenge */
		const char *at = memmem(r->body.p, r->body.n, "\"error\":", 8);
		why = at == NULL ? STR_NONE : str_n(at + 8, r->body.n - (size_t)(at + 8 - r->body.p));
	}
	(void)scan_member(why, "detail", &detail);
	FAIL(err, ERR_MALFORMED, "it is %.*s: %.*s", STR_FMT(state), STR_FMT(detail));
}

/* --- the directory, nonces and accounts ------------------------------------------------------------------------------*/

static void ask_directory(struct client *c)
{
	client_head(c, c->b->o->server);
}

static fallible take_directory(struct client *c, const struct reply *r, struct err *err)
{
	struct bench *b = c->b;
	struct directory *d = &b->urls;
	if (r->status != 200)
		FAIL(err, ERR_MALFORMED, "the directory does not come");
	TRY(want_member(&b->mem, r, "newNonce", &d->new_nonce, err));
	TRY(want_member(&b->mem, r, "newAccount", &d->new_account, err));
	TRY(want_member(&b->mem, r, "newOrder", &d->new_order, err));
	TRY(want_member(&b->mem, r, "revokeCert", &d->revoke, err));
	for (unsigned i = 1; i < b->o->clients; i++)
		client_start(b->clients[i]);
	client_go(c, STEP_NEW_NONCE);
	return OK;
}

static void ask_new_nonce(struct client *c)
{
	client_head(c, c->b->urls.new_nonce);
}

static fallible take_new_nonce(struct client *c, const struct reply *r, struct err *err)
{
	TRY(want_status(r, 200, err));
	if (c->b->phase != PHASE_SET_UP)
		client_done(c);
	else
		client_go(c, STEP_NEW_ACCOUNT);
	return OK;
}

static void ask_new_account(struct client *c)
{
	struct bench_key *key = c->account_key;
	struct err err = { 0 };
	if (c->b->phase != PHASE_SET_UP) {
		bench_key_free(c->extra_key);
		c->extra_key = NULL;
		if (FAILED(bench_key_new(c->b->signing, BENCH_ES256, &c->extra_key, &err)))
			mem_die();
		key = c->extra_key;
	}
	client_post_as(c, key, STR_NONE, c->b->urls.new_account, STR("{\"termsOfServiceAgreed\":true}"));
}

static fallible take_new_account(struct client *c, const struct reply *r, struct err *err)
{
	const struct options *o = c->b->o;
	bool set_up = c->b->phase == PHASE_SET_UP;
	struct str url;
	/* 200: that of a key which several clients share, RSA keys being slow to make. */
	TRY(want_status(r, r->status == 200 && set_up && o->alg == BENCH_RS256 ? 200 : 201, err));
	if (!state_is(r, "valid"))
		return wrong_state(r, err);
	TRY(want_location(set_up ? &c->account_mem : &c->order_mem, r, &url, err));
	if (!set_up) {
		client_done(c);
		return OK;
	}
	c->kid = url;
	if (o->task == TASK_REVOKE) {
		c->certificate_room = (size_t)(o->prepare + o->clients - 1) / o->clients;
		c->certificates = mem_alloc_n(sizeof *c->certificates, c->certificate_room);
	}
	if (o->task == TASK_REVOKE || o->task == TASK_READ)
		client_begin(c);
	else
		client_ready(c);
	return OK;
}

/* --- orders ----------------------------------------------------------------------------------------------------------*/

static fallible order_write(struct client *c, struct buf *ret)
{
	const struct options *o = c->b->o;
	buf_reset(ret);
	TRY(buf_add(ret, STR("{\"identifiers\":["), NULL));
	for (size_t i = 0; i < o->names; i++)
		TRY(buf_addf(ret, NULL, "%s{\"type\":\"dns\",\"value\":\"%.*s\"}", i == 0 ? "" : ",",
			     STR_FMT(c->names[i])));
	return buf_add(ret, STR("]}"), NULL);
}

static void ask_new_order(struct client *c)
{
	for (size_t i = 0; i < c->b->o->names; i++)
		client_name(c, i, c->orders);
	c->orders++;
	if (FAILED(order_write(c, &c->payload)))
		mem_die(); /* NAMES_MAX names always fit */
	client_post(c, c->b->urls.new_order, buf_str(&c->payload));
}

static fallible take_new_order(struct client *c, const struct reply *r, struct err *err)
{
	const struct options *o = c->b->o;
	struct str list, url;
	size_t n = 0, at = 0;
	TRY(want_status(r, 201, err));
	if (!state_is(r, "pending"))
		return wrong_state(r, err);
	TRY(want_location(&c->order_mem, r, &c->order_url, err));
	TRY(want_member(&c->order_mem, r, "finalize", &c->finalize_url, err));
	if (!scan_member(r->body, "authorizations", &list))
		FAIL(err, ERR_MALFORMED, "no authorizations in the reply");
	while (n < o->names && scan_next(list, &at, &url))
		c->authz[n++] = str_dup(&c->order_mem, str_sub(url, 0, URL_MAX));
	if (n < o->names || scan_next(list, &at, &url))
		FAIL(err, ERR_MALFORMED, "not an authorization for each name");
	c->at = 0;
	if (c->b->phase == PHASE_SET_UP && o->task == TASK_READ) {
		c->read_url = str_dup(&c->account_mem, c->order_url);
		client_ready(c);
	} else if (o->task == TASK_NEW_ORDER) {
		client_done(c);
	} else {
		client_go(c, STEP_AUTHZ);
	}
	return OK;
}

/* --- authorizations --------------------------------------------------------------------------------------------------*/

static void ask_authz(struct client *c)
{
	client_post(c, c->authz[c->at], STR_NONE);
}

/* Which of the order's names it is about: mostly the one in the same place. */
static fallible name_find(const struct client *c, const struct reply *r, size_t *ret, struct err *err)
{
	struct str ident, value;
	size_t n = c->b->o->names;
	if (!scan_member(r->body, "identifier", &ident) || !scan_member(ident, "value", &value))
		FAIL(err, ERR_MALFORMED, "no identifier in the authorization");
	for (size_t i = 0; i < n; i++) {
		size_t k = (c->at + i) % n;
		if (str_eq(value, c->names[k])) {
			*ret = k;
			return OK;
		}
	}
	FAIL(err, ERR_MALFORMED, "an authorization for another name");
}

static fallible challenge_find(struct client *c, const struct reply *r, size_t name, struct err *err)
{
	static const char *const types[CHALLENGE_COUNT] = { "http-01", "dns-01", "tls-alpn-01" };
	struct str list, one, type, url, token;
	size_t at = 0;
	if (!scan_member(r->body, "challenges", &list))
		FAIL(err, ERR_MALFORMED, "no challenges in the authorization");
	while (scan_next(list, &at, &one)) {
		if (!scan_member(one, "type", &type) || !str_eq(type, str_z(types[c->b->o->challenge])))
			continue;
		if (!scan_member(one, "url", &url) || !scan_member(one, "token", &token) || url.n > URL_MAX ||
		    token.n < 22 || token.n > TOKEN_MAX) /* RFC 8555 8.1: 128 bits of entropy at least */
			FAIL(err, ERR_MALFORMED, "a challenge without URL or token");
		c->challenge[c->at] = str_dup(&c->order_mem, url);
		c->token[name] = str_dup(&c->order_mem, token);
		return OK;
	}
	FAIL(err, ERR_MALFORMED, "the challenge that is wanted is not offered");
}

/* The next authorization that is not known to be proven, from `from` on; all are: finalize. */
static void next_proof(struct client *c, enum step step, size_t from, const struct reply *r)
{
	size_t n = c->b->o->names;
	c->at = from;
	while (c->at < n && c->proven[c->at])
		c->at++;
	if (c->at < n) {
		client_go(c, step);
		return;
	}
	c->at = 0;
	while (c->at < n && c->proven[c->at])
		c->at++;
	if (c->at == n)
		client_go(c, STEP_FINALIZE);
	else
		client_go_later(c, STEP_POLL_AUTHZ, r);
}

static fallible take_authz(struct client *c, const struct reply *r, struct err *err)
{
	size_t name = 0;
	TRY(want_status(r, 200, err));
	TRY(name_find(c, r, &name, err));
	c->of_authz[c->at] = name;
	c->proven[c->at] = state_is(r, "valid");
	if (!c->proven[c->at]) {
		if (!state_is(r, "pending"))
			return wrong_state(r, err);
		TRY(challenge_find(c, r, name, err));
	}
	if (++c->at < c->b->o->names)
		client_go(c, STEP_AUTHZ);
	else
		next_proof(c, STEP_CHALLENGE, 0, r);
	return OK;
}

static void ask_challenge(struct client *c)
{
	client_post(c, c->challenge[c->at], STR("{}"));
}

static fallible take_challenge(struct client *c, const struct reply *r, struct err *err)
{
	struct str token;
	TRY(want_status(r, 200, err));
	if (!scan_member(r->body, "token", &token) || !str_eq(token, c->token[c->of_authz[c->at]]))
		FAIL(err, ERR_MALFORMED, "another challenge than the one that was answered");
	c->proven[c->at] = state_is(r, "valid"); /* RFC 8555 7.1.6: then its authorization is as well */
	if (!c->proven[c->at] && !state_is(r, "pending") && !state_is(r, "processing"))
		return wrong_state(r, err);
	next_proof(c, STEP_CHALLENGE, c->at + 1, r);
	return OK;
}

static fallible take_poll_authz(struct client *c, const struct reply *r, struct err *err)
{
	TRY(want_status(r, 200, err));
	c->proven[c->at] = state_is(r, "valid");
	if (!c->proven[c->at] && !state_is(r, "pending"))
		return wrong_state(r, err);
	if (c->proven[c->at])
		next_proof(c, STEP_POLL_AUTHZ, c->at + 1, r);
	else
		client_go_later(c, STEP_POLL_AUTHZ, r);
	return OK;
}

/* --- certificates ----------------------------------------------------------------------------------------------------*/

static fallible finalize_write(struct client *c, struct err *err)
{
	TRY(message_csr(c->b->signing, c->key, c->names, c->b->o->names, &c->scratch, err));
	buf_reset(&c->payload);
	TRY(buf_add(&c->payload, STR("{\"csr\":\""), err));
	TRY(b64url_add(&c->payload, buf_str(&c->scratch), err));
	return buf_add(&c->payload, STR("\"}"), err);
}

static void ask_finalize(struct client *c)
{
	if (FAILED(finalize_write(c, NULL)))
		mem_die(); /* NAMES_MAX names always fit */
	client_post(c, c->finalize_url, buf_str(&c->payload));
}

static fallible take_order(struct client *c, const struct reply *r, struct err *err)
{
	TRY(want_status(r, 200, err));
	if (state_is(r, "valid")) {
		TRY(want_member(&c->order_mem, r, "certificate", &c->certificate_url, err));
		client_go(c, STEP_CERTIFICATE);
		return OK;
	}
	if (!state_is(r, "processing"))
		return wrong_state(r, err);
	client_go_later(c, STEP_POLL_ORDER, r);
	return OK;
}

static void ask_poll_order(struct client *c)
{
	client_post(c, c->order_url, STR_NONE);
}

static void ask_certificate(struct client *c)
{
	client_post(c, c->certificate_url, STR_NONE);
}

/* base64 with its line ends, as it came, for a later revocation: base64url without padding. */
static void certificate_keep(struct client *c, struct str leaf)
{
	char out[CERTIFICATE_MAX];
	size_t n = 0;
	for (size_t i = 0; i < leaf.n && n < sizeof out; i++) {
		char ch = leaf.p[i];
		if (ch != '\n' && ch != '=')
			out[n++] = (char)(ch == '+' ? '-' : ch == '/' ? '_' : ch);
	}
	if (c->certificate_count < c->certificate_room)
		c->certificates[c->certificate_count++] =
			str_fmt(&c->account_mem, "{\"certificate\":\"%.*s\",\"reason\":4}", (int)n, out);
}

static fallible take_certificate(struct client *c, const struct reply *r, struct err *err)
{
	const struct look_wanted w = { .spki = bench_key_spki(c->key), .names = c->names, .count = c->b->o->names };
	struct str leaf;
	TRY(want_status(r, 200, err));
	if (!str_starts(r->content_type, STR("application/pem-certificate-chain")))
		FAIL(err, ERR_MALFORMED, "the certificate comes as another media type");
	TRY(looker_check(c->b->looker, r->body, &w, &leaf, err));
	if (c->b->o->task == TASK_REVOKE)
		certificate_keep(c, leaf);
	client_done(c);
	return OK;
}

/* --- alone -----------------------------------------------------------------------------------------------------------*/

static void ask_read(struct client *c)
{
	client_post(c, c->read_url, STR_NONE);
}

static fallible take_read(struct client *c, const struct reply *r, struct err *err)
{
	TRY(want_status(r, 200, err));
	if (!state_is(r, "pending"))
		return wrong_state(r, err);
	client_done(c);
	return OK;
}

static void ask_revoke(struct client *c)
{
	client_post(c, c->b->urls.revoke, c->certificates[c->certificate_count - 1]);
}

static fallible take_revoke(struct client *c, const struct reply *r, struct err *err)
{
	c->certificate_count--;
	TRY(want_status(r, 200, err));
	client_done(c);
	return OK;
}

const struct step_row steps[STEP_COUNT] = {
	[STEP_DIRECTORY] = { "directory", M_READ, ask_directory, take_directory },
	[STEP_NEW_NONCE] = { "newNonce", M_NEW_NONCE, ask_new_nonce, take_new_nonce },
	[STEP_NEW_ACCOUNT] = { "newAccount", M_NEW_ACCOUNT, ask_new_account, take_new_account },
	[STEP_NEW_ORDER] = { "newOrder", M_NEW_ORDER, ask_new_order, take_new_order },
	[STEP_AUTHZ] = { "authorization", M_AUTHZ, ask_authz, take_authz },
	[STEP_CHALLENGE] = { "challenge", M_CHALLENGE, ask_challenge, take_challenge },
	[STEP_POLL_AUTHZ] = { "authorization again", M_POLL, ask_authz, take_poll_authz },
	[STEP_FINALIZE] = { "finalize", M_FINALIZE, ask_finalize, take_order },
	[STEP_POLL_ORDER] = { "order again", M_POLL, ask_poll_order, take_order },
	[STEP_CERTIFICATE] = { "certificate", M_CERTIFICATE, ask_certificate, take_certificate },
	[STEP_READ] = { "read", M_READ, ask_read, take_read },
	[STEP_REVOKE] = { "revokeCert", M_REVOKE, ask_revoke, take_revoke },
};

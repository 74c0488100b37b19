/* SPDX-License-Identifier: Apache-2.0
 *
 * gate.c: from bytes to a verified call, in the order of cost and safety: media type, JWS shape, who it claims to be,
 * signature, nonce, URL, account status, payload (DESIGN 3). The signature comes before the nonce is spent, so that a
 * stranger cannot burn nonces; the nonce comes before anything is looked at that could differ between two sendings.
 *
 * Most requests are signed by a key that was met a moment ago. Where the handler reads the account in its own transaction
 * (struct route), the gate verifies by that key, and who the account is and whether it still has the key is looked at
 * there: one transaction for the whole request.
 */
#include "acme/app.h"

static fallible gate_media_type(const struct call *c, struct err *err)
{
	if (c->rq->body.n > JWS_BODY_MAX)
		FAIL(err, ERR_TOO_LARGE, "the body has %zu bytes; at most %d are read", c->rq->body.n, JWS_BODY_MAX);
	if (!str_eq(c->rq->content_type, STR("application/jose+json")))
		FAIL(err, ERR_MEDIA_TYPE,
		     "Content-Type is \"%.*s\"; a POST must have application/jose+json (RFC 8555 6.2)",
		     STR_FMT(c->rq->content_type));
	if (c->rq->content_encoding.n > 0)
		FAIL(err, ERR_MEDIA_TYPE, "Content-Encoding \"%.*s\" is not served; send the body as it is",
		     STR_FMT(c->rq->content_encoding));
	return OK;
}

/* RFC 8555 6.2: jwk for newAccount, either for revokeCert, kid for everything else. */
static fallible gate_identity(struct call *c, struct err *err)
{
	bool wants_jwk = c->route->auth == AUTH_JWK;
	if (c->route->auth == AUTH_EITHER) /* the JWS has exactly one of both */
		return OK;
	if (wants_jwk && c->jws.jwk == NULL)
		FAIL(err, ERR_MALFORMED,
		     "the protected header has \"kid\"; this resource wants \"jwk\", the account's public key");
	if (!wants_jwk && c->jws.kid.p == NULL)
		FAIL(err, ERR_MALFORMED,
		     "the protected header has \"jwk\"; this resource wants \"kid\", the account's URL");
	return OK;
}

static fallible status_check(const struct account_row *a, struct err *err)
{
	if (a->status == ACCOUNT_VALID)
		return OK;
	FAIL(err, ERR_ACCOUNT_ENDED, "the account is %s; nothing can be done with it any more",
	     account_status_name(a->status));
}

static fallible not_its_key(const struct call *c, struct err *err)
{
	FAIL(err, ERR_MALFORMED,
	     "the signature does not verify with the key that account %.*s has; after a key change only the new key "
	     "signs",
	     STR_FMT(c->jws.kid));
}

/* Of the realm that was asked. */
static fallible account_find(struct call *c, struct store_tx *tx, struct account_row *ret, struct err *err)
{
	struct rc rc = account_by_id(tx, c->mem, c->account.id, ret, err);
	/* c->account.id, which was claimed, stays: a transaction may be run again, and asks for it again. */
	if (rc.kind == ERR_NOT_FOUND || (!FAILED(rc) && !str_eq(ret->realm, c->realm->name)))
		FAIL(err, ERR_ACCOUNT_DOES_NOT_EXIST, "there is no account %.*s; create one with newAccount",
		     STR_FMT(c->jws.kid));
	TRY(rc);
	if (ret->thumbprint.n != THUMBPRINT_LEN)
		FAIL(err, ERR_INTERNAL, "the stored thumbprint is damaged");
	return OK;
}

fallible call_account(struct call *c, struct store_tx *tx, struct err *err)
{
	struct account_row row;
	if (c->account_of_gate) /* but not by a transaction that is run again: its rows are newer */
		return OK;
	TRY(account_find(c, tx, &row, err));
	if (!str_eq(row.thumbprint, str_z(c->thumbprint.z)))
		return not_its_key(c, err);
	TRY(status_check(&row, err));
	c->account = row;
	c->account_is_read = true;
	return OK;
}

static fallible account_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct call *c = ctx;
	struct account_row row;
	TRY(account_find(c, tx, &row, err));
	c->account = row;
	c->account_is_read = c->account_of_gate = true;
	return OK;
}

static fallible account_of_store(struct call *c, struct err *err)
{
	TRY(store_read(c->a->d.store, account_read, c, err));
	memcpy(c->thumbprint.z, c->account.thumbprint.p, THUMBPRINT_LEN + 0u);
	c->thumbprint.z[THUMBPRINT_LEN] = '\0';
	if (c->account.status == ACCOUNT_VALID)
		signers_keep(c->a->signers, c->account.id, &c->thumbprint);
	return keycache_get(c->a->keys, c->account.thumbprint, c->account.jwk, &c->key, err);
}

/* By the key that the account had last, where the handler is going to read the account. */
static bool account_is_known(struct call *c)
{
	if (!c->route->reads_account || !signers_find(c->a->signers, c->account.id, &c->thumbprint))
		return false;
	c->key = keycache_find(c->a->keys, str_n(c->thumbprint.z, THUMBPRINT_LEN));
	return c->key != NULL;
}

/* The kid is one of our own URLs to the byte, or it is nobody's. */
static fallible gate_account(struct call *c, struct err *err)
{
	struct str rest = c->jws.kid, base = realm_base(c->conf, c->realm, c->mem);
	struct id id;
	if (!str_skip(&rest, base) || !str_skip(&rest, STR("/account/")) || FAILED(id_read(rest, &id, NULL)))
		FAIL(err, ERR_ACCOUNT_DOES_NOT_EXIST,
		     "kid \"%.*s\" is not an account URL of this server; they look like %.*s/account/<id>",
		     STR_FMT(c->jws.kid), STR_FMT(base));
	c->account.id = id;
	return account_is_known(c) ? OK : account_of_store(c, err);
}

static fallible gate_key(struct call *c, struct err *err)
{
	if (c->jws.jwk == NULL)
		return gate_account(c, err);
	c->key = key_ref(c->jws.jwk);
	return jwk_thumbprint(c->a->d.crypto, c->key, &c->thumbprint, err);
}

/* With the key that the account has now, where that is another than it had last. */
static fallible verify_anew(struct call *c, struct rc failed, struct err *err)
{
	const struct thumbprint last = c->thumbprint;
	key_free(TAKE(c->key));
	TRY(account_of_store(c, err));
	if (memcmp(last.z, c->thumbprint.z, THUMBPRINT_LEN) == 0)
		return failed;
	return jws_verify(c->a->d.crypto, &c->jws, c->key, err);
}

/* Who has changed an account's key and does not know it, because the answer was lost, is told so. */
static fallible gate_signature(struct call *c, struct err *err)
{
	struct rc rc = jws_verify(c->a->d.crypto, &c->jws, c->key, err);
	if (FAILED(rc) && c->jws.jwk == NULL && !c->account_is_read)
		rc = verify_anew(c, rc, err);
	if (!FAILED(rc) || c->jws.jwk != NULL)
		return rc;
	if (c->route->handle == post_key_change && key_change_is_done(c))
		FAIL(err, ERR_UNAUTHORIZED,
		     "the account's key was changed already, to the one of the inner JWS: sign with that from now on");
	return rc.kind == ERR_MALFORMED ? not_its_key(c, err) : rc;
}

/* RFC 8555 6.4: compared with our own base URL, never with what Host says. */
static fallible gate_url(const struct call *c, struct err *err)
{
	struct str url = c->jws.url;
	if (!str_skip(&url, c->conf->api.base_url) || !str_eq(url, c->rq->target))
		FAIL(err, ERR_UNAUTHORIZED, "the protected header's url is \"%.*s\"; this request went to %.*s%.*s",
		     STR_FMT(c->jws.url), STR_FMT(c->conf->api.base_url), STR_FMT(c->rq->target));
	return OK;
}

static fallible gate_status(const struct call *c, struct err *err)
{
	return c->account_is_read ? status_check(&c->account, err) : OK;
}

static fallible gate_payload(struct call *c, struct err *err)
{
	bool empty = c->jws.payload.n == 0;
	if (c->route->payload == PAYLOAD_EMPTY && !empty)
		FAIL(err, ERR_MALFORMED,
		     "this resource is read with POST-as-GET: the payload must be empty (RFC 8555 6.3)");
	if (c->route->payload == PAYLOAD_JSON && empty)
		FAIL(err, ERR_MALFORMED, "the payload is empty; this resource wants a JSON object");
	if (empty)
		return OK;
	struct rc rc = json_read(c->jws.payload, JWS_BODY_MAX, &c->payload, err);
	if (FAILED(rc))
		err_prefix(err, "payload: ");
	return rc;
}

fallible gate_pass(struct call *c, struct err *err)
{
	TRY(gate_media_type(c, err));
	TRY(jws_read(c->mem, c->rq->body, &c->jws, err));
	TRY(gate_identity(c, err));
	TRY(gate_key(c, err));
	TRY(gate_signature(c, err));
	if (!c->jws.has_nonce)
		FAIL(err, ERR_BAD_NONCE, "the protected header has no nonce; use the Replay-Nonce of this reply");
	TRY(nonce_spend(c->a->nonces, c->jws.nonce, c->conf->api.nonce_life_s, err));
	TRY(gate_url(c, err));
	TRY(gate_status(c, err));
	return gate_payload(c, err);
}

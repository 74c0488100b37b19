/* SPDX-License-Identifier: Apache-2.0
 *
 * keychange.c: an account gets another key (RFC 8555 7.3.5). The old key signs the request, the new one a JWS inside of
 * it, and each names the other, so neither can be put upon anybody. The change is one conditional update: from its
 * commit on the old key opens nothing, on any node, because every request reads the account's row. Who sends the request
 * again, because its answer was lost, is told that it was done (with the old key: 403; with the new: 409 and his URL).
 */
#include "acme/app.h"

struct key_change {
	struct call *c;
	struct jws inner;
	struct thumbprint thumbprint; /* of the new key */
	struct str jwk;
	struct sha256 key_hash;
	struct account_row holder; /* who has the new key already */
};

static fallible request_size_check(const struct call *c, struct err *err)
{
	const struct jws *j = &c->jws;
	size_t n = j->protected_b64.n + j->payload_b64.n + j->signature_b64.n + 2;
	if (n > KEY_CHANGE_JWS_MAX)
		FAIL(err, ERR_MALFORMED, "the request has %zu bytes; a key change has at most %d", n,
		     KEY_CHANGE_JWS_MAX);
	return OK;
}

static fallible inner_read(struct key_change *k, struct err *err)
{
	struct call *c = k->c;
	struct rc rc = jws_read(c->mem, c->jws.payload, &k->inner, err);
	if (FAILED(rc))
		err_prefix(err, "the inner JWS: ");
	return rc;
}

/* RFC 8555 7.3.5: what its protected header must and must not say, and that its key signed it. */
static fallible inner_check(struct key_change *k, struct err *err)
{
	const struct jws *inner = &k->inner;
	if (inner->jwk == NULL)
		FAIL(err, ERR_MALFORMED, "the inner JWS has \"kid\"; it wants \"jwk\", the account's new public key");
	if (inner->has_nonce)
		FAIL(err, ERR_MALFORMED, "the inner JWS has a nonce; only the outer one does");
	if (!inner->has_url)
		FAIL(err, ERR_MALFORMED, "the inner JWS has no url; it must be the outer one's");
	if (!str_eq(inner->url, k->c->jws.url))
		FAIL(err, ERR_MALFORMED, "the inner JWS's url is \"%.*s\"; the outer one's is %.*s",
		     STR_FMT(inner->url), STR_FMT(k->c->jws.url));
	struct rc rc = jws_verify(k->c->a->d.crypto, inner, inner->jwk, err);
	if (rc.kind == ERR_MALFORMED)
		FAIL(err, ERR_MALFORMED, "the inner JWS's signature does not verify with its jwk, the new key");
	if (FAILED(rc))
		err_prefix(err, "the inner JWS: ");
	return rc;
}

static fallible inner_payload(const struct key_change *k, struct json **ret, struct err *err)
{
	if (k->inner.payload.n == 0)
		FAIL(err, ERR_MALFORMED, "the inner JWS's payload is empty; it wants \"account\" and \"oldKey\"");
	struct rc rc = json_read(k->inner.payload, JWS_BODY_MAX, ret, err);
	if (FAILED(rc))
		err_prefix(err, "the inner JWS's payload: ");
	return rc;
}

/* The new key says whose key it becomes, and in whose place. */
static fallible payload_check(const struct key_change *k, struct err *err)
{
	AUTO(json_auto) struct json *payload = NULL;
	AUTO(key_auto) struct key *old = NULL;
	const struct json *jwk;
	struct str account;
	TRY(inner_payload(k, &payload, err));
	TRY(json_want_str(payload, "account", 2048, &account, err));
	if (!str_eq(account, k->c->jws.kid))
		FAIL(err, ERR_MALFORMED, "the inner JWS's account is \"%.*s\"; the outer one's kid is %.*s",
		     STR_FMT(account), STR_FMT(k->c->jws.kid));
	TRY(json_want_object(payload, "oldKey", &jwk, err));
	struct rc rc = jwk_read(jwk, &old, err);
	if (FAILED(rc)) {
		err_prefix(err, "oldKey: ");
		return rc;
	}
	if (!key_public_eq(old, k->c->key))
		FAIL(err, ERR_MALFORMED, "oldKey is not the key that the account has and that signed the outer JWS");
	return OK;
}

static fallible new_key_describe(struct key_change *k, struct err *err)
{
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	const struct crypto *crypto = k->c->a->d.crypto;
	TRY(jwk_thumbprint(crypto, k->inner.jwk, &k->thumbprint, err));
	TRY(key_spki_hash(crypto, k->inner.jwk, &k->key_hash, err));
	TRY(jwk_write(k->inner.jwk, &jwk, err));
	k->jwk = str_dup(k->c->mem, buf_str(&jwk));
	return OK;
}

static fallible key_is_free(struct key_change *k, struct store_tx *tx, struct err *err)
{
	struct call *c = k->c;
	struct rc rc = account_by_thumbprint(tx, c->mem, c->realm->name, str_z(k->thumbprint.z), &k->holder, err);
	if (rc.kind == ERR_NOT_FOUND)
		return OK;
	TRY(rc);
	FAIL(err, ERR_KEY_IN_USE, "the new key is the key of %s account already: %.*s",
	     id_eq(k->holder.id, c->account.id) ? "this" : "another",
	     STR_FMT(call_url(c, "account", k->holder.id, "")));
}

static fallible change_audit(const struct key_change *k, struct store_tx *tx, struct err *err)
{
	AUTO(buf_done) struct buf detail = BUF_MAX(512);
	struct jw w = jw_begin(&detail, err);
	jw_object(&w);
	jw_kz(&w, "from", k->c->thumbprint.z);
	jw_kz(&w, "to", k->thumbprint.z);
	jw_object_end(&w);
	TRY(jw_end(&w));
	return call_audit(k->c, tx, "account key changed", call_actor(k->c), buf_str(&detail), err);
}

/* What the two keys signed is kept, for whoever must be shown that the earlier one was this account's (dns-persist-01). */
static fallible change_keep(const struct key_change *k, struct store_tx *tx, struct err *err)
{
	struct call *c = k->c;
	AUTO(buf_done) struct buf jws = BUF_MAX(KEY_CHANGE_JWS_MAX);
	const struct str parts[] = { c->jws.protected_b64, STR("."), c->jws.payload_b64, STR("."),
				     c->jws.signature_b64 };
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		TRY(buf_add(&jws, parts[i], err));
	const struct key_change_row row = {
		.account = c->account.id,
		.was = str_z(c->thumbprint.z),
		.became = str_z(k->thumbprint.z),
		.jws = buf_str(&jws),
		.created_at = c->now_ms,
	};
	return key_change_insert(tx, &row, err);
}

static fallible key_change_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct key_change *k = ctx;
	struct call *c = k->c;
	k->holder = (struct account_row){ 0 };
	TRY(account_still_valid(c, tx, err));
	TRY(key_is_free(k, tx, err));
	TRY(key_check_blocked(tx, &k->key_hash, ERR_BAD_PUBLIC_KEY, err));
	/* Each leaves rows behind that stay as long as the account. */
	TRY(limit_check(c, tx, str_fmt(c->mem, "key-change:%s", id_show(c->account.id).z), c->realm->orders_per_hour,
			"key changes of this account", err));
	TRY(account_set_key(tx, c->account.id, str_z(c->thumbprint.z), str_z(k->thumbprint.z), k->jwk, err));
	TRY(change_keep(k, tx, err));
	TRY(change_audit(k, tx, err));
	return account_by_id(tx, c->mem, c->account.id, &c->account, err);
}

static fallible holder_read(struct store_tx *tx, void *ctx, struct err *err)
{
	return key_is_free(ctx, tx, err);
}

static fallible key_change_run(struct key_change *k, struct err *err)
{
	struct call *c = k->c;
	struct err why = { 0 };
	TRY(request_size_check(c, err));
	TRY(inner_read(k, err));
	TRY(inner_check(k, err));
	TRY(new_key_describe(k, err));
	/* First of all, so that a repeat under the new key, whose oldKey is another by now, learns that it is done. */
	struct rc rc = store_read(c->a->d.store, holder_read, k, err);
	if (!FAILED(rc)) {
		TRY(payload_check(k, err));
		TRY(key_check(k->inner.jwk, KEY_USE_ACCOUNT, err));
		TRY(key_list_check(c->a->d.crypto, c->view->refused_keys, k->inner.jwk, ERR_BAD_PUBLIC_KEY, err));
		rc = store_tx(c->a->d.store, key_change_tx, k, err);
	}
	if (rc.kind == ERR_CONFLICT) /* a store with several writers: somebody took the key between look and change */
		FAIL(err, ERR_UNAVAILABLE, "another request changed this account or took this key just now; try again");
	if (rc.kind == ERR_KEY_IN_USE) /* RFC 8555 7.3.5 */
		TRY(reply_location(c, call_url(c, "account", k->holder.id, ""), &why));
	return rc;
}

fallible post_key_change(struct call *c, struct err *err)
{
	struct key_change k = { .c = c };
	struct rc rc = key_change_run(&k, err);
	jws_done(&k.inner);
	TRY(rc);
	LOG(c->a->d.log, LOG_NOTICE, "account key changed", KV_ID("account", c->account.id),
	    KV_STR("realm", c->realm->name), KV_Z("from", c->thumbprint.z), KV_Z("to", k.thumbprint.z));
	return reply_account(c, 200, &c->account, STR_NONE, err);
}

bool key_change_is_done(struct call *c)
{
	AUTO(json_auto) struct json *payload = NULL;
	struct key_change k = { .c = c };
	struct str account = STR_NONE;
	/* Who holds an inner JWS by the account's present key has learned of the change from its maker. */
	bool done = !FAILED(jws_read(c->mem, c->jws.payload, &k.inner, NULL)) && !FAILED(inner_check(&k, NULL)) &&
		    key_public_eq(k.inner.jwk, c->key) && !FAILED(inner_payload(&k, &payload, NULL)) &&
		    !FAILED(json_want_str(payload, "account", 2048, &account, NULL)) && str_eq(account, c->jws.kid);
	jws_done(&k.inner);
	return done;
}

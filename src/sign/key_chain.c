/* SPDX-License-Identifier: Apache-2.0
 *
 * key_chain.c: was an earlier key really this account's? The api says so, and is not believed: it shows the key-change
 * requests (RFC 8555 7.3.5) that lead from that key to the one that signed finalize. In each the old key signed, for this
 * account and this URL, what the new key signed about the two; so nobody but the holders of the keys can add a link.
 */
#include "sign/recheck.h"

struct link { /* one change */
	struct jws outer, inner;
	struct json *payload;
	struct key *old;
	struct thumbprint was, became;
};

static void link_done(struct link *l)
{
	jws_done(&l->outer);
	jws_done(&l->inner);
	json_free(l->payload);
	key_free(l->old);
}

static fallible outer_read(const struct key_chain_want *w, struct arena *mem, struct str text, struct jws *ret,
			   struct err *err)
{
	size_t dot = str_find(text, '.', 0), last = str_find(text, '.', dot + 1);
	if (last >= text.n)
		FAIL(err, ERR_MALFORMED, "it is not PROTECTED.PAYLOAD.SIGNATURE");
	TRY(jws_read_parts(mem, str_sub(text, 0, dot), str_sub(text, dot + 1, last), str_sub(text, last + 1, text.n),
			   ret, err));
	if (!str_eq(ret->url, w->url))
		FAIL(err, ERR_UNAUTHORIZED, "it was sent to \"%.*s\", key changes go to \"%.*s\"", STR_FMT(ret->url),
		     STR_FMT(w->url));
	if (!str_eq(ret->kid, w->account_url))
		FAIL(err, ERR_UNAUTHORIZED, "it is from \"%.*s\", the order is of \"%.*s\"", STR_FMT(ret->kid),
		     STR_FMT(w->account_url));
	return OK;
}

static fallible inner_read(const struct key_chain_want *w, struct arena *mem, struct link *l, struct err *err)
{
	const struct json *jwk;
	struct str account;
	TRY(jws_read(mem, l->outer.payload, &l->inner, err));
	if (l->inner.jwk == NULL)
		FAIL(err, ERR_MALFORMED, "its inner JWS has no jwk");
	if (!str_eq(l->inner.url, w->url))
		FAIL(err, ERR_UNAUTHORIZED, "its inner JWS is for \"%.*s\", key changes go to \"%.*s\"",
		     STR_FMT(l->inner.url), STR_FMT(w->url));
	TRY(json_read(l->inner.payload, JWS_BODY_MAX, &l->payload, err));
	TRY(json_want_str(l->payload, "account", ACCOUNT_URL_MAX, &account, err));
	if (!str_eq(account, w->account_url))
		FAIL(err, ERR_UNAUTHORIZED, "its new key was for \"%.*s\", the order is of \"%.*s\"", STR_FMT(account),
		     STR_FMT(w->account_url));
	TRY(json_want_object(l->payload, "oldKey", &jwk, err));
	return jwk_read(jwk, &l->old, err);
}

static fallible signatures_check(const struct key_chain_want *w, const struct link *l, struct err *err)
{
	if (FAILED(jws_verify(w->crypto, &l->outer, l->old, NULL)))
		FAIL(err, ERR_UNAUTHORIZED, "its old key did not sign it");
	if (FAILED(jws_verify(w->crypto, &l->inner, l->inner.jwk, NULL)))
		FAIL(err, ERR_UNAUTHORIZED, "its new key did not sign the inner JWS");
	return OK;
}

static fallible link_read(const struct key_chain_want *w, struct arena *mem, struct str text, struct str *ret_was,
			  struct str *ret_became, struct err *err)
{
	AUTO(link_done) struct link l = { .payload = NULL };
	TRY(outer_read(w, mem, text, &l.outer, err));
	TRY(inner_read(w, mem, &l, err));
	TRY(signatures_check(w, &l, err));
	TRY(jwk_thumbprint(w->crypto, l.old, &l.was, err));
	TRY(jwk_thumbprint(w->crypto, l.inner.jwk, &l.became, err));
	*ret_was = str_dup(mem, str_z(l.was.z));
	*ret_became = str_dup(mem, str_z(l.became.z));
	return OK;
}

static fallible chain_read(const struct key_chain_want *w, struct arena *mem, const struct str *changes, size_t count,
			   struct str *earlier, size_t *at, struct err *err)
{
	struct str became = STR_NONE;
	for (size_t i = 0; i < count; i++) {
		struct str joint = became;
		*at = i;
		TRY(link_read(w, mem, changes[i], &earlier[i], &became, err));
		if (i > 0 && !str_eq(earlier[i], joint))
			FAIL(err, ERR_UNAUTHORIZED, "its old key is not the new one of the change before");
	}
	if (count > 0 && !str_eq(became, w->thumbprint))
		FAIL(err, ERR_UNAUTHORIZED, "its new key is not the one that signed finalize");
	return OK;
}

fallible key_chain_read(const struct key_chain_want *w, struct arena *mem, const struct str *changes, size_t count,
			struct str **ret_earlier, struct err *err)
{
	struct str *earlier = ARENA_ARRAY(mem, struct str, count + 1);
	size_t at = 0;
	struct rc rc = chain_read(w, mem, changes, count, earlier, &at, err);
	if (FAILED(rc)) {
		err_prefix(err, "key change %zu of %zu: ", at + 1, count);
		return rc;
	}
	*ret_earlier = earlier;
	return OK;
}

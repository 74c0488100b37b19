/* SPDX-License-Identifier: Apache-2.0
 *
 * eab.c: external account binding (RFC 8555 7.3.4): who may make an account at all, and what an account may then ask
 * for. The operator gives out a key id and a MAC key (`cairn eab add`); newAccount shows that its sender has them. An
 * unknown id and a wrong MAC get the same words; only who has the MAC key learns what became of it.
 */
#include "acme/app.h"

#define LIST_TEXT_MAX (64 * 1024)

struct eab_lookup {
	struct call *c;
	struct str kid;
	struct eab_row row;
};

static fallible row_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct eab_lookup *l = ctx;
	return eab_by_kid(tx, l->c->mem, l->kid, &l->row, err);
}

static fallible not_bound(struct err *err)
{
	FAIL(err, ERR_UNAUTHORIZED,
	     "external account binding: this realm has no such key id, or the MAC is not by its key; check both as "
	     "your "
	     "CA's operator gave them");
}

/* What the store's conditional update refuses, in words. Only for who has shown that he has the MAC key. */
static fallible still_usable(const struct eab_row *row, int64_t now, struct err *err)
{
	if (row->disabled_at != 0)
		FAIL(err, ERR_UNAUTHORIZED, "external account key %.*s was disabled by the CA's operator",
		     STR_FMT(row->kid));
	if (row->expires_at != 0 && row->expires_at <= now)
		FAIL(err, ERR_UNAUTHORIZED, "external account key %.*s has expired; ask the CA's operator for another",
		     STR_FMT(row->kid));
	if (row->uses_max != 0 && row->uses >= row->uses_max)
		FAIL(err, ERR_UNAUTHORIZED,
		     "external account key %.*s is used up: it serves %lld account%s; ask the CA's operator for "
		     "another",
		     STR_FMT(row->kid), (long long)row->uses_max, row->uses_max == 1 ? "" : "s");
	return OK;
}

/* It is about this request and about the key that signs it (RFC 8555 7.3.4). */
static fallible binding_fits(const struct call *c, const struct jws_eab *jws, struct err *err)
{
	AUTO(key_auto) struct key *key = NULL;
	if (!str_eq(jws->url, c->jws.url))
		FAIL(err, ERR_MALFORMED, "external account binding: its url is \"%.*s\"; the request's is %.*s",
		     STR_FMT(jws->url), STR_FMT(c->jws.url));
	struct rc rc = jwk_read_text(jws->payload, &key, err);
	if (FAILED(rc)) {
		err_prefix(err, "external account binding: payload: ");
		return rc;
	}
	if (!key_public_eq(key, c->key))
		FAIL(err, ERR_MALFORMED,
		     "external account binding: it binds another key than the jwk that signs the request");
	return OK;
}

static fallible mac_verify(const struct call *c, const struct jws_eab *jws, const struct eab_row *row, struct err *err)
{
	AUTO(secret_done) struct secret mac_key = { 0 };
	const struct acme_deps *d = &c->a->d;
	struct rc rc = { ERR_INTERNAL };
	if (d->seal_key == NULL)
		err_set(err, ERR_INTERNAL, "there is no key to open the store's secrets with");
	else
		rc = unseal(d->crypto, d->seal_key, row->kid, row->secret, &mac_key, err);
	if (FAILED(rc)) {
		err_cause(err,
			  "external account key %.*s does not open; is store.secret-key the file it was sealed with?",
			  STR_FMT(row->kid));
		return rc;
	}
	rc = jws_verify_eab(d->crypto, jws, &mac_key, err);
	return rc.kind == ERR_UNAUTHORIZED ? not_bound(err) : rc;
}

/* The binding as the account object says it back. */
static fallible binding_text(const struct json *object, struct call *c, struct str *ret, struct err *err)
{
	static const char *const members[] = { "protected", "payload", "signature" };
	AUTO(buf_done) struct buf text = BUF_MAX(2 * JWS_BODY_MAX);
	struct jw w = jw_begin(&text, err);
	jw_object(&w);
	for (size_t i = 0; i < ARRAY_LEN(members); i++) {
		struct str value;
		TRY(json_want_str(object, members[i], JWS_BODY_MAX, &value, err));
		jw_kstr(&w, members[i], value);
	}
	jw_object_end(&w);
	TRY(jw_end(&w));
	*ret = str_dup(c->mem, buf_str(&text));
	return OK;
}

fallible eab_check(struct call *c, struct eab_binding *ret, struct err *err)
{
	const struct json *object = json_get(c->payload, "externalAccountBinding");
	struct eab_lookup l = { .c = c };
	struct eab_binding binding;
	struct jws_eab jws;
	*ret = (struct eab_binding){ 0 };
	if (str_eq(c->realm->eab, STR("off")))
		return OK;
	if (object == NULL && str_eq(c->realm->eab, STR("required")))
		FAIL(err, ERR_EXTERNAL_ACCOUNT_REQUIRED,
		     "new accounts here need an external account binding: ask the CA's operator for a key id and a MAC "
		     "key");
	if (object == NULL)
		return OK;
	TRY(jws_read_eab(c->mem, object, &jws, err));
	TRY(binding_fits(c, &jws, err));
	l.kid = jws.kid;
	struct rc rc = store_read(c->a->d.store, row_read, &l, err);
	if (rc.kind == ERR_NOT_FOUND || (!FAILED(rc) && !str_eq(l.row.realm, c->realm->name)))
		return not_bound(err);
	TRY(rc);
	TRY(mac_verify(c, &jws, &l.row, err));
	TRY(still_usable(&l.row, c->now_ms, err));
	binding.kid = l.row.kid;
	TRY(binding_text(object, c, &binding.text, err));
	*ret = binding;
	return OK;
}

fallible eab_spend(struct call *c, struct store_tx *tx, const struct eab_binding *b, struct err *err)
{
	struct eab_lookup l = { .c = c, .kid = b->kid };
	if (b->kid.n == 0)
		return OK;
	struct rc rc = eab_use(tx, b->kid, c->now_ms, err);
	if (rc.kind == ERR_NOT_FOUND)
		return not_bound(err);
	if (rc.kind != ERR_CONFLICT)
		return rc;
	TRY(row_read(tx, &l, err)); /* since eab_check looked */
	TRY(still_usable(&l.row, c->now_ms, err));
	FAIL(err, ERR_INTERNAL, "external account key %.*s is refused by the store for no reason", STR_FMT(b->kid));
}

/* A stored JSON array of strings; empty text is the empty list. */
static fallible list_read(struct arena *mem, struct str text, struct conf_list *ret, struct err *err)
{
	AUTO(json_auto) struct json *top = NULL;
	*ret = (struct conf_list){ 0 };
	if (text.n == 0)
		return OK;
	/* The JSON reader takes an object at the top. */
	TRY(json_read(str_fmt(mem, "{\"l\":%.*s}", (int)text.n, text.p), LIST_TEXT_MAX, &top, err));
	const struct json *list = json_get(top, "l");
	size_t count = json_count(list);
	ret->v = ARENA_ARRAY(mem, struct str, count);
	for (size_t i = 0; i < count; i++) {
		struct str s;
		if (!json_as_str(json_at(list, i), &s))
			FAIL(err, ERR_INTERNAL, "a stored list has something else than strings");
		ret->v[ret->n++] = str_dup(mem, s);
	}
	return OK;
}

fallible eab_grant_read(struct call *c, struct store_tx *tx, struct eab_grant *ret, struct err *err)
{
	struct eab_lookup l = { .c = c, .kid = c->account.eab_kid };
	*ret = (struct eab_grant){ 0 };
	if (c->account.eab_kid.n == 0)
		return OK;
	struct rc rc = row_read(tx, &l, err);
	if (rc.kind == ERR_NOT_FOUND)
		FAIL(err, ERR_UNAUTHORIZED,
		     "the external account key %.*s, which this account is bound to, is gone; ask the CA's operator",
		     STR_FMT(l.kid));
	TRY(rc);
	TRY(list_read(c->mem, l.row.names, &ret->names, err));
	TRY(list_read(c->mem, l.row.profiles, &ret->profiles, err));
	ret->lifetime_s = l.row.lifetime_s;
	ret->bound = true;
	return OK;
}

/* One entry of names: a range when it reads as one, otherwise a pattern of names. */
static bool entry_allows(struct str entry, const struct ident *ident)
{
	struct addr_range range;
	struct addr addr;
	bool is_range = !FAILED(addr_range_read(entry, &range, NULL));
	switch (ident->type) {
	case IDENT_DNS:
		return !is_range && name_matches(entry, ident->value);
	case IDENT_IP:
		return is_range && !FAILED(addr_read(ident->value, &addr, NULL)) && addr_in(&addr, &range);
	case IDENT_TYPE_COUNT:
		break;
	}
	return false;
}

static struct str list_text(struct arena *mem, const struct conf_list *list)
{
	struct str all = STR_NONE;
	for (size_t i = 0; i < list->n && all.n < 300; i++)
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(list->v[i]));
	return all;
}

fallible eab_allows(const struct eab_grant *g, const struct ident *ident, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	if (!g->bound || g->names.n == 0)
		return OK;
	for (size_t i = 0; i < g->names.n; i++)
		if (entry_allows(g->names.v[i], ident))
			return OK;
	FAIL(err, ERR_REJECTED_IDENTIFIER,
	     "%.*s: the external account key of this account does not allow it, only %.*s", STR_FMT(ident->value),
	     STR_FMT(list_text(&mem, &g->names)));
}

bool eab_allows_profile(const struct eab_grant *g, struct str profile)
{
	if (!g->bound || g->profiles.n == 0)
		return true;
	for (size_t i = 0; i < g->profiles.n; i++)
		if (str_eq(g->profiles.v[i], profile))
			return true;
	return false;
}

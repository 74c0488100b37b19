/* SPDX-License-Identifier: Apache-2.0
 *
 * grant_add.c: what `cairn grant add` needs of the running API: the account keys behind accounts and external account
 * keys, and a place for what the operator has signed. The API takes nothing that the signer would refuse: the operator is
 * one of the configuration's and signed it, its realm and profiles exist, and it has not ended.
 */
#include "admin/internal.h"

#include "jose/jose.h"

#define JWK_MAX 4096
#define CLOCK_SKEW_MS ((int64_t)300 * 1000)
#define MIN(a, b) ((a) < (b) ? (a) : (b))

/* --- grant.keys: whose keys are meant -------------------------------------------------------------------------------*/
struct holder {
	struct str thumbprint;
	struct id account; /* zero: no account has the key yet */
};

struct resolving {
	struct admin_call *c;
	struct str realm;
	const struct json *accounts, *eabs;
	struct holder found[GRANT_KEYS_MAX];
	size_t count;
};

static fallible found_add(struct resolving *r, struct str thumbprint, struct id account, struct err *err)
{
	for (size_t i = 0; i < r->count; i++) {
		if (str_eq(r->found[i].thumbprint, thumbprint))
			return OK;
	}
	if (r->count == GRANT_KEYS_MAX)
		FAIL(err, ERR_TOO_LARGE, "more than %d account keys are meant; make several grants", GRANT_KEYS_MAX);
	r->found[r->count++] = (struct holder){ str_dup(r->c->mem, thumbprint), account };
	return OK;
}

static fallible account_usable(const struct resolving *r, const struct account_row *a, struct err *err)
{
	if (!str_eq(a->realm, r->realm))
		FAIL(err, ERR_NOT_FOUND, "account %s is of realm %.*s, not of %.*s", id_show(a->id).z,
		     STR_FMT(a->realm), STR_FMT(r->realm));
	if (a->status != ACCOUNT_VALID)
		FAIL(err, ERR_CONFLICT, "account %s is %s", id_show(a->id).z, account_status_name(a->status));
	return OK;
}

/* A thumbprint that no account has is taken as it is: the grant may come before the account. */
static fallible account_resolve(struct resolving *r, struct store_tx *tx, struct str text, struct err *err)
{
	struct account_row a = { .realm = STR_NONE };
	struct id id;
	if (!FAILED(id_read(text, &id, NULL))) {
		struct rc rc = account_by_id(tx, r->c->mem, id, &a, err);
		if (rc.kind == ERR_NOT_FOUND)
			FAIL(err, ERR_NOT_FOUND, "there is no account %.*s", STR_FMT(text));
		TRY(rc);
	} else if (token_is_wellformed(text)) {
		struct rc rc = account_by_thumbprint(tx, r->c->mem, r->realm, text, &a, err);
		if (rc.kind == ERR_NOT_FOUND)
			return found_add(r, text, (struct id){ 0 }, err);
		TRY(rc);
	} else {
		FAIL(err, ERR_MALFORMED,
		     "account: found \"%.*s\"; allowed: an account's id, as at the end of its URL, or its key's "
		     "thumbprint",
		     STR_FMT(text));
	}
	TRY(account_usable(r, &a, err));
	return found_add(r, a.thumbprint, a.id, err);
}

static fallible eab_resolve(struct resolving *r, struct store_tx *tx, struct str kid, struct err *err)
{
	struct eab_row e;
	struct id *ids = NULL;
	size_t count = 0;
	struct rc rc = eab_by_kid(tx, r->c->mem, kid, &e, err);
	if (rc.kind == ERR_NOT_FOUND)
		FAIL(err, ERR_NOT_FOUND, "there is no external account key \"%.*s\"", STR_FMT(kid));
	TRY(rc);
	if (!str_eq(e.realm, r->realm))
		FAIL(err, ERR_NOT_FOUND, "external account key %.*s is of realm %.*s, not of %.*s", STR_FMT(kid),
		     STR_FMT(e.realm), STR_FMT(r->realm));
	TRY(accounts_of_eab(tx, r->c->mem, kid, (struct id){ 0 }, GRANT_KEYS_MAX + 1, &ids, &count, err));
	if (count == 0)
		FAIL(err, ERR_NOT_FOUND, "no account is bound to external account key %.*s yet", STR_FMT(kid));
	for (size_t i = 0; i < count; i++)
		TRY(account_resolve(r, tx, str_z(id_show(ids[i]).z), err));
	return OK;
}

static fallible resolve_list(struct resolving *r, struct store_tx *tx, const struct json *list,
			     fallible (*one)(struct resolving *r, struct store_tx *tx, struct str text,
					     struct err *err),
			     struct err *err)
{
	for (size_t i = 0; i < json_count(list); i++) {
		struct str text;
		if (!json_as_str(json_at(list, i), &text) || text.n == 0 || text.n > EAB_KID_MAX)
			FAIL(err, ERR_MALFORMED, "an element is no text of 1 to %d bytes", EAB_KID_MAX);
		TRY(one(r, tx, text, err));
	}
	return OK;
}

static fallible resolve(struct store_tx *tx, void *ctx, struct err *err)
{
	struct resolving *r = ctx;
	r->count = 0;
	TRY(resolve_list(r, tx, r->accounts, account_resolve, err));
	return resolve_list(r, tx, r->eabs, eab_resolve, err);
}

static fallible list_may(const struct json *rq, const char *key, const struct json **ret, struct err *err)
{
	return json_get(rq, key) == NULL ? OK : json_want_array(rq, key, GRANT_KEYS_MAX, ret, err);
}

fallible admin_grant_keys(struct admin_call *c, struct err *err)
{
	struct resolving r = { .c = c };
	const struct conf_realm *realm;
	TRY(admin_realm_read(c->mem, c->rq, c->conf, &realm, err));
	r.realm = realm->name;
	TRY(list_may(c->rq, "accounts", &r.accounts, err));
	TRY(list_may(c->rq, "eabs", &r.eabs, err));
	TRY(store_read(c->d->store, resolve, &r, err));
	jw_key(c->out, "keys");
	jw_array(c->out);
	for (size_t i = 0; i < r.count; i++) {
		jw_object(c->out);
		jw_kstr(c->out, "thumbprint", r.found[i].thumbprint);
		if (!id_is_zero(r.found[i].account))
			jw_kid(c->out, "account", r.found[i].account);
		jw_object_end(c->out);
	}
	jw_array_end(c->out);
	return OK;
}

/* --- grant.add ------------------------------------------------------------------------------------------------------*/
static fallible operator_key(const struct admin_call *c, struct str name, struct key **ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(JWK_MAX);
	const struct conf_operator *o = conf_operator(c->conf, name);
	if (o == NULL)
		FAIL(err, ERR_UNAUTHORIZED, "the configuration of the API has no operator \"%.*s\"",
		     STR_FMT(str_sub(name, 0, MIN(name.n, 64))));
	const char *path = conf_path(c->conf, c->mem, o->public_key);
	TRY(file_read(path, text.max, &text, err));
	struct rc rc = jwk_read_text(str_trim(buf_str(&text)), ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s: the public key of operator %.*s: ", path, STR_FMT(name));
	return rc;
}

static fallible signature_check(const struct admin_call *c, struct str text, struct str *ret_signer, struct grant *ret,
				struct err *err)
{
	AUTO(key_auto) struct key *key = NULL;
	struct jws_compact jws;
	TRY(jws_compact_read(c->mem, text, STR(GRANT_TYP), GRANT_JWS_MAX, &jws, err));
	TRY(operator_key(c, jws.kid, &key, err));
	if (FAILED(jws_compact_verify(c->d->crypto, &jws, key, NULL)))
		FAIL(err, ERR_UNAUTHORIZED,
		     "the key of operator %.*s, which the API has in operator.%.*s.public-key, did not sign this grant",
		     STR_FMT(jws.kid), STR_FMT(jws.kid));
	*ret_signer = jws.kid;
	return grant_read(c->mem, jws.payload, ret, err);
}

static fallible times_check(const struct grant *g, int64_t now_ms, struct err *err)
{
	char until[TIME_TEXT_MAX];
	time_show(g->until_s, until);
	if (g->made_ms > now_ms + CLOCK_SKEW_MS)
		FAIL(err, ERR_MALFORMED, "the grant was made in the future; compare the clocks");
	if (g->until_s < now_ms / 1000)
		FAIL(err, ERR_MALFORMED, "the grant ended at %s", until);
	if (g->until_s - g->from_s > GRANT_LIFE_MAX_S)
		FAIL(err, ERR_MALFORMED, "the grant lasts until %s; allowed: %lld days", until,
		     (long long)(GRANT_LIFE_MAX_S / 86400));
	return OK;
}

static fallible realm_check(const struct admin_call *c, const struct grant *g, const struct conf_realm **ret,
			    struct err *err)
{
	const struct conf_realm *realm = conf_realm(c->conf, g->realm);
	if (realm == NULL)
		FAIL(err, ERR_NOT_FOUND, "the configuration of the API has no realm \"%.*s\"", STR_FMT(g->realm));
	for (size_t i = 0; i < g->profile_count; i++) {
		if (!conf_list_has(&realm->profiles, g->profiles[i]))
			FAIL(err, ERR_NOT_FOUND, "realm %.*s has no profile \"%.*s\"", STR_FMT(g->realm),
			     STR_FMT(g->profiles[i]));
	}
	*ret = realm;
	return OK;
}

struct adding {
	const struct grant *grant;
	const struct grant_row *row;
	const struct audit_row *audit;
};

static fallible insert(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct adding *a = ctx;
	TRY(grant_insert(tx, a->row, a->grant->thumbprints, a->grant->thumbprint_count, err));
	return audit_insert(tx, a->audit, err);
}

fallible admin_grant_add(struct admin_call *c, struct err *err)
{
	AUTO(buf_done) struct buf detail = BUF_MAX(2 * GRANT_JWS_MAX);
	const struct conf_realm *realm;
	struct grant_row row = { .created_at = c->now_ms, .created_by = c->actor };
	struct grant g;
	TRY(json_want_str(c->rq, "jws", GRANT_JWS_MAX, &row.jws, err));
	TRY(signature_check(c, row.jws, &row.signer, &g, err));
	TRY(times_check(&g, c->now_ms, err));
	TRY(realm_check(c, &g, &realm, err));
	row.id = g.id;
	row.realm = g.realm;
	row.from_s = g.from_s;
	row.until_s = g.until_s;
	struct jw w = jw_begin(&detail, err);
	jw_object(&w);
	admin_grant_write(&w, &row, &g, c->now_ms);
	jw_object_end(&w);
	TRY(jw_end(&w));
	const struct audit_row audit = { .at = c->now_ms,
					 .actor = c->actor,
					 .event = STR("grant added"),
					 .object = str_fmt(c->mem, "grant:%s", id_show(row.id).z),
					 .detail = buf_str(&detail) };
	struct rc rc = store_tx(c->d->store, insert, &(struct adding){ &g, &row, &audit }, err);
	if (rc.kind == ERR_CONFLICT)
		FAIL(err, ERR_CONFLICT, "the grant %s is there already", id_show(row.id).z);
	TRY(rc);
	LOG(c->d->log, LOG_NOTICE, "grant added", KV_ID("grant", row.id), KV_STR("realm", row.realm),
	    KV_STR("signed_by", row.signer), KV_STR("actor", c->actor));
	admin_grant_write(c->out, &row, &g, c->now_ms);
	jw_kbool(c->out, "realmGrants", realm->grants);
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * eab.c: external account keys (RFC 8555 7.3.4) as the operator sees them: make, list, show, disable. A key's secret
 * leaves the API once, in the answer to eab.add; the store has it sealed, and nothing here opens it again.
 */
#include "admin/internal.h"

#define SECRET_LEN 32 /* the output size of HS256: RFC 7518 3.2 wants no less */
#define KID_RANDOM 16
#define TEXT_MAX (64 * 1024)
#define PAGE 20 /* rows in one answer: at most 100 names of 255 bytes each, so far below its megabyte */
#define SHOWN_ACCOUNTS 100
/* One transaction revokes so many accounts, one request so many times that; the command asks again until none is left. */
#define REVOKE_STEP 100
#define REVOKE_STEPS 100

/* --- rows to JSON ---------------------------------------------------------------------------------------------------*/
static fallible list_text(struct arena *mem, const struct conf_list *l, struct str *ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(TEXT_MAX);
	if (l->n == 0)
		return OK; /* no list and an empty one are the same: what the realm has */
	struct jw w = jw_begin(&text, err);
	jw_array(&w);
	for (size_t i = 0; i < l->n; i++)
		jw_str(&w, l->v[i]);
	jw_array_end(&w);
	TRY(jw_end(&w));
	*ret = str_dup(mem, buf_str(&text));
	return OK;
}

static void write_list(struct jw *w, const char *key, struct str json)
{
	jw_key(w, key);
	jw_raw(w, json.n == 0 ? STR("[]") : json);
}

static const char *status_of(const struct eab_row *e, int64_t now_ms)
{
	if (e->disabled_at != 0)
		return "disabled";
	if (e->expires_at != 0 && e->expires_at <= now_ms)
		return "expired";
	return e->uses_max != 0 && e->uses >= e->uses_max ? "used up" : "active";
}

/* All but the secret, sealed or not. */
static void write_row(struct jw *w, const struct eab_row *e, int64_t now_ms)
{
	jw_kstr(w, "kid", e->kid);
	jw_kstr(w, "realm", e->realm);
	jw_kz(w, "status", status_of(e, now_ms));
	jw_kstr(w, "label", e->label);
	write_list(w, "names", e->names);
	write_list(w, "profiles", e->profiles);
	jw_ki64(w, "uses", e->uses);
	jw_ki64(w, "usesMax", e->uses_max);
	if (e->lifetime_s != 0)
		jw_ki64(w, "lifetime", e->lifetime_s);
	admin_write_time(w, "created", e->created_at);
	admin_write_time(w, "expires", e->expires_at);
	admin_write_time(w, "disabled", e->disabled_at);
}

static fallible unknown_kid(struct rc rc, struct str kid, struct err *err)
{
	if (rc.kind == ERR_NOT_FOUND)
		FAIL(err, ERR_NOT_FOUND, "there is no external account key \"%.*s\"", STR_FMT(kid));
	return rc;
}

/* --- eab.add --------------------------------------------------------------------------------------------------------*/
struct fresh { /* all of the key's secret that is not sealed; wiped when the answer is written */
	uint8_t bytes[SECRET_LEN];
	struct buf text;
};

static void fresh_done(struct fresh *f)
{
	explicit_bzero(f->bytes, sizeof f->bytes);
	wipe_done(&f->text);
}

/* The text is given to clients on their command lines, where a '-' in front would make an option of it: then other
 * bytes are taken. One in 64 has it, so the limit is never met with an honest source. */
static fallible fresh_make(const struct rng *rng, struct fresh *ret, struct err *err)
{
	char *at = NULL;
	TRY(buf_room(&ret->text, 2 * SECRET_LEN, &at, err)); /* once: growing would leave copies */
	for (int tries = 0; tries < 64; tries++) {
		buf_reset(&ret->text);
		rng_fill(rng, ret->bytes, sizeof ret->bytes);
		TRY(b64url_add(&ret->text, str_n(ret->bytes, sizeof ret->bytes), err));
		if (ret->text.p[0] != '-')
			return OK;
	}
	FAIL(err, ERR_INTERNAL, "the random source gives the same bytes again and again");
}

static fallible make_kid(struct admin_call *c, struct str *ret, struct err *err)
{
	uint8_t bytes[KID_RANDOM];
	AUTO(buf_done) struct buf text = BUF_MAX(EAB_KID_MAX);
	rng_fill(c->d->rng, bytes, sizeof bytes);
	TRY(buf_add(&text, STR("eab-"), err));
	TRY(b64url_add(&text, str_n(bytes, sizeof bytes), err));
	*ret = str_dup(c->mem, buf_str(&text));
	return OK;
}

struct insertion {
	const struct eab_row *row;
	const struct audit_row *audit;
};

static fallible insert(struct store_tx *tx, void *ctx, struct err *err)
{
	const struct insertion *in = ctx;
	TRY(eab_insert(tx, in->row, err));
	return audit_insert(tx, in->audit, err);
}

static fallible audit_detail(struct admin_call *c, const struct eab_row *row, struct str *ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(TEXT_MAX);
	struct jw w = jw_begin(&text, err);
	jw_object(&w);
	write_row(&w, row, c->now_ms);
	jw_object_end(&w);
	TRY(jw_end(&w));
	*ret = str_dup(c->mem, buf_str(&text));
	return OK;
}

/* Seals the secret and stores the key with its audit row: both are there after this, or neither. */
static fallible store_key(struct admin_call *c, struct eab_row *row, const struct fresh *f, struct err *err)
{
	AUTO(buf_done) struct buf sealed = BUF_MAX(SECRET_LEN + SEAL_OVERHEAD);
	struct audit_row audit = {
		.at = c->now_ms, .actor = c->actor, .event = STR("external account key added"), .object = row->kid
	};
	TRY(audit_detail(c, row, &audit.detail, err));
	TRY(seal(c->d->crypto, c->d->seal_key, c->d->rng, row->kid, str_n(f->bytes, sizeof f->bytes), &sealed, err));
	row->secret = buf_str(&sealed);
	FP("admin.eab_sealed");
	struct rc rc = store_tx(c->d->store, insert, &(struct insertion){ row, &audit }, err);
	FP("admin.eab_stored");
	if (rc.kind == ERR_CONFLICT)
		FAIL(err, ERR_CONFLICT, "there is an external account key \"%.*s\" already", STR_FMT(row->kid));
	return rc;
}

static struct str directory_of(struct admin_call *c, struct str realm)
{
	struct str base = c->conf->api.base_url;
	return str_eq(realm, STR("default"))
		       ? str_fmt(c->mem, "%.*s/directory", STR_FMT(base))
		       : str_fmt(c->mem, "%.*s/realm/%.*s/directory", STR_FMT(base), STR_FMT(realm));
}

fallible admin_eab_add(struct admin_call *c, struct err *err)
{
	struct eab_wish wish;
	AUTO(fresh_done) struct fresh fresh = { .text = BUF_MAX(2 * SECRET_LEN) };
	TRY(eab_wish_read(c->mem, c->rq, c->conf, c->now_ms, &wish, err));
	struct eab_row row = { .kid = wish.kid,
			       .realm = wish.realm,
			       .label = wish.label,
			       .uses_max = wish.uses_max,
			       .lifetime_s = wish.lifetime_s,
			       .created_at = c->now_ms,
			       .expires_at = wish.expires_at };
	if (row.kid.n == 0)
		TRY(make_kid(c, &row.kid, err));
	TRY(list_text(c->mem, &wish.names, &row.names, err));
	TRY(list_text(c->mem, &wish.profiles, &row.profiles, err));
	TRY(fresh_make(c->d->rng, &fresh, err));
	TRY(store_key(c, &row, &fresh, err));
	LOG(c->d->log, LOG_NOTICE, "external account key added", KV_STR("kid", row.kid), KV_STR("realm", row.realm),
	    KV_STR("actor", c->actor));
	jw_kstr(c->out, "hmacKey", buf_str(&fresh.text));
	jw_kstr(c->out, "directory", directory_of(c, row.realm));
	jw_kstr(c->out, "realmEab", conf_realm(c->conf, row.realm)->eab);
	write_row(c->out, &row, c->now_ms);
	return OK;
}

/* --- eab.list, eab.show ---------------------------------------------------------------------------------------------*/
struct page {
	struct admin_call *c;
	struct str realm, after;
	struct eab_row *rows;
	size_t count;
};

static fallible read_page(struct store_tx *tx, void *ctx, struct err *err)
{
	struct page *p = ctx;
	return eab_list(tx, p->c->mem, p->realm, p->after, PAGE + 1, &p->rows, &p->count, err);
}

fallible admin_eab_list(struct admin_call *c, struct err *err)
{
	struct page p = { .c = c };
	TRY(json_may_str(c->rq, "realm", REALM_NAME_MAX, &p.realm, err));
	TRY(json_may_str(c->rq, "after", EAB_KID_MAX, &p.after, err));
	TRY(store_read_stale(c->d->store, read_page, &p, err));
	size_t shown = p.count > PAGE ? PAGE : p.count;
	jw_key(c->out, "keys");
	jw_array(c->out);
	for (size_t i = 0; i < shown; i++) {
		jw_object(c->out);
		write_row(c->out, &p.rows[i], c->now_ms);
		jw_object_end(c->out);
	}
	jw_array_end(c->out);
	if (p.count > PAGE)
		jw_kstr(c->out, "after", p.rows[PAGE - 1].kid);
	return OK;
}

struct shown {
	struct admin_call *c;
	struct str kid;
	struct eab_row row;
	struct id *accounts;
	size_t account_count;
};

static fallible read_one(struct store_tx *tx, void *ctx, struct err *err)
{
	struct shown *v = ctx;
	TRY(eab_by_kid(tx, v->c->mem, v->kid, &v->row, err));
	return accounts_of_eab(tx, v->c->mem, v->kid, (struct id){ 0 }, SHOWN_ACCOUNTS + 1, &v->accounts,
			       &v->account_count, err);
}

fallible admin_eab_show(struct admin_call *c, struct err *err)
{
	struct shown v = { .c = c };
	TRY(eab_kid_read(c->rq, &v.kid, err));
	TRY(unknown_kid(store_read(c->d->store, read_one, &v, err), v.kid, err));
	write_row(c->out, &v.row, c->now_ms);
	jw_key(c->out, "accounts");
	jw_array(c->out);
	for (size_t i = 0; i < v.account_count && i < SHOWN_ACCOUNTS; i++)
		jw_str(c->out, str_z(id_show(v.accounts[i]).z));
	jw_array_end(c->out);
	jw_kbool(c->out, "moreAccounts", v.account_count > SHOWN_ACCOUNTS);
	return OK;
}

/* --- eab.disable ----------------------------------------------------------------------------------------------------*/
struct disabling {
	struct admin_call *c;
	struct str kid;
	bool changed;
	size_t revoked; /* of one step */
};

static fallible disable(struct store_tx *tx, void *ctx, struct err *err)
{
	struct disabling *d = ctx;
	struct eab_row row;
	TRY(eab_by_kid(tx, d->c->mem, d->kid, &row, err));
	d->changed = row.disabled_at == 0;
	if (!d->changed)
		return OK;
	TRY(eab_disable(tx, d->kid, d->c->now_ms, err));
	const struct audit_row audit = { .at = d->c->now_ms,
					 .actor = d->c->actor,
					 .event = STR("external account key disabled"),
					 .object = d->kid };
	return audit_insert(tx, &audit, err);
}

static fallible revoke_account(struct store_tx *tx, const struct disabling *d, struct id id, struct err *err)
{
	TRY(account_move(tx, id, ACCOUNT_VALID, ACCOUNT_REVOKED, err));
	const struct audit_row audit = { .at = d->c->now_ms,
					 .actor = d->c->actor,
					 .event = STR("account revoked"),
					 .object = str_fmt(d->c->mem, "account:%s", id_show(id).z),
					 .detail = str_fmt(d->c->mem, "{\"eabKid\":\"%.*s\"}", STR_FMT(d->kid)) };
	return audit_insert(tx, &audit, err);
}

/* Those that are revoked are not valid any more, so the next step finds the next ones. */
static fallible revoke_some(struct store_tx *tx, void *ctx, struct err *err)
{
	struct disabling *d = ctx;
	struct id *ids = NULL;
	size_t count = 0;
	d->revoked = 0;
	TRY(accounts_of_eab(tx, d->c->mem, d->kid, (struct id){ 0 }, REVOKE_STEP, &ids, &count, err));
	for (size_t i = 0; i < count; i++)
		TRY(revoke_account(tx, d, ids[i], err));
	d->revoked = count;
	return OK;
}

/* In small steps, so that the store serves others meanwhile. No account joins: the key is disabled, and a binding is
 * counted in the transaction that makes the account. Interrupted, the same request goes on where this one stopped. */
static fallible revoke_accounts(struct disabling *d, uint64_t *ret_revoked, bool *ret_more, struct err *err)
{
	uint64_t revoked = 0;
	bool more = true;
	for (int i = 0; i < REVOKE_STEPS && more; i++) {
		TRY(store_tx(d->c->d->store, revoke_some, d, err));
		revoked += d->revoked;
		more = d->revoked == REVOKE_STEP;
	}
	*ret_revoked = revoked;
	*ret_more = more;
	return OK;
}

fallible admin_eab_disable(struct admin_call *c, struct err *err)
{
	struct disabling d = { .c = c };
	bool accounts = false;
	bool more = false;
	uint64_t revoked = 0;
	TRY(eab_kid_read(c->rq, &d.kid, err));
	TRY(json_may_bool(c->rq, "accounts", &accounts, err));
	TRY(unknown_kid(store_tx(c->d->store, disable, &d, err), d.kid, err));
	if (d.changed)
		LOG(c->d->log, LOG_NOTICE, "external account key disabled", KV_STR("kid", d.kid),
		    KV_STR("actor", c->actor));
	FP("admin.eab_disabled");
	if (accounts)
		TRY(revoke_accounts(&d, &revoked, &more, err));
	if (revoked > 0)
		LOG(c->d->log, LOG_NOTICE, "accounts revoked", KV_STR("kid", d.kid), KV_U64("count", revoked),
		    KV_STR("actor", c->actor));
	jw_kstr(c->out, "kid", d.kid);
	jw_kbool(c->out, "wasDisabled", !d.changed);
	jw_ki64(c->out, "revoked", (int64_t)revoked);
	jw_kbool(c->out, "more", more);
	return OK;
}

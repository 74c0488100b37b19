/* SPDX-License-Identifier: Apache-2.0
 *
 * account.c: newAccount, the account resource and its list of orders (RFC 8555 7.1.2, 7.3).
 */
#include "acme/app.h"

#define CONTACTS_MAX 10
#define CONTACT_MAX 320 /* "mailto:" and an address of RFC 5321's length */
#define ORDERS_PAGE 100

/* One addr-spec and nothing else: no list, no header fields (RFC 8555 7.3). */
static fallible contact_check(struct arena *mem, struct str url, struct err *err)
{
	struct str address = url;
	if (!str_eq_nocase(str_sub(url, 0, 7), STR("mailto:")))
		FAIL(err, ERR_UNSUPPORTED_CONTACT, "contact \"%.*s\" is not served; use mailto:", STR_FMT(url));
	address = str_sub(url, 7, url.n);
	size_t at = str_find(address, '@', 0);
	struct str domain = name_lower(mem, str_sub(address, at + 1, address.n)); /* people write capitals there */
	bool fine =
		at > 0 && at < address.n && str_find(domain, '@', 0) == domain.n && str_find(domain, '.', 0) < domain.n;
	for (size_t i = 0; i < address.n; i++) {
		char ch = address.p[i];
		fine = fine && ch > 0x20 && ch < 0x7f && strchr("?,;<>\"\\()%", ch) == NULL;
	}
	if (!fine || FAILED(name_check(domain, false, NULL)))
		FAIL(err, ERR_INVALID_CONTACT, "contact \"%.*s\" is not one mail address at a public name",
		     STR_FMT(url));
	return OK;
}

/* The payload's contacts as JSON text; *ret_given false when the member is absent. */
static fallible contacts_read(struct call *c, struct str *ret, bool *ret_given, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(CONTACTS_MAX * (CONTACT_MAX + 8) + 16);
	const struct json *list = json_get(c->payload, "contact");
	*ret_given = list != NULL;
	if (list == NULL)
		return OK;
	TRY(json_want_array(c->payload, "contact", CONTACTS_MAX, &list, err));
	struct jw w = jw_begin(&text, err);
	jw_array(&w);
	for (size_t i = 0; i < json_count(list); i++) {
		struct str url;
		if (!json_as_str(json_at(list, i), &url) || url.n > CONTACT_MAX)
			FAIL(err, ERR_INVALID_CONTACT, "contact %zu is not a string of at most %d bytes", i,
			     CONTACT_MAX);
		TRY(contact_check(c->mem, url, err));
		jw_str(&w, url);
	}
	jw_array_end(&w);
	TRY(jw_end(&w));
	*ret = json_count(list) == 0 ? STR_NONE : str_dup(c->mem, buf_str(&text));
	return OK;
}

/* The longest prefix that one customer has: an IPv4 address, an IPv6 /48 (THREATS A82). */
static struct str address_bucket(const struct call *c)
{
	struct addr a = c->rq->peer;
	char text[ADDR_TEXT_MAX];
	if (a.family == AF_INET6)
		memset(a.b + 6, 0, 10);
	addr_show(&a, text);
	return str_fmt(c->mem, "new-account:%.*s:%s", STR_FMT(c->realm->name), text);
}

struct str call_actor(const struct call *c)
{
	if (id_is_zero(c->account.id))
		return str_fmt(c->mem, "key:%s", c->thumbprint.z);
	return str_fmt(c->mem, "account:%s", id_show(c->account.id).z);
}

fallible call_audit(const struct call *c, struct store_tx *tx, const char *event, struct str object, struct str detail,
		    struct err *err)
{
	const struct audit_row row = {
		.at = c->now_ms, .actor = call_actor(c), .event = str_z(event), .object = object, .detail = detail
	};
	return audit_insert(tx, &row, err);
}

struct new_account {
	struct call *c;
	struct account_row row;   /* what is to be made: the same each time that the transaction is run */
	struct account_row found; /* not created: the account that the key has already */
	struct eab_binding binding;
	struct sha256 key_hash;
	bool only_existing, created;
};

static fallible new_account_audit(const struct new_account *n, struct store_tx *tx, struct err *err)
{
	AUTO(buf_done) struct buf detail = BUF_MAX(1024);
	struct str who = str_fmt(n->c->mem, "account:%s", id_show(n->row.id).z);
	struct jw w = jw_begin(&detail, err);
	jw_object(&w);
	jw_kstr(&w, "realm", n->row.realm);
	jw_kstr(&w, "thumbprint", n->row.thumbprint);
	if (n->row.eab_kid.n > 0)
		jw_kstr(&w, "eab", n->row.eab_kid);
	jw_object_end(&w);
	TRY(jw_end(&w));
	const struct audit_row audit = { .at = n->c->now_ms,
					 .actor = who,
					 .event = STR("account created"),
					 .object = who,
					 .detail = buf_str(&detail) };
	return audit_insert(tx, &audit, err);
}

static fallible new_account_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct new_account *n = ctx;
	struct call *c = n->c;
	n->created = false;
	struct rc rc = account_by_thumbprint(tx, c->mem, c->realm->name, str_z(c->thumbprint.z), &n->found, err);
	if (rc.kind != ERR_NOT_FOUND) /* there is one, or the look failed */
		return rc;
	if (n->only_existing)
		FAIL(err, ERR_ACCOUNT_DOES_NOT_EXIST, "no account has this key, and onlyReturnExisting was set");
	TRY(key_check_blocked(tx, &n->key_hash, ERR_BAD_PUBLIC_KEY, err));
	TRY(limit_check(c, tx, address_bucket(c), c->realm->accounts_per_hour, "new accounts from this address", err));
	TRY(eab_spend(c, tx, &n->binding, err));
	TRY(account_insert(tx, &n->row, err));
	n->created = true;
	return new_account_audit(n, tx, err);
}

/* RFC 8555 7.3.3: a refusal that is about the terms links to them and has an "instance" for people to look at. */
static fallible terms_shown(struct call *c, struct err *err)
{
	AUTO(buf_done) struct buf extra = BUF_MAX(8192);
	TRY(reply_link(c, c->realm->terms_of_service, "terms-of-service", err));
	TRY(buf_add(&extra, STR("\"instance\":"), err));
	struct jw w = jw_begin(&extra, err);
	jw_str(&w, c->realm->terms_of_service);
	TRY(jw_end(&w));
	c->problem_extra = str_dup(c->mem, buf_str(&extra));
	return OK;
}

static fallible terms_check(struct call *c, bool agreed, struct err *err)
{
	if (c->realm->terms_of_service.n == 0 || agreed)
		return OK;
	TRY(terms_shown(c, err));
	FAIL(err, ERR_USER_ACTION_REQUIRED,
	     "this CA wants its terms of service agreed to: read %.*s, then send termsOfServiceAgreed",
	     STR_FMT(c->realm->terms_of_service));
}

fallible terms_still_agreed(struct call *c, struct err *err)
{
	if (!c->realm->terms_agree_again || c->realm->terms_of_service.n == 0 ||
	    str_eq(c->account.tos_url, c->realm->terms_of_service))
		return OK;
	TRY(terms_shown(c, err));
	FAIL(err, ERR_USER_ACTION_REQUIRED,
	     "the terms of service have changed since this account agreed: read %.*s, then post "
	     "termsOfServiceAgreed: true to the account's URL",
	     STR_FMT(c->realm->terms_of_service));
}

static fallible new_account_prepare(struct call *c, struct new_account *n, struct err *err)
{
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	char peer[ADDR_TEXT_MAX];
	bool given, agreed = false;
	struct str contact = STR_NONE;
	TRY(json_may_bool(c->payload, "onlyReturnExisting", &n->only_existing, err));
	TRY(json_may_bool(c->payload, "termsOfServiceAgreed", &agreed, err));
	TRY(contacts_read(c, &contact, &given, err));
	TRY(jwk_write(c->key, &jwk, err));
	TRY(key_spki_hash(c->a->d.crypto, c->key, &n->key_hash, err));
	addr_show(&c->rq->peer, peer);
	n->row = (struct account_row){
		.id = id_new(c->a->d.clk, c->a->d.rng),
		.realm = c->realm->name,
		.thumbprint = str_z(c->thumbprint.z),
		.jwk = str_dup(c->mem, buf_str(&jwk)),
		.status = ACCOUNT_VALID,
		.contact = contact,
		.tos_agreed_at = agreed ? c->now_ms : 0,
		.tos_url = agreed ? c->realm->terms_of_service : STR_NONE,
		.created_at = c->now_ms,
		.created_ip = str_dup(c->mem, str_z(peer)),
	};
	return OK;
}

static fallible account_existing(struct store_tx *tx, void *ctx, struct err *err)
{
	struct new_account *n = ctx;
	n->created = false;
	return account_by_thumbprint(tx, n->c->mem, n->c->realm->name, str_z(n->c->thumbprint.z), &n->found, err);
}

static fallible reply_found_account(struct call *c, const struct new_account *n, struct err *err)
{
	if (n->found.status != ACCOUNT_VALID)
		FAIL(err, ERR_ACCOUNT_ENDED, "the account of this key is %s; use another key for a new account",
		     account_status_name(n->found.status));
	return reply_account(c, 200, &n->found, STR_NONE, err);
}

fallible post_new_account(struct call *c, struct err *err)
{
	struct new_account n = { .c = c };
	/* RFC 8555 7.3.1: a known key gets its account back as it is, whatever the payload says. */
	struct rc rc = store_read(c->a->d.store, account_existing, &n, err);
	if (!FAILED(rc))
		return reply_found_account(c, &n, err);
	if (rc.kind != ERR_NOT_FOUND)
		return rc;
	TRY(new_account_prepare(c, &n, err));
	if (!n.only_existing) {
		TRY(terms_check(c, n.row.tos_agreed_at != 0, err));
		TRY(key_check(c->key, KEY_USE_ACCOUNT, err));
		TRY(key_list_check(c->a->d.crypto, c->view->refused_keys, c->key, ERR_BAD_PUBLIC_KEY, err));
		TRY(eab_check(c, &n.binding, err));
		n.row.eab_kid = n.binding.kid;
	}
	rc = store_tx(c->a->d.store, new_account_tx, &n, err);
	FP("acme.account_made");
	if (rc.kind == ERR_CONFLICT) /* two at once: the other one made it */
		rc = store_read(c->a->d.store, account_existing, &n, err);
	TRY(rc);
	c->account = n.created ? n.row : n.found;
	if (!n.created)
		return reply_found_account(c, &n, err);
	LOG(c->a->d.log, LOG_INFO, "account created", KV_ID("account", n.row.id), KV_STR("realm", c->realm->name),
	    KV_STR("peer", n.row.created_ip));
	if (n.binding.kid.n > 0)
		LOG(c->a->d.log, LOG_NOTICE, "external account bound", KV_ID("account", n.row.id),
		    KV_STR("realm", c->realm->name), KV_STR("eab", n.binding.kid));
	return reply_account(c, 201, &n.row, n.binding.text, err);
}

fallible account_still_valid(struct call *c, struct store_tx *tx, struct err *err)
{
	struct account_row now;
	if (!c->account_of_gate)
		return call_account(c, tx, err);
	TRY(account_by_id(tx, c->mem, c->account.id, &now, err));
	if (now.status != ACCOUNT_VALID)
		FAIL(err, ERR_ACCOUNT_ENDED, "the account is %s", account_status_name(now.status));
	if (!str_eq(now.thumbprint, str_z(c->thumbprint.z))) /* since the gate looked */
		FAIL(err, ERR_UNAUTHORIZED,
		     "the account's key was changed: this request is signed by the one that it had before");
	return OK;
}

struct account_change {
	struct call *c;
	bool set_contact, agree, deactivate;
	struct str contact;
	struct account_row row;
};

/* Both texts are JSON arrays already. */
static fallible contacts_audit(const struct account_change *ch, struct store_tx *tx, const struct account_row *was,
			       struct err *err)
{
	struct arena *mem = ch->c->mem;
	struct str from = was->contact.n > 0 ? was->contact : STR("[]"),
		   to = ch->contact.n > 0 ? ch->contact : STR("[]");
	if (str_eq(from, to))
		return OK;
	/* Each leaves a row behind. */
	TRY(limit_check(ch->c, tx, str_fmt(mem, "contacts:%s", id_show(was->id).z), ch->c->realm->orders_per_hour,
			"changes of this account's contacts", err));
	return call_audit(ch->c, tx, "contacts changed", call_actor(ch->c),
			  str_fmt(mem, "{\"from\":%.*s,\"to\":%.*s}", (int)from.n, from.p, (int)to.n, to.p), err);
}

static fallible terms_audit(const struct account_change *ch, struct store_tx *tx, struct err *err)
{
	AUTO(buf_done) struct buf detail = BUF_MAX(8192);
	struct jw w = jw_begin(&detail, err);
	jw_object(&w);
	jw_kstr(&w, "terms", ch->c->realm->terms_of_service);
	jw_object_end(&w);
	TRY(jw_end(&w));
	return call_audit(ch->c, tx, "terms agreed", call_actor(ch->c), buf_str(&detail), err);
}

static fallible account_change_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct account_change *ch = ctx;
	struct call *c = ch->c;
	struct id id = c->account.id;
	TRY(account_still_valid(c, tx, err));
	TRY(account_by_id(tx, c->mem, id, &ch->row, err));
	if (ch->set_contact) {
		TRY(contacts_audit(ch, tx, &ch->row, err));
		TRY(account_set_contact(tx, id, ch->contact, err));
	}
	if (ch->agree) {
		bool again = ch->row.tos_agreed_at != 0 && str_eq(ch->row.tos_url, c->realm->terms_of_service);
		TRY(account_set_tos(tx, id, c->realm->terms_of_service, c->now_ms, err));
		TRY(again ? OK : terms_audit(ch, tx, err));
	}
	if (ch->deactivate) {
		TRY(account_move(tx, id, ACCOUNT_VALID, ACCOUNT_DEACTIVATED, err));
		TRY(call_audit(c, tx, "account deactivated", call_actor(c), STR_NONE, err));
	}
	return account_by_id(tx, c->mem, id, &ch->row, err);
}

/* RFC 8555 7.3.2: "orders", any status but "deactivated" (7.3.6) and what is not known are ignored, not refused. */
static fallible account_change_read(struct call *c, struct account_change *ch, struct err *err)
{
	struct str status = STR_NONE;
	TRY(json_may_bool(c->payload, "termsOfServiceAgreed", &ch->agree, err));
	TRY(contacts_read(c, &ch->contact, &ch->set_contact, err));
	TRY(json_may_str(c->payload, "status", 32, &status, err));
	ch->deactivate = str_eq(status, STR("deactivated"));
	return OK;
}

fallible post_account(struct call *c, struct err *err)
{
	struct account_change ch = { .c = c };
	if (!id_eq(c->path_id, c->account.id))
		FAIL(err, ERR_UNAUTHORIZED, "this account URL is not the one that signed the request");
	if (c->payload == NULL)
		return reply_account(c, 200, &c->account, STR_NONE, err);
	TRY(account_change_read(c, &ch, err));
	TRY(store_tx(c->a->d.store, account_change_tx, &ch, err));
	if (ch.deactivate)
		LOG(c->a->d.log, LOG_NOTICE, "account deactivated", KV_ID("account", c->account.id));
	if (ch.agree)
		LOG(c->a->d.log, LOG_INFO, "terms agreed", KV_ID("account", c->account.id),
		    KV_STR("terms", ch.row.tos_url));
	return reply_account(c, 200, &ch.row, STR_NONE, err);
}

struct order_page {
	struct call *c;
	struct id before, *ids;
	size_t count;
};

static fallible order_page_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct order_page *p = ctx;
	return order_list(tx, p->c->mem, p->c->account.id, p->before, ORDERS_PAGE + 1, &p->ids, &p->count, err);
}

fallible post_account_orders(struct call *c, struct err *err)
{
	struct order_page p = { .c = c };
	struct str cursor = c->rq->query;
	if (!id_eq(c->path_id, c->account.id))
		FAIL(err, ERR_UNAUTHORIZED, "this account URL is not the one that signed the request");
	if (cursor.p != NULL && (!str_skip(&cursor, STR("before=")) || FAILED(id_read(cursor, &p.before, NULL))))
		FAIL(err, ERR_MALFORMED, "the query is not one that a \"next\" link of this server has");
	TRY(store_read_stale(c->a->d.store, order_page_read, &p, err));
	size_t shown = p.count > ORDERS_PAGE ? ORDERS_PAGE : p.count;
	if (p.count > shown) /* RFC 8555 7.1.2.1 */
		TRY(reply_link(c,
			       str_fmt(c->mem, "%.*s?before=%s",
				       STR_FMT(call_url(c, "account", c->account.id, "/orders")),
				       id_show(p.ids[shown - 1]).z),
			       "next", err));
	c->re->status = 200;
	c->re->content_type = "application/json";
	struct jw w = jw_begin(&c->re->body, err);
	jw_object(&w);
	jw_key(&w, "orders");
	jw_array(&w);
	for (size_t i = 0; i < shown; i++)
		jw_str(&w, call_url(c, "order", p.ids[i], ""));
	jw_array_end(&w);
	jw_object_end(&w);
	return jw_end(&w);
}

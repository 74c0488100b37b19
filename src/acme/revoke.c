/* SPDX-License-Identifier: Apache-2.0
 *
 * revoke.c: revocation (RFC 8555 7.6), and the keys that nobody may use any more. A certificate is found by its serial
 * and must be ours to the byte. Three may end it: the account that ordered it, an account that is authorized for all of
 * its names, and who has its key. Everybody else gets the same words.
 */
#include "acme/app.h"

#define REASON_KEY_COMPROMISE 1

/* RFC 5280 5.3.1; the others are not a subscriber's to give (RULES R12). */
static const struct reason {
	int code;
	const char *name;
} reasons[] = {
	{ 0, "unspecified" },          { REASON_KEY_COMPROMISE, "keyCompromise" },
	{ 3, "affiliationChanged" },   { 4, "superseded" },
	{ 5, "cessationOfOperation" },
};

enum revoker { REVOKER_NONE, REVOKER_OWNER, REVOKER_KEY, REVOKER_AUTHORIZED };

struct revocation {
	struct call *c;
	struct str der;
	struct cert *cert;
	struct key *key; /* the certificate's */
	struct thumbprint thumbprint;
	struct str serial;
	int reason;
	struct certificate_row row;
	enum revoker by;
	bool raised; /* it was revoked; the reason becomes keyCompromise */
	size_t others, accounts;
};

fallible key_check_blocked(struct store_tx *tx, const struct sha256 *spki_hash, enum err_kind kind, struct err *err)
{
	bool blocked;
	TRY(blocked_key_has(tx, spki_hash, &blocked, err));
	if (blocked)
		FAIL(err, kind, "this key is known to be compromised; make a new one");
	return OK;
}

/* --- the request --------------------------------------------------------------------------------------------------*/
static const char *reason_name(int code)
{
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
		if (reasons[i].code == code)
			return reasons[i].name;
	return "?";
}

static fallible reason_read(struct revocation *r, struct err *err)
{
	const struct json *v = json_get(r->c->payload, "reason");
	struct str served = STR_NONE;
	int64_t code = 0;
	if (json_type(v) == JSON_ABSENT)
		return OK;
	if (!json_as_i64(v, &code))
		FAIL(err, ERR_MALFORMED, "reason is not an integer");
	for (size_t i = 0; i < ARRAY_LEN(reasons); i++) {
		if (reasons[i].code == code) {
			r->reason = reasons[i].code;
			return OK;
		}
		served = str_fmt(r->c->mem, "%.*s%s%d (%s)", STR_FMT(served), i == 0 ? "" : ", ", reasons[i].code,
				 reasons[i].name);
	}
	FAIL(err, ERR_BAD_REVOCATION_REASON, "reason %lld is not served; served are %.*s", (long long)code,
	     STR_FMT(served));
}

static fallible certificate_read(struct revocation *r, struct err *err)
{
	struct call *c = r->c;
	struct str text;
	TRY(json_want_str(c->payload, "certificate", JWS_BODY_MAX, &text, err));
	if (str_starts(text, STR("-----BEGIN")))
		FAIL(err, ERR_MALFORMED, "certificate is PEM; RFC 8555 7.6 wants the DER form in base64url");
	struct rc rc = b64url_decode(c->mem, text, CERT_DER_MAX, &r->der, err);
	if (FAILED(rc)) {
		err_prefix(err, "certificate: ");
		return rc;
	}
	if (FAILED(cert_read_der(r->der, &r->cert, NULL)))
		FAIL(err, ERR_MALFORMED, "certificate is not one X.509 certificate in DER");
	return cert_get_serial_hex(c->mem, r->cert, &r->serial, err);
}

/* --- what it is about, and who asks -------------------------------------------------------------------------------*/

/* By serial, then to the byte: an altered certificate, another CA's and another realm's are all not one of ours. */
static fallible certificate_find(struct revocation *r, struct store_tx *tx, struct err *err)
{
	struct rc rc = certificate_by_serial(tx, r->c->mem, r->serial, &r->row, err);
	if (FAILED(rc) && rc.kind != ERR_NOT_FOUND)
		return rc;
	if (FAILED(rc) || !str_eq(r->row.der, r->der) || !str_eq(r->row.realm, r->c->realm->name))
		FAIL(err, ERR_NOT_FOUND, "this certificate is not one of this CA's");
	return OK;
}

static fallible is_held(const struct revocation *r, struct store_tx *tx, struct ident ident, bool wildcard,
			bool subdomains, bool *ret, struct err *err)
{
	const struct authz_want want = { .ident = ident, .wildcard = wildcard, .subdomains = subdomains };
	return authz_is_held(tx, r->c->account.id, &want, r->c->now_ms, ret, err);
}

/* Its own authorization, or that of an ancestor which holds for what is below it (RFC 9444). A wildcard's is its own
 * only. */
static fallible name_is_held(const struct revocation *r, struct store_tx *tx, struct str name, bool *ret,
			     struct err *err)
{
	bool wildcard = str_skip(&name, STR("*."));
	TRY(is_held(r, tx, (struct ident){ IDENT_DNS, name }, wildcard, false, ret, err));
	if (wildcard || !r->c->realm->subdomain_auth)
		return OK;
	while (!*ret) {
		name = str_sub(name, str_find(name, '.', 0) + 1, name.n);
		if (str_find(name, '.', 0) == name.n) /* one label, or none: nobody's domain */
			return OK;
		TRY(is_held(r, tx, (struct ident){ IDENT_DNS, name }, false, true, ret, err));
	}
	return OK;
}

static fallible all_are_held(const struct revocation *r, struct store_tx *tx, bool *ret, struct err *err)
{
	struct arena *mem = r->c->mem;
	struct str *names;
	struct addr *addrs;
	size_t name_count, addr_count;
	TRY(cert_get_dns_names(mem, r->cert, &names, &name_count, err));
	TRY(cert_get_addrs(mem, r->cert, &addrs, &addr_count, err));
	*ret = name_count + addr_count > 0;
	for (size_t i = 0; *ret && i < name_count; i++)
		TRY(name_is_held(r, tx, names[i], ret, err));
	for (size_t i = 0; *ret && i < addr_count; i++) {
		char text[ADDR_TEXT_MAX];
		addr_show(&addrs[i], text);
		TRY(is_held(r, tx, (struct ident){ IDENT_IP, str_z(text) }, false, false, ret, err));
	}
	return OK;
}

static fallible revoker_find(struct revocation *r, struct store_tx *tx, struct err *err)
{
	struct call *c = r->c;
	bool all = false;
	r->by = REVOKER_NONE;
	if (c->jws.jwk != NULL) {
		r->by = key_public_eq(r->key, c->key) ? REVOKER_KEY : REVOKER_NONE;
	} else {
		TRY(account_still_valid(c, tx, err));
		if (id_eq(r->row.account, c->account.id))
			r->by = REVOKER_OWNER;
		else
			TRY(all_are_held(r, tx, &all, err));
		if (all)
			r->by = REVOKER_AUTHORIZED;
	}
	if (r->by == REVOKER_NONE)
		FAIL(err, ERR_UNAUTHORIZED,
		     "this request is signed neither by the account that ordered the certificate, nor by one that is "
		     "authorized for all of its names, nor by the certificate's own key");
	return OK;
}

/* --- what becomes of it -------------------------------------------------------------------------------------------*/
static fallible may_revoke(struct revocation *r, struct err *err)
{
	char when[TIME_TEXT_MAX];
	if (r->reason == REASON_KEY_COMPROMISE && r->by == REVOKER_AUTHORIZED)
		FAIL(err, ERR_BAD_REVOCATION_REASON,
		     "reason 1 (keyCompromise) is taken from the account that ordered the certificate and from who has "
		     "its key only");
	if (r->row.not_after_s < r->c->now_ms / 1000) {
		time_show(r->row.not_after_s, when);
		FAIL(err, ERR_MALFORMED, "the certificate ended at %s; there is nothing left to revoke", when);
	}
	r->raised = r->row.revoked_at != 0 && r->by == REVOKER_KEY && r->reason == REASON_KEY_COMPROMISE &&
		    r->row.revocation_reason != REASON_KEY_COMPROMISE;
	if (r->row.revoked_at == 0 || r->raised)
		return OK;
	time_show(r->row.revoked_at / 1000, when);
	FAIL(err, ERR_ALREADY_REVOKED, "the certificate was revoked at %s with reason %d (%s)", when,
	     r->row.revocation_reason, reason_name(r->row.revocation_reason));
}

static struct str revoker_text(const struct revocation *r)
{
	return r->by == REVOKER_KEY ? STR("key") : call_actor(r->c);
}

static fallible revocation_audit(const struct revocation *r, struct store_tx *tx, struct err *err)
{
	AUTO(buf_done) struct buf detail = BUF_MAX(1024);
	struct jw w = jw_begin(&detail, err);
	jw_object(&w);
	jw_kstr(&w, "serial", r->serial);
	jw_ki64(&w, "reason", r->reason);
	jw_kid(&w, "owner", r->row.account);
	jw_object_end(&w);
	TRY(jw_end(&w));
	struct str object = str_fmt(r->c->mem, "certificate:%s", id_show(r->row.id).z);
	return call_audit(r->c, tx, r->raised ? "revocation reason raised" : "certificate revoked", object,
			  buf_str(&detail), err);
}

/* Accounts that have the key, in every realm: whoever has stolen it could speak for them. */
static fallible accounts_end(struct revocation *r, struct store_tx *tx, struct err *err)
{
	const struct call *c = r->c;
	for (size_t i = 0; i < c->conf->realm_count; i++) {
		struct account_row account;
		struct rc rc = account_by_thumbprint(tx, c->mem, c->conf->realms[i].name, str_z(r->thumbprint.z),
						     &account, err);
		if (rc.kind == ERR_NOT_FOUND || (!FAILED(rc) && account.status != ACCOUNT_VALID))
			continue;
		TRY(rc);
		TRY(account_move(tx, account.id, ACCOUNT_VALID, ACCOUNT_REVOKED, err));
		TRY(call_audit(c, tx, "account revoked", str_fmt(c->mem, "account:%s", id_show(account.id).z),
			       STR("{\"why\":\"its key is compromised\"}"), err));
		r->accounts++;
	}
	return OK;
}

static fallible key_block(struct revocation *r, struct store_tx *tx, struct err *err)
{
	AUTO(buf_done) struct buf detail = BUF_MAX(512);
	const struct call *c = r->c;
	struct str by = revoker_text(r);
	const struct sha256 *hash = &r->row.spki_hash;
	/* What an owner says of a key that he may share holds for the future and for his own certificates. Only who
	 * has the key speaks for all that others have from it. */
	bool proved = r->by == REVOKER_KEY;
	static const struct id everybody;
	struct id whose = proved ? everybody : c->account.id;
	TRY(blocked_key_insert(tx, hash, STR("keyCompromise"), c->now_ms, by, err));
	TRY(certificates_revoke_key(tx, hash, whose, c->now_ms, REASON_KEY_COMPROMISE, by, &r->others, err));
	if (proved)
		TRY(accounts_end(r, tx, err));
	struct jw w = jw_begin(&detail, err);
	jw_object(&w);
	jw_ki64(&w, "certificates", (int64_t)r->others);
	jw_ki64(&w, "accounts", (int64_t)r->accounts);
	jw_object_end(&w);
	TRY(jw_end(&w));
	struct str hex = hex_encode(c->mem, str_n(hash->b, sizeof hash->b));
	return call_audit(c, tx, "key blocked", str_fmt(c->mem, "spki-sha256:%.*s", STR_FMT(hex)), buf_str(&detail),
			  err);
}

/* What strangers ask costs them and us a look, not a place in the writer's queue. */
static fallible revoke_look(struct store_tx *tx, void *ctx, struct err *err)
{
	struct revocation *r = ctx;
	TRY(certificate_find(r, tx, err));
	return revoker_find(r, tx, err);
}

static fallible revoke_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	struct revocation *r = ctx;
	r->others = r->accounts = 0;
	TRY(revoke_look(tx, ctx, err));
	TRY(may_revoke(r, err));
	if (r->raised)
		TRY(certificate_set_compromised(tx, r->row.id, revoker_text(r), err));
	else
		TRY(certificate_revoke(tx, r->row.id, r->c->now_ms, r->reason, revoker_text(r), err));
	TRY(revocation_audit(r, tx, err));
	return r->reason == REASON_KEY_COMPROMISE ? key_block(r, tx, err) : OK;
}

static void revocation_log(const struct revocation *r)
{
	const struct call *c = r->c;
	const struct sha256 *hash = &r->row.spki_hash;
	LOG(c->a->d.log, LOG_NOTICE, r->raised ? "revocation reason raised" : "certificate revoked",
	    KV_ID("order", r->row.order), KV_STR("serial", r->serial), KV_STR("realm", c->realm->name),
	    KV_I64("reason", r->reason), KV_STR("by", call_actor(c)), KV_ID("owner", r->row.account));
	if (r->reason == REASON_KEY_COMPROMISE)
		LOG(c->a->d.log, LOG_NOTICE, "key blocked",
		    KV_STR("spki_sha256", hex_encode(c->mem, str_n(hash->b, sizeof hash->b))),
		    KV_STR("by", call_actor(c)), KV_U64("other_certificates", r->others),
		    KV_U64("accounts", r->accounts));
}

static fallible revoke_run(struct revocation *r, struct err *err)
{
	struct call *c = r->c;
	TRY(reason_read(r, err));
	TRY(certificate_read(r, err));
	if (FAILED(cert_get_key(r->cert, &r->key, NULL))) /* of a kind that no certificate of ours has */
		FAIL(err, ERR_NOT_FOUND, "this certificate is not one of this CA's");
	TRY(jwk_thumbprint(c->a->d.crypto, r->key, &r->thumbprint, err));
	TRY(store_read(c->a->d.store, revoke_look, r, err));
	struct rc rc = store_tx(c->a->d.store, revoke_tx, r, err);
	if (rc.kind == ERR_CONFLICT)
		FAIL(err, ERR_ALREADY_REVOKED, "another request revoked the certificate just now");
	TRY(rc);
	revocation_log(r);
	c->re->status = 200; /* RFC 8555 7.6: no body */
	return OK;
}

fallible post_revoke_cert(struct call *c, struct err *err)
{
	struct revocation r = { .c = c };
	struct rc rc = revoke_run(&r, err);
	key_free(r.key);
	cert_free(r.cert);
	return rc;
}

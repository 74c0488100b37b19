/* SPDX-License-Identifier: Apache-2.0
 *
 * ari.c: renewal information (RFC 9773): when a certificate had better be renewed, asked by its name without an account,
 * and new orders that say which certificate they replace.
 */
#include "acme/order.h"

#define CERTID_MAX 200
#define AKI_MAX 64
#define SERIAL_MAX 20 /* RFC 5280 4.1.2.2 */
#define DAY_S ((int64_t)86400)
#define RETRY_S ((int64_t)6 * 3600)
#define EXEMPT_PER_HOUR 10
#define EXEMPT_AGE_MS (DAY_S * 1000)

/* --- names of certificates --- */
static fallible certid_part(struct arena *mem, struct str text, size_t max, const char *what, struct str *ret,
			    struct err *err)
{
	struct rc rc = b64url_decode(mem, text, max, ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s: ", what);
	else if (ret->n == 0)
		FAIL(err, ERR_MALFORMED, "%s is empty", what);
	return rc.kind == ERR_NONE ? OK : (struct rc){ ERR_MALFORMED };
}

fallible certid_read(struct arena *mem, struct str text, struct certid *ret, struct err *err)
{
	struct str serial;
	size_t dot = str_find(text, '.', 0);
	if (text.n > CERTID_MAX || dot == text.n || str_find(text, '.', dot + 1) != text.n)
		FAIL(err, ERR_MALFORMED,
		     "\"%.*s\" does not name a certificate: base64url of the authority key identifier, a dot, "
		     "base64url "
		     "of the serial number are wanted (RFC 9773 4.1)",
		     STR_FMT(str_sub(text, 0, CERTID_MAX)));
	TRY(certid_part(mem, str_sub(text, 0, dot), AKI_MAX, "authority key identifier", &ret->aki, err));
	TRY(certid_part(mem, str_sub(text, dot + 1, text.n), SERIAL_MAX, "serial number", &serial, err));
	ret->text = str_dup(mem, text);
	ret->serial = hex_encode(mem, serial);
	return OK;
}

static fallible aki_is(struct arena *mem, const struct certificate_row *row, struct str aki, bool *ret, struct err *err)
{
	AUTO(cert_auto) struct cert *cert = NULL;
	struct str own;
	TRY(cert_read_der(row->der, &cert, err));
	struct rc rc = cert_get_aki(mem, cert, &own, err);
	*ret = !FAILED(rc) && str_eq(own, aki);
	return rc.kind == ERR_NOT_FOUND ? OK : rc;
}

fallible certid_find(const struct call *c, struct store_tx *tx, const struct certid *id, struct certificate_row *ret,
		     struct err *err)
{
	bool same = false;
	struct rc rc = certificate_by_serial(tx, c->mem, id->serial, ret, err);
	if (!FAILED(rc) && str_eq(ret->realm, c->realm->name))
		rc = aki_is(c->mem, ret, id->aki, &same, err);
	if (FAILED(rc) && rc.kind != ERR_NOT_FOUND)
		return rc;
	if (!same)
		FAIL(err, ERR_NOT_FOUND, "this CA has issued no certificate %.*s here", STR_FMT(id->text));
	return OK;
}

/* --- the window --- */
struct window {
	int64_t start, end; /* unix seconds */
};

/* The same number from -1,000,000 to 1,000,000 for a certificate each time, spread evenly over certificates. */
static fallible spread(const struct call *c, struct str serial, const char *what, int64_t *ret, struct err *err)
{
	struct sha256 hash;
	uint64_t v = 0;
	TRY(digest_sha256(c->a->d.crypto, str_fmt(c->mem, "%s:%.*s", what, STR_FMT(serial)), &hash, err));
	for (size_t i = 0; i < sizeof v; i++)
		v = v << 8 | hash.b[i];
	*ret = (int64_t)(v % 2000001) - 1000000;
	return OK;
}

/* Two thirds of its life, half of a short one, moved by up to 1 % so that what was issued together is not renewed
 * together. A revoked one had better been renewed before. */
static fallible window_of(const struct call *c, const struct certificate_row *row, struct window *ret, struct err *err)
{
	int64_t life = row->not_after_s - row->not_before_s + 1, shift;
	if (row->revoked_at != 0) {
		int64_t revoked_s = row->revoked_at / 1000;
		*ret = (struct window){ revoked_s - 3600, revoked_s - 1 };
		return OK;
	}
	TRY(spread(c, row->serial, "window", &shift, err));
	int64_t middle = row->not_before_s + (life < 10 * DAY_S ? life / 2 : life / 3 * 2);
	int64_t width = life / 50 > 0 ? life / 50 : 1;
	ret->start = middle - width / 2 + life / 100 * shift / 1000000;
	ret->end = ret->start + width;
	return OK;
}

struct renewal {
	struct call *c;
	struct certid id;
	struct certificate_row row;
};

static fallible renewal_read(struct store_tx *tx, void *ctx, struct err *err)
{
	struct renewal *r = ctx;
	return certid_find(r->c, tx, &r->id, &r->row, err);
}

fallible get_renewal_info(struct call *c, struct err *err)
{
	struct renewal r = { .c = c };
	struct window window;
	int64_t jitter;
	char start[TIME_TEXT_MAX], end[TIME_TEXT_MAX];
	TRY(certid_read(c->mem, c->rest, &r.id, err));
	TRY(store_read(c->a->d.store, renewal_read, &r, err));
	TRY(window_of(c, &r.row, &window, err));
	TRY(spread(c, r.row.serial, "retry", &jitter, err));
	time_show(window.start, start);
	time_show(window.end, end);
	TRY(reply_retry_after(c, RETRY_S + RETRY_S / 10 * jitter / 1000000, err));
	struct jw w = reply_json(c, 200, err);
	jw_object(&w);
	jw_key(&w, "suggestedWindow");
	jw_object(&w);
	jw_kz(&w, "start", start);
	jw_kz(&w, "end", end);
	jw_object_end(&w);
	jw_object_end(&w);
	return jw_end(&w);
}

/* --- orders that replace a certificate --- */
fallible replaces_read(struct call *c, struct replacing *ret, struct err *err)
{
	struct str text = STR_NONE;
	*ret = (struct replacing){ 0 };
	TRY(json_may_str(c->payload, "replaces", CERTID_MAX, &text, err));
	if (text.p == NULL)
		return OK;
	ret->given = true;
	struct rc rc = certid_read(c->mem, text, &ret->id, err);
	if (FAILED(rc))
		err_prefix(err, "replaces: ");
	return rc;
}

static bool cert_has(const struct cert *cert, const struct ident *ident)
{
	struct addr a;
	if (ident->type == IDENT_DNS)
		return cert_has_dns_name(cert, ident->value);
	return !FAILED(addr_read(ident->value, &a, NULL)) && cert_has_addr(cert, &a);
}

static fallible shares_one(const struct certificate_row *row, const struct ident_wanted *idents, size_t count,
			   struct err *err)
{
	AUTO(cert_auto) struct cert *cert = NULL;
	TRY(cert_read_der(row->der, &cert, err));
	for (size_t i = 0; i < count; i++)
		if (cert_has(cert, &idents[i].ident))
			return OK;
	FAIL(err, ERR_MALFORMED, "replaces: the certificate has none of the order's identifiers");
}

/* Was the account asked to renew it by now? A certificate that was made today is renewed at the account's expense whatever
 * became of it: a row of certificates, each of which replaces the one before, is no way around the limit. */
static fallible is_due(const struct call *c, const struct certificate_row *row, bool *ret, struct err *err)
{
	struct window window;
	int64_t now_s = c->now_ms / 1000;
	TRY(window_of(c, row, &window, err));
	*ret = now_s >= window.start && now_s <= row->not_after_s && c->now_ms - row->created_at >= EXEMPT_AGE_MS;
	return OK;
}

fallible replaces_check(struct call *c, struct store_tx *tx, const struct replacing *r,
			const struct ident_wanted *idents, size_t count, bool *ret_exempt, struct err *err)
{
	struct certificate_row row;
	bool taken, open, due;
	*ret_exempt = false;
	if (!r->given)
		return OK;
	struct rc rc = certid_find(c, tx, &r->id, &row, err);
	if (FAILED(rc) && rc.kind != ERR_NOT_FOUND)
		return rc;
	if (FAILED(rc) || !id_eq(row.account, c->account.id)) /* the same words for both (A11) */
		FAIL(err, ERR_MALFORMED, "replaces: this account has no certificate %.*s", STR_FMT(r->id.text));
	TRY(shares_one(&row, idents, count, err));
	TRY(order_replacing(tx, r->id.text, c->now_ms, &taken, &open, err));
	if (taken)
		FAIL(err, ERR_ALREADY_REPLACED, "another order replaces certificate %.*s already", STR_FMT(r->id.text));
	TRY(is_due(c, &row, &due, err));
	if (open || !due)
		return OK;
	/* An order that fails leaves the certificate to be replaced by the next one: not as often as one likes. */
	return limit_has_room(c, tx, str_fmt(c->mem, "replaces:%.*s", STR_FMT(row.serial)), EXEMPT_PER_HOUR, ret_exempt,
			      err);
}

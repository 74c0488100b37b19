/* SPDX-License-Identifier: Apache-2.0
 *
 * cert.c: the certificate resource and its alternates (RFC 8555 7.4.2, 9.1): the chain as strict PEM, leaf first, to
 * the account that ordered it.
 */
#include "acme/app.h"

struct cert_view {
	struct call *c;
	struct certificate_row row;
};

static fallible certificate_get(struct store_tx *tx, void *ctx, struct err *err)
{
	struct cert_view *v = ctx;
	TRY(call_account(v->c, tx, err));
	struct rc rc = certificate_by_id(tx, v->c->mem, v->c->path_id, &v->row, err);
	if (FAILED(rc) && rc.kind != ERR_NOT_FOUND)
		return rc;
	if (FAILED(rc) || !id_eq(v->row.account, v->c->account.id))
		FAIL(err, ERR_NOT_FOUND, "this account has no such certificate");
	return OK;
}

/* The chains that the issuer has now. A certificate from before its key or name was changed has no part in them. */
static fallible alternates_of(const struct call *c, const struct certificate_row *row, struct conf_list *ret,
			      struct err *err)
{
	AUTO(cert_auto) struct cert *leaf = NULL;
	const struct view_issuer *issuer = view_issuer(c->view, row->issuer);
	*ret = (struct conf_list){ 0 };
	if (issuer == NULL || issuer->alternates.n == 0)
		return OK;
	TRY(cert_read_der(row->der, &leaf, err));
	if (cert_names_issuer(leaf, issuer->cert))
		*ret = issuer->alternates;
	return OK;
}

/* The n-th alternate's URL; 0: the certificate's own. */
static struct str chain_url(const struct call *c, size_t n)
{
	struct str url = call_url(c, "certificate", c->path_id, "");
	return n == 0 ? url : str_fmt(c->mem, "%.*s/alternate/%zu", STR_FMT(url), n);
}

/* Links to all chains but the one that is shown. */
static fallible reply_chain(struct call *c, struct str pem, size_t shown, size_t alternates, struct err *err)
{
	for (size_t n = 0; n <= alternates; n++)
		if (n != shown)
			TRY(reply_link(c, chain_url(c, n), "alternate", err));
	c->re->status = 200;
	c->re->content_type = "application/pem-certificate-chain";
	return buf_add(&c->re->body, pem, err);
}

fallible post_certificate(struct call *c, struct err *err)
{
	struct cert_view v = { .c = c };
	struct conf_list alternates;
	TRY(store_read(c->a->d.store, certificate_get, &v, err));
	TRY(alternates_of(c, &v.row, &alternates, err));
	return reply_chain(c, v.row.chain_pem, 0, alternates.n, err);
}

fallible post_certificate_alternate(struct call *c, struct err *err)
{
	AUTO(buf_done) struct buf pem = BUF_MAX(HTTP_REPLY_BODY_MAX);
	struct cert_view v = { .c = c };
	struct conf_list alternates;
	uint64_t n = 0;
	TRY(store_read(c->a->d.store, certificate_get, &v, err));
	TRY(alternates_of(c, &v.row, &alternates, err));
	if (FAILED(str_u64(c->rest2, UINT32_MAX, &n, NULL)) || n == 0 || n > alternates.n)
		FAIL(err, ERR_NOT_FOUND, "this certificate has no such alternate chain; it has %zu", alternates.n);
	TRY(der_add_pem(v.row.der, &pem, err));
	TRY(buf_add(&pem, alternates.v[n - 1], err));
	return reply_chain(c, buf_str(&pem), (size_t)n, alternates.n, err);
}

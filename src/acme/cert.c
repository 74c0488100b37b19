/* SPDX-License-Identifier: Apache-2.0
 *
 * cert.c: the certificate resource (RFC 8555 7.4.2): the chain as PEM, leaf first, to the account that ordered it.
 */
#include "acme/app.h"

struct cert_view {
	struct call *c;
	struct certificate_row row;
};

static fallible certificate_get(struct store_tx *tx, void *ctx, struct err *err)
{
	struct cert_view *v = ctx;
	struct rc rc = certificate_by_id(tx, v->c->mem, v->c->path_id, &v->row, err);
	if (FAILED(rc) && rc.kind != ERR_NOT_FOUND)
		return rc;
	if (FAILED(rc) || !id_eq(v->row.account, v->c->account.id))
		FAIL(err, ERR_NOT_FOUND, "this account has no such certificate");
	return OK;
}

fallible post_certificate(struct call *c, struct err *err)
{
	struct cert_view v = { .c = c };
	TRY(store_read(c->a->d.store, certificate_get, &v, err));
	c->re->status = 200;
	c->re->content_type = "application/pem-certificate-chain";
	return buf_add(&c->re->body, v.row.chain_pem, err);
}

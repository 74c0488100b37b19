/* SPDX-License-Identifier: Apache-2.0
 *
 * recheck_request.c: what the client signed. The finalize request names the order and the account, the account's key
 * signed it, and the CSR in it asks for what was ordered and for nothing else.
 */
#include "sign/recheck.h"

#include <stdlib.h>

#define CSR_PAYLOAD_MAX (CSR_DER_MAX * 4 / 3 + 4)

/* The key that signed finalize: the account may have another by now, but what was proven was proven under this one. */
fallible check_account(struct check *x, struct err *err)
{
	struct rc rc =
		keycache_read(x->rk->accounts, x->rk->crypto, x->job->account_jwk, &x->thumbprint, &x->account, err);
	if (!FAILED(rc))
		return OK;
	err_prefix(err, "account key: ");
	return (struct rc){ ERR_BAD_PUBLIC_KEY };
}

struct str own_url(const struct check *x, const char *what, struct id id, const char *tail)
{
	return str_fmt(x->mem, "%.*s/%s/%s%s", STR_FMT(x->base), what, id_show(id).z, tail);
}

/* RFC 8555 6.4: the URL under the client's signature says which order it meant. */
static fallible finalize_url_check(const struct check *x, const struct jws *j, struct err *err)
{
	struct str want = own_url(x, "order", x->job->order, "/finalize");
	if (!str_eq(x->job->finalize_url, want))
		FAIL(err, ERR_UNAUTHORIZED, "the finalize URL is \"%.*s\", this order's is \"%.*s\"",
		     STR_FMT(x->job->finalize_url), STR_FMT(want));
	if (!str_eq(j->url, want))
		FAIL(err, ERR_UNAUTHORIZED, "the client signed a request for \"%.*s\", this order's is \"%.*s\"",
		     STR_FMT(j->url), STR_FMT(want));
	return OK;
}

static fallible finalize_kid_check(const struct check *x, const struct jws *j, struct err *err)
{
	struct str want = own_url(x, "account", x->job->account, "");
	if (!str_eq(j->kid, want))
		FAIL(err, ERR_UNAUTHORIZED, "the finalize request is from \"%.*s\", the order is of \"%.*s\"",
		     STR_FMT(j->kid), STR_FMT(want));
	return OK;
}

/* Keys that the account had before: nothing is proven by them but what a record of dns-persist-01 says of one. */
fallible check_key_changes(struct check *x, struct err *err)
{
	const struct key_chain_want want = { .crypto = x->rk->crypto,
					     .url = str_fmt(x->mem, "%.*s/key-change", STR_FMT(x->base)),
					     .account_url = own_url(x, "account", x->job->account, ""),
					     .thumbprint = str_z(x->thumbprint.z) };
	return key_chain_read(&want, x->mem, x->job->key_changes, x->job->key_change_count, &x->earlier, err);
}

static fallible payload_csr(struct check *x, struct str payload, struct err *err)
{
	AUTO(json_auto) struct json *top = NULL;
	struct str csr;
	TRY(json_read(payload, JWS_BODY_MAX, &top, err));
	TRY(json_want_str(top, "csr", CSR_PAYLOAD_MAX, &csr, err));
	return b64url_decode(x->mem, csr, CSR_DER_MAX, &x->csr_der, err);
}

fallible check_finalize(struct check *x, struct err *err)
{
	AUTO(jws_done) struct jws j = { 0 };
	const struct sign_job *job = x->job;
	TRY(jws_read_parts(x->mem, job->finalize_protected, job->finalize_payload, job->finalize_signature, &j, err));
	TRY(finalize_url_check(x, &j, err));
	TRY(finalize_kid_check(x, &j, err));
	if (j.alg != key_sig_alg(x->account))
		FAIL(err, ERR_BAD_SIGNATURE_ALGORITHM,
		     "the finalize request is signed with %s, the account's key wants %s", sig_alg_name(j.alg),
		     sig_alg_name(key_sig_alg(x->account)));
	if (FAILED(jws_verify(x->rk->crypto, &j, x->account, err)))
		FAIL(err, ERR_UNAUTHORIZED, "the account's key did not sign the finalize request");
	return payload_csr(x, j.payload, err);
}

fallible check_csr(struct check *x, struct err *err)
{
	TRY(csr_read(x->rk->crypto, x->mem, x->csr_der, &x->csr, err));
	if (key_public_eq(x->csr.key, x->account))
		FAIL(err, ERR_BAD_CSR, "the CSR has the account's own key (RFC 8555 11.1)");
	return OK;
}

static int by_type_and_text(const void *a, const void *b)
{
	const struct ident *x = a, *y = b;
	size_t n = x->value.n < y->value.n ? x->value.n : y->value.n;
	int c = n == 0 ? 0 : memcmp(x->value.p, y->value.p, n);
	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	return c != 0 ? c : (x->value.n > y->value.n) - (x->value.n < y->value.n);
}

/* What the CSR asks for, in the words of an order: addresses as RFC 5952 writes them. */
static struct ident *csr_idents(const struct check *x, size_t *ret_count)
{
	const struct csr *r = &x->csr;
	struct ident *v = ARENA_ARRAY(x->mem, struct ident, r->name_count + r->addr_count + 1);
	size_t n = 0;
	for (size_t i = 0; i < r->name_count; i++)
		v[n++] = (struct ident){ IDENT_DNS, r->names[i] };
	for (size_t i = 0; i < r->addr_count; i++) {
		char text[ADDR_TEXT_MAX];
		addr_show(&r->addrs[i], text);
		v[n++] = (struct ident){ IDENT_IP, str_dup(x->mem, str_z(text)) };
	}
	qsort(v, n, sizeof *v, by_type_and_text);
	*ret_count = n;
	return v;
}

/* RFC 8555 7.4: exactly the order's identifiers. Both lists are sets by now: csr_read and check_names saw to it. */
fallible check_csr_names(struct check *x, struct err *err)
{
	size_t count = x->job->ident_count, asked_count;
	struct ident *ordered = ARENA_ARRAY(x->mem, struct ident, count);
	const struct ident *asked = csr_idents(x, &asked_count);
	memcpy(ordered, x->job->idents, count * sizeof *ordered);
	qsort(ordered, count, sizeof *ordered, by_type_and_text);
	if (asked_count != count)
		FAIL(err, ERR_BAD_CSR, "the CSR has %zu names, the order %zu", asked_count, count);
	for (size_t i = 0; i < count; i++) {
		int order = by_type_and_text(&ordered[i], &asked[i]);
		if (order < 0)
			FAIL(err, ERR_BAD_CSR, "the CSR lacks %.*s, which was ordered", STR_FMT(ordered[i].value));
		if (order > 0)
			FAIL(err, ERR_BAD_CSR, "the CSR names %.*s, which was not ordered", STR_FMT(asked[i].value));
	}
	return OK;
}

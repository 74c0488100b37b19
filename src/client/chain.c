/* SPDX-License-Identifier: Apache-2.0
 *
 * chain.c: is what came the certificate that was ordered? Whether its issuer is trusted is for those who will meet it
 * to say; that it carries our key and our names is for us.
 */
#include "client/client.h"

struct certs {
	struct cert *p[CLIENT_CHAIN_MAX];
	size_t n;
};

static void certs_done(struct certs *c)
{
	while (c->n > 0)
		cert_free(c->p[--c->n]);
}

static fallible key_fits(const struct cert *leaf, const struct key *key, struct err *err)
{
	AUTO(key_auto) struct key *found = NULL;
	TRY(cert_get_key(leaf, &found, err));
	if (!key_public_eq(found, key))
		FAIL(err, ERR_MALFORMED, "the certificate is for another key than the one that was sent");
	return OK;
}

static bool has_name(const struct str *names, size_t count, struct str name)
{
	for (size_t i = 0; i < count; i++)
		if (str_eq_nocase(names[i], name))
			return true;
	return false;
}

static fallible names_fit(struct arena *mem, const struct cert *leaf, const struct str *names, size_t count,
			  struct err *err)
{
	struct str *found;
	size_t found_count;
	TRY(cert_get_dns_names(mem, leaf, &found, &found_count, err));
	for (size_t i = 0; i < count; i++)
		if (!has_name(found, found_count, names[i]))
			FAIL(err, ERR_MALFORMED, "the certificate does not carry the name %.*s", STR_FMT(names[i]));
	return OK;
}

/* The blocks are written anew: what a server puts between them, or into a line, goes into no file of ours. */
static fallible pem_of(struct arena *mem, struct cert *const *certs, size_t count, struct str *ret, struct err *err)
{
	AUTO(buf_done) struct buf pem = BUF_MAX(2 * CLIENT_REPLY_MAX);
	for (size_t i = 0; i < count; i++)
		TRY(cert_add_pem(certs[i], &pem, err));
	*ret = str_dup(mem, buf_str(&pem));
	return OK;
}

fallible client_chain_check(struct arena *mem, struct str chain_pem, const struct key *key, const struct str *names,
			    size_t count, struct client_chain *ret, struct err *err)
{
	AUTO(certs_done) struct certs certs = { 0 };
	struct rc rc = cert_read_pem(chain_pem, certs.p, CLIENT_CHAIN_MAX, &certs.n, err);
	if (FAILED(rc)) {
		err_prefix(err, "the chain does not parse: ");
		return rc;
	}
	TRY(key_fits(certs.p[0], key, err));
	TRY(names_fit(mem, certs.p[0], names, count, err));
	struct client_chain chain = {
		.not_before = cert_get_not_before(certs.p[0]),
		.not_after = cert_get_not_after(certs.p[0]),
	};
	TRY(pem_of(mem, certs.p, 1, &chain.leaf_pem, err));
	TRY(pem_of(mem, certs.p + 1, certs.n - 1, &chain.issuers_pem, err));
	*ret = chain;
	return OK;
}

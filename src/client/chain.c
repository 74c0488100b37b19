/* SPDX-License-Identifier: Apache-2.0
 *
 * chain.c: is what came the certificate that was ordered? Whether its issuer is trusted is for those who will meet it
 * to say; that it carries our key, all of our names and no others is for us.
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

static bool has_ident(const struct ident *idents, size_t count, const struct ident *wanted)
{
	for (size_t i = 0; i < count; i++)
		if (idents[i].type == wanted->type && str_eq_nocase(idents[i].value, wanted->value))
			return true;
	return false;
}

/* Both kinds of name of a certificate in one list; addresses in their canonical form. */
static fallible idents_of(struct arena *mem, const struct cert *cert, struct ident **ret, size_t *ret_count,
			  struct err *err)
{
	struct str *names;
	struct addr *addrs;
	size_t name_count, addr_count;
	TRY(cert_get_dns_names(mem, cert, &names, &name_count, err));
	TRY(cert_get_addrs(mem, cert, &addrs, &addr_count, err));
	struct ident *all = ARENA_ARRAY(mem, struct ident, name_count + addr_count + 1);
	for (size_t i = 0; i < name_count; i++)
		all[i] = (struct ident){ IDENT_DNS, names[i] };
	for (size_t i = 0; i < addr_count; i++) {
		char text[ADDR_TEXT_MAX];
		addr_show(&addrs[i], text);
		all[name_count + i] = (struct ident){ IDENT_IP, str_dup(mem, str_z(text)) };
	}
	*ret = all;
	*ret_count = name_count + addr_count;
	return OK;
}

static const char *noun(const struct ident *ident)
{
	return ident->type == IDENT_DNS ? "name" : "address";
}

fallible client_idents_fit(struct arena *mem, const struct cert *cert, const struct ident *idents, size_t count,
			   struct err *err)
{
	struct ident *found;
	size_t found_count;
	TRY(idents_of(mem, cert, &found, &found_count, err));
	for (size_t i = 0; i < count; i++)
		if (!has_ident(found, found_count, &idents[i]))
			FAIL(err, ERR_MALFORMED, "the certificate does not carry the %s %.*s", noun(&idents[i]),
			     STR_FMT(idents[i].value));
	for (size_t i = 0; i < found_count; i++)
		if (!has_ident(idents, count, &found[i]))
			FAIL(err, ERR_MALFORMED, "the certificate carries the %s %.*s, which was not asked for",
			     noun(&found[i]), STR_FMT(found[i].value));
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

fallible client_chain_check(struct arena *mem, struct str chain_pem, const struct key *key, const struct ident *idents,
			    size_t count, struct client_chain *ret, struct err *err)
{
	AUTO(certs_done) struct certs certs = { 0 };
	struct rc rc = cert_read_pem(chain_pem, certs.p, CLIENT_CHAIN_MAX, &certs.n, err);
	if (FAILED(rc)) {
		err_prefix(err, "the chain does not parse: ");
		return rc;
	}
	TRY(key_fits(certs.p[0], key, err));
	TRY(client_idents_fit(mem, certs.p[0], idents, count, err));
	struct client_chain chain = {
		.not_before = cert_get_not_before(certs.p[0]),
		.not_after = cert_get_not_after(certs.p[0]),
	};
	TRY(pem_of(mem, certs.p, 1, &chain.leaf_pem, err));
	TRY(pem_of(mem, certs.p + 1, certs.n - 1, &chain.issuers_pem, err));
	*ret = chain;
	return OK;
}

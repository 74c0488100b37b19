/* SPDX-License-Identifier: Apache-2.0
 *
 * issuer.c: an issuing CA: its certificate, the chain above it, its key. A wrong pairing is found at start, not by the
 * first client (THREATS A61).
 */
#include "pki/internal.h"

#include <stdlib.h>

static void issuer_auto(struct issuer **i)
{
	issuer_free(*i);
}

static bool is_self_issued(const struct cert *c)
{
	return str_eq(c->issuer, c->subject);
}

static fallible check_ca(const struct cert *c, struct err *err)
{
	if (!c->is_ca)
		FAIL(err, ERR_CONFIG, "issuer's certificate is no CA certificate (basicConstraints)");
	if (!cert_may_sign_certs(c))
		FAIL(err, ERR_CONFIG, "issuer's certificate may not sign certificates (keyUsage lacks keyCertSign)");
	if (c->ski.n == 0 || c->ski.n > 64)
		FAIL(err, ERR_CONFIG, "issuer's certificate has no usable subjectKeyIdentifier");
	return OK;
}

/* authorityKeyIdentifier of child, when it has a keyid, is the parent's subjectKeyIdentifier. */
static bool key_ids_agree(const struct cert *child, const struct cert *parent)
{
	struct ext e;
	struct der seq, id;
	if (!cert_find_ext(child, OID_AKI, &e) || FAILED(der_only(e.value, DER_SEQUENCE, &seq, NULL)))
		return true;
	struct cur c = cur_of(seq.body);
	return FAILED(der_want(&c, DER_CONTEXT(0), &id, NULL)) || str_eq(id.body, parent->ski);
}

static fallible check_link(const struct cert *child, const struct cert *parent, struct err *err)
{
	AUTO(key_auto) struct key *k = NULL;
	TRY(check_ca(parent, err));
	if (!str_eq(child->issuer, parent->subject))
		FAIL(err, ERR_CONFIG,
		     "chain is broken: a certificate names another issuer than the next one's subject");
	if (!key_ids_agree(child, parent))
		FAIL(err, ERR_CONFIG,
		     "chain is broken: authorityKeyIdentifier is not the next one's subjectKeyIdentifier");
	TRY(cert_get_key(parent, &k, err));
	if (!cert_verifies(child, k))
		FAIL(err, ERR_CONFIG, "chain is broken: a signature does not verify with the next one's key");
	return OK;
}

static fallible check_chain(const struct issuer *i, struct err *err)
{
	TRY(check_ca(i->chain[0], err));
	for (size_t n = 0; n + 1 < i->chain_count; n++)
		TRY(check_link(i->chain[n], i->chain[n + 1], err));
	return OK;
}

static fallible check_key(const struct issuer *i, const struct key *key, struct err *err)
{
	if (key_get_kind(i->public) == KEY_ED25519)
		FAIL(err, ERR_CONFIG, "issuer's key is Ed25519, wanted an ECDSA or RSA key");
	if (key == NULL)
		return OK;
	if (!key_has_private(key))
		FAIL(err, ERR_CONFIG, "issuer's key has no private part");
	if (!key_public_eq(key, i->public))
		FAIL(err, ERR_CONFIG, "issuer's key is not the key of its certificate");
	return OK;
}

/* Leaves name the issuer by its subject and by its key's identifier: both must be found again, or a client that took
 * this way would not get past the first step. */
static fallible check_alternate_issuer(const struct cert *issuer, const struct cert *other, struct err *err)
{
	TRY(check_ca(other, err));
	if (!str_eq(other->subject, issuer->subject))
		FAIL(err, ERR_CONFIG, "alternate chain: its first certificate has another subject than the issuer's");
	if (!str_eq(other->spki, issuer->spki))
		FAIL(err, ERR_CONFIG, "alternate chain: its first certificate has another key than the issuer's");
	if (!str_eq(other->ski, issuer->ski))
		FAIL(err, ERR_CONFIG,
		     "alternate chain: its first certificate has another subjectKeyIdentifier than the issuer's");
	return OK;
}

fallible chain_check_alternate(const struct cert *issuer, struct cert *const *chain, size_t count, struct err *err)
{
	if (count == 0)
		FAIL(err, ERR_CONFIG, "alternate chain has no certificate");
	TRY(check_alternate_issuer(issuer, chain[0], err));
	for (size_t n = 0; n + 1 < count; n++) {
		struct rc rc = check_link(chain[n], chain[n + 1], err);
		if (FAILED(rc)) {
			err_prefix(err, "alternate chain, certificate %zu: ", n + 1);
			return rc;
		}
	}
	return OK;
}

static fallible make_placeholder(struct issuer *i, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(key_auto) struct key *throwaway = NULL;
	struct str signature;
	TRY(key_generate(key_get_kind(i->public), key_get_bits(i->public), &throwaway, err));
	TRY(sig_sign_x509(i->crypto, throwaway, STR_NONE, &mem, &signature, err));
	i->placeholder = (struct buf)BUF_MAX(signature.n);
	return buf_add(&i->placeholder, signature, err);
}

/* RFC 8555 9.1: the chain without the root, which a client has or does not trust. */
static fallible make_chain_pem(struct issuer *i, struct err *err)
{
	i->chain_pem = (struct buf)BUF_MAX(i->chain_count * 2 * CERT_DER_MAX);
	for (size_t n = 0; n < i->chain_count && !is_self_issued(i->chain[n]); n++)
		TRY(cert_add_pem(i->chain[n], &i->chain_pem, err));
	return OK;
}

fallible issuer_new(const struct crypto *c, struct cert *const *chain, size_t chain_count, struct key *key,
		    struct issuer **ret, struct err *err)
{
	if (chain_count == 0)
		FAIL(err, ERR_CONFIG, "issuer has no certificate");
	AUTO(issuer_auto) struct issuer *i = mem_alloc(sizeof *i);
	i->crypto = c;
	i->chain = mem_alloc_n(sizeof(struct cert *), chain_count);
	for (; i->chain_count < chain_count; i->chain_count++)
		i->chain[i->chain_count] = cert_ref(chain[i->chain_count]);
	TRY(cert_get_key(i->chain[0], &i->public, err));
	TRY(check_key(i, key, err));
	TRY(check_chain(i, err));
	i->key = key == NULL ? NULL : key_ref(key);
	TRY(make_chain_pem(i, err));
	TRY(make_placeholder(i, err));
	*ret = TAKE(i);
	return OK;
}

void issuer_free(struct issuer *i)
{
	if (i == NULL)
		return;
	for (size_t n = 0; n < i->chain_count; n++)
		cert_free(i->chain[n]);
	free(i->chain);
	key_free(i->key);
	key_free(i->public);
	buf_done(&i->placeholder);
	buf_done(&i->chain_pem);
	free(i);
}

const struct cert *issuer_get_cert(const struct issuer *i)
{
	return i->chain[0];
}

fallible issuer_add_chain_pem(const struct issuer *i, struct buf *ret, struct err *err)
{
	return buf_add(ret, buf_str(&i->chain_pem), err);
}

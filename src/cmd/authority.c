/* SPDX-License-Identifier: Apache-2.0
 *
 * authority.c: what the commands share that make CA certificates.
 */
#include "cmd/authority.h"
#include "cmd/passphrase.h"

#include <inttypes.h>
#include <stdio.h>

fallible authority_key_read(const char *flag, struct str word, struct authority_key *ret, struct err *err)
{
	static const struct {
		const char *word;
		struct authority_key key;
	} rows[] = { { "p256", { KEY_P256, 0 } },
		     { "p384", { KEY_P384, 0 } },
		     { "rsa2048", { KEY_RSA, 2048 } },
		     { "rsa3072", { KEY_RSA, 3072 } },
		     { "rsa4096", { KEY_RSA, 4096 } } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (str_eq(word, str_z(rows[i].word))) {
			*ret = rows[i].key;
			return OK;
		}
	}
	FAIL(err, ERR_CONFIG, "--%s: found \"%.*s\"; allowed: p256, p384, rsa2048, rsa3072, rsa4096", flag,
	     STR_FMT(word));
}

fallible authority_permits_read(struct arena *mem, const struct conf_list *texts, struct ca_request *to,
				struct err *err)
{
	struct str *names = ARENA_ARRAY(mem, struct str, texts->n + 1);
	struct addr_range *ranges = ARENA_ARRAY(mem, struct addr_range, texts->n + 1);
	for (size_t i = 0; i < texts->n; i++) {
		struct err why = { 0 };
		struct str text = texts->v[i];
		if (!FAILED(addr_range_read(text, &ranges[to->permit_range_count], NULL))) {
			to->permit_range_count++;
			continue;
		}
		if (FAILED(name_pattern_check(text, &why)) || text.p[0] == '*')
			FAIL(err, ERR_CONFIG,
			     "--permit: found \"%.*s\"; allowed: a domain such as corp.example or addresses such as "
			     "10.0.0.0/8",
			     STR_FMT(text));
		names[to->permit_count++] = text;
	}
	to->permit = names;
	to->permit_ranges = ranges;
	return OK;
}

fallible authority_uses_read(struct str text, unsigned *ret, struct err *err)
{
	unsigned all = 0, one;
	for (size_t from = 0; from <= text.n;) {
		size_t to = str_find(text, ',', from);
		struct str word = str_trim(str_sub(text, from, to));
		if (FAILED(eku_read(word, &one, NULL)))
			FAIL(err, ERR_CONFIG,
			     "--use: found \"%.*s\"; allowed: server-auth, client-auth, code-signing, email-protection",
			     STR_FMT(word));
		all |= one;
		from = to + 1;
	}
	*ret = all;
	return OK;
}

void authority_chain_done(struct authority_chain *c)
{
	while (c->n > 0)
		cert_free(c->v[--c->n]);
}

fallible authority_chain_read(const char *path, struct authority_chain *ret, struct err *err)
{
	return cert_read_pem_file(path, ret->v, AUTHORITY_CHAIN_MAX, &ret->n, err);
}

void authority_root_done(struct authority_root *r)
{
	cert_free(r->cert);
	key_free(r->key);
	*r = (struct authority_root){ 0 };
}

/* Not encrypted: read at once. Otherwise the passphrase opens it. */
static fallible root_key_read(const char *path, const char *passphrase_file, struct key **ret, struct err *err)
{
	AUTO(secret_done) struct secret passphrase = { 0 };
	if (passphrase_file == NULL && !FAILED(key_read_file(path, NULL, ret, NULL)))
		return OK;
	TRY(passphrase_get(passphrase_file, "Passphrase of the root's key: ",
			   "the root's key is encrypted, and there is no terminal to ask for its passphrase; give "
			   "--passphrase-file FILE",
			   &passphrase, err));
	return key_read_file(path, &passphrase, ret, err);
}

fallible authority_root_open(const char *cert_path, const char *key_path, const char *passphrase_file,
			     struct authority_root *ret, struct err *err)
{
	AUTO(authority_chain_done) struct authority_chain chain = { .n = 0 };
	AUTO(authority_root_done) struct authority_root r = { 0 };
	AUTO(key_auto) struct key *public = NULL;
	TRY(authority_chain_read(cert_path, &chain, err));
	TRY(root_key_read(key_path, passphrase_file, &r.key, err));
	TRY(cert_get_key(chain.v[0], &public, err));
	if (!key_public_eq(public, r.key))
		FAIL(err, ERR_CONFIG, "%s is not the key of the certificate in %s", key_path, cert_path);
	r.cert = TAKE(chain.v[0]);
	*ret = r;
	r = (struct authority_root){ 0 };
	return OK;
}

fallible authority_write_pem(const char *path, const char *kind, struct str der, struct err *err)
{
	AUTO(buf_done) struct buf pem = BUF_MAX(2 * CRL_DER_MAX);
	TRY(pem_add(kind, der, &pem, err));
	return file_write_new(path, buf_str(&pem), 0644, err);
}

fallible authority_reason_read(struct str word, int *ret, struct err *err)
{
	static const struct {
		const char *word;
		int reason;
	} rows[] = { { "unspecified", 0 },        { "keyCompromise", 1 }, { "cACompromise", 2 },
		     { "affiliationChanged", 3 }, { "superseded", 4 },    { "cessationOfOperation", 5 },
		     { "privilegeWithdrawn", 9 } };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (str_eq(word, str_z(rows[i].word))) {
			*ret = rows[i].reason;
			return OK;
		}
	}
	FAIL(err, ERR_CONFIG,
	     "found the reason \"%.*s\"; allowed: unspecified, keyCompromise, cACompromise, affiliationChanged, "
	     "superseded, "
	     "cessationOfOperation, privilegeWithdrawn",
	     STR_FMT(word));
}

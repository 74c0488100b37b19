/* SPDX-License-Identifier: Apache-2.0
 *
 * issuers.c: what the API has to know of the issuing CAs: the other chains that it may serve (RFC 8555 7.4.2), and, where a
 * realm has several, which one is for which kind of key. None of it is secret.
 */
#include "acme/app.h"

#include <stdlib.h>

#define CHAIN_MAX 8
struct chain {
	struct cert *v[CHAIN_MAX];
	size_t n;
};

static void chain_done(struct chain *c)
{
	while (c->n > 0)
		cert_free(c->v[--c->n]);
}

static fallible chain_pem(struct arena *mem, const struct chain *chain, struct str *ret, struct err *err)
{
	AUTO(buf_done) struct buf pem = BUF_MAX(CHAIN_MAX * 2 * CERT_DER_MAX);
	for (size_t i = 0; i < chain->n; i++)
		TRY(cert_add_pem(chain->v[i], &pem, err));
	*ret = str_dup(mem, buf_str(&pem));
	return OK;
}

static fallible alternate_read(const struct conf *conf, const struct cert *issuer, struct str file, struct arena *mem,
			       struct str *ret, struct err *err)
{
	AUTO(chain_done) struct chain chain = { .n = 0 };
	const char *path = conf_path(conf, mem, file);
	TRY(cert_read_pem_file(path, chain.v, CHAIN_MAX, &chain.n, err));
	struct rc rc = chain_check_alternate(issuer, chain.v, chain.n, err);
	if (FAILED(rc))
		err_prefix(err, "%s: ", path);
	TRY(rc);
	return chain_pem(mem, &chain, ret, err);
}

static bool shares_a_realm(const struct conf *conf, const struct conf_issuer *i)
{
	for (size_t k = 0; k < conf->realm_count; k++)
		if (conf->realms[k].issuers.n > 1 && conf_list_has(&conf->realms[k].issuers, i->name))
			return true;
	return false;
}

/* Nothing is read of an issuer that is alone and without alternates: its certificate may lie on the signer's machine
 * only. */
static fallible issuer_read(const struct conf *conf, const struct conf_issuer *i, struct arena *mem,
			    struct view_issuer *ret, struct err *err)
{
	AUTO(chain_done) struct chain own = { .n = 0 };
	AUTO(key_auto) struct key *key = NULL;
	if (i->alternates.n == 0 && !shares_a_realm(conf, i))
		return OK;
	TRY(cert_read_pem_file(conf_path(conf, mem, i->certificate), own.v, CHAIN_MAX, &own.n, err));
	TRY(cert_get_key(own.v[0], &key, err));
	ret->is_rsa = key_get_kind(key) == KEY_RSA;
	ret->alternates.v = ARENA_ARRAY(mem, struct str, i->alternates.n + 1);
	for (; ret->alternates.n < i->alternates.n; ret->alternates.n++) {
		struct rc rc = alternate_read(conf, own.v[0], i->alternates.v[ret->alternates.n], mem,
					      &ret->alternates.v[ret->alternates.n], err);
		if (FAILED(rc))
			err_prefix(err, "issuer.%.*s.alternates: ", STR_FMT(i->name));
		TRY(rc);
	}
	ret->cert = TAKE(own.v[0]);
	return OK;
}

fallible issuers_of_conf(const struct conf *conf, struct arena *mem, struct view_issuer *ret, struct err *err)
{
	for (size_t i = 0; i < conf->issuer_count; i++)
		TRY(issuer_read(conf, &conf->issuers[i], mem, &ret[i], err));
	return OK;
}

struct str issuer_choose(const struct view *v, const struct conf_realm *realm, enum key_kind kind)
{
	for (size_t i = 0; i < realm->issuers.n; i++)
		for (size_t k = 0; k < v->conf->issuer_count; k++)
			if (str_eq(v->conf->issuers[k].name, realm->issuers.v[i]) && v->issuers[k].cert != NULL &&
			    v->issuers[k].is_rsa == (kind == KEY_RSA))
				return realm->issuers.v[i];
	return realm->issuers.v[0];
}

fallible acme_check_alternates(const struct conf *conf, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct view_issuer *issuers = mem_alloc_n(sizeof *issuers, conf->issuer_count + 1);
	struct rc rc = issuers_of_conf(conf, &mem, issuers, err);
	for (size_t i = 0; i < conf->issuer_count; i++)
		cert_free(issuers[i].cert);
	free(issuers);
	return rc;
}

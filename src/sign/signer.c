/* SPDX-License-Identifier: Apache-2.0
 *
 * signer.c: opens what the signer needs (issuers with their keys, pinned keys, the journal), and takes over
 * a new configuration whole or not at all.
 */
#include "sign/signer_internal.h"

#include <stdlib.h>

#define CHAIN_MAX 8
#define KEEP_SLACK_MS ((int64_t)3600 * 1000)

const struct signer_issuer *signer_issuer(const struct signer *s, struct str name)
{
	for (size_t i = 0; i < s->issuer_count; i++) {
		if (str_eq(str_z(s->issuers[i].name), name))
			return &s->issuers[i];
	}
	return NULL;
}

/* --- issuers ------------------------------------------------------------------------------------------------------*/
struct chain {
	struct cert *v[CHAIN_MAX];
	size_t n;
};

static void chain_done(struct chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		cert_free(c->v[i]);
}

static fallible issuer_load(struct signer *s, const struct conf_issuer *ci, struct issuer **ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(chain_done) struct chain chain = { .n = 0 };
	AUTO(key_auto) struct key *key = NULL, *public = NULL;
	struct keystore_key where = keystore_key_of(s->conf, ci, &mem);
	TRY(cert_read_pem_file(conf_path(s->conf, &mem, ci->certificate), chain.v, CHAIN_MAX, &chain.n, err));
	TRY(cert_get_key(chain.v[0], &public, err));
	where.public = public;
	TRY(keystore_open(s->keystore, &where, &key, err));
	return issuer_new(s->crypto, chain.v, chain.n, key, ret, err);
}

static fallible issuers_load(struct signer *s, struct err *err)
{
	if (s->conf->issuer_count == 0)
		FAIL(err, ERR_CONFIG, "no issuer is configured; `cairn init` makes one");
	s->issuers = mem_alloc_n(sizeof *s->issuers, s->conf->issuer_count);
	for (size_t i = 0; i < s->conf->issuer_count; i++) {
		const struct conf_issuer *ci = &s->conf->issuers[i];
		struct issuer *issuer;
		struct rc rc = issuer_load(s, ci, &issuer, err);
		if (rc.kind != ERR_NONE) {
			err_prefix(err, "issuer %.*s: ", STR_FMT(ci->name));
			return rc;
		}
		s->issuers[s->issuer_count++] = (struct signer_issuer){ mem_dupz(ci->name), issuer };
	}
	return OK;
}

fallible signer_chain_pem(const struct signer_issuer *i, struct str der, struct buf *ret, struct err *err)
{
	TRY(der_add_pem(der, ret, err));
	return issuer_add_chain_pem(i->issuer, ret, err);
}

/* --- the journal's memory --- */
/* Longer than any order can be signed (recheck.c, check_order_age), so an order never gets a second certificate; and
 * longer than notBefore may lie back. */
static int64_t keep_ms_for(const struct conf *conf)
{
	int64_t longest_s = 48 * 3600;
	for (size_t i = 0; i < conf->realm_count; i++) {
		if (conf->realms[i].order_life_s > longest_s)
			longest_s = conf->realms[i].order_life_s;
	}
	return (longest_s + ORDER_GRACE_S) * 1000 + KEEP_SLACK_MS;
}

static fallible realms_check(const struct signer *s, const struct conf *conf, struct err *err)
{
	for (size_t i = 0; i < conf->realm_count; i++) {
		const struct conf_realm *r = &conf->realms[i];
		for (size_t k = 0; k < r->issuers.n; k++)
			if (signer_issuer(s, r->issuers.v[k]) == NULL)
				FAIL(err, ERR_CONFIG,
				     "realm %.*s: issuer %.*s is not loaded; restart the signer to load it",
				     STR_FMT(r->name), STR_FMT(r->issuers.v[k]));
	}
	if (keep_ms_for(conf) > s->keep_ms)
		FAIL(err, ERR_CONFIG,
		     "a realm's order-life grew; restart the signer, so that it reads as far back in its journal");
	return OK;
}

static void journal_tell(const struct signer *s)
{
	const char *kept;
	uint64_t torn = journal_torn(s->journal, &kept);
	if (torn > 0)
		LOG(s->log, LOG_WARNING, "journal ended in a torn record", KV_U64("bytes", torn),
		    KV_Z("kept-as", kept));
}

/* --- the signer --- */
static void signer_auto(struct signer **s)
{
	signer_free(*s);
}

fallible signer_new(const struct conf *conf, const struct crypto *crypto, const struct log *log,
		    const struct clock *clk, const struct rng *rng, struct signer **ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(signer_auto) struct signer *s = mem_alloc(sizeof *s);
	pthread_mutex_init(&s->lock, NULL);
	queue_init(&s->queue);
	s->conf = conf;
	s->crypto = crypto;
	s->log = log;
	s->clk = clk;
	s->rng = rng;
	s->keep_ms = keep_ms_for(conf);
	const struct keystore_conf keys_conf = { .crypto = crypto,
						 .log = log,
						 .refused_dir = conf_path(conf, &mem, conf->signer.journal) };
	TRY(keystore_new(&keys_conf, &s->keystore, err));
	TRY(issuers_load(s, err));
	keystore_quiet(s->keystore);
	s->crew = crew_new(keystore_width(s->keystore));
	TRY(realms_check(s, conf, err));
	TRY(pinned_keys_read(conf, &s->keys, err));
	TRY(keycache_new(&s->accounts, err));
	TRY(journal_open(conf_path(conf, &mem, conf->signer.journal), s->keep_ms, crypto, clk, &s->journal, err));
	journal_tell(s);
	*ret = TAKE(s);
	return OK;
}

fallible signer_reload(struct signer *s, const struct conf *conf, struct err *err)
{
	struct pinned_keys keys;
	TRY(realms_check(s, conf, err)); /* issuers and keep_ms never change after signer_new */
	TRY(pinned_keys_read(conf, &keys, err));
	pthread_mutex_lock(&s->lock);
	struct pinned_keys old = s->keys;
	s->conf = conf;
	s->keys = keys;
	s->revoked.known = false; /* it may be another file now */
	pthread_mutex_unlock(&s->lock);
	pinned_keys_done(&old);
	return OK;
}

void signer_free(struct signer *s)
{
	if (s == NULL)
		return;
	signer_drain(s, 0);
	if (s->thread_runs)
		pthread_join(s->thread, NULL);
	journal_close(s->journal);
	pinned_keys_done(&s->keys);
	keycache_free(s->accounts);
	arena_done(&s->revoked.mem);
	for (size_t i = 0; i < s->issuer_count; i++) {
		issuer_free(s->issuers[i].issuer);
		free(s->issuers[i].name);
	}
	free(s->issuers);
	crew_free(s->crew);
	keystore_free(s->keystore); /* its keys are gone */
	queue_done(&s->queue);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

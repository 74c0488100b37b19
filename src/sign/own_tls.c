/* SPDX-License-Identifier: Apache-2.0
 *
 * own_tls.c: the API's own TLS certificate (api.tls-own), from the first issuer. The names are the operator's, in the
 * signer's own configuration; nobody can ask for this certificate, so it needs no evidence, but it is linted and
 * journaled like any other. The key is written before the chain: a crash between the two leaves a pair that does not
 * match, which the next look mends; a server that finds such a pair keeps what it has.
 */
#include "sign/signer_internal.h"

#define OWN_LIFE_S ((int64_t)90 * 86400)
#define OWN_BACKDATE_S ((int64_t)3600)
#define OWN_CHAIN_MAX 8
#define PEM_MAX (256 * 1024)

struct own_names {
	struct str *dns;
	size_t dns_count;
	struct addr *addrs;
	size_t addr_count;
};

static struct own_names names_split(struct arena *mem, const struct conf_list *l)
{
	struct own_names n = { .dns = ARENA_ARRAY(mem, struct str, l->n + 1),
			       .addrs = ARENA_ARRAY(mem, struct addr, l->n + 1) };
	for (size_t i = 0; i < l->n; i++) {
		if (FAILED(addr_read(l->v[i], &n.addrs[n.addr_count], NULL)))
			n.dns[n.dns_count++] = name_lower(mem, l->v[i]);
		else
			n.addr_count++;
	}
	return n;
}

struct pair { /* what lies in the two files */
	struct cert *chain[OWN_CHAIN_MAX];
	size_t count;
};

static void pair_done(struct pair *p)
{
	for (size_t i = 0; i < p->count; i++)
		cert_free(p->chain[i]);
}

static bool pair_matches(const struct cert *leaf, const char *key_path)
{
	AUTO(key_auto) struct key *file = NULL;
	AUTO(key_auto) struct key *certified = NULL;
	return !FAILED(key_read_file(key_path, NULL, &file, NULL)) && !FAILED(cert_get_key(leaf, &certified, NULL)) &&
	       key_public_eq(file, certified);
}

/* Whether every name and address that is wanted stands in the certificate, to the letter. */
static bool covers(const struct cert *leaf, const struct own_names *want)
{
	for (size_t i = 0; i < want->dns_count; i++) {
		if (!cert_has_dns_name(leaf, want->dns[i]))
			return false;
	}
	for (size_t i = 0; i < want->addr_count; i++) {
		if (!cert_has_addr(leaf, &want->addrs[i]))
			return false;
	}
	return true;
}

/* Is what the files hold good for another while? */
static bool still_good(const struct signer *s, const char *cert_path, const char *key_path,
		       const struct own_names *names)
{
	AUTO(pair_done) struct pair p = { .count = 0 };
	if (FAILED(cert_read_pem_file(cert_path, p.chain, OWN_CHAIN_MAX, &p.count, NULL)) || p.count == 0)
		return false;
	int64_t from = cert_get_not_before(p.chain[0]), to = cert_get_not_after(p.chain[0]);
	int64_t left = to - clock_now_ms(s->clk) / 1000;
	return left >= (to - from) / 3 && pair_matches(p.chain[0], key_path) && covers(p.chain[0], names);
}

static fallible own_issue(struct signer *s, const struct own_names *names, const struct key *key, struct buf *ret_pem,
			  struct err *err)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CERT_DER_MAX);
	const struct conf_issuer *ci = conf_issuer(s->conf, s->conf->realms[0].issuers.v[0]);
	const struct signer_issuer *issuer = signer_issuer(s, ci->name);
	if (issuer == NULL)
		FAIL(err, ERR_CONFIG, "issuer %.*s is not loaded; restart the signer to load it", STR_FMT(ci->name));
	int64_t now = clock_now_ms(s->clk) / 1000, issuer_end = cert_get_not_after(issuer_get_cert(issuer->issuer));
	int64_t end = now - OWN_BACKDATE_S + OWN_LIFE_S - 1;
	const struct str policies[] = { STR(POLICY_DV) };
	const struct cert_template template = { .ekus = EKU_SERVER,
						.policies = policies,
						.policy_count = ARRAY_LEN(policies),
						.aia_url = ci->aia_url,
						.crl_url = ci->crl_url };
	const struct cert_request request = { .names = names->dns,
					      .name_count = names->dns_count,
					      .own = true,
					      .addrs = names->addrs,
					      .addr_count = names->addr_count,
					      .key = key,
					      .serial = serial_new((uint8_t)s->conf->signer.serial_prefix, s->rng),
					      .not_before = now - OWN_BACKDATE_S,
					      .not_after = end < issuer_end ? end : issuer_end };
	const struct own_request own = { issuer, &template, &request };
	TRY(signer_issue_own(s, &own, &der, err));
	LOG(s->log, LOG_NOTICE, "certificate issued for the api itself",
	    KV_U64("names", names->dns_count + names->addr_count), KV_I64("not-after", request.not_after));
	return signer_chain_pem(issuer, buf_str(&der), ret_pem, err);
}

static fallible own_renew(struct signer *s, bool *ret_renewed, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(key_auto) struct key *key = NULL;
	AUTO(buf_done) struct buf chain = BUF_MAX(PEM_MAX);
	AUTO(buf_done) struct buf pem = BUF_MAX(PEM_MAX);
	const struct conf *conf = s->conf;
	*ret_renewed = false;
	if (!conf->api.tls_own)
		return OK;
	const char *cert_path = conf_path(conf, &mem, conf->api.tls_certificate);
	const char *key_path = conf_path(conf, &mem, conf->api.tls_key);
	struct own_names names = names_split(&mem, &conf->api.tls_names);
	if (still_good(s, cert_path, key_path, &names))
		return OK;
	TRY(key_generate(KEY_P256, 0, &key, err));
	TRY(own_issue(s, &names, key, &chain, err));
	TRY(key_to_pem(key, NULL, &pem, err));
	TRY(file_write_atomic(key_path, buf_str(&pem), 0600, err));
	explicit_bzero(pem.p, pem.n);
	TRY(file_write_atomic(cert_path, buf_str(&chain), 0644, err));
	*ret_renewed = true;
	return OK;
}

fallible signer_renew_tls(struct signer *s, bool *ret_renewed, struct err *err)
{
	pthread_mutex_lock(&s->lock);
	struct rc rc = own_renew(s, ret_renewed, err);
	pthread_mutex_unlock(&s->lock);
	if (rc.kind != ERR_NONE)
		err_prefix(err, "the api's own certificate: ");
	return rc;
}

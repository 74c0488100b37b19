/* SPDX-License-Identifier: Apache-2.0
 *
 * test.h: a small CA for the unit tests of pki.
 */
#ifndef CAIRN_PKI_TEST_H
#define CAIRN_PKI_TEST_H

#include "pki/internal.h"
#include "unit.h"

#define TEST_NOW INT64_C(1795305600) /* 2026-11-22 */
#define TEST_DAY INT64_C(86400)

static inline struct addr test_addr(const char *text)
{
	struct err err = { 0 };
	struct addr a = { 0 };
	MUST(addr_read(str_z(text), &a, &err));
	return a;
}

/* Counts up: serials differ, and every run makes the same ones. */
static inline void test_rng_fill(void *ctx, void *p, size_t n)
{
	uint8_t *next = ctx;
	memset(p, (*next)++, n);
}

/* A root, an intermediate and its issuer. */
struct test_ca {
	struct crypto *c;
	struct key *root_key, *key;
	struct cert *root, *cert;
	struct issuer *issuer;
	uint8_t next;
	struct rng rng;
};

static inline void test_ca_make(struct test_ca *ca, enum key_kind kind, const struct str *permit, size_t permit_count)
{
	struct err err = { 0 };
	*ca = (struct test_ca){ .next = 1 };
	ca->rng = (struct rng){ .fill = test_rng_fill, .ctx = &ca->next };
	MUST(crypto_new(&ca->c, &err));
	MUST(key_generate(KEY_P384, 0, &ca->root_key, &err));
	MUST(key_generate(kind, 2048, &ca->key, &err));
	struct ca_request r = {
		.common_name = STR("Test Root"),
		.organization = STR("Test"),
		.key = ca->root_key,
		.not_before = TEST_NOW - TEST_DAY,
		.not_after = TEST_NOW + 3650 * TEST_DAY,
		.path_len = -1,
	};
	MUST(ca_make_root(ca->c, &r, &ca->rng, &ca->root, &err));
	r.common_name = STR("Test Intermediate");
	r.key = ca->key;
	r.path_len = 0;
	r.not_after = TEST_NOW + 1800 * TEST_DAY;
	r.permit = permit;
	r.permit_count = permit_count;
	MUST(ca_make_intermediate(ca->c, &r, ca->root, ca->root_key, &ca->rng, &ca->cert, &err));
	struct cert *const chain[] = { ca->cert, ca->root };
	MUST(issuer_new(ca->c, chain, 2, ca->key, &ca->issuer, &err));
}

static inline void test_ca_done(struct test_ca *ca)
{
	issuer_free(ca->issuer);
	cert_free(ca->cert);
	cert_free(ca->root);
	key_free(ca->key);
	key_free(ca->root_key);
	crypto_free(ca->c);
}

static const struct str test_policies[] = { { POLICY_DV, sizeof POLICY_DV - 1 } };
static const struct cert_template test_template = {
	.ekus = EKU_SERVER,
	.policies = test_policies,
	.policy_count = 1,
	.aia_url = { "http://ca.test/i.cer", 20 },
	.crl_url = { "http://ca.test/1.crl", 20 },
};

#endif

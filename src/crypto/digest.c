/* SPDX-License-Identifier: Apache-2.0
 *
 * digest.c: SHA-2 and HMAC with the fetched algorithms of struct crypto.
 */
#include "crypto/crypto.h"

#include "crypto/internal.h"

#include <openssl/core_names.h>
#include <openssl/params.h>
#include <stdlib.h>

static void evp_mac_ctx_auto(EVP_MAC_CTX **p)
{
	EVP_MAC_CTX_free(*p);
}

fallible digest_sha256(const struct crypto *c, struct str in, struct sha256 *ret, struct err *err)
{
	struct sha256 d;
	unsigned n = 0;
	if (EVP_Digest(in.p == NULL ? "" : in.p, in.n, d.b, &n, c->md[DIGEST_SHA256], NULL) != 1 || n != sizeof d.b)
		return fail_openssl(err, "SHA-256");
	*ret = d;
	return OK;
}

fallible digest_of(const struct crypto *c, enum digest d, struct str in, uint8_t out[DIGEST_MAX], size_t *ret_n,
		   struct err *err)
{
	unsigned n = 0;
	static_assert(DIGEST_MAX >= EVP_MAX_MD_SIZE, "room for each");
	if (EVP_Digest(in.p == NULL ? "" : in.p, in.n, out, &n, c->md[d], NULL) != 1)
		return fail_openssl(err, "digest");
	*ret_n = n;
	return OK;
}

static fallible hmac_begin(EVP_MAC_CTX *ctx, const struct crypto *c, enum digest d, const struct secret *key,
			   struct err *err)
{
	/* The parameter's type is not const, but providers only read it. */
	char name[16];
	(void)snprintf(name, sizeof name, "%s", EVP_MD_get0_name(c->md[d]));
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_END };
	if (key->n == 0)
		FAIL(err, ERR_INTERNAL, "HMAC without a key");
	if (ctx == NULL || EVP_MAC_init(ctx, key->p, key->n, params) != 1)
		return fail_openssl(err, "HMAC");
	return OK;
}

static fallible hmac_end(EVP_MAC_CTX *ctx, struct str in, uint8_t out[DIGEST_MAX], size_t *ret_n, struct err *err)
{
	if (ctx == NULL || EVP_MAC_update(ctx, (const uint8_t *)in.p, in.n) != 1 ||
	    EVP_MAC_final(ctx, out, ret_n, DIGEST_MAX) != 1)
		return fail_openssl(err, "HMAC");
	return OK;
}

fallible hmac(const struct crypto *c, enum digest d, const struct secret *key, struct str in, uint8_t out[DIGEST_MAX],
	      size_t *ret_n, struct err *err)
{
	AUTO(evp_mac_ctx_auto) EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(c->hmac);
	TRY(hmac_begin(ctx, c, d, key, err));
	return hmac_end(ctx, in, out, ret_n, err);
}

struct mac {
	EVP_MAC_CTX *begun; /* with the key in it; copied for each text */
};

fallible mac_new(const struct crypto *c, enum digest d, const struct secret *key, struct mac **ret, struct err *err)
{
	AUTO(evp_mac_ctx_auto) EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(c->hmac);
	TRY(hmac_begin(ctx, c, d, key, err));
	struct mac *m = mem_alloc(sizeof *m);
	m->begun = TAKE(ctx);
	*ret = m;
	return OK;
}

void mac_free(struct mac *m)
{
	if (m == NULL)
		return;
	EVP_MAC_CTX_free(m->begun);
	free(m);
}

fallible mac_of(const struct mac *m, struct str in, uint8_t out[DIGEST_MAX], size_t *ret_n, struct err *err)
{
	AUTO(evp_mac_ctx_auto) EVP_MAC_CTX *ctx = EVP_MAC_CTX_dup(m->begun);
	return hmac_end(ctx, in, out, ret_n, err);
}

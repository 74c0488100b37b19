/* SPDX-License-Identifier: Apache-2.0
 *
 * digest.c: SHA-2 and HMAC with the fetched algorithms of struct crypto.
 */
#include "crypto/crypto.h"

#include "crypto/internal.h"

#include <openssl/core_names.h>
#include <openssl/params.h>

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

fallible hmac(const struct crypto *c, enum digest d, const struct secret *key, struct str in, uint8_t out[DIGEST_MAX],
	      size_t *ret_n, struct err *err)
{
	AUTO(evp_mac_ctx_auto) EVP_MAC_CTX *ctx = EVP_MAC_CTX_new(c->hmac);
	size_t n = 0;
	/* The parameter's type is not const, but providers only read it. */
	char name[16];
	(void)snprintf(name, sizeof name, "%s", EVP_MD_get0_name(c->md[d]));
	OSSL_PARAM params[] = { OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, name, 0), OSSL_PARAM_END };
	if (key->n == 0)
		FAIL(err, ERR_INTERNAL, "HMAC without a key");
	if (ctx == NULL || EVP_MAC_init(ctx, key->p, key->n, params) != 1 ||
	    EVP_MAC_update(ctx, (const uint8_t *)in.p, in.n) != 1 || EVP_MAC_final(ctx, out, &n, DIGEST_MAX) != 1)
		return fail_openssl(err, "HMAC");
	*ret_n = n;
	return OK;
}

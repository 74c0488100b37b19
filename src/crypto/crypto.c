/* SPDX-License-Identifier: Apache-2.0
 *
 * crypto.c: the process's fetched algorithms, and OpenSSL's errors as text.
 */
#include "crypto/crypto.h"

#include "crypto/internal.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <stdlib.h>

static const char *const digest_names[] = {
	[DIGEST_SHA256] = "SHA256",
	[DIGEST_SHA384] = "SHA384",
	[DIGEST_SHA512] = "SHA512",
};
static_assert(ARRAY_LEN(digest_names) == DIGEST_COUNT, "name them all");

static void crypto_auto(struct crypto **c)
{
	crypto_free(*c);
}

fallible crypto_new(struct crypto **ret, struct err *err)
{
	AUTO(crypto_auto) struct crypto *c = mem_alloc(sizeof *c);
	for (size_t i = 0; i < DIGEST_COUNT; i++) {
		c->md[i] = EVP_MD_fetch(NULL, digest_names[i], NULL);
		if (c->md[i] == NULL)
			return fail_openssl(err, digest_names[i]);
	}
	c->hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
	if (c->hmac == NULL)
		return fail_openssl(err, "HMAC");
	c->aes_gcm = EVP_CIPHER_fetch(NULL, "AES-256-GCM", NULL);
	if (c->aes_gcm == NULL)
		return fail_openssl(err, "AES-256-GCM");
	TRY(p256_new(&c->p256, err));
	c->heat = heat_new();
	*ret = TAKE(c);
	return OK;
}

void crypto_free(struct crypto *c)
{
	if (c == NULL)
		return;
	heat_free(c->heat);
	p256_free(c->p256);
	for (size_t i = 0; i < DIGEST_COUNT; i++)
		EVP_MD_free(c->md[i]);
	EVP_MAC_free(c->hmac);
	EVP_CIPHER_free(c->aes_gcm);
	free(c);
}

void err_cause_openssl(struct err *err)
{
	char line[sizeof err->cause] = "";
	size_t n = 0;
	for (unsigned long e = ERR_get_error(); e != 0; e = ERR_get_error()) {
		const char *reason = ERR_reason_error_string(e);
		int w = snprintf(line + n, sizeof line - n, "%s%s", n == 0 ? "" : "; ",
				 reason != NULL ? reason : "unknown OpenSSL error");
		n = w < 0 || (size_t)w >= sizeof line - n ? sizeof line - 1 : n + (size_t)w;
	}
	if (err != NULL && n > 0)
		err_cause(err, "%s", line);
}

struct rc fail_openssl(struct err *err, const char *what)
{
	err_set(err, ERR_INTERNAL, "crypto library failed: %s", what);
	err_cause_openssl(err);
	return (struct rc){ ERR_INTERNAL };
}

void evp_pkey_auto(EVP_PKEY **p)
{
	EVP_PKEY_free(*p);
}

void evp_pkey_ctx_auto(EVP_PKEY_CTX **p)
{
	EVP_PKEY_CTX_free(*p);
}

void evp_md_ctx_auto(EVP_MD_CTX **p)
{
	EVP_MD_CTX_free(*p);
}

void bn_auto(BIGNUM **p)
{
	BN_clear_free(*p);
}

void bio_auto(BIO **p)
{
	BIO_free_all(*p);
}

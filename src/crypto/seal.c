/* SPDX-License-Identifier: Apache-2.0
 *
 * seal.c: secrets at rest: AES-256-GCM (NIST SP 800-38D). The nonce is random, 96 bits: under one key that is good for
 * 2^32 seals (8.3 there), far more than a store ever holds of external account keys.
 */
#include "crypto/crypto.h"

#include "crypto/internal.h"

#include <openssl/err.h>

#define SEAL_NONCE_LEN 12
#define SEAL_TAG_LEN 16
#define SEAL_PLAIN_MAX (64 * 1024)
#define SEAL_AAD_MAX 4096
static_assert(SEAL_OVERHEAD == SEAL_NONCE_LEN + SEAL_TAG_LEN, "the header says so");

static void evp_cipher_ctx_auto(EVP_CIPHER_CTX **p)
{
	EVP_CIPHER_CTX_free(*p);
}

/* Lengths that EVP's int can carry; the key's is what AES-256 wants, because EVP does not ask. */
static fallible check_lengths(const struct secret *key, struct str aad, size_t text_n, struct err *err)
{
	if (key->n != SEAL_KEY_LEN)
		FAIL(err, ERR_INTERNAL, "sealing key of %zu bytes, wanted %d", key->n, SEAL_KEY_LEN);
	if (aad.n > SEAL_AAD_MAX || text_n > SEAL_PLAIN_MAX)
		FAIL(err, ERR_INTERNAL, "sealing %zu bytes under a label of %zu: at most %d and %d", text_n, aad.n,
		     SEAL_PLAIN_MAX, SEAL_AAD_MAX);
	return OK;
}

static const uint8_t *bytes_of(struct str s)
{
	return s.n == 0 ? (const uint8_t *)"" : (const uint8_t *)s.p;
}

fallible seal(const struct crypto *c, const struct secret *key, const struct rng *rng, struct str aad, struct str plain,
	      struct buf *ret, struct err *err)
{
	AUTO(evp_cipher_ctx_auto) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	char *room;
	int n = 0, end = 0;
	TRY(check_lengths(key, aad, plain.n, err));
	TRY(buf_room(ret, plain.n + SEAL_OVERHEAD, &room, err));
	uint8_t *nonce = (uint8_t *)room, *text = nonce + SEAL_NONCE_LEN, *tag = text + plain.n;
	rng_fill(rng, nonce, SEAL_NONCE_LEN);
	if (ctx == NULL || EVP_EncryptInit_ex2(ctx, c->aes_gcm, key->p, nonce, NULL) != 1 ||
	    EVP_EncryptUpdate(ctx, NULL, &n, bytes_of(aad), (int)aad.n) != 1 ||
	    EVP_EncryptUpdate(ctx, text, &n, bytes_of(plain), (int)plain.n) != 1 || n != (int)plain.n ||
	    EVP_EncryptFinal_ex(ctx, tag, &end) != 1 || end != 0 ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_GET_TAG, SEAL_TAG_LEN, tag) != 1)
		return fail_openssl(err, "AES-GCM");
	ret->n += plain.n + SEAL_OVERHEAD;
	return OK;
}

fallible unseal(const struct crypto *c, const struct secret *key, struct str aad, struct str sealed, struct secret *ret,
		struct err *err)
{
	AUTO(evp_cipher_ctx_auto) EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	AUTO(secret_done) struct secret plain = { 0 };
	uint8_t tag[SEAL_TAG_LEN], none;
	int n = 0, end = 0;
	if (sealed.n < SEAL_OVERHEAD)
		FAIL(err, ERR_INTERNAL, "sealed secret of %zu bytes, at least %d were wanted", sealed.n, SEAL_OVERHEAD);
	TRY(check_lengths(key, aad, sealed.n - SEAL_OVERHEAD, err));
	struct str nonce = str_sub(sealed, 0, SEAL_NONCE_LEN);
	struct str text = str_sub(sealed, SEAL_NONCE_LEN, sealed.n - SEAL_TAG_LEN);
	memcpy(tag, sealed.p + sealed.n - SEAL_TAG_LEN, SEAL_TAG_LEN);
	TRY(secret_set(&plain, text, err)); /* room of the right size, and wiped whatever happens */
	if (ctx == NULL || EVP_DecryptInit_ex2(ctx, c->aes_gcm, key->p, bytes_of(nonce), NULL) != 1 ||
	    EVP_DecryptUpdate(ctx, NULL, &n, bytes_of(aad), (int)aad.n) != 1 ||
	    EVP_DecryptUpdate(ctx, plain.p, &n, bytes_of(text), (int)text.n) != 1 || n != (int)text.n ||
	    EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, SEAL_TAG_LEN, tag) != 1)
		return fail_openssl(err, "AES-GCM");
	if (EVP_DecryptFinal_ex(ctx, &none, &end) != 1) {
		ERR_clear_error(); /* says no more than this does */
		FAIL(err, ERR_INTERNAL,
		     "sealed secret does not open: it was sealed with another key, or for another "
		     "place, or it was changed");
	}
	secret_done(ret);
	*ret = plain;
	plain = (struct secret){ 0 };
	return OK;
}

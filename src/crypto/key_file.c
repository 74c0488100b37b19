/* SPDX-License-Identifier: Apache-2.0
 *
 * key_file.c: keys as PEM, and in files that only their owner reads.
 */
#include "crypto/crypto.h"

#include "crypto/internal.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>

#define KEY_FILE_MAX (64 * 1024)
#define PBKDF2_ROUNDS 600000
#define PBKDF2_SALT_LEN 16

static void p8_auto(PKCS8_PRIV_KEY_INFO **p)
{
	PKCS8_PRIV_KEY_INFO_free(*p);
}

static void x509_sig_auto(X509_SIG **p)
{
	X509_SIG_free(*p);
}

static void openssl_auto(void *p) /* of a void **, which C does not convert by itself */
{
	void *at;
	memcpy(&at, p, sizeof at);
	OPENSSL_free(at);
}

/* PKCS8_set0_pbe and PEM's own writer pick MD5-era defaults or OpenSSL's low round count, so the parameters are ours.
 */
static fallible encrypt_p8(PKCS8_PRIV_KEY_INFO *p8, const struct secret *passphrase, BIO *out, struct err *err)
{
	if (passphrase->n == 0 || passphrase->n > 1024)
		FAIL(err, ERR_CONFIG, "passphrase of %zu bytes, wanted 1 to 1024", passphrase->n);
	X509_ALGOR *pbe =
		PKCS5_pbe2_set_iv(EVP_aes_256_cbc(), PBKDF2_ROUNDS, NULL, PBKDF2_SALT_LEN, NULL, NID_hmacWithSHA256);
	if (pbe == NULL)
		return fail_openssl(err, "PBES2");
	AUTO(x509_sig_auto) X509_SIG *enc = PKCS8_set0_pbe((const char *)passphrase->p, (int)passphrase->n, p8, pbe);
	if (enc == NULL) {
		X509_ALGOR_free(pbe); /* enc owns it only when it was made */
		return fail_openssl(err, "PKCS#8 encryption");
	}
	if (PEM_write_bio_PKCS8(out, enc) != 1)
		return fail_openssl(err, "PEM");
	return OK;
}

static fallible write_private(const struct key *k, const struct secret *passphrase, BIO *out, struct err *err)
{
	if (k->signer != NULL)
		FAIL(err, ERR_INTERNAL, "the key's private half is not here");
	AUTO(p8_auto) PKCS8_PRIV_KEY_INFO *p8 = EVP_PKEY2PKCS8(key_evp(k));
	if (p8 == NULL)
		return fail_openssl(err, "PKCS#8");
	if (passphrase != NULL)
		return encrypt_p8(p8, passphrase, out, err);
	if (PEM_write_bio_PKCS8_PRIV_KEY_INFO(out, p8) != 1)
		return fail_openssl(err, "PEM");
	return OK;
}

fallible key_to_pem(const struct key *k, const struct secret *passphrase, struct buf *ret, struct err *err)
{
	char *p = NULL;
	AUTO(bio_auto) BIO *out = BIO_new(BIO_s_mem());
	if (out == NULL)
		return fail_openssl(err, "memory");
	if (k->has_private)
		TRY(write_private(k, passphrase, out, err));
	else if (PEM_write_bio_PUBKEY(out, key_evp(k)) != 1)
		return fail_openssl(err, "PEM");
	long n = BIO_get_mem_data(out, &p);
	return buf_add(ret, str_n(p, n < 0 ? 0 : (size_t)n), err);
}

/* Never asks a terminal. */
static int give_passphrase(char *out, int size, int writing, void *ctx)
{
	const struct secret *s = ctx;
	(void)writing;
	if (s == NULL || size < 0 || s->n > (size_t)size)
		return -1;
	memcpy(out, s->p, s->n);
	return (int)s->n;
}

static bool has_line(struct str pem, const char *line)
{
	return memmem(pem.p == NULL ? "" : pem.p, pem.n, line, strlen(line)) != NULL;
}

static fallible read_private(struct str pem, const struct secret *passphrase, struct key **ret, struct err *err)
{
	bool sealed = has_line(pem, "-----BEGIN ENCRYPTED PRIVATE KEY-----") || has_line(pem, "Proc-Type: 4,ENCRYPTED");
	if (sealed && passphrase == NULL)
		FAIL(err, ERR_CONFIG, "the key is encrypted and no passphrase is given");
	AUTO(bio_auto) BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	if (in == NULL)
		return fail_openssl(err, "memory");
	/* The callback's argument is not const, but give_passphrase only reads it. */
	struct secret borrowed = passphrase == NULL ? (struct secret){ 0 } : *passphrase;
	AUTO(evp_pkey_auto)
	EVP_PKEY *evp = PEM_read_bio_PrivateKey(in, NULL, give_passphrase, passphrase == NULL ? NULL : &borrowed);
	if (evp == NULL) {
		err_set(err, ERR_CONFIG, "%s",
			sealed ? "the passphrase does not open the key, or the key is damaged"
			       : "the private key does not load");
		err_cause_openssl(err);
		return (struct rc){ ERR_CONFIG };
	}
	return key_from_evp(evp, ret, err);
}

static fallible read_public(struct str pem, struct key **ret, struct err *err)
{
	AUTO(openssl_auto) char *name = NULL, *header = NULL;
	AUTO(openssl_auto) uint8_t *der = NULL;
	long n = 0;
	AUTO(bio_auto) BIO *in = BIO_new_mem_buf(pem.p, (int)pem.n);
	if (in == NULL)
		return fail_openssl(err, "memory");
	if (PEM_read_bio(in, &name, &header, &der, &n) != 1 || n < 0 || strcmp(name, PEM_STRING_PUBLIC) != 0) {
		ERR_clear_error();
		FAIL(err, ERR_CONFIG, "the public key does not load");
	}
	return key_from_spki(str_n(der, (size_t)n), ret, err);
}

fallible key_from_pem(struct str pem, const struct secret *passphrase, struct key **ret, struct err *err)
{
	if (pem.n > KEY_FILE_MAX)
		FAIL(err, ERR_CONFIG, "PEM of %zu bytes, at most %d are read", pem.n, KEY_FILE_MAX);
	if (has_line(pem, "PRIVATE KEY-----"))
		return read_private(pem, passphrase, ret, err);
	if (has_line(pem, "-----BEGIN PUBLIC KEY-----"))
		return read_public(pem, ret, err);
	FAIL(err, ERR_CONFIG, "no PEM block of a key found");
}

fallible key_write_file(const struct key *k, const char *path, const struct secret *passphrase, struct err *err)
{
	AUTO(buf_wipe_done) struct buf pem = BUF_MAX(KEY_FILE_MAX);
	char *room;
	TRY(buf_room(&pem, KEY_FILE_MAX / 2, &room, err)); /* at once: growing would leave copies behind */
	TRY(key_to_pem(k, passphrase, &pem, err));
	return file_write_new(path, buf_str(&pem), k->has_private ? 0600 : 0644, err);
}

fallible key_read_file(const char *path, const struct secret *passphrase, struct key **ret, struct err *err)
{
	AUTO(buf_wipe_done) struct buf pem = BUF_MAX(KEY_FILE_MAX + 1);
	AUTO(key_auto) struct key *k = NULL;
	mode_t mode;
	TRY(secret_file_read(path, KEY_FILE_MAX, &pem, &mode, err));
	if (has_line(buf_str(&pem), "PRIVATE KEY-----"))
		TRY(secret_mode_check(path, mode, err));
	struct rc rc = key_from_pem(buf_str(&pem), passphrase, &k, err);
	if (FAILED(rc)) {
		err_prefix(err, "%s: ", path);
		return rc;
	}
	*ret = TAKE(k);
	return OK;
}

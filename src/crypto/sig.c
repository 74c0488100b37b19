/* SPDX-License-Identifier: Apache-2.0
 *
 * sig.c: signatures in their JOSE form (RFC 7518 3, RFC 8037) and their X.509 form. The two differ for ECDSA only: r||s
 * of fixed length against a DER SEQUENCE, which is what OpenSSL speaks.
 */
#include "crypto/crypto.h"

#include "crypto/internal.h"

#include <openssl/ec.h>
#include <openssl/err.h>

#define SCALAR_MAX 66
#define SIG_MAX (RSA_BITS_MAX / 8)

static const char *const sig_alg_names[] = {
	[SIG_ES256] = "ES256", [SIG_ES384] = "ES384", [SIG_ES512] = "ES512",
	[SIG_RS256] = "RS256", [SIG_EDDSA] = "EdDSA",
};
static_assert(ARRAY_LEN(sig_alg_names) == SIG_ALG_COUNT, "name them all");

const char *sig_alg_name(enum sig_alg a)
{
	return sig_alg_names[a];
}

fallible sig_alg_read(struct str name, enum sig_alg *ret, struct err *err)
{
	for (unsigned i = 0; i < SIG_ALG_COUNT; i++) {
		if (!str_eq(name, str_z(sig_alg_names[i])))
			continue;
		*ret = (enum sig_alg)i;
		return OK;
	}
	FAIL(err, ERR_BAD_SIGNATURE_ALGORITHM,
	     "signature algorithm \"%.*s\" is not served, use ES256, ES384, ES512, RS256 or EdDSA",
	     STR_FMT(str_sub(name, 0, 32)));
}

static fallible bad_signature(struct err *err)
{
	ERR_clear_error();
	FAIL(err, ERR_MALFORMED, "signature does not verify");
}

/* 0 < scalar < order, both big endian and of one length. */
static bool scalar_in_range(struct str scalar, struct str order)
{
	bool zero = true;
	for (size_t i = 0; i < scalar.n && zero; i++)
		zero = scalar.p[i] == 0;
	return !zero && memcmp(scalar.p, order.p, order.n) < 0;
}

/* r||s to SEQUENCE { INTEGER r, INTEGER s } */
static fallible ecdsa_to_der(struct str sig, struct buf *ret, struct err *err)
{
	struct derw w = derw_begin(ret, err);
	derw_open(&w, DER_SEQUENCE);
	derw_uint(&w, str_sub(sig, 0, sig.n / 2));
	derw_uint(&w, str_sub(sig, sig.n / 2, sig.n));
	derw_close(&w);
	return derw_end(&w);
}

static fallible der_integer_to(struct cur *c, size_t size, uint8_t *out, struct err *err)
{
	struct der d;
	TRY(der_want(c, DER_INTEGER, &d, err));
	while (d.body.n > 1 && d.body.p[0] == 0)
		d.body = str_sub(d.body, 1, d.body.n);
	if (d.body.n > size)
		FAIL(err, ERR_INTERNAL, "ECDSA scalar of %zu bytes, at most %zu fit", d.body.n, size);
	memset(out, 0, size);
	memcpy(out + size - d.body.n, d.body.p, d.body.n);
	return OK;
}

static fallible ecdsa_from_der(struct str der, size_t size, struct arena *mem, struct str *ret, struct err *err)
{
	uint8_t raw[2 * SCALAR_MAX];
	struct der seq;
	TRY(der_only(der, DER_SEQUENCE, &seq, err));
	struct cur c = cur_of(seq.body);
	TRY(der_integer_to(&c, size, raw, err));
	TRY(der_integer_to(&c, size, raw + size, err));
	*ret = str_dup(mem, str_n(raw, 2 * size));
	return OK;
}

/* md NULL: the algorithm has its own digest (Ed25519). */
static fallible verify_evp(const struct key *k, const EVP_MD *md, struct str in, struct str sig, struct err *err)
{
	AUTO(evp_md_ctx_auto) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (ctx == NULL || EVP_DigestVerifyInit(ctx, NULL, md, NULL, key_evp(k)) != 1)
		return fail_openssl(err, "verify");
	if (EVP_DigestVerify(ctx, (const uint8_t *)sig.p, sig.n, (const uint8_t *)(in.p == NULL ? "" : in.p), in.n) !=
	    1)
		return bad_signature(err);
	return OK;
}

/* sig is r||s. P-256 has a way of its own here (p256.c), which is quicker with a table, and when nothing was made yet for
 * the key: OpenSSL's key object costs a fifth of a verification, and then saves a tenth of each. CANNOT: not this way. */
static enum p256_said verify_p256(const struct crypto *c, const struct key *k, enum digest d, struct str in,
				  struct str sig)
{
	struct sha256 digest;
	bool again = false;
	if (k->kind != KEY_P256 || d != DIGEST_SHA256)
		return P256_CANNOT;
	const struct p256_table *table = hot_table(c->heat, k->hot, &again);
	if (table == NULL && (again || atomic_load_explicit(&k->evp, memory_order_relaxed) != NULL))
		return P256_CANNOT;
	if (FAILED(digest_sha256(c, in, &digest, NULL)))
		return P256_CANNOT;
	return p256_verify(c->p256, key_part_a(k), key_part_b(k), table, &digest, sig);
}

/* The same of a DER signature. Only the one encoding that DER allows is taken: it is made again and compared. */
static enum p256_said verify_p256_der(const struct crypto *c, const struct key *k, enum digest d, struct str in,
				      struct str sig)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf again = BUF_MAX(2 * SCALAR_MAX + 16);
	struct str raw;
	if (k->kind != KEY_P256 || FAILED(ecdsa_from_der(sig, P256_LEN, &mem, &raw, NULL)) ||
	    FAILED(ecdsa_to_der(raw, &again, NULL)) || !str_eq(buf_str(&again), sig))
		return P256_CANNOT;
	return verify_p256(c, k, d, in, raw);
}

static const EVP_MD *md_for(const struct crypto *c, const struct key *k, enum digest d)
{
	return k->kind == KEY_ED25519 ? NULL : c->md[d];
}

fallible sig_verify(const struct crypto *c, const struct key *k, enum sig_alg alg, struct str in, struct str sig,
		    struct err *err)
{
	const struct key_row *row = &key_rows[k->kind];
	const EVP_MD *md = md_for(c, k, row->digest);
	if (alg != row->alg)
		FAIL(err, ERR_BAD_SIGNATURE_ALGORITHM, "signature algorithm %s does not go with a %s key, use %s",
		     sig_alg_name(alg), row->name, sig_alg_name(row->alg));
	/* RSASSA-PKCS1-v1_5: exactly as long as the modulus (RFC 8017 8.2.2 step 1). */
	size_t want = k->kind == KEY_RSA ? k->a_n : 2 * row->coord;
	if (sig.n != want)
		FAIL(err, ERR_MALFORMED, "signature of %zu bytes, %s with this key has %zu", sig.n, sig_alg_name(alg),
		     want);
	if (row->order.n == 0)
		return verify_evp(k, md, in, sig, err);
	if (!scalar_in_range(str_sub(sig, 0, row->coord), row->order) ||
	    !scalar_in_range(str_sub(sig, row->coord, sig.n), row->order))
		return bad_signature(err);
	enum p256_said said = verify_p256(c, k, row->digest, in, sig);
	if (said != P256_CANNOT)
		return said == P256_GOOD ? OK : bad_signature(err);
	AUTO(buf_done) struct buf der = BUF_MAX(2 * SCALAR_MAX + 16);
	TRY(ecdsa_to_der(sig, &der, err));
	return verify_evp(k, md, in, buf_str(&der), err);
}

fallible sig_verify_x509(const struct crypto *c, const struct key *k, enum digest d, struct str in, struct str sig,
			 struct err *err)
{
	enum p256_said said = verify_p256_der(c, k, d, in, sig);
	if (said != P256_CANNOT)
		return said == P256_GOOD ? OK : bad_signature(err);
	return verify_evp(k, md_for(c, k, d), in, sig, err);
}

fallible sig_sign_x509(const struct crypto *c, const struct key *k, struct str in, struct arena *mem, struct str *ret,
		       struct err *err)
{
	uint8_t sig[SIG_MAX];
	size_t n = sizeof sig;
	AUTO(evp_md_ctx_auto) EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	if (!k->has_private)
		FAIL(err, ERR_INTERNAL, "signing with a public key");
	if (k->signer != NULL)
		return k->signer->sign(k->signer_ctx, key_rows[k->kind].digest, in, mem, ret, err);
	if (ctx == NULL ||
	    EVP_DigestSignInit(ctx, NULL, md_for(c, k, key_rows[k->kind].digest), NULL, key_evp(k)) != 1 ||
	    EVP_DigestSign(ctx, sig, &n, (const uint8_t *)(in.p == NULL ? "" : in.p), in.n) != 1)
		return fail_openssl(err, "sign");
	*ret = str_dup(mem, str_n(sig, n));
	return OK;
}

fallible sig_x509_from_raw(const struct key *k, struct str raw, struct arena *mem, struct str *ret, struct err *err)
{
	const struct key_row *row = &key_rows[k->kind];
	size_t want = k->kind == KEY_RSA ? k->a_n : 2 * row->coord;
	if (raw.n != want)
		FAIL(err, ERR_INTERNAL, "signature of %zu bytes, %s with this key has %zu", raw.n,
		     sig_alg_name(row->alg), want);
	AUTO(buf_done) struct buf der = BUF_MAX(2 * SCALAR_MAX + 16);
	if (row->order.n > 0)
		TRY(ecdsa_to_der(raw, &der, err));
	*ret = str_dup(mem, row->order.n > 0 ? buf_str(&der) : raw);
	return OK;
}

fallible sig_sign(const struct crypto *c, const struct key *k, struct str in, struct arena *mem, struct str *ret,
		  struct err *err)
{
	struct str sig;
	const struct key_row *row = &key_rows[k->kind];
	TRY(sig_sign_x509(c, k, in, mem, &sig, err));
	if (row->order.n > 0)
		return ecdsa_from_der(sig, row->coord, mem, ret, err);
	*ret = sig;
	return OK;
}

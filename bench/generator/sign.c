/* SPDX-License-Identifier: Apache-2.0
 *
 * sign.c: ES256 for a microsecond. The dear part of an ECDSA signature is k * G, which knows nothing of the message; it is
 * done beforehand for a few k, which then serve again and again: s = k^-1 (e + r d) is all that is left. Two signatures
 * with the same k give the private key away, so this is for keys that guard nothing and live as long as a measurement. To
 * whoever verifies, such a signature costs what any other does.
 */
#include "generator.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <stdlib.h>
#include <time.h>

#define NONCES 16
#define N 32 /* bytes of a coordinate and of a number below the order */

struct nonce {
	BIGNUM *r, *inverse; /* x of k * G; 1 / k */
	uint8_t r_bytes[N];
};

struct signing {
	EC_GROUP *group;
	const BIGNUM *order; /* the group's */
	BN_CTX *bn;
	EVP_MD *sha256;
	EVP_MD_CTX *hash;
	BIGNUM *e, *s;
	struct crypto *crypto; /* for RSA */
	struct nonce nonces[NONCES];
	unsigned next;
};

struct bench_key {
	enum bench_alg alg;
	BIGNUM *rd[NONCES]; /* r d, a nonce each */
	EVP_PKEY *evp;
	struct key *rsa;
	struct arena mem;
	struct str jwk, thumbprint, spki;
};

static struct rc failed(struct err *err, const char *what)
{
	err_cause_openssl(err);
	FAIL(err, ERR_INTERNAL, "%s failed in OpenSSL", what);
}

fallible bench_sha256(struct signing *s, struct str in, uint8_t out[32], struct err *err)
{
	if (EVP_DigestInit_ex2(s->hash, s->sha256, NULL) != 1 || EVP_DigestUpdate(s->hash, in.p, in.n) != 1 ||
	    EVP_DigestFinal_ex(s->hash, out, NULL) != 1)
		return failed(err, "SHA-256");
	return OK;
}

/* k in [1, n-1], and the x coordinate of k * G in `x`, y in `y` (NULL: not wanted). */
static bool multiple(struct signing *s, BIGNUM *k, BIGNUM *x, BIGNUM *y)
{
	EC_POINT *p = EC_POINT_new(s->group);
	bool good = p != NULL;
	do {
		good = good && BN_priv_rand_range(k, s->order) == 1;
	} while (good && BN_is_zero(k));
	good = good && EC_POINT_mul(s->group, p, k, NULL, NULL, s->bn) == 1 &&
	       EC_POINT_get_affine_coordinates(s->group, p, x, y, s->bn) == 1;
	EC_POINT_free(p);
	return good;
}

static bool nonce_make(struct signing *s, struct nonce *n)
{
	BIGNUM *k = BN_new();
	n->r = BN_new();
	bool good = k != NULL && n->r != NULL;
	do {
		good = good && multiple(s, k, n->r, NULL) && BN_nnmod(n->r, n->r, s->order, s->bn) == 1;
	} while (good && BN_is_zero(n->r));
	n->inverse = good ? BN_mod_inverse(NULL, k, s->order, s->bn) : NULL;
	good = n->inverse != NULL && BN_bn2binpad(n->r, n->r_bytes, N) == N;
	BN_free(k);
	return good;
}

fallible signing_new(struct signing **ret, struct err *err)
{
	struct signing *s = mem_alloc(sizeof *s);
	struct rc rc = crypto_new(&s->crypto, err);
	s->group = EC_GROUP_new_by_curve_name(NID_X9_62_prime256v1);
	s->bn = BN_CTX_new();
	s->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	s->hash = EVP_MD_CTX_new();
	s->e = BN_new();
	s->s = BN_new();
	bool good = s->group != NULL && s->bn != NULL && s->sha256 != NULL && s->hash != NULL && s->e != NULL &&
		    s->s != NULL;
	s->order = good ? EC_GROUP_get0_order(s->group) : NULL;
	for (size_t i = 0; good && i < NONCES; i++)
		good = nonce_make(s, &s->nonces[i]);
	if (!FAILED(rc) && !good)
		rc = failed(err, "setting up to sign");
	if (FAILED(rc))
		signing_free(s);
	else
		*ret = s;
	return rc;
}

void signing_free(struct signing *s)
{
	if (s == NULL)
		return;
	for (size_t i = 0; i < NONCES; i++) {
		BN_free(s->nonces[i].r);
		BN_free(s->nonces[i].inverse);
	}
	BN_free(s->e);
	BN_free(s->s);
	EVP_MD_CTX_free(s->hash);
	EVP_MD_free(s->sha256);
	BN_CTX_free(s->bn);
	EC_GROUP_free(s->group);
	crypto_free(s->crypto);
	free(s);
}

/* --- keys ------------------------------------------------------------------------------------------------------------*/

/* The pair as OpenSSL's own, for TLS: public point uncompressed. */
static EVP_PKEY *evp_of(const BIGNUM *d, const uint8_t point[1 + 2 * N])
{
	EVP_PKEY *evp = NULL;
	OSSL_PARAM *params = NULL;
	OSSL_PARAM_BLD *b = OSSL_PARAM_BLD_new();
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
	if (b != NULL && ctx != NULL &&
	    OSSL_PARAM_BLD_push_utf8_string(b, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
	    OSSL_PARAM_BLD_push_octet_string(b, OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * N) == 1 &&
	    OSSL_PARAM_BLD_push_BN(b, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1)
		params = OSSL_PARAM_BLD_to_param(b);
	if (params != NULL && EVP_PKEY_fromdata_init(ctx) == 1)
		(void)EVP_PKEY_fromdata(ctx, &evp, EVP_PKEY_KEYPAIR, params);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(b);
	EVP_PKEY_CTX_free(ctx);
	return evp;
}

static fallible ec_make(struct signing *s, struct bench_key *k, struct err *err)
{
	/* SubjectPublicKeyInfo of a P-256 key up to its point (RFC 5480 2). */
	static const uint8_t head[] = { 0x30, 0x59, 0x30, 0x13, 6,    7,    0x2a, 0x86, 0x48, 0xce, 0x3d, 2,    1,
					6,    8,    0x2a, 0x86, 0x48, 0xce, 0x3d, 3,    1,    7,    3,    0x42, 0 };
	uint8_t point[1 + 2 * N] = { 4 };
	BIGNUM *d = BN_secure_new(), *x = BN_new(), *y = BN_new();
	bool good = d != NULL && x != NULL && y != NULL && multiple(s, d, x, y) && BN_bn2binpad(x, point + 1, N) == N &&
		    BN_bn2binpad(y, point + 1 + N, N) == N;
	for (size_t i = 0; good && i < NONCES; i++) {
		k->rd[i] = BN_new();
		good = k->rd[i] != NULL && BN_mod_mul(k->rd[i], s->nonces[i].r, d, s->order, s->bn) == 1;
	}
	k->evp = good ? evp_of(d, point) : NULL;
	BN_clear_free(d);
	BN_free(x);
	BN_free(y);
	if (k->evp == NULL)
		return failed(err, "making a key");
	uint8_t *spki = arena_alloc(&k->mem, sizeof head + sizeof point);
	memcpy(spki, head, sizeof head);
	memcpy(spki + sizeof head, point, sizeof point);
	k->spki = str_n(spki, sizeof head + sizeof point);
	struct str a = b64url_encode(&k->mem, str_n(point + 1, N)), b = b64url_encode(&k->mem, str_n(point + 1 + N, N));
	k->jwk = str_fmt(&k->mem, "{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"%.*s\",\"y\":\"%.*s\"}", STR_FMT(a),
			 STR_FMT(b));
	return OK;
}

static fallible rsa_make(struct bench_key *k, struct err *err)
{
	struct str n, e;
	TRY(key_generate(KEY_RSA, 2048, &k->rsa, err));
	TRY(key_get_parts(&k->mem, k->rsa, &n, &e, err));
	n = b64url_encode(&k->mem, n);
	e = b64url_encode(&k->mem, e);
	k->jwk = str_fmt(&k->mem, "{\"e\":\"%.*s\",\"kty\":\"RSA\",\"n\":\"%.*s\"}", STR_FMT(e), STR_FMT(n));
	return OK;
}

fallible bench_key_new(struct signing *s, enum bench_alg alg, struct bench_key **ret, struct err *err)
{
	struct bench_key *k = mem_alloc(sizeof *k);
	uint8_t hash[32];
	k->alg = alg;
	struct rc rc = alg == BENCH_ES256 ? ec_make(s, k, err) : rsa_make(k, err);
	if (!FAILED(rc))
		rc = bench_sha256(s, k->jwk, hash, err);
	if (FAILED(rc)) {
		bench_key_free(k);
		return rc;
	}
	k->thumbprint = b64url_encode(&k->mem, str_n(hash, sizeof hash));
	*ret = k;
	return OK;
}

void bench_key_free(struct bench_key *k)
{
	if (k == NULL)
		return;
	for (size_t i = 0; i < NONCES; i++)
		BN_free(k->rd[i]);
	EVP_PKEY_free(k->evp);
	key_free(k->rsa);
	arena_done(&k->mem);
	free(k);
}

const char *bench_key_alg(const struct bench_key *k)
{
	return k->alg == BENCH_ES256 ? "ES256" : "RS256";
}

struct str bench_key_jwk(const struct bench_key *k)
{
	return k->jwk;
}

struct str bench_key_thumbprint(const struct bench_key *k)
{
	return k->thumbprint;
}

struct str bench_key_spki(const struct bench_key *k)
{
	return k->spki;
}

EVP_PKEY *bench_key_evp(const struct bench_key *k)
{
	return k->evp;
}

/* --- signatures ------------------------------------------------------------------------------------------------------*/

static fallible es256(struct signing *s, struct bench_key *k, struct str in, uint8_t out[2 * N], struct err *err)
{
	uint8_t hash[32];
	unsigned i = s->next++ % NONCES;
	TRY(bench_sha256(s, in, hash, err));
	/* SEC 1 4.1.3, step 5 on. The hash may be above the order: reduced with the sum. */
	if (BN_bin2bn(hash, sizeof hash, s->e) == NULL || BN_mod_add(s->e, s->e, k->rd[i], s->order, s->bn) != 1 ||
	    BN_mod_mul(s->s, s->e, s->nonces[i].inverse, s->order, s->bn) != 1 || BN_is_zero(s->s) ||
	    BN_bn2binpad(s->s, out + N, N) != N)
		return failed(err, "signing");
	memcpy(out, s->nonces[i].r_bytes, N);
	return OK;
}

fallible bench_sign(struct signing *s, struct bench_key *k, struct str in, struct buf *ret, struct err *err)
{
	buf_reset(ret);
	if (k->alg == BENCH_ES256) {
		uint8_t out[2 * N];
		TRY(es256(s, k, in, out, err));
		return buf_add(ret, str_n(out, sizeof out), err);
	}
	AUTO(arena_done) struct arena mem = { 0 };
	struct str sig;
	TRY(sig_sign(s->crypto, k->rsa, in, &mem, &sig, err));
	return buf_add(ret, sig, err);
}

fallible bench_sign_x509(struct signing *s, struct bench_key *k, struct str in, struct derw *w, struct err *err)
{
	uint8_t out[2 * N];
	TRY(es256(s, k, in, out, err));
	derw_open_bits(w);
	derw_open(w, DER_SEQUENCE);
	derw_uint(w, str_n(out, N));
	derw_uint(w, str_n(out + N, N));
	derw_close(w);
	derw_close(w);
	return OK;
}

#define MEASURE_ROUNDS 200

fallible signing_measure(double *ret_us, struct err *err)
{
	uint8_t in[700] = { 1 }, sig[128];
	struct timespec a, b;
	EVP_PKEY *key = EVP_EC_gen("P-256");
	EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
	bool good = key != NULL && md != NULL && clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a) == 0;
	for (int i = 0; good && i < MEASURE_ROUNDS; i++) {
		EVP_MD_CTX *ctx = EVP_MD_CTX_new();
		size_t n = sizeof sig;
		good = ctx != NULL && EVP_DigestSignInit(ctx, NULL, md, NULL, key) == 1 &&
		       EVP_DigestSign(ctx, sig, &n, in, sizeof in) == 1;
		EVP_MD_CTX_free(ctx);
	}
	good = good && clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b) == 0;
	EVP_MD_free(md);
	EVP_PKEY_free(key);
	if (!good)
		return failed(err, "measuring a signature");
	*ret_us = ((double)(b.tv_sec - a.tv_sec) * 1e6 + (double)(b.tv_nsec - a.tv_nsec) / 1e3) / MEASURE_ROUNDS;
	return OK;
}

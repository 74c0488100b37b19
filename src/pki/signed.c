/* SPDX-License-Identifier: Apache-2.0
 *
 * signed.c: content, algorithm, signature: made, taken apart, verified. What our keys have signed is verified before
 * anybody sees it.
 */
#include "pki/internal.h"

#include <openssl/err.h>

#define BYTES(lit)                     \
	{                              \
		(lit), sizeof(lit) - 1 \
	}

/* SHA-2 (A23), exact AlgorithmIdentifier bytes. */
static const struct {
	struct str algorithm;
	bool rsa;
	enum digest digest;
} algorithms[] = {
	{ BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"), false, DIGEST_SHA256 },
	{ BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"), false, DIGEST_SHA384 },
	{ BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"), false, DIGEST_SHA512 },
	{ BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"), true, DIGEST_SHA256 },
	{ BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00"), true, DIGEST_SHA384 },
	{ BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00"), true, DIGEST_SHA512 },
};

fallible signed_split(struct str der, struct signed_parts *ret, struct err *err)
{
	struct der whole, content, algorithm, signature;
	TRY(der_only(der, DER_SEQUENCE, &whole, err));
	struct cur c = cur_of(whole.body);
	TRY(der_want(&c, DER_SEQUENCE, &content, err));
	TRY(der_want(&c, DER_SEQUENCE, &algorithm, err));
	TRY(der_want(&c, DER_BIT_STRING, &signature, err));
	if (!cur_end(&c))
		FAIL(err, ERR_MALFORMED, "DER: more than content, algorithm and signature");
	bool whole_bytes = signature.body.n > 0 && signature.body.p[0] == 0;
	*ret = (struct signed_parts){
		.content = content.whole,
		.algorithm = algorithm.whole,
		.signature = whole_bytes ? str_sub(signature.body, 1, signature.body.n) : STR_NONE,
	};
	return OK;
}

fallible signed_verify(const struct crypto *c, const struct signed_parts *parts, const struct key *k, const char *what,
		       struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
		if (!str_eq(parts->algorithm, algorithms[i].algorithm))
			continue;
		if (algorithms[i].rsa != (key_get_kind(k) == KEY_RSA))
			FAIL(err, ERR_MALFORMED, "%s's signature algorithm does not go with its key", what);
		return sig_verify_x509(c, k, algorithms[i].digest, parts->content, parts->signature, err);
	}
	FAIL(err, ERR_MALFORMED,
	     "%s's signature algorithm is not served, use ECDSA or RSA with SHA-256, SHA-384 or SHA-512", what);
}

static fallible put_together(struct str content, struct str algorithm, struct str signature, struct buf *ret,
			     struct err *err)
{
	struct derw w = derw_begin(ret, err);
	derw_open(&w, DER_SEQUENCE);
	derw_raw(&w, content);
	derw_raw(&w, algorithm);
	derw_bits(&w, signature);
	derw_close(&w);
	return derw_end(&w);
}

fallible cert_wrap(const struct crypto *c, const struct key *k, struct str tbs, struct buf *ret_der, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str signature;
	TRY(sig_sign_x509(c, k, tbs, &mem, &signature, err));
	return put_together(tbs, key_x509_algorithm(k), signature, ret_der, err);
}

fallible cert_with_placeholder(const struct issuer *i, struct str tbs, struct buf *ret_der, struct err *err)
{
	return put_together(tbs, key_x509_algorithm(i->public), buf_str(&i->placeholder), ret_der, err);
}

fallible cert_verify_der(struct str der, const struct key *k, struct cert **ret, struct err *err)
{
	AUTO(cert_auto) struct cert *cert = NULL;
	TRY(cert_read_der(der, &cert, err));
	if (!cert_verifies(cert, k))
		FAIL(err, ERR_INTERNAL, "the signature just made does not verify");
	*ret = TAKE(cert);
	return OK;
}

/* Of a TBS, the issuer's name must be ours before our key touches it. */
static fallible check_tbs_issuer(const struct issuer *i, struct str tbs, struct err *err)
{
	struct der seq, d;
	TRY(der_only(tbs, DER_SEQUENCE, &seq, err));
	struct cur c = cur_of(seq.body);
	TRY(der_want(&c, DER_CONTEXT_MADE(0), &d, err));
	TRY(der_want(&c, DER_INTEGER, &d, err));
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	if (!str_eq(d.whole, key_x509_algorithm(i->public)))
		FAIL(err, ERR_INTERNAL, "TBS names another signature algorithm than the issuer's");
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	if (!str_eq(d.whole, issuer_cert(i)->subject))
		FAIL(err, ERR_INTERNAL, "TBS names another issuer");
	return OK;
}

/* A fault while signing (hardware, memory) can give away the key along with a wrong signature, so none leaves unverified:
 * what was written is read again, and must hold those bytes and a signature that the world's key, the certificate's,
 * verifies. The lint had the same bytes read by OpenSSL. */
static fallible check_signed(const struct crypto *c, const struct issuer *i, struct str der, struct str tbs,
			     struct err *err)
{
	struct signed_parts parts;
	TRY(signed_split(der, &parts, err));
	if (!str_eq(parts.content, tbs))
		FAIL(err, ERR_INTERNAL, "it holds other bytes than those given");
	if (!str_eq(parts.algorithm, key_x509_algorithm(i->public)))
		FAIL(err, ERR_INTERNAL, "it names two signature algorithms");
	if (FAILED(signed_verify(c, &parts, i->public, "certificate", err)))
		FAIL(err, ERR_INTERNAL, "the signature just made does not verify");
	return OK;
}

fallible cert_sign_tbs(const struct crypto *c, const struct issuer *i, struct str tbs, struct buf *ret_der,
		       struct err *err)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CERT_DER_MAX);
	struct err sub = { 0 };
	if (i->key == NULL)
		FAIL(err, ERR_INTERNAL, "issuer has no private key here");
	TRY(check_tbs_issuer(i, tbs, err));
	TRY(cert_wrap(c, i->key, tbs, &der, err));
	if (FAILED(check_signed(c, i, buf_str(&der), tbs, &sub))) {
		err_set(err, ERR_INTERNAL, "signed certificate is no good: %s", sub.detail);
		err_cause(err, "%s", sub.cause);
		return (struct rc){ ERR_INTERNAL };
	}
	return buf_add(ret_der, buf_str(&der), err);
}

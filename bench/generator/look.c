/* SPDX-License-Identifier: Apache-2.0
 *
 * look.c: whether a certificate is the one that was asked for. Of each: the key, the names and no others, the times, that
 * it names the issuer that comes with it, and that its serial was never seen. Of a fixed share the signature is verified.
 * The issuers behind it, and the first certificate of an issuer, are read whole by OpenSSL: no more of them, because
 * decoding one costs it ten times what verifying does.
 */
#include "generator.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <time.h>

#define DER_MAX (64 * 1024)
#define SERIALS_MIN 4096
#define CLOCK_SKEW_S 300
#define ISSUERS_MAX 8

struct looker {
	uint64_t *serials; /* hashes of them, open addressing; 0: free */
	size_t serial_room, serial_count;
	uint8_t hash_key[16];
	unsigned share;
	uint64_t looked, verified;
	X509_STORE *roots; /* NULL: none are given */
	struct arena mem;  /* of the issuers */
	struct str issuers_pem, issuer_name;
	X509 *issuer;
	EVP_ENCODE_CTX *base64;
	struct buf der;
};

fallible looker_new(const char *roots, unsigned share, struct looker **ret, struct err *err)
{
	struct looker *l = mem_alloc(sizeof *l);
	l->share = share;
	l->serial_room = SERIALS_MIN;
	l->serials = mem_alloc_n(sizeof *l->serials, l->serial_room);
	l->der = (struct buf)BUF_MAX(DER_MAX);
	l->base64 = EVP_ENCODE_CTX_new();
	rng_fill(&rng_system, l->hash_key, sizeof l->hash_key);
	if (roots != NULL)
		l->roots = X509_STORE_new();
	if (l->base64 == NULL || (roots != NULL && (l->roots == NULL || X509_STORE_load_file(l->roots, roots) != 1))) {
		looker_free(l);
		err_cause_openssl(err);
		FAIL(err, ERR_CONFIG, "%s does not read as certificates", roots == NULL ? "(none)" : roots);
	}
	*ret = l;
	return OK;
}

void looker_free(struct looker *l)
{
	if (l == NULL)
		return;
	X509_STORE_free(l->roots);
	X509_free(l->issuer);
	EVP_ENCODE_CTX_free(l->base64);
	buf_done(&l->der);
	arena_done(&l->mem);
	free(l->serials);
	free(l);
}

uint64_t looker_verified(const struct looker *l)
{
	return l->verified;
}

/* --- serials ---------------------------------------------------------------------------------------------------------*/

/* false: it is there. */
static bool serial_put(uint64_t *at, size_t room, uint64_t hash)
{
	size_t i = hash & (room - 1);
	while (at[i] != 0 && at[i] != hash)
		i = (i + 1) & (room - 1);
	bool is_new = at[i] == 0;
	at[i] = hash;
	return is_new;
}

static bool serial_is_new(struct looker *l, struct str serial)
{
	uint64_t hash = hash_keyed(l->hash_key, serial) | 1;
	if (l->serial_count >= l->serial_room / 2) {
		uint64_t *wider = mem_alloc_n(sizeof *wider, l->serial_room * 2);
		for (size_t i = 0; i < l->serial_room; i++)
			if (l->serials[i] != 0)
				(void)serial_put(wider, l->serial_room * 2, l->serials[i]);
		free(l->serials);
		l->serials = wider;
		l->serial_room *= 2;
	}
	l->serial_count++;
	return serial_put(l->serials, l->serial_room, hash);
}

/* --- what OpenSSL says -----------------------------------------------------------------------------------------------*/

static X509 *x509_of(struct str der)
{
	const unsigned char *p = (const unsigned char *)der.p;
	return d2i_X509(NULL, &p, (long)der.n);
}

static bool signed_by(X509 *c, X509 *issuer)
{
	EVP_PKEY *key = X509_get0_pubkey(issuer);
	return key != NULL && X509_check_issued(issuer, c) == X509_V_OK && X509_verify(c, key) == 1;
}

/* Each is signed by the next, and the last one leads to a root, when we were told any. */
static bool issuers_good(const struct looker *l, STACK_OF(X509) * issuers)
{
	int n = sk_X509_num(issuers);
	for (int i = 0; i + 1 < n; i++)
		if (!signed_by(sk_X509_value(issuers, i), sk_X509_value(issuers, i + 1)))
			return false;
	if (l->roots == NULL)
		return true;
	X509_STORE_CTX *ctx = X509_STORE_CTX_new();
	bool good = ctx != NULL && X509_STORE_CTX_init(ctx, l->roots, sk_X509_value(issuers, 0), issuers) == 1 &&
		    X509_verify_cert(ctx) == 1;
	X509_STORE_CTX_free(ctx);
	return good;
}

static STACK_OF(X509) * issuers_parse(struct str pem)
{
	STACK_OF(X509) *all = sk_X509_new_null();
	BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *c;
	while (all != NULL && bio != NULL && sk_X509_num(all) < ISSUERS_MAX &&
	       (c = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
		if (sk_X509_push(all, c) <= 0)
			X509_free(c);
	BIO_free(bio);
	ERR_clear_error(); /* its last look found no more */
	return all;
}

/* The issuers as they came; looked at when they are not those of the last time. */
static fallible issuers_look(struct looker *l, struct str pem, struct err *err)
{
	if (l->issuer != NULL && str_eq(pem, l->issuers_pem))
		return OK;
	STACK_OF(X509) *all = issuers_parse(pem);
	unsigned char *name = NULL;
	bool good = all != NULL && sk_X509_num(all) > 0 && issuers_good(l, all);
	X509_free(l->issuer);
	l->issuer = good ? sk_X509_shift(all) : NULL;
	int n = good ? i2d_X509_NAME(X509_get_subject_name(l->issuer), &name) : -1;
	if (n > 0) {
		arena_done(&l->mem);
		l->issuers_pem = str_dup(&l->mem, pem);
		l->issuer_name = str_dup(&l->mem, str_n(name, (size_t)n));
		l->looked = 0; /* so that the first of this issuer is verified */
	}
	OPENSSL_free(name);
	sk_X509_pop_free(all, X509_free);
	if (n <= 0) {
		err_cause_openssl(err);
		FAIL(err, ERR_MALFORMED, "the issuers do not form a chain");
	}
	return OK;
}

static fallible openssl_look(struct looker *l, struct str der, const struct look_wanted *w, struct err *err)
{
	X509 *c = x509_of(der);
	bool good = c != NULL && signed_by(c, l->issuer);
	for (size_t i = 0; good && i < w->count; i++)
		good = X509_check_host(c, w->names[i].p, w->names[i].n, 0, NULL) == 1;
	X509_free(c);
	if (good)
		return OK;
	err_cause_openssl(err);
	FAIL(err, ERR_MALFORMED, "the certificate does not verify with its issuer");
}

/* Signature algorithms of issuers, by their OIDs: ecdsa-with-SHA256 and its like (RFC 5758 3.2), PKCS #1 v1.5 (RFC 8017). */
static const char *digest_of_oid(struct str oid)
{
	static const struct {
		struct str oid;
		const char *digest;
	} rows[] = {
		{ { "\x2a\x86\x48\xce\x3d\x04\x03\x02", 8 }, "SHA256" },
		{ { "\x2a\x86\x48\xce\x3d\x04\x03\x03", 8 }, "SHA384" },
		{ { "\x2a\x86\x48\xce\x3d\x04\x03\x04", 8 }, "SHA512" },
		{ { "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", 9 }, "SHA256" },
		{ { "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", 9 }, "SHA384" },
		{ { "\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", 9 }, "SHA512" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_eq(oid, rows[i].oid))
			return rows[i].digest;
	return NULL;
}

static fallible signature_look(struct looker *l, struct str der, struct err *err)
{
	struct der cert, tbs, alg, oid, sig;
	TRY(der_only(der, DER_SEQUENCE, &cert, err));
	struct cur c = cur_of(cert.body);
	TRY(der_want(&c, DER_SEQUENCE, &tbs, err));
	TRY(der_want(&c, DER_SEQUENCE, &alg, err));
	TRY(der_want(&c, DER_BIT_STRING, &sig, err));
	c = cur_of(alg.body);
	TRY(der_want(&c, DER_OID, &oid, err));
	const char *digest = digest_of_oid(oid.body);
	struct str bits = str_sub(sig.body, 1, sig.body.n); /* behind the count of unused bits */
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	bool good = ctx != NULL && digest != NULL &&
		    EVP_DigestVerifyInit_ex(ctx, NULL, digest, NULL, NULL, X509_get0_pubkey(l->issuer), NULL) == 1 &&
		    EVP_DigestVerify(ctx, (const unsigned char *)bits.p, bits.n, (const unsigned char *)tbs.whole.p,
				     tbs.whole.n) == 1;
	EVP_MD_CTX_free(ctx);
	l->verified++;
	if (good)
		return OK;
	err_cause_openssl(err);
	FAIL(err, ERR_MALFORMED, "the certificate's signature does not verify with its issuer's key");
}

/* --- the leaf --------------------------------------------------------------------------------------------------------*/

/* UTCTime and GeneralizedTime, as RFC 5280 4.1.2.5 wants them. */
static bool time_of(const struct der *d, int64_t *ret)
{
	struct str s = d->body;
	int64_t v[7] = { 0 };
	size_t at = 0, n = 0;
	if (d->tag == DER_UTC_TIME)
		v[n++] = 0;
	if (s.n != (d->tag == DER_UTC_TIME ? 13u : 15u) || s.p[s.n - 1] != 'Z')
		return false;
	for (; at + 1 < s.n; at += 2) {
		if (s.p[at] < '0' || s.p[at] > '9' || s.p[at + 1] < '0' || s.p[at + 1] > '9')
			return false;
		v[n++] = (s.p[at] - '0') * 10 + (s.p[at + 1] - '0');
	}
	if (d->tag == DER_UTC_TIME)
		v[0] = v[1] < 50 ? 20 : 19;
	struct civil c = { v[0] * 100 + v[1], (int)v[2], (int)v[3], (int)v[4], (int)v[5], (int)v[6] };
	*ret = civil_unix(&c);
	return true;
}

static fallible times_look(struct cur validity, struct err *err)
{
	struct der from, to;
	int64_t a = 0, b = 0, now = (int64_t)time(NULL);
	TRY(der_next(&validity, &from, err));
	TRY(der_next(&validity, &to, err));
	if (!time_of(&from, &a) || !time_of(&to, &b) || a > now + CLOCK_SKEW_S || b <= now)
		FAIL(err, ERR_MALFORMED, "the certificate is not valid now");
	return OK;
}

/* The names and no others. Each ends its first label with its number, when there are several, so that finding it is no
 * search; another order is fine. */
static fallible names_look(struct str san, const struct look_wanted *w, struct err *err)
{
	bool seen[NAMES_MAX] = { false };
	struct der all, name;
	size_t count = 0;
	TRY(der_only(san, DER_SEQUENCE, &all, err));
	for (struct cur c = cur_of(all.body); !cur_end(&c); count++) {
		TRY(der_want(&c, DER_CONTEXT(2), &name, err));
		uint64_t i = 0;
		size_t dot = str_find(name.body, '.', 0), dash = dot;
		while (dash > 0 && name.body.p[dash - 1] != '-')
			dash--;
		if (w->count > 1 && FAILED(str_u64(str_sub(name.body, dash, dot), w->count - 1, &i, NULL)))
			FAIL(err, ERR_MALFORMED, "the certificate has a name that was not asked for");
		if (seen[i] || !str_eq(name.body, w->names[i]))
			FAIL(err, ERR_MALFORMED, "the certificate has a name that was not asked for");
		seen[i] = true;
	}
	if (count != w->count)
		FAIL(err, ERR_MALFORMED, "the certificate has %zu names, %zu were asked for", count, w->count);
	return OK;
}

/* The value of subjectAltName, from [3] EXPLICIT Extensions. */
static fallible san_find(struct cur *tbs, struct str *ret, struct err *err)
{
	struct der e, ext, part;
	while (!cur_end(tbs) && !der_peek(tbs, DER_CONTEXT_MADE(3)))
		TRY(der_next(tbs, &e, err));
	TRY(der_want(tbs, DER_CONTEXT_MADE(3), &e, err));
	TRY(der_only(e.body, DER_SEQUENCE, &e, err));
	for (struct cur c = cur_of(e.body); !cur_end(&c);) {
		TRY(der_want(&c, DER_SEQUENCE, &ext, err));
		struct cur x = cur_of(ext.body);
		TRY(der_want(&x, DER_OID, &part, err));
		if (!str_eq(part.body, STR("\x55\x1d\x11")))
			continue;
		if (der_peek(&x, DER_BOOLEAN))
			TRY(der_next(&x, &part, err));
		TRY(der_want(&x, DER_OCTET_STRING, &part, err));
		*ret = part.body;
		return OK;
	}
	FAIL(err, ERR_MALFORMED, "the certificate has no subjectAltName");
}

static fallible leaf_look(struct looker *l, struct str der, const struct look_wanted *w, struct err *err)
{
	struct der cert, tbs, serial, e;
	struct str san;
	TRY(der_only(der, DER_SEQUENCE, &cert, err));
	struct cur c = cur_of(cert.body);
	TRY(der_want(&c, DER_SEQUENCE, &tbs, err));
	c = cur_of(tbs.body);
	TRY(der_want(&c, DER_CONTEXT_MADE(0), &e, err));
	TRY(der_want(&c, DER_INTEGER, &serial, err));
	TRY(der_want(&c, DER_SEQUENCE, &e, err)); /* the algorithm */
	TRY(der_want(&c, DER_SEQUENCE, &e, err));
	if (!str_eq(e.whole, l->issuer_name))
		FAIL(err, ERR_MALFORMED, "the certificate names another issuer than the one that comes with it");
	TRY(der_want(&c, DER_SEQUENCE, &e, err));
	TRY(times_look(cur_of(e.body), err));
	TRY(der_want(&c, DER_SEQUENCE, &e, err)); /* the subject */
	TRY(der_want(&c, DER_SEQUENCE, &e, err));
	if (!str_eq(e.whole, w->spki))
		FAIL(err, ERR_MALFORMED, "the certificate is for another key");
	TRY(san_find(&c, &san, err));
	TRY(names_look(san, w, err));
	if (!serial_is_new(l, serial.body))
		FAIL(err, ERR_MALFORMED, "a serial was given twice");
	return OK;
}

static fallible leaf_decode(struct looker *l, struct str base64, struct err *err)
{
	char *to = NULL;
	int n = 0, more = 0;
	buf_reset(&l->der);
	TRY(buf_room(&l->der, base64.n, &to, err));
	EVP_DecodeInit(l->base64);
	if (EVP_DecodeUpdate(l->base64, (unsigned char *)to, &n, (const unsigned char *)base64.p, (int)base64.n) < 0 ||
	    EVP_DecodeFinal(l->base64, (unsigned char *)to + n, &more) < 0)
		FAIL(err, ERR_MALFORMED, "the certificate is not base64");
	l->der.n = (size_t)(n + more);
	return OK;
}

fallible looker_check(struct looker *l, struct str pem, const struct look_wanted *w, struct str *ret_leaf,
		      struct err *err)
{
	static const char end[] = "-----END CERTIFICATE-----\n";
	struct str rest = pem;
	if (!str_skip(&rest, STR("-----BEGIN CERTIFICATE-----\n")))
		FAIL(err, ERR_MALFORMED, "no certificate is there");
	const char *stop = memmem(rest.p, rest.n, end, sizeof end - 1);
	if (stop == NULL)
		FAIL(err, ERR_MALFORMED, "no whole certificate is there");
	struct str leaf = str_sub(rest, 0, (size_t)(stop - rest.p));
	TRY(issuers_look(l, str_sub(rest, leaf.n + sizeof end - 1, rest.n), err));
	TRY(leaf_decode(l, leaf, err));
	TRY(leaf_look(l, buf_str(&l->der), w, err));
	if (l->looked == 0)
		TRY(openssl_look(l, buf_str(&l->der), w, err));
	if (l->looked++ % l->share == 0)
		TRY(signature_look(l, buf_str(&l->der), err));
	*ret_leaf = leaf;
	return OK;
}

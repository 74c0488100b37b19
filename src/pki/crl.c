/* SPDX-License-Identifier: Apache-2.0
 *
 * crl.c: certificate revocation lists (RFC 5280 5): written whole, never patched, and read back strictly, because the list
 * from before says which number comes next and what must not be forgotten.
 */
#include "pki/internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <time.h>

#define OID_CRL_NUMBER STR("\x55\x1d\x14")
#define OID_REASON_CODE STR("\x55\x1d\x15")
#define DER_ENUMERATED 0x0a
#define NUMBER_LEN_MAX 20 /* RFC 5280 5.2.3 */
#define SERIAL_LEN_MAX 20

/* --- writing --------------------------------------------------------------------------------------------------------*/
static void put_entry(struct derw *w, const struct crl_entry *e)
{
	const uint8_t reason = (uint8_t)e->reason;
	derw_open(w, DER_SEQUENCE);
	derw_uint(w, e->serial);
	derw_time(w, e->revoked_at);
	if (e->reason != 0) { /* unspecified is said by saying nothing (5.3.1) */
		derw_open(w, DER_SEQUENCE);
		ext_open(w, OID_REASON_CODE, false);
		derw_put(w, DER_ENUMERATED, str_n(&reason, 1));
		ext_close(w);
		derw_close(w);
	}
	derw_close(w);
}

static fallible check_entry(const struct crl *l, size_t i, struct err *err)
{
	const struct crl_entry *e = &l->v[i];
	if (e->serial.n == 0 || e->serial.n > SERIAL_LEN_MAX)
		FAIL(err, ERR_INTERNAL, "a revoked serial of %zu bytes, wanted 1 to %d", e->serial.n, SERIAL_LEN_MAX);
	if (e->reason < 0 || e->reason > 10 || e->reason == 7)
		FAIL(err, ERR_CONFIG, "%d is no reason of a revocation (RFC 5280 5.3.1)", e->reason);
	for (size_t k = 0; k < i; k++)
		if (str_eq(l->v[k].serial, e->serial))
			FAIL(err, ERR_CONFIG, "a serial stands in the list twice");
	return OK;
}

static fallible check_list(const struct crl *l, struct err *err)
{
	if (l->count > CRL_ENTRIES_MAX)
		FAIL(err, ERR_CONFIG, "a list of %zu certificates, at most %d", l->count, CRL_ENTRIES_MAX);
	if (l->number.n == 0 || l->number.n > NUMBER_LEN_MAX)
		FAIL(err, ERR_CONFIG, "a list's number of %zu bytes, wanted 1 to %d", l->number.n, NUMBER_LEN_MAX);
	if (l->next_update <= l->this_update)
		FAIL(err, ERR_CONFIG, "the list would end before it begins");
	for (size_t i = 0; i < l->count; i++)
		TRY(check_entry(l, i, err));
	return OK;
}

static void put_tbs(struct derw *w, const struct cert *issuer, const struct key *key, const struct crl *l)
{
	static const uint8_t version_2 = 1;
	derw_open(w, DER_SEQUENCE);
	derw_uint(w, str_n(&version_2, 1));
	derw_raw(w, key_x509_algorithm(key));
	derw_raw(w, issuer->subject);
	derw_time(w, l->this_update);
	derw_time(w, l->next_update);
	if (l->count > 0) { /* an empty one is left out (5.1.2.6) */
		derw_open(w, DER_SEQUENCE);
		for (size_t i = 0; i < l->count; i++)
			put_entry(w, &l->v[i]);
		derw_close(w);
	}
	derw_open(w, DER_CONTEXT_MADE(0));
	derw_open(w, DER_SEQUENCE);
	ext_aki(w, issuer->ski);
	ext_open(w, OID_CRL_NUMBER, false);
	derw_uint(w, l->number);
	ext_close(w);
	derw_close(w);
	derw_close(w);
	derw_close(w);
}

static void crl_auto(X509_CRL **p)
{
	X509_CRL_free(*p);
}

/* OpenSSL, which did not write it, reads and verifies it. */
static fallible verify(const struct cert *issuer, struct str der, struct err *err)
{
	AUTO(key_auto) struct key *k = NULL;
	const unsigned char *p = (const unsigned char *)der.p;
	AUTO(crl_auto) X509_CRL *x = d2i_X509_CRL(NULL, &p, (long)der.n);
	if (x == NULL || p != (const unsigned char *)der.p + der.n) {
		ERR_clear_error();
		FAIL(err, ERR_MALFORMED, "it is no revocation list");
	}
	TRY(cert_get_key(issuer, &k, err));
	if (X509_CRL_verify(x, key_get_evp(k)) != 1) {
		ERR_clear_error();
		FAIL(err, ERR_MALFORMED, "its signature is not the issuer's");
	}
	return OK;
}

fallible crl_make(const struct crypto *c, const struct cert *issuer, const struct key *key, const struct crl *l,
		  struct buf *ret_der, struct err *err)
{
	AUTO(buf_done) struct buf tbs = BUF_MAX(CRL_DER_MAX), der = BUF_MAX(CRL_DER_MAX);
	TRY(check_list(l, err));
	if ((issuer->usage & USAGE_CRL_SIGN) == 0 || issuer->ski.n == 0)
		FAIL(err, ERR_CONFIG, "the certificate may not sign revocation lists (keyUsage lacks cRLSign)");
	struct derw w = derw_begin(&tbs, err);
	put_tbs(&w, issuer, key, l);
	TRY(derw_end(&w));
	TRY(cert_wrap(c, key, buf_str(&tbs), &der, err));
	if (FAILED(verify(issuer, buf_str(&der), err))) {
		err_prefix(err, "the revocation list that was just signed: ");
		return (struct rc){ err->kind };
	}
	return buf_add(ret_der, buf_str(&der), err);
}

/* --- reading --------------------------------------------------------------------------------------------------------*/
static fallible read_uint(struct cur *c, size_t max, struct str *ret, struct err *err)
{
	struct der d;
	TRY(der_want(c, DER_INTEGER, &d, err));
	struct str v = d.body;
	if (v.n == 0 || ((uint8_t)v.p[0] & 0x80) != 0)
		FAIL(err, ERR_MALFORMED, "a negative number");
	if (v.n > 1 && v.p[0] == 0)
		v = str_sub(v, 1, v.n);
	if (v.n > max)
		FAIL(err, ERR_MALFORMED, "a number of %zu bytes, at most %zu", v.n, max);
	*ret = v;
	return OK;
}

static fallible read_time(struct cur *c, int64_t *ret, struct err *err)
{
	struct der d;
	struct tm tm = { 0 };
	TRY(der_next(c, &d, err));
	if (d.tag != DER_UTC_TIME && d.tag != DER_GENERALIZED_TIME)
		FAIL(err, ERR_MALFORMED, "no time where one was wanted");
	ASN1_TIME *t = ASN1_TIME_new();
	const bool good = t != NULL && ASN1_STRING_set(t, d.body.p, (int)d.body.n) == 1;
	bool read = false;
	if (good) {
		t->type = d.tag == DER_UTC_TIME ? V_ASN1_UTCTIME : V_ASN1_GENERALIZEDTIME;
		read = ASN1_TIME_to_tm(t, &tm) == 1;
	}
	ASN1_TIME_free(t);
	ERR_clear_error();
	if (!read)
		FAIL(err, ERR_MALFORMED, "a time that does not parse");
	*ret = (int64_t)timegm(&tm);
	return OK;
}

static fallible read_reason(struct str extensions, int *ret, struct err *err)
{
	struct ext e;
	struct der d;
	for (struct cur c = cur_of(extensions); !cur_end(&c);) {
		TRY(ext_next(&c, &e, err));
		const bool is_reason = str_eq(e.oid, OID_REASON_CODE);
		if (!is_reason && e.critical)
			FAIL(err, ERR_MALFORMED, "an entry with a critical extension that is not served");
		if (!is_reason) /* invalidityDate and the like */
			continue;
		TRY(der_only(e.value, DER_ENUMERATED, &d, err));
		if (d.body.n != 1 || (uint8_t)d.body.p[0] > 10 || d.body.p[0] == 7)
			FAIL(err, ERR_MALFORMED, "an entry with a reason that is none");
		*ret = (uint8_t)d.body.p[0];
	}
	return OK;
}

static fallible read_entry(struct cur *c, struct crl_entry *ret, struct err *err)
{
	struct der seq, extensions;
	struct crl_entry e = { .reason = 0 };
	TRY(der_want(c, DER_SEQUENCE, &seq, err));
	struct cur in = cur_of(seq.body);
	TRY(read_uint(&in, SERIAL_LEN_MAX, &e.serial, err));
	TRY(read_time(&in, &e.revoked_at, err));
	if (!cur_end(&in)) {
		TRY(der_want(&in, DER_SEQUENCE, &extensions, err));
		TRY(read_reason(extensions.body, &e.reason, err));
	}
	if (!cur_end(&in))
		FAIL(err, ERR_MALFORMED, "bytes after an entry");
	*ret = e;
	return OK;
}

static fallible read_entries(struct arena *mem, struct str body, struct crl *l, struct err *err)
{
	size_t cap = body.n / 20 + 1; /* an entry is longer: SEQUENCE, serial, time of 13 digits */
	l->v = ARENA_ARRAY(mem, struct crl_entry, cap);
	for (struct cur c = cur_of(body); !cur_end(&c);) {
		if (l->count == cap || l->count == CRL_ENTRIES_MAX)
			FAIL(err, ERR_MALFORMED, "more than %zu entries", l->count);
		TRY(read_entry(&c, &l->v[l->count], err));
		l->count++;
	}
	return OK;
}

static fallible read_number(struct str extensions, struct crl *l, struct err *err)
{
	struct ext e;
	for (struct cur c = cur_of(extensions); !cur_end(&c);) {
		TRY(ext_next(&c, &e, err));
		if (e.critical) /* a part of a list, or somebody else's certificates: not what comes from here */
			FAIL(err, ERR_MALFORMED, "a critical extension that is not served");
		if (!str_eq(e.oid, OID_CRL_NUMBER))
			continue;
		struct cur number = cur_of(e.value);
		TRY(read_uint(&number, NUMBER_LEN_MAX, &l->number, err));
		if (!cur_end(&number))
			FAIL(err, ERR_MALFORMED, "bytes after the number");
	}
	if (l->number.n == 0)
		FAIL(err, ERR_MALFORMED, "it has no number");
	return OK;
}

static fallible read_tbs(struct arena *mem, struct str body, const struct cert *issuer, struct crl *l, struct err *err)
{
	struct der d;
	struct cur c = cur_of(body);
	TRY(der_want(&c, DER_INTEGER, &d, err));
	if (!str_eq(d.body, STR("\x01")))
		FAIL(err, ERR_MALFORMED, "it is not of version 2");
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	if (!str_eq(d.whole, issuer->subject))
		FAIL(err, ERR_MALFORMED, "it is another issuer's");
	TRY(read_time(&c, &l->this_update, err));
	TRY(read_time(&c, &l->next_update, err));
	if (der_peek(&c, DER_SEQUENCE)) {
		TRY(der_want(&c, DER_SEQUENCE, &d, err));
		TRY(read_entries(mem, d.body, l, err));
	}
	TRY(der_want(&c, DER_CONTEXT_MADE(0), &d, err));
	if (!cur_end(&c))
		FAIL(err, ERR_MALFORMED, "bytes after the extensions");
	TRY(der_only(d.body, DER_SEQUENCE, &d, err));
	return read_number(d.body, l, err);
}

fallible crl_read(struct arena *mem, struct str der, const struct cert *issuer, struct crl *ret, struct err *err)
{
	struct der seq, tbs;
	struct crl l = { .count = 0 };
	if (der.n > CRL_DER_MAX)
		FAIL(err, ERR_MALFORMED, "a revocation list of %zu bytes, at most %d", der.n, CRL_DER_MAX);
	TRY(der_check(der, err));
	TRY(der_only(der, DER_SEQUENCE, &seq, err));
	struct cur c = cur_of(seq.body);
	TRY(der_want(&c, DER_SEQUENCE, &tbs, err));
	TRY(read_tbs(mem, tbs.body, issuer, &l, err));
	TRY(verify(issuer, der, err));
	*ret = l;
	return OK;
}

/* The next number, in mem: one more than this one. */
fallible crl_number_after(struct arena *mem, struct str number, struct str *ret, struct err *err)
{
	uint8_t *p = arena_alloc(mem, number.n + 1);
	p[0] = 0;
	memcpy(p + 1, number.p, number.n);
	size_t i = number.n;
	while (++p[i] == 0)
		i--; /* ends at p[0], which was 0 */
	*ret = p[0] == 0 ? str_n(p + 1, number.n) : str_n(p, number.n + 1);
	if (ret->n > NUMBER_LEN_MAX)
		FAIL(err, ERR_CONFIG, "the list's number cannot grow any more");
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_second.c: RFC 5280 4.1 as templates for OpenSSL's ASN.1 reader and writer.
 */
#include "pki/lint_second.h"

#include <openssl/asn1t.h>
#include <openssl/err.h>

ASN1_SEQUENCE(second_key) = {
	ASN1_SIMPLE(struct second_key, algorithm, X509_ALGOR),
	ASN1_SIMPLE(struct second_key, bits, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END_name(struct second_key, second_key)

ASN1_SEQUENCE(second_tbs) = {
	ASN1_EXP_OPT(struct second_tbs, version, ASN1_INTEGER, 0),
	ASN1_SIMPLE(struct second_tbs, serial, ASN1_INTEGER),
	ASN1_SIMPLE(struct second_tbs, algorithm, X509_ALGOR),
	ASN1_SIMPLE(struct second_tbs, issuer, X509_NAME),
	ASN1_SIMPLE(struct second_tbs, validity, X509_VAL),
	ASN1_SIMPLE(struct second_tbs, subject, X509_NAME),
	ASN1_SIMPLE(struct second_tbs, key, second_key),
	ASN1_IMP_OPT(struct second_tbs, issuer_id, ASN1_BIT_STRING, 1),
	ASN1_IMP_OPT(struct second_tbs, subject_id, ASN1_BIT_STRING, 2),
	ASN1_EXP_SEQUENCE_OF_OPT(struct second_tbs, extensions, X509_EXTENSION, 3),
} static_ASN1_SEQUENCE_END_name(struct second_tbs, second_tbs)

ASN1_SEQUENCE(second) = {
	ASN1_SIMPLE(struct second, tbs, second_tbs),
	ASN1_SIMPLE(struct second, algorithm, X509_ALGOR),
	ASN1_SIMPLE(struct second, signature, ASN1_BIT_STRING),
} static_ASN1_SEQUENCE_END_name(struct second, second)

struct second *second_read(struct str der)
{
	const uint8_t *p = (const uint8_t *)der.p;
	struct second *s = (struct second *)ASN1_item_d2i(NULL, &p, (long)der.n, ASN1_ITEM_rptr(second));
	ERR_clear_error();
	if (s != NULL && p == (const uint8_t *)der.p + der.n)
		return s;
	second_free(s);
	return NULL;
}

void second_free(struct second *s)
{
	ASN1_item_free((ASN1_VALUE *)s, ASN1_ITEM_rptr(second));
}

void second_auto(struct second **s)
{
	second_free(*s);
}

static fallible write_item(const void *value, const ASN1_ITEM *it, struct arena *mem, struct str *ret, struct err *err)
{
	uint8_t *out = NULL;
	int n = ASN1_item_i2d((const ASN1_VALUE *)value, &out, it);
	if (n < 0) {
		ERR_clear_error();
		FAIL(err, ERR_INTERNAL, "OpenSSL does not write it again");
	}
	*ret = str_dup(mem, str_n(out, (size_t)n));
	OPENSSL_free(out);
	return OK;
}

fallible second_write_tbs(const struct second *s, struct arena *mem, struct str *ret, struct err *err)
{
	return write_item(s->tbs, ASN1_ITEM_rptr(second_tbs), mem, ret, err);
}

fallible second_write_key(const struct second *s, struct arena *mem, struct str *ret, struct err *err)
{
	return write_item(s->tbs->key, ASN1_ITEM_rptr(second_key), mem, ret, err);
}

void *second_ext(const struct second *s, int nid, bool *ret_there)
{
	int critical;
	void *value = X509V3_get_d2i(s->tbs->extensions, nid, &critical, NULL);
	*ret_there = critical != -1;
	return value;
}

bool second_exts_parse(const struct second *s)
{
	const STACK_OF(X509_EXTENSION) *exts = s->tbs->extensions;
	bool good = true;
	for (int i = 0; i < sk_X509_EXTENSION_num(exts) && good; i++) {
		X509_EXTENSION *e = sk_X509_EXTENSION_value(exts, i);
		const X509V3_EXT_METHOD *kind = X509V3_EXT_get(e);
		void *value = kind == NULL || kind->it == NULL ? NULL : X509V3_EXT_d2i(e);
		good = kind == NULL || kind->it == NULL || value != NULL;
		if (value != NULL)
			ASN1_item_free((ASN1_VALUE *)value, ASN1_ITEM_ptr(kind->it));
	}
	ERR_clear_error();
	return good;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_second.h: a certificate as OpenSSL's ASN.1 reader understands it, which did not write it. The key's bits are left as
 * they stand: decoding them goes through OpenSSL's decoders, costs more than a signature, and says nothing that the
 * bytes do not (they are compared with the subscriber's).
 */
#ifndef CAIRN_PKI_LINT_SECOND_H
#define CAIRN_PKI_LINT_SECOND_H

#include "pki/internal.h"

#include <openssl/x509v3.h>

struct second_key {
	X509_ALGOR *algorithm;
	ASN1_BIT_STRING *bits;
};
struct second_tbs {
	ASN1_INTEGER *version, *serial;
	X509_ALGOR *algorithm;
	X509_NAME *issuer;
	X509_VAL *validity;
	X509_NAME *subject;
	struct second_key *key;
	ASN1_BIT_STRING *issuer_id, *subject_id;
	STACK_OF(X509_EXTENSION) * extensions;
};
struct second {
	struct second_tbs *tbs;
	X509_ALGOR *algorithm;
	ASN1_BIT_STRING *signature;
};
/* NULL: OpenSSL does not read it, all of it. */
struct second *second_read(struct str der);
void second_free(struct second *s); /* accepts NULL */
void second_auto(struct second **s);
/* Written again from what was understood. */
fallible second_write_tbs(const struct second *s, struct arena *mem, struct str *ret, struct err *err);
fallible second_write_key(const struct second *s, struct arena *mem, struct str *ret, struct err *err);
/* An extension's value; NULL: not there, there twice, or not of its form (*ret_there says whether it is there). */
void *second_ext(const struct second *s, int nid, bool *ret_there);
/* Has each that OpenSSL knows its form? */
bool second_exts_parse(const struct second *s);

#endif

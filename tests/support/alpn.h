/* SPDX-License-Identifier: Apache-2.0
 *
 * alpn.h: makes certificates for tls-alpn-01 (RFC 8737 3), right ones and those with one thing wrong.
 */
#ifndef CAIRN_TESTS_SUPPORT_ALPN_H
#define CAIRN_TESTS_SUPPORT_ALPN_H

#include "crypto/crypto.h"

#define ALPN_OID STR("\x2b\x06\x01\x05\x05\x07\x01\x1f")
#define ALPN_OID_DRAFT STR("\x2b\x06\x01\x05\x05\x07\x01\x1e\x01")

struct alpn_cert { /* zeroed but for digest and a name: a right one */
	struct str digest;
	struct str names[3]; /* dNSNames of the SAN, up to the first empty one */
	struct str ip;       /* octets of an iPAddress, behind them */
	struct str email;    /* an rfc822Name, behind it */
	struct str common_name;
	bool no_san, other_issuer, not_critical, false_spelled_out, digest_bare, acme_twice, san_twice, no_acme,
		version_1, two_algorithms;
	struct str acme_oid;      /* empty: the right one */
	size_t more_extensions;   /* of no meaning */
	const struct key *signer; /* NULL: the subject's own key */
};

static inline void alpn_put_name(struct derw *w, struct str common_name)
{
	derw_open(w, DER_SEQUENCE);
	derw_open(w, DER_SET);
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, STR("\x55\x04\x03"));
	derw_put(w, DER_UTF8_STRING, common_name);
	derw_close(w);
	derw_close(w);
	derw_close(w);
}

static inline void alpn_put_san(struct derw *w, const struct alpn_cert *a)
{
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, STR("\x55\x1d\x11"));
	derw_open(w, DER_OCTET_STRING);
	derw_open(w, DER_SEQUENCE);
	for (size_t i = 0; i < ARRAY_LEN(a->names) && a->names[i].n > 0; i++)
		derw_put(w, DER_CONTEXT(2), a->names[i]);
	if (a->ip.n > 0)
		derw_put(w, DER_CONTEXT(7), a->ip);
	if (a->email.n > 0)
		derw_put(w, DER_CONTEXT(1), a->email);
	derw_close(w);
	derw_close(w);
	derw_close(w);
}

static inline void alpn_put_acme(struct derw *w, const struct alpn_cert *a)
{
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, a->acme_oid.n > 0 ? a->acme_oid : ALPN_OID);
	if (!a->not_critical)
		derw_bool(w, true);
	else if (a->false_spelled_out)
		derw_bool(w, false);
	derw_open(w, DER_OCTET_STRING);
	if (a->digest_bare)
		derw_raw(w, a->digest);
	else
		derw_put(w, DER_OCTET_STRING, a->digest);
	derw_close(w);
	derw_close(w);
}

static inline void alpn_put_extensions(struct derw *w, const struct alpn_cert *a)
{
	derw_open(w, DER_CONTEXT_MADE(3));
	derw_open(w, DER_SEQUENCE);
	for (int i = 0; !a->no_san && i < (a->san_twice ? 2 : 1); i++)
		alpn_put_san(w, a);
	for (int i = 0; !a->no_acme && i < (a->acme_twice ? 2 : 1); i++)
		alpn_put_acme(w, a);
	for (size_t i = 0; i < a->more_extensions; i++) {
		char oid[3] = { 0x2a, 0x03, (char)(i & 0x7f) };
		derw_open(w, DER_SEQUENCE);
		derw_put(w, DER_OID, str_n(oid, sizeof oid));
		derw_put(w, DER_OCTET_STRING, STR("x"));
		derw_close(w);
	}
	derw_close(w);
	derw_close(w);
}

static inline fallible alpn_cert_make(const struct crypto *c, const struct key *k, const struct alpn_cert *a,
				      struct buf *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf tbs = BUF_MAX(65536);
	const struct key *signer = a->signer != NULL ? a->signer : k;
	struct str name = a->common_name.n > 0 ? a->common_name : STR("ACME challenge"), spki, sig;
	TRY(key_spki(&mem, k, &spki, err));
	struct derw w = derw_begin(&tbs, err);
	derw_open(&w, DER_SEQUENCE);
	if (!a->version_1) {
		derw_open(&w, DER_CONTEXT_MADE(0));
		derw_uint(&w, STR("\x02"));
		derw_close(&w);
	}
	derw_uint(&w, STR("\x01"));
	derw_raw(&w, a->two_algorithms ? STR("\x30\x05\x06\x03\x2b\x65\x71") : key_x509_algorithm(signer));
	alpn_put_name(&w, a->other_issuer ? STR("Somebody's CA") : name);
	derw_open(&w, DER_SEQUENCE);
	derw_time(&w, 1000000000); /* long over, which RFC 8737 does not mind */
	derw_time(&w, 1100000000);
	derw_close(&w);
	alpn_put_name(&w, name);
	derw_raw(&w, spki);
	if (!a->version_1)
		alpn_put_extensions(&w, a);
	derw_close(&w);
	TRY(derw_end(&w));
	TRY(sig_sign_x509(c, signer, buf_str(&tbs), &mem, &sig, err));
	w = derw_begin(ret, err);
	derw_open(&w, DER_SEQUENCE);
	derw_raw(&w, buf_str(&tbs));
	derw_raw(&w, key_x509_algorithm(signer));
	derw_bits(&w, sig);
	derw_close(&w);
	return derw_end(&w);
}

#endif

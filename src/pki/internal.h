/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what the files of pki share: the parts of a parsed certificate as slices of its DER, and the writers that
 * requests, leaves and CA certificates have in common.
 */
#ifndef CAIRN_PKI_INTERNAL_H
#define CAIRN_PKI_INTERNAL_H

#include "pki/pki.h"

#include <openssl/x509.h>
#include <stdatomic.h>

/* Bodies of OBJECT IDENTIFIERs. */
#define OID_COMMON_NAME STR("\x55\x04\x03")
#define OID_COUNTRY STR("\x55\x04\x06")
#define OID_LOCALITY STR("\x55\x04\x07")
#define OID_STATE STR("\x55\x04\x08")
#define OID_ORGANIZATION STR("\x55\x04\x0a")
#define OID_SKI STR("\x55\x1d\x0e")
#define OID_KEY_USAGE STR("\x55\x1d\x0f")
#define OID_SAN STR("\x55\x1d\x11")
#define OID_BASIC_CONSTRAINTS STR("\x55\x1d\x13")
#define OID_NAME_CONSTRAINTS STR("\x55\x1d\x1e")
#define OID_CRLDP STR("\x55\x1d\x1f")
#define OID_POLICIES STR("\x55\x1d\x20")
#define OID_ANY_POLICY STR("\x55\x1d\x20\x00")
#define OID_AKI STR("\x55\x1d\x23")
#define OID_EKU STR("\x55\x1d\x25")
#define OID_ANY_EKU STR("\x55\x1d\x25\x00")
#define OID_AIA STR("\x2b\x06\x01\x05\x05\x07\x01\x01")
#define OID_CA_ISSUERS STR("\x2b\x06\x01\x05\x05\x07\x30\x02")
#define OID_SERVER_AUTH STR("\x2b\x06\x01\x05\x05\x07\x03\x01")
#define OID_CLIENT_AUTH STR("\x2b\x06\x01\x05\x05\x07\x03\x02")
#define OID_CODE_SIGNING STR("\x2b\x06\x01\x05\x05\x07\x03\x03")
#define OID_EMAIL_PROTECTION STR("\x2b\x06\x01\x05\x05\x07\x03\x04")
#define OID_TLS_FEATURE STR("\x2b\x06\x01\x05\x05\x07\x01\x18")
#define OID_EXTENSION_REQUEST STR("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e")

/* Named bits of KeyUsage as the whole BIT STRING (RFC 5280 4.2.1.3). */
#define KU_SIGN STR("\x03\x02\x07\x80")
#define KU_SIGN_ENCIPHER STR("\x03\x02\x05\xa0")
#define KU_SIGN_AGREE STR("\x03\x02\x03\x88")
#define KU_CA STR("\x03\x02\x01\x06")

/* TLS feature 5, status_request, alone (RFC 7633 4.1). */
#define MUST_STAPLE STR("\x30\x03\x02\x01\x05")

#define TAG_RFC822_NAME DER_CONTEXT(1)
#define TAG_DNS_NAME DER_CONTEXT(2)
#define TAG_URI DER_CONTEXT(6)
#define TAG_IP_ADDRESS DER_CONTEXT(7)

struct ext {
	struct str oid;
	bool critical;
	struct str value; /* what the OCTET STRING holds */
};
/* Extensions is a SEQUENCE OF: *c stands in its body. Refuses an explicit FALSE, which DER leaves out. */
fallible ext_next(struct cur *c, struct ext *ret, struct err *err);
/* The dNSNames, iPAddresses and rfc822Names of a SubjectAltName's value, each in the order of the text. Any other kind
 * of name is refused, and so are IPv4-mapped addresses and more than CERT_NAMES_MAX in all. */
struct san {
	struct str *names;
	size_t name_count;
	struct addr *addrs;
	size_t addr_count;
	struct str *emails;
	size_t email_count;
};
fallible san_read(struct arena *mem, struct str value, struct san *ret, struct err *err);

/* --- values.c: true when the value has its form --- */
bool value_time(const struct der *d, int64_t *ret);
struct basic_constraints {
	bool ca, has_path_len;
};
bool value_basic_constraints(struct str value, struct basic_constraints *ret);
bool value_key_usage(struct str value, unsigned *ret); /* bit 15 - n is named bit n */
#define USAGE(n) (0x8000u >> (n))
#define USAGE_SIGN USAGE(0)
#define USAGE_KEY_ENCIPHER USAGE(2)
#define USAGE_DATA_ENCIPHER USAGE(3)
#define USAGE_KEY_AGREE USAGE(4)
#define USAGE_CERT_SIGN USAGE(5)
#define USAGE_CRL_SIGN USAGE(6)
#define USAGE_ALL 0xff80u

struct cert {
	atomic_uint refs;
	X509 *_Atomic x509_slot;
	X509 *_Atomic *x509; /* the slot: OpenSSL's form is made when somebody asks for it first */
	struct str tbs, serial, algorithm, issuer, subject, spki; /* whole elements; serial is the INTEGER's body */
	struct str signature; /* what the BIT STRING holds; empty when that is no number of whole bytes */
	struct ext *exts;     /* in their order, of each kind one */
	size_t ext_count;
	struct str ski; /* keyIdentifier octets; empty when there is none */
	bool is_ca;
	unsigned usage; /* value_key_usage; 0: no keyUsage */
	int64_t not_before, not_after;
	size_t der_n;
	char der[];
};
struct cert *cert_ref(struct cert *c);
static inline bool cert_may_sign_certs(const struct cert *c)
{
	return (c->usage & USAGE_CERT_SIGN) != 0;
}
/* By OpenSSL, whatever the algorithm: for chains, which others may have signed. */
bool cert_verifies(const struct cert *c, const struct key *k);
bool cert_find_ext(const struct cert *c, struct str oid, struct ext *ret);

struct issuer {
	const struct crypto *crypto;
	struct cert **chain;
	size_t chain_count;
	struct key *key;        /* NULL: can describe and lint, not sign */
	struct key *public;     /* the certificate's */
	struct buf chain_pem;   /* as it goes with each certificate */
	struct buf placeholder; /* a signature of this kind of key over nothing, by a key that is nobody's */
};
static inline const struct cert *issuer_cert(const struct issuer *i)
{
	return i->chain[0];
}

/* Writers. */
void ext_open(struct derw *w, struct str oid, bool critical); /* SEQUENCE { OID, BOOLEAN?, OCTET STRING { */
void ext_close(struct derw *w);
void ext_put(struct derw *w, struct str oid, bool critical, struct str value);
/* As an iPAddress holds it (RFC 5280 4.2.1.6). */
static inline struct str addr_bytes(const struct addr *a)
{
	return str_n(a->b, a->family == AF_INET ? 4 : 16);
}

/* ::ffff:0:0/96: an IPv4 address in another spelling, of which a certificate has no second one. */
bool addr_is_mapped(const struct addr *a);

/* Of r only its names: dNSNames, then iPAddresses, then rfc822Names. */
void ext_san(struct derw *w, bool critical, const struct cert_request *r);
void ext_eku(struct derw *w, unsigned ekus);
/* The bit of this key purpose; 0: another one. */
unsigned eku_of(struct str oid);
/* The KeyUsage of a leaf with this key, as a whole BIT STRING. */
struct str leaf_key_usage(const struct cert_template *t, const struct key *k);
void ext_aki(struct derw *w, struct str key_id);
void ext_aia(struct derw *w, struct str url); /* caIssuers */
void ext_crldp(struct derw *w, struct str url);
/* RelativeDistinguishedName of one attribute of this string type */
void rdn_put(struct derw *w, struct str oid, unsigned tag, struct str value);
/* A Name: the fields that are not empty. s may be NULL. */
void subject_put(struct derw *w, const struct cert_subject *s, struct str common_name);
bool subject_is_empty(const struct cert_subject *s); /* NULL is */
/* The common name that a leaf gets; empty: none. */
struct str leaf_common_name(const struct cert_template *t, const struct cert_request *r);
/* version 3, serial, algorithm, issuer, validity, subject, key: all of a TBSCertificate before its extensions. */
struct tbs_head {
	struct str serial, algorithm, issuer, subject, spki;
	int64_t not_before, not_after;
};
void tbs_put_head(struct derw *w, const struct tbs_head *h);
/* --- signed.c: SEQUENCE { content, AlgorithmIdentifier, BIT STRING }, as certificates, requests and lists are --- */
struct signed_parts {
	struct str content, algorithm; /* whole */
	struct str signature;          /* what the BIT STRING holds; empty when that is no number of whole bytes */
};
fallible signed_split(struct str der, struct signed_parts *ret, struct err *err);
/* ECDSA or RSA with SHA-2, by the exact AlgorithmIdentifier; `what` it is, for the refusal: "request". */
fallible signed_verify(const struct crypto *c, const struct signed_parts *parts, const struct key *k, const char *what,
		       struct err *err);
/* Signed by k. */
fallible cert_wrap(const struct crypto *c, const struct key *k, struct str tbs, struct buf *ret_der, struct err *err);
/* Reads der again, verifies it with k's public half, and has OpenSSL read it too. */
fallible cert_verify_der(struct str der, const struct key *k, struct cert **ret, struct err *err);

#endif

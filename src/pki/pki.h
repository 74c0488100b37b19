/* SPDX-License-Identifier: Apache-2.0
 *
 * pki.h: certificate requests in, certificates out, and the lint between. Nothing here holds a policy of a realm and
 * nothing is copied from a request but its key: the certificate is made from a template (DESIGN 5).
 */
#ifndef CAIRN_PKI_PKI_H
#define CAIRN_PKI_PKI_H

#include "crypto/crypto.h"

#define SERIAL_LEN 18
#define CERT_DER_MAX (16 * 1024)
#define CSR_DER_MAX (16 * 1024)
#define CERT_NAMES_MAX 100

/* 0x01..0x7f, then 17 random bytes (RULES R1): positive, < 2^159, 136 random bits. */
struct serial {
	uint8_t b[SERIAL_LEN];
};
struct serial serial_new(uint8_t instance_prefix, const struct rng *rng);
struct str serial_hex(struct arena *mem, const struct serial *s);
fallible serial_read_hex(struct str text, struct serial *ret, struct err *err);

/* What a CSR says that matters (RFC 8555 7.4): its key and the names it asks for. */
struct csr {
	struct key *key;   /* owned; csr_done */
	struct str *names; /* dNSNames of the SAN and the CN if it is one, lower case, sorted, no duplicates */
	size_t name_count;
	struct addr *addrs; /* iPAddresses of the SAN (RFC 8738); addr_compare's order, no duplicates */
	size_t addr_count;
	struct sha256 spki_hash; /* SHA-256 of the DER SubjectPublicKeyInfo */
	bool must_staple;        /* it asks for TLS feature 5 (RFC 7633): whether it gets it is the profile's to say */
};
/* Strict DER, no trailing bytes, version 1, self-signature verified with SHA-2 (A23), key policy checked, SAN of
 * dNSName and iPAddress only (other kinds of name: ERR_BAD_CSR naming the kind), CN allowed only when it is one of the
 * names (an address in its RFC 5952 form) or the only name; CA:TRUE refused; other requested extensions ignored. All
 * errors ERR_BAD_CSR. Checks sizes before signatures. */
fallible csr_read(const struct crypto *c, struct arena *mem, struct str der, struct csr *ret, struct err *err);
void csr_done(struct csr *r);
/* The key alone, which the request's signature proves; what it asks for is not looked at. For a CA's own request. */
fallible csr_read_key(const struct crypto *c, struct str der, struct key **ret, struct err *err);
/* Makes one (for the client): subject empty, SAN of the names. */
fallible csr_make(const struct crypto *c, const struct key *k, const struct str *names, size_t count,
		  struct buf *ret_der, struct err *err);
/* The same with addresses after the names; one of both must be there. */
fallible csr_make_for(const struct crypto *c, const struct key *k, const struct str *names, size_t name_count,
		      const struct addr *addrs, size_t addr_count, struct buf *ret_der, struct err *err);

struct cert; /* a parsed X.509 certificate; immutable, reference-counted */
fallible cert_read_der(struct str der, struct cert **ret, struct err *err);
/* PEM blocks of kind CERTIFICATE, 1 to max of them; anything else between them is refused. */
fallible cert_read_pem(struct str pem, struct cert **ret, size_t max, size_t *ret_count, struct err *err);
fallible cert_read_pem_file(const char *path, struct cert **ret, size_t max, size_t *ret_count, struct err *err);
void cert_free(struct cert *c);
void cert_auto(struct cert **c);
struct str cert_get_der(const struct cert *c);     /* borrowed */
X509 *cert_get_x509(const struct cert *c);         /* borrowed; NULL: OpenSSL does not read it */
int64_t cert_get_not_before(const struct cert *c); /* unix seconds */
int64_t cert_get_not_after(const struct cert *c);
fallible cert_get_key(const struct cert *c, struct key **ret, struct err *err);
fallible cert_add_pem(const struct cert *c, struct buf *ret, struct err *err); /* appends one PEM block */
fallible der_add_pem(struct str der, struct buf *ret, struct err *err);
/* --- pem.c: other kinds, such as "CERTIFICATE REQUEST" and "X509 CRL", which codec's pem_add writes ---
 * One block of this kind, in mem; or the text itself when it is DER. At most INT_MAX bytes. */
fallible pem_read(struct arena *mem, const char *kind, struct str text, struct str *ret, struct err *err);
fallible cert_fingerprint(const struct crypto *c, const struct cert *cert, struct sha256 *ret, struct err *err);
fallible cert_get_dns_names(struct arena *mem, const struct cert *c, struct str **ret, size_t *ret_count,
			    struct err *err);
fallible cert_get_addrs(struct arena *mem, const struct cert *c, struct addr **ret, size_t *ret_count, struct err *err);
fallible cert_get_emails(struct arena *mem, const struct cert *c, struct str **ret, size_t *ret_count, struct err *err);
/* The keyIdentifier of its authorityKeyIdentifier (RFC 9773 4.1 names certificates by it); ERR_NOT_FOUND: none. */
fallible cert_get_aki(struct arena *mem, const struct cert *c, struct str *ret, struct err *err);
/* SHA-256 of its SubjectPublicKeyInfo. */
fallible cert_get_spki_hash(const struct crypto *c, const struct cert *cert, struct sha256 *ret, struct err *err);
/* Another way up for an issuer's certificates (RFC 8555 7.4.2): each certifies the one before it, and the first has the
 * issuer's subject and key. ERR_CONFIG says which link is wrong. */
fallible chain_check_alternate(const struct cert *issuer, struct cert *const *chain, size_t count, struct err *err);
/* Whether c's issuer and authorityKeyIdentifier (when it has one) are this one's subject and subjectKeyIdentifier. No
 * signature is looked at. */
bool cert_names_issuer(const struct cert *c, const struct cert *issuer);
/* The same, and its signature is that one's. ERR_MALFORMED. */
fallible cert_check_issued(const struct cert *c, const struct cert *issuer, struct err *err);
struct str cert_get_tbs(const struct cert *c); /* borrowed: the bytes that were signed */
/* Whether the SAN has it, to the letter. */
bool cert_has_dns_name(const struct cert *c, struct str name);
bool cert_has_addr(const struct cert *c, const struct addr *addr);
/* Big endian, without a sign byte. Borrowed from the certificate. */
struct str cert_get_serial(const struct cert *c);
fallible cert_get_serial_hex(struct arena *mem, const struct cert *c, struct str *ret, struct err *err);

/* What a kind of certificate may be used for: bits of cert_template.ekus, written in this order. */
#define EKU_SERVER 1u
#define EKU_CLIENT 2u
#define EKU_CODE 4u
#define EKU_EMAIL 8u
#define POLICY_DV "2.23.140.1.2.1" /* BR 7.1.6.1: control of the names was proven, nothing else */
#define CERT_POLICIES_MAX 8

/* Extended key usages, policies and so on that a kind of certificate has; the profile of conf, resolved. */
/* By the word that the configuration has for it: "server-auth". ERR_CONFIG. */
fallible eku_read(struct str word, unsigned *ret, struct err *err);
struct cert_template {
	unsigned ekus;         /* at least one */
	bool public_rules;     /* the shape of the Baseline Requirements: the lint holds it against that */
	bool key_encipherment; /* the key may also be encrypted to: keyEncipherment of RSA keys, keyAgreement of EC keys
				 * when EKU_EMAIL is there (TLS has no use for that) */
	const struct str *policies; /* certificatePolicies as dotted numbers, in this order, without qualifiers */
	size_t policy_count;        /* at most CERT_POLICIES_MAX */
	bool common_name;           /* subject CN = first name when it fits 64 bytes */
	struct str aia_url;         /* caIssuers, http only; empty: none */
	struct str crl_url;         /* CRLDP; empty: none */
};

/* An issuer: certificate, its chain upward without the root, and (in the signer) the private key. */
struct issuer;
/* Refuses when key and certificate differ, the certificate is no CA, lacks keyCertSign, or its chain does not verify
 * link by link (A61). key may be NULL: then it can lint and describe, not sign. References are taken. */
fallible issuer_new(const struct crypto *c, struct cert *const *chain, size_t chain_count, struct key *key,
		    struct issuer **ret, struct err *err);
void issuer_free(struct issuer *i);
const struct cert *issuer_get_cert(const struct issuer *i);
fallible issuer_add_chain_pem(const struct issuer *i, struct buf *ret, struct err *err);

/* Who the subscriber is, as somebody with the right to say so has found (a grant). Empty fields are left out. */
struct cert_subject {
	struct str organization, locality, state; /* UTF-8; RFC 5280 A.1: at most 64, 128 and 128 characters */
	struct str country;                       /* two capital letters (ISO 3166-1) */
};
/* Whether each field may stand in a certificate: ERR_MALFORMED says which one may not and why. */
fallible cert_subject_check(const struct cert_subject *s, struct err *err);
/* The same for an rfc822Name: one "@", a local part of RFC 5321's plain form, a name behind it. */
fallible cert_email_check(struct str email, struct err *err);

struct cert_request {            /* what goes into one certificate besides the template */
	const struct str *names; /* dNSNames as they go into the SAN, checked */
	size_t name_count;
	const struct key *key; /* the subscriber's */
	struct serial serial;
	int64_t not_before, not_after; /* unix seconds, inclusive */
	/* The CA's own service only (cairn init, api.tls-own), never a subscriber's: single labels such as "localhost" may
	 * stand among the names. */
	bool own;
	const struct addr *addrs; /* they follow the names in the SAN (RFC 8738) */
	size_t addr_count;
	const struct cert_subject *subject; /* NULL: none */
	const struct str *emails;           /* rfc822Names, behind the addresses in the SAN */
	size_t email_count;
	bool must_staple; /* TLS feature 5 (RFC 7633) */
};
/* The to-be-signed bytes (deterministic: same inputs, same bytes). Refuses not_after beyond the issuer's. */
fallible cert_build_tbs(const struct issuer *i, const struct cert_template *t, const struct cert_request *r,
			struct buf *ret_tbs, struct err *err);
/* Signs tbs with the issuer's key, wraps, and verifies the result with the issuer's public key before returning it. */
fallible cert_sign_tbs(const struct crypto *c, const struct issuer *i, struct str tbs, struct buf *ret_der,
		       struct err *err);
/* The same shape with a signature that a throw-away key of the issuer's kind made once, over nothing: what the lint reads
 * (RULES R5; BR 4.3.1.2 has a static value as one of the ways). TBS bytes are the same as the real one's. */
fallible cert_with_placeholder(const struct issuer *i, struct str tbs, struct buf *ret_der, struct err *err);

/* --- lint: rules about certificates, as a table (docs/baseline-requirements.md) --------------------------------------*/
enum lint_level { LINT_NOTICE, LINT_ERROR };
const char *lint_level_name(enum lint_level level);
struct look; /* a certificate taken apart */
struct lint_rule {
	const char *name; /* "dns-underscore" */
	enum lint_level level;
	unsigned when;      /* lint_look.h */
	const char *source; /* "BR 7.1.2.7.12" */
	unsigned of;        /* 2 for R2 of docs/baseline-requirements.md */
	const char *wants;  /* what a certificate should be like */
	fallible (*check)(const struct look *l, struct err *err);
};
const struct lint_rule *lint_rule_at(size_t i); /* NULL: that was all */

/* Before signing: parses der again from scratch and holds it against every rule and what was asked for. The first
 * finding, "rule: what was found, what was wanted", comes back as ERR_INTERNAL with that text as its cause, because a
 * finding is our own mistake: the client did nothing wrong and is told nothing but that. A notice counts as a finding
 * when the template has public_rules. */
fallible cert_lint(const struct issuer *i, const struct cert_template *t, const struct cert_request *r, struct str der,
		   struct err *err);

/* Any certificate, from anywhere, however broken. */
enum lint_strictness { LINT_AS_IT_CLAIMS, LINT_PUBLIC, LINT_PRIVATE }; /* claims: by naming a reserved policy */
struct lint_how {
	const struct cert *issuer; /* NULL: not known */
	enum lint_strictness strictness;
	bool must_be_leaf;
};
struct lint_finding {
	const struct lint_rule *rule;
	struct str text; /* printable ASCII */
};
struct lint_report {
	struct lint_finding *findings;
	size_t count;
	bool public_rules, is_ca;
};
/* ERR_MALFORMED: these bytes are no certificate at all. */
fallible cert_lint_any(struct arena *mem, const struct lint_how *how, struct str der, struct lint_report *ret,
		       struct err *err);
/* The certificates in a file, unread: PEM blocks of kind CERTIFICATE (other blocks are passed over), or the file itself
 * when it is DER. */
fallible cert_find_blocks(struct arena *mem, struct str text, size_t max, struct str *ret, size_t *ret_count,
			  struct err *err);

/* What a client shows to tls-alpn-01 (RFC 8737 3): self-signed by k, for a name or (name NULL) an address, with the
 * digest of the key authorization; good for a week. */
fallible cert_make_acme(const struct crypto *c, const struct key *k, const struct str *name, const struct addr *addr,
			const struct sha256 *digest, int64_t now_s, struct buf *ret_der, struct err *err);

/* May this name and what is below it, or all of this range, stand in certificates under this CA, as far as its own
 * nameConstraints say (RFC 5280 4.2.1.10)? name empty: every name there is. Constraints that do not parse permit nothing. */
bool cert_permits_name(const struct cert *c, struct str name);
bool cert_permits_range(const struct cert *c, const struct addr_range *range);
/* May leaves below this CA be used for all of these (EKU_*), as far as its own extended key usages say? None: yes. */
bool cert_permits_uses(const struct cert *c, unsigned ekus);

/* The CA's own hierarchy, for cairn init. */
struct ca_request {
	struct str common_name, organization; /* organization may be empty */
	const struct key *key;
	int64_t not_before, not_after;
	int path_len;  /* < 0: none */
	unsigned ekus; /* what an intermediate's leaves may be used for: EKU_*; 0: servers and clients of TLS */
	/* Critical nameConstraints: domains and ranges of addresses; both empty: none. With either, the other kind of name,
	 * and the other family of address, is excluded as a whole. */
	const struct str *permit;
	size_t permit_count;
	const struct addr_range *permit_ranges;
	size_t permit_range_count;
	struct str crl_url, aia_url; /* of the parent, in an intermediate; http; empty: none */
};
fallible ca_make_root(const struct crypto *c, const struct ca_request *r, const struct rng *rng, struct cert **ret,
		      struct err *err);
fallible ca_make_intermediate(const struct crypto *c, const struct ca_request *r, const struct cert *parent,
			      const struct key *parent_key, const struct rng *rng, struct cert **ret, struct err *err);

/* A PKCS#10 request for such a certificate, for a root that is elsewhere: names, key, CA:TRUE with path_len and keyUsage;
 * times are the root's to set. */
fallible ca_make_csr(const struct crypto *c, const struct ca_request *r, struct buf *ret_der, struct err *err);

/* What stands in its subject; borrowed from the certificate; empty: nothing. */
fallible ca_get_names(const struct cert *c, struct str *ret_organization, struct str *ret_common_name, struct err *err);

/* --- crl.c: revocation lists (RFC 5280 5) ---*/
#define CRL_DER_MAX (1024 * 1024)
#define CRL_ENTRIES_MAX 4096
struct crl_entry {
	struct str serial;  /* big endian, without a sign byte */
	int64_t revoked_at; /* unix seconds */
	int reason;         /* 0: none is said */
};
struct crl {
	struct str number; /* big endian */
	int64_t this_update, next_update;
	struct crl_entry *v;
	size_t count;
};
/* Signs a list and verifies it. ERR_CONFIG: the issuer may not, or what was asked makes no list. */
fallible crl_make(const struct crypto *c, const struct cert *issuer, const struct key *key, const struct crl *l,
		  struct buf *ret_der, struct err *err);
/* Strict DER, version 2, with a number, no critical extension, signed by this issuer: ERR_MALFORMED otherwise. Slices point
 * into der. */
fallible crl_read(struct arena *mem, struct str der, const struct cert *issuer, struct crl *ret, struct err *err);
/* The number of the next list, in mem. */
fallible crl_number_after(struct arena *mem, struct str number, struct str *ret, struct err *err);

#endif

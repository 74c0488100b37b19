/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_look.h: a certificate as the lint sees it: taken apart without a judgement, because what is wrong with it is for
 * the rules to say, one by one. Where a part has no form at all its rule says so, and the others pass it over.
 */
#ifndef CAIRN_PKI_LINT_LOOK_H
#define CAIRN_PKI_LINT_LOOK_H

#include "pki/internal.h"

/* When a rule holds: a kind and a strictness must both be among its bits. */
#define FOR_LEAF 1u
#define FOR_CA 2u
#define IN_PUBLIC 4u
#define IN_PRIVATE 8u
#define WITH_ISSUER 16u /* and the issuer's certificate is at hand */
#define WHEN_ASKED 32u  /* and it is known what was asked for: before signing */
#define LEAVES (FOR_LEAF | IN_PUBLIC | IN_PRIVATE)
#define PUBLIC_LEAVES (FOR_LEAF | IN_PUBLIC)
#define CAS (FOR_CA | IN_PUBLIC | IN_PRIVATE)
#define ALL (FOR_LEAF | FOR_CA | IN_PUBLIC | IN_PRIVATE)

/* Extensions that some rule looks into, then those that it only knows by name. */
enum look_kind {
	X_BASIC_CONSTRAINTS,
	X_KEY_USAGE,
	X_EKU,
	X_SAN,
	X_AKI,
	X_SKI,
	X_AIA,
	X_POLICIES,
	X_CRLDP,
	X_TLS_FEATURE,
	X_SCTS,
	X_POISON,
	X_NAME_CONSTRAINTS,
	X_ISSUER_ALT_NAME,
	X_POLICY_MAPPINGS,
	X_POLICY_CONSTRAINTS,
	X_INHIBIT_ANY_POLICY,
	X_FRESHEST_CRL,
	X_SUBJECT_INFO,
	X_COUNT
};

struct look_ext {
	struct str oid;
	bool critical, says_false; /* "critical" spelled out as FALSE */
	struct str value;
};
struct look_attr { /* of the subject */
	struct str oid;
	uint8_t tag;
	struct str value;
	size_t rdn; /* the how manieth RelativeDistinguishedName it stands in */
};
struct look_name { /* a GeneralName */
	uint8_t tag;
	struct str value;
	unsigned flaws; /* look_dns_flaws, of a dNSName in the SAN */
};
struct look_policy {
	struct str oid;
	bool qualified;
};
struct look_access {
	struct str method;
	struct look_name where;
};
struct look_point {
	size_t name_count; /* of its fullName; 0: it has none */
	struct look_name name;
	bool has_reasons, has_issuer;
};

/* What was asked for, before signing. */
struct look_asked {
	const struct issuer *issuer;
	const struct cert_template *t;
	const struct cert_request *r;
};

struct look {
	struct arena *mem;
	struct str der;
	bool public_rules, is_ca, must_be_leaf;
	const struct cert *issuer_cert; /* NULL: not known */
	const struct key *issuer_key;   /* its; NULL: not known, or of no kind that is served */
	const struct look_asked *asked; /* NULL: a certificate from anywhere */
	const struct second *second;    /* NULL: OpenSSL does not read it */

	struct str tbs, version, serial, algorithm, issuer, subject, spki, extensions;
	struct str algorithm_outside, signature;
	struct der not_before, not_after;
	bool has_unique_ids;

	bool times_good;
	int64_t from, until;
	bool issuer_good, subject_good;
	struct look_attr *attrs;
	size_t attr_count, rdn_count;
	struct look_ext *exts;
	size_t ext_count;

	const struct look_ext *known[X_COUNT]; /* the first of its kind; NULL: not there */
	bool good[X_COUNT];                    /* there, and its value has the right form */
	struct basic_constraints constraints;
	unsigned usage;
	struct str *ekus;
	size_t eku_count;
	struct look_name *san;
	size_t san_count;
	struct str aki;
	bool aki_has_more;
	struct str ski;
	struct look_access *access;
	size_t access_count;
	struct look_policy *policies;
	size_t policy_count;
	struct look_point *points;
	size_t point_count;

	bool key_good; /* SubjectPublicKeyInfo with the AlgorithmIdentifier of a kind that is served */
	enum key_kind key_kind;
	struct str key_bits; /* what its BIT STRING holds */
	bool rsa_good;
	struct str rsa_n, rsa_e; /* without leading zeros */
};

/* Fills *l, whose mem, der and what is known beforehand are set. ERR_MALFORMED: these bytes are no certificate. */
fallible look_take_apart(struct look *l, struct err *err);
const char *look_kind_name(enum look_kind k);
struct str look_kind_oid(enum look_kind k);
/* X_COUNT: none of those that are known. */
enum look_kind look_kind_of(struct str oid);
bool look_has_eku(const struct look *l, struct str oid);
bool look_is_server(const struct look *l); /* for TLS servers, whether by its usage or because public rules hold */
struct str look_oid_text(struct arena *mem, struct str oid); /* "2.5.29.17" */

/* What is wrong with a dNSName: bits of lint_names.c, whose rules are about one each. */
unsigned look_dns_flaws(struct str name);

bool look_policy_is_reserved(struct str oid); /* for the CA/Browser Forum */

/* BR 6.3.2: how many days a public certificate that begins at this time may last. The configuration has a table of its
 * own: what checks another part does not ask it. */
unsigned lint_public_days(int64_t not_before);

/* A finding: what was found, what was wanted. */
#define FIND(err, ...) FAIL((err), ERR_INTERNAL, __VA_ARGS__)

/* The table's parts, a file each. */
extern const struct lint_rule lint_rules_form[], lint_rules_subject[], lint_rules_ext[], lint_rules_names[],
	lint_rules_key[], lint_rules_asked[];
extern const size_t lint_rules_form_count, lint_rules_subject_count, lint_rules_ext_count, lint_rules_names_count,
	lint_rules_key_count, lint_rules_asked_count;

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_look.c: takes any certificate apart for the lint. What has the outline of a certificate is taken, however wrong
 * it is inside: version, times, names, extensions and their values may be anything.
 */
#include "pki/lint_look.h"

/* --- extension values: true when the value has its form --------------------------------------------------------------*/
static bool body_of(struct str value, unsigned tag, struct str *ret)
{
	struct der d;
	if (FAILED(der_only(value, tag, &d, NULL)))
		return false;
	*ret = d.body;
	return true;
}

static bool count_elements(struct str body, size_t *ret)
{
	struct der d;
	size_t n = 0;
	for (struct cur c = cur_of(body); !cur_end(&c); n++)
		if (FAILED(der_next(&c, &d, NULL)))
			return false;
	*ret = n;
	return true;
}

/* A SEQUENCE with so many elements in it: at least one, as RFC 5280 has it of every list here. */
static bool open_list(struct str value, struct str *ret_body, size_t *ret_count)
{
	return body_of(value, DER_SEQUENCE, ret_body) && count_elements(*ret_body, ret_count) && *ret_count > 0;
}

static bool look_basic_constraints(struct look *l, struct str value)
{
	return value_basic_constraints(value, &l->constraints);
}

static bool look_key_usage(struct look *l, struct str value)
{
	return value_key_usage(value, &l->usage);
}

static bool look_eku(struct look *l, struct str value)
{
	struct str body;
	struct der d;
	size_t n;
	if (!open_list(value, &body, &n))
		return false;
	l->ekus = ARENA_ARRAY(l->mem, struct str, n);
	for (struct cur c = cur_of(body); !cur_end(&c);) {
		if (FAILED(der_want(&c, DER_OID, &d, NULL)))
			return false;
		l->ekus[l->eku_count++] = d.body;
	}
	return true;
}

static bool look_san(struct look *l, struct str value)
{
	struct str body;
	struct der d;
	size_t n;
	if (!open_list(value, &body, &n))
		return false;
	l->san = ARENA_ARRAY(l->mem, struct look_name, n);
	for (struct cur c = cur_of(body); !cur_end(&c);) {
		if (FAILED(der_next(&c, &d, NULL)) || (d.tag & 0xc0) != 0x80 || (d.tag & 0x1f) > 8)
			return false;
		l->san[l->san_count++] =
			(struct look_name){ d.tag, d.body, d.tag == TAG_DNS_NAME ? look_dns_flaws(d.body) : 0 };
	}
	return true;
}

static bool look_aki(struct look *l, struct str value)
{
	struct str body;
	struct der d;
	if (!body_of(value, DER_SEQUENCE, &body))
		return false;
	for (struct cur c = cur_of(body); !cur_end(&c);) {
		if (FAILED(der_next(&c, &d, NULL)))
			return false;
		if (d.tag == DER_CONTEXT(0))
			l->aki = d.body;
		else
			l->aki_has_more = true;
	}
	return true;
}

static bool look_ski(struct look *l, struct str value)
{
	return body_of(value, DER_OCTET_STRING, &l->ski) && l->ski.n > 0;
}

static bool look_aia(struct look *l, struct str value)
{
	struct str body;
	struct der d, method, where;
	size_t n;
	if (!open_list(value, &body, &n))
		return false;
	l->access = ARENA_ARRAY(l->mem, struct look_access, n);
	for (struct cur c = cur_of(body); !cur_end(&c);) {
		if (FAILED(der_want(&c, DER_SEQUENCE, &d, NULL)))
			return false;
		struct cur in = cur_of(d.body);
		if (FAILED(der_want(&in, DER_OID, &method, NULL)) || FAILED(der_next(&in, &where, NULL)) ||
		    !cur_end(&in))
			return false;
		l->access[l->access_count++] = (struct look_access){ method.body, { where.tag, where.body, 0 } };
	}
	return true;
}

static bool look_policies(struct look *l, struct str value)
{
	struct str body;
	struct der d, oid, qualifiers;
	size_t n;
	if (!open_list(value, &body, &n))
		return false;
	l->policies = ARENA_ARRAY(l->mem, struct look_policy, n);
	for (struct cur c = cur_of(body); !cur_end(&c);) {
		if (FAILED(der_want(&c, DER_SEQUENCE, &d, NULL)))
			return false;
		struct cur in = cur_of(d.body);
		if (FAILED(der_want(&in, DER_OID, &oid, NULL)))
			return false;
		bool qualified = !cur_end(&in);
		if (qualified && (FAILED(der_want(&in, DER_SEQUENCE, &qualifiers, NULL)) || !cur_end(&in)))
			return false;
		l->policies[l->policy_count++] = (struct look_policy){ oid.body, qualified };
	}
	return true;
}

/* distributionPoint [0] { fullName [0] GeneralNames or a name relative to the issuer's [1] } */
static bool look_point_name(struct str body, struct look_point *p)
{
	struct der choice, name;
	struct cur c = cur_of(body);
	if (FAILED(der_next(&c, &choice, NULL)) || !cur_end(&c))
		return false;
	if (choice.tag == DER_CONTEXT_MADE(1))
		return true;
	if (choice.tag != DER_CONTEXT_MADE(0) || !count_elements(choice.body, &p->name_count))
		return false;
	struct cur names = cur_of(choice.body);
	if (FAILED(der_next(&names, &name, NULL)))
		return false;
	p->name = (struct look_name){ name.tag, name.body, 0 };
	return true;
}

static bool look_point(struct str body, struct look_point *p)
{
	struct der d;
	for (struct cur c = cur_of(body); !cur_end(&c);) {
		if (FAILED(der_next(&c, &d, NULL)))
			return false;
		if (d.tag == DER_CONTEXT_MADE(0) && !look_point_name(d.body, p))
			return false;
		p->has_reasons = p->has_reasons || d.tag == DER_CONTEXT(1);
		p->has_issuer = p->has_issuer || d.tag == DER_CONTEXT_MADE(2);
	}
	return true;
}

static bool look_crldp(struct look *l, struct str value)
{
	struct str body;
	struct der d;
	size_t n;
	if (!open_list(value, &body, &n))
		return false;
	l->points = ARENA_ARRAY(l->mem, struct look_point, n);
	for (struct cur c = cur_of(body); !cur_end(&c);)
		if (FAILED(der_want(&c, DER_SEQUENCE, &d, NULL)) || !look_point(d.body, &l->points[l->point_count++]))
			return false;
	return true;
}

/* RFC 7633 4: numbers of TLS extensions, which have 16 bits. */
static bool look_tls_feature(struct look *l, struct str value)
{
	struct str body;
	struct der d;
	size_t n;
	(void)l;
	if (!open_list(value, &body, &n))
		return false;
	for (struct cur c = cur_of(body); !cur_end(&c);)
		if (FAILED(der_want(&c, DER_INTEGER, &d, NULL)) || d.body.n == 0 || (uint8_t)d.body.p[0] > 0x7f ||
		    d.body.n > 3 || (d.body.n == 3 && d.body.p[0] != 0))
			return false;
	return true;
}

/* RFC 6962 3.3: an OCTET STRING with a list of TLS vectors in it, none empty. */
static bool look_scts(struct look *l, struct str value)
{
	struct str list, sct;
	uint16_t n;
	(void)l;
	if (!body_of(value, DER_OCTET_STRING, &list))
		return false;
	struct cur c = cur_of(list);
	if (FAILED(cur_u16(&c, &n, NULL)) || n == 0 || n != cur_left(&c))
		return false;
	while (!cur_end(&c))
		if (FAILED(cur_u16(&c, &n, NULL)) || n == 0 || FAILED(cur_take(&c, n, &sct, NULL)))
			return false;
	return true;
}

static bool look_poison(struct look *l, struct str value)
{
	(void)l;
	return str_eq(value, STR("\x05\x00"));
}

static const struct {
	struct str oid;
	const char *name;
	bool (*read)(struct look *l, struct str value); /* NULL: its value is nobody's business here */
} kinds[X_COUNT] = {
#define OID_BYTES(lit)                 \
	{                              \
		(lit), sizeof(lit) - 1 \
	}
	[X_BASIC_CONSTRAINTS] = { OID_BYTES("\x55\x1d\x13"), "basicConstraints", look_basic_constraints },
	[X_KEY_USAGE] = { OID_BYTES("\x55\x1d\x0f"), "keyUsage", look_key_usage },
	[X_EKU] = { OID_BYTES("\x55\x1d\x25"), "extKeyUsage", look_eku },
	[X_SAN] = { OID_BYTES("\x55\x1d\x11"), "subjectAltName", look_san },
	[X_AKI] = { OID_BYTES("\x55\x1d\x23"), "authorityKeyIdentifier", look_aki },
	[X_SKI] = { OID_BYTES("\x55\x1d\x0e"), "subjectKeyIdentifier", look_ski },
	[X_AIA] = { OID_BYTES("\x2b\x06\x01\x05\x05\x07\x01\x01"), "authorityInfoAccess", look_aia },
	[X_POLICIES] = { OID_BYTES("\x55\x1d\x20"), "certificatePolicies", look_policies },
	[X_CRLDP] = { OID_BYTES("\x55\x1d\x1f"), "cRLDistributionPoints", look_crldp },
	[X_TLS_FEATURE] = { OID_BYTES("\x2b\x06\x01\x05\x05\x07\x01\x18"), "TLS feature", look_tls_feature },
	[X_SCTS] = { OID_BYTES("\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x02"), "SCT list", look_scts },
	[X_POISON] = { OID_BYTES("\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x03"), "precertificate poison", look_poison },
	[X_NAME_CONSTRAINTS] = { OID_BYTES("\x55\x1d\x1e"), "nameConstraints", NULL },
	[X_ISSUER_ALT_NAME] = { OID_BYTES("\x55\x1d\x12"), "issuerAltName", NULL },
	[X_POLICY_MAPPINGS] = { OID_BYTES("\x55\x1d\x21"), "policyMappings", NULL },
	[X_POLICY_CONSTRAINTS] = { OID_BYTES("\x55\x1d\x24"), "policyConstraints", NULL },
	[X_INHIBIT_ANY_POLICY] = { OID_BYTES("\x55\x1d\x36"), "inhibitAnyPolicy", NULL },
	[X_FRESHEST_CRL] = { OID_BYTES("\x55\x1d\x2e"), "freshestCRL", NULL },
	[X_SUBJECT_INFO] = { OID_BYTES("\x2b\x06\x01\x05\x05\x07\x01\x0b"), "subjectInfoAccess", NULL },
};

const char *look_kind_name(enum look_kind k)
{
	return kinds[k].name;
}

struct str look_kind_oid(enum look_kind k)
{
	return kinds[k].oid;
}

enum look_kind look_kind_of(struct str oid)
{
	unsigned k = 0;
	while (k < X_COUNT && !str_eq(kinds[k].oid, oid))
		k++;
	return (enum look_kind)k;
}

bool look_has_eku(const struct look *l, struct str oid)
{
	for (size_t i = 0; i < l->eku_count; i++)
		if (str_eq(l->ekus[i], oid))
			return true;
	return false;
}

bool look_is_server(const struct look *l)
{
	return l->public_rules || look_has_eku(l, OID_SERVER_AUTH);
}

/* X.690 8.19: arcs of 7 bits a byte; the first one holds two. Arcs over 64 bits end the text with "...". */
struct str look_oid_text(struct arena *mem, struct str oid)
{
	AUTO(buf_done) struct buf text = BUF_MAX(512);
	uint64_t arc = 0;
	struct rc rc = OK;
	for (size_t i = 0; i < oid.n && !FAILED(rc); i++) {
		uint8_t b = (uint8_t)oid.p[i];
		if (arc > UINT64_MAX >> 7) {
			rc = buf_add(&text, STR("..."), NULL);
			break;
		}
		arc = arc << 7 | (b & 0x7f);
		if ((b & 0x80) != 0)
			continue;
		uint64_t top = arc < 80 ? arc / 40 : 2;
		if (text.n == 0)
			rc = buf_addf(&text, NULL, "%u.%llu", (unsigned)top, (unsigned long long)(arc - 40 * top));
		else
			rc = buf_addf(&text, NULL, ".%llu", (unsigned long long)arc);
		arc = 0;
	}
	return str_dup(mem, buf_str(&text)); /* one that does not fit is cut */
}

/* --- its parts -------------------------------------------------------------------------------------------------------*/
/* RDNSequence; what it holds goes into the look when it is the subject's. */
static bool look_rdns(struct look *l, struct str name, bool keep)
{
	struct der set, pair, oid, value;
	struct str body;
	size_t most = name.n / 4, rdn = 0, n = 0;
	if (!body_of(name, DER_SEQUENCE, &body))
		return false;
	struct look_attr *attrs = ARENA_ARRAY(l->mem, struct look_attr, most + 1);
	for (struct cur c = cur_of(body); !cur_end(&c); rdn++) {
		if (FAILED(der_want(&c, DER_SET, &set, NULL)) || set.body.n == 0)
			return false;
		for (struct cur in = cur_of(set.body); !cur_end(&in);) {
			if (FAILED(der_want(&in, DER_SEQUENCE, &pair, NULL)))
				return false;
			struct cur at = cur_of(pair.body);
			if (FAILED(der_want(&at, DER_OID, &oid, NULL)) || FAILED(der_next(&at, &value, NULL)) ||
			    !cur_end(&at))
				return false;
			attrs[n++] = (struct look_attr){ oid.body, value.tag, value.body, rdn };
		}
	}
	if (!keep)
		return true;
	l->attrs = attrs;
	l->attr_count = n;
	l->rdn_count = rdn;
	return true;
}

static void look_key(struct look *l)
{
	static const struct {
		enum key_kind kind;
		struct str algorithm;
	} rows[] = {
		/* BR 7.1.3.1, and Ed25519 (RFC 8410) */
		{ KEY_RSA, OID_BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00") },
		{ KEY_P256, OID_BYTES("\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01"
				      "\x07") },
		{ KEY_P384, OID_BYTES("\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22") },
		{ KEY_P521, OID_BYTES("\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23") },
		{ KEY_ED25519, OID_BYTES("\x30\x05\x06\x03\x2b\x65\x70") },
	};
	struct der algorithm, bits;
	struct str body;
	if (!body_of(l->spki, DER_SEQUENCE, &body))
		return;
	struct cur c = cur_of(body);
	if (FAILED(der_want(&c, DER_SEQUENCE, &algorithm, NULL)) || FAILED(der_want(&c, DER_BIT_STRING, &bits, NULL)) ||
	    !cur_end(&c) || bits.body.n < 1 || bits.body.p[0] != 0)
		return;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!str_eq(algorithm.whole, rows[i].algorithm))
			continue;
		l->key_good = true;
		l->key_kind = rows[i].kind;
		l->key_bits = str_sub(bits.body, 1, bits.body.n);
	}
}

static bool read_positive(struct cur *c, struct str *ret)
{
	struct der d;
	if (FAILED(der_want(c, DER_INTEGER, &d, NULL)) || d.body.n == 0 || (uint8_t)d.body.p[0] > 0x7f)
		return false;
	while (d.body.n > 0 && d.body.p[0] == 0)
		d.body = str_sub(d.body, 1, d.body.n);
	*ret = d.body;
	return d.body.n > 0;
}

static void look_rsa(struct look *l)
{
	struct str body;
	if (!l->key_good || l->key_kind != KEY_RSA || !body_of(l->key_bits, DER_SEQUENCE, &body))
		return;
	struct cur c = cur_of(body);
	l->rsa_good = read_positive(&c, &l->rsa_n) && read_positive(&c, &l->rsa_e) && cur_end(&c);
}

static fallible look_extensions(struct look *l, struct err *err)
{
	struct der seq, oid, flag, value;
	size_t n;
	if (!count_elements(l->extensions, &n))
		FAIL(err, ERR_MALFORMED, "extensions are no list");
	l->exts = ARENA_ARRAY(l->mem, struct look_ext, n + 1);
	for (struct cur c = cur_of(l->extensions); !cur_end(&c);) {
		struct look_ext *e = &l->exts[l->ext_count];
		TRY(der_want(&c, DER_SEQUENCE, &seq, err));
		struct cur in = cur_of(seq.body);
		TRY(der_want(&in, DER_OID, &oid, err));
		if (der_peek(&in, DER_BOOLEAN)) {
			TRY(der_want(&in, DER_BOOLEAN, &flag, err));
			e->critical = flag.body.n == 1 && flag.body.p[0] != 0;
			e->says_false = !e->critical;
		}
		TRY(der_want(&in, DER_OCTET_STRING, &value, err));
		if (!cur_end(&in))
			FAIL(err, ERR_MALFORMED, "extension with more than three members");
		e->oid = oid.body;
		e->value = value.body;
		l->ext_count++;
	}
	return OK;
}

static void look_into_extensions(struct look *l)
{
	for (size_t i = 0; i < l->ext_count; i++) {
		enum look_kind k = look_kind_of(l->exts[i].oid);
		if (k == X_COUNT || l->known[k] != NULL)
			continue;
		l->known[k] = &l->exts[i];
		l->good[k] = kinds[k].read == NULL || kinds[k].read(l, l->exts[i].value);
	}
}

/* validity: two times, whatever their tags */
static fallible look_validity(struct look *l, struct str body, struct err *err)
{
	struct cur c = cur_of(body);
	TRY(der_next(&c, &l->not_before, err));
	TRY(der_next(&c, &l->not_after, err));
	if (!cur_end(&c))
		FAIL(err, ERR_MALFORMED, "validity with more than two times");
	l->times_good = value_time(&l->not_before, &l->from) && value_time(&l->not_after, &l->until);
	return OK;
}

static fallible look_tbs(struct look *l, struct str body, struct err *err)
{
	struct der d, list;
	struct cur c = cur_of(body);
	if (der_peek(&c, DER_CONTEXT_MADE(0))) {
		TRY(der_want(&c, DER_CONTEXT_MADE(0), &d, err));
		l->version = d.body;
	}
	TRY(der_want(&c, DER_INTEGER, &d, err));
	l->serial = d.body;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	l->algorithm = d.whole;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	l->issuer = d.whole;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	TRY(look_validity(l, d.body, err));
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	l->subject = d.whole;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	l->spki = d.whole;
	while (der_peek(&c, DER_CONTEXT(1)) || der_peek(&c, DER_CONTEXT(2))) {
		TRY(der_next(&c, &d, err));
		l->has_unique_ids = true;
	}
	if (!cur_end(&c)) {
		TRY(der_want(&c, DER_CONTEXT_MADE(3), &d, err));
		TRY(der_only(d.body, DER_SEQUENCE, &list, err));
		l->extensions = list.body;
	}
	if (!cur_end(&c))
		FAIL(err, ERR_MALFORMED, "bytes after the extensions");
	return look_extensions(l, err);
}

fallible look_take_apart(struct look *l, struct err *err)
{
	struct signed_parts parts;
	struct der tbs;
	if (l->der.n == 0 || l->der.n > CERT_DER_MAX)
		FAIL(err, ERR_MALFORMED, "certificate of %zu bytes, wanted 1 to %d", l->der.n, CERT_DER_MAX);
	TRY(signed_split(l->der, &parts, err));
	TRY(der_only(parts.content, DER_SEQUENCE, &tbs, err));
	l->tbs = parts.content;
	l->algorithm_outside = parts.algorithm;
	l->signature = parts.signature;
	TRY(look_tbs(l, tbs.body, err));
	l->issuer_good = look_rdns(l, l->issuer, false);
	l->subject_good = look_rdns(l, l->subject, true);
	look_into_extensions(l);
	look_key(l);
	look_rsa(l);
	l->is_ca = l->good[X_BASIC_CONSTRAINTS] && l->constraints.ca;
	return OK;
}

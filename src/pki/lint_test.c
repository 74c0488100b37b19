/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_test.c: the lint before signing: what was asked for and what came of it. A part of good TBS bytes is exchanged, and
 * the result given the issuer's placeholder, as the signer would have it. lint_rules_test.c breaks the rules that hold for
 * any certificate, one by one.
 */
#include "pki/test.h"

#define BYTES(lit)                   \
	{                            \
		lit, sizeof(lit) - 1 \
	}
enum field { VERSION, SERIAL, ALGORITHM, ISSUER, VALIDITY, SUBJECT, SPKI, BEFORE_EXTENSIONS, NO_FIELD };

struct edit {
	const char *rule; /* that finds it */
	enum field field; /* exchanged for bytes; BEFORE_EXTENSIONS: added there */
	struct str bytes;
	struct str ext_oid;   /* this extension is exchanged for ext_bytes; none: removed */
	struct str ext_bytes; /* with no oid: added at the end */
};

#define EXT_KU "\x55\x1d\x0f"
#define EXT_SAN "\x55\x1d\x11"
#define EXT_BC "\x55\x1d\x13"
#define EXT_CP "\x55\x1d\x20"
#define EXT_AKI "\x55\x1d\x23"
#define EXT_EKU "\x55\x1d\x25"
#define EXT_CRL "\x55\x1d\x1f"
#define EXT_AIA "\x2b\x06\x01\x05\x05\x07\x01\x01"

static const struct edit edits[] = {
	{ "version-3", VERSION, BYTES("\xa0\x03\x02\x01\x01"), { 0 }, { 0 } },
	/* extension values that are no DER: a long length, a BOOLEAN that is neither */
	{ "der",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_SAN),
	  BYTES("\x30\x1e\x06\x03" EXT_SAN "\x01\x01\xff\x04\x14\x30\x81\x11\x82\x0f"
		"www.example.com") },
	{ "der",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_KU),
	  BYTES("\x30\x0e\x06\x03" EXT_KU "\x01\x01\xff\x04\x04\x03\x02\x07\x81") },
	{ "asked-serial", SERIAL, BYTES("\x02\x01\x05"), { 0 }, { 0 } },
	{ "serial-positive", SERIAL, BYTES("\x02\x01\x00"), { 0 }, { 0 } },
	{ "serial-positive", SERIAL, BYTES("\x02\x01\x81"), { 0 }, { 0 } },
	{ "asked-serial",
	  SERIAL,
	  BYTES("\x02\x14\x7f\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
	  { 0 },
	  { 0 } },
	{ "issuer-name", ISSUER, BYTES("\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01\x58"), { 0 }, { 0 } },
	/* one second more than asked */
	{ "asked-validity",
	  VALIDITY,
	  BYTES("\x30\x1e\x17\x0d"
		"261122000000Z"
		"\x17\x0d"
		"270220000000Z"),
	  { 0 },
	  { 0 } },
	/* the same times in the form for 2050 and later */
	{ "time-form",
	  VALIDITY,
	  BYTES("\x30\x20\x17\x0d"
		"261122000000Z"
		"\x18\x0f"
		"20270219235959Z"),
	  { 0 },
	  { 0 } },
	/* CN=X */
	{ "common-name-in-san",
	  SUBJECT,
	  BYTES("\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01\x58"),
	  { 0 },
	  { 0 } },
	{ "unique-ids", BEFORE_EXTENSIONS, BYTES("\x81\x02\x00\x01"), { 0 }, { 0 } },
	{ "unique-ids", BEFORE_EXTENSIONS, BYTES("\x82\x02\x00\x01"), { 0 }, { 0 } },
	/* removed */
	{ "asked-extensions", NO_FIELD, { 0 }, BYTES(EXT_KU), { 0 } },
	{ "asked-extensions", NO_FIELD, { 0 }, BYTES(EXT_EKU), { 0 } },
	{ "asked-extensions", NO_FIELD, { 0 }, BYTES(EXT_BC), { 0 } },
	{ "authority-key-id", NO_FIELD, { 0 }, BYTES(EXT_AKI), { 0 } },
	{ "asked-extensions", NO_FIELD, { 0 }, BYTES(EXT_AIA), { 0 } },
	{ "san", NO_FIELD, { 0 }, BYTES(EXT_SAN), { 0 } },
	{ "asked-extensions", NO_FIELD, { 0 }, BYTES(EXT_CP), { 0 } },
	{ "asked-extensions", NO_FIELD, { 0 }, BYTES(EXT_CRL), { 0 } },
	/* added: subjectKeyIdentifier, nameConstraints, an unknown one, one a second time */
	{ "asked-extensions", NO_FIELD, { 0 }, { 0 }, BYTES("\x30\x0a\x06\x03\x55\x1d\x0e\x04\x03\x04\x01\x01") },
	{ "ext-criticality",
	  NO_FIELD,
	  { 0 },
	  { 0 },
	  BYTES("\x30\x12\x06\x03\x55\x1d\x1e\x04\x0b\x30\x09\xa0\x07\x30\x05\x82\x03"
		"com") },
	{ "asked-extensions", NO_FIELD, { 0 }, { 0 }, BYTES("\x30\x09\x06\x03\x2a\x03\x04\x04\x02\x05\x00") },
	{ "ext-twice", NO_FIELD, { 0 }, { 0 }, BYTES("\x30\x0c\x06\x03" EXT_BC "\x01\x01\xff\x04\x02\x30\x00") },
	/* criticality turned round: keyUsage, SAN under an empty subject, basicConstraints, EKU */
	{ "asked-extensions",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_KU),
	  BYTES("\x30\x0b\x06\x03" EXT_KU "\x04\x04\x03\x02\x07\x80") },
	{ "san-critical",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_SAN),
	  BYTES("\x30\x1a\x06\x03" EXT_SAN "\x04\x13\x30\x11\x82\x0f"
		"www.example.com") },
	{ "asked-extensions", NO_FIELD, { 0 }, BYTES(EXT_BC), BYTES("\x30\x09\x06\x03" EXT_BC "\x04\x02\x30\x00") },
	{ "asked-extensions",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_EKU),
	  BYTES("\x30\x16\x06\x03" EXT_EKU "\x01\x01\xff\x04\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01") },
	/* names: another, one more, of another kind, upper case */
	{ "asked-san",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_SAN),
	  BYTES("\x30\x1d\x06\x03" EXT_SAN "\x01\x01\xff\x04\x13\x30\x11\x82\x0f"
		"www.example.org") },
	{ "asked-san",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_SAN),
	  BYTES("\x30\x1d\x06\x03" EXT_SAN "\x01\x01\xff\x04\x13\x30\x11\x82\x0f"
		"WWW.example.com") },
	{ "asked-san",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_SAN),
	  BYTES("\x30\x22\x06\x03" EXT_SAN "\x01\x01\xff\x04\x18\x30\x16\x82\x0f"
		"www.example.com"
		"\x82\x03"
		"a.b") },
	{ "asked-san",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_SAN),
	  BYTES("\x30\x1d\x06\x03" EXT_SAN "\x01\x01\xff\x04\x13\x30\x11\x86\x0f"
		"www.example.com") },
	{ "ext-value",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_SAN),
	  BYTES("\x30\x0c\x06\x03" EXT_SAN "\x01\x01\xff\x04\x02\x30\x00") },
	/* keyUsage: keyCertSign too; keyEncipherment for an ECDSA key; the same bits, not minimal */
	{ "key-usage-ca",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_KU),
	  BYTES("\x30\x0e\x06\x03" EXT_KU "\x01\x01\xff\x04\x04\x03\x02\x02\x84") },
	{ "key-usage-encipher",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_KU),
	  BYTES("\x30\x0e\x06\x03" EXT_KU "\x01\x01\xff\x04\x04\x03\x02\x05\xa0") },
	{ "key-usage-bits",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_KU),
	  BYTES("\x30\x0e\x06\x03" EXT_KU "\x01\x01\xff\x04\x04\x03\x02\x00\x80") },
	/* EKU: clientAuth in its place; server and client; server and an unknown one; anyExtendedKeyUsage */
	{ "asked-ext-key-usage",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_EKU),
	  BYTES("\x30\x13\x06\x03" EXT_EKU "\x04\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02") },
	{ "asked-ext-key-usage",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_EKU),
	  BYTES("\x30\x1d\x06\x03" EXT_EKU
		"\x04\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01\x06\x08\x2b\x06\x01\x05"
		"\x05\x07\x03\x02") },
	{ "asked-ext-key-usage",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_EKU),
	  BYTES("\x30\x18\x06\x03" EXT_EKU
		"\x04\x11\x30\x0f\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01\x06\x03\x2a\x03\x04") },
	{ "ext-key-usage-any",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_EKU),
	  BYTES("\x30\x0f\x06\x03" EXT_EKU "\x04\x08\x30\x06\x06\x04\x55\x1d"
		"\x25\x00") },
	/* basicConstraints: CA:TRUE; a FALSE spelled out */
	{ "leaf",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_BC),
	  BYTES("\x30\x0f\x06\x03" EXT_BC "\x01\x01\xff\x04\x05\x30\x03\x01\x01\xff") },
	{ "basic-constraints-leaf",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_BC),
	  BYTES("\x30\x0f\x06\x03" EXT_BC "\x01\x01\xff\x04\x05\x30\x03\x01\x01\x00") },
	/* another key identifier */
	{ "authority-key-id-issuer",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_AKI),
	  BYTES("\x30\x0d\x06\x03" EXT_AKI "\x04\x06\x30\x04\x80\x02\x01\x02") },
	/* OV in the place of DV; DV with a qualifier */
	{ "asked-policies",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_CP),
	  BYTES("\x30\x13\x06\x03" EXT_CP "\x04\x0c\x30\x0a\x30\x08\x06\x06\x67\x81\x0c\x01\x02\x02") },
	{ "asked-policies",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_CP),
	  BYTES("\x30\x26\x06\x03" EXT_CP
		"\x04\x1f\x30\x1d\x30\x1b\x06\x06\x67\x81\x0c\x01\x02\x01\x30\x11\x30\x0f\x06\x08\x2b"
		"\x06\x01\x05\x05\x07\x02\x01\x16\x03"
		"a:b") },
	/* other URLs */
	{ "asked-crl-url",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_CRL),
	  BYTES("\x30\x1c\x06\x03" EXT_CRL "\x04\x15\x30\x13\x30\x11\xa0\x0f\xa0\x0d\x86\x0b"
		"http://x/c!") },
	{ "asked-aia-url",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_AIA),
	  BYTES("\x30\x27\x06\x08" EXT_AIA "\x04\x1b\x30\x19\x30\x17\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x0b"
		"http://x/c!") },
	/* ocsp in the place of caIssuers */
	{ "asked-aia-url",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_AIA),
	  BYTES("\x30\x30\x06\x08" EXT_AIA "\x04\x24\x30\x22\x30\x20\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x01\x86\x14"
		"http://ca.test/i.cer") },
	/* keyAgreement, which mail has and TLS has no use for; somebody else's key; a feature that nobody asked for */
	{ "asked-key-usage",
	  NO_FIELD,
	  { 0 },
	  BYTES(EXT_KU),
	  BYTES("\x30\x0e\x06\x03" EXT_KU "\x01\x01\xff\x04\x04\x03\x02\x03\x88") },
	{ "asked-key",
	  SPKI,
	  BYTES("\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42"
		"\x00\x04"
		"\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\x2d\xeb\x33\xa0\xf4"
		"\xa1\x39\x45"
		"\xd8\x98\xc2\x96\x4f\xe3\x42\xe2\xfe\x1a\x7f\x9b\x8e\xe7\xeb\x4a\x7c\x0f\x9e\x16\x2b\xce\x33\x57\x6b"
		"\x31\x5e\xce"
		"\xcb\xb6\x40\x68\x37\xbf\x51\xf5"),
	  { 0 },
	  { 0 } },
	{ "asked-extensions",
	  NO_FIELD,
	  { 0 },
	  { 0 },
	  BYTES("\x30\x11\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x18\x04\x05\x30\x03\x02\x01\x05") },
};

static void write_edited(struct derw *w, struct str tbs, const struct edit *e)
{
	struct der seq, d;
	struct err err = { 0 };
	struct ext x;
	MUST(der_only(tbs, DER_SEQUENCE, &seq, &err));
	struct cur c = cur_of(seq.body);
	derw_open(w, DER_SEQUENCE);
	for (unsigned field = VERSION; field <= SPKI; field++) {
		MUST(der_next(&c, &d, &err));
		derw_raw(w, e->field == field ? e->bytes : d.whole);
	}
	if (e->field == BEFORE_EXTENSIONS)
		derw_raw(w, e->bytes);
	MUST(der_want(&c, DER_CONTEXT_MADE(3), &d, &err));
	MUST(der_only(d.body, DER_SEQUENCE, &seq, &err));
	derw_open(w, DER_CONTEXT_MADE(3));
	derw_open(w, DER_SEQUENCE);
	for (struct cur in = cur_of(seq.body); !cur_end(&in);) {
		struct cur at = in;
		MUST(der_next(&in, &d, &err));
		MUST(ext_next(&at, &x, &err));
		bool exchanged = e->ext_oid.n > 0 && str_eq(x.oid, e->ext_oid);
		derw_raw(w, exchanged ? e->ext_bytes : d.whole);
	}
	if (e->ext_oid.n == 0)
		derw_raw(w, e->ext_bytes);
	derw_close(w);
	derw_close(w);
	derw_close(w);
}

static const struct str name = { "www.example.com", 15 };

static struct cert_request request(struct test_ca *ca)
{
	return (struct cert_request){ .names = &name,
				      .name_count = 1,
				      .key = ca->root_key,
				      .serial = serial_new(1, &ca->rng),
				      .not_before = TEST_NOW,
				      .not_after = TEST_NOW + 90 * TEST_DAY - 1 };
}

/* The rules that some certificate here breaks; the end of this program wants all about what was asked for. */
static bool met[256];

static void note(const char *met_rule)
{
	const struct lint_rule *rule;
	for (size_t i = 0; (rule = lint_rule_at(i)) != NULL; i++)
		met[i] = met[i] || strcmp(rule->name, met_rule) == 0;
}

static void must_find(struct test_ca *ca, const struct cert_template *t, const struct cert_request *r, struct str der,
		      const char *rule, size_t row)
{
	struct err err = { 0 };
	char want[64];
	(void)snprintf(want, sizeof want, "%s: ", rule);
	struct rc rc = cert_lint(ca->issuer, t, r, der, &err);
	if (rc.kind != ERR_INTERNAL || strncmp(err.cause, want, strlen(want)) != 0)
		fail_msg("row %zu: found \"%s\", wanted a finding of %s", row, err.cause, rule);
	assert_null(strstr(err.detail, "found"));
	note(rule);
}

static int every_rule_was_met(void **state)
{
	(void)state;
	const struct lint_rule *rule;
	int missing = 0;
	for (size_t i = 0; (rule = lint_rule_at(i)) != NULL; i++) {
		if (met[i] || strncmp(rule->name, "asked-", 6) != 0)
			continue;
		print_error("no certificate breaks %s\n", rule->name);
		missing = 1;
	}
	return missing;
}

static void each_rule_finds_what_breaks_it(void **state)
{
	(void)state;
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	const struct cert_request r = request(&ca);
	struct err err = { 0 };
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), good = BUF_MAX(CERT_DER_MAX);
	MUST(cert_build_tbs(ca.issuer, &test_template, &r, &tbs, &err));
	MUST(cert_with_placeholder(ca.issuer, buf_str(&tbs), &good, &err));
	MUST(cert_lint(ca.issuer, &test_template, &r, buf_str(&good), &err));
	for (size_t i = 0; i < ARRAY_LEN(edits); i++) {
		AUTO(buf_done) struct buf edited = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
		struct derw w = derw_begin(&edited, &err);
		write_edited(&w, buf_str(&tbs), &edits[i]);
		MUST(derw_end(&w));
		assert_false(str_eq(buf_str(&edited), buf_str(&tbs)));
		MUST(cert_with_placeholder(ca.issuer, buf_str(&edited), &der, &err));
		must_find(&ca, &test_template, &r, buf_str(&der), edits[i].rule, i);
	}
	test_ca_done(&ca);
}

/* What one asked for and another got. */
static void what_was_not_asked_for_is_found(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca, other;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	test_ca_make(&other, KEY_P384, NULL, 0);
	AUTO(key_auto) struct key *ed = NULL;
	MUST(key_generate(KEY_ED25519, 0, &ed, &err));
	const struct str twice[] = { name, name }, local = STR("printer.local"), upper = STR("WWW.example.com");
	const struct cert_request asked = request(&ca);
	enum {
		KEY,
		TIMES,
		NAMES_TWICE,
		NAME_LOCAL,
		NAME_UPPER,
		ED25519,
		CN,
		ALGORITHM_OF_OTHER,
		SIGNED_BY_OTHER,
		OTHER_FEATURE,
		ROWS
	};
	static const char *const rules[ROWS] = { "asked-key",        "asked-validity",      "san-twice",
						 "asked-names",      "asked-names",         "asked-key",
						 "asked-subject",    "algorithm-of-issuer", "signature",
						 "asked-tls-feature" };
	for (unsigned row = 0; row < ROWS; row++) {
		AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
		struct cert_request r = asked, want = asked;
		struct cert_template t = test_template;
		const struct issuer *i = ca.issuer;
		if (row == KEY)
			r.key = ca.key;
		if (row == TIMES)
			r.not_before++;
		if (row == NAMES_TWICE) {
			r.names = want.names = twice;
			r.name_count = want.name_count = 2;
		}
		if (row == NAME_LOCAL)
			r.names = want.names = &local;
		if (row == NAME_UPPER)
			r.names = want.names = &upper;
		if (row == ED25519)
			r.key = want.key = ed;
		if (row == CN)
			t.common_name = true;
		if (row == ALGORITHM_OF_OTHER)
			i = other.issuer;
		r.must_staple = want.must_staple = row == OTHER_FEATURE;
		MUST(cert_build_tbs(i, &t, &r, &tbs, &err));
		if (row == OTHER_FEATURE)
			tbs.p[tbs.n - 1] = 17; /* status_request_v2: the feature's number is the last byte */
		/* the algorithm inside and outside is one: only the key is another */
		if (row == SIGNED_BY_OTHER) {
			AUTO(key_auto) struct key *stranger = NULL;
			MUST(key_generate(KEY_P256, 0, &stranger, &err));
			MUST(cert_wrap(ca.c, stranger, buf_str(&tbs), &der, &err));
		} else {
			MUST(cert_with_placeholder(i, buf_str(&tbs), &der, &err));
		}
		must_find(&ca, &test_template, &want, buf_str(&der), rules[row], row);
	}
	test_ca_done(&ca);
	test_ca_done(&other);
}

#define DNS "\x82\x0fwww.example.com"
#define V4 "\x87\x04\xc0\x00\x02\x07"
#define V6_HEAD "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00" /* 15 bytes of 2001:db8::7 */
#define V6 "\x87\x10" V6_HEAD "\x07"

/* Of a certificate for a name, an IPv4 and an IPv6 address. */
static void other_addresses_than_those_asked_for_are_found(void **state)
{
	(void)state;
	static const struct {
		const char *rule;
		struct str names;
	} sans[] = {
		{ "asked-san", BYTES(DNS V4) },                                            /* one too few */
		{ "san-twice", BYTES(DNS V4 V6 V4) },                                      /* one too many */
		{ "asked-san", BYTES(DNS V6 V4) },                                         /* another order */
		{ "asked-san", BYTES(V4 V6 DNS) },                                         /* addresses first */
		{ "asked-san", BYTES(DNS "\x87\x04\xc0\x00\x02\x08" V6) },                 /* another address */
		{ "asked-san", BYTES(DNS V4 "\x87\x10" V6_HEAD "\x08") },                  /* another address */
		{ "ip-length", BYTES(DNS "\x87\x05\xc0\x00\x02\x07\x00" V6) },             /* 5 bytes */
		{ "ip-length", BYTES(DNS V4 "\x87\x0f" V6_HEAD) },                         /* 15 bytes */
		{ "ip-length", BYTES(DNS "\x87\x08\xc0\x00\x02\x07\xff\xff\xff\xff" V6) }, /* with a mask */
		{ "ip-mapped",
		  BYTES(DNS
			"\x87\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x07" V6) }, /* mapped */
		{ "dns-address", BYTES(DNS "\x82\x09"
					   "192.0.2.7" V6) }, /* as a dNSName */
	};
	const struct addr addrs[] = { test_addr("192.0.2.7"), test_addr("2001:db8::7") };
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	struct cert_request r = request(&ca);
	r.addrs = addrs;
	r.addr_count = ARRAY_LEN(addrs);
	struct err err = { 0 };
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), good = BUF_MAX(CERT_DER_MAX);
	MUST(cert_build_tbs(ca.issuer, &test_template, &r, &tbs, &err));
	MUST(cert_with_placeholder(ca.issuer, buf_str(&tbs), &good, &err));
	MUST(cert_lint(ca.issuer, &test_template, &r, buf_str(&good), &err));
	for (size_t i = 0; i < ARRAY_LEN(sans); i++) {
		AUTO(buf_done)
		struct buf ext = BUF_MAX(1024), edited = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
		struct derw w = derw_begin(&ext, &err);
		ext_open(&w, OID_SAN, true);
		derw_put(&w, DER_SEQUENCE, sans[i].names);
		ext_close(&w);
		MUST(derw_end(&w));
		const struct edit e = {
			.rule = sans[i].rule, .field = NO_FIELD, .ext_oid = OID_SAN, .ext_bytes = buf_str(&ext)
		};
		w = derw_begin(&edited, &err);
		write_edited(&w, buf_str(&tbs), &e);
		MUST(derw_end(&w));
		MUST(cert_with_placeholder(ca.issuer, buf_str(&edited), &der, &err));
		must_find(&ca, &test_template, &r, buf_str(&der), e.rule, i);
	}
	test_ca_done(&ca);
}

/* Asked for and built, but never to be issued. */
static void addresses_that_no_certificate_has_are_found(void **state)
{
	(void)state;
	static const struct {
		const char *rule; /* NULL: fine */
		const char *addrs[2];
		bool own;
	} rows[] = {
		{ NULL, { "192.0.2.7", "2001:db8::7" }, false },
		{ "san-twice", { "192.0.2.7", "192.0.2.7" }, false },
		{ "san-twice", { "2001:db8::7", "2001:db8::7" }, false },
		{ "ip-mapped", { "192.0.2.7", "::ffff:192.0.2.7" }, false },
		{ "ip-mapped", { "::ffff:192.0.2.8", "2001:db8::7" }, false },
		{ NULL, { "127.0.0.1", "::1" }, true },
		{ "san-twice", { "127.0.0.1", "127.0.0.1" }, true },
	};
	struct err err = { 0 };
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
		const struct addr addrs[] = { test_addr(rows[i].addrs[0]), test_addr(rows[i].addrs[1]) };
		struct cert_request r = request(&ca);
		r.own = rows[i].own;
		r.addrs = addrs;
		r.addr_count = ARRAY_LEN(addrs);
		MUST(cert_build_tbs(ca.issuer, &test_template, &r, &tbs, &err));
		MUST(cert_with_placeholder(ca.issuer, buf_str(&tbs), &der, &err));
		if (rows[i].rule == NULL)
			MUST(cert_lint(ca.issuer, &test_template, &r, buf_str(&der), &err));
		else
			must_find(&ca, &test_template, &r, buf_str(&der), rows[i].rule, i);
	}
	test_ca_done(&ca);
}

/* CN=192.0.2.7, RFC 5280's way of old: the names come first, and with no name there is no CN. */
static void an_address_as_common_name_is_found(void **state)
{
	(void)state;
	const struct addr addr = test_addr("192.0.2.7");
	const struct edit e = {
		.field = SUBJECT,
		.bytes = BYTES("\x30\x14\x31\x12\x30\x10\x06\x03\x55\x04\x03\x0c\x09"
			       "192.0.2.7"),
	};
	struct err err = { 0 };
	struct test_ca ca;
	struct cert_template t = test_template;
	t.common_name = true;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	for (size_t name_count = 0; name_count <= 1; name_count++) {
		AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), edited = BUF_MAX(CERT_DER_MAX);
		AUTO(buf_done) struct buf der = BUF_MAX(CERT_DER_MAX);
		struct cert_request r = request(&ca);
		r.name_count = name_count;
		r.addrs = &addr;
		r.addr_count = 1;
		MUST(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err));
		struct derw w = derw_begin(&edited, &err);
		write_edited(&w, buf_str(&tbs), &e);
		MUST(derw_end(&w));
		MUST(cert_with_placeholder(ca.issuer, buf_str(&edited), &der, &err));
		must_find(&ca, &t, &r, buf_str(&der), "asked-subject", name_count);
	}
	test_ca_done(&ca);
}

static void urls_must_be_http(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	for (unsigned row = 0; row < 2; row++) {
		AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
		const struct cert_request r = request(&ca);
		struct cert_template t = test_template;
		if (row == 0)
			t.aia_url = STR("https://ca.test/i.cer");
		else
			t.crl_url = STR("ldap://ca.test/1.crl");
		MUST(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err));
		MUST(cert_with_placeholder(ca.issuer, buf_str(&tbs), &der, &err));
		must_find(&ca, &t, &r, buf_str(&der), row == 0 ? "asked-aia-url" : "asked-crl-url", row);
	}
	test_ca_done(&ca);
}

/* Any bit that is flipped is found, whatever rule does it. */
static void no_flipped_bit_passes(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct test_ca ca;
	test_ca_make(&ca, KEY_P256, NULL, 0);
	const struct cert_request r = request(&ca);
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	MUST(cert_build_tbs(ca.issuer, &test_template, &r, &tbs, &err));
	MUST(cert_with_placeholder(ca.issuer, buf_str(&tbs), &der, &err));
	MUST(cert_lint(ca.issuer, &test_template, &r, buf_str(&der), &err));
	for (size_t i = 0; i < der.n; i++) {
		der.p[i] ^= (char)(1 << i % 8);
		assert_true(FAILED(cert_lint(ca.issuer, &test_template, &r, buf_str(&der), &err)));
		der.p[i] ^= (char)(1 << i % 8);
	}
	test_ca_done(&ca);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_finds_what_breaks_it),
		cmocka_unit_test(what_was_not_asked_for_is_found),
		cmocka_unit_test(other_addresses_than_those_asked_for_are_found),
		cmocka_unit_test(addresses_that_no_certificate_has_are_found),
		cmocka_unit_test(an_address_as_common_name_is_found),
		cmocka_unit_test(urls_must_be_http),
		cmocka_unit_test(no_flipped_bit_passes),
	};
	return cmocka_run_group_tests(tests, NULL, every_rule_was_met);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_rules_test.c: for each rule of the lint a certificate that is broken in just that way, and is found to break that
 * rule and no other than stated. A rule without one fails the test. And good certificates, which break none.
 */
#include "pki/lint_look.h"
#include "pki/test.h"

#include <openssl/bn.h>

#define BYTES(lit)                   \
	{                            \
		lit, sizeof(lit) - 1 \
	}

/* --- certificates to break ---------------------------------------------------------------------------------------------*/
enum base {
	DV,      /* public, for servers, no subject, key P-256 */
	DV_RSA,  /* the same with an RSA key */
	OV,      /* public, for an organization */
	PRIVATE, /* for servers, of a private CA */
	MAIL,    /* for e-mail, with a subject */
	SUBCA,
	ROOT,
	BASE_COUNT
};

struct stock {
	struct test_ca ca;
	struct key *ec, *rsa;
	struct cert *certs[BASE_COUNT];
};

static const struct str server_name = BYTES("www.example.com"), mail_name = BYTES("ann@example.com");
static const struct str policy_ov = BYTES("2.23.140.1.2.2");
static const struct cert_subject company = { .organization = BYTES("Example"),
					     .locality = BYTES("Bern"),
					     .country = BYTES("CH") };

static struct cert *make_leaf(struct stock *s, enum base b)
{
	struct err err = { 0 };
	struct cert *made = NULL;
	struct cert_template t = test_template;
	struct cert_request r = { .names = &server_name,
				  .name_count = 1,
				  .key = b == DV_RSA ? s->rsa : s->ec,
				  .serial = serial_new(1, &s->ca.rng),
				  .not_before = TEST_NOW,
				  .not_after = TEST_NOW + 90 * TEST_DAY - 1 };
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
	t.public_rules = b < PRIVATE;
	if (b == PRIVATE || b == MAIL)
		t.policy_count = 0;
	if (b == OV)
		t.policies = &policy_ov;
	if (b == OV || b == MAIL)
		r.subject = &company;
	if (b == MAIL) {
		t.ekus = EKU_EMAIL;
		r.name_count = 0;
		r.emails = &mail_name;
		r.email_count = 1;
	}
	MUST(cert_build_tbs(s->ca.issuer, &t, &r, &tbs, &err));
	MUST(cert_wrap(s->ca.c, s->ca.key, buf_str(&tbs), &der, &err));
	MUST(cert_lint(s->ca.issuer, &t, &r, buf_str(&der), &err));
	MUST(cert_read_der(buf_str(&der), &made, &err));
	return made;
}

static void stock_make(struct stock *s)
{
	struct err err = { 0 };
	test_ca_make(&s->ca, KEY_P256, NULL, 0);
	MUST(key_generate(KEY_P256, 0, &s->ec, &err));
	MUST(key_generate(KEY_RSA, 2048, &s->rsa, &err));
	for (unsigned b = DV; b <= MAIL; b++)
		s->certs[b] = make_leaf(s, (enum base)b);
	s->certs[SUBCA] = cert_ref(s->ca.cert);
	s->certs[ROOT] = cert_ref(s->ca.root);
}

static void stock_done(struct stock *s)
{
	for (unsigned b = 0; b < BASE_COUNT; b++)
		cert_free(s->certs[b]);
	key_free(s->ec);
	key_free(s->rsa);
	test_ca_done(&s->ca);
}

/* --- keys to put into them -----------------------------------------------------------------------------------------------*/
static struct str rsa_spki(struct arena *mem, const BIGNUM *n, struct str e)
{
	struct err err = { 0 };
	uint8_t bytes[1024 + 8];
	AUTO(buf_done) struct buf out = BUF_MAX(4096);
	int len = BN_bn2bin(n, bytes);
	struct derw w = derw_begin(&out, &err);
	derw_open(&w, DER_SEQUENCE);
	derw_raw(&w, STR("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"));
	derw_open_bits(&w);
	derw_open(&w, DER_SEQUENCE);
	derw_uint(&w, str_n(bytes, (size_t)len));
	derw_put(&w, DER_INTEGER, e);
	derw_close(&w);
	derw_close(&w);
	derw_close(&w);
	MUST(derw_end(&w));
	return str_dup(mem, buf_str(&out));
}

static unsigned flaws_of(const BIGNUM *n)
{
	struct err err = { 0 };
	uint8_t bytes[1024 + 8];
	unsigned flaws = 0;
	int len = BN_bn2bin(n, bytes);
	MUST(key_rsa_flaws(str_n(bytes, (size_t)len), KEY_FLAW_FACTOR | KEY_FLAW_FERMAT | KEY_FLAW_ROCA, &flaws, &err));
	return flaws;
}

/* n = a * (a + 2) */
static void close_factors(BIGNUM *n, BN_CTX *ctx)
{
	BIGNUM *b = BN_new();
	assert_int_equal(BN_rand(n, 1024, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD), 1);
	assert_true(BN_copy(b, n) != NULL && BN_add_word(b, 2) == 1 && BN_mul(n, n, b, ctx) == 1);
	BN_free(b);
}

/* n = k * M + 65537^a mod M, M the product of the primes to 167 */
static void like_infineon(BIGNUM *n, BN_CTX *ctx)
{
	BIGNUM *m = BN_new(), *power = BN_new(), *a = BN_new();
	assert_int_equal(BN_one(m), 1);
	for (unsigned p = 2; p <= 167; p++) {
		unsigned d = 2;
		while (p % d != 0)
			d++;
		assert_true(d != p || BN_mul_word(m, p) == 1);
	}
	assert_int_equal(BN_set_word(power, 65537), 1);
	assert_int_equal(BN_rand(a, 200, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY), 1);
	assert_int_equal(BN_mod_exp(power, power, a, m, ctx), 1);
	assert_int_equal(BN_rand(n, 2048, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ANY), 1);
	assert_int_equal(BN_div(n, NULL, n, m, ctx), 1);
	assert_true(BN_mul(n, n, m, ctx) == 1 && BN_add(n, n, power) == 1);
	BN_free(m);
	BN_free(power);
	BN_free(a);
}

/* A modulus of so many bits with this flaw and no other. */
static void make_modulus(BIGNUM *n, int bits, unsigned flaw)
{
	BN_CTX *ctx = BN_CTX_new();
	do {
		if (flaw == KEY_FLAW_FERMAT)
			close_factors(n, ctx);
		else if (flaw == KEY_FLAW_ROCA)
			like_infineon(n, ctx);
		else
			assert_int_equal(BN_rand(n, bits, BN_RAND_TOP_TWO, BN_RAND_BOTTOM_ODD), 1);
		if (flaw == KEY_FLAW_FACTOR)
			assert_true(BN_div_word(n, 751) != (BN_ULONG)-1 && BN_mul_word(n, 751) == 1);
	} while (BN_num_bits(n) != bits || flaws_of(n) != flaw);
	BN_CTX_free(ctx);
}

#define E_65537 STR("\x01\x00\x01")
static struct str spki_of(struct arena *mem, int bits, unsigned flaw, struct str e)
{
	BIGNUM *n = BN_new();
	make_modulus(n, bits, flaw);
	struct str spki = rsa_spki(mem, n, e);
	BN_free(n);
	return spki;
}
static struct str spki_1024(struct arena *mem)
{
	return spki_of(mem, 1024, 0, E_65537);
}
static struct str spki_2049(struct arena *mem)
{
	return spki_of(mem, 2049, 0, E_65537);
}
static struct str spki_factor(struct arena *mem)
{
	return spki_of(mem, 2048, KEY_FLAW_FACTOR, E_65537);
}
static struct str spki_fermat(struct arena *mem)
{
	return spki_of(mem, 2048, KEY_FLAW_FERMAT, E_65537);
}
static struct str spki_roca(struct arena *mem)
{
	return spki_of(mem, 2048, KEY_FLAW_ROCA, E_65537);
}
static struct str spki_e3(struct arena *mem)
{
	return spki_of(mem, 2048, 0, STR("\x03"));
}
static struct str spki_even(struct arena *mem)
{
	return spki_of(mem, 2048, 0, STR("\x01\x00\x00"));
}
static struct str spki_e1(struct arena *mem)
{
	return spki_of(mem, 2048, 0, STR("\x01"));
}
static struct str spki_negative(struct arena *mem)
{
	return spki_of(mem, 2048, 0, STR("\x81"));
}

/* --- breaking them -----------------------------------------------------------------------------------------------------*/
enum field {
	NO_FIELD,
	VERSION,
	SERIAL,
	ALGORITHM,
	ISSUER,
	VALIDITY,
	SUBJECT,
	SPKI,
	BEFORE_EXTENSIONS,
	OUTSIDE,
	BOTH_ALGORITHMS
};
enum flag { NOT_CRITICAL, CRITICAL, SAYS_FALSE };

struct broken {
	const char *rule;
	const char *also; /* other rules that find it, each between blanks */
	enum base base;
	bool stranger; /* the issuer is not known */
	bool leaf;     /* no CA is wanted */
	bool forged;   /* another key signs */
	enum field field;
	struct str bytes;         /* in that field's place */
	const char *from, *until; /* U: UTCTime, G: GeneralizedTime */
	struct str (*spki)(struct arena *mem);
	struct str ext; /* body of its OID: this extension is replaced, added, or with no value removed */
	enum flag flag;
	struct str value;
	const char *dns; /* the SAN has this dNSName only */
	struct str san;  /* or these GeneralNames */
	struct str add;  /* whole extensions behind the others */
};

#define X_SKI "\x55\x1d\x0e"
#define X_KU "\x55\x1d\x0f"
#define X_SAN "\x55\x1d\x11"
#define X_BC "\x55\x1d\x13"
#define X_NC "\x55\x1d\x1e"
#define X_CRL "\x55\x1d\x1f"
#define X_CP "\x55\x1d\x20"
#define X_AKI "\x55\x1d\x23"
#define X_EKU "\x55\x1d\x25"
#define X_AIA "\x2b\x06\x01\x05\x05\x07\x01\x01"
#define X_FEATURE "\x2b\x06\x01\x05\x05\x07\x01\x18"
#define X_OURS "\x2a\x03\x04"
#define X_NS_TYPE "\x60\x86\x48\x01\x86\xf8\x42\x01\x01"
#define SERVER "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01"
#define CLIENT "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x02"
#define CODE "\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x03"
#define ANY "\x06\x04\x55\x1d\x25\x00"
#define P_DV "\x30\x08\x06\x06\x67\x81\x0c\x01\x02\x01"
#define P_OV "\x30\x08\x06\x06\x67\x81\x0c\x01\x02\x02"
#define P_OURS "\x30\x05\x06\x03\x2a\x03\x04"
#define P_ANY "\x30\x06\x06\x04\x55\x1d\x20\x00"
#define A_C                                            \
	"\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x13\x02" \
	"CH"
#define A_L                                            \
	"\x31\x0d\x30\x0b\x06\x03\x55\x04\x07\x0c\x04" \
	"Bern"
#define A_O                                            \
	"\x31\x10\x30\x0e\x06\x03\x55\x04\x0a\x0c\x07" \
	"Example"
#define A_OU                                           \
	"\x31\x0b\x30\x09\x06\x03\x55\x04\x0b\x0c\x02" \
	"IT"
#define A_CN                                           \
	"\x31\x18\x30\x16\x06\x03\x55\x04\x03\x0c\x0f" \
	"www.example.com"
#define A_CN_OTHER                                     \
	"\x31\x18\x30\x16\x06\x03\x55\x04\x03\x0c\x0f" \
	"www.example.org"
#define ORDER_384 "\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"
#define NO_ALGORITHM "\x30\x09\x06\x07\x2a\x86\x48\xce\x3d\x04\x01"
#define ED25519 "\x30\x05\x06\x03\x2b\x65\x70"
#define P256 "\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"
#define ZERO_32 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"

static const struct broken rows[] = {
	/* --- form */
	{ .rule = "der", .base = PRIVATE, .ext = BYTES(X_OURS), .value = BYTES("\x04\x81\x01\x00") },
	{ .rule = "second-reader", .base = PRIVATE, .ext = BYTES(X_NS_TYPE), .value = BYTES("\x04\x00") },
	{ .rule = "version-3", .field = VERSION, .bytes = BYTES("\xa0\x03\x02\x01\x01") },
	{ .rule = "version-3", .field = VERSION, .bytes = BYTES("") },
	{ .rule = "unique-ids", .field = BEFORE_EXTENSIONS, .bytes = BYTES("\x81\x02\x00\x01") },
	{ .rule = "unique-ids", .field = BEFORE_EXTENSIONS, .bytes = BYTES("\x82\x02\x00\x01") },
	{ .rule = "serial-positive", .base = PRIVATE, .field = SERIAL, .bytes = BYTES("\x02\x01\x00") },
	{ .rule = "serial-positive", .field = SERIAL, .bytes = BYTES("\x02\x09\x81\x02\x03\x04\x05\x06\x07\x08\x09") },
	{ .rule = "serial-length",
	  .field = SERIAL,
	  .bytes = BYTES(
		  "\x02\x15\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15") },
	{ .rule = "serial-entropy", .field = SERIAL, .bytes = BYTES("\x02\x07\x01\x02\x03\x04\x05\x06\x07") },
	{ .rule = "algorithms-equal", .also = " signature ", .field = OUTSIDE, .bytes = BYTES(ORDER_384) },
	{ .rule = "algorithm-bytes", .stranger = true, .field = BOTH_ALGORITHMS, .bytes = BYTES(NO_ALGORITHM) },
	{ .rule = "algorithm-bytes", .stranger = true, .field = BOTH_ALGORITHMS, .bytes = BYTES(ED25519) },
	{ .rule = "algorithm-of-issuer", .also = " signature ", .field = BOTH_ALGORITHMS, .bytes = BYTES(ORDER_384) },
	{ .rule = "signature", .forged = true },
	{ .rule = "name-form",
	  .also = " subject-ov ",
	  .base = OV,
	  .field = SUBJECT,
	  .bytes = BYTES("\x30\x02\x05\x00") },
	{ .rule = "issuer-not-empty", .stranger = true, .field = ISSUER, .bytes = BYTES("\x30\x00") },
	{ .rule = "issuer-name",
	  .field = ISSUER,
	  .bytes = BYTES("\x30\x0c\x31\x0a\x30\x08\x06\x03\x55\x04\x03\x0c\x01\x58") },
	{ .rule = "time-form", .from = "G20261122000000Z" },
	{ .rule = "time-form", .until = "G20261222000000Z" },
	{ .rule = "time-form", .until = "U2612220000Z" },
	{ .rule = "time-form", .until = "U261222000000+0000" },
	{ .rule = "time-form", .until = "G20261222000000.5Z" },
	{ .rule = "time-form", .until = "U261322000000Z" },
	{ .rule = "time-order", .from = "U261122000001Z", .until = "U261122000000Z" },
	/* 200 days and a second; 199 days and a second */
	{ .rule = "validity-public", .from = "U261122000000Z", .until = "U270610000000Z" },
	{ .rule = "validity-public", .from = "U270315000000Z", .until = "U270623000000Z" },
	{ .rule = "validity-public", .from = "U290315000000Z", .until = "U290501000000Z" },
	{ .rule = "validity-margin", .from = "U261122000000Z", .until = "U270609000000Z" },
	{ .rule = "validity-margin", .from = "U261122000000Z", .until = "U270609235959Z" },
	{ .rule = "validity-ceiling", .base = PRIVATE, .from = "U261122000000Z", .until = "U271225000000Z" },
	{ .rule = "within-issuer", .also = " validity-ceiling ", .base = PRIVATE, .until = "U331122000000Z" },
	/* --- subject */
	{ .rule = "subject-strings",
	  .base = OV,
	  .field = SUBJECT,
	  .bytes = BYTES("\x30\x2e"
			 "\x31\x0b\x30\x09\x06\x03\x55\x04\x06\x0c\x02"
			 "CH" A_L A_O) },
	{ .rule = "subject-strings",
	  .base = OV,
	  .field = SUBJECT,
	  .bytes = BYTES("\x30\x2f"
			 "\x31\x0c\x30\x0a\x06\x03\x55\x04\x06\x13\x03"
			 "CHE" A_L A_O) },
	{ .rule = "subject-strings",
	  .base = OV,
	  .field = SUBJECT,
	  .bytes = BYTES("\x30\x2e" A_C "\x31\x0d\x30\x0b\x06\x03\x55\x04\x07\x14\x04"
			 "Bern" A_O) },
	{ .rule = "subject-strings",
	  .base = OV,
	  .field = SUBJECT,
	  .bytes = BYTES("\x30\x2e" A_C "\x31\x0d\x30\x0b\x06\x03\x55\x04\x07\x13\x04"
			 "B_rn" A_O) },
	{ .rule = "subject-says-nothing",
	  .base = OV,
	  .field = SUBJECT,
	  .bytes = BYTES("\x30\x2b" A_C "\x31\x0a\x30\x08\x06\x03\x55\x04\x07\x0c\x01"
			 "-" A_O) },
	{ .rule = "subject-sets",
	  .base = OV,
	  .field = SUBJECT,
	  .bytes = BYTES("\x30\x2a"
			 "\x31\x16\x30\x09\x06\x03\x55\x04\x06\x13\x02"
			 "CH"
			 "\x30\x09\x06\x03\x55\x04\x07\x0c\x02"
			 "Be" A_O) },
	{ .rule = "subject-repeats", .base = OV, .field = SUBJECT, .bytes = BYTES("\x30\x40" A_C A_L A_O A_O) },
	{ .rule = "subject-unit", .base = OV, .field = SUBJECT, .bytes = BYTES("\x30\x3b" A_C A_L A_O A_OU) },
	{ .rule = "subject-dv", .base = OV, .ext = BYTES(X_CP), .value = BYTES("\x30\x0a" P_DV) },
	{ .rule = "subject-ov", .base = OV, .field = SUBJECT, .bytes = BYTES("\x30\x21" A_L A_O) },
	{ .rule = "subject-ov", .base = OV, .field = SUBJECT, .bytes = BYTES("\x30\x1f" A_C A_O) },
	{ .rule = "common-name-in-san",
	  .also = " common-name ",
	  .base = OV,
	  .field = SUBJECT,
	  .bytes = BYTES("\x30\x48" A_C A_L A_O A_CN_OTHER) },
	{ .rule = "common-name", .base = OV, .field = SUBJECT, .bytes = BYTES("\x30\x48" A_C A_L A_O A_CN) },
	{ .rule = "ca-subject", .base = SUBCA, .field = SUBJECT, .bytes = BYTES("\x30\x00") },
	/* --- key: compressed point, curve without a name, on no curve */
	{ .rule = "key-algorithm", .field = SPKI, .bytes = BYTES("\x30\x0a\x30\x04\x06\x02\x2a\x03\x03\x02\x00\x01") },
	{ .rule = "key-algorithm",
	  .field = SPKI,
	  .bytes = BYTES(
		  "\x30\x28\x30\x0b\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x03\x19\x00"
		  "\x30\x16\x02\x0f\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x02\x03\x01\x00\x01") },
	{ .rule = "key-ed25519", .field = SPKI, .bytes = BYTES("\x30\x2a" ED25519 "\x03\x21\x00" ZERO_32) },
	{ .rule = "key-rsa-form", .spki = spki_negative },
	{ .rule = "key-rsa-size", .spki = spki_1024 },
	{ .rule = "key-rsa-size", .spki = spki_2049 },
	{ .rule = "key-rsa-exponent", .spki = spki_even },
	{ .rule = "key-rsa-exponent", .spki = spki_e1 },
	{ .rule = "key-rsa-65537", .spki = spki_e3 },
	{ .rule = "key-rsa-factor", .spki = spki_factor },
	{ .rule = "key-rsa-fermat", .spki = spki_fermat },
	{ .rule = "key-rsa-roca", .spki = spki_roca },
	{ .rule = "key-ec-plain", .field = SPKI, .bytes = BYTES("\x30\x39" P256 "\x03\x22\x00\x02" ZERO_32) },
	{ .rule = "key-ec-curve", .field = SPKI, .bytes = BYTES("\x30\x59" P256 "\x03\x42\x00\x04" ZERO_32 ZERO_32) },
	/* --- extensions */
	{ .rule = "ext-twice", .add = BYTES("\x30\x0c\x06\x03" X_BC "\x01\x01\xff\x04\x02\x30\x00") },
	{ .rule = "ext-value", .ext = BYTES(X_EKU), .value = BYTES("\x04\x00") },
	{ .rule = "ext-value",
	  .also = " ext-others ",
	  .ext = BYTES(X_FEATURE),
	  .value = BYTES("\x30\x05\x02\x03\x01\x00\x00") },
	{ .rule = "ext-value",
	  .ext = BYTES("\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x02"),
	  .value = BYTES("\x04\x04\x00\x03\x00\x01") },
	{ .rule = "ext-false", .ext = BYTES(X_EKU), .flag = SAYS_FALSE, .value = BYTES("\x30\x0a" SERVER) },
	{ .rule = "ext-unknown-critical", .ext = BYTES(X_OURS), .flag = CRITICAL, .value = BYTES("\x05\x00") },
	{ .rule = "ext-criticality", .ext = BYTES(X_EKU), .flag = CRITICAL, .value = BYTES("\x30\x0a" SERVER) },
	{ .rule = "ext-criticality", .ext = BYTES(X_KU), .value = BYTES("\x03\x02\x07\x80") },
	{ .rule = "ext-criticality", .ext = BYTES(X_BC), .value = BYTES("\x30\x00") },
	{ .rule = "ext-criticality",
	  .also = " subject-key-id ",
	  .ext = BYTES(X_SKI),
	  .flag = CRITICAL,
	  .value = BYTES("\x04\x01\x01") },
	{ .rule = "ext-others", .ext = BYTES(X_OURS), .value = BYTES("\x05\x00") },
	{ .rule = "ext-others", .ext = BYTES(X_FEATURE), .value = BYTES("\x30\x03\x02\x01\x05") },
	{ .rule = "leaf", .ext = BYTES(X_BC), .leaf = true, .flag = CRITICAL, .value = BYTES("\x30\x03\x01\x01\xff") },
	{ .rule = "basic-constraints-leaf",
	  .ext = BYTES(X_BC),
	  .flag = CRITICAL,
	  .value = BYTES("\x30\x03\x01\x01\x00") },
	{ .rule = "basic-constraints-leaf",
	  .ext = BYTES(X_BC),
	  .flag = CRITICAL,
	  .value = BYTES("\x30\x03\x02\x01\x00") },
	{ .rule = "ca-critical", .base = SUBCA, .ext = BYTES(X_BC), .value = BYTES("\x30\x03\x01\x01\xff") },
	{ .rule = "ca-key-usage",
	  .base = SUBCA,
	  .ext = BYTES(X_KU),
	  .flag = CRITICAL,
	  .value = BYTES("\x03\x02\x01\x02") },
	{ .rule = "ca-key-usage", .base = ROOT, .ext = BYTES(X_KU) },
	{ .rule = "ca-key-id", .base = SUBCA, .ext = BYTES(X_SKI) },
	{ .rule = "key-usage-ca", .ext = BYTES(X_KU), .flag = CRITICAL, .value = BYTES("\x03\x02\x02\x84") },
	{ .rule = "key-usage-ca", .ext = BYTES(X_KU), .flag = CRITICAL, .value = BYTES("\x03\x02\x01\x82") },
	{ .rule = "key-usage-bits", .ext = BYTES(X_KU), .flag = CRITICAL, .value = BYTES("\x03\x02\x00\x80") },
	{ .rule = "key-usage-bits", .ext = BYTES(X_KU), .flag = CRITICAL, .value = BYTES("\x03\x01\x00") },
	{ .rule = "key-usage-encipher", .ext = BYTES(X_KU), .flag = CRITICAL, .value = BYTES("\x03\x02\x05\xa0") },
	{ .rule = "key-usage", .ext = BYTES(X_KU) },
	{ .rule = "key-usage-public", .ext = BYTES(X_KU), .flag = CRITICAL, .value = BYTES("\x03\x02\x06\xc0") },
	{ .rule = "key-usage-public",
	  .base = DV_RSA,
	  .ext = BYTES(X_KU),
	  .flag = CRITICAL,
	  .value = BYTES("\x03\x02\x03\x88") },
	{ .rule = "key-usage-discouraged", .ext = BYTES(X_KU), .flag = CRITICAL, .value = BYTES("\x03\x02\x03\x88") },
	{ .rule = "key-usage-discouraged",
	  .base = DV_RSA,
	  .ext = BYTES(X_KU),
	  .flag = CRITICAL,
	  .value = BYTES("\x03\x02\x04\x90") },
	{ .rule = "ext-key-usage-twice", .ext = BYTES(X_EKU), .value = BYTES("\x30\x14" SERVER SERVER) },
	{ .rule = "ext-key-usage-any", .ext = BYTES(X_EKU), .value = BYTES("\x30\x10" SERVER ANY) },
	{ .rule = "ext-key-usage-server", .ext = BYTES(X_EKU) },
	{ .rule = "ext-key-usage-server",
	  .also = " ext-key-usage-client ",
	  .ext = BYTES(X_EKU),
	  .value = BYTES("\x30\x0a" CLIENT) },
	{ .rule = "ext-key-usage-client", .ext = BYTES(X_EKU), .value = BYTES("\x30\x14" SERVER CLIENT) },
	{ .rule = "ext-key-usage-others", .ext = BYTES(X_EKU), .value = BYTES("\x30\x14" SERVER CODE) },
	{ .rule = "authority-key-id", .ext = BYTES(X_AKI) },
	{ .rule = "authority-key-id", .ext = BYTES(X_AKI), .value = BYTES("\x30\x00") },
	{ .rule = "authority-key-id-alone",
	  .stranger = true,
	  .ext = BYTES(X_AKI),
	  .value = BYTES("\x30\x06\x80\x01\x01\x82\x01\x01") },
	{ .rule = "authority-key-id-issuer", .ext = BYTES(X_AKI), .value = BYTES("\x30\x03\x80\x01\x01") },
	{ .rule = "subject-key-id", .ext = BYTES(X_SKI), .value = BYTES("\x04\x01\x01") },
	{ .rule = "info-access", .ext = BYTES(X_AIA) },
	{ .rule = "info-access-http",
	  .ext = BYTES(X_AIA),
	  .value = BYTES("\x30\x18\x30\x16\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x02\x86\x0a"
			 "https://x/") },
	{ .rule = "info-access-http",
	  .ext = BYTES(X_AIA),
	  .value = BYTES("\x30\x17\x30\x15\x06\x08\x2b\x06\x01\x05\x05\x07\x30\x03\x86\x09"
			 "http://x/") },
	{ .rule = "crl-points", .ext = BYTES(X_CRL) },
	{ .rule = "crl-points", .until = "U261129000000Z", .ext = BYTES(X_CRL) },
	{ .rule = "crl-points-form",
	  .ext = BYTES(X_CRL),
	  .value = BYTES("\x30\x11\x30\x0f\xa0\x0d\xa0\x0b\x86\x09"
			 "ldap://x/") },
	{ .rule = "crl-points-form",
	  .ext = BYTES(X_CRL),
	  .value = BYTES("\x30\x15\x30\x13\xa0\x0d\xa0\x0b\x86\x09"
			 "http://x/"
			 "\x81\x02\x06\x40") },
	{ .rule = "policies-twice", .ext = BYTES(X_CP), .value = BYTES("\x30\x14" P_DV P_DV) },
	{ .rule = "policies-reserved", .ext = BYTES(X_CP) },
	{ .rule = "policies-reserved", .ext = BYTES(X_CP), .value = BYTES("\x30\x07" P_OURS) },
	{ .rule = "policies-reserved",
	  .also = " subject-ov ",
	  .ext = BYTES(X_CP),
	  .value = BYTES("\x30\x14" P_DV P_OV) },
	{ .rule = "policies-first", .ext = BYTES(X_CP), .value = BYTES("\x30\x11" P_OURS P_DV) },
	{ .rule = "policies-any", .ext = BYTES(X_CP), .value = BYTES("\x30\x12" P_DV P_ANY) },
	{ .rule = "policies-qualifiers",
	  .ext = BYTES(X_CP),
	  .value = BYTES("\x30\x1d\x30\x1b\x06\x06\x67\x81\x0c\x01\x02\x01\x30\x11\x30\x0f\x06\x08\x2b\x06\x01\x05\x05"
			 "\x07\x02\x01\x16\x03"
			 "a:b") },
	{ .rule = "name-constraints",
	  .ext = BYTES(X_NC),
	  .flag = CRITICAL,
	  .value = BYTES("\x30\x09\xa0\x07\x30\x05\x82\x03"
			 "com") },
	{ .rule = "precertificate",
	  .add = BYTES(
		  "\x30\x13\x06\x0a\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x03\x01\x01\xff\x04\x02\x05\x00"
		  "\x30\x15\x06\x0a\x2b\x06\x01\x04\x01\xd6\x79\x02\x04\x02\x04\x07\x04\x05\x00\x03\x00\x01\x01") },
	/* --- names */
	{ .rule = "san", .ext = BYTES(X_SAN) },
	{ .rule = "san", .base = PRIVATE, .ext = BYTES(X_SAN) },
	{ .rule = "san-critical",
	  .ext = BYTES(X_SAN),
	  .value = BYTES("\x30\x11\x82\x0f"
			 "www.example.com") },
	{ .rule = "san-not-critical",
	  .base = OV,
	  .ext = BYTES(X_SAN),
	  .flag = CRITICAL,
	  .value = BYTES("\x30\x11\x82\x0f"
			 "www.example.com") },
	{ .rule = "san-kinds",
	  .san = BYTES("\x82\x03"
		       "a.b"
		       "\x81\x0f"
		       "ann@example.com") },
	{ .rule = "san-twice",
	  .san = BYTES("\x82\x03"
		       "a.b"
		       "\x82\x03"
		       "c.d"
		       "\x82\x03"
		       "a.b") },
	{ .rule = "san-twice",
	  .also = " dns-case ",
	  .san = BYTES("\x82\x03"
		       "a.b"
		       "\x82\x03"
		       "A.b") },
	{ .rule = "san-ia5", .dns = "b\xc3\xbc.example.com" },
	{ .rule = "dns-syntax", .dns = "a..example.com" },
	{ .rule = "dns-syntax", .dns = ".example.com" },
	{ .rule = "dns-syntax", .dns = "a b.example.com" },
	{ .rule = "dns-syntax", .dns = "-a.example.com" },
	{ .rule = "dns-syntax", .dns = "a-.example.com" },
	{ .rule = "dns-syntax", .dns = "a234567890123456789012345678901234567890123456789012345678901234.example.com" },
	{ .rule = "dns-syntax", .san = BYTES("\x82\x00") },
	{ .rule = "dns-syntax",
	  .san = BYTES("\x82\x05"
		       "a\0b.c") },
	{ .rule = "dns-case", .base = PRIVATE, .dns = "WWW.example.com" },
	{ .rule = "dns-underscore", .dns = "a_b.example.com" },
	{ .rule = "dns-trailing-dot", .dns = "www.example.com." },
	{ .rule = "dns-wildcard", .dns = "a.*.example.com" },
	{ .rule = "dns-wildcard", .dns = "a*.example.com" },
	{ .rule = "dns-wildcard", .dns = "*.*.example.com" },
	{ .rule = "dns-wildcard-wide", .dns = "*.com" },
	{ .rule = "dns-wildcard-wide", .dns = "*.co.uk" },
	{ .rule = "dns-a-label", .dns = "xn--a.example.com" },
	{ .rule = "dns-a-label", .dns = "ab--c.example.com" },
	{ .rule = "dns-address", .dns = "192.0.2.7" },
	{ .rule = "dns-internal", .dns = "intranet" },
	{ .rule = "dns-internal", .dns = "printer.local" },
	{ .rule = "dns-internal", .dns = "ca.internal" },
	{ .rule = "dns-arpa", .dns = "7.2.0.192.in-addr.arpa" },
	{ .rule = "ip-length", .san = BYTES("\x87\x05\x08\x08\x08\x08\x08") },
	{ .rule = "ip-length", .san = BYTES("\x87\x08\x08\x08\x08\x08\xff\xff\xff\xff") },
	{ .rule = "ip-mapped", .san = BYTES("\x87\x10\0\0\0\0\0\0\0\0\0\0\xff\xff\x08\x08\x08\x08") },
	{ .rule = "ip-reserved", .san = BYTES("\x87\x04\x0a\x00\x00\x01") },
	{ .rule = "email-syntax",
	  .base = MAIL,
	  .san = BYTES("\x81\x03"
		       "ann") },
};

static bool put_time(struct derw *w, const char *text)
{
	derw_put(w, *text == 'U' ? DER_UTC_TIME : DER_GENERALIZED_TIME, str_z(text + 1));
	return true;
}

static void put_validity(struct derw *w, const struct broken *b, struct str before)
{
	struct err err = { 0 };
	struct der seq, from, until;
	MUST(der_only(before, DER_SEQUENCE, &seq, &err));
	struct cur c = cur_of(seq.body);
	MUST(der_next(&c, &from, &err));
	MUST(der_next(&c, &until, &err));
	derw_open(w, DER_SEQUENCE);
	if (b->from == NULL || !put_time(w, b->from))
		derw_raw(w, from.whole);
	if (b->until == NULL || !put_time(w, b->until))
		derw_raw(w, until.whole);
	derw_close(w);
}

static void put_ext(struct derw *w, const struct broken *b, struct str oid, bool critical)
{
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, oid);
	if (b->ext.n > 0 ? b->flag != NOT_CRITICAL : critical)
		derw_bool(w, b->ext.n == 0 || b->flag == CRITICAL);
	derw_open(w, DER_OCTET_STRING);
	if (b->ext.n > 0) {
		derw_raw(w, b->value);
	} else {
		derw_open(w, DER_SEQUENCE);
		derw_raw(w, b->san);
		if (b->dns != NULL)
			derw_put(w, TAG_DNS_NAME, str_z(b->dns));
		derw_close(w);
	}
	ext_close(w);
}

static void put_extensions(struct derw *w, const struct broken *b, struct str list)
{
	struct err err = { 0 };
	struct ext x;
	struct der d;
	bool met = false, names = b->dns != NULL || b->san.n > 0;
	derw_open(w, DER_CONTEXT_MADE(3));
	derw_open(w, DER_SEQUENCE);
	for (struct cur in = cur_of(list); !cur_end(&in);) {
		struct cur at = in;
		MUST(der_next(&in, &d, &err));
		MUST(ext_next(&at, &x, &err));
		bool this = (b->ext.n > 0 && str_eq(x.oid, b->ext)) || (names && str_eq(x.oid, OID_SAN));
		met = met || this;
		if (!this)
			derw_raw(w, d.whole);
		else if (names || b->value.p != NULL)
			put_ext(w, b, x.oid, x.critical);
	}
	if (!met && b->ext.n > 0 && b->value.p != NULL)
		put_ext(w, b, b->ext, false);
	derw_raw(w, b->add);
	derw_close(w);
	derw_close(w);
}

static void write_broken(struct derw *w, struct str tbs, const struct broken *b, struct str spki)
{
	struct err err = { 0 };
	struct der seq, d;
	MUST(der_only(tbs, DER_SEQUENCE, &seq, &err));
	struct cur c = cur_of(seq.body);
	derw_open(w, DER_SEQUENCE);
	for (unsigned field = VERSION; field <= SPKI; field++) {
		MUST(der_next(&c, &d, &err));
		if (field == VALIDITY && (b->from != NULL || b->until != NULL))
			put_validity(w, b, d.whole);
		else if (field == SPKI && spki.n > 0)
			derw_raw(w, spki);
		else
			derw_raw(w, b->field == field || (field == ALGORITHM && b->field == BOTH_ALGORITHMS) ? b->bytes
													     : d.whole);
	}
	if (b->field == BEFORE_EXTENSIONS)
		derw_raw(w, b->bytes);
	MUST(der_want(&c, DER_CONTEXT_MADE(3), &d, &err));
	MUST(der_only(d.body, DER_SEQUENCE, &seq, &err));
	put_extensions(w, b, seq.body);
	derw_close(w);
}

/* Signed by the true issuer, whatever it says. */
static void make_broken(struct stock *s, const struct broken *b, struct buf *ret_der)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX);
	struct err err = { 0 };
	struct str signature;
	const struct key *signer = b->forged ? s->ec : b->base >= SUBCA ? s->ca.root_key : s->ca.key;
	struct derw w = derw_begin(&tbs, &err);
	write_broken(&w, s->certs[b->base]->tbs, b, b->spki == NULL ? STR_NONE : b->spki(&mem));
	MUST(derw_end(&w));
	MUST(sig_sign_x509(s->ca.c, signer, buf_str(&tbs), &mem, &signature, &err));
	bool outside = b->field == OUTSIDE || b->field == BOTH_ALGORITHMS;
	w = derw_begin(ret_der, &err);
	derw_open(&w, DER_SEQUENCE);
	derw_raw(&w, buf_str(&tbs));
	derw_raw(&w, outside ? b->bytes : key_x509_algorithm(signer));
	derw_bits(&w, signature);
	derw_close(&w);
	MUST(derw_end(&w));
}

static bool is_among(const char *rule, const char *list)
{
	char padded[64];
	(void)snprintf(padded, sizeof padded, " %s ", rule);
	return list != NULL && strstr(list, padded) != NULL;
}

static struct lint_how how_to_look(const struct stock *s, const struct broken *b)
{
	return (struct lint_how){ .issuer = b->stranger        ? NULL
					    : b->base >= SUBCA ? s->ca.root
							       : s->ca.cert,
				  .strictness = b->base < PRIVATE ? LINT_PUBLIC : LINT_PRIVATE,
				  .must_be_leaf = b->leaf };
}

/* Says what is wrong with the row, and returns how much. */
static unsigned find_exactly(struct stock *s, const struct broken *b, size_t row)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf der = BUF_MAX(CERT_DER_MAX);
	struct err err = { 0 };
	struct lint_report found = { 0 };
	const struct lint_how how = how_to_look(s, b);
	unsigned bad = 0;
	size_t wanted = 1, count = 0;
	for (const char *p = b->also; p != NULL && *p != '\0'; p++)
		wanted += *p != ' ' && p[1] == ' ' ? 1 : 0;
	make_broken(s, b, &der);
	MUST(cert_lint_any(&mem, &how, buf_str(&der), &found, &err));
	for (size_t i = 0; i < found.count; i++) {
		const struct lint_finding *f = &found.findings[i];
		bool this = strcmp(f->rule->name, b->rule) == 0;
		if (!this && strcmp(f->rule->name, "second-reader") == 0)
			continue; /* what OpenSSL does not read differs from version to version */
		count++;
		if (this || is_among(f->rule->name, b->also))
			continue;
		print_error("row %zu, which breaks %s, is found by %s: %.*s\n", row, b->rule, f->rule->name,
			    STR_FMT(f->text));
		bad++;
	}
	if (count != wanted)
		print_error("row %zu, which breaks %s, has %zu findings, wanted %zu\n", row, b->rule, count, wanted);
	return bad + (count != wanted);
}

static void each_rule_finds_what_breaks_it_and_no_other_does(void **state)
{
	(void)state;
	struct stock s;
	unsigned bad = 0;
	stock_make(&s);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		bad += find_exactly(&s, &rows[i], i);
	stock_done(&s);
	assert_int_equal(bad, 0);
}

static void each_rule_has_a_certificate_that_breaks_it(void **state)
{
	(void)state;
	const struct lint_rule *rule;
	size_t count = 0;
	for (; (rule = lint_rule_at(count)) != NULL; count++) {
		bool met = strncmp(rule->name, "asked-", 6) == 0; /* lint_test.c */
		for (size_t row = 0; row < ARRAY_LEN(rows) && !met; row++)
			met = strcmp(rows[row].rule, rule->name) == 0;
		if (!met)
			fail_msg("no certificate breaks %s", rule->name);
		assert_true(rule->source[0] != '\0' && rule->wants[0] != '\0' && rule->of >= 1 && rule->of <= 15);
		for (size_t other = 0; other < count; other++)
			assert_string_not_equal(lint_rule_at(other)->name, rule->name);
	}
	assert_true(count > 80);
}

/* Of each base; as it claims, too. */
static void good_certificates_break_no_rule(void **state)
{
	(void)state;
	struct stock s;
	stock_make(&s);
	for (unsigned b = 0; b < BASE_COUNT; b++) {
		for (unsigned strictness = LINT_AS_IT_CLAIMS; strictness <= LINT_PRIVATE; strictness++) {
			AUTO(arena_done) struct arena mem = { 0 };
			struct err err = { 0 };
			struct lint_report found = { 0 };
			const struct lint_how how = { .issuer = b >= SUBCA ? s.ca.root : s.ca.cert,
						      .strictness = (enum lint_strictness)strictness };
			if (strictness == LINT_PUBLIC && (b == PRIVATE || b == MAIL))
				continue;
			MUST(cert_lint_any(&mem, &how, cert_get_der(s.certs[b]), &found, &err));
			if (found.count > 0)
				fail_msg("certificate %u: %s: %s", b, found.findings[0].rule->name,
					 found.findings[0].text.p);
			assert_int_equal(found.is_ca, b >= SUBCA);
			assert_int_equal(found.public_rules,
					 strictness == LINT_PUBLIC || (strictness == LINT_AS_IT_CLAIMS && b <= OV));
		}
	}
	stock_done(&s);
}

/* Each kind of certificate and of key, through the door that the signer uses. */
static void every_template_and_key_passes_before_signing(void **state)
{
	(void)state;
	static const struct {
		enum key_kind kind;
		unsigned bits;
	} keys[] = { { KEY_P256, 0 }, { KEY_P384, 0 }, { KEY_P521, 0 }, { KEY_RSA, 2048 }, { KEY_RSA, 3072 } };
	static const unsigned ekus[] = { EKU_SERVER, EKU_SERVER | EKU_CLIENT, EKU_CLIENT, EKU_CODE, EKU_EMAIL };
	struct err err = { 0 };
	struct test_ca ca;
	test_ca_make(&ca, KEY_RSA, NULL, 0);
	for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
		AUTO(key_auto) struct key *key = NULL;
		MUST(key_generate(keys[k].kind, keys[k].bits, &key, &err));
		for (size_t e = 0; e < 2 * ARRAY_LEN(ekus); e++) {
			AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX);
			struct cert_template t = test_template;
			t.ekus = ekus[e / 2];
			t.key_encipherment = true;
			t.common_name = e % 2 == 1;
			t.public_rules = t.ekus == EKU_SERVER;
			const struct cert_request r = { .names = &server_name,
							.name_count = 1,
							.key = key,
							.serial = serial_new(1, &ca.rng),
							.not_before = TEST_NOW,
							.not_after = TEST_NOW + 199 * TEST_DAY - 1,
							.must_staple = e % 2 == 1 };
			MUST(cert_build_tbs(ca.issuer, &t, &r, &tbs, &err));
			MUST(cert_with_placeholder(ca.issuer, buf_str(&tbs), &der, &err));
			MUST(cert_lint(ca.issuer, &t, &r, buf_str(&der), &err));
		}
	}
	test_ca_done(&ca);
}

/* The day counts that are in force, at their edges. */
static void public_lifetimes_follow_the_schedule(void **state)
{
	(void)state;
	static const struct {
		int64_t from;
		unsigned days;
	} edges[] = { { INT64_C(1598918399), 825 }, { INT64_C(1598918400), 398 }, { INT64_C(1773532799), 398 },
		      { INT64_C(1773532800), 200 }, { INT64_C(1805068799), 200 }, { INT64_C(1805068800), 100 },
		      { INT64_C(1868227199), 100 }, { INT64_C(1868227200), 47 } };
	for (size_t i = 0; i < ARRAY_LEN(edges); i++)
		assert_int_equal(lint_public_days(edges[i].from), edges[i].days);
}

/* Cut anywhere, with any byte changed: it is a certificate or it is none, and the lint says so. */
static void whatever_the_bytes_are_there_is_an_answer(void **state)
{
	(void)state;
	struct stock s;
	stock_make(&s);
	struct str good = cert_get_der(s.certs[OV]);
	char bytes[CERT_DER_MAX];
	memcpy(bytes, good.p, good.n);
	for (size_t i = 0; i < good.n; i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct err err = { 0 };
		struct lint_report found = { 0 };
		const struct lint_how how = { .issuer = s.ca.cert };
		MUST_FAIL(cert_lint_any(&mem, &how, str_n(bytes, i), &found, &err), ERR_MALFORMED, "no certificate");
		bytes[i] ^= (char)(1 << i % 8);
		struct rc rc = cert_lint_any(&mem, &how, str_n(bytes, good.n), &found, &err);
		assert_true(rc.kind == ERR_MALFORMED || (rc.kind == ERR_NONE && found.count > 0));
		bytes[i] ^= (char)(1 << i % 8);
	}
	stock_done(&s);
}

/* What a reader of BER takes: the outermost length in the long form. */
static void ber_is_one_finding(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct stock s;
	struct lint_report found = { 0 };
	const struct lint_how how = { 0 };
	stock_make(&s);
	struct str good = cert_get_der(s.certs[DV]);
	assert_true((uint8_t)good.p[1] == 0x82);
	struct str ber = str_fmt(&mem, "0%c", '\x83');
	char bytes[CERT_DER_MAX] = { ber.p[0], ber.p[1], 0 };
	memcpy(bytes + 3, good.p + 2, good.n - 2);
	MUST(cert_lint_any(&mem, &how, str_n(bytes, good.n + 1), &found, &err));
	assert_int_equal(found.count, 1);
	assert_string_equal(found.findings[0].rule->name, "der");
	stock_done(&s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_rule_finds_what_breaks_it_and_no_other_does),
		cmocka_unit_test(each_rule_has_a_certificate_that_breaks_it),
		cmocka_unit_test(good_certificates_break_no_rule),
		cmocka_unit_test(every_template_and_key_passes_before_signing),
		cmocka_unit_test(public_lifetimes_follow_the_schedule),
		cmocka_unit_test(whatever_the_bytes_are_there_is_an_answer),
		cmocka_unit_test(ber_is_one_finding),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

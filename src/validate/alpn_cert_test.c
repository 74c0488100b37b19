/* SPDX-License-Identifier: Apache-2.0
 *
 * alpn_cert_test.c: which certificates prove an identifier by tls-alpn-01, and in which words the others are refused
 * (RFC 8737 3, RFC 8738 6, THREATS A36, A37).
 */
#include "alpn.h"
#include "unit.h"
#include "validate/internal.h"

#include <stdlib.h>

#define DIGEST "0123456789abcdef0123456789abcdef"
#define DIGEST_HEX "3031323334353637383961626364656630313233343536373839616263646566"
#define OTHER "fedcba9876543210fedcba9876543210"
#define NAMES(...) .names = { __VA_ARGS__ }
#define S(lit)                         \
	{                              \
		(lit), sizeof(lit) - 1 \
	}
#define RIGHT .digest = S(DIGEST), NAMES(S("www.a.test"))
#define X100 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"

struct fixture {
	struct crypto *crypto;
	struct key *keys[KEY_KIND_COUNT], *other;
};

static int setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof *f);
	struct err err = { 0 };
	*state = f;
	MUST(crypto_new(&f->crypto, &err));
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++)
		MUST(key_generate((enum key_kind)i, 2048, &f->keys[i], &err));
	MUST(key_generate(KEY_P256, 0, &f->other, &err));
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++)
		key_free(f->keys[i]);
	key_free(f->other);
	crypto_free(f->crypto);
	free(f);
	return 0;
}

static struct sha256 wanted(void)
{
	struct sha256 d;
	memcpy(d.b, DIGEST, sizeof d.b);
	return d;
}

static enum err_kind judge(const struct fixture *f, struct str der, const struct ident *ident, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct sha256 d = wanted();
	*err = (struct err){ 0 };
	return alpn_cert_check(f->crypto, der, ident, &d, &mem, err).kind;
}

static const struct {
	const char *title;
	struct alpn_cert cert;
	enum ident_type type;
	const char *ident;
	const char *want; /* NULL: proven */
} rows[] = {
	{ "as RFC 8737 wants it", { RIGHT }, IDENT_DNS, "www.a.test", NULL },
	{ "upper case is the same name",
	  { .digest = S(DIGEST), NAMES(S("WWW.a.TEST")) },
	  IDENT_DNS,
	  "www.a.test",
	  NULL },
	{ "extensions of no meaning", { RIGHT, .more_extensions = 30 }, IDENT_DNS, "www.a.test", NULL },
	{ "an IPv4 address", { .digest = S(DIGEST), .ip = S("\xc0\x00\x02\x07") }, IDENT_IP, "192.0.2.7", NULL },
	{ "an IPv6 address",
	  { .digest = S(DIGEST), .ip = S("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07") },
	  IDENT_IP,
	  "2001:db8::7",
	  NULL },
	{ "an ordinary certificate",
	  { RIGHT, .no_acme = true, .other_issuer = true },
	  IDENT_DNS,
	  "www.a.test",
	  "has no extension acmeIdentifier (1.3.6.1.5.5.7.1.31); wanted it with the digest of the key authorization; "
	  "let "
	  "the ACME client answer on this port" },
	{ "the object identifier of the drafts",
	  { RIGHT, .acme_oid = S("\x2b\x06\x01\x05\x05\x07\x01\x1e\x01") },
	  IDENT_DNS,
	  "www.a.test",
	  "has no extension acmeIdentifier (1.3.6.1.5.5.7.1.31), but that of an early draft (1.3.6.1.5.5.7.1.30.1); "
	  "wanted it with the digest of the key authorization; update the ACME client" },
	{ "not critical",
	  { RIGHT, .not_critical = true },
	  IDENT_DNS,
	  "www.a.test",
	  "has an acmeIdentifier (1.3.6.1.5.5.7.1.31) that is not critical; wanted a critical one (RFC 8737 3)" },
	{ "critical spelled out as FALSE",
	  { RIGHT, .not_critical = true, .false_spelled_out = true },
	  IDENT_DNS,
	  "www.a.test",
	  "cannot be read: DER: an extension has \"critical\" spelled out as FALSE; wanted an X.509 certificate in DER "
	  "(RFC 8737 3)" },
	{ "another digest",
	  { .digest = S(OTHER), NAMES(S("www.a.test")) },
	  IDENT_DNS,
	  "www.a.test",
	  "has the digest 6665646362613938373635343332313066656463626139383736353433323130 in its acmeIdentifier; "
	  "wanted " DIGEST_HEX "; it is of another order or account: see which ACME client answers there" },
	{ "a digest of 31 bytes",
	  { .digest = S("0123456789abcdef0123456789abcde"), NAMES(S("www.a.test")) },
	  IDENT_DNS,
	  "www.a.test",
	  "has an acmeIdentifier of wrong form; wanted an OCTET STRING of 32 bytes" },
	{ "a digest without its OCTET STRING",
	  { RIGHT, .digest_bare = true },
	  IDENT_DNS,
	  "www.a.test",
	  "has an acmeIdentifier of wrong form; wanted an OCTET STRING of 32 bytes" },
	{ "the extension twice",
	  { RIGHT, .acme_twice = true },
	  IDENT_DNS,
	  "www.a.test",
	  "cannot be read: it has an extension twice; wanted an X.509 certificate in DER (RFC 8737 3)" },
	{ "two subjectAltNames",
	  { RIGHT, .san_twice = true },
	  IDENT_DNS,
	  "www.a.test",
	  "cannot be read: it has an extension twice; " },
	{ "33 extensions",
	  { RIGHT, .more_extensions = 31 },
	  IDENT_DNS,
	  "www.a.test",
	  "cannot be read: it has more than 32 extensions; " },
	{ "common name only",
	  { .digest = S(DIGEST), .no_san = true, .common_name = S("www.a.test") },
	  IDENT_DNS,
	  "www.a.test",
	  "has no subjectAltName; wanted one with the single entry www.a.test" },
	{ "no names",
	  { .digest = S(DIGEST) },
	  IDENT_DNS,
	  "www.a.test",
	  "has a subjectAltName of 0 entries; wanted the single entry www.a.test" },
	{ "two names",
	  { .digest = S(DIGEST), NAMES(S("www.a.test"), S("b.test")) },
	  IDENT_DNS,
	  "www.a.test",
	  "has a subjectAltName of 2 entries; wanted the single entry www.a.test" },
	{ "the name twice",
	  { .digest = S(DIGEST), NAMES(S("www.a.test"), S("www.a.test")) },
	  IDENT_DNS,
	  "www.a.test",
	  "has a subjectAltName of 2 entries; wanted the single entry www.a.test" },
	{ "the name and a name of another kind",
	  { RIGHT, .email = S("x@a.test") },
	  IDENT_DNS,
	  "www.a.test",
	  "has a subjectAltName of 2 entries; wanted the single entry www.a.test" },
	{ "another name",
	  { .digest = S(DIGEST), NAMES(S("a.test")) },
	  IDENT_DNS,
	  "www.a.test",
	  "is for \"a.test\"; wanted the single entry www.a.test" },
	{ "a name with a NUL and a quote",
	  { .digest = S(DIGEST), NAMES(S("www.a.test\0\"")) },
	  IDENT_DNS,
	  "www.a.test",
	  "is for \"www.a.test\\x00\\x22\"; wanted the single entry www.a.test" },
	{ "a very long name",
	  { .digest = S(DIGEST), NAMES(S(X100 X100 X100)) },
	  IDENT_DNS,
	  "www.a.test",
	  "is for \"" X100 "...\"; wanted the single entry www.a.test" },
	{ "the name as another kind",
	  { .digest = S(DIGEST), .email = S("www.a.test") },
	  IDENT_DNS,
	  "www.a.test",
	  "is for a name of another kind (tag 0x81); wanted the single entry www.a.test" },
	{ "an address for a name",
	  { .digest = S(DIGEST), .ip = S("\xc0\x00\x02\x07") },
	  IDENT_DNS,
	  "www.a.test",
	  "is for the address 192.0.2.7; wanted the single entry www.a.test" },
	{ "an address as text",
	  { .digest = S(DIGEST), NAMES(S("192.0.2.7")) },
	  IDENT_IP,
	  "192.0.2.7",
	  "is for \"192.0.2.7\"; wanted the single entry 192.0.2.7" },
	{ "the reverse name for an address",
	  { .digest = S(DIGEST), NAMES(S("7.2.0.192.in-addr.arpa")) },
	  IDENT_IP,
	  "192.0.2.7",
	  "is for \"7.2.0.192.in-addr.arpa\"; wanted the single entry 192.0.2.7" },
	{ "another address",
	  { .digest = S(DIGEST), .ip = S("\xc0\x00\x02\x08") },
	  IDENT_IP,
	  "192.0.2.7",
	  "is for the address 192.0.2.8; wanted the single entry 192.0.2.7" },
	{ "a mapped address",
	  { .digest = S(DIGEST), .ip = S("\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x07") },
	  IDENT_IP,
	  "192.0.2.7",
	  "is for the address ::ffff:192.0.2.7; wanted the single entry 192.0.2.7" },
	{ "an address of five bytes",
	  { .digest = S(DIGEST), .ip = S("\xc0\x00\x02\x07\x00") },
	  IDENT_IP,
	  "192.0.2.7",
	  "is for a name of another kind (tag 0x87); wanted the single entry 192.0.2.7" },
	{ "another issuer",
	  { RIGHT, .other_issuer = true },
	  IDENT_DNS,
	  "www.a.test",
	  "is not self-signed: its issuer is another than its subject; wanted the ACME client's own certificate (RFC "
	  "8737 "
	  "3)" },
	{ "no version 3",
	  { RIGHT, .version_1 = true },
	  IDENT_DNS,
	  "www.a.test",
	  "cannot be read: DER: found tag 0x02, wanted 0xa0; " },
	{ "two signature algorithms",
	  { RIGHT, .two_algorithms = true },
	  IDENT_DNS,
	  "www.a.test",
	  "cannot be read: it names two signature algorithms; " },
};

static void every_row_is_judged_as_it_says(void **state)
{
	const struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(buf_done) struct buf der = BUF_MAX(65536);
		const struct ident ident = { rows[i].type, str_z(rows[i].ident) };
		struct err err = { 0 };
		MUST(alpn_cert_make(f->crypto, f->keys[KEY_P256], &rows[i].cert, &der, &err));
		enum err_kind kind = judge(f, buf_str(&der), &ident, &err);
		size_t n = rows[i].want == NULL ? 0 : strlen(rows[i].want);
		bool whole = n < 2 || rows[i].want[n - 1] != ' '; /* a row may give only the beginning */
		enum err_kind want = rows[i].want == NULL ? ERR_NONE : ERR_UNAUTHORIZED;
		if (kind != want || (n > 0 && strncmp(err.detail, rows[i].want, whole ? SIZE_MAX : n) != 0))
			fail_msg("%s:\n  got    %s: %s\n  wanted %s", rows[i].title, err_kind_name(kind), err.detail,
				 rows[i].want);
	}
}

static void every_kind_of_key_may_sign_for_itself(void **state)
{
	const struct fixture *f = *state;
	const struct ident ident = { IDENT_DNS, STR("www.a.test") };
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++) {
		AUTO(buf_done) struct buf der = BUF_MAX(65536);
		struct err err = { 0 };
		MUST(alpn_cert_make(f->crypto, f->keys[i], &(struct alpn_cert){ RIGHT }, &der, &err));
		if (judge(f, buf_str(&der), &ident, &err) != ERR_NONE)
			fail_msg("%s: %s", key_kind_name((enum key_kind)i), err.detail);
	}
}

static void another_keys_signature_is_none_of_its_own(void **state)
{
	const struct fixture *f = *state;
	const struct ident ident = { IDENT_DNS, STR("www.a.test") };
	const struct {
		const struct key *signer;
		const char *want;
	} cases[] = {
		{ f->other,
		  "is not self-signed: its signature does not verify with its own key; wanted the ACME client's "
		  "own certificate (RFC 8737 3)" },
		{ f->keys[KEY_RSA],
		  "has a signature algorithm that is not served or not its key's; wanted ECDSA, RSA or "
		  "Ed25519, with SHA-256, SHA-384 or SHA-512" },
		{ f->keys[KEY_ED25519],
		  "has a signature algorithm that is not served or not its key's; wanted ECDSA, RSA "
		  "or Ed25519, with SHA-256, SHA-384 or SHA-512" },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		AUTO(buf_done) struct buf der = BUF_MAX(65536);
		struct err err = { 0 };
		const struct alpn_cert cert = { RIGHT, .signer = cases[i].signer };
		MUST(alpn_cert_make(f->crypto, f->keys[KEY_P256], &cert, &der, &err));
		assert_int_equal(judge(f, buf_str(&der), &ident, &err), ERR_UNAUTHORIZED);
		assert_string_equal(err.detail, cases[i].want);
	}
}

/* No byte of the certificate is without meaning to the judge: the signature covers the rest. */
static void no_changed_byte_goes_unseen(void **state)
{
	const struct fixture *f = *state;
	const struct ident ident = { IDENT_DNS, STR("www.a.test") };
	AUTO(buf_done) struct buf der = BUF_MAX(65536);
	struct err err = { 0 };
	MUST(alpn_cert_make(f->crypto, f->keys[KEY_P256], &(struct alpn_cert){ RIGHT }, &der, &err));
	for (size_t i = 0; i < der.n; i++) {
		der.p[i] = (char)(der.p[i] ^ 1);
		if (judge(f, buf_str(&der), &ident, &err) != ERR_UNAUTHORIZED)
			fail_msg("byte %zu: %s", i, err.detail);
		der.p[i] = (char)(der.p[i] ^ 1);
	}
	for (size_t n = 0; n < der.n; n++)
		assert_int_equal(judge(f, str_n(der.p, n), &ident, &err), ERR_UNAUTHORIZED);
	MUST(buf_add_char(&der, 0, &err));
	assert_int_equal(judge(f, buf_str(&der), &ident, &err), ERR_UNAUTHORIZED);
}

static void a_certificate_of_megabytes_is_not_read(void **state)
{
	const struct fixture *f = *state;
	const struct ident ident = { IDENT_DNS, STR("www.a.test") };
	struct err err = { 0 };
	char *big = mem_alloc(16 * 1024 + 1);
	assert_int_equal(judge(f, str_n(big, 16 * 1024 + 1), &ident, &err), ERR_UNAUTHORIZED);
	assert_string_equal(err.detail, "cannot be read: it has 16385 bytes, at most 16384 are read; wanted an X.509 "
					"certificate in DER (RFC 8737 3)");
	free(big);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_row_is_judged_as_it_says),
		cmocka_unit_test(every_kind_of_key_may_sign_for_itself),
		cmocka_unit_test(another_keys_signature_is_none_of_its_own),
		cmocka_unit_test(no_changed_byte_goes_unseen),
		cmocka_unit_test(a_certificate_of_megabytes_is_not_read),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * csr_test.c: requests: what is read out of them, and every shape that is refused (THREATS A22 to A24, A26).
 */
#include "pki/test.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/x509v3.h>

#define BYTES(lit)                   \
	{                            \
		lit, sizeof(lit) - 1 \
	}

struct fixture {
	struct crypto *c;
	struct key *key[KEY_KIND_COUNT];
};

static int set_up(void **state)
{
	static struct fixture f;
	struct err err = { 0 };
	MUST(crypto_new(&f.c, &err));
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++)
		MUST(key_generate((enum key_kind)i, 2048, &f.key[i], &err));
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++)
		key_free(f->key[i]);
	crypto_free(f->c);
	return 0;
}

/* A request as a hostile client would make it: any part may be replaced, the signature is right. */
struct made {
	struct str cn, san, more_ext, attributes, version, spki, algorithm, tail;
	unsigned cn_tag;
};

static fallible make_with(const struct fixture *f, const struct key *k, const struct made *m, struct buf *ret,
			  struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf info = BUF_MAX(64 * 1024);
	struct str spki, signature;
	TRY(key_spki(&mem, k, &spki, err));
	struct derw w = derw_begin(&info, err);
	derw_open(&w, DER_SEQUENCE);
	derw_raw(&w, m->version.n > 0 ? m->version : STR("\x02\x01\x00"));
	derw_open(&w, DER_SEQUENCE);
	if (m->cn.n > 0) {
		derw_open(&w, DER_SET);
		derw_open(&w, DER_SEQUENCE);
		derw_put(&w, DER_OID, OID_COMMON_NAME);
		derw_put(&w, m->cn_tag != 0 ? m->cn_tag : DER_UTF8_STRING, m->cn);
		derw_close(&w);
		derw_close(&w);
	}
	derw_close(&w);
	derw_raw(&w, m->spki.n > 0 ? m->spki : spki);
	derw_open(&w, DER_CONTEXT_MADE(0));
	derw_raw(&w, m->attributes);
	derw_open(&w, DER_SEQUENCE);
	derw_put(&w, DER_OID, OID_EXTENSION_REQUEST);
	derw_open(&w, DER_SET);
	derw_open(&w, DER_SEQUENCE);
	if (m->san.n > 0) {
		ext_open(&w, OID_SAN, false);
		derw_put(&w, DER_SEQUENCE, m->san);
		ext_close(&w);
	}
	derw_raw(&w, m->more_ext);
	for (int i = 0; i < 5; i++)
		derw_close(&w);
	TRY(derw_end(&w));
	TRY(sig_sign_x509(f->c, k, buf_str(&info), &mem, &signature, err));
	w = derw_begin(ret, err);
	derw_open(&w, DER_SEQUENCE);
	derw_raw(&w, buf_str(&info));
	derw_raw(&w, m->algorithm.n > 0 ? m->algorithm : key_x509_algorithm(k));
	derw_bits(&w, signature);
	derw_close(&w);
	derw_raw(&w, m->tail);
	return derw_end(&w);
}

static void requests_of_every_kind_are_made_and_read(void **state)
{
	struct fixture *f = *state;
	static const enum key_kind kinds[] = { KEY_P256, KEY_P384, KEY_P521, KEY_RSA };
	const struct str names[] = { STR("www.example.com"), STR("*.example.com"), STR("a.example.com") };
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
		AUTO(csr_done) struct csr r = { 0 };
		struct sha256 want;
		struct str spki;
		MUST(csr_make(f->c, f->key[kinds[i]], names, ARRAY_LEN(names), &der, &err));
		MUST(csr_read(f->c, &mem, buf_str(&der), &r, &err));
		assert_int_equal(r.name_count, 3);
		assert_true(str_eq(r.names[0], STR("*.example.com")));
		assert_true(str_eq(r.names[1], STR("a.example.com")));
		assert_true(str_eq(r.names[2], STR("www.example.com")));
		assert_true(key_public_eq(r.key, f->key[kinds[i]]));
		MUST(key_spki(&mem, r.key, &spki, &err));
		MUST(digest_sha256(f->c, spki, &want, &err));
		assert_memory_equal(want.b, r.spki_hash.b, 32);
		/* OpenSSL agrees */
		const uint8_t *p = (const uint8_t *)der.p;
		X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)der.n);
		assert_non_null(req);
		assert_int_equal(X509_REQ_verify(req, key_get_evp(r.key)), 1);
		X509_REQ_free(req);
	}
}

/* A request by OpenSSL: common name, challengePassword, other extensions, SHA-384 with a P-256 key. */
static struct str openssl_request(struct arena *mem, const struct key *k, const char *digest, const char *san)
{
	X509_REQ *req = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
	uint8_t *der = NULL;
	assert_int_equal(X509_REQ_set_version(req, 0), 1);
	assert_int_equal(X509_REQ_set_pubkey(req, key_get_evp(k)), 1);
	X509_NAME *name = X509_REQ_get_subject_name(req);
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "C", MBSTRING_ASC, (const uint8_t *)"CH", -1, -1, 0), 1);
	assert_int_equal(
		X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const uint8_t *)"WWW.Example.com", -1, -1, 0), 1);
	sk_X509_EXTENSION_push(exts, X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "CA:FALSE"));
	sk_X509_EXTENSION_push(exts, X509V3_EXT_conf_nid(NULL, NULL, NID_key_usage, "critical,keyCertSign"));
	sk_X509_EXTENSION_push(exts, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san));
	assert_int_equal(X509_REQ_add_extensions(req, exts), 1);
	assert_int_equal(
		X509_REQ_add1_attr_by_NID(req, NID_pkcs9_challengePassword, MBSTRING_ASC, (const uint8_t *)"pw", 2), 1);
	assert_true(X509_REQ_sign(req, key_get_evp(k), EVP_get_digestbyname(digest)) > 0);
	int n = i2d_X509_REQ(req, &der);
	assert_true(n > 0);
	struct str ret = str_dup(mem, str_n(der, (size_t)n));
	OPENSSL_free(der);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(req);
	return ret;
}

/* By OpenSSL: a name and this TLS feature; NULL: none. */
static struct str feature_request(struct arena *mem, const struct key *k, const char *feature)
{
	X509_REQ *req = X509_REQ_new();
	STACK_OF(X509_EXTENSION) *exts = sk_X509_EXTENSION_new_null();
	uint8_t *der = NULL;
	assert_int_equal(X509_REQ_set_pubkey(req, key_get_evp(k)), 1);
	sk_X509_EXTENSION_push(exts, X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "DNS:a.example.com"));
	if (feature != NULL)
		sk_X509_EXTENSION_push(exts, X509V3_EXT_conf_nid(NULL, NULL, NID_tlsfeature, feature));
	assert_int_equal(X509_REQ_add_extensions(req, exts), 1);
	assert_true(X509_REQ_sign(req, key_get_evp(k), EVP_sha256()) > 0);
	int n = i2d_X509_REQ(req, &der);
	assert_true(n > 0);
	struct str ret = str_dup(mem, str_n(der, (size_t)n));
	OPENSSL_free(der);
	sk_X509_EXTENSION_pop_free(exts, X509_EXTENSION_free);
	X509_REQ_free(req);
	return ret;
}

/* RFC 7633: of the features, status_request alone is a wish to the CA. */
static void must_staple_is_seen_in_a_request(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *feature;
		bool wanted;
	} rows[] = {
		{ NULL, false },
		{ "status_request", true },
		{ "status_request_v2", false },
		{ "status_request_v2,status_request", true },
		{ "1,5,500", true },
		{ "1,261", false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(csr_done) struct csr r = { 0 };
		MUST(csr_read(f->c, &mem, feature_request(&mem, f->key[KEY_P256], rows[i].feature), &r, &err));
		assert_true(r.must_staple == rows[i].wanted);
	}
}

static void requests_of_openssl_are_read(void **state)
{
	struct fixture *f = *state;
	static const enum key_kind kinds[] = { KEY_P256, KEY_RSA };
	static const char *const digests[] = { "SHA256", "SHA384", "SHA512" };
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		for (size_t d = 0; d < ARRAY_LEN(digests); d++) {
			struct err err = { 0 };
			AUTO(arena_done) struct arena mem = { 0 };
			AUTO(csr_done) struct csr r = { 0 };
			struct str der = openssl_request(&mem, f->key[kinds[i]], digests[d],
							 "DNS:b.example.com,DNS:www.EXAMPLE.com,DNS:b.example.com");
			MUST(csr_read(f->c, &mem, der, &r, &err));
			assert_int_equal(r.name_count, 2);
			assert_true(str_eq(r.names[0], STR("b.example.com")));
			assert_true(str_eq(r.names[1], STR("www.example.com")));
		}
}

static void weak_digests_and_other_names_of_openssl_requests_are_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *digest, *san, *text;
	} rows[] = {
		{ "SHA1", "DNS:www.example.com", "signature algorithm is not served" },
		{ "SHA224", "DNS:www.example.com", "signature algorithm is not served" },
		{ "SHA256", "DNS:b.example.com", "not one of the subjectAltName's names" },
		{ "SHA256", "DNS:b.example.com,IP:192.0.2.1", "not one of the subjectAltName's names" },
		{ "SHA256", "IP:192.0.2.1", "\"www.example.com\" is not one of the subjectAltName's names" },
		{ "SHA256", "DNS:www.example.com,IP:::ffff:192.0.2.1", "IPv4-mapped" },
		{ "SHA256", "email:a@example.com,DNS:www.example.com", "rfc822Name" },
		{ "SHA256", "URI:http://example.com", "uniformResourceIdentifier" },
		{ "SHA256", "RID:1.2.3", "registeredID" },
		{ "SHA256", "otherName:1.2.3;UTF8:x", "otherName" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		struct csr r = { 0 };
		struct str der = openssl_request(&mem, f->key[KEY_P256], rows[i].digest, rows[i].san);
		MUST_FAIL(csr_read(f->c, &mem, der, &r, &err), ERR_BAD_CSR, rows[i].text);
		assert_null(r.key);
	}
	assert_int_equal(ERR_peek_error(), 0);
}

#define SAN_A      \
	"\x82\x0d" \
	"a.example.com"
#define BASIC_CA "\x30\x0f\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x05\x30\x03\x01\x01\xff"
#define BASIC_FALSE "\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\x00\x04\x02\x30\x00"
#define SECOND_SAN "\x30\x18\x06\x03\x55\x1d\x11\x04\x11\x30\x0f" SAN_A
#define EXT_REQ "\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"

static void requests_of_wrong_content_are_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct made m;
		const char *text; /* NULL: fine */
	} rows[] = {
		{ { .san = BYTES(SAN_A) }, NULL },
		{ { .cn = BYTES("a.example.com") }, NULL },
		{ { .cn = BYTES("A.example.COM"), .san = BYTES(SAN_A) }, NULL },
		{ { .cn = BYTES("a.example.com"), .cn_tag = DER_PRINTABLE_STRING }, NULL },
		{ { .cn = BYTES("b.example.com"), .san = BYTES(SAN_A) }, "not one of" },
		{ { .cn = BYTES("a.example.com"), .cn_tag = 0x1e }, "string type 0x1e" },
		{ { .cn = BYTES("My Server") }, "name \"My Server\"" },
		{ { .cn = { NULL, 0 } }, "names no identifier" },
		{ { .san = BYTES("\x82\x05"
				 "a.c\0m") },
		  "name \"" },
		{ { .san = BYTES("\x82\x0a"
				 "192.0.2.10") },
		  "name \"192.0.2.10\"" },
		{ { .san = BYTES("\x82\x00") }, "name \"\"" },
		{ { .san = BYTES("\x82\x0e"
				 "a.example.com.") },
		  "name \"" },
		{ { .san = BYTES("\x82\x09"
				 "localhost") },
		  "name \"" },
		{ { .san = BYTES("\x82\x0f"
				 "a_b.example.com") },
		  "name \"" },
		{ { .san = BYTES("\xa2\x0d"
				 "a.example.com") },
		  "" },
		{ { .san = BYTES("\x82\x20"
				 "a.example.com") },
		  "DER" },
		{ { .san = BYTES("\x89\x01"
				 "a") },
		  "unknown kind 0x89" },
		{ { .san = BYTES(SAN_A), .more_ext = BYTES(SECOND_SAN) }, "two subjectAltNames" },
		{ { .san = BYTES(SAN_A), .more_ext = BYTES(BASIC_CA) }, "CA:TRUE" },
		{ { .san = BYTES(SAN_A), .more_ext = BYTES(BASIC_FALSE) }, "FALSE" },
		{ { .san = BYTES(SAN_A), .version = BYTES("\x02\x01\x01") }, "version" },
		{ { .san = BYTES(SAN_A), .version = BYTES("\x02\x02\x00\x00") }, "minimal" },
		{ { .san = BYTES(SAN_A), .attributes = BYTES("\x30\x0f" EXT_REQ "\x31\x02\x30\x00") }, "two lists" },
		{ { .san = BYTES(SAN_A), .attributes = BYTES("\x30\x80\x00\x00") }, "indefinite" },
		{ { .san = BYTES(SAN_A), .tail = BYTES("\x00") }, "DER" },
		{ { .san = BYTES(SAN_A), .tail = BYTES("\x05\x00") }, "after the end" },
		{ { .san = BYTES(SAN_A),
		    .algorithm = BYTES("\x30\x0c\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02\x05\x00") },
		  "not served" },
		{ { .san = BYTES(SAN_A),
		    .algorithm = BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00") },
		  "does not go with its key" },
		{ { .san = BYTES(SAN_A), .algorithm = BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03") },
		  "does not verify" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(buf_done) struct buf der = BUF_MAX(64 * 1024);
		AUTO(csr_done) struct csr r = { 0 };
		MUST(make_with(f, f->key[KEY_P256], &rows[i].m, &der, &err));
		if (rows[i].text == NULL) {
			MUST(csr_read(f->c, &mem, buf_str(&der), &r, &err));
			assert_int_equal(r.name_count, 1);
			assert_true(str_eq(r.names[0], STR("a.example.com")));
			continue;
		}
		MUST_FAIL(csr_read(f->c, &mem, buf_str(&der), &r, &err), ERR_BAD_CSR, rows[i].text);
	}
}

#define SAN_V4 "\x87\x04\xc0\x00\x02\x0a"                                                 /* 192.0.2.10 */
#define SAN_V6 "\x87\x10\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" /* 2001:db8::1 */

/* RFC 8738 3: an address stands in an iPAddress of the SAN, and nowhere else alone. */
static void addresses_are_read_in_their_one_form(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct made m;
		const char *want; /* names, then addresses, as read; or NULL */
		const char *text; /* of the refusal */
	} rows[] = {
		{ { .san = BYTES(SAN_V4) }, "192.0.2.10 ", NULL },
		{ { .san = BYTES(SAN_V6) }, "2001:db8::1 ", NULL },
		{ { .san = BYTES(SAN_V6 SAN_V4 SAN_A) }, "a.example.com 192.0.2.10 2001:db8::1 ", NULL },
		{ { .san = BYTES(SAN_V4 SAN_V6 SAN_V4 SAN_V6) }, "192.0.2.10 2001:db8::1 ", NULL },
		{ { .cn = BYTES("192.0.2.10"), .san = BYTES(SAN_A SAN_V4) }, "a.example.com 192.0.2.10 ", NULL },
		{ { .cn = BYTES("2001:db8::1"), .san = BYTES(SAN_V6) }, "2001:db8::1 ", NULL },
		{ { .cn = BYTES("a.example.com"), .san = BYTES(SAN_A SAN_V6) }, "a.example.com 2001:db8::1 ", NULL },
		/* the CN: another spelling, another address, a name that is not there, no SAN at all */
		{ { .cn = BYTES("2001:DB8::1"), .san = BYTES(SAN_V6) }, NULL, "not one of" },
		{ { .cn = BYTES("2001:db8:0:0:0:0:0:1"), .san = BYTES(SAN_V6) }, NULL, "not one of" },
		{ { .cn = BYTES("192.0.2.010"), .san = BYTES(SAN_V4) }, NULL, "not one of" },
		{ { .cn = BYTES("192.0.2.11"), .san = BYTES(SAN_V4) }, NULL, "not one of" },
		{ { .cn = BYTES("a.example.com"), .san = BYTES(SAN_V4) }, NULL, "not one of" },
		{ { .cn = BYTES("192.0.2.10") }, NULL, "name \"192.0.2.10\"" },
		{ { .cn = BYTES("2001:db8::1") }, NULL, "name \"2001:db8::1\"" },
		/* wrong lengths, a range (as nameConstraints have it), mapped, constructed */
		{ { .san = BYTES("\x87\x00") }, NULL, "iPAddress of 0 bytes" },
		{ { .san = BYTES("\x87\x03\xc0\x00\x02") }, NULL, "iPAddress of 3 bytes" },
		{ { .san = BYTES("\x87\x05\xc0\x00\x02\x0a\x00") }, NULL, "iPAddress of 5 bytes" },
		{ { .san = BYTES("\x87\x08\xc0\x00\x02\x0a\xff\xff\xff\xff") }, NULL, "iPAddress of 8 bytes" },
		{ { .san = BYTES("\x87\x0a"
				 "192.0.2.10") },
		  NULL,
		  "iPAddress of 10 bytes" },
		{ { .san = BYTES("\x87\x11\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00") },
		  NULL,
		  "iPAddress of 17 bytes" },
		{ { .san = BYTES("\x87\x10\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff\xff\xc0\x00\x02\x0a") },
		  NULL,
		  "IPv4-mapped" },
		{ { .san = BYTES("\xa7\x04\xc0\x00\x02\x0a") }, NULL, "" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(buf_done) struct buf der = BUF_MAX(64 * 1024), found = BUF_MAX(1024);
		AUTO(csr_done) struct csr r = { 0 };
		MUST(make_with(f, f->key[KEY_P256], &rows[i].m, &der, &err));
		if (rows[i].want == NULL) {
			MUST_FAIL(csr_read(f->c, &mem, buf_str(&der), &r, &err), ERR_BAD_CSR, rows[i].text);
			continue;
		}
		MUST(csr_read(f->c, &mem, buf_str(&der), &r, &err));
		for (size_t n = 0; n < r.name_count; n++)
			MUST(buf_addf(&found, &err, "%.*s ", STR_FMT(r.names[n])));
		for (size_t a = 0; a < r.addr_count; a++) {
			char text[ADDR_TEXT_MAX];
			addr_show(&r.addrs[a], text);
			MUST(buf_addf(&found, &err, "%s ", text));
		}
		if (!str_eq(buf_str(&found), str_z(rows[i].want)))
			fail_msg("row %zu: found %.*s", i, STR_FMT(buf_str(&found)));
	}
}

static void requests_for_addresses_are_made_and_read(void **state)
{
	struct fixture *f = *state;
	const struct str names[] = { STR("www.example.com"), STR("a.example.com") };
	const struct addr addrs[] = { test_addr("2001:db8::2"), test_addr("192.0.2.200"), test_addr("192.0.2.3") };
	for (size_t name_count = 0; name_count <= ARRAY_LEN(names); name_count += 2) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
		AUTO(csr_done) struct csr r = { 0 };
		MUST(csr_make_for(f->c, f->key[KEY_P256], names, name_count, addrs, ARRAY_LEN(addrs), &der, &err));
		MUST(csr_read(f->c, &mem, buf_str(&der), &r, &err));
		assert_int_equal(r.name_count, name_count);
		assert_int_equal(r.addr_count, 3);
		assert_true(addr_eq(&r.addrs[0], &addrs[2]) && addr_eq(&r.addrs[1], &addrs[1]) &&
			    addr_eq(&r.addrs[2], &addrs[0]));
	}
}

static void keys_that_may_not_have_certificates_are_refused(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf ed = BUF_MAX(CSR_DER_MAX), swapped = BUF_MAX(CSR_DER_MAX), big = BUF_MAX(64 * 1024);
	struct csr r = { 0 };
	struct str spki;
	MUST(make_with(f, f->key[KEY_ED25519], &(struct made){ .san = BYTES(SAN_A) }, &ed, &err));
	MUST_FAIL(csr_read(f->c, &mem, buf_str(&ed), &r, &err), ERR_BAD_CSR, "Ed25519");
	/* another's key, signed with mine */
	MUST(key_spki(&mem, f->key[KEY_P384], &spki, &err));
	MUST(make_with(f, f->key[KEY_P256], &(struct made){ .san = BYTES(SAN_A), .spki = spki }, &swapped, &err));
	MUST_FAIL(csr_read(f->c, &mem, buf_str(&swapped), &r, &err), ERR_BAD_CSR, "does not verify");
	/* a modulus of 80,000 bits */
	AUTO(buf_done) struct buf giant = BUF_MAX(32 * 1024);
	char *ones = arena_alloc(&mem, 10000);
	memset(ones, 0x7f, 10000);
	struct derw w = derw_begin(&giant, &err);
	derw_open(&w, DER_SEQUENCE);
	derw_raw(&w, STR("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"));
	derw_open_bits(&w);
	derw_open(&w, DER_SEQUENCE);
	derw_uint(&w, str_n(ones, 10000));
	derw_uint(&w, STR("\x01\x00\x01"));
	derw_close(&w);
	derw_close(&w);
	derw_close(&w);
	MUST(derw_end(&w));
	MUST(make_with(f, f->key[KEY_P256], &(struct made){ .san = BYTES(SAN_A), .spki = buf_str(&giant) }, &big,
		       &err));
	MUST_FAIL(csr_read(f->c, &mem, buf_str(&big), &r, &err), ERR_BAD_CSR, "key size not supported");
}

static void sizes_have_limits(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf der = BUF_MAX(64 * 1024), san = BUF_MAX(16 * 1024), full = BUF_MAX(16 * 1024);
	struct csr r = { 0 };
	struct str names[CERT_NAMES_MAX + 1];
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		names[i] = str_fmt(&mem, "n%zu.example.com", i);
	MUST_FAIL(csr_make(f->c, f->key[KEY_P256], names, CERT_NAMES_MAX + 1, &der, &err), ERR_MALFORMED, "101 names");
	MUST_FAIL(csr_make(f->c, f->key[KEY_P256], names, 0, &der, &err), ERR_MALFORMED, "0 names");
	struct addr addrs[CERT_NAMES_MAX + 1];
	for (size_t i = 0; i < ARRAY_LEN(addrs); i++)
		addrs[i] = (struct addr){ .family = AF_INET, .b = { 192, 0, 2, (uint8_t)i } };
	MUST_FAIL(csr_make_for(f->c, f->key[KEY_P256], names, 50, addrs, 51, &der, &err), ERR_MALFORMED, "101 names");
	MUST_FAIL(csr_make_for(f->c, f->key[KEY_P256], names, SIZE_MAX, addrs, 2, &der, &err), ERR_MALFORMED,
		  "1 names");
	MUST(csr_make_for(f->c, f->key[KEY_P256], names, 50, addrs, 50, &full, &err));
	MUST(csr_read(f->c, &mem, buf_str(&full), &r, &err));
	assert_true(r.name_count == 50 && r.addr_count == 50);
	csr_done(&r);
	buf_reset(&full);
	MUST(csr_make(f->c, f->key[KEY_P256], names, CERT_NAMES_MAX, &full, &err));
	MUST(csr_read(f->c, &mem, buf_str(&full), &r, &err));
	assert_int_equal(r.name_count, CERT_NAMES_MAX);
	csr_done(&r);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct derw w = derw_begin(&san, &err);
		derw_put(&w, TAG_DNS_NAME, names[i]);
		MUST(derw_end(&w));
	}
	MUST(make_with(f, f->key[KEY_P256], &(struct made){ .san = buf_str(&san) }, &der, &err));
	MUST_FAIL(csr_read(f->c, &mem, buf_str(&der), &r, &err), ERR_BAD_CSR, "more than 100 names");
	/* names and addresses count together */
	buf_reset(&san);
	buf_reset(&der);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct derw w = derw_begin(&san, &err);
		derw_put(&w, i % 2 == 0 ? TAG_IP_ADDRESS : TAG_DNS_NAME, i % 2 == 0 ? addr_bytes(&addrs[i]) : names[i]);
		MUST(derw_end(&w));
	}
	MUST(make_with(f, f->key[KEY_P256], &(struct made){ .san = buf_str(&san) }, &der, &err));
	MUST_FAIL(csr_read(f->c, &mem, buf_str(&der), &r, &err), ERR_BAD_CSR, "more than 100 names");
	char *big = arena_alloc(&mem, CSR_DER_MAX + 1);
	MUST_FAIL(csr_read(f->c, &mem, str_n(big, CSR_DER_MAX + 1), &r, &err), ERR_BAD_CSR, "at most 16384");
	MUST_FAIL(csr_read(f->c, &mem, STR_NONE, &r, &err), ERR_BAD_CSR, "");
}

static void no_flipped_bit_and_no_cut_is_accepted(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
	const struct str name = STR("a.example.com");
	MUST(csr_make(f->c, f->key[KEY_P256], &name, 1, &der, &err));
	for (size_t i = 0; i < der.n; i++) {
		AUTO(arena_done) struct arena scratch = { 0 };
		struct csr r = { 0 };
		assert_true(FAILED(csr_read(f->c, &scratch, str_sub(buf_str(&der), 0, i), &r, NULL)));
		der.p[i] ^= 0x04;
		MUST_FAIL(csr_read(f->c, &scratch, buf_str(&der), &r, &err), ERR_BAD_CSR, "");
		der.p[i] ^= 0x04;
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(requests_of_every_kind_are_made_and_read),
		cmocka_unit_test(must_staple_is_seen_in_a_request),
		cmocka_unit_test(requests_of_openssl_are_read),
		cmocka_unit_test(weak_digests_and_other_names_of_openssl_requests_are_refused),
		cmocka_unit_test(requests_of_wrong_content_are_refused),
		cmocka_unit_test(addresses_are_read_in_their_one_form),
		cmocka_unit_test(requests_for_addresses_are_made_and_read),
		cmocka_unit_test(keys_that_may_not_have_certificates_are_refused),
		cmocka_unit_test(sizes_have_limits),
		cmocka_unit_test(no_flipped_bit_and_no_cut_is_accepted),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

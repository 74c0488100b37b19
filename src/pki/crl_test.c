/* SPDX-License-Identifier: Apache-2.0
 *
 * crl_test.c: revocation lists written, read back, and refused.
 */
#include "pki/test.h"

#include <openssl/x509v3.h>

struct bench {
	struct test_ca ca;
	struct arena mem;
	struct buf der;
};

static struct bench bench_new(void)
{
	struct bench b = { .der = BUF_MAX(CRL_DER_MAX) };
	test_ca_make(&b.ca, KEY_P256, NULL, 0);
	return b;
}

static void bench_done(struct bench *b)
{
	test_ca_done(&b->ca);
	buf_done(&b->der);
	arena_done(&b->mem);
}

static const struct crl_entry two[] = { { { "\x01\x02", 2 }, TEST_NOW - TEST_DAY, 4 },
					{ { "\xff\x02\x03", 3 }, TEST_NOW, 0 } };

static struct crl list_of(size_t count)
{
	static struct crl_entry copy[ARRAY_LEN(two)];
	memcpy(copy, two, sizeof two);
	return (struct crl){ .number = STR("\x05"),
			     .this_update = TEST_NOW,
			     .next_update = TEST_NOW + 30 * TEST_DAY,
			     .v = copy,
			     .count = count };
}

static void make(struct bench *b, const struct crl *l)
{
	struct err err = { 0 };
	buf_reset(&b->der);
	MUST(crl_make(b->ca.c, b->ca.root, b->ca.root_key, l, &b->der, &err));
}

static void what_is_written_is_read_back(void **state)
{
	struct bench b = bench_new();
	(void)state;
	for (size_t count = 0; count <= ARRAY_LEN(two); count++) {
		struct err err = { 0 };
		struct crl l = list_of(count), got;
		make(&b, &l);
		MUST(crl_read(&b.mem, buf_str(&b.der), b.ca.root, &got, &err));
		assert_true(str_eq(got.number, l.number));
		assert_true(got.this_update == l.this_update && got.next_update == l.next_update);
		assert_int_equal(got.count, count);
		for (size_t i = 0; i < count; i++) {
			assert_true(str_eq(got.v[i].serial, two[i].serial));
			assert_true(got.v[i].revoked_at == two[i].revoked_at);
			assert_int_equal(got.v[i].reason, two[i].reason);
		}
	}
	bench_done(&b);
}

/* By somebody who did not write it. */
static void openssl_finds_the_same_in_it(void **state)
{
	struct bench b = bench_new();
	struct crl l = list_of(2);
	(void)state;
	make(&b, &l);
	const unsigned char *p = (const unsigned char *)b.der.p;
	X509_CRL *x = d2i_X509_CRL(NULL, &p, (long)b.der.n);
	assert_non_null(x);
	assert_int_equal(X509_CRL_get_version(x), 1);
	assert_int_equal(X509_NAME_cmp(X509_CRL_get_issuer(x), X509_get_subject_name(cert_get_x509(b.ca.root))), 0);
	ASN1_INTEGER *number = X509_CRL_get_ext_d2i(x, NID_crl_number, NULL, NULL);
	assert_int_equal(ASN1_INTEGER_get(number), 5);
	ASN1_INTEGER_free(number);
	AUTHORITY_KEYID *aki = X509_CRL_get_ext_d2i(x, NID_authority_key_identifier, NULL, NULL);
	assert_non_null(aki);
	assert_true(str_eq(str_n(ASN1_STRING_get0_data(aki->keyid), (size_t)ASN1_STRING_length(aki->keyid)),
			   b.ca.root->ski));
	AUTHORITY_KEYID_free(aki);
	STACK_OF(X509_REVOKED) *revoked = X509_CRL_get_REVOKED(x);
	assert_int_equal(sk_X509_REVOKED_num(revoked), 2);
	ASN1_ENUMERATED *reason =
		X509_REVOKED_get_ext_d2i(sk_X509_REVOKED_value(revoked, 0), NID_crl_reason, NULL, NULL);
	assert_int_equal(ASN1_ENUMERATED_get(reason), 4);
	ASN1_ENUMERATED_free(reason);
	assert_int_equal(X509_REVOKED_get_ext_count(sk_X509_REVOKED_value(revoked, 1)), 0);
	X509_CRL_free(x);
	bench_done(&b);
}

static void what_makes_no_list_is_refused(void **state)
{
	static const struct {
		const char *what;
		struct crl_entry entry;
		size_t number_n;
		int64_t life;
	} rows[] = {
		{ "no reason", { { "\x09", 1 }, 1, 7 }, 1, 1 },
		{ "no reason", { { "\x09", 1 }, 1, 11 }, 1, 1 },
		{ "no reason", { { "\x09", 1 }, 1, -1 }, 1, 1 },
		{ "twice", { { "\x01\x02", 2 }, 1, 0 }, 1, 1 },
		{ "revoked serial of 0", { { "", 0 }, 1, 0 }, 1, 1 },
		{ "revoked serial of 21", { { "123456789012345678901", 21 }, 1, 0 }, 1, 1 },
		{ "number of 0", { { "\x09", 1 }, 1, 0 }, 0, 1 },
		{ "number of 21", { { "\x09", 1 }, 1, 0 }, 21, 1 },
		{ "end before", { { "\x09", 1 }, 1, 0 }, 1, 0 },
	};
	struct bench b = bench_new();
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct crl l = list_of(2);
		l.v[1] = rows[i].entry;
		l.number = str_n("123456789012345678901", rows[i].number_n);
		l.next_update = l.this_update + rows[i].life;
		struct rc rc = crl_make(b.ca.c, b.ca.root, b.ca.root_key, &l, &b.der, &err);
		if (!FAILED(rc) || strstr(err.detail, rows[i].what) == NULL)
			fail_msg("row %zu: found \"%s\", wanted \"%s\"", i, err.detail, rows[i].what);
		assert_int_equal(b.der.n, 0);
	}
	bench_done(&b);
}

static void another_issuers_list_is_refused(void **state)
{
	struct bench b = bench_new();
	struct err err = { 0 };
	struct crl l = list_of(1), got;
	(void)state;
	make(&b, &l);
	assert_int_equal(crl_read(&b.mem, buf_str(&b.der), b.ca.cert, &got, &err).kind, ERR_MALFORMED);
	assert_non_null(strstr(err.detail, "another issuer's"));
	assert_true(FAILED(crl_make(b.ca.c, b.ca.root, b.ca.key, &l, &b.der, &err))); /* not its key */
	bench_done(&b);
}

static void no_changed_byte_goes_unnoticed(void **state)
{
	struct bench b = bench_new();
	struct crl l = list_of(2), got;
	(void)state;
	make(&b, &l);
	for (size_t i = 0; i < b.der.n; i++) {
		b.der.p[i] ^= 0x01;
		if (!FAILED(crl_read(&b.mem, buf_str(&b.der), b.ca.root, &got, NULL)))
			fail_msg("byte %zu", i);
		b.der.p[i] ^= 0x01;
	}
	for (size_t n = 0; n < b.der.n; n++)
		assert_true(FAILED(crl_read(&b.mem, str_n(b.der.p, n), b.ca.root, &got, NULL)));
	bench_done(&b);
}

static void numbers_count_up(void **state)
{
	static const struct {
		struct str from, to;
	} rows[] = {
		{ { "\x01", 1 }, { "\x02", 1 } },
		{ { "\x7f", 1 }, { "\x80", 1 } },
		{ { "\xff", 1 }, { "\x01\x00", 2 } },
		{ { "\x01\xff\xff", 3 }, { "\x02\x00\x00", 3 } },
	};
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct str got;
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		MUST(crl_number_after(&mem, rows[i].from, &got, &err));
		assert_true(str_eq(got, rows[i].to));
	}
	char last[20];
	memset(last, 0xff, sizeof last);
	assert_int_equal(crl_number_after(&mem, str_n(last, sizeof last), &got, &err).kind, ERR_CONFIG);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_back),   cmocka_unit_test(openssl_finds_the_same_in_it),
		cmocka_unit_test(what_makes_no_list_is_refused),  cmocka_unit_test(another_issuers_list_is_refused),
		cmocka_unit_test(no_changed_byte_goes_unnoticed), cmocka_unit_test(numbers_count_up),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

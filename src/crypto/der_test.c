/* SPDX-License-Identifier: Apache-2.0
 *
 * der_test.c: one spelling is read, and the same bytes are written.
 */
#include "crypto/crypto.h"
#include "unit.h"

#define BYTES(lit)                   \
	{                            \
		lit, sizeof(lit) - 1 \
	}

static void what_is_not_der_is_refused(void **state)
{
	(void)state;
	static const struct {
		struct str in;
		const char *text;
	} rows[] = {
		{ BYTES("\x30\x80\x00\x00"), "indefinite" },
		{ BYTES("\x30\x81\x02\x05\x00"), "long form" },
		{ BYTES("\x30\x82\x00\x80"), "leading zero" },
		{ BYTES("\x30\x85\x01\x00\x00\x00\x00"), "length of 5" },
		{ BYTES("\x30\x03\x05\x00"), "are left" },
		{ BYTES("\x1f\x20\x00"), "not served" },
		{ BYTES("\x01\x01\x01"), "BOOLEAN" },
		{ BYTES("\x01\x00"), "BOOLEAN" },
		{ BYTES("\x02\x02\x00\x7f"), "minimal" },
		{ BYTES("\x02\x02\xff\x80"), "minimal" },
		{ BYTES("\x02\x00"), "minimal" },
		{ BYTES("\x03\x02\x01\x01"), "padding" },
		{ BYTES("\x03\x01\x04"), "padding" },
		{ BYTES("\x03\x02\x08\x00"), "padding" },
		{ BYTES("\x05\x01\x00"), "NULL" },
		{ BYTES("\x06\x02\x2a\x86"), "cut short" },
		{ BYTES("\x10\x00"), "primitive" },
		{ BYTES("\x24\x02\x04\x00"), "constructed" },
		{ BYTES("\x31\x06\x02\x01\x02\x02\x01\x01"), "order" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		MUST_FAIL(der_check(rows[i].in, &err), ERR_MALFORMED, rows[i].text);
	}
}

static void nesting_has_a_limit(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(4096);
	struct derw w = derw_begin(&b, &err);
	for (int i = 0; i < DERW_DEPTH_MAX; i++)
		derw_open(&w, DER_SEQUENCE);
	for (int i = 0; i < DERW_DEPTH_MAX; i++)
		derw_close(&w);
	MUST(derw_end(&w));
	MUST(der_check(buf_str(&b), &err));
	AUTO(buf_done) struct buf deep = BUF_MAX(4096);
	w = derw_begin(&deep, &err);
	derw_put(&w, DER_SEQUENCE, buf_str(&b));
	MUST(derw_end(&w));
	MUST_FAIL(der_check(buf_str(&deep), &err), ERR_MALFORMED, "deep");
}

static void elements_are_written_and_read_again(void **state)
{
	(void)state;
	struct err err = { 0 };
	char big[300];
	memset(big, 'x', sizeof big);
	AUTO(buf_done) struct buf b = BUF_MAX(4096);
	struct derw w = derw_begin(&b, &err);
	derw_open(&w, DER_SEQUENCE);
	derw_uint(&w, STR("\x00\x00\x80"));
	derw_uint(&w, STR(""));
	derw_bool(&w, true);
	derw_bits(&w, STR("\x01\x02"));
	derw_put(&w, DER_OCTET_STRING, str_n(big, sizeof big));
	derw_time(&w, 0);
	derw_time(&w, 2524607999);
	derw_time(&w, 2524608000);
	derw_close(&w);
	MUST(derw_end(&w));
	MUST(der_check(buf_str(&b), &err));
	struct der seq, d;
	MUST(der_only(buf_str(&b), DER_SEQUENCE, &seq, &err));
	struct cur c = cur_of(seq.body);
	static const struct {
		unsigned tag;
		struct str body;
	} want[] = {
		{ DER_INTEGER, BYTES("\x00\x80") },       { DER_INTEGER, BYTES("\x00") },
		{ DER_BOOLEAN, BYTES("\xff") },           { DER_BIT_STRING, BYTES("\x00\x01\x02") },
		{ DER_OCTET_STRING, { NULL, 0 } },        { DER_UTC_TIME, BYTES("700101000000Z") },
		{ DER_UTC_TIME, BYTES("491231235959Z") }, { DER_GENERALIZED_TIME, BYTES("20500101000000Z") },
	};
	for (size_t i = 0; i < ARRAY_LEN(want); i++) {
		assert_true(der_peek(&c, want[i].tag));
		MUST(der_want(&c, want[i].tag, &d, &err));
		if (want[i].body.p == NULL)
			assert_true(str_eq(d.body, str_n(big, sizeof big)));
		else
			assert_true(str_eq(d.body, want[i].body));
	}
	assert_true(cur_end(&c));
	MUST_FAIL(der_want(&c, DER_INTEGER, &d, &err), ERR_MALFORMED, "missing");
}

static void bytes_after_the_end_are_refused(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct der d;
	MUST_FAIL(der_only(STR("\x30\x00\x00"), DER_SEQUENCE, &d, &err), ERR_MALFORMED, "after the end");
	MUST_FAIL(der_only(STR("\x31\x00"), DER_SEQUENCE, &d, &err), ERR_MALFORMED, "found tag 0x31");
}

static void a_full_buffer_and_a_year_out_of_range_are_errors(void **state)
{
	(void)state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(4);
	struct derw w = derw_begin(&b, &err);
	derw_open(&w, DER_SEQUENCE);
	derw_put(&w, DER_OCTET_STRING, STR("12345678"));
	derw_close(&w);
	assert_true(FAILED(derw_end(&w)));
	AUTO(buf_done) struct buf b2 = BUF_MAX(64);
	w = derw_begin(&b2, &err);
	derw_time(&w, 253402300800);
	MUST_FAIL(derw_end(&w), ERR_INTERNAL, "does not fit");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_not_der_is_refused),
		cmocka_unit_test(nesting_has_a_limit),
		cmocka_unit_test(elements_are_written_and_read_again),
		cmocka_unit_test(bytes_after_the_end_are_refused),
		cmocka_unit_test(a_full_buffer_and_a_year_out_of_range_are_errors),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

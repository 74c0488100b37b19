/* SPDX-License-Identifier: Apache-2.0
 *
 * values_test.c: times, basicConstraints and keyUsage: what has their form, to the last byte, and what it says.
 */
#include "pki/test.h"

#define BYTES(lit)                   \
	{                            \
		lit, sizeof(lit) - 1 \
	}

static void times_are_zulu_to_the_second(void **state)
{
	(void)state;
	static const struct {
		uint8_t tag;
		const char *text;
		bool good;
		int64_t unix_s;
	} rows[] = {
		{ DER_UTC_TIME, "261122000000Z", true, INT64_C(1795305600) },
		{ DER_UTC_TIME, "500101000000Z", true, INT64_C(-631152000) }, /* 1950 */
		{ DER_UTC_TIME, "491231235959Z", true, INT64_C(2524607999) }, /* 2049 */
		{ DER_UTC_TIME, "240229120000Z", true, INT64_C(1709208000) },
		{ DER_GENERALIZED_TIME, "20261122000000Z", true, INT64_C(1795305600) },
		{ DER_GENERALIZED_TIME, "20500101000000Z", true, INT64_C(2524608000) },
		{ DER_GENERALIZED_TIME, "99991231235959Z", true, INT64_C(253402300799) },
		{ DER_UTC_TIME, "20261122000000Z", false, 0 }, /* the other's form */
		{ DER_GENERALIZED_TIME, "261122000000Z", false, 0 },
		{ DER_UTF8_STRING, "261122000000Z", false, 0 },
		{ DER_UTC_TIME, "2611220000Z", false, 0 },     /* no seconds */
		{ DER_UTC_TIME, "261122000000+", false, 0 },   /* no Zulu */
		{ DER_UTC_TIME, "2611220000+0100", false, 0 }, /* an offset */
		{ DER_GENERALIZED_TIME, "20261122000000", false, 0 },
		{ DER_GENERALIZED_TIME, "2026112200000.Z", false, 0 },
		{ DER_UTC_TIME, "261322000000Z", false, 0 },
		{ DER_UTC_TIME, "260229000000Z", false, 0 },
		{ DER_UTC_TIME, "261122240000Z", false, 0 },
		{ DER_UTC_TIME, "26-122000000Z", false, 0 },
		{ DER_UTC_TIME, "", false, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct der d = { .tag = rows[i].tag, .body = str_z(rows[i].text) };
		int64_t found = -1;
		if (value_time(&d, &found) != rows[i].good || (rows[i].good && found != rows[i].unix_s))
			fail_msg("row %zu, %s: found %lld", i, rows[i].text, (long long)found);
	}
}

static void basic_constraints_have_one_form(void **state)
{
	(void)state;
	static const struct {
		struct str value;
		bool good, ca, has_path_len;
	} rows[] = {
		{ BYTES("\x30\x00"), true, false, false },
		{ BYTES("\x30\x03\x01\x01\xff"), true, true, false },
		{ BYTES("\x30\x06\x01\x01\xff\x02\x01\x00"), true, true, true },
		{ BYTES("\x30\x03\x01\x01\x00"), true, false, false }, /* the lint's to find */
		{ BYTES("\x30\x03\x02\x01\x00"), true, false, true },
		{ BYTES(""), false, false, false },
		{ BYTES("\x30"), false, false, false },
		{ BYTES("\x31\x00"), false, false, false },
		{ BYTES("\x30\x00\x00"), false, false, false },
		{ BYTES("\x30\x04\x01\x02\xff\xff"), false, false, false },
		{ BYTES("\x30\x03\x02\x01\x80"), false, false, false }, /* negative */
		{ BYTES("\x30\x04\x02\x02\x00\x80"), false, false, false },
		{ BYTES("\x30\x06\x02\x01\x00\x01\x01\xff"), false, false, false }, /* the wrong way round */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct basic_constraints bc = { 0 };
		if (value_basic_constraints(rows[i].value, &bc) != rows[i].good || bc.ca != rows[i].ca ||
		    bc.has_path_len != rows[i].has_path_len)
			fail_msg("row %zu", i);
	}
}

static void usages_are_named_bits(void **state)
{
	(void)state;
	static const struct {
		struct str value;
		bool good;
		unsigned usage;
	} rows[] = {
		{ BYTES("\x03\x02\x07\x80"), true, USAGE_SIGN },
		{ BYTES("\x03\x02\x05\xa0"), true, USAGE_SIGN | USAGE_KEY_ENCIPHER },
		{ BYTES("\x03\x02\x01\x06"), true, USAGE_CERT_SIGN | USAGE_CRL_SIGN },
		{ BYTES("\x03\x03\x07\x00\x80"), true, USAGE(8) },
		{ BYTES("\x03\x01\x00"), true, 0 },
		{ BYTES("\x03\x00"), false, 0 },
		{ BYTES("\x03\x02\x08\x80"), false, 0 },
		{ BYTES("\x03\x04\x00\x80\x00\x01"), false, 0 },
		{ BYTES("\x04\x02\x07\x80"), false, 0 },
		{ BYTES("\x03\x02\x07\x80\x00"), false, 0 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		unsigned found = 0;
		if (value_key_usage(rows[i].value, &found) != rows[i].good || (rows[i].good && found != rows[i].usage))
			fail_msg("row %zu: found 0x%04x", i, found);
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(times_are_zulu_to_the_second),
		cmocka_unit_test(basic_constraints_have_one_form),
		cmocka_unit_test(usages_are_named_bits),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

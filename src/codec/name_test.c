/* SPDX-License-Identifier: Apache-2.0
 *
 * name_test.c: THREATS A55 and A56 as far as names alone decide them, and realm patterns.
 */
#include "codec/codec.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define S(lit)                       \
	{                            \
		lit, sizeof(lit) - 1 \
	} /* STR is no constant expression */
#define L63 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define L61 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define N253 L63 "." L63 "." L63 "." L61

static const struct {
	struct str name;
	bool wildcard;
	enum err_kind want;
	const char *says;
} names[] = {
	{ S("a.example"), false, ERR_NONE, "" },
	{ S("www.a-b.c1.example.com"), false, ERR_NONE, "" },
	{ S("0.example"), false, ERR_NONE, "" },
	{ S("1a.2b"), false, ERR_NONE, "" },
	{ S("a.b.c.d.e.f.g.h.i.j"), false, ERR_NONE, "" },
	{ S(L63 ".example"), false, ERR_NONE, "" },
	{ S(N253), false, ERR_NONE, "" },
	{ S("host.internal"), false, ERR_NONE, "" },
	{ S("xn--mnchen-3ya.example"), false, ERR_NONE, "" },
	{ S("xn--strae-oqa.xn--mgba3a4f16a"), false, ERR_NONE, "" },
	{ S("a--b.example"), false, ERR_NONE, "" },
	{ S("a---b.example"), false, ERR_MALFORMED, "places 3 and 4" },
	{ S("*.example.com"), true, ERR_NONE, "" },
	{ S("localhost.example"), false, ERR_NONE, "" },
	{ S("notlocal.example"), false, ERR_NONE, "" },
	{ S("thelocal.mylocal"), false, ERR_NONE, "" },
	/* A55 */
	{ S("xn--a.example"), false, ERR_MALFORMED, "A-label" },
	{ S("xn--abc-.example"), false, ERR_MALFORMED, "ends with a hyphen" },
	{ S("xn--99999999999.example"), false, ERR_MALFORMED, "A-label" },
	{ S("xn--0.example"), false, ERR_MALFORMED, "A-label" },
	{ S("xn--cafe-yvc.example"), false, ERR_MALFORMED, "A-label" }, /* not NFC */
	{ S("xn--n3h.example"), false, ERR_MALFORMED, "A-label" },      /* a symbol: IDNA2008 has none */
	{ S("xn--xn--a--gua.example"), false, ERR_MALFORMED, "A-label" },
	{ S("xn--1ug.example"), false, ERR_MALFORMED, "A-label" },
	{ S("example.xn--a"), false, ERR_MALFORMED, "A-label" },
	{ S("ab--c.example"), false, ERR_MALFORMED, "places 3 and 4" },
	{ S("a_b.example"), false, ERR_MALFORMED, "underscore" },
	{ S("_dmarc.example"), false, ERR_MALFORMED, "underscore" },
	{ S("x" N253), false, ERR_MALFORMED, "254 bytes" },
	{ S("*." L63 "." L63 "." L63 "." L61), true, ERR_MALFORMED, "255 bytes" },
	{ S("a.b.c.d.e.f.g.h.i.j.k"), false, ERR_REJECTED_IDENTIFIER, "11 labels" },
	{ S("Example.com"), false, ERR_MALFORMED, "upper case" },
	{ S("XN--mnchen-3ya.example"), false, ERR_MALFORMED, "upper case" },
	{ S("example.com."), false, ERR_MALFORMED, "ends with a dot" },
	{ S("a" L63 ".example"), false, ERR_MALFORMED, "64 bytes" },
	{ S("m\xc3\xbcnchen.example"), false, ERR_MALFORMED, "0xc3" },
	{ S("a b.example"), false, ERR_MALFORMED, "0x20" },
	{ S("a\0b.example"), false, ERR_MALFORMED, "0x00" },
	{ S("a\n.example"), false, ERR_MALFORMED, "0x0a" },
	{ S("a/b.example"), false, ERR_MALFORMED, "0x2f" },
	{ S(""), false, ERR_MALFORMED, "empty" },
	{ S("."), false, ERR_MALFORMED, "ends with a dot" },
	{ S(".example.com"), false, ERR_MALFORMED, "empty label" },
	{ S("a..example"), false, ERR_MALFORMED, "empty label" },
	{ S("-a.example"), false, ERR_MALFORMED, "hyphen" },
	{ S("a-.example"), false, ERR_MALFORMED, "hyphen" },
	{ S("-.example"), false, ERR_MALFORMED, "hyphen" },
	{ S("192.0.2.1"), false, ERR_MALFORMED, "number" },
	{ S("a.0x1f"), false, ERR_MALFORMED, "number" },
	{ S("a.0x"), false, ERR_MALFORMED, "number" },
	{ S("2130706433"), false, ERR_MALFORMED, "number" },
	{ S("[::1]"), false, ERR_MALFORMED, "0x5b" },
	{ S("::1"), false, ERR_MALFORMED, "0x3a" },
	/* A56 */
	{ S("com"), false, ERR_REJECTED_IDENTIFIER, "two labels" },
	{ S("*.com"), true, ERR_REJECTED_IDENTIFIER, "two labels" },
	{ S("*.arpa"), true, ERR_REJECTED_IDENTIFIER, ".arpa" },
	{ S("1.2.0.192.in-addr.arpa"), false, ERR_REJECTED_IDENTIFIER, ".arpa" },
	{ S("localhost"), false, ERR_REJECTED_IDENTIFIER, "localhost" },
	{ S("a.localhost"), false, ERR_REJECTED_IDENTIFIER, "localhost" },
	{ S("printer.local"), false, ERR_REJECTED_IDENTIFIER, ".local " },
	{ S("abcdefghijklmnop.onion"), false, ERR_REJECTED_IDENTIFIER, "onion" },
	{ S("a.invalid"), false, ERR_REJECTED_IDENTIFIER, "invalid" },
	{ S("a.alt"), false, ERR_REJECTED_IDENTIFIER, ".alt" },
	/* wildcards */
	{ S("*.example.com"), false, ERR_MALFORMED, "wildcard" },
	{ S("*.*.example.com"), true, ERR_MALFORMED, "\"*\"" },
	{ S("a.*.example.com"), true, ERR_MALFORMED, "\"*\"" },
	{ S("*a.example.com"), true, ERR_MALFORMED, "\"*\"" },
	{ S("a*.example.com"), true, ERR_MALFORMED, "\"*\"" },
	{ S("*"), true, ERR_MALFORMED, "\"*\"" },
	{ S("*."), true, ERR_MALFORMED, "empty" },
	{ S("*.192.0.2.1"), true, ERR_MALFORMED, "number" },
	{ S("*..example"), true, ERR_MALFORMED, "empty label" },
};

static void each_name_is_accepted_or_refused_with_its_reason(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct err err = { 0 };
		struct rc rc = name_check(names[i].name, names[i].wildcard, &err);
		if (rc.kind != names[i].want || strstr(err.detail, names[i].says) == NULL)
			fail_msg("%.*s: %s: %s", STR_FMT(names[i].name), err_kind_name(rc.kind), err.detail);
	}
}

static void lowering_touches_ascii_letters_only(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	assert_true(str_eq(name_lower(&mem, STR("ExAMPLE.com@[`{\xc3\x9c")), STR("example.com@[`{\xc3\x9c")));
	assert_int_equal(name_lower(&mem, STR_NONE).n, 0);
}

static void patterns_cover_what_they_say_and_nothing_beside(void **state)
{
	(void)state;
	static const struct {
		const char *pattern, *name;
		bool want;
	} rows[] = {
		{ "a.example", "a.example", true },
		{ "a.example", "b.a.example", false },
		{ "a.example", "*.a.example", false },
		{ "*.a.example", "b.a.example", true },
		{ "*.a.example", "c.b.a.example", true },
		{ "*.a.example", "a.example", false },
		{ "*.a.example", "evila.example", false },
		{ "*.a.example", "*.a.example", true },
		{ "*.a.example", "*.b.a.example", true },
		{ "*.a.example", "*.example", false },
		{ "*.a.example", "*.evila.example", false },
		{ "*.corp", "host.team.corp", true },
		{ "*.corp", "corp", false },
		{ "*", "anything.example", true },
		{ "*", "*.anything.example", true },
		{ "*", "", false },
		{ "*.a.example", "", false },
		{ "*.a.example", ".a.example", true }, /* syntax is name_check's business */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (name_matches(str_z(rows[i].pattern), str_z(rows[i].name)) != rows[i].want)
			fail_msg("%s / %s", rows[i].pattern, rows[i].name);
	}
}

static void patterns_have_the_syntax_of_names(void **state)
{
	(void)state;
	static const struct {
		const char *pattern;
		bool good;
	} rows[] = {
		{ "*", true },
		{ "*.corp", true },
		{ "corp", true },
		{ "a.example", true },
		{ "*.a.example", true },
		{ "*.local", true },
		{ "", false },
		{ "*.", false },
		{ "**", false },
		{ "*.*.a", false },
		{ "a.*", false },
		{ "*a.example", false },
		{ "A.example", false },
		{ "a.example.", false },
		{ "a_b.example", false },
		{ "10.0.0.1", false },
		{ "xn--a.example", false },
		{ N253, true },
		{ "x" N253, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		if (FAILED(name_pattern_check(str_z(rows[i].pattern), &err)) == rows[i].good)
			fail_msg("%s: %s", rows[i].pattern, err.detail);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_name_is_accepted_or_refused_with_its_reason),
		cmocka_unit_test(lowering_touches_ascii_letters_only),
		cmocka_unit_test(patterns_cover_what_they_say_and_nothing_beside),
		cmocka_unit_test(patterns_have_the_syntax_of_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

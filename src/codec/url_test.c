/* SPDX-License-Identifier: Apache-2.0
 *
 * url_test.c: THREATS A29 and A31 as far as the URL alone decides them, and RFC 3986 5.4's table of references.
 */
#include "codec/codec.h"

#include <stdio.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void good_urls_have_one_normal_form(void **state)
{
	(void)state;
	static const struct {
		const char *text, *shown, *host, *path;
		bool https, host_is_addr;
		unsigned port;
	} rows[] = {
		{ "http://a.example", "http://a.example/", "a.example", "/", false, false, 80 },
		{ "HTTPS://A.Example:443/x?y=1", "https://a.example/x?y=1", "a.example", "/x?y=1", true, false, 443 },
		{ "http://a.example:443/", "http://a.example:443/", "a.example", "/", false, false, 443 },
		{ "https://localhost:14000/directory", "https://localhost:14000/directory", "localhost", "/directory",
		  true, false, 14000 },
		{ "http://a.example?q", "http://a.example/?q", "a.example", "/?q", false, false, 80 },
		{ "http://a.example/p#frag", "http://a.example/p", "a.example", "/p", false, false, 80 },
		{ "http://a.example#frag/x", "http://a.example/", "a.example", "/", false, false, 80 },
		{ "http://a.example/a@b:c", "http://a.example/a@b:c", "a.example", "/a@b:c", false, false, 80 },
		{ "http://my_host-1/%2F%aF", "http://my_host-1/%2F%aF", "my_host-1", "/%2F%aF", false, false, 80 },
		{ "http://192.0.2.1:8080/", "http://192.0.2.1:8080/", "192.0.2.1", "/", false, true, 8080 },
		{ "http://[2001:DB8::0:1]/", "http://[2001:db8::1]/", "2001:db8::1", "/", false, true, 80 },
		{ "https://[::1]:65535", "https://[::1]:65535/", "::1", "/", true, true, 65535 },
		{ "http://1.2.3.4a/", "http://1.2.3.4a/", "1.2.3.4a", "/", false, false, 80 },
		{ "http://0xg.example/../x", "http://0xg.example/../x", "0xg.example", "/../x", false, false, 80 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct url u = { 0 };
		struct err err = { 0 };
		if (FAILED(url_read(&mem, str_z(rows[i].text), 2000, &u, &err)))
			fail_msg("%s: %s", rows[i].text, err.detail);
		assert_true(str_eq(u.host, str_z(rows[i].host)));
		assert_true(str_eq(u.path, str_z(rows[i].path)));
		assert_int_equal(u.https, rows[i].https);
		assert_int_equal(u.host_is_addr, rows[i].host_is_addr);
		assert_int_equal(u.port, rows[i].port);
		assert_true(str_eq(url_show(&mem, &u), str_z(rows[i].shown)));
	}
}

static void bad_urls_are_refused_with_their_reason(void **state)
{
	(void)state;
	static const struct {
		struct str text;
		const char *says;
	} rows[] = {
#define BAD(lit, says) { { lit, sizeof(lit) - 1 }, says }
		BAD("", "http://"),
		BAD("a.example", "http://"),
		BAD("//a.example/", "http://"),
		BAD("ftp://a.example/", "http://"),
		BAD("gopher://a.example/", "http://"),
		BAD("file:///etc/passwd", "http://"),
		BAD("javascript:alert(1)", "http://"),
		BAD("http:/a.example/", "http://"),
		BAD("http:a.example", "http://"),
		BAD(" http://a.example/", "0x20"),
		BAD("http://", "no host"),
		BAD("http:///x", "no host"),
		BAD("http://?q", "no host"),
		BAD("http://:80/", "no host"),
		BAD("http://[]/", "no host"),
		BAD("http://user@a.example/", "userinfo"),
		BAD("http://user:pw@a.example/", "userinfo"),
		BAD("http://@a.example/", "userinfo"),
		BAD("http://a.example:80@127.0.0.1/", "userinfo"),
		BAD("http://2130706433/", "disguise"),
		BAD("http://0x7f000001/", "disguise"),
		BAD("http://0x7F.0.0.1/", "disguise"),
		BAD("http://0X7F000001/", "disguise"),
		BAD("http://0177.0.0.1/", "disguise"),
		BAD("http://127.1/", "disguise"),
		BAD("http://127.0.1/", "disguise"),
		BAD("http://127.0.0.1.1/", "disguise"),
		BAD("http://a.example.0x/", "disguise"),
		BAD("http://256.0.0.1/", "disguise"),
		BAD("http://127.0.0.01/", "disguise"),
		BAD("http://127.0.0.1./", "host name"),
		BAD("http://a.example./", "host name"),
		BAD("http://a..example/", "host name"),
		BAD("http://-a.example/", "host name"),
		BAD("http://a-.example/", "host name"),
		BAD("http://%6cocalhost/", "host name"),
		BAD("http://a%00.example/", "host name"),
		BAD("http://a!b/", "host name"),
		BAD("http://a.example,b/", "host name"),
		BAD("http://[fe80::1%25eth0]/", "zone"),
		BAD("http://[fe80::1%eth0]/", "hexadecimal"),
		BAD("http://[127.0.0.1]/", "IPv6"),
		BAD("http://[::1/", "without"),
		BAD("http://[::1]x/", "port"),
		BAD("http://[::g]/", "IP address"),
		BAD("http://[v1.x]/", "IP address"),
		BAD("http://::1/", "no host"),
		BAD("http://a.example:/", "port"),
		BAD("http://a.example:0/", "port"),
		BAD("http://a.example:65536/", "port"),
		BAD("http://a.example:080/", "port"),
		BAD("http://a.example:8a/", "port"),
		BAD("http://a.example:80:80/", "port"),
		BAD("http://a.example:-1/", "port"),
		BAD("http://a.example/\r\nX: y", "0x0d"),
		BAD("http://a.example/a b", "0x20"),
		BAD("http://a.example/\0", "0x00"),
		BAD("http://a.example\\@b/", "0x5c"),
		BAD("http://a.example/\x7f", "0x7f"),
		BAD("http://m\xc3\xbc.example/", "0xc3"),
		BAD("http://a.example/\"", "0x22"),
		BAD("http://a.example/<x>", "0x3c"),
		BAD("http://a.example/%", "hexadecimal"),
		BAD("http://a.example/%2", "hexadecimal"),
		BAD("http://a.example/%zz", "hexadecimal"),
		BAD("http://a.example/[x]", "brackets"),
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct url u = { 0 };
		struct err err = { 0 };
		struct rc rc = url_read(&mem, rows[i].text, 2000, &u, &err);
		if (rc.kind != ERR_MALFORMED || strstr(err.detail, rows[i].says) == NULL)
			fail_msg("%.*s: %s", STR_FMT(rows[i].text), err.detail);
		assert_null(u.host.p);
	}
}

static void the_limit_is_exact(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct url u = { 0 };
	struct str text = STR("http://a.example/abc");
	assert_int_equal(url_read(&mem, text, text.n, &u, NULL).kind, ERR_NONE);
	assert_int_equal(url_read(&mem, text, text.n - 1, &u, NULL).kind, ERR_MALFORMED);
	struct url base = u;
	assert_int_equal(url_resolve(&mem, &base, STR("/abc"), text.n, &u, NULL).kind, ERR_NONE);
	assert_int_equal(url_resolve(&mem, &base, STR("/abc"), text.n - 1, &u, NULL).kind, ERR_MALFORMED);
	assert_int_equal(url_resolve(&mem, &base, STR("/abc"), 3, &u, NULL).kind, ERR_MALFORMED);
}

static void references_resolve_as_rfc_3986_says(void **state)
{
	(void)state;
	static const struct {
		const char *reference, *want; /* NULL: refused */
	} rows[] = {
		/* 5.4.1 */
		{ "g", "http://a/b/c/g" },
		{ "./g", "http://a/b/c/g" },
		{ "g/", "http://a/b/c/g/" },
		{ "/g", "http://a/g" },
		{ "//g", "http://g/" },
		{ "?y", "http://a/b/c/d;p?y" },
		{ "g?y", "http://a/b/c/g?y" },
		{ "#s", "http://a/b/c/d;p?q" },
		{ "g#s", "http://a/b/c/g" },
		{ "g?y#s", "http://a/b/c/g?y" },
		{ ";x", "http://a/b/c/;x" },
		{ "g;x", "http://a/b/c/g;x" },
		{ "g;x?y#s", "http://a/b/c/g;x?y" },
		{ "", "http://a/b/c/d;p?q" },
		{ ".", "http://a/b/c/" },
		{ "./", "http://a/b/c/" },
		{ "..", "http://a/b/" },
		{ "../", "http://a/b/" },
		{ "../g", "http://a/b/g" },
		{ "../..", "http://a/" },
		{ "../../", "http://a/" },
		{ "../../g", "http://a/g" },
		/* 5.4.2 */
		{ "../../../g", "http://a/g" },
		{ "../../../../g", "http://a/g" },
		{ "/./g", "http://a/g" },
		{ "/../g", "http://a/g" },
		{ "g.", "http://a/b/c/g." },
		{ ".g", "http://a/b/c/.g" },
		{ "g..", "http://a/b/c/g.." },
		{ "..g", "http://a/b/c/..g" },
		{ "./../g", "http://a/b/g" },
		{ "./g/.", "http://a/b/c/g/" },
		{ "g/./h", "http://a/b/c/g/h" },
		{ "g/../h", "http://a/b/c/h" },
		{ "g;x=1/./y", "http://a/b/c/g;x=1/y" },
		{ "g;x=1/../y", "http://a/b/c/y" },
		{ "g?y/./x", "http://a/b/c/g?y/./x" },
		{ "g?y/../x", "http://a/b/c/g?y/../x" },
		{ "http:g", NULL },
		{ "g:h", NULL },
		/* ours */
		{ "//g//..///x", "http://g///x" },
		{ "https://h.example:8443/x/../y", "https://h.example:8443/y" },
		{ "HTTPS://H.example", "https://h.example/" },
		{ "//user@h/", NULL },
		{ "//127.1/", NULL },
		{ "ftp://h/", NULL },
		{ "javascript:alert(1)", NULL },
		{ "a b", NULL },
		{ "/\\h.example", NULL },
		{ "./a:b", "http://a/b/c/a:b" },
		{ "1:2", "http://a/b/c/1:2" },
		{ "?a:b", "http://a/b/c/d;p?a:b" },
	};
	AUTO(arena_done) struct arena mem = { 0 };
	struct url base = { 0 };
	assert_int_equal(url_read(&mem, STR("http://a/b/c/d;p?q"), 100, &base, NULL).kind, ERR_NONE);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct url u = { 0 };
		struct err err = { 0 };
		struct rc rc = url_resolve(&mem, &base, str_z(rows[i].reference), 2000, &u, &err);
		struct str shown = rc.kind == ERR_NONE ? url_show(&mem, &u) : STR("(refused)");
		if (!str_eq(shown, rows[i].want == NULL ? STR("(refused)") : str_z(rows[i].want)))
			fail_msg("%s: %.*s, wanted %s", rows[i].reference, STR_FMT(shown), rows[i].want);
	}
}

static void a_reference_keeps_scheme_port_and_literal_of_its_base(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct url base = { 0 };
	struct url u = { 0 };
	assert_int_equal(url_read(&mem, STR("https://[2001:db8::1]:8443/a?b"), 100, &base, NULL).kind, ERR_NONE);
	assert_int_equal(url_resolve(&mem, &base, STR("c"), 100, &u, NULL).kind, ERR_NONE);
	assert_true(str_eq(url_show(&mem, &u), STR("https://[2001:db8::1]:8443/c")));
	assert_int_equal(url_resolve(&mem, &base, STR("//h.example/"), 100, &u, NULL).kind, ERR_NONE);
	assert_true(str_eq(url_show(&mem, &u), STR("https://h.example/")));
	assert_false(u.host_is_addr);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_urls_have_one_normal_form),
		cmocka_unit_test(bad_urls_are_refused_with_their_reason),
		cmocka_unit_test(the_limit_is_exact),
		cmocka_unit_test(references_resolve_as_rfc_3986_says),
		cmocka_unit_test(a_reference_keeps_scheme_port_and_literal_of_its_base),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

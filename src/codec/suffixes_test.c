/* SPDX-License-Identifier: Apache-2.0
 *
 * suffixes_test.c: which names are public suffixes, by the built-in list and by one from a file; and what is no list.
 */
#include "codec/codec.h"
#include "unit.h"

#include <stdlib.h>
#include <unistd.h>

static const struct {
	const char *name;
	bool want;
} rows[] = {
	{ "com", true },
	{ "uk", true },
	{ "co.uk", true },
	{ "xn--p1ai", true },
	{ "foo.ck", true },  /* "*.ck" */
	{ "www.ck", false }, /* "!www.ck" */
	{ "example.co.uk", false },
	{ "example.com", false },
	{ "a.b.co.uk", false },
	/* The private section: its owner is somebody. */
	{ "github.io", false },
	{ "blogspot.com", false },
	/* Not on the list, whatever their top-level name. */
	{ "corp", false },
	{ "test", false },
	{ "internal", false },
	{ "a.corp", false },
	{ "ca.internal", false },
	{ "home.arpa", false },
	{ "", false },
	{ "xco.uk", false },
};

static void only_the_icann_section_counts(void **state)
{
	struct suffixes *s = NULL;
	struct err err = { 0 };
	(void)state;
	MUST(suffixes_open(NULL, &s, &err));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (suffixes_have(s, str_z(rows[i].name)) != rows[i].want)
			fail_msg("%s: wanted %d", rows[i].name, (int)rows[i].want);
	suffixes_free(s);
	suffixes_free(NULL);
}

static void write_file(char path[], const char *text)
{
	int fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

static void a_file_takes_the_place_of_the_built_in_list(void **state)
{
	char path[] = "/tmp/suffixes-XXXXXX";
	struct suffixes *s = NULL;
	struct err err = { 0 };
	(void)state;
	write_file(path, "// ===BEGIN ICANN DOMAINS===\ncom\nuk\nco.uk\nnew.example\n// ===END ICANN DOMAINS===\n"
			 "// ===BEGIN PRIVATE DOMAINS===\nshop.example\n// ===END PRIVATE DOMAINS===\n");
	MUST(suffixes_open(path, &s, &err));
	assert_true(suffixes_have(s, STR("new.example")));
	assert_false(suffixes_have(s, STR("shop.example")));
	assert_false(suffixes_have(s, STR("co.jp")));
	suffixes_free(s);
	unlink(path);
	/* As Debian's package publicsuffix has it: compiled. */
	MUST(suffixes_open("/usr/share/publicsuffix/public_suffix_list.dafsa", &s, &err));
	assert_true(suffixes_have(s, STR("co.jp")));
	assert_false(suffixes_have(s, STR("github.io")));
	suffixes_free(s);
}

static void what_is_no_list_is_refused_by_name(void **state)
{
	char path[] = "/tmp/suffixes-XXXXXX";
	struct suffixes *s = NULL;
	struct err err = { 0 };
	(void)state;
	assert_true(FAILED(suffixes_open("/nowhere/list", &s, &err)));
	assert_string_equal(err.detail, "open /nowhere/list: No such file or directory");
	write_file(path, "<html>not found</html>\n");
	assert_int_equal(suffixes_open(path, &s, &err).kind, ERR_CONFIG);
	assert_string_equal(err.detail, "this is not the Public Suffix List");
	assert_null(s);
	unlink(path);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(only_the_icann_section_counts),
		cmocka_unit_test(a_file_takes_the_place_of_the_built_in_list),
		cmocka_unit_test(what_is_no_list_is_refused_by_name),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

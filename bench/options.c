/* SPDX-License-Identifier: Apache-2.0
 *
 * options.c: getopt_long(3) by a table.
 */
#include "options.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#define ROWS_MAX 40
#define OPTION_FIRST 256 /* above every character */
#define OPTION_HELP (OPTION_FIRST + ROWS_MAX)

static bool word_find(const struct option_row *r, const char *arg, unsigned *ret)
{
	for (unsigned i = 0; i < r->most; i++) {
		if (strcmp(arg, r->words[i]) == 0) {
			*ret = i;
			return true;
		}
	}
	return false;
}

static bool number_read(const struct option_row *r, const char *arg, uint64_t *ret)
{
	return !FAILED(str_u64(str_z(arg), r->most, ret, NULL)) && *ret >= r->least;
}

static bool option_take(const struct option_row *r, void *into, char *arg)
{
	void *at = (char *)into + r->at;
	uint64_t n = 0;
	switch (r->kind) {
	case OPTION_TEXT:
		*(const char **)at = arg;
		return true;
	case OPTION_STR:
		*(struct str *)at = str_z(arg);
		return true;
	case OPTION_NUMBER:
		return number_read(r, arg, at);
	case OPTION_COUNT:
		if (!number_read(r, arg, &n))
			return false;
		*(unsigned *)at = (unsigned)n;
		return true;
	case OPTION_WORD:
		return word_find(r, arg, at);
	case OPTION_FLAG:
		*(bool *)at = true;
		return true;
	case OPTION_CALL:
		return r->take(into, arg);
	}
	return false;
}

int options_read(const struct option_row *rows, const char *usage, void *into, int argc, char **argv)
{
	struct option known[ROWS_MAX + 2] = { 0 };
	int count = 0;
	for (; count < ROWS_MAX && rows[count].name != NULL; count++)
		known[count] = (struct option){ rows[count].name,
						rows[count].kind == OPTION_FLAG ? no_argument : required_argument, NULL,
						OPTION_FIRST + count };
	known[count] = (struct option){ "help", no_argument, NULL, OPTION_HELP };
	for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
		if (c >= OPTION_FIRST && c < OPTION_FIRST + count && option_take(&rows[c - OPTION_FIRST], into, optarg))
			continue;
		(void)fputs(usage, c == OPTION_HELP ? stdout : stderr);
		return c == OPTION_HELP ? 0 : 1;
	}
	if (optind == argc)
		return -1;
	(void)fputs(usage, stderr);
	return 1;
}

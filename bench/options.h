/* SPDX-License-Identifier: Apache-2.0
 *
 * options.h: a command line read by a table, for the programs that measure and test (cairn-bench, cairn-storm, cairn-load): a row
 * says where a value goes and what it may be.
 */
#ifndef CAIRN_BENCH_OPTIONS_H
#define CAIRN_BENCH_OPTIONS_H

#include "base/base.h"

enum option_kind {
	OPTION_TEXT,   /* const char * */
	OPTION_STR,    /* struct str */
	OPTION_NUMBER, /* uint64_t, from least to most */
	OPTION_COUNT,  /* unsigned, the same */
	OPTION_WORD,   /* unsigned or an enum: the place in words, of which there are `most` */
	OPTION_FLAG,   /* bool; it takes no value */
	OPTION_CALL,   /* whatever take does with it; false: it is wrong */
};
struct option_row {
	const char *name; /* without the dashes; the last row has none */
	enum option_kind kind;
	size_t at; /* offset in what is filled */
	uint64_t least, most;
	const char *const *words;
	bool (*take)(void *into, char *arg);
};

/* Fills `into`, which holds the defaults. -1: go on; else the exit code, when usage has been printed: 0 after --help, 1 when
 * something is unknown, wrong, or stands there without an option. */
int options_read(const struct option_row *rows, const char *usage, void *into, int argc, char **argv);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * progress.c: what a validator says between two attempts, as a table. No signature covers it, so that what it may do is
 * bounded here: one short text and a time.
 */
#include "model/message.h"

#include <stddef.h>

#define AT(member) offsetof(struct progress, member)
static const struct field progress_fields[] = {
	{ "attempt", FIELD_ID, AT(attempt), .min = 1 },
	{ "perspective", FIELD_WORD, AT(perspective), .min = 1, .max = PERSPECTIVE_NAME_MAX },
	{ "problem", FIELD_PROBLEM, AT(problem), .min = 1 },
	{ "problemDetail", FIELD_TEXT, AT(problem_detail), .min = 1, .max = ERR_DETAIL_MAX },
	{ "next", FIELD_TIME, AT(next_ms), .may_lack = true },
};
#undef AT

/* It is shown as it comes: it must not tell clients that their account is gone, or that they ask too often. */
static fallible progress_check(const void *m, struct err *err)
{
	static const enum err_kind kinds[] = { ERR_CAA, ERR_CONNECTION,   ERR_DNS,      ERR_INCORRECT_RESPONSE,
					       ERR_TLS, ERR_UNAUTHORIZED, ERR_MALFORMED };
	const struct progress *p = (const struct progress *)m;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (p->problem == kinds[i])
			return OK;
	FAIL(err, ERR_MALFORMED, "\"problem\" is %s, which is not about an attempt", err_kind_name(p->problem));
}

static const struct message progress_table = {
	"progress message", PROGRESS_MAX, progress_fields, ARRAY_LEN(progress_fields), progress_check,
};

fallible progress_write(const struct progress *p, struct buf *ret, struct err *err)
{
	return message_write(&progress_table, p, ret, err);
}

fallible progress_read(struct arena *mem, struct str text, struct progress *ret, struct err *err)
{
	struct progress p = { .next_ms = 0 };
	TRY(message_read(&progress_table, mem, text, &p, err));
	*ret = p;
	return OK;
}

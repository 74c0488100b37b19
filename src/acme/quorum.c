/* SPDX-License-Identifier: Apache-2.0
 *
 * quorum.c: which of an attempt's verdicts the signer gets. It counts no more than a quorum, each costs it a signature to
 * verify, and 100 names seen by many perspectives would not fit a job with all of them.
 */
#include "acme/quorum.h"

#include "jose/jose.h"

#include <stdlib.h>

static int newest_first(const void *a, const void *b)
{
	const struct verdict_row *x = a, *y = b;
	return (x->finished_at < y->finished_at) - (x->finished_at > y->finished_at);
}

/* Empty: the account's key of then, or nothing that can be read. */
static struct str record_of(struct arena *mem, const struct verdict_row *row)
{
	struct jws_compact jws;
	struct verdict v;
	if (FAILED(jws_compact_read(mem, row->jws, STR(VERDICT_TYP), VERDICT_JWS_MAX, &jws, NULL)) ||
	    FAILED(verdict_read(mem, jws.payload, &v, NULL)))
		return STR_NONE;
	return v.record_thumbprint;
}

/* The first record that has its quorum, or no choice. */
static size_t choose_same(struct arena *mem, size_t quorum, struct verdict_row *rows, size_t count)
{
	struct str *records = ARENA_ARRAY(mem, struct str, count);
	struct verdict_row *same = ARENA_ARRAY(mem, struct verdict_row, count);
	for (size_t i = 0; i < count; i++)
		records[i] = record_of(mem, &rows[i]);
	for (size_t lead = 0; lead < count; lead++) {
		size_t n = 0;
		for (size_t i = lead; i < count && n < quorum; i++) {
			if (str_eq(records[i], records[lead]))
				same[n++] = rows[i];
		}
		if (n == quorum) {
			memcpy(rows, same, n * sizeof *rows);
			return n;
		}
	}
	return count;
}

size_t quorum_choose(struct arena *mem, const struct conf_zone *zone, bool records, struct verdict_row *rows,
		     size_t count)
{
	size_t n = 0;
	for (size_t i = 0; i < count; i++) {
		if (rows[i].valid && (zone == NULL || conf_list_has(&zone->perspectives, rows[i].perspective)))
			rows[n++] = rows[i];
	}
	size_t quorum = zone == NULL || zone->quorum < 1 ? n : (size_t)zone->quorum;
	if (n <= quorum)
		return n;
	qsort(rows, n, sizeof *rows, newest_first);
	return records ? choose_same(mem, quorum, rows, n) : quorum;
}

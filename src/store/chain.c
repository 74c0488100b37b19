/* SPDX-License-Identifier: Apache-2.0
 *
 * chain.c: what stands above a leaf in the text that its subscriber fetches, kept once for all certificates that have the
 * same. Issuers change their chains every few years: each has a handful of rows.
 */
#include "store/internal.h"

#define CHAIN_TEXT_MAX (1024 * 1024)

enum { Q_FIND, Q_ADD, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_FIND] = "SELECT seq FROM chains WHERE issuer = $1 AND pem = $2 ORDER BY seq DESC LIMIT 1",
	[Q_ADD] = "INSERT INTO chains (issuer, seq, pem)"
		  " SELECT $1, COALESCE(MAX(seq), 0) + 1, $2 FROM chains WHERE issuer = $1 ON CONFLICT DO NOTHING",
};
const struct sql_set chain_sql = { "chain.c", sql, Q_COUNT };

static fallible find(struct store_tx *tx, struct str issuer, struct str pem, int64_t *ret, struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	bool row;
	TRY(rows_open(&r, tx, sql[Q_FIND], ARGS(A_TEXT(issuer), A_TEXT(pem)), err));
	TRY(rows_next(&r, &row, err));
	*ret = row ? rows_i64(&r, 0) : 0;
	return OK;
}

static fallible leaf_pem(struct str der, struct buf *ret, struct err *err)
{
	return pem_add("CERTIFICATE", der, ret, err);
}

fallible chain_keep(struct store_tx *tx, struct str issuer, struct str der, struct str text, int64_t *ret_seq,
		    struct str *ret_own, struct err *err)
{
	AUTO(buf_done) struct buf leaf = BUF_MAX(CHAIN_TEXT_MAX);
	struct str above = text;
	int64_t seq = 0;
	TRY(leaf_pem(der, &leaf, err));
	if (!str_skip(&above, buf_str(&leaf)) || above.n == 0) {
		*ret_seq = 0;
		*ret_own = text;
		return OK;
	}
	TRY(find(tx, issuer, above, &seq, err));
	if (seq == 0) {
		TRY(tx_do(tx, sql[Q_ADD], ARGS(A_TEXT(issuer), A_TEXT(above)), err));
		TRY(find(tx, issuer, above, &seq, err));
	}
	if (seq == 0)
		FAIL(err, ERR_UNAVAILABLE, "another program adds a chain of issuer %.*s: try again", STR_FMT(issuer));
	*ret_seq = seq;
	*ret_own = STR_NONE;
	return OK;
}

fallible chain_text(struct arena *mem, struct str der, int64_t seq, int64_t found_seq, struct str above,
		    struct str *ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(CHAIN_TEXT_MAX);
	if (found_seq != seq) /* a leaf without what is above it looks like a chain, and is none */
		FAIL(err, ERR_INTERNAL, "a certificate's chain %lld is not in the database", (long long)seq);
	TRY(leaf_pem(der, &text, err));
	TRY(buf_add(&text, above, err));
	*ret = str_dup(mem, buf_str(&text));
	return OK;
}

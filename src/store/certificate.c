/* SPDX-License-Identifier: Apache-2.0
 *
 * certificate.c: rows of certificates and the names in them, and their revocation.
 */
#include "store/internal.h"

#define COLUMNS                                                                                            \
	"id, order_id, account, realm, profile, issuer, serial, der, chain_pem, spki_hash, not_before_s, " \
	"not_after_s, "                                                                                    \
	"created_at, revoked_at, revocation_reason"
#define OF_CHAIN " FROM chains h WHERE h.issuer = certificates.issuer AND h.seq = certificates.chain_seq"
#define CHAIN ", chain_seq, (SELECT h.pem" OF_CHAIN "), (SELECT h.seq" OF_CHAIN ")"
#define NAMES_MAX (2 * IDENTS_MAX)

enum { Q_INSERT, Q_NAME, Q_BY_ID, Q_BY_SERIAL, Q_IDS, Q_REVOKE, Q_REVOKE_KEY, Q_COMPROMISED, Q_REVOCATION, Q_COUNT };
static const char *const sql[Q_COUNT] = {
	[Q_INSERT] = "INSERT INTO certificates (" COLUMNS ", chain_seq, revoked_by)"
		     " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, '')"
		     " ON CONFLICT DO NOTHING",
	[Q_NAME] = "INSERT INTO certificate_names (name, certificate) VALUES ($1, $2) ON CONFLICT DO NOTHING",
	[Q_BY_ID] = "SELECT " COLUMNS CHAIN " FROM certificates WHERE id = $1",
	[Q_BY_SERIAL] = "SELECT " COLUMNS CHAIN " FROM certificates WHERE serial = $1",
	[Q_IDS] = "SELECT id FROM certificates WHERE id > $1 AND id < $2 ORDER BY id LIMIT $3",
	[Q_REVOKE] = "UPDATE certificates SET revoked_at = $2, revocation_reason = $3, revoked_by = $4"
		     " WHERE id = $1 AND revoked_at = 0",
	[Q_REVOKE_KEY] = "UPDATE certificates SET revoked_at = $2, revocation_reason = $3, revoked_by = $4"
			 " WHERE spki_hash = $1 AND revoked_at = 0 AND not_after_s >= $5"
			 " AND ($6 IS NULL OR account = $6)",
	[Q_COMPROMISED] = "UPDATE certificates SET revocation_reason = 1, revoked_by = $2"
			  " WHERE id = $1 AND revoked_at > 0 AND revocation_reason <> 1",
	[Q_REVOCATION] = "SELECT CASE WHEN revoked_at = 0 THEN 'not revoked' WHEN revocation_reason = 1"
			 " THEN 'revoked for keyCompromise' ELSE 'revoked' END FROM certificates WHERE id = $1",
};
const struct sql_set certificate_sql = { "certificate.c", sql, Q_COUNT };

static fallible row_get(struct rows *r, struct arena *mem, struct certificate_row *ret, struct err *err)
{
	struct certificate_row c = { .realm = rows_text(r, mem, 3) };
	ROWS_ID(r, 0, &c.id, err);
	ROWS_ID(r, 1, &c.order, err);
	ROWS_ID(r, 2, &c.account, err);
	c.profile = rows_text(r, mem, 4);
	c.issuer = rows_text(r, mem, 5);
	c.serial = rows_text(r, mem, 6);
	c.der = rows_text(r, mem, 7);
	c.chain_pem = rows_text(r, mem, 8);
	ROWS_ID(r, 9, &c.spki_hash, err);
	c.not_before_s = rows_i64(r, 10);
	c.not_after_s = rows_i64(r, 11);
	c.created_at = rows_i64(r, 12);
	c.revoked_at = rows_i64(r, 13);
	c.revocation_reason = (int)rows_i64(r, 14);
	if (rows_i64(r, 15) != 0)
		TRY(chain_text(mem, c.der, rows_i64(r, 15), rows_i64(r, 17), rows_text(r, mem, 16), &c.chain_pem, err));
	*ret = c;
	return OK;
}

/* "www.a.example" becomes "example.a.www"; an address, which has no labels to speak of, stays as it is. */
static struct str name_reversed(struct arena *mem, struct str name)
{
	struct addr a;
	if (name.n == 0 || !FAILED(addr_read(name, &a, NULL)))
		return name;
	char *out = (char *)arena_alloc(mem, name.n);
	size_t at = 0, end = name.n;
	for (size_t i = name.n; i-- > 0;) {
		if (name.p[i] != '.')
			continue;
		memcpy(out + at, name.p + i + 1, end - i - 1);
		at += end - i - 1;
		out[at++] = '.';
		end = i;
	}
	memcpy(out + at, name.p, end);
	return str_n(out, name.n);
}

fallible certificate_insert(struct store_tx *tx, const struct certificate_row *c, const struct str *names,
			    size_t name_count, struct err *err)
{
	if (name_count > NAMES_MAX)
		FAIL(err, ERR_INTERNAL, "a certificate with %zu names, %d are possible", name_count, NAMES_MAX);
	struct str own;
	int64_t chain_seq;
	TRY(chain_keep(tx, c->issuer, c->der, c->chain_pem, &chain_seq, &own, err));
	TRY(tx_insert(tx, "certificate", sql[Q_INSERT],
		      ARGS(A_ID(c->id), A_ID(c->order), A_ID(c->account), A_TEXT(c->realm), A_TEXT(c->profile),
			   A_TEXT(c->issuer), A_TEXT(c->serial), A_BLOB(c->der), A_TEXT(own), A_ID(c->spki_hash),
			   A_I64(c->not_before_s), A_I64(c->not_after_s), A_I64(c->created_at), A_I64(c->revoked_at),
			   A_I64(c->revocation_reason), A_I64(chain_seq)),
		      err));
	AUTO(arena_done) struct arena mem = { 0 };
	for (size_t i = 0; i < name_count; i++) /* a name may come twice */
		TRY(tx_do(tx, sql[Q_NAME], ARGS(A_TEXT(name_reversed(&mem, names[i])), A_ID(c->id)), err));
	return OK;
}

fallible certificate_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct certificate_row *ret,
			   struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "certificate", sql[Q_BY_ID], ARGS(A_ID(id)), err));
	return row_get(&r, mem, ret, err);
}

fallible certificate_by_serial(struct store_tx *tx, struct arena *mem, struct str serial, struct certificate_row *ret,
			       struct err *err)
{
	AUTO(rows_done) struct rows r = { 0 };
	TRY(rows_one(&r, tx, "certificate", sql[Q_BY_SERIAL], ARGS(A_TEXT(serial)), err));
	return row_get(&r, mem, ret, err);
}

fallible certificate_ids(struct store_tx *tx, struct arena *mem, struct id after, struct id before, size_t limit,
			 struct id **ret, size_t *ret_count, struct err *err)
{
	return tx_ids(tx, mem, sql[Q_IDS], ARGS(A_ID(after), A_ID(before), A_I64(tx_limit(limit))), ret, ret_count,
		      err);
}

static fallible revocation_check(int64_t at, int reason, struct err *err)
{
	if (at <= 0)
		FAIL(err, ERR_INTERNAL, "a revocation at %lld, later than 1970 was wanted", (long long)at);
	/* RFC 5280 5.3.1: 7 is not used. */
	if (reason < 0 || reason > 10 || reason == 7)
		FAIL(err, ERR_INTERNAL, "%d is not a reason for revocation", reason);
	return OK;
}

fallible certificate_revoke(struct store_tx *tx, struct id id, int64_t at, int reason, struct str by, struct err *err)
{
	TRY(revocation_check(at, reason, err));
	return tx_move(tx, "certificate", sql[Q_REVOCATION], id, "not revoked", sql[Q_REVOKE],
		       ARGS(A_ID(id), A_I64(at), A_I64(reason), A_TEXT(by)), err);
}

fallible certificate_set_compromised(struct store_tx *tx, struct id id, struct str by, struct err *err)
{
	return tx_move(tx, "certificate", sql[Q_REVOCATION], id, "revoked for another reason", sql[Q_COMPROMISED],
		       ARGS(A_ID(id), A_TEXT(by)), err);
}

fallible certificates_revoke_key(struct store_tx *tx, const struct sha256 *spki_hash, struct id account, int64_t now,
				 int reason, struct str by, size_t *ret_count, struct err *err)
{
	uint64_t changed;
	TRY(revocation_check(now, reason, err));
	TRY(tx_run(tx, sql[Q_REVOKE_KEY],
		   ARGS(A_ID(*spki_hash), A_I64(now), A_I64(reason), A_TEXT(by), A_I64(now / 1000), A_ID_MAY(account)),
		   &changed, err));
	*ret_count = (size_t)changed;
	return OK;
}

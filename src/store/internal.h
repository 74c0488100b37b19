/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what the files of store share: a transaction, statements with bound values, rows. Private to store.
 */
#ifndef CAIRN_STORE_INTERNAL_H
#define CAIRN_STORE_INTERNAL_H

#include "store/db.h"
#include "store/store.h"

struct store_tx {
	struct db *db;
	const struct clock *clock; /* for ended_at */
};

/* What is behind a store: a member of the same name as the public call does its work. A backend embeds struct store as
 * its first member. */
struct store_ops {
	fallible (*tx)(struct store *s, store_fn *fn, void *ctx, struct err *err);
	fallible (*read)(struct store *s, store_fn *fn, void *ctx, struct err *err);
	fallible (*read_stale)(struct store *s, store_fn *fn, void *ctx, struct err *err);
	void (*close)(struct store *s);
	struct store_stats (*stats)(const struct store *s);
	bool (*is_lost)(const struct store *s);
	void (*reach)(const struct store *s, struct store_reach *add); /* NULL: nothing */
};
struct store {
	const struct store_ops *ops;
};
fallible store_sqlite_open(struct str path, unsigned readers, const struct clock *clk, struct store **ret,
			   struct err *err);
fallible store_pgsql_open(const struct store_where *w, const struct clock *clk, struct store **ret, struct err *err);

/* The statements of one file, listed so that a test can ask for the plan of every one. */
struct sql_set {
	const char *file;
	const char *const *sql;
	size_t count;
};
/* All of them: what stands here is declared, and looked at by plans_test.c. (The formatter never ends with this list.) */
/* clang-format off */
#define SQL_SETS(X) \
	X(account) X(account_key) X(attempt) X(audit) X(authz) X(blocked_key) X(certificate) X(chain) X(challenge) \
	X(count) X(eab) X(grant) X(issuance) X(limit) X(migrate) X(order) X(sweep)
/* clang-format on */
#define SQL_SET_DECLARE(name) extern const struct sql_set name##_sql;
SQL_SETS(SQL_SET_DECLARE)

struct migration {
	int64_t version;
	struct str script;
};
extern const struct migration store_migrations[];
extern const size_t store_migration_count;
fallible store_migrate(struct db *db, const struct clock *clk, const struct migration *list, size_t count,
		       struct err *err);

#define A_I64(v) ((struct db_arg){ .kind = ARG_I64, .i = (v) })
#define A_TEXT(v) ((struct db_arg){ .kind = ARG_TEXT, .s = (v) })
#define A_Z(v) ((struct db_arg){ .kind = ARG_TEXT, .s = str_z(v) })
#define A_BLOB(v) ((struct db_arg){ .kind = ARG_BLOB, .s = (v) })
#define A_ID(v) ((struct db_arg){ .kind = ARG_BLOB, .s = { (const char *)(v).b, sizeof(v).b } })
/* An optional id or hash: zero is stored as NULL. */
#define A_ID_MAY(v)                                                                         \
	((struct db_arg){ .kind = bytes_are_zero((v).b, sizeof(v).b) ? ARG_NULL : ARG_BLOB, \
			  .s = { (const char *)(v).b, sizeof(v).b } })
#define ARGS(...) (const struct db_arg[]){ __VA_ARGS__ }, ARRAY_LEN(((const struct db_arg[]){ __VA_ARGS__ }))

bool bytes_are_zero(const uint8_t *p, size_t n);

/* Rows of a statement. AUTO(rows_done) struct rows r = { 0 }; then rows_open, rows_next until *ret_row is false. */
struct rows {
	const struct db_ops *ops;
	struct db_stmt *stmt;
};
fallible rows_open(struct rows *r, struct store_tx *tx, const char *sql, const struct db_arg *args, size_t arg_count,
		   struct err *err);
fallible rows_next(struct rows *r, bool *ret_row, struct err *err);
/* The first row of a statement, or ERR_NOT_FOUND: "no such <what>". */
fallible rows_one(struct rows *r, struct store_tx *tx, const char *what, const char *sql, const struct db_arg *args,
		  size_t arg_count, struct err *err);
void rows_done(struct rows *r);
int64_t rows_i64(struct rows *r, unsigned column);
struct str rows_text(struct rows *r, struct arena *mem, unsigned column);
/* Exactly n bytes, or none (then zeroes); anything else is ERR_INTERNAL. */
fallible rows_bytes(struct rows *r, unsigned column, uint8_t *out, size_t n, struct err *err);
#define ROWS_ID(r, column, at, err) TRY(rows_bytes((r), (column), (at)->b, sizeof(at)->b, (err)))
fallible rows_u32(struct rows *r, unsigned column, unsigned *ret, struct err *err);
/* A state by its name; what is not in the list is ERR_INTERNAL. */
fallible rows_state(struct rows *r, unsigned column, const char *const *names, unsigned count, unsigned *ret,
		    struct err *err);

/* Runs a statement that gives no rows, whatever it changes. */
fallible tx_do(struct store_tx *tx, const char *sql, const struct db_arg *args, size_t arg_count, struct err *err);
/* The same, and says how many rows it changed. */
fallible tx_run(struct store_tx *tx, const char *sql, const struct db_arg *args, size_t arg_count,
		uint64_t *ret_changed, struct err *err);
/* An INSERT ... ON CONFLICT DO NOTHING: ERR_CONFLICT when the row exists already. (Not by the constraint's error: on
 * PostgreSQL that would end the transaction, and callers go on.) */
fallible tx_insert(struct store_tx *tx, const char *what, const char *sql, const struct db_arg *args, size_t arg_count,
		   struct err *err);
/* An UPDATE by id that changes one row: ERR_NOT_FOUND otherwise. */
fallible tx_update(struct store_tx *tx, const char *what, const char *sql, const struct db_arg *args, size_t arg_count,
		   struct err *err);
/* A conditional move: when nothing changed, status_sql ($1 is the id) tells whether the row is missing or elsewhere. */
fallible tx_move(struct store_tx *tx, const char *what, const char *status_sql, struct id id, const char *wanted,
		 const char *sql, const struct db_arg *args, size_t arg_count, struct err *err);
/* All ids that a statement gives in its first column. */
fallible tx_ids(struct store_tx *tx, struct arena *mem, const char *sql, const struct db_arg *args, size_t arg_count,
		struct id **ret, size_t *ret_count, struct err *err);
int64_t tx_limit(size_t limit); /* a LIMIT that fits the dialect */

/* chain.c: what is kept of the text of a chain. *ret_seq: the row of what is above the leaf; 0: *ret_own, which is all of it,
 * because it does not begin with this leaf, or ends with it. */
fallible chain_keep(struct store_tx *tx, struct str issuer, struct str der, struct str text, int64_t *ret_seq,
		    struct str *ret_own, struct err *err);
/* The text again; above and found_seq are the row's, empty and 0 when there is none. */
fallible chain_text(struct arena *mem, struct str der, int64_t seq, int64_t found_seq, struct str above,
		    struct str *ret, struct err *err);

/* Grows an array in an arena by doubling; gives where the next element goes. */
void *arena_push(struct arena *mem, void *array, size_t size, size_t count, size_t *cap);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * store.h: rows for ACME objects, in transactions. store_tx returns when the commit is durable (promise 1); on SQLite
 * the first of the waiting threads puts the transactions of all into one commit, each in a savepoint of its own once
 * one was refused. Calls block, so never from a loop callback. All SQL is in the dialect that SQLite >= 3.35 and PostgreSQL share ($n, ON
 * CONFLICT).
 *
 * A commit that fails fails every transaction in it with ERR_UNAVAILABLE and a text that names the cause (disk full,
 * locked by another program); nothing was changed and the store goes on. After an I/O error nobody knows what is on the
 * disk (THREATS F19): the store is lost, every call is ERR_UNAVAILABLE from then on, and the program has to exit, so
 * that the next start recovers from the file. store_is_lost says so.
 */
#ifndef CAIRN_STORE_STORE_H
#define CAIRN_STORE_STORE_H

#include "model/model.h"

struct store;
struct store_tx;

/* What an operator should know of the servers behind a store; once, when it changes. Any thread, and short. Text is
 * borrowed, NULL when there is none. */
struct store_event {
	enum log_level level;
	const char *what;        /* "database in use", "database away", "standby in use", "standby left out", ... */
	const char *server;      /* host:port */
	uint64_t timeline;       /* the server's; 0: none */
	const char *passed_over; /* other servers, with why */
	const char *why, *help;
};
struct store_events {
	void (*fn)(void *ctx, const struct store_event *e);
	void *ctx;
};

/* Where a store is. SQLite: readers. PostgreSQL: the rest; any number of programs may have one database open. */
struct store_where {
	struct str url;            /* "sqlite:/path/cairn.db", "postgresql://user@host:5432/name?sslmode=verify-full" */
	unsigned readers;          /* connections for store_read */
	unsigned connections;      /* for everything */
	const char *password_file; /* its first line; NULL: the URL's, PGPASSFILE's, or none */
	bool pooler;               /* pgbouncer in transaction mode is in between */
	struct str standby_url;    /* a server that follows the other one, for store_read_stale; empty: none */
	int64_t standby_lag_s;     /* how far it may be behind; 0: half a minute */
	const struct store_events *events; /* borrowed for as long as the store is open; NULL: nobody is told */
};
/* What can be told without opening it: ERR_CONFIG, which names the setting. */
fallible store_where_check(const struct store_where *where, struct err *err);
/* The files that are read each time when a connection to a server is made, for whoever opens them for a sandbox: of
 * `url`, which may be SQLite's and then has none. In mem. */
#define STORE_URL_FILES_MAX 4
fallible store_url_files(struct str url, struct arena *mem, const char *ret[STORE_URL_FILES_MAX], size_t *ret_count,
			 struct err *err);
fallible store_open_at(const struct store_where *where, const struct clock *clk, struct store **ret, struct err *err);
/* The same with sensible numbers. SQLite: "sqlite:/path/cairn.db". One process a database: a second opener is ERR_CONFIG and told the first one's pid. The
 * file's mode is 0600. Migrates under a lock; refuses a newer schema (ERR_CONFIG says which version wants which
 * program). readers: connections for store_read. */
fallible store_open(struct str url, unsigned readers, const struct clock *clk, struct store **ret, struct err *err);
/* What a sandbox has to leave open so that a connection to a server of databases can be made again: its TCP ports, and
 * folders that the URL names (files: store_url_files). None for SQLite. Paths are borrowed from the store. */
#define STORE_PORTS_MAX 16
#define STORE_FILES_MAX 16
struct store_reach {
	bool server;
	uint16_t ports[STORE_PORTS_MAX];
	size_t port_count;
	const char *files[STORE_FILES_MAX];
	size_t file_count;
};
void store_reach(const struct store *s, struct store_reach *ret);
void store_close(struct store *s); /* finishes what waits, checkpoints; accepts NULL */

/* fn runs with the transaction open: short, no waiting, no I/O of its own, and safe to run again from the start (a
 * retry). When it fails, its changes alone are rolled back and its error is returned. */
typedef fallible store_fn(struct store_tx *tx, void *ctx, struct err *err);
fallible store_tx(struct store *s, store_fn *fn, void *ctx, struct err *err);
/* Reads only; sees every commit that was acknowledged before the call. */
fallible store_read(struct store *s, store_fn *fn, void *ctx, struct err *err);
/* The same where it does not matter that the last seconds may be missing, as in lists: on the standby, when there is one
 * that is behind by where.standby_lag_s at most. */
fallible store_read_stale(struct store *s, store_fn *fn, void *ctx, struct err *err);
/* --- backup.c: of SQLite; other databases have their own tools ---
 * A copy as it is at one moment, while somebody has the store open or not. Durable when it returns; never replaces a file
 * (ERR_CONFLICT). Keys, journal and configuration are not in it. */
fallible store_backup(struct str url, const char *to, struct err *err);
/* Puts a backup in the database's place; nobody may have the store open (ERR_CONFIG). A file that is damaged, not ours or
 * from a newer program changes nothing (ERR_CONFIG). *ret_kept: where the old one is kept, in mem; NULL: there was none.
 * Killed anywhere: the old one or the new one, whole. */
fallible store_restore(struct str url, const char *from, const struct clock *clk, struct arena *mem,
		       const char **ret_kept, struct err *err);
struct store_stats {
	uint64_t transactions, commits, busy, failures;
	uint64_t waiting; /* now, for the commit that is under way to end */
};
struct store_stats store_stats(const struct store *s);
bool store_is_lost(const struct store *s); /* after an I/O error: exit and start again */

/* Everywhere below: text and blobs given are borrowed, text got lives in `mem`; a row that is not there is
 * ERR_NOT_FOUND; a conditional move that finds another state, and a row that exists already, is ERR_CONFLICT.
 * Times are unix milliseconds unless named _s. "" and absent are the same for optional text. */

struct account_row {
	struct id id;
	struct str realm;
	struct str thumbprint; /* UNIQUE (realm, thumbprint) */
	struct str jwk;        /* canonical */
	enum account_status status;
	struct str contact;    /* JSON array text */
	int64_t tos_agreed_at; /* 0: not */
	struct str tos_url;    /* the terms that were agreed to; empty: not known (agreed before they were kept) */
	struct str eab_kid;    /* empty: none */
	int64_t created_at;
	struct str created_ip;
};
fallible account_insert(struct store_tx *tx, const struct account_row *a, struct err *err);
fallible account_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct account_row *ret, struct err *err);
fallible account_by_thumbprint(struct store_tx *tx, struct arena *mem, struct str realm, struct str thumbprint,
			       struct account_row *ret, struct err *err);
fallible account_set_contact(struct store_tx *tx, struct id id, struct str contact, struct err *err);
fallible account_set_tos(struct store_tx *tx, struct id id, struct str url, int64_t at, struct err *err);
/* Key change (RFC 8555 7.3.5): ERR_CONFLICT when the account's key is not `was` any more or is not a valid account's.
 * The caller has looked in the same transaction that no account of the realm has the new key. */
fallible account_set_key(struct store_tx *tx, struct id id, struct str was, struct str thumbprint, struct str jwk,
			 struct err *err);
struct key_change_row { /* one of an account's, carried out */
	struct id account;
	struct str was, became; /* thumbprints */
	struct str jws;         /* the request: "protected.payload.signature", base64url as the client sent it */
	int64_t created_at;
};
fallible key_change_insert(struct store_tx *tx, const struct key_change_row *k, struct err *err);
/* The latest ones, latest first. */
fallible key_changes_of_account(struct store_tx *tx, struct arena *mem, struct id account, size_t limit,
				struct key_change_row **ret, size_t *ret_count, struct err *err);
/* Valid accounts bound to this external account key, oldest first, ids after `after`. */
fallible accounts_of_eab(struct store_tx *tx, struct arena *mem, struct str kid, struct id after, size_t limit,
			 struct id **ret, size_t *ret_count, struct err *err);
fallible account_move(struct store_tx *tx, struct id id, enum account_status from, enum account_status to,
		      struct err *err);

struct order_row {
	struct id id, account;
	struct str realm, profile;
	enum order_status status;
	struct str identifiers;            /* JSON array text, as ordered: the order's own words */
	int64_t not_before_s, not_after_s; /* asked for; 0: not */
	int64_t created_at, expires_at;
	struct str error;       /* problem document, or empty */
	struct id certificate;  /* zero until valid */
	struct sha256 csr_hash; /* zero until finalize */
	struct str replaces;    /* the certificate that this order's will replace, as RFC 9773 4.1 names it, or empty */
};
fallible order_insert(struct store_tx *tx, const struct order_row *o, const struct id *authzs, size_t authz_count,
		      struct err *err);
fallible order_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct order_row *ret, struct err *err);
/* In the order that order_insert was given; at most IDENTS_MAX. */
fallible order_authzs(struct store_tx *tx, struct arena *mem, struct id order, struct id **ret, size_t *ret_count,
		      struct err *err);
fallible order_move(struct store_tx *tx, struct id id, enum order_status from, enum order_status to, struct err *err);
fallible order_fail(struct store_tx *tx, struct id id, enum order_status from, struct str problem, struct err *err);
/* ready -> processing, with the CSR's hash, in one conditional update: the claim (RULES I4). ERR_ALREADY_REPLACED:
 * another order that replaces the same certificate is processing or valid (RFC 9773 5). */
fallible order_begin(struct store_tx *tx, struct id id, const struct sha256 *csr_hash, struct err *err);
/* processing -> valid with its certificate. */
fallible order_finish(struct store_tx *tx, struct id id, struct id certificate, struct err *err);
/* Newest first, ids older than `before` (zero: from the newest), without those that are invalid (RFC 8555 7.1.2.1). */
fallible order_list(struct store_tx *tx, struct arena *mem, struct id account, struct id before, size_t limit,
		    struct id **ret, size_t *ret_count, struct err *err);
/* Orders of an authorization that are in this state. */
fallible orders_of_authz(struct store_tx *tx, struct arena *mem, struct id authz, enum order_status status,
			 struct id **ret, size_t *ret_count, struct err *err);
/* How many of an order's authorizations are not valid (at `now`) or were proved under another key than `thumbprint`. */
fallible order_open_authzs(struct store_tx *tx, struct id order, struct str thumbprint, int64_t now, size_t *ret,
			   struct err *err);
/* What became of orders that said they replace this certificate: *ret_taken: one is processing or valid; *ret_open: one
 * is pending or ready and has not expired. */
fallible order_replacing(struct store_tx *tx, struct str serial, int64_t now, bool *ret_taken, bool *ret_open,
			 struct err *err);

struct authz_row {
	struct id id, account;
	struct str realm;
	struct str thumbprint; /* of the account key that it was made under: reuse demands the same (DESIGN 5) */
	struct ident ident;    /* without "*." */
	bool wildcard;
	bool subdomains; /* made for an ancestor: holds for all names below it too (RFC 9444) */
	enum authz_status status;
	int64_t created_at, expires_at;
	struct id attempt; /* the attempt that made it valid: its verdicts are the evidence; zero before */
	struct id grant;   /* or the grant that did; zero: none */
};
fallible authz_insert(struct store_tx *tx, const struct authz_row *a, struct err *err);
fallible authz_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct authz_row *ret, struct err *err);
struct authz_want {
	struct ident ident; /* without "*." */
	bool wildcard;
	bool subdomains; /* only what holds below the name too; otherwise a pending one that does is not taken either, as
			  * it offers less ways to prove */
	struct id grant; /* only what stands on this grant; zero: only what was proved, or will be */
};
/* A valid one, or else a pending one, the newest each, for this account, key and want that lives past `until` and has
 * served fewer than AUTHZ_ORDERS_MAX orders: what moves all of its orders is one transaction, and nobody may make that
 * as long as he likes. */
#define AUTHZ_ORDERS_MAX 500
fallible authz_find_reusable(struct store_tx *tx, struct arena *mem, struct id account, struct str thumbprint,
			     const struct authz_want *want, int64_t until, struct authz_row *ret, struct err *err);
/* Whether the account holds a valid one (at `now`), under whichever key it was proved: for revocation (RFC 8555 7.6). */
fallible authz_is_held(struct store_tx *tx, struct id account, const struct authz_want *want, int64_t now, bool *ret,
		       struct err *err);
/* A pending one that nobody has begun to prove goes over to the account's new key: to be called before challenge_begin.
 * ERR_CONFLICT: it is not pending, or one of its challenges is being validated. */
fallible authz_set_thumbprint(struct store_tx *tx, struct id id, struct str thumbprint, struct err *err);
fallible authz_move(struct store_tx *tx, struct id id, enum authz_status from, enum authz_status to, struct err *err);
/* pending -> valid with a new expiry and the attempt that proved it. */
fallible authz_prove(struct store_tx *tx, struct id id, struct id attempt, int64_t expires_at, struct err *err);

struct challenge_row {
	struct id id, authz;
	enum challenge_type type;
	enum challenge_status status;
	struct str token;
	int64_t validated_at; /* 0: not */
	struct str error;     /* problem document, or empty */
	struct id attempt;    /* the current one; zero before the first */
	int64_t retry_at;     /* while it is processing and has an error: when it is tried again; 0: not known */
};
fallible challenge_insert(struct store_tx *tx, const struct challenge_row *c, struct err *err);
fallible challenge_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct challenge_row *ret,
			 struct err *err);
fallible challenges_of_authz(struct store_tx *tx, struct arena *mem, struct id authz, struct challenge_row **ret,
			     size_t *ret_count, struct err *err);
/* pending -> processing with this attempt. */
fallible challenge_begin(struct store_tx *tx, struct id id, struct id attempt, struct err *err);
/* What went wrong so far, while it is processing with this attempt; otherwise *ret_kept is false and nothing changed. */
fallible challenge_tell(struct store_tx *tx, struct id id, struct id attempt, struct str problem, int64_t retry_at,
			bool *ret_kept, struct err *err);
/* processing -> valid (error empty) or invalid. */
fallible challenge_end(struct store_tx *tx, struct id id, enum challenge_status to, int64_t at, struct str problem,
		       struct err *err);

enum attempt_status { ATTEMPT_OPEN, ATTEMPT_DECIDED, ATTEMPT_ABANDONED };
enum attempt_kind {
	ATTEMPT_CONTROL, /* a challenge was answered */
	ATTEMPT_CAA      /* an order that is about to be issued has a name whose CAA was looked up too long ago */
};
struct attempt_row {
	enum attempt_kind kind;
	struct str name; /* of ATTEMPT_CAA: as ordered, with "*."; order is the one that waits for it */
	struct id id, challenge, authz, account, order; /* order: the one it was started for, for logs */
	struct str realm, zone;
	enum attempt_status status;
	int64_t created_at, deadline_at, send_at; /* send_at: when the sweeper sends the job again */
	unsigned sends;
};
fallible attempt_insert(struct store_tx *tx, const struct attempt_row *a, struct err *err);
fallible attempt_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct attempt_row *ret, struct err *err);
fallible attempt_move(struct store_tx *tx, struct id id, enum attempt_status from, enum attempt_status to,
		      struct err *err);
/* ATTEMPT_CAA of an order, oldest first. */
fallible attempts_of_order(struct store_tx *tx, struct arena *mem, struct id order, struct attempt_row **ret,
			   size_t *ret_count, struct err *err);
/* Open attempts whose send_at or deadline_at has passed, oldest first. */
fallible attempts_due(struct store_tx *tx, struct arena *mem, int64_t now, size_t limit, struct attempt_row **ret,
		      size_t *ret_count, struct err *err);
fallible attempt_sent(struct store_tx *tx, struct id id, int64_t next_send_at, struct err *err);
/* The same with a new deadline: for an attempt whose time ran out while nobody could have heard its verdict. */
fallible attempt_extend(struct store_tx *tx, struct id id, int64_t next_send_at, int64_t deadline_at, struct err *err);

enum verdict_caa {
	VERDICT_CAA_NONE, /* it says nothing of CAA */
	VERDICT_CAA_ALLOWED,
	VERDICT_CAA_DENIED,
	VERDICT_CAA_FAILED /* a lookup that brought nothing; the perspective's next word takes its place */
};
struct verdict_row {
	struct id attempt;
	struct str perspective; /* PRIMARY KEY (attempt, perspective): a repeat does nothing */
	bool valid;
	struct str jws;
	int64_t received_at;
	enum verdict_caa caa;
	int64_t finished_at; /* when the perspective had looked */
};
/* *ret_new false: this perspective had spoken already; nothing changed. */
fallible verdict_insert(struct store_tx *tx, const struct verdict_row *v, bool *ret_new, struct err *err);
fallible verdicts_of_attempt(struct store_tx *tx, struct arena *mem, struct id attempt, struct verdict_row **ret,
			     size_t *ret_count, struct err *err);

/* The intent: made in finalize's transaction, before anything is signed (promise 4). */
enum issuance_status { ISSUANCE_INTENDED, ISSUANCE_ISSUED, ISSUANCE_REFUSED, ISSUANCE_ABANDONED };
struct issuance_row {
	struct id id, order, account; /* order is UNIQUE */
	struct str realm, profile, issuer;
	struct str serial; /* hex; UNIQUE */
	int64_t not_before_s, not_after_s;
	struct str finalize_protected, finalize_payload, finalize_signature, finalize_url;
	struct str account_jwk; /* the key that signed finalize; empty in rows from before it was kept */
	enum issuance_status status;
	int64_t created_at, send_at;
	unsigned sends;
	bool held; /* nothing of it is at the signer: CAA is looked up again first */
};
fallible issuance_insert(struct store_tx *tx, const struct issuance_row *i, struct err *err);
fallible issuance_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct issuance_row *ret,
			struct err *err);
fallible issuance_by_order(struct store_tx *tx, struct arena *mem, struct id order, struct issuance_row *ret,
			   struct err *err);
fallible issuance_by_serial(struct store_tx *tx, struct arena *mem, struct str serial, struct issuance_row *ret,
			    struct err *err);
fallible issuance_move(struct store_tx *tx, struct id id, enum issuance_status from, enum issuance_status to,
		       struct err *err);
/* Held back, or let go: then it is due at send_at. */
fallible issuance_hold(struct store_tx *tx, struct id id, bool held, int64_t send_at, struct err *err);
/* Intended ones that are not held back. */
fallible issuances_due(struct store_tx *tx, struct arena *mem, int64_t now, size_t limit, struct issuance_row **ret,
		       size_t *ret_count, struct err *err);
fallible issuance_sent(struct store_tx *tx, struct id id, int64_t next_send_at, struct err *err);

struct certificate_row {
	struct id id, order, account;
	struct str realm, profile, issuer, serial;
	struct str der, chain_pem;
	struct sha256 spki_hash;
	int64_t not_before_s, not_after_s, created_at;
	int64_t revoked_at; /* 0: not */
	int revocation_reason;
};
fallible certificate_insert(struct store_tx *tx, const struct certificate_row *c, const struct str *names,
			    size_t name_count, struct err *err);
fallible certificate_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct certificate_row *ret,
			   struct err *err);
fallible certificate_by_serial(struct store_tx *tx, struct arena *mem, struct str serial, struct certificate_row *ret,
			       struct err *err);

/* Ids of certificates after `after` and before `before`, which carry the time at which they were asked for. */
fallible certificate_ids(struct store_tx *tx, struct arena *mem, struct id after, struct id before, size_t limit,
			 struct id **ret, size_t *ret_count, struct err *err);

/* Revocation (RFC 8555 7.6): once; ERR_CONFLICT when it is revoked already. by: "account:<id>", "key", "operator",
 * or "blocked-key": it came when its key was on the block list already. */
fallible certificate_revoke(struct store_tx *tx, struct id id, int64_t at, int reason, struct str by, struct err *err);
/* A revoked one whose key turns out to be compromised: the reason becomes keyCompromise (1). ERR_CONFLICT: it is not
 * revoked, or has that reason. */
fallible certificate_set_compromised(struct store_tx *tx, struct id id, struct str by, struct err *err);
/* All of the account's (zero: everybody's) that have this key and have not ended and are not revoked. */
fallible certificates_revoke_key(struct store_tx *tx, const struct sha256 *spki_hash, struct id account, int64_t now,
				 int reason, struct str by, size_t *ret_count, struct err *err);

/* Keys that are compromised: no account and no certificate gets them again. Adding one twice is OK. */
fallible blocked_key_insert(struct store_tx *tx, const struct sha256 *spki_hash, struct str reason, int64_t at,
			    struct str by, struct err *err);
fallible blocked_key_has(struct store_tx *tx, const struct sha256 *spki_hash, bool *ret, struct err *err);

/* External account keys (RFC 8555 7.3.4). secret is sealed with the kid as its aad. */
#define EAB_KID_MAX 64
struct eab_row {
	struct str kid, realm, secret, label;
	struct str names;                            /* JSON array of patterns and address ranges; empty: the realm's */
	struct str profiles;                         /* JSON array; empty: the realm's */
	int64_t uses, uses_max;                      /* 0: no limit */
	int64_t created_at, expires_at, disabled_at; /* 0: never, not */
	int64_t lifetime_s; /* of certificates that its accounts order; 0: no limit of its own */
};
fallible eab_insert(struct store_tx *tx, const struct eab_row *e, struct err *err);
fallible eab_by_kid(struct store_tx *tx, struct arena *mem, struct str kid, struct eab_row *ret, struct err *err);
/* By kid, those after `after`; realm empty: of all. */
fallible eab_list(struct store_tx *tx, struct arena *mem, struct str realm, struct str after, size_t limit,
		  struct eab_row **ret, size_t *ret_count, struct err *err);
/* One more use; ERR_CONFLICT when it is disabled, expired or used up at `now`. */
fallible eab_use(struct store_tx *tx, struct str kid, int64_t now, struct err *err);
fallible eab_disable(struct store_tx *tx, struct str kid, int64_t at, struct err *err); /* OK when it is already */

/* Grants (DESIGN 5): an operator's word for certain account keys. What it says is in jws, signed; nothing here checks it. */
struct grant_row {
	struct id id;                   /* the grant's own */
	struct str realm, signer, jws;  /* signer: the operator's name */
	int64_t from_s, until_s;        /* the last second included */
	int64_t created_at, revoked_at; /* revoked_at 0: not */
	struct str created_by;
};
fallible grant_insert(struct store_tx *tx, const struct grant_row *g, const struct str *thumbprints, size_t count,
		      struct err *err);
fallible grant_by_id(struct store_tx *tx, struct arena *mem, struct id id, struct grant_row *ret, struct err *err);
/* In the order in which they were made, those after `after`; realm empty: of all. */
fallible grant_list(struct store_tx *tx, struct arena *mem, struct str realm, struct id after, size_t limit,
		    struct grant_row **ret, size_t *ret_count, struct err *err);
/* Those of the realm for this account key that are in force, oldest first. */
fallible grants_of_key(struct store_tx *tx, struct arena *mem, struct str realm, struct str thumbprint, int64_t now_s,
		       size_t limit, struct grant_row **ret, size_t *ret_count, struct err *err);
fallible grant_revoke(struct store_tx *tx, struct id id, int64_t at, struct err *err); /* OK when it is already */
/* Valid authorizations that stand on it. */
fallible authzs_of_grant(struct store_tx *tx, struct arena *mem, struct id grant, size_t limit, struct id **ret,
			 size_t *ret_count, struct err *err);
/* Those that an order's authorizations stand on, each once. */
fallible grants_of_order(struct store_tx *tx, struct arena *mem, struct id order, struct id **ret, size_t *ret_count,
			 struct err *err);
/* What goes to the signer with an intent: given once, with the intent. */
fallible issuance_add_grants(struct store_tx *tx, struct id issuance, const struct id *grants, size_t count,
			     struct err *err);
fallible grants_of_issuance(struct store_tx *tx, struct arena *mem, struct id issuance, struct grant_row **ret,
			    size_t *ret_count, struct err *err);

/* --- the sweeper's ------------------------------------------------------------------------------------------------*/
/* Pending and ready orders past their end -> invalid; pending authorizations and proofs past theirs -> invalid,
 * expired. At most `limit` of each; *ret_changed says how many. */
fallible sweep_expired(struct store_tx *tx, int64_t now, size_t limit, size_t *ret_changed, struct err *err);
/* Removes what retention allows: orders, authorizations, challenges, attempts that ended before `ended_before` and that
 * no certificate needs as evidence; certificates with their evidence whose not_after is before `expired_before_s`; audit
 * records from before `audit_before`. At most `limit` orders, authorizations and so on in a call, fewer when many rows go
 * with them, and a call is one short transaction: *ret_more says that there is more to look at. */
struct sweep_mark {
	int64_t ms;
	struct id id;
};
struct retention {
	int64_t ended_before, expired_before_s, audit_before;
	size_t limit;
	/* What stays is looked at once a round, however many steps that has: a call sets orders_from to the failed order
	 * that it looked at last, where the next one goes on, and orders_done when there are no more (then orders_from is
	 * zero again, which is the beginning). */
	struct sweep_mark orders_from;
	bool orders_done;
};
fallible sweep_retention(struct store_tx *tx, struct retention *what, size_t *ret_removed, bool *ret_more,
			 struct err *err);
/* Gives some of what the database does not use any more back to the disk, when that is a good part of it. *ret_more: there is
 * more to give back. A database that does so by itself has nothing to do. */
fallible sweep_compact(struct store_tx *tx, bool *ret_more, struct err *err);

/* GCRA (one number a bucket): cost 1, `count` per `period_ms` with a burst of `burst`. *ret_wait_ms > 0: denied, retry
 * after that long, nothing charged. */
fallible limit_take(struct store_tx *tx, struct str bucket, int64_t now, unsigned count, int64_t period_ms,
		    unsigned burst, int64_t *ret_wait_ms, struct err *err);

struct audit_row {
	int64_t at;
	struct str actor, event, object, detail; /* detail: JSON object text */
};
fallible audit_insert(struct store_tx *tx, const struct audit_row *a, struct err *err);

/* Counts by status for `cairn status` and for test oracles. */
struct store_counts {
	uint64_t accounts, orders[ORDER_STATUS_COUNT], issuances[4], certificates;
};
fallible store_count(struct store_tx *tx, struct store_counts *ret, struct err *err);

#endif

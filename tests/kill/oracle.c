/* SPDX-License-Identifier: Apache-2.0
 *
 * oracle.c: after a run with faults, says whether cairn kept its promises (DESIGN 2): reads the stopped store, the
 * signer's journal and what clients were told, and looks for what must not be. It shares no query with the programs: a
 * promise is a row of `rules`, whose SQL finds what breaks it.
 *
 *   oracle STORE JOURNAL-FOLDER ACKNOWLEDGED QUORUM OWN-NAME...
 *
 * ACKNOWLEDGED has one JSON object a line, as cairn-load --journal writes it. OWN-NAMEs are api.tls-names: the signer
 * makes that one certificate for itself, and no store knows of it. Exit status: 0 all holds, 1 broken, 2 cannot look.
 */
#include "pki/pki.h"
#include "sign/sign.h"

#include <openssl/x509v3.h>
#include <sqlite3.h>
#include <stdio.h>

#define ACKS_MAX (256u * 1024 * 1024)
#define LINE_MAX_LEN 4096
#define SHOWN_MAX 20 /* of each rule; the rest is counted */

struct oracle {
	sqlite3 *db;
	struct crypto *crypto;
	const char *const *own_names;
	size_t own_count;
	sqlite3_stmt *add_entry, *add_ack;
	int64_t quorum, now_ms;
	uint64_t broken;
};

/* --- the promises ----------------------------------------------------------------------------------------------------
 * Each SQL gives one text for each thing that is wrong. `entries` is the journal, `acks` what clients were told. An
 * entry that nobody asked for (own_tls.c) has the hash of its TBS for the hash of its job, which no job has. */
struct rule {
	const char *name, *sql;
};

/* The text that is served: the leaf and what is kept once for all that have it above them, or all in one. */
#define CHAIN(c)                                                                                               \
	"CASE " c ".chain_seq WHEN 0 THEN " c ".chain_pem ELSE pem(" c ".der) || (SELECT h.pem FROM chains h " \
	"WHERE h.issuer = " c ".issuer AND h.seq = " c ".chain_seq) END"

static const struct rule rules[] = {
	{ "damaged-store", "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'" },
	{ "dangling-reference",
	  "SELECT \"table\" || ' row refers to nothing in ' || \"parent\" FROM pragma_foreign_key_check" },

	/* 1: nothing acknowledged is lost */
	{ "acknowledgement-of-what",
	  "SELECT kind FROM acks WHERE kind NOT IN ('account', 'order', 'certificate') OR kind = 'certificate' AND "
	  "length(chain_hash) IS NOT 32" },
	{ "lost-account", "SELECT uuid(id) FROM acks WHERE kind = 'account' AND id NOT IN (SELECT id FROM accounts)" },
	{ "lost-order", "SELECT uuid(id) FROM acks WHERE kind = 'order' AND id NOT IN (SELECT id FROM orders)" },
	{ "lost-certificate",
	  "SELECT uuid(id) FROM acks WHERE kind = 'certificate' AND id NOT IN (SELECT id FROM certificates)" },
	{ "other-chain-than-served", "SELECT uuid(a.id) FROM acks a JOIN certificates c ON c.id = a.id WHERE a.kind = "
				     "'certificate' AND a.chain_hash <> sha256(" CHAIN("c") ")" },
	{ "order-of-another-account", "SELECT uuid(a.id) FROM acks a JOIN orders o ON o.id = a.id WHERE a.kind = "
				      "'order' AND a.parent <> o.account" },
	{ "certificate-of-another-order",
	  "SELECT uuid(a.id) FROM acks a JOIN certificates c ON c.id = a.id WHERE a.kind = "
	  "'certificate' AND a.parent <> c.order_id" },

	/* 2: at most one certificate for one finalize */
	{ "two-certificates-in-store",
	  "SELECT uuid(order_id) FROM certificates GROUP BY order_id HAVING count(*) > 1" },
	{ "two-certificates-in-journal",
	  "SELECT uuid(order_id) FROM entries WHERE kind = 'done' GROUP BY order_id HAVING count(DISTINCT der) > 1" },
	{ "two-serials-for-order", "SELECT uuid(order_id) FROM entries WHERE kind <> 'refused' GROUP BY order_id "
				   "HAVING count(DISTINCT serial) > 1" },
	{ "two-contents-for-serial",
	  "SELECT serial FROM entries WHERE kind <> 'refused' GROUP BY serial HAVING count(DISTINCT tbs_hash) > 1" },
	{ "two-orders-for-serial",
	  "SELECT serial FROM entries WHERE kind <> 'refused' GROUP BY serial HAVING count(DISTINCT order_id) > 1" },
	{ "signed-without-begin",
	  "SELECT d.serial FROM entries d WHERE d.kind = 'done' AND NOT EXISTS (SELECT 1 FROM "
	  "entries b WHERE b.kind = 'begin' AND b.order_id = d.order_id AND b.tbs_hash = d.tbs_hash)" },
	{ "stored-but-not-in-journal", "SELECT c.serial FROM certificates c WHERE NOT EXISTS (SELECT 1 FROM entries d "
				       "WHERE d.kind = 'done' AND d.order_id "
				       "= c.order_id AND d.der = c.der)" },
	{ "signed-but-not-stored", "SELECT d.serial FROM entries d WHERE d.kind = 'done' AND d.job_hash <> d.tbs_hash "
				   "AND NOT EXISTS (SELECT 1 FROM "
				   "certificates c WHERE c.order_id = d.order_id AND c.der = d.der)" },

	/* 3: no order is stuck */
	{ "order-processing", "SELECT uuid(id) FROM orders WHERE status = 'processing'" },
	{ "order-past-its-end",
	  "SELECT uuid(id) FROM orders WHERE status IN ('pending', 'ready') AND expires_at <= $now" },
	{ "order-invalid-without-reason", "SELECT uuid(id) FROM orders WHERE status = 'invalid' AND error = ''" },
	{ "order-pending-though-proved", /* under one key: what was proved before a key change counts as open */
	  "SELECT uuid(o.id) FROM orders o WHERE o.status = 'pending' AND (SELECT min(z.status = 'valid') = 1 AND "
	  "count(DISTINCT z.thumbprint) = 1 FROM order_authz j JOIN authorizations z ON z.id = j.authz WHERE "
	  "j.order_id = o.id)" },
	{ "order-open-though-disproved",
	  "SELECT uuid(o.id) FROM orders o JOIN order_authz j ON j.order_id = o.id JOIN authorizations z ON z.id = "
	  "j.authz "
	  "WHERE o.status IN ('pending', 'ready') AND z.status NOT IN ('pending', 'valid')" },
	{ "attempt-open", "SELECT uuid(id) FROM attempts WHERE status = 'open'" },
	{ "challenge-processing", "SELECT uuid(id) FROM challenges WHERE status = 'processing'" },
	{ "challenge-invalid-without-reason",
	  "SELECT uuid(id) FROM challenges WHERE status = 'invalid' AND error = ''" },
	{ "issuance-open", "SELECT uuid(id) FROM issuances WHERE status = 'intended'" },
	{ "order-valid-without-certificate", "SELECT uuid(o.id) FROM orders o WHERE o.status = 'valid' AND NOT EXISTS "
					     "(SELECT 1 FROM certificates c WHERE c.id = "
					     "o.certificate AND c.order_id = o.id)" },
	{ "certificate-without-valid-order",
	  "SELECT uuid(c.id) FROM certificates c WHERE NOT EXISTS (SELECT 1 FROM orders o WHERE o.id = c.order_id AND "
	  "o.certificate = c.id AND o.status = 'valid')" },

	/* 4: every serial that may have been signed is known */
	{ "unknown-serial",
	  "SELECT DISTINCT e.serial FROM entries e WHERE e.kind <> 'refused' AND e.job_hash <> e.tbs_hash AND NOT "
	  "EXISTS "
	  "(SELECT 1 FROM issuances i WHERE i.serial = e.serial AND i.id = e.issuance AND i.order_id = e.order_id)" },
	{ "serial-twice",
	  "SELECT serial FROM issuances GROUP BY lower(serial) HAVING count(*) > 1 UNION ALL SELECT serial "
	  "FROM certificates GROUP BY lower(serial) HAVING count(*) > 1" },
	{ "certificate-without-its-intent",
	  "SELECT c.serial FROM certificates c WHERE NOT EXISTS (SELECT 1 FROM issuances i WHERE i.order_id = "
	  "c.order_id AND "
	  "i.serial = c.serial AND i.status = 'issued' AND i.not_before_s = c.not_before_s AND i.not_after_s = "
	  "c.not_after_s)" },
	{ "intent-issued-without-certificate", "SELECT serial FROM issuances WHERE status = 'issued' AND serial NOT IN "
					       "(SELECT serial FROM certificates)" },
	{ "row-and-certificate-differ", "SELECT serial FROM certificates WHERE cert_serial(der) IS NOT serial OR "
					"instr(" CHAIN("certificates") ", pem(der)) IS NOT 1" },
	{ "own-serial-in-store",
	  "SELECT e.serial FROM entries e JOIN issuances i ON i.serial = e.serial WHERE e.job_hash = "
	  "e.tbs_hash" },
	{ "unasked-certificate-for-others",
	  "SELECT serial FROM entries WHERE kind = 'done' AND job_hash = tbs_hash AND NOT is_own(der)" },

	/* 5: nothing is issued without evidence */
	{ "certificate-without-evidence", "SELECT c.serial || ' for ' || z.ident_value FROM certificates c JOIN "
					  "order_authz j ON j.order_id = c.order_id JOIN "
					  "authorizations z ON z.id = j.authz WHERE (SELECT count(*) FROM verdicts v "
					  "WHERE v.attempt = z.attempt AND v.valid "
					  "= 1) < $quorum" },
	{ "certificate-without-authorization",
	  "SELECT serial FROM certificates WHERE order_id NOT IN (SELECT order_id FROM order_authz)" },
	{ "finalized-under-another-key",
	  "SELECT i.serial FROM issuances i JOIN order_authz j ON j.order_id = i.order_id JOIN authorizations z ON "
	  "z.id = j.authz WHERE i.account_jwk <> '' AND thumbprint(i.account_jwk) IS NOT z.thumbprint" },

	/* key changes: the signer wants an unbroken row up to the key that the account has */
	{ "key-changes-with-a-gap", "SELECT uuid(a.account) FROM account_keys a JOIN account_keys b ON b.account = "
				    "a.account AND b.seq = a.seq + 1 WHERE b.was <> a.became" },
	{ "key-change-not-carried-out",
	  "SELECT uuid(k.account) FROM account_keys k JOIN accounts a ON a.id = k.account WHERE k.became <> "
	  "a.thumbprint AND NOT EXISTS (SELECT 1 FROM account_keys l WHERE l.account = k.account AND l.seq > k.seq)" },

	/* external account keys: one use for each account, and no more than there are */
	{ "external-key-overused", "SELECT kid FROM eab_keys WHERE uses_max > 0 AND uses > uses_max" },
	{ "external-key-miscounted",
	  "SELECT kid FROM eab_keys e WHERE uses <> (SELECT count(*) FROM accounts a WHERE a.eab_kid = e.kid)" },
	{ "external-key-unknown", "SELECT uuid(id) FROM accounts WHERE eab_kid <> '' AND eab_kid NOT IN (SELECT kid "
				  "FROM eab_keys)" },
	{ "external-key-of-another-realm",
	  "SELECT uuid(a.id) FROM accounts a JOIN eab_keys e ON e.kid = a.eab_kid WHERE e.realm <> a.realm" },

	/* revocation: whole or not at all, and a compromised key lives nowhere */
	{ "revoked-for-no-reason", "SELECT serial FROM certificates WHERE revoked_at > 0 AND (revocation_reason NOT "
				   "IN (0, 1, 3, 4, 5, 9) OR revoked_by = '')" },
	{ "revoked-at-no-time", "SELECT serial FROM certificates WHERE revoked_at < 0 OR revoked_at > $now OR "
				"revoked_at > 0 AND revoked_at < created_at" },
	{ "half-revoked",
	  "SELECT serial FROM certificates WHERE revoked_at = 0 AND (revocation_reason <> 0 OR revoked_by <> '')" },
	{ "compromised-key-not-blocked", "SELECT serial FROM certificates WHERE revoked_at > 0 AND revocation_reason = "
					 "1 AND spki_hash NOT IN (SELECT spki_hash FROM blocked_keys)" },
	{ "blocked-key-certified", "SELECT serial FROM certificates WHERE revoked_at = 0 AND not_after_s * 1000 > $now "
				   "AND spki_hash IN (SELECT spki_hash FROM blocked_keys)" },

	/* replacement (RFC 9773 5): by one order, of the same account */
	{ "replaced-twice", "SELECT replaces FROM orders WHERE replaces <> '' AND status IN ('processing', 'valid') "
			    "GROUP BY replaces HAVING count(*) > 1" },
	{ "replaced-by-another-account",
	  "SELECT uuid(o.id) FROM orders o JOIN certificates c ON c.serial = o.replaces WHERE c.account <> o.account" },
};

/* What a run must have, or the rules above prove nothing; and what the reader wants to know. */
static const struct rule counts[] = {
	{ "accounts", "SELECT count(*) FROM accounts" },
	{ "orders", "SELECT count(*) FROM orders" },
	{ "orders valid", "SELECT count(*) FROM orders WHERE status = 'valid'" },
	{ "orders invalid", "SELECT count(*) FROM orders WHERE status = 'invalid'" },
	{ "orders pending or ready", "SELECT count(*) FROM orders WHERE status IN ('pending', 'ready')" },
	{ "certificates", "SELECT count(*) FROM certificates" },
	{ "accounts acknowledged", "SELECT count(DISTINCT id) FROM acks WHERE kind = 'account'" },
	{ "orders acknowledged", "SELECT count(DISTINCT id) FROM acks WHERE kind = 'order'" },
	{ "certificates acknowledged", "SELECT count(DISTINCT id) FROM acks WHERE kind = 'certificate'" },
	{ "serials in the journal", "SELECT count(DISTINCT serial) FROM entries WHERE kind <> 'refused'" },
	{ "begun, never done",
	  "SELECT count(*) FROM (SELECT serial FROM entries WHERE kind <> 'refused' GROUP BY serial "
	  "HAVING max(kind = 'done') = 0)" },
	{ "certificates revoked", "SELECT count(*) FROM certificates WHERE revoked_at > 0" },
	{ "keys blocked", "SELECT count(*) FROM blocked_keys" },
	{ "external account keys", "SELECT count(*) FROM eab_keys" },
	{ "orders that replaced", "SELECT count(*) FROM orders WHERE status = 'valid' AND replaces <> ''" },
	{ "refused by the signer", "SELECT count(*) FROM entries WHERE kind = 'refused'" },
	{ "the signer's own",
	  "SELECT count(DISTINCT serial) FROM entries WHERE job_hash = tbs_hash AND kind <> 'refused'" },
	{ "jobs sent more than once", "SELECT count(*) FROM issuances WHERE sends > 1" },
	{ "validations sent more than once", "SELECT count(*) FROM attempts WHERE sends > 1" },
};

/* --- functions that the rules use ----------------------------------------------------------------------------------
 */
static struct str value_bytes(sqlite3_value *v)
{
	const void *p = sqlite3_value_blob(v);
	return str_n(p, (size_t)sqlite3_value_bytes(v));
}

static void fn_uuid(sqlite3_context *x, int argc, sqlite3_value **argv)
{
	(void)argc;
	struct str b = value_bytes(argv[0]);
	struct id id;
	if (b.n != sizeof id.b) {
		sqlite3_result_text(x, "(no id)", -1, SQLITE_STATIC);
		return;
	}
	memcpy(id.b, b.p, sizeof id.b);
	sqlite3_result_text(x, id_show(id).z, -1, SQLITE_TRANSIENT);
}

static void fn_sha256(sqlite3_context *x, int argc, sqlite3_value **argv)
{
	(void)argc;
	const struct oracle *o = sqlite3_user_data(x);
	struct sha256 h;
	if (FAILED(digest_sha256(o->crypto, value_bytes(argv[0]), &h, NULL)))
		sqlite3_result_error(x, "sha256 failed", -1);
	else
		sqlite3_result_blob(x, h.b, sizeof h.b, SQLITE_TRANSIENT);
}

/* RFC 7638: the store keeps keys in the form whose hash is their thumbprint. */
static void fn_thumbprint(sqlite3_context *x, int argc, sqlite3_value **argv)
{
	(void)argc;
	AUTO(arena_done) struct arena mem = { 0 };
	const struct oracle *o = sqlite3_user_data(x);
	struct sha256 h;
	if (FAILED(digest_sha256(o->crypto, value_bytes(argv[0]), &h, NULL))) {
		sqlite3_result_error(x, "sha256 failed", -1);
		return;
	}
	struct str text = b64url_encode(&mem, str_n(h.b, sizeof h.b));
	sqlite3_result_text(x, text.p, (int)text.n, SQLITE_TRANSIENT);
}

static void fn_cert_serial(sqlite3_context *x, int argc, sqlite3_value **argv)
{
	(void)argc;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(cert_auto) struct cert *cert = NULL;
	struct str hex;
	if (FAILED(cert_read_der(value_bytes(argv[0]), &cert, NULL)) ||
	    FAILED(cert_get_serial_hex(&mem, cert, &hex, NULL)))
		sqlite3_result_null(x);
	else
		sqlite3_result_text(x, hex.p, (int)hex.n, SQLITE_TRANSIENT);
}

static void fn_pem(sqlite3_context *x, int argc, sqlite3_value **argv)
{
	(void)argc;
	AUTO(buf_done) struct buf pem = BUF_MAX(2 * CERT_DER_MAX);
	if (FAILED(der_add_pem(value_bytes(argv[0]), &pem, NULL)))
		sqlite3_result_null(x);
	else
		sqlite3_result_text(x, pem.p, (int)pem.n, SQLITE_TRANSIENT);
}

/* By OpenSSL's own reader: pki's is for subscribers' certificates and takes no addresses. */
static bool is_own_name(const struct oracle *o, const GENERAL_NAME *g)
{
	char text[ADDR_TEXT_MAX];
	int type;
	const ASN1_STRING *value = GENERAL_NAME_get0_value(g, &type);
	struct str name = str_n(ASN1_STRING_get0_data(value), (size_t)ASN1_STRING_length(value));
	if (type == GEN_IPADD && (name.n == 4 || name.n == 16)) {
		struct addr addr = { .family = name.n == 4 ? AF_INET : AF_INET6 };
		memcpy(addr.b, name.p, name.n);
		addr_show(&addr, text);
		name = str_z(text);
	} else if (type != GEN_DNS) {
		return false;
	}
	for (size_t i = 0; i < o->own_count; i++) {
		if (str_eq(name, str_z(o->own_names[i])))
			return true;
	}
	return false;
}

static void fn_is_own(sqlite3_context *x, int argc, sqlite3_value **argv)
{
	(void)argc;
	AUTO(cert_auto) struct cert *cert = NULL;
	GENERAL_NAMES *names = NULL;
	if (!FAILED(cert_read_der(value_bytes(argv[0]), &cert, NULL)))
		names = X509_get_ext_d2i(cert_get_x509(cert), NID_subject_alt_name, NULL, NULL);
	bool own = sk_GENERAL_NAME_num(names) > 0;
	for (int i = 0; own && i < sk_GENERAL_NAME_num(names); i++)
		own = is_own_name(sqlite3_user_data(x), sk_GENERAL_NAME_value(names, i));
	GENERAL_NAMES_free(names);
	sqlite3_result_int(x, own);
}

/* --- opening and loading -------------------------------------------------------------------------------------------
 */
static fallible db_fail(const struct oracle *o, const char *what, struct err *err)
{
	FAIL(err, ERR_IO, "%s: %s", what, sqlite3_errmsg(o->db));
}

static fallible prepare(const struct oracle *o, const char *sql, sqlite3_stmt **ret, struct err *err)
{
	if (sqlite3_prepare_v2(o->db, sql, -1, ret, NULL) != SQLITE_OK)
		return db_fail(o, sql, err);
	return OK;
}

/* Only tables of our own, in memory, are written: the store is opened for reading. */
static fallible oracle_open(struct oracle *o, const char *store, struct err *err)
{
	static const struct {
		const char *name;
		void (*fn)(sqlite3_context *x, int argc, sqlite3_value **argv);
	} functions[] = { { "uuid", fn_uuid },
			  { "sha256", fn_sha256 },
			  { "thumbprint", fn_thumbprint },
			  { "cert_serial", fn_cert_serial },
			  { "pem", fn_pem },
			  { "is_own", fn_is_own } };
	TRY(crypto_new(&o->crypto, err));
	if (sqlite3_open_v2(store, &o->db, SQLITE_OPEN_READONLY, NULL) != SQLITE_OK)
		return db_fail(o, store, err);
	for (size_t i = 0; i < ARRAY_LEN(functions); i++) {
		if (sqlite3_create_function_v2(o->db, functions[i].name, 1, SQLITE_UTF8 | SQLITE_DETERMINISTIC, o,
					       functions[i].fn, NULL, NULL, NULL) != SQLITE_OK)
			return db_fail(o, functions[i].name, err);
	}
	static const char tables[] =
		"PRAGMA temp_store = MEMORY;"
		/* the store's own types: others compare slower */
		"CREATE TEMP TABLE entries (kind TEXT, issuance BYTEA, order_id BYTEA, serial TEXT, job_hash BYTEA, "
		"tbs_hash BYTEA, der BYTEA);"
		"CREATE INDEX temp.entries_order ON entries (order_id);"
		"CREATE INDEX temp.entries_serial ON entries (serial);"
		"CREATE TEMP TABLE acks (kind TEXT, id BYTEA, parent BYTEA, chain_hash BYTEA);";
	if (sqlite3_exec(o->db, tables, NULL, NULL, NULL) != SQLITE_OK)
		return db_fail(o, "tables for journal and acknowledgements", err);
	TRY(prepare(o, "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", &o->add_entry, err));
	return prepare(o, "INSERT INTO acks VALUES (?, ?, ?, ?)", &o->add_ack, err);
}

static void oracle_done(struct oracle *o)
{
	(void)sqlite3_finalize(o->add_entry);
	(void)sqlite3_finalize(o->add_ack);
	(void)sqlite3_close(o->db);
	crypto_free(o->crypto);
}

static void bind_id(sqlite3_stmt *s, int at, struct id id)
{
	(void)sqlite3_bind_blob(s, at, id.b, sizeof id.b, SQLITE_TRANSIENT);
}

static void bind_hash(sqlite3_stmt *s, int at, const struct sha256 *h)
{
	(void)sqlite3_bind_blob(s, at, h->b, sizeof h->b, SQLITE_TRANSIENT);
}

static fallible run(const struct oracle *o, sqlite3_stmt *s, struct err *err)
{
	int rc = sqlite3_step(s);
	(void)sqlite3_reset(s);
	(void)sqlite3_clear_bindings(s);
	return rc == SQLITE_DONE ? OK : db_fail(o, "insert", err);
}

static fallible take_entry(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err)
{
	struct oracle *o = ctx;
	sqlite3_stmt *s = o->add_entry;
	static const char *const names[] = {
		[JOURNAL_BEGIN] = "begin", [JOURNAL_DONE] = "done", [JOURNAL_REFUSED] = "refused"
	};
	(void)sqlite3_bind_text(s, 1, names[kind], -1, SQLITE_STATIC);
	bind_id(s, 2, e->issuance);
	bind_id(s, 3, e->order);
	(void)sqlite3_bind_text(s, 4, e->serial_hex.p, (int)e->serial_hex.n, SQLITE_TRANSIENT);
	bind_hash(s, 5, &e->job_hash);
	bind_hash(s, 6, &e->tbs_hash);
	if (kind == JOURNAL_DONE)
		(void)sqlite3_bind_blob(s, 7, e->der.p, (int)e->der.n, SQLITE_TRANSIENT);
	return run(o, s, err);
}

/* ".../order/0190..." -> the id. */
static fallible url_id(struct str url, const char *what, struct id *ret, struct err *err)
{
	size_t slash = url.n;
	while (slash > 0 && url.p[slash - 1] != '/')
		slash--;
	struct rc rc = id_read(str_sub(url, slash, url.n), ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s \"%.*s\": ", what, STR_FMT(url));
	return rc;
}

/* {"kind": "account" | "order" | "certificate", "url", "account"[, "order"][, "sha256": of the chain], "at"} */
static fallible take_ack(const struct oracle *o, struct arena *mem, struct str line, struct err *err)
{
	AUTO(json_auto) struct json *top = NULL;
	struct str kind, url, account, order = STR_NONE, hex = STR_NONE, chain_hash;
	struct id id, parent;
	TRY(json_read(line, LINE_MAX_LEN, &top, err));
	TRY(json_want_str(top, "kind", LINE_MAX_LEN, &kind, err));
	TRY(json_want_str(top, "url", LINE_MAX_LEN, &url, err));
	TRY(json_want_str(top, "account", LINE_MAX_LEN, &account, err));
	TRY(json_may_str(top, "order", LINE_MAX_LEN, &order, err));
	TRY(json_may_str(top, "sha256", LINE_MAX_LEN, &hex, err));
	TRY(hex_decode(mem, hex, sizeof(struct sha256), &chain_hash, err));
	TRY(url_id(url, "url", &id, err));
	TRY(url_id(order.n > 0 ? order : account, "parent", &parent, err));
	sqlite3_stmt *s = o->add_ack;
	(void)sqlite3_bind_text(s, 1, kind.p, (int)kind.n, SQLITE_TRANSIENT);
	bind_id(s, 2, id);
	bind_id(s, 3, parent);
	(void)sqlite3_bind_blob(s, 4, chain_hash.p, (int)chain_hash.n, SQLITE_TRANSIENT);
	return run(o, s, err);
}

static fallible take_acks(const struct oracle *o, const char *path, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(ACKS_MAX);
	TRY(file_read(path, ACKS_MAX, &text, err));
	struct cur c = cur_of(buf_str(&text));
	for (unsigned number = 1; !cur_end(&c); number++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct str line;
		struct rc rc = cur_until(&c, '\n', &line, err);
		if (!FAILED(rc))
			rc = take_ack(o, &mem, line, err);
		if (FAILED(rc)) {
			err_prefix(err, "%s, line %u: ", path, number);
			return rc;
		}
	}
	return OK;
}

/* --- judging -------------------------------------------------------------------------------------------------------
 */
static void bind_parameter(sqlite3_stmt *s, const char *name, int64_t value)
{
	int at = sqlite3_bind_parameter_index(s, name);
	if (at > 0)
		(void)sqlite3_bind_int64(s, at, value);
}

/* A page that cannot be read is a finding; anything else that keeps a query from its end is not. */
static fallible query_end(struct oracle *o, const struct rule *r, int rc, struct err *err)
{
	if (rc == SQLITE_DONE)
		return OK;
	if (rc != SQLITE_CORRUPT)
		return db_fail(o, r->name, err);
	printf("BROKEN damaged-store: %s: %s\n", r->name, sqlite3_errmsg(o->db));
	o->broken++;
	return OK;
}

static fallible judge(struct oracle *o, const struct rule *r, struct err *err)
{
	sqlite3_stmt *s = NULL;
	uint64_t found = 0;
	TRY(prepare(o, r->sql, &s, err));
	bind_parameter(s, "$now", o->now_ms);
	bind_parameter(s, "$quorum", o->quorum);
	int rc;
	while ((rc = sqlite3_step(s)) == SQLITE_ROW) {
		if (found++ < SHOWN_MAX)
			printf("BROKEN %s: %s\n", r->name, (const char *)sqlite3_column_text(s, 0));
	}
	if (found > SHOWN_MAX)
		printf("BROKEN %s: %llu more\n", r->name, (unsigned long long)(found - SHOWN_MAX));
	o->broken += found;
	struct rc ret = query_end(o, r, rc, err);
	(void)sqlite3_finalize(s);
	return ret;
}

static fallible show_count(struct oracle *o, const struct rule *r, struct err *err)
{
	sqlite3_stmt *s = NULL;
	int rc;
	TRY(prepare(o, r->sql, &s, err));
	while ((rc = sqlite3_step(s)) == SQLITE_ROW)
		printf("%8lld %s\n", (long long)sqlite3_column_int64(s, 0), r->name);
	struct rc ret = query_end(o, r, rc, err);
	(void)sqlite3_finalize(s);
	return ret;
}

static fallible oracle_run(struct oracle *o, const char *store, const char *journal, const char *acks, struct err *err)
{
	TRY(oracle_open(o, store, err));
	TRY(journal_walk(journal, take_entry, o, err));
	TRY(take_acks(o, acks, err));
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		TRY(show_count(o, &counts[i], err));
	for (size_t i = 0; i < ARRAY_LEN(rules); i++)
		TRY(judge(o, &rules[i], err));
	return OK;
}

int main(int argc, char **argv)
{
	struct err err = { 0 };
	uint64_t quorum = 0;
	if (argc < 6 || FAILED(str_u64(str_z(argv[4]), 100, &quorum, NULL)) || quorum < 1) {
		(void)fputs("usage: oracle STORE JOURNAL-FOLDER ACKNOWLEDGED QUORUM OWN-NAME...\n", stderr);
		return 2;
	}
	union { /* argv is ours, and nothing here writes into it */
		char **in;
		const char *const *out;
	} own = { .in = argv + 5 };
	struct oracle o = { .own_names = own.out,
			    .own_count = (size_t)(argc - 5),
			    .quorum = (int64_t)quorum,
			    .now_ms = clock_now_ms(&clock_system) };
	struct rc rc = oracle_run(&o, argv[1], argv[2], argv[3], &err);
	oracle_done(&o);
	if (FAILED(rc)) {
		(void)fflush(stdout);
		(void)fprintf(stderr, "oracle: cannot look: %s%s%s\n", err.detail, err.cause[0] == '\0' ? "" : ": ",
			      err.cause);
		return 2;
	}
	printf("%zu promises looked at, %llu breaches\n", ARRAY_LEN(rules), (unsigned long long)o.broken);
	return o.broken == 0 ? 0 : 1;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * model.h: the nouns of ACME (RFC 8555 7.1), their states as tables, problem documents, and the messages and evidence
 * that the programs exchange. Plain data and pure functions: no store, no sockets, no OpenSSL types.
 */
#ifndef CAIRN_MODEL_MODEL_H
#define CAIRN_MODEL_MODEL_H

#include "codec/codec.h"
#include "crypto/crypto.h"

/* --- identifiers --------------------------------------------------------------------------------------------------*/
enum ident_type { IDENT_DNS, IDENT_IP, IDENT_TYPE_COUNT };
const char *ident_type_name(enum ident_type t);
fallible ident_type_read(struct str s, enum ident_type *ret, struct err *err);
struct ident {
	enum ident_type type;
	struct str value; /* lower case, without "*." for an authorization; as ordered for an order */
};
#define IDENTS_MAX 100
/* Shape only: a lower-case name (one "*." when wildcard) or an address in its canonical form. Policy is name_check's.
 */
fallible ident_check(const struct ident *id, bool wildcard, struct err *err);

enum challenge_type {
	CHALLENGE_HTTP01,
	CHALLENGE_DNS01,
	CHALLENGE_TLSALPN01,
	CHALLENGE_DNSACCOUNT01, /* draft-ietf-acme-dns-account-label-03 */
	CHALLENGE_DNSPERSIST01, /* draft-ietf-acme-dns-persist-02 */
	CHALLENGE_TYPE_COUNT
};
const char *challenge_type_name(enum challenge_type t); /* "http-01" */
fallible challenge_type_read(struct str s, enum challenge_type *ret, struct err *err);
/* Looks into the DNS and nowhere else: these alone prove wildcards and all names below a domain, and no addresses. */
bool challenge_is_dns(enum challenge_type t);
/* Where to look, or what to find there, depends on the account's URL. */
bool challenge_wants_account_url(enum challenge_type t);

/* --- states (RFC 8555 7.1.6): a table of allowed moves; the store enforces it by compare-and-set ------------------*/
enum account_status { ACCOUNT_VALID, ACCOUNT_DEACTIVATED, ACCOUNT_REVOKED, ACCOUNT_STATUS_COUNT };
enum order_status { ORDER_PENDING, ORDER_READY, ORDER_PROCESSING, ORDER_VALID, ORDER_INVALID, ORDER_STATUS_COUNT };
enum authz_status {
	AUTHZ_PENDING,
	AUTHZ_VALID,
	AUTHZ_INVALID,
	AUTHZ_DEACTIVATED,
	AUTHZ_EXPIRED,
	AUTHZ_REVOKED,
	AUTHZ_STATUS_COUNT
};
enum challenge_status {
	CHALLENGE_PENDING,
	CHALLENGE_PROCESSING,
	CHALLENGE_VALID,
	CHALLENGE_INVALID,
	CHALLENGE_STATUS_COUNT
};
const char *account_status_name(enum account_status s);
const char *order_status_name(enum order_status s);
const char *authz_status_name(enum authz_status s);
const char *challenge_status_name(enum challenge_status s);
bool account_may_move(enum account_status from, enum account_status to);
bool order_may_move(enum order_status from, enum order_status to);
bool authz_may_move(enum authz_status from, enum authz_status to);
bool challenge_may_move(enum challenge_status from, enum challenge_status to);

/* --- problem documents (RFC 9457, types of RFC 8555 6.7): the one table, read at the edge -------------------------*/
struct problem_row {
	const char *type; /* without the urn prefix; NULL: "about:blank"-like, sent as malformed/serverInternal */
	int status;
};
const struct problem_row *problem_row(enum err_kind kind); /* never NULL; inside kinds map to serverInternal 500 */
#define PROBLEM_URN "urn:ietf:params:acme:error:"
/* {"type","detail","status"} of an error; ERR_INTERNAL's detail is replaced. `extra` (JSON members without braces, such
 * as "algorithms":[...] or "subproblems":[...]) may be empty. */
fallible problem_write(const struct err *e, struct str extra, struct buf *ret, struct err *err);
/* A problem document, a stored one or another server's: kind and detail back (for the client and for `cairn why`).
 * Types that are not known go by their status. The detail is borrowed from the document and may hold anything. */
fallible problem_read(const struct json *v, enum err_kind *ret_kind, struct str *ret_detail, struct err *err);

/* --- bus topics and messages --------------------------------------------------------------------------------------
 * Versioned JSON, read as hostile input: unknown members refused, every string bounded. Slices of a read message live
 * in the arena it was read with. */
#define TOPIC_VALIDATE "validate" /* + "." + perspective */
#define TOPIC_VERDICT "verdict"
#define TOPIC_PROGRESS "progress"
#define TOPIC_SIGN "sign"
#define TOPIC_SIGNED "signed"
#define JOB_VERSION 1
/* 100 names, each with six perspectives' verdicts of control and six of CAA, as large as they come; a frame of the bus
 * holds it. */
#define JOB_MAX (11 * 1024 * 1024)
#define PERSPECTIVE_NAME_MAX 64
/* Names of realms, zones, perspectives, profiles and issuers: 1 to 64 letters, digits and . _ - */
#define REALM_NAME_MAX 64
#define ZONE_NAME_MAX 64
#define PROFILE_NAME_MAX 64
#define ISSUER_NAME_MAX 64
#define VALIDATE_JOB_MAX (8 * 1024)
#define ACCOUNT_URL_MAX 512
#define EARLIER_KEYS_MAX 64           /* key changes that dns-persist-01 looks back over */
#define KEY_CHANGE_JWS_MAX (8 * 1024) /* of one: "protected.payload.signature" */
#define SIGN_VERDICTS_MAX 6400        /* 100 names, 32 perspectives, control and CAA */
#define SERIAL_HEX_MAX 40             /* RFC 5280 4.1.2.2: 20 octets */

/* What a domain's validationmethods must have for a name that a grant covers (RFC 8657 4: methods that are not ACME's
 * begin with "ca-"). */
#define CAA_GRANT_METHOD "ca-grant"

struct validate_job {
	struct id attempt, authz, order; /* order: for the log */
	struct str realm, zone;
	enum challenge_type method;
	struct ident ident;
	bool wildcard;
	bool subdomains;        /* asked for an ancestor: what is proven holds below it too (RFC 9444) */
	struct str token;       /* 43 base64url characters */
	struct str thumbprint;  /* the account key's, RFC 7638 */
	int64_t deadline_ms;    /* wall clock; after it nobody waits for the verdict */
	struct str account_url; /* absent: empty */
	bool caa_only;          /* control is proved: look up CAA, and nothing else; absent: false */
	bool granted; /* with caa_only: no method proved control, a grant stands for it; method says nothing; absent: false */
	struct str
		*earlier_thumbprints; /* of keys that the account had before this one, latest first; dns-persist-01 */
	size_t earlier_count;         /* absent: 0 */
};
fallible validate_job_write(const struct validate_job *j, struct buf *ret, struct err *err);
fallible validate_job_read(struct arena *mem, struct str text, struct validate_job *ret, struct err *err);

/* What one perspective saw: the payload of the compact JWS "cairn-verdict+jws" that it signs (DESIGN 5). */
#define VERDICT_TYP "cairn-verdict+jws"
#define VERDICT_JWS_MAX (8 * 1024)
#define VERDICT_PAYLOAD_MAX (5 * 1024) /* the JSON; what base64url and a signature then make of it fits the JWS */
#define VERDICT_STEPS_MAX 24
#define VERDICT_CAA_MAX 512
struct verdict_step {      /* one thing looked up or tried, in order */
	struct str what;   /* "resolve", "connect", "redirect", "response" */
	struct str detail; /* printable ASCII, <= 512 bytes: "www.a.test AAAA,A from 127.0.0.1:5353: 192.0.2.7
			      (insecure)" */
};
/* What came of the CAA lookups (RFC 8659). A denial or a failed lookup makes the verdict invalid and stays NOT_CHECKED. */
enum caa_result {
	CAA_NOT_CHECKED,
	CAA_ALLOWED,
	CAA_NOT_NEEDED, /* an address, or a realm that does not look */
	CAA_RESULT_COUNT
};
struct verdict {
	struct id attempt, authz;
	struct str perspective, realm;
	struct str zone; /* whose resolvers, tables and ranges were used: a perspective may serve several */
	enum challenge_type method;
	struct ident ident;
	bool wildcard;
	bool subdomains; /* absent: false */
	struct str token, thumbprint;
	bool valid;
	enum err_kind problem;           /* when !valid: ERR_CONNECTION, ERR_DNS, ERR_UNAUTHORIZED, ERR_TLS ... */
	struct str problem_detail;       /* cause, address, what was found, what was wanted, what to do */
	int64_t started_ms, finished_ms; /* wall clock */
	struct str caa;                  /* "not-checked" until CAA is looked up; what was found, and where */
	enum caa_result caa_result;      /* of this identifier, not of names below it; absent: CAA_NOT_CHECKED */
	struct verdict_step *steps;
	size_t step_count;
	bool caa_only;                /* CAA was looked up and nothing else: no proof of control; absent: false */
	bool granted;                 /* with caa_only: CAA allows CAA_GRANT_METHOD; absent: false */
	struct str account_url;       /* for whom it was looked up; absent: empty */
	struct str record_thumbprint; /* dns-persist-01: the earlier key that the record names; empty: the one above */
	int64_t persist_until_s; /* dns-persist-01: unix seconds, the last at which the record holds; 0: no such limit */
};
/* Steps that do not fit are left out from the middle, and a step says how many. */
fallible verdict_write(const struct verdict *v, struct buf *ret, struct err *err);
fallible verdict_read(struct arena *mem, struct str text, struct verdict *ret, struct err *err);

struct verdict_message { /* validator -> api */
	struct id attempt, order;
	struct str perspective;
	struct str jws;
};
fallible verdict_message_write(const struct verdict_message *m, struct buf *ret, struct err *err);
fallible verdict_message_read(struct arena *mem, struct str text, struct verdict_message *ret, struct err *err);

/* An attempt failed and another one follows: what the client may see until then (RFC 8555 8.2). Nobody signs it, and
 * nothing is decided by it. */
#define PROGRESS_MAX (4 * 1024)
struct progress { /* validator -> api */
	struct id attempt;
	struct str perspective;
	enum err_kind problem; /* one of those that stand in verdicts */
	struct str problem_detail;
	int64_t next_ms; /* wall clock: when the next one begins; absent: 0 */
};
fallible progress_write(const struct progress *p, struct buf *ret, struct err *err);
fallible progress_read(struct arena *mem, struct str text, struct progress *ret, struct err *err);

/* What an operator vouches for: the payload of the compact JWS "cairn-grant+jws" that an operator's key signs, with the
 * operator's name as kid. Names that it covers need no challenge; a subject holds only what one gives. It widens nothing:
 * a realm's own names and profiles bound it. */
#define GRANT_TYP "cairn-grant+jws"
#define GRANT_JWS_MAX (8 * 1024)
#define GRANT_PAYLOAD_MAX (5 * 1024 + 512) /* the JSON; what base64url and a signature then make of it fits the JWS */
#define GRANT_KEYS_MAX 16
#define GRANT_NAMES_MAX 64
#define GRANT_EMAILS_MAX 16
#define GRANT_PROFILES_MAX 32
#define GRANT_LIFE_MAX_S ((int64_t)825 * 86400)
struct grant {
	struct id id;
	struct str realm;
	struct str *thumbprints; /* account keys that it is for */
	size_t thumbprint_count;
	struct str *names; /* patterns like those of realm.names: "host.x", "*.team-a.corp" (below it, not itself) */
	size_t name_count;
	struct str *addresses; /* ranges */
	size_t address_count;
	bool wildcards;                                    /* "*." names that the patterns cover, too; absent: false */
	struct str organization, locality, state, country; /* UTF-8; absent: empty */
	struct str *emails;
	size_t email_count;
	struct str *profiles; /* absent: any that the realm has */
	size_t profile_count;
	int64_t made_ms;
	int64_t from_s, until_s; /* unix seconds, the last one included */
	struct str note;         /* the operator's, for `cairn grant list` */
};
fallible grant_write(const struct grant *g, struct buf *ret, struct err *err);
fallible grant_read(struct arena *mem, struct str text, struct grant *ret, struct err *err);
bool grant_has_subject(const struct grant *g); /* anything but names and addresses */
/* Is it for this account key, of this profile, over this identifier as ordered: the same answer in api and signer. */
bool grant_has_key(const struct grant *g, struct str thumbprint);
bool grant_has_profile(const struct grant *g, struct str profile);
bool grant_covers(const struct grant *g, const struct ident *ident);
/* "user@host.example": a dot-atom and a lower-case name. */
fallible email_check(struct str email, struct err *err);

/* All that the signer needs to decide for itself (DESIGN 5). */
#define SIGN_GRANTS_MAX 16
struct sign_job {
	struct id issuance, order, account;
	struct str realm, profile, issuer;
	struct str serial_hex;
	int64_t not_before, not_after; /* unix seconds */
	struct ident *idents;          /* as ordered, wildcards with "*." */
	size_t ident_count;
	struct str finalize_protected, finalize_payload, finalize_signature; /* base64url, as the client sent them */
	struct str finalize_url;
	struct str account_jwk; /* canonical JWK text: the key that signed finalize, whatever the account's is by now */
	struct str *verdicts;   /* compact JWS */
	size_t verdict_count;
	/* Key changes of the account, oldest first, without a gap up to the key above: what shows that an earlier key,
	 * which a record of dns-persist-01 names, was this account's. Absent: none. */
	struct str *key_changes;
	size_t key_change_count;
	struct str *
		grants; /* compact JWS: what stands for verdicts of control, and where a subject comes from; absent: none */
	size_t grant_count;
};
fallible sign_job_write(const struct sign_job *j, struct buf *ret, struct err *err);
fallible sign_job_read(struct arena *mem, struct str text, struct sign_job *ret, struct err *err);

struct sign_result { /* signer -> api */
	struct id issuance, order;
	bool issued;
	struct str der;       /* the certificate, when issued */
	struct str chain_pem; /* leaf first, then the issuer's chain */
	/* When refused. ERR_CAA: the lookups of CAA are too old by now; nothing was signed, and newer ones may follow. */
	enum err_kind problem;
	struct str problem_detail;
};
fallible sign_result_write(const struct sign_result *r, struct buf *ret, struct err *err);
fallible sign_result_read(struct arena *mem, struct str text, struct sign_result *ret, struct err *err);

/* A line of `cairn audit export`, which `cairn audit verify` reads: one certificate and what it was issued upon. */
#define AUDIT_LINE_MAX (JOB_MAX + 256 * 1024)
struct audit_record {
	int64_t issued_ms; /* wall clock, when the api had the certificate: the evidence must have held then or, where the
			      signer was late, when the client asked */
	struct str der;
	struct str job; /* the sign job's text */
};
fallible audit_record_write(const struct audit_record *r, struct buf *ret, struct err *err); /* without the newline */
fallible audit_record_read(struct arena *mem, struct str line, struct audit_record *ret, struct err *err);

/* The key authorization of RFC 8555 8.1 is token '.' thumbprint; tokens are 32 random bytes. */
#define TOKEN_LEN 43
struct token_text {
	char z[TOKEN_LEN + 1];
};
struct token_text token_new(const struct rng *rng);
bool token_is_wellformed(struct str s);

#endif

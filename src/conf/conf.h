/* SPDX-License-Identifier: Apache-2.0
 *
 * conf.h: the one configuration file, read by all programs. One schema table (schema.c) has a row for each setting: the parser,
 * check-config, cairn.conf(5), `cairn init`'s file and the defaults all read that row. Unknown keys are errors. Order of
 * precedence: environment (CAIRN_STORE, CAIRN_BUS, DATABASE_URL, CAIRN_LISTEN, CAIRN_BASE_URL, CAIRN_LOG_LEVEL, CAIRN_STATE_DIR ...: the row
 * names its variable), then the file, then the default. Secrets come from files that the configuration names.
 */
#ifndef CAIRN_CONF_CONF_H
#define CAIRN_CONF_CONF_H

#include "codec/codec.h"

struct conf_list { /* of strings */
	struct str *v;
	size_t n;
};
bool conf_list_has(const struct conf_list *l, struct str item);

struct conf_static { /* zone.names: a name or "*.name" and its addresses; zone.forwards: a domain and its servers */
	struct str pattern;
	struct conf_list addrs;
};

struct conf_perspective {
	struct str name;
	struct str key;        /* the validator's private key file */
	struct str public_key; /* the JWK file that the signer pins */
};

struct conf_zone {
	struct str name;
	struct conf_list perspectives;
	int64_t quorum;             /* at least 1 */
	struct conf_list resolvers; /* "192.0.2.53" or "127.0.0.1:5353"; none: /etc/resolv.conf */
	struct str trust_anchor;    /* file; empty: none */
	struct conf_static *names;  /* static names */
	size_t name_count;
	struct conf_static *forwards; /* the longest domain that the name is in decides */
	size_t forward_count;
	int64_t http_port;                /* 80 */
	int64_t alpn_port;                /* 443: tls-alpn-01 */
	int64_t attempts;                 /* how often a probe tries within the deadline, for reasons that may pass */
	struct conf_list allow_addresses; /* special ranges that validators may contact */
	int64_t deadline_ms;              /* of one validation, at most 60 s */
};

struct conf_profile {
	struct str name;
	struct str description; /* for the directory's meta.profiles; empty: one is made up from lifetime and use */
	struct conf_list use;   /* "server-auth", "client-auth", "code-signing", "email-protection" */
	int64_t lifetime_s;     /* as it is written; conf_lifetime says what counts */
	int64_t backdate_s;     /* how far notBefore lies in the past: 1 h */
	struct conf_list identifiers; /* "dns", "wildcard", "ip" */
	struct conf_list keys;        /* "P-256" ... "RSA-4096" */
	bool key_encipherment;
	struct conf_list policies; /* dotted numbers */
	bool common_name;
	int64_t names_max;
	bool must_staple;      /* when the CSR asks for it */
	bool crl;              /* where revocations are looked up stands in it */
	struct str subject;    /* "off", "allowed", "required": who the subscriber is, from a grant */
	int64_t authz_valid_s; /* 0: the realm's */
	bool public_rules;
};

struct conf_issuer {
	struct str name;
	struct str certificate;     /* chain file, leaf first, without or with the root */
	struct str key;             /* a file, or where it is in a token: "pkcs11:..." (RFC 7512) */
	struct str passphrase_file; /* of a file that is encrypted; empty: it is not */
	struct str pin_file;        /* of the token; empty: the URI's pin-source, or no login */
	int64_t token_sessions;     /* signatures that the token makes side by side */
	int64_t token_timeout_s;    /* a call into its module that takes longer ends the signer */
	struct conf_list
		alternates; /* files with other ways up from the issuer: its certificates without leaf, as PEM */
	struct str aia_url, crl_url;
};

struct conf_operator { /* who may sign grants */
	struct str name;
	struct str public_key; /* the JWK file that api and signer pin */
	struct str key;        /* the private key file of `cairn grant` */
};

struct conf_realm {
	struct str name;
	struct conf_list names;      /* patterns that may be asked for; none: nothing is issued (closed by default) */
	struct conf_list addresses;  /* ranges that may be asked for (RFC 8738); none: no addresses */
	struct conf_list challenges; /* "http-01", "dns-01", "tls-alpn-01", "dns-account-01", "dns-persist-01" */
	struct conf_list profiles;   /* the first one is the default */
	struct conf_list issuers;    /* the first one whose key is of the client's kind signs, or else the first */
	struct str zone;
	struct str eab;         /* "off", "optional", "required" (RFC 8555 7.3.4) */
	bool grants;            /* names that an operator's grant covers need no challenge */
	bool subdomain_auth;    /* RFC 9444: a proof in the DNS for an ancestor serves the names below it */
	bool terms_agree_again; /* accounts that agreed to other terms must agree to new ones before they order */
	struct str terms_of_service, website; /* URLs for the directory's meta; empty: left out */
	struct conf_list caa_identities;
	struct str account_hash_prefix; /* of dns-persist-01; empty: account-hash/ below the realm's URL */
	struct str caa;                 /* "on", "off": are CAA records looked up (RFC 8659) */
	int64_t order_life_s;           /* 7 d */
	int64_t authz_pending_s;        /* 7 d */
	int64_t authz_valid_s;          /* how long a proof may be reused: 30 d */
	int64_t names_per_order;        /* 100 */
	int64_t lifetime_max_s;         /* of any certificate; 0: the profile's lifetime counts */
	int64_t orders_per_hour;        /* per account; 0: no limit */
	int64_t accounts_per_hour;      /* per address; 0: no limit */
};

/* Where an effective setting comes from, for `cairn check-config --print` and for errors found after reading. */
enum conf_source { CONF_FROM_DEFAULT, CONF_FROM_FILE, CONF_FROM_ENV, CONF_SOURCE_COUNT };
struct conf_where {
	enum conf_source source;
	size_t line, col; /* from 1; CONF_FROM_FILE, and for defaults the place of the entry ("realm.team-a:") or 0 */
	const char *env;  /* CONF_FROM_ENV */
};
struct conf_row;
struct conf_setting {
	const struct conf_row *row;
	struct str key;  /* "realm.default.names" */
	struct str text; /* the value in the schema's own form: lists comma-separated */
	struct conf_where where;
};

struct conf {
	struct arena mem;              /* owns every slice below */
	struct str name;               /* the file as it was named to us, for messages */
	struct str file;               /* absolute path */
	struct conf_setting *settings; /* every effective setting, in the schema's order */
	size_t setting_count;
	struct str sandbox;        /* "auto", "required", "off" */
	struct str suffix_list;    /* file; empty: the built-in one */
	struct suffixes *suffixes; /* the Public Suffix List; owned, never NULL */
	struct str state_dir;      /* relative paths below are taken from here; conf_path resolves */
	struct {
		struct str level, format; /* "notice"; "auto", "json", "text" */
	} log;
	struct {
		struct conf_list listen;
		struct str base_url; /* "https://ca.corp.example:14000", no trailing slash */
		struct str tls_certificate, tls_key;
		bool tls_own;               /* cairn renews the API's certificate from its own issuer */
		struct str admin_socket;    /* where `cairn` commands reach the API */
		struct conf_list tls_names; /* names and addresses in that certificate */
		int64_t loops, workers;     /* 0 loops: one a core */
		int64_t nonce_life_s;
		int64_t finalize_wait_ms;  /* how long finalize waits for the signer before it answers "processing" */
		int64_t challenge_wait_ms; /* the same of an answered challenge and the validators */
		int64_t connections_max;
		int64_t drain_ms;
	} api;
	struct {
		struct str url;        /* "sqlite:store/cairn.db", "postgresql://cairn@db.example/cairn" */
		struct str standby;    /* a server that follows the one of url, for lists; empty: none */
		int64_t standby_lag_s; /* how far it may be behind */
		struct str password_file;
		int64_t connections;   /* to PostgreSQL */
		bool pooler;           /* one in transaction mode is between us and PostgreSQL */
		struct str secret_key; /* file of 32 bytes as 64 hex digits that seals secrets in the store */
		int64_t readers;
		int64_t keep_ended_s;   /* retention of orders and authorizations that ended: 30 d */
		int64_t keep_expired_s; /* of certificates past their end, with their evidence: 90 d */
		int64_t keep_audit_s;   /* of audit records: 730 d */
	} store;
	struct {
		struct str url; /* "unix:run/bus.sock" */
	} bus;
	struct {
		struct str journal;             /* folder */
		int64_t serial_prefix;          /* 1..127 */
		struct str revoked_grants;      /* file of ids; it need not exist */
		struct conf_list sandbox_paths; /* for a PKCS#11 module */
		bool sandbox_network;
	} signer;
	struct {
		struct str perspective; /* which one this validator is */
		int64_t probes_max;     /* at once */
	} validator;
	struct {
		int64_t resend_ms;   /* a job without result is sent again after this: 5 s */
		int64_t interval_ms; /* how often the sweeper looks: 2 s */
	} sweeper;
	struct {
		struct str blocked;    /* file; empty: none */
		struct conf_list weak; /* files */
	} keys;
	struct conf_realm *realms;
	size_t realm_count;
	struct conf_zone *zones;
	size_t zone_count;
	struct conf_perspective *perspectives;
	size_t perspective_count;
	struct conf_profile *profiles;
	size_t profile_count;
	struct conf_issuer *issuers;
	size_t issuer_count;
	struct conf_operator *operators;
	size_t operator_count;
};

/* Reads and checks the whole file, cross references too (a realm's zone exists, quorum <= perspectives ...). ERR_CONFIG:
 * "FILE:LINE:COL: KEY: what was found; what is allowed". getenv-like lookup is passed in, so tests need no environment. */
fallible conf_read(const char *path, const char *(*env)(void *ctx, const char *name), void *env_ctx, struct conf **ret,
		   struct err *err);
fallible conf_read_text(struct str text, const char *name, const char *(*env)(void *ctx, const char *name),
			void *env_ctx, struct conf **ret, struct err *err);
/* An environment for the two above: the process's own, and one without any variable. */
const char *conf_env_system(void *ctx, const char *name);
const char *conf_env_none(void *ctx, const char *name);
void conf_free(struct conf *c);

/* A path of the configuration, made absolute against state_dir; NUL-terminated, in c's arena or mem. */
const char *conf_path(const struct conf *c, struct arena *mem, struct str path);
/* NULL when there is none of that name. */
const struct conf_realm *conf_realm(const struct conf *c, struct str name);
const struct conf_zone *conf_zone(const struct conf *c, struct str name);
const struct conf_profile *conf_profile(const struct conf *c, struct str name);
const struct conf_issuer *conf_issuer(const struct conf *c, struct str name);
const struct conf_perspective *conf_perspective(const struct conf *c, struct str name);
const struct conf_operator *conf_operator(const struct conf *c, struct str name);
/* May this realm issue for this name (a "*." name by its base)? ERR_REJECTED_IDENTIFIER names the realm and what it allows. */
fallible conf_realm_allows(const struct conf_realm *r, struct str name, struct err *err);
/* The same for an address. A special one (private, loopback ...) must be in a range that was meant for it: at least /8
 * for IPv4 and /7 for IPv6, so that "0.0.0.0/0" does not allow 127.0.0.1. */
fallible conf_realm_allows_addr(const struct conf_realm *r, const struct addr *addr, struct err *err);
/* May all names below this one be spoken for at once: by a wildcard, or by a proof for an ancestor (RFC 9444)?
 * ERR_REJECTED_IDENTIFIER when it is a public suffix, where strangers register theirs (BR 3.2.2.6). */
fallible conf_suffix_check(const struct conf *c, struct str name, struct err *err);
/* What accounturi begins with in records of dns-persist-01. base: the realm's URL without a slash at its end. */
struct str conf_realm_hash_prefix(const struct conf_realm *r, struct str base, struct arena *mem);
/* The ceiling of any certificate's life, whatever a profile says: the last that browsers took of any CA. */
#define CONF_LIFETIME_MAX_S (INT64_C(398) * 86400)
/* How long a certificate of this profile may live that begins then: the smallest of the profile's lifetime, the realm's
 * (NULL: none), the ceiling and, for public ones, what the Baseline Requirements allow at that time. Seconds, both ends
 * counted. */
int64_t conf_lifetime(const struct conf_realm *r, const struct conf_profile *p, int64_t not_before_s);
/* How old a proof may be that an order of this profile reuses. */
int64_t conf_authz_valid(const struct conf_realm *r, const struct conf_profile *p);
/* Is this name ("*." in front: a wildcard) or address of a kind that the profile is for? ERR_REJECTED_IDENTIFIER. */
fallible conf_profile_allows(const struct conf_profile *p, struct str value, bool address, struct err *err);
/* Does the profile take a CSR with such a key (crypto's name of its kind, and its bits when it is RSA), that asks for
 * must-staple or does not? ERR_BAD_CSR. */
fallible conf_profile_allows_csr(const struct conf_profile *p, const char *key_kind, unsigned bits, bool must_staple,
				 struct err *err);
/* Is there a way to prove such an identifier: wildcards and ancestors want a method of the DNS, addresses any other. */
bool conf_realm_proves(const struct conf_realm *r, bool address, bool dns_only);

/* The schema, for check-config, init and the man page. */
enum conf_kind {
	CONF_STR,
	CONF_LIST,
	CONF_INT,
	CONF_SECONDS,
	CONF_MILLIS,
	CONF_BOOL,
	CONF_NAMES,    /* static names: a map, or "NAME=ADDRESS,..." in a default or variable */
	CONF_FORWARDS, /* the same, of domains and DNS servers */
	CONF_KIND_COUNT
};
struct conf_row {
	const char *key; /* "api.nonce-life", "realm.*.names" */
	enum conf_kind kind;
	size_t offset;              /* into struct conf, or into the section's struct for "*" rows */
	const char *deflt;          /* as written in the file; lists comma-separated */
	int64_t min, max;           /* of a number or duration; of a list: its length */
	const char *const *choices; /* NULL, or the words that are allowed */
	const char *env;            /* NULL, or the variable that overrides it */
	bool reload;                /* taken over on SIGHUP; the others want a restart */
	const char *help;           /* one or two sentences */
};
const struct conf_row *conf_schema(size_t *ret_count);
/* Lines "FILE:LINE:COL: KEY: ..." for what is allowed but hardly meant, such as a realm without names. Empty: nothing to say. */
fallible conf_warnings(const struct conf *c, struct buf *ret, struct err *err);
/* roff for cairn.conf(5)'s settings, and a commented YAML file with every default explained in which `values` (NULL-terminated key,
 * value pairs, lists comma-separated) are set. */
fallible conf_write_man(struct buf *ret, struct err *err);
fallible conf_write_example(const char *const *values, struct buf *ret, struct err *err);
/* --- edit.c: `text` with one setting of an entry ("realm.default.issuers") set to a YAML value, comments and all else as they
 * are. ERR_CONFIG when that cannot be done safely: it says what to write by hand. name: the file's, for messages. */
fallible conf_edit(struct str text, struct str name, struct str key, struct str value, struct buf *ret,
		   struct err *err);
/* What differs between two configurations and cannot be taken over without a restart: NULL, or the first such key. */
const char *conf_needs_restart(const struct conf *old, const struct conf *now);

#endif

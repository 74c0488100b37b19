/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what the files of this folder share: one probe on its way to a verdict, and the zones that a running
 * validator serves.
 */
#ifndef CAIRN_VALIDATE_INTERNAL_H
#define CAIRN_VALIDATE_INTERNAL_H

#include "validate/validate.h"

/* --- a probe ------------------------------------------------------------------------------------------------------*/

/* Half of a step's limit in a verdict would be escapes in JSON: 24 of this length fit even then. */
#define STEP_DETAIL_MAX 400
#define PEER_TEXT_MAX 60 /* bytes of a peer that any message shows */

struct probe {
	const struct probe_env *env;
	const struct validate_job *job;
	struct arena *mem;
	int64_t deadline_mono_ms;   /* of everything */
	int64_t allowed_ms;         /* what that was at the start, for messages */
	struct verdict_step *steps; /* VERDICT_STEPS_MAX of them */
	size_t step_count;
	size_t steps_left_out;
	/* What dns-persist-01 found, for the verdict. */
	struct str record_thumbprint;
	int64_t persist_until_s;
	bool proved;         /* control of the identifier; later attempts look up CAA only */
	struct str caa_text; /* for the verdict; empty: not checked */
	enum caa_result caa_result;
	bool final; /* set before failing for a reason that another attempt would meet again */
};

/* Adds to the transcript. When it is full, the latest step stays and the one before it says how many are missing. */
void probe_step(struct probe *p, const char *what, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
int64_t probe_left_ms(const struct probe *p); /* 0 when the time is used up */
/* Bytes of a peer for a message, printable, without quotes or backslashes of their own: at most max characters, and
 * "..." when that is not all. */
struct str peer_text(struct arena *mem, struct str bytes, size_t max);
struct str key_authorization(const struct probe *p); /* RFC 8555 8.1 */
/* probe_run, and for the log: why, with the cause that no verdict carries. False: the program is stopping, and somebody
 * else should have the job. */
bool probe_run_why(const struct probe_env *env, const struct validate_job *job, struct arena *mem, struct verdict *ret,
		   struct err *why);

/* --- where to connect to ------------------------------------------------------------------------------------------*/

struct targets { /* vetted: the first address of each family that may be contacted; v6 first */
	struct addr addrs[2];
	size_t count;
};
/* Looks the host up once, unless it is an address itself, and refuses what the zone does not allow. */
fallible targets_find(struct probe *p, struct str host, const struct addr *literal, struct targets *ret,
		      struct err *err);
/* What to say when the first of two has accepted a connection, and it ended badly: the usual surprise is a host that is
 * served over IPv4, and an AAAA record that leads to some other machine. */
const char *targets_passed_over(const struct probe *p, const struct targets *t);

/* --- TXT records --------------------------------------------------------------------------------------------------*/

struct txt {
	struct str name;   /* that was asked */
	struct str shown;  /* the same with what its alias led to */
	struct str from;   /* the resolver */
	struct str wanted; /* the record */
	struct resolve_txt_answer answer;
};
/* Those labels (with a dot at their end) below the job's name. */
fallible txt_name(struct probe *p, struct str labels, struct str *ret, struct err *err);
/* Wants t->name; writes shown, from and answer, and a step. */
fallible txt_look_up(struct probe *p, struct txt *t, struct err *err);
/* "\"one\", \"two\" and 3 more": fit for a message. */
struct str txt_records_show(struct arena *mem, const struct resolve_txt_answer *a);
/* Looks for the digest of the key authorization among the records of the name. */
fallible txt_prove_digest(struct probe *p, struct str name, struct err *err);
/* The label of dns-account-01 for this account: "_ujmmovf2vn55tgye". */
fallible account_label(const struct crypto *c, struct arena *mem, struct str account_url, struct str *ret,
		       struct err *err);

/* --- a record of dns-persist-01 (draft-ietf-acme-dns-persist-02 4.1) ----------------------------------------------*/

struct persist_value { /* slices of the record */
	struct str account_uri;
	bool wildcard; /* policy=wildcard */
	bool has_until;
	int64_t until_s; /* unix seconds; may be negative */
};
/* Is the record for this issuer, a lower-case name without a dot at its end? Records of other CAs may hold anything. */
bool persist_is_for(struct str record, struct str issuer);
/* Its parameters. ERR_MALFORMED says what is wrong; texts of the record are made fit for a message. */
fallible persist_read(struct arena *mem, struct str record, struct persist_value *ret, struct err *err);
/* base64url(SHA-256(length | domain | thumbprint | account URL)); domain is a name or "*". */
fallible persist_hash(const struct crypto *c, struct arena *mem, struct str domain, struct str thumbprint,
		      struct str account_url, struct str *ret, struct err *err);

/* --- methods: OK means that the identifier is proven --------------------------------------------------------------*/

fallible http01(struct probe *p, struct err *err);       /* RFC 8555 8.3 */
fallible dns01(struct probe *p, struct err *err);        /* RFC 8555 8.4 */
fallible tlsalpn01(struct probe *p, struct err *err);    /* RFC 8737, RFC 8738 */
fallible dnsaccount01(struct probe *p, struct err *err); /* draft-ietf-acme-dns-account-label-03 */
fallible dnspersist01(struct probe *p, struct err *err); /* draft-ietf-acme-dns-persist-02 */

/* Is this the certificate of RFC 8737 3 for the identifier and digest? ERR_UNAUTHORIZED says what about "it" is wrong and
 * what was wanted. Reads with our own reader, sizes and shapes first, the self-signature last. Its dates do not matter. */
fallible alpn_cert_check(const struct crypto *c, struct str der, const struct ident *ident, const struct sha256 *digest,
			 struct arena *mem, struct err *err);
/* What a client asks for by name that goes to an address (RFC 8738 6): "7.2.0.192.in-addr.arpa". */
struct str addr_reverse_name(struct arena *mem, const struct addr *a);

/* --- CAA (RFC 8659, RFC 8657) -------------------------------------------------------------------------------------*/

struct caa_question {
	const struct conf_list *identities; /* this CA's names */
	struct str account_url;             /* empty: not known, and no accounturi is met */
	struct str method;                  /* "dns-01" */
	bool wildcard;
};
struct caa_value {                         /* slices of a property's value */
	struct str issuer;                 /* empty: nobody */
	struct str account_uri, methods;   /* the last of each */
	size_t account_uris, method_lists; /* how many there are */
};
/* issue and issuewild (RFC 8659 4.2): ERR_MALFORMED says what is wrong. */
fallible caa_value_read(struct str text, struct caa_value *ret, struct err *err);
/* Does a set that is not empty let this CA issue? ret_text: the record that does. ERR_CAA says which record does not, and
 * what to do. */
fallible caa_judge(const struct caa_question *q, const struct resolve_caa_answer *set, struct arena *mem,
		   struct str *ret_text, struct err *err);
struct str caa_set_show(struct arena *mem, const struct resolve_caa_answer *set); /* fit for a message */
/* May this CA issue for the job's identifier? Sets p->caa_text and p->caa_result; a lookup that fails is ERR_DNS. */
fallible caa_check(struct probe *p, struct err *err);

/* --- zones --------------------------------------------------------------------------------------------------------*/

struct zone_live {
	struct conf_zone zone; /* copied: name, http_port, alpn_port, attempts, deadline_ms, quorum, allow_addresses */
	struct addr_range *allowed;
	size_t allowed_count;
	struct resolver *resolver;
};

/* Counted, because probes keep the set that they began with while a reload puts another in its place. */
struct zone_set;
/* The zones that list the perspective, with a resolver each. */
fallible zone_set_new(const struct conf *conf, struct str perspective, struct zone_set **ret, struct err *err);
struct zone_set *zone_set_ref(struct zone_set *s);
void zone_set_unref(struct zone_set *s);                                          /* accepts NULL */
const struct zone_live *zone_set_find(const struct zone_set *s, struct str name); /* NULL: not served here */
/* Copied: name, zone, caa, caa_identities, account_hash_prefix. NULL: the configuration has none of that name. */
const struct conf_realm *zone_set_realm(const struct zone_set *s, struct str name);

#endif

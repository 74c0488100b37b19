/* SPDX-License-Identifier: Apache-2.0
 *
 * order.h: what newOrder, newAuthz, finalize and renewal information share: identifiers as they are asked for, refusals
 * of several at once, the authorizations that serve them, the validity and the profile, and names of certificates.
 */
#ifndef CAIRN_ACME_ORDER_H
#define CAIRN_ACME_ORDER_H

#include "acme/app.h"

/* --- idents.c: identifiers in the order in which an order stores them, and as JSON text --- */
int ident_compare(const struct ident *a, const struct ident *b); /* names first, then addresses; by bytes each */
bool ident_is_wildcard(const struct ident *i);
struct str ident_base(const struct ident *i); /* without "*." */
fallible idents_write(struct arena *mem, const struct ident *idents, size_t count, struct str *ret, struct err *err);
fallible idents_read(struct arena *mem, struct str text, struct ident **ret, size_t *ret_count, struct err *err);

/* --- refusals.c: identifiers that are refused, all of them in one problem document (RFC 8555 6.7.1) --- */
struct refusal {
	struct err why;
	struct str type, value; /* as the client wrote them; empty when it did not */
	struct refusal *next;
};
struct refusals {
	struct refusal *first, *last;
	size_t count;
};
/* What `rc` and `why` say of one identifier: kept when it is a refusal of it, given back when it is something else. */
fallible refusals_keep(struct call *c, struct refusals *r, struct rc rc, const struct err *why, struct str type,
		       struct str value, struct err *err);
void refusals_add(struct arena *mem, struct refusals *r, const struct err *why, struct str type, struct str value);
/* The member "subproblems" of a problem document. */
fallible refusals_subproblems(struct arena *mem, const struct refusals *r, struct str *ret, struct err *err);
/* None: OK. One: itself. Several: ERR_COMPOUND, with the subproblems in c->problem_extra. */
fallible refusals_end(struct call *c, const struct refusals *r, size_t asked, struct err *err);

/* --- wanted.c: identifiers of a payload against syntax and policy --- */
struct ident_wanted {
	struct ident ident;  /* lower case, canonical; a wildcard with its "*." */
	struct str ancestor; /* RFC 9444 4.3: empty, or the ancestor domain that is to be proven instead */
	bool subdomains;     /* RFC 9444 4.2: proven for all names below it too; newAuthz only */
};
/* newOrder's list: sorted, without duplicates. */
fallible wanted_read_list(struct call *c, const struct eab_grant *grant, struct ident_wanted **ret, size_t *ret_count,
			  struct err *err);
/* newAuthz's one. *ret_declined: authority over the names below it was asked for, which this realm does not give. */
fallible wanted_read_one(struct call *c, const struct eab_grant *grant, struct ident_wanted *ret, bool *ret_declined,
			 struct err *err);
/* Serves this realm RFC 9444? */
bool realm_has_subdomains(const struct conf_realm *r);
/* dns-persist-01 wants names for its records, too: a realm without caa-identities has none. */
bool realm_offers(const struct conf_realm *r, enum challenge_type t);
/* Can this method prove such an identifier? dns_only: a wildcard, or all names below a domain. */
bool challenge_proves(enum challenge_type t, enum ident_type type, bool dns_only);

/* --- grants.c: what operators have vouched for --- */
#define GRANTS_HELD_MAX 64
#define GRANTS_USED_MAX (SIGN_GRANTS_MAX - 1) /* of one order: the last place is for the one that has the subject */
struct held_grant {
	struct grant_row row;
	struct grant says;
	bool used; /* by the order that is being made */
};
struct grants { /* of the account that calls, for one request */
	const struct call *c;
	const struct conf_profile *profile; /* set by the caller; NULL: any */
	struct held_grant *v;
	size_t n, used;
};
/* Those that count now, in a realm that takes any. Before the transaction: signatures are verified. */
fallible grants_read(const struct call *c, struct grants *ret, struct err *err);
/* One that covers this identifier, which is then used; *ret NULL: none. */
fallible grants_find(struct grants *g, struct store_tx *tx, const struct ident *ident, const struct held_grant **ret,
		     struct err *err);
void grants_forget(struct grants *g); /* none is used: a transaction begins again */
/* The first one that says who the subscriber is; *ret NULL: the profile wants none, or there is none where it needs none. */
fallible grants_find_subject(const struct grants *g, struct store_tx *tx, const struct held_grant **ret,
			     struct err *err);

/* An order was finalized with these. */
fallible grants_audit(const struct call *c, struct store_tx *tx, struct id order, const struct id *ids, size_t count,
		      struct err *err);

/* --- proof.c: the authorization that serves an identifier --- */
struct ancestor_proof;
struct proofs { /* of one transaction */
	struct call *c;
	struct store_tx *tx;
	struct grants *grants;
	const struct conf_profile *profile; /* of the order that is made; NULL: newAuthz */
	bool itself;                        /* newAuthz: one of this very identifier, and not of a domain above it */
	struct ancestor_proof *ancestors;   /* looked up already */
};
/* One that this account has under this key, or a fresh one with its challenges. */
fallible proof_get(struct proofs *p, const struct ident_wanted *w, struct authz_row *ret, bool *ret_fresh,
		   struct err *err);
/* How long it serves a new order. */
int64_t proof_serves_until(const struct proofs *p, const struct authz_row *z);

/* --- validity.c: notBefore, notAfter and the profile of an order --- */
fallible profile_choose(struct call *c, const struct eab_grant *grant, struct str *ret, struct err *err);
/* A reload may have taken it out of the configuration since the order was made. */
fallible profile_of_order(const struct call *c, const struct order_row *o, const struct conf_profile **ret,
			  struct err *err);
/* Are these of the kinds, and no more of them, that the profile is for? */
fallible profile_takes(struct call *c, const struct conf_profile *p, const struct ident *idents, size_t count,
		       struct err *err);
/* Both 0 when they are not asked for. */
fallible validity_read(const struct call *c, const struct conf_profile *p, const struct eab_grant *grant,
		       int64_t *ret_not_before_s, int64_t *ret_not_after_s, struct err *err);
/* What a certificate of this order gets when it is finalized now. */
fallible validity_of_order(const struct call *c, const struct conf_profile *p, const struct eab_grant *grant,
			   const struct order_row *o, int64_t *ret_not_before_s, int64_t *ret_not_after_s,
			   struct err *err);

/* --- ari.c: certificates by name (RFC 9773 4.1) --- */
struct certid {
	struct str text;   /* as it was given: there is one way to write it */
	struct str aki;    /* bytes */
	struct str serial; /* hex, as the store has it */
};
fallible certid_read(struct arena *mem, struct str text, struct certid *ret, struct err *err);
/* ERR_NOT_FOUND: none of this realm. */
fallible certid_find(const struct call *c, struct store_tx *tx, const struct certid *id, struct certificate_row *ret,
		     struct err *err);
struct replacing {
	bool given;
	struct certid id;
};
/* newOrder's "replaces" (RFC 9773 5). */
fallible replaces_read(struct call *c, struct replacing *ret, struct err *err);
/* *ret_exempt: the order does not count against the account's limit. */
fallible replaces_check(struct call *c, struct store_tx *tx, const struct replacing *r,
			const struct ident_wanted *idents, size_t count, bool *ret_exempt, struct err *err);

#endif

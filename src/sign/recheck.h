/* SPDX-License-Identifier: Apache-2.0
 *
 * recheck.h: what the check and the signer must agree upon. How long an order may still be signed after its life: a job
 * may wait that long for a signer. The journal remembers orders for longer than any of them can be signed. And what the
 * parts of the check share.
 */
#ifndef CAIRN_SIGN_RECHECK_H
#define CAIRN_SIGN_RECHECK_H

#include "sign/sign.h"

#define ORDER_GRACE_S ((int64_t)24 * 3600)
#define CLOCK_SKEW_S ((int64_t)300)

struct check { /* one job on its way through the table of recheck.c; a step fills in what later ones rely on */
	const struct recheck *rk;
	struct arena *mem;
	const struct sign_job *job;
	const struct conf_realm *realm;
	const struct conf_profile *profile;
	const struct conf_zone *zone;
	struct str base; /* of the realm's URLs */
	struct key *account;
	struct thumbprint thumbprint;
	struct str *earlier; /* thumbprints of the account's earlier keys, as far as the job shows them */
	struct str csr_der;
	struct csr csr;
	struct grant *grants; /* those that count */
	size_t grant_count;
	struct err grant_why; /* why the last one that does not, does not */
	struct cert_subject subject;
	bool has_subject;
	const struct str *emails;
	size_t email_count;
};

/* --- recheck_request.c: what the client signed --- */
fallible check_account(struct check *x, struct err *err);
fallible check_finalize(struct check *x, struct err *err);
fallible check_key_changes(struct check *x, struct err *err);
fallible check_csr(struct check *x, struct err *err);
fallible check_csr_names(struct check *x, struct err *err);
/* "https://ca.example/WHAT/ID", with the tail behind it. */
struct str own_url(const struct check *x, const char *what, struct id id, const char *tail);

/* --- recheck_proof.c: what the perspectives signed --- */
struct proof { /* one verdict of the job */
	struct jws_compact jws;
	struct verdict verdict;
	size_t perspective; /* index in conf->perspectives */
	bool readable, verified, good;
};
fallible check_evidence(struct check *x, struct err *err);
/* Who speaks, of which realm and zone, to which account's key: what control and CAA have in common. */
fallible proof_belongs(const struct check *x, struct proof *p, struct err *err);
fallible proof_verify(const struct check *x, struct proof *p, struct err *err);
/* The name below a "*.", which *ret_wildcard tells of. */
struct str ident_below_star(const struct ident *id, bool *ret_wildcard);

/* --- grant.c: what operators signed --- */
fallible check_grants(struct check *x, struct err *err);
fallible check_subject(struct check *x, struct err *err);
/* It needs no proof: an operator vouches for it. */
bool check_is_granted(const struct check *x, const struct ident *ident);

/* --- recheck_caa.c --- */
#define METHOD_GRANT (1u << CHALLENGE_TYPE_COUNT) /* beside those of enum challenge_type: a grant covers the name */
/* methods: bits of enum challenge_type, by which the name was proven, and METHOD_GRANT. */
fallible check_caa(const struct check *x, const struct ident *ident, unsigned methods, struct proof *proofs,
		   struct err *err);

/* --- key_chain.c: the account's earlier keys --- */
struct key_chain_want {
	const struct crypto *crypto;
	struct str url;         /* where key changes of this realm go */
	struct str account_url; /* of the order's account */
	struct str thumbprint;  /* of the key that the last change leads to */
};
/* The thumbprints of the keys before it, one for each change, oldest first. Changes without a gap, from this account, each
 * signed by both keys, or an error that says which one and what is wrong with it. */
fallible key_chain_read(const struct key_chain_want *w, struct arena *mem, const struct str *changes, size_t count,
			struct str **ret_earlier, struct err *err);

#endif

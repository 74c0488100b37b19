/* SPDX-License-Identifier: Apache-2.0
 *
 * app.h: what the files of this folder share: the app, one call on its way through the gate to its handler, and the
 * small services (nonces, the key cache, the waiting room) that hang off the app.
 */
#ifndef CAIRN_ACME_APP_H
#define CAIRN_ACME_APP_H

#include "acme/acme.h"
#include "pki/pki.h"

#include <pthread.h>
#include <semaphore.h>

/* --- one configuration in use; requests hold a reference while they run -------------------------------------------*/
struct view_issuer {
	struct cert *cert;           /* NULL: nothing of it needs to be known */
	bool is_rsa;                 /* its key */
	struct conf_list alternates; /* each file's chain, as PEM */
};
struct view {
	struct conf *conf;
	struct key **perspective_keys; /* as conf->perspectives */
	struct key **operator_keys;    /* as conf->operators */
	struct key_list *refused_keys; /* subscribers' and accounts' keys that get nothing */
	struct view_issuer *issuers;   /* as conf->issuers */
	struct arena mem;              /* has the PEM */
	_Atomic unsigned refs;
};

/* --- issuers.c --- */
/* Into as many as conf->issuers; what is in them after a failure too is the caller's to free. */
fallible issuers_of_conf(const struct conf *conf, struct arena *mem, struct view_issuer *ret, struct err *err);
/* Of the realm's issuers, the first whose key is of the kind of the client's (RSA or not), or else the first. */
struct str issuer_choose(const struct view *v, const struct conf_realm *realm, enum key_kind kind);

/* --- nonce.c: stateless to issue, a bitmap to spend (RFC 8555 6.5) --- */
struct nonces;
#define NONCE_TEXT_MAX 48
fallible nonces_new(const struct clock *clk, const struct rng *rng, struct nonces **ret, struct err *err);
void nonces_free(struct nonces *n);
void nonce_issue(struct nonces *n, char out[NONCE_TEXT_MAX]);
/* Once only, and within life_s; ERR_BAD_NONCE otherwise. */
fallible nonce_spend(struct nonces *n, struct str text, int64_t life_s, struct err *err);

/* --- signers.c: which key an account had when it was last looked at; a guess --- */
struct signers;
struct signers *signers_new(void);
void signers_free(struct signers *s);
bool signers_find(struct signers *s, struct id account, struct thumbprint *ret);
void signers_keep(struct signers *s, struct id account, const struct thumbprint *thumbprint);

/* --- wait.c: where a request waits a moment for what it has set going --- */
struct waitroom;
struct waiting {
	struct id id;
	struct http_parking *parking;
	sem_t missed; /* somebody wanted to call it when the wait was over already */
	struct waiting *next;
};
struct waitroom *waitroom_new(void);
void waitroom_free(struct waitroom *w); /* nobody waits any more; accepts NULL */
/* Takes a seat for a request that has parked, before the job is sent, so that its result cannot slip by. */
void waitroom_enter(struct waitroom *w, struct waiting *seat, struct http_parking *parking, struct id id);
/* First of all when the request goes on; called: as it was told. Then the seat is free. */
void waitroom_leave(struct waitroom *w, struct waiting *seat, bool called);
void waitroom_call(struct waitroom *w, struct id id);

/* --- patience.c: what an order's clients may still wait for verdicts --- */
struct patience;
struct patience *patience_new(void);
void patience_free(struct patience *p);
/* For how long one more of this order may wait, of budget_ms in all; 0: not at all, else patience_end follows. The clock is
 * the monotonic one. */
int64_t patience_begin(struct patience *p, struct id order, int64_t now_ms, int64_t budget_ms);
enum patience_end {
	PATIENCE_CALLED,
	PATIENCE_IN_VAIN,   /* for as long as it might */
	PATIENCE_CUT_SHORT, /* by something else: it says nothing of how long others would wait */
	PATIENCE_END_COUNT
};
void patience_end(struct patience *p, struct id order, int64_t now_ms, enum patience_end how);

struct acme {
	struct acme_deps d;
	pthread_mutex_t view_lock;
	struct view *view;
	struct nonces *nonces;
	struct keycache *keys;
	struct signers *signers;
	struct waitroom *room;
	struct patience *patience;
	int64_t next_retention_ms;        /* the sweeper's own, as what follows */
	struct sweep_mark retention_from; /* how far a round of retention has come */
	bool recovered;                   /* its first round is over */
};
struct view *view_get(struct acme *a); /* a reference; give it back with view_put */
void view_put(struct view *v);
void view_auto(struct view **v);
const struct key *view_perspective_key(const struct view *v, struct str name); /* NULL: not pinned */
const struct key *view_operator_key(const struct view *v, struct str name);    /* NULL: not pinned */
const struct view_issuer *view_issuer(const struct view *v, struct str name);  /* NULL: not configured */

/* --- a call: one request on its way through the gate to its handler --- */
enum auth { AUTH_NONE, AUTH_JWK, AUTH_KID, AUTH_EITHER };
enum payload_rule { PAYLOAD_NONE, PAYLOAD_EMPTY, PAYLOAD_JSON, PAYLOAD_EITHER };
struct route;
struct call {
	struct acme *a;
	const struct conf *conf;
	struct view *view; /* a reference */
	const struct conf_realm *realm;
	const struct route *route;
	struct str rest;   /* the path's part that the route's '*' matched */
	struct str rest2;  /* and a second '*' */
	struct id path_id; /* rest as an id, for routes that have one */
	const struct http_request *rq;
	struct arena *mem;
	int64_t now_ms;
	struct jws jws;             /* after the gate */
	struct json *payload;       /* NULL for POST-as-GET */
	struct account_row account; /* zero when the request is signed by an embedded key */
	bool account_of_gate;       /* it was read before the handler's transactions: these need not */
	bool account_is_read;       /* else only its id is there yet, and the key is the one that it had last */
	struct key *key;            /* the account's, or the embedded one (owned) */
	struct thumbprint thumbprint;
	struct http_reply *re;
	struct str problem_extra;
	bool wants_nonce;
	fallible (*then)(struct call *c, bool called, struct err *err); /* it is parked; what makes the reply */
	void *then_ctx;
	struct waiting seat;
};
struct route {
	enum http_method method;
	const char *path; /* below the realm's prefix; a '*' (at most two) stands for one segment */
	enum auth auth;
	enum payload_rule payload;
	bool has_id;           /* the first '*' is an id: anything else is 404 before the store is asked */
	const char *directory; /* its name in the directory object, or NULL */
	fallible (*handle)(struct call *c, struct err *err);
	bool quick; /* a GET that needs neither store nor wait: answered in the event loop */
	/* The handler reads the account, by call_account or account_still_valid, first of all in its first transaction: with
	 * a key that is known the gate then needs none of its own. */
	bool reads_account;
	bool begins; /* refused first when there is too much to do: nothing was done for it yet that would be lost */
};
const struct route *routes(size_t *ret_count);
/* What the directory says of it: below the realm's base, without the "*" at its end that a client fills in. */
struct str route_directory_path(const struct route *r);

/* route.c: instead of replying now. True: it is parked, with a seat for `id`; the handler may then only send its job (or
 * http_parking_end the wait) and return OK. `then` makes the reply, of what it reads. False: nobody waits.
 * The payload is gone either way. */
bool call_park(struct call *c, int64_t wait_ms, struct id id,
	       fallible (*then)(struct call *c, bool called, struct err *err), void *ctx);

/* gate.c: bytes -> a verified call, in the order of cost and safety (DESIGN 3). */
fallible gate_pass(struct call *c, struct err *err);
/* Reads the account, when that is not done yet, and refuses what the gate would have refused. */
fallible call_account(struct call *c, struct store_tx *tx, struct err *err);

/* reply.c: URLs, headers and the JSON of each resource. */
struct str call_url(const struct call *c, const char *what, struct id id, const char *tail); /* tail: "", "/finalize" */
struct str realm_base(const struct conf *conf, const struct conf_realm *realm, struct arena *mem);
fallible reply_link(struct call *c, struct str url, const char *rel, struct err *err);
fallible reply_location(struct call *c, struct str url, struct err *err);
fallible reply_retry_after(struct call *c, int64_t seconds, struct err *err);
/* Begins a JSON body. */
struct jw reply_json(struct call *c, int status, struct err *err);
/* binding: JSON of the externalAccountBinding to say back (RFC 8555 7.3.4), or empty. */
fallible reply_account(struct call *c, int status, const struct account_row *a, struct str binding, struct err *err);
fallible reply_order(struct call *c, int status, const struct order_row *o, const struct id *authzs, size_t authz_count,
		     struct err *err);
/* declined: the names below it were asked for, too, and are not given (RFC 9444 4.2). */
fallible reply_authz(struct call *c, int status, const struct authz_row *z, bool declined,
		     const struct challenge_row *ch, size_t ch_count, struct err *err);
fallible reply_challenge(struct call *c, const struct challenge_row *ch, struct err *err);
/* A JSON array of them. */
void write_names(struct jw *w, const struct conf_list *names);
fallible problem_text(struct arena *mem, const struct err *e, struct str extra, struct str *ret, struct err *err);
void reply_problem(struct call *c, const struct err *e);

/* jobs.c: what goes out on the bus, built from the store. */
fallible jobs_send_validation(struct acme *a, const struct view *v, struct id attempt, struct err *err);
/* The same from rows that have just been committed. */
fallible jobs_send_attempt(struct acme *a, const struct view *v, const struct attempt_row *attempt,
			   const struct challenge_row *ch, const struct authz_row *z, struct err *err);
/* What fits no job now never will: its order ends at once (promise 3), and that is OK. */
fallible jobs_send_signing(struct acme *a, struct id issuance, struct err *err);
fallible jobs_send_intent(struct acme *a, const struct view *v, const struct issuance_row *intent,
			  const struct order_row *order, const struct account_row *account, struct err *err);
/* The job as jobs_send_signing sends it, whatever has become of it. */
fallible jobs_signing_text(struct acme *a, struct id issuance, struct buf *ret, struct err *err);
/* Ends an issuance that brought no certificate, with its order: `to` is refused (the signer said so) or abandoned. */
fallible jobs_fail_issuance(struct store_tx *tx, struct arena *mem, const struct issuance_row *i,
			    enum issuance_status to, const char *actor, int64_t now, const struct err *why,
			    struct str extra, struct err *err);
/* Ends a challenge as failed, with its authorization and the orders that wait for it: one place for verdicts and
 * sweeper. */
fallible jobs_fail_challenge(struct store_tx *tx, struct arena *mem, const struct challenge_row *ch, struct id attempt,
			     int64_t now, struct str problem, struct err *err);

/* apply.c: only a store that cannot take it now is a reason to see a message of the bus again. */
bool apply_is_put_off(struct rc rc);
fallible perspective_of_zone(const struct view *view, struct str zone_name, struct str perspective, struct err *err);

/* limit.c: charges one to the bucket inside tx; per_hour 0 is "no limit". ERR_RATE_LIMITED says when to come back. */
fallible limit_check(struct call *c, struct store_tx *tx, struct str bucket, int64_t per_hour, const char *what,
		     struct err *err);
/* The same, for a favour and not for a right: *ret says whether there was room. */
fallible limit_has_room(struct call *c, struct store_tx *tx, struct str bucket, int64_t per_hour, bool *ret,
			struct err *err);

/* handlers */
fallible get_directory(struct call *c, struct err *err);
fallible get_health(struct call *c, struct err *err);
fallible post_new_account(struct call *c, struct err *err);
fallible post_account(struct call *c, struct err *err);
fallible post_account_orders(struct call *c, struct err *err);
fallible post_new_order(struct call *c, struct err *err);
fallible post_order(struct call *c, struct err *err);
fallible post_finalize(struct call *c, struct err *err);
fallible post_authz(struct call *c, struct err *err);
fallible post_challenge(struct call *c, struct err *err);
fallible post_certificate(struct call *c, struct err *err);
fallible post_certificate_alternate(struct call *c, struct err *err); /* cert.c */
fallible post_key_change(struct call *c, struct err *err);            /* keychange.c */
fallible post_revoke_cert(struct call *c, struct err *err);           /* revoke.c */
fallible post_new_authz(struct call *c, struct err *err);             /* newauthz.c */
fallible get_renewal_info(struct call *c, struct err *err);           /* ari.c */

/* eab.c: the binding of a newAccount payload (RFC 8555 7.3.4). Checked before the account's transaction and used up in
 * it. */
struct eab_binding {
	struct str kid;  /* empty: none */
	struct str text; /* its JSON, as the account object says it back */
};
fallible eab_check(struct call *c, struct eab_binding *ret, struct err *err);
fallible eab_spend(struct call *c, struct store_tx *tx, const struct eab_binding *b, struct err *err);
/* May the account, by the key that it is bound to, order this? ERR_REJECTED_IDENTIFIER, ERR_INVALID_PROFILE, or
 * ERR_UNAUTHORIZED when that key is gone. Accounts without a binding: OK. */
struct eab_grant { /* read once a request */
	bool bound;
	struct conf_list names, profiles; /* none: whatever the realm allows */
	int64_t lifetime_s;               /* of certificates; 0: realm and profile decide */
};
fallible eab_grant_read(struct call *c, struct store_tx *tx, struct eab_grant *ret, struct err *err);
fallible eab_allows(const struct eab_grant *g, const struct ident *ident, struct err *err);
bool eab_allows_profile(const struct eab_grant *g, struct str profile);

/* keychange.c: whether this key-change request, whose outer signature does not verify, repeats one that was carried out:
 * the account's present key signed its inner JWS. */
bool key_change_is_done(struct call *c);

/* revoke.c: compromised keys get nothing any more; `kind` is what the refusal is. Inside the transaction that would make
 * something for the key. */
fallible key_check_blocked(struct store_tx *tx, const struct sha256 *spki_hash, enum err_kind kind, struct err *err);

/* account.c: an audit row about what this call does. detail: JSON object text, or empty. */
fallible call_audit(const struct call *c, struct store_tx *tx, const char *event, struct str object, struct str detail,
		    struct err *err);
/* "account:<id>", or "key:<thumbprint>" for a request that is signed by an embedded key. */
struct str call_actor(const struct call *c);

/* account.c: terms that changed since the account agreed (RFC 8555 7.3.3): before anything new is made for it. */
fallible terms_still_agreed(struct call *c, struct err *err);

/* Inside every transaction that changes something: a deactivation or a key change that was acknowledged before it must
 * hold (A12, A13): the account is valid and has the key that signed this request. */
fallible account_still_valid(struct call *c, struct store_tx *tx, struct err *err);

/* The order of this account, or ERR_NOT_FOUND/ERR_UNAUTHORIZED in the same words for "not there" and "not yours" (A11).
 */
fallible order_of_call(struct call *c, struct store_tx *tx, struct id id, struct order_row *ret, struct err *err);

#endif

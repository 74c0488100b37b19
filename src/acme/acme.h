/* SPDX-License-Identifier: Apache-2.0
 *
 * acme.h: the protocol of RFC 8555 as a function: acme_handle(app, request) -> reply. Handlers see no socket, no event
 * loop and no OpenSSL type, so a test or a fuzzer can call them. What comes from the bus (verdicts, signed
 * certificates) and what time brings (the sweeper) are the other two ways in.
 */
#ifndef CAIRN_ACME_ACME_H
#define CAIRN_ACME_ACME_H

#include "bus/bus.h"
#include "conf/conf.h"
#include "http/http.h"
#include "jose/jose.h"
#include "store/store.h"

struct acme;
struct acme_deps { /* all borrowed; must outlive the app */
	struct store *store;
	const struct crypto *crypto;
	const struct log *log;
	const struct clock *clk;
	const struct rng *rng;
	const struct secret *seal_key; /* opens external account keys; SEAL_KEY_LEN bytes, or NULL: there are none */
	/* Hands a message to the bus: bus_publish on a running server, a script in replay tests. */
	fallible (*publish)(void *ctx, struct str topic, struct str body, struct err *err);
	void *publish_ctx;
};
/* Reads the pinned perspective keys that the configuration names. The configuration passes to the app on success. */
fallible acme_new(const struct acme_deps *deps, struct conf *conf, struct acme **ret, struct err *err);
void acme_free(struct acme *a);
/* Takes over what may change without a restart; on failure the old one stays. Requests in flight keep the one they
 * began with. */
fallible acme_reload(struct acme *a, struct conf *conf, struct err *err);
/* Would acme_new find every issuer's alternate chains fit to serve? ERR_CONFIG names the setting, file and link. For
 * `cairn check-config`; needs no store. */
fallible acme_check_alternates(const struct conf *conf, struct err *err);

/* The callbacks of struct http_handlers; ctx is the struct acme. */
bool acme_quick(void *ctx, const struct http_request *rq, struct http_reply *re);
bool acme_begins(void *ctx, const struct http_request *rq);
void acme_handle(void *ctx, const struct http_request *rq, struct http_reply *re);
void acme_refuse(void *ctx, int status, const char *detail, struct http_reply *re);

/* A message from the bus. OK also for what is old, repeated or not ours (logged): it must not come again.
 * ERR_UNAVAILABLE: the store could not take it now, deliver it again. */
fallible acme_apply_verdict(struct acme *a, struct str body, struct err *err);
fallible acme_apply_signed(struct acme *a, struct str body, struct err *err);
/* What an attempt met before it tries again: a text for the client, whoever sent it. Always OK: what cannot be kept now
 * is not worth coming again. */
fallible acme_apply_progress(struct acme *a, struct str body, struct err *err);

/* The line of `cairn audit export` for a certificate; ctx of a function pointer is the struct acme. ERR_NOT_FOUND: there is
 * none of this id. */
fallible acme_evidence(struct acme *a, struct id certificate, struct buf *ret, struct err *err);

/* One round of the sweeper: sends again what has no result, ends what passed its deadline, removes what retention
 * allows. */
fallible acme_sweep(struct acme *a, struct err *err);

/* --- recover.c: what the signer's journal has and a store that was restored from an older backup does not --------------*/
#define ACME_CHAIN_MAX (64 * 1024)
struct acme_lost { /* a certificate, as the journal knows it; borrowed */
	struct id issuance, order, account;
	struct str realm, profile, issuer, der;
	int64_t at_ms; /* when it was signed */
};
enum acme_recovery {
	RECOVERY_KNOWN,      /* the store has it */
	RECOVERY_PENDING,    /* the store waits for it, and will get it from the signer by itself */
	RECOVERY_ADDED,      /* it is in the store again, and its order valid */
	RECOVERY_ORDER_KEPT, /* the same, but its order has ended otherwise and stays so */
	RECOVERY_COUNT
};
struct acme_recovered {
	enum acme_recovery result;
	bool account_lost; /* one that nobody has the key of stands in its place */
};
struct acme_recover_deps { /* borrowed */
	struct store *store;
	const struct conf *conf; /* for the issuers' chains */
	const struct crypto *crypto;
	const struct clock *clk;
	const struct rng *rng;
};
/* One certificate, in one transaction; again does nothing. The CA is stopped. */
fallible acme_recover(const struct acme_recover_deps *d, const struct acme_lost *lost, struct acme_recovered *ret,
		      struct err *err);

#endif

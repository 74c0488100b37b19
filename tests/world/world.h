/* SPDX-License-Identifier: Apache-2.0
 *
 * world.h: a whole CA in one process for tests: the real store (in a temporary folder), the real protocol, validator
 * and signer, joined by a bus that the test holds in its hands; time, DNS and HTTP answers are scripted. And a client
 * that can say anything, right or wrong. One thread owns a world; others may only call world_send_on, and the api under
 * it may publish from any of them.
 */
#ifndef CAIRN_TESTS_WORLD_H
#define CAIRN_TESTS_WORLD_H

#include "acme/acme.h"
#include "sign/sign.h"
#include "validate/validate.h"

#include <pthread.h>

#define WORLD_BASE "https://ca.test"
#define WORLD_QUEUE_MAX 4096
#define WORLD_SITES_MAX 64
#define WORLD_CAA_MAX 8
#define WORLD_HELD_MAX 256

struct world_message {
	struct str topic, body;
};
struct world_site { /* what a name answers over HTTP and, as _acme-challenge's TXT, in the DNS; an empty body: 404 */
	struct str name;
	struct str thumbprint; /* key authorizations of this account are served for any token */
	struct str body, txt;  /* served for any token, instead */
	struct str persist;    /* _validation-persist's TXT; empty: none */
	int status;
	bool refuses; /* connection refused, SERVFAIL */
	struct resolve_caa_record caa[WORLD_CAA_MAX];
	size_t caa_count;
	size_t caa_failures; /* so many lookups of CAA are answered SERVFAIL before the records are */
	size_t caa_lookups;
};

struct world {
	char dir[128];
	int64_t now_ms;
	struct clock clock;
	struct log log;
	struct crypto *crypto;
	struct conf *conf; /* the world's own reading of the configuration, for validator and signer */
	struct store *store;
	struct acme *acme;
	struct signer *signer;
	struct key *perspective_key;
	struct key *operator_key; /* of the operator ops, who may sign grants */
	struct arena mem;
	pthread_mutex_t lock; /* the bus: bus_mem, queue, first, last */
	struct arena bus_mem;
	struct world_message queue[WORLD_QUEUE_MAX];
	size_t first, last;
	struct world_site sites[WORLD_SITES_MAX];
	size_t site_count;
	bool validator_down, signer_down, bus_down, doubling, losing_verdicts, losing_certificates, losing_progress;
	bool late_verdicts, late_progress; /* are held back until world_release */
	struct world_message held[WORLD_HELD_MAX];
	size_t held_count;
	size_t delivered;
	atomic_uint parked;                       /* requests that have waited for their outcome, or do */
	struct http_parking *_Atomic last_parked; /* of the last of them */
	bool waits_take_time; /* a wait in vain takes its time of the world's; only without other threads */
	int64_t waits_ms;     /* for how long requests wait really, whatever they are told; 0: as they are told */
	/* Called while a probe waits for its next attempt; the time has passed already. *ret_killed: the validator dies
	 * here, and says nothing any more. NULL: nothing happens meanwhile. */
	fallible (*meanwhile)(void *ctx, bool *ret_killed, struct err *err);
	void *meanwhile_ctx;
	struct secret seal_key;
	const char *waits_text; /* the api's settings of its waits; NULL: it waits for nobody */
	const char
		*issuer_text; /* more settings of the issuer, as indented YAML lines, from the next configuration on */
};

/* Makes folders, keys, issuer, configuration; opens everything. realm_text (YAML) replaces the default realm; NULL
 * keeps it. */
fallible world_open(struct world *w, const char *realm_text, struct err *err);
/* Closes api and store as a kill would leave them for the next start, and opens them again. */
fallible world_restart_api(struct world *w, struct err *err);
fallible world_restart_signer(struct world *w, struct err *err);
/* Another configuration for all programs, as after SIGHUP: realm_text is as in world_open. */
fallible world_configure(struct world *w, const char *realm_text, struct err *err);
void world_close(struct world *w);
struct world_site *world_site(struct world *w, struct str name); /* found or made */
/* All that the store has: SQLite's files, or the text of each row of PostgreSQL's tables. */
fallible world_store_bytes(struct world *w, struct buf *ret, struct err *err);
/* Delivers what is on the bus, and what comes of it, until it is empty. */
fallible world_run(struct world *w, struct err *err);
/* Delivers one message, and leaves what comes of it on the bus. ERR_NOT_FOUND when there is none. */
fallible world_step(struct world *w, struct err *err);
/* What was held back goes to the bus, but for what still is. */
fallible world_release(struct world *w, struct err *err);

/* --- the client ----------------------------------------------------------------------------------------------------*/
struct world_account {
	struct key *key;
	struct thumbprint thumbprint;
	struct str url;
};
fallible world_account_new(struct world *w, struct world_account *a,
			   struct err *err); /* makes a key and registers it */

struct world_reply {
	int status;
	const char *content_type; /* as the handler set it; NULL: none */
	struct str body, headers;
	struct json *json; /* the body when it is JSON; freed with world_reply_done */
};
void world_reply_done(struct world_reply *r);
struct str world_header(const struct world_reply *r, const char *name); /* p == NULL when absent */
/* A raw request whose answer lives in `mem`: any thread may send one, each with an arena of its own. */
fallible world_send_on(struct world *w, struct arena *mem, enum http_method method, struct str path,
		       struct str content_type, struct str body, struct world_reply *ret, struct err *err);
/* A raw request. */
fallible world_send(struct world *w, enum http_method method, struct str path, struct str content_type, struct str body,
		    struct world_reply *ret, struct err *err);
fallible world_nonce(struct world *w, struct str *ret, struct err *err);
/* A signed POST to a URL of the world, with a fresh nonce. kid empty: the embedded key. */
fallible world_post(struct world *w, const struct world_account *a, struct str url, struct str payload,
		    struct world_reply *ret, struct err *err);
struct str world_path(struct str url); /* what comes after WORLD_BASE */
/* The same, made and not sent: for races, and for what is sent twice. */
fallible world_sign(struct world *w, const struct world_account *a, struct str url, struct str payload, struct str *ret,
		    struct err *err);

/* The usual steps, each of which must succeed. An order is its URL. */
fallible world_order_new(struct world *w, const struct world_account *a, struct str name, struct str *ret,
			 struct err *err);
/* Answers the challenge of its one name ... */
fallible world_challenge_answer(struct world *w, const struct world_account *a, struct str order, struct err *err);
/* ... and delivers what is on the bus. */
fallible world_order_prove(struct world *w, const struct world_account *a, struct str order, struct err *err);
fallible world_order_status(struct world *w, const struct world_account *a, struct str order, struct str *ret,
			    struct err *err);
/* The payload of a finalize: a CSR for this name, under k. */
fallible world_csr(struct world *w, const struct key *k, struct str name, struct str *ret_payload, struct err *err);

/* An order for this name, proven, finalized with a CSR under k and signed: the certificate, as DER. */
fallible world_issue(struct world *w, const struct world_account *a, const struct key *k, struct str name,
		     struct str *ret_der, struct err *err);
/* What stands behind accounturi= in a record of dns-persist-01 for this account under its present key; domain: a name, or "*"
 * (draft-ietf-acme-dns-persist-02 4.1). */
fallible world_persist_uri(struct world *w, const struct world_account *a, struct str domain, struct str *ret,
			   struct err *err);
/* A grant of these names for this account's key of now, from now for 30 days. */
struct grant world_grant(struct world *w, const struct world_account *a, struct str *names, size_t count);
fallible world_grant_sign(struct world *w, const struct grant *g, const struct key *k, struct str *ret,
			  struct err *err);
/* Signed by the world's operator, or with another key, and stored without a look at it. */
fallible world_grant_add(struct world *w, const struct grant *g, const struct key *k, struct err *err);
/* Only the signer, or only the api, hears of it. */
fallible world_grant_revoke_signer(struct world *w, struct id id, struct err *err);
fallible world_grant_revoke_api(struct world *w, struct id id, struct err *err);
/* An external account key, as `cairn eab add` makes one: `row` without its secret, which is sealed here. */
fallible world_eab_add(struct world *w, const struct eab_row *row, struct str secret, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * signer_internal.h: the signer's state, shared by signer.c (opening, reloading), issue.c (batches), own_tls.c (the
 * API's own certificate) and serve.c (the bus).
 */
#ifndef CAIRN_SIGN_SIGNER_INTERNAL_H
#define CAIRN_SIGN_SIGNER_INTERNAL_H

#include "sign/crew.h"
#include "sign/recheck.h"

#include <assert.h>
#include <pthread.h>

static_assert(JOB_MAX <= BUS_BODY_MAX, "the bus carries the largest job");

#define SIGN_BATCH_MAX 64
#define SIGN_QUEUE_MAX 256
#define SIGN_CREDITS 128

struct signer_issuer {
	char *name; /* own copy: the configuration may be replaced */
	struct issuer *issuer;
};

struct signer_queue { /* deliveries on their way from the bus's thread to the signer's */
	pthread_mutex_t lock;
	pthread_cond_t wake; /* something to do, or to stop */
	pthread_cond_t idle; /* not busy any more */
	struct bus_delivery *v[SIGN_QUEUE_MAX];
	size_t head, count;
	bool stop, busy, broken;
};

struct file_mark { /* whether a file is the one that was read */
	bool gone;
	int why; /* errno of what is gone */
	uint64_t inode;
	int64_t size, changed_ns;
};
struct revoked_file { /* signer.revoked-grants, as it was read last */
	struct arena mem;
	struct revoked_grants list;
	struct file_mark mark;
	bool known;
};

struct signer {
	pthread_mutex_t lock; /* over all but the queue: one batch, reload or renewal at a time */
	const struct conf *conf;
	const struct crypto *crypto;
	const struct log *log;
	const struct clock *clk;
	const struct rng *rng;
	struct keystore *keystore;
	struct crew *crew; /* signs a batch side by side, when a token can */
	struct signer_issuer *issuers;
	size_t issuer_count;
	struct pinned_keys keys;
	struct keycache *accounts; /* of those whose orders are signed */
	struct revoked_file revoked;
	int64_t keep_ms;
	struct journal *journal;

	struct bus *bus;
	pthread_t thread;
	bool thread_runs;
	struct signer_queue queue;
	void (*on_broken)(void *ctx);
	void *on_broken_ctx;
};

const struct signer_issuer *signer_issuer(const struct signer *s, struct str name); /* NULL: not loaded */
/* Leaf, then the issuer's chain. */
fallible signer_chain_pem(const struct signer_issuer *i, struct str der, struct buf *ret, struct err *err);
/* One certificate of the signer's own, through the same lint and journal; the caller holds s->lock. */
struct own_request {
	const struct signer_issuer *issuer;
	const struct cert_template *template;
	const struct cert_request *request;
};
fallible signer_issue_own(struct signer *s, const struct own_request *o, struct buf *ret_der, struct err *err);

/* Tells the log and, for alarms, in words that a rule can match: "alarm: ...". */
void signer_tell_refused(const struct signer *s, const struct sign_job *job, const struct err *why, const char *alarm);

/* Reads the list of revoked grants when it is another one than before; the caller holds s->lock. */
void signer_reread_revoked(struct signer *s);

void queue_init(struct signer_queue *q);
void queue_done(struct signer_queue *q);

#endif

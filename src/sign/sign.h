/* SPDX-License-Identifier: Apache-2.0
 *
 * sign.h: the signer. It believes nobody: a job carries its evidence, and recheck.c checks all of it against the signer's own
 * configuration and pinned keys before a certificate is built, linted, journaled, signed, verified and released (DESIGN 5).
 */
#ifndef CAIRN_SIGN_SIGN_H
#define CAIRN_SIGN_SIGN_H

#include "bus/bus.h"
#include "conf/conf.h"
#include "jose/jose.h"
#include "model/model.h"
#include "pki/pki.h"
#include "sign/keystore.h"

/* --- journal: checksummed, append-only, fsynced; what may have been signed is known before it is (promise 4) -------*/
struct journal;
enum journal_kind { JOURNAL_BEGIN = 1, JOURNAL_DONE, JOURNAL_REFUSED };
struct journal_entry { /* one issuance as the journal knows it; borrowed from the journal or mem */
	struct id issuance, order;
	/* Whose and of what kind, so that a store that lost it can be told again; empty: a certificate of the CA's own, or
	 * a record from before they were kept. */
	struct id account;
	struct str realm, profile, issuer;
	struct str serial_hex;
	struct sha256 job_hash; /* over what was asked: a repeat must ask for the same */
	struct sha256 tbs_hash;
	bool done;
	struct str tbs; /* of a begin: the bytes that are about to be signed */
	struct str der; /* of a done: the certificate */
	struct str why; /* of a refusal */
	int64_t at_ms;  /* the journal writes its own clock's time */
};
/* A torn last record is cut off (it was never acknowledged); damage elsewhere refuses to open and says where and what to do.
 * A second opener is refused. Keeps in memory what is younger than keep_ms only (cost stays flat). */
fallible journal_open(const char *dir, int64_t keep_ms, const struct crypto *c, const struct clock *clk,
		      struct journal **ret, struct err *err);
void journal_close(struct journal *j);
/* Adds without writing; journal_sync makes all added so far durable, in one write and one sync. A full disk makes journal_sync
 * fail with ERR_UNAVAILABLE: what was added since the last sync is forgotten, the file is as before, later calls may succeed.
 * After any other failure of writing or syncing the journal is broken: it refuses everything until it is opened anew, because
 * nobody knows what the kernel still has (fsync tells once). journal_begin refuses while the clock is more than 5 minutes
 * behind the last record. One thread at a time. */
fallible journal_begin(struct journal *j, const struct journal_entry *e, struct err *err);
fallible journal_done(struct journal *j, const struct journal_entry *e, struct err *err);
fallible journal_refused(struct journal *j, const struct journal_entry *e, struct str why, struct err *err);
fallible journal_sync(struct journal *j, struct err *err);
/* By order (one certificate an order) and by serial (never twice). ERR_NOT_FOUND. */
fallible journal_find_order(struct journal *j, struct arena *mem, struct id order, struct journal_entry *ret,
			    struct err *err);
bool journal_has_serial(struct journal *j, struct str serial_hex);
bool journal_is_broken(const struct journal *j);
/* The torn last record that journal_open cut off: how many bytes (0: none) and the file that keeps them. For the log. */
uint64_t journal_torn(const struct journal *j, const char **ret_kept);
/* Walks every record of a folder without opening it for writing: tests, audit, oracle. A torn last record is passed over. */
fallible journal_walk(const char *dir,
		      fallible (*fn)(void *ctx, enum journal_kind kind, const struct journal_entry *e, struct err *err),
		      void *ctx, struct err *err);
struct journal_copied {
	uint64_t certificates;    /* in all of it */
	size_t segments, written; /* files; those of them that were new or longer than in an earlier copy */
};
/* Copies a journal, which its signer may be writing, into the folder `to`, which is made when it is missing: all records
 * that are durable when they are read, each of them checked, and no part of another. An earlier copy of the same journal
 * there is looked at again and made longer. ERR_CONFLICT: what is there is none, or damaged, or another copy is being made; no
 * file of it is replaced then. ERR_CONFIG: it is the journal itself. */
fallible journal_copy(const char *dir, const char *to, struct journal_copied *ret, struct err *err);

/* --- the signer ---------------------------------------------------------------------------------------------------*/
struct signer;
/* conf is borrowed until signer_reload took another or signer_free; so are the others. */
fallible signer_new(const struct conf *conf, const struct crypto *crypto, const struct log *log,
		    const struct clock *clk, const struct rng *rng, struct signer **ret,
		    struct err *err); /* loads issuers, pinned keys, journal */
/* Checks a batch of jobs and signs what holds: begin records, one fsync, signatures, done records, one fsync, results. The results are in
 * the order of the jobs; each says issued or why not. Only a journal or key failure makes the call itself fail (nothing is released then). */
fallible signer_batch(struct signer *s, struct arena *mem, const struct sign_job *jobs, size_t count,
		      struct sign_result *ret, struct err *err);
/* Consumes "sign" from the bus on a thread of its own, publishes "signed". */
fallible signer_start(struct signer *s, struct bus *bus, struct err *err); /* before bus_start */
fallible signer_reload(struct signer *s, const struct conf *conf,
		       struct err *err); /* realms, profiles, perspectives; never half */
/* Called once, on the signer's thread, when the journal or a key failed for good: the program should end with an error, so that
 * whoever started it starts it anew. Set it before signer_start. */
void signer_on_broken(struct signer *s, void (*fn)(void *ctx), void *ctx);
bool signer_is_broken(struct signer *s);
/* With api.tls-own: makes the API's own certificate when there is none, it does not go with its key or for its names, or less
 * than a third of its life is left. Key first, then chain, each atomically. Ask hourly. */
fallible signer_renew_tls(struct signer *s, bool *ret_renewed, struct err *err);
void signer_drain(struct signer *s,
		  int64_t wait_ms); /* finishes what is in work, gives the rest back; after it nothing is signed */
void signer_free(struct signer *s);

/* What certificates of this profile under this issuer are written from; borrows from both. */
struct cert_template sign_template(const struct conf_profile *p, const struct conf_issuer *i);

/* Grants that count no more. The file has an id a line, perhaps a blank and the time (RFC 3339) since when; # begins a
 * comment. Without a time it never counted; a file that is not there has none. ERR_CONFIG names the line. */
struct revoked_grant {
	struct id id;
	int64_t since_ms;
};
struct revoked_grants {
	struct revoked_grant *v;
	size_t n;
	bool unreadable; /* nobody knows what they are: no grant counts */
};
fallible revoked_grants_read(struct arena *mem, const char *path, struct revoked_grants *ret, struct err *err);
fallible revoked_grants_read_text(struct arena *mem, struct str text, struct revoked_grants *ret, struct err *err);

/* The keys that the configuration pins: perspectives', no two the same, and operators'. NULL stands for none. */
struct pinned_keys {
	struct key **perspectives; /* as conf->perspectives */
	size_t perspective_count;
	struct key **operators; /* as conf->operators */
	size_t operator_count;
	struct key_list *refused; /* subscribers' keys that get nothing */
};
fallible pinned_keys_read(const struct conf *conf, struct pinned_keys *ret, struct err *err);
void pinned_keys_done(struct pinned_keys *k);

/* The evidence check alone, for tests and `cairn audit verify`. Says why not in words that the client may read. */
struct recheck {
	const struct crypto *crypto;
	const struct conf *conf;
	struct key *const *perspective_keys; /* as conf->perspectives */
	struct key *const *operator_keys;    /* as conf->operators; NULL: no grant counts */
	struct revoked_grants revoked;
	const struct key_list *refused_keys; /* NULL: none */
	struct keycache *accounts;           /* NULL: each account's key is decoded each time */
	int64_t now_ms;
};
struct rechecked { /* what may be certified; slices in the arena */
	struct csr csr;
	struct cert_subject subject;
	bool has_subject;
	const struct str *emails;
	size_t email_count;
};
void rechecked_done(struct rechecked *r);
/* *ret_alarm (may be NULL) is set when it fails: what is alarming about it, or NULL when an honest api may have asked,
 * because the job would have held within the last day, when the client asked. */
fallible recheck_job(const struct recheck *rk, struct arena *mem, const struct sign_job *job, struct rechecked *ret,
		     const char **ret_alarm, struct err *err);
/* What a job that held comes to, but for its serial; borrows from both. */
struct cert_request sign_request(const struct rechecked *held, const struct sign_job *job);

#include "sign/audit.h"

#endif

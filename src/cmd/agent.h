/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.h: what the files of cairn-agent share: its options, the folder it keeps, where answers go, and a session with a
 * server.
 */
#ifndef CAIRN_CMD_AGENT_H
#define CAIRN_CMD_AGENT_H

#include "client/client.h"

/* USERS.md: a cron job must be able to tell these apart. */
enum agent_exit { AGENT_CHANGED = 0, AGENT_ERROR = 1, AGENT_NOT_DUE = 2 };

struct agent_options {
	struct str server;
	struct ident idents[IDENTS_MAX]; /* canonical, none twice */
	size_t ident_count;
	enum challenge_type methods[CHALLENGE_TYPE_COUNT]; /* none twice; one at least for obtain */
	size_t method_count;
	const char *webroot; /* or NULL: standalone */
	bool standalone;
	bool has_http_address, has_tls_address;
	struct addr http_address, tls_address;
	uint16_t http_port, tls_port;
	const char *dns_hook; /* or NULL */
	int64_t dns_wait_s;
	const char *ca_file, *dir;
	struct str email;
	bool agree_terms, force, json, quiet;
	struct str eab_kid, profile;
	const char *eab_key_file;
	enum key_kind key_kind;
	unsigned rsa_bits;
	const char *certificate_file, *key_file; /* revoke */
	bool by_key;
	int reason;
	int64_t renew_days; /* 0: a third of the life */
	int64_t timeout_s;
};
bool agent_has_method(const struct agent_options *o, enum challenge_type method);

/* --- the folder (agent_files.c) -----------------------------------------------------------------------------------*/
/* The account's key; where there is none it is made, or (make false) refused. */
fallible agent_account_key(const struct crypto *c, struct arena *mem, const struct agent_options *o, bool make,
			   struct key **ret, struct err *err);
/* account.json, for people and for later commands. */
fallible agent_account_note(const struct crypto *c, struct arena *mem, const struct agent_options *o,
			    struct str account_url, struct err *err);
/* What account.json says; empty when there is none. */
struct str agent_account_url(const struct crypto *c, struct arena *mem, const struct agent_options *o);
/* A key change in two steps, so that no crash loses the key that the server knows: the next key lies beside the present
 * one from before the request until its outcome is certain. */
fallible agent_next_key_put(const struct crypto *c, struct arena *mem, const struct agent_options *o,
			    const struct key *key, struct err *err);
/* *ret stays NULL when none is there. */
fallible agent_next_key_get(const struct crypto *c, struct arena *mem, const struct agent_options *o, struct key **ret,
			    struct err *err);
fallible agent_next_key_take(const struct crypto *c, struct arena *mem, const struct agent_options *o, struct err *err);
void agent_next_key_drop(const struct crypto *c, struct arena *mem, const struct agent_options *o);
/* The account has ended: its key goes aside, so that a later command makes another account. */
fallible agent_account_retire(const struct crypto *c, struct arena *mem, const struct agent_options *o,
			      struct err *err);

/* DIR/certificates/NAME, locked against a second agent; "*." of a wildcard is "_." there. */
struct agent_place {
	struct str path;
	int lock_fd; /* agent_place_done */
};
/* make false: refused where no certificate is in place. */
fallible agent_place_open(struct arena *mem, const struct agent_options *o, bool make, struct agent_place *ret,
			  struct err *err);
void agent_place_done(struct agent_place *p);
/* The certificate that is in place; *ret stays NULL when there is none. */
fallible agent_place_current(struct arena *mem, const struct agent_place *p, struct cert **ret, struct err *err);
/* Key and chain together: until the one rename(2) at the end the old pair is in place, after it the new one. */
fallible agent_place_put(struct arena *mem, const struct agent_place *p, const struct key *key,
			 const struct client_chain *chain, struct err *err);
struct str agent_place_file(struct arena *mem, const struct agent_place *p, const char *name);
/* The certificate in place was revoked: another one is due. */
fallible agent_place_mark_revoked(struct arena *mem, const struct agent_place *p, struct err *err);
bool agent_place_is_revoked(struct arena *mem, const struct agent_place *p);

/* --- answers (agent_answers.c, agent_hook.c) ----------------------------------------------------------------------*/
struct agent_answers {
	const struct agent_options *options;
	const volatile sig_atomic_t *stop;
	int64_t deadline_mono_ms;
	struct responder *responder; /* standalone */
	struct alpn_responder *alpn;
	int dir_fd; /* webroot: where tokens go, while any is there */
	unsigned up;
	bool made_well_known, made_challenge;
};
/* Opens what the methods need; stop and deadline are the caller's to set. */
fallible agent_answers_open(const struct crypto *c, const struct agent_options *o, struct agent_answers *ret,
			    struct err *err);
void agent_answers_done(struct agent_answers *a);
fallible agent_publish(struct agent_answers *a, const struct client_answer *answer, struct err *err);
void agent_withdraw(struct agent_answers *a, const struct client_answer *answer);

/* Runs PROGRAM VERB NAME VALUE, without a shell, until it ends; its output goes to standard error. */
struct agent_hook {
	const char *program, *verb; /* "add", "remove" */
	struct str name, value;
	int64_t limit_ms;
	const volatile sig_atomic_t *stop; /* may be NULL */
};
fallible agent_hook_run(const struct agent_hook *h, struct err *err);

/* --- a session with the server (agent_session.c) ------------------------------------------------------------------*/
struct agent_session {
	const struct agent_options *o;
	const volatile sig_atomic_t *stop;
	struct arena mem;
	struct crypto *crypto;
	struct agent_answers answers;
	struct key *account_key, *next_key;
	struct secret eab_key;
	struct client *client;
	struct fetcher *fetcher;
	struct str account_url;
	int64_t deadline_mono_ms;
	enum challenge_type method; /* the last one that was answered; for advice */
	bool progress;
};
fallible agent_session_begin(struct agent_session *s, const struct agent_options *o, const volatile sig_atomic_t *stop,
			     struct err *err);
/* The client, by the account's key, or by `key` when it is not NULL: then there is no account. Ends a key change that was
 * cut off before. */
fallible agent_session_open(struct agent_session *s, bool make_account, struct key *key, struct err *err);
/* What was begun with s->client, to its end. ret_chain_pem may be NULL. */
fallible agent_session_run(struct agent_session *s, struct str *ret_chain_pem, struct err *err);
void agent_session_done(struct agent_session *s);

/* --- saying what came of it (agent_say.c) -------------------------------------------------------------------------*/
void agent_say_error(const struct agent_session *s, const struct err *e);
/* One JSON object on standard output: {"outcome":..., and what `put` writes (NULL: nothing), or the error. */
fallible agent_print_json(const struct agent_session *s, const char *outcome, const struct err *e,
			  void (*put)(struct jw *w, void *ctx), void *ctx, struct err *err);

/* --- the commands -------------------------------------------------------------------------------------------------*/
int agent_obtain(const struct agent_options *o, const volatile sig_atomic_t *stop);
int agent_revoke(const struct agent_options *o, const volatile sig_atomic_t *stop);
int agent_key_change(const struct agent_options *o, const volatile sig_atomic_t *stop);
int agent_deactivate(const struct agent_options *o, const volatile sig_atomic_t *stop);
int agent_persist_record(const struct agent_options *o, const volatile sig_atomic_t *stop);

#endif

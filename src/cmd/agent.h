/* SPDX-License-Identifier: Apache-2.0
 *
 * agent.h: what the files of cairn-agent share: its options, the folder it keeps, and where answers go.
 */
#ifndef CAIRN_CMD_AGENT_H
#define CAIRN_CMD_AGENT_H

#include "client/client.h"

/* USERS.md: a cron job must be able to tell these apart. */
enum agent_exit { AGENT_CHANGED = 0, AGENT_ERROR = 1, AGENT_NOT_DUE = 2 };

struct agent_options {
	struct str server;
	struct str names[IDENTS_MAX]; /* lower case, no name twice */
	size_t name_count;
	const char *webroot; /* or NULL: standalone */
	bool standalone;
	bool has_address; /* of --standalone */
	struct addr address;
	uint16_t http_port;
	const char *ca_file, *dir;
	struct str email;
	bool agree_terms, force, json, quiet;
	enum key_kind key_kind;
	unsigned rsa_bits;
	int64_t renew_days; /* 0: a third of the life */
	int64_t timeout_s;
};

/* --- the folder (agent_files.c) -----------------------------------------------------------------------------------*/
fallible agent_account_key(const struct crypto *c, struct arena *mem, const struct agent_options *o, struct key **ret,
			   struct err *err);
/* account.json, for people and for later commands. */
fallible agent_account_note(const struct crypto *c, struct arena *mem, const struct agent_options *o,
			    struct str account_url, struct err *err);

/* DIR/certificates/NAME, locked against a second agent. */
struct agent_place {
	struct str path;
	int lock_fd; /* agent_place_done */
};
fallible agent_place_open(struct arena *mem, const struct agent_options *o, struct agent_place *ret, struct err *err);
void agent_place_done(struct agent_place *p);
/* The certificate that is in place; *ret stays NULL when there is none. */
fallible agent_place_current(struct arena *mem, const struct agent_place *p, struct cert **ret, struct err *err);
/* Key and chain together: until the one rename(2) at the end the old pair is in place, after it the new one. */
fallible agent_place_put(struct arena *mem, const struct agent_place *p, const struct key *key,
			 const struct client_chain *chain, struct err *err);
struct str agent_place_file(struct arena *mem, const struct agent_place *p, const char *name);

/* --- answers (agent_answers.c) ------------------------------------------------------------------------------------*/
struct agent_answers {
	const struct agent_options *options;
	struct responder *responder; /* standalone */
	int dir_fd;                  /* webroot: where tokens go, while any is there */
	unsigned up;
	bool made_well_known, made_challenge;
};
fallible agent_answers_open(const struct agent_options *o, struct agent_answers *ret, struct err *err);
void agent_answers_done(struct agent_answers *a);
fallible agent_publish(void *ctx, struct str name, struct str token, struct str key_authorization, struct err *err);
void agent_withdraw(void *ctx, struct str name, struct str token);

/* --- `cairn-agent obtain` (agent_obtain.c) ------------------------------------------------------------------------*/
int agent_obtain(const struct agent_options *o, const volatile sig_atomic_t *stop);

#endif

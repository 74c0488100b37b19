/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore_internal.h: what the keystore's files share. Locks: a module's lock is over its tokens and their sessions; the
 * keystore's own over the watch and its list of modules. A module's lock may be held while the keystore's is taken,
 * never the other way round.
 */
#ifndef CAIRN_SIGN_KEYSTORE_INTERNAL_H
#define CAIRN_SIGN_KEYSTORE_INTERNAL_H

#include "sign/keystore.h"

#include <p11-kit/p11-kit.h>
#include <p11-kit/uri.h>
#include <pthread.h>

/* --- keystore_uri.c: RFC 7512, and what of it we take ------------------------------------------------------------*/
#define TOKEN_URI_MAX 4096
struct token_uri {
	P11KitUri *kit;
	const char *module_path; /* absolute */
	const char *pin_source;  /* absolute path, or NULL */
	struct str object, id;   /* at least one is there */
	char name[72];           /* the token, for people: label or serial */
};
fallible token_uri_read(struct str text, struct token_uri *ret, struct err *err);
void token_uri_done(struct token_uri *u);

/* --- keystore_attrs.c: public keys as tokens tell them -----------------------------------------------------------*/
/* params: CKA_EC_PARAMS, the curve's name as OBJECT IDENTIFIER or PrintableString. point: CKA_EC_POINT, in its OCTET
 * STRING as PKCS#11 wants it, or bare as some tokens have it. */
fallible token_ec_key(struct str params, struct str point, struct key **ret, struct err *err);
fallible token_rsa_key(struct str modulus, struct str exponent, struct key **ret, struct err *err);
struct str token_ec_params(enum key_kind kind); /* for making one; static bytes */

/* --- keystore_module.c: loading modules and watching over calls into them ----------------------------------------*/
struct watched { /* one call that is under way, on its caller's stack */
	struct watched *next, **at;
	const char *name;
	int64_t until_ms;
};

struct token;
struct module {
	struct module *next;
	struct keystore *ks;
	char *path;
	CK_FUNCTION_LIST *f;
	bool initialized, ours;
	pthread_mutex_t lock;
	pthread_cond_t changed; /* a session is free, or the last one of a lost token was given back */
	struct token *tokens;
};

struct keystore {
	struct keystore_conf conf;
	char *refused_dir;
	pthread_mutex_t lock;
	struct module *modules;
	struct watched *calls;
	pthread_cond_t wake;
	pthread_t watch;
	int64_t watch_until_ms; /* when it wakes by itself */
	bool watch_runs, stop;
	unsigned width;
	struct token *made_in; /* keystore_make's token and handles */
	CK_OBJECT_HANDLE made_public, made_private;
};

/* Path, folders above it and their owners are such that nobody else can change what would be loaded (THREATS A87). */
fallible module_path_check(const char *path, char **ret_real, struct err *err);
/* The same path gives the same module. */
fallible module_open(struct keystore *ks, const char *path, int64_t timeout_ms, struct module **ret, struct err *err);
void module_close(struct module *m);
fallible module_initialize(struct module *m, int64_t timeout_ms, struct err *err);
void module_finalize(struct module *m, int64_t timeout_ms);
void watch_begin(struct keystore *ks, struct watched *w, const char *name, int64_t timeout_ms);
void watch_end(struct keystore *ks, struct watched *w);
#define MODULE_CALL(m, timeout_ms, rv, fn, ...)                  \
	do {                                                     \
		struct watched call_ = { .name = #fn };          \
		watch_begin((m)->ks, &call_, #fn, (timeout_ms)); \
		(rv) = (m)->f->fn(__VA_ARGS__);                  \
		watch_end((m)->ks, &call_);                      \
	} while (0)
#define TOKEN_CALL(t, rv, fn, ...) MODULE_CALL((t)->module, (t)->timeout_ms, rv, fn, __VA_ARGS__)
fallible fail_rv(struct err *err, enum err_kind kind, const char *call, CK_RV rv);

/* --- keystore_token.c: one token: its slot, login, sessions; lost and found --------------------------------------*/
struct token {
	struct token *next;
	struct module *module;
	struct token_uri uri; /* its own copy */
	struct secret pin;
	bool has_pin, pin_refused;
	int64_t timeout_ms;
	CK_TOKEN_INFO info; /* as last seen */
	CK_SLOT_ID slot;
	bool up, told_lost;
	unsigned generation; /* of handles; raised when sessions were opened anew */
	unsigned failures;   /* since the last signature */
	int64_t retry_at_ms;
	char why[160]; /* it is not up */
	unsigned width, open, busy;
	CK_SESSION_HANDLE sessions[TOKEN_SESSIONS_MAX];
	bool is_busy[TOKEN_SESSIONS_MAX];
};
/* Finds the token that the URI names, logs in and opens sessions; one that is open already is shared. */
fallible token_open(struct keystore *ks, const struct keystore_key *where, struct token **ret, struct err *err);
void token_free(struct token *t);
struct lease { /* a session for one thread, until it is given back */
	struct token *token;
	unsigned index, generation;
	CK_SESSION_HANDLE session;
};
/* Waits for a free session; opens a lost token again when it is time for that. ERR_UNAVAILABLE while it is away,
 * ERR_CONFIG when its PIN was refused. */
fallible token_lease(struct token *t, struct lease *ret, struct err *err);
/* lost: what failed, and the token is to be opened anew; NULL: nothing was wrong. */
void token_give_back(const struct lease *l, const char *lost);
void token_signed(struct token *t); /* a signature was made: the token is well */

/* --- keystore_pin.c: refused PINs are remembered ------------------------------------------------------------------*/
bool pin_was_refused(const struct token *t);
void pin_remember_refused(const struct token *t);
void pin_forget_refused(const struct token *t);

/* --- keystore_object.c: keys in a token ----------------------------------------------------------------------------*/
/* The private key that uri names: exactly one. ERR_NOT_FOUND when there is none. */
fallible object_find(const struct lease *l, const struct token_uri *uri, CK_OBJECT_HANDLE *ret, struct err *err);
/* Its public half as the token tells it; ERR_NOT_FOUND when it does not. */
fallible object_public(const struct lease *l, CK_OBJECT_HANDLE private, struct key **ret, struct err *err);
fallible object_check(const struct lease *l, CK_OBJECT_HANDLE private, struct err *err);
struct object_make {
	const struct token_uri *uri;
	enum key_kind kind;
	unsigned rsa_bits;
	struct str id;
};
fallible object_make(struct token *t, const struct object_make *what, CK_OBJECT_HANDLE *ret_public,
		     CK_OBJECT_HANDLE *ret_private, struct err *err);
void object_destroy(struct token *t, const CK_OBJECT_HANDLE *handles, size_t count);

/* --- keystore_sign.c ----------------------------------------------------------------------------------------------*/
/* The key that signs in the token, and has done so once; takes uri over. */
fallible token_key(struct token *t, struct token_uri *uri, struct key *public, CK_OBJECT_HANDLE private,
		   unsigned generation, struct key **ret, struct err *err);

#endif

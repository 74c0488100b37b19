/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore.h: where private keys are: in files, or in PKCS#11 tokens (smart cards, HSMs, a cloud's), which sign and never
 * give them away. A token may go and come back while we run: signing then fails with ERR_UNAVAILABLE until it is there
 * again. A PIN that a token refused is not tried again, not even by the next process: tokens lock. A call into a
 * token's module that takes too long ends the process, because nothing else ends such a call.
 *
 * No fork after keystore_open of a token: modules do not stand it.
 */
#ifndef CAIRN_SIGN_KEYSTORE_H
#define CAIRN_SIGN_KEYSTORE_H

#include "conf/conf.h"
#include "crypto/crypto.h"

struct keystore;
struct keystore_conf {
	const struct crypto *crypto;
	const struct log *log; /* may be NULL */
	const char *
		refused_dir; /* where refused PINs are remembered (not the PINs: 16 bits of a salted hash); NULL: nowhere */
	/* A call took longer than it may. Called on a thread of its own. NULL: an alarm in the log and the process's end. */
	void (*hung)(void *ctx, const char *call);
	void *hung_ctx;
};

#define TOKEN_SESSIONS_MAX 64
struct keystore_key {
	const char *where;           /* a path, or "pkcs11:..." (RFC 7512) */
	const char *passphrase_file; /* of a file; NULL: it is not encrypted */
	const char *pin_file;        /* of a token; NULL: the URI's pin-source, or no login */
	unsigned sessions;           /* 1..TOKEN_SESSIONS_MAX */
	int64_t timeout_ms;
	struct key *public; /* as the certificate has it, for tokens that do not tell; may be NULL */
};

/* All borrowed until keystore_free, which comes after the last key is gone. */
fallible keystore_new(const struct keystore_conf *conf, struct keystore **ret, struct err *err);
void keystore_free(struct keystore *ks); /* accepts NULL */
/* A key in a token has made one signature by then, which verified. ERR_CONFIG when trying again would not help. */
fallible keystore_open(struct keystore *ks, const struct keystore_key *where, struct key **ret, struct err *err);
/* Leaves no thread of ours behind, until the next call into a module: before the caller confines itself, which confines a
 * thread and those that it makes. No key is in use. */
void keystore_quiet(struct keystore *ks);
/* How many signatures are worth making at once. */
unsigned keystore_width(const struct keystore *ks);

/* Makes a key pair in the token, named as the URI says, then opens it; ERR_CONFLICT when there is such a key. */
fallible keystore_make(struct keystore *ks, const struct keystore_key *where, enum key_kind kind, unsigned rsa_bits,
		       struct key **ret, struct err *err);
/* Destroys what keystore_make made, when the rest of the work failed. */
void keystore_unmake(struct keystore *ks);

/* What the configuration says of an issuer's key; the text lives in mem. */
struct keystore_key keystore_key_of(const struct conf *conf, const struct conf_issuer *issuer, struct arena *mem);
bool keystore_is_token(struct str where);
/* Is the URI one that keystore_open would take, and may its module be loaded: for check-config. Loads nothing. */
fallible keystore_check(const struct keystore_key *where, struct err *err);

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * internal.h: what the files of crypto share. struct key keeps the raw public parts beside the EVP_PKEY: thumbprints,
 * comparisons and SubjectPublicKeyInfo then need neither OpenSSL nor its locks.
 */
#ifndef CAIRN_CRYPTO_INTERNAL_H
#define CAIRN_CRYPTO_INTERNAL_H

#include "crypto/crypto.h"

#include <openssl/evp.h>
#include <stdatomic.h>

struct crypto {
	EVP_MD *md[DIGEST_COUNT];
	EVP_MAC *hmac;
	EVP_CIPHER *aes_gcm; /* 256 bits */
	struct p256 *p256;
	struct heat *heat;
};

/* One row a kind of key: all that differs between them. */
struct key_row {
	const char *name;
	const char *evp_type;      /* what EVP_PKEY_is_a says */
	const char *group;         /* OpenSSL's name of the curve */
	size_t coord;              /* bytes of a coordinate; 0 for RSA */
	unsigned bits;             /* 0 for RSA */
	struct str spki_algorithm; /* exact AlgorithmIdentifier bytes of the SubjectPublicKeyInfo (BR 7.1.3.1) */
	struct str sig_algorithm;  /* and of certificates signed by such a key (BR 7.1.3.2) */
	struct str order;          /* of the curve, big endian; empty when it is no ECDSA key */
	enum sig_alg alg;
	enum digest digest;
};
extern const struct key_row key_rows[KEY_KIND_COUNT];

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192

struct key {
	atomic_uint refs;
	enum key_kind kind;
	unsigned bits;
	bool has_private;
	atomic_bool sound; /* of its parts, which never change: key_check found nothing, but for what it is used for */
	_Atomic(EVP_PKEY *) evp;         /* of a point that came from outside: NULL until it is asked for (key_evp) */
	struct key *self;                /* for that: whoever has a key has it as const */
	const struct key_signer *signer; /* NULL: the private half, if any, is in evp */
	void *signer_ctx;
	struct hot *hot; /* P-256 only, otherwise NULL */
	size_t a_n, b_n; /* x, y; or n, e; or x and nothing */
	uint8_t parts[];
};

static inline struct str key_part_a(const struct key *k)
{
	return str_n(k->parts, k->a_n);
}
static inline struct str key_part_b(const struct key *k)
{
	return str_n(k->parts + k->a_n, k->b_n);
}

/* OpenSSL's key, borrowed; NULL: it has none for us (its words are in its queue). */
EVP_PKEY *key_evp(const struct key *k);

/* curve.c: ERR_BAD_PUBLIC_KEY when x and y, of the coordinate's length each, are no point of this curve. All our curves
 * have the cofactor 1: a point on one of them has the right order. */
fallible curve_check(enum key_kind kind, struct str x, struct str y, struct err *err);

/* p256.c: ECDSA verification on P-256, with or without a table of the key's multiples. Both may be used by several
 * threads at once. */
#define P256_LEN 32
struct p256; /* the curve */
fallible p256_new(struct p256 **ret, struct err *err);
void p256_free(struct p256 *p); /* accepts NULL */
struct p256_table;
fallible p256_table_new(struct str x, struct str y, struct p256_table **ret, struct err *err);
void p256_table_free(struct p256_table *t); /* accepts NULL */
enum p256_said { P256_GOOD, P256_BAD, P256_CANNOT /* say: memory, or no point */ };
/* table NULL: none. sig is r||s. */
enum p256_said p256_verify(const struct p256 *p, struct str x, struct str y, const struct p256_table *table,
			   const struct sha256 *digest, struct str sig);

/* hot.c: which keys get such a table. struct heat is a process's, struct hot a key's. */
struct heat *heat_new(void);
void heat_free(struct heat *h); /* waits for a table that is being made; keys may outlive it; accepts NULL */
struct hot *hot_new(struct str x, struct str y);
void hot_free(struct hot *h); /* accepts NULL */
/* Its table, or NULL; counts the call, and has a table begun when that was one of very many. ret_again: it was not the
 * first one. */
const struct p256_table *hot_table(struct heat *heat, struct hot *h, bool *ret_again);
fallible hot_make_table(struct heat *heat, struct hot *h, struct err *err); /* now */
bool hot_has_table(const struct hot *h);

/* ERR_INTERNAL with OpenSSL's own words as the cause. */
struct rc fail_openssl(struct err *err, const char *what) __attribute__((warn_unused_result));

void evp_pkey_auto(EVP_PKEY **p);
void evp_pkey_ctx_auto(EVP_PKEY_CTX **p);
void evp_md_ctx_auto(EVP_MD_CTX **p);
void bn_auto(BIGNUM **p); /* clears */
void bio_auto(BIO **p);

/* Reads a regular file of the operator's into *ret, which the caller wipes; *ret_private says whether its mode keeps
 * group and others out, *ret_mode is the mode. */
fallible secret_file_read(const char *path, size_t max, struct buf *ret, mode_t *ret_mode, struct err *err);
/* The refusal of a mode that lets others read, with the command that mends it. */
fallible secret_mode_check(const char *path, mode_t mode, struct err *err);
void buf_wipe_done(struct buf *b); /* buf_done, after wiping the whole storage */

#endif

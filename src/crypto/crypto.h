/* SPDX-License-Identifier: Apache-2.0
 *
 * crypto.h: keys and their policy, signatures, digests, secrets. OpenSSL stays behind this header (and behind pki, and
 * net's TLS). Fetched algorithms are kept once in struct crypto: fetching takes a lock in OpenSSL 3.0 (DEPENDENCIES 2).
 * Every call here is safe from several threads at once on the same struct crypto and the same struct key.
 */
#ifndef CAIRN_CRYPTO_CRYPTO_H
#define CAIRN_CRYPTO_CRYPTO_H

#include "codec/codec.h"
#include "crypto/der.h"

#include <assert.h>
#include <openssl/types.h>

/* One per process, made at start: fetched digests, MACs and ciphers. */
struct crypto;
fallible crypto_new(struct crypto **ret, struct err *err);
void crypto_free(struct crypto *c); /* accepts NULL */

/* --- secrets: wiped when done, compared in constant time, no writer to log or JSON -------------------------------*/
struct secret {
	uint8_t *p;
	size_t n;
};
void secret_done(struct secret *s);
/* Once, at start and before any private key: OpenSSL's private keys live in `heap` bytes (a power of two) of locked
 * memory of their own from here on; full, no more keys can be made. ERR_UNAVAILABLE: works, but not all memory of
 * secrets can be locked. Programs that go without have their keys in ordinary memory. */
fallible secret_memory_check(size_t heap, struct err *err);
fallible secret_set(struct secret *s, struct str bytes, struct err *err); /* copies; at most 64 KiB */
bool secret_eq(const struct secret *a, const struct secret *b);           /* time depends on the lengths only */
bool bytes_eq_ct(struct str a, struct str b);
/* Reads a file whose mode denies group and others; otherwise ERR_CONFIG says which chmod mends it. When it is one line
 * of printable text, the newline at its end is not part of the secret. */
fallible secret_read_file(struct secret *ret, const char *path, size_t max, struct err *err);

/* --- digests ------------------------------------------------------------------------------------------------------*/
enum digest { DIGEST_SHA256, DIGEST_SHA384, DIGEST_SHA512, DIGEST_COUNT };
#define DIGEST_MAX 64
struct sha256 {
	uint8_t b[32];
};
fallible digest_sha256(const struct crypto *c, struct str in, struct sha256 *ret, struct err *err);
/* Any of them; *ret_n is its length. */
fallible digest_of(const struct crypto *c, enum digest d, struct str in, uint8_t out[DIGEST_MAX], size_t *ret_n,
		   struct err *err);
fallible hmac(const struct crypto *c, enum digest d, const struct secret *key, struct str in, uint8_t out[DIGEST_MAX],
	      size_t *ret_n, struct err *err);

/* --- secrets at rest: AES-256-GCM, a fresh 96-bit nonce each time; nonce | ciphertext | tag -----------------------*/
#define SEAL_KEY_LEN 32
#define SEAL_OVERHEAD (12 + 16)
/* aad binds the sealed bytes to where they belong (a key's id): opened with another, they do not open. */
fallible seal(const struct crypto *c, const struct secret *key, const struct rng *rng, struct str aad, struct str plain,
	      struct buf *ret, struct err *err);
/* ERR_INTERNAL when key, aad or bytes are not those of seal. */
fallible unseal(const struct crypto *c, const struct secret *key, struct str aad, struct str sealed, struct secret *ret,
		struct err *err);

/* --- keys ---------------------------------------------------------------------------------------------------------*/
enum key_kind { KEY_P256, KEY_P384, KEY_P521, KEY_RSA, KEY_ED25519, KEY_KIND_COUNT };
const char *key_kind_name(enum key_kind k); /* "P-256", ..., "RSA" */

struct key; /* a public key, or a pair; immutable, reference-counted: key_ref/key_free are thread-safe */
struct key *key_ref(struct key *k);
void key_free(struct key *k); /* accepts NULL */
void key_auto(struct key **k);
enum key_kind key_get_kind(const struct key *k);
unsigned key_get_bits(const struct key *k); /* RSA: modulus bits */
bool key_has_private(const struct key *k);
bool key_public_eq(const struct key *a, const struct key *b);
EVP_PKEY *key_get_evp(const struct key *k); /* borrowed; for pki, net/tls only */
/* Wraps an EVP_PKEY (takes its own reference). ERR_BAD_PUBLIC_KEY for kinds that are not served. */
fallible key_from_evp(EVP_PKEY *pkey, struct key **ret, struct err *err);

/* From raw parts, as a JWK or a token has them. Checks lengths on the encoded bytes before any arithmetic (A24): EC and
 * Ed25519 coordinates of exactly the curve's size, RSA modulus 2048..8192 bits without leading zero, exponent 3..65537
 * odd. Does no policy and no full validation: key_check does, once, when a key is first met. */
fallible key_from_ec(enum key_kind curve, struct str x, struct str y, struct key **ret, struct err *err);
fallible key_from_rsa(struct str n, struct str e, struct key **ret, struct err *err);
fallible key_from_ed25519(struct str x, struct key **ret, struct err *err);
/* The same parts back, big endian, fixed length for EC (x, y) and Ed25519 (x only), minimal for RSA (n, e). */
fallible key_get_parts(struct arena *mem, const struct key *k, struct str *ret_a, struct str *ret_b, struct err *err);
/* DER SubjectPublicKeyInfo. */
fallible key_spki(struct arena *mem, const struct key *k, struct str *ret, struct err *err);
/* SHA-256 of that: how block lists and certificates name a key. */
fallible key_spki_hash(const struct crypto *c, const struct key *k, struct sha256 *ret, struct err *err);
fallible key_from_spki(struct str der, struct key **ret, struct err *err);

/* The key policy of RULES R4 (A24-A26): RSA 2048/3072/4096 with e = 65537, no small factor < 752, not Fermat-close (110
 * rounds), not ROCA; EC full public-key validation on the curve. use says who asks: Ed25519 is fine for accounts only.
 * ERR_BAD_PUBLIC_KEY; the detail names the reason. */
enum key_use { KEY_USE_ACCOUNT, KEY_USE_CERTIFICATE, KEY_USE_COUNT };
fallible key_check(const struct key *k, enum key_use use, struct err *err);
/* The same about a modulus alone (big endian, at most 8192 bits), one flaw beside the other: those of look_for that it
 * has. */
#define KEY_FLAW_FACTOR 1u
#define KEY_FLAW_ROCA 2u
#define KEY_FLAW_FERMAT 4u
fallible key_rsa_flaws(struct str modulus, unsigned look_for, unsigned *ret, struct err *err);

/* Keys that are known to others, listed in files of hex hashes, one a line, with comments behind "#". blocked: SHA-256 of
 * the DER SubjectPublicKeyInfo. weak: the files of Debian's openssl-blacklist, the last 80 bits of the SHA-1 over
 * "Modulus=...\n" (CVE-2008-0166). A file that does not read is added in no part. */
struct key_list;
struct key_list *key_list_new(void);
void key_list_free(struct key_list *l); /* accepts NULL */
fallible key_list_add_blocked(struct key_list *l, const char *path, struct err *err);
fallible key_list_add_weak(struct key_list *l, const char *path, struct err *err);
/* `kind` when it is on either. l NULL: no list. */
fallible key_list_check(const struct crypto *c, const struct key_list *l, const struct key *k, enum err_kind kind,
			struct err *err);

/* Verifying with a P-256 key takes half the time once there is a table of the key's multiples: 160 KiB, and tens of
 * milliseconds to make. A thread of struct crypto makes one for a key that has verified a thousand signatures, for at
 * most 64 keys at a time; this makes it now. Does nothing for other kinds, or when the table is there.
 * ERR_UNAVAILABLE: 64 keys have one. From any thread. */
fallible key_speed_up(const struct crypto *c, const struct key *k, struct err *err);
bool key_is_fast(const struct key *k);

fallible key_generate(enum key_kind kind, unsigned rsa_bits, struct key **ret, struct err *err);

/* Signature algorithms by their JOSE names (RFC 7518 3.1, RFC 8037). */
enum sig_alg { SIG_ES256, SIG_ES384, SIG_ES512, SIG_RS256, SIG_EDDSA, SIG_ALG_COUNT };
const char *sig_alg_name(enum sig_alg a);
fallible sig_alg_read(struct str name, enum sig_alg *ret,
		      struct err *err);        /* ERR_BAD_SIGNATURE_ALGORITHM lists the served ones */
enum sig_alg key_sig_alg(const struct key *k); /* the one algorithm that goes with this key */
/* JOSE form: ECDSA is r||s of fixed length, and r, s in 1..n-1. Wrong signature: ERR_MALFORMED ("signature does not
 * verify"). */
fallible sig_verify(const struct crypto *c, const struct key *k, enum sig_alg alg, struct str in, struct str sig,
		    struct err *err);
fallible sig_sign(const struct crypto *c, const struct key *k, struct str in, struct arena *mem, struct str *ret,
		  struct err *err);

/* The X.509 form of the same: ECDSA as DER, the digest given apart. Verifying serves the three SHA-2 digests; a wrong
 * signature is ERR_MALFORMED. Signing takes the digest that goes with the key (BR 7.1.3.2), whose AlgorithmIdentifier
 * is key_x509_algorithm. */
fallible sig_verify_x509(const struct crypto *c, const struct key *k, enum digest d, struct str in, struct str sig,
			 struct err *err);
fallible sig_sign_x509(const struct crypto *c, const struct key *k, struct str in, struct arena *mem, struct str *ret,
		       struct err *err);
struct str key_x509_algorithm(const struct key *k); /* static bytes */

/* A key whose private half is elsewhere, such as in a token. sign gives the X.509 form over tbs with this digest; it is
 * called from any thread. free is called once, with the last reference. */
struct key_signer {
	fallible (*sign)(void *ctx, enum digest d, struct str tbs, struct arena *mem, struct str *ret, struct err *err);
	void (*free)(void *ctx);
};
/* ctx is the new key's on success only. Such a key signs, but is written to no file. */
fallible key_with_signer(const struct key *public, const struct key_signer *ops, void *ctx, struct key **ret,
			 struct err *err);
/* What tokens answer, as the X.509 form: ECDSA's r||s of fixed length as DER, RSA as it is. ERR_INTERNAL for another
 * length; the numbers are for whoever verifies. */
fallible sig_x509_from_raw(const struct key *k, struct str raw, struct arena *mem, struct str *ret, struct err *err);

/* PEM files. Writing a private key uses mode 0600 and never overwrites (ERR_CONFLICT). With a passphrase the key is
 * PKCS#8 under PBES2 (AES-256-CBC, PBKDF2-HMAC-SHA256, >= 600,000 rounds). */
fallible key_write_file(const struct key *k, const char *path, const struct secret *passphrase, struct err *err);
fallible key_read_file(const char *path, const struct secret *passphrase, struct key **ret, struct err *err);
fallible key_to_pem(const struct key *k, const struct secret *passphrase, struct buf *ret, struct err *err);
fallible key_from_pem(struct str pem, const struct secret *passphrase, struct key **ret, struct err *err);

/* OpenSSL's error queue as one line for err->cause; empties the queue. */
void err_cause_openssl(struct err *err);

#endif

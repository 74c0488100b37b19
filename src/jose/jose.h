/* SPDX-License-Identifier: Apache-2.0
 *
 * jose.h: JWK (RFC 7517), thumbprints (RFC 7638) and JWS (RFC 7515): the flattened form that ACME sends (RFC 8555 6.2)
 * and the compact form of verdicts. Parsing and verifying are two steps, so that the caller picks the key between them.
 */
#ifndef CAIRN_JOSE_JOSE_H
#define CAIRN_JOSE_JOSE_H

#include "crypto/crypto.h"

#define THUMBPRINT_LEN 43
struct thumbprint {
	char z[THUMBPRINT_LEN + 1]; /* base64url of SHA-256, as key authorizations carry it */
};

/* A public JWK. Private members ("d", "p", "k" ...) are refused as ERR_BAD_PUBLIC_KEY (A27), other unknown members
 * ignored. No policy: key_check does that. */
fallible jwk_read(const struct json *jwk, struct key **ret, struct err *err);
fallible jwk_read_text(struct str text, struct key **ret, struct err *err);
/* The canonical JWK: required members only, in RFC 7638 order. This is what is stored and what is hashed. */
fallible jwk_write(const struct key *k, struct buf *ret, struct err *err);
fallible jwk_thumbprint(const struct crypto *c, const struct key *k, struct thumbprint *ret, struct err *err);
/* Of a canonical JWK, without looking whether it is one. */
fallible jwk_thumbprint_of_text(const struct crypto *c, struct str canonical, struct thumbprint *ret, struct err *err);

/* --- keycache.c: account keys, decoded once, found by thumbprint; safe from several threads ----------------------*/
struct keycache;
fallible keycache_new(struct keycache **ret, struct err *err);
void keycache_free(struct keycache *k); /* accepts NULL */
/* The key of this canonical JWK, from the cache or decoded and kept; *ret is the caller's reference. The thumbprint is
 * believed: it comes from where the account does. */
fallible keycache_get(struct keycache *k, struct str thumbprint, struct str jwk, struct key **ret, struct err *err);
/* NULL: it is not kept. The caller's reference. */
struct key *keycache_find(struct keycache *k, struct str thumbprint);
/* The same for a JWK whose thumbprint nobody has said. Only one in its canonical form is kept. k NULL: decoded each time. */
fallible keycache_read(struct keycache *k, const struct crypto *c, struct str jwk, struct thumbprint *ret_thumbprint,
		       struct key **ret, struct err *err);

/* A JWS that has been taken apart but not verified. Slices live in the arena. */
struct jws {
	struct str protected_b64, payload_b64, signature_b64; /* as sent */
	struct str signed_part;                               /* protected '.' payload: what the signature covers */
	struct str payload;                                   /* decoded; empty for POST-as-GET */
	struct str signature;
	enum sig_alg alg;
	struct str nonce, url, kid; /* as sent; p == NULL when absent */
	struct key *jwk;            /* the embedded key, or NULL; owned by the struct */
	bool has_nonce, has_url;
};
#define JWS_BODY_MAX 50000

/* Flattened JSON serialisation (RFC 8555 6.2): exactly protected, payload, signature; no "header", no "signatures";
 * alg in the served list; exactly one of jwk and kid;
 * "crit" or "b64" refused; the payload at most JWS_BODY_MAX. ERR_MALFORMED, ERR_BAD_SIGNATURE_ALGORITHM or
 * ERR_BAD_PUBLIC_KEY. *ret is freed with jws_done. */
fallible jws_read(struct arena *mem, struct str body, struct jws *ret, struct err *err);
/* The same from its three base64url parts (a stored finalize request, evidence). */
fallible jws_read_parts(struct arena *mem, struct str protected_b64, struct str payload_b64, struct str signature_b64,
			struct jws *ret, struct err *err);
void jws_done(struct jws *j);
/* alg must be the key's own; then the signature over protected '.' payload. */
fallible jws_verify(const struct crypto *c, const struct jws *j, const struct key *k, struct err *err);

/* The inner JWS of an external account binding (RFC 8555 7.3.4): flattened, alg HS256, HS384 or HS512, kid (1 to
 * 64 printable characters), url, no nonce, no jwk. Slices live in the arena; `object` is borrowed. ERR_MALFORMED says
 * what is wrong with its form. */
struct jws_eab {
	enum digest mac;
	struct str kid, url, payload; /* payload decoded: the account's JWK as the client wrote it */
	struct str signed_part, mac_bytes;
};
fallible jws_read_eab(struct arena *mem, const struct json *object, struct jws_eab *ret, struct err *err);
/* Constant time; a wrong MAC is ERR_UNAUTHORIZED. */
fallible jws_verify_eab(const struct crypto *c, const struct jws_eab *j, const struct secret *key, struct err *err);
/* Makes one, for clients and tests. */
fallible jws_sign_eab(const struct crypto *c, enum digest mac, const struct secret *key, struct str kid, struct str url,
		      const struct key *account, struct buf *ret, struct err *err);

/* Makes the body of an ACME request: kid empty means "embed the jwk"; nonce may be empty (inner objects). */
fallible jws_sign_acme(const struct crypto *c, const struct key *k, struct str kid, struct str nonce, struct str url,
		       struct str payload, struct buf *ret, struct err *err);

/* Compact serialisation with header {"alg":..,"kid":..,"typ":..}: verdicts and grants. typ and kid are checked or
 * returned so that a signature made for one purpose is never taken for another. */
fallible jws_compact_sign(const struct crypto *c, const struct key *k, struct str typ, struct str kid,
			  struct str payload, struct buf *ret, struct err *err);
struct jws_compact {
	struct str signed_part, kid, payload, signature;
	enum sig_alg alg;
};
fallible jws_compact_read(struct arena *mem, struct str text, struct str typ, size_t max, struct jws_compact *ret,
			  struct err *err);
fallible jws_compact_verify(const struct crypto *c, const struct jws_compact *j, const struct key *k, struct err *err);

#endif

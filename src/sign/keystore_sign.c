/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore_sign.c: the key that signs in a token. ECDSA gets the digest (CKM_ECDSA is what every token has), RSA the text
 * when the token hashes by itself, or the DigestInfo (RFC 8017 9.2). Whatever goes wrong in the token is tried once more
 * with everything opened anew, then the caller is told to come back.
 */
#include "sign/keystore_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define SIGNATURE_MAX (8192 / 8 + 1) /* no key's signature is as long as that */
#define MECHANISMS_MAX 512
#define DIGEST_INFO_SHA256 STR("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20")

struct token_signer {
	struct token *token;
	struct token_uri uri;
	struct key *public;
	CK_MECHANISM_TYPE mechanism;
	pthread_mutex_t lock;
	CK_OBJECT_HANDLE handle;
	unsigned generation; /* of the handle */
};

/* The handle that goes with the lease's sessions; another generation has others. */
static fallible token_signer_handle(struct token_signer *s, const struct lease *l, CK_OBJECT_HANDLE *ret,
				    struct err *err)
{
	struct rc rc = OK;
	pthread_mutex_lock(&s->lock);
	if (s->generation != l->generation) {
		rc = object_find(l, &s->uri, &s->handle, err);
		if (!FAILED(rc))
			s->generation = l->generation;
	}
	*ret = s->handle;
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* What the token is given to sign. */
static fallible token_signer_input(const struct token_signer *s, enum digest d, struct str tbs, struct arena *mem,
				   struct str *ret, struct err *err)
{
	uint8_t hash[DIGEST_MAX];
	size_t n;
	if (s->mechanism == CKM_SHA256_RSA_PKCS) {
		*ret = tbs;
		return OK;
	}
	TRY(digest_of(s->token->module->ks->conf.crypto, d, tbs, hash, &n, err));
	if (s->mechanism == CKM_ECDSA) {
		*ret = str_dup(mem, str_n(hash, n));
		return OK;
	}
	struct str head = DIGEST_INFO_SHA256;
	char *info = arena_alloc(mem, head.n + n);
	memcpy(info, head.p, head.n);
	memcpy(info + head.n, hash, n);
	*ret = str_n(info, head.n + n);
	return OK;
}

static CK_RV sign_call(const struct token_signer *s, const struct lease *l, CK_OBJECT_HANDLE handle, struct str in,
		       CK_BYTE *out, CK_ULONG *n)
{
	struct token *t = l->token;
	CK_MECHANISM how = { .mechanism = s->mechanism };
	CK_RV rv;
	TOKEN_CALL(t, rv, C_SignInit, l->session, &how, handle);
	if (rv == CKR_OK)
		TOKEN_CALL(t, rv, C_Sign, l->session, (CK_BYTE *)(uintptr_t)in.p, in.n, out, n);
	return rv;
}

/* One attempt. ERR_UNAVAILABLE: the token is to be opened anew. */
static fallible sign_once(struct token_signer *s, struct str in, struct arena *mem, struct str *ret, struct err *err)
{
	CK_BYTE out[SIGNATURE_MAX];
	CK_ULONG n = sizeof out;
	CK_OBJECT_HANDLE handle;
	struct lease l;
	char why[128];
	TRY(token_lease(s->token, &l, err));
	struct rc rc = token_signer_handle(s, &l, &handle, err);
	if (FAILED(rc)) {
		token_give_back(&l, err == NULL ? "its key is gone" : err->detail);
		FAIL(err, ERR_UNAVAILABLE, "token \"%s\": its key is not there now", s->uri.name);
	}
	CK_RV rv = sign_call(s, &l, handle, in, out, &n);
	if (rv == CKR_OK) {
		token_give_back(&l, NULL);
		token_signed(s->token);
		return sig_x509_from_raw(s->public, str_n(out, n < sizeof out ? n : sizeof out), mem, ret, err);
	}
	(void)snprintf(why, sizeof why, "C_Sign: %s (0x%lx)", p11_kit_strerror(rv), rv);
	token_give_back(&l, why);
	FAIL(err, ERR_UNAVAILABLE, "token \"%s\": %s", s->uri.name, why);
}

static fallible token_signer_sign(void *ctx, enum digest d, struct str tbs, struct arena *mem, struct str *ret,
				  struct err *err)
{
	struct token_signer *s = ctx;
	struct str in;
	struct err first = { 0 };
	TRY(token_signer_input(s, d, tbs, mem, &in, err));
	struct rc rc = sign_once(s, in, mem, ret, &first);
	if (rc.kind == ERR_UNAVAILABLE)
		return sign_once(s, in, mem, ret, err);
	if (FAILED(rc) && err != NULL)
		*err = first;
	return rc;
}

static void token_signer_free(void *ctx)
{
	struct token_signer *s = ctx;
	key_free(s->public);
	token_uri_done(&s->uri);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* Old tokens and some clouds have only the raw form. Those that do not tell are asked for the usual. */
static bool hashes_itself(struct token *t)
{
	CK_MECHANISM_TYPE v[MECHANISMS_MAX];
	CK_ULONG n = MECHANISMS_MAX;
	CK_RV rv;
	bool raw = false;
	TOKEN_CALL(t, rv, C_GetMechanismList, t->slot, v, &n);
	for (CK_ULONG i = 0; rv == CKR_OK && i < n; i++) {
		if (v[i] == CKM_SHA256_RSA_PKCS)
			return true;
		raw = raw || v[i] == CKM_RSA_PKCS;
	}
	return !raw;
}

/* A key that does not sign, or signs for another, is found now and not by the first order. */
static fallible prove(const struct token_signer *s, const struct key *k, struct err *err)
{
	static const enum digest digests[KEY_KIND_COUNT] = { [KEY_P256] = DIGEST_SHA256,
							     [KEY_P384] = DIGEST_SHA384,
							     [KEY_P521] = DIGEST_SHA512,
							     [KEY_RSA] = DIGEST_SHA256 };
	AUTO(arena_done) struct arena mem = { 0 };
	const struct crypto *c = s->token->module->ks->conf.crypto;
	struct str text = STR("cairn asks: does this key sign?"), sig;
	struct err why = { 0 };
	struct rc rc = sig_sign_x509(c, k, text, &mem, &sig, err);
	if (rc.kind == ERR_INTERNAL ||
	    (!FAILED(rc) && FAILED(sig_verify_x509(c, k, digests[key_get_kind(k)], text, sig, &why))))
		FAIL(err, ERR_CONFIG,
		     "token \"%s\": the key signs, but not for the public key that it should go with: another key, or "
		     "a token "
		     "that is broken",
		     s->uri.name);
	return rc;
}

static const struct key_signer ops = { .sign = token_signer_sign, .free = token_signer_free };

fallible token_key(struct token *t, struct token_uri *uri, struct key *public, CK_OBJECT_HANDLE private,
		   unsigned generation, struct key **ret, struct err *err)
{
	AUTO(key_auto) struct key *k = NULL;
	struct token_signer *s = mem_alloc(sizeof *s);
	pthread_mutex_init(&s->lock, NULL);
	s->token = t;
	s->public = key_ref(public);
	s->handle = private;
	s->generation = generation;
	s->mechanism = key_get_kind(public) != KEY_RSA ? CKM_ECDSA
		       : hashes_itself(t)              ? CKM_SHA256_RSA_PKCS
						       : CKM_RSA_PKCS;
	struct rc rc = key_with_signer(public, &ops, s, &k, err);
	if (FAILED(rc)) {
		token_signer_free(s);
		return rc;
	}
	s->uri = *uri;
	*uri = (struct token_uri){ 0 };
	TRY(prove(s, k, err));
	*ret = TAKE(k);
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore_object.c: keys as objects in a token: found by the label and id of a URI, their public half read, pairs made
 * and destroyed.
 */
#include "sign/keystore_internal.h"

#define ATTR_MAX 2048

#define ATTR(kind, bytes)                                                                                       \
	(CK_ATTRIBUTE)                                                                                          \
	{                                                                                                       \
		.type = (kind), .pValue = (void *)(uintptr_t)(bytes).p, .ulValueLen = (bytes).n /* only read */ \
	}
#define ATTR_OF(kind, variable)                                                       \
	(CK_ATTRIBUTE)                                                                \
	{                                                                             \
		.type = (kind), .pValue = &(variable), .ulValueLen = sizeof(variable) \
	}

/* At most max objects with these attributes; *ret_n says how many there are of them. */
static fallible find(const struct lease *l, CK_ATTRIBUTE *want, CK_ULONG want_n, CK_OBJECT_HANDLE *ret, CK_ULONG max,
		     CK_ULONG *ret_n, struct err *err)
{
	struct token *t = l->token;
	CK_ULONG n = 0;
	CK_RV rv, end;
	TOKEN_CALL(t, rv, C_FindObjectsInit, l->session, want, want_n);
	if (rv != CKR_OK)
		return fail_rv(err, ERR_UNAVAILABLE, "C_FindObjectsInit", rv);
	TOKEN_CALL(t, rv, C_FindObjects, l->session, ret, max, &n);
	TOKEN_CALL(t, end, C_FindObjectsFinal, l->session);
	(void)end;
	if (rv != CKR_OK || n > max)
		return fail_rv(err, ERR_UNAVAILABLE, "C_FindObjects", rv);
	*ret_n = n;
	return OK;
}

static CK_ULONG want_of(const struct token_uri *uri, CK_OBJECT_CLASS *class, CK_ATTRIBUTE want[3])
{
	CK_ULONG n = 0;
	want[n++] = ATTR_OF(CKA_CLASS, *class);
	if (uri->object.n > 0)
		want[n++] = ATTR(CKA_LABEL, uri->object);
	if (uri->id.n > 0)
		want[n++] = ATTR(CKA_ID, uri->id);
	return n;
}

fallible object_find(const struct lease *l, const struct token_uri *uri, CK_OBJECT_HANDLE *ret, struct err *err)
{
	CK_OBJECT_CLASS class = CKO_PRIVATE_KEY;
	CK_OBJECT_HANDLE found[2];
	CK_ATTRIBUTE want[3];
	CK_ULONG n = 0, want_n = want_of(uri, &class, want);
	TRY(find(l, want, want_n, found, ARRAY_LEN(found), &n, err));
	if (n == 0)
		FAIL(err, ERR_NOT_FOUND, "token \"%s\" has no private key of that label and id%s", uri->name,
		     l->token->has_pin ? "" : ", or shows it after a login only (pin-file)");
	if (n > 1)
		FAIL(err, ERR_CONFIG,
		     "token \"%s\" has several private keys that go with the URI; name its id or label, too",
		     uri->name);
	*ret = found[0];
	return OK;
}

/* Empty: the token does not tell. */
static struct str attr(const struct lease *l, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, struct arena *mem)
{
	struct token *t = l->token;
	CK_ATTRIBUTE a = { .type = type };
	CK_RV rv;
	TOKEN_CALL(t, rv, C_GetAttributeValue, l->session, object, &a, 1);
	if (rv != CKR_OK || a.ulValueLen == 0 || a.ulValueLen > ATTR_MAX) /* (CK_ULONG)-1 among them */
		return STR_NONE;
	CK_ULONG room = a.ulValueLen;
	a.pValue = arena_alloc(mem, room);
	TOKEN_CALL(t, rv, C_GetAttributeValue, l->session, object, &a, 1);
	return rv != CKR_OK || a.ulValueLen > room ? STR_NONE : str_n(a.pValue, a.ulValueLen);
}

static bool attr_is_true(const struct lease *l, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str value = attr(l, object, type, &mem);
	return value.n == sizeof(CK_BBOOL) && value.p[0] != CK_FALSE;
}

fallible object_check(const struct lease *l, CK_OBJECT_HANDLE private, struct err *err)
{
	if (attr_is_true(l, private, CKA_ALWAYS_AUTHENTICATE))
		FAIL(err, ERR_CONFIG,
		     "the key wants its PIN at every signature (CKA_ALWAYS_AUTHENTICATE): make one without");
	if (attr_is_true(l, private, CKA_EXTRACTABLE))
		LOG(l->token->module->ks->conf.log, LOG_WARNING,
		    "the token would give this key away: it is extractable", KV_Z("token", l->token->uri.name));
	return OK;
}

static fallible public_of(const struct lease *l, CK_OBJECT_HANDLE object, CK_KEY_TYPE type, struct key **ret,
			  struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	bool rsa = type == CKK_RSA;
	struct str a = attr(l, object, rsa ? CKA_MODULUS : CKA_EC_PARAMS, &mem);
	struct str b = attr(l, object, rsa ? CKA_PUBLIC_EXPONENT : CKA_EC_POINT, &mem);
	if (a.n == 0 || b.n == 0)
		FAIL(err, ERR_NOT_FOUND, "the token does not tell the key's public half");
	return rsa ? token_rsa_key(a, b, ret, err) : token_ec_key(a, b, ret, err);
}

fallible object_public(const struct lease *l, CK_OBJECT_HANDLE private, struct key **ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	CK_OBJECT_CLASS class = CKO_PUBLIC_KEY;
	CK_OBJECT_HANDLE public;
	CK_KEY_TYPE type;
	CK_ULONG n = 0;
	struct str type_bytes = attr(l, private, CKA_KEY_TYPE, &mem);
	struct str id = attr(l, private, CKA_ID, &mem);
	if (type_bytes.n != sizeof type)
		FAIL(err, ERR_CONFIG, "the token does not tell the key's type");
	memcpy(&type, type_bytes.p, sizeof type);
	if (type != CKK_EC && type != CKK_RSA)
		FAIL(err, ERR_CONFIG, "the key in the token is of type 0x%lx, wanted EC or RSA", type);
	CK_ATTRIBUTE want[] = { ATTR_OF(CKA_CLASS, class), ATTR_OF(CKA_KEY_TYPE, type), ATTR(CKA_ID, id) };
	if (id.n > 0)
		TRY(find(l, want, ARRAY_LEN(want), &public, 1, &n, err));
	struct rc rc = n > 0 ? public_of(l, public, type, ret, err) : (struct rc){ ERR_NOT_FOUND };
	return rc.kind == ERR_NOT_FOUND ? public_of(l, private, type, ret, err) : rc;
}

/* --- making one -----------------------------------------------------------------------------------------------------*/
static fallible writing_session(struct token *t, CK_SESSION_HANDLE *ret, struct err *err)
{
	CK_RV rv;
	TOKEN_CALL(t, rv, C_OpenSession, t->slot, CKF_SERIAL_SESSION | CKF_RW_SESSION, NULL, NULL, ret);
	return rv == CKR_OK ? OK : fail_rv(err, ERR_UNAVAILABLE, "C_OpenSession for writing", rv);
}

fallible object_make(struct token *t, const struct object_make *what, CK_OBJECT_HANDLE *ret_public,
		     CK_OBJECT_HANDLE *ret_private, struct err *err)
{
	CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
	CK_ULONG bits = what->rsa_bits;
	bool rsa = what->kind == KEY_RSA;
	struct str exponent = STR("\x01\x00\x01"), params = token_ec_params(what->kind), id = what->id;
	struct str label = what->uri->object.n > 0 ? what->uri->object : STR("cairn issuer");
	CK_MECHANISM how = { .mechanism = rsa ? CKM_RSA_PKCS_KEY_PAIR_GEN : CKM_EC_KEY_PAIR_GEN };
	CK_ATTRIBUTE public[] = {
		ATTR_OF(CKA_TOKEN, yes), ATTR_OF(CKA_VERIFY, yes),    ATTR(CKA_LABEL, label),
		ATTR(CKA_ID, id),        ATTR(CKA_EC_PARAMS, params), ATTR(CKA_PUBLIC_EXPONENT, exponent),
	};
	CK_ATTRIBUTE private[] = {
		ATTR_OF(CKA_TOKEN, yes),
		ATTR_OF(CKA_PRIVATE, yes),
		ATTR_OF(CKA_SENSITIVE, yes),
		ATTR_OF(CKA_EXTRACTABLE, no),
		ATTR_OF(CKA_SIGN, yes),
		ATTR(CKA_LABEL, label),
		ATTR(CKA_ID, id),
	};
	CK_SESSION_HANDLE session;
	CK_RV rv, end;
	if (rsa)
	public[4] = ATTR_OF(CKA_MODULUS_BITS, bits);
	TRY(writing_session(t, &session, err));
	TOKEN_CALL(t, rv, C_GenerateKeyPair, session, &how, public, rsa ? 6 : 5, private, ARRAY_LEN(private),
		   ret_public, ret_private);
	TOKEN_CALL(t, end, C_CloseSession, session);
	(void)end;
	return rv == CKR_OK ? OK : fail_rv(err, ERR_CONFIG, "C_GenerateKeyPair", rv);
}

void object_destroy(struct token *t, const CK_OBJECT_HANDLE *handles, size_t count)
{
	CK_SESSION_HANDLE session;
	CK_RV rv;
	if (FAILED(writing_session(t, &session, NULL)))
		return;
	for (size_t i = 0; i < count; i++)
		TOKEN_CALL(t, rv, C_DestroyObject, session, handles[i]);
	TOKEN_CALL(t, rv, C_CloseSession, session);
	(void)rv;
}

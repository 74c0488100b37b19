/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore.c: opens keys, wherever they are, and makes new ones in tokens.
 */
#include "sign/keystore_internal.h"

#include <stdlib.h>

#define PASSPHRASE_MAX 1024
#define ID_TRIES 16

static const char *path_or_null(const struct conf *conf, struct arena *mem, struct str path)
{
	return path.n == 0 ? NULL : conf_path(conf, mem, path);
}

struct keystore_key keystore_key_of(const struct conf *conf, const struct conf_issuer *ci, struct arena *mem)
{
	return (struct keystore_key){
		.where = keystore_is_token(ci->key) ? str_dupz_raw(mem, ci->key) : conf_path(conf, mem, ci->key),
		.passphrase_file = path_or_null(conf, mem, ci->passphrase_file),
		.pin_file = path_or_null(conf, mem, ci->pin_file),
		.sessions = (unsigned)ci->token_sessions,
		.timeout_ms = ci->token_timeout_s * 1000,
	};
}

static fallible open_file(const struct keystore_key *where, struct key **ret, struct err *err)
{
	AUTO(secret_done) struct secret passphrase = { 0 };
	if (where->pin_file != NULL)
		FAIL(err, ERR_CONFIG,
		     "found a pin-file for a key in a file; allowed: passphrase-file, or a pkcs11 URI");
	if (where->passphrase_file == NULL)
		return key_read_file(where->where, NULL, ret, err);
	TRY(secret_read_file(&passphrase, where->passphrase_file, PASSPHRASE_MAX, err));
	return key_read_file(where->where, &passphrase, ret, err);
}

static fallible look_at(const struct keystore_key *where, const struct lease *l, const struct token_uri *uri,
			CK_OBJECT_HANDLE *ret_private, struct key **ret_public, struct err *err)
{
	struct rc rc = object_find(l, uri, ret_private, err);
	if (FAILED(rc))
		return rc;
	TRY(object_check(l, *ret_private, err));
	rc = object_public(l, *ret_private, ret_public, err);
	if (rc.kind != ERR_NOT_FOUND)
		return rc;
	if (where->public == NULL)
		FAIL(err, ERR_CONFIG, "token \"%s\" does not tell the key's public half", uri->name);
	*ret_public = key_ref(where->public);
	return OK;
}

static fallible open_token_key(struct keystore *ks, const struct keystore_key *where, struct key **ret, struct err *err)
{
	AUTO(token_uri_done) struct token_uri uri = { 0 };
	AUTO(key_auto) struct key *public = NULL;
	CK_OBJECT_HANDLE private = 0;
	struct token *t;
	struct lease l;
	if (where->passphrase_file != NULL)
		FAIL(err, ERR_CONFIG, "found a passphrase-file for a key in a token; allowed: pin-file");
	TRY(token_uri_read(str_z(where->where), &uri, err));
	TRY(token_open(ks, where, &t, err));
	TRY(token_lease(t, &l, err));
	struct rc rc = look_at(where, &l, &uri, &private, &public, err);
	token_give_back(&l, NULL);
	TRY(rc);
	return token_key(t, &uri, public, private, l.generation, ret, err);
}

fallible keystore_open(struct keystore *ks, const struct keystore_key *where, struct key **ret, struct err *err)
{
	if (!keystore_is_token(str_z(where->where)))
		return open_file(where, ret, err);
	struct rc rc = open_token_key(ks, where, ret, err);
	if (rc.kind != ERR_NOT_FOUND)
		return rc;
	if (err != NULL)
		err->kind = ERR_CONFIG; /* a start without its key is wrong in the configuration or the token */
	return (struct rc){ ERR_CONFIG };
}

fallible keystore_check(const struct keystore_key *where, struct err *err)
{
	AUTO(token_uri_done) struct token_uri uri = { 0 };
	char *real = NULL;
	if (!keystore_is_token(str_z(where->where)))
		return OK;
	TRY(token_uri_read(str_z(where->where), &uri, err));
	if (uri.pin_source != NULL && where->pin_file != NULL)
		FAIL(err, ERR_CONFIG, "found pin-source in the pkcs11 URI besides pin-file; allowed: one of them");
	TRY(module_path_check(uri.module_path, &real, err));
	free(real);
	return OK;
}

/* --- making one -----------------------------------------------------------------------------------------------------*/
/* Two bytes: more do not fit into every token's ids. */
static fallible new_id(const struct lease *l, uint8_t out[2], struct err *err)
{
	for (int i = 0; i < ID_TRIES; i++) {
		struct token_uri taken = { .id = str_n(out, 2) };
		CK_OBJECT_HANDLE private;
		rng_fill(&rng_system, out, 2);
		if ((out[0] == 0 && out[1] == 0) || (out[0] == 0xff && out[1] == 0xff))
			continue; /* stand for something else in some */
		struct rc rc = object_find(l, &taken, &private, err);
		if (rc.kind == ERR_NOT_FOUND)
			return OK;
		TRY(rc);
	}
	FAIL(err, ERR_UNAVAILABLE, "no id is free in the token");
}

static fallible prepare(const struct lease *l, const struct token_uri *uri, uint8_t id[2], struct err *err)
{
	CK_OBJECT_HANDLE private;
	struct rc rc = object_find(l, uri, &private, err);
	if (rc.kind == ERR_NOT_FOUND)
		return uri->id.n > 0 ? OK : new_id(l, id, err);
	TRY(rc);
	FAIL(err, ERR_CONFLICT, "token \"%s\" has a key of that label and id already", uri->name);
}

fallible keystore_make(struct keystore *ks, const struct keystore_key *where, enum key_kind kind, unsigned rsa_bits,
		       struct key **ret, struct err *err)
{
	AUTO(token_uri_done) struct token_uri uri = { 0 };
	struct token *t;
	struct lease l;
	uint8_t id[2];
	TRY(token_uri_read(str_z(where->where), &uri, err));
	TRY(token_open(ks, where, &t, err));
	TRY(token_lease(t, &l, err));
	struct rc rc = prepare(&l, &uri, id, err);
	token_give_back(&l, NULL);
	TRY(rc);
	const struct object_make what = {
		.uri = &uri, .kind = kind, .rsa_bits = rsa_bits, .id = uri.id.n > 0 ? uri.id : str_n(id, sizeof id)
	};
	TRY(object_make(t, &what, &ks->made_public, &ks->made_private, err));
	ks->made_in = t;
	rc = keystore_open(ks, where, ret, err);
	if (FAILED(rc))
		keystore_unmake(ks);
	return rc;
}

void keystore_unmake(struct keystore *ks)
{
	const CK_OBJECT_HANDLE made[] = { ks->made_private, ks->made_public };
	if (ks->made_in != NULL)
		object_destroy(ks->made_in, made, ARRAY_LEN(made));
	ks->made_in = NULL;
}

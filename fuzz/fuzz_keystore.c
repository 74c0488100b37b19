/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_keystore.c: what a configuration says of a token's key, and what a token says of it. The first byte chooses: a
 * pkcs11 URI, an EC key's attributes, an RSA key's. A URI that is taken names all that it must; a key that is read from
 * attributes is read from its own SubjectPublicKeyInfo as well.
 */
#include "fuzz.h"
#include "sign/keystore_internal.h"

static void check_key(struct key *k)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(key_auto) struct key *again = NULL;
	struct str spki;
	CHECK(!FAILED(key_spki(&mem, k, &spki, NULL)));
	CHECK(!FAILED(key_from_spki(spki, &again, NULL)) && key_public_eq(k, again));
}

static void fuzz_uri(struct str text)
{
	AUTO(token_uri_done) struct token_uri u = { 0 };
	struct err err = { 0 };
	struct rc rc = token_uri_read(text, &u, &err);
	check_err(rc, &err);
	if (FAILED(rc))
		return;
	CHECK(u.module_path[0] == '/' && u.name[0] != '\0' && (u.object.n > 0 || u.id.n > 0));
	CHECK(u.pin_source == NULL || (u.pin_source[0] == '/' && u.pin_source[1] != '/'));
	CHECK(p11_kit_uri_get_pin_value(u.kit) == NULL);
	CHECK(keystore_is_token(text));
}

/* Two attributes: the first one's length is in the second byte, or the rest of it. */
static void fuzz_attributes(struct str in, bool rsa)
{
	AUTO(key_auto) struct key *k = NULL;
	struct err err = { 0 };
	size_t n = in.n == 0 ? 0 : (uint8_t)in.p[0];
	struct str a = str_sub(in, 1, 1 + n), b = str_sub(in, 1 + n, in.n);
	struct rc rc = rsa ? token_rsa_key(b, a, &k, &err) : token_ec_key(a, b, &k, &err);
	check_err(rc, &err);
	if (!FAILED(rc))
		check_key(k);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_n(data, size);
	if (size == 0)
		return 0;
	switch (data[0] % 3) {
	case 0:
		fuzz_uri(str_sub(in, 1, in.n));
		break;
	case 1:
		fuzz_attributes(str_sub(in, 1, in.n), false);
		break;
	default:
		fuzz_attributes(str_sub(in, 1, in.n), true);
		break;
	}
	return 0;
}

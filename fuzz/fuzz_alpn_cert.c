/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_alpn_cert.c: no certificate but one with the digest and the name in it, and a key of its own that signed it,
 * proves an identifier by tls-alpn-01; every other is refused with a reason that fits a verdict.
 */
#include "fuzz.h"
#include "validate/internal.h"

#define DIGEST "0123456789abcdef0123456789abcdef"

static const struct crypto *our_crypto(void)
{
	static struct crypto *c;
	if (c == NULL)
		CHECK(!FAILED(crypto_new(&c, NULL)));
	return c;
}

static bool contains(struct str in, struct str what)
{
	return memmem(in.p, in.n, what.p, what.n) != NULL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct ident idents[] = { { IDENT_DNS, { "www.a.test", 10 } }, { IDENT_IP, { "192.0.2.7", 9 } } };
	struct str der = str_n(data, size);
	struct sha256 digest;
	memcpy(digest.b, DIGEST, sizeof digest.b);
	for (size_t i = 0; i < ARRAY_LEN(idents); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct err err = { 0 };
		struct rc rc = alpn_cert_check(our_crypto(), der, &idents[i], &digest, &mem, &err);
		check_err(rc, &err);
		CHECK(rc.kind == ERR_NONE || rc.kind == ERR_UNAUTHORIZED);
		if (rc.kind != ERR_NONE)
			continue;
		CHECK(contains(der, STR(DIGEST)));
		CHECK(contains(der, STR("\x06\x08\x2b\x06\x01\x05\x05\x07\x01\x1f\x01\x01\xff")));
		CHECK(i == 0 || contains(der, STR("\x87\x04\xc0\x00\x02\x07")));
	}
	return 0;
}

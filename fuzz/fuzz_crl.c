/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_crl.c: a revocation list is read or refused; its signature, made with a key that no input knows, is never found good.
 */
#include "fuzz.h"
#include "pki/pki.h"

/* Once for the process: whose list it would be. */
static const struct cert *our_root(void)
{
	static struct cert *root;
	AUTO(key_auto) struct key *k = NULL;
	struct crypto *c;
	if (root != NULL)
		return root;
	CHECK(!FAILED(crypto_new(&c, NULL)));
	CHECK(!FAILED(key_generate(KEY_P256, 0, &k, NULL)));
	const struct ca_request r = {
		.common_name = STR("Fuzz"), .key = k, .not_before = 0, .not_after = INT64_C(4000000000), .path_len = -1
	};
	CHECK(!FAILED(ca_make_root(c, &r, &rng_system, &root, NULL)));
	crypto_free(c);
	return root;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct crl l;
	struct str next;
	struct rc rc = crl_read(&mem, str_n(data, size), our_root(), &l, &err);
	check_err(rc, &err);
	CHECK(FAILED(rc));
	if (size > 0 && size <= 20)
		CHECK(FAILED(crl_number_after(&mem, str_n(data, size), &next, NULL)) || next.n <= 20);
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_lint.c: the lint has an answer for whatever bytes it gets, the same one twice, in printable words; all that our
 * reader takes is a certificate to it; and what it finds nothing wrong with, our reader takes.
 */
#include "fuzz.h"
#include "pki/pki.h"

/* An issuer to compare with, once for the process. */
static const struct cert *issuer(void)
{
	static struct cert *root;
	if (root != NULL)
		return root;
	struct crypto *c = NULL;
	AUTO(key_auto) struct key *k = NULL;
	CHECK(!FAILED(crypto_new(&c, NULL)));
	CHECK(!FAILED(key_generate(KEY_P256, 0, &k, NULL)));
	const struct ca_request r = {
		.common_name = STR("Fuzz"), .key = k, .not_before = 0, .not_after = INT64_C(4000000000), .path_len = 0
	};
	CHECK(!FAILED(ca_make_root(c, &r, &rng_system, &root, NULL)));
	crypto_free(c);
	return root;
}

static bool read_by_us(struct str der)
{
	AUTO(cert_auto) struct cert *cert = NULL;
	return !FAILED(cert_read_der(der, &cert, NULL));
}

static void check_report(const struct lint_report *r)
{
	for (size_t i = 0; i < r->count; i++) {
		const struct lint_finding *f = &r->findings[i];
		CHECK(f->rule != NULL && f->text.n > 0);
		for (size_t at = 0; at < f->text.n; at++)
			CHECK(f->text.p[at] >= 0x20 && f->text.p[at] <= 0x7e);
		CHECK(i == 0 || r->findings[i - 1].rule != f->rule);
	}
}

static void check_one(struct str der, const struct lint_how *how)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct lint_report r = { 0 }, again = { 0 };
	struct rc rc = cert_lint_any(&mem, how, der, &r, &err);
	check_err(rc, &err);
	if (FAILED(rc)) {
		CHECK(rc.kind == ERR_MALFORMED && !read_by_us(der));
		return;
	}
	check_report(&r);
	CHECK(r.count > 0 || read_by_us(der));
	CHECK(how->strictness == LINT_AS_IT_CLAIMS || r.public_rules == (how->strictness == LINT_PUBLIC));
	CHECK(!FAILED(cert_lint_any(&mem, how, der, &again, NULL)) && again.count == r.count);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str der = str_n(data, size);
	const struct lint_how hows[] = {
		{ .strictness = LINT_AS_IT_CLAIMS },
		{ .strictness = LINT_PUBLIC, .issuer = issuer(), .must_be_leaf = true },
		{ .strictness = LINT_PRIVATE, .issuer = issuer() },
	};
	for (size_t i = 0; i < ARRAY_LEN(hows); i++)
		check_one(der, &hows[i]);
	return 0;
}

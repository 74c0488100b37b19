/* SPDX-License-Identifier: Apache-2.0
 *
 * chain_test.c: a chain is ours when its first certificate has our key and our names, and is refused otherwise.
 */
#include "client/client.h"
#include "unit.h"

#include <stdlib.h>

#define NOW INT64_C(1795305600)
#define DAY INT64_C(86400)

struct world {
	struct crypto *c;
	struct key *root_key, *ca_key, *key, *other;
	struct cert *root, *ca;
	struct issuer *issuer;
	struct arena mem;
	struct str names[2];
	struct addr addr;
	struct ident idents[3];
	struct str leaf, chain;
};

static void make_leaf(struct world *w)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX), der = BUF_MAX(CERT_DER_MAX), pem = BUF_MAX(65536);
	const struct cert_template t = { .ekus = EKU_SERVER };
	const struct cert_request r = {
		.names = w->names,
		.name_count = 2,
		.addrs = &w->addr,
		.addr_count = 1,
		.key = w->key,
		.serial = serial_new(1, &rng_system),
		.not_before = NOW,
		.not_after = NOW + 7 * DAY - 1,
	};
	MUST(cert_build_tbs(w->issuer, &t, &r, &tbs, &err));
	MUST(cert_sign_tbs(w->c, w->issuer, buf_str(&tbs), &der, &err));
	MUST(der_add_pem(buf_str(&der), &pem, &err));
	w->leaf = str_dup(&w->mem, buf_str(&pem));
	MUST(cert_add_pem(w->ca, &pem, &err));
	w->chain = str_dup(&w->mem, buf_str(&pem));
}

static int setup(void **state)
{
	struct err err = { 0 };
	struct world *w = mem_alloc(sizeof *w);
	w->names[0] = STR("a.test.example");
	w->names[1] = STR("b.test.example");
	MUST(addr_read(STR("2001:db8::7"), &w->addr, &err));
	w->idents[0] = (struct ident){ IDENT_DNS, w->names[0] };
	w->idents[1] = (struct ident){ IDENT_DNS, w->names[1] };
	w->idents[2] = (struct ident){ IDENT_IP, STR("2001:db8::7") };
	MUST(crypto_new(&w->c, &err));
	struct key **const keys[] = { &w->root_key, &w->ca_key, &w->key, &w->other };
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		MUST(key_generate(KEY_P256, 0, keys[i], &err));
	struct ca_request r = {
		.common_name = STR("Root"),
		.key = w->root_key,
		.not_before = NOW - DAY,
		.not_after = NOW + 3650 * DAY,
		.path_len = -1,
	};
	MUST(ca_make_root(w->c, &r, &rng_system, &w->root, &err));
	r.common_name = STR("Issuer");
	r.key = w->ca_key;
	r.path_len = 0;
	r.not_after = NOW + 1000 * DAY;
	MUST(ca_make_intermediate(w->c, &r, w->root, w->root_key, &rng_system, &w->ca, &err));
	struct cert *const chain[] = { w->ca, w->root };
	MUST(issuer_new(w->c, chain, 2, w->ca_key, &w->issuer, &err));
	make_leaf(w);
	*state = w;
	return 0;
}

static int teardown(void **state)
{
	struct world *w = *state;
	issuer_free(w->issuer);
	cert_free(w->ca);
	cert_free(w->root);
	key_free(w->root_key);
	key_free(w->ca_key);
	key_free(w->key);
	key_free(w->other);
	crypto_free(w->c);
	arena_done(&w->mem);
	free(w);
	return 0;
}

static void what_was_ordered_is_taken_apart(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct client_chain got;
	MUST(client_chain_check(&w->mem, w->chain, w->key, w->idents, 3, &got, &err));
	assert_int_equal(got.not_before, NOW);
	assert_int_equal(got.not_after, NOW + 7 * DAY - 1);
	assert_true(str_eq(got.leaf_pem, w->leaf));
	assert_true(str_eq(str_fmt(&w->mem, "%.*s%.*s", STR_FMT(got.leaf_pem), STR_FMT(got.issuers_pem)), w->chain));
}

static void a_leaf_alone_is_a_chain(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct client_chain got;
	MUST(client_chain_check(&w->mem, w->leaf, w->key, w->idents, 3, &got, &err));
	assert_int_equal(got.issuers_pem.n, 0);
}

/* Comments between the blocks are allowed (RFC 7468 5.2) and kept out of our files. */
static void what_stands_between_the_blocks_goes_into_no_file(void **state)
{
	struct world *w = *state;
	struct err err = { 0 };
	struct client_chain got;
	struct str noisy = str_fmt(&w->mem, "subject=/x\n%.*s\ncomment\n", STR_FMT(w->leaf));
	MUST(client_chain_check(&w->mem, noisy, w->key, w->idents, 3, &got, &err));
	assert_true(str_eq(got.leaf_pem, w->leaf));
}

static void what_was_not_ordered_is_refused(void **state)
{
	struct world *w = *state;
	const struct ident more[] = { w->idents[0], { IDENT_DNS, STR("c.test.example") }, w->idents[2] };
	const struct ident other_address[] = { w->idents[0], w->idents[1], { IDENT_IP, STR("2001:db8::8") } };
	const struct ident other_kind[] = { w->idents[0], w->idents[1], { IDENT_DNS, STR("2001:db8::7") } };
	const struct ident fewer_names[] = { w->idents[0], w->idents[0], w->idents[2] };
	const struct ident no_address[] = { w->idents[0], w->idents[1], w->idents[1] };
	AUTO(buf_done) struct buf long_chain = BUF_MAX(CLIENT_REPLY_MAX);
	for (int i = 0; i <= CLIENT_CHAIN_MAX; i++)
		assert_false(FAILED(buf_add(&long_chain, w->leaf, NULL)));
	const struct {
		struct str pem;
		const struct key *key;
		const struct ident *idents;
		const char *words;
	} rows[] = {
		{ w->chain, w->other, w->idents, "another key" },
		{ w->chain, w->key, more, "does not carry the name c.test.example" },
		{ w->chain, w->key, other_address, "does not carry the address 2001:db8::8" },
		{ w->chain, w->key, other_kind, "does not carry the name 2001:db8::7" },
		{ w->chain, w->key, fewer_names, "carries the name b.test.example, which was not asked for" },
		{ w->chain, w->key, no_address, "carries the address 2001:db8::7, which was not asked for" },
		{ STR(""), w->key, w->idents, "the chain does not parse: no certificate" },
		{ STR("-----BEGIN CERTIFICATE-----\nMAo=\n-----END CERTIFICATE-----\n"), w->key, w->idents,
		  "the chain does not parse" },
		{ STR("-----BEGIN CERTIFICATE-----\n"), w->key, w->idents, "the chain does not parse" },
		{ buf_str(&long_chain), w->key, w->idents, "more than 16 certificates" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		struct client_chain got;
		struct rc rc = client_chain_check(&w->mem, rows[i].pem, rows[i].key, rows[i].idents, 3, &got, &err);
		if (!FAILED(rc) || strstr(err.detail, rows[i].words) == NULL)
			fail_msg("row %zu: %s \"%s\"", i, err_kind_name(rc.kind), err.detail);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_was_ordered_is_taken_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(a_leaf_alone_is_a_chain, setup, teardown),
		cmocka_unit_test_setup_teardown(what_stands_between_the_blocks_goes_into_no_file, setup, teardown),
		cmocka_unit_test_setup_teardown(what_was_not_ordered_is_refused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

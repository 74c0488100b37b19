/* SPDX-License-Identifier: Apache-2.0
 *
 * compact_test.c: our own signed messages: made for one purpose, taken for no other.
 */
#include "jose/jose.h"
#include "unit.h"

struct fixture {
	struct crypto *c;
	struct key *k, *other;
};

static int set_up(void **state)
{
	static struct fixture f;
	struct err err = { 0 };
	MUST(crypto_new(&f.c, &err));
	MUST(key_generate(KEY_ED25519, 0, &f.k, &err));
	MUST(key_generate(KEY_ED25519, 0, &f.other, &err));
	*state = &f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	key_free(f->k);
	key_free(f->other);
	crypto_free(f->c);
	return 0;
}

static void messages_come_back_with_kid_and_payload(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	struct jws_compact j;
	MUST(jws_compact_sign(f->c, f->k, STR("cairn-verdict"), STR("probe-1"), STR("{\"a\":1}"), &text, &err));
	MUST(jws_compact_read(&mem, buf_str(&text), STR("cairn-verdict"), 4096, &j, &err));
	assert_true(str_eq(j.kid, STR("probe-1")));
	assert_true(str_eq(j.payload, STR("{\"a\":1}")));
	assert_int_equal(j.alg, SIG_EDDSA);
	MUST(jws_compact_verify(f->c, &j, f->k, &err));
	MUST_FAIL(jws_compact_verify(f->c, &j, f->other, &err), ERR_MALFORMED, "does not verify");
	MUST_FAIL(jws_compact_read(&mem, buf_str(&text), STR("cairn-grant"), 4096, &j, &err), ERR_MALFORMED,
		  "typ \"cairn-verdict\", wanted \"cairn-grant\"");
	MUST_FAIL(jws_compact_read(&mem, buf_str(&text), STR("cairn-verdict"), text.n - 1, &j, &err), ERR_MALFORMED,
		  "at most");
}

static void no_changed_character_verifies(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(4096);
	MUST(jws_compact_sign(f->c, f->k, STR("t"), STR("k"), STR("{\"a\":1}"), &text, &err));
	for (size_t i = 0; i < text.n; i++) {
		struct jws_compact j;
		char *changed = str_dupz_raw(&mem, buf_str(&text));
		changed[i] = changed[i] == 'A' ? 'B' : 'A';
		if (!FAILED(jws_compact_read(&mem, str_n(changed, text.n), STR("t"), 4096, &j, NULL)))
			MUST_FAIL(jws_compact_verify(f->c, &j, f->k, &err), ERR_MALFORMED, "does not verify");
		assert_true(FAILED(jws_compact_read(&mem, str_sub(buf_str(&text), 0, i), STR("t"), 4096, &j, NULL)) ||
			    FAILED(jws_compact_verify(f->c, &j, f->k, NULL)));
	}
}

static void other_shapes_are_refused(void **state)
{
	(void)state;
	static const struct {
		const char *header, *rest;
		enum err_kind kind;
		const char *text;
	} rows[] = {
		{ "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"t\"}", ".e30.AAAA.AAAA", ERR_MALFORMED, "" },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"t\"}", ".e30", ERR_MALFORMED, "" },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"t\"}", "", ERR_MALFORMED, "" },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"t\",\"crit\":[\"x\"]}", ".e30.AAAA", ERR_MALFORMED,
		  "crit" },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"k\",\"typ\":\"t\",\"jwk\":{}}", ".e30.AAAA", ERR_MALFORMED, "jwk" },
		{ "{\"alg\":\"EdDSA\",\"kid\":\"k\"}", ".e30.AAAA", ERR_MALFORMED, "typ" },
		{ "{\"alg\":\"EdDSA\",\"typ\":\"t\"}", ".e30.AAAA", ERR_MALFORMED, "kid" },
		{ "{\"alg\":\"none\",\"kid\":\"k\",\"typ\":\"t\"}", ".e30.", ERR_BAD_SIGNATURE_ALGORITHM,
		  "not served" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct err err = { 0 };
		AUTO(arena_done) struct arena mem = { 0 };
		struct jws_compact j;
		struct str head = b64url_encode(&mem, str_z(rows[i].header));
		struct str text = str_fmt(&mem, "%.*s%s", STR_FMT(head), rows[i].rest);
		MUST_FAIL(jws_compact_read(&mem, text, STR("t"), 4096, &j, &err), rows[i].kind, rows[i].text);
	}
	struct err err = { 0 };
	AUTO(arena_done) struct arena mem = { 0 };
	struct jws_compact j;
	char dots[4000];
	memset(dots, '.', sizeof dots);
	MUST_FAIL(jws_compact_read(&mem, str_n(dots, sizeof dots), STR("t"), 4096, &j, &err), ERR_MALFORMED, "");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(messages_come_back_with_kid_and_payload),
		cmocka_unit_test(no_changed_character_verifies),
		cmocka_unit_test(other_shapes_are_refused),
	};
	return cmocka_run_group_tests(tests, set_up, tear_down);
}

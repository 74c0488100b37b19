/* SPDX-License-Identifier: Apache-2.0
 *
 * quorum_test.c: of many verdicts the signer gets as many as it counts, and those that it would count together.
 */
#include "acme/quorum.h"
#include "jose/jose.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define TOKEN "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"
#define THUMB "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8"

struct scene {
	struct arena mem;
	struct crypto *crypto;
	struct key *key;
	struct verdict_row rows[8];
};

static int scene_open(void **state)
{
	static struct scene c;
	c = (struct scene){ .key = NULL };
	*state = &c;
	return FAILED(crypto_new(&c.crypto, NULL)) || FAILED(key_generate(KEY_P256, 0, &c.key, NULL)) ? -1 : 0;
}

static int scene_close(void **state)
{
	struct scene *c = *state;
	key_free(c->key);
	crypto_free(c->crypto);
	arena_done(&c->mem);
	return 0;
}

static struct str verdict_of(struct scene *c, struct str perspective, struct str record)
{
	AUTO(buf_done) struct buf payload = BUF_MAX(VERDICT_PAYLOAD_MAX), jws = BUF_MAX(VERDICT_JWS_MAX);
	struct err err = { 0 };
	const struct id id = { { 1, 2, 3, 4, 5, 6, 0x70, 7, 0x80 } };
	const struct verdict v = { .attempt = id,
				   .authz = id,
				   .perspective = perspective,
				   .realm = STR("default"),
				   .zone = STR("default"),
				   .method = CHALLENGE_DNSPERSIST01,
				   .ident = { IDENT_DNS, STR("a.example") },
				   .token = STR(TOKEN),
				   .thumbprint = STR(THUMB),
				   .valid = true,
				   .caa = STR("none"),
				   .account_url = STR("https://ca.example/account/1"),
				   .record_thumbprint = record };
	if (FAILED(verdict_write(&v, &payload, &err)) ||
	    FAILED(jws_compact_sign(c->crypto, c->key, STR(VERDICT_TYP), perspective, buf_str(&payload), &jws, &err)))
		fail_msg("%s", err.detail);
	return str_dup(&c->mem, buf_str(&jws));
}

/* A row's verdicts, one a word: a letter for the perspective, a digit for when, "-" for a bad one, "*" for one whose record
 * names an earlier key. */
static size_t rows_of(struct scene *c, const char *text)
{
	size_t n = 0;
	for (struct str rest = str_z(text); rest.n > 0;) {
		size_t end = str_find(rest, ' ', 0);
		struct str word = str_sub(rest, 0, end);
		struct str who = str_sub(word, 0, 1);
		bool bad = str_find(word, '-', 0) < word.n, earlier = str_find(word, '*', 0) < word.n;
		c->rows[n++] = (struct verdict_row){ .perspective = who,
						     .valid = !bad,
						     .finished_at = word.p[1],
						     .jws = verdict_of(c, who, earlier ? STR(TOKEN) : STR_NONE) };
		rest = end < rest.n ? str_sub(rest, end + 1, rest.n) : STR_NONE;
	}
	return n;
}

static void the_newest_quorum_that_saw_the_same_is_chosen(void **state)
{
	struct scene *c = *state;
	static const char *const names[] = { "a", "b", "c", "d", "e", "f" };
	struct str members[ARRAY_LEN(names)];
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		members[i] = str_z(names[i]);
	static const struct {
		const char *given;
		int64_t quorum;
		bool records;
		const char *want; /* letters, in their order */
	} rows[] = {
		{ "a1 b1 c1 d1 e1 f1", 6, false, "abcdef" },
		{ "a1 b3 c2 d6 e5 f4", 4, false, "defb" },
		{ "a1 b3- c2 d6- e5 f4", 3, false, "efc" },
		{ "a1 b2", 3, false, "ab" },
		{ "a1- b2-", 1, false, "" },
		{ "", 1, false, "" },
		{ "a1 z9 b2", 1, false, "b" },
		{ "a1 z9", 2, false, "a" },
		{ "a5* b4 c3 d2*", 2, false, "ab" }, /* nobody asked for records */
		{ "a5* b4 c3 d2*", 2, true, "ad" },
		{ "a5* b4 c3 d2", 3, true, "bcd" },
		{ "a5* b4 c3 d2*", 3, true, "abcd" }, /* no choice: the signer says why */
		{ "a5* b4* c3 d2", 2, true, "ab" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct conf_zone zone = { .perspectives = { members, ARRAY_LEN(members) },
						.quorum = rows[i].quorum };
		char got[ARRAY_LEN(c->rows) + 1] = "";
		size_t n = quorum_choose(&c->mem, &zone, rows[i].records, c->rows, rows_of(c, rows[i].given));
		for (size_t k = 0; k < n; k++)
			got[k] = c->rows[k].perspective.p[0];
		if (strcmp(got, rows[i].want) != 0)
			fail_msg("of \"%s\": \"%s\", wanted \"%s\"", rows[i].given, got, rows[i].want);
	}
}

static void without_a_zone_all_good_ones_go(void **state)
{
	struct scene *c = *state;
	assert_int_equal(quorum_choose(&c->mem, NULL, false, c->rows, rows_of(c, "a1 b2- z3")), 2);
}

static void what_cannot_be_read_counts_as_of_the_present_key(void **state)
{
	struct scene *c = *state;
	struct str members[] = { STR("a"), STR("b"), STR("c") };
	const struct conf_zone zone = { .perspectives = { members, ARRAY_LEN(members) }, .quorum = 2 };
	size_t n = rows_of(c, "a3* b2 c1");
	c->rows[2].jws = STR("no jws");
	assert_int_equal(quorum_choose(&c->mem, &zone, true, c->rows, n), 2);
	assert_true(str_eq(c->rows[0].perspective, STR("b")) && str_eq(c->rows[1].perspective, STR("c")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(the_newest_quorum_that_saw_the_same_is_chosen, scene_open, scene_close),
		cmocka_unit_test_setup_teardown(without_a_zone_all_good_ones_go, scene_open, scene_close),
		cmocka_unit_test_setup_teardown(what_cannot_be_read_counts_as_of_the_present_key, scene_open,
						scene_close),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * grant_test.c: what the api takes for a grant, and what not, whatever stands in the store; and what the objects show that
 * stand on one.
 */
#include "fixture.h"
#include "steps.h"

#include <stdlib.h>

#define REALM(more)                                                                                         \
	"realm:\n  default:\n    names: ['*.a.test', '*.b.test']\n    addresses: [192.0.2.0/24]\n    caa: " \
	"'off'\n" more "zone:\n  default:\n    attempts: 1\n"
#define WITH_GRANTS REALM("    grants: true\n")

struct fixture {
	FIXTURE;
	struct key *key, *stranger;
};

static int open_world(void **state)
{
	struct fixture *f = fixture_new(sizeof *f, WITH_GRANTS, 2);
	struct err err = { 0 };
	MUST(key_generate(KEY_P256, 0, &f->key, &err));
	MUST(key_generate(KEY_P256, 0, &f->stranger, &err));
	*state = f;
	return 0;
}

static int close_world(void **state)
{
	struct fixture *f = *state;
	key_free(f->key);
	key_free(f->stranger);
	return fixture_free(state);
}

static struct str order_of(struct fixture *f, const struct world_account *a, const char *idents)
{
	return step_make(&f->w, a, STR(WORLD_BASE "/new-order"), str_fmt(&f->w.mem, "{\"identifiers\":[%s]}", idents));
}

#define HOST "{\"type\":\"dns\",\"value\":\"host.a.test\"}"
static struct str host_names[] = { { "host.a.test", 11 } };

/* --- what does not count ----------------------------------------------------------------------------------------------*/
static void as_it_is(struct fixture *f, struct grant *g, const struct key **k)
{
	(void)f;
	(void)g;
	(void)k;
}
static void by_a_stranger(struct fixture *f, struct grant *g, const struct key **k)
{
	(void)g;
	*k = f->stranger;
}
static void by_a_perspective(struct fixture *f, struct grant *g, const struct key **k)
{
	(void)g;
	*k = f->w.perspective_key;
}
static void for_another_realm(struct fixture *f, struct grant *g, const struct key **k)
{
	(void)f;
	(void)k;
	g->realm = STR("lab");
}
static void for_another_key(struct fixture *f, struct grant *g, const struct key **k)
{
	(void)k;
	g->thumbprints[0] = str_z(f->bob.thumbprint.z);
}
static void for_another_name(struct fixture *f, struct grant *g, const struct key **k)
{
	static struct str other[] = { { "other.a.test", 12 } };
	(void)f;
	(void)k;
	g->names = other;
}
static void for_what_is_below(struct fixture *f, struct grant *g, const struct key **k)
{
	static struct str below[] = { { "*.host.a.test", 13 } };
	(void)f;
	(void)k;
	g->names = below;
}
static void for_another_profile(struct fixture *f, struct grant *g, const struct key **k)
{
	static struct str other[] = { { "client", 6 } };
	(void)f;
	(void)k;
	g->profiles = other;
	g->profile_count = 1;
}
static void from_tomorrow(struct fixture *f, struct grant *g, const struct key **k)
{
	(void)f;
	(void)k;
	g->from_s += 86400;
}
static void until_yesterday(struct fixture *f, struct grant *g, const struct key **k)
{
	(void)f;
	(void)k;
	g->from_s -= 2 * 86400;
	g->until_s = g->from_s + 86400;
}

static void only_a_grant_that_fits_makes_an_order_ready(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *what;
		void (*change)(struct fixture *f, struct grant *g, const struct key **k);
	} rows[] = {
		{ "signed by a stranger", by_a_stranger },
		{ "signed by a perspective", by_a_perspective },
		{ "another realm's", for_another_realm },
		{ "another key's", for_another_key },
		{ "another name's", for_another_name },
		{ "the names below it", for_what_is_below },
		{ "another profile's", for_another_profile },
		{ "not yet", from_tomorrow },
		{ "over", until_yesterday },
	};
	struct err err = { 0 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct key *k = NULL;
		struct grant g = world_grant(&f->w, &f->alice, host_names, 1);
		rows[i].change(f, &g, &k);
		MUST(world_grant_add(&f->w, &g, k, &err));
		struct str status = step_status(&f->w, &f->alice, order_of(f, &f->alice, HOST));
		if (!str_eq(status, STR("pending")))
			fail_msg("%s: the order is %.*s", rows[i].what, STR_FMT(status));
	}
	const struct key *k = NULL;
	struct grant g = world_grant(&f->w, &f->alice, host_names, 1);
	as_it_is(f, &g, &k);
	MUST(world_grant_add(&f->w, &g, k, &err));
	STATUS_IS(&f->w, &f->alice, order_of(f, &f->alice, HOST), "ready");
	STATUS_IS(&f->w, &f->bob, order_of(f, &f->bob, HOST), "ready"); /* the one for his key */
}

static void a_realm_without_grants_takes_none(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	const struct grant g = world_grant(&f->w, &f->alice, host_names, 1);
	MUST(world_grant_add(&f->w, &g, NULL, &err));
	struct str before = order_of(f, &f->alice, HOST);
	STATUS_IS(&f->w, &f->alice, before, "ready");
	MUST(world_configure(&f->w, REALM(""), &err));
	STATUS_IS(&f->w, &f->alice, order_of(f, &f->alice, HOST), "pending");
	/* What was made while it took some is not signed: the signer goes by its own configuration. */
	static const char *const names[] = { "host.a.test", NULL }, *const none[] = { NULL };
	struct world_reply r = step_finalize(&f->w, &f->alice, before, step_csr(&f->w, f->key, names, none));
	world_reply_done(&r);
	MUST(world_run(&f->w, &err));
	STATUS_IS(&f->w, &f->alice, before, "invalid");
}

/* It widens nothing. */
static void names_that_the_realm_does_not_allow_stay_refused(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static struct str names[] = { { "*", 1 } };
	const struct grant g = world_grant(&f->w, &f->alice, names, 1);
	MUST(world_grant_add(&f->w, &g, NULL, &err));
	struct world_reply r = step_post(&f->w, &f->alice, STR(WORLD_BASE "/new-order"),
					 STR("{\"identifiers\":[{\"type\":\"dns\",\"value\":\"host.c.test\"}]}"));
	expect_problem("another domain", &r, 400, "rejectedIdentifier", "host.c.test");
	r = step_post(&f->w, &f->alice, STR(WORLD_BASE "/new-order"),
		      STR("{\"identifiers\":[{\"type\":\"dns\",\"value\":\"*.host.a.test\"}]}"));
	expect_status("a wildcard may be proved", &r, 201);
	STATUS_IS(&f->w, &f->alice, order_of(f, &f->alice, HOST), "ready");
}

/* --- what is seen of it ---------------------------------------------------------------------------------------------*/
static void a_granted_authorization_is_valid_without_challenges(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str ranges[] = { STR("192.0.2.0/28") }, urls[IDENTS_MAX];
	struct grant g = world_grant(&f->w, &f->alice, host_names, 1);
	g.addresses = ranges;
	g.address_count = 1;
	g.until_s = g.from_s + 3600;
	MUST(world_grant_add(&f->w, &g, NULL, &err));
	struct str order = order_of(f, &f->alice, HOST ",{\"type\":\"ip\",\"value\":\"192.0.2.7\"}");
	STATUS_IS(&f->w, &f->alice, order, "ready");
	assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), 2);
	for (size_t i = 0; i < 2; i++) {
		struct world_reply r = step_post(&f->w, &f->alice, urls[i], STR_NONE);
		int64_t end;
		assert_true(str_eq(step_text(&f->w, r.json, "status"), STR("valid")));
		assert_int_equal(json_type(json_get(r.json, "challenges")), JSON_ARRAY);
		assert_int_equal(json_count(json_get(r.json, "challenges")), 0);
		MUST(time_read(step_text(&f->w, r.json, "expires"), &end, &err));
		assert_in_range(end, g.until_s, g.until_s + 1);
		world_reply_done(&r);
	}
	assert_true(store_has(&f->w, STR("authorization granted")));
	assert_true(store_has(&f->w, str_z(id_show(g.id).z)));
	/* It can be given up like any. */
	struct world_reply r = step_post(&f->w, &f->alice, urls[0], STR("{\"status\":\"deactivated\"}"));
	expect_status("deactivated", &r, 200);
	assert_true(store_has(&f->w, STR("authorization deactivated")));
	STATUS_IS(&f->w, &f->alice, order, "invalid");
	STATUS_IS(&f->w, &f->alice, order_of(f, &f->alice, HOST), "ready"); /* the grant is there still */
}

static void a_preauthorization_of_a_granted_name_is_valid(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	const struct grant g = world_grant(&f->w, &f->alice, host_names, 1);
	MUST(world_grant_add(&f->w, &g, NULL, &err));
	struct str at = STR(WORLD_BASE "/new-authz");
	STATUS_IS(&f->w, &f->alice, step_make(&f->w, &f->alice, at, STR("{\"identifier\":" HOST "}")), "valid");
	STATUS_IS(&f->w, &f->bob, step_make(&f->w, &f->bob, at, STR("{\"identifier\":" HOST "}")), "pending");
}

/* The signer takes so many with a job; what they do not cover is proved. */
static void an_order_uses_a_limited_number_of_grants(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf idents = BUF_MAX(65536);
	struct str urls[IDENTS_MAX];
	size_t valid = 0, count = SIGN_GRANTS_MAX + 4;
	for (size_t i = 0; i < count; i++) {
		struct str *name = ARENA_NEW(&f->w.mem, struct str);
		*name = str_fmt(&f->w.mem, "h%zu.a.test", i);
		const struct grant g = world_grant(&f->w, &f->alice, name, 1);
		MUST(world_grant_add(&f->w, &g, NULL, &err));
		MUST(buf_addf(&idents, &err, "%s{\"type\":\"dns\",\"value\":\"h%zu.a.test\"}", i == 0 ? "" : ",", i));
	}
	struct str order = order_of(f, &f->alice, str_dupz_raw(&f->w.mem, buf_str(&idents)));
	STATUS_IS(&f->w, &f->alice, order, "pending");
	assert_int_equal(step_authzs(&f->w, &f->alice, order, urls), count);
	for (size_t i = 0; i < count; i++)
		valid += str_eq(step_status(&f->w, &f->alice, urls[i]), STR("valid"));
	assert_int_equal(valid, SIGN_GRANTS_MAX - 1);
}

#define WORLD(f) cmocka_unit_test_setup_teardown(f, open_world, close_world)

int main(void)
{
	const struct CMUnitTest tests[] = {
		WORLD(only_a_grant_that_fits_makes_an_order_ready),
		WORLD(a_realm_without_grants_takes_none),
		WORLD(names_that_the_realm_does_not_allow_stay_refused),
		WORLD(a_granted_authorization_is_valid_without_challenges),
		WORLD(a_preauthorization_of_a_granted_name_is_valid),
		WORLD(an_order_uses_a_limited_number_of_grants),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * grant_test.c: a grant goes out and comes back the same; what says too little, too much or what cannot be, does not.
 */
#include "model/model.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define THUMB "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8"
#define OTHER "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"

#define S(lit)                       \
	{                            \
		lit, sizeof(lit) - 1 \
	} /* STR is no constant to -Wpedantic */
static struct str keys[] = { S(THUMB), S(OTHER) };
static struct str names[] = { S("*.team-a.corp.example"), S("host.corp.example") };
static struct str addresses[] = { S("10.1.0.0/16"), S("2001:db8::1") };
static struct str emails[] = { S("ca+ops@corp.example") };
static struct str profiles[] = { S("server"), S("email") };

static struct grant whole(void)
{
	return (struct grant){
		.id = { { 1, 2, 3, 4, 5, 6, 0x70, 7, 0x80, 9 } },
		.realm = STR("default"),
		.thumbprints = keys,
		.thumbprint_count = 2,
		.names = names,
		.name_count = 2,
		.addresses = addresses,
		.address_count = 2,
		.wildcards = true,
		.organization = STR("B\xc3\xa4r & S\xc3\xb6hne"),
		.locality = STR("K\xc3\xb6ln"),
		.state = STR("NRW"),
		.country = STR("DE"),
		.emails = emails,
		.email_count = 1,
		.profiles = profiles,
		.profile_count = 2,
		.made_ms = 1795305600123,
		.from_s = 1795305600,
		.until_s = 1797897600,
		.note = STR("ticket 7"),
	};
}

static void must(struct rc rc, const struct err *err)
{
	if (FAILED(rc))
		fail_msg("%s: %s", err_kind_name(err->kind), err->detail);
}

static void a_grant_comes_back_as_it_went_out(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf one = BUF_MAX(GRANT_PAYLOAD_MAX);
	AUTO(buf_done) struct buf two = BUF_MAX(GRANT_PAYLOAD_MAX);
	struct err err = { 0 };
	struct grant g = whole(), back;
	must(grant_write(&g, &one, &err), &err);
	must(grant_read(&mem, buf_str(&one), &back, &err), &err);
	must(grant_write(&back, &two, &err), &err);
	assert_true(str_eq(buf_str(&one), buf_str(&two)));
	assert_true(id_eq(back.id, g.id) && str_eq(back.realm, g.realm));
	assert_int_equal(back.thumbprint_count, 2);
	assert_true(str_eq(back.thumbprints[1], keys[1]) && str_eq(back.names[0], names[0]));
	assert_true(str_eq(back.addresses[1], addresses[1]) && back.wildcards);
	assert_true(str_eq(back.organization, g.organization) && str_eq(back.locality, g.locality));
	assert_true(str_eq(back.state, g.state) && str_eq(back.country, g.country));
	assert_true(str_eq(back.emails[0], emails[0]) && str_eq(back.profiles[1], profiles[1]));
	assert_true(back.made_ms == g.made_ms && back.from_s == g.from_s && back.until_s == g.until_s);
	assert_true(str_eq(back.note, g.note) && grant_has_subject(&back));
}

static void what_is_absent_is_empty(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(GRANT_PAYLOAD_MAX);
	struct err err = { 0 };
	struct grant back;
	const struct grant g = { .id = { { 1, 2, 3, 4, 5, 6, 0x70, 7, 0x80 } },
				 .realm = STR("r"),
				 .thumbprints = keys,
				 .thumbprint_count = 1,
				 .names = names,
				 .name_count = 1,
				 .until_s = 1 };
	must(grant_write(&g, &b, &err), &err);
	assert_null(memmem(b.p, b.n, "wildcards", 9));
	must(grant_read(&mem, buf_str(&b), &back, &err), &err);
	assert_false(back.wildcards || grant_has_subject(&back));
	assert_int_equal(back.address_count + back.profile_count + back.email_count + back.note.n, 0);
}

static void what_cannot_be_granted_is_refused(void **state)
{
	(void)state;
	static const struct {
		const char *from, *to, *says;
	} rows[] = {
		{ "\"v\":1", "\"v\":2", "\"v\"" },
		{ "\"v\":1", "\"v\":1,\"root\":true", "root" },
		{ "\"id\":\"01", "\"id\":\"", "id" },
		{ "\"default\"", "\"\"", "\"realm\"" },
		{ "\"default\"", "\"de fault\"", "\"realm\"" },
		{ "[\"" THUMB "\",\"" OTHER "\"]", "[]", "\"thumbprints\"" },
		{ THUMB, "abc", "\"thumbprints\"[0]" },
		{ THUMB, "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9P/8", "\"thumbprints\"" },
		{ "*.team-a.corp.example", "*.*.corp.example", "*" },
		{ "*.team-a.corp.example", "Team.corp.example", "" },
		{ "[\"*.team-a.corp.example\",\"host.corp.example\"]", "[]", "\"names\"" },
		{ "10.1.0.0/16", "10.1.0.0/40", "" },
		{ "B\xc3\xa4r", "B\\u001br", "\"organization\"" },
		{ "B\xc3\xa4r", "B\xc3r", "" },
		{ "B\xc3\xa4r", "012345678901234567890123456789012345678901234567890123456789", "64" },
		{ "\"organization\":\"B\xc3\xa4r & S\xc3\xb6hne\",", "", "\"organization\"" },
		{ "\"DE\"", "\"de\"", "\"country\"" },
		{ "\"DE\"", "\"D\"", "\"country\"" },
		{ "\"DE\"", "\"DEU\"", "\"country\"" },
		{ "ca+ops@", "@", "e-mail" },
		{ "ca+ops@", "ca ops@", "e-mail" },
		{ "ca+ops@", "a@b@", "e-mail" },
		{ "ca+ops@", ".ops@", "e-mail" },
		{ "ca+ops@", "ops.@", "e-mail" },
		{ "ca+ops@", "o..ps@", "e-mail" },
		{ "ca+ops@", "ca+ops", "e-mail" },
		{ "@corp.example", "@Corp.example", "e-mail" },
		{ "@corp.example", "@*.example", "e-mail" },
		{ "\"email\"", "\"e mail\"", "\"profiles\"" },
		{ "\"until\":1797897600", "\"until\":1795305600", "\"until\"" },
		{ "\"from\":1795305600", "\"from\":-1", "\"from\"" },
		{ "ticket 7", "ticket\\n7", "\"note\"" },
	};
	AUTO(buf_done) struct buf good = BUF_MAX(GRANT_PAYLOAD_MAX);
	struct err err = { 0 };
	struct grant g = whole(), back;
	must(grant_write(&g, &good, &err), &err);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		const char *text = str_dupz_raw(&mem, buf_str(&good)), *at = strstr(text, rows[i].from);
		if (at == NULL)
			fail_msg("row %zu changes nothing: %s", i, text);
		struct str bad =
			str_fmt(&mem, "%.*s%s%s", (int)(at - text), text, rows[i].to, at + strlen(rows[i].from));
		err = (struct err){ 0 };
		if (!FAILED(grant_read(&mem, bad, &back, &err)))
			fail_msg("row %zu is taken: %.*s", i, STR_FMT(bad));
		assert_int_equal(err.kind, ERR_MALFORMED);
		if (strstr(err.detail, rows[i].says) == NULL)
			fail_msg("row %zu: \"%s\" does not say %s", i, err.detail, rows[i].says);
	}
}

static void a_grant_of_nothing_is_none(void **state)
{
	(void)state;
	AUTO(buf_done) struct buf b = BUF_MAX(GRANT_PAYLOAD_MAX);
	struct err err = { 0 };
	struct grant g = whole();
	g.name_count = g.address_count = g.email_count = 0;
	g.wildcards = false;
	g.organization = g.locality = g.state = g.country = STR_NONE;
	assert_int_equal(grant_write(&g, &b, &err).kind, ERR_MALFORMED);
	assert_non_null(strstr(err.detail, "grants nothing"));
	g.wildcards = true;
	g.country = STR("DE");
	assert_int_equal(grant_write(&g, &b, &err).kind, ERR_MALFORMED);
	assert_non_null(strstr(err.detail, "\"wildcards\""));
	g.wildcards = false;
	must(grant_write(&g, &b, &err), &err);
}

static void it_covers_its_names_and_ranges_and_no_more(void **state)
{
	(void)state;
	static const struct {
		enum ident_type type;
		const char *value;
		bool plain, wild; /* without and with "wildcards" */
	} rows[] = {
		{ IDENT_DNS, "www.team.corp", true, true },  { IDENT_DNS, "a.b.team.corp", true, true },
		{ IDENT_DNS, "team.corp", false, false },    { IDENT_DNS, "xteam.corp", false, false },
		{ IDENT_DNS, "host.lab", true, true },       { IDENT_DNS, "a.host.lab", false, false },
		{ IDENT_DNS, "*.team.corp", false, true },   { IDENT_DNS, "*.a.team.corp", false, true },
		{ IDENT_DNS, "*.host.lab", false, false },   { IDENT_DNS, "*.corp", false, false },
		{ IDENT_IP, "10.1.2.3", true, true },        { IDENT_IP, "10.2.0.1", false, false },
		{ IDENT_IP, "2001:db8::1", true, true },     { IDENT_IP, "2001:db9::1", false, false },
		{ IDENT_IP, "www.team.corp", false, false }, { IDENT_DNS, "10.1.2.3", false, false },
	};
	struct str patterns[] = { STR("*.team.corp"), STR("host.lab") };
	struct str ranges[] = { STR("10.1.0.0/16"), STR("2001:db8::/32") };
	struct grant g = { .names = patterns, .name_count = 2, .addresses = ranges, .address_count = 2 };
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const struct ident ident = { rows[i].type, str_z(rows[i].value) };
		g.wildcards = false;
		if (grant_covers(&g, &ident) != rows[i].plain)
			fail_msg("%s without wildcards", rows[i].value);
		g.wildcards = true;
		if (grant_covers(&g, &ident) != rows[i].wild)
			fail_msg("%s with wildcards", rows[i].value);
	}
}

static void it_is_for_its_keys_and_profiles(void **state)
{
	(void)state;
	struct str two[] = { STR("k1"), STR("k2") }, one[] = { STR("server") };
	struct grant g = { .thumbprints = two, .thumbprint_count = 2, .profiles = one, .profile_count = 1 };
	assert_true(grant_has_key(&g, STR("k1")) && grant_has_key(&g, STR("k2")) && !grant_has_key(&g, STR("k")));
	assert_true(grant_has_profile(&g, STR("server")) && !grant_has_profile(&g, STR("client")));
	g.profile_count = 0;
	assert_true(grant_has_profile(&g, STR("client")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_grant_comes_back_as_it_went_out),
		cmocka_unit_test(what_is_absent_is_empty),
		cmocka_unit_test(what_cannot_be_granted_is_refused),
		cmocka_unit_test(a_grant_of_nothing_is_none),
		cmocka_unit_test(it_covers_its_names_and_ranges_and_no_more),
		cmocka_unit_test(it_is_for_its_keys_and_profiles),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

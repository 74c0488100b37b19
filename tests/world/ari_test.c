/* SPDX-License-Identifier: Apache-2.0
 *
 * ari_test.c: renewal information (RFC 9773 4): names of certificates and everything that is none, windows and when to
 * ask again; and orders that replace a certificate (RFC 9773 5; THREATS A83).
 */
#include "fixture.h"
#include "steps.h"

#include <stdlib.h>

#define NEW_ORDER STR(WORLD_BASE "/new-order")
#define HOUR_MS ((int64_t)3600 * 1000)

#define REALMS                                                                                                 \
	"realm:\n  default:\n    names: [\"*.a.test\"]\n    addresses: [\"93.184.216.0/24\"]\n"                \
	"    profiles: [server, short, minute]\n    accounts-per-hour: 0\n    orders-per-hour: 1\n"            \
	"  other:\n    names: [\"*.a.test\"]\n"                                                                \
	"profile:\n  server: {}\n  short:\n    lifetime: 6d\n  minute:\n    lifetime: 60s\n    backdate: 0s\n" \
	"zone:\n  default:\n    attempts: 1\n"

struct fixture {
	FIXTURE;
	struct key *key;
};

struct issued {
	struct str aki, serial; /* bytes */
	struct str certid;
	int64_t not_before, not_after;
	struct str der;
};

static struct str b64(struct fixture *f, struct str s)
{
	return b64url_encode(&f->w.mem, s);
}

static struct str certid_of(struct fixture *f, struct str aki, struct str serial)
{
	return str_fmt(&f->w.mem, "%.*s.%.*s", STR_FMT(b64(f, aki)), STR_FMT(b64(f, serial)));
}

static struct issued issued_read(struct fixture *f, struct str pem)
{
	struct err err = { 0 };
	struct cert *chain[4] = { 0 };
	struct issued i = { 0 };
	struct str hex;
	size_t count;
	MUST(cert_read_pem(pem, chain, ARRAY_LEN(chain), &count, &err));
	MUST(cert_get_aki(&f->w.mem, chain[0], &i.aki, &err));
	MUST(cert_get_serial_hex(&f->w.mem, chain[0], &hex, &err));
	MUST(hex_decode(&f->w.mem, hex, 64, &i.serial, &err));
	i.certid = certid_of(f, i.aki, i.serial);
	i.not_before = cert_get_not_before(chain[0]);
	i.not_after = cert_get_not_after(chain[0]);
	i.der = str_dup(&f->w.mem, cert_get_der(chain[0]));
	for (size_t k = 0; k < count; k++)
		cert_free(chain[k]);
	return i;
}

static struct str order_text(struct fixture *f, const char *name, const char *more)
{
	return str_fmt(&f->w.mem, "{\"identifiers\":[{\"type\":\"dns\",\"value\":\"%s\"}]%s}", name, more);
}

/* Takes an order that is ready, or becomes it, to its certificate. */
static struct issued issue(struct fixture *f, const struct world_account *a, struct str order, const char *name)
{
	struct err err = { 0 };
	const char *const names[] = { name, NULL }, *const none[] = { NULL };
	world_site(&f->w, str_z(name))->thumbprint = str_z(a->thumbprint.z);
	if (str_eq(step_status(&f->w, a, order), STR("pending")))
		step_prove(&f->w, a, order);
	struct world_reply r = step_finalize(&f->w, a, order, step_csr(&f->w, f->key, names, none));
	expect_status("finalize", &r, 200);
	MUST(world_run(&f->w, &err));
	r = step_post(&f->w, a, order, STR_NONE);
	struct str url = step_text(&f->w, r.json, "certificate");
	world_reply_done(&r);
	r = step_post(&f->w, a, url, STR_NONE);
	struct issued i = issued_read(f, r.body);
	expect_status("certificate", &r, 200);
	return i;
}

/* The limit of one order an hour is for others to meet. */
static struct issued issue_new(struct fixture *f, const char *name, const char *more)
{
	f->w.now_ms += 2 * HOUR_MS;
	return issue(f, &f->alice, step_make(&f->w, &f->alice, NEW_ORDER, order_text(f, name, more)), name);
}

static struct world_reply ask(struct fixture *f, enum http_method m, struct str certid)
{
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_send(&f->w, m, str_fmt(&f->w.mem, "/renewal-info/%.*s", STR_FMT(certid)), STR_NONE, STR_NONE, &r,
			&err));
	return r;
}

struct window {
	int64_t start, end, retry;
};

static struct window window_of(struct fixture *f, struct str certid)
{
	struct err err = { 0 };
	struct window w;
	uint64_t retry;
	struct world_reply r = ask(f, HTTP_GET, certid);
	const struct json *window = json_get(r.json, "suggestedWindow");
	MUST(time_read(step_text(&f->w, window, "start"), &w.start, &err));
	MUST(time_read(step_text(&f->w, window, "end"), &w.end, &err));
	MUST(str_u64(world_header(&r, "Retry-After"), 86400, &retry, &err));
	w.retry = (int64_t)retry;
	expect_status("renewal-info", &r, 200);
	return w;
}

/* --- windows ------------------------------------------------------------------------------------------------------*/

static void the_window_lies_at_two_thirds_or_half_of_a_life(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *more;
		int64_t life, middle; /* seconds; of the life, in thousandths */
	} rows[] = {
		{ "", 90 * 86400, 667 },
		{ ",\"profile\":\"short\"", 6 * 86400, 500 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct issued c = issue_new(f, "www.a.test", rows[i].more);
		struct window w = window_of(f, c.certid);
		int64_t middle = c.not_before + rows[i].life * rows[i].middle / 1000, slack = rows[i].life / 100 + 3600;
		assert_true(w.start < w.end); /* RFC 9773 4.2: MUST */
		assert_int_equal(w.end - w.start, rows[i].life / 50);
		assert_in_range((w.start + w.end) / 2, middle - slack, middle + slack);
		assert_true(w.end < c.not_after);
		assert_in_range(w.retry, 6 * 3600 * 9 / 10, 6 * 3600 * 11 / 10);
		struct window again = window_of(f, c.certid); /* it stays where it is */
		assert_memory_equal(&w, &again, sizeof w);
	}
}

static void even_the_shortest_life_has_a_window_with_a_start_before_its_end(void **state)
{
	struct fixture *f = *state;
	struct issued c = issue_new(f, "www.a.test", ",\"profile\":\"minute\"");
	struct window w = window_of(f, c.certid);
	assert_true(w.start < w.end && w.start >= c.not_before && w.end <= c.not_after);
}

/* RFC 9773 4.2: what was issued at once is not renewed at once. */
static void windows_and_questions_are_spread(void **state)
{
	struct fixture *f = *state;
	struct window first = { 0 };
	size_t windows = 0, retries = 0;
	for (size_t i = 0; i < 6; i++) {
		struct issued c = issue_new(f, "www.a.test", "");
		struct window w = window_of(f, c.certid);
		w.start -= c.not_before;
		if (i == 0)
			first = w;
		windows += w.start != first.start;
		retries += w.retry != first.retry;
	}
	assert_true(windows >= 4 && retries >= 4);
}

static void a_revoked_certificates_window_is_over(void **state)
{
	struct fixture *f = *state;
	struct issued c = issue_new(f, "www.a.test", "");
	struct str payload =
		str_fmt(&f->w.mem, "{\"certificate\":\"%.*s\",\"reason\":4}", (int)b64(f, c.der).n, b64(f, c.der).p);
	struct world_reply r = step_post(&f->w, &f->alice, STR(WORLD_BASE "/revoke-cert"), payload);
	expect_status("revoke", &r, 200);
	struct window w = window_of(f, c.certid);
	assert_true(w.start < w.end && w.end < f->w.now_ms / 1000);
}

static void anybody_may_ask_and_in_every_way_that_reads(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct issued c = issue_new(f, "www.a.test", "");
	struct world_reply r = ask(f, HTTP_HEAD, c.certid);
	assert_true(world_header(&r, "Retry-After").n > 0);
	assert_true(str_eq(world_header(&r, "Access-Control-Allow-Origin"), STR("*")));
	assert_true(world_header(&r, "Replay-Nonce").n == 0);
	expect_status("HEAD", &r, 200);
	MUST(world_send(&f->w, HTTP_POST, str_fmt(&f->w.mem, "/renewal-info/%.*s", STR_FMT(c.certid)), STR_NONE,
			STR_NONE, &r, &err));
	expect_problem("POST", &r, 405, "malformed", "method POST is not served here");
	/* Another realm's: not there. */
	MUST(world_send(&f->w, HTTP_GET, str_fmt(&f->w.mem, "/realm/other/renewal-info/%.*s", STR_FMT(c.certid)),
			STR_NONE, STR_NONE, &r, &err));
	expect_problem("other realm", &r, 404, "malformed", "this CA has issued no certificate");
}

/* --- names of certificates (A83) ----------------------------------------------------------------------------------*/

static void each_path_that_names_no_certificate_is_refused(void **state)
{
	struct fixture *f = *state;
	struct issued c = issue_new(f, "www.a.test", "");
	struct str good = c.certid, aki = b64(f, c.aki), serial = b64(f, c.serial);
	struct str cut_aki = b64(f, str_sub(c.aki, 1, c.aki.n)),
		   cut_serial = b64(f, str_sub(c.serial, 0, c.serial.n - 1));
	struct arena *mem = &f->w.mem;
	char *longer = arena_alloc(mem, c.serial.n + 1), *changed = str_dupz_raw(mem, c.serial);
	memcpy(longer + 1, c.serial.p, c.serial.n); /* with a zero in front that DER would not have */
	changed[0] ^= 1;
	struct str zeros = str_n(longer, c.serial.n + 1), other = str_n(changed, c.serial.n);
	const struct {
		struct str path;
		int status;
	} rows[] = {
		{ STR("AA"), 400 },
		{ STR("."), 400 },
		{ STR(".."), 400 },
		{ STR("AA.."), 400 },
		{ STR("AA.AA.AA"), 400 },
		{ str_fmt(mem, "%.*s.", STR_FMT(aki)), 400 },
		{ str_fmt(mem, ".%.*s", STR_FMT(serial)), 400 },
		{ str_fmt(mem, "%.*s=", STR_FMT(good)), 400 }, /* RFC 9773 4.1: without padding */
		{ str_fmt(mem, "%.*s%%3D", STR_FMT(good)), 400 },
		{ str_fmt(mem, "%.*s%%00", STR_FMT(good)), 400 },
		{ str_fmt(mem, "%.*s ", STR_FMT(good)), 400 },
		{ str_fmt(mem, "%.*s+", STR_FMT(good)), 400 },
		{ STR("aYhba4dGQEHhs3uEe6CuLN4ByN+.AIdlQyE"), 400 },
		{ STR("AB.AIdlQyE"), 400 }, /* bits that are not zero */
		{ STR("%2e%2e.AIdlQyE"), 400 },
		{ str_fmt(mem, "%.*s.%0300d", STR_FMT(aki), 0), 400 },
		{ str_fmt(mem, "%.*s.%.*s", STR_FMT(aki), STR_FMT(b64(f, STR("123456789012345678901")))), 400 },
		{ STR("aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"), 404 }, /* RFC 9773's example */
		{ str_fmt(mem, "%.*s.AIdlQyE", STR_FMT(aki)), 404 },
		{ str_fmt(mem, "aYhba4dGQEHhs3uEe6CuLN4ByNQ.%.*s", STR_FMT(serial)), 404 },
		{ str_fmt(mem, "%.*s.%.*s", STR_FMT(cut_aki), STR_FMT(serial)), 404 },
		{ str_fmt(mem, "%.*s.%.*s", STR_FMT(aki), STR_FMT(cut_serial)), 404 },
		{ str_fmt(mem, "%.*s.%.*s", STR_FMT(aki), STR_FMT(b64(f, zeros))), 404 },
		{ str_fmt(mem, "%.*s.%.*s", STR_FMT(aki), STR_FMT(b64(f, other))), 404 },
		{ str_fmt(mem, "%.*s.%.*s", STR_FMT(serial), STR_FMT(aki)), 404 },
		{ STR(""), 404 },
		{ str_fmt(mem, "%.*s/", STR_FMT(good)), 404 },
		{ str_fmt(mem, "/%.*s", STR_FMT(good)), 404 },
		{ str_fmt(mem, "x/%.*s", STR_FMT(good)), 404 },
		{ str_fmt(mem, "../renewal-info/%.*s", STR_FMT(good)), 404 },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_reply r = ask(f, HTTP_GET, rows[i].path);
		expect_problem(str_dupz_raw(mem, rows[i].path), &r, rows[i].status, "malformed", "");
	}
	(void)window_of(f, good);
}

/* --- replaces -----------------------------------------------------------------------------------------------------*/

static struct str replacing(struct fixture *f, struct str certid)
{
	return order_text(f, "www.a.test",
			  str_dupz_raw(&f->w.mem, str_fmt(&f->w.mem, ",\"replaces\":\"%.*s\"", STR_FMT(certid))));
}

/* On to where its window begins, with the hour's one order made already: what comes now is a favour. */
static void until_due(struct fixture *f, const struct issued *c)
{
	f->w.now_ms = window_of(f, c->certid).start * 1000;
	(void)step_make(&f->w, &f->alice, NEW_ORDER, order_text(f, "used.a.test", ""));
}

static void expect_counted(struct fixture *f, const char *what, struct str certid)
{
	struct world_reply r = step_post(&f->w, &f->alice, NEW_ORDER, replacing(f, certid));
	expect_problem(what, &r, 429, "rateLimited", "too many new orders by this account: 1 an hour");
}

/* Otherwise a certificate could be replaced by one that is replaced by one, and nothing would ever count. */
static void only_what_is_due_and_not_of_today_is_replaced_for_nothing(void **state)
{
	struct fixture *f = *state;
	struct issued c = issue_new(f, "www.a.test", "");
	expect_counted(f, "made just now", c.certid);
	f->w.now_ms = window_of(f, c.certid).start * 1000 - 3600 * 1000;
	(void)step_make(&f->w, &f->alice, NEW_ORDER, order_text(f, "used.a.test", ""));
	expect_counted(f, "not due yet", c.certid);
	until_due(f, &c);
	struct issued next =
		issue(f, &f->alice, step_make(&f->w, &f->alice, NEW_ORDER, replacing(f, c.certid)), "www.a.test");
	expect_counted(f, "its successor", next.certid);
	struct issued brief = issue_new(f, "www.a.test", ",\"profile\":\"minute\"");
	f->w.now_ms = window_of(f, brief.certid).end * 1000;
	expect_counted(f, "due within a minute", brief.certid);
	struct issued revoked = issue_new(f, "www.a.test", "");
	struct world_reply r =
		step_post(&f->w, &f->alice, STR(WORLD_BASE "/revoke-cert"),
			  str_fmt(&f->w.mem, "{\"certificate\":\"%.*s\"}", STR_FMT(b64(f, revoked.der))));
	expect_status("revoke", &r, 200);
	expect_counted(f, "revoked on its first day", revoked.certid);
	f->w.now_ms += 24 * HOUR_MS;
	(void)step_make(&f->w, &f->alice, NEW_ORDER, order_text(f, "used.a.test", ""));
	(void)step_make(&f->w, &f->alice, NEW_ORDER, replacing(f, revoked.certid));
}

static void each_wrong_replacement_is_refused(void **state)
{
	struct fixture *f = *state;
	struct issued c = issue_new(f, "www.a.test", "");
	struct str unknown = certid_of(f, c.aki, str_sub(c.serial, 0, c.serial.n - 1));
	struct str wrong_aki = certid_of(f, str_sub(c.aki, 1, c.aki.n), c.serial);
	const struct {
		const char *what;
		const struct world_account *who;
		const char *name;
		struct str certid;
		const char *words;
	} rows[] = {
		{ "no name of a certificate", &f->alice, "www.a.test", STR("yesterday's"),
		  "replaces: \"yesterday's\" does not name a certificate" },
		{ "empty", &f->alice, "www.a.test", STR(""), "does not name a certificate" },
		{ "padded", &f->alice, "www.a.test", str_fmt(&f->w.mem, "%.*s==", STR_FMT(c.certid)),
		  "replaces: serial number" },
		{ "unknown", &f->alice, "www.a.test", unknown, "replaces: this account has no certificate" },
		{ "of another issuer", &f->alice, "www.a.test", wrong_aki,
		  "replaces: this account has no certificate" },
		{ "somebody else's", &f->bob, "www.a.test", c.certid, "replaces: this account has no certificate" },
		{ "nothing in common", &f->alice, "w.a.test", c.certid,
		  "replaces: the certificate has none of the order's identifiers" },
		{ "not even a wildcard's base", &f->alice, "a.www.a.test", c.certid,
		  "none of the order's identifiers" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *more =
			str_dupz_raw(&f->w.mem, str_fmt(&f->w.mem, ",\"replaces\":\"%.*s\"", STR_FMT(rows[i].certid)));
		struct world_reply r = step_post(&f->w, rows[i].who, NEW_ORDER, order_text(f, rows[i].name, more));
		expect_problem(rows[i].what, &r, 400, "malformed", rows[i].words);
	}
	/* All that did no harm: it may still be replaced, once. */
	until_due(f, &c);
	struct str order = step_make(&f->w, &f->alice, NEW_ORDER, replacing(f, c.certid));
	struct world_reply r = step_post(&f->w, &f->alice, order, STR_NONE);
	assert_true(str_eq(step_text(&f->w, r.json, "replaces"), c.certid)); /* RFC 9773 5: MUST reflect it */
	world_reply_done(&r);
}

static void a_certificate_is_replaced_once(void **state)
{
	struct fixture *f = *state;
	const char *const names[] = { "www.a.test", NULL }, *const none[] = { NULL };
	struct issued c = issue_new(f, "www.a.test", "");
	until_due(f, &c);
	struct str first = step_make(&f->w, &f->alice, NEW_ORDER, replacing(f, c.certid));
	/* A second one while the first is open: no favour, but no refusal either. */
	struct world_reply r = step_post(&f->w, &f->alice, NEW_ORDER, replacing(f, c.certid));
	expect_problem("second", &r, 429, "rateLimited", "too many new orders by this account: 1 an hour");
	f->w.now_ms += 2 * HOUR_MS;
	struct str second = step_make(&f->w, &f->alice, NEW_ORDER, replacing(f, c.certid));
	(void)issue(f, &f->alice, first, "www.a.test");
	r = step_post(&f->w, &f->alice, NEW_ORDER, replacing(f, c.certid));
	expect_problem("third", &r, 409, "alreadyReplaced", "another order replaces certificate");
	r = step_finalize(&f->w, &f->alice, second, step_csr(&f->w, f->key, names, none));
	expect_problem("second's finalize", &r, 409, "alreadyReplaced", "");
}

/* An order that failed replaces nothing, so the next one may; but not without end. */
static void failed_replacements_are_free_some_times_only(void **state)
{
	struct fixture *f = *state;
	struct issued c = issue_new(f, "www.a.test", "");
	size_t made = 0;
	until_due(f, &c);
	for (size_t i = 0; i < 30; i++) {
		struct str urls[IDENTS_MAX];
		struct world_reply r = step_post(&f->w, &f->alice, NEW_ORDER, replacing(f, c.certid));
		if (r.status == 429) {
			expect_problem("limited", &r, 429, "rateLimited", "too many new orders");
			continue;
		}
		struct str order = world_header(&r, "Location");
		expect_status("free", &r, 201);
		made++;
		(void)step_authzs(&f->w, &f->alice, order, urls);
		r = step_post(&f->w, &f->alice, urls[0], STR("{\"status\":\"deactivated\"}"));
		expect_status("deactivate", &r, 200);
		STATUS_IS(&f->w, &f->alice, order, "invalid");
	}
	assert_in_range(made, 10, 12);
}

/* What is over is renewed as before, and counts. */
static void an_ended_certificate_may_be_replaced_but_counts(void **state)
{
	struct fixture *f = *state;
	struct issued c = issue_new(f, "www.a.test", ",\"profile\":\"minute\"");
	f->w.now_ms += 2 * HOUR_MS;
	(void)step_make(&f->w, &f->alice, NEW_ORDER, order_text(f, "www.a.test", ""));
	struct world_reply r = step_post(&f->w, &f->alice, NEW_ORDER, replacing(f, c.certid));
	expect_problem("ended", &r, 429, "rateLimited", "too many new orders");
	f->w.now_ms += 2 * HOUR_MS;
	(void)step_make(&f->w, &f->alice, NEW_ORDER, replacing(f, c.certid));
}

static int open_world(void **state)
{
	struct fixture *f = fixture_new(sizeof *f, REALMS, 2);
	struct err err = { 0 };
	MUST(key_generate(KEY_P256, 0, &f->key, &err));
	*state = f;
	return 0;
}

static int close_world(void **state)
{
	struct fixture *f = *state;
	key_free(f->key);
	return fixture_free(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_window_lies_at_two_thirds_or_half_of_a_life),
		cmocka_unit_test(even_the_shortest_life_has_a_window_with_a_start_before_its_end),
		cmocka_unit_test(windows_and_questions_are_spread),
		cmocka_unit_test(a_revoked_certificates_window_is_over),
		cmocka_unit_test(anybody_may_ask_and_in_every_way_that_reads),
		cmocka_unit_test(each_path_that_names_no_certificate_is_refused),
		cmocka_unit_test(each_wrong_replacement_is_refused),
		cmocka_unit_test(a_certificate_is_replaced_once),
		cmocka_unit_test(only_what_is_due_and_not_of_today_is_replaced_for_nothing),
		cmocka_unit_test(failed_replacements_are_free_some_times_only),
		cmocka_unit_test(an_ended_certificate_may_be_replaced_but_counts),
	};
	return cmocka_run_group_tests(tests, open_world, close_world);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * order_test.c: what may be ordered and what comes of it: every identifier that is refused, alone and with others, what
 * is offered for those that are not, profiles, times, the account's external key, and what finalize refuses
 * (RFC 8555 7.4, RFC 8738, RFC 9444, draft-ietf-acme-profiles; THREATS A39, A40, A55, A56, A84).
 */
#include "fixture.h"
#include "steps.h"

#include <stdlib.h>

#define NEW_ORDER STR(WORLD_BASE "/new-order")
#define NEW_AUTHZ STR(WORLD_BASE "/new-authz")

/* alice's realm proves everything; "plain" proves hosts only, "dns" no addresses, "shut" allows nothing. */
#define REALMS                                                                                                \
	"realm:\n"                                                                                            \
	"  default:\n"                                                                                        \
	"    names: [\"*.a.test\", \"a.test\"]\n"                                                             \
	"    addresses: [\"192.0.2.0/24\", \"2001:db8::/32\", \"198.41.0.0/24\"]\n"                           \
	"    challenges: [\"http-01\", \"dns-01\", \"tls-alpn-01\"]\n"                                        \
	"    profiles: [server, short]\n"                                                                     \
	"    subdomain-auth: true\n"                                                                          \
	"    accounts-per-hour: 0\n"                                                                          \
	"    caa-identities: [ca.test]\n"                                                                     \
	"    website: \"https://www.ca.test/\"\n"                                                             \
	"  plain:\n    names: [\"*.a.test\"]\n    addresses: [\"192.0.2.0/24\"]\n    challenges: [http-01]\n" \
	"    profiles: [server, short]\n    eab: required\n"                                                  \
	"  dns:\n    names: [\"*\"]\n    addresses: [\"192.0.2.0/24\"]\n    challenges: [dns-01]\n"           \
	"  shut: {}\n"                                                                                        \
	"profile:\n  server: {}\n"                                                                            \
	"  short:\n    lifetime: 6d\n    backdate: 10m\n    description: \"six days\"\n"                      \
	"  long:\n    lifetime: 100h\n    use: [server-auth, client-auth]\n"                                  \
	"zone:\n  default:\n    attempts: 1\n    allow-addresses: [\"192.0.2.0/24\", \"2001:db8::/32\"]\n"

struct fixture {
	FIXTURE;
	struct key *key; /* of certificates */
};

static struct str payload_of(struct fixture *f, const char *identifiers, const char *more)
{
	return str_fmt(&f->w.mem, "{\"identifiers\":[%s]%s}", identifiers, more);
}

static fallible account_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	return account_insert(tx, ctx, err);
}

/* An account of another realm, bound to an external key or not. */
static void account_in(struct fixture *f, struct world_account *a, struct str realm, struct str eab_kid)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	MUST(key_generate(KEY_P256, 0, &a->key, &err));
	MUST(jwk_thumbprint(f->w.crypto, a->key, &a->thumbprint, &err));
	MUST(jwk_write(a->key, &jwk, &err));
	struct account_row row = { .id = id_new(&f->w.clock, &rng_system),
				   .realm = realm,
				   .thumbprint = str_z(a->thumbprint.z),
				   .jwk = buf_str(&jwk),
				   .status = ACCOUNT_VALID,
				   .eab_kid = eab_kid,
				   .created_at = f->w.now_ms };
	MUST(store_tx(f->w.store, account_tx, &row, &err));
	a->url = str_fmt(&f->w.mem, WORLD_BASE "/realm/%.*s/account/%s", STR_FMT(realm), id_show(row.id).z);
}

/* One row of a table is one object of the payload. */
#define DNS(name) "{\"type\":\"dns\",\"value\":\"" name "\"}"
#define IP(addr) "{\"type\":\"ip\",\"value\":\"" addr "\"}"
#define BELOW(name, ancestor) "{\"type\":\"dns\",\"value\":\"" name "\",\"ancestorDomain\":\"" ancestor "\"}"
#define TEN "aaaaaaaaaa"
#define TEN_UMLAUTS "\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc\xc3\xbc"
#define SIXTY TEN TEN TEN TEN TEN TEN

/* --- identifiers --------------------------------------------------------------------------------------------------*/

static const struct {
	const char *ident, *type, *words;
} refused[] = {
	/* not an identifier at all */
	{ "7", "malformed", "an identifier is not an object with \"type\" and \"value\"" },
	{ "\"www.a.test\"", "malformed", "an identifier is not an object with \"type\" and \"value\"" },
	{ "{\"value\":\"www.a.test\"}", "malformed", "\"type\"" },
	{ "{\"type\":\"dns\"}", "malformed", "\"value\"" },
	{ "{\"type\":\"dns\",\"value\":[\"www.a.test\"]}", "malformed", "\"value\"" },
	{ "{\"type\":\"email\",\"value\":\"a@a.test\"}", "unsupportedIdentifier",
	  "identifier type \"email\" is not served; use \"dns\" or \"ip\"" },
	{ "{\"type\":\"DNS\",\"value\":\"www.a.test\"}", "unsupportedIdentifier", "identifier type \"DNS\"" },
	/* A55: names by their syntax */
	{ DNS(""), "malformed", "name is empty" },
	{ DNS("."), "malformed", "name ends with a dot" },
	{ DNS("www.a.test."), "malformed", "\"www.a.test.\": name ends with a dot" },
	{ DNS(".a.test"), "malformed", "empty label" },
	{ DNS("www..a.test"), "malformed", "empty label" },
	{ DNS("my_host.a.test"), "malformed", "\"my_host.a.test\": name has an underscore" },
	{ DNS("_acme-challenge.a.test"), "malformed", "underscore" },
	{ DNS("-x.a.test"), "malformed", "begins or ends with a hyphen" },
	{ DNS("x-.a.test"), "malformed", "begins or ends with a hyphen" },
	{ DNS("www a.test"), "malformed", "0x20" },
	{ DNS("www.a.test\\u0000"), "malformed", "" },
	{ DNS("www.a.test\\nb"), "malformed", "0x0a" },
	{ DNS("www.a.test:443"), "malformed", "0x3a" },
	{ DNS("https://www.a.test/"), "malformed", "0x3a" },
	{ DNS("user@a.test"), "malformed", "0x40" },
	{ DNS(SIXTY "aaaa.a.test"), "malformed", "label of 64 bytes, at most 63" },
	{ DNS(SIXTY "." SIXTY "." SIXTY "." SIXTY "." TEN ".a.test"), "malformed", "at most 253 are wanted" },
	{ DNS("1.2.3.4.5.6.7.8.9.a.test"), "rejectedIdentifier", "11 labels, at most 10" },
	{ DNS("www.123"), "malformed", "last label \"123\" is a number" },
	{ DNS("www.0x7f"), "malformed", "is a number" },
	/* A55: internationalised names */
	{ DNS("b\xc3\xbc"
	      "cher.a.test"),
	  "malformed", "the name is in Unicode; send each such label as its A-label, which begins with xn--" },
	{ DNS("\\u24d0.a.test"), "malformed", "the name is in Unicode" },
	{ DNS("www\\u3002a.test"), "malformed", "the name is in Unicode" },
	{ DNS(TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS
		      TEN_UMLAUTS TEN_UMLAUTS),
	  "malformed", "as its A-label, which begins with xn-- (RFC 8555 7.1.4)" }, /* the reason has room */
	{ IP(TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS TEN_UMLAUTS
		     TEN_UMLAUTS),
	  "malformed", "zone and port, are wanted" },
	{ DNS("xn--a.a.test"), "malformed", "label \"xn--a\" is not an IDNA2008 A-label" },
	{ DNS("xn--ls8h.a.test"), "malformed", "is not an IDNA2008 A-label" }, /* an emoji */
	{ DNS("xn--abc-.a.test"), "malformed", "begins or ends with a hyphen" },
	{ DNS("ab--c.a.test"), "malformed", "hyphens in places 3 and 4 and is no A-label" },
	/* addresses that say they are names */
	{ DNS("192.0.2.7"), "malformed", "this is an address; ask for it with the type \"ip\" (RFC 8738)" },
	{ DNS("2001:db8::1"), "malformed", "this is an address; ask for it with the type \"ip\" (RFC 8738)" },
	{ DNS("192.0.2.07"), "malformed", "is a number" },
	/* never issued */
	{ DNS("localhost"), "rejectedIdentifier", "localhost" },
	{ DNS("test"), "rejectedIdentifier", "at least two labels" },
	{ DNS("printer.local"), "rejectedIdentifier", ".local is for multicast DNS" },
	{ DNS("7.2.0.192.in-addr.arpa"), "rejectedIdentifier", ".arpa is for reverse" },
	{ DNS("x.onion"), "rejectedIdentifier", ".onion" },
	/* not in this realm */
	{ DNS("www.elsewhere.test"), "rejectedIdentifier",
	  "www.elsewhere.test is not allowed: realm default allows *.a.test, a.test" },
	{ DNS("xa.test"), "rejectedIdentifier", "xa.test is not allowed" },
	/* A56: wildcards */
	{ DNS("*"), "malformed", "\"*\" stands only as the whole first label of a name" },
	{ DNS("*."), "malformed", "name is empty" },
	{ DNS("*.*.a.test"), "malformed", "\"*\" stands only as the whole first label of a name" },
	{ DNS("a.*.a.test"), "malformed", "\"*\" stands only as the whole first label of a name" },
	{ DNS("w*.a.test"), "malformed", "\"*\" stands only as the whole first label of a name" },
	{ DNS("**.a.test"), "malformed", "\"*\" stands only as the whole first label of a name" },
	{ DNS("*a.test"), "malformed", "\"*\" stands only as the whole first label of a name" },
	{ DNS("*.com"), "rejectedIdentifier", "needs at least two labels" },
	{ DNS("*.elsewhere.test"), "rejectedIdentifier", "*.elsewhere.test is not allowed" },
	{ DNS("*.local"), "rejectedIdentifier", ".local" },
	{ DNS("*.co.uk"), "rejectedIdentifier",
	  "co.uk is a public suffix, below which anybody may register a name (Public Suffix List); name a domain that "
	  "is "
	  "below it, and yours" },
	{ DNS("*.foo.ck"), "rejectedIdentifier", "foo.ck is a public suffix" },
	{ DNS("*.github.io"), "rejectedIdentifier", "*.github.io is not allowed" }, /* the private section */
	{ DNS("*.a.corp"), "rejectedIdentifier", "*.a.corp is not allowed" },
	{ DNS("*.2.0.192.in-addr.arpa"), "rejectedIdentifier", ".arpa" },
	{ DNS("*.192.0.2.7"), "malformed", "is a number" },
	/* A39: addresses */
	{ IP(""), "malformed", "is not an address" },
	{ IP("www.a.test"), "malformed", "\"www.a.test\" is not an address" },
	{ IP("192.0.2"), "malformed", "is not an address: four decimal parts without leading zeros" },
	{ IP("192.0.2.7.1"), "malformed", "is not an address" },
	{ IP("192.0.2.256"), "malformed", "is not an address" },
	{ IP("192.0.2.07"), "malformed", "is not an address: four decimal parts without leading zeros" },
	{ IP("0xc0.0.2.7"), "malformed", "is not an address" },
	{ IP("3221225991"), "malformed", "is not an address" },
	{ IP(" 192.0.2.7"), "malformed", "is not an address" },
	{ IP("192.0.2.7:443"), "malformed", "is not an address" },
	{ IP("192.0.2.0/24"), "malformed", "is not an address" },
	{ IP("[2001:db8::1]"), "malformed", "IPv6 without brackets, zone and port, are wanted" },
	{ IP("fe80::1%eth0"), "malformed", "IPv6 without brackets, zone and port, are wanted" },
	{ IP("2001:DB8::1"), "malformed", "\"2001:DB8::1\" is not in the form of RFC 5952, which is 2001:db8::1" },
	{ IP("2001:db8:0::1"), "malformed", "is not in the form of RFC 5952, which is 2001:db8::1" },
	{ IP("2001:0db8::1"), "malformed", "is not in the form of RFC 5952, which is 2001:db8::1" },
	{ IP("2001:db8:0:0:0:0:0:1"), "malformed", "is not in the form of RFC 5952, which is 2001:db8::1" },
	{ IP("::ffff:192.0.2.7"), "malformed", "is an IPv4 address in IPv6 form; ask for 192.0.2.7" },
	{ IP("::ffff:c000:207"), "malformed", "is an IPv4 address in IPv6 form; ask for 192.0.2.7" },
	{ IP("*.192.0.2.7"), "malformed", "is not an address" },
	{ IP("127.0.0.1"), "rejectedIdentifier", "127.0.0.1" },
	{ IP("::1"), "rejectedIdentifier", "::1" },
	{ IP("169.254.169.254"), "rejectedIdentifier", "169.254.169.254" },
	{ IP("198.41.1.4"), "rejectedIdentifier", "198.41.1.4" },
	/* RFC 9444 4.3 */
	{ BELOW("www.a.test", "www.a.test"), "malformed",
	  "ancestorDomain www.a.test is not a domain above www.a.test" },
	{ BELOW("www.xa.a.test", "a.a.test"), "malformed",
	  "ancestorDomain a.a.test is not a domain above www.xa.a.test" },
	{ BELOW("www.a.test", "x.www.a.test"), "malformed", "is not a domain above" },
	{ BELOW("www.a.test", "test"), "rejectedIdentifier", "ancestorDomain \"test\": \"test\" is never issued" },
	{ BELOW("www.a.co.uk", "co.uk"), "rejectedIdentifier", "co.uk is a public suffix" },
	{ BELOW("www.a.co.uk", "a.co.uk"), "rejectedIdentifier", "www.a.co.uk is not allowed" },
	{ BELOW("www.a.test", "*.a.test"), "malformed", "ancestorDomain \"*.a.test\"" },
	{ BELOW("www.a.test", "A_.test"), "malformed", "ancestorDomain \"A_.test\": name has an underscore" },
	{ "{\"type\":\"dns\",\"value\":\"www.a.test\",\"ancestorDomain\":7}", "malformed", "\"ancestorDomain\"" },
};

static void each_bad_identifier_gets_its_own_refusal(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct world_reply r = step_post(&f->w, &f->alice, NEW_ORDER, payload_of(f, refused[i].ident, ""));
		assert_null(json_get(r.json, "subproblems"));
		assert_null(json_get(r.json, "identifier")); /* RFC 8555 6.7.1: not at the top */
		expect_problem(refused[i].ident, &r, 400, refused[i].type, refused[i].words);
		/* newAuthz reads them in the same way. */
		if (strstr(refused[i].ident, "\"*.") != NULL || strstr(refused[i].ident, "ancestorDomain") != NULL)
			continue;
		bool object = refused[i].ident[0] == '{';
		r = step_post(&f->w, &f->alice, NEW_AUTHZ, str_fmt(&f->w.mem, "{\"identifier\":%s}", refused[i].ident));
		expect_problem(refused[i].ident, &r, 400, refused[i].type, object ? refused[i].words : "identifier");
	}
}

static const struct {
	const char *payload, *words;
} malformed[] = {
	{ "{}", "identifiers" },
	{ "{\"identifiers\":[]}", "identifiers is empty; an order names at least one" },
	{ "{\"identifiers\":{}}", "identifiers" },
	{ "{\"identifiers\":\"www.a.test\"}", "identifiers" },
	{ "{\"identifiers\":null}", "identifiers" },
	{ "{\"identifiers\":[" DNS("www.a.test") "],\"profile\":7}", "profile" },
	{ "{\"identifiers\":[" DNS("www.a.test") "],\"replaces\":7}", "replaces" },
	{ "{\"identifiers\":[" DNS("www.a.test") "],\"notBefore\":7}", "notBefore" },
};

static void orders_of_another_shape_are_malformed(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(malformed); i++) {
		struct world_reply r = step_post(&f->w, &f->alice, NEW_ORDER, str_z(malformed[i].payload));
		expect_problem(malformed[i].payload, &r, 400, "malformed", malformed[i].words);
	}
}

/* RFC 8555 6.7.1. */
static void several_bad_identifiers_are_refused_at_once_each_with_its_reason(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static const struct {
		const char *problem, *type, *value, *words;
	} wanted[] = {
		{ "rejectedIdentifier", "dns", "www.elsewhere.test", "realm default allows" },
		{ "malformed", NULL, NULL, "an identifier is not an object" },
		{ "malformed", "ip", "192.0.2.07", "is not an address" },
		{ "unsupportedIdentifier", "email", "\"x\"@a.test", "is not served" },
		{ "malformed", "dns", "B\xc3\x9c.a.test", "Unicode" },
	};
	struct world_reply r =
		step_post(&f->w, &f->alice, NEW_ORDER,
			  payload_of(f,
				     DNS("www.a.test") "," DNS("www.elsewhere.test") ",7," IP(
					     "192.0.2.07") ",{\"type\":\"email\",\"value\":\"\\\"x\\\"@a."
							   "test\"}," DNS("B\xc3\x9c.a.test"),
				     ""));
	const struct json *list = json_get(r.json, "subproblems");
	assert_int_equal(json_count(list), ARRAY_LEN(wanted));
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		const struct json *sub = json_at(list, i), *ident = json_get(sub, "identifier");
		struct str type = step_text(&f->w, sub, "type"), detail = step_text(&f->w, sub, "detail");
		assert_true(str_skip(&type, STR(PROBLEM_URN)) && str_eq(type, str_z(wanted[i].problem)));
		assert_non_null(memmem(detail.p, detail.n, wanted[i].words, strlen(wanted[i].words)));
		assert_int_equal(ident != NULL, wanted[i].type != NULL);
		if (ident == NULL)
			continue;
		assert_true(str_eq(step_text(&f->w, ident, "type"), str_z(wanted[i].type)));
		assert_true(str_eq(step_text(&f->w, ident, "value"), str_z(wanted[i].value)));
	}
	expect_problem("compound", &r, 400, "compound",
		       "5 of the 6 identifiers are refused; subproblems says of each why");
	/* Nothing was made of the good one. */
	r = step_post(&f->w, &f->alice, str_fmt(&f->w.mem, "%.*s/orders", STR_FMT(f->alice.url)), STR_NONE);
	const struct json *orders;
	MUST(json_want_array(r.json, "orders", 1000, &orders, &err));
	size_t before = json_count(orders);
	world_reply_done(&r);
	r = step_post(&f->w, &f->alice, NEW_ORDER, payload_of(f, DNS("a_.a.test") "," DNS("b_.a.test"), ""));
	expect_problem("compound", &r, 400, "compound", "2 of the 2");
	r = step_post(&f->w, &f->alice, str_fmt(&f->w.mem, "%.*s/orders", STR_FMT(f->alice.url)), STR_NONE);
	assert_int_equal(json_count(json_get(r.json, "orders")), before);
	world_reply_done(&r);
}

static struct str many_names(struct fixture *f, size_t count, const char *prefix)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(65536);
	for (size_t i = 0; i < count; i++) {
		MUST(buf_addf(&b, &err, "%s" DNS("%s%zu.a.test"), i == 0 ? "" : ",", prefix, i));
	}
	MUST(buf_add_char(&b, '\0', &err));
	return payload_of(f, b.p, "");
}

static void a_hundred_names_are_fine_and_one_more_is_not(void **state)
{
	struct fixture *f = *state;
	struct world_reply r = step_post(&f->w, &f->alice, NEW_ORDER, many_names(f, 100, "hundred-"));
	assert_int_equal(r.status, 201);
	assert_int_equal(json_count(json_get(r.json, "identifiers")), 100);
	assert_int_equal(json_count(json_get(r.json, "authorizations")), 100);
	world_reply_done(&r);
	r = step_post(&f->w, &f->alice, NEW_ORDER, many_names(f, 101, "hundred-"));
	expect_problem("101 names", &r, 400, "malformed", "\"identifiers\" has 101 elements, at most 100 are wanted");
	r = step_post(&f->w, &f->alice, NEW_ORDER, many_names(f, 100, "bad_")); /* the longest list of reasons */
	assert_int_equal(json_count(json_get(r.json, "subproblems")), 100);
	expect_problem("100 bad names", &r, 400, "compound", "100 of the 100");
}

/* RFC 8555 7.1.3, 7.4: what was asked for is said back, in the form that the certificate has. */
static void names_are_lowered_sorted_and_told_once(void **state)
{
	struct fixture *f = *state;
	static const char *const wanted[] = { "*.b.a.test", "b.a.test", "www.a.test", "192.0.2.7", "2001:db8::7" };
	struct world_reply r = step_post(
		&f->w, &f->alice, NEW_ORDER,
		payload_of(f,
			   IP("2001:db8::7") "," DNS("WWW.a.test") "," IP("192.0.2.7") "," DNS("*.B.a.test") "," DNS(
				   "b.a.test") "," DNS("www.A.TEST") "," IP("192.0.2.7") "," DNS("*.b.a.test"),
			   ""));
	assert_int_equal(r.status, 201);
	const struct json *list = json_get(r.json, "identifiers");
	assert_int_equal(json_count(list), ARRAY_LEN(wanted));
	for (size_t i = 0; i < ARRAY_LEN(wanted); i++) {
		assert_true(str_eq(step_text(&f->w, json_at(list, i), "value"), str_z(wanted[i])));
		assert_true(str_eq(step_text(&f->w, json_at(list, i), "type"), i < 3 ? STR("dns") : STR("ip")));
	}
	assert_int_equal(json_count(json_get(r.json, "authorizations")), ARRAY_LEN(wanted));
	world_reply_done(&r);
}

/* --- challenges ---------------------------------------------------------------------------------------------------*/

/* The types that the only authorization of a new order offers, in the order of the realm: "http-01 dns-01". */
static struct str offered(struct fixture *f, const char *ident, bool *ret_wildcard, bool *ret_subdomains,
			  struct str *ret_value)
{
	struct err err = { 0 };
	struct str all = STR(""), url;
	struct world_reply r = step_post(&f->w, &f->alice, NEW_ORDER, payload_of(f, ident, ""));
	assert_int_equal(r.status, 201);
	assert_true(json_as_str(json_at(json_get(r.json, "authorizations"), 0), &url));
	url = str_dup(&f->w.mem, url);
	world_reply_done(&r);
	r = step_post(&f->w, &f->alice, url, STR_NONE);
	const struct json *list = json_get(r.json, "challenges");
	for (size_t i = 0; i < json_count(list); i++)
		all = str_fmt(&f->w.mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : " ",
			      STR_FMT(step_text(&f->w, json_at(list, i), "type")));
	*ret_wildcard = *ret_subdomains = false;
	MUST(json_may_bool(r.json, "wildcard", ret_wildcard, &err));
	MUST(json_may_bool(r.json, "subdomainAuthAllowed", ret_subdomains, &err));
	assert_true(*ret_wildcard || json_get(r.json, "wildcard") == NULL); /* RFC 8555 7.1.4 */
	*ret_value = step_text(&f->w, json_get(r.json, "identifier"), "value");
	world_reply_done(&r);
	return all;
}

static void what_is_offered_fits_what_is_to_be_proved(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *ident, *value, *types;
		bool wildcard, subdomains;
	} rows[] = {
		{ DNS("offer.a.test"), "offer.a.test", "http-01 dns-01 tls-alpn-01", false, false },
		{ DNS("xn--bcher-kva.a.test"), "xn--bcher-kva.a.test", "http-01 dns-01 tls-alpn-01", false, false },
		{ DNS("*.offer.a.test"), "offer.a.test", "dns-01", true, false },      /* RULES R9 */
		{ IP("192.0.2.8"), "192.0.2.8", "http-01 tls-alpn-01", false, false }, /* RFC 8738 7 */
		{ IP("2001:db8::8"), "2001:db8::8", "http-01 tls-alpn-01", false, false },
		{ BELOW("x.anc.a.test", "ANC.a.test"), "anc.a.test", "dns-01", false, true }, /* RFC 9444 4.3 */
		/* A wildcard is proved by itself, whatever stands above it. */
		{ BELOW("*.anc.a.test", "anc.a.test"), "anc.a.test", "dns-01", true, false },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bool wildcard, subdomains;
		struct str value, types = offered(f, rows[i].ident, &wildcard, &subdomains, &value);
		if (!str_eq(types, str_z(rows[i].types)) || !str_eq(value, str_z(rows[i].value)))
			fail_msg("%s: %.*s offers %.*s", rows[i].ident, STR_FMT(value), STR_FMT(types));
		assert_int_equal(wildcard, rows[i].wildcard);
		assert_int_equal(subdomains, rows[i].subdomains);
	}
}

static void what_cannot_be_proved_here_is_not_ordered(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static const struct {
		const char *realm, *ident, *words;
	} rows[] = {
		{ "plain", DNS("*.x.a.test"),
		  "*.x.a.test: a wildcard is proved by dns-01, dns-account-01 or dns-persist-01 only; realm plain "
		  "offers "
		  "none of them" },
		{ "dns", IP("192.0.2.7"),
		  "192.0.2.7: an address is proved by http-01 or tls-alpn-01, which realm dns does not offer" },
		{ "shut", DNS("www.a.test"), "realm shut allows no names yet" },
		{ "shut", IP("192.0.2.7"), "192.0.2.7" },
		{ "dns", DNS("*.com"), "needs at least two labels" }, /* A56: even where everything is allowed */
		{ "dns", DNS("com"), "needs at least two labels" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_account stranger = { 0 };
		struct world_reply r;
		struct str base = str_fmt(&f->w.mem, WORLD_BASE "/realm/%s", rows[i].realm);
		account_in(f, &stranger, str_z(rows[i].realm), STR_NONE);
		MUST(world_post(&f->w, &stranger, str_fmt(&f->w.mem, "%.*s/new-order", STR_FMT(base)),
				payload_of(f, rows[i].ident, ""), &r, &err));
		expect_problem(rows[i].ident, &r, 400, "rejectedIdentifier", rows[i].words);
		key_free(stranger.key);
	}
}

/* --- profiles and times -------------------------------------------------------------------------------------------*/

static struct str time_text(struct fixture *f, int64_t unix_s)
{
	char text[TIME_TEXT_MAX];
	time_show(unix_s, text);
	return str_dup(&f->w.mem, str_z(text));
}

static void profiles_are_chosen_said_back_and_refused(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *more, *wanted;
	} rows[] = {
		{ "", "server" },
		{ ",\"profile\":null", "server" },
		{ ",\"profile\":\"server\"", "server" },
		{ ",\"profile\":\"short\"", "short" },
		{ ",\"profile\":\"long\"", NULL }, /* configured, but not in this realm */
		{ ",\"profile\":\"Server\"", NULL },
		{ ",\"profile\":\"\"", NULL },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_reply r =
			step_post(&f->w, &f->alice, NEW_ORDER, payload_of(f, DNS("profile.a.test"), rows[i].more));
		if (rows[i].wanted == NULL) {
			expect_problem(rows[i].more, &r, 400, "invalidProfile",
				       "is not offered to this account; realm default offers server, short");
			continue;
		}
		assert_true(str_eq(step_text(&f->w, r.json, "profile"), str_z(rows[i].wanted)));
		expect_status(rows[i].more, &r, 201);
	}
}

/* RFC 8555 7.4. Times are seconds from now; 0: not sent. The short profile: 10 minutes back, 6 days long. */
static void times_are_taken_within_the_profile_only(void **state)
{
	struct fixture *f = *state;
	const int64_t now = f->w.now_ms / 1000;
	static const struct {
		int64_t before, after; /* from now */
		const char *words;     /* NULL: fine */
	} rows[] = {
		{ -600, 0, NULL },
		{ -601, 0, "notBefore is " },
		{ 48 * 3600, 0, NULL },
		{ 48 * 3600 + 1, 0, "; it can be from " },
		{ 0, 2, NULL },
		{ 0, -1, "notAfter is " },
		{ 0, 6 * 86400 - 600 - 1, NULL },
		{ 0, 6 * 86400 - 600, "; profile short lets certificates live 518400 s, so until " },
		{ 60, 60 + 6 * 86400 - 1, NULL },
		{ 60, 60 + 6 * 86400, "; profile short lets certificates live 518400 s, so until " },
		{ 60, 61, NULL },
		{ 60, 60, "; it must be after " },
		{ 60, 30, "; it must be after " },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str more = STR(",\"profile\":\"short\"");
		if (rows[i].before != 0)
			more = str_fmt(&f->w.mem, "%.*s,\"notBefore\":\"%.*s\"", STR_FMT(more),
				       STR_FMT(time_text(f, now + rows[i].before)));
		if (rows[i].after != 0)
			more = str_fmt(&f->w.mem, "%.*s,\"notAfter\":\"%.*s\"", STR_FMT(more),
				       STR_FMT(time_text(f, now + rows[i].after)));
		struct world_reply r = step_post(&f->w, &f->alice, NEW_ORDER,
						 payload_of(f, DNS("time.a.test"), str_dupz_raw(&f->w.mem, more)));
		if (rows[i].words != NULL) {
			expect_problem(more.p, &r, 400, "malformed", rows[i].words);
			continue;
		}
		assert_int_equal(json_get(r.json, "notBefore") != NULL, rows[i].before != 0);
		assert_int_equal(json_get(r.json, "notAfter") != NULL, rows[i].after != 0);
		if (rows[i].before != 0)
			assert_true(str_eq(step_text(&f->w, r.json, "notBefore"), time_text(f, now + rows[i].before)));
		if (rows[i].after != 0)
			assert_true(str_eq(step_text(&f->w, r.json, "notAfter"), time_text(f, now + rows[i].after)));
		expect_status(more.p, &r, 201);
	}
}

static void times_are_read_with_any_offset_and_said_in_utc(void **state)
{
	struct fixture *f = *state; /* the world's clock begins on 2026-09-21T14:13:20Z */
	struct world_reply r = step_post(&f->w, &f->alice, NEW_ORDER,
					 payload_of(f, DNS("time.a.test"),
						    ",\"notBefore\":\"2026-09-22T01:00:00.75+02:00\",\"notAfter\":"
						    "\"2026-09-23t00:00:00z\""));
	assert_true(str_eq(step_text(&f->w, r.json, "notBefore"), STR("2026-09-21T23:00:00Z")));
	assert_true(str_eq(step_text(&f->w, r.json, "notAfter"), STR("2026-09-23T00:00:00Z")));
	expect_status("offset", &r, 201);
	static const char *const bad[] = {
		"", "tomorrow", "2026-09-22", "2026-09-22T01:00:00", "2026-02-30T00:00:00Z", "1790000000"
	};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		r = step_post(&f->w, &f->alice, NEW_ORDER,
			      payload_of(f, DNS("time.a.test"),
					 str_dupz_raw(&f->w.mem, str_fmt(&f->w.mem, ",\"notBefore\":\"%s\"", bad[i]))));
		expect_problem(bad[i], &r, 400, "malformed", "notBefore: \"");
	}
}

/* --- what the account's external key allows (RFC 8555 7.3.4) ------------------------------------------------------*/

static void an_external_key_limits_names_addresses_and_profiles(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_account bound = { 0 }, lost = { 0 }, narrow = { 0 };
	struct world_reply r;
	const struct str url = STR(WORLD_BASE "/realm/plain/new-order"),
			 authz = STR(WORLD_BASE "/realm/plain/new-authz");
	const struct eab_row row = { .kid = STR("k1"),
				     .realm = STR("plain"),
				     .names = STR("[\"*.team.a.test\",\"192.0.2.0/28\"]"),
				     .profiles = STR("[\"server\"]") };
	const struct eab_row none = { .kid = STR("k2"), .realm = STR("plain"), .profiles = STR("[\"long\"]") };
	MUST(world_eab_add(&f->w, &row, STR("a secret of thirty-two characters"), &err));
	MUST(world_eab_add(&f->w, &none, STR("a secret of thirty-two characters"), &err));
	account_in(f, &bound, STR("plain"), STR("k1"));
	account_in(f, &lost, STR("plain"), STR("k3"));
	account_in(f, &narrow, STR("plain"), STR("k2"));
	static const struct {
		const char *idents, *more;
		int status;
		const char *type, *words;
	} rows[] = {
		{ DNS("x.team.a.test") "," IP("192.0.2.15"), "", 201, NULL, NULL },
		{ DNS("x.team.a.test"), ",\"profile\":\"server\"", 201, NULL, NULL },
		{ DNS("x.a.test"), "", 400, "rejectedIdentifier",
		  "x.a.test: the external account key of this account does not allow it, only *.team.a.test, "
		  "192.0.2.0/28" },
		{ IP("192.0.2.16"), "", 400, "rejectedIdentifier", "192.0.2.16: the external account key" },
		{ DNS("x.a.test") "," IP("192.0.2.16"), "", 400, "compound", "2 of the 2 identifiers are refused" },
		{ DNS("x.team.a.test"), ",\"profile\":\"short\"", 400, "invalidProfile",
		  "profile \"short\" is not offered to this account; realm plain offers server" },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		MUST(world_post(&f->w, &bound, url, payload_of(f, rows[i].idents, rows[i].more), &r, &err));
		if (rows[i].type == NULL)
			expect_status(rows[i].idents, &r, rows[i].status);
		else
			expect_problem(rows[i].idents, &r, rows[i].status, rows[i].type, rows[i].words);
	}
	MUST(world_post(&f->w, &bound, authz, STR("{\"identifier\":" DNS("x.a.test") "}"), &r, &err));
	expect_problem("newAuthz", &r, 400, "rejectedIdentifier", "x.a.test: the external account key");
	MUST(world_post(&f->w, &lost, url, payload_of(f, DNS("x.team.a.test"), ""), &r, &err));
	expect_problem("key is gone", &r, 403, "unauthorized", "the external account key k3");
	MUST(world_post(&f->w, &narrow, url, payload_of(f, DNS("x.team.a.test"), ""), &r, &err));
	expect_problem("no profile", &r, 400, "invalidProfile",
		       "this account's external key allows none of the profiles of realm plain");
	key_free(bound.key);
	key_free(lost.key);
	key_free(narrow.key);
}

/* --- finalize -----------------------------------------------------------------------------------------------------*/

static void serve(struct fixture *f, const char *name)
{
	world_site(&f->w, str_z(name))->thumbprint = str_z(f->alice.thumbprint.z);
}

/* RFC 8555 7.4: exactly what was ordered, addresses too. */
static void a_csr_asks_for_exactly_what_was_ordered(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static const struct {
		const char *names[4], *addrs[4], *words;
	} rows[] = {
		{ { "csr.a.test" },
		  { NULL },
		  "the CSR names csr.a.test; the order is for csr.a.test, 192.0.2.9, 2001:db8::9; they must be the "
		  "same" },
		{ { NULL }, { "192.0.2.9", "2001:db8::9" }, "the CSR names 192.0.2.9, 2001:db8::9; the order" },
		{ { "csr.a.test" }, { "192.0.2.9" }, "the CSR names csr.a.test, 192.0.2.9; the order" },
		{ { "csr.a.test" }, { "192.0.2.10", "2001:db8::9" }, "192.0.2.10" },
		{ { "csr.a.test", "x.a.test" }, { "192.0.2.9", "2001:db8::9" }, "x.a.test" },
		{ { "csr.a.test" }, { "192.0.2.9", "192.0.2.10", "2001:db8::9" }, "192.0.2.10" },
	};
	serve(f, "csr.a.test");
	serve(f, "192.0.2.9");
	serve(f, "2001:db8::9");
	struct str order = step_make(&f->w, &f->alice, NEW_ORDER,
				     payload_of(f, IP("192.0.2.9") "," DNS("csr.a.test") "," IP("2001:db8::9"), ""));
	step_prove(&f->w, &f->alice, order);
	assert_true(str_eq(step_status(&f->w, &f->alice, order), STR("ready")));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct world_reply r =
			step_finalize(&f->w, &f->alice, order, step_csr(&f->w, f->key, rows[i].names, rows[i].addrs));
		expect_problem(rows[i].words, &r, 400, "badCSR", rows[i].words);
		assert_true(str_eq(step_status(&f->w, &f->alice, order), STR("ready"))); /* it may try again */
	}
	static const char *const names[] = { "csr.a.test", NULL }, *const addrs[] = { "2001:db8::9", "192.0.2.9",
										      NULL };
	struct world_reply r = step_finalize(&f->w, &f->alice, order, step_csr(&f->w, f->key, names, addrs));
	expect_status("finalize", &r, 200);
	MUST(world_run(&f->w, &err));
	assert_true(str_eq(step_status(&f->w, &f->alice, order), STR("valid")));
}

/* What the signer would answer, for another identifier than the order's: the api looks at the addresses, too. */
static void a_certificate_without_its_address_is_not_taken(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(buf_done) struct buf body = BUF_MAX(JOB_MAX);
	static const char *const none[] = { NULL }, *const addrs[] = { "192.0.2.11", NULL };
	struct world_message *m;
	struct sign_job job;
	struct sign_result result;
	serve(f, "192.0.2.11");
	struct str order = step_make(&f->w, &f->alice, NEW_ORDER, payload_of(f, IP("192.0.2.11"), ""));
	step_prove(&f->w, &f->alice, order);
	struct world_reply r = step_finalize(&f->w, &f->alice, order, step_csr(&f->w, f->key, none, addrs));
	expect_status("finalize", &r, 200);
	m = &f->w.queue[(f->w.last - 1) % WORLD_QUEUE_MAX];
	MUST(sign_job_read(&f->w.mem, m->body, &job, &err));
	MUST(signer_batch(f->w.signer, &f->w.mem, &job, 1, &result, &err));
	assert_true(result.issued);
	/* One bit of the address is wrong; nobody looks at the signature here, which is the signer's own to check. */
	char *der = arena_alloc(&f->w.mem, result.der.n);
	memcpy(der, result.der.p, result.der.n);
	char *at = memmem(der, result.der.n, "\x87\x04\xc0\x00\x02\x0b", 6);
	assert_non_null(at);
	at[5] ^= 1;
	result.der.p = der;
	MUST(sign_result_write(&result, &body, &err));
	MUST(acme_apply_signed(f->w.acme, buf_str(&body), &err));
	assert_true(str_eq(step_status(&f->w, &f->alice, order), STR("invalid")));
	f->w.first = f->w.last;
}

static fallible block_tx(struct store_tx *tx, void *ctx, struct err *err)
{
	return blocked_key_insert(tx, ctx, STR("keyCompromise"), 1, STR("operator"), err);
}

static void a_compromised_key_gets_no_certificate(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	AUTO(key_auto) struct key *bad = NULL;
	struct sha256 hash;
	static const char *const names[] = { "blocked.a.test", NULL }, *const none[] = { NULL };
	serve(f, "blocked.a.test");
	struct str order = step_make(&f->w, &f->alice, NEW_ORDER, payload_of(f, DNS("blocked.a.test"), ""));
	step_prove(&f->w, &f->alice, order);
	MUST(key_generate(KEY_P256, 0, &bad, &err));
	MUST(key_spki_hash(f->w.crypto, bad, &hash, &err));
	MUST(store_tx(f->w.store, block_tx, &hash, &err));
	struct world_reply r = step_finalize(&f->w, &f->alice, order, step_csr(&f->w, bad, names, none));
	expect_problem("blocked key", &r, 400, "badCSR", "compromised");
	r = step_finalize(&f->w, &f->alice, order, step_csr(&f->w, f->key, names, none));
	expect_status("another key", &r, 200);
	MUST(world_run(&f->w, &err));
}

/* --- the directory ------------------------------------------------------------------------------------------------*/

static void the_directory_says_what_this_realm_offers(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_reply r;
	bool required = true;
	static const char *const all[] = {
		"termsOfService",       "website", "caaIdentities", "externalAccountRequired", "profiles",
		"subdomainAuthAllowed", NULL
	};
	MUST(world_send(&f->w, HTTP_GET, STR("/directory"), STR_NONE, STR_NONE, &r, &err));
	const struct json *meta = json_get(r.json, "meta"), *profiles = json_get(meta, "profiles");
	MUST(json_only(meta, all, &err));
	assert_null(json_get(meta, "termsOfService"));
	assert_true(str_eq(step_text(&f->w, meta, "website"), STR("https://www.ca.test/")));
	assert_int_equal(json_count(json_get(meta, "caaIdentities")), 1);
	MUST(json_may_bool(meta, "externalAccountRequired", &required, &err));
	assert_false(required);
	assert_int_equal(json_count(profiles), 2);
	assert_true(str_eq(step_text(&f->w, profiles, "server"), STR("for TLS servers, valid for 90 days")));
	assert_true(str_eq(step_text(&f->w, profiles, "short"), STR("six days")));
	MUST(json_may_bool(meta, "subdomainAuthAllowed", &required, &err));
	assert_true(required);
	assert_true(str_eq(step_text(&f->w, r.json, "renewalInfo"), STR(WORLD_BASE "/renewal-info")));
	assert_true(str_eq(step_text(&f->w, r.json, "newAuthz"), STR(WORLD_BASE "/new-authz")));
	world_reply_done(&r);
	MUST(world_send(&f->w, HTTP_GET, STR("/realm/plain/directory"), STR_NONE, STR_NONE, &r, &err));
	meta = json_get(r.json, "meta");
	required = false;
	MUST(json_may_bool(meta, "externalAccountRequired", &required, &err));
	assert_true(required);
	assert_null(json_get(meta, "subdomainAuthAllowed"));
	assert_null(json_get(meta, "website"));
	assert_true(str_eq(step_text(&f->w, r.json, "renewalInfo"), STR(WORLD_BASE "/realm/plain/renewal-info")));
	world_reply_done(&r);
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
		cmocka_unit_test(each_bad_identifier_gets_its_own_refusal),
		cmocka_unit_test(orders_of_another_shape_are_malformed),
		cmocka_unit_test(several_bad_identifiers_are_refused_at_once_each_with_its_reason),
		cmocka_unit_test(a_hundred_names_are_fine_and_one_more_is_not),
		cmocka_unit_test(names_are_lowered_sorted_and_told_once),
		cmocka_unit_test(what_is_offered_fits_what_is_to_be_proved),
		cmocka_unit_test(what_cannot_be_proved_here_is_not_ordered),
		cmocka_unit_test(profiles_are_chosen_said_back_and_refused),
		cmocka_unit_test(times_are_taken_within_the_profile_only),
		cmocka_unit_test(times_are_read_with_any_offset_and_said_in_utc),
		cmocka_unit_test(an_external_key_limits_names_addresses_and_profiles),
		cmocka_unit_test(a_csr_asks_for_exactly_what_was_ordered),
		cmocka_unit_test(a_certificate_without_its_address_is_not_taken),
		cmocka_unit_test(a_compromised_key_gets_no_certificate),
		cmocka_unit_test(the_directory_says_what_this_realm_offers),
	};
	return cmocka_run_group_tests(tests, open_world, close_world);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * route_test.c: what is served under which path and method, and what every reply has. The table below is written by
 * hand, so that a route that comes, goes or opens up by mistake is found; and each path is asked with each method.
 */
#include "acme/app.h"
#include "fixture.h"
#include "unit.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

#define TWO_REALMS                                \
	"realm:\n"                                \
	"  default:\n    names: [\"*.a.test\"]\n" \
	"  team:\n    names: [\"*.a.test\"]\n"
#define MISSING "0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b" /* a good id that nothing has */
#define CERT_ID "aYhba4dGQEHhs3uEe6CuLN4ByNQ.AIdlQyE"  /* RFC 9773 4.1's own example */

struct fixture {
	FIXTURE;
	struct world_account carol; /* carol's realm is the other one */
	struct str order, authz, challenge, certificate, valid_order;
};

static const struct row {
	const char *route, *path; /* the path is one that the route matches */
	const char *allow;
} rows[] = {
	{ "/directory", "/directory", "GET, HEAD, POST, OPTIONS" },
	{ "/new-nonce", "/new-nonce", "GET, HEAD, POST, OPTIONS" },
	{ "/new-account", "/new-account", "POST, OPTIONS" },
	{ "/new-order", "/new-order", "POST, OPTIONS" },
	{ "/new-authz", "/new-authz", "POST, OPTIONS" },
	{ "/key-change", "/key-change", "POST, OPTIONS" },
	{ "/revoke-cert", "/revoke-cert", "POST, OPTIONS" },
	{ "/renewal-info/*", "/renewal-info/" CERT_ID, "GET, HEAD, OPTIONS" },
	{ "/account/*", "/account/" MISSING, "POST, OPTIONS" },
	{ "/account/*/orders", "/account/" MISSING "/orders", "POST, OPTIONS" },
	{ "/order/*", "/order/" MISSING, "POST, OPTIONS" },
	{ "/order/*/finalize", "/order/" MISSING "/finalize", "POST, OPTIONS" },
	{ "/authz/*", "/authz/" MISSING, "POST, OPTIONS" },
	{ "/challenge/*", "/challenge/" MISSING, "POST, OPTIONS" },
	{ "/certificate/*", "/certificate/" MISSING, "POST, OPTIONS" },
	{ "/certificate/*/alternate/*", "/certificate/" MISSING "/alternate/1", "POST, OPTIONS" },
	{ "/health", "/health", "GET, HEAD, OPTIONS" },
};

static const enum http_method methods[] = { HTTP_GET, HTTP_HEAD, HTTP_POST, HTTP_OPTIONS, HTTP_OTHER };
static const char *const prefixes[] = { "", "/realm/team" };

static struct world_reply ask(struct fixture *f, enum http_method m, struct str path)
{
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_send(&f->w, m, path, STR_NONE, STR_NONE, &r, &err));
	return r;
}

static bool has(struct str text, const char *part)
{
	return memmem(text.p, text.n, part, strlen(part)) != NULL;
}

static void assert_header(const struct world_reply *r, const char *name, const char *want)
{
	struct str got = world_header(r, name);
	if (!str_eq(got, str_z(want)))
		fail_msg("%s is \"%.*s\", wanted \"%s\"", name, STR_FMT(got), want);
}

static void assert_problem(const struct world_reply *r, int status, const char *type, const char *words)
{
	struct err err = { 0 };
	struct str got, detail;
	if (r->status != status)
		fail_msg("status %d, wanted %d: %.*s", r->status, status, STR_FMT(r->body));
	assert_string_equal(r->content_type, "application/problem+json");
	MUST(json_want_str(r->json, "type", 256, &got, &err));
	MUST(json_want_str(r->json, "detail", 4096, &detail, &err));
	assert_true(str_skip(&got, STR(PROBLEM_URN)) && str_eq(got, str_z(type)));
	if (!has(detail, words))
		fail_msg("\"%.*s\" does not say \"%s\"", STR_FMT(detail), words);
}

/* --- the table --- */

static const struct row *row_of(const char *route)
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (strcmp(rows[i].route, route) == 0)
			return &rows[i];
	return NULL;
}

static bool is_routed(const char *path)
{
	size_t count;
	const struct route *r = routes(&count);
	for (size_t i = 0; i < count; i++)
		if (strcmp(r[i].path, path) == 0)
			return true;
	return false;
}

static void every_route_has_a_row_here(void **state)
{
	(void)state;
	size_t count;
	const struct route *r = routes(&count);
	for (size_t i = 0; i < count; i++)
		if (row_of(r[i].path) == NULL)
			fail_msg("route %s has no row in this test", r[i].path);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (!is_routed(rows[i].route))
			fail_msg("%s is not routed", rows[i].route);
}

/* What only a GET answers is not private and asks for no proof; everything else wants a signature. */
static void only_public_resources_are_without_a_signature(void **state)
{
	(void)state;
	size_t count;
	const struct route *r = routes(&count);
	for (size_t i = 0; i < count; i++) {
		assert_int_equal(r[i].auth == AUTH_NONE, r[i].method == HTTP_GET);
		assert_int_equal(r[i].payload == PAYLOAD_NONE, r[i].method == HTTP_GET);
		assert_true(r[i].method == HTTP_GET || !r[i].quick);
	}
}

/* Also: RFC 8555 6.3, GET and every other method on what is not public is 405 "malformed" (THREATS A10). */
static void assert_method(struct fixture *f, const struct row *row, struct str path, enum http_method m)
{
	struct world_reply r = ask(f, m, path);
	bool served = has(str_fmt(&f->w.mem, ", %s,", row->allow), str_fmt(&f->w.mem, ", %s,", http_method_name(m)).p);
	if (m == HTTP_OPTIONS) {
		assert_int_equal(r.status, 204);
		assert_int_equal(r.body.n, 0);
		assert_header(&r, "Allow", row->allow);
		assert_header(&r, "Access-Control-Allow-Methods", row->allow);
		assert_header(&r, "Access-Control-Allow-Headers", "content-type");
		assert_header(&r, "Access-Control-Max-Age", "86400");
	} else if (!served) {
		assert_problem(&r, 405, "malformed", row->allow);
		assert_header(&r, "Allow", row->allow);
	} else {
		assert_true(r.status != 405 && r.status < 500);
		assert_null(world_header(&r, "Allow").p);
		if (m == HTTP_POST)
			assert_problem(&r, 415, "malformed", "application/jose+json");
	}
	world_reply_done(&r);
}

static void every_path_answers_every_method(void **state)
{
	struct fixture *f = *state;
	for (size_t p = 0; p < ARRAY_LEN(prefixes); p++)
		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			for (size_t m = 0; m < ARRAY_LEN(methods); m++)
				assert_method(f, &rows[i], str_fmt(&f->w.mem, "%s%s", prefixes[p], rows[i].path),
					      methods[m]);
}

/* --- what every reply has --- */

static void assert_common(const struct world_reply *r, enum http_method m, const char *prefix, const char *path)
{
	bool directory = strcmp(path, "/directory") == 0;
	bool nonce = m == HTTP_POST || (strcmp(path, "/new-nonce") == 0 && (m == HTTP_GET || m == HTTP_HEAD));
	char link[128];
	assert_header(r, "Access-Control-Allow-Origin", "*"); /* RFC 8555 6.1 */
	assert_header(r, "Access-Control-Expose-Headers", "Link, Replay-Nonce, Location, Retry-After");
	assert_header(r, "X-Content-Type-Options", "nosniff");
	assert_header(r, "Cache-Control", "no-store"); /* RFC 8555 7.2 */
	/* RFC 8555 6.5: with every reply to a POST, refusals too; and nowhere else but at newNonce */
	if (nonce != (world_header(r, "Replay-Nonce").n > 0))
		fail_msg("%s%s: Replay-Nonce %s", prefix, path, nonce ? "is missing" : "is not wanted");
	/* RFC 8555 7.1: on all resources but the directory */
	(void)snprintf(link, sizeof link, "<" WORLD_BASE "%s/directory>;rel=\"index\"", prefix);
	if (!directory)
		assert_header(r, "Link", link);
}

static void every_reply_has_the_common_headers(void **state)
{
	struct fixture *f = *state;
	for (size_t p = 0; p < ARRAY_LEN(prefixes); p++)
		for (size_t i = 0; i < ARRAY_LEN(rows); i++)
			for (size_t m = 0; m < ARRAY_LEN(methods); m++) {
				struct world_reply r =
					ask(f, methods[m], str_fmt(&f->w.mem, "%s%s", prefixes[p], rows[i].path));
				assert_common(&r, methods[m], prefixes[p], rows[i].path);
				world_reply_done(&r);
			}
}

static void what_http_refuses_has_them_too(void **state)
{
	struct fixture *f = *state;
	static const int statuses[] = { 400, 408, 413, 414, 417, 431, 501, 503, 505 };
	for (size_t i = 0; i < ARRAY_LEN(statuses); i++) {
		struct http_reply re;
		http_reply_init(&re);
		acme_refuse(f->w.acme, statuses[i], "some words", &re);
		struct world_reply r = { .status = re.status, .headers = buf_str(&re.headers) };
		assert_int_equal(r.status, statuses[i]);
		assert_string_equal(re.content_type, "application/problem+json");
		assert_header(&r, "Access-Control-Allow-Origin", "*");
		assert_header(&r, "X-Content-Type-Options", "nosniff");
		assert_header(&r, "Cache-Control", "no-store");
		assert_int_equal(world_header(&r, "Retry-After").n > 0, statuses[i] == 503);
		http_reply_done(&re);
	}
}

static void head_is_get_without_a_body(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str path = str_z(rows[i].path);
		struct world_reply get = ask(f, HTTP_GET, path), head = ask(f, HTTP_HEAD, path);
		if (str_eq(path, STR("/new-nonce"))) { /* RFC 8555 7.2 */
			assert_int_equal(get.status, 204);
			assert_int_equal(head.status, 200);
		} else if (get.status != 405) {
			assert_int_equal(get.status, head.status);
			assert_true(str_eq(get.headers, head.headers));
			assert_int_equal(get.body.n, head.body.n); /* measured for Content-Length, and not sent */
		} else {
			assert_int_equal(head.status, 405);
		}
		world_reply_done(&get);
		world_reply_done(&head);
	}
}

/* --- paths that are not --- */

#define LONG_200                                                                                               \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789" \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"

static void other_paths_are_not_there_by_any_method(void **state)
{
	struct fixture *f = *state;
	static const char *const paths[] = {
		"/",
		"//",
		"/*",
		"/directory/",
		"//directory",
		"/directory//",
		"/Directory",
		"/DIRECTORY",
		"/directory%2f",
		"/%64irectory",
		"/directory;a=b",
		"/direct",
		"/directoryx",
		"/new-nonce/",
		"/new-order/" MISSING,
		"/order",
		"/order/",
		"/order//",
		"/order/*",
		"/order/" MISSING "/",
		"/order/" MISSING "//finalize",
		"/order/" MISSING "/finalize/",
		"/order/" MISSING "/Finalize",
		"/order/" MISSING "%2ffinalize",
		"/order/" MISSING "%2Ffinalize",
		"/order/" MISSING "/finalize/x",
		"/order//finalize",
		"/order/finalize",
		"/order%2f" MISSING,
		"/order/0190A1B2-C3D4-7E5F-8A9B-0C1D2E3F4A5B", /* one thing has one URL */
		"/order/0190a1b2c3d47e5f8a9b0c1d2e3f4a5b",
		"/order/0190a1b2-c3d4-4e5f-8a9b-0c1d2e3f4a5b", /* a UUID of version 4 */
		"/order/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5",
		"/order/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b0",
		"/order/%30190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
		"/order/1",
		"/order/-1",
		"/order/9223372036854775808",
		"/order/" LONG_200 LONG_200 LONG_200 LONG_200,
		"/" LONG_200 LONG_200 LONG_200 LONG_200,
		"/order/' OR 1=1 --",
		"/account/" MISSING "/orders/",
		"/account/" MISSING "/orders/" MISSING,
		"/account/" MISSING "/certificates",
		"/authz/" MISSING "/challenge",
		"/certificate/" MISSING "/alternate",
		"/certificate/" MISSING "/alternate/",
		"/certificate/" MISSING "/alternate//1",
		"/certificate/" MISSING "/alternate/1/",
		"/certificate/" MISSING "/alternate/1/2",
		"/certificate//alternate/1",
		"/certificate/x/alternate/1",
		"/renewal-info",
		"/renewal-info/",
		"/renewal-info/" CERT_ID "/",
		"/renewal-info/" CERT_ID "/x",
		"/realm",
		"/realm/",
		"/realm//directory",
		"/realm/nowhere/directory",
		"/realm/nowhere",
		"/realm/default/directory", /* its URLs have no prefix */
		"/realm/Team/directory",
		"/realm/team",
		"/realm/team/",
		"/realm/team//directory",
		"/realm/team/realm/team/directory",
		"/realm/team%2fdirectory",
		"/realm/te%61m/directory",
		"/realm/" LONG_200 LONG_200 "/directory",
	};
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		for (size_t m = 0; m < ARRAY_LEN(methods); m++) {
			struct world_reply r = ask(f, methods[m], str_z(paths[i]));
			if (r.status != 404)
				fail_msg("%s %s: %d", http_method_name(methods[m]), paths[i], r.status);
			assert_problem(&r, 404, "malformed", "the directory lists what is served");
			assert_null(world_header(&r, "Allow").p);
			assert_header(&r, "Access-Control-Allow-Origin", "*");
			assert_true(r.body.n < 300);
			world_reply_done(&r);
		}
}

/* --- the directory --- */

static void the_directory_lists_every_route_that_has_a_name_and_nothing_else(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static const char *const known[] = { "newNonce",  "newAccount",  "newOrder", "newAuthz", "revokeCert",
					     "keyChange", "renewalInfo", "meta",     NULL };
	for (size_t p = 0; p < ARRAY_LEN(prefixes); p++) {
		struct world_reply r = ask(f, HTTP_GET, str_fmt(&f->w.mem, "%s/directory", prefixes[p]));
		assert_int_equal(r.status, 200);
		assert_null(world_header(&r, "Link").p);
		MUST(json_only(r.json, known, &err));
		assert_int_equal(json_count(r.json), ARRAY_LEN(known) - 1);
		for (size_t i = 0; i + 2 < ARRAY_LEN(known); i++) {
			struct str url, path;
			MUST(json_want_str(r.json, known[i], 256, &url, &err));
			path = world_path(url);
			assert_true(str_starts(path, str_z(prefixes[p])) && !has(path, "*"));
			/* RFC 9773 4.1: the client adds a slash and the certificate's identifier itself */
			if (strcmp(known[i], "renewalInfo") == 0)
				path = str_fmt(&f->w.mem, "%.*s/" CERT_ID, STR_FMT(path));
			struct world_reply there = ask(f, HTTP_OPTIONS, path);
			assert_int_equal(there.status, 204);
			world_reply_done(&there);
		}
		world_reply_done(&r);
	}
}

/* RFC 8555 6.3: GET, in addition to POST-as-GET. */
static void directory_and_nonce_are_read_with_post_as_get_too(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_reply got = ask(f, HTTP_GET, STR("/directory")), r;
	MUST(world_post(&f->w, &f->alice, STR(WORLD_BASE "/directory"), STR_NONE, &r, &err));
	assert_int_equal(r.status, 200);
	assert_true(str_eq(r.body, got.body));
	assert_true(world_header(&r, "Replay-Nonce").n > 0);
	world_reply_done(&got);
	world_reply_done(&r);
	MUST(world_post(&f->w, &f->alice, STR(WORLD_BASE "/new-nonce"), STR_NONE, &r, &err));
	assert_int_equal(r.status, 204);
	assert_true(world_header(&r, "Replay-Nonce").n > 0);
	MUST(world_post(&f->w, &f->alice, STR(WORLD_BASE "/new-nonce"), STR("{}"), &r, &err));
	assert_problem(&r, 400, "malformed", "POST-as-GET");
	world_reply_done(&r);
}

/* --- request fields that change nothing --- */

static struct str whole(struct fixture *f, struct str path, struct str language)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct http_request rq = { .method = HTTP_GET,
				   .method_text = STR("GET"),
				   .target = path,
				   .path = path,
				   .host = STR("ca.test"),
				   .accept_language = language,
				   .origin = language,
				   .user_agent = language,
				   .mem = &mem };
	struct http_reply re;
	http_reply_init(&re);
	assert_true(acme_quick(f->w.acme, &rq, &re));
	struct str headers = buf_str(&re.headers), body = buf_str(&re.body);
	struct str all =
		str_fmt(&f->w.mem, "%d\n%.*s\n%.*s", re.status, (int)headers.n, headers.p, (int)body.n, body.p);
	http_reply_done(&re);
	return all;
}

static void language_origin_and_agent_change_no_reply(void **state)
{
	struct fixture *f = *state;
	static const char *const values[] = { "",
					      "*",
					      "de-CH, de;q=0.9, en;q=0.1",
					      "tlh;q=99999999999999999999, ;;q=,,,",
					      "%n%s%s%s%p",
					      "</script><script>alert(1)</script>",
					      "../../../../etc/passwd",
					      "\xff\xfe\x80",
					      LONG_200 LONG_200 LONG_200 };
	static const char *const paths[] = { "/directory", "/health", "/nowhere", "/new-order" };
	for (size_t p = 0; p < ARRAY_LEN(paths); p++) {
		struct str plain = whole(f, str_z(paths[p]), STR_NONE);
		for (size_t i = 0; i < ARRAY_LEN(values); i++)
			assert_true(str_eq(plain, whole(f, str_z(paths[p]), str_z(values[i]))));
	}
}

/* --- whose things are whose (THREATS A10, A11) --- */

static struct str id_in(struct str url)
{
	struct str id = str_sub(url, url.n - ID_TEXT_LEN, url.n);
	struct id parsed;
	assert_false(FAILED(id_read(id, &parsed, NULL)));
	return id;
}

/* The reply without what must differ: its nonce, and the id that was asked for. */
static struct str comparable(struct fixture *f, const struct world_reply *r, struct str id)
{
	AUTO(buf_done) struct buf b = BUF_MAX(65536);
	struct err err = { 0 };
	struct str all = str_fmt(&f->w.mem, "%d\n%.*s\n%.*s", r->status, (int)r->headers.n, r->headers.p,
				 (int)r->body.n, r->body.p);
	struct str nonce = world_header(r, "Replay-Nonce");
	for (size_t i = 0; i < all.n;) {
		struct str rest = str_sub(all, i, all.n);
		bool is_nonce = nonce.n > 0 && str_starts(rest, nonce), is_id = str_starts(rest, id);
		MUST(buf_add_char(&b, is_nonce ? 'N' : is_id ? 'I' : rest.p[0], &err));
		i += is_nonce ? nonce.n : is_id ? id.n : 1;
	}
	return str_dup(&f->w.mem, buf_str(&b));
}

static struct str post_to(struct fixture *f, const struct world_account *who, const char *route, struct str id,
			  struct str payload, int *ret_status)
{
	struct err err = { 0 };
	struct world_reply r;
	AUTO(buf_done) struct buf url = BUF_MAX(4096);
	struct str base = who == &f->carol ? STR(WORLD_BASE "/realm/team") : STR(WORLD_BASE);
	MUST(buf_add(&url, base, &err));
	bool second = false;
	for (const char *p = route; *p != '\0'; p++)
		if (*p == '*') {
			MUST(buf_add(&url, second ? STR("1") : id, &err));
			second = true;
		} else {
			MUST(buf_add_char(&url, *p, &err));
		}
	MUST(world_post(&f->w, who, str_dup(&f->w.mem, buf_str(&url)), payload, &r, &err));
	struct str all = comparable(f, &r, id);
	*ret_status = r.status;
	world_reply_done(&r);
	return all;
}

static struct str csr_payload(struct fixture *f)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	struct str payload;
	MUST(key_generate(KEY_P256, 0, &k, &err));
	MUST(world_csr(&f->w, k, STR("www.a.test"), &payload, &err));
	return payload;
}

/* Who has no right to a thing learns nothing from asking for it, by any route, with any payload: the same status, words
 * and headers as for an id that was never given out. */
static void assert_as_if_missing(struct fixture *f, const struct world_account *who, struct str id, struct str not_here)
{
	const struct str payloads[] = { STR_NONE, STR("{}"), STR("{\"status\":\"deactivated\"}"),
					STR("{\"contact\":[]}"), csr_payload(f) };
	size_t count;
	const struct route *r = routes(&count);
	for (size_t i = 0; i < count; i++) {
		if (!r[i].has_id || (not_here.n > 0 && str_starts(str_z(r[i].path), not_here)))
			continue;
		for (size_t p = 0; p < ARRAY_LEN(payloads); p++) {
			int status, missing_status;
			struct str found = post_to(f, who, r[i].path, id, payloads[p], &status);
			struct str missing = post_to(f, who, r[i].path, STR(MISSING), payloads[p], &missing_status);
			if (!str_eq(found, missing))
				fail_msg("%s with \"%.*s\":\n%.*s\nbut a missing one:\n%.*s", r[i].path,
					 STR_FMT(payloads[p]), STR_FMT(found), STR_FMT(missing));
			assert_true(status >= 400 && status < 500);
		}
	}
}

static void another_accounts_things_are_as_if_they_were_not(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct str status;
	const struct str urls[] = { f->alice.url, f->order, f->valid_order, f->authz, f->challenge, f->certificate };
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		assert_as_if_missing(f, &f->bob, id_in(urls[i]), STR_NONE);
		assert_as_if_missing(f, &f->carol, id_in(urls[i]), STR_NONE);
	}
	/* and none of it did anything */
	MUST(world_order_status(&f->w, &f->alice, f->order, &status, &err));
	assert_true(str_eq(status, STR("pending")));
	MUST(world_order_status(&f->w, &f->alice, f->valid_order, &status, &err));
	assert_true(str_eq(status, STR("valid")));
	MUST(world_order_status(&f->w, &f->alice, f->authz, &status, &err));
	assert_true(str_eq(status, STR("pending")));
	MUST(world_order_status(&f->w, &f->alice, f->alice.url, &status, &err));
	assert_true(str_eq(status, STR("valid")));
}

static void an_id_of_another_kind_is_no_id(void **state)
{
	struct fixture *f = *state;
	const struct {
		struct str url;
		const char *kind;
	} things[] = { { f->alice.url, "/account/" },   { f->order, "/order/" },
		       { f->valid_order, "/order/" },   { f->authz, "/authz/" },
		       { f->challenge, "/challenge/" }, { f->certificate, "/certificate/" } };
	for (size_t i = 0; i < ARRAY_LEN(things); i++)
		assert_as_if_missing(f, &f->alice, id_in(things[i].url), str_z(things[i].kind));
}

/* RFC 8555 6.3: no GET tells whether a private thing is there. */
static void private_things_are_not_read_with_get(void **state)
{
	struct fixture *f = *state;
	const struct str urls[] = { f->alice.url, f->order, f->authz, f->challenge, f->certificate };
	static const char *const missing[] = { "/account/" MISSING, "/order/" MISSING, "/authz/" MISSING,
					       "/challenge/" MISSING, "/certificate/" MISSING };
	for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
		struct str there = whole(f, world_path(urls[i]), STR_NONE);
		assert_true(str_starts(there, STR("405\n")));
		assert_true(str_eq(there, whole(f, str_z(missing[i]), STR_NONE)));
	}
}

static void an_account_of_one_realm_is_nobody_in_another(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_post(&f->w, &f->carol, f->order, STR_NONE, &r, &err));
	assert_problem(&r, 400, "accountDoesNotExist", "/realm/team/account/");
	world_reply_done(&r);
	struct str path = world_path(f->order);
	MUST(world_post(&f->w, &f->alice, str_fmt(&f->w.mem, WORLD_BASE "/realm/team%.*s", STR_FMT(path)), STR_NONE, &r,
			&err));
	assert_problem(&r, 400, "accountDoesNotExist", "is not an account URL of this server");
	world_reply_done(&r);
}

/* --- the fixture --- */

static struct str member(struct fixture *f, struct str url, const char *list, const char *key)
{
	struct err err = { 0 };
	struct world_reply r;
	struct str text;
	MUST(world_post(&f->w, &f->alice, url, STR_NONE, &r, &err));
	const struct json *v = list == NULL ? r.json : json_at(json_get(r.json, list), 0);
	assert_true(json_as_str(key == NULL ? v : json_get(v, key), &text));
	text = str_dup(&f->w.mem, text);
	world_reply_done(&r);
	return text;
}

static void issue(struct fixture *f)
{
	struct err err = { 0 };
	struct world_reply r;
	world_site(&f->w, STR("www.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	MUST(world_order_new(&f->w, &f->alice, STR("www.a.test"), &f->valid_order, &err));
	MUST(world_order_prove(&f->w, &f->alice, f->valid_order, &err));
	MUST(world_post(&f->w, &f->alice, member(f, f->valid_order, NULL, "finalize"), csr_payload(f), &r, &err));
	world_reply_done(&r);
	MUST(world_run(&f->w, &err));
	f->certificate = member(f, f->valid_order, NULL, "certificate");
}

static int open_world(void **state)
{
	struct fixture *f = fixture_new(sizeof *f, TWO_REALMS, 2);
	struct err err = { 0 };
	struct world_reply r;
	MUST(key_generate(KEY_P256, 0, &f->carol.key, &err));
	MUST(world_post(&f->w, &f->carol, STR(WORLD_BASE "/realm/team/new-account"),
			STR("{\"termsOfServiceAgreed\":true}"), &r, &err));
	assert_int_equal(r.status, 201);
	f->carol.url = world_header(&r, "Location");
	world_reply_done(&r);
	issue(f);
	MUST(world_order_new(&f->w, &f->alice, STR("pending.a.test"), &f->order, &err));
	f->authz = member(f, f->order, "authorizations", NULL);
	f->challenge = member(f, f->authz, "challenges", "url");
	*state = f;
	return 0;
}

static int close_world(void **state)
{
	struct fixture *f = *state;
	key_free(f->carol.key);
	return fixture_free(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_route_has_a_row_here),
		cmocka_unit_test(only_public_resources_are_without_a_signature),
		cmocka_unit_test(every_path_answers_every_method),
		cmocka_unit_test(every_reply_has_the_common_headers),
		cmocka_unit_test(what_http_refuses_has_them_too),
		cmocka_unit_test(head_is_get_without_a_body),
		cmocka_unit_test(other_paths_are_not_there_by_any_method),
		cmocka_unit_test(the_directory_lists_every_route_that_has_a_name_and_nothing_else),
		cmocka_unit_test(directory_and_nonce_are_read_with_post_as_get_too),
		cmocka_unit_test(language_origin_and_agent_change_no_reply),
		cmocka_unit_test(another_accounts_things_are_as_if_they_were_not),
		cmocka_unit_test(an_id_of_another_kind_is_no_id),
		cmocka_unit_test(private_things_are_not_read_with_get),
		cmocka_unit_test(an_account_of_one_realm_is_nobody_in_another),
	};
	return cmocka_run_group_tests(tests, open_world, close_world);
}

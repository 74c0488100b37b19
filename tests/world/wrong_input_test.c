/* SPDX-License-Identifier: Apache-2.0
 *
 * wrong_input_test.c: what no client should send, each with the problem type, the status and the words that come back.
 * Every refused request must leave the server as it was: after each row the account still gets a good reply.
 */
#include "fixture.h"
#include "unit.h"
#include "world.h"

#include <stdio.h>
#include <stdlib.h>

struct fixture {
	FIXTURE;
	struct str order, ready_order, bob_order;
};

struct request {
	struct str path, type, body;
};

/* The parts of a signed request, each of which a row may spoil. */
struct parts {
	const struct world_account *who;
	struct str alg, nonce, url, kid, jwk, extra; /* of the protected header; p == NULL leaves the member out */
	struct str payload;
	struct str signature; /* p != NULL: instead of the real one */
	struct str protected_b64;
};

static struct str b64(struct fixture *f, struct str s)
{
	return b64url_encode(&f->w.mem, s);
}

static struct str nonce(struct fixture *f)
{
	struct err err = { 0 };
	struct str n;
	MUST(world_nonce(&f->w, &n, &err));
	return n;
}

static struct str jwk_of(struct fixture *f, const struct key *k)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(8192);
	MUST(jwk_write(k, &b, &err));
	return str_dup(&f->w.mem, buf_str(&b));
}

static struct parts good(struct fixture *f, struct str url, struct str payload)
{
	return (struct parts){ .who = &f->alice,
			       .alg = STR("ES256"),
			       .nonce = nonce(f),
			       .url = url,
			       .kid = f->alice.url,
			       .payload = payload };
}

static struct str header_of(struct fixture *f, const struct parts *p)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf b = BUF_MAX(100000);
	struct jw w = jw_begin(&b, &err);
	jw_object(&w);
	if (p->alg.p != NULL)
		jw_kstr(&w, "alg", p->alg);
	if (p->nonce.p != NULL)
		jw_kstr(&w, "nonce", p->nonce);
	if (p->url.p != NULL)
		jw_kstr(&w, "url", p->url);
	if (p->kid.p != NULL)
		jw_kstr(&w, "kid", p->kid);
	if (p->jwk.p != NULL) {
		jw_key(&w, "jwk");
		jw_raw(&w, p->jwk);
	}
	if (p->extra.p != NULL) {
		jw_key(&w, "crit");
		jw_raw(&w, p->extra);
	}
	jw_object_end(&w);
	MUST(jw_end(&w));
	return str_dup(&f->w.mem, buf_str(&b));
}

static struct request sealed(struct fixture *f, const struct parts *p)
{
	struct err err = { 0 };
	struct str header = p->protected_b64.p != NULL ? p->protected_b64 : b64(f, header_of(f, p));
	struct str payload = b64(f, p->payload);
	struct str in = str_fmt(&f->w.mem, "%.*s.%.*s", (int)header.n, header.p, (int)payload.n, payload.p);
	struct str sig = p->signature;
	if (sig.p == NULL) {
		MUST(sig_sign(f->w.crypto, p->who->key, in, &f->w.mem, &sig, &err));
		sig = b64(f, sig);
	}
	return (struct request){
		.path = world_path(p->url),
		.type = STR("application/jose+json"),
		.body = str_fmt(&f->w.mem, "{\"protected\":\"%.*s\",\"payload\":\"%.*s\",\"signature\":\"%.*s\"}",
				(int)header.n, header.p, (int)payload.n, payload.p, (int)sig.n, sig.p),
	};
}

#define NEW_ORDER STR(WORLD_BASE "/new-order")
#define ONE_NAME STR("{\"identifiers\":[{\"type\":\"dns\",\"value\":\"www.a.test\"}]}")

static struct request order_with(struct fixture *f, struct str payload)
{
	struct parts p = good(f, NEW_ORDER, payload);
	return sealed(f, &p);
}

/* --- rows --- */
static struct request body_not_json(struct fixture *f)
{
	struct request r = order_with(f, ONE_NAME);
	r.body = STR("{\"protected\":");
	return r;
}
static struct request body_bad_base64url(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.signature = STR("not+base64url==");
	return sealed(f, &p);
}
static struct request body_60_kB(struct fixture *f)
{
	char *junk = arena_alloc(&f->w.mem, 60000);
	memset(junk, 'a', 60000);
	return order_with(f, str_fmt(&f->w.mem, "{\"x\":\"%.*s\"}", 60000, junk));
}
static struct request body_with_unprotected_header(struct fixture *f)
{
	struct request r = order_with(f, ONE_NAME);
	r.body = str_fmt(&f->w.mem, "{\"header\":{},%.*s", (int)r.body.n - 1, r.body.p + 1);
	return r;
}
static struct request media_type_is_json(struct fixture *f)
{
	struct request r = order_with(f, ONE_NAME);
	r.type = STR("application/json");
	return r;
}
static struct request nonce_missing(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.nonce = STR_NONE;
	return sealed(f, &p);
}
static struct request nonce_invented(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.nonce = STR("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
	return sealed(f, &p);
}
static struct request nonce_used_twice(struct fixture *f)
{
	struct err err = { 0 };
	struct world_reply reply;
	struct parts p = good(f, f->order, STR_NONE);
	struct request r = sealed(f, &p);
	MUST(world_send(&f->w, HTTP_POST, r.path, r.type, r.body, &reply, &err));
	assert_int_equal(reply.status, 200);
	world_reply_done(&reply);
	return r;
}
static struct request url_of_another_resource(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	struct request r = sealed(f, &p);
	r.path = STR("/new-account");
	p = good(f, f->order, STR_NONE);
	r = sealed(f, &p);
	r.path = world_path(f->ready_order);
	return r;
}
static struct request url_with_other_host(struct fixture *f)
{
	struct parts p = good(f, STR("https://evil.test/new-order"), ONE_NAME);
	struct request r = sealed(f, &p);
	r.path = STR("/new-order");
	return r;
}
static struct request alg_none(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.alg = STR("none");
	p.signature = STR("");
	return sealed(f, &p);
}
static struct request alg_hs256(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.alg = STR("HS256");
	return sealed(f, &p);
}
static struct request alg_of_another_key(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.alg = STR("RS256");
	return sealed(f, &p);
}
static struct request signature_of_another_key(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.who = &f->bob;
	return sealed(f, &p);
}
static struct request signature_cut_short(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.signature = STR("AAAA");
	return sealed(f, &p);
}
static struct request jwk_and_kid(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.jwk = jwk_of(f, f->alice.key);
	return sealed(f, &p);
}
static struct request neither_jwk_nor_kid(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.kid = STR_NONE;
	return sealed(f, &p);
}
static struct request jwk_where_kid_belongs(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.kid = STR_NONE;
	p.jwk = jwk_of(f, f->alice.key);
	return sealed(f, &p);
}
static struct request kid_where_jwk_belongs(struct fixture *f)
{
	struct parts p = good(f, STR(WORLD_BASE "/new-account"), STR("{}"));
	return sealed(f, &p);
}
static struct request kid_unknown(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.kid = STR(WORLD_BASE "/account/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b");
	return sealed(f, &p);
}
static struct request kid_of_another_host(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.kid = str_fmt(&f->w.mem, "https://evil.test%.*s", STR_FMT(world_path(f->alice.url)));
	return sealed(f, &p);
}
static struct request crit_header(struct fixture *f)
{
	struct parts p = good(f, NEW_ORDER, ONE_NAME);
	p.extra = STR("[\"exp\"]");
	return sealed(f, &p);
}
static struct request payload_not_json(struct fixture *f)
{
	return order_with(f, STR("identifiers=www.a.test"));
}
static struct request payload_with_duplicate_keys(struct fixture *f)
{
	return order_with(f, STR("{\"identifiers\":[],\"identifiers\":[]}"));
}
static struct request identifiers_empty(struct fixture *f)
{
	return order_with(f, STR("{\"identifiers\":[]}"));
}
static struct request identifiers_missing(struct fixture *f)
{
	return order_with(f, STR("{}"));
}
static struct request identifier_of_unknown_type(struct fixture *f)
{
	return order_with(f, STR("{\"identifiers\":[{\"type\":\"email\",\"value\":\"a@a.test\"}]}"));
}
static struct request name_with_a_space(struct fixture *f)
{
	return order_with(f, STR("{\"identifiers\":[{\"type\":\"dns\",\"value\":\"www a.test\"}]}"));
}
static struct request name_of_one_label(struct fixture *f)
{
	return order_with(f, STR("{\"identifiers\":[{\"type\":\"dns\",\"value\":\"localhost\"}]}"));
}
static struct request name_with_unicode(struct fixture *f)
{
	return order_with(f, STR("{\"identifiers\":[{\"type\":\"dns\",\"value\":\"b\xc3\xbc"
				 "cher.a.test\"}]}"));
}
static struct request name_not_allowed(struct fixture *f)
{
	return order_with(f, STR("{\"identifiers\":[{\"type\":\"dns\",\"value\":\"www.elsewhere.test\"}]}"));
}
static struct request contact_not_mail(struct fixture *f)
{
	struct parts p = good(f, f->alice.url, STR("{\"contact\":[\"tel:+15551234\"]}"));
	return sealed(f, &p);
}
static struct request contact_with_headers(struct fixture *f)
{
	struct parts p = good(f, f->alice.url, STR("{\"contact\":[\"mailto:a@a.test?subject=x\"]}"));
	return sealed(f, &p);
}
static struct request account_is_not_there(struct fixture *f)
{
	struct err err = { 0 };
	struct parts p = good(f, STR(WORLD_BASE "/new-account"), STR("{\"onlyReturnExisting\":true}"));
	AUTO(key_auto) struct key *k = NULL;
	MUST(key_generate(KEY_P256, 0, &k, &err));
	struct world_account stranger = { .key = k };
	p.who = &stranger;
	p.kid = STR_NONE;
	p.jwk = jwk_of(f, k);
	return sealed(f, &p);
}
static struct request jwk_with_private_part(struct fixture *f)
{
	struct parts p = good(f, STR(WORLD_BASE "/new-account"), STR("{}"));
	struct str jwk = jwk_of(f, f->alice.key);
	p.kid = STR_NONE;
	p.jwk = str_fmt(&f->w.mem, "{\"d\":\"AAAA\",%.*s", (int)jwk.n - 1, jwk.p + 1);
	return sealed(f, &p);
}
static struct request jwk_off_the_curve(struct fixture *f)
{
	struct parts p = good(f, STR(WORLD_BASE "/new-account"), STR("{}"));
	p.kid = STR_NONE;
	p.jwk = STR("{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\","
		    "\"y\":\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE\"}");
	return sealed(f, &p);
}
static struct request post_as_get_with_payload(struct fixture *f)
{
	struct parts p = good(f, f->order, STR("{}"));
	return sealed(f, &p);
}
static struct request order_of_another_account(struct fixture *f)
{
	struct parts p = good(f, f->bob_order, STR_NONE);
	return sealed(f, &p);
}
static struct request account_of_another_account(struct fixture *f)
{
	struct parts p = good(f, f->bob.url, STR_NONE);
	return sealed(f, &p);
}
static struct request order_that_is_not(struct fixture *f)
{
	struct parts p = good(f, STR(WORLD_BASE "/order/0190a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"), STR_NONE);
	return sealed(f, &p);
}
static struct request path_that_is_not(struct fixture *f)
{
	struct parts p = good(f, STR(WORLD_BASE "/revoke-everything"), STR_NONE);
	return sealed(f, &p);
}

static struct request finalize_with(struct fixture *f, struct str order, struct str csr_b64)
{
	struct parts p = good(f, str_fmt(&f->w.mem, "%.*s/finalize", STR_FMT(order)),
			      str_fmt(&f->w.mem, "{\"csr\":\"%.*s\"}", (int)csr_b64.n, csr_b64.p));
	return sealed(f, &p);
}

static struct str csr_of(struct fixture *f, const struct key *k, struct str name)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
	MUST(csr_make(f->w.crypto, k, &name, 1, &der, &err));
	return b64(f, buf_str(&der));
}

static struct request finalize_not_ready(struct fixture *f)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	MUST(key_generate(KEY_P256, 0, &k, &err));
	return finalize_with(f, f->order, csr_of(f, k, STR("www.a.test")));
}
static struct request finalize_other_names(struct fixture *f)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	MUST(key_generate(KEY_P256, 0, &k, &err));
	return finalize_with(f, f->ready_order, csr_of(f, k, STR("other.a.test")));
}
static struct request finalize_weak_key(struct fixture *f)
{
	/* A CSR for www.a.test under RSA-1024, made once with openssl req. */
	static const char der_b64url[] =
#include "weak_csr.inc"
		;
	return finalize_with(f, f->ready_order, str_z(der_b64url));
}
static struct request finalize_account_key(struct fixture *f)
{
	return finalize_with(f, f->ready_order, csr_of(f, f->alice.key, STR("www.a.test")));
}
static struct request finalize_garbage(struct fixture *f)
{
	return finalize_with(f, f->ready_order, STR("AAAA"));
}
static struct request finalize_bad_base64(struct fixture *f)
{
	return finalize_with(f, f->ready_order, STR("MIIB/+=="));
}
static struct request finalize_pem(struct fixture *f)
{
	return finalize_with(f, f->ready_order, STR("-----BEGIN CERTIFICATE REQUEST-----"));
}

static const struct row {
	const char *name;
	struct request (*make)(struct fixture *f);
	int status;
	const char *type, *words;
} rows[] = {
	{ "bad JSON", body_not_json, 400, "malformed", "" },
	{ "bad base64url", body_bad_base64url, 400, "malformed", "base64url" },
	{ "wrong media type", media_type_is_json, 415, "malformed", "application/jose+json" },
	{ "60 kB body", body_60_kB, 413, "malformed", "50000" },
	{ "unprotected header", body_with_unprotected_header, 400, "malformed", "header" },
	{ "no nonce", nonce_missing, 400, "badNonce", "no nonce" },
	{ "invented nonce", nonce_invented, 400, "badNonce", "not made by this server" },
	{ "reused nonce", nonce_used_twice, 400, "badNonce", "used before" },
	{ "url of another resource", url_of_another_resource, 403, "unauthorized", "this request went to" },
	{ "url of another host", url_with_other_host, 403, "unauthorized", "evil.test" },
	{ "alg none", alg_none, 400, "badSignatureAlgorithm", "none" },
	{ "HS256", alg_hs256, 400, "badSignatureAlgorithm", "HS256" },
	{ "alg of another key", alg_of_another_key, 400, "badSignatureAlgorithm", "RS256" },
	{ "bad signature", signature_of_another_key, 400, "malformed", "signature" },
	{ "short signature", signature_cut_short, 400, "malformed", "signature" },
	{ "jwk and kid both", jwk_and_kid, 400, "malformed", "kid" },
	{ "neither jwk nor kid", neither_jwk_nor_kid, 400, "malformed", "kid" },
	{ "jwk where kid belongs", jwk_where_kid_belongs, 400, "malformed", "kid" },
	{ "kid where jwk belongs", kid_where_jwk_belongs, 400, "malformed", "jwk" },
	{ "unknown kid", kid_unknown, 400, "accountDoesNotExist", "newAccount" },
	{ "kid of another host", kid_of_another_host, 400, "accountDoesNotExist", "evil.test" },
	{ "crit", crit_header, 400, "malformed", "crit" },
	{ "payload is no JSON", payload_not_json, 400, "malformed", "payload" },
	{ "duplicate keys", payload_with_duplicate_keys, 400, "malformed", "duplicate" },
	{ "empty identifiers", identifiers_empty, 400, "malformed", "at least one" },
	{ "no identifiers", identifiers_missing, 400, "malformed", "identifiers" },
	{ "unknown identifier type", identifier_of_unknown_type, 400, "unsupportedIdentifier", "email" },
	{ "name with a space", name_with_a_space, 400, "malformed", "www a.test" },
	{ "name of one label", name_of_one_label, 400, "rejectedIdentifier", "localhost" },
	{ "name in Unicode", name_with_unicode, 400, "malformed", "" },
	{ "name that the realm does not allow", name_not_allowed, 400, "rejectedIdentifier", "www.elsewhere.test" },
	{ "contact that is no mail address", contact_not_mail, 400, "unsupportedContact", "mailto" },
	{ "contact with header fields", contact_with_headers, 400, "invalidContact", "mail address" },
	{ "onlyReturnExisting of a stranger", account_is_not_there, 400, "accountDoesNotExist", "onlyReturnExisting" },
	{ "jwk with its private part", jwk_with_private_part, 400, "badPublicKey", "private" },
	{ "jwk off the curve", jwk_off_the_curve, 400, "badPublicKey", "curve" },
	{ "POST-as-GET with {}", post_as_get_with_payload, 400, "malformed", "POST-as-GET" },
	{ "another account's order", order_of_another_account, 404, "malformed", "no such order" },
	{ "another account's account", account_of_another_account, 403, "unauthorized", "not the one that signed" },
	{ "an order that is not", order_that_is_not, 404, "malformed", "no such order" },
	{ "a path that is not", path_that_is_not, 404, "malformed", "directory" },
	{ "order not ready", finalize_not_ready, 403, "orderNotReady", "pending" },
	{ "CSR of other names", finalize_other_names, 400, "badCSR", "other.a.test" },
	{ "CSR with a weak key", finalize_weak_key, 400, "badCSR", "1024" },
	{ "CSR with the account's key", finalize_account_key, 400, "badCSR", "account's key" },
	{ "CSR that is none", finalize_garbage, 400, "badCSR", "" },
	{ "CSR in base64 with padding", finalize_bad_base64, 400, "malformed", "csr" },
	{ "CSR in PEM", finalize_pem, 400, "badCSR", "PEM" },
};

/* The whole of what is said must be fit for a terminal and for a log. */
static void assert_printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		assert_true((s.p[i] >= 0x20 && s.p[i] < 0x7f) || s.p[i] == '\n');
}

static void assert_refused(struct fixture *f, const struct row *row)
{
	struct err err = { 0 };
	struct world_reply r;
	struct str type, detail;
	struct request rq = row->make(f);
	MUST(world_send(&f->w, HTTP_POST, rq.path, rq.type, rq.body, &r, &err));
	print_message("%-36s %d %.*s\n", row->name, r.status, STR_FMT(r.body));
	MUST(json_want_str(r.json, "type", 256, &type, &err));
	MUST(json_want_str(r.json, "detail", 4096, &detail, &err));
	assert_true(str_skip(&type, STR(PROBLEM_URN)));
	if (!str_eq(type, str_z(row->type)) || r.status != row->status ||
	    memmem(detail.p, detail.n, row->words, strlen(row->words)) == NULL)
		fail_msg("%s: got %d %.*s, wanted %d %s with \"%s\"", row->name, r.status, STR_FMT(type), row->status,
			 row->type, row->words);
	assert_printable(r.body);
	if (str_eq(type, STR("badSignatureAlgorithm"))) /* RFC 8555 6.2 */
		assert_int_equal(json_count(json_get(r.json, "algorithms")), SIG_ALG_COUNT);
	assert_true(world_header(&r, "Replay-Nonce").n > 0); /* RFC 8555 6.5: so that the client can go on */
	world_reply_done(&r);
}

static void assert_still_fine(struct fixture *f)
{
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_post(&f->w, &f->alice, f->order, STR_NONE, &r, &err));
	assert_int_equal(r.status, 200);
	world_reply_done(&r);
}

static void each_wrong_input_gets_its_own_refusal(void **state)
{
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_refused(f, &rows[i]);
		assert_still_fine(f);
	}
}

static void a_bad_signature_does_not_spend_the_nonce(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_reply r;
	struct parts p = good(f, f->order, STR_NONE);
	struct request fine = sealed(f, &p);
	p.who = &f->bob;
	struct request forged = sealed(f, &p);
	MUST(world_send(&f->w, HTTP_POST, forged.path, forged.type, forged.body, &r, &err));
	assert_int_equal(r.status, 400);
	world_reply_done(&r);
	MUST(world_send(&f->w, HTTP_POST, fine.path, fine.type, fine.body, &r, &err));
	assert_int_equal(r.status, 200);
	world_reply_done(&r);
}

static void nonces_outlive_their_use_but_not_a_restart(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_reply r;
	struct parts p = good(f, f->order, STR_NONE);
	struct request rq = sealed(f, &p);
	MUST(world_restart_api(&f->w, &err));
	MUST(world_send(&f->w, HTTP_POST, rq.path, rq.type, rq.body, &r, &err));
	assert_int_equal(r.status, 400);
	assert_non_null(memmem(r.body.p, r.body.n, "badNonce", 8));
	world_reply_done(&r);
	assert_still_fine(f);
}

static void methods_and_paths_that_are_not_served_are_named(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_send(&f->w, HTTP_GET, STR("/new-order"), STR_NONE, STR_NONE, &r, &err));
	assert_int_equal(r.status, 405);
	assert_true(str_eq(world_header(&r, "Allow"), STR("POST, OPTIONS")));
	world_reply_done(&r);
	MUST(world_send(&f->w, HTTP_GET, STR("/realm/nowhere/directory"), STR_NONE, STR_NONE, &r, &err));
	assert_int_equal(r.status, 404);
	world_reply_done(&r);
	MUST(world_send(&f->w, HTTP_GET, STR("/realm/default/directory"), STR_NONE, STR_NONE, &r, &err));
	assert_int_equal(r.status, 404);
	world_reply_done(&r);
}

static void new_nonce_is_200_to_head_and_204_to_get(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_reply r;
	MUST(world_send(&f->w, HTTP_HEAD, STR("/new-nonce"), STR_NONE, STR_NONE, &r, &err));
	assert_int_equal(r.status, 200);
	assert_true(str_eq(world_header(&r, "Cache-Control"), STR("no-store")));
	MUST(world_send(&f->w, HTTP_GET, STR("/new-nonce"), STR_NONE, STR_NONE, &r, &err));
	assert_int_equal(r.status, 204);
	assert_true(world_header(&r, "Replay-Nonce").n > 0);
}

static void what_http_refuses_is_a_problem_document_too(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	static const struct {
		int status;
		const char *type, *detail;
	} refused[] = {
		{ 400, "malformed", "a \"quoted\" word" },
		{ 408, "malformed", "the request head did not arrive in time" },
		{ 413, "malformed", "the body is over the limit" },
		{ 503, "serverInternal", "the server is busy" },
	};
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct http_reply re = { .headers = BUF_MAX(HTTP_REPLY_HEADERS_MAX), .body = BUF_MAX(4096) };
		AUTO(json_auto) struct json *top = NULL;
		struct str type, detail;
		acme_refuse(f->w.acme, refused[i].status, refused[i].detail, &re);
		MUST(json_read(buf_str(&re.body), 4096, &top, &err));
		MUST(json_want_str(top, "type", 256, &type, &err));
		MUST(json_want_str(top, "detail", 256, &detail, &err));
		assert_true(str_skip(&type, STR(PROBLEM_URN)) && str_eq(type, str_z(refused[i].type)));
		assert_true(str_eq(detail, str_z(refused[i].detail)));
		http_reply_done(&re);
	}
}

static void a_known_key_gets_its_account_whatever_else_it_says(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_reply r;
	struct world_account alice = { .key = f->alice.key };
	MUST(world_post(&f->w, &alice, STR(WORLD_BASE "/new-account"), STR("{\"contact\":[\"tel:+1555\"]}"), &r, &err));
	assert_int_equal(r.status, 200);
	assert_true(str_eq(world_header(&r, "Location"), f->alice.url));
	world_reply_done(&r);
}

/* Members of the protected header that nobody knows are ignored (RFC 7515 4), but there is a limit to what a sign job
 * carries: an order that cannot be signed ends and does not wait for ever (promise 3). */
static void a_finalize_that_fits_no_sign_job_ends_its_order(void **state)
{
	struct fixture *f = *state;
	struct err err = { 0 };
	struct world_reply r;
	struct str order, csr, status;
	AUTO(key_auto) struct key *k = NULL;
	MUST(key_generate(KEY_P256, 0, &k, &err));
	MUST(world_order_new(&f->w, &f->alice, STR("www.a.test"), &order, &err));
	MUST(world_csr(&f->w, k, STR("www.a.test"), &csr, &err));
	struct parts p = good(f, str_fmt(&f->w.mem, "%.*s/finalize", STR_FMT(order)), csr);
	char *junk = arena_alloc(&f->w.mem, 14000);
	memset(junk, 'a', 14000);
	struct str header = header_of(f, &p);
	p.protected_b64 =
		b64(f, str_fmt(&f->w.mem, "{\"x\":\"%.*s\",%.*s", 14000, junk, (int)header.n - 1, header.p + 1));
	struct request rq = sealed(f, &p);
	MUST(world_send(&f->w, HTTP_POST, rq.path, rq.type, rq.body, &r, &err));
	world_reply_done(&r);
	MUST(world_order_status(&f->w, &f->alice, order, &status, &err));
	assert_true(str_eq(status, STR("invalid")) || str_eq(status, STR("valid")));
}

static int open_world(void **state)
{
	struct fixture *f = fixture_new(sizeof *f, NULL, 2);
	struct err err = { 0 };
	world_site(&f->w, STR("www.a.test"))->thumbprint = str_z(f->alice.thumbprint.z);
	MUST(world_order_new(&f->w, &f->alice, STR("www.a.test"), &f->ready_order, &err));
	MUST(world_order_prove(&f->w, &f->alice, f->ready_order, &err));
	MUST(world_order_new(&f->w, &f->alice, STR("pending.a.test"), &f->order, &err));
	MUST(world_order_new(&f->w, &f->bob, STR("bob.a.test"), &f->bob_order, &err));
	*state = f;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_wrong_input_gets_its_own_refusal),
		cmocka_unit_test(a_bad_signature_does_not_spend_the_nonce),
		cmocka_unit_test(nonces_outlive_their_use_but_not_a_restart),
		cmocka_unit_test(methods_and_paths_that_are_not_served_are_named),
		cmocka_unit_test(new_nonce_is_200_to_head_and_204_to_get),
		cmocka_unit_test(what_http_refuses_is_a_problem_document_too),
		cmocka_unit_test(a_known_key_gets_its_account_whatever_else_it_says),
		cmocka_unit_test(a_finalize_that_fits_no_sign_job_ends_its_order),
	};
	return cmocka_run_group_tests(tests, open_world, fixture_free);
}

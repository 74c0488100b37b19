/* SPDX-License-Identifier: Apache-2.0
 *
 * stage.c: the CA behind the fuzz targets that go through acme_handle.
 */
#include "stage.h"

#include <unistd.h>

#define USES_MAX 20000
#define MEMORY_MAX ((size_t)64 << 20)
#define EAB_KID "fuzz"
#define EAB_SECRET "0123456789abcdef0123456789abcdef"

static const char realms[] = "realm:\n"
			     "  default:\n"
			     "    names: [a.test, \"*.a.test\"]\n"
			     "    addresses: [192.0.2.0/24, \"2001:db8::/32\"]\n"
			     "    challenges: [http-01, dns-01, tls-alpn-01]\n"
			     "    profiles: [default, short]\n"
			     "    eab: optional\n"
			     "    subdomain-auth: true\n"
			     "    terms-of-service: https://ca.test/terms\n"
			     "    accounts-per-hour: 0\n"
			     "    orders-per-hour: 0\n"
			     "profile:\n"
			     "  default:\n    lifetime: 90d\n"
			     "  short:\n    lifetime: 6d\n"
			     "zone:\n"
			     "  default:\n    perspectives: [local]\n    attempts: 1\n";

static struct stage *stage_static(void)
{
	static struct stage s; /* one a process: opening it takes a while */
	return &s;
}

static bool is_open(const struct stage *s)
{
	return s->w.acme != NULL;
}

/* --- opening and closing --- */

static void people_done(struct stage *s)
{
	struct key **keys[] = { &s->alice.key, &s->bob.key, &s->spare, &s->cert_key };
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		key_free(*keys[i]);
		*keys[i] = NULL;
	}
}

static void stage_close(void)
{
	struct stage *s = stage_static();
	if (!is_open(s))
		return;
	people_done(s);
	world_close(&s->w);
	*s = (struct stage){ .uses = 0 };
}

/* Complains with the reason: an operator's mistake in the text above would otherwise look like a finding. */
static void must(struct rc rc, const struct err *err)
{
	if (FAILED(rc))
		(void)fprintf(stderr, "stage: %s: %s (%s)\n", err_kind_name(rc.kind), err->detail, err->cause);
	CHECK(!FAILED(rc));
}

static void stage_open(struct stage *s)
{
	struct err err = { 0 };
	struct eab_row eab = { .kid = STR(EAB_KID), .realm = STR("default") };
	must(world_open(&s->w, realms, &err), &err);
	must(world_eab_add(&s->w, &eab, STR(EAB_SECRET), &err), &err);
	world_site(&s->w, STR("www.a.test"));
}

/* --- things --- */

static struct str ask(struct stage *s, const struct world_account *a, struct str url, const char *list, const char *key)
{
	struct err err = { 0 };
	struct world_reply r;
	struct str text = STR_NONE;
	must(world_post(&s->w, a, url, STR_NONE, &r, &err), &err);
	const struct json *v = list == NULL ? r.json : json_at(json_get(r.json, list), 0);
	if (!json_as_str(key == NULL ? v : json_get(v, key), &text))
		(void)fprintf(stderr, "stage: %.*s: %d %.*s\n", STR_FMT(url), r.status, STR_FMT(r.body));
	CHECK(r.status == 200 && text.n > 0);
	text = str_dup(&s->w.mem, text);
	world_reply_done(&r);
	return text;
}

/* The URL of an authorization's http-01 challenge: the one that the world's sites can answer. */
static struct str http01_of(struct stage *s, const struct world_account *a, struct str authz)
{
	struct err err = { 0 };
	struct world_reply r;
	struct str found = STR_NONE, type, url;
	must(world_post(&s->w, a, authz, STR_NONE, &r, &err), &err);
	const struct json *all = json_get(r.json, "challenges");
	for (size_t i = 0; i < json_count(all); i++)
		if (json_as_str(json_get(json_at(all, i), "type"), &type) && str_eq(type, STR("http-01")) &&
		    json_as_str(json_get(json_at(all, i), "url"), &url))
			found = str_dup(&s->w.mem, url);
	world_reply_done(&r);
	CHECK(found.n > 0);
	return found;
}

static void order_prove(struct stage *s, const struct world_account *a, struct str order)
{
	struct err err = { 0 };
	struct world_reply r;
	struct str challenge = http01_of(s, a, ask(s, a, order, "authorizations", NULL));
	must(world_post(&s->w, a, challenge, STR("{}"), &r, &err), &err);
	world_reply_done(&r);
	must(world_run(&s->w, &err), &err);
}

static struct str order_new(struct stage *s, const struct world_account *a, const char *name)
{
	struct err err = { 0 };
	struct str order;
	must(world_order_new(&s->w, a, str_z(name), &order, &err), &err);
	return order;
}

static void certificate_new(struct stage *s)
{
	struct err err = { 0 };
	struct world_reply r;
	struct cert *chain[8];
	size_t count = 0;
	struct str payload;
	world_site(&s->w, STR("www.a.test"))->thumbprint = str_dup(&s->w.mem, str_z(s->alice.thumbprint.z));
	s->orders[2] = order_new(s, &s->alice, "www.a.test");
	order_prove(s, &s->alice, s->orders[2]);
	must(key_generate(KEY_P256, 0, &s->cert_key, &err), &err);
	must(world_csr(&s->w, s->cert_key, STR("www.a.test"), &payload, &err), &err);
	must(world_post(&s->w, &s->alice, ask(s, &s->alice, s->orders[2], NULL, "finalize"), payload, &r, &err), &err);
	world_reply_done(&r);
	must(world_run(&s->w, &err), &err);
	s->certificate = ask(s, &s->alice, s->orders[2], NULL, "certificate");
	must(world_post(&s->w, &s->alice, s->certificate, STR_NONE, &r, &err), &err);
	must(cert_read_pem(r.body, chain, ARRAY_LEN(chain), &count, &err), &err);
	s->cert_der = str_dup(&s->w.mem, cert_get_der(chain[0]));
	while (count > 0)
		cert_free(chain[--count]);
}

/* RFC 9773 4.1: the base64url of the AKI, a dot, and that of the serial. */
static struct str ari_id(struct stage *s)
{
	struct err err = { 0 };
	AUTO(cert_auto) struct cert *c = NULL;
	AUTO(arena_done) struct arena mem = { 0 };
	struct str aki, hex, serial;
	must(cert_read_der(s->cert_der, &c, &err), &err);
	must(cert_get_aki(&mem, c, &aki, &err), &err);
	must(cert_get_serial_hex(&mem, c, &hex, &err), &err);
	must(hex_decode(&mem, hex, 64, &serial, &err), &err);
	struct str a = b64url_encode(&mem, aki), b = b64url_encode(&mem, serial);
	return str_fmt(&s->w.mem, "%.*s.%.*s", STR_FMT(a), STR_FMT(b));
}

static void people_new(struct stage *s)
{
	struct err err = { 0 };
	AUTO(key_auto) struct key *k = NULL;
	struct str payload;
	people_done(s);
	must(world_account_new(&s->w, &s->alice, &err), &err);
	must(world_account_new(&s->w, &s->bob, &err), &err);
	must(key_generate(KEY_P256, 0, &s->spare, &err), &err);
	certificate_new(s);
	s->chain_id = ari_id(s);
	s->orders[0] = order_new(s, &s->alice, "pending.a.test");
	s->orders[1] = order_new(s, &s->alice, "www.a.test"); /* its proof is there already */
	s->orders[3] = order_new(s, &s->bob, "bob.a.test");
	s->authz = ask(s, &s->alice, s->orders[0], "authorizations", NULL);
	s->challenge = http01_of(s, &s->alice, s->authz);
	s->bob_authz = ask(s, &s->bob, s->orders[3], "authorizations", NULL);
	s->bob_challenge = http01_of(s, &s->bob, s->bob_authz);
	must(key_generate(KEY_P256, 0, &k, &err), &err);
	must(world_csr(&s->w, k, STR("www.a.test"), &payload, &err), &err);
	CHECK(str_skip(&payload, STR("{\"csr\":\"")));
	s->csr = str_sub(payload, 0, str_find(payload, '"', 0));
	s->spoiled = false;
}

struct stage *stage_get(void)
{
	struct stage *s = stage_static();
	if (is_open(s) && (s->uses > USES_MAX || s->w.mem.total + s->w.bus_mem.total > MEMORY_MAX))
		stage_close();
	if (!is_open(s)) {
		static bool closes; /* registered after OpenSSL's own, so that it runs before that */
		if (access("/dev/shm", W_OK) == 0)
			(void)setenv("TMPDIR", "/dev/shm", 0); /* every request would wait for the disk otherwise */
		stage_open(s);
		CHECK(closes || atexit(stage_close) == 0);
		closes = true;
		s->spoiled = true;
	}
	if (s->spoiled)
		people_new(s);
	s->uses++;
	return s;
}

/* --- requests --- */

struct world_reply stage_post(struct stage *s, struct arena *mem, const struct key *key, struct str kid, struct str url,
			      struct str payload)
{
	AUTO(buf_done) struct buf body = BUF_MAX(1 << 20);
	struct err err = { 0 };
	struct world_reply r;
	must(world_send_on(&s->w, mem, HTTP_HEAD, STR("/new-nonce"), STR_NONE, STR_NONE, &r, &err), &err);
	struct str nonce = world_header(&r, "Replay-Nonce");
	must(jws_sign_acme(s->w.crypto, key, kid, nonce, url, payload, &body, &err), &err);
	must(world_send_on(&s->w, mem, HTTP_POST, world_path(url), STR("application/jose+json"), buf_str(&body), &r,
			   &err),
	     &err);
	return r;
}

static struct str jwk_text(struct arena *mem, const struct key *k)
{
	AUTO(buf_done) struct buf b = BUF_MAX(4096);
	CHECK(!FAILED(jwk_write(k, &b, NULL)));
	return str_dup(mem, buf_str(&b));
}

static struct str eab_text(const struct stage *s, struct arena *mem)
{
	AUTO(buf_done) struct buf b = BUF_MAX(8192);
	AUTO(secret_done) struct secret key = { 0 };
	CHECK(!FAILED(secret_set(&key, STR(EAB_SECRET), NULL)));
	CHECK(!FAILED(jws_sign_eab(s->w.crypto, DIGEST_SHA256, &key, STR(EAB_KID), STR(WORLD_BASE "/new-account"),
				   s->spare, &b, NULL)));
	return str_dup(mem, buf_str(&b));
}

/* A JWS by the new key, as a key change has it (RFC 8555 7.3.5). */
static struct str inner_text(const struct stage *s, struct arena *mem)
{
	AUTO(buf_done) struct buf b = BUF_MAX(16384);
	struct str old = jwk_text(mem, s->alice.key);
	struct str payload =
		str_fmt(mem, "{\"account\":\"%.*s\",\"oldKey\":%.*s}", STR_FMT(s->alice.url), STR_FMT(old));
	CHECK(!FAILED(jws_sign_acme(s->w.crypto, s->spare, STR_NONE, STR_NONE, STR(WORLD_BASE "/key-change"), payload,
				    &b, NULL)));
	return str_dup(mem, buf_str(&b));
}

static bool symbol(struct stage *s, struct arena *mem, char c, struct str *ret)
{
	switch (c) {
	case '$':
		*ret = STR("$");
		return true;
	case 'a': /* the account's URL */
		*ret = s->alice.url;
		return true;
	case 'b': /* another's */
		*ret = s->bob.url;
		return true;
	case 'c': /* the certificate */
		*ret = b64url_encode(mem, s->cert_der);
		return true;
	case 'e': /* an external account binding, for the spare key */
		*ret = eab_text(s, mem);
		return true;
	case 'i': /* the certificate's name in RFC 9773 */
		*ret = s->chain_id;
		return true;
	case 'j': /* the inner JWS of a key change */
		*ret = inner_text(s, mem);
		return true;
	case 'k': /* the account's key */
		*ret = jwk_text(mem, s->alice.key);
		return true;
	case 'n': /* the spare key */
		*ret = jwk_text(mem, s->spare);
		return true;
	case 's': /* a CSR */
		*ret = s->csr;
		return true;
	default:
		return false;
	}
}

struct str stage_expand(struct stage *s, struct arena *mem, struct str text)
{
	AUTO(buf_done) struct buf out = BUF_MAX(40000); /* a body has at most 50,000 bytes, in base64 */
	struct str what;
	for (size_t i = 0; i < text.n; i++) {
		bool known = text.p[i] == '$' && i + 1 < text.n && symbol(s, mem, text.p[i + 1], &what);
		if (FAILED(buf_add(&out, known ? what : str_sub(text, i, i + 1), NULL)))
			break;
		i += known;
	}
	return str_dup(mem, buf_str(&out));
}

void stage_settle(struct stage *s)
{
	struct err err = { 0 };
	must(world_run(&s->w, &err), &err);
}

/* --- what must hold --- */

static bool is_printable(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e)
			return false;
	return true;
}

static void check_headers(struct str headers)
{
	struct cur c = cur_of(headers);
	struct str line;
	while (!cur_end(&c)) {
		CHECK(!FAILED(cur_until(&c, '\n', &line, NULL)));
		CHECK(line.n > 1 && line.p[line.n - 1] == '\r');
		CHECK(is_printable(str_sub(line, 0, line.n - 1)) && str_find(line, ':', 0) < line.n);
	}
}

static void check_problem(const struct world_reply *r)
{
	struct str type, detail;
	CHECK(r->content_type != NULL && strcmp(r->content_type, "application/problem+json") == 0);
	CHECK(!FAILED(json_want_str(r->json, "type", 256, &type, NULL)));
	CHECK(!FAILED(json_want_str(r->json, "detail", 4096, &detail, NULL)));
	CHECK(str_skip(&type, STR(PROBLEM_URN)) && type.n > 0 && detail.n > 0);
	CHECK(is_printable(r->body));
}

void stage_check_reply(const struct world_reply *r, bool post)
{
	CHECK(r->status >= 200 && r->status < 500);
	check_headers(r->headers);
	CHECK(str_eq(world_header(r, "Access-Control-Allow-Origin"), STR("*")));
	CHECK(!post || world_header(r, "Replay-Nonce").n > 0);
	if (r->status >= 400)
		check_problem(r);
}

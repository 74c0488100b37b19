/* SPDX-License-Identifier: Apache-2.0
 *
 * route.c: the table of what is served, and the way from a request to its handler and back. The directory is written
 * from the same table, so it cannot advertise what does not work (promise 6). This is the one place where an error
 * becomes a problem document.
 */
#include "acme/app.h"

#include <assert.h>
#include <stdio.h>

static fallible get_new_nonce(struct call *c, struct err *err)
{
	(void)err;
	/* RFC 8555 7.2: 200 to HEAD, 204 to GET; both carry the nonce. */
	c->re->status = c->rq->method == HTTP_HEAD ? 200 : 204;
	return OK;
}

static const struct route table[] = {
	/* method, path, auth, payload, has_id, directory, handler, quick. HEAD is served wherever GET is, and OPTIONS
	 * wherever anything is. What may be read with GET may be read with POST-as-GET, too (RFC 8555 6.3). */
	{ HTTP_GET, "/directory", AUTH_NONE, PAYLOAD_NONE, false, NULL, get_directory, true },
	{ HTTP_POST, "/directory", AUTH_KID, PAYLOAD_EMPTY, false, NULL, get_directory },
	{ HTTP_GET, "/new-nonce", AUTH_NONE, PAYLOAD_NONE, false, "newNonce", get_new_nonce, true },
	{ HTTP_POST, "/new-nonce", AUTH_KID, PAYLOAD_EMPTY, false, NULL, get_new_nonce },
	{ HTTP_POST, "/new-account", AUTH_JWK, PAYLOAD_JSON, false, "newAccount", post_new_account, .begins = true },
	{ HTTP_POST, "/key-change", AUTH_KID, PAYLOAD_JSON, false, "keyChange", post_key_change },
	{ HTTP_POST, "/revoke-cert", AUTH_EITHER, PAYLOAD_JSON, false, "revokeCert", post_revoke_cert },
	{ HTTP_POST, "/new-order", AUTH_KID, PAYLOAD_JSON, false, "newOrder", post_new_order, .begins = true },
	{ HTTP_POST, "/new-authz", AUTH_KID, PAYLOAD_JSON, false, "newAuthz", post_new_authz, .begins = true },
	{ HTTP_POST, "/account/*", AUTH_KID, PAYLOAD_EITHER, true, NULL, post_account },
	{ HTTP_POST, "/account/*/orders", AUTH_KID, PAYLOAD_EMPTY, true, NULL, post_account_orders },
	{ HTTP_POST, "/order/*", AUTH_KID, PAYLOAD_EMPTY, true, NULL, post_order, .reads_account = true },
	{ HTTP_POST, "/order/*/finalize", AUTH_KID, PAYLOAD_JSON, true, NULL, post_finalize, .reads_account = true },
	{ HTTP_POST, "/authz/*", AUTH_KID, PAYLOAD_EITHER, true, NULL, post_authz, .reads_account = true },
	{ HTTP_POST, "/challenge/*", AUTH_KID, PAYLOAD_EITHER, true, NULL, post_challenge, .reads_account = true },
	{ HTTP_POST, "/certificate/*", AUTH_KID, PAYLOAD_EMPTY, true, NULL, post_certificate, .reads_account = true },
	{ HTTP_POST, "/certificate/*/alternate/*", AUTH_KID, PAYLOAD_EMPTY, true, NULL, post_certificate_alternate,
	  .reads_account = true },
	{ HTTP_GET, "/renewal-info/*", AUTH_NONE, PAYLOAD_NONE, false, "renewalInfo", get_renewal_info,
	  .begins = true },
	{ HTTP_GET, "/health", AUTH_NONE, PAYLOAD_NONE, false, NULL, get_health, true },
};

const struct route *routes(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(table);
	return table;
}

struct str route_directory_path(const struct route *r)
{
	struct str path = str_z(r->path);
	return str_sub(path, 0, path.n >= 2 && str_ends(path, STR("/*")) ? path.n - 2 : path.n);
}

/* "/a/b" -> "a", and "/b" is left. */
static struct str next_segment(struct str *path)
{
	size_t end = str_find(*path, '/', 1);
	struct str segment = str_sub(*path, 1, end);
	*path = str_sub(*path, end, path->n);
	return segment;
}

/* Matches one path against one pattern, byte by byte: nothing is decoded, no slash is one too many. */
static bool path_matches(const char *pattern, struct str path, struct str ret_rest[2])
{
	struct str pat = str_z(pattern);
	size_t stars = 0;
	while (pat.n > 0 && path.n > 0) {
		struct str want = next_segment(&pat), found = next_segment(&path);
		if (!str_eq(want, STR("*"))) {
			if (!str_eq(want, found))
				return false;
			continue;
		}
		assert(stars < 2);
		if (found.n == 0)
			return false;
		ret_rest[stars++] = found;
	}
	return pat.n == 0 && path.n == 0;
}

/* Splits a path into its realm's name and the path below the realm's prefix. */
static struct str realm_name(struct str *path)
{
	if (!str_skip(path, STR("/realm/")))
		return STR("default");
	size_t slash = str_find(*path, '/', 0);
	struct str name = str_sub(*path, 0, slash);
	*path = str_sub(*path, slash, path->n);
	return str_eq(name, STR("default")) ? STR_NONE : name; /* one URL for one thing */
}

static unsigned method_bit(enum http_method m)
{
	return 1u << (unsigned)m;
}

/* RFC 9110 9.3.2, 9.3.7: what a method of the table serves besides itself. */
static unsigned methods_served(enum http_method m)
{
	unsigned set = method_bit(m) | method_bit(HTTP_OPTIONS);
	return m == HTTP_GET ? set | method_bit(HTTP_HEAD) : set;
}

/* Which methods this path is served by; 0: it is not there. *ret is the row for the asked one, or NULL. */
static unsigned path_methods(struct call *c, struct str path, const struct route **ret)
{
	unsigned allowed = 0;
	*ret = NULL;
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		struct str rest[2] = { STR_NONE, STR_NONE };
		if (!path_matches(table[i].path, path, rest))
			continue;
		if (table[i].has_id && FAILED(id_read(rest[0], &c->path_id, NULL)))
			continue;
		unsigned served = methods_served(table[i].method);
		allowed |= served;
		if ((served & method_bit(c->rq->method)) == 0 || c->rq->method == HTTP_OPTIONS)
			continue;
		*ret = &table[i];
		c->rest = rest[0];
		c->rest2 = rest[1];
	}
	return allowed;
}

/* RFC 9110 10.2.1: "GET, HEAD, OPTIONS" */
static struct str allow_text(struct call *c, unsigned allowed)
{
	struct str text = STR("");
	for (unsigned m = 0; m < HTTP_METHOD_COUNT; m++)
		if ((allowed & 1u << m) != 0)
			text = str_fmt(c->mem, "%.*s%s%s", STR_FMT(text), text.n > 0 ? ", " : "",
				       http_method_name((enum http_method)m));
	return text;
}

/* OPTIONS as people ask it, and as a browser does before a script's POST (CORS preflight). */
static fallible answer_options(struct call *c, struct str allow, struct err *err)
{
	c->re->status = 204;
	TRY(http_reply_header(c->re, "Access-Control-Allow-Methods", allow, err));
	TRY(http_reply_header(c->re, "Access-Control-Allow-Headers", STR("content-type"), err));
	return http_reply_header(c->re, "Access-Control-Max-Age", STR("86400"), err);
}

/* Leaves c->route NULL when the reply is there already. */
static fallible route_find(struct call *c, struct err *err)
{
	struct str path = c->rq->path;
	c->realm = conf_realm(c->conf, realm_name(&path));
	unsigned allowed = c->realm == NULL ? 0 : path_methods(c, path, &c->route);
	if (allowed == 0)
		FAIL(err, ERR_NOT_FOUND, "there is no such resource; the directory lists what is served");
	if (c->route != NULL)
		return OK;
	struct str allow = allow_text(c, allowed);
	TRY(http_reply_header(c->re, "Allow", allow, err));
	if (c->rq->method == HTTP_OPTIONS)
		return answer_options(c, allow, err);
	FAIL(err, ERR_METHOD_NOT_ALLOWED, "method %.*s is not served here, only %.*s%s", STR_FMT(c->rq->method_text),
	     STR_FMT(allow), (allowed & method_bit(HTTP_GET)) == 0 ? " (POST-as-GET reads, RFC 8555 6.3)" : "");
}

static fallible add_nonce(struct call *c, struct err *err)
{
	char nonce[NONCE_TEXT_MAX];
	nonce_issue(c->a->nonces, nonce);
	return http_reply_header(c->re, "Replay-Nonce", str_z(nonce), err);
}

/* What every reply has, whoever makes it. */
static fallible add_fixed(struct http_reply *re, struct err *err)
{
	/* RFC 8555 7.2 asks for no-store on nonces; nothing else of ours may be cached either. */
	TRY(http_reply_header(re, "Cache-Control", STR("no-store"), err));
	TRY(http_reply_header(re, "X-Content-Type-Options", STR("nosniff"), err));
	/* RFC 8555 6.1: clients may live in browsers. Nothing here goes by cookie or address, so any page may ask. */
	TRY(http_reply_header(re, "Access-Control-Allow-Origin", STR("*"), err));
	return http_reply_header(re, "Access-Control-Expose-Headers", STR("Link, Replay-Nonce, Location, Retry-After"),
				 err);
}

/* Headers that every reply of the protocol has. */
static fallible add_common(struct call *c, struct err *err)
{
	bool is_nonce = c->route != NULL && c->route->handle == get_new_nonce;
	if (c->rq->method == HTTP_POST || is_nonce)
		TRY(add_nonce(c, err));
	TRY(add_fixed(c->re, err));
	if (c->realm == NULL || (c->route != NULL && c->route->handle == get_directory))
		return OK;
	struct str base = realm_base(c->conf, c->realm, c->mem);
	return reply_link(c, STR_CAT(c->mem, base, STR("/directory")), "index", err);
}

static void call_done(struct call *c)
{
	jws_done(&c->jws);
	json_free(c->payload);
	key_free(c->key);
	view_put(c->view);
}

static fallible call_run(struct call *c, struct err *err)
{
	TRY(route_find(c, err));
	if (c->route == NULL)
		return OK;
	if (c->route->auth != AUTH_NONE)
		TRY(gate_pass(c, err));
	struct rc rc = c->route->handle(c, err);
	assert(c->then == NULL || !FAILED(rc)); /* it goes on, and there is one reply only */
	TRY(rc);
	return OK;
}

static void log_refusal(const struct call *c, const struct err *e)
{
	enum log_level level = c->re->status >= 500 ? LOG_ERROR : LOG_INFO;
	char peer[ADDR_TEXT_MAX];
	addr_show(&c->rq->peer, peer);
	struct kv who = KV_ID("account", c->account.id);
	/* Nobody's account is not an account of zeros, and one that was only claimed is none at all. */
	if (id_is_zero(c->account.id) || e->kind == ERR_ACCOUNT_DOES_NOT_EXIST)
		who.kind = KV_END;
	LOG(c->a->d.log, level, "request refused", KV_STR("path", c->rq->path), KV_I64("status", c->re->status),
	    KV_Z("peer", peer), KV_STR("agent", c->rq->user_agent), KV_ERR(e), who);
}

static void call_refuse(struct call *c, const struct err *e)
{
	reply_problem(c, e);
	log_refusal(c, e);
}

/* A mistake of ours, which must not let anybody in. */
static fallible account_was_read(const struct call *c, struct err *err)
{
	if (c->jws.kid.p != NULL && !c->account_is_read)
		FAIL(err, ERR_INTERNAL, "the account was not looked at");
	return OK;
}

static void call_end(struct call *c, struct rc rc, struct err *e)
{
	if (FAILED(rc) || FAILED(account_was_read(c, e)))
		call_refuse(c, e);
	if (FAILED(add_common(c, e)))
		call_refuse(c, e);
	call_done(c);
}

void acme_handle(void *ctx, const struct http_request *rq, struct http_reply *re)
{
	struct acme *a = ctx;
	struct call *c = ARENA_NEW(rq->mem, struct call); /* it may outlive this function */
	c->a = a;
	c->view = view_get(a);
	c->conf = c->view->conf;
	c->rq = rq;
	c->mem = rq->mem;
	c->re = re;
	c->now_ms = clock_now_ms(a->d.clk);
	struct err e = { 0 };
	struct rc rc = call_run(c, &e);
	if (FAILED(rc) || c->then == NULL)
		call_end(c, rc, &e);
}

/* --- parked calls -------------------------------------------------------------------------------------------------*/

/* On whichever worker takes it up: nothing of this call was done meanwhile, and the store is read again. */
static void call_go_on(void *arg, bool called, struct http_reply *re)
{
	struct call *c = arg;
	struct err e = { 0 };
	waitroom_leave(c->a->room, &c->seat, called);
	c->re = re;
	c->now_ms = clock_now_ms(c->a->d.clk);
	call_end(c, c->then(c, called, &e), &e);
}

bool call_park(struct call *c, int64_t wait_ms, struct id id,
	       fallible (*then)(struct call *c, bool called, struct err *err), void *ctx)
{
	/* What was made of the payload has memory of its own, many times its bytes, that parked_max would not see. */
	json_free(c->payload);
	c->payload = NULL;
	if (!http_park(c->rq, wait_ms, call_go_on, c))
		return false;
	c->then = then;
	c->then_ctx = ctx;
	waitroom_enter(c->a->room, &c->seat, c->rq->parking, id);
	return true;
}

static bool is_quick(struct str path)
{
	(void)realm_name(&path);
	struct str rest[2];
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].method == HTTP_GET && !table[i].quick && path_matches(table[i].path, path, rest))
			return false;
	return true;
}

/* What needs neither lock nor wait is answered in the event loop (DEPENDENCIES 11). */
bool acme_quick(void *ctx, const struct http_request *rq, struct http_reply *re)
{
	if (rq->method == HTTP_POST || !is_quick(rq->path))
		return false;
	acme_handle(ctx, rq, re);
	return true;
}

/* By path alone: what comes is not looked at before there is a worker for it. */
bool acme_begins(void *ctx, const struct http_request *rq)
{
	(void)ctx;
	struct str path = rq->path, rest[2];
	(void)realm_name(&path);
	for (size_t i = 0; i < ARRAY_LEN(table); i++)
		if (table[i].begins && path_matches(table[i].path, path, rest))
			return true;
	return false;
}

/* Not problem_write: HTTP has statuses that no kind of ours has. */
static fallible refusal_write(int status, const char *detail, struct buf *ret, struct err *err)
{
	enum err_kind kind = status == 503 ? ERR_UNAVAILABLE : ERR_MALFORMED;
	TRY(buf_addf(ret, err, "{\"type\":\"" PROBLEM_URN "%s\",\"status\":%d,\"detail\":", problem_row(kind)->type,
		     status));
	struct jw w = jw_begin(ret, err);
	jw_str(&w, str_z(detail));
	TRY(jw_end(&w));
	return buf_add_char(ret, '}', err);
}

/* 3 to 10 seconds: those who were refused at once shall not come back at once. */
static fallible retry_later(const struct acme *a, struct http_reply *re, struct err *err)
{
	uint8_t r;
	char text[4];
	rng_fill(a->d.rng, &r, sizeof r);
	(void)snprintf(text, sizeof text, "%u", 3u + r % 8u);
	return http_reply_header(re, "Retry-After", str_z(text), err);
}

void acme_refuse(void *ctx, int status, const char *detail, struct http_reply *re)
{
	struct acme *a = ctx;
	re->status = status;
	re->content_type = "application/problem+json";
	buf_reset(&re->body);
	if (FAILED(add_fixed(re, NULL)) || (status == 503 && FAILED(retry_later(a, re, NULL))))
		re->close = true;
	if (FAILED(refusal_write(status, detail, &re->body, NULL)))
		buf_reset(&re->body);
	LOG(a->d.log, LOG_INFO, "http request refused", KV_I64("status", status), KV_Z("detail", detail));
}

/* A load balancer asks this, often: no secret, no cost, no wait. */
fallible get_health(struct call *c, struct err *err)
{
	if (store_is_lost(c->a->d.store))
		FAIL(err, ERR_UNAVAILABLE, "the disk that holds the database failed");
	c->re->status = 200;
	c->re->content_type = "application/json";
	return buf_add(&c->re->body, STR("{\"status\":\"ok\"}\n"), err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * route.c: the table of what is served, and the way from a request to its handler and back. The directory is written
 * from the same table, so it cannot advertise what does not work (promise 6). This is the one place where an error
 * becomes a problem document.
 */
#include "acme/app.h"

static fallible get_new_nonce(struct call *c, struct err *err)
{
	(void)err;
	/* RFC 8555 7.2: 200 to HEAD, 204 to GET; both carry the nonce. */
	c->re->status = c->rq->method == HTTP_HEAD ? 200 : 204;
	return OK;
}

static const struct route table[] = {
	/* method, path, auth, payload, has_id, directory, handler; HEAD is served wherever GET is */
	{ HTTP_GET, "/directory", AUTH_NONE, PAYLOAD_NONE, false, NULL, get_directory },
	{ HTTP_GET, "/new-nonce", AUTH_NONE, PAYLOAD_NONE, false, "newNonce", get_new_nonce },
	{ HTTP_POST, "/new-account", AUTH_JWK, PAYLOAD_JSON, false, "newAccount", post_new_account },
	{ HTTP_POST, "/new-order", AUTH_KID, PAYLOAD_JSON, false, "newOrder", post_new_order },
	{ HTTP_POST, "/account/*", AUTH_KID, PAYLOAD_EITHER, true, NULL, post_account },
	{ HTTP_POST, "/account/*/orders", AUTH_KID, PAYLOAD_EMPTY, true, NULL, post_account_orders },
	{ HTTP_POST, "/order/*", AUTH_KID, PAYLOAD_EMPTY, true, NULL, post_order },
	{ HTTP_POST, "/order/*/finalize", AUTH_KID, PAYLOAD_JSON, true, NULL, post_finalize },
	{ HTTP_POST, "/authz/*", AUTH_KID, PAYLOAD_EITHER, true, NULL, post_authz },
	{ HTTP_POST, "/challenge/*", AUTH_KID, PAYLOAD_EITHER, true, NULL, post_challenge },
	{ HTTP_POST, "/certificate/*", AUTH_KID, PAYLOAD_EMPTY, true, NULL, post_certificate },
	{ HTTP_GET, "/health", AUTH_NONE, PAYLOAD_NONE, false, NULL, get_health },
};

const struct route *routes(size_t *ret_count)
{
	*ret_count = ARRAY_LEN(table);
	return table;
}

/* Matches one path against one pattern; '*' is one whole, non-empty segment. */
static bool path_matches(const char *pattern, struct str path, struct str *ret_rest)
{
	struct str pat = str_z(pattern);
	size_t star = str_find(pat, '*', 0);
	if (star == pat.n)
		return str_eq(pat, path);
	struct str tail = str_sub(pat, star + 1, pat.n);
	if (!str_starts(path, str_sub(pat, 0, star)) || !str_ends(path, tail) || path.n <= star + tail.n)
		return false;
	struct str rest = str_sub(path, star, path.n - tail.n);
	if (str_find(rest, '/', 0) != rest.n)
		return false;
	*ret_rest = rest;
	return true;
}

/* The realm that the path belongs to, and the path below its prefix. */
static fallible realm_of(struct call *c, struct str *ret_path, struct err *err)
{
	struct str path = c->rq->path, name = STR("default");
	if (str_skip(&path, STR("/realm/"))) {
		size_t slash = str_find(path, '/', 0);
		name = str_sub(path, 0, slash);
		path = str_sub(path, slash, path.n);
		if (str_eq(name, STR("default"))) /* one URL for one thing */
			name = STR_NONE;
	}
	c->realm = conf_realm(c->conf, name);
	if (c->realm == NULL)
		FAIL(err, ERR_NOT_FOUND, "there is no such resource; the directory lists what is served");
	*ret_path = path;
	return OK;
}

static bool method_fits(enum http_method served, enum http_method asked)
{
	return asked == served || (asked == HTTP_HEAD && served == HTTP_GET);
}

static fallible route_find(struct call *c, struct err *err)
{
	struct str path, rest = STR_NONE;
	enum http_method allowed = HTTP_OTHER;
	TRY(realm_of(c, &path, err));
	for (size_t i = 0; i < ARRAY_LEN(table); i++) {
		if (!path_matches(table[i].path, path, &rest))
			continue;
		allowed = table[i].method;
		if (!method_fits(allowed, c->rq->method))
			continue;
		c->route = &table[i];
		c->rest = rest;
		if (!c->route->has_id || !FAILED(id_read(rest, &c->path_id, NULL)))
			return OK;
		FAIL(err, ERR_NOT_FOUND, "there is no such resource: \"%.*s\" is not an id of this server",
		     STR_FMT(rest));
	}
	if (allowed == HTTP_OTHER)
		FAIL(err, ERR_NOT_FOUND, "there is no such resource; the directory lists what is served");
	TRY(http_reply_header(c->re, "Allow", allowed == HTTP_GET ? STR("GET, HEAD") : STR("POST"), err));
	FAIL(err, ERR_METHOD_NOT_ALLOWED, "method %.*s is not served here; use %s%s", STR_FMT(c->rq->method_text),
	     http_method_name(allowed), allowed == HTTP_POST ? " (POST-as-GET reads, RFC 8555 6.3)" : "");
}

static fallible add_nonce(struct call *c, struct err *err)
{
	char nonce[NONCE_TEXT_MAX];
	TRY(nonce_issue(c->a->nonces, nonce, err));
	return http_reply_header(c->re, "Replay-Nonce", str_z(nonce), err);
}

/* Headers that every reply of the protocol has. */
static fallible add_common(struct call *c, struct err *err)
{
	bool is_nonce = c->route != NULL && c->route->handle == get_new_nonce;
	if (c->rq->method == HTTP_POST || is_nonce)
		TRY(add_nonce(c, err));
	/* RFC 8555 7.2 asks for no-store on nonces; nothing else of ours may be cached either. */
	TRY(http_reply_header(c->re, "Cache-Control", STR("no-store"), err));
	TRY(http_reply_header(c->re, "X-Content-Type-Options", STR("nosniff"), err));
	if (c->realm == NULL || (c->route != NULL && c->route->handle == get_directory))
		return OK;
	struct str base = realm_base(c->conf, c->realm, c->mem);
	return reply_link(c, str_fmt(c->mem, "%.*s/directory", STR_FMT(base)), "index", err);
}

static void call_done(struct call *c)
{
	jws_done(&c->jws);
	json_free(c->payload);
	key_free(c->key);
}

static fallible call_run(struct call *c, struct err *err)
{
	TRY(route_find(c, err));
	if (c->route->auth != AUTH_NONE)
		TRY(gate_pass(c, err));
	return c->route->handle(c, err);
}

static void log_refusal(const struct call *c, const struct err *e)
{
	enum log_level level = c->re->status >= 500 ? LOG_ERROR : LOG_INFO;
	char peer[ADDR_TEXT_MAX];
	addr_show(&c->rq->peer, peer);
	struct kv who = KV_ID("account", c->account.id);
	if (id_is_zero(c->account.id)) /* nobody's account is not an account of zeros */
		who.kind = KV_END;
	LOG(c->a->d.log, level, "request refused", KV_STR("path", c->rq->path), KV_I64("status", c->re->status),
	    KV_Z("peer", peer), KV_STR("agent", c->rq->user_agent), KV_ERR(e), who);
}

void acme_handle(void *ctx, const struct http_request *rq, struct http_reply *re)
{
	struct acme *a = ctx;
	AUTO(view_auto) struct view *view = view_get(a);
	struct call c = { .a = a,
			  .conf = view->conf,
			  .view = view,
			  .rq = rq,
			  .mem = rq->mem,
			  .re = re,
			  .now_ms = clock_now_ms(a->d.clk) };
	struct err e = { 0 };
	if (FAILED(call_run(&c, &e))) {
		reply_problem(&c, &e);
		log_refusal(&c, &e);
	}
	if (FAILED(add_common(&c, &e))) {
		reply_problem(&c, &e);
		log_refusal(&c, &e);
	}
	call_done(&c);
}

/* The two requests that need neither lock nor wait are answered in the event loop (DEPENDENCIES 11). */
bool acme_quick(void *ctx, const struct http_request *rq, struct http_reply *re)
{
	if (rq->method != HTTP_GET && rq->method != HTTP_HEAD)
		return false;
	acme_handle(ctx, rq, re);
	return true;
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

void acme_refuse(void *ctx, int status, const char *detail, struct http_reply *re)
{
	struct acme *a = ctx;
	re->status = status;
	re->content_type = "application/problem+json";
	buf_reset(&re->body);
	if (status == 503 && FAILED(http_reply_header(re, "Retry-After", STR("5"), NULL)))
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

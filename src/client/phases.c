/* SPDX-License-Identifier: Apache-2.0
 *
 * phases.c: what each phase asks and what its answer means (RFC 8555 7.1 to 7.5), as a table. Answers go up one after
 * the other, each challenge is told to the server as soon as its answer is up, and polling begins when all of them are.
 */
#include "client/engine.h"

#define URL_MAX 2048
#define POLL_MS 300 /* without a Retry-After; grows to POLL_MAX_MS */
#define POLL_MAX_MS 5000

static fallible url_want(struct client *cl, struct arena *mem, const struct json *o, const char *key, struct str *ret,
			 struct err *err)
{
	struct str text;
	struct url u;
	(void)cl;
	TRY(json_want_str(o, key, URL_MAX, &text, err));
	TRY(url_read(mem, text, URL_MAX, &u, err));
	if (!u.https)
		FAIL(err, ERR_MALFORMED, "the server's %s is not an https URL", key);
	*ret = str_dup(mem, text);
	return OK;
}

/* Another look at the same object after a while; gives up after CLIENT_POLLS_MAX. */
static fallible poll_again(struct client *cl, const struct client_reply *r, const char *what, struct err *err)
{
	uint64_t s = 0;
	if (++cl->polls > CLIENT_POLLS_MAX)
		FAIL(err, ERR_TIMEOUT, "%s did not end after %d looks", what, CLIENT_POLLS_MAX);
	int64_t ms = POLL_MS * (int64_t)cl->polls;
	if (ms > POLL_MAX_MS)
		ms = POLL_MAX_MS;
	if (r->retry_after.p != NULL && !FAILED(str_u64(r->retry_after, 3600, &s, NULL)) && s > 0)
		ms = (int64_t)s * 1000 > CLIENT_WAIT_MAX_MS ? CLIENT_WAIT_MAX_MS : (int64_t)s * 1000;
	cl->wait_ms = ms;
	return OK;
}

/* --- directory, account
 * ----------------------------------------------------------------------------------------------*/
static fallible directory_answer(struct client *cl, const struct client_reply *r, const struct json *body,
				 struct err *err)
{
	(void)r;
	TRY(url_want(cl, &cl->mem, body, "newNonce", &cl->new_nonce, err));
	TRY(url_want(cl, &cl->mem, body, "newAccount", &cl->new_account, err));
	TRY(url_want(cl, &cl->mem, body, "newOrder", &cl->new_order, err));
	cl->phase = cl->account_url.n == 0 ? PH_ACCOUNT : PH_ORDER;
	return OK;
}

static fallible account_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	*ret_url = cl->new_account;
	struct jw w = jw_begin(ret_payload, err);
	jw_object(&w);
	if (cl->terms_agreed)
		jw_kbool(&w, "termsOfServiceAgreed", true);
	if (cl->contact.n > 0) {
		jw_key(&w, "contact");
		jw_array(&w);
		jw_str(&w, cl->contact);
		jw_array_end(&w);
	}
	jw_object_end(&w);
	return jw_end(&w);
}

static fallible account_answer(struct client *cl, const struct client_reply *r, const struct json *body,
			       struct err *err)
{
	(void)body;
	if (r->location.n == 0 || r->location.n > URL_MAX)
		FAIL(err, ERR_MALFORMED, "the server's newAccount gave no Location");
	cl->account_url = str_dup(&cl->mem, r->location);
	cl->phase = PH_ORDER;
	return OK;
}

/* --- order
 * -----------------------------------------------------------------------------------------------------------*/
static fallible order_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	*ret_url = cl->new_order;
	struct jw w = jw_begin(ret_payload, err);
	jw_object(&w);
	jw_key(&w, "identifiers");
	jw_array(&w);
	for (size_t i = 0; i < cl->name_count; i++) {
		jw_object(&w);
		jw_kz(&w, "type", "dns");
		jw_kstr(&w, "value", cl->names[i]);
		jw_object_end(&w);
	}
	jw_array_end(&w);
	jw_object_end(&w);
	return jw_end(&w);
}

static fallible order_error(const struct json *body, struct err *err)
{
	enum err_kind kind = ERR_UNAUTHORIZED;
	struct str detail = STR("the order became invalid, and the server does not say why");
	const struct json *problem = json_get(body, "error");
	if (problem != NULL && FAILED(problem_read(problem, &kind, &detail, NULL)))
		kind = ERR_UNAUTHORIZED;
	FAIL(err, kind, "order: %.*s", STR_FMT(detail));
}

/* Where an order's status leads from here. */
static fallible order_status_take(struct client *cl, const struct client_reply *r, const struct json *body,
				  struct err *err)
{
	struct str status;
	TRY(json_want_str(body, "status", 32, &status, err));
	if (str_eq(status, STR("invalid")))
		return order_error(body, err);
	if (str_eq(status, STR("valid"))) {
		TRY(url_want(cl, &cl->order_mem, body, "certificate", &cl->certificate_url, err));
		cl->phase = PH_CERT;
		return OK;
	}
	if (str_eq(status, STR("ready")) && cl->phase != PH_POLL_CERT) {
		cl->phase = PH_FINALIZE;
		cl->polls = 0;
		return OK;
	}
	if (str_eq(status, STR("processing")) && cl->phase != PH_POLL_CERT) {
		cl->phase = PH_POLL_CERT;
		cl->polls = 0;
	}
	return poll_again(cl, r, "the order", err);
}

static fallible order_answer(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	const struct json *list;
	struct str status;
	if (r->location.n == 0 || r->location.n > URL_MAX)
		FAIL(err, ERR_MALFORMED, "the server's newOrder gave no Location");
	cl->order_url = str_dup(&cl->order_mem, r->location);
	TRY(url_want(cl, &cl->order_mem, body, "finalize", &cl->finalize_url, err));
	TRY(json_want_array(body, "authorizations", IDENTS_MAX, &list, err));
	TRY(json_want_str(body, "status", 32, &status, err));
	cl->authz_count = json_count(list);
	for (size_t i = 0; i < cl->authz_count; i++) {
		struct str url;
		if (!json_as_str(json_at(list, i), &url) || url.n == 0 || url.n > URL_MAX)
			FAIL(err, ERR_MALFORMED, "authorization %zu of the order is not a URL", i);
		cl->authzs[i].url = str_dup(&cl->order_mem, url);
	}
	cl->at = 0;
	cl->polls = 0;
	if (str_eq(status, STR("pending")) && cl->authz_count > 0) {
		cl->phase = PH_AUTHZ;
		return OK;
	}
	return order_status_take(cl, r, body, err);
}

/* --- authorizations
 * --------------------------------------------------------------------------------------------------*/
static fallible get_authz(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	(void)ret_payload;
	(void)err;
	*ret_url = cl->authzs[cl->at].url;
	return OK;
}

/* To the next authorization in this phase's sense, or on to `after` when there is none. */
static void next_authz(struct client *cl, enum phase same, enum phase after)
{
	cl->polls = 0;
	cl->phase = same;
	while (++cl->at < cl->authz_count)
		if (same != PH_POLL_AUTHZ || !cl->authzs[cl->at].done)
			return;
	cl->at = 0;
	cl->phase = after;
}

static void begin_polling(struct client *cl)
{
	cl->polls = 0;
	for (cl->at = 0; cl->at < cl->authz_count; cl->at++)
		if (!cl->authzs[cl->at].done)
			break;
	cl->phase = cl->at < cl->authz_count ? PH_POLL_AUTHZ : PH_POLL_ORDER;
}

static fallible challenge_find(struct client *cl, const struct json *body, const struct json **ret, struct err *err)
{
	const struct json *list;
	struct str type, want = str_z(challenge_type_name(cl->method));
	TRY(json_want_array(body, "challenges", 32, &list, err));
	for (size_t i = 0; i < json_count(list); i++) {
		*ret = json_at(list, i);
		if (!FAILED(json_want_str(*ret, "type", 64, &type, NULL)) && str_eq(type, want))
			return OK;
	}
	FAIL(err, ERR_UNAUTHORIZED, "the server offers no %.*s challenge for %.*s", STR_FMT(want),
	     STR_FMT(cl->authzs[cl->at].name));
}

static fallible authz_answer(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	struct client_authz *z = &cl->authzs[cl->at];
	const struct json *ident, *ch;
	struct str status, name, token;
	(void)r;
	TRY(json_want_str(body, "status", 32, &status, err));
	TRY(json_want_object(body, "identifier", &ident, err));
	TRY(json_want_str(ident, "value", NAME_MAX_LEN, &name, err));
	z->name = str_dup(&cl->order_mem, name);
	if (str_eq(status, STR("valid"))) {
		z->done = true;
		next_authz(cl, PH_AUTHZ, PH_COUNT);
		if (cl->phase == PH_COUNT)
			begin_polling(cl);
		return OK;
	}
	if (!str_eq(status, STR("pending")))
		FAIL(err, ERR_UNAUTHORIZED, "the authorization for %.*s is %.*s", STR_FMT(name), STR_FMT(status));
	TRY(challenge_find(cl, body, &ch, err));
	TRY(url_want(cl, &cl->order_mem, ch, "url", &z->challenge_url, err));
	TRY(json_want_str(ch, "token", 512, &token, err));
	for (size_t i = 0; i < token.n; i++) /* it becomes a file's name: base64url or nothing (THREATS A81) */
		if (!(token.p[i] == '-' || token.p[i] == '_' || (token.p[i] >= '0' && token.p[i] <= '9') ||
		      (token.p[i] >= 'A' && token.p[i] <= 'Z') || (token.p[i] >= 'a' && token.p[i] <= 'z')))
			FAIL(err, ERR_MALFORMED, "the server's token is not base64url");
	if (token.n < 22 || token.n > 128)
		FAIL(err, ERR_MALFORMED, "the server's token has %zu characters; 22 to 128 are believable", token.n);
	z->token = str_dup(&cl->order_mem, token);
	z->key_authorization = str_fmt(&cl->order_mem, "%.*s.%s", STR_FMT(token), cl->thumbprint.z);
	cl->phase = PH_PUBLISH;
	return OK;
}

static fallible challenge_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	*ret_url = cl->authzs[cl->at].challenge_url;
	return buf_add(ret_payload, STR("{}"), err);
}

static fallible challenge_answer(struct client *cl, const struct client_reply *r, const struct json *body,
				 struct err *err)
{
	(void)r;
	(void)body;
	(void)err;
	next_authz(cl, PH_AUTHZ, PH_COUNT);
	if (cl->phase == PH_COUNT)
		begin_polling(cl);
	return OK;
}

static fallible authz_error(const struct json *body, struct str name, struct err *err)
{
	const struct json *list = json_get(body, "challenges");
	enum err_kind kind = ERR_UNAUTHORIZED;
	struct str detail = STR("the server does not say why");
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *problem = json_get(json_at(list, i), "error");
		if (problem != NULL && !FAILED(problem_read(problem, &kind, &detail, NULL)))
			break;
	}
	FAIL(err, kind, "%.*s: %.*s", STR_FMT(name), STR_FMT(detail));
}

static fallible poll_authz_answer(struct client *cl, const struct client_reply *r, const struct json *body,
				  struct err *err)
{
	struct client_authz *z = &cl->authzs[cl->at];
	struct str status;
	TRY(json_want_str(body, "status", 32, &status, err));
	if (str_eq(status, STR("pending")) || str_eq(status, STR("processing")))
		return poll_again(cl, r, "an authorization", err);
	if (!str_eq(status, STR("valid")))
		return authz_error(body, z->name, err);
	z->done = true;
	next_authz(cl, PH_POLL_AUTHZ, PH_COUNT);
	if (cl->phase != PH_COUNT)
		return OK;
	for (cl->at = 0; cl->at < cl->authz_count; cl->at++)
		if (cl->authzs[cl->at].published)
			break;
	cl->phase = cl->at < cl->authz_count ? PH_WITHDRAW : PH_POLL_ORDER;
	return OK;
}

/* --- finalize, certificate
 * -------------------------------------------------------------------------------------------*/
static fallible get_order(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	(void)ret_payload;
	(void)err;
	*ret_url = cl->order_url;
	return OK;
}

static fallible finalize_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
	TRY(csr_make(cl->crypto, cl->certificate_key, cl->names, cl->name_count, &der, err));
	*ret_url = cl->finalize_url;
	TRY(buf_add(ret_payload, STR("{\"csr\":\""), err));
	TRY(b64url_add(ret_payload, buf_str(&der), err));
	return buf_add(ret_payload, STR("\"}"), err);
}

static fallible finalize_answer(struct client *cl, const struct client_reply *r, const struct json *body,
				struct err *err)
{
	cl->phase = PH_POLL_CERT;
	cl->polls = 0;
	return order_status_take(cl, r, body, err);
}

static fallible get_cert(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	(void)ret_payload;
	(void)err;
	*ret_url = cl->certificate_url;
	return OK;
}

static fallible cert_answer(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	(void)body;
	if (!str_starts(str_trim(r->body), STR("-----BEGIN CERTIFICATE-----")))
		FAIL(err, ERR_MALFORMED, "what the server sent as the certificate is not a PEM chain");
	buf_reset(&cl->chain);
	TRY(buf_add(&cl->chain, r->body, err));
	cl->phase = PH_DONE;
	return OK;
}

static const struct phase_row table[PH_COUNT] = {
	[PH_IDLE] = { "idle", NULL, NULL },
	[PH_DIRECTORY] = { "read the directory", NULL, directory_answer },
	[PH_ACCOUNT] = { "new account", account_ask, account_answer },
	[PH_ORDER] = { "new order", order_ask, order_answer },
	[PH_AUTHZ] = { "read authorization", get_authz, authz_answer },
	[PH_PUBLISH] = { "publish answer", NULL, NULL },
	[PH_CHALLENGE] = { "answer challenge", challenge_ask, challenge_answer },
	[PH_POLL_AUTHZ] = { "poll authorization", get_authz, poll_authz_answer },
	[PH_WITHDRAW] = { "withdraw answer", NULL, NULL },
	[PH_POLL_ORDER] = { "poll order", get_order, order_status_take },
	[PH_FINALIZE] = { "finalize", finalize_ask, finalize_answer },
	[PH_POLL_CERT] = { "poll order", get_order, order_status_take },
	[PH_CERT] = { "fetch certificate", get_cert, cert_answer },
	[PH_DONE] = { "done", NULL, NULL },
	[PH_FAILED] = { "failed", NULL, NULL },
};

const struct phase_row *phase_row(enum phase p)
{
	return &table[p];
}

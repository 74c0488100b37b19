/* SPDX-License-Identifier: Apache-2.0
 *
 * phases.c: what each phase asks and what its answer means (RFC 8555 7.1 to 7.5), as a table. Answers go up one after
 * the other, each challenge is told to the server as soon as its answer is up, and polling begins when all of them are.
 */
#include "client/engine.h"

#define POLL_MS 50 /* without a Retry-After; doubles up to POLL_MAX_MS */
#define POLL_MAX_MS 5000
#define QUICK_POLLS 50 /* with client_conf's poll_ms; then one each POLL_LATER_MS */
#define POLL_LATER_MS 1000
#define SUBPROBLEMS_TOLD 8

bool is_base64url(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
		      c == '_'))
			return false;
	}
	return s.n > 0;
}

/* RFC 8555 6.1: https everywhere. A request that we sign goes to no other kind of URL. */
static fallible url_take(struct arena *mem, struct str text, const char *what, struct str *ret, struct err *err)
{
	AUTO(arena_done) struct arena scratch = { 0 };
	struct url u;
	struct rc rc = url_read(&scratch, text, CLIENT_URL_MAX, &u, err);
	if (FAILED(rc)) {
		err_prefix(err, "the server's %s: ", what);
		return rc;
	}
	if (!u.https)
		FAIL(err, ERR_MALFORMED, "the server's %s is not an https URL", what);
	*ret = str_dup(mem, text);
	return OK;
}

static fallible url_want(struct arena *mem, const struct json *o, const char *key, struct str *ret, struct err *err)
{
	struct str text;
	TRY(json_want_str(o, key, CLIENT_URL_MAX, &text, err));
	return url_take(mem, text, key, ret, err);
}

static fallible location_want(struct arena *mem, const struct client_reply *r, struct str *ret, struct err *err)
{
	if (r->location.n == 0)
		FAIL(err, ERR_MALFORMED, "the server's reply has no Location");
	return url_take(mem, r->location, "Location", ret, err);
}

/* Another look at the same object after a while; gives up after CLIENT_POLLS_MAX. */
static fallible poll_again(struct client *cl, const struct client_reply *r, const char *what, struct err *err)
{
	if (++cl->polls > CLIENT_POLLS_MAX)
		FAIL(err, ERR_TIMEOUT, "%s did not come to an end in %d looks", what, CLIENT_POLLS_MAX);
	int64_t asked = retry_after_ms(r);
	int64_t ms = cl->polls > 8 ? POLL_MAX_MS : POLL_MS << (cl->polls - 1);
	if (ms > POLL_MAX_MS)
		ms = POLL_MAX_MS;
	if (asked > 0)
		ms = asked > CLIENT_WAIT_MAX_MS ? CLIENT_WAIT_MAX_MS : asked;
	if (cl->poll_ms > 0) /* what is not done soon is done later: no reason to give up sooner than others do */
		ms = cl->polls <= QUICK_POLLS ? cl->poll_ms : POLL_LATER_MS;
	cl->wait_ms = ms;
	return OK;
}

struct str problem_words(struct arena *mem, const struct json *problem, enum err_kind *ret_kind)
{
	struct str words = STR_NONE;
	if (problem == NULL || FAILED(problem_read(problem, ret_kind, &words, NULL)))
		return STR_NONE;
	const struct json *list = json_get(problem, "subproblems");
	for (size_t i = 0; i < json_count(list) && i < SUBPROBLEMS_TOLD; i++) {
		enum err_kind kind;
		struct str detail = STR_NONE, name = STR_NONE;
		if (FAILED(problem_read(json_at(list, i), &kind, &detail, NULL)))
			continue;
		(void)json_as_str(json_get(json_get(json_at(list, i), "identifier"), "value"), &name);
		words = str_fmt(mem, "%.*s; %.*s: %.*s", STR_FMT(words), STR_FMT(str_sub(name, 0, NAME_MAX_LEN)),
				STR_FMT(detail));
	}
	return words;
}

/* --- directory, account --- */
static fallible directory_answer(struct client *cl, const struct client_reply *r, const struct json *body,
				 struct err *err)
{
	struct str terms;
	(void)r;
	if (json_as_str(json_get(json_get(body, "meta"), "termsOfService"), &terms))
		cl->terms = str_dup(&cl->mem, str_sub(terms, 0, TERMS_SHOWN_MAX));
	TRY(url_want(&cl->mem, body, "newNonce", &cl->new_nonce, err));
	TRY(url_want(&cl->mem, body, "newAccount", &cl->new_account, err));
	TRY(url_want(&cl->mem, body, "newOrder", &cl->new_order, err));
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
	TRY(location_want(&cl->mem, r, &cl->account_url, err));
	cl->phase = PH_ORDER;
	return OK;
}

/* --- order --- */
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
	AUTO(arena_done) struct arena mem = { 0 };
	enum err_kind kind = ERR_UNAUTHORIZED;
	struct str words = problem_words(&mem, json_get(body, "error"), &kind);
	if (words.n == 0)
		words = STR("the order became invalid, and the server does not say why");
	FAIL(err, kind, "%.*s", STR_FMT(words));
}

static fallible order_ready(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	(void)body;
	if (cl->phase == PH_POLL_CERT)
		return poll_again(cl, r, "the order", err); /* it was finalized, and says so no more: a stale read */
	cl->looked = cl->phase == PH_POLL_ORDER;
	cl->phase = PH_FINALIZE;
	cl->polls = 0;
	return OK;
}

static fallible order_processing(struct client *cl, const struct client_reply *r, const struct json *body,
				 struct err *err)
{
	(void)body;
	if (cl->phase != PH_POLL_CERT)
		cl->polls = 0;
	cl->phase = PH_POLL_CERT;
	return poll_again(cl, r, "the order", err);
}

static fallible order_pending(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	(void)body;
	if (cl->phase != PH_POLL_CERT)
		cl->phase = PH_POLL_ORDER;
	return poll_again(cl, r, "the order", err);
}

static fallible order_valid(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	(void)r;
	TRY(url_want(&cl->order_mem, body, "certificate", &cl->certificate_url, err));
	cl->phase = PH_CERT;
	return OK;
}

static fallible order_invalid(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	(void)cl;
	(void)r;
	return order_error(body, err);
}

/* Where an order's status leads from here (RFC 8555 7.1.6). */
static fallible order_status_take(struct client *cl, const struct client_reply *r, const struct json *body,
				  struct err *err)
{
	static const struct {
		enum order_status status;
		fallible (*take)(struct client *cl, const struct client_reply *r, const struct json *body,
				 struct err *err);
	} rows[] = {
		{ ORDER_PENDING, order_pending },       { ORDER_READY, order_ready },
		{ ORDER_PROCESSING, order_processing }, { ORDER_VALID, order_valid },
		{ ORDER_INVALID, order_invalid },
	};
	static_assert(ARRAY_LEN(rows) == ORDER_STATUS_COUNT, "a row for every status");
	struct str status;
	TRY(json_want_str(body, "status", 32, &status, err));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		if (str_eq(status, str_z(order_status_name(rows[i].status))))
			return rows[i].take(cl, r, body, err);
	FAIL(err, ERR_MALFORMED, "the order's status is \"%.*s\", which no order has", STR_FMT(status));
}

static fallible order_authzs_take(struct client *cl, const struct json *body, struct err *err)
{
	const struct json *list;
	TRY(json_want_array(body, "authorizations", IDENTS_MAX, &list, err));
	for (size_t i = 0; i < json_count(list); i++) {
		struct str url;
		if (!json_as_str(json_at(list, i), &url))
			FAIL(err, ERR_MALFORMED, "authorization %zu of the order is not a URL", i);
		TRY(url_take(&cl->order_mem, url, "authorization", &cl->authzs[i].url, err));
	}
	cl->authz_count = json_count(list);
	return OK;
}

static fallible order_answer(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	struct str status;
	TRY(location_want(&cl->order_mem, r, &cl->order_url, err));
	TRY(url_want(&cl->order_mem, body, "finalize", &cl->finalize_url, err));
	TRY(json_want_str(body, "status", 32, &status, err));
	TRY(order_authzs_take(cl, body, err));
	cl->at = 0;
	cl->polls = 0;
	if (str_eq(status, STR("pending")) && cl->authz_count > 0) {
		cl->phase = PH_AUTHZ;
		return OK;
	}
	return order_status_take(cl, r, body, err);
}

/* --- authorizations --- */
static fallible get_authz(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	(void)ret_payload;
	(void)err;
	*ret_url = cl->authzs[cl->at].url;
	return OK;
}

/* To the first authorization from `at` on that is not valid yet, or on: what was published comes down, and the order is
 * finalized. */
static void poll_next(struct client *cl)
{
	cl->polls = 0;
	cl->phase = PH_POLL_AUTHZ;
	for (; cl->at < cl->authz_count; cl->at++)
		if (!cl->authzs[cl->at].done)
			return;
	cl->phase = PH_WITHDRAW;
	for (cl->at = 0; cl->at < cl->authz_count; cl->at++)
		if (cl->authzs[cl->at].published)
			return;
	cl->at = 0;
	cl->phase = PH_FINALIZE;
}

/* To the next authorization to read; when all were, to polling them. */
static void read_next(struct client *cl)
{
	cl->phase = PH_AUTHZ;
	if (++cl->at < cl->authz_count)
		return;
	cl->at = 0;
	poll_next(cl);
}

/* An authorization for a name that was not ordered is no business of ours (RFC 8555 7.1.4: without the "*."). */
static bool is_ordered(const struct client *cl, struct str name)
{
	for (size_t i = 0; i < cl->name_count; i++) {
		struct str ordered = cl->names[i];
		(void)str_skip(&ordered, STR("*."));
		if (str_eq_nocase(ordered, name))
			return true;
	}
	return false;
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

static fallible token_take(struct client *cl, struct client_authz *z, const struct json *challenge, struct err *err)
{
	struct str token;
	TRY(json_want_str(challenge, "token", 512, &token, err));
	if (!is_base64url(token)) /* it becomes a file's name: base64url or nothing (THREATS A81) */
		FAIL(err, ERR_MALFORMED, "the server's token is not base64url");
	if (token.n < 22 || token.n > 128) /* RFC 8555 8.3: at least 128 bits */
		FAIL(err, ERR_MALFORMED, "the server's token has %zu characters; 22 to 128 are believable", token.n);
	z->token = str_dup(&cl->order_mem, token);
	z->key_authorization = str_fmt(&cl->order_mem, "%.*s.%s", STR_FMT(token), cl->thumbprint.z);
	return OK;
}

static fallible authz_answer(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	struct client_authz *z = &cl->authzs[cl->at];
	const struct json *ident, *ch;
	struct str status, name;
	(void)r;
	TRY(json_want_str(body, "status", 32, &status, err));
	TRY(json_want_object(body, "identifier", &ident, err));
	TRY(json_want_str(ident, "value", NAME_MAX_LEN, &name, err));
	if (!is_ordered(cl, name))
		FAIL(err, ERR_MALFORMED, "the server wants an authorization for %.*s, which was not ordered",
		     STR_FMT(name));
	z->name = str_dup(&cl->order_mem, name);
	if (str_eq(status, STR("valid"))) {
		z->done = true;
		read_next(cl);
		return OK;
	}
	if (!str_eq(status, STR("pending")))
		FAIL(err, ERR_UNAUTHORIZED, "the authorization for %.*s is %.*s", STR_FMT(name), STR_FMT(status));
	TRY(challenge_find(cl, body, &ch, err));
	TRY(url_want(&cl->order_mem, ch, "url", &z->challenge_url, err));
	TRY(token_take(cl, z, ch, err));
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
	read_next(cl);
	return OK;
}

static fallible authz_error(const struct json *body, struct str name, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const struct json *list = json_get(body, "challenges");
	enum err_kind kind = ERR_UNAUTHORIZED;
	struct str words = STR_NONE;
	for (size_t i = 0; i < json_count(list) && words.n == 0; i++)
		words = problem_words(&mem, json_get(json_at(list, i), "error"), &kind);
	if (words.n == 0)
		words = STR("the authorization ended, and the server does not say why");
	FAIL(err, kind, "%.*s: %.*s", STR_FMT(name), STR_FMT(words));
}

static fallible poll_authz_answer(struct client *cl, const struct client_reply *r, const struct json *body,
				  struct err *err)
{
	struct client_authz *z = &cl->authzs[cl->at];
	struct str status;
	TRY(json_want_str(body, "status", 32, &status, err));
	if (str_eq(status, STR("pending")) || str_eq(status, STR("processing")))
		return poll_again(cl, r, "the authorization", err);
	if (!str_eq(status, STR("valid")))
		return authz_error(body, z->name, err);
	z->done = true;
	poll_next(cl);
	return OK;
}

/* --- finalize, certificate --- */
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
	if (cl->csr_b64.n == 0) {
		TRY(csr_make(cl->crypto, cl->certificate_key, cl->names, cl->name_count, &der, err));
		cl->csr_b64 = b64url_encode(&cl->order_mem, buf_str(&der));
	}
	*ret_url = cl->finalize_url;
	struct jw w = jw_begin(ret_payload, err);
	jw_object(&w);
	jw_kstr(&w, "csr", cl->csr_b64);
	jw_object_end(&w);
	return jw_end(&w);
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

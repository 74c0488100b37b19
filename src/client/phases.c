/* SPDX-License-Identifier: Apache-2.0
 *
 * phases.c: what each phase asks and what its answer means (RFC 8555 7.1 to 7.6), as a table. All authorizations are read and
 * their answers go up one after the other; then, when the DNS has had its time, the server is told of each of them; then
 * they are polled.
 */
#include "client/engine.h"

#define POLL_MS 50 /* without a Retry-After; doubles up to POLL_MAX_MS */
#define POLL_MAX_MS 5000
#define QUICK_POLLS 50 /* with client_conf's poll_ms; then one each POLL_LATER_MS */
#define POLL_LATER_MS 1000
#define SUBPROBLEMS_TOLD 8
#define PROFILES_MAX 64
#define RECORD_TEXT_MAX 255 /* of each part of dns-persist-01's record that the server gives */
#define EAB_MAX 8192
#define KEY_CHANGE_MAX 16384

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

/* --- directory --- */
struct name_list {
	struct arena *mem;
	struct str *names;
	size_t count, max;
};

static fallible name_take(void *ctx, struct str key, const struct json *v, struct err *err)
{
	struct name_list *l = ctx;
	(void)v;
	(void)err;
	if (l->count < l->max)
		l->names[l->count++] = str_dup(l->mem, str_sub(key, 0, PROFILE_NAME_MAX));
	return OK;
}

static fallible profiles_take(struct client *cl, const struct json *meta, struct err *err)
{
	const struct json *profiles = json_get(meta, "profiles");
	if (json_type(profiles) != JSON_OBJECT)
		return OK;
	struct name_list l = { .mem = &cl->mem, .max = json_count(profiles) };
	if (l.max > PROFILES_MAX)
		l.max = PROFILES_MAX;
	l.names = ARENA_ARRAY(&cl->mem, struct str, l.max + 1);
	TRY(json_each(profiles, name_take, &l, err));
	cl->directory.profiles = l.names;
	cl->directory.profile_count = l.count;
	return OK;
}

/* What will stand in a record, or on a terminal, as it is: printable, and nothing that would end a value there. */
static bool is_record_text(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || s.p[i] == ';' || s.p[i] == '"' || s.p[i] == '\\')
			return false;
	return s.n > 0 && s.n <= RECORD_TEXT_MAX;
}

/* dns-persist-01: the first name is as good as the others. */
static void persist_take(struct client *cl, const struct json *meta)
{
	struct str issuer, prefix;
	if (!json_as_str(json_at(json_get(meta, "issuerDomainNames"), 0), &issuer) ||
	    !json_as_str(json_get(meta, "accountHashPrefix"), &prefix) || !is_record_text(issuer) ||
	    !is_record_text(prefix))
		return;
	cl->directory.persist_issuer = str_dup(&cl->mem, issuer);
	cl->directory.persist_prefix = str_dup(&cl->mem, prefix);
}

static fallible url_may(struct arena *mem, const struct json *o, const char *key, struct str *ret, struct err *err)
{
	return json_get(o, key) == NULL ? OK : url_want(mem, o, key, ret, err);
}

static fallible directory_answer(struct client *cl, const struct client_reply *r, const struct json *body,
				 struct err *err)
{
	struct client_directory *d = &cl->directory;
	const struct json *meta = json_get(body, "meta");
	struct str terms;
	(void)r;
	if (json_as_str(json_get(meta, "termsOfService"), &terms))
		d->terms = str_dup(&cl->mem, str_sub(terms, 0, TERMS_SHOWN_MAX));
	TRY(url_want(&cl->mem, body, "newNonce", &d->new_nonce, err));
	TRY(url_want(&cl->mem, body, "newAccount", &d->new_account, err));
	TRY(url_may(&cl->mem, body, "revokeCert", &d->revoke_cert, err));
	TRY(url_may(&cl->mem, body, "keyChange", &d->key_change, err));
	TRY(profiles_take(cl, meta, err));
	persist_take(cl, meta);
	TRY(url_want(&cl->mem, body, "newOrder", &d->new_order, err)); /* last: it says that the directory is there */
	bool by_key = cl->goal == GOAL_REVOKE && cl->certificate_key != NULL;
	cl->phase = cl->account_url.n == 0 && !by_key ? PH_ACCOUNT : phase_of_goal(cl->goal);
	return OK;
}

/* --- account --- */
enum phase phase_of_goal(enum goal g)
{
	static const enum phase phases[] = {
		[GOAL_ORDER] = PH_ORDER,   [GOAL_REGISTER] = PH_DONE,         [GOAL_FIND] = PH_DONE,
		[GOAL_REVOKE] = PH_REVOKE, [GOAL_KEY_CHANGE] = PH_KEY_CHANGE, [GOAL_DEACTIVATE] = PH_DEACTIVATE,
	};
	return phases[g];
}

static fallible eab_put(const struct client *cl, struct jw *w, struct err *err)
{
	AUTO(buf_done) struct buf eab = BUF_MAX(EAB_MAX);
	if (cl->eab_kid.n == 0)
		return OK;
	TRY(jws_sign_eab(cl->crypto, DIGEST_SHA256, cl->eab_key, cl->eab_kid, cl->directory.new_account,
			 cl->account_key, &eab, err));
	jw_key(w, "externalAccountBinding");
	jw_raw(w, buf_str(&eab));
	return OK;
}

/* An account is made only for those who want something new of the server. */
static fallible account_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	*ret_url = cl->directory.new_account;
	struct jw w = jw_begin(ret_payload, err);
	jw_object(&w);
	if (cl->goal != GOAL_ORDER && cl->goal != GOAL_REGISTER) {
		jw_kbool(&w, "onlyReturnExisting", true);
		jw_object_end(&w);
		return jw_end(&w);
	}
	if (cl->terms_agreed)
		jw_kbool(&w, "termsOfServiceAgreed", true);
	if (cl->contact.n > 0) {
		jw_key(&w, "contact");
		jw_array(&w);
		jw_str(&w, cl->contact);
		jw_array_end(&w);
	}
	TRY(eab_put(cl, &w, err));
	jw_object_end(&w);
	return jw_end(&w);
}

static fallible account_answer(struct client *cl, const struct client_reply *r, const struct json *body,
			       struct err *err)
{
	(void)body;
	TRY(location_want(&cl->mem, r, &cl->account_url, err));
	cl->phase = phase_of_goal(cl->goal);
	return OK;
}

static fallible agree_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	(void)err;
	*ret_url = cl->account_url;
	return buf_add(ret_payload, STR("{\"termsOfServiceAgreed\":true}"), err);
}

static fallible agree_answer(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	(void)r;
	(void)body;
	(void)err;
	cl->phase = PH_ORDER;
	return OK;
}

static fallible deactivate_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	*ret_url = cl->account_url;
	return buf_add(ret_payload, STR("{\"status\":\"deactivated\"}"), err);
}

static fallible deactivate_answer(struct client *cl, const struct client_reply *r, const struct json *body,
				  struct err *err)
{
	struct str status;
	(void)r;
	TRY(json_want_str(body, "status", 32, &status, err));
	if (!str_eq(status, STR("deactivated")))
		FAIL(err, ERR_MALFORMED, "the account's status is \"%.*s\" afterwards; wanted deactivated",
		     STR_FMT(status));
	cl->account_url = STR_NONE;
	cl->phase = PH_DONE;
	return OK;
}

static fallible resource_want(struct str url, const char *key, struct str *ret, struct err *err)
{
	if (url.n == 0)
		FAIL(err, ERR_MALFORMED, "the server's directory has no %s", key);
	*ret = url;
	return OK;
}

/* RFC 8555 7.3.5: the inner JWS is by the new key, has the outer one's url and no nonce. */
static fallible key_change_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	AUTO(buf_done) struct buf jwk = BUF_MAX(KEY_CHANGE_MAX), inner = BUF_MAX(KEY_CHANGE_MAX);
	TRY(resource_want(cl->directory.key_change, "keyChange", ret_url, err));
	TRY(jwk_write(cl->account_key, &jwk, err));
	struct jw w = jw_begin(&inner, err);
	jw_object(&w);
	jw_kstr(&w, "account", cl->account_url);
	jw_key(&w, "oldKey");
	jw_raw(&w, buf_str(&jwk));
	jw_object_end(&w);
	TRY(jw_end(&w));
	return jws_sign_acme(cl->crypto, cl->new_key, STR_NONE, STR_NONE, *ret_url, buf_str(&inner), ret_payload, err);
}

static fallible key_change_answer(struct client *cl, const struct client_reply *r, const struct json *body,
				  struct err *err)
{
	(void)r;
	(void)body;
	TRY(jwk_thumbprint(cl->crypto, cl->new_key, &cl->thumbprint, err));
	cl->account_key = cl->new_key;
	cl->phase = PH_DONE;
	return OK;
}

static fallible revoke_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	TRY(resource_want(cl->directory.revoke_cert, "revokeCert", ret_url, err));
	struct jw w = jw_begin(ret_payload, err);
	jw_object(&w);
	jw_kstr(&w, "certificate", cl->revoke_b64);
	jw_ki64(&w, "reason", cl->revoke_reason);
	jw_object_end(&w);
	return jw_end(&w);
}

static fallible revoke_answer(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	(void)r;
	(void)body;
	(void)err;
	cl->phase = PH_DONE;
	return OK;
}

/* --- order --- */
/* draft-aaron-acme-profiles 4: a profile that the directory does not list is not asked for. */
static fallible profile_check(const struct client *cl, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str all = STR_NONE;
	for (size_t i = 0; i < cl->directory.profile_count; i++) {
		struct str known = cl->directory.profiles[i];
		if (str_eq(known, cl->profile))
			return OK;
		all = str_fmt(&mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(known));
	}
	if (all.n == 0)
		FAIL(err, ERR_INVALID_PROFILE, "the server's directory lists no profiles; wanted %.*s",
		     STR_FMT(cl->profile));
	FAIL(err, ERR_INVALID_PROFILE, "the server has no profile %.*s; its profiles are %.*s", STR_FMT(cl->profile),
	     STR_FMT(all));
}

static fallible order_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	*ret_url = cl->directory.new_order;
	if (cl->profile.n > 0)
		TRY(profile_check(cl, err));
	struct jw w = jw_begin(ret_payload, err);
	jw_object(&w);
	jw_key(&w, "identifiers");
	jw_array(&w);
	for (size_t i = 0; i < cl->ident_count; i++) {
		jw_object(&w);
		jw_kz(&w, "type", ident_type_name(cl->idents[i].type));
		jw_kstr(&w, "value", cl->idents[i].value);
		jw_object_end(&w);
	}
	jw_array_end(&w);
	if (cl->profile.n > 0)
		jw_kstr(&w, "profile", cl->profile);
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

static void tell_next(struct client *cl)
{
	cl->phase = PH_CHALLENGE;
	for (; cl->at < cl->authz_count; cl->at++)
		if (!cl->authzs[cl->at].done && !cl->authzs[cl->at].told)
			return;
	cl->at = 0;
	poll_next(cl);
}

void challenges_begin(struct client *cl)
{
	cl->at = 0;
	tell_next(cl);
}

static bool must_settle(const struct client *cl)
{
	for (size_t i = 0; i < cl->authz_count; i++)
		if (cl->authzs[i].published && challenge_is_dns(cl->authzs[i].answer.method))
			return cl->settle_ms > 0;
	return false;
}

void authz_next(struct client *cl)
{
	cl->phase = PH_AUTHZ;
	if (++cl->at < cl->authz_count)
		return;
	if (must_settle(cl))
		cl->phase = PH_SETTLE;
	else
		challenges_begin(cl);
}

/* RFC 8555 7.1.4: an authorization has the name without the "*.", and says so. */
static bool is_same(const struct ident *ordered, enum ident_type type, struct str value, bool wildcard)
{
	struct str base = ordered->value;
	struct addr a, b;
	if (ordered->type != type || str_skip(&base, STR("*.")) != wildcard)
		return false;
	if (type == IDENT_DNS)
		return str_eq_nocase(base, value);
	return !FAILED(addr_read(base, &a, NULL)) && !FAILED(addr_read(value, &b, NULL)) && addr_eq(&a, &b);
}

/* An authorization for a name that was not ordered is no business of ours. */
static fallible ident_take(const struct client *cl, const struct json *body, struct client_authz *z, struct err *err)
{
	const struct json *o;
	struct str type_name = STR("dns"), value;
	enum ident_type type = IDENT_TYPE_COUNT;
	bool wildcard = false;
	TRY(json_want_object(body, "identifier", &o, err));
	TRY(json_may_str(o, "type", 32, &type_name, err));
	TRY(json_want_str(o, "value", NAME_MAX_LEN, &value, err));
	TRY(json_may_bool(body, "wildcard", &wildcard, err));
	bool known = !FAILED(ident_type_read(type_name, &type, NULL));
	for (size_t i = 0; known && i < cl->ident_count; i++) {
		if (!is_same(&cl->idents[i], type, value, wildcard))
			continue;
		z->ordered = cl->idents[i];
		return OK;
	}
	FAIL(err, ERR_MALFORMED, "the server wants an authorization for %s%.*s, which was not ordered",
	     wildcard ? "*." : "", STR_FMT(value));
}

static const struct json *challenge_of_type(const struct json *list, enum challenge_type type)
{
	struct str found;
	for (size_t i = 0; i < json_count(list); i++)
		if (!FAILED(json_want_str(json_at(list, i), "type", 64, &found, NULL)) &&
		    str_eq(found, str_z(challenge_type_name(type))))
			return json_at(list, i);
	return NULL;
}

static fallible no_challenge(const struct client *cl, const struct json *list, struct str name, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str wanted = STR_NONE, offered = STR_NONE;
	for (size_t i = 0; i < cl->method_count; i++)
		wanted = str_fmt(&mem, "%.*s%s%s", STR_FMT(wanted), i == 0 ? "" : " or ",
				 challenge_type_name(cl->methods[i]));
	for (unsigned t = 0; t < CHALLENGE_TYPE_COUNT; t++)
		if (challenge_of_type(list, (enum challenge_type)t) != NULL)
			offered = str_fmt(&mem, "%.*s%s%s", STR_FMT(offered), offered.n == 0 ? "" : ", ",
					  challenge_type_name((enum challenge_type)t));
	if (offered.n == 0)
		offered = STR("nothing that we know");
	FAIL(err, ERR_UNAUTHORIZED, "the server offers no %.*s challenge for %.*s, but %.*s", STR_FMT(wanted),
	     STR_FMT(name), STR_FMT(offered));
}

static fallible challenge_find(const struct client *cl, const struct json *body, const struct ident *ordered,
			       enum challenge_type *ret_method, const struct json **ret, struct err *err)
{
	const struct json *list;
	TRY(json_want_array(body, "challenges", 32, &list, err));
	for (size_t i = 0; i < cl->method_count; i++) {
		if (!client_method_serves(cl->methods[i], ordered))
			continue;
		*ret_method = cl->methods[i];
		*ret = challenge_of_type(list, cl->methods[i]);
		if (*ret != NULL)
			return OK;
	}
	return no_challenge(cl, list, ordered->value, err);
}

static fallible challenge_take(struct client *cl, struct client_authz *z, const struct json *body, struct err *err)
{
	const struct json *ch = NULL;
	enum challenge_type method = CHALLENGE_TYPE_COUNT;
	struct str token = STR_NONE;
	TRY(challenge_find(cl, body, &z->ordered, &method, &ch, err));
	TRY(url_want(&cl->order_mem, ch, "url", &z->challenge_url, err));
	if (method != CHALLENGE_DNSPERSIST01) /* the one without a token: what it wants to see is there already */
		TRY(json_want_str(ch, "token", 512, &token, err));
	struct ident base = z->ordered;
	(void)str_skip(&base.value, STR("*."));
	TRY(answer_make(cl, &cl->order_mem, method, &base, token, &z->answer, err));
	if (method == CHALLENGE_DNSPERSIST01)
		authz_next(cl);
	else
		cl->phase = PH_PUBLISH;
	return OK;
}

static fallible authz_answer(struct client *cl, const struct client_reply *r, const struct json *body, struct err *err)
{
	struct client_authz *z = &cl->authzs[cl->at];
	struct str status;
	(void)r;
	TRY(json_want_str(body, "status", 32, &status, err));
	TRY(ident_take(cl, body, z, err));
	if (str_eq(status, STR("valid"))) {
		z->done = true;
		authz_next(cl);
		return OK;
	}
	if (!str_eq(status, STR("pending")))
		FAIL(err, ERR_UNAUTHORIZED, "the authorization for %.*s is %.*s", STR_FMT(z->ordered.value),
		     STR_FMT(status));
	return challenge_take(cl, z, body, err);
}

static fallible challenge_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	*ret_url = cl->authzs[cl->at].challenge_url;
	return buf_add(ret_payload, STR("{}"), err);
}

static fallible challenge_answer(struct client *cl, const struct client_reply *r, const struct json *body,
				 struct err *err)
{
	struct client_authz *z = &cl->authzs[cl->at];
	struct str status = STR_NONE;
	(void)r;
	(void)err;
	z->told = true;
	/* RFC 8555 7.1.6: with a valid challenge the authorization is valid, too. What else the answer may be, the
	 * authorization will tell. */
	z->done = !FAILED(json_may_str(body, "status", 32, &status, NULL)) && str_eq(status, STR("valid"));
	tell_next(cl);
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
		return authz_error(body, z->ordered.value, err);
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

static fallible csr_for_order(struct client *cl, struct buf *ret_der, struct err *err)
{
	struct str names[IDENTS_MAX];
	struct addr addrs[IDENTS_MAX];
	size_t name_count = 0, addr_count = 0;
	for (size_t i = 0; i < cl->ident_count; i++) {
		if (cl->idents[i].type == IDENT_DNS)
			names[name_count++] = cl->idents[i].value;
		else
			TRY(addr_read(cl->idents[i].value, &addrs[addr_count++], err));
	}
	return csr_make_for(cl->crypto, cl->certificate_key, names, name_count, addrs, addr_count, ret_der, err);
}

static fallible finalize_ask(struct client *cl, struct str *ret_url, struct buf *ret_payload, struct err *err)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
	if (cl->csr_b64.n == 0) {
		TRY(csr_for_order(cl, &der, err));
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
	[PH_REVOKE] = { "revoke", revoke_ask, revoke_answer },
	[PH_KEY_CHANGE] = { "change the key", key_change_ask, key_change_answer },
	[PH_DEACTIVATE] = { "deactivate the account", deactivate_ask, deactivate_answer },
	[PH_AGREE] = { "agree to the terms", agree_ask, agree_answer },
	[PH_ORDER] = { "new order", order_ask, order_answer },
	[PH_AUTHZ] = { "read authorization", get_authz, authz_answer },
	[PH_PUBLISH] = { "publish answer", NULL, NULL },
	[PH_SETTLE] = { "wait for the DNS", NULL, NULL },
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

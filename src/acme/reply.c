/* SPDX-License-Identifier: Apache-2.0
 *
 * reply.c: URLs, headers and the JSON of each resource (RFC 8555 7.1). Written straight into the reply's body.
 */
#include "acme/app.h"

struct str realm_base(const struct conf *conf, const struct conf_realm *realm, struct arena *mem)
{
	if (str_eq(realm->name, STR("default")))
		return conf->api.base_url;
	return STR_CAT(mem, conf->api.base_url, STR("/realm/"), realm->name);
}

struct str call_url(const struct call *c, const char *what, struct id id, const char *tail)
{
	const struct id_text text = id_show(id);
	return STR_CAT(c->mem, realm_base(c->conf, c->realm, c->mem), STR("/"), str_z(what), STR("/"),
		       str_n(text.z, ID_TEXT_LEN), str_z(tail));
}

fallible reply_link(struct call *c, struct str url, const char *rel, struct err *err)
{
	return http_reply_header(c->re, "Link", STR_CAT(c->mem, STR("<"), url, STR(">;rel=\""), str_z(rel), STR("\"")),
				 err);
}

fallible reply_location(struct call *c, struct str url, struct err *err)
{
	return http_reply_header(c->re, "Location", url, err);
}

fallible reply_retry_after(struct call *c, int64_t seconds, struct err *err)
{
	return http_reply_header(c->re, "Retry-After", str_fmt(c->mem, "%lld", (long long)seconds), err);
}

struct jw reply_json(struct call *c, int status, struct err *err)
{
	c->re->status = status;
	c->re->content_type = "application/json";
	buf_reset(&c->re->body);
	return jw_begin(&c->re->body, err);
}

static void write_time(struct jw *w, const char *key, int64_t ms)
{
	char text[TIME_TEXT_MAX];
	time_show(ms / 1000, text);
	jw_kz(w, key, text);
}

static void write_url(struct jw *w, const struct call *c, const char *key, const char *what, struct id id,
		      const char *tail)
{
	jw_kstr(w, key, call_url(c, what, id, tail));
}

/* A stored JSON text, ours since it was checked when it came. */
static void write_stored(struct jw *w, const char *key, struct str json)
{
	if (json.n == 0)
		return;
	jw_key(w, key);
	jw_raw(w, json);
}

fallible reply_account(struct call *c, int status, const struct account_row *a, struct str binding, struct err *err)
{
	TRY(reply_location(c, call_url(c, "account", a->id, ""), err));
	struct jw w = reply_json(c, status, err);
	jw_object(&w);
	jw_kz(&w, "status", account_status_name(a->status));
	write_stored(&w, "contact", a->contact);
	if (a->tos_agreed_at != 0)
		jw_kbool(&w, "termsOfServiceAgreed", true);
	write_stored(&w, "externalAccountBinding", binding);
	write_url(&w, c, "orders", "account", a->id, "/orders");
	jw_object_end(&w);
	return jw_end(&w);
}

/* What the row says, or what it means now: the sweeper writes an order's end down some seconds after it has come. */
static enum order_status order_status_now(const struct call *c, const struct order_row *o)
{
	bool open = o->status == ORDER_PENDING || o->status == ORDER_READY;
	return open && o->expires_at <= c->now_ms ? ORDER_INVALID : o->status;
}

fallible reply_order(struct call *c, int status, const struct order_row *o, const struct id *authzs, size_t authz_count,
		     struct err *err)
{
	enum order_status now = order_status_now(c, o);
	if (now == ORDER_PROCESSING)
		TRY(reply_retry_after(c, 1, err));
	struct jw w = reply_json(c, status, err);
	jw_object(&w);
	jw_kz(&w, "status", order_status_name(now));
	write_time(&w, "expires", o->expires_at);
	write_stored(&w, "identifiers", o->identifiers);
	jw_kstr(&w, "profile", o->profile);
	if (o->not_before_s != 0)
		write_time(&w, "notBefore", o->not_before_s * 1000);
	if (o->not_after_s != 0)
		write_time(&w, "notAfter", o->not_after_s * 1000);
	if (o->replaces.n > 0) /* RFC 9773 5 */
		jw_kstr(&w, "replaces", o->replaces);
	jw_key(&w, "authorizations");
	jw_array(&w);
	for (size_t i = 0; i < authz_count; i++)
		jw_str(&w, call_url(c, "authz", authzs[i], ""));
	jw_array_end(&w);
	write_url(&w, c, "finalize", "order", o->id, "/finalize");
	if (now == ORDER_VALID)
		write_url(&w, c, "certificate", "certificate", o->certificate, "");
	write_stored(&w, "error", o->error);
	jw_object_end(&w);
	return jw_end(&w);
}

void write_names(struct jw *w, const struct conf_list *names)
{
	jw_array(w);
	for (size_t i = 0; i < names->n; i++)
		jw_str(w, names->v[i]);
	jw_array_end(w);
}

static void write_challenge(struct jw *w, const struct call *c, const struct challenge_row *ch)
{
	jw_object(w);
	jw_kz(w, "type", challenge_type_name(ch->type));
	write_url(w, c, "url", "challenge", ch->id, "");
	jw_kz(w, "status", challenge_status_name(ch->status));
	if (ch->type == CHALLENGE_DNSPERSIST01) { /* its record is there before any token could be known */
		jw_key(w, "issuerDomainNames");
		write_names(w, &c->realm->caa_identities);
	} else {
		jw_kstr(w, "token", ch->token);
	}
	if (ch->validated_at != 0)
		write_time(w, "validated", ch->validated_at);
	write_stored(w, "error", ch->error);
	jw_object_end(w);
}

/* RFC 8555 8.2: nothing changes before it is tried again. */
static int64_t seconds_to_retry(const struct call *c, const struct challenge_row *ch)
{
	int64_t wait_ms = ch->retry_at - c->now_ms;
	return wait_ms <= 1000 ? 1 : (wait_ms + 999) / 1000;
}

fallible reply_challenge(struct call *c, const struct challenge_row *ch, struct err *err)
{
	TRY(reply_link(c, call_url(c, "authz", ch->authz, ""), "up", err)); /* RFC 8555 7.5.1 */
	if (ch->status == CHALLENGE_PROCESSING)
		TRY(reply_retry_after(c, seconds_to_retry(c, ch), err));
	struct jw w = reply_json(c, 200, err);
	write_challenge(&w, c, ch);
	return jw_end(&w);
}

static enum authz_status authz_status_now(const struct call *c, const struct authz_row *z)
{
	if (z->expires_at > c->now_ms)
		return z->status;
	if (z->status == AUTHZ_VALID)
		return AUTHZ_EXPIRED;
	return z->status == AUTHZ_PENDING ? AUTHZ_INVALID : z->status;
}

/* RFC 8555 7.1.4: once decided, only the challenge that decided it is of interest. */
static bool challenge_is_shown(enum authz_status now, const struct challenge_row *ch)
{
	switch (now) {
	case AUTHZ_VALID:
	case AUTHZ_EXPIRED:
	case AUTHZ_DEACTIVATED:
	case AUTHZ_REVOKED:
		return ch->status == CHALLENGE_VALID;
	case AUTHZ_INVALID:
		return ch->status == CHALLENGE_INVALID;
	case AUTHZ_PENDING:
	case AUTHZ_STATUS_COUNT:
		break;
	}
	return true;
}

static void write_challenges(struct jw *w, const struct call *c, enum authz_status now, const struct challenge_row *ch,
			     size_t count)
{
	jw_key(w, "challenges");
	jw_array(w);
	for (size_t i = 0; i < count; i++)
		if (challenge_is_shown(now, &ch[i]))
			write_challenge(w, c, &ch[i]);
	jw_array_end(w);
}

fallible reply_authz(struct call *c, int status, const struct authz_row *z, bool declined,
		     const struct challenge_row *ch, size_t ch_count, struct err *err)
{
	enum authz_status now = authz_status_now(c, z);
	int64_t retry = 0; /* the soonest */
	for (size_t i = 0; i < ch_count; i++) {
		int64_t wait = ch[i].status == CHALLENGE_PROCESSING ? seconds_to_retry(c, &ch[i]) : 0;
		if (wait > 0 && (retry == 0 || wait < retry))
			retry = wait;
	}
	/* Also before anything runs: who looks at it first (acmetool) would otherwise sleep for ten seconds of his own. */
	if (now == AUTHZ_PENDING)
		TRY(reply_retry_after(c, retry > 0 ? retry : 1, err));
	struct jw w = reply_json(c, status, err);
	jw_object(&w);
	jw_key(&w, "identifier");
	jw_object(&w);
	jw_kz(&w, "type", ident_type_name(z->ident.type));
	jw_kstr(&w, "value", z->ident.value);
	jw_object_end(&w);
	jw_kz(&w, "status", authz_status_name(now));
	write_time(&w, "expires", z->expires_at);
	if (z->wildcard) /* RFC 8555 7.1.4: absent otherwise */
		jw_kbool(&w, "wildcard", true);
	if (z->subdomains || declined) /* RFC 9444 4.1 */
		jw_kbool(&w, "subdomainAuthAllowed", z->subdomains);
	write_challenges(&w, c, now, ch, ch_count);
	jw_object_end(&w);
	return jw_end(&w);
}

fallible problem_text(struct arena *mem, const struct err *e, struct str extra, struct str *ret, struct err *err)
{
	AUTO(buf_done) struct buf b = BUF_MAX(8192);
	TRY(problem_write(e, extra, &b, err));
	*ret = str_dup(mem, buf_str(&b));
	return OK;
}

void reply_problem(struct call *c, const struct err *e)
{
	struct http_reply *re = c->re;
	buf_reset(&re->body);
	re->status = problem_row(e->kind)->status;
	re->content_type = "application/problem+json";
	if (e->kind == ERR_BAD_SIGNATURE_ALGORITHM) /* RFC 8555 6.2: one that is not served, or not with this key */
		c->problem_extra = STR("\"algorithms\":[\"ES256\",\"ES384\",\"ES512\",\"RS256\",\"EdDSA\"]");
	if (FAILED(problem_write(e, c->problem_extra, &re->body, NULL)))
		buf_reset(&re->body);
	uint32_t wait = e->retry_after_s != 0 ? e->retry_after_s : e->kind == ERR_UNAVAILABLE ? 5 : 0;
	if (wait != 0 && FAILED(reply_retry_after(c, wait, NULL)))
		re->close = true;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * steps.c: what a story's clients do.
 */
#include "story.h"

fallible do_account(struct story *s, const struct str *w, size_t n, struct err *err)
{
	WANT(n == 1 && s->account_count < THINGS_MAX, "account NAME");
	struct named_account *a = &s->accounts[s->account_count++];
	a->name = w[0];
	return world_account_new(&s->w, &a->a, err);
}

/* RFC 8555 7.3.5. From then on the account signs with the new key, if it was taken. */
fallible do_key_change(struct story *s, const struct str *w, size_t n, struct err *err)
{
	AUTO(key_auto) struct key *fresh = NULL;
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	AUTO(buf_done) struct buf inner = BUF_MAX(16384);
	const struct str url = STR(WORLD_BASE "/key-change");
	struct named_account *a;
	WANT(n == 1, "key-change ACCOUNT");
	TRY(account_named(s, w[0], &a, err));
	TRY(key_generate(KEY_P256, 0, &fresh, err));
	TRY(jwk_write(a->a.key, &jwk, err));
	struct str payload =
		str_fmt(&s->w.mem, "{\"account\":\"%.*s\",\"oldKey\":%.*s}", STR_FMT(a->a.url), STR_FMT(buf_str(&jwk)));
	TRY(jws_sign_acme(s->w.crypto, fresh, STR_NONE, STR_NONE, url, payload, &inner, err));
	TRY(post(s, a, url, buf_str(&inner), err));
	if (s->last.status != 200)
		return OK; /* the story may expect a problem */
	key_free(a->a.key);
	a->a.key = TAKE(fresh);
	return jwk_thumbprint(s->w.crypto, a->a.key, &a->a.thumbprint, err);
}

/* --- orders -------------------------------------------------------------------------------------------------------*/

static void write_ident(struct jw *j, struct named_order *o, struct str name, struct str ancestor)
{
	struct addr *a = &o->addrs[o->addr_count];
	bool is_addr = !FAILED(addr_read(name, a, NULL));
	if (is_addr)
		o->addr_count++;
	else
		o->names[o->name_count++] = name;
	jw_object(j);
	jw_kz(j, "type", is_addr ? "ip" : "dns");
	jw_kstr(j, "value", name);
	if (!is_addr && ancestor.n > 0)
		jw_kstr(j, "ancestorDomain", ancestor);
	jw_object_end(j);
}

/* "key=value": a member of the payload. *ret_value is empty when the word is none. */
static bool is_option(struct str word, struct str *ret_key, struct str *ret_value)
{
	size_t eq = str_find(word, '=', 0);
	*ret_key = str_sub(word, 0, eq);
	*ret_value = str_sub(word, eq + 1, word.n);
	return eq < word.n;
}

static fallible write_option(struct story *s, struct jw *j, struct named_order *o, struct str key, struct str value,
			     struct err *err)
{
	struct named_order *was;
	if (str_eq(key, STR("replaces"))) {
		struct str certid;
		TRY(order_named(s, value, &was, err));
		TRY(order_certid(s, was, &certid, err));
		jw_kstr(j, "replaces", certid);
	} else if (str_eq(key, STR("profile"))) {
		o->profile = value;
		jw_kstr(j, "profile", value);
	} else if (str_eq(key, STR("notBefore")) || str_eq(key, STR("notAfter"))) {
		o->has_times = true;
		jw_kstr(j, key.n == 8 ? "notAfter" : "notBefore", value);
	} else {
		WANT(str_eq(key, STR("ancestor")), "order: what is %.*s=?", STR_FMT(key));
	}
	return OK;
}

static fallible order_payload(struct story *s, struct named_order *o, const struct str *w, size_t n, struct buf *ret,
			      struct err *err)
{
	struct str key, value, ancestor = STR_NONE;
	struct jw j = jw_begin(ret, err);
	jw_object(&j);
	for (size_t i = 0; i < n; i++) {
		if (!is_option(w[i], &key, &value))
			continue;
		if (str_eq(key, STR("ancestor")))
			ancestor = value;
		TRY(write_option(s, &j, o, key, value, err));
	}
	jw_key(&j, "identifiers");
	jw_array(&j);
	for (size_t i = 0; i < n; i++)
		if (!is_option(w[i], &key, &value))
			write_ident(&j, o, w[i], ancestor);
	jw_array_end(&j);
	jw_object_end(&j);
	return jw_end(&j);
}

fallible do_order(struct story *s, const struct str *w, size_t n, struct err *err)
{
	AUTO(buf_done) struct buf payload = BUF_MAX(65536);
	WANT(n >= 3 && n <= IDENTS_MAX && s->order_count < THINGS_MAX, "order ORDER ACCOUNT NAME... [KEY=VALUE...]");
	struct named_order *o = &s->orders[s->order_count];
	*o = (struct named_order){ .name = w[0] };
	TRY(account_named(s, w[1], &o->account, err));
	TRY(order_payload(s, o, w + 2, n - 2, &payload, err));
	TRY(post(s, o->account, STR(WORLD_BASE "/new-order"), buf_str(&payload), err));
	if (s->last.status != 201)
		return OK; /* the story may expect a problem */
	o->url = world_header(&s->last, "Location");
	s->order_count++;
	return OK;
}

/* RFC 8555 7.4.1. */
fallible do_preauth(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct addr addr;
	bool subdomains = n == 4 && str_eq(w[3], STR("subdomains"));
	WANT((n == 3 || subdomains) && s->authz_count < THINGS_MAX, "preauth AUTHZ ACCOUNT NAME [subdomains]");
	struct named_authz *z = &s->authzs[s->authz_count];
	*z = (struct named_authz){ .name = w[0] };
	TRY(account_named(s, w[1], &z->account, err));
	struct str payload = str_fmt(&s->w.mem, "{\"identifier\":{\"type\":\"%s\",\"value\":\"%.*s\"%s}}",
				     FAILED(addr_read(w[2], &addr, NULL)) ? "dns" : "ip", STR_FMT(w[2]),
				     subdomains ? ",\"subdomainAuthAllowed\":true" : "");
	TRY(post(s, z->account, STR(WORLD_BASE "/new-authz"), payload, err));
	if (s->last.status != 201 && s->last.status != 200)
		return OK; /* the story may expect a problem */
	z->url = world_header(&s->last, "Location");
	s->authz_count++;
	return OK;
}

/* Answers the challenge of this type, or the first one. */
static fallible answer_authz(struct story *s, const struct named_account *a, struct str authz, struct str type,
			     struct err *err)
{
	TRY(post(s, a, authz, STR_NONE, err));
	TRY(want_2xx(s, "authorization", err));
	const struct json *list = json_get(s->last.json, "challenges");
	if (json_count(list) == 0) /* a grant made it valid */
		return OK;
	for (size_t i = 0; i < json_count(list); i++) {
		struct str url, found;
		TRY(member(s, json_at(list, i), "type", &found, err));
		if (type.n > 0 && !str_eq(found, type))
			continue;
		TRY(member(s, json_at(list, i), "url", &url, err));
		return post(s, a, url, STR("{}"), err);
	}
	FAIL(err, ERR_CONFLICT, "%.*s offers no challenge %.*s", STR_FMT(authz), STR_FMT(type));
}

/* Answers a challenge of every authorization, whatever state it is in. A preauth is answered alone, and may be refused. */
fallible do_answer(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	struct named_authz *z;
	struct str urls[IDENTS_MAX];
	size_t count;
	WANT(n == 1 || n == 2, "answer ORDER|AUTHZ [TYPE]");
	struct str type = n == 2 ? w[1] : STR_NONE;
	if (!FAILED(authz_named(s, w[0], &z, NULL)))
		return answer_authz(s, z->account, z->url, type, err);
	TRY(order_named(s, w[0], &o, err));
	TRY(order_authz_urls(s, o, urls, &count, err));
	for (size_t i = 0; i < count; i++) {
		TRY(answer_authz(s, o->account, urls[i], type, err));
		TRY(want_2xx(s, "challenge", err));
	}
	return OK;
}

static fallible csr_new(struct story *s, struct named_order *o, const struct str *names, size_t count, struct err *err)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
	if (count > 0)
		TRY(csr_make(s->w.crypto, o->key, names, count, &der, err));
	else
		TRY(csr_make_for(s->w.crypto, o->key, o->names, o->name_count, o->addrs, o->addr_count, &der, err));
	o->csr = b64url_encode(&s->w.mem, buf_str(&der));
	return OK;
}

fallible do_finalize(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	WANT(n >= 1, "finalize ORDER [fresh-key] [NAME...]");
	TRY(order_named(s, w[0], &o, err));
	bool fresh = n > 1 && str_eq(w[1], STR("fresh-key"));
	size_t from = fresh ? 2 : 1;
	if (o->key == NULL || fresh) {
		key_free(o->key);
		o->key = NULL;
		TRY(key_generate(KEY_P256, 0, &o->key, err));
	}
	if (o->csr.n == 0 || fresh || n > from)
		TRY(csr_new(s, o, w + from, n - from, err));
	struct str payload = str_fmt(&s->w.mem, "{\"csr\":\"%.*s\"}", (int)o->csr.n, o->csr.p);
	return post(s, o->account, str_fmt(&s->w.mem, "%.*s/finalize", STR_FMT(o->url)), payload, err);
}

static fallible leaf_check(struct story *s, const struct named_order *o, const struct cert *leaf, struct err *err)
{
	AUTO(key_auto) struct key *key = NULL;
	struct str *names;
	struct addr *addrs;
	size_t name_count, addr_count;
	TRY(cert_get_key(leaf, &key, err));
	WANT(key_public_eq(key, o->key), "the certificate has another key than the CSR");
	TRY(cert_get_dns_names(&s->w.mem, leaf, &names, &name_count, err));
	TRY(cert_get_addrs(&s->w.mem, leaf, &addrs, &addr_count, err));
	WANT(name_count == o->name_count && addr_count == o->addr_count,
	     "the certificate has %zu names and %zu addresses, the order %zu and %zu", name_count, addr_count,
	     o->name_count, o->addr_count);
	for (size_t i = 0; i < o->name_count; i++)
		WANT(cert_has_dns_name(leaf, o->names[i]), "the certificate lacks %.*s", STR_FMT(o->names[i]));
	for (size_t i = 0; i < o->addr_count; i++)
		WANT(cert_has_addr(leaf, &o->addrs[i]), "the certificate lacks address %zu", i);
	if (o->has_times)
		return OK;
	const struct conf_profile *p = conf_profile(s->w.conf, o->profile.n > 0 ? o->profile : STR("server"));
	int64_t life = cert_get_not_after(leaf) - cert_get_not_before(leaf) + 1;
	WANT(p != NULL && life == p->lifetime_s, "the certificate's life is %lld s", (long long)life);
	return OK;
}

/* Fetches the certificate; a second time it must be the same bytes. */
fallible do_cert(struct story *s, const struct str *w, size_t n, struct err *err)
{
	AUTO(cert_auto) struct cert *leaf = NULL;
	struct named_order *o;
	struct str url;
	WANT(n == 1, "cert ORDER");
	TRY(order_named(s, w[0], &o, err));
	TRY(read_order(s, o, err));
	TRY(member(s, s->last.json, "certificate", &url, err));
	TRY(post(s, o->account, url, STR_NONE, err));
	TRY(want_2xx(s, "certificate", err));
	WANT(o->first_chain.n == 0 || str_eq(o->first_chain, s->last.body), "the order has a second certificate");
	o->first_chain = s->last.body;
	TRY(order_leaf(s, o, &leaf, err));
	return leaf_check(s, o, leaf, err);
}

fallible do_deactivate(struct story *s, const struct str *w, size_t n, struct err *err)
{
	const struct str gone = STR("{\"status\":\"deactivated\"}");
	struct named_account *a;
	struct named_authz *z;
	struct named_order *o;
	struct str urls[IDENTS_MAX];
	size_t count;
	if (n == 2 && str_eq(w[0], STR("account"))) {
		TRY(account_named(s, w[1], &a, err));
		return post(s, a, a->a.url, gone, err);
	}
	WANT(n == 2 && str_eq(w[0], STR("authz")), "deactivate account A | authz ORDER|AUTHZ");
	if (!FAILED(authz_named(s, w[1], &z, NULL)))
		return post(s, z->account, z->url, gone, err);
	TRY(order_named(s, w[1], &o, err));
	TRY(order_authz_urls(s, o, urls, &count, err));
	return post(s, o->account, urls[0], gone, err);
}

/* RFC 8555 7.6, by the account that ordered it. */
fallible do_revoke(struct story *s, const struct str *w, size_t n, struct err *err)
{
	AUTO(cert_auto) struct cert *leaf = NULL;
	struct named_order *o;
	uint64_t reason = 0;
	WANT(n == 1 || n == 2, "revoke ORDER [REASON]");
	TRY(order_named(s, w[0], &o, err));
	TRY(order_leaf(s, o, &leaf, err));
	if (n == 2)
		TRY(str_u64(w[1], 100, &reason, err));
	struct str der = b64url_encode(&s->w.mem, cert_get_der(leaf));
	struct str payload = str_fmt(&s->w.mem, "{\"certificate\":\"%.*s\",\"reason\":%llu}", (int)der.n, der.p,
				     (unsigned long long)reason);
	return post(s, o->account, STR(WORLD_BASE "/revoke-cert"), payload, err);
}

/* RFC 9773 4.1, asked by nobody in particular. */
fallible do_renewal(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_order *o;
	struct str certid;
	WANT(n == 1, "renewal ORDER");
	TRY(order_named(s, w[0], &o, err));
	TRY(order_certid(s, o, &certid, err));
	world_reply_done(&s->last);
	return world_send(&s->w, HTTP_GET, str_fmt(&s->w.mem, "/renewal-info/%.*s", STR_FMT(certid)), STR_NONE,
			  STR_NONE, &s->last, err);
}

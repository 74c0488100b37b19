/* SPDX-License-Identifier: Apache-2.0
 *
 * things.c: what a story has given a name, and one request about it.
 */
#include "story.h"

#define NAMED(list, what)                              \
	for (size_t i = 0; i < s->what##_count; i++) { \
		*ret = &s->list[i];                    \
		if (str_eq((*ret)->name, name))        \
			return OK;                     \
	}                                              \
	FAIL(err, ERR_CONFIG, "no " #what " %.*s in this story", STR_FMT(name))

fallible account_named(struct story *s, struct str name, struct named_account **ret, struct err *err)
{
	NAMED(accounts, account);
}

fallible order_named(struct story *s, struct str name, struct named_order **ret, struct err *err)
{
	NAMED(orders, order);
}

fallible authz_named(struct story *s, struct str name, struct named_authz **ret, struct err *err)
{
	NAMED(authzs, authz);
}

fallible grant_named(struct story *s, struct str name, struct named_grant **ret, struct err *err)
{
	NAMED(grants, grant);
}

fallible post(struct story *s, const struct named_account *a, struct str url, struct str payload, struct err *err)
{
	world_reply_done(&s->last);
	return world_post(&s->w, &a->a, url, payload, &s->last, err);
}

fallible want_2xx(const struct story *s, const char *doing, struct err *err)
{
	WANT(s->last.status >= 200 && s->last.status < 300, "%s: answered %d: %.*s", doing, s->last.status,
	     STR_FMT(s->last.body));
	return OK;
}

fallible member(struct story *s, const struct json *o, const char *key, struct str *ret, struct err *err)
{
	struct str v;
	TRY(json_want_str(o, key, 8192, &v, err));
	*ret = str_dup(&s->w.mem, v);
	return OK;
}

fallible read_order(struct story *s, const struct named_order *o, struct err *err)
{
	TRY(post(s, o->account, o->url, STR_NONE, err));
	return want_2xx(s, "order", err);
}

fallible order_authz_urls(struct story *s, const struct named_order *o, struct str urls[IDENTS_MAX], size_t *ret_count,
			  struct err *err)
{
	TRY(read_order(s, o, err));
	const struct json *list = json_get(s->last.json, "authorizations");
	*ret_count = json_count(list);
	for (size_t i = 0; i < *ret_count; i++) {
		WANT(json_as_str(json_at(list, i), &urls[i]), "authorization is no string");
		urls[i] = str_dup(&s->w.mem, urls[i]);
	}
	return OK;
}

fallible order_leaf(struct story *s, const struct named_order *o, struct cert **ret, struct err *err)
{
	struct cert *all[8] = { 0 };
	size_t count;
	(void)s;
	WANT(o->first_chain.n > 0, "order %.*s has no certificate that was fetched", STR_FMT(o->name));
	TRY(cert_read_pem(o->first_chain, all, ARRAY_LEN(all), &count, err));
	for (size_t i = 1; i < count; i++)
		cert_free(all[i]);
	*ret = all[0];
	WANT(count == 2, "the chain has %zu certificates", count);
	return OK;
}

fallible order_certid(struct story *s, const struct named_order *o, struct str *ret, struct err *err)
{
	AUTO(cert_auto) struct cert *leaf = NULL;
	struct str aki, hex, serial;
	TRY(order_leaf(s, o, &leaf, err));
	TRY(cert_get_aki(&s->w.mem, leaf, &aki, err));
	TRY(cert_get_serial_hex(&s->w.mem, leaf, &hex, err));
	TRY(hex_decode(&s->w.mem, hex, 64, &serial, err));
	*ret = str_fmt(&s->w.mem, "%.*s.%.*s", STR_FMT(b64url_encode(&s->w.mem, aki)),
		       STR_FMT(b64url_encode(&s->w.mem, serial)));
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * directory.c: the directory of a realm (RFC 8555 7.1.1). Its URLs come from the route table and its meta from the
 * configuration, so it cannot advertise what does not work (promise 6).
 */
#include "acme/order.h"

#define DAY_S 86400
#define HOUR_S 3600

static struct str use_text(struct arena *mem, const struct conf_profile *p)
{
	static const struct {
		const char *use, *text;
	} rows[] = {
		{ "server-auth", "TLS servers" },
		{ "client-auth", "TLS clients" },
		{ "code-signing", "signing code" },
		{ "email-protection", "e-mail" },
	};
	struct str all = STR_NONE;
	size_t told = 0;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!conf_list_has(&p->use, str_z(rows[i].use)))
			continue;
		const char *gap = told == 0 ? "" : told + 1 == p->use.n ? " and " : ", ";
		all = str_fmt(mem, "%.*s%s%s", STR_FMT(all), gap, rows[i].text);
		told++;
	}
	return all;
}

static struct str profile_text(const struct call *c, const struct conf_profile *p)
{
	if (p->description.n > 0)
		return p->description;
	struct str use = use_text(c->mem, p);
	int64_t life = conf_lifetime(c->realm, p, c->now_ms / 1000);
	long long days = life / DAY_S, hours = life / HOUR_S;
	if (life % DAY_S == 0)
		return str_fmt(c->mem, "for %.*s, valid for %lld day%s", STR_FMT(use), days, days == 1 ? "" : "s");
	if (life % HOUR_S == 0)
		return str_fmt(c->mem, "for %.*s, valid for %lld hour%s", STR_FMT(use), hours, hours == 1 ? "" : "s");
	return str_fmt(c->mem, "for %.*s, valid for %lld seconds", STR_FMT(use), (long long)life);
}

static void write_profiles(struct jw *w, const struct call *c)
{
	jw_key(w, "profiles");
	jw_object(w);
	for (size_t i = 0; i < c->realm->profiles.n; i++) {
		const struct conf_profile *p = conf_profile(c->conf, c->realm->profiles.v[i]);
		if (p != NULL) /* a profile's name is a word (conf/check.c) */
			jw_kstr(w, str_dupz_raw(c->mem, p->name), profile_text(c, p));
	}
	jw_object_end(w);
}

static void write_caa(struct jw *w, const struct call *c)
{
	if (c->realm->caa_identities.n == 0)
		return;
	jw_key(w, "caaIdentities");
	write_names(w, &c->realm->caa_identities);
}

static void write_persist(struct jw *w, const struct call *c)
{
	if (!realm_offers(c->realm, CHALLENGE_DNSPERSIST01)) /* draft-ietf-acme-dns-persist-02 3.2, 4.1 */
		return;
	jw_key(w, "issuerDomainNames");
	write_names(w, &c->realm->caa_identities);
	jw_kstr(w, "accountHashPrefix",
		conf_realm_hash_prefix(c->realm, realm_base(c->conf, c->realm, c->mem), c->mem));
}

static void write_meta(struct jw *w, const struct call *c)
{
	jw_key(w, "meta");
	jw_object(w);
	if (c->realm->terms_of_service.n > 0)
		jw_kstr(w, "termsOfService", c->realm->terms_of_service);
	if (c->realm->website.n > 0)
		jw_kstr(w, "website", c->realm->website);
	write_caa(w, c);
	write_persist(w, c);
	jw_kbool(w, "externalAccountRequired", str_eq(c->realm->eab, STR("required")));
	write_profiles(w, c);
	if (realm_has_subdomains(c->realm)) /* RFC 9444 4.4 */
		jw_kbool(w, "subdomainAuthAllowed", true);
	jw_object_end(w);
}

fallible get_directory(struct call *c, struct err *err)
{
	struct str base = realm_base(c->conf, c->realm, c->mem);
	size_t count;
	const struct route *r = routes(&count);
	struct jw w = reply_json(c, 200, err);
	jw_object(&w);
	for (size_t i = 0; i < count; i++)
		if (r[i].directory != NULL)
			jw_kstr(&w, r[i].directory,
				str_fmt(c->mem, "%.*s%.*s", STR_FMT(base), STR_FMT(route_directory_path(&r[i]))));
	write_meta(&w, c);
	jw_object_end(&w);
	return jw_end(&w);
}

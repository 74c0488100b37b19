/* SPDX-License-Identifier: Apache-2.0
 *
 * check.c: what no row can say alone: that a realm's zone exists, that a quorum can be reached, that addresses,
 * patterns and URLs are ones. Each refusal points at the line of the setting that is wrong.
 */
#include "conf/check.h"

#include <assert.h>
#include <inttypes.h>

const struct conf_setting *conf_setting(const struct conf *c, struct str key)
{
	for (size_t i = 0; i < c->setting_count; i++) {
		if (str_eq(c->settings[i].key, key))
			return &c->settings[i];
	}
	assert(false && "a key of the schema");
	return NULL;
}

struct str spot_key(struct arena *mem, const struct spot *s)
{
	if (s->section == NULL)
		return str_z(s->leaf);
	return str_fmt(mem, "%s.%.*s.%s", s->section, STR_FMT(s->entry), s->leaf);
}

fallible spot_refuse(struct checker *k, const struct spot *s, struct str found, struct err *err, const char *allowed)
{
	struct str key = spot_key(&k->mem, s);
	const struct conf_setting *at = conf_setting(k->c, key);
	return conf_refuse(str_dupz_raw(&k->mem, k->c->name), &at->where, key, found, err, "%s", allowed);
}

fallible spot_refuse_because(struct checker *k, const struct spot *s, struct str found, struct err *err,
			     const char *allowed, const struct err *reason)
{
	struct str rule = str_fmt(&k->mem, "%s (%s)", allowed, reason->detail);
	return spot_refuse(k, s, found, err, str_dupz_raw(&k->mem, rule));
}

static fallible open_suffixes(struct checker *k, struct err *err)
{
	const struct spot at = { .leaf = "suffix-list" };
	struct conf *c = k->c;
	struct err why = { 0 };
	const char *path = c->suffix_list.n == 0 ? NULL : conf_path(c, &k->mem, c->suffix_list);
	if (FAILED(suffixes_open(path, &c->suffixes, &why)))
		return spot_refuse_because(k, &at, c->suffix_list, err, "a file with the Public Suffix List", &why);
	return OK;
}

/* The names of a section's entries: each struct begins with its name. */
static struct str entry_name(const struct conf *c, const struct conf_section *s, size_t i)
{
	const char *entries;
	memcpy(&entries, (const char *)c + s->array, sizeof entries);
	struct str name;
	memcpy(&name, entries + i * s->size, sizeof name);
	return name;
}

static fallible check_reference(struct checker *k, const struct spot *at, struct str name, const char *section,
				struct err *err)
{
	size_t n = 0;
	const struct conf_section *s = conf_sections(&n);
	while (n > 0 && strcmp(s->name, section) != 0) {
		s++;
		n--;
	}
	assert(n > 0);
	size_t count;
	memcpy(&count, (const char *)k->c + s->count, sizeof count);
	struct str all = STR_NONE;
	for (size_t i = 0; i < count; i++) {
		struct str known = entry_name(k->c, s, i);
		if (str_eq(known, name))
			return OK;
		if (all.n < 200)
			all = str_fmt(&k->mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(known));
	}
	struct str rule =
		str_fmt(&k->mem, "%s %s of this file: %.*s", section[0] == 'i' ? "an" : "a", section, STR_FMT(all));
	return spot_refuse(k, at, name, err, str_dupz_raw(&k->mem, rule));
}

static fallible check_references(struct checker *k, const struct spot *at, const struct conf_list *names,
				 const char *section, struct err *err)
{
	for (size_t i = 0; i < names->n; i++)
		TRY(check_reference(k, at, names->v[i], section, err));
	return OK;
}

/* --- URLs --- */

#define URL_MAX 1024
#define SERVERS_MAX 8 /* DNS servers of one domain, as of all other names */
#define HASH_PREFIX_MAX 256
#define HASH_PREFIX_RULE "an https URL of at most 256 bytes that ends in / and has no ;"

static fallible check_link(struct checker *k, const struct spot *at, struct str text, bool https_too, struct err *err)
{
	if (text.n == 0)
		return OK;
	const char *rule =
		https_too ? "an http or https URL" : "an http URL (RFC 5280 4.2.1.13 readers fetch it without TLS)";
	struct url url = { 0 };
	struct err why = { 0 };
	if (FAILED(url_read(&k->mem, text, URL_MAX, &url, &why)))
		return spot_refuse_because(k, at, text, err, rule, &why);
	if (url.https && !https_too)
		return spot_refuse(k, at, text, err, rule);
	return OK;
}

static fallible check_base_url(struct checker *k, struct err *err)
{
	const struct spot *at = SPOT(NULL, STR_NONE, "api.base-url");
	const char *rule = "https://HOST or https://HOST:PORT, without a path or a slash at the end";
	struct str text = k->c->api.base_url;
	struct url url = { 0 };
	struct err why = { 0 };
	if (FAILED(url_read(&k->mem, text, URL_MAX, &url, &why)))
		return spot_refuse_because(k, at, text, err, rule, &why);
	if (!url.https || str_ends(text, STR("/")) || !str_eq(url.path, STR("/")))
		return spot_refuse(k, at, text, err, rule);
	/* Clients sign this text, so it must be the one that URLs are made from. */
	struct str plain = str_sub(text, 0, text.n);
	if (str_find(plain, '?', 0) < plain.n || str_find(plain, '#', 0) < plain.n)
		return spot_refuse(k, at, text, err, rule);
	return OK;
}

static struct str scheme_of(struct str url)
{
	return str_sub(url, 0, str_find(url, ':', 0));
}

struct driver {
	const char *key, *scheme, *form; /* of a path, and what a URL may be */
	const char *served[3];           /* other schemes: their own library reads the rest */
	const char *foreign[3];          /* real ones that this build cannot speak */
};

static fallible check_driver(struct checker *k, const struct driver *d, struct str url, struct err *err)
{
	const struct spot *at = SPOT(NULL, STR_NONE, d->key);
	struct str scheme = scheme_of(url);
	struct str rule = str_z(d->form);
	for (size_t i = 0; i < ARRAY_LEN(d->served) && d->served[i] != NULL; i++) {
		if (str_eq(scheme, str_z(d->served[i])) && str_find(url, '/', scheme.n) == scheme.n + 1)
			return OK;
	}
	for (size_t i = 0; i < ARRAY_LEN(d->foreign) && d->foreign[i] != NULL; i++) {
		if (!str_eq(scheme, str_z(d->foreign[i])) || scheme.n == url.n)
			continue;
		/* Such a URL may hold a password: say the scheme only. */
		struct str key = str_z(d->key);
		struct str place =
			conf_place(&k->mem, str_dupz_raw(&k->mem, k->c->name), &conf_setting(k->c, key)->where, key);
		FAIL(err, ERR_CONFIG, "%.*sthis build has no driver for %.*s:; use %.*s", STR_FMT(place),
		     STR_FMT(scheme), STR_FMT(rule));
	}
	if (!str_eq(scheme, str_z(d->scheme)) || url.n <= scheme.n + 1)
		return spot_refuse(k, at, str_find(url, '@', 0) < url.n ? scheme : url, err,
				   str_dupz_raw(&k->mem, rule));
	return OK;
}

/* --- sections --- */

static fallible check_listen(struct checker *k, struct err *err)
{
	const struct conf_list *listen = &k->c->api.listen;
	for (size_t i = 0; i < listen->n; i++) {
		struct addr addr = { 0 };
		uint16_t port = 0;
		struct err why = { 0 };
		if (FAILED(addr_port_read(listen->v[i], &addr, &port, &why)))
			return spot_refuse_because(k, SPOT(NULL, STR_NONE, "api.listen"), listen->v[i], err,
						   "ADDRESS:PORT such as 127.0.0.1:14000 or [::]:14000", &why);
	}
	return OK;
}

/* The API's own names need not be issuable to others: "localhost" is one. */
static bool host_is_plain(struct str host)
{
	if (host.n == 0 || host.n > NAME_MAX_LEN || host.p[0] == '-' || host.p[0] == '.' || host.p[host.n - 1] == '.')
		return false;
	for (size_t i = 0; i < host.n; i++) {
		char c = host.p[i];
		bool ldh = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.';
		if (!ldh || (c == '.' && host.p[i - 1] == '.'))
			return false;
	}
	return true;
}

static fallible check_hosts(struct checker *k, const struct spot *at, const struct conf_list *hosts, bool addresses,
			    struct err *err)
{
	for (size_t i = 0; i < hosts->n; i++) {
		struct addr addr = { 0 };
		bool is_addr = !FAILED(addr_read(hosts->v[i], &addr, NULL));
		if (is_addr ? !addresses : !host_is_plain(hosts->v[i]))
			return spot_refuse(k, at, hosts->v[i], err,
					   addresses ? "lower-case host names and addresses" : "lower-case host names");
	}
	return OK;
}

static fallible check_patterns(struct checker *k, const struct spot *at, const struct conf_list *patterns,
			       struct err *err)
{
	for (size_t i = 0; i < patterns->n; i++) {
		struct err why = { 0 };
		if (FAILED(name_pattern_check(patterns->v[i], &why)))
			return spot_refuse_because(k, at, patterns->v[i], err, "a name, *.DOMAIN or *", &why);
	}
	return OK;
}

static fallible check_ranges(struct checker *k, const struct spot *at, const struct conf_list *ranges, struct err *err)
{
	for (size_t i = 0; i < ranges->n; i++) {
		struct addr_range range = { 0 };
		struct err why = { 0 };
		if (FAILED(addr_range_read(ranges->v[i], &range, &why)))
			return spot_refuse_because(k, at, ranges->v[i], err, "an address or ADDRESS/BITS", &why);
	}
	return OK;
}

static bool realm_has(const struct conf_realm *r, const char *challenge)
{
	for (size_t i = 0; i < r->challenges.n; i++)
		if (str_eq(r->challenges.v[i], str_z(challenge)))
			return true;
	return false;
}

#define ISSUER_NAMES_MAX 10 /* draft-ietf-acme-dns-persist-02 3.1; the challenge offers all of them */

static fallible check_persist(struct checker *k, const struct conf_realm *r, struct err *err)
{
	const struct spot *at = SPOT("realm", r->name, "account-hash-prefix");
	struct url url = { 0 };
	struct err why = { 0 };
	if (r->account_hash_prefix.n > 0) {
		if (FAILED(url_read(&k->mem, r->account_hash_prefix, HASH_PREFIX_MAX, &url, &why)))
			return spot_refuse_because(k, at, r->account_hash_prefix, err, HASH_PREFIX_RULE, &why);
		if (!url.https || !str_ends(r->account_hash_prefix, STR("/")) ||
		    str_find(r->account_hash_prefix, ';', 0) < r->account_hash_prefix.n)
			return spot_refuse(k, at, r->account_hash_prefix, err, HASH_PREFIX_RULE);
	}
	if (realm_has(r, "dns-persist-01") && (r->caa_identities.n == 0 || r->caa_identities.n > ISSUER_NAMES_MAX))
		return spot_refuse(
			k, SPOT("realm", r->name, "caa-identities"),
			r->caa_identities.n == 0 ? STR_NONE : str_fmt(&k->mem, "%zu names", r->caa_identities.n), err,
			"1 to 10 names, because dns-persist-01 is in challenges and its records name one of them");
	return OK;
}

static fallible check_realm(struct checker *k, const struct conf_realm *r, struct err *err)
{
	TRY(check_patterns(k, SPOT("realm", r->name, "names"), &r->names, err));
	TRY(check_ranges(k, SPOT("realm", r->name, "addresses"), &r->addresses, err));
	TRY(check_references(k, SPOT("realm", r->name, "profiles"), &r->profiles, "profile", err));
	for (size_t i = 0; i < r->profiles.n; i++)
		TRY(profile_check_offer(k, r, conf_profile(k->c, r->profiles.v[i]), err));
	TRY(check_references(k, SPOT("realm", r->name, "issuers"), &r->issuers, "issuer", err));
	TRY(check_reference(k, SPOT("realm", r->name, "zone"), r->zone, "zone", err));
	TRY(check_link(k, SPOT("realm", r->name, "terms-of-service"), r->terms_of_service, true, err));
	TRY(check_link(k, SPOT("realm", r->name, "website"), r->website, true, err));
	TRY(check_hosts(k, SPOT("realm", r->name, "caa-identities"), &r->caa_identities, false, err));
	return check_persist(k, r, err);
}

static fallible check_servers(struct checker *k, const struct spot *at, const struct conf_list *servers,
			      struct err *err)
{
	for (size_t i = 0; i < servers->n; i++) {
		struct addr addr = { 0 };
		uint16_t port = 0;
		struct str text = servers->v[i];
		if (FAILED(addr_read(text, &addr, NULL)) &&
		    (FAILED(addr_port_read(text, &addr, &port, NULL)) || port == 0 || text.p[0] == ':'))
			return spot_refuse(k, at, text, err, "an address or ADDRESS:PORT of a DNS server");
	}
	return OK;
}

static fallible check_forwards(struct checker *k, const struct conf_zone *z, struct err *err)
{
	const struct spot *at = SPOT("zone", z->name, "forwards");
	for (size_t i = 0; i < z->forward_count; i++) {
		const struct conf_static *f = &z->forwards[i];
		if (!host_is_plain(f->pattern))
			return spot_refuse(k, at, f->pattern, err, "lower-case domains such as corp.example");
		if (f->addrs.n > SERVERS_MAX)
			return spot_refuse(k, at, f->pattern, err, "at most 8 servers a domain");
		TRY(check_servers(k, at, &f->addrs, err));
	}
	return OK;
}

static fallible check_static_names(struct checker *k, const struct conf_zone *z, struct err *err)
{
	const struct spot *at = SPOT("zone", z->name, "names");
	for (size_t i = 0; i < z->name_count; i++) {
		const struct conf_static *s = &z->names[i];
		struct err why = { 0 };
		if (FAILED(name_pattern_check(s->pattern, &why)))
			return spot_refuse_because(k, at, s->pattern, err, "a name or *.DOMAIN", &why);
		for (size_t j = 0; j < s->addrs.n; j++) {
			struct addr addr = { 0 };
			if (FAILED(addr_read(s->addrs.v[j], &addr, &why)))
				return spot_refuse_because(k, at, s->addrs.v[j], err, "IPv4 or IPv6 addresses", &why);
		}
	}
	return OK;
}

static fallible check_zone(struct checker *k, const struct conf_zone *z, struct err *err)
{
	TRY(check_references(k, SPOT("zone", z->name, "perspectives"), &z->perspectives, "perspective", err));
	if (z->quorum > (int64_t)z->perspectives.n) {
		struct str rule = str_fmt(&k->mem, "1 to %zu, because the zone has %zu perspectives", z->perspectives.n,
					  z->perspectives.n);
		return spot_refuse(k, SPOT("zone", z->name, "quorum"), str_fmt(&k->mem, "%" PRId64, z->quorum), err,
				   str_dupz_raw(&k->mem, rule));
	}
	TRY(check_servers(k, SPOT("zone", z->name, "resolvers"), &z->resolvers, err));
	TRY(check_forwards(k, z, err));
	TRY(check_static_names(k, z, err));
	return check_ranges(k, SPOT("zone", z->name, "allow-addresses"), &z->allow_addresses, err);
}

static fallible check_issuer(struct checker *k, const struct conf_issuer *i, struct err *err)
{
	const struct spot *at = SPOT("issuer", i->name, "alternates");
	for (size_t n = 0; n < i->alternates.n; n++) {
		if (str_eq(i->alternates.v[n], i->certificate))
			return spot_refuse(k, at, i->alternates.v[n], err, "files other than the issuer's certificate");
	}
	TRY(check_link(k, SPOT("issuer", i->name, "aia-url"), i->aia_url, false, err));
	return check_link(k, SPOT("issuer", i->name, "crl-url"), i->crl_url, false, err);
}

static fallible check_all(struct checker *k, struct err *err)
{
#ifdef CAIRN_PGSQL
	static const struct driver store = { "store.url",
					     "sqlite",
					     "sqlite:PATH or postgresql://USER@HOST:PORT/NAME",
					     { "postgresql", "postgres", NULL },
					     { NULL } };
	static const struct driver standby = {
		"store.standby", "", "postgresql://USER@HOST:PORT/NAME", { "postgresql", "postgres", NULL }, { NULL }
	};
#else
	static const struct driver store = {
		"store.url", "sqlite", "sqlite:PATH", { NULL }, { "postgresql", "postgres", NULL }
	};
	static const struct driver standby = {
		"store.standby", "", "nothing", { NULL }, { "postgresql", "postgres", NULL }
	};
#endif
	static const struct driver bus = { "bus.url", "unix", "unix:PATH", { NULL }, { "amqp", "amqps", NULL } };
	const struct conf *c = k->c;
	TRY(open_suffixes(k, err));
	TRY(check_listen(k, err));
	TRY(check_base_url(k, err));
	TRY(check_hosts(k, SPOT(NULL, STR_NONE, "api.tls-names"), &c->api.tls_names, true, err));
	TRY(check_driver(k, &store, c->store.url, err));
	if (c->store.standby.n > 0)
		TRY(check_driver(k, &standby, c->store.standby, err));
	TRY(check_driver(k, &bus, c->bus.url, err));
	TRY(check_reference(k, SPOT(NULL, STR_NONE, "validator.perspective"), c->validator.perspective, "perspective",
			    err));
	for (size_t i = 0; i < c->realm_count; i++)
		TRY(check_realm(k, &c->realms[i], err));
	for (size_t i = 0; i < c->zone_count; i++)
		TRY(check_zone(k, &c->zones[i], err));
	for (size_t i = 0; i < c->profile_count; i++)
		TRY(profile_check(k, &c->profiles[i], err));
	for (size_t i = 0; i < c->issuer_count; i++)
		TRY(check_issuer(k, &c->issuers[i], err));
	return OK;
}

fallible conf_check(struct conf *c, struct err *err)
{
	struct checker k = { .c = c };
	struct rc rc = check_all(&k, err);
	arena_done(&k.mem);
	return rc;
}

/* --- warnings --- */

fallible spot_warn(const struct conf *c, const struct spot *s, const char *text, struct buf *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str key = spot_key(&mem, s);
	struct str place = conf_place(&mem, str_dupz_raw(&mem, c->name), &conf_setting(c, key)->where, key);
	return buf_addf(ret, err, "%.*s%s\n", STR_FMT(place), text);
}

static bool listens_outside(const struct conf *c)
{
	static const struct addr_range v4 = { { AF_INET, { 127 } }, 8 };
	static const struct addr_range v6 = { { AF_INET6, { [15] = 1 } }, 128 };
	for (size_t i = 0; i < c->api.listen.n; i++) {
		struct addr addr = { 0 };
		uint16_t port = 0;
		if (FAILED(addr_port_read(c->api.listen.v[i], &addr, &port, NULL)))
			continue;
		if (!addr_in(&addr, &v4) && !addr_in(&addr, &v6))
			return true;
	}
	return false;
}

static fallible warn_realm(const struct conf *c, const struct conf_realm *r, struct buf *ret, struct err *err)
{
	if (r->names.n == 0 && r->addresses.n == 0)
		TRY(spot_warn(c, SPOT("realm", r->name, "names"),
			      "no names: this realm issues nothing; list names or patterns to open it", ret, err));
	for (size_t i = 0; i < r->names.n; i++) {
		if (str_eq(r->names.v[i], STR("*")))
			TRY(spot_warn(c, SPOT("realm", r->name, "names"), "\"*\" allows every name there is", ret,
				      err));
	}
	for (size_t i = 0; i < r->addresses.n; i++) {
		if (str_ends(r->addresses.v[i], STR("/0")))
			TRY(spot_warn(c, SPOT("realm", r->name, "addresses"),
				      "a range of all addresses: what is private or loopback wants a range of its own",
				      ret, err));
	}
	if (r->addresses.n > 0 && !conf_realm_proves(r, true, false))
		TRY(spot_warn(c, SPOT("realm", r->name, "addresses"),
			      "none can be proved: challenges has neither http-01 nor tls-alpn-01", ret, err));
	if (r->subdomain_auth && !conf_realm_proves(r, false, true))
		TRY(spot_warn(c, SPOT("realm", r->name, "subdomain-auth"),
			      "without a DNS method in challenges no domain can be proved with what is below it", ret,
			      err));
	if (r->terms_agree_again && r->terms_of_service.n == 0)
		TRY(spot_warn(c, SPOT("realm", r->name, "terms-agree-again"),
			      "there are no terms: terms-of-service is empty", ret, err));
	return OK;
}

static bool zone_is_used(const struct conf *c, struct str name)
{
	for (size_t i = 0; i < c->realm_count; i++) {
		if (str_eq(c->realms[i].zone, name))
			return true;
	}
	return false;
}

fallible conf_warnings(const struct conf *c, struct buf *ret, struct err *err)
{
	if (listens_outside(c) && str_starts(c->api.base_url, STR("https://localhost")))
		TRY(spot_warn(c, SPOT(NULL, STR_NONE, "api.base-url"),
			      "other machines that reach the API would be sent to their own localhost", ret, err));
	for (size_t i = 0; i < c->realm_count; i++)
		TRY(warn_realm(c, &c->realms[i], ret, err));
	for (size_t i = 0; i < c->profile_count; i++)
		TRY(profile_warn(c, &c->profiles[i], ret, err));
	for (size_t i = 0; i < c->zone_count; i++) {
		const struct conf_zone *z = &c->zones[i];
		if (!zone_is_used(c, z->name))
			TRY(spot_warn(c, SPOT("zone", z->name, "perspectives"), "no realm uses this zone", ret, err));
		if (z->quorum * 2 <= (int64_t)z->perspectives.n)
			TRY(spot_warn(c, SPOT("zone", z->name, "quorum"),
				      "half of the perspectives or fewer decide: one that errs or lies may be enough",
				      ret, err));
	}
	return OK;
}

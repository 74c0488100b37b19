/* SPDX-License-Identifier: Apache-2.0
 *
 * eab_request.c: what an operator asks of a new external account key, checked so that the key can do what was meant: the
 * realm and its profiles are those of the configuration in force, names are patterns or ranges, the end lies ahead.
 */
#include "admin/internal.h"

#define DAY_MS (86400 * (int64_t)1000)
#define LIFE_MAX_MS (36500 * DAY_MS)
#define PROFILES_MAX 32

/* A member that is a list of strings, or absent. */
static fallible list_read(struct arena *mem, const struct json *rq, const char *key, size_t max, struct conf_list *ret,
			  struct err *err)
{
	const struct json *items = NULL;
	*ret = (struct conf_list){ 0 };
	if (json_get(rq, key) == NULL)
		return OK;
	TRY(json_want_array(rq, key, max, &items, err));
	struct conf_list list = { .v = ARENA_ARRAY(mem, struct str, json_count(items) + 1), .n = 0 };
	for (size_t i = 0; i < json_count(items); i++) {
		struct str item = STR_NONE;
		if (!json_as_str(json_at(items, i), &item) || item.n == 0 || item.n > NAME_MAX_LEN + 2)
			FAIL(err, ERR_MALFORMED, "\"%s\": element %zu is no text of 1 to %d bytes", key, i,
			     NAME_MAX_LEN + 2);
		list.v[list.n++] = str_dup(mem, item);
	}
	*ret = list;
	return OK;
}

static struct str list_join(struct arena *mem, const struct conf_list *l)
{
	struct str all = STR_NONE;
	for (size_t i = 0; i < l->n; i++)
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(l->v[i]));
	return all;
}

fallible admin_realm_read(struct arena *mem, const struct json *rq, const struct conf *conf,
			  const struct conf_realm **ret, struct err *err)
{
	struct str name = STR_NONE;
	TRY(json_want_str(rq, "realm", REALM_NAME_MAX, &name, err));
	const struct conf_realm *realm = conf_realm(conf, name);
	if (realm == NULL) {
		struct conf_list all = { .v = ARENA_ARRAY(mem, struct str, conf->realm_count + 1), .n = 0 };
		for (size_t i = 0; i < conf->realm_count; i++)
			all.v[all.n++] = conf->realms[i].name;
		struct str known = list_join(mem, &all);
		FAIL(err, ERR_NOT_FOUND, "realm: found \"%.*s\"; the configuration has: %.*s", STR_FMT(name),
		     STR_FMT(known));
	}
	*ret = realm;
	return OK;
}

static fallible names_check(const struct conf_list *names, struct err *err)
{
	for (size_t i = 0; i < names->n; i++) {
		struct addr_range range;
		struct err why = { 0 };
		if (FAILED(addr_range_read(names->v[i], &range, NULL)) && FAILED(name_pattern_check(names->v[i], &why)))
			FAIL(err, ERR_MALFORMED,
			     "name: found \"%.*s\"; allowed: a name, \"*.DOMAIN\", \"*\" or a range of addresses such "
			     "as 10.1.0.0/16 (%s)",
			     STR_FMT(names->v[i]), why.detail);
	}
	return OK;
}

static fallible profiles_check(struct arena *mem, const struct conf_list *profiles, const struct conf_realm *realm,
			       struct err *err)
{
	for (size_t i = 0; i < profiles->n; i++) {
		if (conf_list_has(&realm->profiles, profiles->v[i]))
			continue;
		struct str known = list_join(mem, &realm->profiles);
		FAIL(err, ERR_NOT_FOUND, "profile: found \"%.*s\"; realm %.*s has: %.*s", STR_FMT(profiles->v[i]),
		     STR_FMT(realm->name), STR_FMT(known));
	}
	return OK;
}

/* It will stand in tables on terminals: no control characters, those of Latin-1 (U+0080 to U+009F) among them. */
static fallible label_check(struct str label, struct err *err)
{
	for (size_t i = 0; i < label.n; i++) {
		uint8_t c = (uint8_t)label.p[i];
		bool c1 = c == 0xc2 && i + 1 < label.n && (uint8_t)label.p[i + 1] < 0xa0;
		if (c < 0x20 || c == 0x7f || c1)
			FAIL(err, ERR_MALFORMED, "label: found a control character; allowed: text");
	}
	return OK;
}

static bool is_kid_char(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '_' ||
	       c == '-';
}

/* A '-' in front would be taken for an option by every client that is given the key on its command line. */
static fallible kid_check(struct str kid, struct err *err)
{
	bool good = kid.n > 0 && kid.p[0] != '-';
	for (size_t i = 0; i < kid.n && good; i++)
		good = is_kid_char(kid.p[i]);
	if (!good)
		FAIL(err, ERR_MALFORMED,
		     "kid: found \"%.*s\"; allowed: 1 to %d letters, digits and . _ -, with no - in front",
		     STR_FMT(kid), EAB_KID_MAX);
	return OK;
}

fallible eab_kid_read(const struct json *rq, struct str *ret, struct err *err)
{
	struct str kid = STR_NONE;
	TRY(json_want_str(rq, "kid", EAB_KID_MAX, &kid, err));
	TRY(kid_check(kid, err));
	*ret = kid;
	return OK;
}

/* "90d": true, and how long; or it has another form. A number that is too large for any use reads as the largest. */
static bool duration_read(struct str text, int64_t *ret_ms)
{
	static const struct {
		char unit;
		int64_t ms;
	} units[] = { { 's', 1000 }, { 'm', 60000 }, { 'h', 3600000 }, { 'd', DAY_MS } };
	uint64_t n = 0;
	if (text.n < 2 || FAILED(str_u64(str_sub(text, 0, text.n - 1), 1000000000000, &n, NULL)))
		return false;
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (text.p[text.n - 1] != units[i].unit)
			continue;
		if (__builtin_mul_overflow((int64_t)n, units[i].ms, ret_ms) || *ret_ms > LIFE_MAX_MS)
			*ret_ms = LIFE_MAX_MS + 1;
		return true;
	}
	return false;
}

fallible eab_expiry_read(struct str text, int64_t now_ms, int64_t *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	int64_t life_ms = 0;
	int64_t at_s = 0;
	bool day = text.n == strlen("2027-01-01");
	struct str moment = day ? str_fmt(&mem, "%.*sT00:00:00Z", STR_FMT(text)) : text;
	if (duration_read(text, &life_ms))
		; /* from now on */
	else if (!FAILED(time_read(moment, &at_s, NULL)))
		life_ms = at_s * 1000 - now_ms;
	else
		FAIL(err, ERR_MALFORMED,
		     "expires: found \"%.*s\"; allowed: a duration such as 90d (d, h, m, s), a day such as 2027-01-01 "
		     "(its beginning, UTC) or a time such as 2027-01-01T12:00:00Z",
		     STR_FMT(str_sub(text, 0, 64)));
	if (life_ms <= 0)
		FAIL(err, ERR_MALFORMED, "expires: found \"%.*s\", which is not in the future", STR_FMT(text));
	if (life_ms > LIFE_MAX_MS)
		FAIL(err, ERR_MALFORMED,
		     "expires: found \"%.*s\"; allowed: at most 36500d from now; leave it out for a "
		     "key without an end",
		     STR_FMT(text));
	*ret = now_ms + life_ms;
	return OK;
}

#define CERT_LIFE_MIN_MS (60 * (int64_t)1000) /* as of profiles */

static fallible lifetime_read(const struct json *rq, int64_t *ret_s, struct err *err)
{
	struct str text = STR_NONE;
	int64_t ms = 0;
	TRY(json_want_str(rq, "lifetime", 64, &text, err));
	if (!duration_read(text, &ms) || ms < CERT_LIFE_MIN_MS || ms > CONF_LIFETIME_MAX_S * 1000)
		FAIL(err, ERR_MALFORMED, "lifetime: found \"%.*s\"; allowed: a duration from 1m to 398d (d, h, m, s)",
		     STR_FMT(text));
	*ret_s = ms / 1000;
	return OK;
}

static fallible optional_read(const struct json *rq, int64_t now_ms, struct eab_wish *w, struct err *err)
{
	struct str expires = STR_NONE;
	TRY(json_may_str(rq, "label", EAB_LABEL_MAX, &w->label, err));
	TRY(label_check(w->label, err));
	if (json_get(rq, "uses") != NULL)
		TRY(json_want_i64(rq, "uses", 0, EAB_USES_MAX, &w->uses_max, err));
	if (json_get(rq, "kid") != NULL)
		TRY(eab_kid_read(rq, &w->kid, err));
	if (json_get(rq, "lifetime") != NULL)
		TRY(lifetime_read(rq, &w->lifetime_s, err));
	if (json_get(rq, "expires") == NULL)
		return OK;
	TRY(json_want_str(rq, "expires", 64, &expires, err));
	return eab_expiry_read(expires, now_ms, &w->expires_at, err);
}

fallible eab_wish_read(struct arena *mem, const struct json *rq, const struct conf *conf, int64_t now_ms,
		       struct eab_wish *ret, struct err *err)
{
	struct eab_wish w = { 0 };
	const struct conf_realm *realm = NULL;
	TRY(admin_realm_read(mem, rq, conf, &realm, err));
	w.realm = str_dup(mem, realm->name);
	TRY(list_read(mem, rq, "names", EAB_NAMES_MAX, &w.names, err));
	TRY(names_check(&w.names, err));
	TRY(list_read(mem, rq, "profiles", PROFILES_MAX, &w.profiles, err));
	TRY(profiles_check(mem, &w.profiles, realm, err));
	TRY(optional_read(rq, now_ms, &w, err));
	w.label = str_dup(mem, w.label);
	w.kid = str_dup(mem, w.kid);
	*ret = w;
	return OK;
}

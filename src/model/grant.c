/* SPDX-License-Identifier: Apache-2.0
 *
 * grant.c: what an operator vouches for, as the payload that the operator's key signs: names that need no challenge, and
 * what may stand in a subject, each for certain account keys and a certain time.
 */
#include "model/message.h"

#include <stddef.h>

/* X.520's upper bounds, as RFC 5280 appendix A repeats them. */
#define ORGANIZATION_MAX 64
#define LOCALITY_MAX 128
#define STATE_MAX 128
#define COUNTRY_LEN 2
#define EMAIL_MAX 254 /* RFC 5321 4.5.3.1.3, without the angle brackets */
#define EMAIL_LOCAL_MAX 64
#define NOTE_MAX 256

#define AT(member) offsetof(struct grant, member)
static const struct field grant_fields[] = {
	{ "id", FIELD_ID, AT(id), .min = 1 },
	{ "realm", FIELD_WORD, AT(realm), .min = 1, .max = REALM_NAME_MAX },
	{ "thumbprints", FIELD_WORDS, AT(thumbprints), AT(thumbprint_count), 1, GRANT_KEYS_MAX, TOKEN_LEN },
	{ "names", FIELD_TEXTS, AT(names), AT(name_count), 1, GRANT_NAMES_MAX, NAME_MAX_LEN + 2, .may_lack = true },
	{ "addresses", FIELD_TEXTS, AT(addresses), AT(address_count), 1, GRANT_NAMES_MAX, ADDR_TEXT_MAX,
	  .may_lack = true },
	{ "wildcards", FIELD_FLAG, AT(wildcards) },
	{ "organization", FIELD_UTF8, AT(organization), .min = 1, .max = ORGANIZATION_MAX, .may_lack = true },
	{ "locality", FIELD_UTF8, AT(locality), .min = 1, .max = LOCALITY_MAX, .may_lack = true },
	{ "state", FIELD_UTF8, AT(state), .min = 1, .max = STATE_MAX, .may_lack = true },
	{ "country", FIELD_WORD, AT(country), .min = COUNTRY_LEN, .max = COUNTRY_LEN, .may_lack = true },
	{ "emails", FIELD_TEXTS, AT(emails), AT(email_count), 1, GRANT_EMAILS_MAX, EMAIL_MAX, .may_lack = true },
	{ "profiles", FIELD_WORDS, AT(profiles), AT(profile_count), 1, GRANT_PROFILES_MAX, PROFILE_NAME_MAX,
	  .may_lack = true },
	{ "made", FIELD_TIME, AT(made_ms) },
	{ "from", FIELD_TIME, AT(from_s) },
	{ "until", FIELD_TIME, AT(until_s) },
	{ "note", FIELD_UTF8, AT(note), .min = 1, .max = NOTE_MAX, .may_lack = true },
};
#undef AT

static bool is_local_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~.", c) != NULL);
}

/* RFC 5280 4.2.1.6: a Mailbox, here one of a dot-atom at a name in lower case. */
fallible email_check(struct str email, struct err *err)
{
	size_t at = str_find(email, '@', 0);
	struct str local = str_sub(email, 0, at);
	const struct ident host = { IDENT_DNS, at < email.n ? str_sub(email, at + 1, email.n) : STR_NONE };
	bool good = at < email.n && email.n <= EMAIL_MAX && local.n > 0 && local.n <= EMAIL_LOCAL_MAX &&
		    local.p[0] != '.' && local.p[local.n - 1] != '.';
	for (size_t i = 0; good && i < local.n; i++)
		good = is_local_char(local.p[i]) && (local.p[i] != '.' || local.p[i + 1] != '.');
	if (!good || FAILED(ident_check(&host, false, NULL)))
		FAIL(err, ERR_MALFORMED, "\"%.*s\" is no e-mail address of the form user@host.example", STR_FMT(email));
	return OK;
}

static fallible lists_check(const struct grant *g, struct err *err)
{
	struct addr_range range;
	for (size_t i = 0; i < g->thumbprint_count; i++) {
		if (!token_is_wellformed(g->thumbprints[i]))
			FAIL(err, ERR_MALFORMED, "\"thumbprints\"[%zu] is not 32 bytes in base64url", i);
	}
	for (size_t i = 0; i < g->name_count; i++)
		TRY(name_pattern_check(g->names[i], err));
	for (size_t i = 0; i < g->address_count; i++)
		TRY(addr_range_read(g->addresses[i], &range, err));
	for (size_t i = 0; i < g->email_count; i++)
		TRY(email_check(g->emails[i], err));
	return OK;
}

bool grant_has_subject(const struct grant *g)
{
	return g->organization.n > 0 || g->locality.n > 0 || g->state.n > 0 || g->country.n > 0 || g->email_count > 0;
}

static bool is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static fallible grant_check(const void *m, struct err *err)
{
	const struct grant *g = m;
	TRY(lists_check(g, err));
	if (g->name_count == 0 && g->address_count == 0 && !grant_has_subject(g))
		FAIL(err, ERR_MALFORMED, "it grants nothing: no names, no addresses, nothing of a subject");
	if (g->wildcards && g->name_count == 0)
		FAIL(err, ERR_MALFORMED, "\"wildcards\" goes with \"names\"");
	if (g->country.n > 0 && (!is_upper(g->country.p[0]) || !is_upper(g->country.p[1])))
		FAIL(err, ERR_MALFORMED, "\"country\" is \"%.*s\", two upper-case letters are wanted",
		     STR_FMT(g->country));
	/* BR 7.1.2.7.4: where and who go together. */
	if ((g->locality.n > 0 || g->state.n > 0) && g->organization.n == 0)
		FAIL(err, ERR_MALFORMED, "\"locality\" and \"state\" go with \"organization\"");
	if (g->until_s <= g->from_s)
		FAIL(err, ERR_MALFORMED, "\"until\" %lld is not later than \"from\" %lld", (long long)g->until_s,
		     (long long)g->from_s);
	return OK;
}

static const struct message grant_table = {
	"grant", GRANT_PAYLOAD_MAX, grant_fields, ARRAY_LEN(grant_fields), grant_check,
};

fallible grant_write(const struct grant *g, struct buf *ret, struct err *err)
{
	return message_write(&grant_table, g, ret, err);
}

fallible grant_read(struct arena *mem, struct str text, struct grant *ret, struct err *err)
{
	struct grant g = { .wildcards = false };
	TRY(message_read(&grant_table, mem, text, &g, err));
	*ret = g;
	return OK;
}

static bool list_has(const struct str *list, size_t count, struct str s)
{
	for (size_t i = 0; i < count; i++) {
		if (str_eq(list[i], s))
			return true;
	}
	return false;
}

bool grant_has_key(const struct grant *g, struct str thumbprint)
{
	return list_has(g->thumbprints, g->thumbprint_count, thumbprint);
}

bool grant_has_profile(const struct grant *g, struct str profile)
{
	return g->profile_count == 0 || list_has(g->profiles, g->profile_count, profile);
}

static bool covers_name(const struct grant *g, struct str name)
{
	if (str_starts(name, STR("*.")) && !g->wildcards)
		return false;
	for (size_t i = 0; i < g->name_count; i++) {
		if (name_matches(g->names[i], name))
			return true;
	}
	return false;
}

bool grant_covers(const struct grant *g, const struct ident *ident)
{
	struct addr addr;
	struct addr_range range;
	if (ident->type == IDENT_DNS)
		return covers_name(g, ident->value);
	if (ident->type != IDENT_IP || FAILED(addr_read(ident->value, &addr, NULL)))
		return false;
	for (size_t i = 0; i < g->address_count; i++) {
		if (!FAILED(addr_range_read(g->addresses[i], &range, NULL)) && addr_in(&addr, &range))
			return true;
	}
	return false;
}

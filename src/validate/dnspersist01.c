/* SPDX-License-Identifier: Apache-2.0
 *
 * dnspersist01.c: the DNS challenge whose record stays (draft-ietf-acme-dns-persist-02, BR 3.2.2.4.22). A TXT record at
 * _validation-persist below the name says which CA may issue and, as a hash over name, key and URL, for which account.
 * An alias is followed to find the record and changes nothing about the name that is proved. Any record of ours that
 * holds is enough; among several the one that holds longest is taken, so that perspectives agree whatever the order.
 */
#include "validate/internal.h"

#define LABEL "_validation-persist."
#define RECORD_SHOWN_MAX 160
#define UNTIL_MAX ((int64_t)253402300799) /* the last second that RFC 3339 can write */

struct persist {
	struct probe *p;
	struct str prefix; /* accountHashPrefix */
	struct txt txt;
	struct str *hashes; /* accepted: two for each key, the present one first */
	size_t hash_count;
	bool found;
	size_t found_hash; /* index: from 2 on, of a key that the account had earlier */
	bool found_has_until;
	int64_t found_until_s;
	struct err malformed, unauthorized; /* the first of each kind */
};

static struct str thumbprint_of(const struct persist *x, size_t hash)
{
	const struct validate_job *j = x->p->job;
	return hash < 2 ? j->thumbprint : j->earlier_thumbprints[hash / 2 - 1];
}

static fallible hashes_make(struct persist *x, struct err *err)
{
	const struct probe *p = x->p;
	const struct validate_job *j = p->job;
	x->hash_count = 2 * (1 + j->earlier_count);
	x->hashes = ARENA_ARRAY(p->mem, struct str, x->hash_count);
	for (size_t i = 0; i < x->hash_count; i++)
		TRY(persist_hash(p->env->crypto, p->mem, i % 2 == 0 ? j->ident.value : STR("*"), thumbprint_of(x, i),
				 j->account_url, &x->hashes[i], err));
	return OK;
}

static bool wants_policy(const struct validate_job *j)
{
	return j->wildcard || j->subdomains;
}

static struct str record_wanted(const struct persist *x)
{
	return str_fmt(x->p->mem, "%.*s; accounturi=%.*ssha-256/%.*s%s", STR_FMT(x->p->env->realm->caa_identities.v[0]),
		       STR_FMT(x->prefix), STR_FMT(x->hashes[0]), wants_policy(x->p->job) ? "; policy=wildcard" : "");
}

/* --- what is wrong with it ----------------------------------------------------------------------------------------*/

/* "https://ca.example/account/0190" -> "https://ca.example/account" */
static struct str url_parent(struct str url)
{
	while (url.n > 0 && url.p[url.n - 1] != '/')
		url.n--;
	return str_sub(url, 0, url.n > 0 ? url.n - 1 : 0);
}

static fallible uri_malformed(const struct persist *x, struct str uri, struct err *err)
{
	struct str accounts = url_parent(x->p->job->account_url);
	if (!str_starts(uri, x->prefix) && str_starts(uri, accounts) && str_find(uri, '/', accounts.n) == accounts.n)
		FAIL(err, ERR_MALFORMED,
		     "accounturi is an account's URL, as draft-ietf-acme-dns-persist-01 had it; this CA takes the hash "
		     "of "
		     "draft -02");
	if (!str_skip(&uri, x->prefix))
		FAIL(err, ERR_MALFORMED, "accounturi does not begin with this CA's accountHashPrefix, which is %.*s",
		     STR_FMT(x->prefix));
	if (str_starts(uri, STR("sha256/")))
		FAIL(err, ERR_MALFORMED,
		     "the hash is called sha256; its name is sha-256 (RFC 6920), and it is over the 43 characters of "
		     "the "
		     "key's thumbprint, not over its 32 bytes");
	struct str name = str_sub(uri, 0, str_find(uri, '/', 0));
	if (name.n == uri.n)
		FAIL(err, ERR_MALFORMED, "accounturi has no sha-256/ and hash behind the accountHashPrefix");
	if (!str_eq(name, STR("sha-256")))
		FAIL(err, ERR_MALFORMED, "the hash is \"%s\"; this CA takes sha-256 alone",
		     str_dupz_raw(x->p->mem, peer_text(x->p->mem, name, 32)));
	uint8_t bytes[32];
	if (FAILED(b64url_decode_to(str_sub(uri, name.n + 1, uri.n), bytes, sizeof bytes, NULL)))
		FAIL(err, ERR_MALFORMED, "what follows sha-256/ is not 32 bytes in base64url without padding");
	return OK;
}

/* Hashes over almost the right thing. */
static const char *mistake_in(const struct persist *x, struct str hash, struct err *err)
{
	const struct probe *p = x->p;
	const struct validate_job *j = p->job;
	uint8_t raw[32];
	const struct str url = j->account_url, thumb = j->thumbprint, name = j->ident.value;
	const struct str bytes =
		FAILED(b64url_decode_to(thumb, raw, sizeof raw, NULL)) ? thumb : str_n(raw, sizeof raw);
	static const char raw_advice[] =
		"the hash is over the 32 bytes of the key's thumbprint; wanted over its 43 characters of base64url";
	static const char name_advice[] = "the hash is over another form of the name; wanted over the name alone";
	const struct {
		struct str domain, thumbprint;
		const char *advice;
	} rows[] = {
		{ name, bytes, raw_advice },
		{ STR("*"), bytes, raw_advice },
		{ x->txt.name, thumb, name_advice },
		{ str_fmt(p->mem, "*.%.*s", STR_FMT(name)), thumb, name_advice },
		{ str_fmt(p->mem, "%.*s.", STR_FMT(name)), thumb, name_advice },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct str made;
		if (rows[i].domain.n <= NAME_MAX_LEN &&
		    !FAILED(persist_hash(p->env->crypto, p->mem, rows[i].domain, rows[i].thumbprint, url, &made,
					 err)) &&
		    str_eq(made, hash))
			return rows[i].advice;
	}
	return "the hash is of another account, key or name";
}

static fallible hash_check(struct persist *x, struct str uri, size_t *ret, struct err *err)
{
	struct str hash = str_sub(uri, x->prefix.n + strlen("sha-256/"), uri.n);
	for (size_t i = 0; i < x->hash_count; i++)
		if (str_eq(hash, x->hashes[i])) {
			*ret = i;
			return OK;
		}
	struct err ignored = { 0 };
	FAIL(err, ERR_UNAUTHORIZED, "%s", mistake_in(x, hash, &ignored));
}

static fallible until_check(const struct persist *x, const struct persist_value *v, struct err *err)
{
	char text[TIME_TEXT_MAX];
	int64_t now_s = clock_now_ms(x->p->env->clk) / 1000;
	if (!v->has_until || v->until_s >= now_s)
		return OK;
	time_show(v->until_s < 0 ? 0 : v->until_s, text);
	FAIL(err, ERR_UNAUTHORIZED, "persistUntil=%lld is over%s%s", (long long)v->until_s,
	     v->until_s < 0 ? ", long before 1970" : ": it was ", v->until_s < 0 ? "" : text);
}

/* --- one record, all records --------------------------------------------------------------------------------------*/

static bool is_earlier(size_t hash)
{
	return hash >= 2;
}

/* No two records are equally good: perspectives get them in different orders. */
static bool is_better(const struct persist *x, size_t hash, const struct persist_value *v)
{
	if (!x->found || is_earlier(x->found_hash) != is_earlier(hash))
		return !x->found || !is_earlier(hash);
	if (x->found_has_until != v->has_until)
		return x->found_has_until;
	if (v->has_until && v->until_s != x->found_until_s)
		return v->until_s > x->found_until_s;
	return hash < x->found_hash;
}

static fallible record_check(struct persist *x, struct str record, struct err *err)
{
	struct persist_value v;
	size_t hash;
	TRY(persist_read(x->p->mem, record, &v, err));
	TRY(uri_malformed(x, v.account_uri, err));
	TRY(hash_check(x, v.account_uri, &hash, err));
	if (wants_policy(x->p->job) && !v.wildcard)
		FAIL(err, ERR_UNAUTHORIZED, "it has no policy=wildcard, which %s",
		     x->p->job->wildcard ? "a wildcard wants" : "the names below the domain want");
	TRY(until_check(x, &v, err));
	if (v.until_s > UNTIL_MAX)
		v.until_s = UNTIL_MAX;
	if (is_better(x, hash, &v)) {
		x->found = true;
		x->found_hash = hash;
		x->found_has_until = v.has_until;
		x->found_until_s = v.until_s;
	}
	return OK;
}

static bool is_ours(const struct persist *x, struct str record)
{
	const struct conf_list *names = &x->p->env->realm->caa_identities;
	for (size_t i = 0; i < names->n; i++)
		if (persist_is_for(record, names->v[i]))
			return true;
	return false;
}

static fallible records_check(struct persist *x, struct err *err)
{
	const struct resolve_txt_answer *a = &x->txt.answer;
	for (size_t i = 0; i < a->count; i++) {
		struct err why = { 0 };
		if (!is_ours(x, a->records[i]))
			continue;
		struct rc rc = record_check(x, a->records[i], &why);
		if (!FAILED(rc))
			continue;
		struct err *first = rc.kind == ERR_MALFORMED ? &x->malformed : &x->unauthorized;
		if (rc.kind != ERR_MALFORMED && rc.kind != ERR_UNAUTHORIZED) {
			*err = why;
			return rc;
		}
		struct str found = peer_text(x->p->mem, a->records[i], RECORD_SHOWN_MAX);
		if (first->kind == ERR_NONE)
			err_set(first, rc.kind, "%.*s TXT from %.*s: found \"%.*s\": %s", STR_FMT(x->txt.shown),
				STR_FMT(x->txt.from), STR_FMT(found), why.detail);
	}
	return OK;
}

/* Draft 9.3.1: what cannot be read is malformed, and said first; what can be read and does not hold is unauthorized. */
static fallible refuse(const struct persist *x, struct err *err)
{
	const struct resolve_txt_answer *a = &x->txt.answer;
	const struct err *first = x->malformed.kind != ERR_NONE ? &x->malformed : &x->unauthorized;
	if (first->kind != ERR_NONE)
		FAIL(err, first->kind, "%s; wanted \"%.*s\"", first->detail, STR_FMT(x->txt.wanted));
	if (a->count == 0 && a->left_out == 0)
		FAIL(err, a->nxdomain ? ERR_DNS : ERR_UNAUTHORIZED,
		     "%.*s TXT: %s from %.*s; wanted a record \"%.*s\"; publish it under exactly this name and wait "
		     "until "
		     "all name servers of the zone have it",
		     STR_FMT(x->txt.shown), a->nxdomain ? "no such name (NXDOMAIN)" : "no such record",
		     STR_FMT(x->txt.from), STR_FMT(x->txt.wanted));
	struct str found = txt_records_show(x->p->mem, a);
	FAIL(err, ERR_UNAUTHORIZED,
	     "%.*s TXT from %.*s: found %.*s, no record of this CA; wanted a record \"%.*s\"; publish it beside what "
	     "is "
	     "there",
	     STR_FMT(x->txt.shown), STR_FMT(x->txt.from), STR_FMT(found), STR_FMT(x->txt.wanted));
}

static void take(struct persist *x)
{
	char text[TIME_TEXT_MAX];
	struct probe *p = x->p;
	bool earlier = is_earlier(x->found_hash);
	if (earlier)
		p->record_thumbprint = thumbprint_of(x, x->found_hash);
	p->persist_until_s = x->found_has_until ? x->found_until_s : 0;
	time_show(p->persist_until_s, text);
	probe_step(p, "response", "the record names this account by %s, %s%s",
		   earlier ? "a key that it had earlier" : "its present key",
		   x->found_has_until ? "until " : "without an end", x->found_has_until ? text : "");
}

fallible dnspersist01(struct probe *p, struct err *err)
{
	struct persist x = { .p = p };
	const struct conf_realm *realm = p->env->realm;
	if (realm == NULL || realm->caa_identities.n == 0) /* the api does not offer it then */
		FAIL(err, ERR_INTERNAL, "realm \"%.*s\" has no caa-identities here, which dns-persist-01 wants",
		     STR_FMT(p->job->realm));
	x.prefix = conf_realm_hash_prefix(realm, url_parent(url_parent(p->job->account_url)), p->mem);
	TRY(txt_name(p, STR(LABEL), &x.txt.name, err));
	TRY(hashes_make(&x, err));
	x.txt.wanted = record_wanted(&x);
	TRY(txt_look_up(p, &x.txt, err));
	TRY(records_check(&x, err));
	if (!x.found)
		return refuse(&x, err);
	take(&x);
	return OK;
}

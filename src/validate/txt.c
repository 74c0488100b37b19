/* SPDX-License-Identifier: Apache-2.0
 *
 * txt.c: TXT records for the challenges of the DNS: one lookup with its step in the transcript, and the records that must
 * be the digest of a key authorization (RFC 8555 8.4, draft-ietf-acme-dns-account-label). Most of this file says what a
 * wrong record looks like, because that is what keeps people from a certificate.
 */
#include "validate/internal.h"

#define LOOKUP_MAX_MS 10000
#define RECORDS_SHOWN 3
#define RECORD_SHOWN_MAX 60
#define DIGEST_TEXT_LEN 43 /* 32 bytes in base64url */

/* --- what came back, in words -------------------------------------------------------------------------------------*/

struct str txt_records_show(struct arena *mem, const struct resolve_txt_answer *a)
{
	struct str all = STR("");
	size_t shown = a->count < RECORDS_SHOWN ? a->count : RECORDS_SHOWN;
	size_t more = a->count - shown + a->left_out;
	for (size_t i = 0; i < shown; i++) {
		struct str one = peer_text(mem, a->records[i], RECORD_SHOWN_MAX);
		all = str_fmt(mem, "%.*s%s\"%.*s\"", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(one));
	}
	return more == 0 ? all : str_fmt(mem, "%.*s%s%zu more", STR_FMT(all), shown == 0 ? "" : " and ", more);
}

/* --- the lookup ---------------------------------------------------------------------------------------------------*/

fallible txt_name(struct probe *p, struct str labels, struct str *ret, struct err *err)
{
	struct str name = str_fmt(p->mem, "%.*s%.*s", STR_FMT(labels), STR_FMT(p->job->ident.value));
	if (name.n > NAME_MAX_LEN) {
		p->final = true;
		FAIL(err, ERR_DNS, "%.*s is longer than the %d characters that DNS has room for; use another challenge",
		     STR_FMT(name), NAME_MAX_LEN);
	}
	*ret = name;
	return OK;
}

fallible txt_look_up(struct probe *p, struct txt *t, struct err *err)
{
	const struct probe_ops *ops = p->env->ops;
	int64_t until = clock_mono_ms(p->env->clk) + LOOKUP_MAX_MS;
	if (until > p->deadline_mono_ms)
		until = p->deadline_mono_ms;
	t->from = ops->resolver_name(ops->ctx, t->name);
	struct err why = { 0 };
	struct rc rc = ops->resolve_txt(ops->ctx, t->name, until, p->mem, &t->answer, &why);
	if (rc.kind != ERR_NONE) {
		probe_step(p, "resolve", "%.*s TXT from %.*s: %s", STR_FMT(t->name), STR_FMT(t->from), why.detail);
		*err = why;
		return rc;
	}
	struct str alias = peer_text(p->mem, t->answer.canonical, 100);
	t->shown = alias.n == 0 ? t->name : str_fmt(p->mem, "%.*s (alias of %.*s)", STR_FMT(t->name), STR_FMT(alias));
	struct str found = t->answer.nxdomain                                ? STR("NXDOMAIN")
			   : t->answer.count == 0 && t->answer.left_out == 0 ? STR("no record")
									     : txt_records_show(p->mem, &t->answer);
	probe_step(p, "resolve", "%.*s TXT from %.*s: %.*s (%s)", STR_FMT(t->shown), STR_FMT(t->from), STR_FMT(found),
		   t->answer.dnssec == DNSSEC_SECURE ? "secure" : "insecure");
	return OK;
}

/* --- the digest ---------------------------------------------------------------------------------------------------*/

static struct str trim_blanks(struct str s)
{
	while (s.n > 0 && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r')))
		s = str_sub(s, 1, s.n);
	while (s.n > 0 && (s.p[s.n - 1] == ' ' || (s.p[s.n - 1] >= '\t' && s.p[s.n - 1] <= '\r')))
		s.n--;
	return s;
}

static bool is_digest_text(struct str s)
{
	uint8_t digest[32];
	return s.n == DIGEST_TEXT_LEN && !FAILED(b64url_decode_to(s, digest, sizeof digest, NULL));
}

/* The right value in the wrong spelling, and the values that are taken for it: what to do about each. */
static const char *advice_for(const struct probe *p, struct str record, struct str wanted, const struct sha256 *digest)
{
	AUTO(buf_done) struct buf base64 = BUF_MAX(64);
	struct rc rc = b64_add(&base64, str_n(digest->b, sizeof digest->b), NULL);
	struct str standard = rc.kind == ERR_NONE ? buf_str(&base64) : STR_NONE;
	struct str unpadded = str_sub(standard, 0, DIGEST_TEXT_LEN);
	const struct {
		struct str value;
		const char *advice;
	} known[] = {
		{ str_fmt(p->mem, "\"%.*s\"", STR_FMT(wanted)),
		  "the record has quotation marks of its own: enter it without them" },
		{ str_fmt(p->mem, "%.*s=", STR_FMT(wanted)), "leave out the \"=\" at its end" },
		{ standard, "the record is base64; wanted base64url, with - and _ and without =" },
		{ unpadded, "the record is base64; wanted base64url, with - and _ and without =" },
		{ hex_encode(p->mem, str_n(digest->b, sizeof digest->b)),
		  "the record is hexadecimal; wanted base64url" },
		{ key_authorization(p), "the record is the key authorization; wanted its SHA-256 digest in base64url" },
		{ p->job->token, "the record is the token; wanted the key authorization's SHA-256 digest in "
				 "base64url" },
	};
	if (str_eq(trim_blanks(record), wanted))
		return "the record has blanks at its ends: enter it without them";
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (str_eq(record, known[i].value))
			return known[i].advice;
	if (str_eq_nocase(record, wanted))
		return "upper and lower case got lost: enter the record as it is";
	return NULL;
}

static const char *advice(const struct probe *p, const struct txt *t, const struct sha256 *digest)
{
	bool digest_seen = false;
	for (size_t i = 0; i < t->answer.count; i++) {
		const char *found = advice_for(p, t->answer.records[i], t->wanted, digest);
		if (found != NULL)
			return found;
		digest_seen = digest_seen || is_digest_text(t->answer.records[i]);
	}
	if (digest_seen)
		return "that is of another order or account: publish this one beside it or in its place, and wait "
		       "until "
		       "name servers and caches have let go of the old one";
	return "publish this value, beside what is there";
}

static fallible txt_judge(struct probe *p, const struct txt *t, const struct sha256 *digest, struct err *err)
{
	const struct resolve_txt_answer *a = &t->answer;
	for (size_t i = 0; i < a->count; i++)
		if (str_eq(a->records[i], t->wanted)) {
			probe_step(p, "response", "record %zu of %zu is the digest", i + 1, a->count + a->left_out);
			return OK;
		}
	if (a->count == 0 && a->left_out == 0)
		FAIL(err, a->nxdomain ? ERR_DNS : ERR_UNAUTHORIZED,
		     "%.*s TXT: %s from %.*s; wanted a record \"%.*s\"; publish it under exactly this name (many a "
		     "panel "
		     "adds the zone's name itself) and wait until all name servers of the zone have it",
		     STR_FMT(t->shown), a->nxdomain ? "no such name (NXDOMAIN)" : "no such record", STR_FMT(t->from),
		     STR_FMT(t->wanted));
	struct str found = txt_records_show(p->mem, a);
	FAIL(err, ERR_UNAUTHORIZED, "%.*s TXT from %.*s: found %.*s; wanted a record \"%.*s\"; %s", STR_FMT(t->shown),
	     STR_FMT(t->from), STR_FMT(found), STR_FMT(t->wanted), advice(p, t, digest));
}

fallible txt_prove_digest(struct probe *p, struct str name, struct err *err)
{
	struct txt t = { .name = name };
	struct sha256 digest;
	TRY(digest_sha256(p->env->crypto, key_authorization(p), &digest, err));
	t.wanted = b64url_encode(p->mem, str_n(digest.b, sizeof digest.b));
	TRY(txt_look_up(p, &t, err));
	return txt_judge(p, &t, &digest, err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * dnsaccount01.c: the DNS challenge with a label of the account's own (draft-ietf-acme-dns-account-label-03, BR
 * 3.2.2.4.21): as dns-01, but each account has another place for its record, so that several of them, each with a
 * delegation of its own, can serve one name at the same time.
 */
#include "validate/internal.h"

/* RFC 4648 6, in lower case as DNS labels are written. Ten bytes are sixteen characters without padding. */
static void base32_10(const uint8_t in[10], char out[16])
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	for (size_t i = 0; i < 16; i++) {
		size_t bit = i * 5, at = bit / 8, off = bit % 8;
		unsigned pair = (unsigned)in[at] << 8 | (at + 1 < 10 ? in[at + 1] : 0);
		out[i] = digits[pair >> (11 - off) & 31];
	}
}

fallible account_label(const struct crypto *c, struct arena *mem, struct str account_url, struct str *ret,
		       struct err *err)
{
	struct sha256 digest;
	char label[16];
	TRY(digest_sha256(c, account_url, &digest, err));
	base32_10(digest.b, label);
	*ret = str_fmt(mem, "_%.*s", (int)sizeof label, label);
	return OK;
}

fallible dnsaccount01(struct probe *p, struct err *err)
{
	struct str label, name;
	TRY(account_label(p->env->crypto, p->mem, p->job->account_url, &label, err));
	TRY(txt_name(p, str_fmt(p->mem, "%.*s._acme-challenge.", STR_FMT(label)), &name, err));
	return txt_prove_digest(p, name, err);
}

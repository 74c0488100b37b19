/* SPDX-License-Identifier: Apache-2.0
 *
 * answer.c: what proves an identifier by each method: from a token and the account to the bytes of a file, the digest of
 * a certificate or the record of a name. Nothing here is published; what a token may hold is decided here.
 */
#include "client/engine.h"

#define LABEL_BYTES 10 /* of the account URL's digest: 16 characters of base32 */
#define LABEL_CHARS 16
#define PERSIST_LABEL "_validation-persist"

bool client_method_serves(enum challenge_type method, const struct ident *ident)
{
	if (ident->type == IDENT_IP) /* RFC 8738 4 */
		return !challenge_is_dns(method);
	return challenge_is_dns(method) || !str_starts(ident->value, STR("*.")); /* RFC 8555 8.3, RFC 8737 3 */
}

static fallible digest_b64(const struct crypto *c, struct arena *mem, struct str in, struct str *ret, struct err *err)
{
	struct sha256 digest;
	TRY(digest_sha256(c, in, &digest, err));
	*ret = b64url_encode(mem, str_n(digest.b, sizeof digest.b));
	return OK;
}

/* draft-ietf-acme-dns-account-label-03 3.1: "_" and the base32 (RFC 4648 6, in lower case) of the digest's beginning. */
static fallible account_label(const struct crypto *c, struct str account_url, char out[1 + LABEL_CHARS + 1],
			      struct err *err)
{
	static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
	struct sha256 digest;
	TRY(digest_sha256(c, account_url, &digest, err));
	uint32_t held = 0;
	unsigned bits = 0;
	size_t n = 0;
	out[n++] = '_';
	for (size_t i = 0; i < LABEL_BYTES; i++) {
		held = (held << 8 | digest.b[i]) & 0xffff;
		for (bits += 8; bits >= 5; bits -= 5)
			out[n++] = digits[held >> (bits - 5) & 31];
	}
	out[n] = '\0';
	return OK;
}

static fallible dns_fill(const struct client *cl, struct arena *mem, struct client_answer *a, struct err *err)
{
	char label[1 + LABEL_CHARS + 1];
	if (a->method == CHALLENGE_DNSACCOUNT01) {
		TRY(account_label(cl->crypto, cl->account_url, label, err));
		a->dns_name = str_fmt(mem, "%s._acme-challenge.%.*s", label, STR_FMT(a->ident.value));
	} else {
		a->dns_name = str_fmt(mem, "_acme-challenge.%.*s", STR_FMT(a->ident.value)); /* RFC 8555 8.4 */
	}
	a->dns_value = b64url_encode(mem, str_n(a->digest.b, sizeof a->digest.b));
	return OK;
}

fallible answer_make(const struct client *cl, struct arena *mem, enum challenge_type method, const struct ident *ident,
		     struct str token, struct client_answer *ret, struct err *err)
{
	struct client_answer a = { .method = method, .ident = *ident };
	if (method == CHALLENGE_DNSPERSIST01) {
		*ret = a;
		return OK;
	}
	if (!is_base64url(token)) /* it becomes a file's name: base64url or nothing (THREATS A81) */
		FAIL(err, ERR_MALFORMED, "the server's token is not base64url");
	if (token.n < 22 || token.n > 128) /* RFC 8555 8.3: at least 128 bits */
		FAIL(err, ERR_MALFORMED, "the server's token has %zu characters; 22 to 128 are believable", token.n);
	a.token = str_dup(mem, token);
	a.key_authorization = str_fmt(mem, "%.*s.%s", STR_FMT(token), cl->thumbprint.z);
	TRY(digest_sha256(cl->crypto, a.key_authorization, &a.digest, err));
	if (challenge_is_dns(method))
		TRY(dns_fill(cl, mem, &a, err));
	*ret = a;
	return OK;
}

/* draft-ietf-acme-dns-persist-02: SHA-256 over the name behind its length, the key's thumbprint as it is written, and
 * the account's URL. */
static fallible persist_hash(const struct client *cl, struct arena *mem, struct str name, struct str *ret,
			     struct err *err)
{
	const char length = (char)(uint8_t)name.n; /* NAME_MAX_LEN fits */
	struct str in = str_fmt(mem, "%c%.*s%s%.*s", length, STR_FMT(name), cl->thumbprint.z, STR_FMT(cl->account_url));
	return digest_b64(cl->crypto, mem, in, ret, err);
}

fallible client_persist_record(const struct client *cl, struct arena *mem, const struct ident *ident,
			       struct str *ret_name, struct str *ret_value, struct err *err)
{
	struct str name = ident->value, hash;
	const struct client_directory *d = &cl->directory;
	bool wildcard = str_skip(&name, STR("*."));
	if (ident->type != IDENT_DNS)
		FAIL(err, ERR_CONFIG, "%.*s: addresses have no record of dns-persist-01", STR_FMT(ident->value));
	if (d->persist_issuer.n == 0)
		FAIL(err, ERR_CONFIG,
		     "the server does not serve dns-persist-01: its directory has no issuerDomainNames and "
		     "accountHashPrefix");
	if (cl->account_url.n == 0)
		FAIL(err, ERR_INTERNAL, "no account is known");
	TRY(persist_hash(cl, mem, name, &hash, err));
	*ret_name = str_fmt(mem, PERSIST_LABEL ".%.*s", STR_FMT(name));
	*ret_value = str_fmt(mem, "%.*s; accounturi=%.*ssha-256/%.*s%s", STR_FMT(d->persist_issuer),
			     STR_FMT(d->persist_prefix), STR_FMT(hash), wildcard ? "; policy=wildcard" : "");
	return OK;
}

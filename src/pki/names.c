/* SPDX-License-Identifier: Apache-2.0
 *
 * names.c: does a certificate of our own stand for this name or address? To the letter: no wildcards, no subject. And
 * which issuer does it name?
 */
#include "pki/internal.h"

/* tag and value as the SAN has them; names compare without their case (RFC 4343). */
static bool has_san(const struct cert *c, unsigned tag, struct str value)
{
	struct ext e;
	struct der seq, name;
	if (value.n == 0 || !cert_find_ext(c, OID_SAN, &e) || FAILED(der_only(e.value, DER_SEQUENCE, &seq, NULL)))
		return false;
	for (struct cur at = cur_of(seq.body); !cur_end(&at);) {
		if (FAILED(der_next(&at, &name, NULL)))
			return false;
		if (name.tag != tag)
			continue;
		if (tag == TAG_DNS_NAME ? str_eq_nocase(name.body, value) : str_eq(name.body, value))
			return true;
	}
	return false;
}

bool cert_has_dns_name(const struct cert *c, struct str name)
{
	return has_san(c, TAG_DNS_NAME, name);
}

bool addr_is_mapped(const struct addr *a)
{
	static const uint8_t prefix[12] = { [10] = 0xff, 0xff };
	return a->family == AF_INET6 && memcmp(a->b, prefix, sizeof prefix) == 0;
}

bool cert_has_addr(const struct cert *c, const struct addr *addr)
{
	return has_san(c, TAG_IP_ADDRESS, addr_bytes(addr));
}

bool cert_names_issuer(const struct cert *c, const struct cert *issuer)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str aki;
	if (!str_eq(c->issuer, issuer->subject))
		return false;
	return FAILED(cert_get_aki(&mem, c, &aki, NULL)) || str_eq(aki, issuer->ski);
}

fallible cert_check_issued(const struct cert *c, const struct cert *issuer, struct err *err)
{
	AUTO(key_auto) struct key *k = NULL;
	if (!cert_names_issuer(c, issuer))
		FAIL(err, ERR_MALFORMED, "it names another issuer");
	TRY(cert_get_key(issuer, &k, err));
	if (cert_verifies(c, k))
		return OK;
	FAIL(err, ERR_MALFORMED, "its signature does not verify with the issuer's key");
}

struct str cert_get_tbs(const struct cert *c)
{
	return c->tbs;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * names.c: does a certificate of our own stand for this name or address? To the letter: no wildcards, no subject. And
 * which issuer does it name?
 */
#include "pki/internal.h"

#include <openssl/x509v3.h>

bool cert_has_dns_name(const struct cert *c, struct str name)
{
	const unsigned exact = X509_CHECK_FLAG_NO_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT;
	return X509_check_host(cert_get_x509(c), name.p, name.n, exact, NULL) == 1;
}

bool addr_is_mapped(const struct addr *a)
{
	static const uint8_t prefix[12] = { [10] = 0xff, 0xff };
	return a->family == AF_INET6 && memcmp(a->b, prefix, sizeof prefix) == 0;
}

bool cert_has_addr(const struct cert *c, const struct addr *addr)
{
	struct str bytes = addr_bytes(addr);
	return X509_check_ip(cert_get_x509(c), (const unsigned char *)bytes.p, bytes.n, 0) == 1;
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
	if (X509_verify(c->x509, key_get_evp(k)) == 1)
		return OK;
	err_cause_openssl(NULL);
	FAIL(err, ERR_MALFORMED, "its signature does not verify with the issuer's key");
}

struct str cert_get_tbs(const struct cert *c)
{
	return c->tbs;
}

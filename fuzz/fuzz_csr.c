/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_csr.c: a request that passes has issuable names and addresses in order, a key of the policy, and a signature that
 * OpenSSL's own reader verifies, too.
 */
#include "fuzz.h"
#include "pki/pki.h"

#include <openssl/x509.h>

static const struct crypto *algorithms(void)
{
	static struct crypto *c; /* once for the process, as programs have it */
	if (c == NULL)
		CHECK(!FAILED(crypto_new(&c, NULL)));
	return c;
}

static void check_with_openssl(const struct csr *r, struct str der)
{
	const uint8_t *p = (const uint8_t *)der.p;
	X509_REQ *req = d2i_X509_REQ(NULL, &p, (long)der.n);
	CHECK(req != NULL && p == (const uint8_t *)der.p + der.n);
	CHECK(X509_REQ_verify(req, key_get_evp(r->key)) == 1);
	X509_REQ_free(req);
}

static void check_addrs(const struct csr *r)
{
	static const struct addr_range mapped = { { AF_INET6, { [10] = 0xff, 0xff } }, 96 };
	for (size_t i = 0; i < r->addr_count; i++) {
		CHECK(r->addrs[i].family == AF_INET || r->addrs[i].family == AF_INET6);
		CHECK(!addr_in(&r->addrs[i], &mapped));
		CHECK(i == 0 || addr_compare(&r->addrs[i - 1], &r->addrs[i]) < 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(csr_done) struct csr r = { 0 };
	struct err err = { 0 };
	struct rc rc = csr_read(algorithms(), &mem, str_n(data, size), &r, &err);
	check_err(rc, &err);
	CHECK(!FAILED(rc) || (rc.kind == ERR_BAD_CSR && r.key == NULL));
	if (FAILED(rc))
		return 0;
	CHECK(r.name_count + r.addr_count > 0 && r.name_count + r.addr_count <= CERT_NAMES_MAX && size <= CSR_DER_MAX);
	check_addrs(&r);
	for (size_t i = 0; i < r.name_count; i++) {
		CHECK(!FAILED(name_check(r.names[i], true, NULL)));
		if (i > 0) {
			struct str a = r.names[i - 1], b = r.names[i];
			int c = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
			CHECK(c < 0 || (c == 0 && a.n < b.n));
		}
	}
	CHECK(!FAILED(key_check(r.key, KEY_USE_CERTIFICATE, NULL)));
	check_with_openssl(&r, str_n(data, size));
	return 0;
}

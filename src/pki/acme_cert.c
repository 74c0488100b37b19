/* SPDX-License-Identifier: Apache-2.0
 *
 * acme_cert.c: the certificate with which a client answers tls-alpn-01 (RFC 8737 3): self-signed, for one name or
 * address, with the digest of the key authorization in a critical extension.
 */
#include "pki/internal.h"

#define OID_ACME_IDENTIFIER STR("\x2b\x06\x01\x05\x05\x07\x01\x1f") /* 1.3.6.1.5.5.7.1.31 */
#define LIFE_S ((int64_t)7 * 86400)
#define BACKDATE_S ((int64_t)86400) /* the other side's clock decides */
#define TBS_MAX 2048

static fallible make_name(struct buf *ret, struct err *err)
{
	struct derw w = derw_begin(ret, err);
	derw_open(&w, DER_SEQUENCE);
	rdn_put(&w, OID_COMMON_NAME, DER_UTF8_STRING, STR("acme-tls/1"));
	derw_close(&w);
	return derw_end(&w);
}

static void put_extensions(struct derw *w, const struct str *name, const struct addr *addr, const struct sha256 *digest)
{
	const struct cert_request who = {
		.names = name, .name_count = name != NULL, .addrs = addr, .addr_count = name == NULL
	};
	char octets[2 + sizeof digest->b] = { 0x04, sizeof digest->b };
	memcpy(octets + 2, digest->b, sizeof digest->b);
	derw_open(w, DER_CONTEXT_MADE(3));
	derw_open(w, DER_SEQUENCE);
	ext_san(w, false, &who);
	ext_put(w, OID_ACME_IDENTIFIER, true, str_n(octets, sizeof octets));
	derw_close(w);
	derw_close(w);
}

fallible cert_make_acme(const struct crypto *c, const struct key *k, const struct str *name, const struct addr *addr,
			const struct sha256 *digest, int64_t now_s, struct buf *ret_der, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf subject = BUF_MAX(256), tbs = BUF_MAX(TBS_MAX);
	struct serial serial = serial_new(1, &rng_system);
	struct str spki;
	TRY(make_name(&subject, err));
	TRY(key_spki(&mem, k, &spki, err));
	const struct tbs_head head = {
		.serial = str_n(serial.b, SERIAL_LEN),
		.algorithm = key_x509_algorithm(k),
		.issuer = buf_str(&subject),
		.subject = buf_str(&subject),
		.spki = spki,
		.not_before = now_s - BACKDATE_S,
		.not_after = now_s + LIFE_S,
	};
	struct derw w = derw_begin(&tbs, err);
	derw_open(&w, DER_SEQUENCE);
	tbs_put_head(&w, &head);
	put_extensions(&w, name, addr, digest);
	derw_close(&w);
	TRY(derw_end(&w));
	return cert_wrap(c, k, buf_str(&tbs), ret_der, err);
}

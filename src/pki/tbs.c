/* SPDX-License-Identifier: Apache-2.0
 *
 * tbs.c: certificates as they are written: the TBSCertificate by hand (RFC 5280 4.1, RULES R1, R2, R14), so that the
 * same request gives the same bytes, and building one takes no lock of OpenSSL's.
 */
#include "pki/internal.h"

#define COMMON_NAME_MAX 64 /* RFC 5280 A.1, ub-common-name */

/* By the bits of EKU_SERVER to EKU_EMAIL. */
static const struct str eku_oids[] = {
	{ "\x2b\x06\x01\x05\x05\x07\x03\x01", 8 }, /* id-kp-serverAuth */
	{ "\x2b\x06\x01\x05\x05\x07\x03\x02", 8 }, /* id-kp-clientAuth */
	{ "\x2b\x06\x01\x05\x05\x07\x03\x03", 8 }, /* id-kp-codeSigning */
	{ "\x2b\x06\x01\x05\x05\x07\x03\x04", 8 }, /* id-kp-emailProtection */
};
#define EKU_ALL (EKU_SERVER | EKU_CLIENT | EKU_CODE | EKU_EMAIL)

void ext_open(struct derw *w, struct str oid, bool critical)
{
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, oid);
	if (critical)
		derw_bool(w, true);
	derw_open(w, DER_OCTET_STRING);
}

void ext_close(struct derw *w)
{
	derw_close(w);
	derw_close(w);
}

void ext_put(struct derw *w, struct str oid, bool critical, struct str value)
{
	ext_open(w, oid, critical);
	derw_raw(w, value);
	ext_close(w);
}

void ext_san(struct derw *w, bool critical, const struct cert_request *r)
{
	ext_open(w, OID_SAN, critical);
	derw_open(w, DER_SEQUENCE);
	for (size_t i = 0; i < r->name_count; i++)
		derw_put(w, TAG_DNS_NAME, r->names[i]);
	for (size_t i = 0; i < r->addr_count; i++)
		derw_put(w, TAG_IP_ADDRESS, addr_bytes(&r->addrs[i]));
	for (size_t i = 0; i < r->email_count; i++)
		derw_put(w, TAG_RFC822_NAME, r->emails[i]);
	derw_close(w);
	ext_close(w);
}

unsigned eku_of(struct str oid)
{
	for (size_t i = 0; i < ARRAY_LEN(eku_oids); i++)
		if (str_eq(oid, eku_oids[i]))
			return 1u << i;
	return 0;
}

fallible eku_read(struct str word, unsigned *ret, struct err *err)
{
	static const char *const words[] = { "server-auth", "client-auth", "code-signing", "email-protection" };
	static_assert(ARRAY_LEN(words) == ARRAY_LEN(eku_oids), "a word for each");
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		if (str_eq(word, str_z(words[i]))) {
			*ret = 1u << i;
			return OK;
		}
	}
	FAIL(err, ERR_CONFIG, "\"%.*s\" is no use of a certificate", STR_FMT(word));
}

void ext_eku(struct derw *w, unsigned ekus)
{
	ext_open(w, OID_EKU, false);
	derw_open(w, DER_SEQUENCE);
	for (size_t i = 0; i < ARRAY_LEN(eku_oids); i++)
		if ((ekus & 1u << i) != 0)
			derw_put(w, DER_OID, eku_oids[i]);
	derw_close(w);
	ext_close(w);
}

void ext_aki(struct derw *w, struct str key_id)
{
	ext_open(w, OID_AKI, false);
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_CONTEXT(0), key_id);
	derw_close(w);
	ext_close(w);
}

void rdn_put(struct derw *w, struct str oid, unsigned tag, struct str value)
{
	derw_open(w, DER_SET);
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, oid);
	derw_put(w, tag, value);
	derw_close(w);
	derw_close(w);
}

void tbs_put_head(struct derw *w, const struct tbs_head *h)
{
	derw_raw(w, STR("\xa0\x03\x02\x01\x02")); /* version 3 */
	derw_uint(w, h->serial);
	derw_raw(w, h->algorithm);
	derw_raw(w, h->issuer);
	derw_open(w, DER_SEQUENCE);
	derw_time(w, h->not_before);
	derw_time(w, h->not_after);
	derw_close(w);
	derw_raw(w, h->subject);
	derw_raw(w, h->spki);
}

void ext_aia(struct derw *w, struct str url)
{
	ext_open(w, OID_AIA, false);
	derw_open(w, DER_SEQUENCE);
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, OID_CA_ISSUERS);
	derw_put(w, TAG_URI, url);
	derw_close(w);
	derw_close(w);
	ext_close(w);
}

static fallible put_policies(struct derw *w, const struct cert_template *t, struct err *err)
{
	struct oid oid;
	ext_open(w, OID_POLICIES, false);
	derw_open(w, DER_SEQUENCE);
	for (size_t i = 0; i < t->policy_count; i++) {
		TRY(oid_read(t->policies[i], &oid, err));
		derw_open(w, DER_SEQUENCE);
		derw_put(w, DER_OID, str_n(oid.b, oid.n));
		derw_close(w);
	}
	derw_close(w);
	ext_close(w);
	return OK;
}

/* CRLDistributionPoints of one point, whose name is one URL (RFC 5280 4.2.1.13). */
void ext_crldp(struct derw *w, struct str url)
{
	ext_open(w, OID_CRLDP, false);
	derw_open(w, DER_SEQUENCE);
	derw_open(w, DER_SEQUENCE);
	derw_open(w, DER_CONTEXT_MADE(0));
	derw_open(w, DER_CONTEXT_MADE(0));
	derw_put(w, TAG_URI, url);
	derw_close(w);
	derw_close(w);
	derw_close(w);
	derw_close(w);
	ext_close(w);
}

/* Signing is what every kind does. Being encrypted to is the other use: of RSA keys in TLS 1.2 and in mail, of EC keys in
 * mail (RFC 5753 3). Code is only ever signed. */
struct str leaf_key_usage(const struct cert_template *t, const struct key *k)
{
	if (!t->key_encipherment || (t->ekus & (EKU_SERVER | EKU_CLIENT | EKU_EMAIL)) == 0)
		return KU_SIGN;
	if (key_get_kind(k) == KEY_RSA)
		return KU_SIGN_ENCIPHER;
	return (t->ekus & EKU_EMAIL) != 0 ? KU_SIGN_AGREE : KU_SIGN;
}

struct str leaf_common_name(const struct cert_template *t, const struct cert_request *r)
{
	bool has = t->common_name && r->name_count > 0 && r->names[0].n <= COMMON_NAME_MAX;
	return has ? r->names[0] : STR_NONE;
}

static fallible put_extensions(struct derw *w, const struct issuer *i, const struct cert_template *t,
			       const struct cert_request *r, struct err *err)
{
	bool subject_empty = subject_is_empty(r->subject) && leaf_common_name(t, r).n == 0;
	derw_open(w, DER_CONTEXT_MADE(3));
	derw_open(w, DER_SEQUENCE);
	ext_put(w, OID_KEY_USAGE, true, leaf_key_usage(t, r->key));
	ext_eku(w, t->ekus);
	ext_put(w, OID_BASIC_CONSTRAINTS, true, STR("\x30\x00"));
	ext_aki(w, issuer_cert(i)->ski);
	if (t->aia_url.n > 0)
		ext_aia(w, t->aia_url);
	ext_san(w, subject_empty, r); /* RFC 5280 4.2.1.6 */
	if (t->policy_count > 0)
		TRY(put_policies(w, t, err));
	if (t->crl_url.n > 0)
		ext_crldp(w, t->crl_url);
	if (r->must_staple)
		ext_put(w, OID_TLS_FEATURE, false, MUST_STAPLE);
	derw_close(w);
	derw_close(w);
	return OK;
}

static fallible check_template(const struct cert_template *t, struct err *err)
{
	if (t->ekus == 0 || (t->ekus & ~EKU_ALL) != 0)
		FAIL(err, ERR_INTERNAL, "certificate template has no extended key usage, or an unknown one (0x%x)",
		     t->ekus);
	if (t->policy_count > CERT_POLICIES_MAX)
		FAIL(err, ERR_INTERNAL, "certificate template has %zu policies, at most %d are served", t->policy_count,
		     CERT_POLICIES_MAX);
	return OK;
}

static fallible check_names(const struct cert_request *r, struct err *err)
{
	size_t count = r->name_count + r->addr_count + r->email_count;
	if (count == 0 || count > CERT_NAMES_MAX || r->name_count > CERT_NAMES_MAX || r->addr_count > CERT_NAMES_MAX)
		FAIL(err, ERR_INTERNAL, "certificate for %zu names, wanted 1 to %d", count, CERT_NAMES_MAX);
	for (size_t a = 0; a < r->addr_count; a++)
		if (r->addrs[a].family != AF_INET && r->addrs[a].family != AF_INET6)
			FAIL(err, ERR_INTERNAL, "certificate for an address that is neither IPv4 nor IPv6");
	for (size_t i = 0; i < r->email_count; i++)
		TRY(cert_email_check(r->emails[i], err));
	return r->subject == NULL ? OK : cert_subject_check(r->subject, err);
}

static fallible check_request(const struct issuer *i, const struct cert_request *r, struct err *err)
{
	TRY(check_names(r, err));
	if (r->serial.b[0] == 0 || r->serial.b[0] > 0x7f)
		FAIL(err, ERR_INTERNAL, "serial starts with 0x%02x, wanted 0x01 to 0x7f", r->serial.b[0]);
	if (r->not_after < r->not_before)
		FAIL(err, ERR_INTERNAL, "certificate would end before it begins");
	if (r->not_after > issuer_cert(i)->not_after)
		FAIL(err, ERR_INTERNAL, "certificate would outlive its issuer by %lld s",
		     (long long)(r->not_after - issuer_cert(i)->not_after));
	return OK;
}

fallible cert_build_tbs(const struct issuer *i, const struct cert_template *t, const struct cert_request *r,
			struct buf *ret_tbs, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf subject = BUF_MAX(2048); /* 386 characters at most, of up to four bytes */
	struct str spki;
	TRY(check_template(t, err));
	TRY(check_request(i, r, err));
	TRY(key_spki(&mem, r->key, &spki, err));
	struct derw w = derw_begin(&subject, err);
	subject_put(&w, r->subject, leaf_common_name(t, r));
	TRY(derw_end(&w));
	const struct tbs_head head = {
		.serial = str_n(r->serial.b, SERIAL_LEN),
		.algorithm = key_x509_algorithm(i->public),
		.issuer = issuer_cert(i)->subject,
		.subject = buf_str(&subject),
		.spki = spki,
		.not_before = r->not_before,
		.not_after = r->not_after,
	};
	w = derw_begin(ret_tbs, err);
	derw_open(&w, DER_SEQUENCE);
	tbs_put_head(&w, &head);
	TRY(put_extensions(&w, i, t, r, err));
	derw_close(&w);
	return derw_end(&w);
}

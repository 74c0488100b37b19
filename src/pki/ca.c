/* SPDX-License-Identifier: Apache-2.0
 *
 * ca.c: the CA's own hierarchy, made once by cairn init: a root and an intermediate that can issue for TLS only, unless
 * told otherwise, and, when told so, for some domains and addresses only (RFC 5280 4.2.1.10).
 */
#include "pki/internal.h"

#define NAME_ATTRIBUTE_MAX 64 /* RFC 5280 A.1, ub-common-name and ub-organization-name */
#define SERIAL_PREFIX_CA 0x7f
#define TBS_MAX (CERT_DER_MAX - 2048)

/* RFC 7093 2 (1): leftmost 160 bits of the SHA-256 of the subjectPublicKey's bits. */
static fallible make_key_id(const struct crypto *c, struct str spki, struct sha256 *ret, struct err *err)
{
	struct der seq, algorithm, bits;
	TRY(der_only(spki, DER_SEQUENCE, &seq, err));
	struct cur cur = cur_of(seq.body);
	TRY(der_want(&cur, DER_SEQUENCE, &algorithm, err));
	TRY(der_want(&cur, DER_BIT_STRING, &bits, err));
	return digest_sha256(c, str_sub(bits.body, 1, bits.body.n), ret, err);
}

static fallible check_attribute(const char *what, struct str value, size_t min, struct err *err)
{
	if (value.n < min || value.n > NAME_ATTRIBUTE_MAX)
		FAIL(err, ERR_CONFIG, "%s of %zu bytes, wanted %zu to %d", what, value.n, min, NAME_ATTRIBUTE_MAX);
	for (size_t i = 0; i < value.n; i++)
		if ((uint8_t)value.p[i] < 0x20 || (uint8_t)value.p[i] == 0x7f)
			FAIL(err, ERR_CONFIG, "%s has a control character", what);
	return OK;
}

static fallible check_request(const struct ca_request *r, struct err *err)
{
	TRY(check_attribute("common name", r->common_name, 1, err));
	TRY(check_attribute("organization", r->organization, 0, err));
	TRY(key_check(r->key, KEY_USE_CERTIFICATE, err));
	if (r->not_after <= r->not_before)
		FAIL(err, ERR_CONFIG, "CA certificate would end before it begins");
	if (r->path_len > 127)
		FAIL(err, ERR_CONFIG, "path length %d, wanted 0 to 127", r->path_len);
	return OK;
}

static void put_basic_constraints(struct derw *w, int path_len)
{
	uint8_t length = (uint8_t)(path_len < 0 ? 0 : path_len);
	ext_open(w, OID_BASIC_CONSTRAINTS, true);
	derw_open(w, DER_SEQUENCE);
	derw_bool(w, true);
	if (path_len >= 0)
		derw_uint(w, str_n(&length, 1));
	derw_close(w);
	ext_close(w);
}

static void put_subtree(struct derw *w, unsigned tag, struct str base)
{
	derw_open(w, DER_SEQUENCE);
	derw_put(w, tag, base);
	derw_close(w);
}

/* RFC 5280 4.2.1.10: the address, then its mask. */
static void put_range(struct derw *w, const struct addr_range *r)
{
	uint8_t octets[32] = { 0 };
	size_t n = r->base.family == AF_INET ? 4 : 16;
	memcpy(octets, r->base.b, n);
	for (unsigned bit = 0; bit < r->bits; bit++)
		octets[n + bit / 8] |= (uint8_t)(0x80 >> bit % 8);
	put_subtree(w, TAG_IP_ADDRESS, str_n(octets, 2 * n));
}

static bool permits_family(const struct ca_request *r, int family)
{
	for (size_t i = 0; i < r->permit_range_count; i++)
		if (r->permit_ranges[i].base.family == family)
			return true;
	return false;
}

/* Kinds of name that no permitted subtree speaks of would be free, so each of them is excluded as a whole (BR 7.1.5):
 * all dNSNames, 0.0.0.0/0, ::/0. */
static void put_excluded(struct derw *w, const struct ca_request *r)
{
	static const struct addr_range all[] = { { { .family = AF_INET }, 0 }, { { .family = AF_INET6 }, 0 } };
	bool v4 = permits_family(r, AF_INET), v6 = permits_family(r, AF_INET6);
	if (r->permit_count > 0 && v4 && v6)
		return;
	derw_open(w, DER_CONTEXT_MADE(1));
	if (r->permit_count == 0)
		put_subtree(w, TAG_DNS_NAME, STR(""));
	if (!v4)
		put_range(w, &all[0]);
	if (!v6)
		put_range(w, &all[1]);
	derw_close(w);
}

static void put_name_constraints(struct derw *w, const struct ca_request *r)
{
	ext_open(w, OID_NAME_CONSTRAINTS, true);
	derw_open(w, DER_SEQUENCE);
	derw_open(w, DER_CONTEXT_MADE(0));
	for (size_t i = 0; i < r->permit_count; i++)
		put_subtree(w, TAG_DNS_NAME, r->permit[i]);
	for (size_t i = 0; i < r->permit_range_count; i++)
		put_range(w, &r->permit_ranges[i]);
	derw_close(w);
	put_excluded(w, r);
	derw_close(w);
	ext_close(w);
}

static void put_key_id(struct derw *w, struct str key_id)
{
	ext_open(w, OID_SKI, false);
	derw_put(w, DER_OCTET_STRING, key_id);
	ext_close(w);
}

static void put_any_policy(struct derw *w)
{
	ext_open(w, OID_POLICIES, false);
	derw_open(w, DER_SEQUENCE);
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, OID_ANY_POLICY);
	derw_close(w);
	derw_close(w);
	ext_close(w);
}

/* parent NULL: a root */
static void put_ca_extension_list(struct derw *w, const struct ca_request *r, struct str key_id,
				  const struct cert *parent)
{
	derw_open(w, DER_SEQUENCE);
	put_basic_constraints(w, r->path_len);
	ext_put(w, OID_KEY_USAGE, true, KU_CA);
	if (parent != NULL) {
		ext_eku(w, r->ekus != 0 ? r->ekus : EKU_SERVER | EKU_CLIENT);
		put_any_policy(w);
		ext_aki(w, parent->ski);
	}
	put_key_id(w, key_id);
	if (r->permit_count > 0 || r->permit_range_count > 0)
		put_name_constraints(w, r);
	if (parent != NULL && r->crl_url.n > 0)
		ext_crldp(w, r->crl_url);
	if (parent != NULL && r->aia_url.n > 0)
		ext_aia(w, r->aia_url);
	derw_close(w);
}

static void put_ca_extensions(struct derw *w, const struct ca_request *r, struct str key_id, const struct cert *parent)
{
	derw_open(w, DER_CONTEXT_MADE(3));
	put_ca_extension_list(w, r, key_id, parent);
	derw_close(w);
}

static fallible make_subject(const struct ca_request *r, struct buf *ret, struct err *err)
{
	struct derw w = derw_begin(ret, err);
	derw_open(&w, DER_SEQUENCE);
	if (r->organization.n > 0)
		rdn_put(&w, OID_ORGANIZATION, DER_UTF8_STRING, r->organization);
	rdn_put(&w, OID_COMMON_NAME, DER_UTF8_STRING, r->common_name);
	derw_close(&w);
	return derw_end(&w);
}

/* parent and its key, or NULL and the key itself */
static fallible make_ca(const struct crypto *c, const struct ca_request *r, const struct cert *parent,
			const struct key *signer, const struct rng *rng, struct cert **ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf subject = BUF_MAX(512), tbs = BUF_MAX(TBS_MAX), der = BUF_MAX(CERT_DER_MAX);
	struct serial serial = serial_new(SERIAL_PREFIX_CA, rng);
	struct sha256 key_id;
	struct str spki;
	TRY(check_request(r, err));
	TRY(make_subject(r, &subject, err));
	TRY(key_spki(&mem, r->key, &spki, err));
	TRY(make_key_id(c, spki, &key_id, err));
	const struct tbs_head head = {
		.serial = str_n(serial.b, SERIAL_LEN),
		.algorithm = key_x509_algorithm(signer),
		.issuer = parent == NULL ? buf_str(&subject) : parent->subject,
		.subject = buf_str(&subject),
		.spki = spki,
		.not_before = r->not_before,
		.not_after = r->not_after,
	};
	struct derw w = derw_begin(&tbs, err);
	derw_open(&w, DER_SEQUENCE);
	tbs_put_head(&w, &head);
	put_ca_extensions(&w, r, str_n(key_id.b, 20), parent);
	derw_close(&w);
	TRY(derw_end(&w));
	TRY(cert_wrap(c, signer, buf_str(&tbs), &der, err));
	return cert_verify_der(buf_str(&der), signer, ret, err);
}

fallible ca_make_root(const struct crypto *c, const struct ca_request *r, const struct rng *rng, struct cert **ret,
		      struct err *err)
{
	return make_ca(c, r, NULL, r->key, rng, ret, err);
}

fallible ca_make_intermediate(const struct crypto *c, const struct ca_request *r, const struct cert *parent,
			      const struct key *parent_key, const struct rng *rng, struct cert **ret, struct err *err)
{
	AUTO(key_auto) struct key *k = NULL;
	TRY(cert_get_key(parent, &k, err));
	if (!key_public_eq(k, parent_key))
		FAIL(err, ERR_CONFIG, "parent's key is not the key of its certificate");
	if (!parent->is_ca || !cert_may_sign_certs(parent) || parent->ski.n == 0)
		FAIL(err, ERR_CONFIG, "parent is no CA that may sign certificates");
	if (r->not_after > parent->not_after)
		FAIL(err, ERR_CONFIG, "CA certificate would outlive its parent");
	return make_ca(c, r, parent, parent_key, rng, ret, err);
}

/* --- a request to somebody else's root (PKCS#10) --- */
static void put_request_info(struct derw *w, const struct ca_request *r, struct str subject, struct str spki,
			     struct str key_id)
{
	derw_open(w, DER_SEQUENCE);
	derw_uint(w, STR_NONE); /* version 1 is the number 0 */
	derw_raw(w, subject);
	derw_raw(w, spki);
	derw_open(w, DER_CONTEXT_MADE(0));
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, OID_EXTENSION_REQUEST);
	derw_open(w, DER_SET);
	put_ca_extension_list(w, r, key_id, NULL);
	derw_close(w);
	derw_close(w);
	derw_close(w);
	derw_close(w);
}

fallible ca_make_csr(const struct crypto *c, const struct ca_request *r, struct buf *ret_der, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf subject = BUF_MAX(512), info = BUF_MAX(CSR_DER_MAX), der = BUF_MAX(CSR_DER_MAX);
	AUTO(key_auto) struct key *again = NULL;
	struct sha256 key_id;
	struct str spki;
	TRY(check_attribute("common name", r->common_name, 1, err));
	TRY(check_attribute("organization", r->organization, 0, err));
	TRY(make_subject(r, &subject, err));
	TRY(key_spki(&mem, r->key, &spki, err));
	TRY(make_key_id(c, spki, &key_id, err));
	struct derw w = derw_begin(&info, err);
	put_request_info(&w, r, buf_str(&subject), spki, str_n(key_id.b, 20));
	TRY(derw_end(&w));
	TRY(cert_wrap(c, r->key, buf_str(&info), &der, err));
	TRY(csr_read_key(c, buf_str(&der), &again, err));
	return buf_add(ret_der, buf_str(&der), err);
}

/* --- who a CA says it is --- */
fallible ca_get_names(const struct cert *c, struct str *ret_organization, struct str *ret_common_name, struct err *err)
{
	struct der name, set, attribute, oid, value;
	TRY(der_only(c->subject, DER_SEQUENCE, &name, err));
	*ret_organization = *ret_common_name = STR_NONE;
	for (struct cur cur = cur_of(name.body); !cur_end(&cur);) {
		TRY(der_want(&cur, DER_SET, &set, err));
		struct cur in = cur_of(set.body);
		TRY(der_want(&in, DER_SEQUENCE, &attribute, err));
		in = cur_of(attribute.body);
		TRY(der_want(&in, DER_OID, &oid, err));
		TRY(der_next(&in, &value, err));
		if (str_eq(oid.body, OID_ORGANIZATION))
			*ret_organization = value.body;
		if (str_eq(oid.body, OID_COMMON_NAME))
			*ret_common_name = value.body;
	}
	return OK;
}

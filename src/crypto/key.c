/* SPDX-License-Identifier: Apache-2.0
 *
 * key.c: keys made of raw parts and taken apart again. No decoder of OpenSSL sees a peer's bytes here: parts go through
 * EVP_PKEY_fromdata, and SubjectPublicKeyInfo is read and written by the exact bytes that BR 7.1.3.1 lists, so that
 * compressed points, explicit curves and odd parameters have no way in (THREATS A26).
 */
#include "crypto/crypto.h"

#include "crypto/internal.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/objects.h>
#include <openssl/param_build.h>
#include <openssl/rsa.h>
#include <stdlib.h>

#define BYTES(lit)                     \
	{                              \
		(lit), sizeof(lit) - 1 \
	}
#define COORD_MAX 66
#define RSA_EXPONENT_MAX 65537

const struct key_row key_rows[KEY_KIND_COUNT] = {
	[KEY_P256] = {
		.name = "P-256", .evp_type = "EC", .group = "prime256v1", .coord = 32, .bits = 256,
		.spki_algorithm = BYTES("\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07"),
		.sig_algorithm = BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"),
		.order = BYTES("\xff\xff\xff\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff\xbc\xe6\xfa\xad\xa7\x17\x9e"
		               "\x84\xf3\xb9\xca\xc2\xfc\x63\x25\x51"),
		.alg = SIG_ES256, .digest = DIGEST_SHA256,
	},
	[KEY_P384] = {
		.name = "P-384", .evp_type = "EC", .group = "secp384r1", .coord = 48, .bits = 384,
		.spki_algorithm = BYTES("\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22"),
		.sig_algorithm = BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"),
		.order = BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
		               "\xff\xc7\x63\x4d\x81\xf4\x37\x2d\xdf\x58\x1a\x0d\xb2\x48\xb0\xa7\x7a\xec\xec\x19\x6a\xcc"
		               "\xc5\x29\x73"),
		.alg = SIG_ES384, .digest = DIGEST_SHA384,
	},
	[KEY_P521] = {
		.name = "P-521", .evp_type = "EC", .group = "secp521r1", .coord = 66, .bits = 521,
		.spki_algorithm = BYTES("\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23"),
		.sig_algorithm = BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"),
		.order = BYTES("\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
		               "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfa\x51\x86\x87\x83\xbf\x2f\x96\x6b\x7f\xcc\x01"
		               "\x48\xf7\x09\xa5\xd0\x3b\xb5\xc9\xb8\x89\x9c\x47\xae\xbb\x6f\xb7\x1e\x91\x38\x64\x09"),
		.alg = SIG_ES512, .digest = DIGEST_SHA512,
	},
	[KEY_RSA] = {
		.name = "RSA", .evp_type = "RSA",
		.spki_algorithm = BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"),
		.sig_algorithm = BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"),
		.alg = SIG_RS256, .digest = DIGEST_SHA256,
	},
	[KEY_ED25519] = {
		.name = "Ed25519", .evp_type = "ED25519", .coord = 32, .bits = 256,
		.spki_algorithm = BYTES("\x30\x05\x06\x03\x2b\x65\x70"),
		.sig_algorithm = BYTES("\x30\x05\x06\x03\x2b\x65\x70"),
		.alg = SIG_EDDSA, .digest = DIGEST_SHA512,
	},
};

static void params_auto(OSSL_PARAM **p)
{
	OSSL_PARAM_free(*p);
}

static void param_bld_auto(OSSL_PARAM_BLD **p)
{
	OSSL_PARAM_BLD_free(*p);
}

const char *key_kind_name(enum key_kind k)
{
	return key_rows[k].name;
}

/* Takes the reference to evp over; NULL: made when it is asked for. */
static struct key *key_new(EVP_PKEY *evp, enum key_kind kind, bool has_private, struct str a, struct str b)
{
	struct key *k = mem_alloc(sizeof *k + a.n + b.n);
	atomic_init(&k->refs, 1);
	k->kind = kind;
	k->has_private = has_private;
	atomic_init(&k->sound, false);
	k->self = k;
	atomic_init(&k->evp, evp);
	k->bits = kind == KEY_RSA ? (unsigned)EVP_PKEY_get_bits(evp) : key_rows[kind].bits;
	k->a_n = a.n;
	k->b_n = b.n;
	memcpy(k->parts, a.p, a.n);
	if (b.n > 0)
		memcpy(k->parts + a.n, b.p, b.n);
	if (kind == KEY_P256)
		k->hot = hot_new(a, b);
	return k;
}

struct key *key_ref(struct key *k)
{
	atomic_fetch_add_explicit(&k->refs, 1, memory_order_relaxed);
	return k;
}

void key_free(struct key *k)
{
	if (k == NULL || atomic_fetch_sub_explicit(&k->refs, 1, memory_order_acq_rel) != 1)
		return;
	if (k->signer != NULL)
		k->signer->free(k->signer_ctx);
	hot_free(k->hot);
	EVP_PKEY_free(atomic_load(&k->evp));
	free(k);
}

void key_auto(struct key **k)
{
	key_free(*k);
}

enum key_kind key_get_kind(const struct key *k)
{
	return k->kind;
}

unsigned key_get_bits(const struct key *k)
{
	return k->bits;
}

bool key_has_private(const struct key *k)
{
	return k->has_private;
}

bool key_public_eq(const struct key *a, const struct key *b)
{
	return a->kind == b->kind && str_eq(key_part_a(a), key_part_a(b)) && str_eq(key_part_b(a), key_part_b(b));
}

EVP_PKEY *key_get_evp(const struct key *k)
{
	return key_evp(k);
}

fallible key_speed_up(const struct crypto *c, const struct key *k, struct err *err)
{
	return k->hot == NULL ? OK : hot_make_table(c->heat, k->hot, err);
}

bool key_is_fast(const struct key *k)
{
	return k->hot != NULL && hot_has_table(k->hot);
}

enum sig_alg key_sig_alg(const struct key *k)
{
	return key_rows[k->kind].alg;
}

struct str key_x509_algorithm(const struct key *k)
{
	return key_rows[k->kind].sig_algorithm;
}

static fallible evp_from_params(const char *type, OSSL_PARAM *params, EVP_PKEY **ret, struct err *err)
{
	AUTO(evp_pkey_ctx_auto) EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
	EVP_PKEY *made = NULL;
	if (ctx == NULL || EVP_PKEY_fromdata_init(ctx) != 1)
		return fail_openssl(err, "key from parts");
	if (EVP_PKEY_fromdata(ctx, &made, EVP_PKEY_PUBLIC_KEY, params) != 1) {
		err_set(err, ERR_BAD_PUBLIC_KEY, "key does not load");
		err_cause_openssl(err);
		return (struct rc){ ERR_BAD_PUBLIC_KEY };
	}
	*ret = made;
	return OK;
}

static fallible evp_from_point(const struct key *k, EVP_PKEY **ret, struct err *err)
{
	const struct key_row *row = &key_rows[k->kind];
	uint8_t point[1 + 2 * COORD_MAX] = { POINT_CONVERSION_UNCOMPRESSED };
	char group[16];
	memcpy(point + 1, k->parts, k->a_n + k->b_n);
	(void)snprintf(group, sizeof group, "%s", row->group);
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, group, 0),
		OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, point, 1 + 2 * row->coord),
		OSSL_PARAM_END,
	};
	return evp_from_params("EC", params, ret, err);
}

EVP_PKEY *key_evp(const struct key *k)
{
	EVP_PKEY *have = atomic_load_explicit(&k->evp, memory_order_acquire), *made = NULL;
	if (have != NULL || FAILED(evp_from_point(k, &made, NULL)))
		return have;
	if (atomic_compare_exchange_strong(&k->self->evp, &have, made))
		return made;
	EVP_PKEY_free(made); /* another thread was faster */
	return have;
}

fallible key_from_ec(enum key_kind curve, struct str x, struct str y, struct key **ret, struct err *err)
{
	const struct key_row *row = &key_rows[curve];
	if (row->group == NULL)
		FAIL(err, ERR_INTERNAL, "%s is no elliptic curve", row->name);
	if (x.n != row->coord || y.n != row->coord)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key coordinates of %zu and %zu bytes, %s has %zu", x.n, y.n, row->name,
		     row->coord);
	TRY(curve_check(curve, x, y, err));
	struct key *k = key_new(NULL, curve, false, x, y);
	atomic_store_explicit(&k->sound, true, memory_order_relaxed); /* key_check asks nothing else of a point */
	*ret = k;
	return OK;
}

static unsigned bit_length(struct str n)
{
	unsigned bits = 0;
	for (unsigned top = (uint8_t)n.p[0]; top != 0; top >>= 1)
		bits++;
	return bits + 8 * (unsigned)(n.n - 1);
}

/* On the bytes alone: a hostile length must not reach a bignum (A24). */
static fallible check_rsa_parts(struct str n, struct str e, struct err *err)
{
	uint32_t exponent = 0;
	if (n.n == 0 || n.p[0] == 0)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key modulus is empty or has a leading zero");
	if (n.n > RSA_BITS_MAX / 8)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key size not supported: more than %d", RSA_BITS_MAX);
	if (bit_length(n) < RSA_BITS_MIN)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key size not supported: %u", bit_length(n));
	if (e.n == 0 || e.n > 3 || e.p[0] == 0)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key exponent must be 65537");
	for (size_t i = 0; i < e.n; i++)
		exponent = exponent << 8 | (uint8_t)e.p[i];
	if (exponent < 3 || exponent > RSA_EXPONENT_MAX || exponent % 2 == 0)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key exponent must be 65537");
	return OK;
}

fallible key_from_rsa(struct str n, struct str e, struct key **ret, struct err *err)
{
	EVP_PKEY *evp = NULL;
	TRY(check_rsa_parts(n, e, err));
	AUTO(bn_auto) BIGNUM *bn_n = BN_bin2bn((const uint8_t *)n.p, (int)n.n, NULL);
	AUTO(bn_auto) BIGNUM *bn_e = BN_bin2bn((const uint8_t *)e.p, (int)e.n, NULL);
	AUTO(param_bld_auto) OSSL_PARAM_BLD *bld = OSSL_PARAM_BLD_new();
	if (bn_n == NULL || bn_e == NULL || bld == NULL ||
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_N, bn_n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(bld, OSSL_PKEY_PARAM_RSA_E, bn_e) != 1)
		return fail_openssl(err, "RSA key from parts");
	AUTO(params_auto) OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(bld);
	if (params == NULL)
		return fail_openssl(err, "RSA key from parts");
	TRY(evp_from_params("RSA", params, &evp, err));
	*ret = key_new(evp, KEY_RSA, false, n, e);
	return OK;
}

fallible key_from_ed25519(struct str x, struct key **ret, struct err *err)
{
	if (x.n != key_rows[KEY_ED25519].coord)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key of %zu bytes, Ed25519 has %zu", x.n, key_rows[KEY_ED25519].coord);
	EVP_PKEY *evp = EVP_PKEY_new_raw_public_key_ex(NULL, "ED25519", NULL, (const uint8_t *)x.p, x.n);
	if (evp == NULL)
		return fail_openssl(err, "Ed25519 key from parts");
	*ret = key_new(evp, KEY_ED25519, false, x, STR_NONE);
	return OK;
}

fallible key_get_parts(struct arena *mem, const struct key *k, struct str *ret_a, struct str *ret_b, struct err *err)
{
	(void)err;
	*ret_a = str_dup(mem, key_part_a(k));
	*ret_b = str_dup(mem, key_part_b(k));
	return OK;
}

/* --- from an EVP_PKEY: our own key files, generated keys, parsed certificates --- */

static fallible kind_of_evp(EVP_PKEY *pkey, enum key_kind *ret, struct err *err)
{
	char group[64] = "";
	bool is_ec = EVP_PKEY_is_a(pkey, "EC") == 1;
	if (is_ec)
		(void)EVP_PKEY_get_group_name(pkey, group, sizeof group, NULL);
	for (unsigned i = 0; i < KEY_KIND_COUNT; i++) {
		const struct key_row *row = &key_rows[i];
		if (EVP_PKEY_is_a(pkey, row->evp_type) != 1 || (row->group != NULL && strcmp(row->group, group) != 0))
			continue;
		*ret = (enum key_kind)i;
		return OK;
	}
	ERR_clear_error();
	if (is_ec)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "ECDSA curve %s not allowed", group[0] == '\0' ? "(unnamed)" : group);
	FAIL(err, ERR_BAD_PUBLIC_KEY, "key type not supported");
}

static fallible get_bn(EVP_PKEY *pkey, const char *name, size_t pad, uint8_t *out, size_t max, size_t *ret_n,
		       struct err *err)
{
	AUTO(bn_auto) BIGNUM *bn = NULL;
	if (EVP_PKEY_get_bn_param(pkey, name, &bn) != 1)
		return fail_openssl(err, "key part");
	size_t n = pad != 0 ? pad : (size_t)BN_num_bytes(bn);
	if (n > max || BN_bn2binpad(bn, out, (int)n) < 0)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key size not supported: %d", BN_num_bits(bn));
	*ret_n = n;
	return OK;
}

static bool evp_has_private(EVP_PKEY *pkey, enum key_kind kind)
{
	AUTO(bn_auto) BIGNUM *d = NULL;
	size_t n = 0;
	bool has;
	if (kind == KEY_ED25519)
		has = EVP_PKEY_get_raw_private_key(pkey, NULL, &n) == 1;
	else
		has = EVP_PKEY_get_bn_param(pkey, kind == KEY_RSA ? OSSL_PKEY_PARAM_RSA_D : OSSL_PKEY_PARAM_PRIV_KEY,
					    &d) == 1;
	ERR_clear_error();
	return has;
}

fallible key_from_evp(EVP_PKEY *pkey, struct key **ret, struct err *err)
{
	uint8_t a[RSA_BITS_MAX / 8], b[RSA_BITS_MAX / 8];
	size_t a_n = sizeof a, b_n = 0;
	enum key_kind kind;
	TRY(kind_of_evp(pkey, &kind, err));
	size_t coord = key_rows[kind].coord;
	if (kind == KEY_ED25519) {
		if (EVP_PKEY_get_raw_public_key(pkey, a, &a_n) != 1 || a_n != coord)
			return fail_openssl(err, "Ed25519 public key");
	} else if (kind == KEY_RSA) {
		TRY(get_bn(pkey, OSSL_PKEY_PARAM_RSA_N, 0, a, sizeof a, &a_n, err));
		TRY(get_bn(pkey, OSSL_PKEY_PARAM_RSA_E, 0, b, sizeof b, &b_n, err));
		TRY(check_rsa_parts(str_n(a, a_n), str_n(b, b_n), err));
	} else {
		TRY(get_bn(pkey, OSSL_PKEY_PARAM_EC_PUB_X, coord, a, sizeof a, &a_n, err));
		TRY(get_bn(pkey, OSSL_PKEY_PARAM_EC_PUB_Y, coord, b, sizeof b, &b_n, err));
	}
	if (EVP_PKEY_up_ref(pkey) != 1)
		return fail_openssl(err, "key reference");
	*ret = key_new(pkey, kind, evp_has_private(pkey, kind), str_n(a, a_n), str_n(b, b_n));
	return OK;
}

fallible key_with_signer(const struct key *public, const struct key_signer *ops, void *ctx, struct key **ret,
			 struct err *err)
{
	EVP_PKEY *evp = key_evp(public);
	if (evp == NULL || EVP_PKEY_up_ref(evp) != 1)
		return fail_openssl(err, "key reference");
	struct key *k = key_new(evp, public->kind, true, key_part_a(public), key_part_b(public));
	k->signer = ops;
	k->signer_ctx = ctx;
	*ret = k;
	return OK;
}

/* --- SubjectPublicKeyInfo --- */

fallible key_spki(struct arena *mem, const struct key *k, struct str *ret, struct err *err)
{
	AUTO(buf_done) struct buf out = BUF_MAX(2 * RSA_BITS_MAX / 8 + 128);
	struct derw w = derw_begin(&out, err);
	derw_open(&w, DER_SEQUENCE);
	derw_raw(&w, key_rows[k->kind].spki_algorithm);
	derw_open_bits(&w);
	if (k->kind == KEY_RSA) {
		derw_open(&w, DER_SEQUENCE);
		derw_uint(&w, key_part_a(k));
		derw_uint(&w, key_part_b(k));
		derw_close(&w);
	} else {
		if (k->kind != KEY_ED25519)
			derw_raw(&w, STR("\x04"));
		derw_raw(&w, key_part_a(k));
		derw_raw(&w, key_part_b(k));
	}
	derw_close(&w);
	derw_close(&w);
	TRY(derw_end(&w));
	*ret = str_dup(mem, buf_str(&out));
	return OK;
}

fallible key_spki_hash(const struct crypto *c, const struct key *k, struct sha256 *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str spki;
	TRY(key_spki(&mem, k, &spki, err));
	return digest_sha256(c, spki, ret, err);
}

/* The curve's name when there is one in the AlgorithmIdentifier, for the refusal. */
static fallible refuse_algorithm(struct str algorithm_body, struct err *err)
{
	struct cur c = cur_of(algorithm_body);
	struct der type, curve;
	char name[64] = "(explicit)";
	if (FAILED(der_want(&c, DER_OID, &type, NULL)) || !str_eq(type.body, STR("\x2a\x86\x48\xce\x3d\x02\x01")))
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key type not supported");
	if (!FAILED(der_want(&c, DER_OID, &curve, NULL))) {
		const uint8_t *p = (const uint8_t *)curve.whole.p;
		ASN1_OBJECT *oid = d2i_ASN1_OBJECT(NULL, &p, (long)curve.whole.n);
		if (oid != NULL)
			(void)OBJ_obj2txt(name, sizeof name, oid, 0);
		ASN1_OBJECT_free(oid);
		ERR_clear_error();
	}
	FAIL(err, ERR_BAD_PUBLIC_KEY, "ECDSA curve %s not allowed", name);
}

static fallible rsa_integer(struct cur *c, struct str *ret, struct err *err)
{
	struct der d;
	TRY(der_want(c, DER_INTEGER, &d, err));
	struct str body = d.body;
	if (body.n == 0 || (uint8_t)body.p[0] >= 0x80 || (body.n > 1 && body.p[0] == 0 && (uint8_t)body.p[1] < 0x80))
		FAIL(err, ERR_MALFORMED, "DER: RSA key with a negative or padded INTEGER");
	*ret = body.n > 1 && body.p[0] == 0 ? str_sub(body, 1, body.n) : body;
	return OK;
}

static fallible key_from_rsa_der(struct str der, struct key **ret, struct err *err)
{
	struct der seq;
	struct str n, e;
	TRY(der_only(der, DER_SEQUENCE, &seq, err));
	struct cur c = cur_of(seq.body);
	TRY(rsa_integer(&c, &n, err));
	TRY(rsa_integer(&c, &e, err));
	if (!cur_end(&c))
		FAIL(err, ERR_MALFORMED, "DER: RSA key with more than two numbers");
	return key_from_rsa(n, e, ret, err);
}

static fallible spki_split(struct str der, struct der *ret_algorithm, struct str *ret_bits, struct err *err)
{
	struct der seq, bits;
	TRY(der_only(der, DER_SEQUENCE, &seq, err));
	struct cur c = cur_of(seq.body);
	TRY(der_want(&c, DER_SEQUENCE, ret_algorithm, err));
	TRY(der_want(&c, DER_BIT_STRING, &bits, err));
	if (!cur_end(&c) || bits.body.n < 2 || bits.body.p[0] != 0)
		FAIL(err, ERR_MALFORMED, "DER: not a SubjectPublicKeyInfo");
	*ret_bits = str_sub(bits.body, 1, bits.body.n);
	return OK;
}

static fallible read_spki(struct str der, struct key **ret, struct err *err)
{
	struct der algorithm;
	struct str bits;
	unsigned kind = 0;
	TRY(spki_split(der, &algorithm, &bits, err));
	while (kind < KEY_KIND_COUNT && !str_eq(algorithm.whole, key_rows[kind].spki_algorithm))
		kind++;
	if (kind == KEY_KIND_COUNT)
		return refuse_algorithm(algorithm.body, err);
	if (kind == KEY_RSA)
		return key_from_rsa_der(bits, ret, err);
	if (kind == KEY_ED25519)
		return key_from_ed25519(bits, ret, err);
	size_t coord = key_rows[kind].coord;
	if (bits.n != 1 + 2 * coord || bits.p[0] != POINT_CONVERSION_UNCOMPRESSED)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key point is not in uncompressed form");
	return key_from_ec((enum key_kind)kind, str_sub(bits, 1, 1 + coord), str_sub(bits, 1 + coord, bits.n), ret,
			   err);
}

fallible key_from_spki(struct str der, struct key **ret, struct err *err)
{
	struct err sub = { 0 };
	struct rc rc = read_spki(der, ret, &sub);
	if (!FAILED(rc))
		return OK;
	if (rc.kind == ERR_MALFORMED)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "%s", sub.detail);
	if (err != NULL)
		*err = sub;
	return rc;
}

fallible key_generate(enum key_kind kind, unsigned rsa_bits, struct key **ret, struct err *err)
{
	const struct key_row *row = &key_rows[kind];
	if (kind == KEY_RSA && rsa_bits != 2048 && rsa_bits != 3072 && rsa_bits != 4096)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key size not supported: %u", rsa_bits);
	AUTO(evp_pkey_auto)
	EVP_PKEY *evp = kind == KEY_RSA       ? EVP_RSA_gen(rsa_bits)
			: kind == KEY_ED25519 ? EVP_PKEY_Q_keygen(NULL, NULL, "ED25519")
					      : EVP_EC_gen(row->group);
	if (evp == NULL)
		return fail_openssl(err, "key generation");
	return key_from_evp(evp, ret, err);
}

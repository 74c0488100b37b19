/* SPDX-License-Identifier: Apache-2.0
 *
 * alpn_cert.c: the certificate of tls-alpn-01 (RFC 8737 3): self-signed, for exactly the one identifier, with the digest
 * of the key authorization in a critical extension. A pure function over hostile bytes, with our own strict reader:
 * what could be read in two ways is refused (THREATS A36). Cheap things first, the one signature last.
 */
#include "validate/internal.h"

#define CERTIFICATE_MAX (16 * 1024)
#define EXTENSIONS_MAX 32
#define OID_SAN STR("\x55\x1d\x11")
#define OID_ACME STR("\x2b\x06\x01\x05\x05\x07\x01\x1f")
#define OID_ACME_DRAFT STR("\x2b\x06\x01\x05\x05\x07\x01\x1e\x01") /* 1.3.6.1.5.5.7.1.30.1 */
#define TAG_DNS_NAME DER_CONTEXT(2)
#define TAG_IP_ADDRESS DER_CONTEXT(7)
#define ACME_OID_TEXT "1.3.6.1.5.5.7.1.31"
#define SHOWN_MAX 100

#define BYTES(lit)                     \
	{                              \
		(lit), sizeof(lit) - 1 \
	}

/* What the self-signature may be made with: exact AlgorithmIdentifier bytes. */
static const struct {
	struct str algorithm;
	enum { SIGNED_ECDSA, SIGNED_RSA, SIGNED_ED25519 } family;
	enum digest digest;
} algorithms[] = {
	{ BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02"), SIGNED_ECDSA, DIGEST_SHA256 },
	{ BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03"), SIGNED_ECDSA, DIGEST_SHA384 },
	{ BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04"), SIGNED_ECDSA, DIGEST_SHA512 },
	{ BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00"), SIGNED_RSA, DIGEST_SHA256 },
	{ BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00"), SIGNED_RSA, DIGEST_SHA384 },
	{ BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00"), SIGNED_RSA, DIGEST_SHA512 },
	{ BYTES("\x30\x05\x06\x03\x2b\x65\x70"), SIGNED_ED25519, DIGEST_SHA256 },
};

struct parts {
	struct str tbs, algorithm, signature;
	struct str inner_algorithm, issuer, subject, spki;
	struct str extensions; /* body of the SEQUENCE OF */
};
struct extension {
	struct str oid;
	bool critical;
	struct str value;
};

/* --- taking it apart ----------------------------------------------------------------------------------------------*/

static fallible split_tbs(struct parts *ret, struct err *err)
{
	struct der seq, d;
	TRY(der_only(ret->tbs, DER_SEQUENCE, &seq, err));
	struct cur c = cur_of(seq.body);
	TRY(der_want(&c, DER_CONTEXT_MADE(0), &d, err));
	if (!str_eq(d.body, STR("\x02\x01\x02")))
		FAIL(err, ERR_MALFORMED, "its version is not 3");
	TRY(der_want(&c, DER_INTEGER, &d, err));
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	ret->inner_algorithm = d.whole;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	ret->issuer = d.whole;
	TRY(der_want(&c, DER_SEQUENCE, &d, err)); /* validity: RFC 8737 asks nothing of it */
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	ret->subject = d.whole;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	ret->spki = d.whole;
	if (cur_end(&c))
		return OK;
	TRY(der_want(&c, DER_CONTEXT_MADE(3), &d, err));
	if (!cur_end(&c))
		FAIL(err, ERR_MALFORMED, "DER: bytes after the extensions");
	TRY(der_only(d.body, DER_SEQUENCE, &seq, err));
	ret->extensions = seq.body;
	return OK;
}

static fallible split(struct str der, struct parts *ret, struct err *err)
{
	struct der seq, d;
	if (der.n > CERTIFICATE_MAX)
		FAIL(err, ERR_MALFORMED, "it has %zu bytes, at most %d are read", der.n, CERTIFICATE_MAX);
	TRY(der_check(der, err));
	TRY(der_only(der, DER_SEQUENCE, &seq, err));
	struct cur c = cur_of(seq.body);
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	ret->tbs = d.whole;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	ret->algorithm = d.whole;
	TRY(der_want(&c, DER_BIT_STRING, &d, err));
	if (!cur_end(&c) || d.body.p[0] != 0)
		FAIL(err, ERR_MALFORMED, "DER: not a Certificate");
	ret->signature = str_sub(d.body, 1, d.body.n);
	TRY(split_tbs(ret, err));
	if (!str_eq(ret->inner_algorithm, ret->algorithm))
		FAIL(err, ERR_MALFORMED, "it names two signature algorithms");
	return OK;
}

static fallible extension_next(struct cur *c, struct extension *ret, struct err *err)
{
	struct der seq, d;
	TRY(der_want(c, DER_SEQUENCE, &seq, err));
	struct cur in = cur_of(seq.body);
	*ret = (struct extension){ 0 };
	TRY(der_want(&in, DER_OID, &d, err));
	ret->oid = d.body;
	if (der_peek(&in, DER_BOOLEAN)) {
		TRY(der_want(&in, DER_BOOLEAN, &d, err));
		if (!str_eq(d.body, STR("\xff")))
			FAIL(err, ERR_MALFORMED, "DER: an extension has \"critical\" spelled out as FALSE");
		ret->critical = true;
	}
	TRY(der_want(&in, DER_OCTET_STRING, &d, err));
	if (!cur_end(&in))
		FAIL(err, ERR_MALFORMED, "DER: an extension has more than three members");
	ret->value = d.body;
	return OK;
}

static fallible extensions_read(struct str body, struct extension out[EXTENSIONS_MAX], size_t *ret_count,
				struct err *err)
{
	size_t n = 0;
	for (struct cur c = cur_of(body); !cur_end(&c); n++) {
		if (n == EXTENSIONS_MAX)
			FAIL(err, ERR_MALFORMED, "it has more than %d extensions", EXTENSIONS_MAX);
		TRY(extension_next(&c, &out[n], err));
		for (size_t i = 0; i < n; i++)
			if (str_eq(out[i].oid, out[n].oid))
				FAIL(err, ERR_MALFORMED, "it has an extension twice");
	}
	*ret_count = n;
	return OK;
}

static const struct extension *extension_find(const struct extension *all, size_t n, struct str oid)
{
	for (size_t i = 0; i < n; i++)
		if (str_eq(all[i].oid, oid))
			return &all[i];
	return NULL;
}

/* --- what it must say ---------------------------------------------------------------------------------------------*/

static struct str name_show(struct arena *mem, const struct der *name)
{
	struct addr a = { .family = name->body.n == 4 ? AF_INET : AF_INET6 };
	char text[ADDR_TEXT_MAX];
	if (name->tag == TAG_DNS_NAME)
		return str_fmt(mem, "\"%.*s\"", STR_FMT(peer_text(mem, name->body, SHOWN_MAX)));
	if (name->tag != TAG_IP_ADDRESS || (name->body.n != 4 && name->body.n != 16))
		return str_fmt(mem, "a name of another kind (tag 0x%02x)", name->tag);
	memcpy(a.b, name->body.p, name->body.n);
	addr_show(&a, text);
	return str_fmt(mem, "the address %s", text);
}

static bool name_is(const struct der *name, const struct ident *ident)
{
	struct addr a;
	if (ident->type == IDENT_DNS)
		return name->tag == TAG_DNS_NAME && str_eq_nocase(name->body, ident->value);
	return name->tag == TAG_IP_ADDRESS && !FAILED(addr_read(ident->value, &a, NULL)) &&
	       str_eq(name->body, str_n(a.b, a.family == AF_INET ? 4 : 16));
}

/* RFC 8737 3: "no other entries". */
static fallible san_check(const struct extension *e, const struct ident *ident, struct arena *mem, struct err *err)
{
	struct der seq, first = { 0 }, d;
	size_t count = 0;
	struct str wanted = peer_text(mem, ident->value, NAME_MAX_LEN);
	if (e == NULL)
		FAIL(err, ERR_UNAUTHORIZED, "has no subjectAltName; wanted one with the single entry %.*s",
		     STR_FMT(wanted));
	TRY(der_check(e->value, err));
	TRY(der_only(e->value, DER_SEQUENCE, &seq, err));
	for (struct cur c = cur_of(seq.body); !cur_end(&c); count++) {
		TRY(der_next(&c, &d, err));
		if (count == 0)
			first = d;
	}
	if (count != 1)
		FAIL(err, ERR_UNAUTHORIZED, "has a subjectAltName of %zu entries; wanted the single entry %.*s", count,
		     STR_FMT(wanted));
	if (!name_is(&first, ident)) {
		struct str found = name_show(mem, &first);
		FAIL(err, ERR_UNAUTHORIZED, "is for %.*s; wanted the single entry %.*s", STR_FMT(found),
		     STR_FMT(wanted));
	}
	return OK;
}

static fallible digest_check(const struct extension *e, bool draft, const struct sha256 *digest, struct arena *mem,
			     struct err *err)
{
	struct der d;
	struct str wanted = str_n(digest->b, sizeof digest->b);
	if (e == NULL)
		FAIL(err, ERR_UNAUTHORIZED,
		     "has no extension acmeIdentifier (" ACME_OID_TEXT ")%s; wanted it with the "
		     "digest of the key authorization; %s",
		     draft ? ", but that of an early draft (1.3.6.1.5.5.7.1.30.1)" : "",
		     draft ? "update the ACME client" : "let the ACME client answer on this port");
	if (!e->critical)
		FAIL(err, ERR_UNAUTHORIZED,
		     "has an acmeIdentifier (" ACME_OID_TEXT ") that is not critical; wanted a "
		     "critical one (RFC 8737 3)");
	struct err why = { 0 };
	if (FAILED(der_only(e->value, DER_OCTET_STRING, &d, &why)) || d.body.n != wanted.n)
		FAIL(err, ERR_UNAUTHORIZED, "has an acmeIdentifier of wrong form; wanted an OCTET STRING of 32 bytes");
	if (!str_eq(d.body, wanted)) {
		struct str found = hex_encode(mem, d.body), want = hex_encode(mem, wanted);
		FAIL(err, ERR_UNAUTHORIZED,
		     "has the digest %.*s in its acmeIdentifier; wanted %.*s; it is of another "
		     "order or account: see which ACME client answers there",
		     STR_FMT(found), STR_FMT(want));
	}
	return OK;
}

static fallible self_signed_check(const struct crypto *c, const struct parts *parts, struct err *err)
{
	AUTO(key_auto) struct key *key = NULL;
	struct err why = { 0 };
	if (!str_eq(parts->issuer, parts->subject))
		FAIL(err, ERR_UNAUTHORIZED,
		     "is not self-signed: its issuer is another than its subject; wanted the "
		     "ACME client's own certificate (RFC 8737 3)");
	if (FAILED(key_from_spki(parts->spki, &key, &why)))
		FAIL(err, ERR_UNAUTHORIZED,
		     "has a key that is not served: %s; wanted ECDSA, or RSA with 2048 bits or "
		     "more",
		     why.detail);
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++) {
		if (!str_eq(parts->algorithm, algorithms[i].algorithm))
			continue;
		enum key_kind kind = key_get_kind(key);
		unsigned family = kind == KEY_RSA ? SIGNED_RSA : kind == KEY_ED25519 ? SIGNED_ED25519 : SIGNED_ECDSA;
		if (family != algorithms[i].family)
			break;
		struct rc rc = sig_verify_x509(c, key, algorithms[i].digest, parts->tbs, parts->signature, &why);
		if (rc.kind == ERR_NONE)
			return OK;
		if (rc.kind == ERR_INTERNAL) {
			*err = why;
			return rc;
		}
		FAIL(err, ERR_UNAUTHORIZED,
		     "is not self-signed: its signature does not verify with its own key; wanted "
		     "the ACME client's own certificate (RFC 8737 3)");
	}
	FAIL(err, ERR_UNAUTHORIZED,
	     "has a signature algorithm that is not served or not its key's; wanted ECDSA, RSA "
	     "or Ed25519, with SHA-256, SHA-384 or SHA-512");
}

static fallible check(const struct crypto *c, struct str der, const struct ident *ident, const struct sha256 *digest,
		      struct arena *mem, struct err *err)
{
	struct parts parts = { 0 };
	struct extension all[EXTENSIONS_MAX];
	size_t n;
	TRY(split(der, &parts, err));
	TRY(extensions_read(parts.extensions, all, &n, err));
	bool draft = extension_find(all, n, OID_ACME_DRAFT) != NULL;
	/* Without it, this is some other certificate: say so rather than finding fault with its names. */
	const struct extension *acme = extension_find(all, n, OID_ACME);
	if (acme == NULL)
		return digest_check(NULL, draft, digest, mem, err);
	TRY(san_check(extension_find(all, n, OID_SAN), ident, mem, err));
	TRY(digest_check(acme, draft, digest, mem, err));
	return self_signed_check(c, &parts, err);
}

fallible alpn_cert_check(const struct crypto *c, struct str der, const struct ident *ident, const struct sha256 *digest,
			 struct arena *mem, struct err *err)
{
	struct err why = { 0 };
	struct rc rc = check(c, der, ident, digest, mem, &why);
	if (rc.kind == ERR_NONE)
		return OK;
	if (rc.kind == ERR_MALFORMED)
		FAIL(err, ERR_UNAUTHORIZED, "cannot be read: %s; wanted an X.509 certificate in DER (RFC 8737 3)",
		     why.detail);
	if (err != NULL)
		*err = why;
	return rc;
}

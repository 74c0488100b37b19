/* SPDX-License-Identifier: Apache-2.0
 *
 * cert.c: certificates as they are read: strict DER taken apart by our own reader. OpenSSL's form of one is made when it
 * is asked for, because decoding the key alone costs more there than a signature. Slices point into the one copy of the
 * DER, so names and key identifiers compare as bytes (RULES R14).
 */
#include "pki/internal.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#define PEM_FILE_MAX (256 * 1024)

struct cert *cert_ref(struct cert *c)
{
	atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
	return c;
}

void cert_free(struct cert *c)
{
	if (c == NULL || atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
		return;
	X509_free(atomic_load_explicit(&c->x509_slot, memory_order_acquire));
	free(c->exts);
	free(c);
}

void cert_auto(struct cert **c)
{
	cert_free(*c);
}

fallible ext_next(struct cur *c, struct ext *ret, struct err *err)
{
	struct der seq, oid, flag, value;
	struct ext e = { 0 };
	TRY(der_want(c, DER_SEQUENCE, &seq, err));
	struct cur in = cur_of(seq.body);
	TRY(der_want(&in, DER_OID, &oid, err));
	if (der_peek(&in, DER_BOOLEAN)) {
		TRY(der_want(&in, DER_BOOLEAN, &flag, err));
		if (!str_eq(flag.body, STR("\xff")))
			FAIL(err, ERR_MALFORMED, "DER: extension with \"critical\" spelled out as FALSE");
		e.critical = true;
	}
	TRY(der_want(&in, DER_OCTET_STRING, &value, err));
	if (!cur_end(&in))
		FAIL(err, ERR_MALFORMED, "DER: extension with more than three members");
	e.oid = oid.body;
	e.value = value.body;
	*ret = e;
	return OK;
}

static fallible refuse_general_name(unsigned tag, struct err *err)
{
	static const struct {
		unsigned tag;
		const char *name;
	} kinds[] = {
		{ DER_CONTEXT_MADE(0), "otherName" },
		{ DER_CONTEXT_MADE(3), "x400Address" },
		{ DER_CONTEXT_MADE(4), "directoryName" },
		{ DER_CONTEXT_MADE(5), "ediPartyName" },
		{ DER_CONTEXT(6), "uniformResourceIdentifier" },
		{ DER_CONTEXT(8), "registeredID" },
	};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (kinds[i].tag == tag)
			FAIL(err, ERR_MALFORMED,
			     "subjectAltName has a name of kind %s, dNSName and iPAddress are served", kinds[i].name);
	FAIL(err, ERR_MALFORMED, "subjectAltName has a name of unknown kind 0x%02x", tag);
}

/* RFC 5280 4.2.1.6: network byte order, nothing but the address. */
static fallible read_addr(struct str bytes, struct addr *ret, struct err *err)
{
	struct addr a = { .family = bytes.n == 4 ? AF_INET : AF_INET6 };
	if (bytes.n != 4 && bytes.n != 16)
		FAIL(err, ERR_MALFORMED, "subjectAltName has an iPAddress of %zu bytes, wanted 4 or 16", bytes.n);
	memcpy(a.b, bytes.p, bytes.n);
	if (addr_is_mapped(&a))
		FAIL(err, ERR_MALFORMED, "subjectAltName has an IPv4-mapped iPAddress, wanted the IPv4 address itself");
	*ret = a;
	return OK;
}

fallible san_read(struct arena *mem, struct str value, struct san *ret, struct err *err)
{
	struct der seq, name;
	struct san san = { .names = ARENA_ARRAY(mem, struct str, CERT_NAMES_MAX),
			   .emails = ARENA_ARRAY(mem, struct str, CERT_NAMES_MAX),
			   .addrs = ARENA_ARRAY(mem, struct addr, CERT_NAMES_MAX) };
	TRY(der_check(value, err));
	TRY(der_only(value, DER_SEQUENCE, &seq, err));
	for (struct cur c = cur_of(seq.body); !cur_end(&c);) {
		TRY(der_next(&c, &name, err));
		if (name.tag != TAG_DNS_NAME && name.tag != TAG_IP_ADDRESS && name.tag != TAG_RFC822_NAME)
			return refuse_general_name(name.tag, err);
		if (san.name_count + san.addr_count + san.email_count == CERT_NAMES_MAX)
			FAIL(err, ERR_MALFORMED, "more than %d names", CERT_NAMES_MAX);
		if (name.tag == TAG_DNS_NAME)
			san.names[san.name_count++] = str_dup(mem, name.body);
		else if (name.tag == TAG_RFC822_NAME)
			san.emails[san.email_count++] = str_dup(mem, name.body);
		else
			TRY(read_addr(name.body, &san.addrs[san.addr_count++], err));
	}
	*ret = san;
	return OK;
}

bool cert_find_ext(const struct cert *cert, struct str oid, struct ext *ret)
{
	for (size_t i = 0; i < cert->ext_count; i++) {
		if (!str_eq(cert->exts[i].oid, oid))
			continue;
		*ret = cert->exts[i];
		return true;
	}
	return false;
}

/* Each once. They are kept as they were read: who asks for one looks at its OID only. */
static fallible split_extensions(struct cert *cert, struct str body, struct err *err)
{
	struct der d;
	struct ext e, had;
	size_t most = 0;
	for (struct cur c = cur_of(body); !cur_end(&c); most++)
		TRY(der_next(&c, &d, err));
	cert->exts = mem_alloc_n(sizeof *cert->exts, most);
	for (struct cur c = cur_of(body); !cur_end(&c);) {
		TRY(ext_next(&c, &e, err));
		if (cert_find_ext(cert, e.oid, &had))
			FAIL(err, ERR_MALFORMED, "certificate has an extension twice");
		cert->exts[cert->ext_count++] = e;
	}
	return OK;
}

static fallible split_validity(struct cert *cert, struct str body, struct err *err)
{
	struct der from, until;
	struct cur c = cur_of(body);
	TRY(der_next(&c, &from, err));
	TRY(der_next(&c, &until, err));
	if (!cur_end(&c) || !value_time(&from, &cert->not_before) || !value_time(&until, &cert->not_after))
		FAIL(err, ERR_MALFORMED, "certificate with a time that is none");
	return OK;
}

static fallible split_tbs(struct cert *cert, struct str tbs, struct err *err)
{
	struct der d, seq;
	struct str extensions = STR_NONE;
	TRY(der_only(tbs, DER_SEQUENCE, &seq, err));
	struct cur c = cur_of(seq.body);
	TRY(der_want(&c, DER_CONTEXT_MADE(0), &d, err));
	if (!str_eq(d.body, STR("\x02\x01\x02")))
		FAIL(err, ERR_MALFORMED, "certificate is not of version 3");
	TRY(der_want(&c, DER_INTEGER, &d, err));
	cert->serial = d.body;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	cert->algorithm = d.whole;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	cert->issuer = d.whole;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	TRY(split_validity(cert, d.body, err));
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	cert->subject = d.whole;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	cert->spki = d.whole;
	/* issuerUniqueID and subjectUniqueID: read past here, found by the lint */
	while (der_peek(&c, DER_CONTEXT(1)) || der_peek(&c, DER_CONTEXT(2)))
		TRY(der_next(&c, &d, err));
	if (!cur_end(&c)) {
		TRY(der_want(&c, DER_CONTEXT_MADE(3), &d, err));
		TRY(der_only(d.body, DER_SEQUENCE, &seq, err));
		extensions = seq.body;
	}
	if (!cur_end(&c))
		FAIL(err, ERR_MALFORMED, "DER: bytes after the extensions");
	return split_extensions(cert, extensions, err);
}

static fallible split_cert(struct cert *cert, struct err *err)
{
	struct str der = str_n(cert->der, cert->der_n);
	struct signed_parts parts;
	TRY(der_check(der, err));
	TRY(signed_split(der, &parts, err));
	cert->tbs = parts.content;
	cert->signature = parts.signature;
	TRY(split_tbs(cert, parts.content, err));
	if (!str_eq(parts.algorithm, cert->algorithm))
		FAIL(err, ERR_MALFORMED, "certificate names two signature algorithms");
	return OK;
}

/* The values that other code decides by. */
static fallible read_values(struct cert *cert, struct err *err)
{
	struct basic_constraints bc = { 0 };
	struct ext e;
	struct der d;
	bool good = !cert_find_ext(cert, OID_BASIC_CONSTRAINTS, &e) || value_basic_constraints(e.value, &bc);
	if (good && cert_find_ext(cert, OID_KEY_USAGE, &e))
		good = value_key_usage(e.value, &cert->usage) && cert->usage != 0;
	if (!good || (bc.has_path_len && !bc.ca))
		FAIL(err, ERR_MALFORMED, "certificate has an extension that does not parse");
	cert->is_ca = bc.ca;
	if (cert_find_ext(cert, OID_SKI, &e)) {
		TRY(der_only(e.value, DER_OCTET_STRING, &d, err));
		cert->ski = d.body;
	}
	return OK;
}

fallible cert_read_der(struct str der, struct cert **ret, struct err *err)
{
	if (der.n == 0 || der.n > CERT_DER_MAX)
		FAIL(err, ERR_MALFORMED, "certificate of %zu bytes, wanted 1 to %d", der.n, CERT_DER_MAX);
	AUTO(cert_auto) struct cert *cert = mem_alloc(sizeof *cert + der.n);
	atomic_init(&cert->refs, 1);
	atomic_init(&cert->x509_slot, NULL);
	cert->x509 = &cert->x509_slot;
	cert->der_n = der.n;
	memcpy(cert->der, der.p, der.n);
	TRY(split_cert(cert, err));
	TRY(read_values(cert, err));
	*ret = TAKE(cert);
	return OK;
}

X509 *cert_get_x509(const struct cert *c)
{
	const uint8_t *p = (const uint8_t *)c->der;
	X509 *x = atomic_load_explicit(c->x509, memory_order_acquire), *first = NULL;
	if (x != NULL)
		return x;
	x = d2i_X509(NULL, &p, (long)c->der_n);
	ERR_clear_error();
	if (x == NULL || p != (const uint8_t *)c->der + c->der_n) {
		X509_free(x);
		return NULL;
	}
	if (atomic_compare_exchange_strong(c->x509, &first, x))
		return x;
	X509_free(x); /* another thread was first */
	return first;
}

bool cert_verifies(const struct cert *c, const struct key *k)
{
	X509 *x = cert_get_x509(c);
	bool good = x != NULL && X509_verify(x, key_get_evp(k)) == 1;
	ERR_clear_error();
	return good;
}

/* What comes from others is read by OpenSSL as well, which their clients will use. */
static fallible read_twice(struct str der, struct cert **ret, struct err *err)
{
	AUTO(cert_auto) struct cert *cert = NULL;
	TRY(cert_read_der(der, &cert, err));
	X509 *x = cert_get_x509(cert);
	bool good = x != NULL && (X509_get_extension_flags(x) & EXFLAG_INVALID) == 0;
	ERR_clear_error();
	if (!good)
		FAIL(err, ERR_MALFORMED, "certificate does not parse");
	*ret = TAKE(cert);
	return OK;
}

static void bio_auto(BIO **p)
{
	BIO_free_all(*p);
}

struct pem_block {
	char *name, *header; /* NULL: the end of the text */
	uint8_t *der;
	long n;
};

static void pem_block_done(struct pem_block *b)
{
	OPENSSL_free(b->name);
	OPENSSL_free(b->header);
	OPENSSL_free(b->der);
}

static fallible next_block(BIO *in, struct pem_block *ret, struct err *err)
{
	if (PEM_read_bio(in, &ret->name, &ret->header, &ret->der, &ret->n) == 1)
		return OK;
	bool end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
	ERR_clear_error();
	if (end)
		return OK;
	FAIL(err, ERR_CONFIG, "PEM does not parse");
}

static struct str block_der(const struct pem_block *b)
{
	return str_n(b->der, b->n < 0 ? 0 : (size_t)b->n);
}

/* One block; *ret stays NULL at the end of the text. */
static fallible read_pem_block(BIO *in, struct cert **ret, struct err *err)
{
	AUTO(pem_block_done) struct pem_block b = { 0 };
	TRY(next_block(in, &b, err));
	if (b.name == NULL)
		return OK;
	if (strcmp(b.name, PEM_STRING_X509) != 0)
		FAIL(err, ERR_CONFIG, "PEM block of kind \"%s\", wanted CERTIFICATE only", b.name);
	return read_twice(block_der(&b), ret, err);
}

static fallible read_pem_blocks(BIO *in, struct cert **ret, size_t max, size_t *count, struct err *err)
{
	for (;;) {
		struct cert *cert = NULL;
		TRY(read_pem_block(in, &cert, err));
		if (cert == NULL)
			break;
		if (*count == max) {
			cert_free(cert);
			FAIL(err, ERR_CONFIG, "more than %zu certificates", max);
		}
		ret[(*count)++] = cert;
	}
	if (*count == 0)
		FAIL(err, ERR_CONFIG, "no certificate found");
	return OK;
}

fallible cert_read_pem(struct str pem, struct cert **ret, size_t max, size_t *ret_count, struct err *err)
{
	size_t count = 0;
	if (pem.n > PEM_FILE_MAX)
		FAIL(err, ERR_CONFIG, "PEM of %zu bytes, at most %d are read", pem.n, PEM_FILE_MAX);
	AUTO(bio_auto) BIO *in = BIO_new_mem_buf(pem.p == NULL ? "" : pem.p, (int)pem.n);
	if (in == NULL)
		FAIL(err, ERR_INTERNAL, "crypto library failed: memory");
	struct rc rc = read_pem_blocks(in, ret, max, &count, err);
	if (FAILED(rc)) {
		while (count > 0)
			cert_free(ret[--count]);
		return rc;
	}
	*ret_count = count;
	return OK;
}

fallible cert_find_blocks(struct arena *mem, struct str text, size_t max, struct str *ret, size_t *ret_count,
			  struct err *err)
{
	size_t count = 0;
	if (text.n > 0 && (uint8_t)text.p[0] == DER_SEQUENCE) {
		ret[0] = str_dup(mem, text);
		*ret_count = 1;
		return OK;
	}
	if (text.n > INT_MAX)
		FAIL(err, ERR_CONFIG, "PEM of %zu bytes, at most %d are read", text.n, INT_MAX);
	AUTO(bio_auto) BIO *in = BIO_new_mem_buf(text.p == NULL ? "" : text.p, (int)text.n);
	if (in == NULL)
		FAIL(err, ERR_INTERNAL, "crypto library failed: memory");
	for (;;) {
		AUTO(pem_block_done) struct pem_block b = { 0 };
		TRY(next_block(in, &b, err));
		if (b.name == NULL)
			break;
		if (strcmp(b.name, PEM_STRING_X509) != 0)
			continue;
		if (count == max)
			FAIL(err, ERR_CONFIG, "more than %zu certificates", max);
		ret[count++] = str_dup(mem, block_der(&b));
	}
	if (count == 0)
		FAIL(err, ERR_CONFIG, "no certificate found");
	*ret_count = count;
	return OK;
}

fallible cert_read_pem_file(const char *path, struct cert **ret, size_t max, size_t *ret_count, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(PEM_FILE_MAX);
	TRY(file_read(path, PEM_FILE_MAX, &text, err));
	if (FAILED(cert_read_pem(buf_str(&text), ret, max, ret_count, err))) {
		err_prefix(err, "%s: ", path);
		if (err != NULL)
			err->kind = ERR_CONFIG;
		return (struct rc){ ERR_CONFIG }; /* whatever the reader called it, the file is the operator's */
	}
	return OK;
}

struct str cert_get_der(const struct cert *c)
{
	return str_n(c->der, c->der_n);
}

int64_t cert_get_not_before(const struct cert *c)
{
	return c->not_before;
}

int64_t cert_get_not_after(const struct cert *c)
{
	return c->not_after;
}

fallible cert_get_key(const struct cert *c, struct key **ret, struct err *err)
{
	return key_from_spki(c->spki, ret, err);
}

fallible der_add_pem(struct str der, struct buf *ret, struct err *err)
{
	return pem_add("CERTIFICATE", der, ret, err);
}

fallible cert_add_pem(const struct cert *c, struct buf *ret, struct err *err)
{
	return der_add_pem(cert_get_der(c), ret, err);
}

fallible cert_fingerprint(const struct crypto *c, const struct cert *cert, struct sha256 *ret, struct err *err)
{
	return digest_sha256(c, cert_get_der(cert), ret, err);
}

static fallible get_san(struct arena *mem, const struct cert *c, struct san *ret, struct err *err)
{
	struct ext e;
	if (cert_find_ext(c, OID_SAN, &e))
		return san_read(mem, e.value, ret, err);
	*ret = (struct san){ 0 };
	return OK;
}

fallible cert_get_dns_names(struct arena *mem, const struct cert *c, struct str **ret, size_t *ret_count,
			    struct err *err)
{
	struct san san = { 0 };
	TRY(get_san(mem, c, &san, err));
	*ret = san.names;
	*ret_count = san.name_count;
	return OK;
}

fallible cert_get_addrs(struct arena *mem, const struct cert *c, struct addr **ret, size_t *ret_count, struct err *err)
{
	struct san san = { 0 };
	TRY(get_san(mem, c, &san, err));
	*ret = san.addrs;
	*ret_count = san.addr_count;
	return OK;
}

fallible cert_get_emails(struct arena *mem, const struct cert *c, struct str **ret, size_t *ret_count, struct err *err)
{
	struct san san = { 0 };
	TRY(get_san(mem, c, &san, err));
	*ret = san.emails;
	*ret_count = san.email_count;
	return OK;
}

fallible cert_get_aki(struct arena *mem, const struct cert *c, struct str *ret, struct err *err)
{
	struct ext e;
	struct der seq, id;
	if (!cert_find_ext(c, OID_AKI, &e))
		FAIL(err, ERR_NOT_FOUND, "certificate has no authorityKeyIdentifier");
	TRY(der_only(e.value, DER_SEQUENCE, &seq, err));
	struct cur in = cur_of(seq.body);
	if (!der_peek(&in, DER_CONTEXT(0)))
		FAIL(err, ERR_NOT_FOUND, "certificate's authorityKeyIdentifier has no keyIdentifier");
	TRY(der_want(&in, DER_CONTEXT(0), &id, err));
	*ret = str_dup(mem, id.body);
	return OK;
}

fallible cert_get_spki_hash(const struct crypto *c, const struct cert *cert, struct sha256 *ret, struct err *err)
{
	return digest_sha256(c, cert->spki, ret, err);
}

struct str cert_get_serial(const struct cert *c)
{
	return c->serial.n > 1 && c->serial.p[0] == 0 ? str_sub(c->serial, 1, c->serial.n) : c->serial;
}

fallible cert_get_serial_hex(struct arena *mem, const struct cert *c, struct str *ret, struct err *err)
{
	(void)err;
	*ret = hex_encode(mem, c->serial);
	return OK;
}

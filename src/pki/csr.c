/* SPDX-License-Identifier: Apache-2.0
 *
 * csr.c: certificate requests (RFC 2986). Read by our own DER reader from end to end: what it does not know it refuses,
 * and sizes are judged before any signature is (THREATS A22 to A24). Only the key and the names come out.
 */
#include "pki/internal.h"

#include <stdlib.h>

struct csr_parts {
	struct signed_parts whole;
	struct str subject, spki, attributes;
};

void csr_done(struct csr *r)
{
	if (r == NULL)
		return;
	key_free(r->key);
	*r = (struct csr){ 0 };
}

static fallible split_info(struct str info, struct csr_parts *ret, struct err *err)
{
	struct der seq, d;
	TRY(der_only(info, DER_SEQUENCE, &seq, err));
	struct cur c = cur_of(seq.body);
	TRY(der_want(&c, DER_INTEGER, &d, err));
	if (!str_eq(d.body, STR("\0")))
		FAIL(err, ERR_MALFORMED, "request is not of version 1");
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	ret->subject = d.body;
	TRY(der_want(&c, DER_SEQUENCE, &d, err));
	ret->spki = d.whole;
	if (!cur_end(&c)) {
		TRY(der_want(&c, DER_CONTEXT_MADE(0), &d, err));
		ret->attributes = d.body;
	}
	if (!cur_end(&c))
		FAIL(err, ERR_MALFORMED, "DER: bytes after the attributes");
	return OK;
}

static fallible split_csr(struct str der, struct csr_parts *ret, struct err *err)
{
	if (der.n > CSR_DER_MAX)
		FAIL(err, ERR_MALFORMED, "request of %zu bytes, at most %d are served", der.n, CSR_DER_MAX);
	TRY(der_check(der, err));
	TRY(signed_split(der, &ret->whole, err));
	if (ret->whole.signature.n == 0)
		FAIL(err, ERR_MALFORMED, "DER: not a CertificationRequest");
	return split_info(ret->whole.content, ret, err);
}

static fallible add_name(struct arena *mem, struct csr *r, struct str name, struct err *err)
{
	struct str lower = name_lower(mem, name);
	struct err sub = { 0 };
	if (FAILED(name_check(lower, true, &sub)))
		FAIL(err, ERR_MALFORMED, "name \"%.*s\": %s", STR_FMT(str_sub(name, 0, NAME_MAX_LEN)), sub.detail);
	if (r->name_count + r->addr_count == CERT_NAMES_MAX)
		FAIL(err, ERR_MALFORMED, "more than %d names", CERT_NAMES_MAX);
	r->names[r->name_count++] = lower;
	return OK;
}

static bool has_name(const struct csr *r, struct str name)
{
	for (size_t i = 0; i < r->name_count; i++)
		if (str_eq(r->names[i], name))
			return true;
	return false;
}

/* RFC 5952 to the letter: an address has one text only. */
static bool has_addr_text(const struct csr *r, struct str text)
{
	char own[ADDR_TEXT_MAX];
	for (size_t i = 0; i < r->addr_count; i++) {
		addr_show(&r->addrs[i], own);
		if (str_eq(text, str_z(own)))
			return true;
	}
	return false;
}

static fallible take_common_name(struct arena *mem, struct csr *r, const struct der *value, bool has_san,
				 struct err *err)
{
	if (value->body.n == 0)
		return OK; /* some clients leave the field in, empty */
	if (value->tag != DER_UTF8_STRING && value->tag != DER_PRINTABLE_STRING && value->tag != DER_IA5_STRING)
		FAIL(err, ERR_MALFORMED, "common name is of string type 0x%02x, wanted UTF8String or PrintableString",
		     value->tag);
	struct str name = name_lower(mem, value->body);
	if (has_name(r, name) || has_addr_text(r, value->body))
		return OK;
	if (has_san)
		FAIL(err, ERR_MALFORMED, "common name \"%.*s\" is not one of the subjectAltName's names",
		     STR_FMT(str_sub(name, 0, NAME_MAX_LEN)));
	if (r->name_count > 0)
		FAIL(err, ERR_MALFORMED, "more than one common name");
	return add_name(mem, r, value->body, err);
}

/* Of the subject, only common names matter; the rest of it is not copied anywhere. */
static fallible read_subject(struct arena *mem, struct csr *r, struct str subject, struct err *err)
{
	struct der set, pair, oid, value;
	bool has_san = r->name_count + r->addr_count > 0;
	for (struct cur c = cur_of(subject); !cur_end(&c);) {
		TRY(der_want(&c, DER_SET, &set, err));
		for (struct cur in = cur_of(set.body); !cur_end(&in);) {
			TRY(der_want(&in, DER_SEQUENCE, &pair, err));
			struct cur p = cur_of(pair.body);
			TRY(der_want(&p, DER_OID, &oid, err));
			TRY(der_next(&p, &value, err));
			if (!cur_end(&p))
				FAIL(err, ERR_MALFORMED, "DER: subject attribute with more than two members");
			if (str_eq(oid.body, OID_COMMON_NAME))
				TRY(take_common_name(mem, r, &value, has_san, err));
		}
	}
	return OK;
}

static fallible refuse_ca(struct str value, struct err *err)
{
	struct der seq, flag;
	TRY(der_check(value, err));
	TRY(der_only(value, DER_SEQUENCE, &seq, err));
	struct cur c = cur_of(seq.body);
	if (!der_peek(&c, DER_BOOLEAN))
		return OK;
	TRY(der_want(&c, DER_BOOLEAN, &flag, err));
	if (!str_eq(flag.body, STR("\0")))
		FAIL(err, ERR_MALFORMED, "request asks for CA:TRUE");
	return OK;
}

/* Of the TLS features (RFC 7633 4.1), only status_request means anything to a CA; others ask for nothing. */
static fallible read_features(struct csr *r, struct str value, struct err *err)
{
	struct der seq, feature;
	TRY(der_check(value, err));
	TRY(der_only(value, DER_SEQUENCE, &seq, err));
	for (struct cur c = cur_of(seq.body); !cur_end(&c);) {
		TRY(der_want(&c, DER_INTEGER, &feature, err));
		r->must_staple = r->must_staple || str_eq(feature.body, STR("\x05"));
	}
	return OK;
}

static fallible read_names(struct arena *mem, struct csr *r, struct str value, struct err *err)
{
	struct san san;
	TRY(san_read(mem, value, &san, err));
	if (san.email_count > 0) /* they come from those who vouch for them, not from who asks */
		FAIL(err, ERR_MALFORMED,
		     "subjectAltName has a name of kind rfc822Name, dNSName and iPAddress are served");
	for (size_t i = 0; i < san.name_count; i++)
		TRY(add_name(mem, r, san.names[i], err));
	r->addrs = san.addrs;
	r->addr_count = san.addr_count;
	return OK;
}

static fallible read_extensions(struct arena *mem, struct csr *r, struct str extensions, struct err *err)
{
	struct der seq;
	struct ext e;
	bool san_seen = false;
	TRY(der_only(extensions, DER_SEQUENCE, &seq, err));
	for (struct cur c = cur_of(seq.body); !cur_end(&c);) {
		TRY(ext_next(&c, &e, err));
		if (str_eq(e.oid, OID_BASIC_CONSTRAINTS))
			TRY(refuse_ca(e.value, err));
		if (str_eq(e.oid, OID_TLS_FEATURE))
			TRY(read_features(r, e.value, err));
		if (!str_eq(e.oid, OID_SAN))
			continue;
		if (san_seen)
			FAIL(err, ERR_MALFORMED, "request has two subjectAltNames");
		san_seen = true;
		TRY(read_names(mem, r, e.value, err));
	}
	return OK;
}

static fallible read_attributes(struct arena *mem, struct csr *r, struct str attributes, struct err *err)
{
	struct der seq, oid, set;
	bool seen = false;
	for (struct cur c = cur_of(attributes); !cur_end(&c);) {
		TRY(der_want(&c, DER_SEQUENCE, &seq, err));
		struct cur in = cur_of(seq.body);
		TRY(der_want(&in, DER_OID, &oid, err));
		TRY(der_want(&in, DER_SET, &set, err));
		if (!cur_end(&in))
			FAIL(err, ERR_MALFORMED, "DER: attribute with more than two members");
		if (!str_eq(oid.body, OID_EXTENSION_REQUEST))
			continue; /* challengePassword and the like: not ours to read */
		if (seen)
			FAIL(err, ERR_MALFORMED, "request has two lists of extensions");
		seen = true;
		TRY(read_extensions(mem, r, set.body, err));
	}
	return OK;
}

static int compare_names(const void *pa, const void *pb)
{
	const struct str *a = pa, *b = pb;
	int c = memcmp(a->p, b->p, a->n < b->n ? a->n : b->n);
	return c != 0 ? c : (a->n > b->n) - (a->n < b->n);
}

static void sort_names(struct csr *r)
{
	size_t kept = 0;
	qsort(r->names, r->name_count, sizeof r->names[0], compare_names);
	for (size_t i = 0; i < r->name_count; i++)
		if (kept == 0 || !str_eq(r->names[kept - 1], r->names[i]))
			r->names[kept++] = r->names[i];
	r->name_count = kept;
}

static int compare_addrs(const void *a, const void *b)
{
	return addr_compare(a, b);
}

static void sort_addrs(struct csr *r)
{
	size_t kept = 0;
	if (r->addr_count == 0)
		return;
	qsort(r->addrs, r->addr_count, sizeof r->addrs[0], compare_addrs);
	for (size_t i = 0; i < r->addr_count; i++)
		if (kept == 0 || !addr_eq(&r->addrs[kept - 1], &r->addrs[i]))
			r->addrs[kept++] = r->addrs[i];
	r->addr_count = kept;
}

static fallible read_csr(const struct crypto *c, struct arena *mem, struct str der, struct csr *r, struct err *err)
{
	struct csr_parts parts = { 0 };
	TRY(split_csr(der, &parts, err));
	TRY(key_from_spki(parts.spki, &r->key, err));
	r->names = ARENA_ARRAY(mem, struct str, CERT_NAMES_MAX);
	TRY(read_attributes(mem, r, parts.attributes, err));
	TRY(read_subject(mem, r, parts.subject, err));
	if (r->name_count + r->addr_count == 0)
		FAIL(err, ERR_MALFORMED, "request names no identifier");
	sort_names(r);
	sort_addrs(r);
	TRY(key_check(r->key, KEY_USE_CERTIFICATE, err));
	TRY(signed_verify(c, &parts.whole, r->key, "request", err));
	return digest_sha256(c, parts.spki, &r->spki_hash, err);
}

fallible csr_read(const struct crypto *c, struct arena *mem, struct str der, struct csr *ret, struct err *err)
{
	AUTO(csr_done) struct csr r = { 0 };
	struct err sub = { 0 };
	struct rc rc = read_csr(c, mem, der, &r, &sub);
	if (FAILED(rc)) {
		enum err_kind kind = rc.kind == ERR_INTERNAL ? ERR_INTERNAL : ERR_BAD_CSR;
		err_set(err, kind, "%s", sub.detail);
		if (sub.cause[0] != '\0')
			err_cause(err, "%s", sub.cause);
		return (struct rc){ kind };
	}
	*ret = r;
	r.key = NULL;
	return OK;
}

fallible csr_read_key(const struct crypto *c, struct str der, struct key **ret, struct err *err)
{
	AUTO(key_auto) struct key *k = NULL;
	struct csr_parts parts = { 0 };
	TRY(split_csr(der, &parts, err));
	TRY(key_from_spki(parts.spki, &k, err));
	TRY(key_check(k, KEY_USE_CERTIFICATE, err));
	TRY(signed_verify(c, &parts.whole, k, "request", err));
	*ret = TAKE(k);
	return OK;
}

static void put_csr_info(struct derw *w, struct str spki, const struct cert_request *r)
{
	derw_open(w, DER_SEQUENCE);
	derw_uint(w, STR_NONE); /* version 1 is the number 0 */
	derw_put(w, DER_SEQUENCE, STR_NONE);
	derw_raw(w, spki);
	derw_open(w, DER_CONTEXT_MADE(0));
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, OID_EXTENSION_REQUEST);
	derw_open(w, DER_SET);
	derw_open(w, DER_SEQUENCE);
	ext_san(w, true, r);
	derw_close(w);
	derw_close(w);
	derw_close(w);
	derw_close(w);
	derw_close(w);
}

fallible csr_make(const struct crypto *c, const struct key *k, const struct str *names, size_t count,
		  struct buf *ret_der, struct err *err)
{
	return csr_make_for(c, k, names, count, NULL, 0, ret_der, err);
}

fallible csr_make_for(const struct crypto *c, const struct key *k, const struct str *names, size_t name_count,
		      const struct addr *addrs, size_t addr_count, struct buf *ret_der, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf info = BUF_MAX(2 * CSR_DER_MAX);
	const struct cert_request request = {
		.names = names, .name_count = name_count, .addrs = addrs, .addr_count = addr_count
	};
	struct str spki;
	size_t count = name_count + addr_count;
	if (count == 0 || count > CERT_NAMES_MAX || name_count > CERT_NAMES_MAX)
		FAIL(err, ERR_MALFORMED, "request for %zu names, wanted 1 to %d", count, CERT_NAMES_MAX);
	TRY(key_spki(&mem, k, &spki, err));
	struct derw w = derw_begin(&info, err);
	put_csr_info(&w, spki, &request);
	TRY(derw_end(&w));
	return cert_wrap(c, k, buf_str(&info), ret_der, err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * pem.c: requests and revocation lists in files (RFC 7468), as PEM or DER.
 */
#include "pki/internal.h"

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/pem.h>

struct block {
	char *name, *header;
	unsigned char *data;
	long n;
};

static void block_done(struct block *b)
{
	OPENSSL_free(b->name);
	OPENSSL_free(b->header);
	OPENSSL_free(b->data);
}

static void bio_auto(BIO **b)
{
	BIO_free(*b);
}

fallible pem_read(struct arena *mem, const char *kind, struct str text, struct str *ret, struct err *err)
{
	AUTO(block_done) struct block b = { .n = 0 };
	if (text.n > 0 && text.p[0] == DER_SEQUENCE) {
		*ret = text;
		return OK;
	}
	AUTO(bio_auto) BIO *in = BIO_new_mem_buf(text.p, (int)text.n);
	const bool read = in != NULL && PEM_read_bio(in, &b.name, &b.header, &b.data, &b.n) == 1;
	ERR_clear_error();
	if (!read)
		FAIL(err, ERR_MALFORMED, "found neither DER nor a PEM block, wanted a %s", kind);
	if (strcmp(b.name, kind) != 0)
		FAIL(err, ERR_MALFORMED, "found a PEM block of another kind, wanted a %s", kind);
	*ret = str_dup(mem, str_n(b.data, (size_t)b.n));
	return OK;
}

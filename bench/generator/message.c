/* SPDX-License-Identifier: Apache-2.0
 *
 * message.c: signed requests (RFC 8555 6.2, flattened JWS) and certification requests (RFC 2986), written straight into
 * buffers.
 */
#include "generator.h"

#include <stdlib.h>

#define HEAD_MAX 4096
#define SIGNED_MAX (64 * 1024)
#define SIG_MAX 1024

struct scratch {
	struct buf head, in, sig;
};

struct scratch *scratch_new(void)
{
	struct scratch *m = mem_alloc(sizeof *m);
	m->head = (struct buf)BUF_MAX(HEAD_MAX);
	m->in = (struct buf)BUF_MAX(SIGNED_MAX);
	m->sig = (struct buf)BUF_MAX(SIG_MAX);
	return m;
}

void scratch_free(struct scratch *m)
{
	if (m == NULL)
		return;
	buf_done(&m->head);
	buf_done(&m->in);
	buf_done(&m->sig);
	free(m);
}

/* All of them, one behind the other. */
static fallible add_all(struct buf *b, const struct str *parts, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++)
		TRY(buf_add(b, parts[i], err));
	return OK;
}

fallible message_jws(struct signing *s, struct scratch *m, const struct jws_wanted *w, struct buf *ret, struct err *err)
{
	bool kid = w->kid.n > 0;
	const struct str head[] = {
		STR("{\"alg\":\""),
		str_z(bench_key_alg(w->key)),
		kid ? STR("\",\"kid\":\"") : STR("\",\"jwk\":"),
		kid ? w->kid : bench_key_jwk(w->key),
		kid ? STR("\",\"nonce\":\"") : STR(",\"nonce\":\""),
		w->nonce,
		STR("\",\"url\":\""),
		w->url,
		STR("\"}"),
	};
	buf_reset(&m->head);
	buf_reset(&m->in);
	buf_reset(ret);
	TRY(add_all(&m->head, head, ARRAY_LEN(head), err));
	TRY(b64url_add(&m->in, buf_str(&m->head), err));
	size_t head_n = m->in.n;
	TRY(buf_add_char(&m->in, '.', err));
	TRY(b64url_add(&m->in, w->payload, err));
	TRY(bench_sign(s, w->key, buf_str(&m->in), &m->sig, err));
	const struct str body[] = {
		STR("{\"protected\":\""),   str_sub(buf_str(&m->in), 0, head_n),
		STR("\",\"payload\":\""),   str_sub(buf_str(&m->in), head_n + 1, m->in.n),
		STR("\",\"signature\":\""),
	};
	TRY(add_all(ret, body, ARRAY_LEN(body), err));
	TRY(b64url_add(ret, buf_str(&m->sig), err));
	return buf_add(ret, STR("\"}"), err);
}

/* extensionRequest (PKCS #9) with the one extension subjectAltName. */
static void names_write(struct derw *w, const struct str *names, size_t count)
{
	derw_open(w, DER_CONTEXT_MADE(0));
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, STR("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e"));
	derw_open(w, DER_SET);
	derw_open(w, DER_SEQUENCE);
	derw_open(w, DER_SEQUENCE);
	derw_put(w, DER_OID, STR("\x55\x1d\x11"));
	derw_open(w, DER_OCTET_STRING);
	derw_open(w, DER_SEQUENCE);
	for (size_t i = 0; i < count; i++)
		derw_put(w, DER_CONTEXT(2), names[i]);
	for (unsigned i = 0; i < 7; i++)
		derw_close(w);
}

fallible message_csr(struct signing *s, struct bench_key *k, const struct str *names, size_t count, struct buf *ret,
		     struct err *err)
{
	AUTO(buf_done) struct buf info = BUF_MAX(SIGNED_MAX);
	struct derw i = derw_begin(&info, err);
	derw_open(&i, DER_SEQUENCE);
	derw_put(&i, DER_INTEGER, str_n("\0", 1));
	derw_open(&i, DER_SEQUENCE); /* no subject */
	derw_close(&i);
	derw_raw(&i, bench_key_spki(k));
	names_write(&i, names, count);
	derw_close(&i);
	TRY(derw_end(&i));
	buf_reset(ret);
	struct derw w = derw_begin(ret, err);
	derw_open(&w, DER_SEQUENCE);
	derw_raw(&w, buf_str(&info));
	derw_open(&w, DER_SEQUENCE);
	derw_put(&w, DER_OID, STR("\x2a\x86\x48\xce\x3d\x04\x03\x02")); /* ecdsa-with-SHA256 */
	derw_close(&w);
	TRY(bench_sign_x509(s, k, buf_str(&info), &w, err));
	derw_close(&w);
	return derw_end(&w);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * compact.c: the compact JWS (RFC 7515 7.1) of our own messages: verdicts and grants. The header is exactly alg, kid
 * and typ; typ says what the signature was made for (RFC 8725 3.11), and the reader demands the one it wants.
 */
#include "jose/jose.h"

#define HEADER_MAX 1024
#define KID_MAX 256
#define TYP_MAX 64
#define SIGNATURE_MAX 1024
#define COMPACT_MAX (1024 * 1024)

fallible jws_compact_sign(const struct crypto *c, const struct key *k, struct str typ, struct str kid,
			  struct str payload, struct buf *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf header = BUF_MAX(HEADER_MAX);
	AUTO(buf_done) struct buf text = BUF_MAX(COMPACT_MAX);
	struct str signature;
	struct jw w = jw_begin(&header, err);
	jw_object(&w);
	jw_kz(&w, "alg", sig_alg_name(key_sig_alg(k)));
	jw_kstr(&w, "kid", kid);
	jw_kstr(&w, "typ", typ);
	jw_object_end(&w);
	TRY(jw_end(&w));
	TRY(b64url_add(&text, buf_str(&header), err));
	TRY(buf_add_char(&text, '.', err));
	TRY(b64url_add(&text, payload, err));
	TRY(sig_sign(c, k, buf_str(&text), &mem, &signature, err));
	TRY(buf_add_char(&text, '.', err));
	TRY(b64url_add(&text, signature, err));
	return buf_add(ret, buf_str(&text), err);
}

static fallible read_header(struct arena *mem, struct str text, struct str typ, struct jws_compact *j, struct err *err)
{
	static const char *const known[] = { "alg", "kid", "typ", NULL };
	AUTO(json_auto) struct json *header = NULL;
	struct str alg, kid, found;
	TRY(json_read(text, HEADER_MAX, &header, err));
	TRY(json_only(header, known, err));
	TRY(json_want_str(header, "alg", 32, &alg, err));
	TRY(json_want_str(header, "kid", KID_MAX, &kid, err));
	TRY(json_want_str(header, "typ", TYP_MAX, &found, err));
	TRY(sig_alg_read(alg, &j->alg, err));
	if (!str_eq(found, typ))
		FAIL(err, ERR_MALFORMED, "JWS of typ \"%.*s\", wanted \"%.*s\"", STR_FMT(found), STR_FMT(typ));
	j->kid = str_dup(mem, kid);
	return OK;
}

fallible jws_compact_read(struct arena *mem, struct str text, struct str typ, size_t max, struct jws_compact *ret,
			  struct err *err)
{
	struct jws_compact j = { 0 };
	struct str header_b64, payload_b64, header;
	if (text.n > max || text.n > COMPACT_MAX)
		FAIL(err, ERR_MALFORMED, "JWS of %zu bytes, at most %zu", text.n,
		     max < COMPACT_MAX ? max : COMPACT_MAX);
	text = str_dup(mem, text);
	struct cur c = cur_of(text);
	TRY(cur_until(&c, '.', &header_b64, err));
	TRY(cur_until(&c, '.', &payload_b64, err));
	struct str signature_b64 = cur_rest(&c);
	TRY(b64url_decode(mem, header_b64, HEADER_MAX, &header, err));
	TRY(read_header(mem, header, typ, &j, err));
	TRY(b64url_decode(mem, payload_b64, max, &j.payload, err));
	/* a third dot is no base64url character */
	TRY(b64url_decode(mem, signature_b64, SIGNATURE_MAX, &j.signature, err));
	j.signed_part = str_sub(text, 0, header_b64.n + 1 + payload_b64.n);
	*ret = j;
	return OK;
}

fallible jws_compact_verify(const struct crypto *c, const struct jws_compact *j, const struct key *k, struct err *err)
{
	return sig_verify(c, k, j->alg, j->signed_part, j->signature, err);
}

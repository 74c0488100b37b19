/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_key_change.c: the inner JWS of a key change (RFC 8555 7.3.5), where two signatures speak about each other. The
 * first byte says which part the input is: its protected header or its payload, with everything else made right and
 * signed by the new key; or the whole of it, raw. Whatever it says, the account afterwards has its old key or the one
 * that signed the inner JWS, and only after a reply that says so.
 */
#include "stage.h"

#define KEY_CHANGE STR(WORLD_BASE "/key-change")

enum part { PART_HEADER, PART_PAYLOAD, PART_WHOLE, PART_COUNT };

static struct str signed_inner(struct stage *s, struct arena *mem, struct str header, struct str payload)
{
	struct str h = b64url_encode(mem, header), p = b64url_encode(mem, payload), sig;
	struct str in = str_fmt(mem, "%.*s.%.*s", STR_FMT(h), STR_FMT(p));
	CHECK(!FAILED(sig_sign(s->w.crypto, s->spare, in, mem, &sig, NULL)));
	sig = b64url_encode(mem, sig);
	return str_fmt(mem, "{\"protected\":\"%.*s\",\"payload\":\"%.*s\",\"signature\":\"%.*s\"}", STR_FMT(h),
		       STR_FMT(p), STR_FMT(sig));
}

static struct str inner_of(struct stage *s, struct arena *mem, enum part part, struct str text)
{
	struct str header = STR("{\"alg\":\"ES256\",\"jwk\":$n,\"url\":\"" WORLD_BASE "/key-change\"}");
	struct str payload = STR("{\"account\":\"$a\",\"oldKey\":$k}");
	switch (part) {
	case PART_HEADER:
		return signed_inner(s, mem, stage_expand(s, mem, text), stage_expand(s, mem, payload));
	case PART_PAYLOAD:
		return signed_inner(s, mem, stage_expand(s, mem, header), stage_expand(s, mem, text));
	case PART_WHOLE:
	case PART_COUNT:
		break;
	}
	return stage_expand(s, mem, text);
}

static bool opens(struct stage *s, struct arena *mem, const struct key *key)
{
	struct world_reply r = stage_post(s, mem, key, s->alice.url, s->alice.url, STR_NONE);
	stage_check_reply(&r, true);
	bool open = r.status == 200;
	world_reply_done(&r);
	return open;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	if (size < 1)
		return 0;
	struct stage *s = stage_get();
	struct str inner = inner_of(s, &mem, (enum part)(data[0] % PART_COUNT), str_n(data + 1, size - 1));
	struct world_reply r = stage_post(s, &mem, s->alice.key, s->alice.url, KEY_CHANGE, inner);
	stage_check_reply(&r, true);
	bool changed = r.status == 200;
	world_reply_done(&r);
	s->spoiled = changed;
	CHECK(opens(s, &mem, s->alice.key) == !changed);
	CHECK(!changed || opens(s, &mem, s->spare));
	return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_revoke.c: altered certificates in a revocation (THREATS A17). The input patches the account's own certificate: a
 * byte for who asks, then each three bytes put one byte at one place, the last odd ones cut it short or make it longer.
 * Only a certificate that is ours to the byte may be revoked, by whomever.
 */
#include "stage.h"

static struct str patched(struct arena *mem, struct str der, struct str patches)
{
	char *p = arena_alloc(mem, der.n + 256);
	size_t n = der.n;
	memcpy(p, der.p, der.n);
	for (; patches.n >= 3; patches = str_sub(patches, 3, patches.n)) {
		size_t at = ((size_t)(uint8_t)patches.p[0] << 8 | (uint8_t)patches.p[1]) % der.n;
		p[at] = patches.p[2];
	}
	if (patches.n == 2)
		n += (uint8_t)patches.p[0];
	else if (patches.n == 1)
		n -= (uint8_t)patches.p[0] < n ? (uint8_t)patches.p[0] : n;
	return str_n(p, n);
}

static struct world_reply ask(struct stage *s, struct arena *mem, uint8_t who, struct str payload)
{
	struct str url = STR(WORLD_BASE "/revoke-cert");
	switch (who % 4) {
	case 0:
		return stage_post(s, mem, s->alice.key, s->alice.url, url, payload);
	case 1:
		return stage_post(s, mem, s->cert_key, STR_NONE, url, payload);
	case 2:
		return stage_post(s, mem, s->bob.key, s->bob.url, url, payload);
	default:
		return stage_post(s, mem, s->spare, STR_NONE, url, payload);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(arena_done) struct arena mem = { 0 };
	if (size < 1)
		return 0;
	struct stage *s = stage_get();
	struct str der = patched(&mem, s->cert_der, str_n(data + 1, size - 1));
	struct str text = b64url_encode(&mem, der);
	struct world_reply r = ask(s, &mem, data[0], str_fmt(&mem, "{\"certificate\":\"%.*s\"}", STR_FMT(text)));
	stage_check_reply(&r, true);
	bool ours = str_eq(der, s->cert_der), may = data[0] % 4 < 2;
	CHECK((r.status == 200) == (ours && may));
	CHECK(ours || r.status == 404 || r.status == 400);
	CHECK(!ours || may || r.status == 403);
	s->spoiled = r.status == 200;
	world_reply_done(&r);
	return 0;
}

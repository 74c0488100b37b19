/* SPDX-License-Identifier: Apache-2.0
 *
 * nonce.c: anti-replay nonces (RFC 8555 6.5). Issuing costs no memory: a nonce is a counter and a time under a MAC
 * whose key lives as long as the process. Spending sets one bit of a ring. A restart makes older nonces bad, and every
 * client must be ready for that (badNonce, with a fresh one).
 */
#include "acme/app.h"

#include <stdatomic.h>
#include <stdlib.h>

/* The ring has twice the bits that a nonce may be behind: an accepted counter is never nearer than WINDOW to the slot
 * that is being cleared, so a replay cannot slip between the check and the bit. */
#define WINDOW (1u << 19)
#define RING (2u * WINDOW)
#define BODY 12 /* counter u64, seconds u32 */
#define MAC 12  /* of two SipHash-2-4 under keys of their own: eight bytes, and four */
#define KEY 16

struct nonces {
	const struct clock *clk;
	struct secret keys; /* both */
	_Atomic uint64_t next;
	_Atomic uint64_t ring[RING / 64];
};

fallible nonces_new(const struct clock *clk, const struct rng *rng, struct nonces **ret, struct err *err)
{
	uint8_t keys[2 * KEY];
	rng_fill(rng, keys, sizeof keys);
	struct nonces *n = mem_alloc(sizeof *n);
	n->clk = clk;
	atomic_init(&n->next, 1);
	struct rc rc = secret_set(&n->keys, str_n(keys, sizeof keys), err);
	explicit_bzero(keys, sizeof keys);
	if (FAILED(rc)) {
		nonces_free(n);
		return rc;
	}
	*ret = n;
	return OK;
}

void nonces_free(struct nonces *n)
{
	if (n == NULL)
		return;
	secret_done(&n->keys);
	free(n);
}

static void put_be(uint8_t *at, uint64_t v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		at[i] = (uint8_t)(v >> (8 * (n - 1 - i)));
}

static uint64_t get_be(const uint8_t *at, size_t n)
{
	uint64_t v = 0;
	for (size_t i = 0; i < n; i++)
		v = v << 8 | at[i];
	return v;
}

static void nonce_mac(const struct nonces *n, const uint8_t body[BODY], uint8_t out[MAC])
{
	put_be(out, hash_keyed(n->keys.p, str_n(body, BODY)), 8);
	put_be(out + 8, hash_keyed(n->keys.p + KEY, str_n(body, BODY)), 4);
}

void nonce_issue(struct nonces *n, char out[NONCE_TEXT_MAX])
{
	uint64_t counter = atomic_fetch_add(&n->next, 1);
	uint64_t slot = counter % RING;
	atomic_fetch_and(&n->ring[slot / 64], ~(UINT64_C(1) << (slot % 64)));

	static_assert(B64URL_LEN(BODY + MAC) < NONCE_TEXT_MAX, "with a NUL behind it");
	uint8_t raw[BODY + MAC];
	put_be(raw, counter, 8);
	put_be(raw + 8, (uint64_t)(clock_now_ms(n->clk) / 1000), 4);
	nonce_mac(n, raw, raw + BODY);
	b64url_encode_to(str_n(raw, sizeof raw), out);
	out[B64URL_LEN(sizeof raw)] = '\0';
}

fallible nonce_spend(struct nonces *n, struct str text, int64_t life_s, struct err *err)
{
	uint8_t raw[BODY + MAC], mac[MAC];
	if (FAILED(b64url_decode_to(text, raw, sizeof raw, NULL)))
		FAIL(err, ERR_BAD_NONCE, "the nonce was not made by this server; use the Replay-Nonce of this reply");
	nonce_mac(n, raw, mac);
	if (!bytes_eq_ct(str_n(raw + BODY, MAC), str_n(mac, MAC)))
		FAIL(err, ERR_BAD_NONCE,
		     "the nonce was not made by this server (or before it started); use the Replay-Nonce of this "
		     "reply");

	uint64_t counter = get_be(raw, 8);
	uint64_t next = atomic_load(&n->next);
	int64_t age = (int64_t)(uint32_t)((uint32_t)(clock_now_ms(n->clk) / 1000) - (uint32_t)get_be(raw + 8, 4));
	if (age > INT32_MAX) /* the clock went back: the nonce is not from the future, it is fresh */
		age = 0;
	if (counter >= next || next - counter > WINDOW || age > life_s)
		FAIL(err, ERR_BAD_NONCE, "the nonce is too old; use the Replay-Nonce of this reply");
	uint64_t slot = counter % RING, bit = UINT64_C(1) << (slot % 64);
	if (atomic_fetch_or(&n->ring[slot / 64], bit) & bit)
		FAIL(err, ERR_BAD_NONCE, "the nonce was used before; use the Replay-Nonce of this reply");
	/* A thread that slept since the check may have set the bit of a younger nonce, after ours was cleared. */
	if (atomic_load(&n->next) - counter > RING)
		FAIL(err, ERR_BAD_NONCE, "the nonce is too old; use the Replay-Nonce of this reply");
	return OK;
}

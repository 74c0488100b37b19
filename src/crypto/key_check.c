/* SPDX-License-Identifier: Apache-2.0
 *
 * key_check.c: the key policy of RULES R4 (BR 6.1.1.3): what a subscriber's or an account's key must not be.
 */
#include "crypto/crypto.h"

#include "crypto/internal.h"

#include <openssl/bn.h>
#include <openssl/err.h>

#define FERMAT_ROUNDS 110
#define SMALL_PRIME_MAX 752
#define ROCA_PRIME_MAX 167 /* the fingerprint's primes; all sizes of the vulnerable library have them in common */
#define ROCA_GENERATOR 65537

static void bn_ctx_auto(BN_CTX **p)
{
	BN_CTX_free(*p);
}

static bool is_prime(unsigned p)
{
	for (unsigned d = 2; d * d <= p; d++)
		if (p % d == 0)
			return false;
	return p >= 2;
}

/* One pass over the modulus for as many primes as fit 32 bits. */
static bool has_small_factor(const BIGNUM *n)
{
	unsigned p = 2;
	while (p < SMALL_PRIME_MAX) {
		uint32_t product = 1;
		unsigned first = p;
		for (; p < SMALL_PRIME_MAX; p++) {
			if (!is_prime(p))
				continue;
			if (product > UINT32_MAX / p)
				break;
			product *= p;
		}
		BN_ULONG rest = BN_mod_word(n, product);
		for (unsigned q = first; q < p; q++)
			if (is_prime(q) && rest % q == 0)
				return true;
	}
	return false;
}

static bool is_power_of_generator(unsigned residue, unsigned p)
{
	unsigned power = 1;
	do {
		if (power == residue)
			return true;
		power = power * (ROCA_GENERATOR % p) % p;
	} while (power != 1);
	return false;
}

/* CVE-2017-15361: the library made primes of the form k*M + 65537^a mod M, so the modulus, too, is a power of 65537
 * modulo every small prime of M. A sound key passes all of these with a chance of about 2^-28. */
static bool is_roca(const BIGNUM *n)
{
	for (unsigned p = 3; p <= ROCA_PRIME_MAX; p++)
		if (is_prime(p) && !is_power_of_generator((unsigned)BN_mod_word(n, p), p))
			return false;
	return true;
}

/* Newton from above: falls until it is the floor of the root. */
static bool int_sqrt(const BIGNUM *n, BIGNUM *root, BN_CTX *ctx)
{
	BN_CTX_start(ctx);
	BIGNUM *next = BN_CTX_get(ctx);
	bool good = next != NULL && BN_one(root) == 1 && BN_lshift(root, root, (BN_num_bits(n) + 1) / 2) == 1;
	while (good) {
		good = BN_div(next, NULL, n, root, ctx) == 1 && BN_add(next, next, root) == 1 &&
		       BN_rshift1(next, next) == 1;
		if (!good || BN_cmp(next, root) >= 0)
			break;
		good = BN_copy(root, next) != NULL;
	}
	BN_CTX_end(ctx);
	return good;
}

/* Squares are rare modulo a composite: this turns away 99 of 100 numbers before a root is drawn. */
static bool may_be_square(const BIGNUM *n)
{
	static const unsigned moduli[] = { 64, 63, 65, 11 };
	BN_ULONG rest = BN_mod_word(n, 64 * 63 * 65 * 11);
	for (size_t i = 0; i < ARRAY_LEN(moduli); i++) {
		unsigned want = (unsigned)(rest % moduli[i]), x = 0;
		while (x < moduli[i] && x * x % moduli[i] != want)
			x++;
		if (x == moduli[i])
			return false;
	}
	return true;
}

static bool is_square(const BIGNUM *n, BIGNUM *root, BIGNUM *tmp, BN_CTX *ctx, bool *failed)
{
	if (BN_is_zero(n))
		return true;
	if (!may_be_square(n))
		return false;
	if (!int_sqrt(n, root, ctx) || BN_sqr(tmp, root, ctx) != 1) {
		*failed = true;
		return false;
	}
	return BN_cmp(tmp, n) == 0;
}

/* Fermat: n = a^2 - b^2 with a just above the root of n, when the factors are close. */
static fallible check_fermat(const BIGNUM *n, struct err *err)
{
	AUTO(bn_ctx_auto) BN_CTX *ctx = BN_CTX_new();
	AUTO(bn_auto) BIGNUM *a = BN_new(), *b2 = BN_new(), *root = BN_new(), *tmp = BN_new();
	bool failed = false;
	if (ctx == NULL || a == NULL || b2 == NULL || root == NULL || tmp == NULL || !int_sqrt(n, a, ctx) ||
	    BN_sqr(b2, a, ctx) != 1)
		return fail_openssl(err, "factor check");
	if (BN_cmp(b2, n) < 0 && BN_add_word(a, 1) != 1)
		return fail_openssl(err, "factor check");
	for (int round = 0; round < FERMAT_ROUNDS; round++) {
		if (BN_sqr(b2, a, ctx) != 1 || BN_sub(b2, b2, n) != 1)
			return fail_openssl(err, "factor check");
		if (is_square(b2, root, tmp, ctx, &failed))
			FAIL(err, ERR_BAD_PUBLIC_KEY, "key generated with factors too close together");
		if (failed || BN_add_word(a, 1) != 1)
			return fail_openssl(err, "factor check");
	}
	return OK;
}

fallible key_rsa_flaws(struct str modulus, unsigned look_for, unsigned *ret, struct err *err)
{
	unsigned found = 0;
	if (modulus.n == 0 || modulus.n > RSA_BITS_MAX / 8)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key size not supported: %zu bytes", modulus.n);
	AUTO(bn_auto) BIGNUM *n = BN_bin2bn((const uint8_t *)modulus.p, (int)modulus.n, NULL);
	if (n == NULL)
		return fail_openssl(err, "modulus");
	if ((look_for & KEY_FLAW_FACTOR) != 0 && has_small_factor(n))
		found |= KEY_FLAW_FACTOR;
	if ((look_for & KEY_FLAW_ROCA) != 0 && is_roca(n))
		found |= KEY_FLAW_ROCA;
	if ((look_for & KEY_FLAW_FERMAT) != 0) {
		struct rc rc = check_fermat(n, err);
		if (FAILED(rc) && rc.kind != ERR_BAD_PUBLIC_KEY)
			return rc;
		found |= FAILED(rc) ? KEY_FLAW_FERMAT : 0;
	}
	*ret = found;
	return OK;
}

static fallible check_rsa(const struct key *k, struct err *err)
{
	struct str n_bytes = key_part_a(k);
	if (k->bits != 2048 && k->bits != 3072 && k->bits != 4096)
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key size not supported: %u", k->bits);
	if (!str_eq(key_part_b(k), STR("\x01\x00\x01")))
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key exponent must be 65537");
	AUTO(bn_auto) BIGNUM *n = BN_bin2bn((const uint8_t *)n_bytes.p, (int)n_bytes.n, NULL);
	if (n == NULL)
		return fail_openssl(err, "modulus");
	if (has_small_factor(n))
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key divisible by small prime");
	if (is_roca(n))
		FAIL(err, ERR_BAD_PUBLIC_KEY, "key generated by vulnerable Infineon-based hardware");
	return check_fermat(n, err);
}

/* NIST SP 800-56A 5.6.2.3.3: on the curve, not infinity, of the right order. Infinity has no coordinates, and all served
 * curves have the cofactor 1, so that the last follows from the first (5.6.2.3.4, which BR 6.1.6 takes as well). */
static fallible check_ec(const struct key *k, struct err *err)
{
	return curve_check(k->kind, key_part_a(k), key_part_b(k), err);
}

/* What a key is does not depend on who looks. One certificate's key is looked at when its request is read, and by two rules
 * of the lint, each of which holds the same bytes against it first. */
static fallible check_parts(const struct key *k, fallible (*check)(const struct key *k, struct err *err),
			    struct err *err)
{
	if (atomic_load_explicit(&k->sound, memory_order_relaxed))
		return OK;
	TRY(check(k, err));
	atomic_store_explicit(&k->self->sound, true, memory_order_relaxed);
	return OK;
}

fallible key_check(const struct key *k, enum key_use use, struct err *err)
{
	switch (k->kind) {
	case KEY_RSA:
		return check_parts(k, check_rsa, err);
	case KEY_P256:
	case KEY_P384:
	case KEY_P521:
		return check_parts(k, check_ec, err);
	case KEY_ED25519:
		if (use != KEY_USE_ACCOUNT)
			FAIL(err, ERR_BAD_PUBLIC_KEY, "Ed25519 keys are served for accounts, not for certificates");
		return OK;
	case KEY_KIND_COUNT:
		break;
	}
	FAIL(err, ERR_INTERNAL, "key of no kind");
}

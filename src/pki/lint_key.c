/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_key.c: rules about the subscriber's key (BR 6.1.5, 6.1.6, 7.1.3.1; RULES R4). The key policy of crypto says no
 * to the first flaw it meets; here each flaw has its name.
 */
#include "pki/lint_look.h"

#define RSA_BITS_MIN 2048
#define RSA_BITS_MAX 8192 /* beyond this nothing is computed */

static fallible check_algorithm(const struct look *l, struct err *err)
{
	if (!l->key_good)
		FIND(err, "found a SubjectPublicKeyInfo that is none of RSA, P-256, P-384, P-521, Ed25519 in their "
			  "exact bytes");
	return OK;
}

static fallible check_no_ed25519(const struct look *l, struct err *err)
{
	if (l->key_good && l->key_kind == KEY_ED25519)
		FIND(err, "found an Ed25519 key, which public CAs do not serve");
	return OK;
}

/* --- RSA -------------------------------------------------------------------------------------------------------------*/
static bool is_rsa(const struct look *l)
{
	return l->key_good && l->key_kind == KEY_RSA;
}

static size_t bit_length(struct str n)
{
	size_t bits = n.n * 8;
	for (unsigned top = (uint8_t)n.p[0]; (top & 0x80) == 0; top <<= 1)
		bits--;
	return bits;
}

static fallible check_rsa_form(const struct look *l, struct err *err)
{
	if (is_rsa(l) && !l->rsa_good)
		FIND(err, "found an RSA key that is no pair of positive numbers");
	return OK;
}

static fallible check_rsa_size(const struct look *l, struct err *err)
{
	if (!l->rsa_good)
		return OK;
	size_t bits = bit_length(l->rsa_n);
	if (bits < RSA_BITS_MIN || bits > RSA_BITS_MAX || bits % 8 != 0)
		FIND(err, "found a modulus of %zu bits, wanted %d to %d and a multiple of 8", bits, RSA_BITS_MIN,
		     RSA_BITS_MAX);
	return OK;
}

static fallible check_rsa_exponent(const struct look *l, struct err *err)
{
	if (!l->rsa_good)
		return OK;
	bool odd = (l->rsa_e.p[l->rsa_e.n - 1] & 1) != 0;
	if (!odd || str_eq(l->rsa_e, STR("\x01")))
		FIND(err, "found an exponent that is even or 1");
	return OK;
}

static fallible check_rsa_65537(const struct look *l, struct err *err)
{
	if (!l->rsa_good || FAILED(check_rsa_exponent(l, NULL)))
		return OK;
	if (!str_eq(l->rsa_e, STR("\x01\x00\x01")))
		FIND(err, "found an exponent that is not 65537");
	return OK;
}

/* These bytes are those of the request's key, and what they come to is known of that one. */
static bool is_sound_as_asked(const struct look *l)
{
	struct str asked;
	return l->asked != NULL && !FAILED(key_spki(l->mem, l->asked->r->key, &asked, NULL)) &&
	       str_eq(asked, l->spki) && !FAILED(key_check(l->asked->r->key, KEY_USE_CERTIFICATE, NULL));
}

static fallible check_flaw(const struct look *l, unsigned flaw, const char *words, struct err *err)
{
	unsigned found = 0;
	if (!l->rsa_good || bit_length(l->rsa_n) > RSA_BITS_MAX || is_sound_as_asked(l))
		return OK;
	TRY(key_rsa_flaws(l->rsa_n, flaw, &found, err));
	if (found != 0)
		FIND(err, "found %s", words);
	return OK;
}

static fallible check_rsa_factor(const struct look *l, struct err *err)
{
	return check_flaw(l, KEY_FLAW_FACTOR, "a modulus with a prime factor below 752", err);
}

static fallible check_rsa_fermat(const struct look *l, struct err *err)
{
	return check_flaw(l, KEY_FLAW_FERMAT, "a modulus whose factors are too close together", err);
}

static fallible check_rsa_roca(const struct look *l, struct err *err)
{
	return check_flaw(l, KEY_FLAW_ROCA, "a modulus made by the vulnerable library of Infineon (CVE-2017-15361)",
			  err);
}

/* --- EC --------------------------------------------------------------------------------------------------------------*/
static size_t coordinate_bytes(const struct look *l)
{
	switch (l->key_kind) {
	case KEY_P256:
		return 32;
	case KEY_P384:
		return 48;
	case KEY_P521:
		return 66;
	case KEY_RSA:
	case KEY_ED25519:
	case KEY_KIND_COUNT:
		break;
	}
	return 0;
}

static bool point_is_plain(const struct look *l, size_t n)
{
	return l->key_bits.n == 1 + 2 * n && l->key_bits.p[0] == 0x04;
}

static fallible check_ec_plain(const struct look *l, struct err *err)
{
	size_t n = coordinate_bytes(l);
	if (l->key_good && n > 0 && !point_is_plain(l, n))
		FIND(err, "found a point that is not 04 and two coordinates of %zu bytes", n);
	return OK;
}

static fallible check_ec_on_curve(const struct look *l, struct err *err)
{
	AUTO(key_auto) struct key *k = NULL;
	size_t n = coordinate_bytes(l);
	if (!l->key_good || n == 0 || !point_is_plain(l, n) || is_sound_as_asked(l))
		return OK;
	TRY(key_from_ec(l->key_kind, str_sub(l->key_bits, 1, 1 + n), str_sub(l->key_bits, 1 + n, 1 + 2 * n), &k, err));
	return key_check(k, KEY_USE_CERTIFICATE, err);
}

const struct lint_rule lint_rules_key[] = {
	{ "key-algorithm", LINT_ERROR, ALL, "BR 7.1.3.1", 4,
	  "a key of a served kind, its AlgorithmIdentifier byte for byte as listed (named curves, NULL parameters)",
	  check_algorithm },
	{ "key-ed25519", LINT_ERROR, FOR_LEAF | FOR_CA | IN_PUBLIC, "BR 6.1.5", 4, "no Ed25519 key", check_no_ed25519 },
	{ "key-rsa-form", LINT_ERROR, ALL, "RFC 3279 2.3.1", 4, "modulus and exponent as positive numbers",
	  check_rsa_form },
	{ "key-rsa-size", LINT_ERROR, ALL, "BR 6.1.5", 4, "a modulus of 2048 to 8192 bits, divisible by 8",
	  check_rsa_size },
	{ "key-rsa-exponent", LINT_ERROR, ALL, "BR 6.1.6", 4, "an odd exponent of 3 or more", check_rsa_exponent },
	{ "key-rsa-65537", LINT_NOTICE, ALL, "BR 6.1.6", 4, "the exponent 65537", check_rsa_65537 },
	{ "key-rsa-factor", LINT_ERROR, ALL, "BR 6.1.6", 4, "no prime factor below 752", check_rsa_factor },
	{ "key-rsa-fermat", LINT_ERROR, ALL, "BR 6.1.1.3", 4,
	  "factors that Fermat's method does not find in 110 rounds", check_rsa_fermat },
	{ "key-rsa-roca", LINT_ERROR, ALL, "BR 6.1.1.3", 4, "no key with the fingerprint of ROCA", check_rsa_roca },
	{ "key-ec-plain", LINT_ERROR, ALL, "BR 7.1.3.1.2, RFC 5480 2.2", 4, "an uncompressed point", check_ec_plain },
	{ "key-ec-curve", LINT_ERROR, ALL, "BR 6.1.6", 4, "a point on the curve", check_ec_on_curve },
};
const size_t lint_rules_key_count = ARRAY_LEN(lint_rules_key);

/* SPDX-License-Identifier: Apache-2.0
 *
 * lint_form.c: rules about the certificate as such: its encoding, version, serial, signature algorithm, issuer and times
 * (RULES R1 and R14).
 */
#include "pki/lint_look.h"

#include <openssl/err.h>
#include <openssl/x509.h>

#define DAY_S INT64_C(86400)
#define DAYS_MAX 398
#define SERIAL_MAX 20          /* RFC 5280 4.1.2.2 */
#define SERIAL_ENTROPY_BYTES 8 /* 64 bits do not fit into fewer */
#define YEAR_2050 INT64_C(2524608000)

#define BYTES(lit)                     \
	{                              \
		(lit), sizeof(lit) - 1 \
	}

/* --- encoding --------------------------------------------------------------------------------------------------------*/
static fallible check_der(const struct look *l, struct err *err)
{
	TRY(der_check(l->der, err));
	for (size_t i = 0; i < l->ext_count; i++) {
		struct rc rc = der_check(l->exts[i].value, err);
		if (!FAILED(rc))
			continue;
		err_prefix(err, "in extension %.*s: ", STR_FMT(look_oid_text(l->mem, l->exts[i].oid)));
		return rc;
	}
	return OK;
}

static fallible check_version(const struct look *l, struct err *err)
{
	if (!str_eq(l->version, STR("\x02\x01\x02")))
		FIND(err, "found version %d, wanted 3", l->version.n == 3 ? l->version.p[2] + 1 : 1);
	return OK;
}

static fallible check_unique_ids(const struct look *l, struct err *err)
{
	if (l->has_unique_ids)
		FIND(err, "found a unique identifier, wanted none");
	return OK;
}

/* --- serial ----------------------------------------------------------------------------------------------------------*/
static struct str serial_digits(const struct look *l)
{
	struct str s = l->serial;
	while (s.n > 0 && s.p[0] == 0)
		s = str_sub(s, 1, s.n);
	return s;
}

static fallible check_serial_positive(const struct look *l, struct err *err)
{
	if (l->serial.n == 0 || (uint8_t)l->serial.p[0] > 0x7f || serial_digits(l).n == 0)
		FIND(err, "found a serial that is zero or negative");
	return OK;
}

static fallible check_serial_length(const struct look *l, struct err *err)
{
	if (l->serial.n > SERIAL_MAX)
		FIND(err, "found a serial of %zu bytes, wanted at most %d", l->serial.n, SERIAL_MAX);
	return OK;
}

static fallible check_serial_entropy(const struct look *l, struct err *err)
{
	size_t n = serial_digits(l).n;
	if (n < SERIAL_ENTROPY_BYTES)
		FIND(err, "found a serial of %zu bytes, which has no room for 64 random bits", n);
	return OK;
}

/* --- signature -------------------------------------------------------------------------------------------------------*/
/* BR 7.1.3.2, byte for byte; private CAs may use Ed25519 (RFC 8410), too. */
static const struct algorithm {
	enum key_kind kind;
	struct str bytes;
} algorithms[] = {
	{ KEY_RSA, BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00") },
	{ KEY_RSA, BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c\x05\x00") },
	{ KEY_RSA, BYTES("\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d\x05\x00") },
	{ KEY_RSA, BYTES("\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60\x86"
			 "\x48\x01\x65\x03\x04\x02\x01\x05\x00\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
			 "\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\xa2\x03\x02\x01\x20") },
	{ KEY_RSA, BYTES("\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60\x86"
			 "\x48\x01\x65\x03\x04\x02\x02\x05\x00\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
			 "\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x02\x05\x00\xa2\x03\x02\x01\x30") },
	{ KEY_RSA, BYTES("\x30\x41\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a\x30\x34\xa0\x0f\x30\x0d\x06\x09\x60\x86"
			 "\x48\x01\x65\x03\x04\x02\x03\x05\x00\xa1\x1c\x30\x1a\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01"
			 "\x08\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x03\x05\x00\xa2\x03\x02\x01\x40") },
	{ KEY_P256, BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02") },
	{ KEY_P384, BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x03") },
	{ KEY_P521, BYTES("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x04") },
	{ KEY_ED25519, BYTES("\x30\x05\x06\x03\x2b\x65\x70") },
};

static const struct algorithm *find_algorithm(struct str bytes)
{
	for (size_t i = 0; i < ARRAY_LEN(algorithms); i++)
		if (str_eq(algorithms[i].bytes, bytes))
			return &algorithms[i];
	return NULL;
}

static fallible check_algorithms_equal(const struct look *l, struct err *err)
{
	if (!str_eq(l->algorithm, l->algorithm_outside))
		FIND(err, "found two signature algorithms, wanted one in both places");
	return OK;
}

static fallible check_algorithm_bytes(const struct look *l, struct err *err)
{
	const struct algorithm *a = find_algorithm(l->algorithm);
	if (a == NULL || (l->public_rules && a->kind == KEY_ED25519))
		FIND(err, "found signature algorithm %.*s, wanted one of the list, in its exact bytes",
		     STR_FMT(hex_encode(l->mem, str_sub(l->algorithm, 0, 80))));
	return OK;
}

static fallible check_algorithm_of_issuer(const struct look *l, struct err *err)
{
	const struct algorithm *a = find_algorithm(l->algorithm);
	if (l->issuer_key == NULL)
		FIND(err, "found an issuer whose key is of no kind that is served");
	if (a != NULL && a->kind != key_get_kind(l->issuer_key))
		FIND(err, "found an algorithm that does not go with the issuer's key, which is %s",
		     key_kind_name(key_get_kind(l->issuer_key)));
	return OK;
}

/* Any algorithm that OpenSSL knows. */
static fallible check_foreign_signature(const struct look *l, struct err *err)
{
	const uint8_t *p = (const uint8_t *)l->der.p;
	X509 *x = l->issuer_key == NULL ? NULL : d2i_X509(NULL, &p, (long)l->der.n);
	bool bad = x != NULL && X509_verify(x, key_get_evp(l->issuer_key)) != 1; /* not read: another rule's finding */
	X509_free(x);
	ERR_clear_error();
	if (bad)
		FIND(err, "found a signature that is not of the issuer's key");
	return OK;
}

/* Before signing it is the placeholder, to the bit: no key has signed these bytes, and none that is known may have. */
static fallible check_signature(const struct look *l, struct err *err)
{
	if (l->asked == NULL)
		return check_foreign_signature(l, err);
	const struct issuer *i = l->asked->issuer;
	const struct signed_parts parts = { l->tbs, l->algorithm_outside, l->signature };
	if (!str_eq(l->signature, buf_str(&i->placeholder)) &&
	    FAILED(signed_verify(i->crypto, &parts, i->public, "certificate", NULL)))
		FIND(err, "found a signature that is neither the placeholder nor of the issuer's key");
	return OK;
}

/* --- issuer ----------------------------------------------------------------------------------------------------------*/
static fallible check_name_form(const struct look *l, struct err *err)
{
	if (!l->issuer_good || !l->subject_good)
		FIND(err, "found %s that is no list of sets of attributes", l->issuer_good ? "a subject" : "an issuer");
	return OK;
}

static fallible check_issuer_empty(const struct look *l, struct err *err)
{
	if (str_eq(l->issuer, STR("\x30\x00")))
		FIND(err, "found an empty issuer");
	return OK;
}

static fallible check_issuer_name(const struct look *l, struct err *err)
{
	if (!str_eq(l->issuer, l->issuer_cert->subject))
		FIND(err, "found an issuer whose bytes are not the CA's subject");
	return OK;
}

/* --- times -----------------------------------------------------------------------------------------------------------*/
/* After check_time_form's readers: two digits of year up to 2049, four from then on. */
static fallible check_time_form(const struct look *l, struct err *err)
{
	if (!l->times_good)
		FIND(err, "found a time that is not YYMMDDHHMMSSZ or YYYYMMDDHHMMSSZ");
	if ((l->not_before.tag == DER_UTC_TIME) != (l->from < YEAR_2050) ||
	    (l->not_after.tag == DER_UTC_TIME) != (l->until < YEAR_2050))
		FIND(err, "found a GeneralizedTime before 2050, wanted UTCTime");
	return OK;
}

static fallible check_time_order(const struct look *l, struct err *err)
{
	if (l->times_good && l->until < l->from)
		FIND(err, "found notAfter before notBefore");
	return OK;
}

/* BR 6.3.2, by the day of issue. Days of 86,400 s; notAfter's second is part of the time. */
static const struct {
	int64_t from;
	unsigned days;
} lifetimes[] = {
	{ INT64_C(1868227200), 47 },  /* 2029-03-15 */
	{ INT64_C(1805068800), 100 }, /* 2027-03-15 */
	{ INT64_C(1773532800), 200 }, /* 2026-03-15 */
	{ INT64_C(1598918400), 398 }, /* 2020-09-01 */
	{ INT64_MIN, 825 },
};

unsigned lint_public_days(int64_t not_before)
{
	size_t i = 0;
	while (not_before < lifetimes[i].from)
		i++;
	return lifetimes[i].days;
}

static fallible check_days(const struct look *l, unsigned most, struct err *err)
{
	if (!l->times_good || l->until < l->from)
		return OK;
	int64_t lasts = l->until - l->from + 1;
	if (lasts > most * DAY_S)
		FIND(err, "found a validity of %lld days and %lld s, wanted at most %u days",
		     (long long)(lasts / DAY_S), (long long)(lasts % DAY_S), most);
	return OK;
}

static fallible check_public_validity(const struct look *l, struct err *err)
{
	return check_days(l, lint_public_days(l->from), err);
}

/* One day less: one second of difference in how two programs count must not break the rule above. */
static fallible check_validity_margin(const struct look *l, struct err *err)
{
	unsigned most = lint_public_days(l->from);
	return FAILED(check_days(l, most, NULL)) ? OK : check_days(l, most - 1, err);
}

static fallible check_validity_ceiling(const struct look *l, struct err *err)
{
	return check_days(l, DAYS_MAX, err);
}

static fallible check_within_issuer(const struct look *l, struct err *err)
{
	if (l->times_good && l->until > l->issuer_cert->not_after)
		FIND(err, "found notAfter %lld s behind the issuer's",
		     (long long)(l->until - l->issuer_cert->not_after));
	return OK;
}

const struct lint_rule lint_rules_form[] = {
	{ "der", LINT_ERROR, ALL, "X.690 10, 11; RFC 5280 4.1", 14, "DER throughout, values of extensions included",
	  check_der },
	{ "version-3", LINT_ERROR, ALL, "RFC 5280 4.1.2.1, BR 7.1.1", 1, "version 3", check_version },
	{ "unique-ids", LINT_ERROR, ALL, "RFC 5280 4.1.2.8, BR 7.1.2.7", 1, "no unique identifiers", check_unique_ids },
	{ "serial-positive", LINT_ERROR, ALL, "RFC 5280 4.1.2.2, BR 7.1.2.7", 1, "a positive serial",
	  check_serial_positive },
	{ "serial-length", LINT_ERROR, ALL, "RFC 5280 4.1.2.2, BR 7.1.2.7", 1, "a serial of at most 20 bytes",
	  check_serial_length },
	{ "serial-entropy", LINT_ERROR, PUBLIC_LEAVES, "BR 7.1.2.7", 1, "a serial with room for 64 random bits",
	  check_serial_entropy },
	{ "algorithms-equal", LINT_ERROR, ALL, "RFC 5280 4.1.1.2, BR 7.1.2.7", 1,
	  "the same signature algorithm outside and inside, byte for byte", check_algorithms_equal },
	{ "algorithm-bytes", LINT_ERROR, ALL, "BR 7.1.3.2", 4,
	  "one of the AlgorithmIdentifiers of BR 7.1.3.2, byte for byte", check_algorithm_bytes },
	{ "algorithm-of-issuer", LINT_ERROR, ALL | WITH_ISSUER, "BR 7.1.3.2", 4,
	  "the algorithm that goes with the issuer's key", check_algorithm_of_issuer },
	{ "signature", LINT_ERROR, ALL | WITH_ISSUER, "RFC 5280 4.1.1.3", 1, "a signature of the issuer's key",
	  check_signature },
	{ "name-form", LINT_ERROR, ALL, "RFC 5280 4.1.2.4, 4.1.2.6", 14, "issuer and subject of the form of a Name",
	  check_name_form },
	{ "issuer-not-empty", LINT_ERROR, ALL, "RFC 5280 4.1.2.4", 14, "an issuer", check_issuer_empty },
	{ "issuer-name", LINT_ERROR, ALL | WITH_ISSUER, "BR 7.1.4.1, RFC 5280 4.1.2.4", 1,
	  "the CA's subject as the issuer, byte for byte", check_issuer_name },
	{ "time-form", LINT_ERROR, ALL, "RFC 5280 4.1.2.5", 14,
	  "UTCTime through 2049 and GeneralizedTime from then on, to the second, without fractions", check_time_form },
	{ "time-order", LINT_ERROR, ALL, "RFC 5280 4.1.2.5", 14, "notAfter not before notBefore", check_time_order },
	{ "validity-public", LINT_ERROR, PUBLIC_LEAVES, "BR 6.3.2", 1,
	  "at most 200 days from 2026-03-15, 100 from 2027-03-15, 47 from 2029-03-15", check_public_validity },
	{ "validity-margin", LINT_NOTICE, PUBLIC_LEAVES, "BR 6.3.2", 1, "a day less than that", check_validity_margin },
	{ "validity-ceiling", LINT_ERROR, FOR_LEAF | IN_PRIVATE, "this project's limit", 1, "at most 398 days",
	  check_validity_ceiling },
	{ "within-issuer", LINT_ERROR, ALL | WITH_ISSUER, "RFC 5280 6.1.3", 14,
	  "an end that is not behind the issuer's", check_within_issuer },
};
const size_t lint_rules_form_count = ARRAY_LEN(lint_rules_form);

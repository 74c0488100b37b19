/* SPDX-License-Identifier: Apache-2.0
 *
 * values.c: values that both the reader of certificates and the lint take apart. They say what stands there; what is wrong
 * with it is for the caller to say.
 */
#include "pki/internal.h"

/* RFC 5280 4.1.2.5: Zulu, to the second, nothing else; two digits of year are 1950 to 2049. time_read knows the calendar. */
bool value_time(const struct der *d, int64_t *ret)
{
	char text[] = "YYYY-MM-DDTHH:MM:SSZ";
	bool utc = d->tag == DER_UTC_TIME;
	const char *p = d->body.p;
	size_t n = d->body.n;
	if ((!utc && d->tag != DER_GENERALIZED_TIME) || n != (utc ? 13 : 15) || p[n - 1] != 'Z')
		return false;
	memcpy(text, p[0] < '5' ? "20" : "19", 2);
	memcpy(text + (utc ? 2 : 0), p, utc ? 2 : 4);
	p += utc ? 2 : 4;
	for (size_t i = 5; i < sizeof text - 1; i += 3, p += 2)
		memcpy(text + i, p, 2);
	return !FAILED(time_read(str_z(text), ret, NULL));
}

bool value_basic_constraints(struct str value, struct basic_constraints *ret)
{
	struct basic_constraints bc = { 0 };
	struct der seq, d;
	if (FAILED(der_only(value, DER_SEQUENCE, &seq, NULL)))
		return false;
	struct cur c = cur_of(seq.body);
	if (der_peek(&c, DER_BOOLEAN)) {
		if (FAILED(der_want(&c, DER_BOOLEAN, &d, NULL)) || d.body.n != 1)
			return false;
		bc.ca = d.body.p[0] != 0;
	}
	if (der_peek(&c, DER_INTEGER)) {
		if (FAILED(der_want(&c, DER_INTEGER, &d, NULL)) || d.body.n != 1 || (uint8_t)d.body.p[0] > 0x7f)
			return false;
		bc.has_path_len = true;
	}
	if (!cur_end(&c))
		return false;
	*ret = bc;
	return true;
}

bool value_key_usage(struct str value, unsigned *ret)
{
	struct der d;
	if (FAILED(der_only(value, DER_BIT_STRING, &d, NULL)) || d.body.n == 0 || d.body.n > 3 ||
	    (uint8_t)d.body.p[0] > 7)
		return false;
	*ret = 0;
	if (d.body.n > 1)
		*ret = (unsigned)(uint8_t)d.body.p[1] << 8;
	if (d.body.n > 2)
		*ret |= (uint8_t)d.body.p[2];
	return true;
}

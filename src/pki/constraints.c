/* SPDX-License-Identifier: Apache-2.0
 *
 * constraints.c: what a CA's own certificate lets it issue for (RFC 5280 4.2.1.10), so that an operator hears of a realm
 * whose certificates nobody would accept. Verifiers decide; this only warns.
 */
#include "pki/internal.h"

struct asked { /* a domain with all that is below it, or a range */
	unsigned tag;
	struct str name;
	const struct addr_range *range;
};

static bool is_below(struct str name, struct str domain)
{
	(void)str_skip(&domain, STR("."));
	if (domain.n == 0 || str_eq_nocase(name, domain))
		return true;
	return name.n > domain.n && name.p[name.n - domain.n - 1] == '.' &&
	       str_eq_nocase(str_sub(name, name.n - domain.n, name.n), domain);
}

static bool is_inside(const struct addr_range *range, struct str octets)
{
	size_t n = range->base.family == AF_INET ? 4 : 16;
	if (octets.n != 2 * n)
		return false;
	for (size_t i = 0; i < n; i++) {
		uint8_t base = (uint8_t)octets.p[i], mask = (uint8_t)octets.p[n + i];
		unsigned known = range->bits <= 8 * i ? 0 : range->bits - 8 * (unsigned)i;
		uint8_t own = known >= 8 ? 0xff : (uint8_t)(0xff00u >> known);
		if ((mask & ~own & 0xff) != 0 || (range->base.b[i] & mask) != (base & mask))
			return false;
	}
	return true;
}

/* Does a subtree of this list hold all that is asked for? *ret_any: the list speaks of names of this kind. */
static bool list_holds(struct str list, const struct asked *q, bool *ret_any, bool *ret_broken)
{
	struct der subtree, base;
	bool holds = false;
	for (struct cur c = cur_of(list); !cur_end(&c);) {
		if (FAILED(der_want(&c, DER_SEQUENCE, &subtree, NULL))) {
			*ret_broken = true;
			return false;
		}
		struct cur in = cur_of(subtree.body);
		if (FAILED(der_next(&in, &base, NULL))) {
			*ret_broken = true;
			return false;
		}
		if (base.tag != q->tag)
			continue;
		*ret_any = true;
		holds = holds ||
			(q->tag == TAG_DNS_NAME ? is_below(q->name, base.body) : is_inside(q->range, base.body));
	}
	return holds;
}

static bool permits(const struct cert *cert, const struct asked *q)
{
	struct ext e;
	struct der seq, list;
	bool any = false, excluded_any = false, broken = false, held = false, excluded = false;
	if (!cert_find_ext(cert, OID_NAME_CONSTRAINTS, &e))
		return true;
	if (FAILED(der_check(e.value, NULL)) || FAILED(der_only(e.value, DER_SEQUENCE, &seq, NULL)))
		return false;
	for (struct cur c = cur_of(seq.body); !cur_end(&c);) {
		if (FAILED(der_next(&c, &list, NULL)))
			return false;
		if (list.tag == DER_CONTEXT_MADE(0))
			held = list_holds(list.body, q, &any, &broken);
		else if (list.tag == DER_CONTEXT_MADE(1))
			excluded = list_holds(list.body, q, &excluded_any, &broken);
	}
	return !broken && !excluded && (held || !any);
}

bool cert_permits_name(const struct cert *c, struct str name)
{
	const struct asked q = { .tag = TAG_DNS_NAME, .name = name };
	return permits(c, &q);
}

bool cert_permits_range(const struct cert *c, const struct addr_range *range)
{
	const struct asked q = { .tag = TAG_IP_ADDRESS, .range = range };
	return permits(c, &q);
}

bool cert_permits_uses(const struct cert *c, unsigned ekus)
{
	struct ext e;
	struct der seq, oid;
	unsigned found = 0;
	if (!cert_find_ext(c, OID_EKU, &e))
		return true;
	if (FAILED(der_only(e.value, DER_SEQUENCE, &seq, NULL)))
		return false;
	for (struct cur in = cur_of(seq.body); !cur_end(&in);) {
		if (FAILED(der_want(&in, DER_OID, &oid, NULL)))
			return false;
		found |= str_eq(oid.body, OID_ANY_EKU) ? ekus : eku_of(oid.body);
	}
	return (ekus & ~found) == 0;
}

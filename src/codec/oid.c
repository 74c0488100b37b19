/* SPDX-License-Identifier: Apache-2.0
 *
 * oid.c: object identifiers from the form that people write, "2.23.140.1.2.1", to the body of the DER element
 * (X.690 8.19).
 */
#include "codec/codec.h"

#define ARCS_MAX 32

static fallible oid_add(struct oid *o, uint64_t arc, struct err *err)
{
	unsigned septets = 1;
	for (uint64_t rest = arc >> 7; rest != 0; rest >>= 7)
		septets++;
	if (o->n + septets > sizeof o->b)
		FAIL(err, ERR_MALFORMED, "object identifier is longer than %zu bytes", sizeof o->b);
	for (unsigned i = septets; i-- > 0;)
		o->b[o->n++] = (uint8_t)((arc >> 7 * i & 0x7f) | (i > 0 ? 0x80 : 0));
	return OK;
}

static fallible read_arcs(struct str text, uint64_t *arcs, size_t *ret_count, struct err *err)
{
	size_t count = 0;
	for (size_t from = 0; from <= text.n; count++) {
		size_t dot = str_find(text, '.', from);
		if (count == ARCS_MAX)
			FAIL(err, ERR_MALFORMED, "object identifier has more than %d numbers", ARCS_MAX);
		if (FAILED(str_u64(str_sub(text, from, dot), UINT32_MAX, &arcs[count], NULL)))
			FAIL(err, ERR_MALFORMED,
			     "\"%.*s\" is no object identifier, wanted numbers such as 2.23.140.1.2.1",
			     STR_FMT(str_sub(text, 0, 128)));
		from = dot + 1;
	}
	*ret_count = count;
	return OK;
}

fallible oid_read(struct str text, struct oid *ret, struct err *err)
{
	uint64_t arcs[ARCS_MAX] = { 0 };
	size_t count = 0;
	struct oid o = { 0 };
	TRY(read_arcs(text, arcs, &count, err));
	if (count < 2 || arcs[0] > 2 || (arcs[0] < 2 && arcs[1] > 39))
		FAIL(err, ERR_MALFORMED,
		     "\"%.*s\" is no object identifier: it starts with 0, 1 or 2 and has two numbers",
		     STR_FMT(str_sub(text, 0, 128)));
	TRY(oid_add(&o, arcs[0] * 40 + arcs[1], err));
	for (size_t i = 2; i < count; i++)
		TRY(oid_add(&o, arcs[i], err));
	*ret = o;
	return OK;
}

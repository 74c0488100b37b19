/* SPDX-License-Identifier: Apache-2.0
 *
 * idents.c: an order's identifiers as it stores them: JSON text, sorted, without duplicates. Written once, read back
 * when the order is finalized and signed.
 */
#include "acme/order.h"

#define TEXT_MAX (64 * 1024)

int ident_compare(const struct ident *a, const struct ident *b)
{
	if (a->type != b->type)
		return a->type < b->type ? -1 : 1;
	size_t n = a->value.n < b->value.n ? a->value.n : b->value.n;
	int d = memcmp(a->value.p, b->value.p, n);
	return d != 0 ? d : (a->value.n > b->value.n) - (a->value.n < b->value.n);
}

bool ident_is_wildcard(const struct ident *i)
{
	return i->type == IDENT_DNS && str_starts(i->value, STR("*."));
}

struct str ident_base(const struct ident *i)
{
	return ident_is_wildcard(i) ? str_sub(i->value, 2, i->value.n) : i->value;
}

fallible idents_write(struct arena *mem, const struct ident *idents, size_t count, struct str *ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(TEXT_MAX);
	struct jw w = jw_begin(&text, err);
	jw_array(&w);
	for (size_t i = 0; i < count; i++) {
		jw_object(&w);
		jw_kz(&w, "type", ident_type_name(idents[i].type));
		jw_kstr(&w, "value", idents[i].value);
		jw_object_end(&w);
	}
	jw_array_end(&w);
	TRY(jw_end(&w));
	*ret = str_dup(mem, buf_str(&text));
	return OK;
}

static fallible ident_read(struct arena *mem, const struct json *v, struct ident *ret, struct err *err)
{
	struct str type, value;
	TRY(json_want_str(v, "type", 16, &type, err));
	TRY(json_want_str(v, "value", NAME_MAX_LEN + 2, &value, err));
	TRY(ident_type_read(type, &ret->type, err));
	ret->value = str_dup(mem, value);
	return OK;
}

fallible idents_read(struct arena *mem, struct str text, struct ident **ret, size_t *ret_count, struct err *err)
{
	/* The stored text is an array; the JSON reader takes an object at the top. */
	AUTO(json_auto) struct json *top = NULL;
	TRY(json_read(str_fmt(mem, "{\"i\":%.*s}", (int)text.n, text.p), TEXT_MAX, &top, err));
	const struct json *list = json_get(top, "i");
	size_t count = json_count(list);
	struct ident *idents = ARENA_ARRAY(mem, struct ident, count);
	for (size_t i = 0; i < count; i++)
		TRY(ident_read(mem, json_at(list, i), &idents[i], err));
	*ret = idents;
	*ret_count = count;
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * idents.c: an order's identifiers as it stores them: JSON text, sorted, without duplicates. Written once, read back
 * when the order is finalized and signed.
 */
#include "acme/app.h"

#define TEXT_MAX (64 * 1024)

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

fallible idents_read(struct arena *mem, struct str text, struct ident **ret, size_t *ret_count, struct err *err)
{
	/* The stored text is an array; the JSON reader takes an object at the top. */
	AUTO(json_auto) struct json *top = NULL;
	TRY(json_read(str_fmt(mem, "{\"i\":%.*s}", (int)text.n, text.p), TEXT_MAX, &top, err));
	const struct json *list = json_get(top, "i");
	size_t count = json_count(list);
	struct ident *idents = ARENA_ARRAY(mem, struct ident, count);
	for (size_t i = 0; i < count; i++) {
		struct str value;
		TRY(json_want_str(json_at(list, i), "value", NAME_MAX_LEN + 2, &value, err));
		idents[i] = (struct ident){ .type = IDENT_DNS, .value = str_dup(mem, value) };
	}
	*ret = idents;
	*ret_count = count;
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * scan.c: looks up members in JSON text without making a tree of it: a reply has one or two members that matter, and is
 * looked at once.
 */
#include "generator.h"

static size_t skip_blank(struct str s, size_t at)
{
	while (at < s.n && (s.p[at] == ' ' || s.p[at] == '\n' || s.p[at] == '\t' || s.p[at] == '\r'))
		at++;
	return at;
}

/* From the opening quote to behind the closing one; s.n when there is none. */
static size_t skip_string(struct str s, size_t at)
{
	const char *quote = memchr(s.p + at + 1, '"', s.n - at - 1);
	if (quote != NULL && quote[-1] != '\\') /* mostly */
		return (size_t)(quote - s.p) + 1;
	for (at++; at < s.n && s.p[at] != '"'; at++)
		if (s.p[at] == '\\')
			at++;
	return at < s.n ? at + 1 : s.n;
}

/* Behind the value that begins at at. */
static size_t skip_value(struct str s, size_t at)
{
	unsigned depth = 0;
	while (at < s.n) {
		char c = s.p[at];
		if (depth == 0 && (c == ',' || c == '}' || c == ']'))
			return at;
		if (c == '"') {
			at = skip_string(s, at);
			continue;
		}
		if (c == '{' || c == '[')
			depth++;
		if (c == '}' || c == ']')
			depth--;
		at++;
	}
	return at;
}

static struct str value_of(struct str raw)
{
	while (raw.n > 0 && (raw.p[raw.n - 1] == ' ' || raw.p[raw.n - 1] == '\n' || raw.p[raw.n - 1] == '\r'))
		raw.n--;
	if (raw.n >= 2 && raw.p[0] == '"' && raw.p[raw.n - 1] == '"')
		return str_sub(raw, 1, raw.n - 1);
	return raw;
}

bool scan_member(struct str object, const char *key, struct str *ret)
{
	size_t at = skip_blank(object, 0);
	if (at >= object.n || object.p[at] != '{')
		return false;
	at = skip_blank(object, at + 1);
	while (at < object.n && object.p[at] == '"') {
		size_t name = at + 1, name_end = skip_string(object, at);
		at = skip_blank(object, name_end);
		if (at >= object.n || object.p[at] != ':')
			return false;
		at = skip_blank(object, at + 1);
		size_t end = skip_value(object, at);
		if (str_eq(str_sub(object, name, name_end - 1), str_z(key))) {
			*ret = value_of(str_sub(object, at, end));
			return end < object.n && memchr(ret->p, '\\', ret->n) == NULL;
		}
		if (end >= object.n || object.p[end] != ',')
			return false;
		at = skip_blank(object, end + 1);
	}
	return false;
}

bool scan_next(struct str array, size_t *at, struct str *ret)
{
	size_t from = skip_blank(array, *at);
	if (from >= array.n || array.p[from] != (*at == 0 ? '[' : ','))
		return false;
	from = skip_blank(array, from + 1);
	size_t end = skip_value(array, from);
	if (end >= array.n || end == from)
		return false;
	*ret = value_of(str_sub(array, from, end));
	*at = end;
	return true;
}

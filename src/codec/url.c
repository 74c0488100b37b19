/* SPDX-License-Identifier: Apache-2.0
 *
 * url.c: http and https URLs. A host is a name or a literal address and cannot be mistaken for the other: what some
 * resolver would take for an address in a second spelling (decimal, octal, hex, short) is refused (THREATS A29).
 */
#include "codec/codec.h"

static bool is_alpha(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

/* RFC 3986: unreserved, gen-delims, sub-delims and "%"; thus no control bytes, no blanks, no backslash, no UTF-8. */
static fallible check_bytes(struct str text, struct err *err)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];
		if (c == '\0' || (!is_alpha(c) && !is_digit(c) && strchr("-._~:/?#[]@!$&'()*+,;=%", c) == NULL))
			FAIL(err, ERR_MALFORMED, "URL has the byte 0x%02x at %zu", (unsigned)(unsigned char)c, i);
		if (c == '%' && (text.n - i < 3 || !is_hex(text.p[i + 1]) || !is_hex(text.p[i + 2])))
			FAIL(err, ERR_MALFORMED, "URL has a \"%%\" at %zu that two hexadecimal digits do not follow",
			     i);
	}
	return OK;
}

/* The first of any of `stops` at or after from. */
static size_t find_any(struct str s, const char *stops, size_t from)
{
	while (from < s.n && strchr(stops, s.p[from]) == NULL)
		from++;
	return from;
}

static bool label_is_good(struct str label)
{
	if (label.n == 0 || label.n > 63 || label.p[0] == '-' || label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++) {
		char c = label.p[i];
		if (!is_alpha(c) && !is_digit(c) && c != '-' && c != '_')
			return false;
	}
	return true;
}

/* As the WHATWG URL standard decides it: a host whose last label is a number in any notation is an address. */
static bool ends_in_number(struct str last)
{
	bool hex = str_skip(&last, STR("0x"));
	for (size_t i = 0; i < last.n; i++) {
		if (!(hex ? is_hex(last.p[i]) : is_digit(last.p[i])))
			return false;
	}
	return true;
}

static fallible read_name(struct arena *mem, struct str host, struct url *u, struct err *err)
{
	u->host = name_lower(mem, host);
	struct str label = STR_NONE;
	for (size_t at = 0; at <= u->host.n; at += label.n + 1) {
		label = str_sub(u->host, at, str_find(u->host, '.', at));
		if (u->host.n > NAME_MAX_LEN || !label_is_good(label))
			FAIL(err, ERR_MALFORMED, "URL host \"%.*s\" is not a host name",
			     STR_FMT(str_sub(host, 0, 255)));
	}
	if (!ends_in_number(label))
		return OK;
	if (FAILED(addr_read(u->host, &u->addr, NULL)))
		FAIL(err, ERR_MALFORMED, "URL host \"%.*s\" is an address in disguise: four decimal parts are wanted",
		     STR_FMT(host));
	u->host_is_addr = true;
	return OK;
}

static fallible read_literal(struct arena *mem, struct str inside, struct url *u, struct err *err)
{
	if (str_find(inside, '%', 0) < inside.n)
		FAIL(err, ERR_MALFORMED, "URL host \"[%.*s]\" has a zone", STR_FMT(str_sub(inside, 0, 64)));
	TRY(addr_read(inside, &u->addr, err));
	if (u->addr.family != AF_INET6)
		FAIL(err, ERR_MALFORMED, "URL host \"[%.*s]\" is not an IPv6 address", STR_FMT(inside));
	char text[ADDR_TEXT_MAX];
	addr_show(&u->addr, text);
	u->host = str_dup(mem, str_z(text));
	u->host_is_addr = true;
	return OK;
}

static fallible read_authority(struct arena *mem, struct str authority, struct url *u, struct err *err)
{
	if (str_find(authority, '@', 0) < authority.n)
		FAIL(err, ERR_MALFORMED, "URL has userinfo before its host");
	struct str host = authority;
	struct str port = STR_NONE;
	bool literal = str_skip(&host, STR("["));
	size_t end = str_find(host, literal ? ']' : ':', 0);
	if (literal && end == host.n)
		FAIL(err, ERR_MALFORMED, "URL host has \"[\" without \"]\"");
	port = str_sub(host, literal ? end + 1 : end, host.n);
	host = str_sub(host, 0, end);
	if (host.n == 0)
		FAIL(err, ERR_MALFORMED, "URL has no host");
	TRY(literal ? read_literal(mem, host, u, err) : read_name(mem, host, u, err));
	u->port = u->https ? 443 : 80;
	if (port.n == 0)
		return OK;
	uint64_t number = 0;
	if (!str_skip(&port, STR(":")) || FAILED(str_u64(port, UINT16_MAX, &number, NULL)) || number == 0)
		FAIL(err, ERR_MALFORMED, "URL port \"%.*s\" is not a number from 1 to 65535",
		     STR_FMT(str_sub(port, 0, 32)));
	u->port = (uint16_t)number;
	return OK;
}

static bool skip_nocase(struct str *s, struct str prefix)
{
	if (!str_eq_nocase(str_sub(*s, 0, prefix.n), prefix))
		return false;
	*s = str_sub(*s, prefix.n, s->n);
	return true;
}

static struct str join(struct arena *mem, struct str a, struct str b)
{
	char *p = (char *)arena_alloc(mem, a.n + b.n);
	if (a.n > 0)
		memcpy(p, a.p, a.n);
	if (b.n > 0)
		memcpy(p + a.n, b.p, b.n);
	return (struct str){ p, a.n + b.n };
}

fallible url_read(struct arena *mem, struct str text, size_t max, struct url *ret, struct err *err)
{
	if (text.n > max)
		FAIL(err, ERR_MALFORMED, "URL has %zu bytes, at most %zu are wanted", text.n, max);
	TRY(check_bytes(text, err));
	struct url u = { 0 };
	struct str rest = text;
	u.https = skip_nocase(&rest, STR("https://"));
	if (!u.https && !skip_nocase(&rest, STR("http://")))
		FAIL(err, ERR_MALFORMED, "URL \"%.*s\" does not begin with http:// or https://",
		     STR_FMT(str_sub(text, 0, 64)));
	size_t end = find_any(rest, "/?#", 0);
	TRY(read_authority(mem, str_sub(rest, 0, end), &u, err));
	struct str path = str_sub(rest, end, str_find(rest, '#', end));
	if (find_any(path, "[]", 0) < path.n)
		FAIL(err, ERR_MALFORMED, "URL has brackets in its path or query");
	u.path = str_starts(path, STR("/")) ? str_dup(mem, path) : join(mem, STR("/"), path);
	*ret = u;
	return OK;
}

static struct str show_origin(struct arena *mem, const struct url *u)
{
	bool brackets = u->host_is_addr && u->addr.family == AF_INET6;
	struct str origin = str_fmt(mem, "%s://%s%.*s%s", u->https ? "https" : "http", brackets ? "[" : "",
				    STR_FMT(u->host), brackets ? "]" : "");
	if (u->port == (u->https ? 443 : 80))
		return origin;
	return str_fmt(mem, "%.*s:%u", STR_FMT(origin), (unsigned)u->port);
}

struct str url_show(struct arena *mem, const struct url *u)
{
	return join(mem, show_origin(mem, u), u->path);
}

/* RFC 3986 5.2.4, for a path that begins with "/" and has no query: "." and ".." segments go. */
static struct str remove_dots(struct arena *mem, struct str path)
{
	char *out = (char *)arena_alloc(mem, path.n + 1);
	size_t n = 0;
	for (size_t at = 0; at < path.n;) {
		size_t next = str_find(path, '/', at + 1); /* path.p[at] is the slash before this segment */
		struct str segment = str_sub(path, at + 1, next);
		bool last = next == path.n;
		if (str_eq(segment, STR("..")) || str_eq(segment, STR("."))) {
			if (segment.n == 2) {
				while (n > 0 && out[n - 1] != '/')
					n--;
				n -= n > 0 ? 1 : 0;
			}
			if (last)
				out[n++] = '/';
		} else {
			memcpy(out + n, path.p + at, next - at);
			n += next - at;
		}
		at = next;
	}
	return (struct str){ out, n };
}

/* Has a scheme: a letter, then letters, digits, "+-.", then ":" before anything else. */
static bool is_absolute(struct str s)
{
	size_t i = 0;
	while (i < s.n && (is_alpha(s.p[i]) || (i > 0 && (is_digit(s.p[i]) || strchr("+-.", s.p[i]) != NULL))))
		i++;
	return i > 0 && i < s.n && s.p[i] == ':';
}

/* RFC 3986 5.2.2 and 5.2.3, for a reference that has neither scheme nor authority. */
static struct str merge_path(struct arena *mem, struct str base, struct str reference)
{
	size_t base_query = str_find(base, '?', 0);
	if (reference.n == 0)
		return base;
	if (reference.p[0] == '/')
		return reference;
	if (reference.p[0] == '?')
		return join(mem, str_sub(base, 0, base_query), reference);
	size_t slash = base_query;
	while (slash > 0 && base.p[slash - 1] != '/')
		slash--;
	return join(mem, str_sub(base, 0, slash), reference);
}

fallible url_resolve(struct arena *mem, const struct url *base, struct str location, size_t max, struct url *ret,
		     struct err *err)
{
	if (location.n > max)
		FAIL(err, ERR_MALFORMED, "URL has %zu bytes, at most %zu are wanted", location.n, max);
	TRY(check_bytes(location, err));
	struct str reference = str_sub(location, 0, str_find(location, '#', 0));
	struct str text;
	if (is_absolute(reference))
		text = reference;
	else if (str_starts(reference, STR("//")))
		text = join(mem, base->https ? STR("https:") : STR("http:"), reference);
	else
		text = join(mem, show_origin(mem, base), merge_path(mem, base->path, reference));
	struct url u = { 0 };
	TRY(url_read(mem, text, max, &u, err));
	size_t query = str_find(u.path, '?', 0);
	u.path = join(mem, remove_dots(mem, str_sub(u.path, 0, query)), str_sub(u.path, query, u.path.n));
	*ret = u;
	return OK;
}

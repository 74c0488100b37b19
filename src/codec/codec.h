/* SPDX-License-Identifier: Apache-2.0
 *
 * codec.h: bytes to values and back, pure and strict: base64url, hex, JSON, DNS names, addresses, URLs, RFC 3339 times.
 * Every reader takes hostile input, refuses what it does not know and never looks at the raw bytes twice.
 */
#ifndef CAIRN_CODEC_CODEC_H
#define CAIRN_CODEC_CODEC_H

#include "base/base.h"

#include <netinet/in.h>
#include <sys/socket.h>

/* base64url (RFC 4648 5, as RFC 7515 2 wants it): no padding, no blanks, unused bits zero. */
fallible b64url_decode(struct arena *mem, struct str text, size_t max, struct str *ret, struct err *err);
/* Exactly n bytes into out, or ERR_MALFORMED. */
fallible b64url_decode_to(struct str text, uint8_t *out, size_t n, struct err *err);
struct str b64url_encode(struct arena *mem, struct str bytes);
#define B64URL_LEN(bytes) (((bytes)*4 + 2) / 3)
void b64url_encode_to(struct str bytes, char *out); /* B64URL_LEN(bytes.n) characters, no NUL */
fallible b64url_add(struct buf *b, struct str bytes, struct err *err);
/* Standard base64 with padding, for PEM-like places. */
fallible b64_add(struct buf *b, struct str bytes, struct err *err);
/* One PEM block (RFC 7468) of this kind, "CERTIFICATE" for example, in strict lines of 64. */
fallible pem_add(const char *kind, struct str der, struct buf *ret, struct err *err);

/* An object identifier as people write it ("2.23.140.1.2.1") as the body of its DER element; numbers below 2^32. */
#define OID_MAX 64
struct oid {
	uint8_t b[OID_MAX];
	size_t n;
};
fallible oid_read(struct str text, struct oid *ret, struct err *err);

/* Length of the well-formed UTF-8 sequence at s[at] (Unicode table 3-7), 0 when there is none; at < s.n. */
size_t utf8_len(struct str s, size_t at);
/* So many bytes at the start of s stand in a JSON string as they are, one for one: printable ASCII without " and backslash. */
size_t json_plain(struct str s);

struct str hex_encode(struct arena *mem, struct str bytes); /* lower case */
fallible hex_decode(struct arena *mem, struct str text, size_t max, struct str *ret, struct err *err);

/* --- JSON (RFC 8259) --------------------------------------------------------------------------------------------
 * Reading: nesting or values over a limit, duplicates, NULs, bad UTF-8 and trailing bytes refused. The document owns every value;
 * borrowed pointers and slices die with it. Absent and null are the same to the getters. */
#define JSON_DEPTH_MAX 16
#define JSON_VALUES_MAX 65536 /* in one text */
struct json;                  /* one value, borrowed from its document; NULL stands for "absent" everywhere below */

/* The top must be an object. *ret is freed with json_free. Errors are ERR_MALFORMED and say line and column. */
fallible json_read(struct str text, size_t max, struct json **ret, struct err *err);
void json_free(struct json *top); /* accepts NULL; only for what json_read gave */
void json_auto(struct json **top);

enum json_type { JSON_ABSENT, JSON_OBJECT, JSON_ARRAY, JSON_STRING, JSON_INTEGER, JSON_REAL, JSON_BOOL };
enum json_type json_type(const struct json *v);
const struct json *json_get(const struct json *object, const char *key); /* NULL when absent or not an object */
size_t json_count(const struct json *array_or_object);                   /* 0 for anything else */
const struct json *json_at(const struct json *array, size_t i);
/* The value itself; false when it is of another type. */
bool json_as_str(const struct json *v, struct str *ret);
bool json_as_i64(const struct json *v, int64_t *ret);
bool json_as_bool(const struct json *v, bool *ret);
/* A member that must be there (want_*) or may be absent (may_*: *ret is then left alone). Wrong type or a string
 * over max bytes: ERR_MALFORMED, naming the key, what was found and what was wanted. */
fallible json_want_str(const struct json *o, const char *key, size_t max, struct str *ret, struct err *err);
fallible json_may_str(const struct json *o, const char *key, size_t max, struct str *ret, struct err *err);
fallible json_want_i64(const struct json *o, const char *key, int64_t min, int64_t max, int64_t *ret, struct err *err);
fallible json_may_bool(const struct json *o, const char *key, bool *ret, struct err *err);
fallible json_want_array(const struct json *o, const char *key, size_t max, const struct json **ret, struct err *err);
fallible json_want_object(const struct json *o, const char *key, const struct json **ret, struct err *err);
/* Refuses members that are not in the NULL-terminated list, naming the first one (for our own messages). */
fallible json_only(const struct json *o, const char *const *known, struct err *err);
/* Calls fn for each member of an object, in the order of the text. */
fallible json_each(const struct json *o,
		   fallible (*fn)(void *ctx, struct str key, const struct json *v, struct err *err), void *ctx,
		   struct err *err);

/* Writing: straight into a buffer. Errors stick in the writer and come out of jw_end. Commas are its business. */
struct jw {
	struct buf *out;
	struct rc rc;
	struct err *err;
	unsigned depth;
	uint32_t has; /* bit d: something was written at depth d already */
	bool after_key;
};
struct jw jw_begin(struct buf *out, struct err *err);
void jw_object(struct jw *w);
void jw_object_end(struct jw *w);
void jw_array(struct jw *w);
void jw_array_end(struct jw *w);
void jw_key(struct jw *w, const char *key);
void jw_str(struct jw *w, struct str v); /* bytes that are not UTF-8 become U+FFFD */
void jw_i64(struct jw *w, int64_t v);
void jw_bool(struct jw *w, bool v);
void jw_null(struct jw *w);
void jw_raw(struct jw *w, struct str json); /* one value that is JSON already, ours or checked */
fallible jw_end(struct jw *w);
/* key and value at once */
void jw_kstr(struct jw *w, const char *key, struct str v);
void jw_kz(struct jw *w, const char *key, const char *v);
void jw_ki64(struct jw *w, const char *key, int64_t v);
void jw_kbool(struct jw *w, const char *key, bool v);
void jw_kid(struct jw *w, const char *key, struct id v); /* an id's text form */

/* --- names and addresses ----------------------------------------------------------------------------------------*/
#define NAME_MAX_LEN 253
/* A dNSName as a public CA may issue it: lower-case LDH and P-labels, at least two labels, no trailing dot, no
 * underscore, label <= 63, name <= 253, last label not all digits, A-labels that round-trip through IDNA2008.
 * `wildcard` says whether one leading "*." is fine. Upper case is refused (callers lower ASCII first when RFC 8555
 * lets a client send it: name_lower). ERR_MALFORMED for wrong syntax, ERR_REJECTED_IDENTIFIER for what is never issued
 * (one label, reserved or special-use suffix such as .local, .onion, .arpa reverse trees); text says which rule. */
fallible name_check(struct str name, bool wildcard, struct err *err);
struct str name_lower(struct arena *mem, struct str name);
/* Does `name` match a realm's pattern: "a.example" itself, "*.a.example" anything below it, "*" everything?
 * A wildcard name matches "*.x" when its base is x or below it. */
bool name_matches(struct str pattern, struct str name);
/* By whole labels, never by text alone; a name is not below itself. */
bool name_is_below(struct str name, struct str ancestor);
fallible name_pattern_check(struct str pattern, struct err *err);

/* The Public Suffix List (publicsuffix.org), its ICANN section: names below which strangers register theirs. Read only
 * once it is made, so safe from many threads. */
struct suffixes;
/* NULL: the list that libpsl brings along. ERR_CONFIG or what file_read says. */
fallible suffixes_open(const char *path, struct suffixes **ret, struct err *err);
void suffixes_free(struct suffixes *s); /* accepts NULL */
/* Is this lower-case name one itself? A name that no rule of the list covers is none. */
bool suffixes_have(const struct suffixes *s, struct str name);

/* Addresses: one type for both families. */
struct addr {
	int family; /* AF_INET or AF_INET6 */
	uint8_t b[16];
};
struct addr_range {
	struct addr base;
	unsigned bits;
};
#define ADDR_TEXT_MAX 64
fallible addr_read(struct str text, struct addr *ret,
		   struct err *err);                           /* literal, no zone, no brackets, canonical v4 */
void addr_show(const struct addr *a, char out[ADDR_TEXT_MAX]); /* RFC 5952 */
bool addr_eq(const struct addr *a, const struct addr *b);
int addr_compare(const struct addr *a, const struct addr *b); /* v4 before v6, then by bytes: for qsort */
fallible addr_range_read(struct str text, struct addr_range *ret, struct err *err); /* "10.0.0.0/8", "::1" */
bool addr_in(const struct addr *a, const struct addr_range *r);
/* Special-purpose by the IANA registries (loopback, private, link-local, metadata, documentation, multicast, mapped and
 * translated forms of those ...): a short name of the block, or NULL for global unicast. */
const char *addr_special(const struct addr *a);
/* "127.0.0.1:14000", "[::1]:14000", ":14000" (any address, v6). */
fallible addr_port_read(struct str text, struct addr *ret, uint16_t *ret_port, struct err *err);
socklen_t addr_sockaddr(const struct addr *a, uint16_t port, struct sockaddr_storage *ret);
bool addr_of_sockaddr(const struct sockaddr_storage *sa, struct addr *ret, uint16_t *ret_port);

/* --- URLs (RFC 3986, http and https only) ------------------------------------------------------------------------*/
struct url {
	bool https;
	struct str host; /* lower case; an IPv6 literal without brackets */
	bool host_is_addr;
	struct addr addr; /* when host_is_addr */
	uint16_t port;    /* the scheme's when the text has none */
	struct str path;  /* with the query; at least "/"; no fragment */
};
/* Refuses other schemes, userinfo, an empty host, control bytes and blanks, and hosts that are numbers in disguise
 * (decimal, octal, hex, short forms). Slices live in mem. */
fallible url_read(struct arena *mem, struct str text, size_t max, struct url *ret, struct err *err);
/* Resolves a Location value against the URL that it was found at (RFC 3986 5). */
fallible url_resolve(struct arena *mem, const struct url *base, struct str location, size_t max, struct url *ret,
		     struct err *err);
struct str url_show(struct arena *mem, const struct url *u);

/* --- times (RFC 3339, UTC) ---------------------------------------------------------------------------------------*/
#define TIME_TEXT_MAX 32
void time_show(int64_t unix_s, char out[TIME_TEXT_MAX]);                   /* 2026-11-22T02:08:43Z */
void time_show_ms(int64_t unix_ms, char out[TIME_TEXT_MAX]);               /* with three decimals */
fallible time_read(struct str text, int64_t *ret_unix_s, struct err *err); /* any offset; fractions dropped */

#endif

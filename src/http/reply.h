/* SPDX-License-Identifier: Apache-2.0
 *
 * reply.h: a reply as bytes on the wire, for conn.c.
 */
#ifndef CAIRN_HTTP_REPLY_H
#define CAIRN_HTTP_REPLY_H

#include "http/http.h"

#define HTTP_DATE_MAX 32
/* IMF-fixdate (RFC 9110 5.6.7). */
void http_date(int64_t unix_s, char out[HTTP_DATE_MAX]);
/* Status line, fields and, unless head_only, the body: one run of bytes, so that one write and one TLS record carry a
 * small reply. */
fallible reply_write(const struct http_reply *r, bool head_only, const char *date, struct buf *out, struct err *err);
bool reply_has_header(const struct http_reply *r, struct str name);

#endif

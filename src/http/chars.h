/* SPDX-License-Identifier: Apache-2.0
 *
 * chars.h: the character classes of RFC 9110 and RFC 3986, for this folder: one look-up a byte, no locale.
 */
#ifndef CAIRN_HTTP_CHARS_H
#define CAIRN_HTTP_CHARS_H

#include "base/base.h"

#define CHAR_TOKEN 1u /* tchar, RFC 9110 5.6.2 */
#define CHAR_FIELD 2u /* a field value's: visible, blank, tab, obs-text (RFC 9110 5.5) */
#define CHAR_URI 4u   /* pchar but '%', '/' and '?' (RFC 3986 3.3, 3.4) */
#define CHAR_DIGIT 8u
#define CHAR_HOST 16u /* a name's or an IPv4 address's */
#define CHAR_IPV6 32u /* inside the brackets */
#define CHAR_HEX 64u

bool char_is(char c, unsigned class_bits);
bool chars_all(struct str s, unsigned class_bits); /* true for the empty slice */

#endif

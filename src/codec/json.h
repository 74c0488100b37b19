/* SPDX-License-Identifier: Apache-2.0
 *
 * json.h: a JSON value in memory, between the parser and the getters. Private to codec.
 */
#ifndef CAIRN_CODEC_JSON_H
#define CAIRN_CODEC_JSON_H

#include "codec/codec.h"

struct json {
	enum json_type type;
	struct str key;    /* of a member */
	struct json *next; /* the sibling behind it */
	size_t count;      /* of an array or object */
	union {
		struct str s;
		int64_t i;
		bool yes;
		struct json **v; /* count of them */
	} of;
};

#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * message.h: the messages between programs as tables of fields. One row says a member's name, form and bounds, and both
 * directions obey it: what may not be read is not written either. Private to model.
 */
#ifndef CAIRN_MODEL_MESSAGE_H
#define CAIRN_MODEL_MESSAGE_H

#include "model/model.h"

enum field_kind {
	FIELD_ID,      /* struct id; "" stands for zero when min is 0 */
	FIELD_WORD,    /* struct str of letters, digits and . _ - */
	FIELD_TEXT,    /* struct str of printable ASCII */
	FIELD_LINES,   /* the same with newlines */
	FIELD_UTF8,    /* struct str of any characters but controls */
	FIELD_B64URL,  /* struct str of base64url, passed on as it is */
	FIELD_HEX,     /* struct str of lower-case hex */
	FIELD_TOKEN,   /* struct str: 32 bytes in base64url */
	FIELD_BYTES,   /* struct str of any bytes; base64url in the message */
	FIELD_BOOL,    /* bool */
	FIELD_FLAG,    /* bool that came later: not written when false, false when absent */
	FIELD_TIME,    /* int64_t >= 0 */
	FIELD_METHOD,  /* enum challenge_type */
	FIELD_PROBLEM, /* enum err_kind; ERR_NONE when min is 0 */
	FIELD_CAA,     /* enum caa_result, which came later: CAA_NOT_CHECKED is not written, and that when absent */
	FIELD_IDENT,   /* struct ident without wildcard */
	FIELD_IDENTS,  /* struct ident *, wildcards allowed */
	FIELD_TEXTS,   /* struct str *, each FIELD_TEXT of at most item_max */
	FIELD_WORDS,   /* struct str *, each FIELD_WORD of at most item_max */
	FIELD_STEPS,   /* struct verdict_step * */
	FIELD_KIND_COUNT
};

struct field {
	const char *key;
	enum field_kind kind;
	size_t at;       /* offset in the struct */
	size_t count_at; /* of the array's size_t */
	size_t min, max; /* bytes of text, or elements */
	size_t item_max;
	bool may_lack; /* came later: not written when empty or 0, and that when absent; texts, lists of them, times */
};

#define MESSAGE_FIELDS_MAX 32

/* RFC 9444: what holds below a name is a name of DNS and proved in the DNS. */
fallible subdomains_check(bool subdomains, enum challenge_type method, const struct ident *ident, struct err *err);
/* A lookup of CAA is for a name of its own, and for an account. */
fallible caa_only_check(bool caa_only, bool granted, bool subdomains, const struct ident *ident, struct str account_url,
			struct err *err);
fallible account_url_check(struct str url, enum challenge_type method, struct err *err);

struct message {
	const char *name; /* "validate job" */
	size_t text_max;
	const struct field *fields;
	size_t field_count;
	fallible (*check)(const void *m, struct err *err); /* what one field alone cannot tell; may be NULL */
};

fallible message_write(const struct message *d, const void *m, struct buf *ret, struct err *err);
/* Writes *ret, as large as the struct that the table describes, only partly when it fails: readers keep a local. */
fallible message_read(const struct message *d, struct arena *mem, struct str text, void *ret, struct err *err);

#endif

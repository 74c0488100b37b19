/* SPDX-License-Identifier: Apache-2.0
 *
 * err.c: error text. Whatever went into a message, only printable ASCII comes out: peers choose parts of many
 * messages, and those reach terminals, logs and problem documents.
 */
#include "base/err.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

/* Appends `text` at out[at], escaped; stops before an escape that would not fit whole. */
static void put_printable(char *out, size_t cap, size_t at, const char *text)
{
	static const char digits[] = "0123456789abcdef";
	for (const char *p = text; *p != '\0'; p++) {
		unsigned char c = (unsigned char)*p;
		bool plain = c >= 0x20 && c <= 0x7e;
		size_t need = plain ? 1 : 4;
		if (cap - at <= need)
			break;
		if (plain) {
			out[at] = (char)c;
		} else {
			const char escaped[4] = { '\\', 'x', digits[c >> 4], digits[c & 15] };
			memcpy(out + at, escaped, sizeof escaped);
		}
		at += need;
	}
	out[at] = '\0';
}

void err_set(struct err *err, enum err_kind kind, const char *fmt, ...)
{
	assert(kind > ERR_NONE && kind < ERR_KIND_COUNT);
	if (err == NULL)
		return;
	/* Rendered aside first: the arguments may lie in err itself. */
	char text[ERR_DETAIL_MAX];
	va_list args;
	va_start(args, fmt);
	if (vsnprintf(text, sizeof text, fmt, args) < 0)
		text[0] = '\0';
	va_end(args);

	if (err->kind != ERR_NONE) /* an older error's; a cause given to a fresh err belongs to this one */
		err->cause[0] = '\0';
	err->kind = kind;
	err->retry_after_s = 0;
	put_printable(err->detail, sizeof err->detail, 0, text);
}

void err_cause(struct err *err, const char *fmt, ...)
{
	if (err == NULL)
		return;
	char text[sizeof err->cause];
	va_list args;
	va_start(args, fmt);
	if (vsnprintf(text, sizeof text, fmt, args) < 0)
		text[0] = '\0';
	va_end(args);

	size_t at = strnlen(err->cause, sizeof err->cause - 1);
	if (at > 0) {
		put_printable(err->cause, sizeof err->cause, at, "; ");
		at = strlen(err->cause);
	}
	put_printable(err->cause, sizeof err->cause, at, text);
}

void err_prefix(struct err *err, const char *fmt, ...)
{
	if (err == NULL)
		return;
	char words[ERR_DETAIL_MAX];
	va_list args;
	va_start(args, fmt);
	if (vsnprintf(words, sizeof words, fmt, args) < 0)
		words[0] = '\0';
	va_end(args);

	char old[ERR_DETAIL_MAX];
	memcpy(old, err->detail, sizeof old);
	old[sizeof old - 1] = '\0';
	put_printable(err->detail, sizeof err->detail, 0, words);
	put_printable(err->detail, sizeof err->detail, strlen(err->detail), old);
}

const char *err_kind_name(enum err_kind kind)
{
	static const char *const names[] = {
		[ERR_NONE] = "none",
		[ERR_ACCOUNT_DOES_NOT_EXIST] = "accountDoesNotExist",
		[ERR_ALREADY_REPLACED] = "alreadyReplaced",
		[ERR_ALREADY_REVOKED] = "alreadyRevoked",
		[ERR_BAD_CSR] = "badCSR",
		[ERR_BAD_NONCE] = "badNonce",
		[ERR_BAD_PUBLIC_KEY] = "badPublicKey",
		[ERR_BAD_REVOCATION_REASON] = "badRevocationReason",
		[ERR_BAD_SIGNATURE_ALGORITHM] = "badSignatureAlgorithm",
		[ERR_CAA] = "caa",
		[ERR_COMPOUND] = "compound",
		[ERR_CONNECTION] = "connection",
		[ERR_DNS] = "dns",
		[ERR_EXTERNAL_ACCOUNT_REQUIRED] = "externalAccountRequired",
		[ERR_INCORRECT_RESPONSE] = "incorrectResponse",
		[ERR_INVALID_CONTACT] = "invalidContact",
		[ERR_INVALID_PROFILE] = "invalidProfile",
		[ERR_MALFORMED] = "malformed",
		[ERR_ORDER_NOT_READY] = "orderNotReady",
		[ERR_RATE_LIMITED] = "rateLimited",
		[ERR_REJECTED_IDENTIFIER] = "rejectedIdentifier",
		[ERR_TLS] = "tls",
		[ERR_UNAUTHORIZED] = "unauthorized",
		[ERR_UNSUPPORTED_CONTACT] = "unsupportedContact",
		[ERR_UNSUPPORTED_IDENTIFIER] = "unsupportedIdentifier",
		[ERR_USER_ACTION_REQUIRED] = "userActionRequired",
		[ERR_NOT_FOUND] = "notFound",
		[ERR_METHOD_NOT_ALLOWED] = "methodNotAllowed",
		[ERR_TOO_LARGE] = "tooLarge",
		[ERR_MEDIA_TYPE] = "mediaType",
		[ERR_KEY_IN_USE] = "keyInUse",
		[ERR_ACCOUNT_ENDED] = "accountEnded",
		[ERR_UNAVAILABLE] = "unavailable",
		[ERR_CONFLICT] = "conflict",
		[ERR_TIMEOUT] = "timeout",
		[ERR_CLOSED] = "closed",
		[ERR_CONFIG] = "config",
		[ERR_IO] = "io",
		[ERR_INTERNAL] = "internal",
	};
	static_assert(ARRAY_LEN(names) == ERR_KIND_COUNT, "name every kind");
	if ((unsigned)kind >= ERR_KIND_COUNT || names[kind] == NULL)
		return "unknown";
	return names[kind];
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * unit.h: what all unit tests share: cmocka with the headers that it wants first, and checks that print the error they
 * met. The function that uses them has a `struct err err`.
 */
#ifndef CAIRN_TESTS_SUPPORT_UNIT_H
#define CAIRN_TESTS_SUPPORT_UNIT_H

#include "base/base.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MUST(call)                                                                                               \
	do {                                                                                                     \
		struct rc must_rc_ = (call);                                                                     \
		if (must_rc_.kind != ERR_NONE)                                                                   \
			fail_msg("%s: %s: %s (%s)", #call, err_kind_name(must_rc_.kind), err.detail, err.cause); \
	} while (0)

/* The call fails with this kind, and its detail holds this text. */
#define MUST_FAIL(call, want_kind, text)                                                                           \
	do {                                                                                                       \
		struct rc must_rc_ = (call);                                                                       \
		if (must_rc_.kind != (want_kind) || err.kind != (want_kind) || strstr(err.detail, (text)) == NULL) \
			fail_msg("%s: found %s \"%s\", wanted %s \"%s\"", #call, err_kind_name(must_rc_.kind),     \
				 err.detail, err_kind_name(want_kind), (text));                                    \
	} while (0)

#endif

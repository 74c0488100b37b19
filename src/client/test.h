/* SPDX-License-Identifier: Apache-2.0
 *
 * test.h: what the unit tests of client share: checks that print the error they met.
 */
#ifndef CAIRN_CLIENT_TEST_H
#define CAIRN_CLIENT_TEST_H

#include "client/client.h"

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

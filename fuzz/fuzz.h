/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz.h: what every target shares. A target states properties with CHECK; an input that breaks one is a finding like
 * a crash is.
 */
#ifndef CAIRN_FUZZ_FUZZ_H
#define CAIRN_FUZZ_FUZZ_H

#include "base/base.h"

#include <stdio.h>
#include <stdlib.h>

#define CHECK(property)                                                                              \
	do {                                                                                         \
		if (!(property)) {                                                                   \
			(void)fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #property); \
			abort();                                                                     \
		}                                                                                    \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A refusal always has its kind in both places and a printable reason; a success sets nothing. */
static inline void check_err(struct rc rc, const struct err *err)
{
	CHECK(err->kind == rc.kind);
	CHECK(rc.kind == ERR_NONE || err->detail[0] != '\0');
	for (const char *p = err->detail; *p != '\0'; p++)
		CHECK(*p >= 0x20 && *p <= 0x7e);
}

#endif

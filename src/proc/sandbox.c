/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox.c: whether there is a sandbox, and how strict it is.
 */
#include "proc/internal.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#endif

static const char *const mode_names[] = {
	[SANDBOX_AUTO] = "auto",
	[SANDBOX_REQUIRED] = "required",
	[SANDBOX_OFF] = "off",
};

fallible sandbox_mode_read(struct str s, enum sandbox_mode *ret, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(mode_names); i++) {
		if (str_eq(s, str_z(mode_names[i]))) {
			*ret = (enum sandbox_mode)i;
			return OK;
		}
	}
	FAIL(err, ERR_CONFIG, "sandbox: found \"%.*s\"; allowed: auto, required, off", STR_FMT(s));
}

const char *sandbox_unfit(void)
{
#ifdef SANITIZED
	return "this program was built with a sanitizer";
#elif defined(CAIRN_COVERAGE)
	return "this program was built to count its lines";
#else
	return NULL;
#endif
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * suffixes.c: the Public Suffix List by libpsl. Only what is on the list counts: the list's own rule for names that it
 * does not know ("*") would make a public suffix of every private top-level name.
 */
#include "codec/codec.h"

#include <errno.h>
#include <libpsl.h>
#include <stdlib.h>

struct suffixes {
	psl_ctx_t *own;          /* of a file; NULL: the built-in one is used */
	const psl_ctx_t *in_use; /* the one or the other */
};

static bool is_suffix(const psl_ctx_t *psl, const char *name)
{
	return psl_is_public_suffix2(psl, name, PSL_TYPE_ICANN | PSL_TYPE_NO_STAR_RULE) == 1;
}

/* A file of anything loads as a list without rules, and a library may be built without a list. */
static bool is_a_list(const psl_ctx_t *psl)
{
	return is_suffix(psl, "com") && is_suffix(psl, "co.uk") && !is_suffix(psl, "example.com");
}

fallible suffixes_open(const char *path, struct suffixes **ret, struct err *err)
{
	struct suffixes *s = mem_alloc(sizeof *s);
	errno = 0;
	s->own = path == NULL ? NULL : psl_load_file(path);
	int os_error = errno;
	s->in_use = path == NULL ? psl_builtin() : s->own;
	if (s->in_use != NULL && is_a_list(s->in_use)) {
		*ret = s;
		return OK;
	}
	bool unread = path != NULL && s->own == NULL;
	suffixes_free(s);
	if (path == NULL)
		FAIL(err, ERR_CONFIG, "this system's libpsl has no built-in Public Suffix List");
	if (unread && os_error != 0)
		FAIL(err, ERR_CONFIG, "%s cannot be read: %s", path, strerrordesc_np(os_error));
	FAIL(err, ERR_CONFIG, "%s is not the Public Suffix List", path);
}

void suffixes_free(struct suffixes *s)
{
	if (s == NULL)
		return;
	psl_free(s->own); /* accepts NULL */
	free(s);
}

bool suffixes_have(const struct suffixes *s, struct str name)
{
	AUTO(arena_done) struct arena mem = { 0 };
	return is_suffix(s->in_use, str_dupz_raw(&mem, name));
}

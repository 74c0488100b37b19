/* SPDX-License-Identifier: Apache-2.0
 *
 * suffixes.c: the Public Suffix List by libpsl. Only what is on the list counts: the list's own rule for names that it
 * does not know ("*") would make a public suffix of every private top-level name.
 */
#include "codec/codec.h"

#include <libpsl.h>
#include <stdio.h>
#include <stdlib.h>

#define LIST_MAX ((size_t)4 * 1024 * 1024) /* of 2026 it has 330 KiB */

struct suffixes {
	psl_ctx_t *own;          /* of a file; NULL: the built-in one is used */
	const psl_ctx_t *in_use; /* the one or the other */
};

static bool is_suffix(const psl_ctx_t *psl, const char *name)
{
	return psl_is_public_suffix2(psl, name, PSL_TYPE_ICANN | PSL_TYPE_NO_STAR_RULE) == 1;
}

/* By file_read, as all that is read again while a program runs; the library would open the path itself. */
static fallible list_load(const char *path, psl_ctx_t **ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(LIST_MAX);
	TRY(file_read(path, LIST_MAX, &text, err));
	FILE *f = text.n == 0 ? NULL : fmemopen(text.p, text.n, "r");
	*ret = f == NULL ? NULL : psl_load_fp(f);
	if (f != NULL)
		(void)fclose(f);
	return OK;
}

/* A file of anything loads as a list without rules, and a library may be built without a list. */
static bool is_a_list(const psl_ctx_t *psl)
{
	return is_suffix(psl, "com") && is_suffix(psl, "co.uk") && !is_suffix(psl, "example.com");
}

fallible suffixes_open(const char *path, struct suffixes **ret, struct err *err)
{
	psl_ctx_t *own = NULL;
	if (path != NULL)
		TRY(list_load(path, &own, err));
	const psl_ctx_t *in_use = path == NULL ? psl_builtin() : own;
	if (in_use == NULL || !is_a_list(in_use)) {
		psl_free(own); /* accepts NULL */
		FAIL(err, ERR_CONFIG, "%s",
		     path == NULL ? "this system's libpsl has no built-in Public Suffix List"
				  : "this is not the Public Suffix List");
	}
	struct suffixes *s = mem_alloc(sizeof *s);
	*s = (struct suffixes){ own, in_use };
	*ret = s;
	return OK;
}

void suffixes_free(struct suffixes *s)
{
	if (s == NULL)
		return;
	psl_free(s->own);
	free(s);
}

bool suffixes_have(const struct suffixes *s, struct str name)
{
	AUTO(arena_done) struct arena mem = { 0 };
	return is_suffix(s->in_use, str_dupz_raw(&mem, name));
}

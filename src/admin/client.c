/* SPDX-License-Identifier: Apache-2.0
 *
 * client.c: one question to the running API. What can be wrong is mostly that it does not run, or that the operator is
 * the wrong user: both are said in words that tell what to do.
 */
#include "admin/internal.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

static fallible refuse_missing(const char *path, struct err *err)
{
	FAIL(err, ERR_UNAVAILABLE, "cairn-api is not running, or api.admin-socket is elsewhere: %s", path);
}

/* Who owns the socket, or the nearest folder above it that can be looked at: that is who may use it. */
static bool owner_of(const char *path, uid_t *ret)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str at = str_z(path);
	struct stat st;
	while (at.n > 0) {
		if (stat(str_dupz_raw(&mem, at), &st) == 0) {
			*ret = st.st_uid;
			return true;
		}
		while (at.n > 0 && at.p[at.n - 1] != '/')
			at.n--;
		while (at.n > 1 && at.p[at.n - 1] == '/')
			at.n--;
	}
	return false;
}

static fallible refuse_user(const char *path, struct err *err)
{
	uid_t owner = 0;
	char names[4096];
	struct passwd entry;
	struct passwd *who = NULL;
	if (owner_of(path, &owner) && getpwuid_r(owner, &entry, names, sizeof names, &who) != 0)
		who = NULL;
	if (who != NULL && owner != 0)
		FAIL(err, ERR_UNAUTHORIZED, "%s: permission denied: be root or %s (sudo -u %s cairn ...)", path,
		     who->pw_name, who->pw_name);
	FAIL(err, ERR_UNAUTHORIZED, "%s: permission denied: be root or the user whom cairn-api runs as", path);
}

static fallible open_socket(const char *path, int *ret, struct err *err)
{
	struct err why = { 0 };
	struct stat st;
	if (stat(path, &st) != 0 && errno == EACCES)
		return refuse_user(path, err);
	if (euidaccess(path, F_OK) != 0)
		return refuse_missing(path, err);
	if (euidaccess(path, R_OK | W_OK) != 0)
		return refuse_user(path, err);
	if (FAILED(unix_connect(path, ret, &why))) {
		err_cause(err, "%s", why.detail);
		return refuse_missing(path, err);
	}
	return OK;
}

static enum err_kind kind_read(struct str name)
{
	for (int k = ERR_NONE + 1; k < ERR_KIND_COUNT; k++) {
		if (str_eq(name, str_z(err_kind_name((enum err_kind)k))))
			return (enum err_kind)k;
	}
	return ERR_INTERNAL;
}

static fallible answer_read(struct str text, struct json **ret, struct err *err)
{
	AUTO(json_auto) struct json *answer = NULL;
	int64_t version = 0;
	bool ok = false;
	struct str kind = STR_NONE;
	struct str detail = STR_NONE;
	TRY(json_read(text, ADMIN_ANSWER_MAX, &answer, err));
	TRY(json_want_i64(answer, "v", ADMIN_VERSION, ADMIN_VERSION, &version, err));
	TRY(json_may_bool(answer, "ok", &ok, err));
	if (!ok) {
		TRY(json_want_str(answer, "kind", 64, &kind, err));
		TRY(json_want_str(answer, "detail", ERR_DETAIL_MAX, &detail, err));
		FAIL(err, kind_read(kind), "%.*s", STR_FMT(detail));
	}
	*ret = TAKE(answer);
	return OK;
}

static fallible converse(const struct wire *w, const char *path, struct str request, struct buf *in, struct str *ret,
			 struct err *err)
{
	struct err unsent = { 0 };
	struct rc rc = wire_send(w, ADMIN_REQUEST, request, &unsent);
	/* Refused before it read us, the API has ended its side: its words are there all the same. */
	if (FAILED(rc) && rc.kind != ERR_CLOSED) {
		*err = unsent;
		return rc;
	}
	rc = wire_receive(w, ADMIN_ANSWER, ADMIN_ANSWER_MAX, in, ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s: no answer, so whether it was done is not known: ", path);
	return rc;
}

fallible admin_call(const char *path, struct str request, int64_t wait_ms, struct json **ret, struct err *err)
{
	AUTO(fd_close) int fd = -1;
	AUTO(wipe_done) struct buf in = BUF_MAX(2 * (FRAME_HEAD + ADMIN_ANSWER_MAX));
	struct str answer = STR_NONE;
	TRY(open_socket(path, &fd, err));
	const struct wire w = {
		.fd = fd, .stop_fd = -1, .deadline_ms = clock_mono_ms(&clock_system) + wait_ms, .clk = &clock_system
	};
	TRY(converse(&w, path, request, &in, &answer, err));
	return answer_read(answer, ret, err);
}

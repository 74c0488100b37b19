/* SPDX-License-Identifier: Apache-2.0
 *
 * grant.c: what an operator has vouched for (DESIGN 5). A grant stands for the proof of a name and is the only source of a
 * subject; it counts when a pinned operator's key signed it, for this realm, this account's key and this time, and when
 * its id is not in the signer's own list of those that were taken back. The api hands grants on and can make none.
 */
#include "sign/signer_internal.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#define REVOKED_FILE_MAX ((size_t)16 * 1024 * 1024)

/* --- the list of those that were taken back: "ID" or "ID TIME" a line ---------------------------------------------*/
static fallible revoked_line(struct str line, struct revoked_grant *ret, struct err *err)
{
	struct revoked_grant r = { .since_ms = 0 }; /* without a time: it never counted */
	size_t blank = str_find(line, ' ', 0);
	struct str time = str_trim(str_sub(line, blank, line.n));
	int64_t since_s;
	TRY(id_read(str_sub(line, 0, blank), &r.id, err));
	if (time.n > 0) {
		TRY(time_read(time, &since_s, err));
		r.since_ms = since_s * 1000;
	}
	*ret = r;
	return OK;
}

fallible revoked_grants_read_text(struct arena *mem, struct str text, struct revoked_grants *ret, struct err *err)
{
	size_t most = 1, number = 0;
	for (size_t i = 0; i < text.n; i++)
		most += text.p[i] == '\n';
	struct revoked_grants r = { .v = ARENA_ARRAY(mem, struct revoked_grant, most) };
	while (text.n > 0) {
		size_t end = str_find(text, '\n', 0);
		struct str line = str_trim(str_sub(text, 0, end));
		text = end < text.n ? str_sub(text, end + 1, text.n) : STR_NONE;
		number++;
		if (line.n == 0 || line.p[0] == '#')
			continue;
		if (FAILED(revoked_line(line, &r.v[r.n], err))) {
			err_prefix(err, "line %zu: ", number);
			return (struct rc){ ERR_CONFIG };
		}
		r.n++;
	}
	*ret = r;
	return OK;
}

fallible revoked_grants_read(struct arena *mem, const char *path, struct revoked_grants *ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(REVOKED_FILE_MAX);
	if (access(path, F_OK) != 0 && errno == ENOENT) {
		*ret = (struct revoked_grants){ .n = 0 };
		return OK;
	}
	TRY(file_read(path, REVOKED_FILE_MAX, &text, err));
	struct rc rc = revoked_grants_read_text(mem, buf_str(&text), ret, err);
	if (FAILED(rc))
		err_prefix(err, "%s: ", path);
	return rc;
}

static struct file_mark mark_of(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return (struct file_mark){ .gone = true, .why = errno };
	return (struct file_mark){ .inode = (uint64_t)st.st_ino,
				   .size = (int64_t)st.st_size,
				   .changed_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec };
}

static bool marks_eq(const struct file_mark *a, const struct file_mark *b)
{
	return a->gone == b->gone && a->why == b->why && a->inode == b->inode && a->size == b->size &&
	       a->changed_ns == b->changed_ns;
}

/* A list that cannot be read takes back every grant: what it says is not known. */
void signer_reread_revoked(struct signer *s)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct revoked_file *f = &s->revoked;
	const char *path = conf_path(s->conf, &mem, s->conf->signer.revoked_grants);
	struct file_mark now = mark_of(path); /* before it is read: a change in between is seen the next time */
	struct err err = { 0 };
	if (f->known && marks_eq(&now, &f->mark))
		return;
	arena_done(&f->mem);
	*f = (struct revoked_file){ .mark = now, .known = true };
	if (!FAILED(revoked_grants_read(&f->mem, path, &f->list, &err)))
		return;
	f->list = (struct revoked_grants){ .unreadable = true };
	f->known = false; /* why may end without a trace in the file: it is tried again */
	LOG(s->log, LOG_ERROR, "list of revoked grants unreadable", KV_ERR(&err));
}

/* --- does it count? --- */
static fallible not_revoked(const struct check *x, const struct grant *g, struct err *err)
{
	const struct revoked_grants *r = &x->rk->revoked;
	if (r->unreadable)
		FAIL(err, ERR_UNAUTHORIZED, "the signer cannot read which grants were revoked, so that none counts");
	for (size_t i = 0; i < r->n; i++) {
		if (id_eq(r->v[i].id, g->id) && r->v[i].since_ms <= x->rk->now_ms)
			FAIL(err, ERR_UNAUTHORIZED, "it was revoked");
	}
	return OK;
}

/* Made for this key, or for one that the account had before and whose holder handed over to this one. */
static fallible for_account(const struct check *x, const struct grant *g, struct err *err)
{
	if (grant_has_key(g, str_z(x->thumbprint.z)))
		return OK;
	for (size_t i = 0; i < x->job->key_change_count; i++) {
		if (grant_has_key(g, x->earlier[i]))
			return OK;
	}
	FAIL(err, ERR_UNAUTHORIZED, "it is for another account's key");
}

static fallible in_time(const struct check *x, const struct grant *g, struct err *err)
{
	int64_t now = x->rk->now_ms / 1000;
	if (g->until_s - g->from_s > GRANT_LIFE_MAX_S)
		FAIL(err, ERR_UNAUTHORIZED, "it lasts %lld days, %lld are allowed",
		     (long long)((g->until_s - g->from_s) / 86400), (long long)(GRANT_LIFE_MAX_S / 86400));
	if (now < g->from_s || g->made_ms > x->rk->now_ms + CLOCK_SKEW_S * 1000)
		FAIL(err, ERR_UNAUTHORIZED, "it begins later");
	if (now > g->until_s)
		FAIL(err, ERR_UNAUTHORIZED, "it ended %lld s ago", (long long)(now - g->until_s));
	return OK;
}

static fallible signed_by_operator(const struct check *x, const struct jws_compact *jws, struct err *err)
{
	const struct conf *conf = x->rk->conf;
	for (size_t i = 0; i < conf->operator_count && x->rk->operator_keys != NULL; i++) {
		if (!str_eq(conf->operators[i].name, jws->kid) || x->rk->operator_keys[i] == NULL)
			continue;
		if (FAILED(jws_compact_verify(x->rk->crypto, jws, x->rk->operator_keys[i], NULL)))
			FAIL(err, ERR_UNAUTHORIZED, "operator \"%.*s\" did not sign it", STR_FMT(jws->kid));
		return OK;
	}
	FAIL(err, ERR_UNAUTHORIZED, "the signer has no key of an operator \"%.*s\"", STR_FMT(jws->kid));
}

static fallible grant_counts(const struct check *x, struct str text, struct grant *g, struct err *err)
{
	struct jws_compact jws;
	TRY(jws_compact_read(x->mem, text, STR(GRANT_TYP), GRANT_JWS_MAX, &jws, err));
	TRY(grant_read(x->mem, jws.payload, g, err));
	if (!str_eq(g->realm, x->realm->name))
		FAIL(err, ERR_UNAUTHORIZED, "it is for realm \"%.*s\"", STR_FMT(g->realm));
	if (!x->realm->grants)
		FAIL(err, ERR_UNAUTHORIZED, "realm \"%.*s\" takes no grants", STR_FMT(x->realm->name));
	if (!grant_has_profile(g, x->job->profile))
		FAIL(err, ERR_UNAUTHORIZED, "it is not for the profile \"%.*s\"", STR_FMT(x->job->profile));
	TRY(for_account(x, g, err));
	TRY(in_time(x, g, err));
	TRY(not_revoked(x, g, err));
	return signed_by_operator(x, &jws, err);
}

fallible check_grants(struct check *x, struct err *err)
{
	(void)err;
	x->grants = ARENA_ARRAY(x->mem, struct grant, x->job->grant_count + 1);
	for (size_t i = 0; i < x->job->grant_count; i++) {
		struct err why = { 0 };
		if (FAILED(grant_counts(x, x->job->grants[i], &x->grants[x->grant_count], &why)))
			x->grant_why = why; /* what it was for may be proven otherwise */
		else
			x->grant_count++;
	}
	return OK;
}

/* BR 3.2.2.4 knows no such way to prove a name. */
bool check_is_granted(const struct check *x, const struct ident *ident)
{
	for (size_t i = 0; i < x->grant_count && !x->profile->public_rules; i++) {
		if (grant_covers(&x->grants[i], ident))
			return true;
	}
	return false;
}

/* Who the subscriber is comes from one grant whole: halves of two would be an organization that nobody vouched for. */
fallible check_subject(struct check *x, struct err *err)
{
	if (str_eq(x->profile->subject, STR("off")))
		return OK;
	for (size_t i = 0; i < x->grant_count; i++) {
		const struct grant *g = &x->grants[i];
		if (!grant_has_subject(g))
			continue;
		x->has_subject = true;
		x->subject = (struct cert_subject){ g->organization, g->locality, g->state, g->country };
		x->emails = g->emails;
		x->email_count = g->email_count;
		return OK;
	}
	if (!str_eq(x->profile->subject, STR("required")))
		return OK;
	FAIL(err, ERR_UNAUTHORIZED, "profile \"%.*s\" wants a subject, and no grant gives one%s%s",
	     STR_FMT(x->job->profile), x->grant_why.kind == ERR_NONE ? "" : "; of one grant: ",
	     x->grant_why.kind == ERR_NONE ? "" : x->grant_why.detail);
}

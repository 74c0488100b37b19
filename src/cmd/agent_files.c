/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_files.c: the folder that cairn-agent keeps.
 *
 *   accounts/HASH-OF-THE-DIRECTORY-URL/account.key, account.json
 *   accounts/HASH-OF-THE-DIRECTORY-URL/account.key.new during a key change, account.key.deactivated after its end
 *   certificates/NAME/privkey.pem -> current/privkey.pem, and so cert.pem, chain.pem, fullchain.pem
 *   certificates/NAME/current -> versions/0007
 *   certificates/NAME/versions/0007/privkey.pem, ...
 *
 * A version is written and synced whole before `current` is renamed over, so key and chain change together whenever the
 * machine stops.
 */
#include "cmd/agent.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define VERSIONS_KEPT 4
#define VERSION_MAX 999999u
#define ACCOUNT_JSON_MAX 4096
#define REVOKED "revoked" /* beside a certificate that is */

static const char *const file_names[] = { "privkey.pem", "cert.pem", "chain.pem", "fullchain.pem" };

static const char *path_of(struct arena *mem, struct str dir, const char *name)
{
	return str_dupz_raw(mem, str_fmt(mem, "%.*s/%s", STR_FMT(dir), name));
}

/* mkdir -p; only the last folder gets `mode`. */
static fallible folders_make(struct arena *mem, struct str path, mode_t mode, struct err *err)
{
	for (size_t at = str_find(path, '/', 1); at < path.n; at = str_find(path, '/', at + 1))
		TRY(dir_make(str_dupz_raw(mem, str_sub(path, 0, at)), 0755, err));
	return dir_make(str_dupz_raw(mem, path), mode, err);
}

static fallible folder_sync(const char *path, struct err *err)
{
	AUTO(fd_close) int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		FAIL(err, ERR_IO, "fsync %s: %s", path, strerrordesc_np(errno));
	return OK;
}

/* --- accounts -----------------------------------------------------------------------------------------------------*/

static fallible account_folder(const struct crypto *c, struct arena *mem, const struct agent_options *o,
			       struct str *ret, struct err *err)
{
	struct sha256 hash;
	TRY(digest_sha256(c, o->server, &hash, err));
	struct str hex = hex_encode(mem, str_n(hash.b, 16));
	*ret = str_fmt(mem, "%s/accounts/%.*s", o->dir, STR_FMT(hex));
	return folders_make(mem, *ret, 0700, err);
}

static fallible account_file(const struct crypto *c, struct arena *mem, const struct agent_options *o, const char *name,
			     const char **ret, struct err *err)
{
	struct str folder;
	TRY(account_folder(c, mem, o, &folder, err));
	*ret = path_of(mem, folder, name);
	return OK;
}

fallible agent_account_key(const struct crypto *c, struct arena *mem, const struct agent_options *o, bool make,
			   struct key **ret, struct err *err)
{
	const char *path;
	TRY(account_file(c, mem, o, "account.key", &path, err));
	if (access(path, F_OK) == 0)
		return key_read_file(path, NULL, ret, err);
	if (!make)
		FAIL(err, ERR_CONFIG, "%s holds no account at %.*s", o->dir, STR_FMT(o->server));
	AUTO(key_auto) struct key *key = NULL;
	TRY(key_generate(KEY_P256, 0, &key, err));
	struct rc rc = key_write_file(key, path, NULL, err);
	if (rc.kind == ERR_CONFLICT) /* another run was first: its key is the account's */
		return key_read_file(path, NULL, ret, err);
	TRY(rc);
	*ret = TAKE(key);
	return OK;
}

static fallible rename_synced(struct arena *mem, const char *from, const char *to, struct err *err)
{
	struct str path = str_z(to);
	size_t slash = path.n;
	while (slash > 0 && path.p[slash - 1] != '/')
		slash--;
	if (rename(from, to) != 0)
		FAIL(err, ERR_IO, "rename %s to %s: %s", from, to, strerrordesc_np(errno));
	return folder_sync(str_dupz_raw(mem, str_sub(path, 0, slash)), err);
}

fallible agent_next_key_put(const struct crypto *c, struct arena *mem, const struct agent_options *o,
			    const struct key *key, struct err *err)
{
	const char *path;
	TRY(account_file(c, mem, o, "account.key.new", &path, err));
	return key_write_file(key, path, NULL, err);
}

fallible agent_next_key_get(const struct crypto *c, struct arena *mem, const struct agent_options *o, struct key **ret,
			    struct err *err)
{
	const char *path;
	TRY(account_file(c, mem, o, "account.key.new", &path, err));
	return access(path, F_OK) == 0 ? key_read_file(path, NULL, ret, err) : OK;
}

fallible agent_next_key_take(const struct crypto *c, struct arena *mem, const struct agent_options *o, struct err *err)
{
	const char *from, *to;
	TRY(account_file(c, mem, o, "account.key.new", &from, err));
	TRY(account_file(c, mem, o, "account.key", &to, err));
	return rename_synced(mem, from, to, err);
}

void agent_next_key_drop(const struct crypto *c, struct arena *mem, const struct agent_options *o)
{
	const char *path;
	if (!FAILED(account_file(c, mem, o, "account.key.new", &path, NULL)))
		(void)unlink(path);
}

fallible agent_account_retire(const struct crypto *c, struct arena *mem, const struct agent_options *o, struct err *err)
{
	const char *from, *to, *note;
	TRY(account_file(c, mem, o, "account.key", &from, err));
	TRY(account_file(c, mem, o, "account.key.deactivated", &to, err));
	TRY(account_file(c, mem, o, "account.json", &note, err));
	TRY(rename_synced(mem, from, to, err));
	(void)unlink(note);
	return OK;
}

struct str agent_account_url(const struct crypto *c, struct arena *mem, const struct agent_options *o)
{
	AUTO(buf_done) struct buf text = BUF_MAX(ACCOUNT_JSON_MAX);
	AUTO(json_auto) struct json *note = NULL;
	const char *path;
	struct str url;
	if (FAILED(account_file(c, mem, o, "account.json", &path, NULL)) ||
	    FAILED(file_read(path, ACCOUNT_JSON_MAX, &text, NULL)) ||
	    FAILED(json_read(buf_str(&text), ACCOUNT_JSON_MAX, &note, NULL)) ||
	    !json_as_str(json_get(note, "account"), &url))
		return STR_NONE;
	return str_dup(mem, url);
}

fallible agent_account_note(const struct crypto *c, struct arena *mem, const struct agent_options *o,
			    struct str account_url, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(ACCOUNT_JSON_MAX);
	const char *path;
	TRY(account_file(c, mem, o, "account.json", &path, err));
	struct jw w = jw_begin(&text, err);
	jw_object(&w);
	jw_kstr(&w, "directory", o->server);
	jw_kstr(&w, "account", account_url);
	jw_kstr(&w, "email", o->email);
	jw_object_end(&w);
	TRY(jw_end(&w));
	TRY(buf_add_char(&text, '\n', err));
	return file_write_atomic(path, buf_str(&text), 0600, err);
}

/* --- certificates -------------------------------------------------------------------------------------------------*/

/* "*" is a pattern to shells, and no name begins with "_". */
static struct str place_name(struct arena *mem, struct str name)
{
	return str_skip(&name, STR("*.")) ? str_fmt(mem, "_.%.*s", STR_FMT(name)) : name;
}

fallible agent_place_open(struct arena *mem, const struct agent_options *o, bool make, struct agent_place *ret,
			  struct err *err)
{
	*ret = (struct agent_place){
		.path = str_fmt(mem, "%s/certificates/%.*s", o->dir, STR_FMT(place_name(mem, o->idents[0].value))),
		.lock_fd = -1,
	};
	if (!make && access(path_of(mem, ret->path, "current/fullchain.pem"), F_OK) != 0)
		FAIL(err, ERR_CONFIG, "%.*s holds no certificate", STR_FMT(ret->path));
	TRY(folders_make(mem, ret->path, 0755, err));
	const char *path = path_of(mem, ret->path, ".lock");
	ret->lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (ret->lock_fd < 0)
		FAIL(err, ERR_IO, "open %s: %s", path, strerrordesc_np(errno));
	if (flock(ret->lock_fd, LOCK_EX | LOCK_NB) != 0)
		FAIL(err, ERR_CONFLICT, "another cairn-agent is at work in %.*s", STR_FMT(ret->path));
	return OK;
}

void agent_place_done(struct agent_place *p)
{
	fd_close(&p->lock_fd);
}

struct str agent_place_file(struct arena *mem, const struct agent_place *p, const char *name)
{
	return str_fmt(mem, "%.*s/%s", STR_FMT(p->path), name);
}

fallible agent_place_current(struct arena *mem, const struct agent_place *p, struct cert **ret, struct err *err)
{
	struct cert *certs[CLIENT_CHAIN_MAX];
	size_t count = 0;
	const char *path = path_of(mem, p->path, "current/fullchain.pem");
	if (access(path, F_OK) != 0)
		return OK;
	TRY(cert_read_pem_file(path, certs, CLIENT_CHAIN_MAX, &count, err));
	*ret = certs[0];
	while (count > 1)
		cert_free(certs[--count]);
	return OK;
}

fallible agent_place_mark_revoked(struct arena *mem, const struct agent_place *p, struct err *err)
{
	return file_write_atomic(path_of(mem, p->path, "current/" REVOKED), STR_NONE, 0644, err);
}

bool agent_place_is_revoked(struct arena *mem, const struct agent_place *p)
{
	return access(path_of(mem, p->path, "current/" REVOKED), F_OK) == 0;
}

static bool version_of(const char *name, unsigned *ret)
{
	uint64_t n;
	struct str digits = str_z(name);
	while (digits.n > 1 && digits.p[0] == '0')
		digits = str_sub(digits, 1, digits.n);
	if (FAILED(str_u64(digits, VERSION_MAX, &n, NULL)))
		return false;
	*ret = (unsigned)n;
	return true;
}

static void version_remove(struct arena *mem, struct str versions, const char *name)
{
	struct str folder = str_fmt(mem, "%.*s/%s", STR_FMT(versions), name);
	for (size_t i = 0; i < ARRAY_LEN(file_names); i++)
		(void)unlink(path_of(mem, folder, file_names[i]));
	(void)unlink(path_of(mem, folder, REVOKED));
	(void)rmdir(str_dupz_raw(mem, folder)); /* whatever else is in it is not ours, and keeps it */
}

/* The highest version there is; those below `keep_from` go. */
static fallible versions_scan(struct arena *mem, struct str versions, unsigned keep_from, unsigned *ret,
			      struct err *err)
{
	const char *path = str_dupz_raw(mem, versions);
	DIR *dir = opendir(path);
	if (dir == NULL)
		FAIL(err, ERR_IO, "open %s: %s", path, strerrordesc_np(errno));
	*ret = 0;
	for (const struct dirent *d = readdir(dir); d != NULL; d = readdir(dir)) {
		unsigned n;
		if (!version_of(d->d_name, &n))
			continue;
		*ret = n > *ret ? n : *ret;
		if (n < keep_from)
			version_remove(mem, versions, d->d_name);
	}
	(void)closedir(dir);
	return OK;
}

static fallible version_write(struct arena *mem, struct str folder, const struct key *key,
			      const struct client_chain *chain, struct err *err)
{
	AUTO(buf_done) struct buf both = BUF_MAX(2 * CLIENT_REPLY_MAX);
	TRY(buf_add(&both, chain->leaf_pem, err));
	TRY(buf_add(&both, chain->issuers_pem, err));
	TRY(key_write_file(key, path_of(mem, folder, "privkey.pem"), NULL, err));
	TRY(file_write_new(path_of(mem, folder, "cert.pem"), chain->leaf_pem, 0644, err));
	TRY(file_write_new(path_of(mem, folder, "chain.pem"), chain->issuers_pem, 0644, err));
	return file_write_new(path_of(mem, folder, "fullchain.pem"), buf_str(&both), 0644, err);
}

/* A symbolic link at `name`, new or over an old one, in one step. */
static fallible link_switch(struct arena *mem, struct str dir, const char *name, const char *target, struct err *err)
{
	const char *path = path_of(mem, dir, name);
	const char *beside = str_dupz_raw(mem, str_fmt(mem, "%s.new", path));
	(void)unlink(beside); /* left by a run that was killed; the lock keeps others out */
	if (symlink(target, beside) != 0)
		FAIL(err, ERR_IO, "link %s: %s", beside, strerrordesc_np(errno));
	if (rename(beside, path) != 0)
		FAIL(err, ERR_IO, "rename to %s: %s", path, strerrordesc_np(errno));
	return OK;
}

/* The plain paths; they never change once they are there. */
static fallible plain_paths_make(struct arena *mem, struct str dir, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(file_names); i++) {
		char found[64];
		const char *target = str_dupz_raw(mem, str_fmt(mem, "current/%s", file_names[i]));
		ssize_t n = readlink(path_of(mem, dir, file_names[i]), found, sizeof found);
		if (n < 0 || !str_eq(str_n(found, (size_t)n), str_z(target)))
			TRY(link_switch(mem, dir, file_names[i], target, err));
	}
	return OK;
}

fallible agent_place_put(struct arena *mem, const struct agent_place *p, const struct key *key,
			 const struct client_chain *chain, struct err *err)
{
	unsigned last;
	struct str versions = agent_place_file(mem, p, "versions");
	TRY(folders_make(mem, versions, 0755, err));
	TRY(versions_scan(mem, versions, 0, &last, err));
	if (last >= VERSION_MAX)
		FAIL(err, ERR_IO, "%.*s holds version %u, the last one there can be", STR_FMT(versions), last);
	struct str folder = str_fmt(mem, "%.*s/%04u", STR_FMT(versions), last + 1);
	TRY(dir_make(str_dupz_raw(mem, folder), 0755, err));
	TRY(version_write(mem, folder, key, chain, err));
	TRY(folder_sync(str_dupz_raw(mem, versions), err));
	FP("agent.before_switch");
	TRY(link_switch(mem, p->path, "current", str_dupz_raw(mem, str_fmt(mem, "versions/%04u", last + 1)), err));
	TRY(plain_paths_make(mem, p->path, err));
	TRY(folder_sync(str_dupz_raw(mem, p->path), err));
	if (last + 1 > VERSIONS_KEPT)
		TRY(versions_scan(mem, versions, last + 2 - VERSIONS_KEPT, &last, err));
	return OK;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_answers.c: answers to http-01 in a web server's folder, or from a small server of our own. The folder may
 * belong to somebody who may do less than we: no symbolic link below it is followed and no file is opened that was
 * there.
 */
#include "cmd/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define WELL_KNOWN ".well-known"
#define CHALLENGE "acme-challenge"

static fallible listen_anywhere(const struct agent_options *o, struct responder **ret, struct err *err)
{
	static const struct addr both = { .family = AF_INET6 }, v4 = { .family = AF_INET };
	if (o->has_address)
		return responder_new(&o->address, o->http_port, ret, err);
	if (!FAILED(responder_new(&both, o->http_port, ret, NULL)))
		return OK;
	return responder_new(&v4, o->http_port, ret, err); /* no IPv6 here, or an error worth telling */
}

fallible agent_answers_open(const struct agent_options *o, struct agent_answers *ret, struct err *err)
{
	*ret = (struct agent_answers){ .options = o, .dir_fd = -1 };
	return o->standalone ? listen_anywhere(o, &ret->responder, err) : OK;
}

/* Opens the folder `name` below `at`, made if it is not there. */
static fallible folder_open(int at, const char *name, bool *made, int *ret, struct err *err)
{
	if (mkdirat(at, name, 0755) == 0)
		*made = true;
	else if (errno != EEXIST)
		FAIL(err, ERR_IO, "mkdir %s in the webroot: %s", name, strerrordesc_np(errno));
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		FAIL(err, ERR_IO, "open %s in the webroot: %s (symbolic links are not followed)", name,
		     strerrordesc_np(errno));
	if (*made && fchmod(fd, 0755) != 0) { /* whatever the umask is, the web server must get through */
		fd_close(&fd);
		FAIL(err, ERR_IO, "chmod %s in the webroot: %s", name, strerrordesc_np(errno));
	}
	*ret = fd;
	return OK;
}

static fallible root_open(const struct agent_answers *a, int *ret, struct err *err)
{
	*ret = open(a->options->webroot, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (*ret < 0)
		FAIL(err, ERR_IO, "open the webroot %s: %s", a->options->webroot, strerrordesc_np(errno));
	return OK;
}

static fallible challenge_folder_open(struct agent_answers *a, struct err *err)
{
	AUTO(fd_close) int root = -1, well_known = -1;
	if (a->dir_fd >= 0)
		return OK;
	TRY(root_open(a, &root, err));
	TRY(folder_open(root, WELL_KNOWN, &a->made_well_known, &well_known, err));
	return folder_open(well_known, CHALLENGE, &a->made_challenge, &a->dir_fd, err);
}

/* Folders that we made go again, unless something else is in them by now. */
static void challenge_folder_close(struct agent_answers *a)
{
	AUTO(fd_close) int root = -1, well_known = -1;
	fd_close(&a->dir_fd);
	if (FAILED(root_open(a, &root, NULL)))
		return;
	well_known = openat(root, WELL_KNOWN, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (well_known >= 0 && a->made_challenge)
		(void)unlinkat(well_known, CHALLENGE, AT_REMOVEDIR);
	if (a->made_well_known)
		(void)unlinkat(root, WELL_KNOWN, AT_REMOVEDIR);
	a->made_challenge = a->made_well_known = false;
}

static fallible token_write(int dir, const char *token, struct str text, struct err *err)
{
	(void)unlinkat(dir, token, 0); /* left by a run that was killed: the server may give the same token again */
	AUTO(fd_close) int fd = openat(dir, token, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (fd < 0)
		FAIL(err, ERR_IO, "create the answer's file in the webroot: %s", strerrordesc_np(errno));
	struct rc rc = fd_write_all(fd, text, err);
	if (!FAILED(rc) && fchmod(fd, 0644) != 0) {
		err_set(err, ERR_IO, "chmod the answer's file in the webroot: %s", strerrordesc_np(errno));
		rc = (struct rc){ ERR_IO };
	}
	if (FAILED(rc))
		(void)unlinkat(dir, token, 0);
	return rc;
}

/* The engine has seen to it that a token is base64url and nothing else (THREATS A81). */
fallible agent_publish(void *ctx, struct str name, struct str token, struct str key_authorization, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct agent_answers *a = ctx;
	char *file;
	(void)name;
	if (a->responder != NULL)
		return responder_add(a->responder, token, key_authorization, err);
	TRY(str_dupz(&mem, token, &file, err));
	struct rc rc = challenge_folder_open(a, err);
	if (!FAILED(rc))
		rc = token_write(a->dir_fd, file, key_authorization, err);
	if (!FAILED(rc))
		a->up++;
	else if (a->up == 0)
		challenge_folder_close(a);
	return rc;
}

void agent_withdraw(void *ctx, struct str name, struct str token)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct agent_answers *a = ctx;
	(void)name;
	if (a->responder != NULL) {
		responder_remove(a->responder, token);
		return;
	}
	(void)unlinkat(a->dir_fd, str_dupz_raw(&mem, token), 0);
	if (--a->up == 0)
		challenge_folder_close(a);
}

void agent_answers_done(struct agent_answers *a)
{
	responder_free(a->responder);
	fd_close(&a->dir_fd);
}

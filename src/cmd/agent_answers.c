/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_answers.c: answers in a web server's folder, from small servers of our own, or in the DNS by the operator's
 * program. The folder may belong to somebody who may do less than we: no symbolic link below it is followed and no file
 * is opened that was there.
 */
#include "cmd/agent.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define WELL_KNOWN ".well-known"
#define CHALLENGE "acme-challenge"

#define REMOVE_MAX_MS (60 * 1000) /* of the hook; the order's time limit is over then, perhaps */

static const struct addr any_v6 = { .family = AF_INET6 }, any_v4 = { .family = AF_INET };

static fallible http_open(const struct agent_options *o, struct responder **ret, struct err *err)
{
	if (o->has_http_address)
		return responder_new(&o->http_address, o->http_port, ret, err);
	if (!FAILED(responder_new(&any_v6, o->http_port, ret, NULL)))
		return OK;
	return responder_new(&any_v4, o->http_port, ret, err); /* no IPv6 here, or an error worth telling */
}

static fallible alpn_open(const struct crypto *c, const struct agent_options *o, struct alpn_responder **ret,
			  struct err *err)
{
	if (o->has_tls_address)
		return alpn_responder_new(c, &o->tls_address, o->tls_port, ret, err);
	if (!FAILED(alpn_responder_new(c, &any_v6, o->tls_port, ret, NULL)))
		return OK;
	return alpn_responder_new(c, &any_v4, o->tls_port, ret, err);
}

fallible agent_answers_open(const struct crypto *c, const struct agent_options *o, struct agent_answers *ret,
			    struct err *err)
{
	*ret = (struct agent_answers){ .options = o, .dir_fd = -1 };
	if (o->standalone)
		TRY(http_open(o, &ret->responder, err));
	return agent_has_method(o, CHALLENGE_TLSALPN01) ? alpn_open(c, o, &ret->alpn, err) : OK;
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

/* --- http-01 ------------------------------------------------------------------------------------------------------*/

/* The engine has seen to it that a token is base64url and nothing else (THREATS A81). */
static fallible http_publish(struct agent_answers *a, const struct client_answer *answer, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	char *file;
	if (a->responder != NULL)
		return responder_add(a->responder, answer->token, answer->key_authorization, err);
	TRY(str_dupz(&mem, answer->token, &file, err));
	struct rc rc = challenge_folder_open(a, err);
	if (!FAILED(rc))
		rc = token_write(a->dir_fd, file, answer->key_authorization, err);
	if (!FAILED(rc))
		a->up++;
	else if (a->up == 0)
		challenge_folder_close(a);
	return rc;
}

static void http_withdraw(struct agent_answers *a, const struct client_answer *answer)
{
	AUTO(arena_done) struct arena mem = { 0 };
	if (a->responder != NULL) {
		responder_remove(a->responder, answer->token);
		return;
	}
	(void)unlinkat(a->dir_fd, str_dupz_raw(&mem, answer->token), 0);
	if (--a->up == 0)
		challenge_folder_close(a);
}

/* --- dns-01, dns-account-01 ---------------------------------------------------------------------------------------*/

/* There is nobody to fail to: what could not be removed is told, and the order's own outcome stands. */
static void dns_withdraw(struct agent_answers *a, const struct client_answer *answer)
{
	struct err err = { 0 };
	const struct agent_hook hook = {
		.program = a->options->dns_hook,
		.verb = "remove",
		.name = answer->dns_name,
		.value = answer->dns_value,
		.limit_ms = REMOVE_MAX_MS,
	};
	if (FAILED(agent_hook_run(&hook, &err)))
		(void)fprintf(stderr, "cairn-agent: %s\n", err.detail);
}

static fallible dns_publish(struct agent_answers *a, const struct client_answer *answer, struct err *err)
{
	const struct agent_hook hook = {
		.program = a->options->dns_hook,
		.verb = "add",
		.name = answer->dns_name,
		.value = answer->dns_value,
		.limit_ms = a->deadline_mono_ms - clock_mono_ms(&clock_system),
		.stop = a->stop,
	};
	struct rc rc = agent_hook_run(&hook, err);
	if (FAILED(rc) && rc.kind != ERR_CONFIG) /* it ran, and may have done half of it */
		dns_withdraw(a, answer);
	return rc;
}

/* --- whichever ----------------------------------------------------------------------------------------------------*/

fallible agent_publish(struct agent_answers *a, const struct client_answer *answer, struct err *err)
{
	switch (answer->method) {
	case CHALLENGE_HTTP01:
		return http_publish(a, answer, err);
	case CHALLENGE_TLSALPN01:
		return alpn_responder_add(a->alpn, &answer->ident, &answer->digest, err);
	case CHALLENGE_DNS01:
	case CHALLENGE_DNSACCOUNT01:
		return dns_publish(a, answer, err);
	case CHALLENGE_DNSPERSIST01:
	case CHALLENGE_TYPE_COUNT:
		break;
	}
	FAIL(err, ERR_INTERNAL, "nothing is published for %s", challenge_type_name(answer->method));
}

void agent_withdraw(struct agent_answers *a, const struct client_answer *answer)
{
	switch (answer->method) {
	case CHALLENGE_HTTP01:
		http_withdraw(a, answer);
		break;
	case CHALLENGE_TLSALPN01:
		alpn_responder_remove(a->alpn, &answer->ident);
		break;
	case CHALLENGE_DNS01:
	case CHALLENGE_DNSACCOUNT01:
		dns_withdraw(a, answer);
		break;
	case CHALLENGE_DNSPERSIST01:
	case CHALLENGE_TYPE_COUNT:
		break;
	}
}

void agent_answers_done(struct agent_answers *a)
{
	responder_free(a->responder);
	alpn_responder_free(a->alpn);
	fd_close(&a->dir_fd);
}

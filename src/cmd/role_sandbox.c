/* SPDX-License-Identifier: Apache-2.0
 *
 * role_sandbox.c: each role's sandbox: the folders that it works in, and the files that its door opens for it when the
 * configuration is read again. What is in neither table is out of a role's reach, whoever gives it orders.
 */
#include "cmd/role.h"

#include "crypto/crypto.h"

#include <errno.h>
#include <sys/stat.h>

#define HEAP_LEAST ((size_t)256 * 1024)
#define HEAP_MOST ((size_t)64 * 1024 * 1024)
#define HEAP_A_HANDSHAKE 64 /* bytes: the private half of an ephemeral key, while a client thinks */

#define API (1u << SANDBOX_API)
#define VALIDATOR (1u << SANDBOX_VALIDATOR)
#define SIGNER (1u << SANDBOX_SIGNER)

/* --- files that the door opens ------------------------------------------------------------------------------------*/
/* Settings that name files which are read again while a program runs: one of the sections at `at`, with `size` bytes an
 * entry and their number at `count`; of the top level: count is 0. A list of files is a conf_list. */
static const struct {
	unsigned who;
	size_t at, count, size, member;
	bool list;
} files[] = {
#define TOP(roles, name, is_list)                                    \
	{                                                            \
		roles, 0, 0, 0, offsetof(struct conf, name), is_list \
	}
#define ENTRY(roles, entries, number, type, name, is_list)                                                 \
	{                                                                                                  \
		roles, offsetof(struct conf, entries), offsetof(struct conf, number), sizeof(struct type), \
			offsetof(struct type, name), is_list                                               \
	}
	TOP(API | VALIDATOR | SIGNER, suffix_list, false), /* conf_read opens it, whoever asks */
	TOP(API | SIGNER, keys.blocked, false),
	TOP(API | SIGNER, keys.weak, true),
	TOP(API | SIGNER, api.tls_certificate, false),
	TOP(API | SIGNER, api.tls_key, false),
	TOP(SIGNER, signer.revoked_grants, false),
	ENTRY(API, issuers, issuer_count, conf_issuer, certificate, false),
	ENTRY(API, issuers, issuer_count, conf_issuer, alternates, true),
	ENTRY(API | SIGNER, perspectives, perspective_count, conf_perspective, public_key, false),
	ENTRY(API | SIGNER, operators, operator_count, conf_operator, public_key, false),
	ENTRY(VALIDATOR, zones, zone_count, conf_zone, trust_anchor, false),
};

static const char resolv_conf[] = "/etc/resolv.conf"; /* net/resolve.h's, which the other roles do not link */

struct paths {
	const struct conf *conf;
	struct arena *mem;
	const char **v;
	size_t n, room;
};

static void add_path(struct paths *p, const char *path)
{
	if (p->n == p->room) {
		size_t room = p->room == 0 ? 32 : 2 * p->room;
		const char **v = ARENA_ARRAY(p->mem, const char *, room);
		for (size_t i = 0; i < p->n; i++)
			v[i] = p->v[i];
		p->v = v;
		p->room = room;
	}
	p->v[p->n++] = path;
}

static void add_setting(struct paths *p, const char *at, bool list)
{
	const struct str *one = (const struct str *)(const void *)at;
	size_t n = 1;
	if (list) {
		const struct conf_list *all = (const struct conf_list *)(const void *)at;
		one = all->v;
		n = all->n;
	}
	for (size_t i = 0; i < n; i++) {
		if (one[i].n > 0)
			add_path(p, conf_path(p->conf, p->mem, one[i]));
	}
}

static fallible add_role_files(struct paths *p, const struct role *r, struct err *err)
{
	const char *more[ROLE_FILES_MAX];
	size_t n = 0;
	if (r->files != NULL)
		TRY(r->files(p->conf, p->mem, more, &n, err));
	for (size_t i = 0; i < n; i++)
		add_path(p, more[i]);
	return OK;
}

static void add_row(struct paths *p, size_t row)
{
	const char *top = (const char *)p->conf;
	const char *entries = top;
	size_t n = 1;
	if (files[row].count != 0) {
		memcpy(&entries, top + files[row].at, sizeof entries);
		memcpy(&n, top + files[row].count, sizeof n);
	}
	for (size_t i = 0; i < n; i++)
		add_setting(p, entries + i * files[row].size + files[row].member, files[row].list);
}

/* In the door, which reads the configuration for itself: whoever has taken over the role has no say in what it names. */
static fallible door_paths(void *ctx, struct arena *mem, const char *const **ret, size_t *ret_count, struct err *err)
{
	const struct role *r = ctx;
	struct conf *conf;
	TRY(conf_read(r->conf_path, conf_env_system, NULL, &conf, err));
	struct paths p = { .conf = conf, .mem = mem };
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		if ((files[i].who & 1u << r->sandbox) != 0)
			add_row(&p, i);
	}
	if (r->sandbox == SANDBOX_VALIDATOR)
		add_path(&p, resolv_conf);
	struct rc rc = add_role_files(&p, r, err);
	conf_free(conf);
	TRY(rc);
	*ret = p.v;
	*ret_count = p.n;
	return OK;
}

/* A reload that finds no door would be refused for good, and a connection would not be made again. */
static void door_gone(struct role *r)
{
	LOG(&r->log, LOG_ERROR, "the door has ended: nothing can be opened or connected any more");
	role_fail(r);
}

static int role_file(void *ctx, const char *path)
{
	struct role *r = ctx;
	int fd = door_file(r->door, path);
	int saved = errno;
	if (fd < 0 && saved == EPIPE)
		door_gone(r);
	errno = saved;
	return fd;
}

static fallible connect_by_door(void *ctx, const char *path, int *ret_fd, struct err *err)
{
	struct role *r = ctx;
	struct rc rc = door_connect(r->door, ret_fd, err);
	if (rc.kind == ERR_CLOSED)
		door_gone(r);
	else if (FAILED(rc))
		err_prefix(err, "%s: ", path);
	return rc;
}

role_connect *role_bus_connect(const struct role *r)
{
	return r->door == NULL ? NULL : connect_by_door;
}

static fallible door_make(struct role *r, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str url;
	TRY(url_of_bus(r->conf, &mem, &url, err));
	(void)str_skip(&url, STR("unix:"));
	const struct door_spec spec = { .sandbox = &r->spec,
					.socket = r->sandbox == SANDBOX_API ? NULL : str_dupz_raw(&mem, url),
					.conf_path = r->conf_path,
					.paths = door_paths,
					.ctx = r };
	TRY(door_open(&spec, &r->door, err));
	r->opener = (struct file_opener){ role_file, r };
	file_opener_set(&r->opener);
	return OK;
}

fallible role_sandbox_open(struct role *r, struct err *err)
{
	r->spec = (struct sandbox_spec){ .role = r->sandbox, .log = &r->log };
	r->spec.network = r->sandbox == SANDBOX_SIGNER && r->conf->signer.sandbox_network;
	TRY(sandbox_mode_read(r->conf->sandbox, &r->spec.mode, err));
	const char *unfit = r->spec.mode == SANDBOX_OFF ? NULL : sandbox_unfit();
	if (unfit != NULL && r->spec.mode == SANDBOX_REQUIRED)
		FAIL(err, ERR_CONFIG, "sandbox: required, but %s", unfit);
	if (unfit != NULL)
		r->spec.mode = SANDBOX_OFF;
	if (r->spec.mode != SANDBOX_OFF)
		return door_make(r, err);
	LOG(&r->log, LOG_WARNING, "no sandbox", KV_Z("why", unfit == NULL ? "the setting sandbox" : unfit));
	return OK;
}

/* --- folders ------------------------------------------------------------------------------------------------------*/
#define RULES_MAX 64 /* signer.sandbox-paths has 32 at most */

struct rules {
	const struct conf *conf;
	struct arena mem;
	struct sandbox_path v[RULES_MAX];
	size_t n;
};

static void rules_done(struct rules *p)
{
	arena_done(&p->mem);
}

static void rule(struct rules *p, const char *path, enum sandbox_right right)
{
	if (p->n < RULES_MAX)
		p->v[p->n++] = (struct sandbox_path){ path, right };
}

static const char *folder_of(struct rules *p, const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash == NULL ? "." : slash == path ? "/" : str_dupz_raw(&p->mem, str_n(path, (size_t)(slash - path)));
}

static void rule_folder_of(struct rules *p, struct str path, enum sandbox_right right)
{
	rule(p, folder_of(p, conf_path(p->conf, &p->mem, path)), right);
}

/* The key of the store's secrets is made at the first start: until then its folder, from then on the file alone. */
static void rule_secret_key(struct rules *p)
{
	struct stat st;
	const char *path = conf_path(p->conf, &p->mem, p->conf->store.secret_key);
	if (stat(path, &st) == 0)
		rule(p, path, SANDBOX_READ);
	else
		rule(p, folder_of(p, path), SANDBOX_WRITE);
}

static fallible rules_of_api(struct rules *p, struct err *err)
{
	struct str url;
	TRY(url_of_store(p->conf, &p->mem, &url, err));
	if (str_skip(&url, STR("sqlite:")))
		rule_folder_of(p, url, SANDBOX_WRITE);
	rule_secret_key(p);
	TRY(url_of_bus(p->conf, &p->mem, &url, err));
	if (str_skip(&url, STR("unix:")))
		rule_folder_of(p, url, SANDBOX_SOCKETS);
	rule_folder_of(p, p->conf->api.admin_socket, SANDBOX_SOCKETS);
	return OK;
}

static fallible rules_of_signer(struct rules *p, struct err *err)
{
	(void)err;
	rule(p, conf_path(p->conf, &p->mem, p->conf->signer.journal), SANDBOX_WRITE);
	if (p->conf->api.tls_own) {
		rule_folder_of(p, p->conf->api.tls_certificate, SANDBOX_WRITE);
		rule_folder_of(p, p->conf->api.tls_key, SANDBOX_WRITE);
	}
	for (size_t i = 0; i < p->conf->signer.sandbox_paths.n; i++)
		rule(p, conf_path(p->conf, &p->mem, p->conf->signer.sandbox_paths.v[i]), SANDBOX_WRITE);
	return OK;
}

/* Files in memory alone, which Landlock does not see. */
static fallible rules_of_validator(struct rules *p, struct err *err)
{
	(void)p;
	(void)err;
	return OK;
}

fallible role_sandbox_files(struct role *r, struct err *err)
{
	static struct rc (*const rules_of[])(struct rules * p, struct err * err) = {
		[SANDBOX_API] = rules_of_api,
		[SANDBOX_VALIDATOR] = rules_of_validator,
		[SANDBOX_SIGNER] = rules_of_signer,
	};
	AUTO(rules_done) struct rules p = { .conf = r->conf };
	for (size_t i = 0; i < r->spec.path_count; i++) /* what the role has found out itself */
		rule(&p, r->spec.paths[i].path, r->spec.paths[i].right);
	TRY(rules_of[r->sandbox](&p, err));
	struct sandbox_spec spec = r->spec;
	spec.paths = p.v;
	spec.path_count = p.n;
	return sandbox_files(&spec, err);
}

/* --- memory for private keys --------------------------------------------------------------------------------------*/
static size_t heap_for(const struct role *r)
{
	size_t handshakes = 0;
	if (r->sandbox == SANDBOX_API)
		handshakes = (size_t)r->conf->api.connections_max;
	else if (r->sandbox == SANDBOX_VALIDATOR)
		handshakes = (size_t)r->conf->validator.probes_max;
	size_t heap = HEAP_LEAST;
	while (heap < HEAP_MOST && heap < 2 * handshakes * HEAP_A_HANDSHAKE)
		heap *= 2;
	return heap;
}

fallible role_secret_memory(struct role *r, struct err *err)
{
	struct err why = { 0 };
	struct rc rc = secret_memory_check(heap_for(r), &why);
	if (rc.kind == ERR_UNAVAILABLE) {
		LOG(&r->log, LOG_WARNING, "memory of secrets not locked", KV_ERR(&why));
		return OK;
	}
	if (FAILED(rc))
		*err = why;
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore_module.c: a token's module is foreign code in our process. It is loaded only from where nobody else can put
 * another (THREATS A87), and every call into it has a time by which it is back: a watch ends the process otherwise,
 * because a thread that hangs in such a call cannot be ended alone (F41).
 */
#include "sign/keystore_internal.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* --- may it be loaded? --------------------------------------------------------------------------------------------*/
/* root's, by whatever number we know root here: whoever owns "/" can replace everything anyway. */
static bool is_trusted(uid_t owner)
{
	struct stat root;
	return owner == 0 || owner == geteuid() || (stat("/", &root) == 0 && owner == root.st_uid);
}

/* In a folder with the sticky bit, others can make files but not replace ours. */
static fallible check_one(const char *path, bool folder, struct err *err)
{
	struct stat st;
	if (stat(path, &st) != 0)
		FAIL(err, ERR_CONFIG, "PKCS#11 module: %s: %s", path, strerrordesc_np(errno));
	if (!folder && !S_ISREG(st.st_mode))
		FAIL(err, ERR_CONFIG, "PKCS#11 module: %s is not a regular file", path);
	bool sticky = folder && (st.st_mode & S_ISVTX) != 0;
	if ((st.st_mode & 022) != 0 && !sticky)
		FAIL(err, ERR_CONFIG,
		     "PKCS#11 module: %s has mode %04o, so others can change what the signer would load: chmod go-w %s",
		     path, (unsigned)(st.st_mode & 07777), path);
	if (!is_trusted(st.st_uid))
		FAIL(err, ERR_CONFIG, "PKCS#11 module: %s belongs to user %u; allowed: root or the signer's own user",
		     path, (unsigned)st.st_uid);
	return OK;
}

static void real_auto(char **p)
{
	free(*p);
}

fallible module_path_check(const char *path, char **ret_real, struct err *err)
{
	AUTO(real_auto) char *real = realpath(path, NULL);
	if (real == NULL)
		FAIL(err, ERR_CONFIG, "PKCS#11 module: %s: %s", path, strerrordesc_np(errno));
	TRY(check_one(real, false, err));
	AUTO(real_auto) char *folder = mem_dupz(str_z(real));
	for (char *slash; (slash = strrchr(folder, '/')) != NULL;) {
		*slash = '\0';
		TRY(check_one(folder[0] == '\0' ? "/" : folder, true, err));
	}
	*ret_real = TAKE(real);
	return OK;
}

/* --- the watch ------------------------------------------------------------------------------------------------------*/
static struct timespec timespec_of(int64_t ms)
{
	return (struct timespec){ .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000 };
}

static void hung(struct keystore *ks, const char *call)
{
	if (ks->conf.hung != NULL) {
		ks->conf.hung(ks->conf.hung_ctx, call);
		return;
	}
	LOG(ks->conf.log, LOG_ERROR, "alarm: the token's module hangs; ending to be started anew", KV_Z("call", call));
	_exit(1); /* no destructors: they would wait for that call */
}

static struct watched *watch_first(struct keystore *ks)
{
	struct watched *first = NULL;
	for (struct watched *w = ks->calls; w != NULL; w = w->next)
		if (first == NULL || w->until_ms < first->until_ms)
			first = w;
	return first;
}

static void watch_wait(struct keystore *ks, const struct watched *first)
{
	ks->watch_until_ms = first == NULL ? INT64_MAX : first->until_ms;
	if (ks->watch_until_ms == INT64_MAX) {
		pthread_cond_wait(&ks->wake, &ks->lock);
		return;
	}
	struct timespec until = timespec_of(ks->watch_until_ms);
	pthread_cond_timedwait(&ks->wake, &ks->lock, &until);
}

static void *watch_main(void *ctx)
{
	struct keystore *ks = ctx;
	pthread_mutex_lock(&ks->lock);
	while (!ks->stop) {
		struct watched *first = watch_first(ks);
		if (first == NULL || clock_mono_ms(&clock_system) < first->until_ms) {
			watch_wait(ks, first);
			continue;
		}
		const char *name = first->name;
		first->until_ms = INT64_MAX; /* said once */
		pthread_mutex_unlock(&ks->lock);
		hung(ks, name);
		pthread_mutex_lock(&ks->lock);
	}
	pthread_mutex_unlock(&ks->lock);
	return NULL;
}

/* Holds the lock. Without a thread, calls are made all the same: then they are not watched. */
static void watch_start(struct keystore *ks)
{
	sigset_t all, before;
	sigfillset(&all); /* signals are the program's business */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	ks->stop = false;
	ks->watch_runs = pthread_create(&ks->watch, NULL, watch_main, ks) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void keystore_quiet(struct keystore *ks)
{
	pthread_mutex_lock(&ks->lock);
	bool runs = ks->watch_runs;
	ks->stop = true;
	ks->watch_runs = false;
	pthread_cond_signal(&ks->wake);
	pthread_mutex_unlock(&ks->lock);
	if (runs)
		pthread_join(ks->watch, NULL);
}

void watch_begin(struct keystore *ks, struct watched *w, const char *name, int64_t timeout_ms)
{
	pthread_mutex_lock(&ks->lock);
	if (!ks->watch_runs)
		watch_start(ks);
	w->name = name;
	w->until_ms = clock_mono_ms(&clock_system) + timeout_ms;
	w->next = ks->calls;
	w->at = &ks->calls;
	if (w->next != NULL)
		w->next->at = &w->next;
	ks->calls = w;
	if (w->until_ms < ks->watch_until_ms) /* it would wake too late for this one */
		pthread_cond_signal(&ks->wake);
	pthread_mutex_unlock(&ks->lock);
}

void watch_end(struct keystore *ks, struct watched *w)
{
	pthread_mutex_lock(&ks->lock);
	*w->at = w->next;
	if (w->next != NULL)
		w->next->at = w->at;
	pthread_mutex_unlock(&ks->lock);
}

/* --- modules --------------------------------------------------------------------------------------------------------*/
fallible fail_rv(struct err *err, enum err_kind kind, const char *call, CK_RV rv)
{
	FAIL(err, kind, "%s: %s (0x%lx)", call, p11_kit_strerror(rv), rv);
}

fallible module_initialize(struct module *m, int64_t timeout_ms, struct err *err)
{
	CK_C_INITIALIZE_ARGS args = { .flags = CKF_OS_LOCKING_OK };
	CK_RV rv;
	MODULE_CALL(m, timeout_ms, rv, C_Initialize, &args);
	if (rv != CKR_OK && rv != CKR_CRYPTOKI_ALREADY_INITIALIZED)
		return fail_rv(err, ERR_UNAVAILABLE, "C_Initialize", rv);
	m->initialized = true;
	m->ours = rv == CKR_OK; /* somebody else's is not ours to finalize */
	return OK;
}

void module_finalize(struct module *m, int64_t timeout_ms)
{
	CK_RV rv;
	if (m->initialized && m->ours)
		MODULE_CALL(m, timeout_ms, rv, C_Finalize, NULL);
	(void)rv;
	m->initialized = false;
}

#define CLOSE_TIMEOUT_MS 10000

void module_close(struct module *m)
{
	while (m->tokens != NULL) {
		struct token *t = m->tokens;
		m->tokens = t->next;
		token_free(t);
	}
	module_finalize(m, CLOSE_TIMEOUT_MS);
	if (m->f != NULL)
		p11_kit_module_release(m->f);
	pthread_cond_destroy(&m->changed);
	pthread_mutex_destroy(&m->lock);
	free(m->path);
	free(m);
}

static void module_auto(struct module **m)
{
	if (*m != NULL)
		module_close(*m);
}

fallible module_open(struct keystore *ks, const char *path, int64_t timeout_ms, struct module **ret, struct err *err)
{
	AUTO(real_auto) char *real = NULL;
	TRY(module_path_check(path, &real, err));
	for (struct module *m = ks->modules; m != NULL; m = m->next) {
		if (strcmp(m->path, real) == 0) {
			*ret = m;
			return OK;
		}
	}
	AUTO(module_auto) struct module *m = mem_alloc(sizeof *m);
	pthread_mutex_init(&m->lock, NULL);
	pthread_cond_init(&m->changed, NULL);
	m->ks = ks;
	m->path = TAKE(real);
	p11_kit_be_quiet();
	m->f = p11_kit_module_load(m->path, P11_KIT_MODULE_UNMANAGED);
	if (m->f == NULL) {
		const char *why = p11_kit_message();
		FAIL(err, ERR_CONFIG, "PKCS#11 module: %s does not load: %s", m->path,
		     why == NULL ? "no reason is known" : why);
	}
	TRY(module_initialize(m, timeout_ms, err));
	m->next = ks->modules;
	ks->modules = m;
	*ret = TAKE(m);
	return OK;
}

/* --- the keystore ---------------------------------------------------------------------------------------------------*/
fallible keystore_new(const struct keystore_conf *conf, struct keystore **ret, struct err *err)
{
	pthread_condattr_t mono;
	struct keystore *ks = mem_alloc(sizeof *ks);
	(void)err;
	ks->conf = *conf;
	ks->conf.refused_dir = ks->refused_dir = conf->refused_dir == NULL ? NULL : mem_dupz(str_z(conf->refused_dir));
	ks->width = 1;
	ks->watch_until_ms = INT64_MAX;
	pthread_condattr_init(&mono);
	pthread_condattr_setclock(&mono, CLOCK_MONOTONIC);
	pthread_mutex_init(&ks->lock, NULL);
	pthread_cond_init(&ks->wake, &mono);
	pthread_condattr_destroy(&mono);
	*ret = ks;
	return OK;
}

void keystore_free(struct keystore *ks)
{
	if (ks == NULL)
		return;
	while (ks->modules != NULL) {
		struct module *m = ks->modules;
		ks->modules = m->next;
		module_close(m);
	}
	keystore_quiet(ks);
	pthread_cond_destroy(&ks->wake);
	pthread_mutex_destroy(&ks->lock);
	free(ks->refused_dir);
	free(ks);
}

unsigned keystore_width(const struct keystore *ks)
{
	return ks->width;
}

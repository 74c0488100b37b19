/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore_token.c: one token. It is found by what is written on it, not by its slot; it is logged into once, sessions
 * are lent to one thread each. When a call fails the token counts as lost: its sessions are closed, and after a pause
 * that grows with each failure all is opened anew (THREATS F40). Whoever wants a session meanwhile is told to come back
 * later, so that orders wait.
 */
#include "sign/keystore_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define SLOTS_MAX 256
#define PIN_MAX 1024
#define RETRY_FIRST_MS 250
#define RETRY_MAX_MS 5000
#define RESTART_AFTER 2 /* failures in a row, after which the module is begun anew, too */

static const struct log *log_of(const struct token *t)
{
	return t->module->ks->conf.log;
}

/* --- finding it -----------------------------------------------------------------------------------------------------*/
static fallible slot_list(struct module *m, int64_t timeout_ms, CK_SLOT_ID slots[SLOTS_MAX], CK_ULONG *ret_n,
			  struct err *err)
{
	CK_ULONG n = 0;
	CK_RV rv;
	MODULE_CALL(m, timeout_ms, rv, C_GetSlotList, CK_TRUE, NULL,
		    &n); /* modules look for new tokens in this form only */
	if (rv == CKR_OK) {
		n = SLOTS_MAX;
		MODULE_CALL(m, timeout_ms, rv, C_GetSlotList, CK_TRUE, slots, &n);
	}
	if (rv != CKR_OK || n > SLOTS_MAX)
		return fail_rv(err, ERR_UNAVAILABLE, "C_GetSlotList", rv);
	*ret_n = n;
	return OK;
}

static fallible slot_find(struct module *m, const struct token_uri *uri, int64_t timeout_ms, CK_SLOT_ID *ret,
			  CK_TOKEN_INFO *ret_info, struct err *err)
{
	CK_SLOT_ID slots[SLOTS_MAX];
	CK_ULONG n = 0;
	size_t found = 0;
	TRY(slot_list(m, timeout_ms, slots, &n, err));
	for (CK_ULONG i = 0; i < n; i++) {
		CK_TOKEN_INFO info = { .flags = 0 };
		CK_RV rv;
		MODULE_CALL(m, timeout_ms, rv, C_GetTokenInfo, slots[i], &info);
		if (rv != CKR_OK || !p11_kit_uri_match_token_info(uri->kit, &info))
			continue;
		*ret = slots[i];
		*ret_info = info;
		found++;
	}
	if (found == 0)
		FAIL(err, ERR_UNAVAILABLE, "token \"%s\" is not there (%lu others are)", uri->name, n);
	if (found > 1)
		FAIL(err, ERR_CONFIG, "%zu tokens go with the URI of \"%s\"; add serial=NUMBER to it", found,
		     uri->name);
	return OK;
}

/* --- PIN --------------------------------------------------------------------------------------------------------------*/
static fallible pin_refused(struct token *t, const char *what, struct err *err)
{
	t->pin_refused = true;
	FAIL(err, ERR_CONFIG, "token \"%s\": %s", t->uri.name, what);
}

static fallible pin_check(struct token *t, struct err *err)
{
	CK_FLAGS flags = t->info.flags;
	if (t->pin_refused)
		return pin_refused(t, "it refused the PIN, which is not tried again", err);
	if ((flags & CKF_USER_PIN_LOCKED) != 0)
		return pin_refused(t, "its PIN is locked after wrong attempts; unlock it with the token's own tools",
				   err);
	if ((flags & CKF_USER_PIN_FINAL_TRY) != 0)
		return pin_refused(
			t,
			"one more wrong PIN locks it, and that attempt is not spent here: log in with the right "
			"PIN once by the token's own tools",
			err);
	if (pin_was_refused(t))
		return pin_refused(
			t,
			"it refused this PIN before, and too many attempts would lock it: put the right one into "
			"the PIN file",
			err);
	return OK;
}

static bool is_about_pin(CK_RV rv)
{
	return rv == CKR_PIN_INCORRECT || rv == CKR_PIN_INVALID || rv == CKR_PIN_LEN_RANGE || rv == CKR_PIN_EXPIRED ||
	       rv == CKR_PIN_LOCKED || rv == CKR_USER_PIN_NOT_INITIALIZED;
}

static fallible token_login(struct token *t, CK_SESSION_HANDLE session, struct err *err)
{
	CK_RV rv;
	if (!t->has_pin && (t->info.flags & CKF_LOGIN_REQUIRED) == 0)
		return OK;
	if (!t->has_pin)
		FAIL(err, ERR_CONFIG, "token \"%s\" wants a PIN, and no pin-file is configured", t->uri.name);
	TRY(pin_check(t, err));
	TOKEN_CALL(t, rv, C_Login, session, CKU_USER, t->pin.p, t->pin.n);
	if (rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN) {
		pin_forget_refused(t);
		return OK;
	}
	if (!is_about_pin(rv))
		return fail_rv(err, ERR_UNAVAILABLE, "C_Login", rv);
	t->pin_refused = true;
	pin_remember_refused(t);
	LOG(log_of(t), LOG_ERROR, "alarm: a token refused the PIN; it is not tried again", KV_Z("token", t->uri.name),
	    KV_Z("reason", p11_kit_strerror(rv)));
	FAIL(err, ERR_CONFIG,
	     "token \"%s\" refused the PIN (%s); it was tried once and will not be tried again: put the right one into "
	     "the PIN file",
	     t->uri.name, p11_kit_strerror(rv));
}

/* --- sessions ---------------------------------------------------------------------------------------------------------*/
static fallible sessions_open(struct token *t, struct err *err)
{
	CK_RV rv = CKR_OK;
	while (t->open < t->width && rv == CKR_OK) {
		TOKEN_CALL(t, rv, C_OpenSession, t->slot, CKF_SERIAL_SESSION, NULL, NULL, &t->sessions[t->open]);
		if (rv == CKR_OK)
			t->open++;
	}
	if (t->open == 0)
		return fail_rv(err, ERR_UNAVAILABLE, "C_OpenSession", rv);
	if (t->open < t->width) /* some have few: then it is as quick as it is */
		LOG(log_of(t), LOG_NOTICE, "token has fewer sessions than asked for", KV_Z("token", t->uri.name),
		    KV_U64("sessions", t->open), KV_U64("asked", t->width));
	t->width = t->open;
	return OK;
}

static void sessions_close(struct token *t)
{
	CK_RV rv;           /* not looked at: of a token that is gone, nothing good is to be expected */
	while (t->open > 0) /* not C_CloseAllSessions: another token may be in that slot now */
		TOKEN_CALL(t, rv, C_CloseSession, t->sessions[--t->open]);
	(void)rv;
}

/* Some modules see a token that came back only when they are begun anew. Not while another token of theirs works. */
static fallible module_restart(struct token *t, struct err *err)
{
	struct module *m = t->module;
	for (const struct token *other = m->tokens; other != NULL; other = other->next)
		if (other->up || other->busy > 0)
			return OK;
	for (struct token *other = m->tokens; other != NULL; other = other->next)
		other->open = 0;
	t->open = 0;
	module_finalize(m, t->timeout_ms);
	return module_initialize(m, t->timeout_ms, err);
}

static fallible token_begin(struct token *t, struct err *err)
{
	sessions_close(t);
	if (t->failures > RESTART_AFTER || !t->module->initialized)
		TRY(module_restart(t, err));
	TRY(slot_find(t->module, &t->uri, t->timeout_ms, &t->slot, &t->info, err));
	TRY(sessions_open(t, err));
	TRY(token_login(t, t->sessions[0], err));
	t->generation++;
	t->up = true;
	return OK;
}

/* --- lost and found ---------------------------------------------------------------------------------------------------*/
static void token_lost(struct token *t, const char *why)
{
	int64_t pause = 0; /* the first time at once: a session that timed out is no fault */
	for (unsigned i = 0; i < t->failures && pause < RETRY_MAX_MS; i++)
		pause = pause == 0 ? RETRY_FIRST_MS : pause * 2;
	t->up = false;
	t->failures++;
	t->retry_at_ms = clock_mono_ms(&clock_system) + (pause > RETRY_MAX_MS ? RETRY_MAX_MS : pause);
	(void)snprintf(t->why, sizeof t->why, "%s", why);
	if (t->told_lost || t->failures < 2)
		return;
	t->told_lost = true;
	LOG(log_of(t), LOG_ERROR, "alarm: a token is lost; signing waits for it", KV_Z("token", t->uri.name),
	    KV_Z("reason", t->why),
	    KV_Z("perhaps", "the sandbox is in its module's way: signer.sandbox-paths, signer.sandbox-network"));
}

void token_signed(struct token *t)
{
	struct module *m = t->module;
	pthread_mutex_lock(&m->lock);
	if (t->told_lost)
		LOG(log_of(t), LOG_NOTICE, "token signs again", KV_Z("token", t->uri.name));
	t->told_lost = false;
	t->failures = 0;
	pthread_mutex_unlock(&m->lock);
}

/* Holds the module's lock. */
static fallible token_again(struct token *t, struct err *err)
{
	if (t->pin_refused)
		return pin_check(t, err);
	if (clock_mono_ms(&clock_system) < t->retry_at_ms)
		FAIL(err, ERR_UNAVAILABLE, "token \"%s\" is away: %s", t->uri.name, t->why);
	struct rc rc = token_begin(t, err);
	if (FAILED(rc) && err != NULL)
		token_lost(t, err->detail);
	return rc;
}

static bool session_take(struct token *t, struct lease *ret)
{
	for (unsigned i = 0; i < t->open; i++) {
		if (t->is_busy[i])
			continue;
		t->is_busy[i] = true;
		t->busy++;
		*ret = (struct lease){ t, i, t->generation, t->sessions[i] };
		return true;
	}
	return false;
}

fallible token_lease(struct token *t, struct lease *ret, struct err *err)
{
	struct module *m = t->module;
	struct rc rc = OK;
	pthread_mutex_lock(&m->lock);
	for (;;) {
		if (!t->up && t->busy == 0) /* not under the feet of those who still work with it */
			rc = token_again(t, err);
		if (FAILED(rc) || (t->up && session_take(t, ret)))
			break;
		pthread_cond_wait(&m->changed, &m->lock);
	}
	pthread_mutex_unlock(&m->lock);
	return rc;
}

void token_give_back(const struct lease *l, const char *lost)
{
	struct token *t = l->token;
	pthread_mutex_lock(&t->module->lock);
	t->is_busy[l->index] = false;
	t->busy--;
	if (lost != NULL && t->up && l->generation == t->generation)
		token_lost(t, lost);
	pthread_cond_broadcast(&t->module->changed);
	pthread_mutex_unlock(&t->module->lock);
}

/* --- opening ----------------------------------------------------------------------------------------------------------*/
void token_free(struct token *t)
{
	if (t == NULL)
		return;
	if (t->module->initialized)
		sessions_close(t);
	secret_done(&t->pin);
	token_uri_done(&t->uri);
	free(t);
}

static void token_auto(struct token **t)
{
	token_free(*t);
}

static fallible token_new(struct module *m, const struct keystore_key *where, struct token **ret, struct err *err)
{
	AUTO(token_auto) struct token *t = mem_alloc(sizeof *t);
	t->module = m;
	t->timeout_ms = where->timeout_ms;
	t->width = where->sessions < 1                    ? 1
		   : where->sessions > TOKEN_SESSIONS_MAX ? TOKEN_SESSIONS_MAX
							  : where->sessions;
	TRY(token_uri_read(str_z(where->where), &t->uri, err));
	const char *pin_file = where->pin_file != NULL ? where->pin_file : t->uri.pin_source;
	if (pin_file != NULL)
		TRY(secret_read_file(&t->pin, pin_file, PIN_MAX, err));
	t->has_pin = pin_file != NULL;
	*ret = TAKE(t);
	return OK;
}

/* Logins are per token and not per key: a second key in one token shares what is open. */
static struct token *token_in_slot(const struct module *m, CK_SLOT_ID slot)
{
	for (struct token *t = m->tokens; t != NULL; t = t->next)
		if (t->slot == slot)
			return t;
	return NULL;
}

static fallible open_in(struct module *m, const struct keystore_key *where, struct token **ret, struct err *err)
{
	AUTO(token_auto) struct token *t = NULL;
	TRY(token_new(m, where, &t, err));
	assert(t != NULL); /* for the compiler */
	TRY(slot_find(m, &t->uri, t->timeout_ms, &t->slot, &t->info, err));
	struct token *other = token_in_slot(m, t->slot);
	if (other != NULL) {
		*ret = other;
		return OK;
	}
	TRY(token_begin(t, err));
	if (t->width > m->ks->width)
		m->ks->width = t->width;
	t->next = m->tokens;
	m->tokens = t;
	*ret = TAKE(t);
	return OK;
}

fallible token_open(struct keystore *ks, const struct keystore_key *where, struct token **ret, struct err *err)
{
	AUTO(token_uri_done) struct token_uri uri = { 0 };
	struct module *m;
	TRY(token_uri_read(str_z(where->where), &uri, err));
	if (uri.pin_source != NULL && where->pin_file != NULL)
		FAIL(err, ERR_CONFIG, "found pin-source in the pkcs11 URI besides pin-file; allowed: one of them");
	TRY(module_open(ks, uri.module_path, where->timeout_ms, &m, err));
	pthread_mutex_lock(&m->lock);
	struct rc rc = open_in(m, where, ret, err);
	pthread_mutex_unlock(&m->lock);
	return rc;
}

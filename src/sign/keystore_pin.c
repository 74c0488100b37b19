/* SPDX-License-Identifier: Apache-2.0
 *
 * keystore_pin.c: a PIN that a token refused is not tried a second time, not by the next process either: whoever starts
 * us again and again would lock the token (THREATS F41). What is kept is a file for the token with a salt and 16 bits of
 * HMAC(salt, PIN): enough to see that the PIN is the same, useless for guessing it.
 */
#include "sign/keystore_internal.h"

#include <stdio.h>
#include <unistd.h>

#define SALT_LEN 16
#define TAG_LEN 2
#define MARK_LEN (SALT_LEN + TAG_LEN)

/* One file a token: by what is engraved on it. NULL: nothing is remembered. */
static const char *mark_path(struct arena *mem, const struct token *t)
{
	const struct keystore_conf *conf = &t->module->ks->conf;
	struct sha256 hash;
	struct str engraved = str_fmt(mem, "%.16s%.32s%.16s", t->info.serialNumber, t->info.label, t->info.model);
	if (conf->refused_dir == NULL || FAILED(digest_sha256(conf->crypto, engraved, &hash, NULL)))
		return NULL;
	char hex[17];
	for (size_t i = 0; i < 8; i++)
		(void)snprintf(hex + 2 * i, 3, "%02x", hash.b[i]);
	return str_fmt(mem, "%s/pin-refused.%s%c", conf->refused_dir, hex, 0).p;
}

static bool mark_of(const struct token *t, const uint8_t *salt, uint8_t tag[TAG_LEN])
{
	AUTO(secret_done) struct secret key = { 0 };
	uint8_t mac[DIGEST_MAX];
	size_t n;
	if (FAILED(secret_set(&key, str_n(salt, SALT_LEN), NULL)) ||
	    FAILED(hmac(t->module->ks->conf.crypto, DIGEST_SHA256, &key, str_n(t->pin.p, t->pin.n), mac, &n, NULL)))
		return false;
	memcpy(tag, mac, TAG_LEN);
	explicit_bzero(mac, sizeof mac);
	return true;
}

bool pin_was_refused(const struct token *t)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf mark = BUF_MAX(MARK_LEN);
	uint8_t tag[TAG_LEN];
	const char *path = mark_path(&mem, t);
	if (path == NULL || access(path, F_OK) != 0)
		return false;
	/* Damaged or not readable: better to ask the operator once too often than the token. */
	if (FAILED(file_read(path, MARK_LEN, &mark, NULL)) || mark.n != MARK_LEN ||
	    !mark_of(t, (const uint8_t *)mark.p, tag))
		return true;
	return memcmp(mark.p + SALT_LEN, tag, TAG_LEN) == 0;
}

void pin_remember_refused(const struct token *t)
{
	AUTO(arena_done) struct arena mem = { 0 };
	uint8_t mark[MARK_LEN];
	struct err err = { 0 };
	const char *path = mark_path(&mem, t);
	if (path == NULL)
		return;
	rng_fill(&rng_system, mark, SALT_LEN);
	if (!mark_of(t, mark, mark + SALT_LEN))
		memset(mark + SALT_LEN, 0, TAG_LEN);
	(void)dir_make(t->module->ks->conf.refused_dir, 0700, NULL).kind;
	if (FAILED(file_write_atomic(path, str_n(mark, sizeof mark), 0600, &err)))
		LOG(t->module->ks->conf.log, LOG_ERROR,
		    "alarm: a refused PIN cannot be remembered; do not start the signer before it is right",
		    KV_ERR(&err));
}

void pin_forget_refused(const struct token *t)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const char *path = mark_path(&mem, t);
	if (path != NULL)
		(void)unlink(path);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * grant_make.c: what `cairn grant` does beside the API: an operator's key pair, signing with it, and the list of revoked
 * grants that the signer of this host looks at.
 */
#include "cmd/grant.h"

#include "cmd/passphrase.h"
#include "jose/jose.h"
#include "model/model.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY_FILE_MAX (16 * 1024)
#define JWK_MAX 4096
#define REVOKED_FILE_MAX ((size_t)16 * 1024 * 1024) /* as the signer has it */
#define DAYS_DEFAULT 90
#define SKEW_S 300 /* clocks of operator, API and signer may differ by so much */

static const char ask_me[] =
	"no terminal to ask for the passphrase of the operator's key; allowed: --passphrase-file FILE";

struct work {
	struct arena mem;
	struct conf *conf;
	struct crypto *crypto;
	struct key *key;
	struct secret passphrase;
};

static void work_done(struct work *w)
{
	secret_done(&w->passphrase);
	key_free(w->key);
	crypto_free(w->crypto);
	conf_free(w->conf);
	arena_done(&w->mem);
}

static fallible work_begin(struct work *w, const struct grant_given *g, struct err *err)
{
	TRY(conf_read(cmd_conf_path(g->conf), conf_env_system, NULL, &w->conf, err));
	return crypto_new(&w->crypto, err);
}

/* --- the operator's key pair ------------------------------------------------------------------------------------------*/
static bool name_is_good(struct str name)
{
	bool good = name.n > 0 && name.n <= REALM_NAME_MAX && name.p[0] != '.' && name.p[0] != '-';
	for (size_t i = 0; i < name.n && good; i++) {
		char c = name.p[i];
		good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
		       c == '_' || c == '-';
	}
	return good;
}

/* The key comes before the operator is in the configuration: API and signer would not start without its public half. */
static fallible key_paths(struct work *w, struct str name, const char **ret_key, const char **ret_public,
			  bool *ret_known, struct err *err)
{
	const struct conf_operator *o = conf_operator(w->conf, name);
	if (!name_is_good(name))
		FAIL(err, ERR_CONFIG,
		     "found operator \"%.*s\"; allowed: 1 to %d letters, digits and . _ -, with no . or - in front",
		     STR_FMT(str_sub(name, 0, name.n < 64 ? name.n : 64)), REALM_NAME_MAX);
	*ret_known = o != NULL;
	*ret_key =
		conf_path(w->conf, &w->mem, o != NULL ? o->key : str_fmt(&w->mem, "operators/%.*s.key", STR_FMT(name)));
	*ret_public = conf_path(w->conf, &w->mem,
				o != NULL ? o->public_key : str_fmt(&w->mem, "operators/%.*s.jwk", STR_FMT(name)));
	return OK;
}

/* The folder of a file, when it is the only thing that lacks. API and signer read in it, who may be another user than
 * we: a umask must not close it. */
static fallible folder_make(struct arena *mem, const char *path, struct err *err)
{
	const char *slash = strrchr(path, '/');
	if (slash == NULL || slash == path)
		return OK;
	const char *folder = str_dupz_raw(mem, str_n(path, (size_t)(slash - path)));
	if (access(folder, F_OK) == 0)
		return OK;
	TRY(dir_make(folder, 0755, err));
	if (chmod(folder, 0755) != 0)
		FAIL(err, ERR_IO, "chmod 755 %s: %s", folder, strerrordesc_np(errno));
	return OK;
}

static fallible pair_write(struct work *w, const char *key_path, const char *public_path, bool encrypted,
			   struct err *err)
{
	AUTO(buf_done) struct buf jwk = BUF_MAX(JWK_MAX);
	if (access(public_path, F_OK) == 0)
		FAIL(err, ERR_CONFLICT, "%s is there already; allowed: a new operator", public_path);
	TRY(folder_make(&w->mem, key_path, err));
	TRY(folder_make(&w->mem, public_path, err));
	TRY(key_write_file(w->key, key_path, encrypted ? &w->passphrase : NULL, err));
	TRY(jwk_write(w->key, &jwk, err));
	TRY(buf_add_char(&jwk, '\n', err));
	return file_write_new(public_path, buf_str(&jwk), 0644, err);
}

fallible grant_key_make(const struct grant_given *g, struct err *err)
{
	AUTO(work_done) struct work w = { .conf = NULL };
	const char *key_path, *public_path;
	bool known, encrypted = !grant_given(g, FLAG_UNENCRYPTED);
	TRY(work_begin(&w, g, err));
	TRY(key_paths(&w, str_z(g->operand), &key_path, &public_path, &known, err));
	if (access(key_path, F_OK) == 0)
		FAIL(err, ERR_CONFLICT, "%s is there already; allowed: a new operator", key_path);
	if (encrypted)
		TRY(passphrase_new(grant_given_z(g, FLAG_PASSPHRASE), "Passphrase for the operator's key: ",
				   "no terminal to ask for the passphrase of the operator's key; allowed: "
				   "--passphrase-file FILE or --unencrypted",
				   &w.passphrase, err));
	TRY(key_generate(KEY_P256, 0, &w.key, err));
	TRY(pair_write(&w, key_path, public_path, encrypted, err));
	(void)printf("The key of operator %s is in %s%s,\nits public half in %s.\n", g->operand, key_path,
		     encrypted ? ", encrypted" : "", public_path);
	if (!known) /* then it is where the setting's default has it */
		(void)printf("\nNow let API and signer know it: add it below operator in\n%s,\nthen reload them:\n\n"
			     "  operator:\n    %s:\n      public-key: operators/%s.jwk\n",
			     str_dupz_raw(&w.mem, w.conf->file), g->operand, g->operand);
	return OK;
}

/* --- whose keys -----------------------------------------------------------------------------------------------------*/
static struct str realm_of(const struct grant_given *g)
{
	return grant_given(g, FLAG_REALM) ? str_z(grant_given_z(g, FLAG_REALM)) : STR("default");
}

/* The API says whose they are; who does not trust it gives thumbprints, or compares those that are shown. */
static fallible keys_resolve(struct grant_given *g, struct grant *grant, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(ADMIN_REQUEST_MAX);
	AUTO(json_auto) struct json *answer = NULL;
	struct jw w = ask_begin(&text, "grant.keys", err);
	jw_kstr(&w, "realm", grant->realm);
	ask_write_list(&w, "accounts", &g->lists[FLAG_ACCOUNT - GRANT_FLAG_FIRST]);
	ask_write_list(&w, "eabs", &g->lists[FLAG_EAB - GRANT_FLAG_FIRST]);
	TRY(ask(g->conf, &w, &answer, err));
	const struct json *keys = json_get(answer, "keys");
	grant->thumbprints = ARENA_ARRAY(&g->mem, struct str, json_count(keys) + 1);
	for (size_t i = 0; i < json_count(keys); i++)
		grant->thumbprints[grant->thumbprint_count++] =
			str_dup(&g->mem, ask_text(json_at(keys, i), "thumbprint"));
	return OK;
}

/* --- what it says, and who says it ------------------------------------------------------------------------------------*/
static fallible days_read(const struct grant_given *g, int64_t *ret_s, struct err *err)
{
	uint64_t days = DAYS_DEFAULT, most = (uint64_t)(GRANT_LIFE_MAX_S / 86400);
	if (grant_given(g, FLAG_DAYS) &&
	    (FAILED(str_u64(str_z(grant_given_z(g, FLAG_DAYS)), most, &days, NULL)) || days == 0))
		FAIL(err, ERR_CONFIG, "--days: found \"%s\"; allowed: 1 to %llu", grant_given_z(g, FLAG_DAYS),
		     (unsigned long long)most);
	*ret_s = (int64_t)days * 86400;
	return OK;
}

static fallible grant_of(struct grant_given *g, struct grant *ret, struct err *err)
{
	const struct conf_list *lists = g->lists;
	int64_t now_ms = clock_now_ms(&clock_system), life_s;
	TRY(days_read(g, &life_s, err));
	*ret = (struct grant){
		.id = id_new(&clock_system, &rng_system),
		.realm = realm_of(g),
		.names = lists[FLAG_NAME - GRANT_FLAG_FIRST].v,
		.name_count = lists[FLAG_NAME - GRANT_FLAG_FIRST].n,
		.addresses = lists[FLAG_ADDRESS - GRANT_FLAG_FIRST].v,
		.address_count = lists[FLAG_ADDRESS - GRANT_FLAG_FIRST].n,
		.wildcards = grant_given(g, FLAG_WILDCARDS),
		.organization = str_z(grant_given_z(g, FLAG_ORGANIZATION)),
		.locality = str_z(grant_given_z(g, FLAG_LOCALITY)),
		.state = str_z(grant_given_z(g, FLAG_STATE)),
		.country = str_z(grant_given_z(g, FLAG_COUNTRY)),
		.emails = lists[FLAG_EMAIL - GRANT_FLAG_FIRST].v,
		.email_count = lists[FLAG_EMAIL - GRANT_FLAG_FIRST].n,
		.profiles = lists[FLAG_PROFILE - GRANT_FLAG_FIRST].v,
		.profile_count = lists[FLAG_PROFILE - GRANT_FLAG_FIRST].n,
		.made_ms = now_ms,
		.from_s = now_ms / 1000 - SKEW_S,
		.until_s = now_ms / 1000 - SKEW_S + life_s,
		.note = str_z(grant_given_z(g, FLAG_NOTE)),
	};
	return OK;
}

static fallible key_open(struct work *w, const struct grant_given *g, struct err *err)
{
	AUTO(buf_done) struct buf pem = BUF_MAX(KEY_FILE_MAX);
	const char *file = grant_given_z(g, FLAG_PASSPHRASE);
	struct str name = str_z(grant_given_z(g, FLAG_OPERATOR));
	const struct conf_operator *o = conf_operator(w->conf, name);
	if (o == NULL)
		FAIL(err, ERR_CONFIG, "the configuration has no operator \"%.*s\"; `cairn grant key` makes one's key",
		     STR_FMT(str_sub(name, 0, name.n < 64 ? name.n : 64)));
	const char *path = conf_path(w->conf, &w->mem, o->key);
	TRY(file_read(path, KEY_FILE_MAX, &pem, err));
	bool encrypted = memmem(pem.p, pem.n, "ENCRYPTED", 9) != NULL;
	explicit_bzero(pem.p, pem.n);
	if (encrypted)
		TRY(passphrase_get(file, str_fmt(&w->mem, "Passphrase for %s: ", path).p, ask_me, &w->passphrase, err));
	return key_read_file(path, encrypted ? &w->passphrase : NULL, &w->key, err);
}

static fallible give(const struct grant_given *g, struct str jws, struct json **ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(ADMIN_REQUEST_MAX);
	struct jw w = ask_begin(&text, "grant.add", err);
	jw_kstr(&w, "jws", jws);
	return ask(g->conf, &w, ret, err);
}

fallible grant_make(struct grant_given *g, struct json **ret, struct err *err)
{
	AUTO(work_done) struct work w = { .conf = NULL };
	AUTO(buf_done) struct buf payload = BUF_MAX(GRANT_PAYLOAD_MAX), jws = BUF_MAX(GRANT_JWS_MAX);
	struct grant grant;
	TRY(work_begin(&w, g, err));
	TRY(grant_of(g, &grant, err));
	TRY(keys_resolve(g, &grant, err));
	TRY(grant_write(&grant, &payload, err));
	TRY(key_open(&w, g, err)); /* after all else: nobody types a passphrase in vain */
	TRY(jws_compact_sign(w.crypto, w.key, STR(GRANT_TYP), str_z(grant_given_z(g, FLAG_OPERATOR)), buf_str(&payload),
			     &jws, err));
	return give(g, buf_str(&jws), ret, err);
}

/* --- taking it back ---------------------------------------------------------------------------------------------------*/
static bool line_names(struct str line, struct str id)
{
	return str_starts(line, id) && (line.n == id.n || line.p[id.n] == ' ');
}

static bool list_names(struct str text, struct str id)
{
	while (text.n > 0) {
		size_t end = str_find(text, '\n', 0);
		if (line_names(str_trim(str_sub(text, 0, end)), id))
			return true;
		text = end < text.n ? str_sub(text, end + 1, text.n) : STR_NONE;
	}
	return false;
}

/* The time stays with the id: what was issued before it was issued rightly (cairn audit verify). */
static fallible list_add(struct buf *list, struct str id, struct err *err)
{
	char now[TIME_TEXT_MAX];
	time_show(clock_now_ms(&clock_system) / 1000, now);
	if (list->n == 0)
		TRY(buf_add(list,
			    STR("# Grants that the signer takes no more: cairn grant revoke adds to this file.\n"),
			    err));
	else if (list->p[list->n - 1] != '\n')
		TRY(buf_add_char(list, '\n', err));
	TRY(buf_add(list, id, err));
	TRY(buf_add_char(list, ' ', err));
	TRY(buf_add(list, str_z(now), err));
	return buf_add_char(list, '\n', err);
}

static fallible list_update(const char *path, struct str id, bool *ret_new, struct err *err)
{
	AUTO(buf_done) struct buf list = BUF_MAX(REVOKED_FILE_MAX);
	if (access(path, F_OK) == 0)
		TRY(file_read(path, REVOKED_FILE_MAX, &list, err));
	*ret_new = !list_names(buf_str(&list), id);
	if (!*ret_new)
		return OK;
	TRY(list_add(&list, id, err));
	return file_write_atomic(path, buf_str(&list), 0644, err);
}

fallible grant_revoke_here(const struct grant_given *g, bool *ret_new, struct err *err)
{
	AUTO(work_done) struct work w = { .conf = NULL };
	struct id id;
	TRY(id_read(str_z(g->operand), &id, err));
	TRY(work_begin(&w, g, err));
	const char *path = conf_path(w.conf, &w.mem, w.conf->signer.revoked_grants);
	TRY(folder_make(&w.mem, path, err));
	/* One after the other: each writes the whole list. */
	AUTO(fd_close) int lock = open(str_fmt(&w.mem, "%s.lock", path).p, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (lock < 0 || flock(lock, LOCK_EX) != 0)
		FAIL(err, ERR_IO, "%s.lock: %s", path, strerrordesc_np(errno));
	return list_update(path, str_z(g->operand), ret_new, err);
}

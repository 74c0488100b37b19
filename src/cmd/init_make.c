/* SPDX-License-Identifier: Apache-2.0
 *
 * init_make.c: makes a CA. Everything is written below DIR/.cairn-init, whose making is the lock against a second init,
 * and moved when all of it is there; cairn.conf comes last, so a folder with a cairn.conf is a whole CA.
 */
#include "cmd/init.h"

#include "admin/admin.h"
#include "jose/jose.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGE ".cairn-init"
#define DAY_S ((int64_t)86400)
#define BACKDATE_S ((int64_t)3600)
#define TLS_DAYS 90
#define PEM_MAX (128 * 1024)

static const char *const folders[] = { "root", "issuer", "tls", "perspectives", "store", "run", "journal" };

struct maker {
	const struct init_plan *plan;
	struct arena mem;
	struct crypto *crypto;
	const char *stage;
	int64_t now_s;
	struct key *root_key, *issuer_key, *tls_key, *perspective_key;
	struct cert *root, *issuer; /* NULL with an external root */
	struct buf request;         /* to that one */
	struct keystore *keystore;  /* NULL: the issuing key is a file */
	bool exported;              /* the root's key lies outside of the stage */
	bool made_dir;              /* it was not there before */
};

/* --- the folder --- */

static const char *join(struct arena *mem, const char *dir, const char *name)
{
	return str_dupz_raw(mem, str_fmt(mem, "%s/%s", dir, name));
}

static const char *staged(struct maker *m, const char *name)
{
	return join(&m->mem, m->stage, name);
}

static fallible refuse_entry(const char *dir, const char *entry, struct err *err)
{
	if (strcmp(entry, STAGE) == 0)
		FAIL(err, ERR_CONFIG,
		     "%s/" STAGE
		     " is there: an earlier `cairn init` did not finish, or one is running. If none is, nothing in "
		     "%s is in use yet: look at it, remove it (rm -r %s) and start again",
		     dir, dir, dir);
	if (strcmp(entry, "cairn.conf") == 0)
		FAIL(err, ERR_CONFIG,
		     "%s holds a CA already (%s/cairn.conf); `cairn serve -c %s/cairn.conf` runs it, and "
		     "another folder makes another CA",
		     dir, dir, dir);
	FAIL(err, ERR_CONFIG, "%s: found \"%s\" in it; allowed: a new or empty folder", dir, entry);
}

static void dir_close(DIR **d)
{
	if (*d != NULL)
		(void)closedir(*d);
}

/* The entry that says most about the folder's state decides what the operator is told. */
static int weight(const char *entry)
{
	if (strcmp(entry, ".") == 0 || strcmp(entry, "..") == 0 || strcmp(entry, "lost+found") == 0)
		return 0;
	return strcmp(entry, "cairn.conf") == 0 ? 3 : strcmp(entry, STAGE) == 0 ? 2 : 1;
}

fallible init_check_dir(const char *dir, struct err *err)
{
	AUTO(dir_close) DIR *d = opendir(dir);
	if (d == NULL && errno == ENOENT)
		return OK;
	if (d == NULL)
		FAIL(err, ERR_IO, "%s: %s", dir, strerrordesc_np(errno));
	char worst[256] = "";
	for (const struct dirent *e; (e = readdir(d)) != NULL;) {
		if (weight(e->d_name) > (worst[0] == '\0' ? 0 : weight(worst)))
			(void)snprintf(worst, sizeof worst, "%s", e->d_name);
	}
	return worst[0] == '\0' ? OK : refuse_entry(dir, worst, err);
}

static fallible sync_dir(const char *dir, struct err *err)
{
	AUTO(fd_close) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) != 0)
		FAIL(err, ERR_IO, "fsync %s: %s", dir, strerrordesc_np(errno));
	return OK;
}

static fallible stage_open(struct maker *m, struct err *err)
{
	TRY(init_check_dir(m->plan->dir, err));
	m->made_dir = mkdir(m->plan->dir, 0700) == 0;
	if (!m->made_dir && errno != EEXIST)
		FAIL(err, ERR_IO, "making %s: %s", m->plan->dir, strerrordesc_np(errno));
	m->stage = join(&m->mem, m->plan->dir, STAGE);
	if (mkdir(m->stage, 0700) != 0) {
		int saved = errno;
		m->stage = NULL; /* not ours to remove */
		if (saved == EEXIST)
			return refuse_entry(m->plan->dir, STAGE, err);
		FAIL(err, ERR_IO, "making %s/" STAGE ": %s", m->plan->dir, strerrordesc_np(saved));
	}
	for (size_t i = 0; i < ARRAY_LEN(folders); i++) {
		if (mkdir(staged(m, folders[i]), 0700) != 0)
			FAIL(err, ERR_IO, "making %s: %s", staged(m, folders[i]), strerrordesc_np(errno));
	}
	return OK;
}

static fallible move_up(struct maker *m, const char *name, struct err *err)
{
	if (rename(staged(m, name), join(&m->mem, m->plan->dir, name)) != 0)
		FAIL(err, ERR_IO, "moving %s to %s: %s", staged(m, name), m->plan->dir, strerrordesc_np(errno));
	return OK;
}

static fallible stage_publish(struct maker *m, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		TRY(sync_dir(staged(m, folders[i]), err));
	for (size_t i = 0; i < ARRAY_LEN(folders); i++)
		TRY(move_up(m, folders[i], err));
	TRY(sync_dir(m->plan->dir, err));
	TRY(move_up(m, "cairn.conf", err));
	if (rmdir(m->stage) != 0)
		FAIL(err, ERR_IO, "removing %s: %s", m->stage, strerrordesc_np(errno));
	return sync_dir(m->plan->dir, err);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
	(void)st;
	(void)type;
	(void)at;
	return remove(path);
}

/* After a failure: what was made goes again, so that the next attempt finds the folder as this one did. */
static void stage_remove(struct maker *m)
{
	if (m->exported)
		(void)unlink(m->plan->root_export);
	if (m->stage == NULL)
		return;
	for (size_t i = 0; i < ARRAY_LEN(folders);
	     i++) /* those that were moved already: this init's own, see stage_open */
		(void)nftw(join(&m->mem, m->plan->dir, folders[i]), remove_one, 16, FTW_DEPTH | FTW_PHYS);
	(void)unlink(join(&m->mem, m->plan->dir, "cairn.conf"));
	(void)nftw(m->stage, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	if (m->made_dir)
		(void)rmdir(m->plan->dir);
}

/* --- keys and certificates --- */

#define TOKEN_MAKE_MS 300000 /* a smart card takes minutes for an RSA key */

static void token_hung(void *ctx, const char *call)
{
	(void)ctx;
	(void)fprintf(
		stderr,
		"cairn init: the token's module hangs in %s; nothing was written, but look whether the token has a new "
		"key\n",
		call);
	_exit(1);
}

/* In the token, as the last key of all: nothing else can fail in its making then. */
static fallible make_token_key(struct maker *m, struct err *err)
{
	const struct init_plan *p = m->plan;
	const struct keystore_conf conf = { .crypto = m->crypto, .hung = token_hung };
	const struct keystore_key where = {
		.where = p->token_uri, .pin_file = p->pin_file, .sessions = 1, .timeout_ms = TOKEN_MAKE_MS
	};
	TRY(keystore_new(&conf, &m->keystore, err));
	if (p->token_key_exists)
		return keystore_open(m->keystore, &where, &m->issuer_key, err);
	return keystore_make(m->keystore, &where, p->key.kind, p->key.rsa_bits, &m->issuer_key, err);
}

static fallible make_keys(struct maker *m, struct err *err)
{
	TRY(key_generate(m->plan->root_key.kind, m->plan->root_key.rsa_bits, &m->root_key, err));
	TRY(key_generate(KEY_P256, 0, &m->tls_key, err));
	TRY(key_generate(KEY_P256, 0, &m->perspective_key, err));
	if (m->plan->token_uri != NULL)
		return make_token_key(m, err);
	return key_generate(m->plan->key.kind, m->plan->key.rsa_bits, &m->issuer_key, err);
}

static fallible make_authorities(struct maker *m, struct err *err)
{
	const struct init_plan *p = m->plan;
	struct ca_request issuer = { .common_name = str_fmt(&m->mem, "%.*s Issuing CA 1", STR_FMT(p->name)),
				     .organization = p->name,
				     .key = m->issuer_key,
				     .not_before = m->now_s - BACKDATE_S,
				     .not_after = m->now_s + p->intermediate_days * DAY_S,
				     .path_len = 0,
				     .permit = p->permit.v,
				     .permit_count = p->permit.n,
				     .permit_ranges = p->permit_ranges,
				     .permit_range_count = p->permit_range_count };
	if (p->root_mode == INIT_ROOT_EXTERNAL)
		return ca_make_csr(m->crypto, &issuer, &m->request, err);
	struct ca_request root = { .common_name = str_fmt(&m->mem, "%.*s Root CA", STR_FMT(p->name)),
				   .organization = p->name,
				   .key = m->root_key,
				   .not_before = m->now_s - BACKDATE_S,
				   .not_after = m->now_s + p->root_days * DAY_S,
				   .path_len = -1 };
	TRY(ca_make_root(m->crypto, &root, &rng_system, &m->root, err));
	return ca_make_intermediate(m->crypto, &issuer, m->root, m->root_key, &rng_system, &m->issuer, err);
}

static fallible sign_tls(struct maker *m, const struct issuer *issuer, struct buf *ret_der, struct err *err)
{
	const struct conf_list *hosts = &m->plan->tls_names;
	struct str *names = ARENA_ARRAY(&m->mem, struct str, hosts->n + 1);
	struct addr *addrs = ARENA_ARRAY(&m->mem, struct addr, hosts->n + 1);
	struct cert_request r = { .names = names, .addrs = addrs, .own = true, .key = m->tls_key };
	for (size_t i = 0; i < hosts->n; i++) {
		if (FAILED(addr_read(hosts->v[i], &addrs[r.addr_count], NULL)))
			names[r.name_count++] = hosts->v[i];
		else
			r.addr_count++;
	}
	r.serial = serial_new(1, &rng_system);
	r.not_before = m->now_s - BACKDATE_S;
	r.not_after = r.not_before + TLS_DAYS * DAY_S - 1;
	if (r.not_after > cert_get_not_after(m->issuer))
		r.not_after = cert_get_not_after(m->issuer);
	const struct str policies[] = { STR(POLICY_DV) };
	const struct cert_template t = { .ekus = EKU_SERVER,
					 .policies = policies,
					 .policy_count = ARRAY_LEN(policies) };
	AUTO(buf_done) struct buf tbs = BUF_MAX(CERT_DER_MAX);
	AUTO(buf_done) struct buf trial = BUF_MAX(CERT_DER_MAX);
	TRY(cert_build_tbs(issuer, &t, &r, &tbs, err));
	TRY(cert_with_placeholder(issuer, buf_str(&tbs), &trial, err));
	TRY(cert_lint(issuer, &t, &r, buf_str(&trial), err));
	return cert_sign_tbs(m->crypto, issuer, buf_str(&tbs), ret_der, err);
}

static void issuer_auto(struct issuer **i)
{
	issuer_free(*i);
}

static fallible make_tls(struct maker *m, struct buf *ret_pem, struct err *err)
{
	AUTO(issuer_auto) struct issuer *issuer = NULL;
	AUTO(buf_done) struct buf der = BUF_MAX(CERT_DER_MAX);
	struct cert *chain[] = { m->issuer, m->root };
	TRY(issuer_new(m->crypto, chain, ARRAY_LEN(chain), m->issuer_key, &issuer, err));
	TRY(sign_tls(m, issuer, &der, err));
	TRY(der_add_pem(buf_str(&der), ret_pem, err));
	return cert_add_pem(m->issuer, ret_pem, err);
}

/* --- files --- */

static fallible write_cert(struct maker *m, const char *name, const struct cert *cert, struct err *err)
{
	AUTO(buf_done) struct buf pem = BUF_MAX(PEM_MAX);
	TRY(cert_add_pem(cert, &pem, err));
	return file_write_new(staged(m, name), buf_str(&pem), 0644, err);
}

static fallible write_root_key(struct maker *m, struct err *err)
{
	const struct init_plan *p = m->plan;
	switch (p->root_mode) {
	case INIT_ROOT_ENCRYPTED:
		return key_write_file(m->root_key, staged(m, "root/root.key"), &p->passphrase, err);
	case INIT_ROOT_PLAIN:
		return key_write_file(m->root_key, staged(m, "root/root.key"), NULL, err);
	case INIT_ROOT_EXPORTED:
		TRY(key_write_file(m->root_key, p->root_export, NULL, err));
		m->exported = true;
		return OK;
	case INIT_ROOT_EXTERNAL:
		break;
	}
	FAIL(err, ERR_INTERNAL, "no place for the root's key");
}

static fallible write_perspective(struct maker *m, struct err *err)
{
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096);
	TRY(key_write_file(m->perspective_key, staged(m, "perspectives/local.key"), NULL, err));
	TRY(jwk_write(m->perspective_key, &jwk, err));
	TRY(buf_add_char(&jwk, '\n', err));
	return file_write_new(staged(m, "perspectives/local.jwk"), buf_str(&jwk), 0644, err);
}

/* The rest comes with the certificate: the signer makes the API's own. */
static fallible write_request(struct maker *m, struct err *err)
{
	return authority_write_pem(staged(m, "issuer/issuer.csr"), "CERTIFICATE REQUEST", buf_str(&m->request), err);
}

static fallible write_certificates(struct maker *m, struct str tls_pem, struct err *err)
{
	TRY(write_cert(m, "root/root.pem", m->root, err));
	TRY(write_root_key(m, err));
	TRY(write_cert(m, "issuer/issuer.pem", m->issuer, err));
	TRY(file_write_new(staged(m, "tls/api.pem"), tls_pem, 0644, err));
	return key_write_file(m->tls_key, staged(m, "tls/api.key"), NULL, err);
}

static fallible write_all(struct maker *m, struct str tls_pem, struct err *err)
{
	if (m->keystore == NULL)
		TRY(key_write_file(m->issuer_key, staged(m, "issuer/issuer.key"), NULL, err));
	if (m->plan->root_mode == INIT_ROOT_EXTERNAL)
		TRY(write_request(m, err));
	else
		TRY(write_certificates(m, tls_pem, err));
	TRY(write_perspective(m, err));
	TRY(seal_key_make(staged(m, "store/secret.key"), &rng_system, err)); /* store.secret-key's default */
	return file_write_new(staged(m, "cairn.conf"), buf_str(&m->plan->conf_text), 0600, err);
}

static fallible show_fingerprint(const struct maker *m, struct init_result *ret, struct err *err)
{
	struct sha256 hash;
	TRY(cert_fingerprint(m->crypto, m->root, &hash, err));
	for (size_t i = 0; i < sizeof hash.b; i++)
		(void)snprintf(ret->root_fingerprint + i * 3, 4, "%02X%s", hash.b[i], i + 1 < sizeof hash.b ? ":" : "");
	return OK;
}

static fallible make(struct maker *m, struct init_result *ret, struct err *err)
{
	AUTO(buf_done) struct buf tls_pem = BUF_MAX(PEM_MAX);
	TRY(crypto_new(&m->crypto, err));
	TRY(make_keys(m, err));
	TRY(make_authorities(m, err));
	if (m->plan->root_mode != INIT_ROOT_EXTERNAL) {
		TRY(make_tls(m, &tls_pem, err));
		TRY(show_fingerprint(m, ret, err));
	}
	TRY(stage_open(m,
		       err)); /* everything that can be wrong with the request was found before the disk is touched */
	TRY(write_all(m, buf_str(&tls_pem), err));
	return stage_publish(m, err);
}

fallible init_make(const struct init_plan *plan, struct init_result *ret, struct err *err)
{
	struct maker m = { .plan = plan, .request = BUF_MAX(CSR_DER_MAX), .now_s = clock_now_ms(&clock_system) / 1000 };
	struct rc rc = make(&m, ret, err);
	if (FAILED(rc))
		stage_remove(&m);
	key_free(m.root_key);
	key_free(m.issuer_key);
	if (FAILED(rc) && m.keystore != NULL)
		keystore_unmake(m.keystore);
	keystore_free(m.keystore);
	key_free(m.tls_key);
	key_free(m.perspective_key);
	cert_free(m.root);
	cert_free(m.issuer);
	buf_done(&m.request);
	crypto_free(m.crypto);
	arena_done(&m.mem);
	return rc;
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn_issuer.c: `cairn issuer`: issuing CAs beside the first one. Keys and certificates are files below issuer/; which realm
 * is issued by whom stands in cairn.conf, where a command changes the one line that it is about and nothing else.
 */
#include "cmd/authority.h"
#include "cmd/cmd.h"

#include "model/model.h"
#include "sign/sign.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define DAY_S ((int64_t)86400)
#define CONF_MAX (1024 * 1024)
#define PERMITS_MAX 64
#define ISSUERS_MAX 8 /* of a realm */

static const char help[] =
	"usage: cairn issuer list [-c FILE]\n"
	"       cairn issuer add NAME (--root-key FILE [--root FILE] | --external) [--key KIND] [--name TEXT] [--days "
	"N]\n"
	"                        [--permit DOMAIN|RANGE]... [--use USES] [--crl-url URL] [--aia-url URL]\n"
	"                        [--pkcs11 URI [--pin-file FILE]] [-c FILE]\n"
	"       cairn issuer certificate NAME FILE [--pkcs11 URI [--pin-file FILE]] [-c FILE]\n"
	"       cairn issuer activate NAME [--realm REALM] [-c FILE]\n"
	"       cairn issuer retire NAME [-c FILE]\n"
	"\n"
	"Issuing CAs: several at once, such as one with an ECDSA key and one with an RSA key, or the next one beside "
	"the one\n"
	"that ends. Lines of cairn.conf are changed one at a time; the rest stays as you wrote it.\n"
	"\n"
	"  list                   every issuer, its key, its end, and the realms that it issues for\n"
	"  add                    makes a key and, with the root's key at hand, the certificate\n"
	"      --root-key FILE        the root's key; --passphrase-file FILE when it is encrypted and nobody is to be "
	"asked\n"
	"      --root FILE            the root's certificate (default: root/root.pem of the CA)\n"
	"      --external             the root is elsewhere: writes issuer/NAME.csr for it\n"
	"      --pkcs11 URI           makes the key in a token: "
	"\"pkcs11:token=NAME;object=NAME?module-path=/PATH.so\"\n"
	"      --pin-file FILE        with the token's PIN\n"
	"      --key KIND             p256 (default), p384, rsa2048, rsa3072, rsa4096\n"
	"      --name TEXT            its common name (default: the root's organisation, \"Issuing CA\" and NAME)\n"
	"      --days N               how long it is valid (default: 1825, never longer than the root)\n"
	"      --permit DOMAIN|RANGE  what it may issue for (may be repeated; default: anything)\n"
	"      --use USE[,USE...]     what its certificates may be for: server-auth, client-auth, code-signing,\n"
	"                             email-protection (default: server-auth,client-auth)\n"
	"      --crl-url, --aia-url URL  http URLs in it, of the root's list and of the root's certificate\n"
	"  certificate            takes the certificate that an external root made, or made anew, with those above it, "
	"leaf\n"
	"                         first: it must go with the key (in a token: --pkcs11 and --pin-file as with add)\n"
	"  activate               lets it issue for a realm, in place of the issuer there whose key is of its kind "
	"(RSA or\n"
	"                         ECDSA): clients get the issuer of their own key's kind. Others stay\n"
	"      --realm REALM          (default: default)\n"
	"  retire                 it issues no more for any realm; its certificates stay valid, and it can be revoked "
	"with\n"
	"\n"
	"  -c, --config FILE      default: $CAIRN_CONF, ./cairn.conf, /etc/cairn/cairn.conf\n"
	"  -h, --help             this text\n"
	"\n"
	"Exit status: 0 done, 1 failed and said why, 2 called wrongly.\n";

enum flag {
	FLAG_ROOT = 256,
	FLAG_ROOT_KEY,
	FLAG_PASSPHRASE,
	FLAG_EXTERNAL,
	FLAG_KEY,
	FLAG_NAME,
	FLAG_DAYS,
	FLAG_PERMIT,
	FLAG_USE,
	FLAG_CRL,
	FLAG_AIA,
	FLAG_REALM,
	FLAG_PKCS11,
	FLAG_PIN,
};

static const struct option options[] = { { "root", required_argument, NULL, FLAG_ROOT },
					 { "root-key", required_argument, NULL, FLAG_ROOT_KEY },
					 { "passphrase-file", required_argument, NULL, FLAG_PASSPHRASE },
					 { "external", no_argument, NULL, FLAG_EXTERNAL },
					 { "key", required_argument, NULL, FLAG_KEY },
					 { "name", required_argument, NULL, FLAG_NAME },
					 { "days", required_argument, NULL, FLAG_DAYS },
					 { "permit", required_argument, NULL, FLAG_PERMIT },
					 { "use", required_argument, NULL, FLAG_USE },
					 { "crl-url", required_argument, NULL, FLAG_CRL },
					 { "aia-url", required_argument, NULL, FLAG_AIA },
					 { "realm", required_argument, NULL, FLAG_REALM },
					 { "pkcs11", required_argument, NULL, FLAG_PKCS11 },
					 { "pin-file", required_argument, NULL, FLAG_PIN },
					 { "config", required_argument, NULL, 'c' },
					 { "help", no_argument, NULL, 'h' },
					 { NULL, 0, NULL, 0 } };

struct given {
	const char *conf, *root, *root_key, *passphrase, *file, *token, *pin_file;
	struct str issuer, key, name, crl_url, aia_url, realm, permit_texts[PERMITS_MAX];
	struct conf_list permits;
	unsigned uses; /* EKU_*; 0: the default */
	uint64_t days;
	bool external;
};

struct work {
	const struct given *g;
	struct arena mem;
	struct conf *conf;
	struct crypto *crypto;
	struct keystore *keystore; /* NULL: keys are files */
	struct buf text;           /* of cairn.conf, as it will be */
	bool changed;
};

static void work_done(struct work *w)
{
	keystore_free(w->keystore);
	conf_free(w->conf);
	crypto_free(w->crypto);
	buf_done(&w->text);
	arena_done(&w->mem);
}

/* --- cairn.conf -----------------------------------------------------------------------------------------------------*/
static fallible work_open(struct work *w, struct err *err)
{
	TRY(crypto_new(&w->crypto, err));
	TRY(conf_read(cmd_conf_path(w->g->conf), conf_env_system, NULL, &w->conf, err));
	return file_read(str_dupz_raw(&w->mem, w->conf->file), CONF_MAX, &w->text, err);
}

static fallible set(struct work *w, struct str key, struct str value, struct err *err)
{
	AUTO(buf_done) struct buf next = BUF_MAX(CONF_MAX);
	TRY(conf_edit(buf_str(&w->text), w->conf->name, key, value, &next, err));
	buf_reset(&w->text);
	TRY(buf_add(&w->text, buf_str(&next), err));
	w->changed = true;
	(void)printf("cairn.conf: %.*s: %.*s\n", STR_FMT(key), STR_FMT(value));
	return OK;
}

static fallible conf_save(struct work *w, struct err *err)
{
	struct stat st;
	const char *path = str_dupz_raw(&w->mem, w->conf->file);
	if (!w->changed)
		return OK;
	if (stat(path, &st) != 0)
		FAIL(err, ERR_IO, "%s: %s", path, strerrordesc_np(errno));
	TRY(file_write_atomic(path, buf_str(&w->text), st.st_mode & 0777, err));
	if (st.st_uid != geteuid() && chown(path, st.st_uid, st.st_gid) != 0)
		FAIL(err, ERR_IO, "%s: giving it back to its owner: %s", path, strerrordesc_np(errno));
	return OK;
}

static struct str list_text(struct arena *mem, const struct str *v, size_t n)
{
	struct str all = STR("[");
	for (size_t i = 0; i < n; i++)
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(v[i]));
	return str_fmt(mem, "%.*s]", STR_FMT(all));
}

/* --- files ----------------------------------------------------------------------------------------------------------*/
static const char *issuer_file(struct work *w, const char *tail)
{
	return conf_path(w->conf, &w->mem, str_fmt(&w->mem, "issuer/%.*s%s", STR_FMT(w->g->issuer), tail));
}

static const char *certificate_path(struct work *w)
{
	const struct conf_issuer *i = conf_issuer(w->conf, w->g->issuer);
	return i == NULL ? issuer_file(w, ".pem") : conf_path(w->conf, &w->mem, i->certificate);
}

/* Where the request for it lies: beside it. */
static const char *request_path(struct work *w)
{
	struct str path = str_z(certificate_path(w));
	if (str_ends(path, STR(".pem")))
		path.n -= 4;
	return str_dupz_raw(&w->mem, str_fmt(&w->mem, "%.*s.csr", STR_FMT(path)));
}

/* --- add ------------------------------------------------------------------------------------------------------------*/
static fallible add_check(struct work *w, struct err *err)
{
	static const char *const tails[] = { ".pem", ".key", ".csr" };
	if (conf_issuer(w->conf, w->g->issuer) != NULL)
		FAIL(err, ERR_CONFIG, "cairn.conf has an issuer %.*s already; name another one", STR_FMT(w->g->issuer));
	for (size_t i = 0; i < ARRAY_LEN(tails); i++)
		if (access(issuer_file(w, tails[i]), F_OK) == 0)
			FAIL(err, ERR_CONFIG, "%s is there already; nothing is overwritten: name another issuer",
			     issuer_file(w, tails[i]));
	return OK;
}

static fallible add_request(struct work *w, const struct ca_request *r, struct err *err)
{
	AUTO(buf_done) struct buf der = BUF_MAX(CSR_DER_MAX);
	const char *path = issuer_file(w, ".csr");
	TRY(ca_make_csr(w->crypto, r, &der, err));
	TRY(authority_write_pem(path, "CERTIFICATE REQUEST", buf_str(&der), err));
	(void)printf("request      %s\n\nHave your root sign it, for example with `cairn root sign`, then:\n  cairn "
		     "issuer certificate "
		     "%.*s FILE\n",
		     path, STR_FMT(w->g->issuer));
	return OK;
}

static fallible settings_add(struct work *w, struct err *err)
{
	struct str name = w->g->issuer;
	TRY(set(w, str_fmt(&w->mem, "issuer.%.*s.certificate", STR_FMT(name)),
		str_fmt(&w->mem, "issuer/%.*s.pem", STR_FMT(name)), err));
	TRY(set(w, str_fmt(&w->mem, "issuer.%.*s.key", STR_FMT(name)),
		w->g->token != NULL ? str_fmt(&w->mem, "\"%s\"", w->g->token)
				    : str_fmt(&w->mem, "issuer/%.*s.key", STR_FMT(name)),
		err));
	if (w->g->pin_file != NULL)
		TRY(set(w, str_fmt(&w->mem, "issuer.%.*s.pin-file", STR_FMT(name)),
			str_fmt(&w->mem, "\"%s\"", w->g->pin_file), err));
	return conf_save(w, err);
}

static void tell_next(const struct work *w)
{
	(void)printf("\nNext: cairn issuer activate %.*s, then restart cairn\n", STR_FMT(w->g->issuer));
}

static fallible add_signed(struct work *w, struct ca_request *r, const struct authority_root *root, struct err *err)
{
	AUTO(cert_auto) struct cert *made = NULL;
	const char *path = issuer_file(w, ".pem");
	TRY(ca_make_intermediate(w->crypto, r, root->cert, root->key, &rng_system, &made, err));
	TRY(authority_write_pem(path, "CERTIFICATE", cert_get_der(made), err));
	TRY(cmd_give_to_owner(path, err));
	(void)printf("certificate  %s\n", path);
	TRY(settings_add(w, err));
	tell_next(w);
	return OK;
}

static const char *root_certificate(struct work *w)
{
	return w->g->root != NULL ? w->g->root : conf_path(w->conf, &w->mem, STR("root/root.pem"));
}

/* Its own root may not be at hand; then the organisation is that of the first issuer. */
static fallible organization_of(struct work *w, const struct authority_root *root, struct str *ret, struct err *err)
{
	AUTO(authority_chain_done) struct authority_chain chain = { .n = 0 };
	struct str organization, name;
	const struct cert *from = root->cert;
	if (from == NULL) {
		const char *path = conf_path(w->conf, &w->mem, w->conf->issuers[0].certificate);
		if (FAILED(authority_chain_read(path, &chain, NULL)))
			return OK;
		from = chain.v[0];
	}
	TRY(ca_get_names(from, &organization, &name, err));
	*ret = str_dup(&w->mem, organization);
	return OK;
}

#define TOKEN_MAKE_MS 300000 /* a smart card takes minutes for an RSA key */

static void token_hung(void *ctx, const char *call)
{
	(void)ctx;
	(void)fprintf(
		stderr,
		"cairn issuer: the token's module hangs in %s; nothing was written, but look whether the token has "
		"a new key\n",
		call);
	_exit(1);
}

static fallible key_make(struct work *w, const struct authority_key *kind, struct key **ret, struct err *err)
{
	const struct given *g = w->g;
	const struct keystore_conf conf = { .crypto = w->crypto, .hung = token_hung };
	const struct keystore_key where = {
		.where = g->token, .pin_file = g->pin_file, .sessions = 1, .timeout_ms = TOKEN_MAKE_MS
	};
	if (g->token != NULL) {
		TRY(keystore_new(&conf, &w->keystore, err));
		return keystore_make(w->keystore, &where, kind->kind, kind->rsa_bits, ret, err);
	}
	const char *path = issuer_file(w, ".key");
	TRY(key_generate(kind->kind, kind->rsa_bits, ret, err));
	TRY(key_write_file(*ret, path, NULL, err));
	TRY(cmd_give_to_owner(path, err));
	(void)printf("key          %s\n", path);
	return OK;
}

static fallible add_make(struct work *w, const struct authority_root *root, struct err *err)
{
	AUTO(key_auto) struct key *key = NULL;
	const struct given *g = w->g;
	struct authority_key kind;
	struct ca_request r = { .path_len = 0, .ekus = g->uses, .crl_url = g->crl_url, .aia_url = g->aia_url };
	int64_t now = clock_now_ms(&clock_system) / 1000;
	TRY(authority_key_read("key", g->key.n > 0 ? g->key : STR("p256"), &kind, err));
	TRY(authority_permits_read(&w->mem, &g->permits, &r, err));
	TRY(organization_of(w, root, &r.organization, err));
	r.common_name = g->name.n > 0 ? g->name
				      : str_fmt(&w->mem, "%.*s%sIssuing CA %.*s", STR_FMT(r.organization),
						r.organization.n > 0 ? " " : "", STR_FMT(g->issuer));
	r.not_before = now - AUTHORITY_BACKDATE_S;
	r.not_after = now + (int64_t)(g->days == 0 ? 1825 : g->days) * DAY_S;
	if (root->cert != NULL && r.not_after > cert_get_not_after(root->cert))
		r.not_after = cert_get_not_after(root->cert);
	TRY(key_make(w, &kind, &key, err));
	r.key = key;
	struct rc rc = g->external ? add_request(w, &r, err) : add_signed(w, &r, root, err);
	if (FAILED(rc) && w->keystore != NULL)
		keystore_unmake(w->keystore);
	if (!FAILED(rc) && g->token != NULL)
		(void)printf(
			"Tokens may need signer.sandbox-network and sandbox-paths in cairn.conf: see docs/hsm.md\n");
	return rc;
}

static fallible issuer_add(struct work *w, struct err *err)
{
	AUTO(authority_root_done) struct authority_root root = { 0 };
	TRY(add_check(w, err));
	if (!w->g->external)
		TRY(authority_root_open(root_certificate(w), w->g->root_key, w->g->passphrase, &root, err));
	return add_make(w, &root, err);
}

/* --- certificate ----------------------------------------------------------------------------------------------------*/
/* The public half of the issuer's key: of the request that was made with it, or of the key file. */
static fallible issuer_public(struct work *w, struct key **ret, struct err *err)
{
	AUTO(buf_done) struct buf file = BUF_MAX(AUTHORITY_PEM_MAX);
	const struct conf_issuer *i = conf_issuer(w->conf, w->g->issuer);
	const char *path = request_path(w);
	struct str der;
	if (access(path, F_OK) == 0) {
		TRY(file_read(path, AUTHORITY_PEM_MAX, &file, err));
		TRY(pem_read(&w->mem, "CERTIFICATE REQUEST", buf_str(&file), &der, err));
		return csr_read_key(w->crypto, der, ret, err);
	}
	if (i == NULL)
		FAIL(err, ERR_CONFIG, "there is no issuer %.*s, and no request %s; `cairn issuer add` makes one",
		     STR_FMT(w->g->issuer), path);
	if (keystore_is_token(i->key))
		FAIL(err, ERR_CONFIG,
		     "the key of issuer %.*s is in a token, and its request %s is not there any more: put it back, it "
		     "says "
		     "which key the token has",
		     STR_FMT(w->g->issuer), path);
	return key_read_file(conf_path(w->conf, &w->mem, i->key), NULL, ret, err);
}

static fallible chain_fits(struct work *w, const struct authority_chain *chain, struct err *err)
{
	AUTO(key_auto) struct key *want = NULL;
	AUTO(key_auto) struct key *found = NULL;
	struct issuer *whole = NULL;
	const struct cert *cert = chain->v[0];
	int64_t now = clock_now_ms(&clock_system) / 1000;
	TRY(issuer_public(w, &want, err));
	TRY(cert_get_key(cert, &found, err));
	if (!key_public_eq(want, found))
		FAIL(err, ERR_CONFIG, "%s certifies another key than issuer %.*s has; it must be made of %s",
		     w->g->file, STR_FMT(w->g->issuer), request_path(w));
	struct rc rc = issuer_new(w->crypto, chain->v, chain->n, NULL, &whole, err);
	issuer_free(whole);
	if (FAILED(rc))
		err_prefix(err, "%s: ", w->g->file);
	TRY(rc);
	if (cert_get_not_after(cert) <= now || cert_get_not_before(cert) > now)
		FAIL(err, ERR_CONFIG, "%s is not valid now: look at its dates and at this machine's clock", w->g->file);
	for (size_t i = 1; i < chain->n; i++)
		if (cert_get_not_after(cert) > cert_get_not_after(chain->v[i]))
			FAIL(err, ERR_CONFIG, "%s ends later than the CA above it in the chain", w->g->file);
	return OK;
}

/* What was in place stays beside it. */
static fallible certificate_put(struct work *w, struct str pem, struct err *err)
{
	const char *path = certificate_path(w);
	if (access(path, F_OK) == 0) {
		const char *kept = str_dupz_raw(
			&w->mem, str_fmt(&w->mem, "%s.before-%" PRId64, path, clock_now_ms(&clock_system) / 1000));
		if (link(path, kept) != 0)
			FAIL(err, ERR_IO, "keeping %s as %s: %s", path, kept, strerrordesc_np(errno));
		(void)printf("the certificate that was there is kept as %s\n", kept);
	}
	TRY(file_write_atomic(path, pem, 0644, err));
	TRY(cmd_give_to_owner(path, err));
	(void)printf("certificate  %s\n", path);
	return OK;
}

static fallible issuer_certificate(struct work *w, struct err *err)
{
	AUTO(authority_chain_done) struct authority_chain chain = { .n = 0 };
	AUTO(buf_done) struct buf pem = BUF_MAX(AUTHORITY_PEM_MAX);
	TRY(authority_chain_read(w->g->file, &chain, err));
	TRY(chain_fits(w, &chain, err));
	for (size_t i = 0; i < chain.n; i++)
		TRY(cert_add_pem(chain.v[i], &pem, err));
	TRY(certificate_put(w, buf_str(&pem), err));
	if (conf_issuer(w->conf, w->g->issuer) == NULL) {
		TRY(settings_add(w, err));
		tell_next(w);
		return OK;
	}
	(void)printf("\nNext: restart cairn\n");
	return OK;
}

/* --- activate, retire -----------------------------------------------------------------------------------------------*/
static fallible issuer_is_rsa(struct work *w, struct str name, bool *ret, struct err *err)
{
	AUTO(authority_chain_done) struct authority_chain chain = { .n = 0 };
	AUTO(key_auto) struct key *key = NULL;
	const struct conf_issuer *i = conf_issuer(w->conf, name);
	if (i == NULL)
		FAIL(err, ERR_CONFIG, "cairn.conf has no issuer %.*s; `cairn issuer list` shows them", STR_FMT(name));
	TRY(authority_chain_read(conf_path(w->conf, &w->mem, i->certificate), &chain, err));
	TRY(cert_get_key(chain.v[0], &key, err));
	*ret = key_get_kind(key) == KEY_RSA;
	return OK;
}

static fallible realm_set(struct work *w, const struct conf_realm *r, const struct str *names, size_t n,
			  struct err *err)
{
	return set(w, str_fmt(&w->mem, "realm.%.*s.issuers", STR_FMT(r->name)), list_text(&w->mem, names, n), err);
}

static fallible issuer_activate(struct work *w, struct err *err)
{
	const struct conf_realm *r = conf_realm(w->conf, w->g->realm.n > 0 ? w->g->realm : STR("default"));
	struct str names[ISSUERS_MAX + 1];
	size_t n = 0;
	bool rsa, other, placed = false;
	TRY(issuer_is_rsa(w, w->g->issuer, &rsa, err));
	if (r == NULL)
		FAIL(err, ERR_CONFIG, "cairn.conf has no realm %.*s", STR_FMT(w->g->realm));
	for (size_t i = 0; i < r->issuers.n && n < ISSUERS_MAX; i++) {
		if (str_eq(r->issuers.v[i], w->g->issuer))
			other = rsa;
		else
			TRY(issuer_is_rsa(w, r->issuers.v[i], &other, err));
		if (other == rsa && placed)
			continue;
		names[n++] = other == rsa ? w->g->issuer : r->issuers.v[i];
		placed = placed || other == rsa;
	}
	if (!placed)
		names[n++] = w->g->issuer;
	TRY(realm_set(w, r, names, n, err));
	TRY(conf_save(w, err));
	(void)printf("\nNext: restart cairn; a reload does when it has run with this issuer in cairn.conf before\n");
	return OK;
}

static fallible issuer_retire(struct work *w, struct err *err)
{
	if (conf_issuer(w->conf, w->g->issuer) == NULL)
		FAIL(err, ERR_CONFIG, "cairn.conf has no issuer %.*s; `cairn issuer list` shows them",
		     STR_FMT(w->g->issuer));
	for (size_t k = 0; k < w->conf->realm_count; k++) {
		const struct conf_realm *r = &w->conf->realms[k];
		struct str names[ISSUERS_MAX];
		size_t n = 0;
		if (!conf_list_has(&r->issuers, w->g->issuer))
			continue;
		for (size_t i = 0; i < r->issuers.n && n < ISSUERS_MAX; i++)
			if (!str_eq(r->issuers.v[i], w->g->issuer))
				names[n++] = r->issuers.v[i];
		if (n == 0)
			FAIL(err, ERR_CONFIG,
			     "realm %.*s would have no issuer left; `cairn issuer activate` another one first",
			     STR_FMT(r->name));
		TRY(realm_set(w, r, names, n, err));
	}
	if (!w->changed) {
		(void)printf("issuer %.*s issues for no realm\n", STR_FMT(w->g->issuer));
		return OK;
	}
	TRY(conf_save(w, err));
	(void)printf("\nNext: reload cairn. Leave the issuer's entry and files where they are until the last of its "
		     "certificates has "
		     "ended\n");
	return OK;
}

/* --- list -----------------------------------------------------------------------------------------------------------*/
static struct str realms_of(struct work *w, struct str name)
{
	struct str all = STR_NONE;
	for (size_t i = 0; i < w->conf->realm_count; i++)
		if (conf_list_has(&w->conf->realms[i].issuers, name))
			all = str_fmt(&w->mem, "%.*s%s%.*s", STR_FMT(all), all.n > 0 ? ", " : "",
				      STR_FMT(w->conf->realms[i].name));
	return all.n > 0 ? all : STR("none");
}

static fallible issuer_list(struct work *w, struct err *err)
{
	for (size_t i = 0; i < w->conf->issuer_count; i++) {
		AUTO(authority_chain_done) struct authority_chain chain = { .n = 0 };
		AUTO(key_auto) struct key *key = NULL;
		const struct conf_issuer *ci = &w->conf->issuers[i];
		const char *path = conf_path(w->conf, &w->mem, ci->certificate);
		struct err why = { 0 };
		char until[TIME_TEXT_MAX];
		(void)printf("%.*s\n  certificate  %s\n", STR_FMT(ci->name), path);
		if (FAILED(authority_chain_read(path, &chain, &why))) {
			(void)printf("               %s\n", why.detail);
			continue;
		}
		TRY(cert_get_key(chain.v[0], &key, err));
		time_show(cert_get_not_after(chain.v[0]), until);
		(void)printf("  key          %s%s\n  ends         %s\n  realms       %.*s\n",
			     key_kind_name(key_get_kind(key)),
			     key_get_kind(key) != KEY_RSA ? ""
			     : key_get_bits(key) == 2048  ? " 2048"
			     : key_get_bits(key) == 3072  ? " 3072"
							  : " 4096",
			     until, STR_FMT(realms_of(w, ci->name)));
	}
	return OK;
}

/* --- the command line -----------------------------------------------------------------------------------------------*/
static const struct {
	const char *name;
	fallible (*run)(struct work *w, struct err *err);
	int operands; /* NAME, FILE */
} commands[] = {
	{ "list", issuer_list, 0 },         { "add", issuer_add, 1 },       { "certificate", issuer_certificate, 2 },
	{ "activate", issuer_activate, 1 }, { "retire", issuer_retire, 1 },
};

static fallible given_add(struct given *g, int o, const char *value, struct err *err)
{
	const struct {
		int flag;
		struct str *to;
	} texts[] = { { FLAG_KEY, &g->key },
		      { FLAG_NAME, &g->name },
		      { FLAG_REALM, &g->realm },
		      { FLAG_CRL, &g->crl_url },
		      { FLAG_AIA, &g->aia_url } };
	const struct {
		int flag;
		const char **to;
	} paths[] = { { 'c', &g->conf },
		      { FLAG_ROOT, &g->root },
		      { FLAG_ROOT_KEY, &g->root_key },
		      { FLAG_PASSPHRASE, &g->passphrase },
		      { FLAG_PKCS11, &g->token },
		      { FLAG_PIN, &g->pin_file } };
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (texts[i].flag == o)
			*texts[i].to = str_z(value);
	for (size_t i = 0; i < ARRAY_LEN(paths); i++)
		if (paths[i].flag == o)
			*paths[i].to = value;
	if ((o == FLAG_CRL || o == FLAG_AIA) && !str_starts(str_z(value), STR("http://")))
		FAIL(err, ERR_CONFIG, "found the URL \"%s\"; allowed: http://", value);
	if (o == FLAG_DAYS && (FAILED(str_u64(str_z(value), 36500, &g->days, NULL)) || g->days == 0))
		FAIL(err, ERR_CONFIG, "--days: found \"%s\"; allowed: a number from 1 to 36500", value);
	if (o == FLAG_PERMIT && g->permits.n == PERMITS_MAX)
		FAIL(err, ERR_CONFIG, "--permit: at most %d", PERMITS_MAX);
	if (o == FLAG_PERMIT) {
		g->permit_texts[g->permits.n++] = str_z(value);
		g->permits.v = g->permit_texts;
	}
	if (o == FLAG_USE)
		return authority_uses_read(str_z(value), &g->uses, err);
	g->external = g->external || o == FLAG_EXTERNAL;
	return OK;
}

static bool is_word(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
		if (!letter && (i == 0 || (c != '-' && c != '_')))
			return false;
	}
	return s.n > 0 && s.n <= ISSUER_NAME_MAX;
}

/* They go into cairn.conf between quotes. */
static bool is_quotable(const char *s)
{
	return s == NULL || (strchr(s, '"') == NULL && strchr(s, '\\') == NULL);
}

static fallible token_check(const struct given *g, bool may, struct err *err)
{
	if (g->pin_file != NULL && g->token == NULL)
		FAIL(err, ERR_CONFIG, "--pin-file goes with --pkcs11 only");
	if (g->token == NULL)
		return OK;
	if (!may)
		FAIL(err, ERR_CONFIG, "--pkcs11 is of add and certificate");
	if (!keystore_is_token(str_z(g->token)) || !is_quotable(g->token))
		FAIL(err, ERR_CONFIG,
		     "--pkcs11: found \"%s\"; allowed: pkcs11:token=NAME;object=NAME?module-path=/PATH.so", g->token);
	if (g->pin_file != NULL && (g->pin_file[0] != '/' || !is_quotable(g->pin_file)))
		FAIL(err, ERR_CONFIG, "--pin-file: found \"%s\"; allowed: an absolute path without quotes",
		     g->pin_file);
	const struct keystore_key where = { .where = g->token, .pin_file = g->pin_file };
	return keystore_check(&where, err);
}

static fallible given_check(const struct given *g, size_t command, struct err *err)
{
	const bool adds = commands[command].run == issuer_add;
	TRY(token_check(g, adds || commands[command].run == issuer_certificate, err));
	if (commands[command].operands > 0 && !is_word(g->issuer))
		FAIL(err, ERR_CONFIG, "found the issuer's name \"%.*s\"; allowed: letters, digits, - and _",
		     STR_FMT(g->issuer));
	if (adds && g->external == (g->root_key != NULL))
		FAIL(err, ERR_CONFIG,
		     "found %s; allowed: --root-key FILE, when the root's key is at hand, or --external",
		     g->external ? "both --root-key and --external" : "neither --root-key nor --external");
	if (!adds && (g->external || g->root_key != NULL || g->key.n > 0 || g->permits.n > 0))
		FAIL(err, ERR_CONFIG, "--root-key, --external, --key and --permit are of add");
	return OK;
}

static int run(const struct given *g, size_t command)
{
	AUTO(work_done) struct work w = { .g = g, .text = BUF_MAX(CONF_MAX) };
	struct err err = { 0 };
	if (FAILED(given_check(g, command, &err)))
		return cmd_usage("issuer", "%s", err.detail);
	if (FAILED(work_open(&w, &err)) || FAILED(commands[command].run(&w, &err)))
		return cmd_fail("issuer", &err);
	return cmd_flush("issuer");
}

int cmd_issuer(int argc, char **argv)
{
	struct given g = { .conf = NULL };
	struct err err = { 0 };
	for (int o; (o = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		if (o == 'h')
			return cmd_print(help);
		if (o == '?')
			return cmd_usage("issuer", "that is not an option");
		if (FAILED(given_add(&g, o, optarg, &err)))
			return cmd_usage("issuer", "%s", err.detail);
	}
	if (optind >= argc)
		return cmd_usage("issuer", "found no command; allowed: list, add, certificate, activate, retire");
	size_t command = 0;
	while (command < ARRAY_LEN(commands) && strcmp(commands[command].name, argv[optind]) != 0)
		command++;
	if (command == ARRAY_LEN(commands))
		return cmd_usage("issuer", "found command \"%s\"; allowed: list, add, certificate, activate, retire",
				 argv[optind]);
	char **operands = argv + optind + 1;
	if (argc - optind - 1 != commands[command].operands)
		return cmd_usage("issuer", "%s: found %d arguments; allowed: %d", commands[command].name,
				 argc - optind - 1, commands[command].operands);
	if (commands[command].operands > 0)
		g.issuer = str_z(operands[0]);
	if (commands[command].operands > 1)
		g.file = operands[1];
	(void)umask(077);
	return run(&g, command);
}

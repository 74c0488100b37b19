/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn_check_config.c: is the configuration good, what does it come to, and where does each value come from.
 */
#include "acme/acme.h"
#include "cmd/cmd.h"
#include "cmd/urls.h"
#include "crypto/crypto.h"
#include "pki/pki.h"
#include "sign/sign.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_MAX (4 * 1024 * 1024)

static const char help[] =
	"usage: cairn check-config [-c FILE] [--print]\n"
	"       cairn check-config --man\n"
	"\n"
	"Reads the configuration as the programs do and says what is wrong, with file, line and column. Prints \"FILE: "
	"ok\"\n"
	"when nothing is; warnings, on stderr, do not change that. It starts nothing and changes nothing.\n"
	"\n"
	"  -c, --config FILE  default: $CAIRN_CONF, ./cairn.conf, /etc/cairn/cairn.conf\n"
	"      --print        every effective setting and where it comes from, tab-separated\n"
	"      --man          the settings as cairn.conf(5) has them, in mdoc\n"
	"  -h, --help         this text\n"
	"\n"
	"Exit status: 0 good, 1 not good, 2 called wrongly.\n";

static int print_settings(const struct conf *c)
{
	for (size_t i = 0; i < c->setting_count; i++) {
		const struct conf_setting *s = &c->settings[i];
		(void)printf("%.*s\t%.*s\t", STR_FMT(s->key), STR_FMT(s->text));
		if (s->where.source == CONF_FROM_ENV)
			(void)printf("environment %s\n", s->where.env);
		else if (s->where.source == CONF_FROM_FILE)
			(void)printf("%.*s:%zu:%zu\n", STR_FMT(c->name), s->where.line, s->where.col);
		else
			(void)printf("default\n");
	}
	return cmd_flush("check-config");
}

/* A file that the configuration names: missing, or a key that others may read. */
static void check_file(const struct conf *c, const char *what, struct str path, bool secret)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const char *file = conf_path(c, &mem, path);
	struct stat st;
	if (stat(file, &st) != 0)
		(void)fprintf(stderr, "warning: %s: %s: %s\n", what, file, strerrordesc_np(errno));
	else if (secret && (st.st_mode & 077) != 0)
		(void)fprintf(stderr,
			      "warning: %s: %s has mode %04o: others may read the key; mend it with: chmod 600 %s\n",
			      what, file, (unsigned)(st.st_mode & 07777), file);
}

static bool is_there(const struct conf *c, struct str path)
{
	AUTO(arena_done) struct arena mem = { 0 };
	return access(conf_path(c, &mem, path), F_OK) == 0;
}

/* What only the signer can tell, it tells at its start: whether the token has the key, and the key is the certificate's. */
static void check_issuer_key(const struct conf *c, const struct conf_issuer *i)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	const struct keystore_key where = keystore_key_of(c, i, &mem);
	if (!keystore_is_token(i->key))
		check_file(c, "issuer key", i->key, true);
	else if (FAILED(keystore_check(&where, &err)))
		(void)fprintf(stderr, "warning: issuer.%.*s.key: %s\n", STR_FMT(i->name), err.detail);
	if (i->pin_file.n > 0)
		check_file(c, "issuer's pin-file", i->pin_file, true);
	if (i->passphrase_file.n > 0)
		check_file(c, "issuer's passphrase-file", i->passphrase_file, true);
}

static void check_files(const struct conf *c)
{
	check_file(c, "api.tls-certificate", c->api.tls_certificate, false);
	check_file(c, "api.tls-key", c->api.tls_key, true);
	if (is_there(c, c->store.secret_key)) /* cairn-api makes it, when it may */
		check_file(c, "store.secret-key", c->store.secret_key, true);
	for (size_t i = 0; i < c->issuer_count; i++) {
		check_file(c, "issuer certificate", c->issuers[i].certificate, false);
		check_issuer_key(c, &c->issuers[i]);
		for (size_t n = 0; n < c->issuers[i].alternates.n; n++)
			check_file(c, "issuer's alternate chain", c->issuers[i].alternates.v[n], false);
	}
	for (size_t i = 0; i < c->operator_count; i++)
		check_file(c, "operator's public key", c->operators[i].public_key, false);
	for (size_t i = 0; i < c->perspective_count; i++) {
		check_file(c, "perspective's public key", c->perspectives[i].public_key, false);
		/* The private one belongs on the validator's machine, which may be another. */
		if (str_eq(c->perspectives[i].name, c->validator.perspective))
			check_file(c, "perspective's key", c->perspectives[i].key, true);
	}
}

/* What the API would refuse to start with is an error; a file that is missing has had its warning, and may only mean
 * that the API runs on another machine. */
static fallible check_alternates(const struct conf *c, struct err *err)
{
	for (size_t i = 0; i < c->issuer_count; i++) {
		const struct conf_issuer *issuer = &c->issuers[i];
		if (issuer->alternates.n > 0 && !is_there(c, issuer->certificate))
			return OK;
		for (size_t n = 0; n < issuer->alternates.n; n++)
			if (!is_there(c, issuer->alternates.v[n]))
				return OK;
	}
	return acme_check_alternates(c, err);
}

/* A list that API and signer cannot read stops them, both at a start and at a reload. */
static fallible check_key_lists(const struct conf *c, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct key_list *l = key_list_new();
	struct rc rc = OK;
	if (c->keys.blocked.n > 0) {
		rc = key_list_add_blocked(l, conf_path(c, &mem, c->keys.blocked), err);
		if (FAILED(rc))
			err_prefix(err, "keys.blocked: ");
	}
	for (size_t i = 0; i < c->keys.weak.n && !FAILED(rc); i++) {
		rc = key_list_add_weak(l, conf_path(c, &mem, c->keys.weak.v[i]), err);
		if (FAILED(rc))
			err_prefix(err, "keys.weak: ");
	}
	key_list_free(l);
	return rc;
}

/* A name pattern's base; empty for "*". */
static struct str pattern_base(struct str pattern)
{
	if (str_eq(pattern, STR("*")))
		return STR_NONE;
	(void)str_skip(&pattern, STR("*."));
	return pattern;
}

static void warn_outside(const struct conf_realm *r, const char *setting, struct str what, const struct conf_issuer *i)
{
	(void)fprintf(stderr,
		      "warning: realm.%.*s.%s: %.*s: certificates would not be valid: the name constraints of "
		      "issuer.%.*s.certificate do not permit all of it\n",
		      STR_FMT(r->name), setting, STR_FMT(what), STR_FMT(i->name));
}

static void check_realm_uses(const struct conf *c, const struct conf_realm *r, const struct conf_issuer *i,
			     const struct cert *cert)
{
	for (size_t n = 0; n < r->profiles.n; n++) {
		struct cert_template t = sign_template(conf_profile(c, r->profiles.v[n]), i);
		if (!cert_permits_uses(cert, t.ekus))
			(void)fprintf(
				stderr,
				"warning: realm.%.*s.profiles: %.*s: nothing will be issued: the extended key usage of "
				"issuer.%.*s.certificate does not permit its use\n",
				STR_FMT(r->name), STR_FMT(r->profiles.v[n]), STR_FMT(i->name));
	}
}

static void check_realm_constraints(const struct conf_realm *r, const struct conf_issuer *i, const struct cert *cert)
{
	for (size_t n = 0; n < r->names.n; n++)
		if (!cert_permits_name(cert, pattern_base(r->names.v[n])))
			warn_outside(r, "names", r->names.v[n], i);
	for (size_t n = 0; n < r->addresses.n; n++) {
		struct addr_range range;
		if (!FAILED(addr_range_read(r->addresses.v[n], &range, NULL)) && !cert_permits_range(cert, &range))
			warn_outside(r, "addresses", r->addresses.v[n], i);
	}
}

#define CHAIN_MAX 16

/* Every CA of the chain has its say; what each realm may issue is looked at under its own issuer. */
static void check_constraints(const struct conf *c)
{
	AUTO(arena_done) struct arena mem = { 0 };
	for (size_t n = 0; n < c->issuer_count; n++) {
		struct cert *chain[CHAIN_MAX];
		size_t count = 0;
		const struct conf_issuer *i = &c->issuers[n];
		if (FAILED(cert_read_pem_file(conf_path(c, &mem, i->certificate), chain, CHAIN_MAX, &count, NULL)))
			continue; /* missing or broken: said elsewhere */
		for (size_t at = 0; at < count; at++) {
			for (size_t k = 0; k < c->realm_count; k++)
				if (conf_list_has(&c->realms[k].issuers, i->name)) {
					check_realm_constraints(&c->realms[k], i, chain[at]);
					check_realm_uses(c, &c->realms[k], i, chain[at]);
				}
			cert_free(chain[at]);
		}
	}
}

/* What the API would refuse to start with; a file that only the API's machine has is a warning. */
static fallible check_store(const struct conf *c, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct store_where where;
	TRY(store_where_of(c, &mem, &where, err));
	if (where.password_file != NULL && where.url.n > 0)
		check_file(c, "store.password-file", c->store.password_file, true);
	return store_where_check(&where, err);
}

static fallible print_warnings(const struct conf *c, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(TEXT_MAX);
	TRY(conf_warnings(c, &text, err));
	struct str rest = buf_str(&text);
	while (rest.n > 0) {
		size_t end = str_find(rest, '\n', 0);
		(void)fprintf(stderr, "warning: %.*s\n", STR_FMT(str_sub(rest, 0, end)));
		rest = str_sub(rest, end + 1, rest.n);
	}
	check_files(c);
	check_constraints(c);
	TRY(check_store(c, err));
	TRY(check_key_lists(c, err));
	return check_alternates(c, err);
}

static int print_man(void)
{
	AUTO(buf_done) struct buf text = BUF_MAX(TEXT_MAX);
	struct err err = { 0 };
	if (FAILED(conf_write_man(&text, &err)))
		return cmd_fail("check-config", &err);
	(void)fwrite(text.p, 1, text.n, stdout);
	return cmd_flush("check-config");
}

static int check(const char *flag, bool print)
{
	struct err err = { 0 };
	struct conf *c = NULL;
	const char *path = cmd_conf_path(flag);
	if (FAILED(conf_read(path, conf_env_system, NULL, &c, &err)))
		return cmd_fail("check-config", &err);
	int code = CMD_OK;
	if (FAILED(print_warnings(c, &err)))
		code = cmd_fail("check-config", &err);
	else if (print)
		code = print_settings(c);
	else {
		(void)printf("%s: ok\n", path);
		code = cmd_flush("check-config");
	}
	conf_free(c);
	return code;
}

int cmd_check_config(int argc, char **argv)
{
	static const struct option options[] = { { "config", required_argument, NULL, 'c' },
						 { "print", no_argument, NULL, 'p' },
						 { "man", no_argument, NULL, 'm' },
						 { "help", no_argument, NULL, 'h' },
						 { NULL, 0, NULL, 0 } };
	const char *path = NULL;
	bool print = false;
	bool man = false;
	for (int o; (o = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		if (o == 'h')
			return cmd_print(help);
		if (o == 'c')
			path = optarg;
		else if (o == 'p')
			print = true;
		else if (o == 'm')
			man = true;
		else
			return cmd_usage("check-config", "that is not an option");
	}
	if (optind < argc)
		return cmd_usage("check-config", "found argument \"%s\"; allowed: options (a file goes behind -c)",
				 argv[optind]);
	return man ? print_man() : check(path, print);
}

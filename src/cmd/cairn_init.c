/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn_init.c: `cairn init`: flags to a plan. Everything the operator could have got wrong is found here, before a key
 * is made or a file is written.
 */
#include "cmd/init.h"

#include "cmd/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONF_MAX (256 * 1024)
#define NAME_LEN_MAX 48 /* with " Issuing CA 1" it must fit a common name of 64 */

static const char help[] =
	"usage: cairn init [--dir] DIR [OPTION...]\n"
	"\n"
	"Makes a new CA in DIR: a root, an intermediate that issues, the API's own certificate, a validator's key and "
	"a\n"
	"commented cairn.conf. DIR is new or empty; nothing is ever overwritten. The CA issues nothing until --allow "
	"or\n"
	"the configuration names what may be asked for.\n"
	"\n"
	"What it is\n"
	"      --name NAME                 the organisation in the CA's certificates (default: cairn)\n"
	"      --key KIND                  of the issuing key: p256 (default), p384, rsa2048, rsa3072, rsa4096\n"
	"      --root-key KIND             of the root's key; the same kinds\n"
	"      --root-days N               how long the root is valid (default: 3650)\n"
	"      --intermediate-days N       how long the intermediate is (default: 1825)\n"
	"      --permit DOMAIN|RANGE       what is outside of these domains and ranges of addresses is not valid "
	"under\n"
	"                                  the intermediate, whoever has its key (may be repeated; default: anything)\n"
	"      --pkcs11 URI                make the issuing key in a token: \"pkcs11:token=NAME;object=NAME\n"
	"                                  ?module-path=/PATH.so\" (docs/hsm.md)\n"
	"      --pin-file FILE             the token's PIN (mode 0600); the signer reads it there, too\n"
	"      --pkcs11-existing-key       the key is in the token already; use it as it is\n"
	"How it is reached\n"
	"      --host NAME[,NAME|IP...]    the API's names, the first one for its URL (default: this machine only)\n"
	"      --listen ADDRESS:PORT       (default: 127.0.0.1:14000; with a --host that is not this machine only,\n"
	"                                  [::]:14000)\n"
	"      --base-url URL              (default: https:// with the first name and the port)\n"
	"Where it keeps its rows\n"
	"      --database URL              postgresql://USER@HOST:PORT/NAME of an empty database (default: a file of "
	"SQLite)\n"
	"      --database-password-file FILE\n"
	"                                  the first line is its password (docs/postgresql.md)\n"
	"What it issues\n"
	"      --allow PATTERN|RANGE       a name, \"*.DOMAIN\", \"*\" or addresses such as 10.1.0.0/16 that may be "
	"asked "
	"for\n"
	"                                  (may be repeated)\n"
	"      --static NAME=ADDRESS       a name that validators look up here and not in the DNS (may be repeated)\n"
	"      --allow-address RANGE       private addresses that validators may connect to, such as 10.0.0.0/8\n"
	"                                  (may be repeated)\n"
	"      --http-port N               of http-01 (default: 80)\n"
	"Where the root's key goes; without one of these it is encrypted with a passphrase from the terminal\n"
	"      --root-passphrase-file FILE DIR/root/root.key, encrypted with the passphrase in FILE (mode 0600)\n"
	"      --root-export FILE          FILE, not encrypted: on a medium that you then take away\n"
	"      --root-unencrypted          DIR/root/root.key, not encrypted: for CAs that are thrown away\n"
	"      --root external             the root is elsewhere: DIR/issuer/issuer.csr is for it to sign, and `cairn "
	"issuer\n"
	"                                  certificate` takes what comes back\n"
	"\n"
	"  -h, --help                      this text\n"
	"\n"
	"Exit status: 0 made, 1 failed and left nothing behind, 2 called wrongly.\n";

enum flag {
	FLAG_DIR = 256,
	FLAG_NAME,
	FLAG_HOST,
	FLAG_LISTEN,
	FLAG_BASE_URL,
	FLAG_ALLOW,
	FLAG_PERMIT,
	FLAG_KEY,
	FLAG_ROOT_KEY,
	FLAG_PASSPHRASE,
	FLAG_EXPORT,
	FLAG_UNENCRYPTED,
	FLAG_ROOT,
	FLAG_STATIC,
	FLAG_HTTP_PORT,
	FLAG_ALLOW_ADDRESS,
	FLAG_ROOT_DAYS,
	FLAG_INTERMEDIATE_DAYS,
	FLAG_PKCS11,
	FLAG_PIN_FILE,
	FLAG_EXISTING_KEY,
	FLAG_DATABASE,
	FLAG_DATABASE_PASSWORD,
	FLAG_END
};

static const struct option options[] = { { "dir", required_argument, NULL, FLAG_DIR },
					 { "name", required_argument, NULL, FLAG_NAME },
					 { "host", required_argument, NULL, FLAG_HOST },
					 { "listen", required_argument, NULL, FLAG_LISTEN },
					 { "base-url", required_argument, NULL, FLAG_BASE_URL },
					 { "allow", required_argument, NULL, FLAG_ALLOW },
					 { "permit", required_argument, NULL, FLAG_PERMIT },
					 { "key", required_argument, NULL, FLAG_KEY },
					 { "root-key", required_argument, NULL, FLAG_ROOT_KEY },
					 { "root-passphrase-file", required_argument, NULL, FLAG_PASSPHRASE },
					 { "root-export", required_argument, NULL, FLAG_EXPORT },
					 { "root-unencrypted", no_argument, NULL, FLAG_UNENCRYPTED },
					 { "root", required_argument, NULL, FLAG_ROOT },
					 { "static", required_argument, NULL, FLAG_STATIC },
					 { "http-port", required_argument, NULL, FLAG_HTTP_PORT },
					 { "allow-address", required_argument, NULL, FLAG_ALLOW_ADDRESS },
					 { "root-days", required_argument, NULL, FLAG_ROOT_DAYS },
					 { "intermediate-days", required_argument, NULL, FLAG_INTERMEDIATE_DAYS },
					 { "pkcs11", required_argument, NULL, FLAG_PKCS11 },
					 { "pin-file", required_argument, NULL, FLAG_PIN_FILE },
					 { "pkcs11-existing-key", no_argument, NULL, FLAG_EXISTING_KEY },
					 { "database", required_argument, NULL, FLAG_DATABASE },
					 { "database-password-file", required_argument, NULL, FLAG_DATABASE_PASSWORD },
					 { "help", no_argument, NULL, 'h' },
					 { NULL, 0, NULL, 0 } };

/* What was given, by flag; repeated ones joined with commas. */
struct given {
	struct arena mem;
	struct str text[FLAG_END - FLAG_DIR];
	bool is[FLAG_END - FLAG_DIR];
};

static struct str given_text(const struct given *g, enum flag f)
{
	return g->text[f - FLAG_DIR];
}

static bool given_is(const struct given *g, enum flag f)
{
	return g->is[f - FLAG_DIR];
}

static const char *given_z(struct given *g, enum flag f) /* NULL: not given */
{
	return given_is(g, f) ? str_dupz_raw(&g->mem, given_text(g, f)) : NULL;
}

static bool repeats(enum flag f)
{
	return f == FLAG_HOST || f == FLAG_ALLOW || f == FLAG_PERMIT || f == FLAG_STATIC || f == FLAG_ALLOW_ADDRESS ||
	       f == FLAG_LISTEN;
}

static const char *flag_name(enum flag f)
{
	for (const struct option *o = options; o->name != NULL; o++) {
		if (o->val == (int)f)
			return o->name;
	}
	return "";
}

static fallible given_add(struct given *g, enum flag f, const char *value, struct err *err)
{
	struct str *at = &g->text[f - FLAG_DIR];
	struct str text = value == NULL ? STR_NONE : str_trim(str_z(value));
	if (given_is(g, f) && !repeats(f))
		FAIL(err, ERR_CONFIG, "--%s: found it twice; allowed: once", flag_name(f));
	if (value != NULL && text.n == 0)
		FAIL(err, ERR_CONFIG, "--%s: found nothing; allowed: a value", flag_name(f));
	*at = given_is(g, f) ? str_fmt(&g->mem, "%.*s, %.*s", STR_FMT(*at), STR_FMT(text)) : str_dup(&g->mem, text);
	if (at->n > 4096)
		FAIL(err, ERR_CONFIG, "--%s: found more than 4096 bytes; write long lists into the configuration",
		     flag_name(f));
	g->is[f - FLAG_DIR] = true;
	return OK;
}

static fallible given_list(struct given *g, enum flag f, struct conf_list *ret, struct err *err)
{
	struct str text = given_text(g, f);
	struct conf_list list = { .v = ARENA_ARRAY(&g->mem, struct str, text.n + 1), .n = 0 };
	for (size_t from = 0; from < text.n;) {
		size_t to = str_find(text, ',', from);
		struct str item = str_trim(str_sub(text, from, to));
		if (item.n == 0)
			FAIL(err, ERR_CONFIG, "--%s: found nothing between commas; allowed: a value", flag_name(f));
		list.v[list.n++] = item;
		from = to + 1;
	}
	*ret = list;
	return OK;
}

/* --- single flags --- */

static fallible read_key_kind(const struct given *g, enum flag f, struct authority_key *ret, struct err *err)
{
	return authority_key_read(flag_name(f), given_is(g, f) ? given_text(g, f) : STR("p256"), ret, err);
}

static fallible read_number(const struct given *g, enum flag f, uint64_t deflt, uint64_t max, int64_t *ret,
			    struct err *err)
{
	uint64_t n = deflt;
	struct str text = given_text(g, f);
	if (given_is(g, f) && (FAILED(str_u64(text, max, &n, NULL)) || n == 0))
		FAIL(err, ERR_CONFIG, "--%s: found \"%.*s\"; allowed: a number from 1 to %" PRIu64, flag_name(f),
		     STR_FMT(text), max);
	*ret = (int64_t)n;
	return OK;
}

static fallible read_days(const struct given *g, struct init_plan *p, struct err *err)
{
	TRY(read_number(g, FLAG_ROOT_DAYS, 3650, 36500, &p->root_days, err));
	TRY(read_number(g, FLAG_INTERMEDIATE_DAYS, p->root_days < 1825 ? (uint64_t)p->root_days : 1825, 36500,
			&p->intermediate_days, err));
	if (p->intermediate_days > p->root_days)
		FAIL(err, ERR_CONFIG, "--intermediate-days: found %" PRId64 "; allowed: at most the root's %" PRId64,
		     p->intermediate_days, p->root_days);
	return OK;
}

static fallible read_name(const struct given *g, struct init_plan *p, struct err *err)
{
	p->name = given_is(g, FLAG_NAME) ? given_text(g, FLAG_NAME) : STR("cairn");
	if (p->name.n > NAME_LEN_MAX)
		FAIL(err, ERR_CONFIG, "--name: found %zu bytes; allowed: at most %d", p->name.n, NAME_LEN_MAX);
	for (size_t i = 0; i < p->name.n; i++) {
		unsigned char c = (unsigned char)p->name.p[i];
		if (c < 0x20 || c == 0x7f)
			FAIL(err, ERR_CONFIG, "--name: found a control character; allowed: text");
	}
	return OK;
}

static fallible absolute(struct arena *mem, const char *path, const char **ret, struct err *err)
{
	char cwd[PATH_MAX];
	if (path[0] == '/') {
		*ret = path;
		return OK;
	}
	if (getcwd(cwd, sizeof cwd) == NULL)
		FAIL(err, ERR_IO, "the current folder: %s", strerrordesc_np(errno));
	*ret = str_dupz_raw(mem, str_fmt(mem, "%s/%s", cwd, path));
	return OK;
}

/* --- a token --- */

static fallible read_token(struct given *g, struct init_plan *p, struct err *err)
{
	p->token_uri = given_z(g, FLAG_PKCS11);
	p->token_key_exists = given_is(g, FLAG_EXISTING_KEY);
	if (p->token_uri == NULL && (p->token_key_exists || given_is(g, FLAG_PIN_FILE)))
		FAIL(err, ERR_CONFIG, "--pin-file and --pkcs11-existing-key go with --pkcs11 only");
	if (p->token_uri == NULL)
		return OK;
	if (!keystore_is_token(str_z(p->token_uri)))
		FAIL(err, ERR_CONFIG,
		     "--pkcs11: found \"%s\"; allowed: pkcs11:token=NAME;object=NAME?module-path=/PATH.so",
		     p->token_uri);
	if (p->token_key_exists && given_is(g, FLAG_KEY))
		FAIL(err, ERR_CONFIG, "--key: found it with --pkcs11-existing-key; that key has its kind already");
	if (given_is(g, FLAG_PIN_FILE))
		TRY(absolute(&g->mem, given_z(g, FLAG_PIN_FILE), &p->pin_file, err));
	const struct keystore_key where = { .where = p->token_uri, .pin_file = p->pin_file };
	return keystore_check(&where, err);
}

/* --- names --- */

static bool is_constrained(const struct init_plan *p)
{
	return p->permit.n > 0 || p->permit_range_count > 0;
}

/* Below one of the permitted domains, or one of them; patterns by their base. */
static bool is_permitted_name(const struct init_plan *p, struct str name)
{
	(void)str_skip(&name, STR("*."));
	for (size_t i = 0; i < p->permit.n; i++) {
		struct str domain = p->permit.v[i];
		bool below = name.n > domain.n && str_ends(name, domain) && name.p[name.n - domain.n - 1] == '.';
		if (below || str_eq(name, domain))
			return true;
	}
	return !is_constrained(p);
}

static bool is_permitted_range(const struct init_plan *p, const struct addr_range *range)
{
	for (size_t i = 0; i < p->permit_range_count; i++)
		if (range->bits >= p->permit_ranges[i].bits && addr_in(&range->base, &p->permit_ranges[i]))
			return true;
	return !is_constrained(p);
}

static bool is_permitted(const struct init_plan *p, struct str text)
{
	struct addr_range range;
	return FAILED(addr_range_read(text, &range, NULL)) ? is_permitted_name(p, text) : is_permitted_range(p, &range);
}

/* Names and ranges stand in one list on the command line, and in two everywhere else. */
static fallible split_list(struct given *g, enum flag f, struct conf_list *ret_names, struct conf_list *ret_ranges,
			   struct err *err)
{
	struct conf_list all = { 0 };
	TRY(given_list(g, f, &all, err));
	*ret_names = (struct conf_list){ .v = ARENA_ARRAY(&g->mem, struct str, all.n + 1) };
	*ret_ranges = (struct conf_list){ .v = ARENA_ARRAY(&g->mem, struct str, all.n + 1) };
	for (size_t i = 0; i < all.n; i++) {
		struct addr_range range;
		struct conf_list *l = FAILED(addr_range_read(all.v[i], &range, NULL)) ? ret_names : ret_ranges;
		l->v[l->n++] = all.v[i];
	}
	return OK;
}

static fallible read_permits(struct given *g, struct init_plan *p, struct err *err)
{
	struct conf_list ranges = { 0 };
	TRY(split_list(g, FLAG_PERMIT, &p->permit, &ranges, err));
	p->permit_ranges = ARENA_ARRAY(&g->mem, struct addr_range, ranges.n + 1);
	for (size_t i = 0; i < ranges.n; i++)
		TRY(addr_range_read(ranges.v[i], &p->permit_ranges[p->permit_range_count++], err));
	for (size_t i = 0; i < p->permit.n; i++) {
		struct err why = { 0 };
		if (FAILED(name_pattern_check(p->permit.v[i], &why)) || p->permit.v[i].p[0] == '*')
			FAIL(err, ERR_CONFIG,
			     "--permit: found \"%.*s\"; allowed: a domain such as corp.example or addresses such as "
			     "10.0.0.0/8%s%s%s",
			     STR_FMT(p->permit.v[i]), why.detail[0] == '\0' ? "" : " (", why.detail,
			     why.detail[0] == '\0' ? "" : ")");
	}
	return OK;
}

static fallible check_permits(struct given *g, const struct init_plan *p, struct err *err)
{
	struct conf_list allow = { 0 };
	TRY(given_list(g, FLAG_ALLOW, &allow, err));
	for (size_t i = 0; i < allow.n; i++) {
		if (!is_permitted(p, allow.v[i]))
			FAIL(err, ERR_CONFIG,
			     "--allow: found \"%.*s\"; allowed: names and addresses of --permit %.*s, because others "
			     "would "
			     "not be valid under the intermediate",
			     STR_FMT(allow.v[i]), STR_FMT(given_text(g, FLAG_PERMIT)));
	}
	return OK;
}

/* The intermediate's name constraints hold for the API's own certificate too. */
static bool fits_constraints(const struct init_plan *p, struct str host)
{
	return is_permitted(p, host);
}

static bool only_this_machine(const struct conf_list *hosts)
{
	for (size_t i = 0; i < hosts->n; i++) {
		struct str h = hosts->v[i];
		if (!str_eq(h, STR("localhost")) && !str_eq(h, STR("::1")) && !str_starts(h, STR("127.")))
			return false;
	}
	return true;
}

static struct str machine_name(struct arena *mem)
{
	char name[HOST_NAME_MAX + 1] = "";
	if (gethostname(name, sizeof name - 1) != 0)
		return STR_NONE;
	return name_lower(mem, str_z(name));
}

/* The hosts that were named, then those by which this machine reaches itself. */
static fallible read_hosts(struct given *g, struct init_plan *p, struct err *err)
{
	struct conf_list named = { 0 };
	TRY(given_list(g, FLAG_HOST, &named, err));
	const struct str own[] = { STR("localhost"), STR("127.0.0.1"), STR("::1"),
				   named.n == 0 ? machine_name(&g->mem) : STR_NONE };
	struct conf_list all = { .v = ARENA_ARRAY(&g->mem, struct str, named.n + ARRAY_LEN(own)), .n = 0 };
	for (size_t i = 0; i < named.n; i++) {
		if (!fits_constraints(p, named.v[i]))
			FAIL(err, ERR_CONFIG,
			     "--host: found \"%.*s\"; allowed: names and addresses of --permit %.*s, because the API's "
			     "own "
			     "certificate comes from the intermediate",
			     STR_FMT(named.v[i]), STR_FMT(given_text(g, FLAG_PERMIT)));
		if (!conf_list_has(&all, named.v[i]))
			all.v[all.n++] = named.v[i];
	}
	for (size_t i = 0; i < ARRAY_LEN(own); i++) {
		bool odd = own[i].n == 0 || str_find(own[i], '_', 0) < own[i].n; /* a machine may have any name */
		if (!odd && fits_constraints(p, own[i]) && !conf_list_has(&all, own[i]))
			all.v[all.n++] = own[i];
	}
	if (all.n == 0)
		FAIL(err, ERR_CONFIG,
		     "--host is needed with --permit: the API's own certificate comes from the intermediate, so "
		     "its name must lie in %.*s",
		     STR_FMT(given_text(g, FLAG_PERMIT)));
	p->tls_names = all;
	return OK;
}

/* --- configuration --- */

static struct str join(struct arena *mem, const struct conf_list *l)
{
	struct str all = STR_NONE;
	for (size_t i = 0; i < l->n; i++)
		all = str_fmt(mem, "%.*s%s%.*s", STR_FMT(all), i == 0 ? "" : ", ", STR_FMT(l->v[i]));
	return all;
}

/* "https://HOST:PORT" from the first host and the first address that is listened on. */
static fallible make_base_url(struct given *g, const struct init_plan *p, struct str listen, struct str *ret,
			      struct err *err)
{
	struct addr addr = { 0 };
	uint16_t port = 0;
	struct err why = { 0 };
	if (given_is(g, FLAG_BASE_URL)) {
		*ret = given_text(g, FLAG_BASE_URL);
		return OK;
	}
	struct str first = str_sub(listen, 0, str_find(listen, ',', 0));
	if (FAILED(addr_port_read(first, &addr, &port, &why)))
		FAIL(err, ERR_CONFIG, "--listen: found \"%.*s\"; allowed: ADDRESS:PORT such as 127.0.0.1:14000 (%s)",
		     STR_FMT(first), why.detail);
	struct str host = p->tls_names.v[0];
	bool v6 = str_find(host, ':', 0) < host.n;
	struct str url = str_fmt(&g->mem, "https://%s%.*s%s", v6 ? "[" : "", STR_FMT(host), v6 ? "]" : "");
	*ret = port == 443 ? url : str_fmt(&g->mem, "%.*s:%u", STR_FMT(url), port);
	return OK;
}

/* Writes the configuration and reads it as the programs will, so that a wrong flag is found now. */
static fallible make_conf(struct given *g, struct init_plan *p, struct err *err)
{
	struct conf_list named = { 0 }, names = { 0 }, ranges = { 0 };
	struct str url = STR_NONE;
	TRY(given_list(g, FLAG_HOST, &named, err));
	TRY(split_list(g, FLAG_ALLOW, &names, &ranges, err));
	struct str listen = given_is(g, FLAG_LISTEN)    ? given_text(g, FLAG_LISTEN)
			    : only_this_machine(&named) ? STR("127.0.0.1:14000")
							: STR("[::]:14000");
	TRY(make_base_url(g, p, listen, &url, err));
	const char *values[28];
	size_t n = 0;
	const char *password = NULL;
	if (given_is(g, FLAG_DATABASE_PASSWORD))
		TRY(absolute(&g->mem, given_z(g, FLAG_DATABASE_PASSWORD), &password, err));
	const struct {
		const char *key;
		struct str text;
		bool set;
	} rows[] = { { "api.listen", listen, true },
		     { "api.base-url", url, true },
		     { "api.tls-names", join(&g->mem, &p->tls_names), true },
		     { "store.url", given_text(g, FLAG_DATABASE), given_is(g, FLAG_DATABASE) },
		     { "store.password-file", str_z(password), password != NULL },
		     { "realm.default.names", join(&g->mem, &names), true },
		     { "realm.default.addresses", join(&g->mem, &ranges), ranges.n > 0 },
		     { "zone.default.names", given_text(g, FLAG_STATIC), given_is(g, FLAG_STATIC) },
		     { "zone.default.http-port", given_text(g, FLAG_HTTP_PORT), given_is(g, FLAG_HTTP_PORT) },
		     { "zone.default.allow-addresses", given_text(g, FLAG_ALLOW_ADDRESS),
		       given_is(g, FLAG_ALLOW_ADDRESS) },
		     { "issuer.default.key", str_z(p->token_uri), p->token_uri != NULL },
		     { "issuer.default.pin-file", str_z(p->pin_file), p->pin_file != NULL },
		     { "signer.sandbox-network", STR("true"), p->token_uri != NULL } };
	static_assert(ARRAY_LEN(rows) * 2 < ARRAY_LEN(values), "room for every row");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (!rows[i].set)
			continue;
		values[n++] = rows[i].key;
		values[n++] = str_dupz_raw(&g->mem, rows[i].text);
	}
	values[n] = NULL;
	TRY(conf_write_example(values, &p->conf_text, err));
	struct conf *c = NULL;
	struct rc rc = conf_read_text(buf_str(&p->conf_text), "cairn.conf", conf_env_none, NULL, &c, err);
	if (FAILED(rc))
		err_prefix(err, "with these flags the configuration would be wrong: ");
	conf_free(c);
	return rc;
}

/* --- the root's key --- */

static fallible read_root_mode(struct given *g, struct init_plan *p, struct err *err)
{
	int ways = given_is(g, FLAG_PASSPHRASE) + given_is(g, FLAG_EXPORT) + given_is(g, FLAG_UNENCRYPTED);
	if (ways + given_is(g, FLAG_ROOT) > 1)
		FAIL(err, ERR_CONFIG,
		     "found more than one of --root-passphrase-file, --root-export, --root-unencrypted, --root; "
		     "allowed: "
		     "one");
	if (given_is(g, FLAG_ROOT) && !str_eq(given_text(g, FLAG_ROOT), STR("external")))
		FAIL(err, ERR_CONFIG, "--root: found \"%.*s\"; allowed: external", STR_FMT(given_text(g, FLAG_ROOT)));
	if (given_is(g, FLAG_ROOT)) {
		p->root_mode = INIT_ROOT_EXTERNAL;
		return OK;
	}
	if (given_is(g, FLAG_UNENCRYPTED)) {
		p->root_mode = INIT_ROOT_PLAIN;
		return OK;
	}
	if (given_is(g, FLAG_EXPORT)) {
		p->root_mode = INIT_ROOT_EXPORTED;
		p->root_export = given_z(g, FLAG_EXPORT);
		if (access(p->root_export, F_OK) == 0)
			FAIL(err, ERR_CONFIG, "--root-export: %s is there already; allowed: a new file",
			     p->root_export);
	}
	return OK;
}

/* Last of all, so that nobody types a passphrase in vain. */
static fallible read_passphrase(struct given *g, struct init_plan *p, struct err *err)
{
	if (p->root_mode != INIT_ROOT_ENCRYPTED)
		return OK;
	return passphrase_new(given_is(g, FLAG_PASSPHRASE) ? given_z(g, FLAG_PASSPHRASE) : NULL,
			      "Passphrase for the root's key: ",
			      "no terminal to ask for the root key's passphrase; say where that key goes: "
			      "--root-passphrase-file FILE, --root-export FILE or, for a CA to throw away, "
			      "--root-unencrypted",
			      &p->passphrase, err);
}

/* --- all together --- */

static fallible make_plan(struct given *g, struct init_plan *p, struct err *err)
{
	const char *dir = given_z(g, FLAG_DIR);
	if (dir == NULL)
		FAIL(err, ERR_CONFIG, "found no folder; allowed: cairn init DIR, such as /etc/cairn");
	TRY(absolute(&g->mem, dir, &p->dir, err));
	TRY(read_name(g, p, err));
	TRY(read_key_kind(g, FLAG_KEY, &p->key, err));
	TRY(read_key_kind(g, FLAG_ROOT_KEY, &p->root_key, err));
	TRY(read_days(g, p, err));
	TRY(read_permits(g, p, err));
	TRY(check_permits(g, p, err));
	TRY(read_hosts(g, p, err));
	TRY(read_token(g, p, err));
	TRY(make_conf(g, p, err));
	return read_root_mode(g, p, err);
}

static void print_root(const struct init_plan *p, const struct init_result *r)
{
	static const char *const states[] = {
		[INIT_ROOT_ENCRYPTED] = "encrypted; move it to a safe place: this machine needs it no more",
		[INIT_ROOT_EXPORTED] = "NOT encrypted; take it away now",
		[INIT_ROOT_PLAIN] = "NOT encrypted; fine for a CA to throw away only",
	};
	if (p->root_mode == INIT_ROOT_EXTERNAL) {
		(void)printf("  request           %s/issuer/issuer.csr\n", p->dir);
		(void)printf("                    for your root: a CA certificate with pathlen 0\n");
		return;
	}
	(void)printf("  root certificate  %s/root/root.pem\n", p->dir);
	(void)printf("  its SHA-256       %s\n", r->root_fingerprint);
	if (p->root_mode == INIT_ROOT_EXPORTED)
		(void)printf("  root key          %s\n", p->root_export);
	else
		(void)printf("  root key          %s/root/root.key\n", p->dir);
	(void)printf("                    %s\n", states[p->root_mode]);
}

static int print_summary(struct given *g, const struct init_plan *p, const struct init_result *r)
{
	struct str allow = given_text(g, FLAG_ALLOW);
	(void)printf("A new CA is in %s\n\n", p->dir);
	print_root(p, r);
	if (p->token_uri != NULL)
		(void)printf("  issuing key       in the token; files that its module reads and writes, such as "
			     "SoftHSM's tokens, "
			     "go to\n"
			     "                    signer.sandbox-paths before the first start (docs/hsm.md)\n");
	if (is_constrained(p))
		(void)printf("  valid for         %.*s only, with all that is below\n",
			     STR_FMT(given_text(g, FLAG_PERMIT)));
	if (allow.n > 0)
		(void)printf("  may be asked for  %.*s\n", STR_FMT(allow));
	else
		(void)printf("  may be asked for  nothing yet: list names or patterns at realm.default.names in "
			     "%s/cairn.conf\n",
			     p->dir);
	if (p->root_mode == INIT_ROOT_EXTERNAL)
		(void)printf("\nNext: have it signed, then: cairn issuer certificate default FILE -c %s/cairn.conf\n",
			     p->dir);
	else
		(void)printf("\nNext: cairn serve -c %s/cairn.conf\n", p->dir);
	return cmd_flush("init");
}

static int run(struct given *g, struct init_plan *p)
{
	struct err err = { 0 };
	struct init_result result = { .root_fingerprint = "" };
	if (FAILED(make_plan(g, p, &err)))
		return cmd_usage("init", "%s", err.detail);
	if (FAILED(init_check_dir(p->dir, &err)) || FAILED(read_passphrase(g, p, &err)) ||
	    FAILED(init_make(p, &result, &err)))
		return cmd_fail("init", &err);
	return print_summary(g, p, &result);
}

static int parse(struct given *g, int argc, char **argv)
{
	struct err err = { 0 };
	for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
		if (o < FLAG_DIR || o >= FLAG_END)
			return cmd_usage("init", "that is not an option");
		if (FAILED(given_add(g, (enum flag)o, optarg, &err)))
			return cmd_usage("init", "%s", err.detail);
	}
	for (int i = optind; i < argc; i++) {
		if (FAILED(given_add(g, FLAG_DIR, argv[i], &err)))
			return cmd_usage("init", "found \"%s\" besides the folder; allowed: one folder and options",
					 argv[i]);
	}
	return CMD_OK;
}

int cmd_init(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return cmd_print(help);
	}
	struct given g = { 0 };
	struct init_plan p = { .conf_text = BUF_MAX(CONF_MAX) };
	(void)umask(077);
	int code = parse(&g, argc, argv);
	if (code == CMD_OK)
		code = run(&g, &p);
	secret_done(&p.passphrase);
	buf_done(&p.conf_text);
	arena_done(&g.mem);
	return code;
}

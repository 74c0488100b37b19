/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn_eab.c: `cairn eab`: external account keys. Turns a command line into one request to the running API (admin.h) and
 * its answer into lines, or into JSON. What a key may say is judged there: only the API knows the configuration in force.
 */
#include "cmd/ask.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#define PAGES_MAX 100000
#define ROUNDS_MAX 10000 /* of eab.disable, 10,000 accounts each */

static const char help[] =
	"usage: cairn eab add [--realm REALM] [--label TEXT] [--name PATTERN]... [--profile PROFILE]...\n"
	"                     [--lifetime LIFE] [--uses N] [--expires WHEN] [--kid KID] [-c FILE] [--json]\n"
	"       cairn eab list [--realm REALM] [-c FILE] [--json]\n"
	"       cairn eab show KID [-c FILE] [--json]\n"
	"       cairn eab disable KID [--accounts] [-c FILE] [--json]\n"
	"\n"
	"External account keys say who may make an ACME account (a realm's setting eab) and what the account may ask "
	"for.\n"
	"The API must be running; be root or the user whom it runs as.\n"
	"\n"
	"  add                makes a key; its HMAC key is shown this once\n"
	"      --realm REALM      default: default\n"
	"      --label TEXT       whose it is, for list and show\n"
	"      --name PATTERN     a name, \"*.DOMAIN\" or a range of addresses that its accounts may ask for\n"
	"                         (may be repeated; default: whatever the realm allows)\n"
	"      --profile PROFILE  a profile that they may ask for (may be repeated; default: the realm's)\n"
	"      --lifetime LIFE    30d, 12h: how long certificates of its accounts live at most\n"
	"                         (default: as realm and profile say)\n"
	"      --uses N           accounts that may be made with it; 0, the default: any number\n"
	"      --expires WHEN     90d, 2027-01-01 or 2027-01-01T12:00:00Z: no new account from then on\n"
	"      --kid KID          its id; default: a random one\n"
	"  list               all keys\n"
	"  show               one key and the accounts that were made with it\n"
	"  disable            no new account is made with it any more\n"
	"      --accounts         revokes those that were\n"
	"\n"
	"  -c, --config FILE  default: $CAIRN_CONF, ./cairn.conf, /etc/cairn/cairn.conf\n"
	"      --json         for programs\n"
	"  -h, --help         this text\n"
	"\n"
	"Exit status: 0 done, 1 failed and said why, 2 called wrongly.\n";

/* --- the command line -----------------------------------------------------------------------------------------------*/
enum flag {
	FLAG_REALM = 256,
	FLAG_LABEL,
	FLAG_NAME,
	FLAG_PROFILE,
	FLAG_LIFETIME,
	FLAG_USES,
	FLAG_EXPIRES,
	FLAG_KID,
	FLAG_ACCOUNTS,
	FLAG_JSON,
	FLAG_END
};
#define BIT(flag) (1u << ((flag)-FLAG_REALM))

static const struct option options[] = { { "realm", required_argument, NULL, FLAG_REALM },
					 { "label", required_argument, NULL, FLAG_LABEL },
					 { "name", required_argument, NULL, FLAG_NAME },
					 { "profile", required_argument, NULL, FLAG_PROFILE },
					 { "lifetime", required_argument, NULL, FLAG_LIFETIME },
					 { "uses", required_argument, NULL, FLAG_USES },
					 { "expires", required_argument, NULL, FLAG_EXPIRES },
					 { "kid", required_argument, NULL, FLAG_KID },
					 { "accounts", no_argument, NULL, FLAG_ACCOUNTS },
					 { "json", no_argument, NULL, FLAG_JSON },
					 { "config", required_argument, NULL, 'c' },
					 { "help", no_argument, NULL, 'h' },
					 { NULL, 0, NULL, 0 } };

struct given {
	struct arena mem;
	unsigned flags; /* which were there */
	struct str text[FLAG_END - FLAG_REALM];
	struct conf_list names, profiles;
	const char *conf, *kid; /* kid: the operand */
};

static bool given_is(const struct given *g, enum flag f)
{
	return (g->flags & BIT(f)) != 0;
}

static struct str given_text(const struct given *g, enum flag f)
{
	return g->text[f - FLAG_REALM];
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
	struct conf_list *list = f == FLAG_NAME ? &g->names : f == FLAG_PROFILE ? &g->profiles : NULL;
	if (value != NULL && *value == '\0')
		FAIL(err, ERR_CONFIG, "--%s: found nothing; allowed: a value", flag_name(f));
	if (list != NULL)
		list->v[list->n++] = str_z(value);
	else if (given_is(g, f) && value != NULL)
		FAIL(err, ERR_CONFIG, "--%s: found it twice; allowed: once", flag_name(f));
	g->text[f - FLAG_REALM] = str_z(value);
	g->flags |= BIT(f);
	return OK;
}

#define KEY_MEMBERS                                                                                                  \
	"kid", "realm", "status", "label", "names", "profiles", "lifetime", "uses", "usesMax", "created", "expires", \
		"disabled"
static const char *const key_members[] = { KEY_MEMBERS, NULL };
static const char *const added_members[] = { KEY_MEMBERS, "hmacKey", "directory", "realmEab", NULL };
static const char *const shown_members[] = { KEY_MEMBERS, "accounts", "moreAccounts", NULL };

static struct str uses_text(struct arena *mem, const struct json *key)
{
	int64_t most = ask_number(key, "usesMax");
	return most == 0 ? str_fmt(mem, "%" PRId64, ask_number(key, "uses"))
			 : str_fmt(mem, "%" PRId64 " of %" PRId64, ask_number(key, "uses"), most);
}

/* In the largest unit that fits, as it may be given. */
static struct str span_text(struct arena *mem, int64_t seconds)
{
	static const struct {
		int64_t s;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	size_t i = 0;
	if (seconds == 0)
		return STR_NONE;
	while (seconds % units[i].s != 0)
		i++;
	return str_fmt(mem, "%" PRId64 "%c", seconds / units[i].s, units[i].unit);
}

static void print_key(struct arena *mem, const struct json *key)
{
	ask_print_line("key id", ask_text(key, "kid"), NULL);
	ask_print_line("HMAC key", ask_text(key, "hmacKey"), NULL);
	ask_print_line("realm", ask_text(key, "realm"), NULL);
	ask_print_line("status", ask_text(key, "status"), NULL);
	ask_print_line("label", ask_text(key, "label"), NULL);
	ask_print_list("names", json_get(key, "names"), "what the realm allows");
	ask_print_list("profiles", json_get(key, "profiles"), "what the realm allows");
	ask_print_line("lifetime", span_text(mem, ask_number(key, "lifetime")), "what realm and profile say");
	ask_print_line("uses", uses_text(mem, key), NULL);
	ask_print_line("created", ask_text(key, "created"), NULL);
	ask_print_line("expires", ask_text(key, "expires"), "never");
	ask_print_line("disabled", ask_text(key, "disabled"), NULL);
}

/* --- add ------------------------------------------------------------------------------------------------------------*/
static void print_clients(const struct json *key)
{
	static const struct {
		const char *client, *directory, *kid, *hmac_key,
			*rest; /* what stands before each of the three, and behind */
	} rows[] = {
		{ "certbot", "certbot register --server", "--eab-kid", "--eab-hmac-key", "" },
		{ "lego", "lego --server", "--eab --kid", "--hmac", " ..." },
		{ "acme.sh", "acme.sh --register-account --server", "--eab-kid", "--eab-hmac-key", "" },
	};
	struct str directory = ask_text(key, "directory");
	struct str kid = ask_text(key, "kid");
	struct str hmac_key = ask_text(key, "hmacKey");
	(void)printf("\nThe HMAC key is shown this once; cairn keeps it sealed. Clients take it so:\n\n");
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		(void)printf("  %-9s %s %.*s %s %.*s %s %.*s%s\n", rows[i].client, rows[i].directory,
			     STR_FMT(directory), rows[i].kid, STR_FMT(kid), rows[i].hmac_key, STR_FMT(hmac_key),
			     rows[i].rest);
	(void)printf("  %-9s acme_ca %.*s\n", "Caddy", STR_FMT(directory));
	(void)printf("  %-9s acme_eab {\n  %-9s     key_id %.*s\n  %-9s     mac_key %.*s\n  %-9s }\n", "", "",
		     STR_FMT(kid), "", STR_FMT(hmac_key), "");
}

static void write_text(struct jw *w, const struct given *g, enum flag f)
{
	if (given_is(g, f))
		jw_kstr(w, flag_name(f), given_text(g, f));
}

static fallible write_wish(struct jw *w, const struct given *g, struct err *err)
{
	uint64_t uses = 0;
	if (given_is(g, FLAG_USES) && FAILED(str_u64(given_text(g, FLAG_USES), INT64_MAX, &uses, NULL)))
		FAIL(err, ERR_CONFIG, "--uses: found \"%.*s\"; allowed: a number", STR_FMT(given_text(g, FLAG_USES)));
	jw_kstr(w, "realm", given_is(g, FLAG_REALM) ? given_text(g, FLAG_REALM) : STR("default"));
	write_text(w, g, FLAG_LABEL);
	write_text(w, g, FLAG_LIFETIME);
	write_text(w, g, FLAG_EXPIRES);
	write_text(w, g, FLAG_KID);
	ask_write_list(w, "names", &g->names);
	ask_write_list(w, "profiles", &g->profiles);
	jw_ki64(w, "uses", (int64_t)uses);
	return OK;
}

static int print_added(struct given *g, const struct json *key)
{
	struct err err = { 0 };
	struct str kid = ask_text(key, "kid");
	if (given_is(g, FLAG_JSON)) {
		if (FAILED(ask_print_json(key, added_members, &err)))
			return cmd_fail("eab", &err);
	} else {
		print_key(&g->mem, key);
		print_clients(key);
	}
	if (str_eq(ask_text(key, "realmEab"), STR("off")))
		(void)fprintf(stderr,
			      "warning: realm.%.*s.eab is off, so nobody is asked for a key and what it may ask for "
			      "does not count\n",
			      STR_FMT(ask_text(key, "realm")));
	int code = cmd_flush("eab");
	if (code != CMD_OK)
		(void)fprintf(stderr, "The key is made, but nobody has seen it: cairn eab disable %.*s\n",
			      STR_FMT(kid));
	return code;
}

static int run_add(struct given *g)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(ADMIN_REQUEST_MAX);
	AUTO(json_auto) struct json *key = NULL;
	struct jw w = ask_begin(&text, "eab.add", &err);
	if (FAILED(write_wish(&w, g, &err)))
		return cmd_usage("eab", "%s", err.detail);
	if (FAILED(ask(g->conf, &w, &key, &err)))
		return cmd_fail("eab", &err);
	return print_added(g, key);
}

/* --- list -----------------------------------------------------------------------------------------------------------*/
struct listing {
	struct given *g;
	struct str after; /* where the next page begins; empty: none */
	bool json;
	bool any;
	struct buf text; /* of the JSON */
	struct jw w;
};

static void list_add(struct listing *l, const struct json *key)
{
	struct str expires = ask_text(key, "expires");
	struct str uses = uses_text(&l->g->mem, key);
	if (l->json) {
		jw_object(&l->w);
		ask_copy(&l->w, key, key_members);
		jw_object_end(&l->w);
		return;
	}
	if (!l->any)
		(void)printf("%-27s %-12s %-9s %-9s %-21s %s\n", "KEY ID", "REALM", "STATUS", "USES", "EXPIRES",
			     "LABEL");
	(void)printf("%-27.*s %-12.*s %-9.*s %-9.*s %-21.*s %.*s\n", STR_FMT(ask_text(key, "kid")),
		     STR_FMT(ask_text(key, "realm")), STR_FMT(ask_text(key, "status")), STR_FMT(uses),
		     STR_FMT(expires.n == 0 ? STR("never") : expires), STR_FMT(ask_text(key, "label")));
	l->any = true;
}

static fallible list_page(struct listing *l, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(ADMIN_REQUEST_MAX);
	AUTO(json_auto) struct json *answer = NULL;
	struct jw w = ask_begin(&text, "eab.list", err);
	write_text(&w, l->g, FLAG_REALM);
	jw_kstr(&w, "after", l->after);
	TRY(ask(l->g->conf, &w, &answer, err));
	const struct json *keys = json_get(answer, "keys");
	for (size_t i = 0; i < json_count(keys); i++)
		list_add(l, json_at(keys, i));
	l->after = str_dup(&l->g->mem, ask_text(answer, "after"));
	return OK;
}

static fallible list_all(struct listing *l, struct err *err)
{
	l->w = jw_begin(&l->text, err);
	jw_object(&l->w);
	jw_key(&l->w, "keys");
	jw_array(&l->w);
	for (int i = 0; i < PAGES_MAX; i++) {
		TRY(list_page(l, err));
		if (l->after.n == 0)
			break;
	}
	jw_array_end(&l->w);
	jw_object_end(&l->w);
	return jw_end(&l->w);
}

static int run_list(struct given *g)
{
	struct err err = { 0 };
	struct listing l = { .g = g, .json = given_is(g, FLAG_JSON), .text = BUF_MAX(256 * (size_t)ADMIN_ANSWER_MAX) };
	struct rc rc = list_all(&l, &err);
	if (!FAILED(rc) && l.json)
		(void)printf("%.*s\n", (int)l.text.n, l.text.p);
	else if (!FAILED(rc) && !l.any)
		(void)printf("There are no external account keys; cairn eab add makes one.\n");
	buf_done(&l.text);
	return FAILED(rc) ? cmd_fail("eab", &err) : cmd_flush("eab");
}

/* --- show, disable --------------------------------------------------------------------------------------------------*/
static int run_show(struct given *g)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(ADMIN_REQUEST_MAX);
	AUTO(json_auto) struct json *key = NULL;
	struct jw w = ask_begin(&text, "eab.show", &err);
	jw_kz(&w, "kid", g->kid);
	if (FAILED(ask(g->conf, &w, &key, &err)))
		return cmd_fail("eab", &err);
	if (given_is(g, FLAG_JSON)) {
		if (FAILED(ask_print_json(key, shown_members, &err)))
			return cmd_fail("eab", &err);
		return cmd_flush("eab");
	}
	print_key(&g->mem, key);
	ask_print_list("accounts", json_get(key, "accounts"), "none");
	if (ask_flag(key, "moreAccounts"))
		(void)printf("             and more\n");
	return cmd_flush("eab");
}

/* One round disables the key and revokes so many accounts as one request may; *ret is its answer. */
static fallible disable_round(const struct given *g, struct json **ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(ADMIN_REQUEST_MAX);
	struct jw w = ask_begin(&text, "eab.disable", err);
	jw_kz(&w, "kid", g->kid);
	jw_kbool(&w, "accounts", given_is(g, FLAG_ACCOUNTS));
	return ask(g->conf, &w, ret, err);
}

static fallible disable_all(const struct given *g, bool *ret_was, int64_t *ret_revoked, struct err *err)
{
	int64_t revoked = 0;
	for (int i = 0; i < ROUNDS_MAX; i++) {
		AUTO(json_auto) struct json *answer = NULL;
		TRY(disable_round(g, &answer, err));
		revoked += ask_number(answer, "revoked");
		if (i == 0)
			*ret_was = ask_flag(answer, "wasDisabled");
		if (!ask_flag(answer, "more"))
			break;
	}
	*ret_revoked = revoked;
	return OK;
}

static int run_disable(struct given *g)
{
	struct err err = { 0 };
	bool was = false;
	int64_t revoked = 0;
	bool accounts = given_is(g, FLAG_ACCOUNTS);
	if (FAILED(disable_all(g, &was, &revoked, &err)))
		return cmd_fail("eab", &err);
	if (given_is(g, FLAG_JSON))
		(void)printf("{\"kid\":\"%s\",\"wasDisabled\":%s,\"revoked\":%" PRId64 "}\n", g->kid,
			     was ? "true" : "false", revoked);
	else
		(void)printf("%s %s disabled.\n", g->kid, was ? "was already" : "is");
	if (!given_is(g, FLAG_JSON) && accounts)
		(void)printf("Accounts revoked: %" PRId64 ".\n", revoked);
	else if (!given_is(g, FLAG_JSON))
		(void)printf("Accounts that were made with it go on; --accounts revokes them.\n");
	return cmd_flush("eab");
}

/* --- all together ---------------------------------------------------------------------------------------------------*/
static const struct sub {
	const char *name;
	unsigned flags; /* those that it takes */
	bool wants_kid;
	int (*run)(struct given *g);
} subs[] = {
	{ "add",
	  BIT(FLAG_REALM) | BIT(FLAG_LABEL) | BIT(FLAG_NAME) | BIT(FLAG_PROFILE) | BIT(FLAG_LIFETIME) | BIT(FLAG_USES) |
		  BIT(FLAG_EXPIRES) | BIT(FLAG_KID) | BIT(FLAG_JSON),
	  false, run_add },
	{ "list", BIT(FLAG_REALM) | BIT(FLAG_JSON), false, run_list },
	{ "show", BIT(FLAG_JSON), true, run_show },
	{ "disable", BIT(FLAG_ACCOUNTS) | BIT(FLAG_JSON), true, run_disable },
};

static fallible parse_operands(struct given *g, const struct sub *sub, int count, char **operands, struct err *err)
{
	if (sub->wants_kid && count != 1)
		FAIL(err, ERR_CONFIG, "found %d arguments behind %s; allowed: one, the key's id", count, sub->name);
	if (!sub->wants_kid && count > 0)
		FAIL(err, ERR_CONFIG, "found argument \"%s\"; allowed: options", operands[0]);
	g->kid = sub->wants_kid ? operands[0] : NULL;
	return OK;
}

static fallible parse(struct given *g, const struct sub *sub, int argc, char **argv, struct err *err)
{
	g->names.v = ARENA_ARRAY(&g->mem, struct str, (size_t)argc);
	g->profiles.v = ARENA_ARRAY(&g->mem, struct str, (size_t)argc);
	for (int o; (o = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		if (o == 'c') {
			g->conf = optarg;
			continue;
		}
		if (o < FLAG_REALM || o >= FLAG_END)
			FAIL(err, ERR_CONFIG, "that is not an option");
		if ((sub->flags & BIT(o)) == 0)
			FAIL(err, ERR_CONFIG, "found --%s, which is no option of %s", flag_name((enum flag)o),
			     sub->name);
		TRY(given_add(g, (enum flag)o, optarg, err));
	}
	return parse_operands(g, sub, argc - optind, argv + optind, err);
}

static const struct sub *find(const char *name)
{
	for (size_t i = 0; i < ARRAY_LEN(subs); i++) {
		if (strcmp(subs[i].name, name) == 0)
			return &subs[i];
	}
	return NULL;
}

int cmd_eab(int argc, char **argv)
{
	struct given g = { 0 };
	struct err err = { 0 };
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return cmd_print(help);
	}
	if (argc < 2)
		return cmd_usage("eab", "found no command; allowed: add, list, show, disable");
	const struct sub *sub = find(argv[1]);
	if (sub == NULL)
		return cmd_usage("eab", "found \"%s\"; allowed: add, list, show, disable", argv[1]);
	int code = FAILED(parse(&g, sub, argc - 1, argv + 1, &err)) ? cmd_usage("eab", "%s", err.detail) : sub->run(&g);
	arena_done(&g.mem);
	return code;
}

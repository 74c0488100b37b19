/* SPDX-License-Identifier: Apache-2.0
 *
 * cairn_grant.c: `cairn grant`: names that need no challenge from certain accounts, and who their subscriber is, on an
 * operator's word (DESIGN 5). The word is signed here, with the operator's own key; API and signer check it. A revocation
 * is written where the signer looks, so that it does not depend on the API.
 */
#include "cmd/grant.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>

#define PAGES_MAX 100000
#define ROUNDS_MAX 10000 /* of grant.revoke */

static const char help[] =
	"usage: cairn grant key OPERATOR [--passphrase-file FILE | --unencrypted] [-c FILE]\n"
	"       cairn grant add --operator OPERATOR (--account ACCOUNT | --eab KID)...\n"
	"                       (--name PATTERN | --address RANGE | --organization TEXT | --email MAIL)...\n"
	"                       [--realm REALM] [--wildcards] [--locality TEXT] [--state TEXT] [--country CC]\n"
	"                       [--profile PROFILE]... [--days N] [--note TEXT] [--passphrase-file FILE]\n"
	"                       [-c FILE] [--json]\n"
	"       cairn grant list [--realm REALM] [-c FILE] [--json]\n"
	"       cairn grant show ID [-c FILE] [--json]\n"
	"       cairn grant revoke ID [-c FILE] [--json]\n"
	"\n"
	"A grant is an operator's signed word that certain accounts may have certificates for certain names without\n"
	"any challenge, and who the subscriber is. It widens nothing: the realm's own names and profiles still bound\n"
	"it, and the realm's setting grants must be on. The API must be running for all but key; be root or the user\n"
	"whom it runs as.\n"
	"\n"
	"  key                makes the operator's key pair (operator.OPERATOR.key and .public-key)\n"
	"      --passphrase-file FILE  its passphrase (mode 0600); without it, it is asked for at the terminal\n"
	"      --unencrypted           none\n"
	"  add                signs a grant and gives it to the API\n"
	"      --operator OPERATOR     whose key signs\n"
	"      --account ACCOUNT       an account's id (the end of its URL), or its key's thumbprint\n"
	"      --eab KID               the accounts that are bound to this external account key by now\n"
	"      --name PATTERN          a name, or \"*.DOMAIN\": all names below it\n"
	"      --address RANGE         an address, or a range such as 10.1.0.0/16\n"
	"      --wildcards             \"*.\" names that --name covers, too\n"
	"      --organization TEXT     what certificates of profiles with a subject say (setting subject), ...\n"
	"      --locality, --state TEXT, --country CC   ... and where that is\n"
	"      --email MAIL            an address for certificates that protect e-mail\n"
	"      --realm REALM           default: default\n"
	"      --profile PROFILE       for this profile only (may be repeated; default: all of the realm)\n"
	"      --days N                how long it holds; default: 90\n"
	"      --note TEXT             why, for list and show\n"
	"  list, show         what there is\n"
	"  revoke             takes it back: at the signer of this host (signer.revoked-grants) and at the API\n"
	"\n"
	"  -c, --config FILE  default: $CAIRN_CONF, ./cairn.conf, /etc/cairn/cairn.conf\n"
	"      --json         for programs\n"
	"  -h, --help         this text\n"
	"\n"
	"Exit status: 0 done, 1 failed and said why, 2 called wrongly.\n";

/* --- the command line -----------------------------------------------------------------------------------------------*/
#define BIT(flag) (1u << ((flag)-GRANT_FLAG_FIRST))

static const struct option options[] = { { "operator", required_argument, NULL, FLAG_OPERATOR },
					 { "account", required_argument, NULL, FLAG_ACCOUNT },
					 { "eab", required_argument, NULL, FLAG_EAB },
					 { "name", required_argument, NULL, FLAG_NAME },
					 { "address", required_argument, NULL, FLAG_ADDRESS },
					 { "email", required_argument, NULL, FLAG_EMAIL },
					 { "profile", required_argument, NULL, FLAG_PROFILE },
					 { "wildcards", no_argument, NULL, FLAG_WILDCARDS },
					 { "organization", required_argument, NULL, FLAG_ORGANIZATION },
					 { "locality", required_argument, NULL, FLAG_LOCALITY },
					 { "state", required_argument, NULL, FLAG_STATE },
					 { "country", required_argument, NULL, FLAG_COUNTRY },
					 { "realm", required_argument, NULL, FLAG_REALM },
					 { "days", required_argument, NULL, FLAG_DAYS },
					 { "note", required_argument, NULL, FLAG_NOTE },
					 { "passphrase-file", required_argument, NULL, FLAG_PASSPHRASE },
					 { "unencrypted", no_argument, NULL, FLAG_UNENCRYPTED },
					 { "json", no_argument, NULL, FLAG_JSON },
					 { "config", required_argument, NULL, 'c' },
					 { "help", no_argument, NULL, 'h' },
					 { NULL, 0, NULL, 0 } };

static const char *flag_name(enum grant_flag f)
{
	for (const struct option *o = options; o->name != NULL; o++) {
		if (o->val == (int)f)
			return o->name;
	}
	return "";
}

static struct conf_list *flag_list(struct grant_given *g, enum grant_flag f)
{
	return f < GRANT_FLAG_LISTS_END ? &g->lists[f - GRANT_FLAG_FIRST] : NULL;
}

static fallible given_add(struct grant_given *g, enum grant_flag f, const char *value, struct err *err)
{
	struct conf_list *list = flag_list(g, f);
	if (value != NULL && *value == '\0')
		FAIL(err, ERR_CONFIG, "--%s: found nothing; allowed: a value", flag_name(f));
	if (list != NULL)
		list->v[list->n++] = str_z(value);
	else if (grant_given(g, f) && value != NULL)
		FAIL(err, ERR_CONFIG, "--%s: found it twice; allowed: once", flag_name(f));
	g->text[f - GRANT_FLAG_FIRST] = value;
	g->flags |= BIT(f);
	return OK;
}

bool grant_given(const struct grant_given *g, enum grant_flag f)
{
	return (g->flags & BIT(f)) != 0;
}

const char *grant_given_z(const struct grant_given *g, enum grant_flag f)
{
	return g->text[f - GRANT_FLAG_FIRST];
}

/* --- showing --------------------------------------------------------------------------------------------------------*/
#define GRANT_MEMBERS                                                                                       \
	"id", "realm", "status", "operator", "names", "addresses", "wildcards", "profiles", "organization", \
		"locality", "state", "country", "emails", "thumbprints", "from", "until", "note", "added", "revoked"
static const char *const grant_members[] = { GRANT_MEMBERS, NULL };
static const char *const added_members[] = { GRANT_MEMBERS, "realmGrants", NULL };
static const char *const shown_members[] = { GRANT_MEMBERS, "jws", NULL };

static void print_grant(const struct json *grant)
{
	ask_print_line("grant", ask_text(grant, "id"), NULL);
	ask_print_line("realm", ask_text(grant, "realm"), NULL);
	ask_print_line("status", ask_text(grant, "status"), NULL);
	ask_print_line("operator", ask_text(grant, "operator"), NULL);
	ask_print_list("for keys", json_get(grant, "thumbprints"), NULL);
	ask_print_list("names", json_get(grant, "names"), NULL);
	ask_print_list("addresses", json_get(grant, "addresses"), NULL);
	if (ask_flag(grant, "wildcards"))
		ask_print_line("wildcards", STR("of these names, too"), NULL);
	ask_print_list("profiles", json_get(grant, "profiles"), "all of the realm");
	ask_print_line("org", ask_text(grant, "organization"), NULL);
	ask_print_line("locality", ask_text(grant, "locality"), NULL);
	ask_print_line("state", ask_text(grant, "state"), NULL);
	ask_print_line("country", ask_text(grant, "country"), NULL);
	ask_print_list("emails", json_get(grant, "emails"), NULL);
	ask_print_line("from", ask_text(grant, "from"), NULL);
	ask_print_line("until", ask_text(grant, "until"), NULL);
	ask_print_line("note", ask_text(grant, "note"), NULL);
	ask_print_line("added", ask_text(grant, "added"), NULL);
	ask_print_line("revoked", ask_text(grant, "revoked"), NULL);
}

/* --- key, add -------------------------------------------------------------------------------------------------------*/
static int run_key(struct grant_given *g)
{
	struct err err = { 0 };
	if (grant_given(g, FLAG_UNENCRYPTED) && grant_given(g, FLAG_PASSPHRASE))
		return cmd_usage("grant", "found --unencrypted and --passphrase-file; allowed: one of them");
	if (FAILED(grant_key_make(g, &err)))
		return cmd_fail("grant", &err);
	return cmd_flush("grant");
}

static int print_added(const struct grant_given *g, const struct json *grant)
{
	struct err err = { 0 };
	if (!grant_given(g, FLAG_JSON))
		print_grant(grant);
	else if (FAILED(ask_print_json(grant, added_members, &err)))
		return cmd_fail("grant", &err);
	if (!ask_flag(grant, "realmGrants"))
		(void)fprintf(stderr, "warning: realm.%.*s.grants is off, so no grant counts there\n",
			      STR_FMT(ask_text(grant, "realm")));
	return cmd_flush("grant");
}

static int run_add(struct grant_given *g)
{
	static const enum grant_flag what[] = { FLAG_NAME, FLAG_ADDRESS, FLAG_EMAIL, FLAG_ORGANIZATION, FLAG_COUNTRY };
	struct err err = { 0 };
	AUTO(json_auto) struct json *answer = NULL;
	bool grants = false;
	for (size_t i = 0; i < ARRAY_LEN(what); i++)
		grants = grants || grant_given(g, what[i]);
	if (!grant_given(g, FLAG_OPERATOR))
		return cmd_usage("grant", "--operator: found nothing; allowed: an operator of the configuration");
	if (!grant_given(g, FLAG_ACCOUNT) && !grant_given(g, FLAG_EAB))
		return cmd_usage("grant", "found neither --account nor --eab; allowed: one at least");
	if (!grants)
		return cmd_usage("grant",
				 "found nothing to grant; allowed: --name, --address, --organization, --country "
				 "and --email, one at least");
	if (FAILED(grant_make(g, &answer, &err)))
		return cmd_fail("grant", &err);
	return print_added(g, answer);
}

/* --- list, show -----------------------------------------------------------------------------------------------------*/
struct listing {
	struct grant_given *g;
	struct str after; /* where the next page begins; empty: none */
	bool json, any;
	struct buf text; /* of the JSON */
	struct jw w;
};

/* The first thing that it grants, and how many more there are. */
static struct str what_of(struct arena *mem, const struct json *grant)
{
	static const char *const lists[] = { "names", "addresses", "emails" };
	struct str first = STR_NONE;
	size_t count = 0;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const struct json *list = json_get(grant, lists[i]);
		if (count == 0)
			(void)json_as_str(json_at(list, 0), &first);
		count += json_count(list);
	}
	if (count == 0)
		return ask_text(grant, "organization");
	return count == 1 ? first : str_fmt(mem, "%.*s +%zu", STR_FMT(first), count - 1);
}

static void list_add(struct listing *l, const struct json *grant)
{
	if (l->json) {
		jw_object(&l->w);
		ask_copy(&l->w, grant, grant_members);
		jw_object_end(&l->w);
		return;
	}
	if (!l->any)
		(void)printf("%-36s %-12s %-8s %-12s %-21s %-28s %s\n", "GRANT", "REALM", "STATUS", "OPERATOR", "UNTIL",
			     "WHAT", "NOTE");
	(void)printf("%-36.*s %-12.*s %-8.*s %-12.*s %-21.*s %-28.*s %.*s\n", STR_FMT(ask_text(grant, "id")),
		     STR_FMT(ask_text(grant, "realm")), STR_FMT(ask_text(grant, "status")),
		     STR_FMT(ask_text(grant, "operator")), STR_FMT(ask_text(grant, "until")),
		     STR_FMT(what_of(&l->g->mem, grant)), STR_FMT(ask_text(grant, "note")));
	l->any = true;
}

static fallible list_page(struct listing *l, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(ADMIN_REQUEST_MAX);
	AUTO(json_auto) struct json *answer = NULL;
	struct jw w = ask_begin(&text, "grant.list", err);
	if (grant_given(l->g, FLAG_REALM))
		jw_kz(&w, "realm", grant_given_z(l->g, FLAG_REALM));
	jw_kstr(&w, "after", l->after);
	TRY(ask(l->g->conf, &w, &answer, err));
	const struct json *grants = json_get(answer, "grants");
	for (size_t i = 0; i < json_count(grants); i++)
		list_add(l, json_at(grants, i));
	l->after = str_dup(&l->g->mem, ask_text(answer, "after"));
	return OK;
}

static fallible list_all(struct listing *l, struct err *err)
{
	l->w = jw_begin(&l->text, err);
	jw_object(&l->w);
	jw_key(&l->w, "grants");
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

static int run_list(struct grant_given *g)
{
	struct err err = { 0 };
	struct listing l = { .g = g,
			     .json = grant_given(g, FLAG_JSON),
			     .text = BUF_MAX(256 * (size_t)ADMIN_ANSWER_MAX) };
	struct rc rc = list_all(&l, &err);
	if (!FAILED(rc) && l.json)
		(void)printf("%.*s\n", (int)l.text.n, l.text.p);
	else if (!FAILED(rc) && !l.any)
		(void)printf("There are no grants; cairn grant add makes one.\n");
	buf_done(&l.text);
	return FAILED(rc) ? cmd_fail("grant", &err) : cmd_flush("grant");
}

static int run_show(struct grant_given *g)
{
	struct err err = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(ADMIN_REQUEST_MAX);
	AUTO(json_auto) struct json *grant = NULL;
	struct jw w = ask_begin(&text, "grant.show", &err);
	jw_kz(&w, "id", g->operand);
	if (FAILED(ask(g->conf, &w, &grant, &err)))
		return cmd_fail("grant", &err);
	if (!grant_given(g, FLAG_JSON))
		print_grant(grant);
	else if (FAILED(ask_print_json(grant, shown_members, &err)))
		return cmd_fail("grant", &err);
	return cmd_flush("grant");
}

/* --- revoke ---------------------------------------------------------------------------------------------------------*/
/* One round revokes the grant at the API and ends so much of what stands on it as one request may. */
static fallible revoke_round(const struct grant_given *g, struct json **ret, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(ADMIN_REQUEST_MAX);
	struct jw w = ask_begin(&text, "grant.revoke", err);
	jw_kz(&w, "id", g->operand);
	return ask(g->conf, &w, ret, err);
}

static fallible revoke_all(const struct grant_given *g, bool *ret_was, int64_t *ret_orders, struct err *err)
{
	int64_t orders = 0;
	for (int i = 0; i < ROUNDS_MAX; i++) {
		AUTO(json_auto) struct json *answer = NULL;
		TRY(revoke_round(g, &answer, err));
		orders += ask_number(answer, "orders");
		if (i == 0)
			*ret_was = ask_flag(answer, "wasRevoked");
		if (!ask_flag(answer, "more"))
			break;
	}
	*ret_orders = orders;
	return OK;
}

/* The signer first: what it has been told holds whatever becomes of the rest. */
static int run_revoke(struct grant_given *g)
{
	struct err err = { 0 };
	bool was = false, new_line = false;
	int64_t orders = 0;
	if (FAILED(grant_revoke_here(g, &new_line, &err)))
		return cmd_fail("grant", &err);
	if (FAILED(revoke_all(g, &was, &orders, &err))) {
		(void)fprintf(stderr,
			      "cairn grant: the signer of this host takes %s no more, but the API was not told\n",
			      g->operand);
		return cmd_fail("grant", &err);
	}
	if (grant_given(g, FLAG_JSON))
		(void)printf("{\"id\":\"%s\",\"wasRevoked\":%s,\"orders\":%" PRId64 "}\n", g->operand,
			     was ? "true" : "false", orders);
	else
		(void)printf("%s %s revoked. Orders that ended: %" PRId64 ".\n", g->operand,
			     was && !new_line ? "was already" : "is", orders);
	return cmd_flush("grant");
}

/* --- all together ---------------------------------------------------------------------------------------------------*/
static const struct sub {
	const char *name;
	unsigned flags;      /* those that it takes */
	const char *operand; /* NULL: none */
	int (*run)(struct grant_given *g);
} subs[] = {
	{ "key", BIT(FLAG_PASSPHRASE) | BIT(FLAG_UNENCRYPTED), "the operator's name", run_key },
	{ "add",
	  BIT(FLAG_OPERATOR) | BIT(FLAG_ACCOUNT) | BIT(FLAG_EAB) | BIT(FLAG_NAME) | BIT(FLAG_ADDRESS) |
		  BIT(FLAG_EMAIL) | BIT(FLAG_PROFILE) | BIT(FLAG_WILDCARDS) | BIT(FLAG_ORGANIZATION) |
		  BIT(FLAG_LOCALITY) | BIT(FLAG_STATE) | BIT(FLAG_COUNTRY) | BIT(FLAG_REALM) | BIT(FLAG_DAYS) |
		  BIT(FLAG_NOTE) | BIT(FLAG_PASSPHRASE) | BIT(FLAG_JSON),
	  NULL, run_add },
	{ "list", BIT(FLAG_REALM) | BIT(FLAG_JSON), NULL, run_list },
	{ "show", BIT(FLAG_JSON), "the grant's id", run_show },
	{ "revoke", BIT(FLAG_JSON), "the grant's id", run_revoke },
};

static fallible parse_operands(struct grant_given *g, const struct sub *sub, int count, char **operands,
			       struct err *err)
{
	if (sub->operand != NULL && count != 1)
		FAIL(err, ERR_CONFIG, "found %d arguments behind %s; allowed: one, %s", count, sub->name, sub->operand);
	if (sub->operand == NULL && count > 0)
		FAIL(err, ERR_CONFIG, "found argument \"%s\"; allowed: options", operands[0]);
	g->operand = sub->operand != NULL ? operands[0] : NULL;
	return OK;
}

static fallible parse(struct grant_given *g, const struct sub *sub, int argc, char **argv, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(g->lists); i++)
		g->lists[i].v = ARENA_ARRAY(&g->mem, struct str, (size_t)argc);
	for (int o; (o = getopt_long(argc, argv, "c:h", options, NULL)) != -1;) {
		if (o == 'c') {
			g->conf = optarg;
			continue;
		}
		if (o < (int)GRANT_FLAG_FIRST || o >= (int)GRANT_FLAG_END)
			FAIL(err, ERR_CONFIG, "that is not an option");
		if ((sub->flags & BIT(o)) == 0)
			FAIL(err, ERR_CONFIG, "found --%s, which is no option of %s", flag_name((enum grant_flag)o),
			     sub->name);
		TRY(given_add(g, (enum grant_flag)o, optarg, err));
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

int cmd_grant(int argc, char **argv)
{
	struct grant_given g = { .flags = 0 };
	struct err err = { 0 };
	for (int i = 1; i < argc; i++) {
		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
			return cmd_print(help);
	}
	if (argc < 2)
		return cmd_usage("grant", "found no command; allowed: key, add, list, show, revoke");
	const struct sub *sub = find(argv[1]);
	if (sub == NULL)
		return cmd_usage("grant", "found \"%s\"; allowed: key, add, list, show, revoke", argv[1]);
	int code =
		FAILED(parse(&g, sub, argc - 1, argv + 1, &err)) ? cmd_usage("grant", "%s", err.detail) : sub->run(&g);
	arena_done(&g.mem);
	return code;
}

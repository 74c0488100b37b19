/* SPDX-License-Identifier: Apache-2.0
 *
 * dnspersist01_test.c: which records prove a name for an account that stay where they are
 * (draft-ietf-acme-dns-persist-02), and what is said of all others (THREATS A53). The account, its key and the hashes are
 * those of the draft's 10.2; the others were computed apart from this program.
 */
#include "validate/test.h"

#define ACCOUNT "https://ca.example/acct/123"
#define KEY "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
#define EARLIER_1 "zPYme2kJkE6R6g69Hw4z6rdQOsQqHCGg8AWugFn-YbM"
#define EARLIER_2 "_8kbCnKX7kPZ0CmRwKo5aDFwBsux71995ZCxjpzayhE"
#define PREFIX "https://ca.example/account-hash/"
#define H_NAME "5SQm7n6tPh2-PlLbCKGnViTXX5z19SCN4cPGQHSk-kw"
#define H_STAR "NpDnSwUthQK8zCgFdefYxAdAVPnygMLbs9US6oO-5ug"
#define H_EARLIER_1 "xGZVSQCavHYY4TlSY_I5Dn5LgMYpCSxD5iVE_jh3wLM"      /* over the name */
#define H_EARLIER_2_STAR "J61KvqS55QmXb6BAriKMYXpFywGYiuRNtqi0lNnGaCQ" /* over "*" */
#define H_RAW "M9kxVytPS5TjeZXE2xfl9Op4PG8ditvR-2rlQ8GwOf0"            /* over the thumbprint's 32 bytes */
#define H_RAW_STAR "e1LAS3jDQlasvXxK1Zx7iOfP6OOINz4T6vHaxwfdUrs"
#define H_LABEL "iPZXgg9GJM2HXe3ZPRYhNpA4q_jNIhxLh7q979QGfiw"   /* over _validation-persist.example.com */
#define H_WILD "tqFN5-Urmhe-s-BOoWXdtbI-dbQY6D-eOHlgTP_jUTE"    /* over *.example.com */
#define H_DOT "9sygS6NnRE2Pv1zole4cl405FpfovrUMp2otds0ANS8"     /* over example.com. */
#define H_ACCOUNT "Rm2B7RpFR2NzzzlIBFk5HpX7LbW2dAzydTblkRnt01U" /* of .../acct/1234 */
#define H_OTHER "0_du67_J0XUkNqpR2Is38kdJKgytnDAjb1x-ngFkelY"   /* over example.org */
#define ASKED "_validation-persist.example.com"
#define OURS "authority.example; accounturi="
#define URI PREFIX "sha-256/"
#define GOOD OURS URI H_NAME
#define WANTED "\"" GOOD "\""
#define WANTED_WILD "\"" GOOD "; policy=wildcard\""
#define NOW_S "1000" /* SCRIPT_BEGIN_MS */
#define BAD_HASH "the hash is of another account, key or name"
#define RAW_WORDS "the hash is over the 32 bytes of the key's thumbprint; wanted over its 43 characters of base64url"
#define FORM_WORDS "the hash is over another form of the name; wanted over the name alone"
#define DRAFT_01_WORDS                                                                                               \
	"accounturi is an account's URL, as draft-ietf-acme-dns-persist-01 had it; this CA takes the hash of draft " \
	"-02"
#define PREFIX_WORDS "accounturi does not begin with this CA's accountHashPrefix, which is " PREFIX
#define SHA256_WORDS                                                                                                \
	"the hash is called sha256; its name is sha-256 (RFC 6920), and it is over the 43 characters of the key's " \
	"thumbprint, not over its 32 bytes"
#define UNTIL_WORDS(x) "persistUntil is \"" x "\"; wanted seconds since 1970 in decimal digits"

enum asked_for { NAME, WILDCARD, BELOW };

struct outcome {
	enum err_kind kind; /* ERR_NONE: it proves the name */
	const char *reason;
	const char *earlier; /* the earlier key that it names */
	int64_t until_s;
};

/* One record of this CA. */
static const struct {
	const char *title, *record;
	enum asked_for asked_for;
	struct outcome is;
} rows[] = {
	{ "the draft's example", GOOD, NAME, { 0 } },
	{ "over the star", OURS URI H_STAR, NAME, { 0 } },
	{ "the other of our names", "ca.example.net; accounturi=" URI H_NAME, NAME, { 0 } },
	{ "an issuer in capitals, a dot, tags in capitals, blanks",
	  " \tAuthority.EXAMPLE. ;ACCOUNTURI = " URI H_NAME " ",
	  NAME,
	  { 0 } },
	{ "unknown tags, even twice", GOOD "; x=1; x=2; y=", NAME, { 0 } },
	{ "a policy that is not known", GOOD "; policy=everything", NAME, { 0 } },
	{ "an empty policy", GOOD "; policy=", NAME, { 0 } },
	{ "a policy nobody asks for", GOOD "; policy=wildcard", NAME, { 0 } },
	{ "a wildcard with its policy", GOOD "; policy=wildcard", WILDCARD, { 0 } },
	{ "in capitals", GOOD "; POLICY=WildCard", WILDCARD, { 0 } },
	{ "names below with the policy", OURS URI H_STAR "; policy=wildcard", BELOW, { 0 } },
	{ "until now", GOOD "; persistUntil=" NOW_S, NAME, { .until_s = 1000 } },
	{ "until later, tag in small letters", GOOD "; persistuntil=0001721952000", NAME, { .until_s = 1721952000 } },
	{ "until the end of 64 bits", GOOD "; persistUntil=9223372036854775807", NAME, { .until_s = 253402300799 } },
	{ "the key before", OURS URI H_EARLIER_1, NAME, { .earlier = EARLIER_1 } },
	{ "the key before that, over the star",
	  OURS URI H_EARLIER_2_STAR "; policy=wildcard; persistUntil=2000",
	  WILDCARD,
	  { .earlier = EARLIER_2, .until_s = 2000 } },

	/* Form (draft 9.3.1): malformed. */
	{ "a semicolon at the end",
	  GOOD ";",
	  NAME,
	  { ERR_MALFORMED, "it ends in \";\" or has nothing between two of them" } },
	{ "nothing between two",
	  "authority.example;; accounturi=" URI H_NAME,
	  NAME,
	  { ERR_MALFORMED, "it ends in \";\" or " } },
	{ "the name alone", "authority.example", NAME, { ERR_MALFORMED, "it has no accounturi" } },
	{ "no accounturi", "authority.example; policy=wildcard", NAME, { ERR_MALFORMED, "it has no accounturi" } },
	{ "an empty one", "authority.example; accounturi=", NAME, { ERR_MALFORMED, "accounturi is empty" } },
	{ "accounturi twice", GOOD "; AccountURI=" URI H_NAME, NAME, { ERR_MALFORMED, "it has accounturi twice" } },
	{ "policy twice", GOOD "; policy=a; policy=wildcard", NAME, { ERR_MALFORMED, "it has policy twice" } },
	{ "persistUntil twice",
	  GOOD "; persistUntil=5; PERSISTUNTIL=5",
	  NAME,
	  { ERR_MALFORMED, "it has persistUntil twice" } },
	{ "no equals sign", GOOD "; policy", NAME, { ERR_MALFORMED, "\"policy\" is not TAG=VALUE" } },
	{ "no tag", GOOD "; =wildcard", NAME, { ERR_MALFORMED, "\"=wildcard\" has no tag before the \"=\"" } },
	{ "a blank in a value",
	  GOOD "; x=a b",
	  NAME,
	  { ERR_MALFORMED, "the value of x has byte 0x20 at 1; only visible ASCII may be there" } },
	{ "a byte of Latin-1", GOOD "; x=\xe4", NAME, { ERR_MALFORMED, "the value of x has byte 0xe4 at 0; " } },
	{ "seconds with an exponent", GOOD "; persistUntil=1e9", NAME, { ERR_MALFORMED, UNTIL_WORDS("1e9") } },
	{ "2^64 seconds",
	  GOOD "; persistUntil=18446744073709551616",
	  NAME,
	  { ERR_MALFORMED, UNTIL_WORDS("18446744073709551616") } },
	{ "2^63 seconds",
	  GOOD "; persistUntil=9223372036854775808",
	  NAME,
	  { ERR_MALFORMED, UNTIL_WORDS("9223372036854775808") } },
	{ "no seconds", GOOD "; persistUntil=", NAME, { ERR_MALFORMED, UNTIL_WORDS("") } },
	{ "a minus alone", GOOD "; persistUntil=-", NAME, { ERR_MALFORMED, UNTIL_WORDS("-") } },
	{ "a plus", GOOD "; persistUntil=+5", NAME, { ERR_MALFORMED, UNTIL_WORDS("+5") } },
	{ "hexadecimal", GOOD "; persistUntil=0x7fffffff", NAME, { ERR_MALFORMED, UNTIL_WORDS("0x7fffffff") } },
	{ "a date",
	  GOOD "; persistUntil=2027-01-01T00:00:00Z",
	  NAME,
	  { ERR_MALFORMED, UNTIL_WORDS("2027-01-01T00:00:00Z") } },
	{ "the account's URL, as draft -01 had it", OURS ACCOUNT, NAME, { ERR_MALFORMED, DRAFT_01_WORDS } },
	{ "another account's URL", OURS "https://ca.example/acct/99", NAME, { ERR_MALFORMED, DRAFT_01_WORDS } },
	{ "under another CA's prefix",
	  OURS "https://other.example/account-hash/sha-256/" H_NAME,
	  NAME,
	  { ERR_MALFORMED, PREFIX_WORDS } },
	{ "the prefix in capitals",
	  OURS "https://CA.example/account-hash/sha-256/" H_NAME,
	  NAME,
	  { ERR_MALFORMED, PREFIX_WORDS } },
	{ "the hash alone", OURS "sha-256/" H_NAME, NAME, { ERR_MALFORMED, PREFIX_WORDS } },
	{ "the hash of clients that write sha256", OURS PREFIX "sha256/" H_RAW, NAME, { ERR_MALFORMED, SHA256_WORDS } },
	{ "another hash",
	  OURS PREFIX "sha-512/" H_NAME,
	  NAME,
	  { ERR_MALFORMED, "the hash is \"sha-512\"; this CA takes sha-256 alone" } },
	{ "a hash without its name",
	  OURS PREFIX H_NAME,
	  NAME,
	  { ERR_MALFORMED, "accounturi has no sha-256/ and hash behind the accountHashPrefix" } },
	{ "a hash with its padding",
	  OURS URI H_NAME "=",
	  NAME,
	  { ERR_MALFORMED, "what follows sha-256/ is not 32 bytes in base64url without padding" } },
	{ "a hash cut short",
	  OURS URI "5SQm7n6tPh2",
	  NAME,
	  { ERR_MALFORMED, "what follows sha-256/ is not 32 bytes " } },
	{ "no hash", OURS URI, NAME, { ERR_MALFORMED, "what follows sha-256/ is not 32 bytes " } },

	/* What can be read and does not hold: unauthorized. */
	{ "another account's hash", OURS URI H_ACCOUNT, NAME, { ERR_UNAUTHORIZED, BAD_HASH } },
	{ "another name's hash", OURS URI H_OTHER, NAME, { ERR_UNAUTHORIZED, BAD_HASH } },
	{ "over the thumbprint's bytes", OURS URI H_RAW, NAME, { ERR_UNAUTHORIZED, RAW_WORDS } },
	{ "over the thumbprint's bytes and the star", OURS URI H_RAW_STAR, NAME, { ERR_UNAUTHORIZED, RAW_WORDS } },
	{ "over the name of the record", OURS URI H_LABEL, NAME, { ERR_UNAUTHORIZED, FORM_WORDS } },
	{ "over the wildcard", OURS URI H_WILD "; policy=wildcard", WILDCARD, { ERR_UNAUTHORIZED, FORM_WORDS } },
	{ "over the name with its dot", OURS URI H_DOT, NAME, { ERR_UNAUTHORIZED, FORM_WORDS } },
	{ "a wildcard without policy",
	  GOOD,
	  WILDCARD,
	  { ERR_UNAUTHORIZED, "it has no policy=wildcard, which a wildcard wants" } },
	{ "a wildcard with another policy",
	  GOOD "; policy=wildcards",
	  WILDCARD,
	  { ERR_UNAUTHORIZED, "it has no policy=wildcard, which a wildcard wants" } },
	{ "names below without policy",
	  GOOD,
	  BELOW,
	  { ERR_UNAUTHORIZED, "it has no policy=wildcard, which the names below the domain want" } },
	{ "over since a second",
	  GOOD "; persistUntil=999",
	  NAME,
	  { ERR_UNAUTHORIZED, "persistUntil=999 is over: it was 1970-01-01T00:16:39Z" } },
	{ "over since 1970",
	  GOOD "; persistUntil=0",
	  NAME,
	  { ERR_UNAUTHORIZED, "persistUntil=0 is over: it was 1970-01-01T00:00:00Z" } },
	{ "before 1970",
	  GOOD "; persistUntil=-9223372036854775807",
	  NAME,
	  { ERR_UNAUTHORIZED, "persistUntil=-9223372036854775807 is over, long before 1970" } },
};

static struct str issuers[] = { { "authority.example", 17 }, { "ca.example.net", 14 } };
static const struct conf_realm realm = { .name = { "default", 7 },
					 .caa = { "off", 3 },
					 .caa_identities = { issuers, 2 } };
static struct str earlier[] = { { EARLIER_1, 43 }, { EARLIER_2, 43 } };

static struct validate_job job_for(enum asked_for asked_for)
{
	struct validate_job job = script_job(CHALLENGE_DNSPERSIST01);
	job.ident.value = STR("example.com");
	job.thumbprint = STR(KEY);
	job.account_url = STR(ACCOUNT);
	job.earlier_thumbprints = earlier;
	job.earlier_count = 2;
	job.wildcard = asked_for == WILDCARD;
	job.subdomains = asked_for == BELOW;
	return job;
}

static void run(struct script *s, const struct validate_job *job, struct resolve_txt_answer answer, struct arena *mem,
		struct verdict *ret)
{
	const struct script_step step = { .asked = ASKED, .txt = answer };
	s->realm = &realm;
	assert_true(script_run(s, &step, 1, 1, job, mem, ret));
	s->realm = NULL;
}

static void check_outcome(const char *title, const struct verdict *v, const struct outcome *is, struct str record,
			  const char *wanted, struct arena *mem)
{
	struct str found = peer_text(mem, record, 160);
	struct str text =
		is->kind == ERR_NONE
			? STR("")
			: str_fmt(mem, ASKED " TXT from 127.0.0.1:5353: found \"%.*s\": %s%s%s%c", (int)found.n,
				  found.p, is->reason, str_ends(str_z(is->reason), STR(" ")) ? "" : "; wanted ",
				  str_ends(str_z(is->reason), STR(" ")) ? "" : wanted, 0);
	script_check_problem(title, v, is->kind, text.p, mem);
	if (is->kind != ERR_NONE)
		return;
	if (!str_eq(v->record_thumbprint, str_z(is->earlier)) || v->persist_until_s != is->until_s)
		fail_msg("%s: key %.*s, until %lld", title, (int)v->record_thumbprint.n, v->record_thumbprint.p,
			 (long long)v->persist_until_s);
	assert_true(str_eq(v->account_url, STR(ACCOUNT)) && str_eq(v->thumbprint, STR(KEY)));
}

static void every_row_ends_as_it_says(void **state) /* A53 */
{
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct verdict v;
		struct str record = str_z(rows[i].record);
		struct validate_job job = job_for(rows[i].asked_for);
		run(*state, &job, (struct resolve_txt_answer){ .records = &record, .count = 1 }, &mem, &v);
		check_outcome(rows[i].title, &v, &rows[i].is, record, rows[i].asked_for == NAME ? WANTED : WANTED_WILD,
			      &mem);
	}
}

/* What is not of this CA is passed over, whatever it holds. */
static void records_of_others_are_not_looked_at(void **state)
{
	static const char *const others[] = {
		"ca1.example; accounturi=" URI H_NAME, /* a foreign issuer with our hash */
		"evilauthority.example; accounturi=" URI H_NAME,
		"authority.example.evil.test; accounturi=" URI H_NAME,
		"xauthority.example;;;",
		"authority.example..; accounturi=" URI H_NAME,
		"authority.example accounturi=" URI H_NAME,
		"\"authority.example\"; accounturi=" URI H_NAME,
		"; accounturi=" URI H_NAME,
		"v=spf1 -all",
	};
	for (size_t i = 0; i < ARRAY_LEN(others); i++) {
		AUTO(arena_done) struct arena mem = { 0 };
		struct verdict v;
		struct str records[] = { str_z(others[i]), STR(GOOD) };
		struct validate_job job = job_for(NAME);
		run(*state, &job, (struct resolve_txt_answer){ .records = records, .count = 1 }, &mem, &v);
		struct str found = peer_text(&mem, records[0], 60);
		struct str text =
			str_fmt(&mem,
				ASKED " TXT from 127.0.0.1:5353: found \"%.*s\", no record of this CA; wanted a "
				      "record " WANTED "; publish it beside what is there%c",
				(int)found.n, found.p, 0);
		script_check_problem(others[i], &v, ERR_UNAUTHORIZED, text.p, &mem);
		run(*state, &job, (struct resolve_txt_answer){ .records = records, .count = 2 }, &mem, &v);
		assert_true(v.valid);
	}
}

/* Any good one is enough; of several the present key's, and of these the one that holds longest, in whatever order. */
static void among_several_the_best_one_counts(void **state)
{
	static const struct {
		const char *records[3];
		struct outcome is;
		const char *said_of;
	} cases[] = {
		{ { GOOD ";", OURS URI H_OTHER, GOOD }, { 0 }, NULL },
		{ { GOOD "; persistUntil=999", GOOD, "nothing" }, { 0 }, NULL },
		{ { GOOD "; persistUntil=5000", GOOD "; persistUntil=7000", GOOD "; persistUntil=6000" },
		  { .until_s = 7000 },
		  NULL },
		{ { OURS URI H_EARLIER_1, GOOD "; persistUntil=5000", "nothing" }, { .until_s = 5000 }, NULL },
		{ { OURS URI H_EARLIER_1 "; persistUntil=5000", OURS URI H_EARLIER_2_STAR, "nothing" },
		  { .earlier = EARLIER_2 },
		  NULL },
		/* Of two that hold equally long, the later key's: perspectives get records in different orders. */
		{ { OURS URI H_EARLIER_1, OURS URI H_EARLIER_2_STAR, "nothing" }, { .earlier = EARLIER_1 }, NULL },
		{ { OURS URI H_EARLIER_2_STAR "; persistUntil=5000", OURS URI H_EARLIER_1 "; persistUntil=5000",
		    "nothing" },
		  { .earlier = EARLIER_1, .until_s = 5000 },
		  NULL },
		/* Malformed is said before unauthorized. */
		{ { OURS URI H_OTHER, GOOD ";", "nothing" },
		  { ERR_MALFORMED, "it ends in \";\" or has nothing between two of them" },
		  GOOD ";" },
		{ { "nothing", OURS URI H_OTHER, "ca1.example;;" }, { ERR_UNAUTHORIZED, BAD_HASH }, OURS URI H_OTHER },
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		for (size_t turn = 0; turn < 3; turn++) {
			AUTO(arena_done) struct arena mem = { 0 };
			struct verdict v;
			struct str records[3];
			struct validate_job job = job_for(NAME);
			for (size_t k = 0; k < 3; k++)
				records[k] = str_z(cases[i].records[(k + turn) % 3]);
			run(*state, &job, (struct resolve_txt_answer){ .records = records, .count = 3 }, &mem, &v);
			check_outcome(cases[i].records[0], &v, &cases[i].is, str_z(cases[i].said_of), WANTED, &mem);
		}
	}
}

static void an_alias_leads_to_the_record_and_changes_no_name(void **state)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	struct str good = STR(GOOD), of_target = STR(OURS URI H_OTHER);
	struct validate_job job = job_for(NAME);
	struct resolve_txt_answer answer = { .records = &good,
					     .count = 1,
					     .canonical = STR("_validation-persist.example.org"),
					     .dnssec = DNSSEC_SECURE };
	run(*state, &job, answer, &mem, &v);
	assert_true(v.valid);
	assert_int_equal(v.step_count, 2);
	assert_true(str_starts(v.steps[0].detail, STR(ASKED " (alias of _validation-persist.example.org) TXT from "
							    "127.0.0.1:5353: \"authority.example; accounturi=")));
	assert_true(str_eq(v.steps[1].detail, STR("the record names this account by its present key, without an end")));
	answer.records = &of_target; /* made for where the alias leads */
	run(*state, &job, answer, &mem, &v);
	script_check_problem(
		"of the target", &v, ERR_UNAUTHORIZED,
		ASKED " (alias of _validation-persist.example.org) TXT from 127.0.0.1:5353: found \"" OURS URI H_OTHER
		      "\": " BAD_HASH "; wanted " WANTED,
		&mem);
}

static void that_there_is_no_record_is_said_with_what_is_wanted(void **state)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	struct validate_job job = job_for(WILDCARD);
	run(*state, &job, (struct resolve_txt_answer){ .nxdomain = true }, &mem, &v);
	script_check_problem("no name", &v, ERR_DNS,
			     ASKED
			     " TXT: no such name (NXDOMAIN) from 127.0.0.1:5353; wanted a record " WANTED_WILD
			     "; publish it under exactly this name and wait until all name servers of the zone have it",
			     &mem);
	run(*state, &job, (struct resolve_txt_answer){ .count = 0 }, &mem, &v);
	script_check_problem("no record", &v, ERR_UNAUTHORIZED,
			     ASKED " TXT: no such record from 127.0.0.1:5353; wanted a record " WANTED_WILD "; ", &mem);
	run(*state, &job, (struct resolve_txt_answer){ .left_out = 4 }, &mem, &v);
	script_check_problem("none that can be read", &v, ERR_UNAUTHORIZED,
			     ASKED " TXT from 127.0.0.1:5353: found 4 more, no record of this CA; ", &mem);
}

/* An earlier key counts for this account alone and only while the api names it. */
static void keys_that_are_not_named_do_not_count(void **state)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	struct str record = STR(OURS URI H_EARLIER_1);
	struct validate_job job = job_for(NAME);
	job.earlier_count = 0;
	run(*state, &job, (struct resolve_txt_answer){ .records = &record, .count = 1 }, &mem, &v);
	assert_int_equal(v.problem, ERR_UNAUTHORIZED);
	job = job_for(NAME);
	run(*state, &job, (struct resolve_txt_answer){ .records = &record, .count = 1 }, &mem, &v);
	assert_true(v.valid);
	assert_true(str_eq(v.steps[1].detail,
			   STR("the record names this account by a key that it had earlier, without an end")));
}

static void the_prefix_is_the_realms_own_when_it_has_one(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	struct conf_realm own = realm;
	struct str records[] = { STR(OURS "https://hash.example/h/sha-256/" H_NAME), STR(GOOD) };
	own.account_hash_prefix = STR("https://hash.example/h/");
	struct validate_job job = job_for(NAME);
	const struct script_step steps[] = { { .asked = ASKED, .txt = { .records = &records[0], .count = 1 } },
					     { .asked = ASKED, .txt = { .records = &records[1], .count = 1 } } };
	s->realm = &own;
	assert_true(script_run(s, &steps[0], 1, 1, &job, &mem, &v));
	assert_true(v.valid);
	assert_true(script_run(s, &steps[1], 1, 1, &job, &mem, &v));
	s->realm = NULL;
	script_check_problem("the default prefix", &v, ERR_MALFORMED,
			     ASKED " TXT from 127.0.0.1:5353: found \"" GOOD "\": accounturi does not begin with this "
				   "CA's accountHashPrefix, which is https://hash.example/h/; ",
			     &mem);
}

static void a_corrected_record_counts_at_the_next_attempt(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	struct str records[] = { STR(GOOD ";"), STR(GOOD) };
	struct validate_job job = job_for(NAME);
	const struct script_step steps[] = { { .asked = ASKED, .txt = { .records = &records[0], .count = 1 } },
					     { .asked = ASKED, .txt = { .records = &records[1], .count = 1 } } };
	s->realm = &realm;
	assert_true(script_run(s, steps, 2, 3, &job, &mem, &v));
	s->realm = NULL;
	assert_true(v.valid);
}

/* What only a wrong configuration or a lying api asks for. */
static void what_cannot_be_looked_for_is_a_fault_of_the_ca(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct verdict v;
	struct validate_job job = job_for(NAME);
	assert_true(script_run(s, NULL, 0, 3, &job, &mem, &v)); /* a realm without caa-identities */
	script_check_problem("no issuers", &v, ERR_INTERNAL,
			     "realm \"default\" has no caa-identities here, which dns-persist-01 wants", &mem);
	job.ident = (struct ident){ IDENT_IP, STR("192.0.2.1") };
	assert_true(script_run(s, NULL, 0, 3, &job, &mem, &v));
	script_check_problem("an address", &v, ERR_INTERNAL, "dns-persist-01 proves no address (RFC 8738 7)", &mem);
}

/* draft-ietf-acme-dns-persist-02 10.2 */
static void the_drafts_vectors_hold(void **state)
{
	struct script *s = *state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct err err = { 0 };
	struct str hash;
	MUST(persist_hash(s->crypto, &mem, STR("example.com"), STR(KEY), STR(ACCOUNT), &hash, &err));
	assert_true(str_eq(hash, STR(H_NAME)));
	MUST(persist_hash(s->crypto, &mem, STR("*"), STR(KEY), STR(ACCOUNT), &hash, &err));
	assert_true(str_eq(hash, STR(H_STAR)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_drafts_vectors_hold),
		cmocka_unit_test(every_row_ends_as_it_says),
		cmocka_unit_test(records_of_others_are_not_looked_at),
		cmocka_unit_test(among_several_the_best_one_counts),
		cmocka_unit_test(an_alias_leads_to_the_record_and_changes_no_name),
		cmocka_unit_test(that_there_is_no_record_is_said_with_what_is_wanted),
		cmocka_unit_test(keys_that_are_not_named_do_not_count),
		cmocka_unit_test(the_prefix_is_the_realms_own_when_it_has_one),
		cmocka_unit_test(a_corrected_record_counts_at_the_next_attempt),
		cmocka_unit_test(what_cannot_be_looked_for_is_a_fault_of_the_ca),
	};
	return cmocka_run_group_tests(tests, script_setup, script_teardown);
}

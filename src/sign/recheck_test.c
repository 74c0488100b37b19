/* SPDX-License-Identifier: Apache-2.0
 *
 * recheck_test.c: the taken-over api. It may send any job it likes; each row is one thing that it could try, and the
 * words with which the signer refuses.
 */
#include "sign/test.h"

static struct rc check(struct plan *p, struct sign_job *job, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(rechecked_done) struct rechecked held = { .email_count = 0 };
	struct town *t = p->town;
	struct recheck rk = {
		.crypto = t->crypto, .conf = t->conf, .perspective_keys = t->voters, .now_ms = t->now_ms
	};
	*err = (struct err){ 0 };
	struct rc rc = recheck_job(&rk, &mem, job, &held, NULL, err);
	if (rc.kind == ERR_NONE) {
		assert_true(key_public_eq(held.csr.key, p->csr_key));
		assert_int_equal(held.csr.name_count + held.csr.addr_count, p->name_count);
	}
	return rc;
}

struct row {
	const char *what;
	void (*change)(struct plan *p);
	enum err_kind kind; /* ERR_NONE: it holds */
	const char *text;
	void (*after)(struct plan *p, struct sign_job *j);
};

static void check_rows(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct town *t = town_new();
		struct plan p = plan_good(t);
		struct err err;
		if (rows[i].change != NULL)
			rows[i].change(&p);
		struct sign_job job = plan_job(&p);
		if (rows[i].after != NULL)
			rows[i].after(&p, &job);
		struct rc rc = check(&p, &job, &err);
		if (rc.kind != rows[i].kind || (rows[i].text != NULL && strstr(err.detail, rows[i].text) == NULL))
			fail_msg("%s: found %s \"%s\", wanted %s \"%s\"", rows[i].what, err_kind_name(rc.kind),
				 err.detail, err_kind_name(rows[i].kind), rows[i].text == NULL ? "" : rows[i].text);
		town_free(t);
	}
}

/* Each of these changes one thing. */
#define CHANGE(name, ...)                \
	static void name(struct plan *p) \
	{                                \
		__VA_ARGS__;             \
	}
#define AFTER(name, ...)                                     \
	static void name(struct plan *p, struct sign_job *j) \
	{                                                    \
		(void)p;                                     \
		__VA_ARGS__;                                 \
	}
#define BOTH(member, value) (p->votes[0].member = (value), p->votes[1].member = (value))

/* what holds */
CHANGE(third_instead, p->votes[0].cast = false; p->votes[2].cast = true)
CHANGE(one_extra_bad, p->votes[2].cast = true; p->votes[2].valid = false)
CHANGE(one_extra_forged, p->votes[2].cast = true; p->votes[2].spoil = true)
CHANGE(wildcard_account, p->names[1] = STR("*.corp.example"); BOTH(method, CHALLENGE_DNSACCOUNT01))
CHANGE(wildcard_dns, p->names[1] = STR("*.corp.example"); BOTH(method, CHALLENGE_DNS01))
CHANGE(reused, BOTH(started_ms, NOW_MS - 30 * DAY_S * 1000); BOTH(finished_ms, NOW_MS - 30 * DAY_S * 1000))
CHANGE(brief, p->profile = "brief"; p->not_after = p->not_before + 7 * DAY_S - 1)
CHANGE(order_seven_days, p->order = p->url_order = id_at(NOW_MS - 7 * DAY_S * 1000, 2))
static struct str alpn = { "tls-alpn-01", 11 };
CHANGE(key_of_before, p->finalize_key = p->job_key = p->town->stranger; BOTH(thumbprint_of, p->town->stranger))
CHANGE(postdated_48, p->not_before = NOW_S + 48 * 3600; p->not_after = p->not_before + 90 * DAY_S - 1)
CHANGE(two_addrs, p->names[0] = STR("192.0.2.7"); p->names[1] = STR("2001:db8::7"))
CHANGE(name_and_addrs, p->names[0] = STR("2001:db8::7"); p->names[2] = STR("192.0.2.7"); p->name_count = 3)
CHANGE(addr_alpn, p->names[1] = STR("192.0.2.7"); BOTH(method, CHALLENGE_TLSALPN01);
       p->town->conf->realms[0].challenges = (struct conf_list){ &alpn, 1 })
static void team(struct plan *p)
{
	p->realm = "team";
	p->url_base = p->kid_base = BASE "/realm/team";
	p->names[0] = STR("x.team.example");
	p->name_count = 1;
	p->votes[0].cast = p->votes[1].cast = false;
	p->votes[3].cast = true;
	p->votes[3].realm = "team";
	p->votes[3].zone = "far";
}

static void good_jobs_hold(void **state)
{
	static const struct row rows[] = {
		{ "the plain job", NULL, ERR_NONE, NULL, NULL },
		{ "another two of three perspectives", third_instead, ERR_NONE, NULL, NULL },
		{ "a third that saw a failure", one_extra_bad, ERR_NONE, NULL, NULL },
		{ "a third that is forged", one_extra_forged, ERR_NONE, NULL, NULL },
		{ "a wildcard by dns-01", wildcard_dns, ERR_NONE, NULL, NULL },
		{ "a wildcard by dns-account-01", wildcard_account, ERR_NONE, NULL, NULL },
		{ "evidence as old as the realm allows", reused, ERR_NONE, NULL, NULL },
		{ "another profile of the realm", brief, ERR_NONE, NULL, NULL },
		{ "an order as old as the realm allows", order_seven_days, ERR_NONE, NULL, NULL },
		{ "another realm, zone and URL", team, ERR_NONE, NULL, NULL },
		{ "all under a key that the account had before", key_of_before, ERR_NONE, NULL, NULL },
		{ "a start 48 hours ahead", postdated_48, ERR_NONE, NULL, NULL },
		{ "addresses", two_addrs, ERR_NONE, NULL, NULL },
		{ "a name between addresses", name_and_addrs, ERR_NONE, NULL, NULL },
		{ "an address by tls-alpn-01", addr_alpn, ERR_NONE, NULL, NULL },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* the realm's limits */
CHANGE(no_realm, p->realm = "nobody")
CHANGE(other_realm, p->realm = "team")
CHANGE(no_profile, p->profile = "nothing")
CHANGE(other_profile, p->profile = "other")
CHANGE(other_issuer, p->issuer = "other")
CHANGE(other_name, p->names[1] = STR("api.team.example"))
CHANGE(public_name, p->names[1] = STR("www.example.com"))
AFTER(bad_name, j->idents[1].value = STR("under_score.corp.example"))
AFTER(upper_name, j->idents[1].value = STR("API.corp.example"))
CHANGE(same_name, p->names[1] = p->names[0]; p->csr_names[0] = p->names[0]; p->csr_name_count = 1)
CHANGE(four_names, p->names[2] = STR("c.corp.example"); p->names[3] = STR("d.corp.example"); p->name_count = 4)
AFTER(no_names, j->ident_count = 0)
AFTER(name_as_addr, j->idents[1].type = IDENT_IP)
AFTER(addr_as_name, j->idents[1] = ((struct ident){ IDENT_DNS, STR("192.0.2.7") }))
AFTER(no_type, j->idents[1].type = IDENT_TYPE_COUNT)
AFTER(long_addr, j->idents[1] = ((struct ident){ IDENT_IP, STR("2001:db8:0::7") }))
AFTER(upper_addr, j->idents[1] = ((struct ident){ IDENT_IP, STR("2001:DB8::7") }))
AFTER(mapped_addr, j->idents[1] = ((struct ident){ IDENT_IP, STR("::ffff:192.0.2.7") }))
AFTER(ranged_addr, j->idents[1] = ((struct ident){ IDENT_IP, STR("192.0.2.0/24") }))
CHANGE(other_addr, p->names[1] = STR("198.51.100.7"))
CHANGE(other_addr6, p->names[1] = STR("2001:db9::7"))
CHANGE(loopback_addr, p->names[1] = STR("127.0.0.1"))
AFTER(same_addr, j->idents[0] = j->idents[1] = ((struct ident){ IDENT_IP, STR("192.0.2.7") }))
CHANGE(team_addr, team(p); p->names[0] = STR("192.0.2.7"))
CHANGE(four_with_addrs, p->names[2] = STR("192.0.2.7"); p->names[3] = STR("192.0.2.8"); p->name_count = 4)
CHANGE(short_serial, p->serial = "0102")
CHANGE(negative_serial, p->serial = "ff0203040506070809101112131415161718")
CHANGE(other_prefix, p->serial = "020203040506070809101112131415161718")
CHANGE(zero_serial, p->serial = "000203040506070809101112131415161718")
CHANGE(longer, p->not_after += 1)
CHANGE(brief_longer, p->profile = "brief")
CHANGE(backwards, p->not_after = p->not_before - 1)
CHANGE(endless, p->not_after = INT64_MAX)
CHANGE(beginning, p->not_before = INT64_MIN)
CHANGE(backdated, p->not_before = NOW_S - 48 * 3600 - 1; p->not_after = p->not_before + 7 * DAY_S)
CHANGE(postdated, p->not_before = NOW_S + 48 * 3600 + 1; p->not_after = p->not_before + 7 * DAY_S)
CHANGE(postdated_for_ever, p->not_before = p->not_after = INT64_MAX)
CHANGE(postdated_longer, postdated_48(p); p->not_after += 1)
CHANGE(ended, p->not_before = NOW_S - 7200; p->not_after = NOW_S - 1)
CHANGE(old_order, p->order = p->url_order = id_at(NOW_MS - 8 * DAY_S * 1000 - 1000, 2))
CHANGE(future_order, p->order = p->url_order = id_at(NOW_MS + 301000, 2))

static void what_the_realm_does_not_allow_is_refused(void **state)
{
	static const struct row rows[] = {
		{ "unknown realm", no_realm, ERR_UNAUTHORIZED, "knows no realm", NULL },
		{ "names of one realm in another", other_realm, ERR_REJECTED_IDENTIFIER, "team", NULL },
		{ "unknown profile", no_profile, ERR_INVALID_PROFILE, "nothing", NULL },
		{ "profile of nobody's realm", other_profile, ERR_INVALID_PROFILE, "other", NULL },
		{ "other issuer", other_issuer, ERR_UNAUTHORIZED, "is not issued by \"other\"", NULL },
		{ "name of another realm", other_name, ERR_REJECTED_IDENTIFIER, "api.team.example", NULL },
		{ "name of the world", public_name, ERR_REJECTED_IDENTIFIER, "www.example.com", NULL },
		{ "name that is none", NULL, ERR_MALFORMED, NULL, bad_name },
		{ "upper case", NULL, ERR_MALFORMED, NULL, upper_name },
		{ "a name twice", same_name, ERR_MALFORMED, "twice", NULL },
		{ "too many names", four_names, ERR_REJECTED_IDENTIFIER, "allow 3", NULL },
		{ "no name", NULL, ERR_MALFORMED, "names nothing", no_names },
		{ "a name as an address", NULL, ERR_MALFORMED, "canonical form", name_as_addr },
		{ "an address as a name", NULL, ERR_MALFORMED, NULL, addr_as_name },
		{ "a type that is none", NULL, ERR_MALFORMED, "type", no_type },
		{ "an address in a longer form", NULL, ERR_MALFORMED, "canonical form", long_addr },
		{ "an address in upper case", NULL, ERR_MALFORMED, "canonical form", upper_addr },
		{ "a mapped address", NULL, ERR_REJECTED_IDENTIFIER, "IPv4 address itself", mapped_addr },
		{ "a range", NULL, ERR_MALFORMED, "canonical form", ranged_addr },
		{ "an address of nobody's range", other_addr, ERR_REJECTED_IDENTIFIER, "198.51.100.7", NULL },
		{ "an IPv6 address of nobody's range", other_addr6, ERR_REJECTED_IDENTIFIER, "2001:db9::7", NULL },
		{ "the signer's own address", loopback_addr, ERR_REJECTED_IDENTIFIER, "127.0.0.1", NULL },
		{ "an address twice", NULL, ERR_MALFORMED, "twice", same_addr },
		{ "an address in a realm without", team_addr, ERR_REJECTED_IDENTIFIER, "allows no addresses", NULL },
		{ "too many names and addresses", four_with_addrs, ERR_REJECTED_IDENTIFIER, "allow 3", NULL },
		{ "short serial", short_serial, ERR_MALFORMED, "serial", NULL },
		{ "negative serial", negative_serial, ERR_MALFORMED, "serial", NULL },
		{ "zero serial", zero_serial, ERR_MALFORMED, "serial", NULL },
		{ "serial of another instance", other_prefix, ERR_MALFORMED, "wanted 01", NULL },
		{ "one second too long", longer, ERR_MALFORMED, "7776001 s", NULL },
		{ "long life under a short profile", brief_longer, ERR_MALFORMED, "604800", NULL },
		{ "end before start", backwards, ERR_MALFORMED, "before notBefore", NULL },
		{ "end of time", endless, ERR_MALFORMED, "life", NULL },
		{ "start of time", beginning, ERR_MALFORMED, "48 hours", NULL },
		{ "backdated", backdated, ERR_MALFORMED, "48 hours", NULL },
		{ "postdated", postdated, ERR_MALFORMED, "48 hours ahead", NULL },
		{ "postdated for ever", postdated_for_ever, ERR_MALFORMED, "48 hours ahead", NULL },
		{ "postdated and a second too long", postdated_longer, ERR_MALFORMED, "7776001 s", NULL },
		{ "already over", ended, ERR_MALFORMED, "ended", NULL },
		{ "order of long ago", old_order, ERR_UNAUTHORIZED, "older", NULL },
		{ "order of tomorrow", future_order, ERR_MALFORMED, "future", NULL },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* what the client signed */
CHANGE(url_of_other_order, p->url_order = id_at(NOW_MS - 61000, 9))
CHANGE(url_of_other_realm, p->url_base = BASE "/realm/team")
CHANGE(url_of_other_server, p->url_base = "https://evil.example")
static void unsigned_url(struct plan *p)
{
	p->url_order = id_at(NOW_MS - 61000, 9);
	p->job_url = str_fmt(&p->town->mem, BASE "/order/%s/finalize%c", id_show(p->order).z, 0).p;
}
CHANGE(kid_of_other_account, p->kid_account = id_at(NOW_MS - 61000, 9))
CHANGE(kid_of_other_server, p->kid_base = "https://evil.example")
CHANGE(signed_by_stranger, p->finalize_key = p->town->stranger)
CHANGE(key_swapped, p->job_key = p->town->stranger)
CHANGE(all_stranger, p->job_key = p->finalize_key = p->town->stranger)
CHANGE(spoilt_finalize, p->spoil_finalize = true)
CHANGE(no_csr, p->payload = "{}")
CHANGE(more_than_csr, p->payload = "{\"csr\":\"AAAA\",\"notAfter\":\"2099-01-01T00:00:00Z\"}")
CHANGE(bad_payload, p->payload = "[1]")
CHANGE(empty_payload, p->payload = "")
CHANGE(csr_no_der, p->payload = "{\"csr\":\"AAAA\"}")
CHANGE(csr_not_b64, p->payload = "{\"csr\":\"A+==\"}")
CHANGE(spoilt_csr, p->spoil_csr = true)
CHANGE(csr_of_account, p->csr_key = p->town->account)
CHANGE(csr_more, p->csr_names[0] = p->names[0]; p->csr_names[1] = p->names[1]; p->csr_names[2] = STR("x.corp.example");
       p->csr_name_count = 3)
CHANGE(csr_less, p->csr_names[0] = p->names[0]; p->csr_name_count = 1)
CHANGE(csr_other, p->csr_names[0] = p->names[0]; p->csr_names[1] = STR("x.corp.example"); p->csr_name_count = 2)
CHANGE(csr_before, p->csr_names[0] = p->names[0]; p->csr_names[1] = STR("aaa.corp.example"); p->csr_name_count = 2)
CHANGE(csr_addr_more, p->csr_names[0] = p->names[0]; p->csr_names[1] = p->names[1]; p->csr_names[2] = STR("192.0.2.7");
       p->csr_name_count = 3)
CHANGE(csr_addr_less, p->names[2] = STR("192.0.2.7"); p->name_count = 3; p->csr_names[0] = p->names[0];
       p->csr_names[1] = p->names[1]; p->csr_name_count = 2)
CHANGE(csr_addr_for_name, p->csr_names[0] = p->names[0]; p->csr_names[1] = STR("192.0.2.7"); p->csr_name_count = 2)
CHANGE(csr_name_for_addr, p->names[1] = STR("192.0.2.7"); p->csr_names[0] = p->names[0];
       p->csr_names[1] = STR("api.corp.example"); p->csr_name_count = 2)
CHANGE(csr_other_addr, p->names[1] = STR("192.0.2.7"); p->csr_names[0] = p->names[0];
       p->csr_names[1] = STR("192.0.2.70"); p->csr_name_count = 2)
CHANGE(csr_addr6_for_addr, p->names[1] = STR("192.0.2.7"); p->csr_names[0] = p->names[0];
       p->csr_names[1] = STR("2001:db8::7"); p->csr_name_count = 2)
CHANGE(key_of_now, p->job_key = p->town->stranger; BOTH(thumbprint_of, p->town->stranger))
AFTER(jwk_garbage, j->account_jwk = STR("{\"kty\":\"EC\"}"))
static void csr_swapped(struct plan *p, struct sign_job *j)
{
	struct plan other = *p;
	struct sign_job with_other;
	other.csr_key = p->town->stranger;
	with_other = plan_job(&other);
	j->finalize_payload = with_other.finalize_payload; /* the attacker's CSR under the client's signature */
}
static void jwk_embedded(struct plan *p, struct sign_job *j)
{
	AUTO(buf_done) struct buf body = BUF_MAX(JWS_BODY_MAX);
	AUTO(json_auto) struct json *top = NULL;
	struct err err = { 0 };
	struct str csr = plan_csr(p);
	struct str payload = str_fmt(&p->town->mem, "{\"csr\":\"%.*s\"}", (int)csr.n, csr.p);
	MUST(jws_sign_acme(p->town->crypto, p->town->account, STR_NONE, STR("bm9uY2U"), j->finalize_url, payload, &body,
			   &err));
	MUST(json_read(buf_str(&body), JWS_BODY_MAX, &top, &err));
	j->finalize_protected = json_member(p->town, top, "protected");
	j->finalize_payload = json_member(p->town, top, "payload");
	j->finalize_signature = json_member(p->town, top, "signature");
}
AFTER(protected_garbage, j->finalize_protected = STR("e30"))
static void other_alg(struct plan *p, struct sign_job *j)
{
	struct str header =
		str_fmt(&p->town->mem,
			"{\"alg\":\"RS256\",\"nonce\":\"bm9uY2U\",\"url\":\"%.*s\",\"kid\":\"" BASE "/account/%s\"}",
			(int)j->finalize_url.n, j->finalize_url.p, id_show(p->account).z);
	j->finalize_protected = b64url_encode(&p->town->mem, header);
}

static void what_the_client_did_not_sign_is_refused(void **state)
{
	static const struct row rows[] = {
		{ "URL of another order", url_of_other_order, ERR_UNAUTHORIZED, "finalize URL is", NULL },
		{ "URL of another realm", url_of_other_realm, ERR_UNAUTHORIZED, "finalize URL is", NULL },
		{ "URL of another server", url_of_other_server, ERR_UNAUTHORIZED, "finalize URL is", NULL },
		{ "URL that was not signed", unsigned_url, ERR_UNAUTHORIZED, "the client signed a request for", NULL },
		{ "another account's request", kid_of_other_account, ERR_UNAUTHORIZED, "is from", NULL },
		{ "another server's account", kid_of_other_server, ERR_UNAUTHORIZED, "is from", NULL },
		{ "signed by a stranger", signed_by_stranger, ERR_UNAUTHORIZED, "did not sign", NULL },
		{ "account key swapped", key_swapped, ERR_UNAUTHORIZED, "did not sign", NULL },
		{ "account key and request swapped", all_stranger, ERR_UNAUTHORIZED, "another account's key", NULL },
		{ "signature changed", spoilt_finalize, ERR_UNAUTHORIZED, "did not sign", NULL },
		{ "CSR swapped under the signature", NULL, ERR_UNAUTHORIZED, "did not sign", csr_swapped },
		{ "a new-account like request", NULL, ERR_UNAUTHORIZED, "is from", jwk_embedded },
		{ "no header to speak of", NULL, ERR_MALFORMED, NULL, protected_garbage },
		{ "algorithm of another key", NULL, ERR_BAD_SIGNATURE_ALGORITHM, "ES256", other_alg },
		{ "no account key", NULL, ERR_BAD_PUBLIC_KEY, "account key", jwk_garbage },
		{ "no CSR", no_csr, ERR_MALFORMED, "csr", NULL },
		{ "more than a CSR: what is not known is passed over, the rest still judged", more_than_csr,
		  ERR_BAD_CSR, NULL, NULL },
		{ "no object", bad_payload, ERR_MALFORMED, NULL, NULL },
		{ "empty payload", empty_payload, ERR_MALFORMED, NULL, NULL },
		{ "CSR that is no DER", csr_no_der, ERR_BAD_CSR, NULL, NULL },
		{ "CSR that is no base64url", csr_not_b64, ERR_MALFORMED, NULL, NULL },
		{ "CSR not signed by its key", spoilt_csr, ERR_BAD_CSR, NULL, NULL },
		{ "CSR with the account's key", csr_of_account, ERR_BAD_CSR, "account's own key", NULL },
		{ "CSR with a name more", csr_more, ERR_BAD_CSR, "3 names", NULL },
		{ "CSR with a name less", csr_less, ERR_BAD_CSR, "1 names", NULL },
		{ "CSR with another name", csr_other, ERR_BAD_CSR, "lacks api.corp.example", NULL },
		{ "CSR with a name before all", csr_before, ERR_BAD_CSR, "names aaa.corp.example", NULL },
		{ "CSR with an address more", csr_addr_more, ERR_BAD_CSR, "3 names", NULL },
		{ "CSR with an address less", csr_addr_less, ERR_BAD_CSR, "2 names", NULL },
		{ "CSR with an address in the place of a name", csr_addr_for_name, ERR_BAD_CSR,
		  "lacks api.corp.example", NULL },
		{ "CSR with a name in the place of an address", csr_name_for_addr, ERR_BAD_CSR,
		  "names api.corp.example", NULL },
		{ "CSR with another address", csr_other_addr, ERR_BAD_CSR, "lacks 192.0.2.7,", NULL },
		{ "CSR with an address of the other family", csr_addr6_for_addr, ERR_BAD_CSR, "lacks 192.0.2.7,",
		  NULL },
		{ "the key that the account has by now, which did not sign", key_of_now, ERR_UNAUTHORIZED,
		  "did not sign", NULL },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* what the perspectives signed */
CHANGE(no_votes, p->votes[0].cast = p->votes[1].cast = false)
CHANGE(one_vote, p->votes[1].cast = false)
CHANGE(one_vote_twice, p->votes[1].cast = false; p->votes[0].twice = true)
CHANGE(failed_vote, p->votes[1].valid = false)
CHANGE(forged_vote, p->votes[1].spoil = true)
CHANGE(wrong_signer, p->votes[1].signer = p->town->stranger)
CHANGE(voter_signs_for_other, p->votes[1].signer = p->town->voters[0])
CHANGE(voter_speaks_for_other, p->votes[1].signer = p->town->voters[0]; p->votes[1].kid = "a")
CHANGE(foreign_zone, p->votes[1].cast = false; p->votes[3].cast = true)
CHANGE(unknown_voter, p->votes[1].perspective = p->votes[1].kid = "z")
CHANGE(unpinned_voter, key_free(p->town->voters[2]); p->town->voters[2] = NULL;
       p->votes[1].perspective = p->votes[1].kid = "c")
CHANGE(votes_of_realm, BOTH(realm, "team"))
CHANGE(votes_of_zone, BOTH(zone, "far"))
CHANGE(votes_for_stranger, BOTH(thumbprint_of, p->town->stranger))
CHANGE(votes_for_name, BOTH(name, STR("www.corp.example")))
CHANGE(votes_for_parent, BOTH(name, STR("corp.example")))
CHANGE(votes_old, BOTH(started_ms, NOW_MS - 30 * DAY_S * 1000 - 1000);
       BOTH(finished_ms, NOW_MS - 30 * DAY_S * 1000 - 1000))
CHANGE(one_vote_old, p->votes[1].started_ms = 0; p->votes[1].finished_ms = 1000)
CHANGE(votes_future, BOTH(finished_ms, NOW_MS + 301000))
CHANGE(wildcard_suffix, p->town->conf->realms[0].names.v[0] = STR("*"); p->names[1] = STR("*.co.uk");
       BOTH(method, CHALLENGE_DNS01))
CHANGE(wildcard_http, p->names[1] = STR("*.corp.example"))
CHANGE(wildcard_alpn, p->names[1] = STR("*.corp.example"); BOTH(method, CHALLENGE_TLSALPN01))
CHANGE(wildcard_unmarked, p->names[1] = STR("*.corp.example"); BOTH(method, CHALLENGE_DNS01); BOTH(wildcard, 0))
CHANGE(plain_marked_wildcard, BOTH(method, CHALLENGE_DNS01); BOTH(wildcard, 1))
CHANGE(method_not_served, BOTH(method, CHALLENGE_TLSALPN01))
CHANGE(other_purpose, BOTH(typ, "cairn-grant+jws"))
AFTER(votes_garbage, j->verdicts[0] = j->verdicts[1] = STR("a.b.c"))
AFTER(half_missing, j->verdict_count = 3)
static void no_reuse(struct plan *p) /* authz-valid 0: only what was proven for this very order */
{
	p->town->conf->realms[0].authz_valid_s = 0;
	p->town->conf->realms[1].authz_valid_s = 0;
	BOTH(started_ms, NOW_MS - 61000);
}
static void no_reuse_needed(struct plan *p)
{
	p->town->conf->realms[0].authz_valid_s = 0;
	p->town->conf->realms[1].authz_valid_s = 0;
}

static void what_the_perspectives_did_not_prove_is_refused(void **state)
{
	static const struct row rows[] = {
		{ "no evidence", no_votes, ERR_UNAUTHORIZED, "proven by 0 of the 2", NULL },
		{ "one short of the quorum", one_vote, ERR_UNAUTHORIZED, "proven by 1 of the 2", NULL },
		{ "one perspective twice", one_vote_twice, ERR_UNAUTHORIZED, "proven by 1 of the 2", NULL },
		{ "one for one name missing", NULL, ERR_UNAUTHORIZED, "api.corp.example is proven by 1", half_missing },
		{ "one says failed", failed_vote, ERR_UNAUTHORIZED, "challenge failed", NULL },
		{ "one is forged", forged_vote, ERR_UNAUTHORIZED, "did not sign it", NULL },
		{ "one signed by a stranger", wrong_signer, ERR_UNAUTHORIZED, "did not sign it", NULL },
		{ "a perspective signs as another", voter_signs_for_other, ERR_UNAUTHORIZED, "did not sign it", NULL },
		{ "a perspective speaks for another", voter_speaks_for_other, ERR_UNAUTHORIZED, "speaks for \"b\"",
		  NULL },
		{ "a perspective of another zone", foreign_zone, ERR_UNAUTHORIZED, "not of zone", NULL },
		{ "an unknown perspective", unknown_voter, ERR_UNAUTHORIZED, "not of zone", NULL },
		{ "a perspective without a pinned key", unpinned_voter, ERR_UNAUTHORIZED, "no key of", NULL },
		{ "evidence of another realm", votes_of_realm, ERR_UNAUTHORIZED, "is for realm \"team\"", NULL },
		{ "evidence by another zone's resolvers", votes_of_zone, ERR_UNAUTHORIZED, "in zone \"far\"", NULL },
		{ "evidence for another account", votes_for_stranger, ERR_UNAUTHORIZED, "another account's key", NULL },
		{ "evidence for another name", votes_for_name, ERR_UNAUTHORIZED, "api.corp.example is proven by 0",
		  NULL },
		{ "evidence for the parent", votes_for_parent, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "expired evidence", votes_old, ERR_UNAUTHORIZED, "s old", NULL },
		{ "one expired", one_vote_old, ERR_UNAUTHORIZED, "s old", NULL },
		{ "evidence of tomorrow", votes_future, ERR_UNAUTHORIZED, "future", NULL },
		{ "reuse where there is none", no_reuse, ERR_UNAUTHORIZED, "allow 0 s", NULL },
		{ "a new proof where reuse is off", no_reuse_needed, ERR_NONE, NULL, NULL },
		{ "wildcard of a public suffix", wildcard_suffix, ERR_REJECTED_IDENTIFIER, "co.uk is a public suffix",
		  NULL },
		{ "wildcard by http-01", wildcard_http, ERR_UNAUTHORIZED, "cannot prove a wildcard", NULL },
		{ "wildcard by tls-alpn-01", wildcard_alpn, ERR_UNAUTHORIZED, NULL, NULL },
		{ "wildcard by a plain proof", wildcard_unmarked, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "plain name by a wildcard proof", plain_marked_wildcard, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "a method that the realm does not take", method_not_served, ERR_UNAUTHORIZED,
		  "does not take tls-alpn-01", NULL },
		{ "a signature for another purpose", other_purpose, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "garbage", NULL, ERR_UNAUTHORIZED, "proven by 0", votes_garbage },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* --- addresses (RFC 8738) and ancestors (RFC 9444) ---*/
static void addr_ordered(struct plan *p)
{
	p->names[0] = STR("192.0.2.7");
	p->name_count = 1;
}
CHANGE(addr_by_dns, addr_ordered(p); BOTH(method, CHALLENGE_DNS01))
CHANGE(addr_as_name_vote, addr_ordered(p); BOTH(type, IDENT_DNS))
CHANGE(addr_as_name_dns, addr_ordered(p); BOTH(type, IDENT_DNS); BOTH(method, CHALLENGE_DNS01))
CHANGE(addr_other, addr_ordered(p); BOTH(name, STR("192.0.2.8")))
CHANGE(addr_prefix, addr_ordered(p); BOTH(name, STR("192.0.2.70")))
CHANGE(addr_by_name, addr_ordered(p); BOTH(name, STR("www.corp.example")))
CHANGE(addr_wildcard, addr_ordered(p); BOTH(wildcard, 1))
CHANGE(addr_one_vote, addr_ordered(p); p->votes[1].cast = false)
CHANGE(addr_below_ancestor, addr_ordered(p); p->town->conf->realms[0].subdomain_auth = true; BOTH(name, STR("2.7"));
       BOTH(method, CHALLENGE_DNS01); BOTH(subdomains, true))
CHANGE(name_by_addr, p->names[1] = STR("api.corp.example"); BOTH(name, STR("192.0.2.7")))

static void the_proof_of_an_address_is_its_own(void **state)
{
	static const struct row rows[] = {
		{ "an address by http-01", addr_ordered, ERR_NONE, NULL, NULL },
		{ "by dns-01", addr_by_dns, ERR_UNAUTHORIZED, "dns-01 cannot prove an address", NULL },
		{ "by a verdict for a name that looks like it", addr_as_name_vote, ERR_UNAUTHORIZED, "proven by 0",
		  NULL },
		{ "by dns-01 of such a name", addr_as_name_dns, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "by another address", addr_other, ERR_UNAUTHORIZED, "192.0.2.7 is proven by 0", NULL },
		{ "by an address that begins like it", addr_prefix, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "by a name", addr_by_name, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "by a verdict for a wildcard", addr_wildcard, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "by one perspective of two", addr_one_vote, ERR_UNAUTHORIZED, "proven by 1", NULL },
		{ "by a domain of its last numbers", addr_below_ancestor, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "a name by an address", name_by_addr, ERR_UNAUTHORIZED, "proven by 0", NULL },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* x.sub.corp.example, proven by dns-01 of sub.corp.example for all that lies below. */
static void ancestor(struct plan *p)
{
	p->town->conf->realms[0].subdomain_auth = true;
	p->names[0] = STR("x.sub.corp.example");
	p->name_count = 1;
	BOTH(name, STR("sub.corp.example"));
	BOTH(method, CHALLENGE_DNS01);
	BOTH(subdomains, true);
}
CHANGE(ancestor_deep, ancestor(p); p->names[1] = STR("a.b.c.sub.corp.example"); p->names[2] = STR("sub.corp.example");
       p->name_count = 3)
CHANGE(ancestor_top, ancestor(p); BOTH(name, STR("corp.example")))
CHANGE(ancestor_and_own, ancestor(p); p->votes[1].name = STR_NONE; p->votes[1].subdomains = false)
CHANGE(ancestor_and_http, ancestor_and_own(p); p->votes[1].method = CHALLENGE_HTTP01)
CHANGE(ancestor_and_http_twice, ancestor_and_http(p); p->votes[2].cast = true; p->votes[2].method = CHALLENGE_HTTP01)
CHANGE(itself_with_flag, ancestor(p); p->names[0] = STR("sub.corp.example");
       p->town->conf->realms[0].subdomain_auth = false)
CHANGE(ancestor_realm_off, ancestor(p); p->town->conf->realms[0].subdomain_auth = false)
CHANGE(ancestor_other_realm_on, ancestor_realm_off(p); p->town->conf->realms[1].subdomain_auth = true)
CHANGE(ancestor_no_flag, ancestor(p); BOTH(subdomains, false))
CHANGE(ancestor_one_flag, ancestor(p); p->votes[1].subdomains = false)
CHANGE(ancestor_http, ancestor(p); BOTH(subdomains, false); BOTH(claim_subdomains, true);
       BOTH(method, CHALLENGE_HTTP01))
CHANGE(ancestor_http_plain, ancestor(p); BOTH(subdomains, false); BOTH(method, CHALLENGE_HTTP01))
CHANGE(ancestor_of_realm, ancestor(p); BOTH(realm, "team"))
CHANGE(ancestor_of_zone, ancestor(p); BOTH(zone, "far"))
CHANGE(ancestor_of_stranger, ancestor(p); BOTH(thumbprint_of, p->town->stranger))
CHANGE(ancestor_failed, ancestor(p); BOTH(valid, false))
CHANGE(ancestor_forged, ancestor(p); p->votes[1].spoil = true)
CHANGE(ancestor_old, ancestor(p); votes_old(p))
CHANGE(suffix_trick, ancestor(p); p->names[0] = STR("evilsub.corp.example"))
CHANGE(suffix_trick_below, ancestor(p); p->names[0] = STR("x.evilsub.corp.example"))
CHANGE(prefix_trick, ancestor(p); p->names[0] = STR("sub.corp.example.x.corp.example"))
CHANGE(sibling, ancestor(p); p->names[0] = STR("y.other.corp.example"))
CHANGE(parent_of_ancestor, ancestor(p); BOTH(name, STR("x.x.sub.corp.example")))
CHANGE(below_wildcard_proof, ancestor(p); BOTH(wildcard, 1))
CHANGE(below_wildcard_proof_no_flag, ancestor(p); BOTH(wildcard, 1); BOTH(subdomains, false))
CHANGE(wildcard_by_ancestor, ancestor(p); p->names[0] = STR("*.x.sub.corp.example"); BOTH(wildcard, 0))
CHANGE(wildcard_of_ancestor, ancestor(p); p->names[0] = STR("*.sub.corp.example"); BOTH(wildcard, 0))
CHANGE(wildcard_by_wildcard, ancestor(p); p->names[0] = STR("*.x.sub.corp.example"); BOTH(wildcard, 1))
CHANGE(top_level, ancestor(p); BOTH(name, STR("example")))
static void anywhere(struct plan *p)
{
	p->town->conf->realms[0].names.v[0] = STR("*");
}
CHANGE(public_ancestor, ancestor(p); anywhere(p); p->names[0] = STR("x.ours.co.uk"); BOTH(name, STR("ours.co.uk")))
CHANGE(public_suffix, ancestor(p); anywhere(p); p->names[0] = STR("x.ours.co.uk"); BOTH(name, STR("co.uk")))
CHANGE(private_suffix, ancestor(p); anywhere(p); p->names[0] = STR("x.github.io"); BOTH(name, STR("github.io")))
CHANGE(outside_realm, ancestor(p); p->names[0] = STR("x.sub.other.example"); BOTH(name, STR("sub.other.example")))

static void an_ancestors_proof_serves_what_rfc_9444_says(void **state)
{
	static const struct row rows[] = {
		{ "a name below", ancestor, ERR_NONE, NULL, NULL },
		{ "names deep below, and the domain itself", ancestor_deep, ERR_NONE, NULL, NULL },
		{ "a proof from further up", ancestor_top, ERR_NONE, NULL, NULL },
		{ "one perspective of the ancestor, one of the name", ancestor_and_own, ERR_NONE, NULL, NULL },
		{ "each by another method", ancestor_and_http, ERR_UNAUTHORIZED, "proven by 1", NULL },
		{ "two by one method, one by another", ancestor_and_http_twice, ERR_NONE, NULL, NULL },
		{ "the domain itself, whatever the realm says of others", itself_with_flag, ERR_NONE, NULL, NULL },
		{ "a realm that does not want it", ancestor_realm_off, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "a realm that does not want it, beside one that does", ancestor_other_realm_on, ERR_UNAUTHORIZED,
		  "proven by 0", NULL },
		{ "a proof of the ancestor alone", ancestor_no_flag, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "one of two of the ancestor alone", ancestor_one_flag, ERR_UNAUTHORIZED, "proven by 1", NULL },
		{ "by http-01, with the flag", ancestor_http, ERR_UNAUTHORIZED, "goes with a DNS method", NULL },
		{ "by http-01, without", ancestor_http_plain, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "of another realm", ancestor_of_realm, ERR_UNAUTHORIZED, "is for realm \"team\"", NULL },
		{ "of another zone", ancestor_of_zone, ERR_UNAUTHORIZED, "in zone \"far\"", NULL },
		{ "of another account", ancestor_of_stranger, ERR_UNAUTHORIZED, "another account's key", NULL },
		{ "that failed", ancestor_failed, ERR_UNAUTHORIZED, "challenge failed", NULL },
		{ "that is forged", ancestor_forged, ERR_UNAUTHORIZED, "did not sign it", NULL },
		{ "that is too old", ancestor_old, ERR_UNAUTHORIZED, "s old", NULL },
		{ "a name that ends alike", suffix_trick, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "a name below one that ends alike", suffix_trick_below, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "a name that begins alike", prefix_trick, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "a name beside it", sibling, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "a name above it", parent_of_ancestor, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "by a wildcard's proof", below_wildcard_proof, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "by a plain wildcard's proof", below_wildcard_proof_no_flag, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "a wildcard below", wildcard_by_ancestor, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "the wildcard of the domain", wildcard_of_ancestor, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "a wildcard by a wildcard above", wildcard_by_wildcard, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "by a top-level domain", top_level, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "by a public suffix", public_suffix, ERR_UNAUTHORIZED, "proven by 0", NULL },
		{ "by a domain below a public suffix", public_ancestor, ERR_NONE, NULL, NULL },
		{ "by a name of the list's private section", private_suffix, ERR_NONE, NULL, NULL },
		{ "a name that the realm does not allow", outside_realm, ERR_REJECTED_IDENTIFIER, "other.example",
		  NULL },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* --- dns-account-01 and dns-persist-01: the account's URL, its earlier keys, and until when a record holds ---*/
#define TEN_DAYS_MS (10 * DAY_S * 1000)
CHANGE(by_account, BOTH(method, CHALLENGE_DNSACCOUNT01))
CHANGE(by_account_of_other, by_account(p); BOTH(account_url, BASE "/account/01890000-0000-7000-8000-000000000009"))
CHANGE(by_http_of_other, BOTH(account_url, BASE "/account/01890000-0000-7000-8000-000000000009"))
CHANGE(by_persist, BOTH(method, CHALLENGE_DNSPERSIST01))
CHANGE(by_persist_of_other, by_persist(p); BOTH(account_url, "https://evil.example/account/1"))
CHANGE(persist_wildcard, by_persist(p); p->names[1] = STR("*.corp.example"))
CHANGE(persist_addr, by_persist(p); addr_ordered(p); BOTH(account_url, NULL))
CHANGE(persist_until_now, by_persist(p); BOTH(persist_until_s, NOW_S))
CHANGE(persist_until_over, by_persist(p); BOTH(persist_until_s, NOW_S - 1))
CHANGE(persist_one_over, by_persist(p); p->votes[1].persist_until_s = 1)
CHANGE(persist_ten_days, by_persist(p); BOTH(started_ms, NOW_MS - TEN_DAYS_MS); BOTH(finished_ms, NOW_MS - TEN_DAYS_MS))
CHANGE(persist_older, persist_ten_days(p); BOTH(finished_ms, NOW_MS - TEN_DAYS_MS - 1);
       BOTH(started_ms, NOW_MS - TEN_DAYS_MS - 1))
/* It was made for this order, and still does not hold as long as that. */
CHANGE(persist_older_for_the_order, persist_older(p); p->order = p->url_order = id_at(NOW_MS - TEN_DAYS_MS - 60000, 2);
       p->town->conf->realms[0].order_life_s = 30 * DAY_S)
CHANGE(persist_earlier, by_persist(p); BOTH(record_of, p->town->stranger))
CHANGE(persist_two_records, by_persist(p); p->votes[0].record_of = p->town->stranger)
CHANGE(persist_two_of_three, persist_two_records(p); p->votes[2] = p->votes[1]; p->votes[2].kid = "c";
       p->votes[2].perspective = "c"; p->votes[2].signer = p->town->voters[2])
CHANGE(persist_ancestor, ancestor(p); BOTH(method, CHALLENGE_DNSPERSIST01))
CHANGE(persist_not_taken, by_persist(p); p->town->conf->realms[0].challenges.n = 3)

/* One key change, as client and api would have it; what a row spoils is set apart. */
struct change {
	const struct key *was, *became;         /* what the payload says and the inner JWS embeds */
	const struct key *signed_by, *inner_by; /* NULL: the same */
	const char *url, *inner_url;            /* NULL: the right one */
	const char *kid, *account;              /* likewise */
	bool inner_by_kid, inner_spoilt;
};

static struct str change_text(struct plan *p, const struct change *c)
{
	struct town *t = p->town;
	AUTO(buf_done) struct buf jwk = BUF_MAX(4096), inner = BUF_MAX(JWS_BODY_MAX), outer = BUF_MAX(JWS_BODY_MAX);
	AUTO(json_auto) struct json *top = NULL;
	struct err err = { 0 };
	struct str own = str_fmt(&t->mem, BASE "/account/%s", id_show(p->account).z);
	struct str url = c->url != NULL ? str_z(c->url) : STR(BASE "/key-change");
	struct str account = c->account != NULL ? str_z(c->account) : own;
	MUST(jwk_write(c->was, &jwk, &err));
	struct str payload = str_fmt(&t->mem, "{\"account\":\"%.*s\",\"oldKey\":%.*s}", (int)account.n, account.p,
				     (int)jwk.n, jwk.p);
	MUST(jws_sign_acme(t->crypto, c->inner_by != NULL ? c->inner_by : c->became, c->inner_by_kid ? own : STR_NONE,
			   STR_NONE, c->inner_url != NULL ? str_z(c->inner_url) : url, payload, &inner, &err));
	if (c->inner_spoilt) {
		char *s = memmem(inner.p, inner.n, "\"signature\":\"", 13);
		assert_non_null(s);
		s[20] = s[20] == 'A' ? 'B' : 'A';
	}
	MUST(jws_sign_acme(t->crypto, c->signed_by != NULL ? c->signed_by : c->was,
			   c->kid != NULL ? str_z(c->kid) : own, STR("bm9uY2U"), url, buf_str(&inner), &outer, &err));
	MUST(json_read(buf_str(&outer), JWS_BODY_MAX, &top, &err));
	struct str a = json_member(t, top, "protected"), b = json_member(t, top, "payload");
	struct str s = json_member(t, top, "signature");
	return str_fmt(&t->mem, "%.*s.%.*s.%.*s", (int)a.n, a.p, (int)b.n, b.p, (int)s.n, s.p);
}

static void show(struct plan *p, struct sign_job *j, const struct change *changes, size_t count)
{
	j->key_changes = ARENA_ARRAY(&p->town->mem, struct str, count);
	j->key_change_count = count;
	for (size_t i = 0; i < count; i++)
		j->key_changes[i] = change_text(p, &changes[i]);
}

/* The account began with the stranger's key and came to its own by way of a third. */
#define FIRST p->town->stranger
#define MIDDLE p->town->voters[3]
#define LAST p->town->account
#define SHOW(name, ...)                                          \
	static void name(struct plan *p, struct sign_job *j)     \
	{                                                        \
		const struct change changes[] = { __VA_ARGS__ }; \
		show(p, j, changes, ARRAY_LEN(changes));         \
	}
SHOW(chain_one, { FIRST, LAST })
SHOW(chain_two, { FIRST, MIDDLE }, { MIDDLE, LAST })
SHOW(chain_there_and_back, { LAST, FIRST }, { FIRST, LAST })
SHOW(chain_longer_than_needed, { MIDDLE, FIRST }, { FIRST, LAST })
SHOW(chain_short, { MIDDLE, LAST })
SHOW(chain_gap, { FIRST, MIDDLE }, { p->town->subscriber, LAST })
SHOW(chain_backwards, { MIDDLE, LAST }, { FIRST, MIDDLE })
SHOW(chain_to_nowhere, { FIRST, MIDDLE })
SHOW(chain_unsigned_old, { FIRST, LAST, .signed_by = MIDDLE })
SHOW(chain_unsigned_new, { FIRST, LAST, .inner_by_kid = true })
SHOW(chain_inner_spoilt, { FIRST, LAST, .inner_spoilt = true })
SHOW(chain_url, { FIRST, LAST, .url = BASE "/new-order" })
SHOW(chain_url_of_realm, { FIRST, LAST, .url = BASE "/realm/team/key-change" })
SHOW(chain_inner_url, { FIRST, LAST, .inner_url = "https://evil.example/key-change" })
SHOW(chain_kid, { FIRST, LAST, .kid = BASE "/account/01890000-0000-7000-8000-000000000009" })
SHOW(chain_account, { FIRST, LAST, .account = BASE "/account/01890000-0000-7000-8000-000000000009" })
AFTER(chain_garbage, chain_one(p, j); j->key_changes[0] = STR("a.b"))
AFTER(chain_no_base64, chain_one(p, j); j->key_changes[0] = STR("a.!.c"))
static void chain_inner_of_other(struct plan *p, struct sign_job *j)
{ /* the new key is put in by whoever holds the old one alone */
	const struct change changes[] = { { FIRST, LAST, .inner_by = MIDDLE } };
	show(p, j, changes, 1);
}
static void chain_spliced(struct plan *p, struct sign_job *j)
{ /* the signature of one change under the payload of another */
	const struct change a = { FIRST, LAST }, b = { FIRST, MIDDLE };
	struct str x = change_text(p, &a), y = change_text(p, &b);
	size_t dot = str_find(x, '.', str_find(x, '.', 0) + 1), dot_y = str_find(y, '.', str_find(y, '.', 0) + 1);
	chain_one(p, j);
	j->key_changes[0] = str_fmt(&p->town->mem, "%.*s%.*s", (int)dot, x.p, (int)(y.n - dot_y), y.p + dot_y);
}

static void a_record_that_stays_holds_for_its_account_and_its_time(void **state)
{
	static const struct row rows[] = {
		{ "dns-account-01", by_account, ERR_NONE, NULL, NULL },
		{ "dns-account-01 with another account's label", by_account_of_other, ERR_UNAUTHORIZED,
		  "it is for the account \"" BASE "/account/01890000", NULL },
		{ "another method that says whose it is, and it is another's", by_http_of_other, ERR_UNAUTHORIZED,
		  "it is for the account", NULL },
		{ "dns-persist-01", by_persist, ERR_NONE, NULL, NULL },
		{ "dns-persist-01 for another account", by_persist_of_other, ERR_UNAUTHORIZED, "evil.example", NULL },
		{ "a wildcard by dns-persist-01", persist_wildcard, ERR_NONE, NULL, NULL },
		{ "a domain for what is below it by dns-persist-01", persist_ancestor, ERR_NONE, NULL, NULL },
		{ "an address by dns-persist-01", persist_addr, ERR_UNAUTHORIZED, "cannot prove an address", NULL },
		{ "where it is not taken", persist_not_taken, ERR_UNAUTHORIZED, "does not take dns-persist-01", NULL },
		{ "a record that holds until now", persist_until_now, ERR_NONE, NULL, NULL },
		{ "a record that held until a second ago", persist_until_over, ERR_UNAUTHORIZED,
		  "its record held until 1 s before now", NULL },
		{ "a record that is over for one", persist_one_over, ERR_UNAUTHORIZED, "proven by 1 of the 2", NULL },
		{ "a proof of ten days", persist_ten_days, ERR_NONE, NULL, NULL },
		{ "a proof of more than ten days", persist_older, ERR_UNAUTHORIZED, "dns-persist-01 holds for 864000 s",
		  NULL },
		{ "a proof of more than ten days for an order that is as old", persist_older_for_the_order,
		  ERR_UNAUTHORIZED, "dns-persist-01 holds for 864000 s", NULL },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

static void an_earlier_key_counts_when_key_changes_lead_from_it(void **state)
{
	static const struct row rows[] = {
		{ "one change", persist_earlier, ERR_NONE, NULL, chain_one },
		{ "two changes", persist_earlier, ERR_NONE, NULL, chain_two },
		{ "two perspectives, two records", persist_two_records, ERR_UNAUTHORIZED, "proven by 1", chain_one },
		{ "two of three saw the same record", persist_two_of_three, ERR_NONE, NULL, chain_one },
		{ "changes from before that key", persist_earlier, ERR_NONE, NULL, chain_longer_than_needed },
		{ "there and back", persist_earlier, ERR_NONE, NULL, chain_there_and_back },
		{ "changes that nothing asks for", by_persist, ERR_NONE, NULL, chain_two },
		{ "none", persist_earlier, ERR_UNAUTHORIZED,
		  "its record names an earlier key of the account, and no key change of the job shows that", NULL },
		{ "not from that key", persist_earlier, ERR_UNAUTHORIZED, "no key change of the job shows",
		  chain_short },
		{ "a gap", persist_earlier, ERR_UNAUTHORIZED,
		  "key change 2 of 2: its old key is not the new one of the change before", chain_gap },
		{ "the wrong order", persist_earlier, ERR_UNAUTHORIZED, "key change 2 of 2: its old key is not",
		  chain_backwards },
		{ "not to the key that signed finalize", persist_earlier, ERR_UNAUTHORIZED,
		  "key change 1 of 1: its new key is not the one that signed finalize", chain_to_nowhere },
		{ "not signed by the old key", persist_earlier, ERR_UNAUTHORIZED,
		  "key change 1 of 1: its old key did not sign it", chain_unsigned_old },
		{ "no new key in it", persist_earlier, ERR_MALFORMED, "key change 1 of 1: its inner JWS has no jwk",
		  chain_unsigned_new },
		{ "not signed by the new key", persist_earlier, ERR_UNAUTHORIZED,
		  "key change 1 of 1: its new key did not sign the inner JWS", chain_inner_spoilt },
		{ "another new key than the one wanted", persist_earlier, ERR_UNAUTHORIZED,
		  "its new key is not the one that signed finalize", chain_inner_of_other },
		{ "a signature from another change", persist_earlier, ERR_UNAUTHORIZED, "its old key did not sign it",
		  chain_spliced },
		{ "sent to another URL", persist_earlier, ERR_UNAUTHORIZED,
		  "it was sent to \"" BASE "/new-order\", key changes go to \"" BASE "/key-change\"", chain_url },
		{ "of another realm", persist_earlier, ERR_UNAUTHORIZED, "it was sent to", chain_url_of_realm },
		{ "an inner URL of another server", persist_earlier, ERR_UNAUTHORIZED,
		  "its inner JWS is for \"https://evil.example/key-change\"", chain_inner_url },
		{ "of another account", persist_earlier, ERR_UNAUTHORIZED, "key change 1 of 1: it is from", chain_kid },
		{ "for another account", persist_earlier, ERR_UNAUTHORIZED, "its new key was for", chain_account },
		{ "two parts", persist_earlier, ERR_MALFORMED, "PROTECTED.PAYLOAD.SIGNATURE", chain_garbage },
		{ "no base64url", persist_earlier, ERR_MALFORMED, "key change 1 of 1", chain_no_base64 },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* --- CAA: each name's own, no older than eight hours (RFC 8659, RFC 8657, BR 3.2.2.8.1) --- */
#define HOUR_MS ((int64_t)3600 * 1000)
#define CAA_BOTH(member, value) (p->caa_votes[0].member = (value), p->caa_votes[1].member = (value))

/* Both say with their proof that CAA allows it. */
static void caa_on(struct plan *p)
{
	p->town->conf->realms[0].caa = STR("on");
	BOTH(caa, CAA_ALLOWED);
}

static void proved_hours_ago(struct plan *p, int64_t hours)
{
	caa_on(p);
	BOTH(started_ms, NOW_MS - hours * HOUR_MS - 1000);
	BOTH(finished_ms, NOW_MS - hours * HOUR_MS);
}

/* Proved nine hours ago, and CAA looked up again since. */
static void caa_again(struct plan *p)
{
	proved_hours_ago(p, 9);
	for (int i = 0; i < 2; i++) {
		p->caa_votes[i] = p->votes[i];
		p->caa_votes[i].caa_only = true;
		p->caa_votes[i].started_ms = NOW_MS - 3000;
		p->caa_votes[i].finished_ms = NOW_MS - 2000;
	}
}

CHANGE(caa_eight_hours, proved_hours_ago(p, 8))
CHANGE(caa_nine_hours, proved_hours_ago(p, 9))
CHANGE(caa_one_old, proved_hours_ago(p, 9); p->votes[0].finished_ms = NOW_MS - HOUR_MS)
CHANGE(caa_third_fresh, caa_one_old(p); p->votes[2].cast = true; p->votes[2].caa = CAA_ALLOWED)
CHANGE(caa_absent, caa_on(p); BOTH(caa, CAA_NOT_CHECKED))
CHANGE(caa_not_needed, caa_on(p); BOTH(caa, CAA_NOT_NEEDED))
CHANGE(caa_one_absent, caa_on(p); p->votes[1].caa = CAA_NOT_CHECKED)
CHANGE(caa_no_account, caa_on(p); BOTH(account_url, ""))
CHANGE(caa_again_mixed, caa_again(p); p->caa_votes[0].cast = false; p->votes[0].finished_ms = NOW_MS - HOUR_MS)
CHANGE(caa_again_one, caa_again(p); p->caa_votes[1].cast = false)
CHANGE(caa_again_one_perspective, caa_again(p); p->caa_votes[1] = p->caa_votes[0])
CHANGE(caa_again_old, caa_again(p); CAA_BOTH(started_ms, 0); CAA_BOTH(finished_ms, NOW_MS - 8 * HOUR_MS - 1))
CHANGE(caa_again_future, caa_again(p); CAA_BOTH(finished_ms, NOW_MS + 301000))
CHANGE(caa_again_forged, caa_again(p); p->caa_votes[1].spoil = true)
CHANGE(caa_again_denied, caa_again(p); p->caa_votes[1].valid = false)
CHANGE(caa_again_name, caa_again(p); CAA_BOTH(name, STR("www.corp.example")))
CHANGE(caa_again_parent, caa_again(p); CAA_BOTH(name, STR("corp.example")))
CHANGE(caa_again_wildcard, caa_again(p); CAA_BOTH(wildcard, 1); CAA_BOTH(method, CHALLENGE_DNS01);
       BOTH(method, CHALLENGE_DNS01))
CHANGE(caa_again_key, caa_again(p); CAA_BOTH(thumbprint_of, p->town->stranger))
CHANGE(caa_again_account, caa_again(p); CAA_BOTH(account_url, BASE "/account/01890000-0000-7000-8000-000000000000"))
CHANGE(caa_again_realm, caa_again(p); CAA_BOTH(realm, "team"))
CHANGE(caa_again_zone, caa_again(p); CAA_BOTH(zone, "far"))
CHANGE(caa_again_method, caa_again(p); CAA_BOTH(method, CHALLENGE_DNS01))
CHANGE(caa_again_not_needed, caa_again(p); CAA_BOTH(caa, CAA_NOT_NEEDED))
static void caa_again_foreign(struct plan *p)
{
	caa_again(p);
	p->caa_votes[1] = p->caa_votes[0];
	p->caa_votes[1].kid = p->caa_votes[1].perspective = "d";
	p->caa_votes[1].signer = p->town->voters[3];
}
static void caa_alone(struct plan *p)
{
	caa_again(p);
	p->votes[0].cast = p->votes[1].cast = false;
}
static void caa_and_one(struct plan *p)
{
	caa_again(p);
	p->votes[1].cast = false;
}
static void caa_below_ancestor(struct plan *p)
{
	ancestor(p);
	caa_on(p);
}
static void caa_below_ancestor_own(struct plan *p)
{
	caa_below_ancestor(p);
	for (int i = 0; i < 2; i++) {
		p->caa_votes[i] = p->votes[i];
		p->caa_votes[i].caa_only = true;
		p->caa_votes[i].subdomains = false;
		p->caa_votes[i].name = STR("x.sub.corp.example");
	}
}
CHANGE(caa_for_wildcard, caa_on(p); p->names[1] = STR("*.corp.example"); BOTH(method, CHALLENGE_DNS01))
CHANGE(caa_for_addr, caa_on(p); p->names[1] = STR("192.0.2.7"); BOTH(caa, CAA_NOT_CHECKED); p->names[0] = p->names[1];
       p->name_count = 1)
CHANGE(caa_second_name_old, caa_again(p); CAA_BOTH(name, STR("api.corp.example")))

static void caa_is_known_of_each_name_and_not_for_long(void **state)
{
	static const struct row rows[] = {
		{ "with the proof", caa_on, ERR_NONE, NULL, NULL },
		{ "with the proof of eight hours ago", caa_eight_hours, ERR_NONE, NULL, NULL },
		{ "with the proof of nine hours ago", caa_nine_hours, ERR_CAA,
		  "more than 28800 s ago by 2 perspectives", NULL },
		{ "one old, one young", caa_one_old, ERR_CAA, "more than 28800 s ago by 1 perspectives", NULL },
		{ "two young of three", caa_third_fresh, ERR_NONE, NULL, NULL },
		{ "not looked up", caa_absent, ERR_UNAUTHORIZED, "CAA of www.corp.example: 0 of the 2", NULL },
		{ "looked up by one", caa_one_absent, ERR_UNAUTHORIZED, "CAA was not looked up", NULL },
		{ "not needed, they say", caa_not_needed, ERR_UNAUTHORIZED, "realm.caa must be the same", NULL },
		{ "for no account", caa_no_account, ERR_UNAUTHORIZED, "for which account", NULL },
		{ "looked up again", caa_again, ERR_NONE, NULL, NULL },
		{ "again by one, the other proved an hour ago", caa_again_mixed, ERR_NONE, NULL, NULL },
		{ "again by one", caa_again_one, ERR_CAA, "more than 28800 s ago by 1", NULL },
		{ "again by one, twice", caa_again_one_perspective, ERR_CAA, "more than 28800 s ago by 1", NULL },
		{ "again more than eight hours ago", caa_again_old, ERR_CAA, "more than 28800 s ago by 2", NULL },
		{ "again tomorrow", caa_again_future, ERR_CAA, NULL, NULL },
		{ "again, forged", caa_again_forged, ERR_CAA, NULL, NULL },
		{ "again, and one forbids", caa_again_denied, ERR_CAA, NULL, NULL },
		{ "again for one name of two", caa_again_name, ERR_CAA, "CAA of api.corp.example", NULL },
		{ "again for the other of two", caa_second_name_old, ERR_CAA, "CAA of www.corp.example", NULL },
		{ "again for the parent", caa_again_parent, ERR_CAA, NULL, NULL },
		{ "again for the wildcard", caa_again_wildcard, ERR_CAA, NULL, NULL },
		{ "again for another key", caa_again_key, ERR_CAA, NULL, NULL },
		{ "again for another account", caa_again_account, ERR_CAA, NULL, NULL },
		{ "again for another realm", caa_again_realm, ERR_CAA, NULL, NULL },
		{ "again by another zone's resolvers", caa_again_zone, ERR_CAA, NULL, NULL },
		{ "again by a perspective of another zone", caa_again_foreign, ERR_CAA, NULL, NULL },
		{ "again for another method", caa_again_method, ERR_CAA, NULL, NULL },
		{ "again, and not needed", caa_again_not_needed, ERR_CAA, NULL, NULL },
		{ "no control, only CAA", caa_alone, ERR_UNAUTHORIZED, "www.corp.example is proven by 0 of the 2",
		  NULL },
		{ "control by one, CAA by two", caa_and_one, ERR_UNAUTHORIZED, "is proven by 1 of the 2", NULL },
		{ "an ancestor's", caa_below_ancestor, ERR_UNAUTHORIZED, "CAA of x.sub.corp.example: 0 of the 2",
		  NULL },
		{ "its own below an ancestor's proof", caa_below_ancestor_own, ERR_NONE, NULL, NULL },
		{ "a wildcard's", caa_for_wildcard, ERR_NONE, NULL, NULL },
		{ "an address needs none", caa_for_addr, ERR_NONE, NULL, NULL },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

/* The profile's own limits; the realm's are those of the rows above. */
#define HOUR_MS ((int64_t)3600 * 1000)
CHANGE(other_key_kind, p->profile = "p384")
CHANGE(one_name_too_many, p->profile = "single")
CHANGE(no_wildcards, p->profile = "hosts"; p->names[1] = STR("*.corp.example"); BOTH(method, CHALLENGE_DNS01))
CHANGE(no_addrs, p->profile = "hosts"; p->names[1] = STR("192.0.2.7"))
CHANGE(hosts_only, p->profile = "hosts")
CHANGE(young_old, p->profile = "young"; p->order = p->url_order = id_at(NOW_MS, 2);
       BOTH(started_ms, NOW_MS - 2 * HOUR_MS); BOTH(finished_ms, NOW_MS - 2 * HOUR_MS))
CHANGE(young_enough, p->profile = "young"; p->order = p->url_order = id_at(NOW_MS, 2);
       BOTH(started_ms, NOW_MS - HOUR_MS / 2); BOTH(finished_ms, NOW_MS - HOUR_MS / 2))
CHANGE(ages_most, p->profile = "ages"; p->not_after = p->not_before + 398 * DAY_S - 1)
CHANGE(ages_more, p->profile = "ages"; p->not_after = p->not_before + 398 * DAY_S)

static void what_the_profile_does_not_take_is_refused(void **state)
{
	static const struct row rows[] = {
		{ "a key of another kind", other_key_kind, ERR_BAD_CSR,
		  "the CSR's key is P-256; profile p384 takes P-384", NULL },
		{ "two names in an order of one", one_name_too_many, ERR_REJECTED_IDENTIFIER,
		  "profile \"single\" allow 1", NULL },
		{ "a wildcard", no_wildcards, ERR_REJECTED_IDENTIFIER, "profile hosts is for dns", NULL },
		{ "an address", no_addrs, ERR_REJECTED_IDENTIFIER, "profile hosts is for dns", NULL },
		{ "hosts", hosts_only, ERR_NONE, NULL, NULL },
		{ "a proof that the realm would take", young_old, ERR_UNAUTHORIZED, "profile \"young\" allow 3600 s",
		  NULL },
		{ "a younger one", young_enough, ERR_NONE, NULL, NULL },
		{ "398 days", ages_most, ERR_NONE, NULL, NULL },
		{ "longer than 398 days", ages_more, ERR_MALFORMED, "profile \"ages\" allows 34387200 s", NULL },
	};
	(void)state;
	check_rows(rows, ARRAY_LEN(rows));
}

static void listed_keys_get_nothing(void **state)
{
	(void)state;
	struct err err = { 0 };
	struct town *t = town_new();
	struct plan p = plan_good(t);
	struct sign_job job = plan_job(&p);
	AUTO(arena_done) struct arena mem = { 0 };
	AUTO(buf_done) struct buf text = BUF_MAX(256);
	struct key_list *listed = key_list_new();
	struct sha256 spki;
	const char *path = str_dupz_raw(&mem, str_fmt(&mem, "%s/blocked", t->dir));
	struct rechecked held = { .email_count = 0 };
	struct recheck rk = { .crypto = t->crypto,
			      .conf = t->conf,
			      .perspective_keys = t->voters,
			      .refused_keys = listed,
			      .now_ms = t->now_ms };
	MUST(recheck_job(&rk, &mem, &job, &held, NULL, &err));
	rechecked_done(&held);
	MUST(key_spki_hash(t->crypto, p.csr_key, &spki, &err));
	MUST(buf_add(&text, hex_encode(&mem, str_n(spki.b, sizeof spki.b)), &err));
	MUST(file_write_new(path, buf_str(&text), 0600, &err));
	MUST(key_list_add_blocked(listed, path, &err));
	MUST_FAIL(recheck_job(&rk, &mem, &job, &held, NULL, &err), ERR_BAD_CSR, "on this CA's block list");
	key_list_free(listed);
	town_free(t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_jobs_hold),
		cmocka_unit_test(what_the_realm_does_not_allow_is_refused),
		cmocka_unit_test(what_the_profile_does_not_take_is_refused),
		cmocka_unit_test(listed_keys_get_nothing),
		cmocka_unit_test(what_the_client_did_not_sign_is_refused),
		cmocka_unit_test(what_the_perspectives_did_not_prove_is_refused),
		cmocka_unit_test(the_proof_of_an_address_is_its_own),
		cmocka_unit_test(an_ancestors_proof_serves_what_rfc_9444_says),
		cmocka_unit_test(a_record_that_stays_holds_for_its_account_and_its_time),
		cmocka_unit_test(an_earlier_key_counts_when_key_changes_lead_from_it),
		cmocka_unit_test(caa_is_known_of_each_name_and_not_for_long),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

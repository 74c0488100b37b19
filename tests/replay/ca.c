/* SPDX-License-Identifier: Apache-2.0
 *
 * ca.c: commands about the world around the clients: sites, time, faults, restarts, configuration.
 */
#include "story.h"

/* "0 issue ca.test; accounturi=@alice": where @ stands, the URL of that account is meant. */
static fallible site_caa(struct story *s, struct world_site *site, const struct str *w, size_t n, struct err *err)
{
	site->caa_count = 0;
	WANT(n <= WORLD_CAA_MAX, "site: too many CAA records");
	for (size_t i = 0; i < n; i++) {
		struct named_account *a;
		uint64_t flags;
		size_t tag = str_find(w[i], ' ', 0), value = str_find(w[i], ' ', tag + 1);
		struct str text = str_sub(w[i], value + 1, w[i].n);
		size_t at = str_find(text, '@', 0);
		TRY(str_u64(str_sub(w[i], 0, tag), 255, &flags, err));
		if (at < text.n) {
			TRY(account_named(s, str_sub(text, at + 1, text.n), &a, err));
			text = str_fmt(&s->w.mem, "%.*s%.*s", STR_FMT(str_sub(text, 0, at)), STR_FMT(a->a.url));
		}
		site->caa[site->caa_count++] = (struct resolve_caa_record){
			.flags = (uint8_t)flags,
			.tag = str_dup(&s->w.mem, str_sub(w[i], tag + 1, value)),
			.value = str_dup(&s->w.mem, text),
		};
	}
	return OK;
}

/* "ca.test; accounturi=@alice; policy=wildcard": where @ and a name stand, the hashed URI of that account under its key of
 * now is meant; with @* the one over "*". */
static fallible site_persist(struct story *s, struct world_site *site, struct str text, struct err *err)
{
	struct named_account *a;
	struct str uri, domain = site->name;
	size_t at = str_find(text, '@', 0), end = str_find(text, ';', at);
	site->persist = text;
	if (at == text.n)
		return OK;
	struct str name = str_sub(text, at + 1, end);
	if (str_skip(&name, STR("*")))
		domain = STR("*");
	TRY(account_named(s, name, &a, err));
	TRY(world_persist_uri(&s->w, &a->a, domain, &uri, err));
	site->persist = str_fmt(&s->w.mem, "%.*s%.*s%.*s", STR_FMT(str_sub(text, 0, at)), STR_FMT(uri),
				STR_FMT(str_sub(text, end, text.n)));
	return OK;
}

fallible do_site(struct story *s, const struct str *w, size_t n, struct err *err)
{
	struct named_account *a;
	uint64_t status;
	uint64_t failures;
	WANT(n >= 2, "site NAME account A | body TEXT | txt TEXT | persist TEXT | status N | caa RECORD... | caa-fails "
		     "N | refuses | "
		     "answers");
	struct world_site *site = world_site(&s->w, w[0]);
	if (str_eq(w[1], STR("refuses"))) {
		site->refuses = true;
	} else if (str_eq(w[1], STR("answers"))) {
		site->refuses = false;
	} else if (n == 3 && str_eq(w[1], STR("account"))) {
		TRY(account_named(s, w[2], &a, err));
		site->thumbprint = str_z(a->a.thumbprint.z);
		site->body = site->txt = STR_NONE;
	} else if (n == 3 && str_eq(w[1], STR("body"))) {
		site->body = w[2];
	} else if (n == 3 && str_eq(w[1], STR("txt"))) {
		site->txt = w[2];
	} else if (n == 3 && str_eq(w[1], STR("persist"))) {
		return site_persist(s, site, w[2], err);
	} else if (str_eq(w[1], STR("caa"))) {
		return site_caa(s, site, w + 2, n - 2, err);
	} else if (n == 3 && str_eq(w[1], STR("caa-fails"))) {
		TRY(str_u64(w[2], 99, &failures, err));
		site->caa_failures = (size_t)failures;
	} else if (n == 3 && str_eq(w[1], STR("status"))) {
		TRY(str_u64(w[2], 999, &status, err));
		site->status = (int)status;
	} else {
		WANT(false, "site: what is %.*s?", STR_FMT(w[1]));
	}
	return OK;
}

fallible do_run(struct story *s, const struct str *w, size_t n, struct err *err)
{
	(void)w;
	WANT(n == 0, "run");
	return world_run(&s->w, err);
}

fallible do_sweep(struct story *s, const struct str *w, size_t n, struct err *err)
{
	(void)w;
	WANT(n == 0, "sweep");
	return acme_sweep(s->w.acme, err);
}

fallible do_sleep(struct story *s, const struct str *w, size_t n, struct err *err)
{
	uint64_t v;
	WANT(n == 1 && w[0].n > 1, "sleep 5s");
	char unit = w[0].p[w[0].n - 1];
	TRY(str_u64(str_sub(w[0], 0, w[0].n - 1), 1000000, &v, err));
	int64_t ms = unit == 's' ? 1000 : unit == 'm' ? 60000 : unit == 'h' ? 3600000 : unit == 'd' ? 86400000 : 0;
	WANT(ms > 0, "sleep wants s, m, h or d");
	s->w.now_ms += (int64_t)v * ms;
	return OK;
}

/* While a probe waits for its next attempt: what the story has for the pause with this number. */
static fallible on_pause(void *ctx, bool *ret_killed, struct err *err)
{
	struct story *s = ctx;
	s->pauses++;
	for (size_t i = 0; i < s->meanwhile_count; i++) {
		const struct meanwhile *m = &s->meanwhile[i];
		if (m->pause != s->pauses)
			continue;
		if (str_eq(m->words[0], STR("kill")))
			*ret_killed = true;
		else if (FAILED(run_words(s, m->words, m->count, err)))
			err_prefix(err, "in pause %zu, %.*s: ", m->pause, STR_FMT(m->words[0]));
		if (err->kind != ERR_NONE)
			return (struct rc){ err->kind };
	}
	return OK;
}

fallible do_meanwhile(struct story *s, const struct str *w, size_t n, struct err *err)
{
	uint64_t pause;
	WANT(n >= 2 && n - 1 <= MEANWHILE_WORDS_MAX && s->meanwhile_count < THINGS_MAX, "meanwhile N COMMAND...|kill");
	TRY(str_u64(w[0], 1000, &pause, err));
	WANT(pause > 0, "pauses are counted from 1");
	struct meanwhile *m = &s->meanwhile[s->meanwhile_count++];
	*m = (struct meanwhile){ .pause = s->pauses + (size_t)pause, .count = n - 1 };
	for (size_t i = 1; i < n; i++)
		m->words[i - 1] = w[i];
	s->w.meanwhile = on_pause;
	s->w.meanwhile_ctx = s;
	return OK;
}

fallible do_switch(struct story *s, const struct str *w, size_t n, struct err *err)
{
	WANT(n == 2, "set SWITCH on|off");
	bool on = str_eq(w[1], STR("on"));
	const struct {
		struct str name;
		bool *at;
	} rows[] = {
		{ STR("validator-down"), &s->w.validator_down },
		{ STR("signer-down"), &s->w.signer_down },
		{ STR("bus-down"), &s->w.bus_down },
		{ STR("doubling"), &s->w.doubling },
		{ STR("losing-verdicts"), &s->w.losing_verdicts },
		{ STR("losing-certificates"), &s->w.losing_certificates },
		{ STR("losing-progress"), &s->w.losing_progress },
		{ STR("late-verdicts"), &s->w.late_verdicts },
		{ STR("late-progress"), &s->w.late_progress },
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (str_eq(w[0], rows[i].name)) {
			*rows[i].at = on;
			return world_release(&s->w, err);
		}
	}
	WANT(false, "no switch %.*s", STR_FMT(w[0]));
	return OK;
}

fallible do_restart(struct story *s, const struct str *w, size_t n, struct err *err)
{
	WANT(n == 1, "restart api|signer|bus");
	if (str_eq(w[0], STR("api")))
		return world_restart_api(&s->w, err);
	if (str_eq(w[0], STR("signer")))
		return world_restart_signer(&s->w, err);
	WANT(str_eq(w[0], STR("bus")), "restart what?");
	s->w.first = s->w.last; /* all that was on it is lost */
	return OK;
}

/* Each word is a line of the configuration file; together they take the place of the world's realm. */
fallible do_configure(struct story *s, const struct str *w, size_t n, struct err *err)
{
	AUTO(buf_done) struct buf text = BUF_MAX(8192);
	WANT(n >= 1, "configure LINE...");
	for (size_t i = 0; i < n; i++)
		TRY(buf_addf(&text, err, "%.*s\n", STR_FMT(w[i])));
	TRY(buf_add_char(&text, '\0', err));
	return world_configure(&s->w, text.p, err);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * replay.c: runs one story (*.scn) against a whole CA in one process (tests/world), with scripted time, DNS, HTTP and
 * faults. A story is lines of words; README.md beside this file lists the commands. The first thing that is not as told
 * ends it, with its line.
 */
#include "story.h"

#include <stdio.h>

static const struct {
	const char *name;
	command *run;
} commands[] = {
	{ "account", do_account },
	{ "key-change", do_key_change },
	{ "site", do_site },
	{ "order", do_order },
	{ "preauth", do_preauth },
	{ "grant", do_grant },
	{ "grant-revoke", do_grant_revoke },
	{ "answer", do_answer },
	{ "finalize", do_finalize },
	{ "cert", do_cert },
	{ "run", do_run },
	{ "sweep", do_sweep },
	{ "sleep", do_sleep },
	{ "meanwhile", do_meanwhile },
	{ "set", do_switch },
	{ "restart", do_restart },
	{ "deactivate", do_deactivate },
	{ "revoke", do_revoke },
	{ "renewal", do_renewal },
	{ "configure", do_configure },
	{ "expect", do_expect },
};

/* Words are parted by blanks; "two words" in quotes are one. */
static size_t split(struct str line, struct str words[WORDS_MAX])
{
	size_t n = 0, i = 0;
	while (n < WORDS_MAX) {
		while (i < line.n && (line.p[i] == ' ' || line.p[i] == '\t'))
			i++;
		if (i >= line.n || line.p[i] == '#')
			break;
		bool quoted = line.p[i] == '"';
		size_t end = str_find(line, quoted ? '"' : ' ', i + 1);
		words[n++] = str_sub(line, quoted ? i + 1 : i, end);
		i = end + 1;
	}
	return n;
}

fallible run_words(struct story *s, const struct str *words, size_t count, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(commands); i++)
		if (str_eq(words[0], str_z(commands[i].name)))
			return commands[i].run(s, words + 1, count - 1, err);
	FAIL(err, ERR_CONFIG, "no command %.*s", STR_FMT(words[0]));
}

static fallible run_line(struct story *s, struct str line, struct err *err)
{
	struct str words[WORDS_MAX];
	size_t n = split(line, words);
	return n == 0 ? OK : run_words(s, words, n, err);
}

/* A pause that the story says something about must come. */
static fallible run_end(const struct story *s, struct err *err)
{
	for (size_t i = 0; i < s->meanwhile_count; i++)
		WANT(s->meanwhile[i].pause <= s->pauses, "there were %zu pauses, the story tells of number %zu",
		     s->pauses, s->meanwhile[i].pause);
	return OK;
}

static void story_done(struct story *s)
{
	world_reply_done(&s->last);
	for (size_t i = 0; i < s->account_count; i++)
		key_free(s->accounts[i].a.key);
	for (size_t i = 0; i < s->order_count; i++)
		key_free(s->orders[i].key);
	world_close(&s->w);
}

int main(int argc, char **argv)
{
	static struct story story;
	AUTO(buf_done) struct buf text = BUF_MAX(1 << 20);
	struct err err = { 0 };
	struct str line;
	int number = 0, code = 0;
	if (argc != 2 || FAILED(file_read(argv[1], text.max, &text, &err)) ||
	    FAILED(world_open(&story.w, NULL, &err))) {
		fprintf(stderr, "usage: replay STORY.scn: %s\n", err.detail);
		return 2;
	}
	struct cur c = cur_of(buf_str(&text));
	while (code == 0 && !FAILED(cur_until(&c, '\n', &line, NULL))) {
		number++;
		err = (struct err){ 0 };
		if (FAILED(run_line(&story, line, &err))) {
			fprintf(stderr, "%s:%d: %.*s\n\t%s %s\n", argv[1], number, STR_FMT(line), err.detail,
				err.cause);
			code = 1;
		}
	}
	if (code == 0 && FAILED(run_end(&story, &err))) {
		fprintf(stderr, "%s: %s\n", argv[1], err.detail);
		code = 1;
	}
	story_done(&story);
	return code;
}

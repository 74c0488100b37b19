/* SPDX-License-Identifier: Apache-2.0
 *
 * queue_test.c: whose turn it is, who waits too long, and who gives way; the time is what the test says.
 */
#include "net/queue.h"

#include <setjmp.h>
#include <stdlib.h>

#include <cmocka.h>

#define JOBS_MAX 64
#define PATIENT INT64_MAX

struct fixture {
	struct queue *q;
	struct workers_job jobs[JOBS_MAX];
	size_t count;
	char order[JOBS_MAX + 1];
};

static void run(void *arg)
{
	(void)arg;
}

static struct fixture *fixture_new(unsigned places)
{
	struct fixture *f = mem_alloc(sizeof *f);
	f->q = queue_new(places);
	return f;
}

static void fixture_free(struct fixture *f)
{
	queue_free(f->q);
	free(f);
}

/* A letter is a peer. */
static enum queue_answer bring(struct fixture *f, char peer, enum workers_rank rank, int64_t now_ms,
			       int64_t patience_ms, char *ret_gave_way)
{
	struct workers_job *job = &f->jobs[f->count++], *gives_way = NULL;
	int64_t waited;
	assert_true(f->count <= JOBS_MAX);
	*job = (struct workers_job){ .fn = run, .refused = run };
	job->arg = mem_alloc(2);
	((char *)job->arg)[0] = peer;
	const struct workers_offer o = { rank, (uint64_t)(unsigned char)peer, now_ms, patience_ms };
	enum queue_answer answer = queue_offer(f->q, &o, job, &gives_way, &waited);
	if (ret_gave_way != NULL)
		*ret_gave_way = gives_way == NULL ? '-' : *(char *)gives_way->arg;
	if (gives_way != NULL)
		free(gives_way->arg);
	if (answer != QUEUE_TAKEN)
		free(job->arg);
	return answer;
}

static void bring_all(struct fixture *f, const char *peers, enum workers_rank rank)
{
	for (; *peers != '\0'; peers++)
		assert_int_equal(bring(f, *peers, rank, 0, PATIENT, NULL), QUEUE_TAKEN);
}

static char take_one(struct fixture *f, int64_t now_ms)
{
	struct workers_job *job = queue_take(f->q, now_ms);
	if (job == NULL)
		return '-';
	char peer = *(char *)job->arg;
	free(job->arg);
	return peer;
}

static const char *take_all(struct fixture *f)
{
	size_t n = 0;
	for (char peer; (peer = take_one(f, 0)) != '-';)
		f->order[n++] = peer;
	f->order[n] = '\0';
	assert_true(queue_is_empty(f->q));
	return f->order;
}

static void peers_take_turns(void **state)
{
	(void)state;
	static const struct {
		const char *brought, *taken;
	} rows[] = {
		{ "", "" },
		{ "aaa", "aaa" },
		{ "aaaaabc", "abcaaaa" }, /* who brings one does not wait for five */
		{ "abcabc", "abcabc" },
		{ "aabbbc", "abcabb" },
	};
	struct fixture *f = fixture_new(8);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		bring_all(f, rows[i].brought, WORKERS_FIRST);
		assert_string_equal(take_all(f), rows[i].taken);
	}
	fixture_free(f);
}

static void ranks_come_before_turns_and_what_goes_on_before_all(void **state)
{
	(void)state;
	struct fixture *f = fixture_new(40);
	struct workers_job resumed = { .fn = run, .arg = mem_alloc(2) };
	*(char *)resumed.arg = 'R';
	bring_all(f, "xxy", WORKERS_LATER);
	bring_all(f, "aaaaaaaaaaaaaaaaaab", WORKERS_FIRST);
	queue_resume(f->q, &resumed);
	assert_int_equal(queue_waiting(f->q), 22);
	assert_string_equal(take_all(f), "Rabaaaaaaaaaaaaaax"
					 "aaayx");
	fixture_free(f);
}

static void a_full_queue_lets_the_newest_of_who_has_most_give_way(void **state)
{
	(void)state;
	static const struct {
		const char *later, *first;
		char comes;
		enum workers_rank rank;
		enum queue_answer want;
		char gave_way;
		const char *taken;
	} rows[] = {
		/* eight places, six of them for what begins */
		{ "aaaaab", "", 'c', WORKERS_LATER, QUEUE_TAKEN, 'a', "abcaaa" },
		{ "aaaaab", "", 'a', WORKERS_LATER, QUEUE_FULL, '-', "abaaaa" },
		{ "aaaaab", "", 'b', WORKERS_LATER, QUEUE_TAKEN, 'a', "ababaa" },
		{ "aaabbb", "", 'c', WORKERS_LATER, QUEUE_TAKEN, 'b', "abcaba" }, /* one of both */
		{ "aabbcc", "", 'a', WORKERS_LATER, QUEUE_FULL, '-', "abcabc" },
		{ "abcdef", "", 'g', WORKERS_LATER, QUEUE_FULL, '-', "abcdef" }, /* nobody has more */
		{ "aaaaab", "", 'c', WORKERS_FIRST, QUEUE_TAKEN, '-', "cabaaaa" },
		{ "aaaa", "bbbb", 'c', WORKERS_FIRST, QUEUE_TAKEN, 'b', "bcbbaaaa" },
		{ "aaaaaa", "bb", 'c', WORKERS_FIRST, QUEUE_TAKEN, 'a', "bcbaaaaa" },
		{ "a", "aaaaaaa", 'b', WORKERS_FIRST, QUEUE_TAKEN, 'a', "abaaaaaa" }, /* what begins, rather */
		{ "a", "aaaaaaa", 'b', WORKERS_LATER, QUEUE_FULL, '-', "aaaaaaaa" },  /* and nothing else for it */
		{ "", "aaaaaa", 'b', WORKERS_LATER, QUEUE_FULL, '-', "aaaaaa" },
		{ "bb", "aaaa", 'c', WORKERS_LATER, QUEUE_TAKEN, 'b', "aaaabc" },  /* who has most, of what may go */
		{ "bb", "aaaac", 'c', WORKERS_LATER, QUEUE_FULL, '-', "acaaabb" }, /* nobody has more than it */
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct fixture *f = fixture_new(8);
		char gave_way;
		bring_all(f, rows[i].later, WORKERS_LATER);
		bring_all(f, rows[i].first, WORKERS_FIRST);
		enum queue_answer got = bring(f, rows[i].comes, rows[i].rank, 0, PATIENT, &gave_way);
		const char *taken = take_all(f);
		if (got != rows[i].want || gave_way != rows[i].gave_way || strcmp(taken, rows[i].taken) != 0)
			fail_msg("row %zu: answer %d, %c gave way, then %s", i, (int)got, gave_way, taken);
		fixture_free(f);
	}
}

static void who_cannot_give_way_does_not(void **state)
{
	(void)state;
	struct fixture *f = fixture_new(4);
	char gave_way;
	bring_all(f, "aaaa", WORKERS_FIRST);
	f->jobs[3].refused = NULL;
	assert_int_equal(bring(f, 'b', WORKERS_FIRST, 0, PATIENT, &gave_way), QUEUE_FULL);
	assert_int_equal(gave_way, '-');
	assert_string_equal(take_all(f), "aaaa");
	fixture_free(f);
}

static void patience_is_with_ones_own_and_with_the_round(void **state)
{
	(void)state;
	struct fixture *f = fixture_new(16);
	for (int i = 0; i < 4; i++)
		assert_int_equal(bring(f, 'a', WORKERS_LATER, 1000, 50, NULL), QUEUE_TAKEN);
	assert_int_equal(bring(f, 'a', WORKERS_LATER, 1050, 50, NULL), QUEUE_TAKEN); /* for as long as may be */
	assert_int_equal(bring(f, 'b', WORKERS_LATER, 1051, 50, NULL), QUEUE_SLOW);  /* not even one in 50 ms */
	assert_int_equal(bring(f, 'b', WORKERS_FIRST, 1051, 50, NULL),
			 QUEUE_TAKEN); /* not the matter of those before */
	assert_int_equal(take_one(f, 1060), 'b');
	assert_int_equal(take_one(f, 1060), 'a');
	assert_int_equal(bring(f, 'b', WORKERS_LATER, 1080, 50, NULL), QUEUE_TAKEN); /* there is one turn before it */
	assert_int_equal(bring(f, 'a', WORKERS_LATER, 1080, 50, NULL), QUEUE_SLOW);  /* its own have waited for 80 ms */
	assert_int_equal(take_one(f, 1100), 'a');
	assert_int_equal(bring(f, 'c', WORKERS_LATER, 1130, 50, NULL), QUEUE_TAKEN); /* b is next, since 1080 */
	assert_int_equal(bring(f, 'd', WORKERS_LATER, 1131, 50, NULL), QUEUE_SLOW);
	assert_int_equal(take_one(f, 1131), 'b');
	assert_int_equal(bring(f, 'd', WORKERS_LATER, 1131, 50, NULL), QUEUE_TAKEN); /* a is next, since 1100 */
	assert_int_equal(bring(f, 'e', WORKERS_LATER, 900, 0, NULL), QUEUE_TAKEN);   /* a clock that was read before */
	assert_string_equal(take_all(f), "acdeaa");
	fixture_free(f);
}

/* As many peers as places, again and again: what one leaves behind is another's. */
static void places_come_back(void **state)
{
	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		struct fixture *f = fixture_new(5);
		for (unsigned i = 0; i < 6; i++) {
			char peers[6] = "ABCDE";
			for (unsigned k = 0; k < 5; k++)
				peers[k] = (char)("ABCDE"[k] + (int)i * 5);
			bring_all(f, peers, WORKERS_FIRST);
			assert_true(queue_is_full(f->q));
			assert_string_equal(take_all(f), peers);
		}
		fixture_free(f);
	}
	queue_free(NULL);
}

/* Against a plain reckoning of the same. */
static void any_order_of_calls_keeps_the_counts(void **state)
{
	(void)state;
	enum { PLACES = 7, PEERS = 4, STEPS = 4000 };
	struct queue *q = queue_new(PLACES);
	struct workers_job jobs[PLACES + 1] = { 0 };
	bool in[PLACES + 1] = { 0 };
	unsigned counts[PEERS] = { 0 }, later[PEERS] = { 0 }, waiting = 0;
	uint32_t seed = 1;
	for (unsigned step = 0; step < STEPS; step++) {
		seed = seed * 1664525u + 1013904223u;
		unsigned peer = seed >> 30, what = seed >> 28 & 3u, free_one = 0;
		if (what == 0) {
			struct workers_job *job = queue_take(q, step);
			assert_int_equal(job == NULL, waiting == 0);
			if (job == NULL)
				continue;
			in[job - jobs] = false;
			counts[(uintptr_t)job->arg]--;
			later[(uintptr_t)job->arg] -= job->rank == WORKERS_LATER;
			waiting--;
			continue;
		}
		while (in[free_one])
			free_one++;
		unsigned most = 0, *of_rank = what == 1 ? later : counts;
		for (unsigned i = 0; i < PEERS; i++)
			most = of_rank[i] > most ? of_rank[i] : most;
		jobs[free_one] = (struct workers_job){ .fn = run, .refused = run, .arg = (void *)(uintptr_t)peer };
		const struct workers_offer o = { what == 1 ? WORKERS_LATER : WORKERS_FIRST, peer, step, PATIENT };
		struct workers_job *gone = NULL;
		int64_t waited;
		bool full = waiting >= (what == 1 ? PLACES - PLACES / 4 : PLACES);
		bool refused = queue_offer(q, &o, &jobs[free_one], &gone, &waited) == QUEUE_FULL;
		assert_int_equal(refused, full && most <= counts[peer] + 1);
		assert_int_equal(gone != NULL, full && !refused);
		if (gone != NULL) {
			assert_int_equal(of_rank[(uintptr_t)gone->arg], most);
			in[gone - jobs] = false;
			counts[(uintptr_t)gone->arg]--;
			later[(uintptr_t)gone->arg] -= gone->rank == WORKERS_LATER;
			waiting--;
		}
		if (!refused) {
			in[free_one] = true;
			counts[peer]++;
			later[peer] += what == 1;
			waiting++;
		}
		assert_int_equal(queue_waiting(q), waiting);
	}
	queue_free(q);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peers_take_turns),
		cmocka_unit_test(ranks_come_before_turns_and_what_goes_on_before_all),
		cmocka_unit_test(a_full_queue_lets_the_newest_of_who_has_most_give_way),
		cmocka_unit_test(who_cannot_give_way_does_not),
		cmocka_unit_test(patience_is_with_ones_own_and_with_the_round),
		cmocka_unit_test(places_come_back),
		cmocka_unit_test(any_order_of_calls_keeps_the_counts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: Apache-2.0
 *
 * arena_test.c: what an arena gives is aligned, zeroed and separate; impossible sizes end the process.
 */
#include "base/base.h"

#include <signal.h>
#include <stdalign.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void memory_is_aligned_zeroed_and_does_not_overlap(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	static const size_t sizes[] = { 0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 100, 4095, 4096, 4097, 70000, 1 };
	unsigned char *got[ARRAY_LEN(sizes)];
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		got[i] = (unsigned char *)arena_alloc(&mem, sizes[i]);
		assert_non_null(got[i]);
		assert_int_equal((uintptr_t)got[i] % alignof(max_align_t), 0);
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(got[i][k], 0);
		memset(got[i], (int)i + 1, sizes[i]);
	}
	size_t total = 0;
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		total += sizes[i];
		for (size_t k = 0; k < sizes[i]; k++)
			assert_int_equal(got[i][k], i + 1);
	}
	assert_int_equal(mem.total, total);
}

static void an_arena_can_be_used_again_after_done(void **state)
{
	(void)state;
	struct arena mem = { 0 };
	for (int round = 0; round < 3; round++) {
		int *numbers = ARENA_ARRAY(&mem, int, 1000);
		numbers[999] = 1;
		arena_done(&mem);
		assert_null(mem.blocks);
		assert_int_equal(mem.total, 0);
	}
	arena_done(&mem);
	arena_done(NULL);
}

static void copies_hold_the_same_bytes(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	struct str with_nul = { "a\0b", 3 };
	assert_true(str_eq(str_dup(&mem, with_nul), with_nul));
	assert_int_equal(str_dup(&mem, STR_NONE).n, 0);
	char *z = NULL;
	struct err err = { 0 };
	assert_int_equal(str_dupz(&mem, with_nul, &z, &err).kind, ERR_MALFORMED);
	assert_null(z);
	assert_int_equal(str_dupz(&mem, STR("abc"), &z, &err).kind, ERR_NONE);
	assert_string_equal(z, "abc");
	assert_int_equal(str_dupz(&mem, STR_NONE, &z, &err).kind, ERR_NONE);
	assert_string_equal(z, "");
	struct str fmt = str_fmt(&mem, "%d-%s-%.*s", 42, "x", STR_FMT(STR("slice")));
	assert_true(str_eq(fmt, STR("42-x-slice")));
	assert_int_equal(fmt.p[fmt.n], '\0');
	assert_int_equal(str_fmt(&mem, "%s", "").n, 0);
	char *heap = mem_dupz(STR("heap"));
	assert_string_equal(heap, "heap");
	free(heap);
}

static void alloc_overflowing(void)
{
	struct arena mem = { 0 };
	(void)arena_alloc_n(&mem, SIZE_MAX / 2, 3);
}

static void alloc_huge(void)
{
	struct arena mem = { 0 };
	(void)arena_alloc(&mem, SIZE_MAX - 8);
}

static void heap_overflowing(void)
{
	(void)mem_alloc_n(SIZE_MAX / 2, 3);
}

static void grow_overflowing(void)
{
	(void)mem_grow(NULL, SIZE_MAX / 2, 3);
}

/* Whether it fits into what is left of a block or not, and what comes behind it is zeroed all the same. */
static void texts_of_any_length_are_whole(void **state)
{
	(void)state;
	AUTO(arena_done) struct arena mem = { 0 };
	char letters[6000];
	memset(letters, 'x', sizeof letters);
	for (int n = 0; n < (int)sizeof letters; n += 97) {
		struct str s = str_fmt(&mem, "%.*s", n, letters);
		assert_int_equal(s.n, n);
		assert_memory_equal(s.p, letters, (size_t)n);
		assert_int_equal(s.p[n], '\0');
		const char *behind = arena_alloc(&mem, 100);
		for (size_t i = 0; i < 100; i++)
			assert_int_equal(behind[i], 0);
		struct str twice = STR_CAT(&mem, s, STR("-"), STR_NONE, s);
		assert_int_equal(twice.n, 2 * n + 1);
		assert_memory_equal(twice.p, letters, (size_t)n);
		assert_int_equal(twice.p[n], '-');
		assert_memory_equal(twice.p + n + 1, letters, (size_t)n);
	}
}

/* Runs fn in a child and expects the one line and SIGABRT. */
static void expect_out_of_memory(void (*fn)(void))
{
	int out[2];
	assert_int_equal(pipe(out), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		(void)signal(SIGABRT, SIG_DFL);
		(void)dup2(out[1], STDERR_FILENO);
		fn();
		_exit(0);
	}
	(void)close(out[1]);
	char line[256] = { 0 };
	ssize_t n = read(out[0], line, sizeof line - 1);
	(void)close(out[0]);
	int status = 0;
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGABRT);
	assert_true(n > 0);
	assert_string_equal(line, "cairn: out of memory\n");
}

static void impossible_sizes_end_the_process_with_one_line(void **state)
{
	(void)state;
	void (*const cases[])(void) = { alloc_overflowing, alloc_huge, heap_overflowing, grow_overflowing };
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		expect_out_of_memory(cases[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_is_aligned_zeroed_and_does_not_overlap),
		cmocka_unit_test(an_arena_can_be_used_again_after_done),
		cmocka_unit_test(copies_hold_the_same_bytes),
		cmocka_unit_test(texts_of_any_length_are_whole),
		cmocka_unit_test(impossible_sizes_end_the_process_with_one_line),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

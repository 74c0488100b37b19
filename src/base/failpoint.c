/* SPDX-License-Identifier: Apache-2.0
 *
 * failpoint.c: reads CAIRN_FP at each hit, so that a test may set it after start; counts hits of the one name it holds.
 */
#include "base/failpoint.h"

#include "base/str.h"

#ifdef CAIRN_FAILPOINTS
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define FAILPOINT_DELAY_MAX_MS 600000

static _Noreturn void failpoint_wrong(const char *spec)
{
	fprintf(stderr, "CAIRN_FP=%s: wanted NAME:N:ACTION with ACTION kill, exit or a number of milliseconds\n", spec);
	_exit(98);
}

static void failpoint_delay(uint64_t ms)
{
	struct timespec left = { (time_t)(ms / 1000), (long)(ms % 1000) * 1000000L };
	while (nanosleep(&left, &left) != 0)
		continue;
}

static void failpoint_act(struct str action, const char *spec)
{
	uint64_t ms;
	if (str_eq(action, STR("kill")))
		kill(getpid(), SIGKILL);
	else if (str_eq(action, STR("exit")))
		_exit(99);
	else if (!FAILED(str_u64(action, FAILPOINT_DELAY_MAX_MS, &ms, NULL)))
		failpoint_delay(ms);
	else
		failpoint_wrong(spec);
}

/* A program that is killed and started again comes to the same place again. */
static bool failpoint_is_first(void)
{
	const char *path = getenv("CAIRN_FP_ONCE");
	if (path == NULL || *path == '\0')
		return true;
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0)
		return false;
	(void)close(fd);
	return true;
}

void failpoint_hit(const char *name)
{
	/* The only state that is not passed in: a place in the middle of anything has nobody to pass it. */
	static atomic_ullong hits;
	const char *spec = getenv("CAIRN_FP");
	if (spec == NULL || *spec == '\0')
		return;
	struct cur c = cur_of(str_z(spec));
	struct str want, count;
	uint64_t nth;
	if (FAILED(cur_until(&c, ':', &want, NULL)) || FAILED(cur_until(&c, ':', &count, NULL)) ||
	    FAILED(str_u64(count, UINT32_MAX, &nth, NULL)) || nth == 0)
		failpoint_wrong(spec);
	if (str_eq(want, str_z(name)) && atomic_fetch_add(&hits, 1) + 1 == nth && failpoint_is_first())
		failpoint_act(cur_rest(&c), spec);
}
#endif

/* SPDX-License-Identifier: Apache-2.0
 *
 * agent_hook.c: runs the operator's program that puts records into the DNS. It gets words, not a command line: no shell
 * reads what a server had a part in.
 */
#include "cmd/agent.h"

#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOOK_MS 20

extern char **environ;

/* Its own process group, so that what it starts ends with it; our ignored SIGPIPE is not its. */
static fallible spawn(const struct agent_hook *h, pid_t *ret, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	const struct str words[] = { str_z(h->program), str_z(h->verb), h->name, h->value };
	char *argv[ARRAY_LEN(words) + 1] = { NULL };
	for (size_t i = 0; i < ARRAY_LEN(words); i++)
		TRY(str_dupz(&mem, words[i], &argv[i], err));
	posix_spawn_file_actions_t files;
	posix_spawnattr_t attr;
	sigset_t defaults;
	sigemptyset(&defaults);
	sigaddset(&defaults, SIGPIPE);
	(void)posix_spawn_file_actions_init(&files);
	(void)posix_spawnattr_init(&attr);
	int rc = posix_spawn_file_actions_adddup2(&files, STDERR_FILENO, STDOUT_FILENO);
	if (rc == 0)
		rc = posix_spawnattr_setsigdefault(&attr, &defaults);
	if (rc == 0)
		rc = posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
	if (rc == 0)
		rc = posix_spawnp(ret, h->program, &files, &attr, argv, environ);
	(void)posix_spawnattr_destroy(&attr);
	(void)posix_spawn_file_actions_destroy(&files);
	if (rc != 0)
		FAIL(err, ERR_CONFIG, "--dns-hook %s: %s", h->program, strerrordesc_np(rc));
	return OK;
}

static fallible judge(const struct agent_hook *h, int status, struct err *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return OK;
	if (WIFEXITED(status))
		FAIL(err, ERR_IO, "--dns-hook: %s %s %.*s ended with exit status %d", h->program, h->verb,
		     STR_FMT(h->name), WEXITSTATUS(status));
	FAIL(err, ERR_IO, "--dns-hook: %s %s %.*s was ended by signal %d", h->program, h->verb, STR_FMT(h->name),
	     WTERMSIG(status));
}

fallible agent_hook_run(const struct agent_hook *h, struct err *err)
{
	pid_t pid;
	int status = 0;
	TRY(spawn(h, &pid, err));
	int64_t until = clock_mono_ms(&clock_system) + h->limit_ms;
	for (;;) {
		pid_t got = waitpid(pid, &status, WNOHANG);
		if (got == pid)
			return judge(h, status, err);
		bool stopped = h->stop != NULL && *h->stop != 0;
		if ((got < 0 && errno != EINTR) || stopped || clock_mono_ms(&clock_system) >= until)
			break;
		const struct timespec pause = { .tv_nsec = LOOK_MS * 1000000L };
		(void)nanosleep(&pause, NULL);
	}
	(void)kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (h->stop != NULL && *h->stop != 0)
		FAIL(err, ERR_CLOSED, "stopped");
	FAIL(err, ERR_TIMEOUT, "--dns-hook: %s %s %.*s did not end within %lld s", h->program, h->verb,
	     STR_FMT(h->name), (long long)(h->limit_ms / 1000));
}

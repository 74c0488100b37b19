/* SPDX-License-Identifier: Apache-2.0
 *
 * signals.c: signals as calls on an ordinary thread: it sleeps in poll on a signalfd, so the calls may take locks.
 */
#include "proc/internal.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct proc_signals {
	struct proc_signal_calls calls;
	pthread_t thread;
	int signal_fd, quit_fd;
	sigset_t old_mask;
	unsigned stops;
};

static void take_one(struct proc_signals *s)
{
	struct signalfd_siginfo info;
	if (read(s->signal_fd, &info, sizeof info) != (ssize_t)sizeof info)
		return;
	if (info.ssi_signo != SIGHUP)
		s->calls.stop(s->calls.ctx, ++s->stops);
	else if (s->calls.reload != NULL)
		s->calls.reload(s->calls.ctx);
}

static void *watch(void *arg)
{
	struct proc_signals *s = arg;
	for (;;) {
		struct pollfd fds[2] = { { .fd = s->quit_fd, .events = POLLIN },
					 { .fd = s->signal_fd, .events = POLLIN } };
		int n = poll(fds, 2, -1);
		if (n < 0 && errno != EINTR)
			return NULL;
		if (n > 0 && fds[0].revents != 0)
			return NULL;
		if (n > 0 && fds[1].revents != 0)
			take_one(s);
	}
}

static fallible open_all(struct proc_signals *s, const sigset_t *set, struct err *err)
{
	s->signal_fd = signalfd(-1, set, SFD_CLOEXEC | SFD_NONBLOCK);
	if (s->signal_fd < 0)
		FAIL(err, ERR_IO, "signalfd: %s", proc_errno_text(errno));
	s->quit_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->quit_fd < 0)
		FAIL(err, ERR_IO, "eventfd: %s", proc_errno_text(errno));
	int rc = pthread_create(&s->thread, NULL, watch, s);
	if (rc != 0)
		FAIL(err, ERR_IO, "pthread_create: %s", proc_errno_text(rc));
	return OK;
}

static void close_all(struct proc_signals *s)
{
	fd_close(&s->signal_fd);
	fd_close(&s->quit_fd);
	(void)pthread_sigmask(SIG_SETMASK, &s->old_mask, NULL);
	free(s);
}

static void ours(sigset_t *set)
{
	(void)sigemptyset(set);
	(void)sigaddset(set, SIGTERM);
	(void)sigaddset(set, SIGINT);
	(void)sigaddset(set, SIGHUP);
}

fallible proc_signals_hold(struct err *err)
{
	sigset_t set;
	ours(&set);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)signal(SIGCHLD, SIG_IGN);
	int number = pthread_sigmask(SIG_BLOCK, &set, NULL);
	if (number != 0)
		FAIL(err, ERR_IO, "pthread_sigmask: %s", proc_errno_text(number));
	return OK;
}

fallible proc_signals_start(const struct proc_signal_calls *calls, struct proc_signals **ret, struct err *err)
{
	sigset_t set;
	ours(&set);
	struct proc_signals *s = mem_alloc(sizeof *s);
	*s = (struct proc_signals){ .calls = *calls, .signal_fd = -1, .quit_fd = -1 };
	(void)signal(SIGPIPE, SIG_IGN);
	int number = pthread_sigmask(SIG_BLOCK, &set, &s->old_mask);
	if (number != 0) {
		free(s);
		FAIL(err, ERR_IO, "pthread_sigmask: %s", proc_errno_text(number));
	}
	struct rc rc = open_all(s, &set, err);
	if (FAILED(rc)) {
		close_all(s);
		return rc;
	}
	*ret = s;
	return OK;
}

void proc_signals_free(struct proc_signals *s)
{
	if (s == NULL)
		return;
	const uint64_t one = 1;
	if (write(s->quit_fd, &one, sizeof one) != (ssize_t)sizeof one)
		abort(); /* an eventfd of ours that holds 0 takes a 1, or memory is broken */
	(void)pthread_join(s->thread, NULL);
	close_all(s);
}

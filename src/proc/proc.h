/* SPDX-License-Identifier: Apache-2.0
 *
 * proc.h: processes. For `cairn serve`: start the roles, hand them their listening sockets, watch them, stop them in
 * order. For the roles: take the sockets, say that they are ready, turn signals into calls, lock the process.
 *
 * The supervisor runs on one thread and starts children by fork, so nothing else in that process may make a thread.
 * No child outlives it: each one is killed by the kernel when the supervisor dies.
 *
 * What a child is told, all in its environment:
 *   LISTEN_FDS, LISTEN_PID, LISTEN_FDNAMES   as sd_listen_fds(3): sockets from descriptor 3 on
 *   CAIRN_READY_FD                           a pipe; the child writes "READY=1\n" to it once it serves
 */
#ifndef CAIRN_PROC_PROC_H
#define CAIRN_PROC_PROC_H

#include "codec/codec.h"

/* --- supervisor --------------------------------------------------------------------------------------------------*/

struct proc_pass { /* a descriptor that a child gets; stays the caller's */
	int fd;
	const char *name; /* letters, digits, '-', '_' and '.' only: it goes into LISTEN_FDNAMES */
};

struct child_spec {
	const char *name;        /* for the log */
	const char *const *argv; /* NULL-terminated; argv[0] is the path that is executed */
	const struct proc_pass *pass;
	size_t pass_count;
	bool critical; /* ending before it was ever ready ends the supervisor: a start that cannot work says so */
};

struct supervisor_spec {
	const struct child_spec *children; /* started in this order; asked to stop in this order, one after the other */
	size_t count;                      /* 1 to 16 */
	const struct log *log;
	const struct clock *clock;
	/* SIGHUP: is the new configuration good? When it is, the children get SIGHUP too; when not, the error is logged
	 * and everything runs on as before. May be NULL: always good. */
	fallible (*reload)(void *ctx, struct err *err);
	/* Called once, when every child is ready. May be NULL. */
	void (*ready)(void *ctx);
	void *ctx;
	/* 0 takes the value in brackets */
	int64_t stop_ms;        /* from the first SIGTERM to SIGKILL for who is left [30,000] */
	int64_t backoff_ms;     /* before the first restart, then twice as long each time [100] ... */
	int64_t backoff_max_ms; /* ... up to this [5,000] */
	int64_t settled_ms;     /* alive for so long: the next restart is a first one again [30,000] */
};

/* Runs until SIGTERM or SIGINT (OK: all children have ended), or until a critical child ends before its first readiness
 * (ERR_CLOSED; the others are stopped first). A second SIGTERM or SIGINT, half a second later or more, kills what is
 * left at once. Tells the service manager through proc_notify. Blocks signals in the calling thread and puts the old
 * mask back. */
fallible supervise(const struct supervisor_spec *spec, struct err *err);

/* --- service manager (sd_notify(3), own implementation) ----------------------------------------------------------*/

/* Sends lines such as "READY=1\nSTATUS=serving" to $NOTIFY_SOCKET; without one there is nothing to do. */
fallible proc_notify(struct str lines, struct err *err);
/* Half of WATCHDOG_USEC in ms, when it is meant for this process; 0: no watchdog. */
int64_t proc_watchdog_ms(void);

/* --- roles -------------------------------------------------------------------------------------------------------*/

struct proc_fd {
	int fd;          /* the caller's from now on; close-on-exec is set */
	struct str name; /* "unknown" when no names were given */
};
/* The sockets that the parent passed; none when LISTEN_PID is not this process. Takes the variables out of the
 * environment, so call it once, before there are threads. */
fallible proc_listen_fds(struct arena *mem, struct proc_fd **ret, size_t *ret_count, struct err *err);

/* A listening, non-blocking TCP socket. "::" serves both families. ERR_CONFIG names the address and what to look for.
 */
fallible proc_listen(const struct addr *addr, uint16_t port, int backlog, int *ret, struct err *err);

/* Says that this process serves: to the supervisor, or to the service manager when it runs alone. In two steps, because
 * a sandbox lies between them that lets no connection be made. Without anybody to tell, *ret_fd is -1. */
fallible proc_ready_open(int *ret_fd, struct err *err);
fallible proc_ready_say(int *fd, struct err *err); /* closes it; -1: nothing to do */

struct proc_signals;
struct proc_signal_calls {                       /* made on a thread of their own, one at a time */
	void (*stop)(void *ctx, unsigned times); /* SIGTERM, SIGINT: times is 1 for the first one */
	void (*reload)(void *ctx);               /* SIGHUP; NULL: ignored */
	void *ctx;
};
/* Before any other thread is made: SIGTERM, SIGINT and SIGHUP are blocked in the calling thread and all that it makes
 * later, and wait for proc_signals_start. SIGPIPE is ignored from here on, and children need no wait(2). */
fallible proc_signals_hold(struct err *err);
fallible proc_signals_start(const struct proc_signal_calls *calls, struct proc_signals **ret, struct err *err);
void proc_signals_free(struct proc_signals *s); /* ends the thread; not from a call */

/* No core dumps, no ptrace by the same user, no new privileges (THREATS A86). */
fallible proc_harden(struct err *err);
/* Descriptors that this program may have open: raised to `wanted` where the hard limit allows it; *ret is what it is now. */
fallible proc_files_raise(uint64_t wanted, uint64_t *ret, struct err *err);

/* --- sandbox -----------------------------------------------------------------------------------------------------*/
/* What a program can do is taken from it in two steps, once it has opened what it needs: first files (Landlock), before
 * there are threads, because the kernel confines a thread and those that it makes; then system calls (seccomp), for all
 * threads at once, before the first byte from outside is read. Neither can be undone.
 *
 * A refused file is EACCES. A system call that is not on the role's list ends the program: SIGSYS, and a line in the log,
 * "alarm: the sandbox refused a system call", with its name. docs/security.md says what each role can still do. */
enum sandbox_role { SANDBOX_API, SANDBOX_VALIDATOR, SANDBOX_SIGNER, SANDBOX_DOOR, SANDBOX_ROLE_COUNT };
enum sandbox_mode { SANDBOX_AUTO, SANDBOX_REQUIRED, SANDBOX_OFF };
enum sandbox_right {
	SANDBOX_READ,    /* a file, or a folder with everything below it */
	SANDBOX_WRITE,   /* the same, read and written; files below the folder come and go */
	SANDBOX_SOCKETS, /* a folder in which sockets come and go */
};
struct sandbox_path {
	const char *path; /* what is not there is passed over */
	enum sandbox_right right;
};
struct sandbox_spec {
	enum sandbox_role role;
	enum sandbox_mode mode;
	const struct sandbox_path *paths;
	size_t path_count;
	bool network;          /* the signer's: a module of the operator's makes connections */
	bool database;         /* the API's: a server of databases is connected to, again and again */
	const uint16_t *ports; /* its TCP ports; where the kernel can, no others are reached */
	size_t port_count;
	const struct log *log; /* borrowed for good */
};
fallible sandbox_mode_read(struct str s, enum sandbox_mode *ret, struct err *err);
/* NULL, or why a sandbox cannot be in this build: sanitizers look at memory and files in ways that none allows. */
const char *sandbox_unfit(void);
/* With SANDBOX_AUTO, what the kernel lacks is a warning in the log; with SANDBOX_REQUIRED it is ERR_CONFIG. */
fallible sandbox_files(const struct sandbox_spec *spec, struct err *err);
fallible sandbox_calls(const struct sandbox_spec *spec, struct err *err);

/* A program's door: a child, made before its parent holds any secret, that does two things for it which the parent's
 * sandbox forbids, and no others: it connects to one Unix socket, and it opens files that the configuration names now,
 * for reading. It passes descriptors and reads nothing from them but the configuration. It ends with its parent; when it
 * ends before, its parent is told at the next use. */
struct door;
struct door_spec {
	const struct sandbox_spec *sandbox; /* mode and log */
	const char *socket;                 /* may be connected to; NULL: none */
	const char *conf_path;              /* may always be opened; each time it is, paths is called again */
	/* In the child: the other files that may be opened, as the configuration of this moment has it. When it fails, they
	 * stay what they were. */
	fallible (*paths)(void *ctx, struct arena *mem, const char *const **ret, size_t *ret_count, struct err *err);
	void *ctx;
};
/* Before there are threads. */
fallible door_open(const struct door_spec *spec, struct door **ret, struct err *err);
/* Any thread. ERR_CLOSED: the door is gone, and only a new start of the program makes another. */
fallible door_connect(struct door *d, int *ret_fd, struct err *err);
/* -1 with errno, as open(2): EACCES for what the door does not open, EPIPE when it is gone. */
int door_file(struct door *d, const char *path);
void door_close(struct door *d); /* accepts NULL; the child ends */

/* The program of that name: beside the running one, else in the libexec folder of the installation, else in PATH. */
fallible proc_find(struct arena *mem, const char *name, const char **ret, struct err *err);

#endif

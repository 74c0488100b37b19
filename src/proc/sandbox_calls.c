/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox_calls.c: the system calls that each program has left, by seccomp. One table: a call, and who may make it with
 * whatever arguments; a second one for those that depend on an argument. What is in neither ends the program: the kernel
 * does not do it and sends SIGSYS, whose handler says which call it was.
 */
#include "proc/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define A (1u << SANDBOX_API)
#define V (1u << SANDBOX_VALIDATOR)
#define S (1u << SANDBOX_SIGNER)
#define D (1u << SANDBOX_DOOR)
#define ROLES (A | V | S)
#define ALL (ROLES | D)
#define NETWORK (1u << SANDBOX_ROLE_COUNT)  /* the signer with a module that makes connections */
#define DATABASE (2u << SANDBOX_ROLE_COUNT) /* the API with PostgreSQL */

#define CALL(name) SCMP_SYS(name)

static const struct {
	int number; /* negative where the machine has no such call */
	unsigned who;
} calls[] = {
	/* memory, threads, time */
	{ CALL(brk), ALL },
	{ CALL(clock_getres), ALL },
	{ CALL(clock_gettime), ALL },
	{ CALL(clock_nanosleep), ALL },
	{ CALL(exit), ALL },
	{ CALL(exit_group), ALL },
	{ CALL(futex), ALL },
	{ CALL(getcpu), ALL },
	{ CALL(getpid), ALL },
	{ CALL(getppid), ALL },
	{ CALL(getrandom), ALL },
	{ CALL(getrusage), ALL },
	{ CALL(gettid), ALL },
	{ CALL(gettimeofday), ALL },
	{ CALL(getegid), ALL },
	{ CALL(geteuid), ALL },
	{ CALL(getgid), ALL },
	{ CALL(getuid), ALL },
	{ CALL(madvise), ALL },
	{ CALL(membarrier), ALL },
	{ CALL(mlock), ALL },
	{ CALL(mremap), ALL },
	{ CALL(munlock), ALL },
	{ CALL(munmap), ALL },
	{ CALL(nanosleep), ALL },
	{ CALL(restart_syscall), ALL },
	{ CALL(rseq), ALL },
	{ CALL(rt_sigpending), ROLES },
	{ CALL(rt_sigprocmask), ALL },
	{ CALL(rt_sigreturn), ALL },
	{ CALL(rt_sigtimedwait), ROLES },
	{ CALL(sched_getaffinity), ALL },
	{ CALL(sched_yield), ALL },
	{ CALL(set_robust_list), ALL },
	{ CALL(sigaltstack), ALL },
	{ CALL(sysinfo), ALL },
	{ CALL(time), ALL },
	{ CALL(uname), ALL },

	/* descriptors that are there */
	{ CALL(close), ALL },
	{ CALL(dup), ALL },
	{ CALL(epoll_create1), ROLES },
	{ CALL(epoll_ctl), ROLES },
	{ CALL(epoll_pwait), ROLES },
	{ CALL(epoll_wait), ROLES },
	{ CALL(eventfd2), ROLES },
	{ CALL(fcntl), ALL },
	{ CALL(fstat), ALL },
	{ CALL(lseek), ALL },
	{ CALL(pipe2), ROLES },
	{ CALL(poll), ALL },
	{ CALL(ppoll), ALL },
	{ CALL(pread64), ROLES },
	{ CALL(pselect6), ROLES },
	{ CALL(read), ALL },
	{ CALL(readv), ALL },
	{ CALL(select), ROLES },
	{ CALL(write), ALL },
	{ CALL(writev), ALL },

	/* sockets that are there */
	{ CALL(accept), A },
	{ CALL(accept4), A },
	{ CALL(getpeername), ROLES },
	{ CALL(getsockname), ROLES },
	{ CALL(getsockopt), ALL },
	{ CALL(recvfrom), ALL },
	{ CALL(recvmsg), ALL },
	{ CALL(sendmsg), ALL },
	{ CALL(sendto), ALL },
	{ CALL(setsockopt), ROLES },
	{ CALL(shutdown), ROLES },

	/* new connections */
	{ CALL(bind), V | NETWORK }, /* the resolver's UDP ports; TCP is Landlock's to refuse */
	{ CALL(connect), V | D | NETWORK | DATABASE },
	{ CALL(recvmmsg), V | NETWORK },
	{ CALL(sendmmsg), V | NETWORK },

	/* looking at files; Landlock has no rights for it */
	{ CALL(access), ALL },
	{ CALL(faccessat), ALL },
	{ CALL(faccessat2), ALL },
	{ CALL(fstatfs), ROLES },
	{ CALL(getcwd), ALL },
	{ CALL(lstat), ALL },
	{ CALL(newfstatat), ALL },
	{ CALL(readlink), ALL },
	{ CALL(readlinkat), ALL },
	{ CALL(stat), ALL },
	{ CALL(statx), ALL },

	/* files where Landlock lets them be: the store's, the journal's, the API's certificate, a module's tokens */
	{ CALL(fadvise64), A | S },
	{ CALL(fallocate), A | S },
	{ CALL(fchmod), A | S },
	{ CALL(fchown), A | S }, /* SQLite as root */
	{ CALL(fdatasync), A | S },
	{ CALL(flock), A | S },
	{ CALL(fsync), A | S },
	{ CALL(ftruncate), A | S },
	{ CALL(getdents64), A | S },
	{ CALL(link), S },
	{ CALL(linkat), S },
	{ CALL(mkdir), A | S },
	{ CALL(msync), A | S },
	{ CALL(open), A | S },
	{ CALL(openat), A | S },
	{ CALL(pwrite64), A | S },
	{ CALL(pwritev), A | S },
	{ CALL(rename), A | S },
	{ CALL(renameat), A | S },
	{ CALL(renameat2), A | S },
	{ CALL(umask), A | S },
	{ CALL(unlink), A | S },
	{ CALL(unlinkat), A | S },
	{ CALL(memfd_create), V | DATABASE }, /* files that libpq reads: the door opened them */

	/* devices and libusb */
	{ CALL(ioctl), NETWORK },
	{ CALL(timerfd_create), NETWORK },
	{ CALL(timerfd_settime), NETWORK },
};

#define READ_ONLY (O_ACCMODE | O_CREAT | O_TRUNC) /* all of these bits must be 0 */
#define OWN_PROCESS UINT64_MAX                    /* stands for our own pid */

/* A call that depends on one argument. */
static const struct {
	int number;
	unsigned who;
	unsigned arg;
	enum scmp_compare op;
	uint64_t a, b;
} conditions[] = {
	{ CALL(mmap), ALL, 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 },
	{ CALL(mprotect), ALL, 2, SCMP_CMP_MASKED_EQ, PROT_EXEC, 0 },
	{ CALL(clone), ROLES, 0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD },
	{ CALL(rt_sigaction), ALL, 0, SCMP_CMP_NE, SIGSYS, 0 }, /* the handler below stays */
	{ CALL(tgkill), ALL, 0, SCMP_CMP_EQ, OWN_PROCESS, 0 },  /* abort(3) */
	{ CALL(kill), ALL, 0, SCMP_CMP_EQ, OWN_PROCESS, 0 },
	{ CALL(prctl), ALL, 0, SCMP_CMP_EQ, PR_SET_NAME, 0 },
	{ CALL(prctl), ALL, 0, SCMP_CMP_EQ, PR_GET_NAME, 0 },
	{ CALL(prlimit64), ALL, 2, SCMP_CMP_EQ, 0, 0 }, /* asking only */
	{ CALL(ioctl), ALL, 1, SCMP_CMP_EQ, TCGETS, 0 },
	{ CALL(ioctl), ROLES, 1, SCMP_CMP_EQ, FIONBIO, 0 },
	{ CALL(ioctl), ROLES, 1, SCMP_CMP_EQ, FIONREAD, 0 },
	{ CALL(open), V | D, 1, SCMP_CMP_MASKED_EQ, READ_ONLY, 0 },
	{ CALL(openat), V | D, 2, SCMP_CMP_MASKED_EQ, READ_ONLY, 0 },
	{ CALL(socket), V | NETWORK | DATABASE, 0, SCMP_CMP_EQ, AF_INET, 0 },
	{ CALL(socket), V | NETWORK | DATABASE, 0, SCMP_CMP_EQ, AF_INET6, 0 },
	{ CALL(socket), D | NETWORK | DATABASE, 0, SCMP_CMP_EQ, AF_UNIX, 0 },
	{ CALL(socket), NETWORK, 0, SCMP_CMP_EQ, AF_NETLINK, 0 }, /* libusb looks for devices */
	{ CALL(socketpair), V, 0, SCMP_CMP_EQ, AF_UNIX, 0 },      /* the resolver's own threads */
};

/* --- saying it ----------------------------------------------------------------------------------------------------*/
#define NAMES_MAX 512

struct trap {
	const struct log *log;
	char *names[NAMES_MAX]; /* by number: asked for at start, because the library's answer takes memory */
};
/* The handler of a signal is given nothing. Written once, before there is one. */
static const struct trap *trap;

/* The call was not made. Only what may be called here is: rendering a line takes no memory and no lock. The signal's
 * action is the default one again (SA_RESETHAND), so that raising it is the end. */
static void on_sigsys(int number, siginfo_t *info, void *context)
{
	char thread[16] = "";
	const char *name = "unknown";
	(void)context;
	int call = info->si_syscall;
	if (call >= 0 && call < NAMES_MAX && trap->names[call] != NULL)
		name = trap->names[call];
	(void)prctl(PR_GET_NAME, thread);
	LOG(trap->log, LOG_ERROR, "alarm: the sandbox refused a system call", KV_Z("call", name),
	    KV_I64("number", call), KV_Z("thread", thread));
	(void)raise(number);
	_exit(128 + number);
}

static fallible trap_set(const struct log *log, struct err *err)
{
	struct trap *t = mem_alloc(sizeof *t);
	t->log = log;
	for (int i = 0; i < NAMES_MAX; i++)
		t->names[i] = seccomp_syscall_resolve_num_arch(SCMP_ARCH_NATIVE, i);
	trap = t;
	struct sigaction action = { .sa_sigaction = on_sigsys,
				    .sa_flags = (int)(SA_SIGINFO | SA_RESETHAND | SA_NODEFER) };
	(void)sigemptyset(&action.sa_mask);
	if (sigaction(SIGSYS, &action, NULL) != 0)
		FAIL(err, ERR_IO, "sigaction SIGSYS: %s", proc_errno_text(errno));
	return OK;
}

/* --- the filter ---------------------------------------------------------------------------------------------------*/
static void filter_auto(scmp_filter_ctx *f)
{
	if (*f != NULL)
		seccomp_release(*f);
}

/* The library returns -errno. */
static fallible check(int rc, const char *what, struct err *err)
{
	if (rc < 0)
		FAIL(err, ERR_IO, "seccomp: %s: %s", what, proc_errno_text(-rc));
	return OK;
}

static fallible add_calls(scmp_filter_ctx f, unsigned who, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
		if (calls[i].number >= 0 && (calls[i].who & who) != 0)
			TRY(check(seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i].number, 0), "a call", err));
	}
	return OK;
}

static fallible add_conditions(scmp_filter_ctx f, unsigned who, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(conditions); i++) {
		if (conditions[i].number < 0 || (conditions[i].who & who) == 0)
			continue;
		/* Network modules may make any ioctl; the same call with a condition would be refused beside it. */
		if (conditions[i].number == CALL(ioctl) && (who & NETWORK) != 0)
			continue;
		uint64_t a = conditions[i].a == OWN_PROCESS ? (uint64_t)getpid() : conditions[i].a;
		struct scmp_arg_cmp cmp = {
			.arg = conditions[i].arg, .op = conditions[i].op, .datum_a = a, .datum_b = conditions[i].b
		};
		TRY(check(seccomp_rule_add_array(f, SCMP_ACT_ALLOW, conditions[i].number, 1, &cmp), "a condition",
			  err));
	}
	return OK;
}

static fallible attributes(scmp_filter_ctx f, struct err *err)
{
	TRY(check(seccomp_attr_set(f, SCMP_FLTATR_CTL_TSYNC, 1), "all threads", err));
	TRY(check(seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS), "other machines", err));
	/* The kernel's own answer to speculation stays as it is: by default a filter turns it up, at the cost of speed. */
	TRY(check(seccomp_attr_set(f, SCMP_FLTATR_CTL_SSB, 1), "speculation", err));
	TRY(check(seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2), "order", err));
	/* The C library tries this one first and falls back: what it would do lies in memory, where no filter sees it. */
	return check(seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), CALL(clone3), 0), "clone3", err);
}

static fallible load(const struct sandbox_spec *spec, struct err *err)
{
	unsigned who = 1u << spec->role | (spec->network ? NETWORK : 0) | (spec->database ? DATABASE : 0);
	AUTO(filter_auto) scmp_filter_ctx f = seccomp_init(SCMP_ACT_TRAP);
	if (f == NULL)
		FAIL(err, ERR_IO, "seccomp: no filter can be made");
	TRY(attributes(f, err));
	TRY(add_calls(f, who, err));
	TRY(add_conditions(f, who, err));
	TRY(trap_set(spec->log, err));
	return check(seccomp_load(f), "the kernel takes no filter", err);
}

fallible sandbox_calls(const struct sandbox_spec *spec, struct err *err)
{
	struct err why = { 0 };
	if (spec->mode == SANDBOX_OFF || !FAILED(load(spec, &why)))
		return OK;
	if (spec->mode == SANDBOX_REQUIRED)
		FAIL(err, ERR_CONFIG, "sandbox: required, but %s", why.detail);
	LOG(spec->log, spec->role == SANDBOX_DOOR ? LOG_DEBUG : LOG_WARNING, "sandbox incomplete",
	    KV_Z("not-confined", "system calls"), KV_ERR(&why));
	return OK;
}

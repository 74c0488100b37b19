/* SPDX-License-Identifier: Apache-2.0
 *
 * sandbox_files.c: what a program may do with files and TCP ports, by Landlock. Its system calls are called directly,
 * and its numbers stand here, because a libc and headers of Debian 12 know only the oldest of them.
 */
#include "proc/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Rights of later kernels than the headers (include/uapi/linux/landlock.h); the ABI that has them first. */
#define FS_EXECUTE (1ULL << 0)
#define FS_WRITE_FILE (1ULL << 1)
#define FS_READ_FILE (1ULL << 2)
#define FS_READ_DIR (1ULL << 3)
#define FS_REMOVE_FILE (1ULL << 5)
#define FS_MAKE_REG (1ULL << 8)
#define FS_MAKE_SOCK (1ULL << 9)
#define FS_ABI_1 ((1ULL << 13) - 1)
#define FS_REFER (1ULL << 13)     /* 2 */
#define FS_TRUNCATE (1ULL << 14)  /* 3 */
#define FS_IOCTL_DEV (1ULL << 15) /* 5 */
#define NET_BIND_TCP (1ULL << 0)  /* 4 */
#define NET_CONNECT_TCP (1ULL << 1)
#define RULE_NET_PORT 2
#define SCOPE_ABSTRACT_SOCKETS (1ULL << 0) /* 6 */
#define SCOPE_SIGNALS (1ULL << 1)
#define FS_OF_A_FILE (FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV)

#define ABI_NET 4
#define ABI_SCOPES 6
#define ABI_WANTED ABI_SCOPES /* beyond it is nothing that we use */

struct net_port_attr { /* struct landlock_net_port_attr */
	uint64_t allowed_access, port;
};

struct ruleset { /* struct landlock_ruleset_attr as of ABI 6; older kernels are given its beginning */
	uint64_t fs, net, scopes;
};

/* What the kernel has, and since which ABI. */
static const struct {
	int abi;
	uint64_t fs;
	const char *lacks; /* said when the kernel is older */
} steps[] = {
	{ 1, FS_ABI_1, "files" },
	{ 2, FS_REFER, "links between folders" },
	{ 3, FS_TRUNCATE, "truncation" },
	{ ABI_NET, 0, "TCP ports" },
	{ 5, FS_IOCTL_DEV, "ioctl of devices" },
	{ ABI_SCOPES, 0, "signals and abstract sockets" },
};

static const uint64_t right_bits[] = {
	[SANDBOX_READ] = FS_READ_FILE | FS_READ_DIR,
	[SANDBOX_WRITE] = FS_READ_FILE | FS_READ_DIR | FS_WRITE_FILE | FS_TRUNCATE | FS_REMOVE_FILE | FS_MAKE_REG,
	[SANDBOX_SOCKETS] = FS_READ_DIR | FS_MAKE_SOCK | FS_REMOVE_FILE,
};

/* What a role is denied beyond its rules. */
static const struct {
	uint64_t spared; /* not handled: as without a sandbox */
	uint64_t net;
} roles[SANDBOX_ROLE_COUNT] = {
	[SANDBOX_API] = { 0, NET_BIND_TCP | NET_CONNECT_TCP },
	[SANDBOX_VALIDATOR] = { 0, NET_BIND_TCP },
	[SANDBOX_SIGNER] = { 0, NET_BIND_TCP | NET_CONNECT_TCP },
	/* It reads what the configuration names, wherever that is; its own list decides. */
	[SANDBOX_DOOR] = { FS_READ_FILE | FS_READ_DIR, NET_BIND_TCP | NET_CONNECT_TCP },
};

/* ABI of the kernel, 0: none. */
static int landlock_abi(void)
{
	long abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	return abi < 0 ? 0 : abi > ABI_WANTED ? ABI_WANTED : (int)abi;
}

static uint64_t fs_of(int abi)
{
	uint64_t fs = 0;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (steps[i].abi <= abi)
			fs |= steps[i].fs;
	}
	return fs;
}

static fallible ruleset_new(const struct sandbox_spec *spec, int abi, struct ruleset *ret, int *ret_fd, struct err *err)
{
	struct ruleset r = { .fs = fs_of(abi) & ~roles[spec->role].spared };
	size_t size = sizeof r.fs;
	if (abi >= ABI_NET) {
		r.net = spec->network ? 0 : roles[spec->role].net;
		size = sizeof r.fs + sizeof r.net;
	}
	if (abi >= ABI_SCOPES) {
		r.scopes = SCOPE_SIGNALS | (spec->network ? 0 : SCOPE_ABSTRACT_SOCKETS);
		size = sizeof r;
	}
	if (spec->network)
		r.fs &= ~FS_IOCTL_DEV;
	long fd = syscall(SYS_landlock_create_ruleset, &r, size, 0);
	if (fd < 0)
		FAIL(err, ERR_IO, "landlock_create_ruleset: %s", proc_errno_text(errno));
	*ret = r;
	*ret_fd = (int)fd;
	return OK;
}

static fallible rule_add(int ruleset, uint64_t handled, const struct sandbox_path *p, struct err *err)
{
	struct stat st;
	AUTO(fd_close) int fd = open(p->path, O_PATH | O_CLOEXEC);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return OK;
	if (fd < 0 || fstat(fd, &st) != 0)
		FAIL(err, ERR_CONFIG, "%s: %s", p->path, proc_errno_text(errno));
	struct landlock_path_beneath_attr rule = { .allowed_access = right_bits[p->right] & handled, .parent_fd = fd };
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= FS_OF_A_FILE;
	if (rule.allowed_access == 0) /* of a file in the place of a folder of sockets */
		return OK;
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) != 0)
		FAIL(err, ERR_IO, "landlock_add_rule for %s: %s", p->path, proc_errno_text(errno));
	return OK;
}

static fallible port_add(int ruleset, uint16_t port, struct err *err)
{
	const struct net_port_attr rule = { .allowed_access = NET_CONNECT_TCP, .port = port };
	if (syscall(SYS_landlock_add_rule, ruleset, RULE_NET_PORT, &rule, 0) != 0)
		FAIL(err, ERR_IO, "landlock_add_rule for port %u: %s", port, proc_errno_text(errno));
	return OK;
}

static fallible restrict_self(const struct sandbox_spec *spec, int abi, struct err *err)
{
	struct ruleset r;
	AUTO(fd_close) int fd = -1;
	TRY(ruleset_new(spec, abi, &r, &fd, err));
	for (size_t i = 0; i < spec->path_count; i++)
		TRY(rule_add(fd, r.fs, &spec->paths[i], err));
	for (size_t i = 0; i < spec->port_count && (r.net & NET_CONNECT_TCP) != 0; i++)
		TRY(port_add(fd, spec->ports[i], err));
	if (syscall(SYS_landlock_restrict_self, fd, 0) != 0)
		FAIL(err, ERR_IO, "landlock_restrict_self: %s", proc_errno_text(errno));
	return OK;
}

static fallible tell_lacks(const struct sandbox_spec *spec, int abi, struct err *err)
{
	AUTO(arena_done) struct arena mem = { 0 };
	struct str lacks = STR_NONE;
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		if (steps[i].abi > abi)
			lacks = str_fmt(&mem, "%.*s%s%s", STR_FMT(lacks), lacks.n == 0 ? "" : ", ", steps[i].lacks);
	}
	if (lacks.n == 0)
		return OK;
	if (spec->mode == SANDBOX_REQUIRED)
		FAIL(err, ERR_CONFIG, "sandbox: required, but this kernel's Landlock (ABI %d) does not confine: %.*s",
		     abi, STR_FMT(lacks));
	/* The door is as confined as its parent, which says it. */
	LOG(spec->log, spec->role == SANDBOX_DOOR ? LOG_DEBUG : LOG_WARNING, "sandbox incomplete",
	    KV_I64("landlock", abi), KV_STR("not-confined", lacks));
	return OK;
}

fallible sandbox_files(const struct sandbox_spec *spec, struct err *err)
{
	if (spec->mode == SANDBOX_OFF)
		return OK;
	int abi = landlock_abi();
	TRY(tell_lacks(spec, abi, err));
	if (abi == 0)
		return OK;
	struct rc rc = restrict_self(spec, abi, err);
	if (FAILED(rc))
		err_prefix(err, "sandbox: ");
	return rc;
}

// The few steps between clone and exec. The keeper forks this program into the
// namespaces of a container and hands it a list of operations (program.h);
// it carries them out and becomes the user's program. It is static, uses no
// library and runs from a sealed memfd, so that a container can neither slow
// it down nor change it.
#include "sys.h"
#include "program.h"
#include "mounts.h"
#include "exec.h"
#include "reap.h"
#include "foreign.h"

static void op_cgroup(void)
{
	step = "enter the cgroup";
	int fd = read_file();
	must(sys3(__NR_write, fd, "0", 1));
	close_fd(fd);
}

static void op_setns(void)
{
	int fd = read_file();
	u32 flags = read_u32();
	step = "enter the namespaces";
	must(sys2(__NR_setns, fd, flags));
	close_fd(fd);
}

// op_fork makes the process that goes on: a pid namespace that was joined is
// only that of children. It is the keeper's child, as this one is.
static void op_fork(void)
{
	u8 msg[5] = {'P'};
	s32 pid;
	step = "fork into the pid namespace";
	pid = (s32)must(sys5(__NR_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0));
	if (pid == 0)
		return;
	memcpy(msg + 1, &pid, 4);
	report(msg, 5);
	report("R", 1);
	leave(0);
}

static void op_wait(void)
{
	u8 go = 0;
	long n;
	step = "wait for the word to go";
	do
		n = sys6(__NR_recvfrom, STATUS_FD, (long)&go, 1, 0, 0, 0);
	while (n == -EINTR);
	must(n);
	if (n == 0 || go != 'G')
		leave(125); // the keeper gave up on us
}

static void op_loopback(void)
{
	struct ifreq_flags ifr = {.name = "lo", .flags = 1 | 0x40 /* IFF_UP|IFF_RUNNING */};
	step = "bring up lo";
	long fd = must(sys3(__NR_socket, 2 /* AF_INET */, 2 | O_CLOEXEC /* SOCK_DGRAM */, 0));
	must(sys3(__NR_ioctl, fd, 0x8914 /* SIOCSIFFLAGS */, &ifr));
	close_fd((int)fd);
}

static void op_rlimit(void)
{
	u32 resource = read_u32();
	struct rlimit64 want, have;
	long err;
	read_u32();
	want.cur = read_u64();
	want.max = read_u64();
	step = "set the limit of resources";
	err = sys4(__NR_prlimit64, 0, resource, &want, 0);
	if (err == -EPERM) { // raising needs CAP_SYS_RESOURCE: as high as it goes
		must(sys4(__NR_prlimit64, 0, resource, 0, &have));
		if (want.max > have.max)
			want.max = have.max;
		if (want.cur > want.max)
			want.cur = want.max;
		err = sys4(__NR_prlimit64, 0, resource, &want, 0);
	}
	must(err);
}

static void op_oomadj(void)
{
	long fd;
	char *value = read_string();
	step = "set the OOM score";
	step_arg = value;
	fd = must(sys4(__NR_openat, AT_CWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC, 0));
	must(sys3(__NR_write, fd, value, length(value)));
	close_fd((int)fd);
}

// op_apparmor says which profile confines what this process becomes. It comes
// first, while /proc is the host's: in a container it may be anything. A fork
// inherits what was said.
static void op_apparmor(void)
{
	long fd;
	char *value = read_string();
	step = "set the AppArmor profile";
	step_arg = value;
	fd = sys4(__NR_openat, AT_CWD, "/proc/thread-self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC, 0);
	if (fd == -ENOENT) // before 5.8 there is one place for all security modules
		fd = sys4(__NR_openat, AT_CWD, "/proc/thread-self/attr/exec", O_WRONLY | O_CLOEXEC, 0);
	must(fd);
	must(sys3(__NR_write, fd, value, length(value)));
	close_fd((int)fd);
}

static void op_name(long call, const char *what)
{
	step = what;
	step_arg = read_string();
	must(sys2(call, step_arg, length(step_arg)));
}

static void op_unshare(void)
{
	step = "unshare";
	must(sys1(__NR_unshare, read_u32()));
}

static void carry_out(u32 op)
{
	step_arg = "";
	switch (op) {
	case OP_CGROUP: op_cgroup(); break;
	case OP_UNSHARE: op_unshare(); break;
	case OP_SETNS: op_setns(); break;
	case OP_FORK: op_fork(); break;
	case OP_READY: report("R", 1); break;
	case OP_PRIVATE: op_private(); break;
	case OP_ROOT: op_root(); break;
	case OP_MKDIR: op_mkdir(); break;
	case OP_MOVE: op_move(); break;
	case OP_FSMOUNT: op_fsmount(); break;
	case OP_MASK: op_mask(); break;
	case OP_READONLY: op_readonly(); break;
	case OP_ROOTRO:
		step = "make the root read-only";
		set_readonly(rootfd, 0);
		break;
	case OP_PIVOT: op_pivot(); break;
	case OP_HOSTNAME: op_name(__NR_sethostname, "set the host name"); break;
	case OP_DOMAINNAME: op_name(__NR_setdomainname, "set the domain name"); break;
	case OP_LOOPBACK: op_loopback(); break;
	case OP_SYSCTL: op_sysctl(); break;
	case OP_RLIMIT: op_rlimit(); break;
	case OP_OOMADJ: op_oomadj(); break;
	case OP_WAIT: op_wait(); break;
	case OP_EXEC: op_exec(); break;
	case OP_CONSOLE: op_console(); break;
	case OP_APPARMOR: op_apparmor(); break;
	case OP_ATTACH: op_attach(); break;
	case OP_RUN: op_run(); break;
	case OP_TERMINAL: op_terminal(); break;
	case OP_ADOPT: op_adopt(); break;
	case OP_SUBREAPER: op_subreaper(); break;
	case OP_DONE: leave(0); break;
	default: broken();
	}
}

static void run(u8 *program, ulong size)
{
	u8 *end = program + size;
	cursor = program;
	limit = end;
	if (read_u32() != MAGIC || read_u32() != VERSION)
		broken();
	while (cursor < end) {
		u32 op, n;
		limit = end;
		op = read_u32();
		n = read_u32();
		limit = cursor + n;
		if (n > (ulong)(end - cursor) || n & 3)
			broken();
		carry_out(op);
		if (cursor != limit)
			broken();
	}
	broken(); // a program ends by becoming another one, or with OP_DONE
}

// start finds on the stack what the kernel puts there: how many arguments, the
// arguments, a zero, the variables.
__attribute__((used)) static void start(ulong *stack)
{
	char **argv = (char **)(stack + 1);
	struct statx st;
	long p;
	if (stack[0] > 2 && equal(argv[1], "--"))
		stand_alone(argv + 2, argv + stack[0] + 1);
	// Nobody in a container may look into this process before it is theirs.
	sys5(__NR_prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	// Its end of file tells the keeper that the exec happened.
	must(sys3(__NR_close_range, PROGRAM_FD, ~0u, 4 /* CLOSE_RANGE_CLOEXEC */));
	step = "read the program";
	memset(&st, 0, sizeof st);
	must(sys5(__NR_statx, PROGRAM_FD, "", AT_EMPTY_PATH, STATX_SIZE, &st));
	if (st.stx_size < 8 || st.stx_size > MOST_PROGRAM)
		broken();
	p = sys6(__NR_mmap, 0, (long)st.stx_size, PAGE_PROT, 2 /* MAP_PRIVATE */, PROGRAM_FD, 0);
	if (p < 0 && p > -4096)
		fail(p);
	run((u8 *)p, st.stx_size);
}

#if defined(__x86_64__)
__asm__(".globl _start\n_start:\n\txor %ebp, %ebp\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall start\n\thlt\n");
#elif defined(__aarch64__)
__asm__(".globl _start\n_start:\n\tmov x29, #0\n\tmov x0, sp\n\tbl start\n\tbrk #0\n");
#endif

// The first process of a container that was asked for one (--init): it waits
// for orphans, hands signals on to the command and ends as the command ended.

static void foreground(long pid)
{
	s32 group = (s32)pid;
	u64 ttou = 1ul << (22 - 1); // SIGTTOU, or changing the group stops us
	sys4(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &ttou, 0, 8);
	sys3(__NR_ioctl, 0, TIOCSPGRP, &group);
	sys4(__NR_rt_sigprocmask, 1 /* SIG_UNBLOCK */, &ttou, 0, 8);
}

// ended collects the dead and returns the command's code, or -1 while it runs.
static int ended(long command)
{
	int code = -1, status;
	for (;;) {
		long pid = sys4(__NR_wait4, -1, &status, WNOHANG, 0);
		if (pid <= 0)
			return code;
		if (pid == command)
			code = status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff;
	}
}

// reap returns in the command's process; its caller stays here for good.
static void reap(struct last *l)
{
	u64 all = ~0ul, none = 0;
	long pid;
	int code;
	step = "fork the command";
	sys4(__NR_rt_sigprocmask, 2, &all, 0, 8);
	sys5(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	pid = must(sys5(__NR_clone, SIGCHLD, 0, 0, 0, 0));
	if (pid == 0) {
		sys2(__NR_setpgid, 0, 0);
		if (l->flags & LAST_TERMINAL)
			foreground(sys0(__NR_getpid));
		sys4(__NR_rt_sigprocmask, 2, &none, 0, 8);
		return;
	}
	close_fd(STATUS_FD);
	for (;;) {
		long sig = sys4(__NR_rt_sigtimedwait, &all, 0, 0, 8);
		if (sig == SIGCHLD) {
			code = ended(pid);
			if (code >= 0)
				leave(code);
		} else if (sig > 0) {
			sys2(__NR_kill, pid, sig);
		}
	}
}

// stand_alone is for a container that another runtime makes, where this program
// is shown as a file: "init -- COMMAND...". It has only what every process has,
// and what goes wrong is told to who reads the output.
static void stand_alone(char **argv, char **env)
{
	struct last l;
	s32 group;
	memset(&l, 0, sizeof l);
	alone = 1;
	l.name = argv[0];
	l.argv = argv;
	l.env = env;
	if (sys3(__NR_ioctl, 0, TIOCGPGRP, &group) >= 0)
		l.flags = LAST_TERMINAL;
	reap(&l);
	become(&l);
}

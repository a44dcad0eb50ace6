// Containers that another OCI runtime makes (runc, crun): the init runs that
// program in a mount namespace of its own, where the container's root and
// volumes are attached, and names the process that it made in its own place.
// That process is the keeper's child once the runtime, its parent, has ended:
// the keeper is a subreaper.

// op_attach moves a detached mount to a path of the daemon's own folder.
static void op_attach(void)
{
	int fd = read_file();
	step = "attach";
	step_arg = read_string();
	must(sys5(__NR_move_mount, fd, "", AT_CWD, step_arg, MOVE_MOUNT_F_EMPTY_PATH));
	close_fd(fd);
}

// run_child becomes the runtime. What is open besides the standard streams
// closes at its exec.
static void run_child(const char *folder, char **argv, char **env)
{
	sys5(__NR_prctl, PR_SET_PDEATHSIG, 9, 0, 0, 0);
	sys2(__NR_setpgid, 0, 0);
	reset_signals();
	sys1(__NR_chdir, folder);
	sys3(__NR_execve, argv[0], argv, env);
	leave(127);
}

// await waits for the end of a child and returns its status. One that takes
// longer is killed, with all that it started.
static s32 await(long pid, u32 seconds)
{
	struct {
		long seconds, nanoseconds;
	} patience = {seconds, 0};
	u64 child = 1ul << (SIGCHLD - 1);
	s32 status = 0;
	for (;;) {
		long ret = sys4(__NR_wait4, pid, &status, WNOHANG, 0);
		if (ret > 0)
			return status;
		must(ret);
		if (sys4(__NR_rt_sigtimedwait, &child, 0, &patience, 8) != -EAGAIN)
			continue;
		sys2(__NR_kill, -pid, 9);
		sys2(__NR_kill, pid, 9);
		sys4(__NR_wait4, pid, &status, 0, 0);
		fail(-ETIMEDOUT);
	}
}

// op_run runs the runtime to its end; why it failed is in its own log.
static void op_run(void)
{
	u32 seconds = read_u32();
	char *folder = read_string();
	u64 child = 1ul << (SIGCHLD - 1);
	u32 n;
	char **argv = read_list(&n), **env;
	long pid;
	if (!n)
		broken();
	env = read_list(&n);
	step = "run";
	step_arg = argv[0];
	sys4(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, &child, 0, 8);
	pid = must(sys5(__NR_clone, SIGCHLD, 0, 0, 0, 0));
	if (pid == 0)
		run_child(folder, argv, env);
	sys2(__NR_setpgid, pid, pid);
	if (await(pid, seconds))
		fail(-EIO);
}

// op_terminal takes the terminal that the runtime has sent to its console
// socket, and hands it on. The runtime has ended: what it sent is there.
static void op_terminal(void)
{
	char byte = 'T', sink[256];
	struct {
		ulong len;
		s32 level, type, fd, pad;
	} control;
	struct {
		void *base;
		ulong len;
	} io = {sink, sizeof sink};
	struct {
		void *name;
		s32 namelen;
		void *iov;
		ulong iovlen;
		void *control;
		ulong controllen;
		s32 flags;
	} msg;
	int listener = read_file();
	long conn;
	step = "take the terminal";
	conn = must(sys4(__NR_accept4, listener, 0, 0, O_CLOEXEC));
	memset(&msg, 0, sizeof msg);
	memset(&control, 0, sizeof control);
	msg.iov = &io;
	msg.iovlen = 1;
	msg.control = &control;
	msg.controllen = sizeof control;
	must(sys3(__NR_recvmsg, conn, &msg, 0x40000000 /* MSG_CMSG_CLOEXEC */));
	if (msg.controllen < 20 || control.level != 1 /* SOL_SOCKET */ || control.type != 1 /* SCM_RIGHTS */ || control.len != 20)
		fail(-EBADMSG);
	io.base = &byte;
	io.len = 1;
	msg.controllen = sizeof control;
	must(sys3(__NR_sendmsg, STATUS_FD, &msg, 0x4000 /* MSG_NOSIGNAL */));
	close_fd(control.fd);
	close_fd((int)conn);
	close_fd(listener);
}

// op_adopt names the process that the runtime made as the one.
static void op_adopt(void)
{
	u8 msg[5] = {'P'};
	char text[16];
	long fd, n, i;
	s32 pid = 0;
	step = "read the process's number";
	step_arg = read_string();
	fd = must(sys4(__NR_openat, AT_CWD, step_arg, O_RDONLY | O_CLOEXEC, 0));
	n = must(sys3(__NR_read, fd, text, sizeof text));
	for (i = 0; i < n && text[i] >= '0' && text[i] <= '9' && pid < 100000000; i++)
		pid = pid * 10 + (text[i] - '0');
	if (pid <= 1)
		fail(-EBADMSG);
	close_fd((int)fd);
	adopted = pid;
	memcpy(msg + 1, &pid, 4);
	report(msg, 5);
}

// op_subreaper keeps what the runtime leaves from the keeper until this process
// ends, so that nothing is reaped that has not been named.
static void op_subreaper(void)
{
	step = "wait for orphans";
	must(sys5(__NR_prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0));
}

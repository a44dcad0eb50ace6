// The last steps, in an order that matters: what needs a capability comes
// before it is given up, and the filter is loaded as late as it can be.

struct last {
	u32 flags;
	u32 uid, gid, umask;
	u64 bounding, effective, permitted, inheritable, ambient;
	u32 groups;
	u8 *group; // u32 each
	u32 filters;
	u8 *filter; // struct sock_filter each
	u32 filter_flags;
	char *cwd, *name;
	char **argv, **env;
};

#define LAST_NNP 1      // set no_new_privs
#define LAST_TERMINAL 2 // standard input becomes the controlling terminal
#define LAST_INIT 4     // stay as the first process and reap

static void reset_signals(void)
{
	struct sigact act;
	u64 none = 0;
	int i;
	memset(&act, 0, sizeof act);
	for (i = 1; i <= 64; i++)
		if (i != 9 && i != 19) // SIGKILL, SIGSTOP
			sys4(__NR_rt_sigaction, i, &act, 0, 8);
	sys4(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, &none, 0, 8);
}

static u32 last_capability(void)
{
	u32 c = 0;
	while (c < 63 && sys5(__NR_prctl, PR_CAPBSET_READ, c, 0, 0, 0) >= 0)
		c++;
	return c;
}

static void drop_bounding(u64 keep)
{
	u32 n = last_capability(), c;
	step = "drop capabilities from the bounding set";
	for (c = 0; c < n; c++)
		if (!(keep >> c & 1))
			must(sys5(__NR_prctl, PR_CAPBSET_DROP, c, 0, 0, 0));
}

static long capset(u64 effective, u64 permitted, u64 inheritable)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {
		{(u32)effective, (u32)permitted, (u32)inheritable},
		{(u32)(effective >> 32), (u32)(permitted >> 32), (u32)(inheritable >> 32)},
	};
	return sys2(__NR_capset, &head, data);
}

static u64 permitted_now(void)
{
	struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2];
	memset(data, 0, sizeof data);
	must(sys2(__NR_capget, &head, data));
	return data[0].permitted | (u64)data[1].permitted << 32;
}

static void become_user(struct last *l)
{
	step = "become the user";
	must(sys5(__NR_prctl, PR_SET_KEEPCAPS, 1, 0, 0, 0));
	must(sys2(__NR_setgroups, l->groups, l->group));
	must(sys3(__NR_setresgid, l->gid, l->gid, l->gid));
	must(sys3(__NR_setresuid, l->uid, l->uid, l->uid));
	must(sys5(__NR_prctl, PR_SET_KEEPCAPS, 0, 0, 0, 0));
}

// enter_cwd goes to the working directory and makes sure that it lies inside
// the root: a descriptor left open would otherwise be a way out.
static void enter_cwd(const char *cwd)
{
	static char buf[4096];
	long n;
	step = "chdir to the working directory";
	step_arg = cwd;
	must(sys1(__NR_chdir, cwd));
	n = sys2(__NR_getcwd, buf, sizeof buf);
	if (n < 0)
		fail(n);
	if (buf[0] != '/')
		fail(-EXDEV);
	step_arg = "";
}

static void load_filter(struct last *l)
{
	struct sock_fprog prog = {.len = (unsigned short)l->filters, .filter = (void *)l->filter};
	step = "load the seccomp filter";
	if (l->filters)
		must(sys3(__NR_seccomp, SECCOMP_SET_MODE_FILTER, l->filter_flags, &prog));
}

static void set_capabilities(struct last *l)
{
	u64 have = permitted_now();
	u32 c;
	step = "set the capabilities";
	// What the daemon itself lacks cannot be given; the rest is as asked.
	must(capset(l->effective & have, l->permitted & have, l->inheritable));
	for (c = 0; c < 64; c++)
		if (l->ambient >> c & 1 & have >> c)
			must(sys5(__NR_prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, c, 0, 0));
}

static const char *path_of(char **env)
{
	for (; *env; env++)
		if ((*env)[0] == 'P' && (*env)[1] == 'A' && (*env)[2] == 'T' && (*env)[3] == 'H' && (*env)[4] == '=')
			return *env + 5;
	return "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
}

static long try_exec(const char *path, struct last *l)
{
	long err = sys3(__NR_execve, path, l->argv, l->env);
	if (err == -EACCES) {
		long fd = sys4(__NR_openat, AT_CWD, path, O_PATH | O_CLOEXEC, 0);
		if (fd >= 0 && is_dir((int)fd))
			err = -EISDIR;
		if (fd >= 0)
			close_fd((int)fd);
	}
	return err;
}

// become looks the program up as a shell would and becomes it. It returns only
// by failing.
static void become(struct last *l)
{
	static char full[4096];
	const char *path = path_of(l->env);
	ulong n = length(l->name);
	long err, found = -ENOENT;

	step = "exec";
	step_arg = l->name;
	if (!n)
		fail(-ENOENT);
	if (has_slash(l->name))
		fail(try_exec(l->name, l));
	for (;;) {
		ulong m = 0;
		while (path[m] && path[m] != ':')
			m++;
		if (m + n + 2 < sizeof full) {
			memcpy(full, path, m);
			full[m] = '/';
			memcpy(full + (m ? m + 1 : 0), l->name, n + 1);
			err = try_exec(full, l);
			if (err == -EACCES || (err != -ENOENT && err != -ENOTDIR && err != -EISDIR)) {
				found = err;
				if (err != -EACCES)
					break;
			}
		}
		path += m;
		if (!*path++)
			break;
	}
	fail(found);
}

static u8 *read_array(u32 *n, u32 size, u32 most)
{
	*n = read_u32();
	if (*n > most)
		broken();
	return read_bytes(*n * size);
}

static void read_last(struct last *l)
{
	u32 n;
	l->flags = read_u32();
	l->uid = read_u32();
	l->gid = read_u32();
	l->umask = read_u32();
	l->bounding = read_u64();
	l->effective = read_u64();
	l->permitted = read_u64();
	l->inheritable = read_u64();
	l->ambient = read_u64();
	l->filter_flags = read_u32();
	l->group = read_array(&l->groups, 4, 65536);
	l->filter = read_array(&l->filters, sizeof(struct sock_filter), BPF_MAXINSNS);
	l->cwd = read_string();
	l->name = read_string();
	l->argv = read_list(&n);
	l->env = read_list(&n);
}

static void reap(struct last *l); // reap.h

// op_exec ends the program: nothing comes after it.
static void op_exec(void)
{
	struct last l;
	read_last(&l);
	if (l.flags & LAST_INIT) // ps would show the number of a descriptor
		sys5(__NR_prctl, PR_SET_NAME, (long)"lus-init", 0, 0, 0);
	step = "start a session";
	sys0(__NR_setsid);
	if (l.flags & LAST_TERMINAL)
		must(sys3(__NR_ioctl, 0, TIOCSCTTY, 0));
	// The keeper's keys are not the container's. A kernel may lack keyrings.
	sys2(__NR_keyctl, 1 /* KEYCTL_JOIN_SESSION_KEYRING */, NULL);
	sys1(__NR_umask, l.umask);
	reset_signals();
	// Nothing of ours stays open but the status, which closes at the exec.
	sys3(__NR_close_range, PROGRAM_FD, PROGRAM_FD, 0);
	sys3(__NR_close_range, FIRST_FILE, ~0u, 0);

	drop_bounding(l.bounding);
	become_user(&l);
	if (l.uid) // setuid took them out of effect; the filter needs one of them
		must(capset(permitted_now(), permitted_now(), 0));
	enter_cwd(l.cwd);
	if (l.flags & LAST_NNP)
		must(sys5(__NR_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	load_filter(&l);
	set_capabilities(&l);
	if (l.flags & LAST_INIT)
		reap(&l);
	become(&l);
}

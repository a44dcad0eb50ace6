// Mounts: what was made outside is moved in, what belongs to the new
// namespaces is made here. Every target is found inside the new root, by
// descriptor, so that no symbolic link of the image leads out of it.

static int rootfd = -1;    // the new root
static int proc_sys = -1;  // sys of the proc we mounted, before it is made read-only
static int mask_dir = -1;  // an empty folder that was mounted over a masked one

static void close_fd(int fd) { sys1(__NR_close, fd); }

static long open_in_root(const char *path, u64 flags, u64 resolve)
{
	struct open_how how = {.flags = flags | O_CLOEXEC, .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | resolve};
	long fd;
	do
		fd = sys4(__NR_openat2, rootfd, path[0] ? path : ".", &how, sizeof how);
	while (fd == -EAGAIN || fd == -EINTR);
	return fd;
}

static u32 mode_of(int fd)
{
	struct statx st;
	memset(&st, 0, sizeof st);
	must(sys5(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE | STATX_MODE, &st));
	return st.stx_mode;
}

static int is_dir(int fd) { return (mode_of(fd) & 0170000) == 0040000; }

static long fs_type(int fd)
{
	struct statfs_head fs;
	memset(&fs, 0, sizeof fs);
	must(sys2(__NR_fstatfs, fd, &fs));
	return fs.type;
}

static int in_procfs(int fd) { return fs_type(fd) == PROC_SUPER_MAGIC; }

// make_in_root creates what is missing of path: folders, and at its end a
// folder or an empty file. Each parent is opened anew inside the root, so a
// link along the way is followed there and nowhere else.
static long make_in_root(const char *path, int file, u32 mode)
{
	static char part[4096];
	ulong n = length(path), i = 0;
	if (n >= sizeof part)
		return -ENAMETOOLONG;
	while (i < n) {
		ulong start, parent_end;
		long parent, err;
		while (i < n && path[i] == '/')
			i++;
		start = i;
		while (i < n && path[i] != '/')
			i++;
		if (i == start)
			break;
		memcpy(part, path, i);
		part[i] = 0;
		parent = open_in_root(part, O_PATH, 0);
		if (parent >= 0) {
			close_fd(parent);
			continue;
		}
		if (parent != -ENOENT)
			return parent;
		parent_end = start;
		part[parent_end] = 0;
		parent = open_in_root(parent_end ? part : ".", O_PATH | O_DIRECTORY, 0);
		if (parent < 0)
			return parent;
		memcpy(part, path, i);
		part[i] = 0;
		if (file && i == n)
			err = sys4(__NR_mknodat, parent, part + start, 0100000 | mode, 0);
		else
			err = sys3(__NR_mkdirat, parent, part + start, file ? 0755 : mode);
		close_fd(parent);
		if (err < 0 && err != -EEXIST)
			return err;
	}
	return open_in_root(path, O_PATH, 0);
}

static int target(const char *path, u32 flags)
{
	long fd = open_in_root(path, O_PATH, flags & PLAIN_DIR ? RESOLVE_NO_SYMLINKS : 0);
	if (fd == -ENOENT && flags & (MAKE_DIR | MAKE_FILE))
		fd = make_in_root(path, flags & MAKE_FILE, flags & MAKE_FILE ? 0644 : 0755);
	must(fd);
	// A mount over a part of /proc could show a false /proc/self/attr or the
	// like to whoever trusts it later.
	if (rootfd >= 0 && !(flags & IN_PROC) && in_procfs((int)fd))
		fail(-EPERM);
	return (int)fd;
}

static void move_to(int from, int to)
{
	must(sys5(__NR_move_mount, from, "", to, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH));
}

static void set_readonly(int fd, int recursive)
{
	struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY};
	must(sys5(__NR_mount_setattr, fd, "", AT_EMPTY_PATH | (recursive ? 0x8000 /* AT_RECURSIVE */ : 0), &attr, sizeof attr));
}

static void op_private(void)
{
	step = "make the mounts private";
	must(sys5(__NR_mount, "", "/", "", 0x4000 | 0x40000 /* MS_REC|MS_PRIVATE */, ""));
}

static void op_root(void)
{
	step = "enter the root file system";
	rootfd = read_file();
	must(sys5(__NR_move_mount, rootfd, "", AT_CWD, "/", MOVE_MOUNT_F_EMPTY_PATH));
	must(sys1(__NR_fchdir, rootfd));
}

static void op_mkdir(void)
{
	u32 mode = read_u32();
	char *path = read_string();
	long fd = make_in_root(path, 0, mode);
	// A root that is read-only may lack it; chdir will say so where it matters.
	if (fd >= 0)
		close_fd((int)fd);
}

static void op_move(void)
{
	int fd = read_file(), to;
	u32 flags = read_u32();
	step = "mount";
	step_arg = read_string();
	to = target(step_arg, flags);
	if (is_dir(fd) != is_dir(to))
		fail(-ENOTDIR);
	move_to(fd, to);
	close_fd(to);
	close_fd(fd);
}

// new_mount makes a file system of the namespaces we are in.
static int new_mount(const char *type, u32 attributes, char **options, u32 n)
{
	u32 i;
	int fs = (int)must(sys2(__NR_fsopen, type, FSOPEN_CLOEXEC));
	long fd;
	for (i = 0; i + 1 < n; i += 2) {
		u32 how = options[i + 1][0] ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG;
		must(sys5(__NR_fsconfig, fs, how, options[i], how == FSCONFIG_SET_FLAG ? NULL : options[i + 1], 0));
	}
	must(sys5(__NR_fsconfig, fs, FSCONFIG_CMD_CREATE, 0, 0, 0));
	fd = must(sys3(__NR_fsmount, fs, FSMOUNT_CLOEXEC, attributes));
	close_fd(fs);
	return (int)fd;
}

static void op_fsmount(void)
{
	char *type = read_string();
	u32 flags = read_u32(), attributes = read_u32(), n;
	char **options;
	int to, fd;
	step = "mount";
	step_arg = read_string();
	options = read_list(&n);
	to = target(step_arg, flags);
	fd = new_mount(type, attributes, options, n);
	if (equal(type, "proc")) {
		if (proc_sys >= 0)
			close_fd(proc_sys);
		proc_sys = (int)sys4(__NR_openat, fd, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC, 0);
	}
	move_to(fd, to);
	close_fd(to);
	close_fd(fd);
}

static long clone_tree(int fd, u32 flags)
{
	return sys3(__NR_open_tree, fd, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH | flags);
}

// null_device opens the root's /dev/null and makes sure that it is one: what
// it is mounted over must not become a file of the container's choosing.
static int null_device(void)
{
	struct statx st;
	int fd = (int)must(open_in_root("/dev/null", O_PATH, RESOLVE_NO_SYMLINKS));
	memset(&st, 0, sizeof st);
	must(sys5(__NR_statx, fd, "", AT_EMPTY_PATH, STATX_TYPE, &st));
	if ((st.stx_mode & 0170000) != 0020000 || st.stx_rdev_major != 1 || st.stx_rdev_minor != 3)
		fail(-ENODEV);
	return fd;
}

static void mask(int fd, int *null, int empty)
{
	long over;
	if (is_dir(fd)) {
		if (mask_dir < 0) {
			over = empty;
			mask_dir = empty;
		} else {
			over = must(clone_tree(mask_dir, 0));
		}
		move_to((int)over, fd);
		if (over != empty)
			close_fd((int)over);
		return;
	}
	if (*null < 0)
		*null = null_device();
	over = must(clone_tree(*null, 0));
	move_to((int)over, fd);
	close_fd((int)over);
}

static void op_mask(void)
{
	int empty = read_file(), null = -1;
	u32 n, i;
	char **paths = read_list(&n);
	step = "mask";
	for (i = 0; i < n; i++) {
		long fd;
		step_arg = paths[i];
		fd = open_in_root(paths[i], O_PATH, 0);
		if (fd == -ENOENT || fd == -ENOTDIR)
			continue;
		mask((int)must(fd), &null, empty);
		close_fd((int)fd);
	}
	if (null >= 0)
		close_fd(null);
}

static void op_readonly(void)
{
	u32 n, i;
	char **paths = read_list(&n);
	step = "make read-only";
	for (i = 0; i < n; i++) {
		long fd, tree;
		step_arg = paths[i];
		fd = open_in_root(paths[i], O_PATH, 0);
		if (fd == -ENOENT || fd == -ENOTDIR)
			continue;
		must(fd);
		tree = must(clone_tree((int)fd, 0x8000 /* AT_RECURSIVE */));
		set_readonly((int)tree, 1);
		move_to((int)tree, (int)fd);
		close_fd((int)tree);
		close_fd((int)fd);
	}
}

// op_console shows a terminal as /dev/console.
static void op_console(void)
{
	static char path[32] = "/dev/pts/";
	char digits[12];
	u32 n = read_u32(), at = 9, d = 0;
	int from, to, tree;
	step = "make /dev/console";
	do
		digits[d++] = (char)('0' + n % 10);
	while (n /= 10);
	while (d)
		path[at++] = digits[--d];
	from = (int)must(open_in_root(path, O_PATH, RESOLVE_NO_SYMLINKS));
	// A volume can cover /dev/pts and show anything by that name.
	if (fs_type(from) != DEVPTS_SUPER_MAGIC)
		fail(-ENODEV);
	tree = (int)must(clone_tree(from, 0));
	to = target("/dev/console", MAKE_FILE);
	move_to(tree, to);
	close_fd(from);
	close_fd(tree);
	close_fd(to);
}

static void op_pivot(void)
{
	step = "change the root";
	must(sys1(__NR_fchdir, rootfd));
	must(sys2(__NR_pivot_root, ".", "."));
	must(sys2(__NR_umount2, ".", 2 /* MNT_DETACH */));
	must(sys1(__NR_chdir, "/"));
	close_fd(rootfd);
	rootfd = -1;
}

static void op_sysctl(void)
{
	struct open_how how = {.flags = O_WRONLY | O_CLOEXEC, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV};
	char *value;
	long fd;
	step = "set the sysctl";
	step_arg = read_string();
	value = read_string();
	if (proc_sys < 0)
		fail(-ENOENT);
	fd = must(sys4(__NR_openat2, proc_sys, step_arg, &how, sizeof how));
	must(sys3(__NR_write, fd, value, length(value)));
	close_fd((int)fd);
}

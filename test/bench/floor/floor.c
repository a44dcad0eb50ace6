/*
 * The floor: what the kernel alone asks for one container. Five new namespaces,
 * an overlay, the usual mounts and devices, a cgroup in every hierarchy,
 * pivot_root, exec, and everything taken away again. With --join it is what one
 * more process in a container asks for: its cgroups and namespaces, exec, and
 * the wait for its end. What an engine adds to this is its own.
 *
 *   floor LOWER SCRATCH PROGRAM [ARGUMENT...]
 *   floor --join PID PROGRAM [ARGUMENT...]
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *controllers[] = {"cpu", "cpuset", "memory", "pids", "devices", "freezer", "blkio"};
#define CONTROLLERS (sizeof controllers / sizeof *controllers)

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "floor: %s: %s\n", what, strerror(errno));
	exit(125);
}

static void put(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0 && errno != EINVAL)
		fprintf(stderr, "floor: %s: %s\n", path, strerror(errno));
	close(fd);
}

static void copy(const char *from, const char *to)
{
	char text[256];
	int fd = open(from, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	if (n > 0) {
		text[n] = 0;
		put(to, text);
	}
	if (fd >= 0)
		close(fd);
}

static char *path(const char *format, const char *a, const char *b)
{
	char *p;

	must(asprintf(&p, format, a, b) > 0, "memory");
	return p;
}

/* Version 1 has a folder for each controller, version 2 one for all. */
static size_t make_cgroups(char *dirs[CONTROLLERS])
{
	size_t n = 0;
	char name[32];

	snprintf(name, sizeof name, "lus-floor-%d", getpid());
	for (size_t i = 0; i < CONTROLLERS; i++) {
		dirs[n] = path("/sys/fs/cgroup/%s", path("%s/%s", controllers[i], name), "");
		if (mkdir(dirs[n], 0755) == 0)
			n++;
	}
	if (n == 0) {
		dirs[n] = path("/sys/fs/cgroup/%s%s", name, "");
		must(mkdir(dirs[n], 0755) == 0, dirs[n]);
		n++;
	}
	return n;
}

/*
 * A process with one thread moves by itself past the lock that all processes of
 * the host share, and with it past a grace period of 5 to 30 ms, where it writes to
 * "tasks", as version 1 has it.
 */
static void enter_cgroup(const char *dir)
{
	char *tasks = path("%s/%s", dir, "tasks");

	put(access(tasks, F_OK) == 0 ? tasks : path("%s/%s", dir, "cgroup.procs"), "0");
}

static void enter_cgroups(char *dirs[], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		/* A new cpuset takes nobody until it is filled. */
		if (strstr(dirs[i], "/cpuset/")) {
			copy("/sys/fs/cgroup/cpuset/cpuset.cpus", path("%s/%s", dirs[i], "cpuset.cpus"));
			copy("/sys/fs/cgroup/cpuset/cpuset.mems", path("%s/%s", dirs[i], "cpuset.mems"));
		}
		enter_cgroup(dirs[i]);
	}
}

static void device(const char *root, const char *name, unsigned minor_number)
{
	char *p = path("%s/dev/%s", root, name);

	must(mknod(p, S_IFCHR | 0666, makedev(1, minor_number)) == 0, p);
}

static void mounts(const char *lower, const char *scratch)
{
	char *root = path("%s%s", scratch, "/root");
	char *layers;

	must(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private mounts");
	must(asprintf(&layers, "lowerdir=%s,upperdir=%s/upper,workdir=%s/work", lower, scratch, scratch) > 0, "memory");
	must(mount("overlay", root, "overlay", 0, layers) == 0, "overlay");
	must(mount("proc", path("%s%s", root, "/proc"), "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0, "proc");
	must(mount("sysfs", path("%s%s", root, "/sys"), "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, NULL) == 0, "sysfs");
	must(mount("tmpfs", path("%s%s", root, "/dev"), "tmpfs", MS_NOSUID, "mode=755,size=65536k") == 0, "dev");
	device(root, "null", 3);
	device(root, "zero", 5);
	device(root, "full", 7);
	device(root, "random", 8);
	device(root, "urandom", 9);
	must(mkdir(path("%s%s", root, "/dev/pts"), 0755) == 0 && mkdir(path("%s%s", root, "/dev/shm"), 01777) == 0 &&
	     mkdir(path("%s%s", root, "/dev/mqueue"), 01777) == 0, "folders of /dev");
	must(mount("devpts", path("%s%s", root, "/dev/pts"), "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=620") == 0, "devpts");
	must(mount("shm", path("%s%s", root, "/dev/shm"), "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=65536k") == 0, "shm");
	must(mount("mqueue", path("%s%s", root, "/dev/mqueue"), "mqueue", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0, "mqueue");
	must(chdir(root) == 0 && syscall(SYS_pivot_root, ".", ".") == 0 && umount2(".", MNT_DETACH) == 0 && chdir("/") == 0, "pivot_root");
}

static void clear(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d)))
		if (e->d_name[0] != '.')
			rmdir(path("%s/%s", dir, e->d_name));
	if (d)
		closedir(d);
	rmdir(dir);
}

/* Each line of /proc/PID/cgroup is "number:controllers:/path". */
static void join_cgroups(const char *pid)
{
	char line[4096], *names, *dir;
	FILE *f = fopen(path("/proc/%s/cgroup%s", pid, ""), "re");

	must(f != NULL, "cgroups of the process");
	while (fgets(line, sizeof line, f)) {
		line[strcspn(line, "\n")] = 0;
		names = strchr(line, ':') + 1;
		dir = strchr(names, ':');
		*dir++ = 0;
		if (strncmp(names, "name=", 5) == 0)
			names += 5;
		enter_cgroup(path("/sys/fs/cgroup/%s%s", names, dir));
	}
	fclose(f);
}

static int wait_for(pid_t pid)
{
	int status = 0;

	must(waitpid(pid, &status, 0) == pid, "wait");
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int join(const char *container, char **program)
{
	int fd = syscall(SYS_pidfd_open, atoi(container), 0);
	pid_t pid;

	must(fd >= 0, "pidfd_open");
	join_cgroups(container);
	must(setns(fd, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET) == 0, "setns");
	pid = fork();
	must(pid >= 0, "fork");
	if (pid == 0) {
		execv(program[0], program);
		must(0, program[0]);
	}
	return wait_for(pid);
}

int main(int argc, char **argv)
{
	char *groups[CONTROLLERS], *scratch;
	size_t n;
	int code;
	pid_t pid;

	if (argc < 4) {
		fprintf(stderr, "usage: floor LOWER SCRATCH PROGRAM [ARGUMENT...]\n       floor --join PID PROGRAM [ARGUMENT...]\n");
		return 2;
	}
	if (strcmp(argv[1], "--join") == 0)
		return join(argv[2], argv + 3);
	scratch = path("%s/%s", argv[2], "floor-XXXXXX");
	must(mkdtemp(scratch) != NULL, scratch);
	must(mkdir(path("%s%s", scratch, "/upper"), 0755) == 0 && mkdir(path("%s%s", scratch, "/work"), 0755) == 0 &&
	     mkdir(path("%s%s", scratch, "/root"), 0755) == 0, "scratch folders");
	n = make_cgroups(groups);

	pid = syscall(SYS_clone, CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWNET | SIGCHLD, NULL, NULL, NULL, 0);
	must(pid >= 0, "clone");
	if (pid == 0) {
		enter_cgroups(groups, n);
		mounts(argv[1], scratch);
		must(sethostname("floor", 5) == 0, "sethostname");
		execv(argv[3], argv + 3);
		must(0, argv[3]);
	}
	code = wait_for(pid);

	while (n-- > 0)
		must(rmdir(groups[n]) == 0, groups[n]);
	clear(path("%s%s", scratch, "/work"));
	clear(path("%s%s", scratch, "/upper"));
	clear(scratch);
	return code;
}

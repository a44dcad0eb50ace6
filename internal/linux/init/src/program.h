// The program: the list of operations the init carries out, as encode.go
// writes it. It is read as if a stranger had written it: every length is
// checked before it is believed.
//
//	program   = magic u32, version u32, operation...
//	operation = code u32, length u32, payload of that length
//	string    = length u32, bytes, a zero, zeros up to a multiple of four
//	list      = count u32, string...
//	file      = s32, an index into the descriptors that came along; -1 is none

#define MAGIC 0x3153554c // "LUS1"
#define VERSION 1
#define PROGRAM_FD 3
#define STATUS_FD 4
#define FIRST_FILE 5
#define MOST_PROGRAM (16 << 20)

enum op {
	OP_CGROUP = 1, // file
	OP_UNSHARE,    // flags u32
	OP_SETNS,      // file, flags u32
	OP_FORK,       //
	OP_READY,      //
	OP_PRIVATE,    //
	OP_ROOT,       // file
	OP_MKDIR,      // mode u32, path
	OP_MOVE,       // file, flags u32, path
	OP_FSMOUNT,    // type, flags u32, attributes u32, target, list of key and value in turn
	OP_MASK,       // file, list of paths
	OP_READONLY,   // list of paths
	OP_ROOTRO,     //
	OP_PIVOT,      //
	OP_HOSTNAME,   // name
	OP_DOMAINNAME, // name
	OP_LOOPBACK,   //
	OP_SYSCTL,     // path below /proc/sys, value
	OP_RLIMIT,     // resource u32, pad u32, soft u64, hard u64
	OP_OOMADJ,     // text
	OP_WAIT,       //
	OP_EXEC,       // see exec.h
	OP_CONSOLE,    // number u32 of a terminal below /dev/pts
	OP_APPARMOR,   // "exec PROFILE"
	OP_ATTACH,     // file, path; see foreign.h for this one and all below
	OP_RUN,        // seconds u32, folder, list of arguments, list of variables
	OP_TERMINAL,   // file, a socket that listens
	OP_ADOPT,      // path of a file with a pid
	OP_SUBREAPER,  //
	OP_DONE,       //
};

#define MAKE_DIR 1   // OP_MOVE, OP_FSMOUNT: create the target as a folder
#define MAKE_FILE 2  // OP_MOVE: create the target as an empty file
#define IN_PROC 4    // OP_MOVE: the target may lie in /proc
#define PLAIN_DIR 8  // OP_FSMOUNT: no symbolic link may lead to the target

static u8 *cursor, *limit;         // what is left of the operation at hand
static const char *step = "start"; // what is being done, for an error's text
static const char *step_arg = "";
static int alone;                  // this is the first process of another runtime's container, see reap.h
static s32 adopted;                // the process in whose place this one stands, see foreign.h

// report sends one message to the keeper; there is nobody to tell if it fails.
static void report(const void *data, ulong n)
{
	sys6(__NR_sendto, STATUS_FD, (long)data, n, 0x4000 /* MSG_NOSIGNAL */, 0, 0);
}

static int failure_code(long err)
{
	return err == -ENOENT ? 127 : err == -EACCES || err == -ENOEXEC || err == -EISDIR ? 126 : 125;
}

// fail tells the keeper which step failed and ends the process.
static void fail(long err)
{
	static char msg[1024];
	s32 code = (s32)-err;
	ulong at = 5, i;

	msg[0] = 'E';
	memcpy(msg + 1, &code, 4);
	for (i = 0; step[i] && at < 200; i++)
		msg[at++] = step[i];
	if (step_arg[0])
		msg[at++] = ' ';
	for (i = 0; step_arg[i] && at < sizeof msg - 1; i++)
		msg[at++] = step_arg[i];
	report(msg, at);
	if (alone) { // nobody but who reads the output
		msg[at++] = '\n';
		sys3(__NR_write, 2, msg + 5, at - 5);
	}
	if (adopted > 0)
		sys2(__NR_kill, adopted, 9); // nobody else would end it
	leave(failure_code(err));
}

static long must(long ret)
{
	if (ret < 0)
		fail(ret);
	return ret;
}

static void broken(void)
{
	step = "read the program";
	fail(-EBADMSG);
}

static u32 read_u32(void)
{
	u32 v;
	if (limit - cursor < 4)
		broken();
	memcpy(&v, cursor, 4);
	cursor += 4;
	return v;
}

static u64 read_u64(void)
{
	u64 lo = read_u32();
	return lo | (u64)read_u32() << 32;
}

static u8 *read_bytes(u32 n)
{
	u8 *p = cursor;
	if ((ulong)(limit - cursor) < n)
		broken();
	cursor += n;
	return p;
}

static char *read_string(void)
{
	u32 n = read_u32(), i;
	char *s;
	if (n > MOST_PROGRAM)
		broken();
	s = (char *)read_bytes((n + 4) & ~3u);
	for (i = 0; i < n; i++)
		if (!s[i])
			broken();
	if (s[n])
		broken();
	return s;
}

// read_file returns a descriptor, or -1.
static int read_file(void)
{
	s32 i = (s32)read_u32();
	if (i < -1 || i > 4096)
		broken();
	return i < 0 ? -1 : FIRST_FILE + i;
}

static void *reserve(ulong n)
{
	long p = sys6(__NR_mmap, 0, n, PAGE_PROT, 0x22 /* MAP_PRIVATE|MAP_ANONYMOUS */, -1, 0);
	if (p < 0 && p > -4096)
		fail(p);
	return (void *)p;
}

// read_list returns the strings, ended by NULL as exec wants them.
static char **read_list(u32 *count)
{
	u32 n = read_u32(), i;
	char **list;
	if (n > (ulong)(limit - cursor) / 4)
		broken();
	list = reserve((n + 1) * sizeof *list);
	for (i = 0; i < n; i++)
		list[i] = read_string();
	list[n] = NULL;
	*count = n;
	return list;
}

package initproc

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// magic and version open every program; src/program.h has the same.
const (
	magic   = 0x3153554c
	version = 1
)

// The operations, numbered as in src/program.h.
const (
	opCgroup = iota + 1
	opUnshare
	opSetns
	opFork
	opReady
	opPrivate
	opRoot
	opMkdir
	opMove
	opFsmount
	opMask
	opReadonly
	opRootRO
	opPivot
	opHostname
	opDomainname
	opLoopback
	opSysctl
	opRlimit
	opOOMAdj
	opWait
	opExec
	opConsole
	opAppArmor
	opAttach
	opRun
	opTerminal
	opAdopt
	opSubreaper
	opDone
)

// Target says what may be done to have a mount's target.
type Target uint32

// The ways to treat a mount's target; they can be joined.
const (
	MakeDir  Target = 1 // create a missing target as a folder
	MakeFile Target = 2 // create a missing target as an empty file
	InProc   Target = 4 // the target may lie in /proc
	PlainDir Target = 8 // no symbolic link may lead to the target
)

// Program collects the operations of one init, in order, and the descriptors
// they use. The zero value is ready for use.
type Program struct {
	buf   []byte
	start int // of the operation being written
	files []*os.File
}

// Files are the descriptors that go with the program, in order. They stay the
// caller's to close.
func (p *Program) Files() []*os.File { return p.files }

// Memfd returns the program as a sealed memfd. The caller closes it.
func (p *Program) Memfd() (*os.File, error) {
	return sealed("lus-program", p.buf, unix.MFD_NOEXEC_SEAL)
}

func (p *Program) begin(op uint32) {
	if len(p.buf) == 0 {
		p.buf = make([]byte, 0, 16<<10)
		p.u32(magic)
		p.u32(version)
	}
	p.u32(op)
	p.u32(0)
	p.start = len(p.buf)
}

func (p *Program) end() {
	binary.LittleEndian.PutUint32(p.buf[p.start-4:], uint32(len(p.buf)-p.start))
}

func (p *Program) u32(v uint32) { p.buf = binary.LittleEndian.AppendUint32(p.buf, v) }

func (p *Program) u64(v uint64) { p.buf = binary.LittleEndian.AppendUint64(p.buf, v) }

func (p *Program) str(s string) {
	p.u32(uint32(len(s)))
	p.buf = append(p.buf, s...)
	p.buf = append(p.buf, 0)
	for len(p.buf)%4 != 0 {
		p.buf = append(p.buf, 0)
	}
}

func (p *Program) list(l []string) {
	p.u32(uint32(len(l)))
	for _, s := range l {
		p.str(s)
	}
}

func (p *Program) file(f *os.File) {
	if f == nil {
		p.u32(^uint32(0))
		return
	}
	p.u32(uint32(len(p.files)))
	p.files = append(p.files, f)
}

func (p *Program) plain(op uint32) {
	p.begin(op)
	p.end()
}

func (p *Program) text(op uint32, s ...string) {
	p.begin(op)
	for _, v := range s {
		p.str(v)
	}
	p.end()
}

// Cgroup enters the cgroup whose file of tasks or processes this is.
func (p *Program) Cgroup(procs *os.File) {
	p.begin(opCgroup)
	p.file(procs)
	p.end()
}

// Unshare makes namespaces of its own.
func (p *Program) Unshare(flags uint32) {
	p.begin(opUnshare)
	p.u32(flags)
	p.end()
}

// Setns enters the namespace, or with a pidfd the namespaces, of ns.
func (p *Program) Setns(ns *os.File, flags uint32) {
	p.begin(opSetns)
	p.file(ns)
	p.u32(flags)
	p.end()
}

// Fork goes on in a new process, because a pid namespace that was entered is
// only that of children. It tells its pid and says Ready too.
func (p *Program) Fork() { p.plain(opFork) }

// Ready tells that the namespaces are there.
func (p *Program) Ready() { p.plain(opReady) }

// Private cuts the mounts off from those of the host.
func (p *Program) Private() { p.plain(opPrivate) }

// Root moves in the new root.
func (p *Program) Root(mount *os.File) {
	p.begin(opRoot)
	p.file(mount)
	p.end()
}

// Mkdir creates a folder and its parents in the root; it may fail silently.
func (p *Program) Mkdir(path string, mode uint32) {
	p.begin(opMkdir)
	p.u32(mode)
	p.str(path)
	p.end()
}

// Move moves a detached mount to its target in the root.
func (p *Program) Move(mount *os.File, target string, t Target) {
	p.begin(opMove)
	p.file(mount)
	p.u32(uint32(t))
	p.str(target)
	p.end()
}

// Option is one option of a file system; a flag has no value.
type Option struct{ Key, Value string }

// Mount makes a file system that belongs to the namespaces it is made in.
func (p *Program) Mount(fstype, target string, t Target, attributes uint32, options []Option) {
	p.begin(opFsmount)
	p.str(fstype)
	p.u32(uint32(t))
	p.u32(attributes)
	p.str(target)
	p.u32(uint32(2 * len(options)))
	for _, o := range options {
		p.str(o.Key)
		p.str(o.Value)
	}
	p.end()
}

// Mask hides paths: folders below empty, a detached mount, files below /dev/null.
func (p *Program) Mask(empty *os.File, paths []string) {
	p.begin(opMask)
	p.file(empty)
	p.list(paths)
	p.end()
}

// Readonly makes paths, and what is mounted below them, read-only.
func (p *Program) Readonly(paths []string) {
	p.begin(opReadonly)
	p.list(paths)
	p.end()
}

// Console shows the terminal /dev/pts/n as /dev/console.
func (p *Program) Console(n uint32) {
	p.begin(opConsole)
	p.u32(n)
	p.end()
}

// RootReadonly makes the root itself read-only, not what is mounted in it.
func (p *Program) RootReadonly() { p.plain(opRootRO) }

// Pivot makes the new root the root and lets go of the host's mounts.
func (p *Program) Pivot() { p.plain(opPivot) }

// Hostname sets the host name.
func (p *Program) Hostname(name string) { p.text(opHostname, name) }

// Domainname sets the domain name.
func (p *Program) Domainname(name string) { p.text(opDomainname, name) }

// Loopback brings up lo.
func (p *Program) Loopback() { p.plain(opLoopback) }

// Sysctl writes a value to a file below /proc/sys.
func (p *Program) Sysctl(path, value string) { p.text(opSysctl, path, value) }

// Rlimit sets a limit, as high as the daemon's own allows.
func (p *Program) Rlimit(resource int, soft, hard uint64) {
	p.begin(opRlimit)
	p.u32(uint32(resource))
	p.u32(0)
	p.u64(soft)
	p.u64(hard)
	p.end()
}

// OOMScore sets how readily the kernel kills the process for memory.
func (p *Program) OOMScore(value string) { p.text(opOOMAdj, value) }

// AppArmor says which profile confines the program that the init becomes. It
// must come while /proc is still the host's.
func (p *Program) AppArmor(profile string) { p.text(opAppArmor, "exec "+profile) }

// Wait waits for the word to go on.
func (p *Program) Wait() { p.plain(opWait) }

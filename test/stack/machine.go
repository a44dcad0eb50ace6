package stack

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The kinds of things that a Machine lists.
const (
	Mounts     = "mount"
	Interfaces = "interface"
	Rules      = "rule"
	Cgroups    = "cgroup"
	Processes  = "process"
	Sockets    = "socket"
	Files      = "file"
	Records    = "record"
)

// Machine is what an instance holds of the machine at one moment: kind to
// sorted lines.
type Machine map[string][]string

// Look lists all that this stack holds: mounts, interfaces, nftables rules,
// cgroups, processes, bound sockets, files under its root, and what its daemon
// tells of.
func (s *Stack) Look() Machine {
	m := Machine{
		Mounts:     s.mounts(),
		Interfaces: s.interfaces(),
		Rules:      s.rules(),
		Cgroups:    s.cgroups(),
		Files:      s.files(),
		Records:    s.records(),
	}
	for _, p := range s.processes() {
		m[Processes] = append(m[Processes], p.command)
	}
	m[Sockets] = s.sockets()
	for kind := range m {
		slices.Sort(m[kind])
	}
	return m
}

// Less is the machine without some kinds: those that a command may change.
func (m Machine) Less(kinds ...string) Machine {
	out := Machine{}
	for kind, lines := range m {
		if !slices.Contains(kinds, kind) {
			out[kind] = lines
		}
	}
	return out
}

// Diff tells what came and went between two looks; empty where nothing did.
func (m Machine) Diff(after Machine) string {
	var out []string
	for kind, before := range m {
		out = append(out, only("- "+kind+" ", before, after[kind])...)
		out = append(out, only("+ "+kind+" ", after[kind], before)...)
	}
	slices.Sort(out)
	return strings.Join(out, "\n")
}

// only gives the lines that a has more often than b.
func only(prefix string, a, b []string) (out []string) {
	count := map[string]int{}
	for _, line := range b {
		count[line]++
	}
	for _, line := range a {
		if count[line]--; count[line] < 0 {
			out = append(out, prefix+line)
		}
	}
	return out
}

// Unchanged fails the test unless the machine comes back to what it was:
// cleaning up goes on for a moment after a command has its answer.
func (s *Stack) Unchanged(t testing.TB, before Machine, but ...string) {
	t.Helper()
	var diff string
	for deadline := time.Now().Add(long); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
		if diff = before.Less(but...).Diff(s.Look().Less(but...)); diff == "" {
			return
		}
	}
	t.Errorf("something half made was left:\n%s", diff)
}

// mounts are the mounts under this stack's folders, in the host's mount
// namespace and in those of its own processes.
func (s *Stack) mounts() (out []string) {
	seen := map[string]bool{}
	pids := []string{"self"}
	for _, p := range s.processes() {
		pids = append(pids, strconv.Itoa(p.pid))
	}
	for _, pid := range pids {
		namespace, err := os.Readlink("/proc/" + pid + "/ns/mnt")
		if err != nil || seen[namespace] {
			continue
		}
		seen[namespace] = true
		data, _ := os.ReadFile("/proc/" + pid + "/mountinfo")
		for line := range strings.Lines(string(data)) {
			if strings.Contains(line, s.dir+"/") {
				out = append(out, strings.Join(strings.Fields(line)[3:5], " "))
			}
		}
	}
	return out
}

// mountPoints are this stack's mount points in the host's namespace, innermost first.
func (s *Stack) mountPoints() (out []string) {
	data, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(data)) {
		if at := strings.Fields(line)[4]; strings.HasPrefix(at, s.dir+"/") {
			out = append(out, at)
		}
	}
	slices.Reverse(out)
	return out
}

func (s *Stack) interfaces() (out []string) {
	entries, _ := os.ReadDir("/sys/class/net")
	for _, e := range entries {
		if strings.Contains(e.Name(), s.Instance()) {
			out = append(out, e.Name())
		}
	}
	return out
}

// tables are this stack's nftables tables, as "family name".
func (s *Stack) tables() (out []string) {
	list, _ := exec.Command("nft", "list", "tables").Output()
	for line := range strings.Lines(string(list)) {
		if f := strings.Fields(line); len(f) == 3 && strings.Contains(f[2], s.Instance()) {
			out = append(out, f[1]+" "+f[2])
		}
	}
	return out
}

// rules are the rules and the elements of this stack's tables, but for the list
// of the host's own interfaces, which come and go with what else runs here.
func (s *Stack) rules() (out []string) {
	for _, table := range s.tables() {
		text, _ := exec.Command("nft", append([]string{"--stateless", "list", "table"}, strings.Fields(table)...)...).Output()
		set := ""
		for line := range strings.Lines(string(text)) {
			if name, ok := strings.CutPrefix(strings.TrimSpace(line), "set "); ok {
				set = strings.Fields(name)[0]
			} else if line == "\t}\n" {
				set = ""
			}
			if set == "uplinks" {
				continue
			}
			for _, element := range strings.Split(strings.TrimSpace(line), ", ") {
				out = append(out, table+": "+element)
			}
		}
	}
	return out
}

// cgroups are this stack's cgroups, relative to /sys/fs/cgroup, parents first.
func (s *Stack) cgroups() (out []string) {
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && strings.Contains(path, s.Instance()) {
			out = append(out, strings.TrimPrefix(path, "/sys/fs/cgroup/"))
		}
		return nil
	})
	return out
}

// process is one process of this stack.
type process struct {
	pid     int
	program string // the last part of its first argument
	command string
}

// processes are the daemon and its helpers, which name the stack's folders on
// their command lines or in their environment, and all in its cgroups.
func (s *Stack) processes() (out []process) {
	contained := map[int]bool{}
	for _, dir := range s.cgroups() {
		data, _ := os.ReadFile(filepath.Join("/sys/fs/cgroup", dir, "cgroup.procs"))
		for _, pid := range strings.Fields(string(data)) {
			if n, err := strconv.Atoi(pid); err == nil {
				contained[n] = true
			}
		}
	}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		args := strings.Split(strings.TrimRight(string(line), "\x00"), "\x00")
		p := process{pid: pid, program: filepath.Base(args[0]), command: strings.Join(args, " ")}
		if p.command != "" && (contained[pid] || s.helper(p)) {
			out = append(out, p)
		}
	}
	return out
}

func (s *Stack) helper(p process) bool {
	if p.program != "lusd" && p.program != "lus-keeper" && p.program != "lus-dns" {
		return false
	}
	env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.pid))
	return strings.Contains(p.command, s.dir+"/") || strings.Contains(string(env), s.dir+"/")
}

// sockets are what this stack's processes hold of the host's ports: by address
// where the kernel lists them, by holder where they are bound and silent.
func (s *Stack) sockets() (out []string) {
	holder := map[string]string{} // inode -> program
	for _, p := range s.processes() {
		fds, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.pid))
		for _, fd := range fds {
			if link, err := os.Readlink(fd); err == nil && strings.HasPrefix(link, "socket:[") && !connected(p.pid, fd) {
				holder[strings.Trim(link, "socket:[]")] = p.program + protocol(fd)
			}
		}
	}
	for _, l := range []struct {
		list           string
		inode, address int
	}{{"tcp", 9, 1}, {"tcp6", 9, 1}, {"udp", 9, 1}, {"udp6", 9, 1}, {"unix", 6, -1}, {"netlink", 9, -1}, {"packet", 8, -1}} {
		data, _ := os.ReadFile("/proc/self/net/" + l.list)
		for line := range strings.Lines(string(data)) {
			f := strings.Fields(line)
			if len(f) <= l.inode || holder[f[l.inode]] == "" {
				continue
			}
			delete(holder, f[l.inode])
			if l.address > 0 {
				out = append(out, l.list+" "+f[l.address])
			}
		}
	}
	for _, program := range holder {
		out = append(out, "a silent socket of "+program)
	}
	return out
}

// connected reports whether a process's descriptor is an open connection over
// IP: a client's or a registry's, which passes. The kernel is asked about the
// descriptor itself, since its list leaves out now and then what it should show
// while others come and go.
func connected(pid int, fd string) bool {
	number, err := strconv.Atoi(filepath.Base(fd))
	if err != nil {
		return false
	}
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return false
	}
	defer unix.Close(process)
	same, err := unix.PidfdGetfd(process, number, 0)
	if err != nil {
		return false
	}
	defer unix.Close(same)
	if name, err := unix.Getsockname(same); err != nil || !overIP(name) {
		return false
	}
	_, err = unix.Getpeername(same)
	return err == nil
}

func overIP(name unix.Sockaddr) bool {
	switch name.(type) {
	case *unix.SockaddrInet4, *unix.SockaddrInet6:
		return true
	}
	return false
}

// protocol is that of a socket, as " (TCP)".
func protocol(fd string) string {
	name := make([]byte, 64)
	n, err := unix.Getxattr(fd, "system.sockprotoname", name)
	if err != nil {
		return ""
	}
	return " (" + strings.TrimRight(string(name[:n]), "\x00") + ")"
}

// files are the names under the root, less what databases and logs make and
// drop as they please.
func (s *Stack) files() (out []string) {
	_ = filepath.WalkDir(s.Root, func(path string, _ fs.DirEntry, err error) error {
		if err == nil && !strings.HasSuffix(path, "-wal") && !strings.HasSuffix(path, "-shm") && !strings.HasSuffix(path, "-journal") {
			out = append(out, strings.TrimPrefix(path, s.Root))
		}
		return nil
	})
	return out
}

// records are what the daemon tells of, by id and name.
func (s *Stack) records() (out []string) {
	for _, list := range [][]string{
		{"ps", "-a", "--no-trunc", "--format", "container {{.ID}} {{.Names}} {{.State}}"},
		{"image", "ls", "-a", "--no-trunc", "--format", "image {{.ID}} {{.Repository}}:{{.Tag}}"},
		{"volume", "ls", "--format", "volume {{.Name}}"},
		{"network", "ls", "--no-trunc", "--format", "network {{.ID}} {{.Name}}"},
	} {
		for line := range strings.Lines(s.Lus(list...).Out) {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// Still is the machine once nothing moves any more: what ended before a look
// may go on being cleaned up for a moment.
func (s *Stack) Still() Machine {
	m, same := s.Look(), 0
	for deadline := time.Now().Add(long); time.Now().Before(deadline); {
		time.Sleep(100 * time.Millisecond)
		next := s.Look()
		if same++; m.Diff(next) != "" {
			same = 0
		}
		if m = next; same == 3 {
			break
		}
	}
	return m
}

// Clients counts the programs of this stack that have a connection to its daemon.
func (s *Stack) Clients() (n int) {
	connected := map[string]bool{} // by inode
	data, _ := os.ReadFile("/proc/self/net/unix")
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 6 && f[5] == "03" {
			connected[f[6]] = true
		}
	}
	programs, _ := filepath.Glob("/proc/[0-9]*/exe")
	for _, exe := range programs {
		if program, _ := os.Readlink(exe); program != filepath.Join(s.Bin, "lus") {
			continue
		}
		env, _ := os.ReadFile(filepath.Join(filepath.Dir(exe), "environ"))
		fds, _ := filepath.Glob(filepath.Join(filepath.Dir(exe), "fd/*"))
		if strings.Contains(string(env), s.dir+"/") && slices.ContainsFunc(fds, func(fd string) bool {
			link, _ := os.Readlink(fd)
			return connected[strings.TrimSuffix(strings.TrimPrefix(link, "socket:["), "]")]
		}) {
			n++
		}
	}
	return n
}

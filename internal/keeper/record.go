package keeper

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/atomicfile"
	"lus/internal/base/errs"
	"lus/internal/model/task"
)

// A start record is a file under keeper/ in the run folder: a head of fixed
// length with the pid, its start time and the boot, which is filled in after
// the fork by one short write, and a task.Status in JSON. While the head has no
// pid, the init waits on a socket whose other end is the keeper's, and ends by
// itself when the keeper does.
//
// An exec has none: it dies with its container, whose record names the cgroup that
// they share where they do not share a pid namespace, and no later daemon knows it.

const recordHead = 96

// lost is what is told about a process whose keeper was killed.
const lost = "the keeper was killed, and with it all of its processes: start the container again"

type leftover struct {
	task.Status
	CgroupKill string `json:"cgkill,omitempty"`
}

func (s *server) records() string { return filepath.Join(s.layout.Run, "keeper") }

func (s *server) recordPath(k task.Key) string {
	return filepath.Join(s.records(), keyName(k)+".json")
}

func (s *server) head(p *proc) []byte {
	h := fmt.Sprintf("%d %d %s", p.Pid, p.StartTime, s.boot)
	return []byte(h + strings.Repeat(" ", recordHead-1-len(h)) + "\n")
}

// record writes a new record. There is no fsync: it has to outlive the keeper,
// not the machine.
func (s *server) record(p *proc) error {
	return s.writeRecord(p, os.WriteFile)
}

func (s *server) writeRecord(p *proc, write func(path string, data []byte, mode os.FileMode) error) error {
	if p.Exec != "" {
		return nil
	}
	body, err := json.Marshal(leftover{Status: p.Status, CgroupKill: p.cgroupKill})
	if err == nil {
		err = write(s.recordPath(p.Key), append(s.head(p), body...), 0o600)
	}
	if err != nil {
		return errs.New(errs.Unavailable, "write the start record of %s: %w", keyName(p.Key), err)
	}
	return nil
}

// recordPid fills in the pid.
func (s *server) recordPid(p *proc) {
	if p.Exec != "" {
		return
	}
	fd, err := unix.Open(s.recordPath(p.Key), unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
	if err == nil {
		_, err = unix.Pwrite(fd, s.head(p), 0)
		_ = unix.Close(fd)
	}
	if err != nil {
		s.log.Warn("a start record has no pid", "process", keyName(p.Key), "error", err)
	}
}

// recordExit keeps the exit for the case that the keeper is killed before
// somebody has acknowledged it. Killed in the middle, it leaves the record of
// the start.
func (s *server) recordExit(p *proc) {
	replace := func(path string, data []byte, mode os.FileMode) error {
		return atomicfile.Write(path, data, mode, atomicfile.Crash)
	}
	if err := s.writeRecord(p, replace); err != nil {
		s.log.Warn("an exit is not recorded", "process", keyName(p.Key), "error", err)
	}
}

func (s *server) removeRecord(p *proc) {
	if p.Exec == "" {
		_ = unix.Unlink(s.recordPath(p.Key))
	}
}

// findLeftovers reads the records of a keeper that was killed, makes sure that
// its processes are dead, and takes them over as ended.
func (s *server) findLeftovers() error {
	entries, err := os.ReadDir(s.records())
	if err != nil {
		return err
	}
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".json")
		if !ok { // half of a record, in whose place there is a whole one
			_ = unix.Unlink(filepath.Join(s.records(), e.Name()))
			continue
		}
		container, exec, _ := strings.Cut(name, "@")
		key := task.Key{Container: container, Exec: exec}
		if !validID(container) {
			continue
		}
		b, err := os.ReadFile(filepath.Join(s.records(), e.Name()))
		if err != nil {
			return err
		}
		p := s.leftover(key, b)
		s.procs[key] = p
		s.recordExit(p)
		s.log.Warn("found a process of a keeper that was killed", "process", name, "known", p.Exit.Code != task.ExitUnknown)
	}
	return nil
}

func (s *server) leftover(key task.Key, b []byte) *proc {
	var l leftover
	var pid int
	var start uint64
	if len(b) >= recordHead {
		pid, start = s.parseHead(string(b[:recordHead]))
		_ = json.Unmarshal(b[recordHead:], &l) // torn: the name and the head are enough
	}
	p := &proc{Status: l.Status, pidfd: -1, status: -1, stdin: -1, outs: [2]output{{fd: -1}, {fd: -1}}}
	p.Key = key
	if p.Exit == nil {
		killLeftover(pid, start)
		if l.CgroupKill != "" && strings.HasPrefix(l.CgroupKill, "/sys/fs/cgroup/") {
			killCgroup(l.CgroupKill)
		}
		p.Exit = &task.Exit{Code: task.ExitUnknown, At: time.Now().UTC(), Step: lost}
	}
	p.Phase, p.Pid = task.Ended, 0
	return p
}

// parseHead returns pid and start time, zero where they are of another boot.
func (s *server) parseHead(h string) (pid int, start uint64) {
	f := strings.Fields(h)
	if len(f) != 3 || f[2] != s.boot {
		return 0, 0
	}
	pid, err := strconv.Atoi(f[0])
	if err != nil {
		return 0, 0
	}
	start, err = strconv.ParseUint(f[1], 10, 64)
	if err != nil {
		return 0, 0
	}
	return pid, start
}

// killLeftover kills a process and waits until it is dead. Pid and start time
// together name one process of this boot.
func killLeftover(pid int, start uint64) {
	if pid <= 1 || start == 0 {
		return
	}
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer unix.Close(fd)
	if now, ok := startTime(pid); !ok || now != start {
		return
	}
	if unix.PidfdSendSignal(fd, unix.SIGKILL, nil, 0) != nil {
		return
	}
	awaitEnd(fd, 10*time.Second)
}

// awaitEnd waits, no longer than for the given time, until a process has ended.
func awaitEnd(pidfd int, most time.Duration) {
	for end := time.Now().Add(most); ; {
		left := max(0, time.Until(end).Milliseconds())
		_, err := unix.Poll([]unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}, int(left))
		if !errors.Is(err, unix.EINTR) { // a signal says nothing
			return
		}
	}
}

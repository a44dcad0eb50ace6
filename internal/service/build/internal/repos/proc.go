package repos

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// jiffy is the unit in which the kernel tells what was spent of processors.
const jiffy = time.Second / 100

// process is one for ever: ids are used again, but not of the same moment.
type process struct {
	pid     int
	started uint64
}

// status is what the kernel tells of a process or a thread.
type status struct {
	process
	name  string
	state string
	spent time.Duration
}

// statusOf reads a file stat below /proc.
func statusOf(pid int, path string) (status, bool) {
	text, err := os.ReadFile(path)
	open, end := bytes.IndexByte(text, '('), bytes.LastIndexByte(text, ')')
	if err != nil || open < 0 || end < open {
		return status{}, false
	}
	words := strings.Fields(string(text[end+1:]))
	if len(words) < 20 {
		return status{}, false
	}
	var n [3]uint64
	for i, at := range []int{11, 12, 19} { // in user mode, in the kernel, the start
		if n[i], err = strconv.ParseUint(words[at], 10, 64); err != nil {
			return status{}, false
		}
	}
	return status{
		process: process{pid, n[2]},
		name:    string(text[open+1 : end]),
		state:   words[0],
		spent:   time.Duration(n[0]+n[1]) * jiffy,
	}, true
}

// children are those of a process, by whichever of its threads.
func children(pid int) []status {
	lists, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid)) // the pattern is right
	var all []status
	for _, list := range lists {
		text, err := os.ReadFile(list)
		if err != nil {
			continue // the thread has ended
		}
		for _, word := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(word)
			if err != nil {
				continue
			}
			if s, ok := statusOf(child, fmt.Sprintf("/proc/%d/stat", child)); ok {
				all = append(all, s)
			}
		}
	}
	return all
}

// groupOf looks at a git and at all that it has started.
func groupOf(first status) group {
	g := group{processes: map[process]bool{}, traffic: map[uint64]uint64{}}
	for queue := []status{first}; len(queue) > 0; {
		p := queue[0]
		queue = queue[1:]
		if g.processes[p.process] {
			continue
		}
		queue = append(queue, children(p.pid)...)
		g.processes[p.process] = true
		g.spent += p.spent
		g.busy = g.busy || busy(p.pid)
		// ssh knows the limit itself, and may wait for a person who allows a key.
		if strings.HasPrefix(p.name, "git") {
			traffic(p.pid, g.traffic)
		}
	}
	return g
}

// busy reports whether a thread of a process does something else than sleep, as to
// wait for a disk.
func busy(pid int) bool {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid)) // the pattern is right
	for _, t := range threads {
		if s, ok := statusOf(pid, t); ok && s.state != "S" && s.state != "Z" {
			return true
		}
	}
	return false
}

// traffic adds what came and went by each TCP connection of a process. It is asked
// of the connections, as the kernel counts it nowhere else.
func traffic(pid int, sum map[uint64]uint64) {
	process, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return
	}
	defer func() { _ = unix.Close(process) }()
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	open, err := os.ReadDir(dir)
	if err != nil {
		return
	}
	for _, entry := range open {
		to, err := os.Readlink(filepath.Join(dir, entry.Name()))
		text, ok := strings.CutPrefix(to, "socket:[")
		if err != nil || !ok {
			continue
		}
		inode, err1 := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 64)
		fd, err2 := strconv.Atoi(entry.Name())
		if err1 != nil || err2 != nil {
			continue
		}
		if bytes, ok := carried(process, fd); ok {
			sum[inode] = bytes
		}
	}
}

// carried is how many bytes came and went by a descriptor of a process, where it is
// a TCP connection.
func carried(process, fd int) (uint64, bool) {
	ours, err := unix.PidfdGetfd(process, fd, 0)
	if err != nil {
		return 0, false
	}
	defer func() { _ = unix.Close(ours) }()
	info, err := unix.GetsockoptTCPInfo(ours, unix.SOL_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, false
	}
	return info.Bytes_received + info.Bytes_acked, true
}

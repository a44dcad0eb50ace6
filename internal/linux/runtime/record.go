package runtime

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/model/task"
)

// record is what the keeper keeps for us beside the caller's own record, so
// that a daemon that comes back finds what an earlier one made.
type record struct {
	Cgroup  string  `json:"cgroup"`
	Profile profile `json:"profile"`
	Caller  []byte  `json:"caller,omitempty"`
	Runtime string  `json:"runtime,omitempty"` // whose it is; empty: ours
}

// Record is what the keeper is to keep of a container that another runtime
// makes. By it a Native finds the container, and all that works by the keeper,
// the cgroup and /proc works on it as on one of its own.
func Record(c *Container) []byte { return pack(c, c.Cgroup, profile{}) }

// Of tells which runtime made the container of a status that the keeper gave,
// by the record that is kept there; empty: ours.
func Of(s task.Status) string {
	_, r := unpack(s)
	return r.Runtime
}

func pack(c *Container, cgroup string, pr profile) []byte {
	data, err := json.Marshal(record{Cgroup: cgroup, Profile: pr, Caller: c.Record, Runtime: c.Runtime})
	if err != nil {
		return nil // a struct of strings and numbers always has a JSON form
	}
	return data
}

// unpack gives back a status with the caller's record in place of ours.
func unpack(s task.Status) (task.Status, record) {
	var r record
	if s.Exec != "" || json.Unmarshal(s.Record, &r) != nil {
		return s, record{}
	}
	s.Record = r.Caller
	return s, r
}

// find returns what is known of a container, asking the keeper about those
// that an earlier daemon created.
func (n *Native) find(ctx context.Context, id string) (*container, error) {
	n.mu.Lock()
	c := n.containers[id]
	n.mu.Unlock()
	if c != nil && c.pid != 0 {
		return c, nil
	}
	list, err := n.keeper.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, s := range list {
		if s.Container != id || s.Exec != "" {
			continue
		}
		_, r := unpack(s)
		c := &container{generation: s.Generation, pid: s.Pid, start: s.StartTime, cgroup: r.Cgroup, profile: r.Profile}
		if c.cgroup == "" {
			return nil, errs.New(errs.Internal, "the keeper's record of container %s is not ours", id)
		}
		return n.remember(id, c), nil
	}
	return nil, errs.New(errs.NotFound, "container %s is not running", id)
}

func (n *Native) remember(id string, c *container) *container {
	n.mu.Lock()
	defer n.mu.Unlock()
	if known := n.containers[id]; known != nil && known.pid != 0 {
		return known
	}
	n.containers[id] = c
	return c
}

// pidfd opens the container's first process and makes sure that it is still
// the one that was forked.
func (c *container) pidfd(id string) (*os.File, error) {
	gone := errs.New(errs.NotFound, "container %s is not running", id)
	if c.pid == 0 {
		return nil, gone
	}
	fd, err := unix.PidfdOpen(c.pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return nil, gone
	}
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", c.pid, err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	start, err := startTime(c.pid)
	if err != nil || start != c.start {
		_ = f.Close()
		return nil, gone
	}
	return f, nil
}

// open opens a file of /proc/PID of the container's first process and makes
// sure that it is still that one.
func (c *container) open(id, name string) (*os.File, error) {
	pidfd, err := c.pidfd(id)
	if err != nil {
		return nil, err
	}
	defer pidfd.Close()
	f, err := os.Open(fmt.Sprintf("/proc/%d/%s", c.pid, name))
	if err == nil {
		if err = unix.PidfdSendSignal(int(pidfd.Fd()), 0, nil, 0); err == nil {
			return f, nil
		}
		_ = f.Close() // it ended between the two
	}
	return nil, errs.New(errs.NotFound, "container %s is not running: %w", id, err)
}

// parseStartTime reads the 22nd field of /proc/PID/stat. The second, the
// name, may contain anything, so counting starts after its last parenthesis.
func parseStartTime(stat string) (uint64, error) {
	i := strings.LastIndexByte(stat, ')')
	if i < 0 {
		return 0, errs.New(errs.Internal, "unreadable /proc/PID/stat")
	}
	fields := strings.Fields(stat[i+1:])
	if len(fields) < 20 {
		return 0, errs.New(errs.Internal, "unreadable /proc/PID/stat")
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

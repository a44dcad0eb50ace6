package engine

import (
	"context"
	"errors"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// TopContainer lists the container's processes as the host's ps shows them.
func (e *Engine) TopContainer(ctx context.Context, name string, args []string) (*container.TopResult, error) {
	u, err := e.find(name)
	if err != nil {
		return nil, err
	}
	rec := u.snapshot()
	if !rec.State.Running() {
		return nil, errs.New(errs.Conflict, "container %s is not running", rec.ID)
	}
	if len(args) == 0 {
		args = []string{"-ef"}
	}
	// What ps prints is read again, so options that change its shape or name
	// files are not for it.
	for _, a := range args {
		if strings.ContainsAny(a, "\x00\n") {
			return nil, errs.New(errs.Invalid, "invalid ps argument %q", a)
		}
	}
	pids, err := e.Runtime.Pids(ctx, rec.ID)
	if err != nil {
		return nil, err
	}
	out, err := exec.CommandContext(ctx, "ps", args...).Output()
	if err != nil {
		var bad *exec.ExitError
		if errors.As(err, &bad) {
			return nil, errs.New(errs.Invalid, "error running ps: %s", strings.TrimSpace(string(bad.Stderr)))
		}
		return nil, errs.New(errs.Unavailable, "top needs ps on the host (Debian's package procps): %w", err)
	}
	top, err := parsePS(string(out), pids)
	if err == nil {
		e.tell(&rec, "top")
	}
	return top, err
}

// parsePS keeps the lines whose PID is one of pids. The last column may hold
// spaces.
func parsePS(out string, pids []int) (*container.TopResult, error) {
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	titles := strings.Fields(lines[0])
	at := slices.Index(titles, "PID")
	if at < 0 {
		return nil, errs.New(errs.Invalid, "Couldn't find PID field in ps output")
	}
	res := &container.TopResult{Titles: titles, Processes: [][]string{}}
	for _, line := range lines[1:] {
		f := strings.Fields(line)
		if len(f) <= at {
			continue
		}
		pid, err := strconv.Atoi(f[at])
		if err != nil || !slices.Contains(pids, pid) {
			continue
		}
		if len(f) > len(titles) {
			f = append(f[:len(titles)-1:len(titles)-1], strings.Join(f[len(titles)-1:], " "))
		}
		res.Processes = append(res.Processes, f)
	}
	return res, nil
}

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// memory measures what our processes hold idle and with 50 containers, and what
// the whole machine has less. Docker's processes are found by name.
func (b *suite) memory() ([]*row, error) {
	idle := &row{Name: "idle, all our processes", Unit: "MB", Goals: atMost(45)}
	keeper := &row{Name: "the keeper, 50 containers", Unit: "MB", Goals: atMost(4)}
	each := &row{Name: "50 sleeping containers, our processes, each", Unit: "MB", Goals: atMost(0.2)}
	machine := &row{Name: "the same, MemAvailable of the machine, each", Unit: "MB"}
	const n = 50
	err := b.each(func(s *side) error {
		before, err := b.rested(s)
		if err != nil {
			return err
		}
		available := memAvailable()
		idle.add(s.name, before.total)
		ids, err := s.sleepers(n)
		defer func() { _, _ = s.do(append([]string{"rm", "-f"}, ids...)...) }()
		if err != nil {
			return err
		}
		time.Sleep(settle)
		after := b.held(s)
		each.add(s.name, (after.total-before.total)/n)
		machine.add(s.name, (available-memAvailable())/n)
		if s == b.lus {
			keeper.add(s.name, after.keeper)
		}
		return nil
	})
	return []*row{idle, each, keeper, machine}, err
}

// settle is how long a daemon is left alone before its memory is read: ours writes
// its books up two seconds after the last change, and rests a second after that.
const settle = 4 * time.Second

// rested is what a side holds idle. Docker's daemon is not ours to restart.
func (b *suite) rested(s *side) (held, error) {
	if s == b.lus {
		return b.afresh()
	}
	time.Sleep(settle)
	return b.held(s), nil
}

// afresh restarts our daemon, since what earlier rows left in the heap is not
// idle, and returns what it holds then.
func (b *suite) afresh() (held, error) {
	b.stack.Stop()
	if err := b.stack.Up(); err != nil {
		return held{}, err
	}
	time.Sleep(settle)
	return b.held(b.lus), nil
}

// sleepers starts n containers that sleep; their ids come back on an error too.
func (s *side) sleepers(n int) (ids []string, err error) {
	for range n {
		id, err := s.do("run", "-d", "busybox", "sleep", "3600")
		if err != nil {
			return ids, err
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// held is proportional set size in MB.
type held struct{ total, keeper, daemon float64 }

// held adds up the processes of a side.
func (b *suite) held(s *side) (h held) {
	names := []string{"dockerd", "containerd", "containerd-shim", "docker-proxy"}
	if s == b.lus {
		names = []string{"lusd", "lus-keeper", "lus-dns"}
	}
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		if _, err := strconv.Atoi(e.Name()); err != nil {
			continue
		}
		dir := filepath.Join("/proc", e.Name())
		line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
		program, _, _ := strings.Cut(string(line), "\x00")
		program = filepath.Base(program)
		if !slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(program, name) }) || s == b.lus && !b.ours(dir) {
			continue
		}
		mb := pss(dir)
		h.total += mb
		switch program {
		case "lus-keeper":
			h.keeper += mb
		case "lusd":
			h.daemon += mb
		}
	}
	return h
}

// ours tells this suite's processes from those of another Lus on this machine.
func (b *suite) ours(dir string) bool {
	line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	env, _ := os.ReadFile(filepath.Join(dir, "environ"))
	return strings.Contains(string(line)+string(env), b.stack.Run)
}

func pss(dir string) float64 {
	return field(filepath.Join(dir, "smaps_rollup"), "Pss:")
}

func memAvailable() float64 { return field("/proc/meminfo", "MemAvailable:") }

// field reads a line "Name: 123 kB" and returns MB.
func field(path, name string) float64 {
	data, _ := os.ReadFile(path)
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) > 1 && f[0] == name {
			kb, _ := strconv.ParseFloat(f[1], 64)
			return kb / 1024
		}
	}
	return 0
}

// folder makes a folder with one Dockerfile.
func folder(parent, name, dockerfile string) (string, error) {
	dir := filepath.Join(parent, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("a build's folder: %w", err)
	}
	return dir, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644)
}

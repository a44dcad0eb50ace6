package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"lus/test/stack"
)

// side is an engine that takes docker's commands: Lus, docker itself, podman.
type side struct {
	name    string
	program string
	env     []string
	global  []string // options before every command
	run     []string // options of every run
	remove  []string // options of every rm
	compose bool
}

// command is a command of this side, ready to start.
func (s *side) command(ctx context.Context, args ...string) *exec.Cmd {
	full := append([]string{}, s.global...)
	full = append(full, args[0])
	switch args[0] {
	case "run":
		full = append(full, s.run...)
	case "rm":
		full = append(full, s.remove...)
	}
	cmd := exec.CommandContext(ctx, s.program, append(full, args[1:]...)...)
	cmd.Env = s.env
	return cmd
}

// do runs one command and returns its output.
func (s *side) do(args ...string) (string, error) { return s.within(5*time.Minute, args...) }

// within is do for a command that may hang.
func (s *side) within(limit time.Duration, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := s.command(ctx, args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", s.name, strings.Join(args, " "), errors.Join(ctx.Err(), err), errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// can reports whether a command works at all.
func (s *side) can(args ...string) bool {
	_, err := s.do(args...)
	return err == nil
}

// contender is one way to run a container, by its column.
type contender struct {
	name  string
	run   func() error
	after func() error // takes away what run left; nil: nothing
}

func (c contender) tidy() error {
	if c.after == nil {
		return nil
	}
	return c.after()
}

// suite is what the measurements work with.
type suite struct {
	samples int
	stack   *stack.Stack
	lus     *side
	docker  *side       // nil where no daemon answers
	podman  *side       // nil where it does not run
	buildah *side       // nil where it is not installed or does not work
	bundles []contender // runtimes, each with a bundle of its own
	floor   string
	lower   string // an unpacked busybox, for the floor
	dir     string // scratch of the suite
	undo    []func()
	stderr  io.Writer
}

// prepare starts a daemon of our own, brings all sides to the same images and
// compiles the floor. Alone there is no side but ours and the floor.
func prepare(samples int, alone bool, stderr io.Writer) (*suite, error) {
	s, err := stack.New()
	if err != nil {
		return nil, err
	}
	b := &suite{samples: samples, stack: s, stderr: stderr}
	// A run folder lies in memory, as /run does wherever systemd is.
	if run, err := os.MkdirTemp("/dev/shm", "lus-"); err == nil {
		s.Run = run
	}
	err = b.prepare()
	if err == nil && !alone {
		err = b.findOthers()
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *suite) prepare() (err error) {
	if b.dir, err = os.MkdirTemp("", "lus-bench-"); err != nil {
		return err
	}
	if err := b.stack.Up(); err != nil {
		return fmt.Errorf("%w\n%s", err, b.stack.DaemonLog(20))
	}
	if err := b.stack.Import(stack.Busybox); err != nil {
		return err
	}
	b.lus = &side{name: "lus", program: filepath.Join(b.stack.Bin, "lus"), env: b.stack.Env(), compose: true}
	return b.makeFloor()
}

func (b *suite) makeFloor() error {
	tar, err := stack.Tar(stack.Busybox)
	if err != nil {
		return err
	}
	b.lower, b.floor = filepath.Join(b.dir, "lower"), filepath.Join(b.dir, "floor")
	if err := os.Mkdir(b.lower, 0o755); err != nil {
		return err
	}
	return lines(
		[]string{"tar", "-xf", tar, "-C", b.lower},
		[]string{"gcc", "-O2", "-static", "-o", b.floor, filepath.Join(b.stack.Repo, "test/bench/floor/floor.c")},
	)
}

// lines runs programs one after the other, until one fails.
func lines(all ...[]string) error {
	for _, line := range all {
		if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(line, " "), err, out)
		}
	}
	return nil
}

// sides are the engines to compare in every row, Lus first.
func (b *suite) sides() []*side {
	if b.docker == nil {
		return []*side{b.lus}
	}
	return []*side{b.lus, b.docker}
}

// engines are those of the short rows, which podman joins.
func (b *suite) engines() []*side {
	if b.podman == nil {
		return b.sides()
	}
	return append(b.sides(), b.podman)
}

// names are the columns of the table.
func (b *suite) names() []string {
	names := []string{"lus", "floor"}
	for _, s := range b.engines()[1:] {
		names = append(names, s.name)
	}
	if b.buildah != nil {
		names = append(names, b.buildah.name)
	}
	for _, c := range b.bundles {
		names = append(names, c.name)
	}
	return names
}

// builders are those that build.
func (b *suite) builders() []*side {
	if b.buildah == nil {
		return b.sides()
	}
	return append(b.sides(), b.buildah)
}

func (b *suite) close() {
	for i := len(b.undo) - 1; i >= 0; i-- {
		b.undo[i]()
	}
	if left := b.stack.Remove(); left != "" {
		fmt.Fprintln(b.stderr, "bench: Lus left behind:\n"+left)
	}
	_ = os.RemoveAll(b.stack.Run)
	_ = os.RemoveAll(b.dir)
}

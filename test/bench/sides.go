package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"lus/test/stack"
)

// side is an engine that takes docker's commands: Lus or docker itself.
type side struct {
	name    string
	program string
	env     []string
	compose bool
}

// do runs one command and returns its output.
func (s *side) do(args ...string) (string, error) {
	cmd := exec.Command(s.program, args...)
	var out, errs bytes.Buffer
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, &out, &errs
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", s.name, strings.Join(args, " "), err, errs.String())
	}
	return strings.TrimSpace(out.String()), nil
}

// can reports whether a command works at all.
func (s *side) can(args ...string) bool {
	_, err := s.do(args...)
	return err == nil
}

// suite is what the measurements work with.
type suite struct {
	samples int
	stack   *stack.Stack
	lus     *side
	docker  *side // nil where no daemon answers
	floor   string
	lower   string // an unpacked busybox, for the floor
	dir     string // scratch of the suite
}

const docker = "/var/run/docker.sock"

// prepare starts a daemon of our own, brings both sides to the same images and
// compiles the floor.
func prepare(samples int) (*suite, error) {
	s, err := stack.New()
	if err != nil {
		return nil, err
	}
	b := &suite{samples: samples, stack: s}
	if err := b.prepare(); err != nil {
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
	if err := b.findDocker(); err != nil {
		return err
	}
	return b.makeFloor()
}

// findDocker takes docker in where its daemon answers.
func (b *suite) findDocker() error {
	d := &side{name: "docker", program: "docker", env: append(os.Environ(), "DOCKER_HOST=unix://"+docker)}
	if !d.can("info", "--format", "{{.ID}}") {
		return nil
	}
	if !d.can("image", "inspect", "busybox") {
		tar, err := stack.Tar(stack.Busybox)
		if err != nil {
			return err
		}
		if _, err := d.do("import", "--change", `CMD ["sh"]`, tar, "busybox"); err != nil {
			return err
		}
	}
	d.compose = d.can("compose", "version")
	b.docker = d
	return nil
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
	for _, line := range [][]string{
		{"tar", "-xf", tar, "-C", b.lower},
		{"gcc", "-O2", "-static", "-o", b.floor, filepath.Join(b.stack.Repo, "test/bench/floor/floor.c")},
	} {
		if out, err := exec.Command(line[0], line[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(line, " "), err, out)
		}
	}
	return nil
}

// sides are the engines to compare, Lus first.
func (b *suite) sides() []*side {
	if b.docker == nil {
		return []*side{b.lus}
	}
	return []*side{b.lus, b.docker}
}

func (b *suite) names() []string {
	names := []string{"lus", "floor"}
	if b.docker != nil {
		names = append(names, "docker")
	}
	return names
}

func (b *suite) close() {
	if left := b.stack.Remove(); left != "" {
		fmt.Fprintln(os.Stderr, "bench: Lus left behind:\n"+left)
	}
	_ = os.RemoveAll(b.dir)
}

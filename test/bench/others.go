package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lus/test/stack"
)

const docker = "/var/run/docker.sock"

// findOthers takes in what else runs containers here. What is installed and
// does not work is left out, and a line says why.
func (b *suite) findOthers() error {
	if err := b.findDocker(); err != nil {
		return err
	}
	if program, err := exec.LookPath("podman"); err == nil {
		b.leftOut("podman", b.findPodman(program))
	}
	if program, err := exec.LookPath("buildah"); err == nil {
		b.leftOut("buildah", b.findBuildah(program))
	}
	for _, name := range []string{"crun", "runc"} {
		if program, err := exec.LookPath(name); err == nil {
			b.leftOut(name, b.findRuntime(name, program))
		}
	}
	return nil
}

func (b *suite) leftOut(name string, err error) {
	if err != nil {
		fmt.Fprintf(b.stderr, "bench: %s is left out: %s\n", name, lastLine(err.Error()))
	}
}

// lastLine is where programs say what went wrong, after what they were doing.
func lastLine(text string) string {
	text = strings.TrimSpace(text)
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// findDocker takes docker in where its daemon answers.
func (b *suite) findDocker() error {
	d := &side{name: "docker", program: "docker", env: append(os.Environ(), "DOCKER_HOST=unix://"+docker)}
	if !d.can("info", "--format", "{{.ID}}") {
		return nil
	}
	if !d.can("image", "inspect", "busybox") {
		if err := d.importBusybox(); err != nil {
			return err
		}
		b.undo = append(b.undo, func() { _, _ = d.do("rmi", "busybox") })
	}
	d.compose = d.can("compose", "version")
	b.docker = d
	return nil
}

func (s *side) importBusybox() error {
	tar, err := stack.Tar(stack.Busybox)
	if err != nil {
		return err
	}
	_, err = s.do("import", "--change", `CMD ["sh"]`, tar, "busybox")
	return err
}

// findPodman takes podman in, with storage and a host of its own: what it starts
// and leaves (a bridge, rules, mounts, folders under /run) goes with that. To get
// there costs one more program, a small part of what it takes.
func (b *suite) findPodman(program string) error {
	host, err := newHost()
	if err != nil {
		return err
	}
	b.undo = append(b.undo, podmanTraces(), host.close)
	root := filepath.Join(b.dir, "podman")
	p := &side{name: "podman", program: "nsenter", env: os.Environ(), remove: []string{"-t", "0"},
		global: []string{"-t", strconv.Itoa(host.pid), "-n", "-m", "-p", program, "--log-level", "fatal",
			"--root", root, "--runroot", root + ".run", "--network-config-dir", root + ".net"}}
	if err := p.importBusybox(); err != nil {
		return err
	}
	options, err := p.fit()
	if err != nil {
		return err
	}
	if len(options) > 0 {
		fmt.Fprintf(b.stderr, "bench: podman runs with %s, as it does not here without\n", strings.Join(options, " "))
	}
	b.podman = p
	return nil
}

// findBuildah takes buildah in, with storage of its own.
func (b *suite) findBuildah(program string) error {
	s, err := b.newBuildah(program, filepath.Join(b.dir, "buildah"))
	if err != nil {
		return err
	}
	b.undo = append(b.undo, s.forget)
	b.buildah = s
	return nil
}

// newBuildah is a buildah with storage at root and the same busybox as Lus. Its
// steps run in a chroot, which works everywhere and is the quickest that it has.
func (b *suite) newBuildah(program, root string) (*side, error) {
	s := &side{name: "buildah", program: program, env: append(os.Environ(), "BUILDAH_ISOLATION=chroot", "TMPDIR="+filepath.Dir(root)),
		global: []string{"--root", root, "--runroot", root + ".run"}}
	image := filepath.Join(b.dir, "busybox.tar")
	if _, err := b.lus.do("save", "-o", image, "busybox"); err != nil {
		return nil, err
	}
	if _, err := s.do("pull", "-q", "docker-archive:"+image); err != nil {
		return nil, err
	}
	return s, nil
}

// forget removes the images of a buildah.
func (s *side) forget() { _, _ = s.do("rmi", "-a", "-f") }

// fit finds the options with which podman runs here: as it comes, else with
// limits that need no CAP_SYS_RESOURCE, else with the runtime that knows hybrid
// cgroups, and returns them. The error is the last one: what stays when all else
// is out of the way.
func (s *side) fit() (options []string, err error) {
	limits := []string{"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"}
	plain := s.global
	for _, runtime := range [][]string{nil, {"--runtime", "runc"}} {
		for _, s.run = range [][]string{nil, limits} {
			s.global = slices.Concat(plain, runtime)
			if _, err = s.do("run", "--rm", "busybox", "true"); err == nil {
				return slices.Concat(runtime, s.run), nil
			}
		}
	}
	return nil, err
}

// podmanTraces returns what removes the folders that podman makes for all of its
// containers and keeps, unless they were there before.
func podmanTraces() func() {
	look := func() (dirs []string) {
		for _, pattern := range []string{"/sys/fs/cgroup/libpod_parent", "/sys/fs/cgroup/*/libpod_parent", "/var/lib/cni"} {
			found, _ := filepath.Glob(pattern)
			dirs = append(dirs, found...)
		}
		return dirs
	}
	before := look()
	return func() {
		for _, dir := range look() {
			if slices.Contains(before, dir) {
				continue
			}
			if dir == "/var/lib/cni" {
				_ = os.RemoveAll(dir)
				continue
			}
			children, _ := filepath.Glob(dir + "/*")
			for _, each := range append(children, dir) {
				_ = unix.Rmdir(each) // a cgroup's files are no folders, and go with it
			}
		}
	}
}

// findRuntime takes a runtime in: it runs a bundle made beforehand, in a new
// network namespace without an interface, and knows nothing of images.
func (b *suite) findRuntime(name, program string) error {
	bundle := filepath.Join(b.dir, name)
	if err := os.Mkdir(bundle, 0o755); err != nil {
		return err
	}
	spec := exec.Command(program, "spec")
	spec.Dir = bundle
	if out, err := spec.CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if err := b.fill(filepath.Join(bundle, "config.json")); err != nil {
		return err
	}
	c := contender{name: name, run: func() error {
		id := fmt.Sprintf("lus-bench-%d", os.Getpid())
		out, err := exec.Command(program, "--root", bundle+".state", "run", "--bundle", bundle, id).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", name, err, out)
		}
		return nil
	}}
	if err := c.run(); err != nil {
		return err
	}
	b.bundles = append(b.bundles, c)
	return nil
}

// fill makes a runtime's own default specification run true in our busybox.
func (b *suite) fill(config string) error {
	data, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	var spec map[string]any
	if err := json.Unmarshal(data, &spec); err != nil {
		return err
	}
	process, ok := spec["process"].(map[string]any)
	if !ok {
		return errors.New("its specification has no process")
	}
	process["args"], process["terminal"] = []string{"true"}, false
	spec["root"] = map[string]any{"path": b.lower, "readonly": true}
	if data, err = json.Marshal(spec); err != nil {
		return err
	}
	return os.WriteFile(config, data, 0o644)
}

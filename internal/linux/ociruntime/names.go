package ociruntime

import (
	"os/exec"
	"slices"
	"strings"

	"lus/internal/base/errs"
)

// programs are the runtimes that can be asked for by name, and how each comes
// onto a host. All of them make
// containers that are processes of this kernel, which the keeper can be the
// parent of and which can be looked into by /proc; those that put a machine or
// a kernel of their own around a container (kata, gVisor) are not like that.
func programs() map[string]string {
	return map[string]string{
		"runc": "apt-get install runc",
		"crun": "apt-get install crun",
	}
}

// Own names the runtime that is ours, as inspect and info show it.
const Own = "lus"

// Name is the runtime that a user's word stands for; empty: ours.
func Name(word string) (string, error) {
	switch word {
	case "", Own, "native":
		return "", nil
	case "io.containerd.runc.v2": // Docker's own name for it
		return "runc", nil
	}
	if _, ok := programs()[word]; ok {
		return word, nil
	}
	return "", errs.New(errs.Invalid, "unknown or invalid runtime name: %s; use %s, or one of %s where it is installed", word, Own, strings.Join(names(), ", "))
}

func names() []string {
	var out []string
	for name := range programs() {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// Check refuses a runtime that there is not, or that is not installed.
func Check(word string) error {
	name, err := Name(word)
	if err != nil || name == "" {
		return err
	}
	_, err = find(name)
	return err
}

// find returns the path of a runtime's program.
func find(name string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		return "", errs.New(errs.Invalid, "the runtime %s is not installed on this host: %s, or leave out --runtime for Lus's own", name, programs()[name])
	}
	return path, nil
}

// Installed are the runtimes of this host, by name, with the paths of their
// programs; ours has none.
func Installed() map[string]string {
	out := map[string]string{Own: ""}
	for name := range programs() {
		if path, err := find(name); err == nil {
			out[name] = path
		}
	}
	return out
}

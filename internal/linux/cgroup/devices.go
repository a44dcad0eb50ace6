package cgroup

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"

	"github.com/containerd/cgroups/v3/cgroup2"
	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
)

// devices says which device nodes the group's processes may use. No rules at
// all leave everything allowed.
func (g *Group) devices(rules []specs.LinuxDeviceCgroup) error {
	if len(rules) == 0 {
		return nil
	}
	if g.sys.V2() {
		return filterDevices(g.dirs()[0], rules)
	}
	dir := g.dir("devices")
	if dir == "" {
		return errs.New(errs.Unsupported, "this host has no devices cgroup: containers could use every device; enable the controller or run privileged")
	}
	for len(rules) > 0 { // in their order; those that go to one file at once
		file, same := "devices.deny", slices.IndexFunc(rules, func(r specs.LinuxDeviceCgroup) bool { return r.Allow != rules[0].Allow })
		if same < 0 {
			same = len(rules)
		}
		if rules[0].Allow {
			file = "devices.allow"
		}
		texts := make([]string, same)
		for i, r := range rules[:same] {
			var err error
			if texts[i], err = deviceRule(r); err != nil {
				return err
			}
		}
		if err := write(dir, file, texts...); err != nil {
			return fmt.Errorf("device rules: %w", err)
		}
		rules = rules[same:]
	}
	return nil
}

// deviceRule writes a rule as version 1 takes it: "c 1:3 rwm", or "a" for all.
func deviceRule(r specs.LinuxDeviceCgroup) (string, error) {
	kind := r.Type
	switch kind {
	case "", "a":
		return "a", nil
	case "c", "b":
	case "u":
		kind = "c"
	default:
		return "", errs.New(errs.Invalid, "device rule of unknown type %q: it must be a, b or c", r.Type)
	}
	access := r.Access
	if access == "" {
		access = "rwm"
	}
	return fmt.Sprintf("%s %s:%s %s", kind, wild(r.Major), wild(r.Minor), access), nil
}

func wild(n *int64) string {
	if n == nil || *n < 0 {
		return "*"
	}
	return strconv.FormatInt(*n, 10)
}

// filterDevices attaches a small program to a folder of version 2. It lives
// as long as the folder does.
func filterDevices(dir string, rules []specs.LinuxDeviceCgroup) error {
	every := int64(-1)
	plain := slices.Clone(rules) // spelt out: the library takes no short forms
	for i, r := range plain {
		if r.Major == nil {
			plain[i].Major = &every
		}
		if r.Minor == nil {
			plain[i].Minor = &every
		}
		switch r.Type {
		case "":
			plain[i].Type = "a"
		case "u":
			plain[i].Type = "c"
		}
		if r.Access == "" {
			plain[i].Access = "rwm"
		}
	}
	program, license, err := cgroup2.DeviceFilter(plain)
	if err != nil {
		return errs.With(errs.Invalid, fmt.Errorf("device rules: %w", err))
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	_, err = cgroup2.LoadAttachCgroupDeviceFilter(program, license, int(d.Fd()))
	return errors.Join(err, d.Close())
}

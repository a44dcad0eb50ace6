package spec

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/linux/runtime"
	filter "lus/internal/linux/seccomp"
	"lus/internal/model/container"
)

// HiddenPaths are the paths of /proc and /sys that a container does not see,
// and those that it cannot write.
func HiddenPaths(h *container.HostConfig) (masked, readonly []string) {
	usual := runtime.Default().Linux
	return unmask(h.MaskedPaths, usual.MaskedPaths, h.Privileged), unmask(h.ReadonlyPaths, usual.ReadonlyPaths, h.Privileged)
}

// unmask is which paths of /proc and /sys to hide or protect: what was said, or
// the usual ones, which a privileged container has not.
func unmask(said, usual []string, privileged bool) []string {
	switch {
	case said != nil:
		return said
	case privileged:
		return nil
	}
	return usual
}

// Options are the parsed words of --security-opt.
type Options struct {
	NoNewPrivileges bool
	Seccomp         string // empty: the default profile; unconfined; or a profile's JSON
	AppArmor        string // empty: the default profile; unconfined; or a profile's name
}

// SecurityOpt reads --security-opt and refuses what this host cannot do.
func SecurityOpt(opts []string) (Options, error) {
	var o Options
	for _, opt := range opts {
		key, value, ok := strings.Cut(opt, "=")
		if !ok {
			key, value, ok = strings.Cut(opt, ":") // the old way to write it
		}
		switch {
		case key == "no-new-privileges":
			o.NoNewPrivileges = true
			if ok {
				v, err := strconv.ParseBool(value)
				if err != nil {
					return o, errs.New(errs.Invalid, "invalid --security-opt: %q", opt)
				}
				o.NoNewPrivileges = v
			}
		case key == "seccomp" && value == "builtin":
			o.Seccomp = ""
		case key == "seccomp" && value == "unconfined":
			o.Seccomp = value
		case key == "seccomp" && json.Valid([]byte(value)):
			o.Seccomp = value
		case key == "seccomp":
			return o, errs.New(errs.Invalid, "Decoding seccomp profile failed: it is neither unconfined, builtin nor JSON")
		case key == "apparmor" && value != "":
			o.AppArmor = value
		case key == "label" && value == "disable":
			// So it is: this engine sets none.
		case key == "label":
			return o, errs.New(errs.Unsupported, "--security-opt %s: Lus sets no SELinux labels, so this one would not protect anything; leave the option out, or say label=disable", opt)
		default:
			return o, errs.New(errs.Invalid, "invalid --security-opt: %q", opt)
		}
	}
	return o, nil
}

// checkSeccomp refuses a profile that could not be loaded at the start.
func checkSeccomp(text string, caps []string) error {
	if text == "" || text == "unconfined" {
		return nil
	}
	p, err := profile(text, caps)
	if err == nil && p == nil {
		err = errs.New(errs.Invalid, "it names no action and no system call; say seccomp=unconfined if that is meant")
	}
	if err == nil {
		_, _, err = filter.Compile(p)
	}
	if err != nil {
		kind := errs.KindOf(err)
		if kind != errs.Unsupported {
			kind = errs.Invalid
		}
		return errs.New(kind, "Decoding seccomp profile failed: %w", err)
	}
	return nil
}

func security(s *specs.Spec, h *container.HostConfig) error {
	o, err := SecurityOpt(h.SecurityOpt)
	if err != nil {
		return err
	}
	s.Process.NoNewPrivileges = o.NoNewPrivileges
	if h.Privileged && o.Seccomp == "" || o.Seccomp == "unconfined" {
		return nil
	}
	s.Linux.Seccomp, err = profile(o.Seccomp, s.Process.Capabilities.Bounding)
	if err != nil {
		return errs.With(errs.Invalid, err)
	}
	return nil
}

// whole refuses a profile with a null where a call or an argument belongs: the
// library would follow it.
func whole(text string) error {
	var p struct {
		Syscalls []*struct {
			Args []*struct{}
		}
	}
	if err := json.Unmarshal([]byte(text), &p); err != nil {
		return err
	}
	for _, call := range p.Syscalls {
		if call == nil || slices.Contains(call.Args, nil) {
			return errs.New(errs.Invalid, "a null stands among its system calls")
		}
	}
	return nil
}

// profiles keeps what was loaded: a profile depends on the capabilities, few
// combinations of which occur, and a runtime that sees the same profile again
// need not compile it again.
var profiles struct {
	mu   sync.Mutex
	made map[string]*specs.LinuxSeccomp
}

const profilesMax = 64

func profile(text string, caps []string) (*specs.LinuxSeccomp, error) {
	key := strings.Join(caps, " ") + "\n" + text
	profiles.mu.Lock()
	defer profiles.mu.Unlock()
	if p := profiles.made[key]; p != nil {
		return p, nil
	}
	probe := &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
	var p *specs.LinuxSeccomp
	var err error
	if text == "" {
		p, err = seccomp.GetDefaultProfile(probe)
	} else {
		if err = whole(text); err == nil {
			p, err = seccomp.LoadProfile(text, probe)
		}
	}
	if err != nil {
		return nil, err
	}
	if profiles.made == nil || len(profiles.made) >= profilesMax {
		profiles.made = map[string]*specs.LinuxSeccomp{}
	}
	profiles.made[key] = p
	return p, nil
}

package runtime

import (
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/linux/seccomp"
)

// What a spec's annotations ask of a Native; foreign runtimes do not know them.
const (
	// AnnotationInit with the value "true" asks for a first process that reaps
	// orphans and forwards signals (--init).
	AnnotationInit = "lus.init"
	// AnnotationSeccomp with the value "default" asks for the default profile,
	// as it follows from the bounding capabilities, where Linux.Seccomp is nil.
	// It is compiled once; a profile written out has to be read at every start.
	AnnotationSeccomp = "lus.seccomp"
)

// profile is which seccomp filter a container's processes get. It is kept in
// the container's record, so that an exec after a restart of the daemon gets
// the same.
type profile struct {
	// Default asks for the default profile with these bounding capabilities.
	Default bool     `json:"default,omitempty"`
	Caps    []string `json:"caps,omitempty"`
	// Custom is any other; without both nothing is filtered.
	Custom *specs.LinuxSeccomp `json:"custom,omitempty"`
}

func profileOf(s *specs.Spec, filters *seccomp.Cache) profile {
	var caps []string
	if c := s.Process.Capabilities; c != nil {
		caps = c.Bounding
	}
	switch {
	case s.Linux.Seccomp == nil && s.Annotations[AnnotationSeccomp] == "default":
		return profile{Default: true, Caps: caps}
	case s.Linux.Seccomp == nil:
		return profile{}
	case filters.IsDefault(s.Linux.Seccomp, caps):
		// Written out it would take ten kilobytes of the keeper's memory.
		return profile{Default: true, Caps: caps}
	}
	return profile{Custom: s.Linux.Seccomp}
}

func (p profile) compile(filters *seccomp.Cache) ([]unix.SockFilter, uint32, error) {
	if p.Default {
		return filters.Default(p.Caps)
	}
	return filters.Compile(p.Custom)
}

// Package seccomp compiles the profiles of containers, as the OCI spec writes
// them, into filters for the kernel, without a C library. It speaks x86_64
// with its i386 and x32 calls, and aarch64 with those of 32-bit ARM.
package seccomp

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
	"sync"

	mobyseccomp "github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
)

//go:generate tables/generate.py

// Default returns the profile that containers have by default, resolved
// against the capabilities of the spec's process.
func Default(spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	if spec.Process == nil || spec.Process.Capabilities == nil {
		return nil, errs.New(errs.Invalid, "the seccomp profile depends on the capabilities: set them first")
	}
	return mobyseccomp.GetDefaultProfile(spec)
}

// mostFilters bounds a Cache: profiles are few, but users can send their own.
const mostFilters = 64

// Cache compiles each profile once. It is safe for concurrent use.
type Cache struct {
	mu       sync.Mutex
	filters  map[key]compiled
	defaults map[string]resolved // by capabilities
}

// key is the hash of a profile.
type key [sha256.Size]byte

type resolved struct {
	key     key
	profile *specs.LinuxSeccomp
}

type compiled struct {
	filter []unix.SockFilter
	flags  uint32
}

// NewCache returns an empty Cache.
func NewCache() *Cache { return &Cache{filters: map[key]compiled{}, defaults: map[string]resolved{}} }

// Default returns the filter of the default profile for a process with these
// bounding capabilities.
func (c *Cache) Default(caps []string) ([]unix.SockFilter, uint32, error) {
	s, err := c.defaultProfile(caps)
	if err != nil {
		return nil, 0, err
	}
	return c.get(s.key, s.profile)
}

// IsDefault reports whether a profile is the default one for a process with
// these bounding capabilities.
func (c *Cache) IsDefault(s *specs.LinuxSeccomp, caps []string) bool {
	d, err := c.defaultProfile(caps)
	return err == nil && d.key == digest(s)
}

// Compile returns the filter of a profile and the flags to load it with. No
// profile is an empty filter.
func (c *Cache) Compile(s *specs.LinuxSeccomp) ([]unix.SockFilter, uint32, error) {
	if s == nil {
		return nil, 0, nil
	}
	return c.get(digest(s), s)
}

// defaultProfile resolves the default profile once for each set of capabilities.
func (c *Cache) defaultProfile(caps []string) (resolved, error) {
	sorted := slices.Sorted(slices.Values(caps))
	name := strings.Join(sorted, " ")
	c.mu.Lock()
	defer c.mu.Unlock()
	if d, ok := c.defaults[name]; ok {
		return d, nil
	}
	s, err := Default(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: sorted}}})
	if err != nil {
		return resolved{}, err
	}
	if len(c.defaults) >= mostFilters {
		clear(c.defaults)
	}
	c.defaults[name] = resolved{digest(s), s}
	return c.defaults[name], nil
}

func (c *Cache) get(k key, s *specs.LinuxSeccomp) ([]unix.SockFilter, uint32, error) {
	c.mu.Lock()
	known, ok := c.filters[k]
	c.mu.Unlock()
	if ok {
		return known.filter, known.flags, nil
	}
	filter, flags, err := Compile(s)
	if err != nil {
		return nil, 0, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.filters) >= mostFilters {
		clear(c.filters)
	}
	c.filters[k] = compiled{filter, flags}
	return filter, flags, nil
}

// digest hashes a profile by what it says. It runs at every start, so it does
// without the detour over JSON.
func digest(s *specs.LinuxSeccomp) key {
	buf := make([]byte, 0, 16<<10)
	str := func(v string) {
		buf = binary.LittleEndian.AppendUint32(buf, uint32(len(v)))
		buf = append(buf, v...)
	}
	num := func(v uint64) { buf = binary.LittleEndian.AppendUint64(buf, v) }
	errno := func(v *uint) {
		num(uint64(btoi(v != nil)))
		if v != nil {
			num(uint64(*v))
		}
	}
	str(string(s.DefaultAction))
	errno(s.DefaultErrnoRet)
	str(s.ListenerPath)
	num(uint64(len(s.Architectures)))
	for _, a := range s.Architectures {
		str(string(a))
	}
	num(uint64(len(s.Flags)))
	for _, f := range s.Flags {
		str(string(f))
	}
	for _, c := range s.Syscalls {
		num(uint64(len(c.Names)))
		for _, n := range c.Names {
			str(n)
		}
		str(string(c.Action))
		errno(c.ErrnoRet)
		num(uint64(len(c.Args)))
		for _, a := range c.Args {
			num(uint64(a.Index))
			num(a.Value)
			num(a.ValueTwo)
			str(string(a.Op))
		}
	}
	return key(sha256.Sum256(buf))
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

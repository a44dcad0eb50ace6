// Package seccomp compiles the profiles of containers, as the OCI spec writes
// them, into filters for the kernel, without a C library. It speaks x86_64
// with its i386 and x32 calls, and aarch64 with those of 32-bit ARM.
package seccomp

import (
	"crypto/sha256"
	"encoding/json"
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

// Load reads a profile in Docker's JSON format and resolves it against the
// capabilities of the spec's process.
func Load(profile string, spec *specs.Spec) (*specs.LinuxSeccomp, error) {
	if spec.Process == nil || spec.Process.Capabilities == nil {
		return nil, errs.New(errs.Invalid, "the seccomp profile depends on the capabilities: set them first")
	}
	s, err := mobyseccomp.LoadProfile(profile, spec)
	return s, errs.With(errs.Invalid, err)
}

// mostFilters bounds a Cache: profiles are few, but users can send their own.
const mostFilters = 64

// Cache compiles each profile once. It is safe for concurrent use.
type Cache struct {
	mu      sync.Mutex
	filters map[key]compiled
}

// key is the hash of a profile, or of the capabilities of a default one.
type key [sha256.Size]byte

type compiled struct {
	filter []unix.SockFilter
	flags  uint32
}

// NewCache returns an empty Cache.
func NewCache() *Cache { return &Cache{filters: map[key]compiled{}} }

// Default returns the filter of the default profile for a process with these
// bounding capabilities.
func (c *Cache) Default(caps []string) ([]unix.SockFilter, uint32, error) {
	sorted := slices.Sorted(slices.Values(caps))
	k := key(sha256.Sum256([]byte("default " + strings.Join(sorted, " "))))
	return c.get(k, func() (*specs.LinuxSeccomp, error) {
		return Default(&specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: sorted}}})
	})
}

// Compile returns the filter of a profile and the flags to load it with. No
// profile is an empty filter.
func (c *Cache) Compile(s *specs.LinuxSeccomp) ([]unix.SockFilter, uint32, error) {
	if s == nil {
		return nil, 0, nil
	}
	h := sha256.New()
	if err := json.NewEncoder(h).Encode(s); err != nil {
		return nil, 0, err
	}
	return c.get(key(h.Sum(nil)), func() (*specs.LinuxSeccomp, error) { return s, nil })
}

func (c *Cache) get(k key, profile func() (*specs.LinuxSeccomp, error)) ([]unix.SockFilter, uint32, error) {
	c.mu.Lock()
	known, ok := c.filters[k]
	c.mu.Unlock()
	if ok {
		return known.filter, known.flags, nil
	}
	s, err := profile()
	if err != nil {
		return nil, 0, err
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

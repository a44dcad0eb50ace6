// Package apparmor confines containers by AppArmor profiles where the kernel
// has AppArmor: it sees to it that the default profile is loaded and knows
// which others are.
package apparmor

import (
	"bytes"
	"os"
	"os/exec"
	"sync"

	"github.com/moby/profiles/apparmor"

	"lus/internal/base/errs"
)

// Default is the profile of containers that ask for no other: Docker's, under
// Docker's name, so that files and people who name it find it.
const Default = "docker-default"

// Unconfined is what stands for no profile.
const Unconfined = "unconfined"

// Host is the AppArmor of this host. The zero value is ready for use, and its
// methods are safe for concurrent use.
type Host struct {
	mu     sync.Mutex
	loaded bool // the default profile, by us or before us
}

// Supported reports whether the kernel confines by AppArmor and profiles can be
// loaded: both are needed, as in Docker.
func (h *Host) Supported() bool {
	on, err := os.ReadFile("/sys/module/apparmor/parameters/enabled")
	if err != nil || !bytes.HasPrefix(on, []byte("Y")) {
		return false
	}
	if _, err := os.Stat("/sys/kernel/security/apparmor"); err != nil {
		return false
	}
	_, err = exec.LookPath("apparmor_parser")
	return err == nil
}

// Ensure makes sure that a profile is there to be used: the default one is
// loaded where it is not, any other must have been loaded by the administrator.
func (h *Host) Ensure(profile string) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if profile == Default && h.loaded {
		return nil
	}
	there, err := apparmor.IsLoaded(profile)
	if err != nil {
		return errs.New(errs.Internal, "reading which AppArmor profiles are loaded: %w", err)
	}
	switch {
	case !there && profile != Default:
		return errs.New(errs.Invalid, "AppArmor profile %q is not loaded: load it with \"apparmor_parser -r FILE\", or leave --security-opt apparmor out", profile)
	case !there:
		if err := apparmor.InstallDefault(Default); err != nil {
			return errs.New(errs.Internal, "loading the AppArmor profile %s: %w", Default, err)
		}
	}
	h.loaded = h.loaded || profile == Default
	return nil
}

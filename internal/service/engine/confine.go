package engine

import (
	"lus/internal/base/errs"
	"lus/internal/linux/apparmor"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/spec"
)

// profileFor is the AppArmor profile that a container is to have, as inspect
// shows it: empty on a host without AppArmor.
func (e *Engine) profileFor(h *container.HostConfig) (string, error) {
	o, err := spec.SecurityOpt(h.SecurityOpt)
	if err != nil {
		return "", err
	}
	asked := o.AppArmor
	switch {
	case e.AppArmor == nil || !e.AppArmor.Supported():
		if asked != "" && asked != apparmor.Unconfined {
			return "", errs.New(errs.Unsupported, "--security-opt apparmor=%s: this host has no AppArmor switched on, so the profile could not protect anything; leave it out", asked)
		}
		return "", nil
	case asked != "":
		return asked, nil
	case h.Privileged:
		return apparmor.Unconfined, nil
	}
	return apparmor.Default, nil
}

// confined is the profile that a process of the container is to start under,
// which is loaded now; empty: none.
func (e *Engine) confined(rec *container.Container) (string, error) {
	if rec.AppArmorProfile == "" || rec.AppArmorProfile == apparmor.Unconfined {
		return "", nil
	}
	if e.AppArmor == nil || !e.AppArmor.Supported() {
		return "", errs.New(errs.Unsupported, "container %s was made to run under the AppArmor profile %s, and this host has AppArmor no longer switched on: make the container anew", rec.Name, rec.AppArmorProfile)
	}
	return rec.AppArmorProfile, e.AppArmor.Ensure(rec.AppArmorProfile)
}

// Package cdi gives containers devices by name, as vendor.com/class=name: what
// a name stands for (nodes, mounts, variables) is written by the vendor, or the
// administrator, into specifications of the Container Device Interface.
package cdi

import (
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"lus/internal/base/errs"
)

// Dirs is where specifications are looked for unless the configuration says
// otherwise; of two for one device the one in the later folder counts.
func Dirs() []string { return []string{"/etc/cdi", "/var/run/cdi"} }

// Devices are those that the specifications of some folders describe. Its
// methods are safe for concurrent use.
type Devices struct {
	dirs  []string
	cache *cdi.Cache
}

// New returns the devices of folders, which need not be there. Nothing is read
// before the first device is asked for.
func New(dirs []string) (*Devices, error) {
	// Its own refresh watches the folders all the time.
	cache, err := cdi.NewCache(cdi.WithSpecDirs(dirs...), cdi.WithAutoRefresh(false))
	if err != nil {
		return nil, errs.New(errs.Internal, "reading where devices are described: %w", err)
	}
	return &Devices{dirs: dirs, cache: cache}, nil
}

// Folders are where specifications are looked for.
func (d *Devices) Folders() []string { return d.dirs }

// Names lists all devices that there are now, by their full names.
func (d *Devices) Names() []string {
	_ = d.cache.Refresh() // what is wrong in one file does not hide the others
	return d.cache.ListDevices()
}

// Inject changes a spec so that the container has the devices called names.
// errs.Invalid where there is no such device, or what describes it is wrong; the
// spec is of no use then.
func (d *Devices) Inject(s *specs.Spec, names []string) error {
	wrong := d.cache.Refresh()
	missing, err := d.cache.InjectDevices(s, names...)
	switch {
	case len(missing) > 0 && wrong != nil:
		return errs.New(errs.Invalid, "CDI device injection failed: unresolvable CDI devices %s: %w", strings.Join(missing, ", "), wrong)
	case len(missing) > 0:
		return errs.New(errs.Invalid, "CDI device injection failed: unresolvable CDI devices %s: no specification in %s describes them; there are: %s",
			strings.Join(missing, ", "), strings.Join(d.dirs, ", "), d.some())
	case err != nil:
		return errs.New(errs.Invalid, "CDI device injection failed: %w", err)
	}
	return nil
}

// some names a few of the devices that there are.
func (d *Devices) some() string {
	const few = 8
	all := d.cache.ListDevices()
	switch {
	case len(all) == 0:
		return "none"
	case len(all) > few:
		all = append(slices.Clone(all[:few]), "...")
	}
	return strings.Join(all, ", ")
}

// Cache is what BuildKit looks devices up in.
func (d *Devices) Cache() *cdi.Cache { return d.cache }

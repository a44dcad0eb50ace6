// Package mounts reads what people write after -v, --mount and --tmpfs into
// one list of mounts, and refuses what cannot be honoured.
package mounts

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/names"
)

// The kinds of mounts.
const (
	Bind   = "bind"
	Volume = "volume"
	Tmpfs  = "tmpfs"
	Image  = "image"
)

// Mount is one mount asked for, and later with its source resolved.
type Mount struct {
	Type        string
	Source      string // bind: the host's path; volume: filled in from Name; tmpfs: empty; image: what it was asked for as
	Name        string // volume: its name; empty until an anonymous one has got one; image: its id, once it is known
	Target      string
	ReadOnly    bool
	Propagation string
	Mode        string   // what stood after the second colon of -v
	Options     []string `json:",omitempty"` // tmpfs: mount options
	NoCopy      bool     `json:",omitempty"`
	Subpath     string   `json:",omitempty"`
	// MakeSource: a missing bind source becomes an empty folder, as -v does.
	MakeSource   bool              `json:",omitempty"`
	NonRecursive bool              `json:",omitempty"` // bind without what is mounted below
	ShallowRO    bool              `json:",omitempty"` // read-only only at the top
	Anonymous    bool              `json:",omitempty"`
	Labels       map[string]string `json:",omitempty"` // of a volume to be made
	Driver       map[string]string `json:",omitempty"` // driver options of a volume to be made
}

// Parse joins a container's binds, mounts, tmpfs and its image's volumes.
// Explicit mounts win over an image's volume of the same target.
func Parse(h *container.HostConfig, imageVolumes map[string]struct{}) ([]Mount, error) {
	var out []Mount
	for _, b := range h.Binds {
		m, err := ParseBind(b)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	for _, am := range h.Mounts {
		m, err := convert(am)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	for target, options := range h.Tmpfs {
		m := Mount{Type: Tmpfs, Target: path.Clean(target), Options: splitOptions(options)}
		if err := m.check(target); err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	if err := duplicates(out); err != nil {
		return nil, err
	}
	for target := range imageVolumes {
		m := Mount{Type: Volume, Target: path.Clean(target), Anonymous: true}
		if err := m.check(target); err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(out, func(o Mount) bool { return o.Target == m.Target }) {
			out = append(out, m)
		}
	}
	Sort(out)
	return out, nil
}

// Sort puts a folder before what lies in it.
func Sort(ms []Mount) {
	slices.SortStableFunc(ms, func(a, b Mount) int {
		if d := strings.Count(a.Target, "/") - strings.Count(b.Target, "/"); d != 0 {
			return d
		}
		return strings.Compare(a.Target, b.Target)
	})
}

func duplicates(ms []Mount) error {
	seen := map[string]bool{}
	for _, m := range ms {
		if seen[m.Target] {
			return errs.New(errs.Invalid, "Duplicate mount point: %s", m.Target)
		}
		seen[m.Target] = true
	}
	return nil
}

func (m *Mount) check(spec string) error {
	switch {
	case strings.ContainsRune(m.Target, 0) || strings.ContainsRune(m.Source, 0):
		return errs.New(errs.Invalid, "invalid mount path: a NUL byte in %q", spec)
	case !path.IsAbs(m.Target):
		return errs.New(errs.Invalid, "invalid mount config for type %q: invalid mount path: '%s' mount path must be absolute", m.Type, m.Target)
	case m.Target == "/":
		return errs.New(errs.Invalid, "invalid volume specification: '%s': invalid mount config for type %q: invalid specification: destination can't be '/'", spec, m.Type)
	}
	return nil
}

// ParseBind reads "src:dst[:options]" or "dst" as written after -v.
func ParseBind(spec string) (Mount, error) {
	parts := strings.Split(spec, ":")
	m := Mount{Type: Volume}
	switch {
	case slices.Contains(parts, ""):
		return m, errs.New(errs.Invalid, "invalid volume specification: '%s'", spec)
	case len(parts) == 1:
		m.Target, m.Anonymous = parts[0], true
	case len(parts) <= 3:
		m.Source, m.Target = parts[0], parts[1]
	default:
		return m, errs.New(errs.Invalid, "invalid volume specification: '%s'", spec)
	}
	if m.Source != "" {
		if path.IsAbs(m.Source) {
			m.Type, m.Source, m.MakeSource = Bind, path.Clean(m.Source), true
		} else if !names.Valid(m.Source) {
			return m, errs.New(errs.Invalid, "%q includes invalid characters for a local volume name, only %q are allowed. If you intended to pass a host directory, use absolute path", m.Source, names.Allowed)
		} else {
			m.Name, m.Source = m.Source, ""
		}
	}
	m.Target = path.Clean(m.Target)
	if err := m.check(spec); err != nil {
		return m, err
	}
	if len(parts) == 3 {
		m.Mode = parts[2]
		return m, m.options(parts[2])
	}
	return m, nil
}

// options reads what stands after the second colon of -v.
func (m *Mount) options(mode string) error {
	bad := func(why string) error { return errs.New(errs.Invalid, "invalid mode: %s: %s", mode, why) }
	seen := map[string]bool{}
	once := func(kind string) bool {
		again := seen[kind]
		seen[kind] = true
		return !again
	}
	for _, o := range strings.Split(mode, ",") {
		switch o {
		case "ro", "rw":
			if !once("rw") {
				return bad("ro and rw exclude each other")
			}
			m.ReadOnly = o == "ro"
		case "z", "Z": // labels for SELinux, of which this host's kernel knows nothing
			if !once("z") {
				return bad("z and Z exclude each other")
			}
		case "nocopy":
			if m.Type == Bind {
				return bad("nocopy is for volumes")
			}
			m.NoCopy = true
		case "consistent", "cached", "delegated": // hints for other platforms
		case "shared", "rshared", "slave", "rslave", "private", "rprivate":
			if m.Type != Bind || !once("propagation") {
				return bad("one propagation, and only for a bind")
			}
			m.Propagation = o
		default:
			return bad("unknown option " + strconv.Quote(o))
		}
	}
	return nil
}

func convert(am container.Mount) (Mount, error) {
	m := Mount{Type: am.Type, Target: path.Clean(am.Target), ReadOnly: am.ReadOnly}
	if am.Target == "" {
		return m, errs.New(errs.Invalid, "invalid mount config for type %q: field Target must not be empty", am.Type)
	}
	if err := m.check(am.Target); err != nil {
		return m, err
	}
	if strings.ContainsRune(am.Source, 0) {
		return m, errs.New(errs.Invalid, "invalid mount path: a NUL byte in %q", am.Source)
	}
	bad := func(format string, args ...any) (Mount, error) {
		return m, errs.New(errs.Invalid, "invalid mount config for type %q: "+format, append([]any{am.Type}, args...)...)
	}
	if am.BindOptions != nil && am.Type != Bind {
		return bad("field BindOptions must not be specified")
	}
	if am.VolumeOptions != nil && am.Type != Volume {
		return bad("field VolumeOptions must not be specified")
	}
	if am.TmpfsOptions != nil && am.Type != Tmpfs {
		return bad("field TmpfsOptions must not be specified")
	}
	if am.ImageOptions != nil && am.Type != Image {
		return bad("field ImageOptions must not be specified")
	}
	switch am.Type {
	case Bind:
		if !path.IsAbs(am.Source) {
			return bad("invalid mount path: '%s' mount path must be absolute", am.Source)
		}
		m.Source = path.Clean(am.Source)
		return m, m.bindOptions(am.BindOptions)
	case Volume:
		if am.Source == "" {
			m.Anonymous = true
		} else if !names.Valid(am.Source) {
			return bad("%q includes invalid characters for a local volume name, only %q are allowed", am.Source, names.Allowed)
		}
		m.Name = am.Source
		return m, m.volumeOptions(am.VolumeOptions)
	case Tmpfs:
		if am.Source != "" {
			return bad("field Source must not be specified")
		}
		return m, m.tmpfsOptions(am.TmpfsOptions)
	case Image:
		if am.Source == "" {
			return bad("field Source must not be empty")
		}
		m.Source, m.ReadOnly = am.Source, true
		if am.ImageOptions != nil {
			return m, m.subpath(am.ImageOptions.Subpath)
		}
		return m, nil
	case "":
		return m, errs.New(errs.Invalid, "mount type unknown: \"\"; use bind, volume, tmpfs or image")
	}
	return m, errs.New(errs.Unsupported, "mount type %q is not supported; use bind, volume, tmpfs or image", am.Type)
}

// subpath takes a part of a volume or an image.
func (m *Mount) subpath(sub string) error {
	if sub == "" {
		return nil
	}
	clean := path.Clean(sub)
	if path.IsAbs(clean) || clean == ".." || strings.HasPrefix(clean, "../") {
		return errs.New(errs.Invalid, "invalid mount config for type %q: invalid subpath %q: it must stay inside the %s", m.Type, sub, m.Type)
	}
	m.Subpath = clean
	return nil
}

func (m *Mount) bindOptions(o *container.BindOptions) error {
	if o == nil {
		return nil
	}
	if !slices.Contains([]string{"", "shared", "rshared", "slave", "rslave", "private", "rprivate"}, o.Propagation) {
		return errs.New(errs.Invalid, "invalid mount config for type %q: invalid propagation mode: %s", Bind, o.Propagation)
	}
	if o.ReadOnlyNonRecursive && o.ReadOnlyForceRecursive {
		return errs.New(errs.Invalid, "invalid mount config for type %q: ReadOnlyNonRecursive and ReadOnlyForceRecursive exclude each other", Bind)
	}
	m.Propagation, m.NonRecursive, m.MakeSource, m.ShallowRO = o.Propagation, o.NonRecursive, o.CreateMountpoint, o.ReadOnlyNonRecursive
	return nil
}

func (m *Mount) volumeOptions(o *container.VolumeOptions) error {
	if o == nil {
		return nil
	}
	m.NoCopy, m.Labels = o.NoCopy, o.Labels
	if err := m.subpath(o.Subpath); err != nil {
		return err
	}
	if d := o.DriverConfig; d != nil {
		if d.Name != "" && d.Name != "local" {
			return errs.New(errs.NotFound, "error looking up volume plugin %s: plugin %q not found; Lus has the driver local", d.Name, d.Name)
		}
		m.Driver = d.Options
	}
	return nil
}

func (m *Mount) tmpfsOptions(o *container.TmpfsOptions) error {
	if o == nil {
		return nil
	}
	if o.SizeBytes < 0 {
		return errs.New(errs.Invalid, "invalid mount config for type %q: invalid tmpfs size", Tmpfs)
	}
	if o.SizeBytes > 0 {
		m.Options = append(m.Options, "size="+strconv.FormatInt(o.SizeBytes, 10))
	}
	if o.Mode != 0 {
		m.Options = append(m.Options, "mode="+strconv.FormatUint(uint64(o.Mode), 8))
	}
	for _, kv := range o.Options {
		m.Options = append(m.Options, strings.Join(kv, "="))
	}
	return nil
}

func splitOptions(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

package container

import (
	"encoding/csv"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/docker/go-units"

	"lus/internal/model/container"
)

func (o *options) fillMounts(req *container.CreateRequest) error {
	h := req.HostConfig
	h.VolumesFrom, h.VolumeDriver = o.volumesFrom, o.volumeDriver
	for _, v := range o.volumes {
		bind, err := volume(v)
		if err != nil {
			return err
		}
		if bind == "" {
			if req.Volumes == nil {
				req.Volumes = map[string]struct{}{}
			}
			req.Volumes[v] = struct{}{}
			continue
		}
		h.Binds = append(h.Binds, bind)
	}
	for _, t := range o.tmpfs {
		path, opts, _ := strings.Cut(t, ":")
		if h.Tmpfs == nil {
			h.Tmpfs = map[string]string{}
		}
		h.Tmpfs[path] = opts
	}
	for _, text := range o.mounts {
		m, err := mount(text)
		if err != nil {
			return err
		}
		h.Mounts = append(h.Mounts, m)
	}
	return nil
}

// volume reads what people write after -v and returns the bind it stands for:
// relative folders become absolute, since the daemon is elsewhere. A path alone
// is an anonymous volume and gives none.
func volume(s string) (string, error) {
	source, rest, has := strings.Cut(s, ":")
	if !has {
		if !strings.HasPrefix(s, "/") {
			return "", invalid("invalid volume %q: the path inside must be absolute: write [source:]/path[:options]", s)
		}
		return "", nil
	}
	target, mode, _ := strings.Cut(rest, ":")
	if source == "" || strings.Contains(mode, ":") {
		return "", invalid("invalid volume %q: write [source:]/path[:options]", s)
	}
	if !strings.HasPrefix(target, "/") {
		return "", invalid("invalid volume %q: the path inside, %q, must be absolute", s, target)
	}
	if strings.HasPrefix(source, ".") {
		abs, err := filepath.Abs(source)
		if err != nil {
			return "", err
		}
		return abs + ":" + rest, nil
	}
	return s, nil
}

// mount reads what people write after --mount: fields of key=value.
func mount(text string) (container.Mount, error) {
	m := container.Mount{Type: "volume"}
	r := csv.NewReader(strings.NewReader(text))
	fields, err := r.Read()
	if err != nil {
		return m, invalid("invalid argument %q for --mount: %v", text, err)
	}
	for _, f := range fields {
		key, value, has := strings.Cut(f, "=")
		key = strings.ToLower(key)
		if key == "type" {
			m.Type = strings.ToLower(value)
			continue
		}
		if !has && key != "readonly" && key != "ro" && key != "volume-nocopy" && key != "bind-nonrecursive" && key != "bind-create-src" {
			return m, invalid("invalid argument %q for --mount: %q must be a key=value pair", text, f)
		}
		if err := mountField(&m, key, value, has); err != nil {
			return m, invalid("invalid argument %q for --mount: %v", text, err)
		}
	}
	if m.Target == "" {
		return m, invalid("invalid argument %q for --mount: target is required", text)
	}
	for _, c := range []struct {
		used bool
		kind string
	}{{m.VolumeOptions != nil, "volume"}, {m.BindOptions != nil, "bind"}, {m.TmpfsOptions != nil, "tmpfs"}, {m.ImageOptions != nil, "image"}} {
		if c.used && m.Type != c.kind {
			return m, invalid("invalid argument %q for --mount: %s-* options do not go with type %s", text, c.kind, m.Type)
		}
	}
	return m, nil
}

func yes(value string, has bool) (bool, error) {
	if !has {
		return true, nil
	}
	return strconv.ParseBool(value)
}

func mountField(m *container.Mount, key, value string, has bool) (err error) {
	switch key {
	case "source", "src":
		m.Source = value
		if strings.HasPrefix(value, ".") {
			m.Source, err = filepath.Abs(value)
		}
	case "target", "dst", "destination":
		m.Target = value
	case "readonly", "ro":
		m.ReadOnly, err = yes(value, has)
	case "consistency":
		m.Consistency = strings.ToLower(value)
	default:
		switch {
		case strings.HasPrefix(key, "bind-"):
			return bindField(m, key, value, has)
		case strings.HasPrefix(key, "volume-"):
			return volumeField(m, key, value, has)
		case strings.HasPrefix(key, "tmpfs-"):
			return tmpfsField(m, key, value)
		case key == "image-subpath":
			m.ImageOptions = &container.ImageOptions{Subpath: value}
			return nil
		}
		return fmt.Errorf("unexpected key '%s'", key)
	}
	return err
}

func bindField(m *container.Mount, key, value string, has bool) (err error) {
	if m.BindOptions == nil {
		m.BindOptions = &container.BindOptions{}
	}
	b := m.BindOptions
	switch key {
	case "bind-propagation":
		b.Propagation = strings.ToLower(value)
	case "bind-nonrecursive":
		b.NonRecursive, err = yes(value, has)
	case "bind-create-src":
		b.CreateMountpoint, err = yes(value, has)
	case "bind-recursive":
		switch value {
		case "enabled":
		case "disabled":
			b.NonRecursive = true
		case "writable":
			b.ReadOnlyNonRecursive = true
		case "readonly":
			b.ReadOnlyForceRecursive = true
		default:
			return fmt.Errorf("invalid value for bind-recursive: %s (must be enabled, disabled, writable or readonly)", value)
		}
	default:
		return fmt.Errorf("unexpected key '%s'", key)
	}
	return err
}

func volumeField(m *container.Mount, key, value string, has bool) (err error) {
	if m.VolumeOptions == nil {
		m.VolumeOptions = &container.VolumeOptions{}
	}
	v := m.VolumeOptions
	switch key {
	case "volume-nocopy":
		v.NoCopy, err = yes(value, has)
	case "volume-subpath":
		v.Subpath = value
	case "volume-label":
		k, val, _ := strings.Cut(value, "=")
		if v.Labels == nil {
			v.Labels = map[string]string{}
		}
		v.Labels[k] = val
	case "volume-driver", "volume-opt":
		if v.DriverConfig == nil {
			v.DriverConfig = &container.Driver{}
		}
		if key == "volume-driver" {
			v.DriverConfig.Name = value
			return nil
		}
		if v.DriverConfig.Options == nil {
			v.DriverConfig.Options = map[string]string{}
		}
		k, val, _ := strings.Cut(value, "=")
		v.DriverConfig.Options[k] = val
	default:
		return fmt.Errorf("unexpected key '%s'", key)
	}
	return err
}

func tmpfsField(m *container.Mount, key, value string) (err error) {
	if m.TmpfsOptions == nil {
		m.TmpfsOptions = &container.TmpfsOptions{}
	}
	switch key {
	case "tmpfs-size":
		m.TmpfsOptions.SizeBytes, err = units.RAMInBytes(value)
	case "tmpfs-mode":
		n, perr := strconv.ParseUint(value, 8, 32)
		m.TmpfsOptions.Mode, err = uint32(n), perr
	default:
		return fmt.Errorf("unexpected key '%s'", key)
	}
	return err
}

package mounts_test

import (
	"path"
	"path/filepath"
	"strings"
	"testing"

	"lus/internal/model/container"
	"lus/internal/service/engine/internal/mounts"
	"lus/internal/service/engine/internal/names"
)

// FuzzParse: whatever stands after -v, --mount and --tmpfs, what is accepted
// names a clean place inside, and a source that cannot climb.
func FuzzParse(f *testing.F) {
	f.Add("/a:/b:ro,rslave,z", "/t", "size=1m,exec", "volume", "v", "/x", "sub/dir", "rprivate")
	f.Add("db:/var/lib/db:nocopy", "/run", "", "bind", "/h/../x", "/y/", "", "shared")
	f.Add("/only", "t", ",", "tmpfs", "", "//z//..//w", "../../etc", "")
	f.Add("../up:/b", "/proc", "mode=1777", "", "..", ".", "/abs", "x")
	f.Add("a\x00:/b", "/\x00", "\x00", "image", "\x00", "/\x00", "\x00", "\x00")
	f.Add("0", "0", "", "bind", "/\x00", "/0", "", "") // a crasher
	f.Fuzz(func(t *testing.T, bind, tmpfs, options, kind, source, target, sub, propagation string) {
		m := container.Mount{Type: kind, Source: source, Target: target}
		switch kind {
		case mounts.Bind:
			m.BindOptions = &container.BindOptions{Propagation: propagation}
		case mounts.Volume:
			m.VolumeOptions = &container.VolumeOptions{Subpath: sub}
		}
		for _, h := range []*container.HostConfig{
			{Binds: []string{bind}}, {Tmpfs: map[string]string{tmpfs: options}}, {Mounts: []container.Mount{m}},
		} {
			ms, err := mounts.Parse(h, map[string]struct{}{target: {}})
			if err != nil {
				continue
			}
			for _, m := range ms {
				sound(t, m)
			}
		}
	})
}

func sound(t *testing.T, m mounts.Mount) {
	t.Helper()
	if !path.IsAbs(m.Target) || m.Target == "/" || path.Clean(m.Target) != m.Target || strings.Contains(m.Target, "\x00") {
		t.Errorf("target %q: %+v", m.Target, m)
	}
	if m.Source != "" && (!path.IsAbs(m.Source) || path.Clean(m.Source) != m.Source || strings.Contains(m.Source, "\x00")) {
		t.Errorf("source %q: %+v", m.Source, m)
	}
	if m.Name != "" && (!names.Valid(m.Name) || strings.Contains(m.Name, "/")) {
		t.Errorf("volume %q: %+v", m.Name, m)
	}
	if m.Subpath != "" && !filepath.IsLocal(m.Subpath) {
		t.Errorf("subpath %q: %+v", m.Subpath, m)
	}
	if (m.Type == mounts.Bind) != (m.Source != "") {
		t.Errorf("a %s with the source %q", m.Type, m.Source)
	}
}

package mounts_test

import (
	"strings"
	"testing"

	"lus/internal/model/container"
	"lus/internal/service/engine/internal/mounts"
)

func TestParseBind(t *testing.T) {
	for spec, want := range map[string]mounts.Mount{
		"/data":              {Type: "volume", Target: "/data", Anonymous: true},
		"db:/var/lib/db":     {Type: "volume", Name: "db", Target: "/var/lib/db"},
		"db:/var/lib/db/:ro": {Type: "volume", Name: "db", Target: "/var/lib/db", ReadOnly: true, Mode: "ro"},
		"/a/../b:/c":         {Type: "bind", Source: "/b", Target: "/c", MakeSource: true},
		"/b:/c:ro,rslave,z":  {Type: "bind", Source: "/b", Target: "/c", MakeSource: true, ReadOnly: true, Propagation: "rslave", Mode: "ro,rslave,z"},
		"db:/c:nocopy":       {Type: "volume", Name: "db", Target: "/c", NoCopy: true, Mode: "nocopy"},
	} {
		got, err := mounts.ParseBind(spec)
		if err != nil {
			t.Errorf("%s: %v", spec, err)
			continue
		}
		if !same(got, want) {
			t.Errorf("%s:\n got %+v\nwant %+v", spec, got, want)
		}
	}
	for spec, word := range map[string]string{
		"":               "invalid volume specification",
		":/x":            "invalid volume specification",
		"a:/b:ro:x":      "invalid volume specification",
		"/a:/":           "destination can't be '/'",
		"/a:/b/..":       "destination can't be '/'",
		"/a:rel":         "must be absolute",
		"rel/path:/b":    "invalid characters for a local volume name",
		"../up:/b":       "invalid characters for a local volume name",
		"/a:/b:rx":       "unknown option",
		"/a:/b:ro,rw":    "exclude each other",
		"/a:/b:nocopy":   "nocopy is for volumes",
		"vol:/b:rshared": "only for a bind",
	} {
		if _, err := mounts.ParseBind(spec); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v, want an error with %q", spec, err, word)
		}
	}
}

func same(a, b mounts.Mount) bool {
	return a.Type == b.Type && a.Source == b.Source && a.Name == b.Name && a.Target == b.Target && a.ReadOnly == b.ReadOnly &&
		a.Propagation == b.Propagation && a.Mode == b.Mode && a.NoCopy == b.NoCopy && a.MakeSource == b.MakeSource && a.Anonymous == b.Anonymous
}

func TestParseJoinsAndSorts(t *testing.T) {
	h := &container.HostConfig{
		Binds:  []string{"/h:/srv/app/deep"},
		Mounts: []container.Mount{{Type: "volume", Source: "vol", Target: "/srv"}, {Type: "tmpfs", Target: "/t", TmpfsOptions: &container.TmpfsOptions{SizeBytes: 4096, Mode: 0o1770}}},
		Tmpfs:  map[string]string{"/run": "size=1m,exec"},
	}
	ms, err := mounts.Parse(h, map[string]struct{}{"/srv": {}, "/srv/app": {}})
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, m := range ms {
		targets = append(targets, m.Type+" "+m.Target)
	}
	if got, want := strings.Join(targets, ", "), "tmpfs /run, volume /srv, tmpfs /t, volume /srv/app, bind /srv/app/deep"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := strings.Join(ms[2].Options, ","); got != "size=4096,mode=1770" {
		t.Errorf("tmpfs options %s", got)
	}
	h.Binds = append(h.Binds, "xx:/t")
	if _, err := mounts.Parse(h, nil); err == nil || !strings.Contains(err.Error(), "Duplicate mount point: /t") {
		t.Errorf("twice the same target: %v", err)
	}
}

func TestMountsThatCannotBeHonouredAreRefused(t *testing.T) {
	for name, m := range map[string]container.Mount{
		"no type":           {Target: "/x"},
		"unknown type":      {Type: "npipe", Target: "/x"},
		"image, no source":  {Type: "image", Target: "/x"},
		"image, out of it":  {Type: "image", Source: "busybox", Target: "/x", ImageOptions: &container.ImageOptions{Subpath: "../x"}},
		"no target":         {Type: "volume", Source: "v"},
		"relative target":   {Type: "volume", Source: "v", Target: "x"},
		"relative source":   {Type: "bind", Source: "x", Target: "/x"},
		"a NUL in source":   {Type: "bind", Source: "/\x00", Target: "/x"},
		"foreign options":   {Type: "bind", Source: "/x", Target: "/x", VolumeOptions: &container.VolumeOptions{}},
		"tmpfs with source": {Type: "tmpfs", Source: "/x", Target: "/x"},
		"subpath out":       {Type: "volume", Source: "v", Target: "/x", VolumeOptions: &container.VolumeOptions{Subpath: "../../etc"}},
		"propagation":       {Type: "bind", Source: "/x", Target: "/x", BindOptions: &container.BindOptions{Propagation: "sideways"}},
		"driver":            {Type: "volume", Source: "v", Target: "/x", VolumeOptions: &container.VolumeOptions{DriverConfig: &container.Driver{Name: "nfs"}}},
	} {
		if _, err := mounts.Parse(&container.HostConfig{Mounts: []container.Mount{m}}, nil); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

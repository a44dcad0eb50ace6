package container

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	model "lus/internal/model/container"
)

// What is taken of --mount has a target, no size below nothing, and reaches the
// daemon as it is.
func FuzzMount(f *testing.F) {
	for _, s := range []string{
		"type=bind,src=.,dst=/a,ro", "type=tmpfs,target=/t,tmpfs-size=1g,tmpfs-mode=1777", `type=volume,src=v,dst=/v,"volume-label=a=b,c",volume-opt=o=addr`,
		"dst=/a,volume-nocopy=false,volume-subpath=../x", "type=bind,bind-recursive=writable,dst=", "a", `"`, "dst=/a,readonly=perhaps",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		m, err := mount(s)
		if err != nil {
			return
		}
		if m.Target == "" || m.TmpfsOptions != nil && m.TmpfsOptions.SizeBytes < 0 {
			t.Fatalf("%q was taken as %+v", s, m)
		}
		if !utf8.ValidString(s) {
			return // JSON cannot carry it; the daemon refuses what comes instead
		}
		text, err := json.Marshal(m)
		var again model.Mount
		if err == nil {
			err = json.Unmarshal(text, &again)
		}
		if err != nil || !reflect.DeepEqual(m, again) {
			t.Fatalf("%q is %+v, and arrives as %+v (%v)", s, m, again, err)
		}
	})
}

func FuzzDevice(f *testing.F) {
	for _, s := range []string{"/dev/null", "/dev/a:/dev/b:rw", "/dev/a:m", "a:/b:rwmx", ":", "/dev/a:r:w", "vendor.com/gpu=all"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := device(s)
		if err != nil {
			return
		}
		if d.PathOnHost == "" || !strings.HasPrefix(d.PathInContainer, "/") || d.CgroupPermissions == "" || strings.Trim(d.CgroupPermissions, "rwm") != "" ||
			strings.Contains(d.PathOnHost+d.PathInContainer, ":") {
			t.Fatalf("%q was taken as %+v", s, d)
		}
	})
}

// A variable of a file has a name without blanks, and is text.
func FuzzEnvFile(f *testing.F) {
	for _, s := range []string{"A=b\n# c\n\n  D=e=f\n", "\ufeffA=b\r\nB", "=x", "A B=c", "\xff=1", "A=\x00", strings.Repeat("x", 70000)} {
		f.Add([]byte(s))
	}
	file := filepath.Join(f.TempDir(), "env")
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		list, err := environment([]string{file}, nil)
		if err != nil {
			return
		}
		for _, kv := range list {
			key, _, has := strings.Cut(kv, "=")
			if !has || key == "" || strings.ContainsAny(key, " \t\n") || !utf8.ValidString(kv) || strings.Contains(kv, "\n") {
				t.Fatalf("%q gives the variable %q", text, kv)
			}
		}
	})
}

// A volume keeps its parts; a folder beside us becomes absolute.
func FuzzVolume(f *testing.F) {
	for _, s := range []string{"/a", "a:/b:ro,z", ".:/x", "../y:/x:ro", "a", ":/b", "a:b", "a:/b:c:d"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := volume(s)
		if err != nil || v == "" {
			return
		}
		_, rest, _ := strings.Cut(s, ":")
		if strings.HasPrefix(v, ".") || !strings.HasSuffix(v, ":"+rest) || !strings.HasPrefix(rest, "/") {
			t.Fatalf("%q was taken as %q", s, v)
		}
	})
}

package spec_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/spec"
	"lus/internal/service/engine/internal/union"
)

// FuzzDeviceRule: what --device-cgroup-rule takes is a rule the kernel takes.
func FuzzDeviceRule(f *testing.F) {
	for _, s := range []string{"c 1:3 rwm", "a *:* r", "b 8:* mw", "c -1:3 r", "c 1:3:4 r", "c 99999999999:1 r", "c 1:3 rr", "c 0x1:+3 r"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := spec.ParseDeviceRule(s)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("%q: an error of kind %v", s, errs.KindOf(err))
			}
			return
		}
		if !r.Allow || !spec.Access(r.Access) || r.Type != "a" && r.Type != "b" && r.Type != "c" {
			t.Errorf("%q: %+v", s, r)
		}
		for _, n := range []*int64{r.Major, r.Minor} {
			if n != nil && (*n < 0 || *n > 1<<31-1) {
				t.Errorf("%q: the number %d", s, *n)
			}
		}
	})
}

// FuzzSecurityOpt: whatever stands after --security-opt, a seccomp profile
// included, is taken or refused with a reason.
func FuzzSecurityOpt(f *testing.F) {
	for _, s := range []string{
		"no-new-privileges", "no-new-privileges:maybe", "seccomp=unconfined", "seccomp={}", "seccomp=null", "apparmor=x", "label:disable", "=", ":",
		`seccomp={"defaultAction":"SCMP_ACT_ERRNO","archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW","includes":{"caps":["CAP_SYS_ADMIN"],"minKernel":"4.8"},"excludes":{"arches":["amd64"]}}]}`,
		`seccomp={"defaultAction":"SCMP_ACT_ALLOW","syscalls":[null,{"name":"x","args":[null]}]}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, opt string) {
		err := spec.Check(&container.Config{}, &container.HostConfig{SecurityOpt: []string{opt}})
		if kind := errs.KindOf(err); err != nil && kind != errs.Invalid && kind != errs.Unsupported {
			t.Errorf("%q: kind %v: %v", opt, kind, err)
		}
	})
}

// FuzzFindUser: /etc/passwd and /etc/group are the image's word.
func FuzzFindUser(f *testing.F) {
	const passwd, group = "root:x:0:0::/root:/bin/sh\nweb:x:33:44::/srv:\n", "root:x:0:\ndata:x:44:web\n"
	f.Add("web", "data", passwd, group)
	f.Add("33:44", "7", passwd, group)
	f.Add("", "", "", "")
	f.Add("big", "", "big:x:4294967296:4294967295::/:\n", "big:x:-1:big\n")
	f.Add("web:", ":", "web\nweb:\nweb::::::::::::\n", "::::\n\x00:\n")
	f.Fuzz(func(t *testing.T, who, more, passwd, group string) {
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"passwd": passwd, "group": group} {
			if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		files, err := union.Open([]string{dir})
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		var groups []string
		if more != "" {
			groups = strings.Split(more, ",")
		}
		u, err := spec.FindUser(files, who, groups)
		if err != nil {
			if errs.KindOf(err) != errs.Invalid {
				t.Errorf("%q: kind %v: %v", who, errs.KindOf(err), err)
			}
			return
		}
		if len(u.Groups) == 0 || u.Groups[0] != u.GID || u.Home == "" {
			t.Errorf("%+v", u)
		}
		// A number that does not fit must not come round to root's. (A line that has
		// no number is root's, as in Docker.)
		if u.UID == 0 && who == "big" && numberOf(passwd, "big") == "4294967296" {
			t.Errorf("a user of number 2^32 is root: %+v", u)
		}
		for _, id := range append(u.Groups, u.UID) {
			if id == 1<<32-1 {
				t.Errorf("the number that means none: %+v", u)
			}
		}
	})
}

// numberOf is the number that the first line of a user has.
func numberOf(passwd, name string) string {
	for line := range strings.Lines(passwd) {
		if f := strings.Split(strings.TrimSpace(line), ":"); f[0] == name && len(f) > 2 {
			return f[2]
		} else if f[0] == name {
			return ""
		}
	}
	return ""
}

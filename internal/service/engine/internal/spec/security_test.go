package spec_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/spec"
	"lus/internal/service/engine/internal/union"
)

// What could not be loaded at the start is refused before anything is made.
func TestSeccompProfiles(t *testing.T) {
	check := func(profile string) error {
		return spec.Check(&container.Config{}, &container.HostConfig{SecurityOpt: []string{"seccomp=" + profile}})
	}
	for _, good := range []string{
		"unconfined", "builtin", `{"defaultAction":"SCMP_ACT_ALLOW"}`,
		`{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":38,"archMap":[{"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86"]}],"syscalls":[{"names":["read"],"action":"SCMP_ACT_ALLOW"}]}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"clone","action":"SCMP_ACT_ERRNO","args":[{"index":0,"value":2114060288,"valueTwo":0,"op":"SCMP_CMP_MASKED_EQ"}]}]}`,
	} {
		if err := check(good); err != nil {
			t.Errorf("%.60s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "no-such-word", "5", "[]", `"x"`, "null", "{}", `{"syscalls":[]}`, `{"defaultAction":7}`,
		`{"defaultAction":"SCMP_ACT_WHATEVER"}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"NO"}]}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":9,"op":"SCMP_CMP_EQ"}]}]}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":1,"op":"SCMP_CMP_ODD"}]}]}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"read","names":["read"],"action":"SCMP_ACT_ERRNO"}]}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64"],"archMap":[{"architecture":"SCMP_ARCH_X86_64"}]}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/x"}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_ODD"]}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[null]}`,
		`{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"read","action":"SCMP_ACT_ERRNO","args":[null]}]}`,
		`{"defaultAction":"SCMP_ACT_ALLOW"`,
	} {
		err := check(bad)
		if kind := errs.KindOf(err); err == nil || kind != errs.Invalid && kind != errs.Unsupported || !strings.Contains(err.Error(), "seccomp") {
			t.Errorf("%.60q: %v", bad, err)
		}
	}
}

// SELinux is not applied, so it is not accepted either; which AppArmor profiles
// the host has is for the engine to find out.
func TestProfilesOfSecurityModules(t *testing.T) {
	for opt, ok := range map[string]bool{
		"apparmor=unconfined": true, "label=disable": true, "apparmor:unconfined": true,
		"apparmor=docker-default": true, "apparmor=mine": true, "apparmor=": false, "label=type:svirt_t": false, "label=user:x": false, "apparmor": false,
	} {
		_, err := spec.SecurityOpt([]string{opt})
		if (err == nil) != ok {
			t.Errorf("%s: %v", opt, err)
		}
		if err != nil && errs.KindOf(err) == errs.Internal {
			t.Errorf("%s: an error without a kind: %v", opt, err)
		}
	}
}

// CVE-2022-24769: the engine's default capabilities were inheritable, so that a
// program with file capabilities gave a user what the user should not have.
func TestCVE2022_24769NoCapabilityIsInheritable(t *testing.T) {
	for name, change := range map[string]func(*spec.Input){
		"plain":      func(*spec.Input) {},
		"a user":     func(in *spec.Input) { in.User = spec.User{UID: 1000, GID: 1000} },
		"all added":  func(in *spec.Input) { in.Host.CapAdd = container.Strings{"ALL"} },
		"privileged": func(in *spec.Input) { in.Host.Privileged = true },
	} {
		in := input()
		change(in)
		s, err := spec.Compile(in)
		if err != nil {
			t.Fatal(err)
		}
		x, err := spec.Exec(in.ID, in.Config, in.Host, &container.ExecConfig{Cmd: []string{"true"}, Privileged: true}, in.User)
		if err != nil {
			t.Fatal(err)
		}
		for what, c := range map[string]struct{ inheritable, ambient, effective []string }{
			"run":  {s.Process.Capabilities.Inheritable, s.Process.Capabilities.Ambient, s.Process.Capabilities.Effective},
			"exec": {x.Capabilities.Inheritable, x.Capabilities.Ambient, x.Capabilities.Effective},
		} {
			if len(c.inheritable)+len(c.ambient) != 0 {
				t.Errorf("%s, %s: inheritable %v, ambient %v", name, what, c.inheritable, c.ambient)
			}
			if in.User.UID != 0 && len(c.effective) != 0 {
				t.Errorf("%s, %s: a user has %v in effect", name, what, c.effective)
			}
		}
	}
}

// CVE-2022-36109: a process that is not in its own group can leave it, and with
// it what the group is denied.
func TestCVE2022_36109AProcessIsInItsOwnGroup(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"passwd": "root:x:0:0::/root:\nweb:x:33:44::/srv:\nround:x:4294967296:44::/:\nnone:x:4294967295:44::/:\nless:x:-1:44::/:\n7:x:0:0::/:\n", "group": "root:x:0:\ndata:x:44:\nextra:x:55:web\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	files, err := union.Open([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	for who, want := range map[string][]uint32{
		"": {0}, "web": {44, 55}, "web:extra": {55}, "7": {0}, "7:9": {9}, "web:9": {9}, "33": {44, 55},
	} {
		u, err := spec.FindUser(files, who, nil)
		if err != nil || !slices.Equal(u.Groups, want) || u.Groups[0] != u.GID {
			t.Errorf("%q: groups %v of gid %d, %v; want %v", who, u.Groups, u.GID, err, want)
		}
	}
	// CVE-2016-3697: an image names a user "7" and gives it root's number.
	if u, err := spec.FindUser(files, "7", nil); err != nil || u.UID != 7 {
		t.Errorf("the user 7 has the number %d, %v", u.UID, err)
	}
	// Numbers that would come round to root's, or mean nobody in particular.
	for _, who := range []string{"round", "none", "less", "4294967296", "-1", "web:4294967296"} {
		if u, err := spec.FindUser(files, who, nil); errs.KindOf(err) != errs.Invalid || err == nil {
			t.Errorf("%q: %+v %v", who, u, err)
		}
	}
	if u, err := spec.FindUser(files, "web", []string{"44", "data", "66"}); err != nil || !slices.Equal(u.Groups, []uint32{44, 55, 66}) {
		t.Errorf("with more: %v %v", u.Groups, err)
	}
}

package cdi_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"

	"lus/internal/base/errs"
	"lus/internal/linux/cdi"
)

const null = `cdiVersion: "0.6.0"
kind: "lus.example/null"
devices:
- name: first
  containerEdits:
    deviceNodes: [{path: /dev/extra, hostPath: /dev/null, permissions: rw}]
    env: [FOUND=first]
    mounts: [{hostPath: /etc, containerPath: /host-etc, options: [ro, bind]}]
`

func describe(t *testing.T, dir, file, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestADeviceIsWhatItsSpecificationSays(t *testing.T) {
	dir := t.TempDir()
	d, err := cdi.New([]string{filepath.Join(dir, "not-there"), dir})
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Names(); len(got) != 0 {
		t.Errorf("there is nothing, and it lists %v", got)
	}
	// A description that comes later is seen without a restart.
	describe(t, dir, "null.yaml", null)
	if got := d.Names(); !slices.Equal(got, []string{"lus.example/null=first"}) {
		t.Errorf("it lists %v", got)
	}
	s := &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{Resources: &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}}}}}
	if err := d.Inject(s, []string{"lus.example/null=first"}); err != nil {
		t.Fatal(err)
	}
	rules := s.Linux.Resources.Devices
	if len(s.Linux.Devices) != 1 || s.Linux.Devices[0].Path != "/dev/extra" || s.Linux.Devices[0].Minor != 3 {
		t.Errorf("the nodes are %+v", s.Linux.Devices)
	}
	if last := rules[len(rules)-1]; len(rules) != 2 || !last.Allow || *last.Major != 1 || *last.Minor != 3 || last.Access != "rw" {
		t.Errorf("the rules are %+v", rules)
	}
	if !slices.Contains(s.Process.Env, "FOUND=first") || len(s.Mounts) != 1 || s.Mounts[0].Destination != "/host-etc" {
		t.Errorf("variables %v, mounts %+v", s.Process.Env, s.Mounts)
	}
}

func TestADeviceThatIsNotThereIsNamed(t *testing.T) {
	dir := t.TempDir()
	d, err := cdi.New([]string{dir})
	if err != nil {
		t.Fatal(err)
	}
	refused := func(name string, says ...string) {
		t.Helper()
		s := &specs.Spec{Process: &specs.Process{}, Linux: &specs.Linux{}}
		err := d.Inject(s, []string{name})
		if !errs.Is(err, errs.Invalid) {
			t.Fatalf("%s: %v", name, err)
		}
		for _, word := range says {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%s: %v, want %q in it", name, err, word)
			}
		}
	}
	refused("lus.example/null=first", "lus.example/null=first", dir, "there are: none")
	describe(t, dir, "null.yaml", null)
	refused("lus.example/null=second", "there are: lus.example/null=first")
	describe(t, dir, "broken.yaml", "cdiVersion: [")
	refused("lus.example/null=second", "broken.yaml")
	describe(t, dir, "node.yaml", strings.NewReplacer("/dev/null", "/dev/lus-has-none", "lus.example/null", "lus.example/none").Replace(null))
	refused("lus.example/none=first", "/dev/lus-has-none")
}

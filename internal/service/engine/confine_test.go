package engine

import (
	"testing"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// switchedOn is a host with AppArmor, as far as choosing a profile goes; what
// the kernel makes of it is tested on a machine that has it (test/vm).
type switchedOn struct{}

func (switchedOn) Supported() bool     { return true }
func (switchedOn) Ensure(string) error { return nil }

func TestWhichAppArmorProfileAContainerHas(t *testing.T) {
	for _, c := range []struct {
		what       string
		host       AppArmor
		opts       []string
		privileged bool
		want       string
		refused    bool
	}{
		{"nothing said", switchedOn{}, nil, false, "docker-default", false},
		{"a profile", switchedOn{}, []string{"apparmor=mine"}, false, "mine", false},
		{"unconfined", switchedOn{}, []string{"apparmor:unconfined"}, false, "unconfined", false},
		{"privileged", switchedOn{}, nil, true, "unconfined", false},
		{"privileged, and a profile", switchedOn{}, []string{"apparmor=mine"}, true, "mine", false},
		{"no AppArmor", nil, nil, false, "", false},
		{"no AppArmor, unconfined", nil, []string{"apparmor=unconfined"}, false, "", false},
		{"no AppArmor, a profile", nil, []string{"apparmor=mine"}, false, "", true},
	} {
		e := &Engine{Deps: Deps{AppArmor: c.host}}
		got, err := e.profileFor(&container.HostConfig{SecurityOpt: c.opts, Privileged: c.privileged})
		if got != c.want || errs.Is(err, errs.Unsupported) != c.refused || err != nil != c.refused {
			t.Errorf("%s: %q, %v; want %q, refused %v", c.what, got, err, c.want, c.refused)
		}
	}
}

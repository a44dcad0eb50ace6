package ociruntime_test

import (
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/linux/ociruntime"
)

func TestNames(t *testing.T) {
	for word, want := range map[string]string{"": "", "lus": "", "native": "", "runc": "runc", "io.containerd.runc.v2": "runc", "crun": "crun"} {
		if got, err := ociruntime.Name(word); err != nil || got != want {
			t.Errorf("%q stands for %q, %v; want %q", word, got, err, want)
		}
	}
	for _, word := range []string{"kata", "runsc", "RUNC", "/usr/sbin/runc", "../runc", "runc ", "sh", "\x00"} {
		if got, err := ociruntime.Name(word); err == nil || errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q stands for %q, %v; want a refusal", word, got, err)
		}
	}
}

func TestWhatIsNotInstalledIsRefusedWithTheWayToHaveIt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for _, word := range []string{"", "lus", "native"} {
		if err := ociruntime.Check(word); err != nil {
			t.Errorf("%q: %v", word, err)
		}
	}
	err := ociruntime.Check("runc")
	if errs.KindOf(err) != errs.Invalid || !strings.Contains(err.Error(), "apt-get install runc") {
		t.Errorf("runc: %v", err)
	}
	if got := ociruntime.Installed(); len(got) != 1 {
		t.Errorf("installed are %v, want ours alone", got)
	}
}

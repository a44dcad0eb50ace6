package layout_test

import (
	"strings"
	"testing"

	"lus/internal/base/layout"
)

func TestDefaults(t *testing.T) {
	l := layout.Resolve("", "")
	if l.Root != "/var/lib/lus" || l.Run != "/run/lus" || l.Socket() != "/run/lus/lus.sock" {
		t.Errorf("unexpected defaults: %+v, socket %s", l, l.Socket())
	}
}

func TestASecondRootGetsARunFolderAndAnInstanceOfItsOwn(t *testing.T) {
	a, b := layout.Resolve("/srv/a", ""), layout.Resolve("/srv/b", "")
	if a.Run == b.Run || a.Instance() == b.Instance() {
		t.Errorf("two roots share a run folder or an instance: %+v %+v", a, b)
	}
	if !strings.HasPrefix(a.Run, "/run/lus-") {
		t.Errorf("run folder %s is not beside the default one", a.Run)
	}
	if got := layout.Resolve("/srv/a/", "").Instance(); got != a.Instance() {
		t.Errorf("a trailing slash changes the instance: %s, %s", got, a.Instance())
	}
}

func TestSocketsFitIntoTheFolderOfTemporaryFiles(t *testing.T) {
	if got := layout.Resolve("/srv/lus", "").Temp(); got != "/srv/lus/build/tmp" {
		t.Errorf("temporary files are in %s", got)
	}
	l := layout.Resolve("/srv/"+strings.Repeat("long", 15), "")
	if got := l.Temp(); got != l.Run+"/tmp" {
		t.Errorf("below a long root temporary files are in %s", got)
	}
}

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

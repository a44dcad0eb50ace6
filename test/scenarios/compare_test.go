package scenarios

import (
	"encoding/json"
	"strings"
	"testing"

	"lus/test/stack"
)

func TestK15ImagesAreCompared(t *testing.T) {
	t.Parallel()
	s := shared(t)
	derived := imageName(t, s, "derived")
	name := named(t, s, "from")
	s.OK(t, "run", "--name", name, stack.Debian, "sh", "-c", "echo x >/f")
	s.OK(t, "commit", name, derived)
	out := s.OK(t, "image", "compare", stack.Debian, stack.Busybox, derived)
	stack.Says(t, out, "IMAGE", "SIZE", "LAYERS", "PACKAGES", "START", "dpkg", "none", " ms")

	type row struct {
		Image, Packages, Start string
		Layers, Shared         int
		PackageList            []string
	}
	rows := map[string]row{}
	for _, line := range strings.Split(s.OK(t, "image", "compare", "--format", "json", "--starts", "0", stack.Debian, stack.Busybox, derived), "\n") {
		var r row
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		rows[r.Image] = r
	}
	installed := strings.Fields(s.OK(t, "run", "--rm", stack.Debian, "dpkg-query", "-W", "-f", "${Package}\n"))
	d, made := rows[stack.Debian], rows[derived]
	if len(d.PackageList) != len(installed) || made.Shared != d.Layers || made.Layers != d.Layers+1 || rows[stack.Busybox].Shared != 0 || d.Start != "-" {
		t.Errorf("%d packages are installed; compared: %+v", len(installed), rows)
	}
	if left := s.OK(t, "ps", "-aq", "--filter", "ancestor="+derived); left != "" {
		t.Errorf("containers are left: %s", left)
	}
	stack.Says(t, s.Fail(t, 1, "image", "compare", stack.Debian, "no-such-image"), "No such image: no-such-image")
}

// The list of apk is read as dpkg's is; that of rpm is a data base, of which only
// its being there is told.
func TestK15OtherPackageManagers(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const installed = "C:Q1x\nP:musl\nV:1.2.4-r2\nA:x86_64\n\nC:Q1y\nP:busybox\nV:1.36.1-r5\np:cmd:sh\n\n"
	alpine, redhat := imageName(t, s, "apk"), imageName(t, s, "rpm")
	s.Build(t, alpine, map[string]string{"Dockerfile": "FROM busybox\nCOPY installed /lib/apk/db/installed\n", "installed": installed}).Want(t, 0)
	s.Build(t, redhat, map[string]string{"Dockerfile": "FROM busybox\nCOPY db /var/lib/rpm/rpmdb.sqlite\n", "db": "SQLite format 3\x00"}).Want(t, 0)
	out := s.OK(t, "image", "compare", "--starts", "0", "--format", "{{.Packages}} {{.PackageList}}", alpine, redhat)
	if out != "2 apk [busybox musl]\nrpm []" {
		t.Errorf("compared: %s", out)
	}
}

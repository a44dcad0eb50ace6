package scenarios

import (
	"database/sql"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver

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

// The list of apk is read as dpkg's is, and rpm's database; of a damaged one, only
// its being there is told.
func TestK15OtherPackageManagers(t *testing.T) {
	t.Parallel()
	s := shared(t)
	const installed = "C:Q1x\nP:musl\nV:1.2.4-r2\nA:x86_64\n\nC:Q1y\nP:busybox\nV:1.36.1-r5\np:cmd:sh\n\n"
	file := filepath.Join(t.TempDir(), "rpmdb.sqlite")
	db, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	_, err = db.Exec("CREATE TABLE Name (key TEXT NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL); INSERT INTO Name VALUES('glibc', 1, 0), ('bash', 2, 0), ('gpg-pubkey', 3, 0)")
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	rpms, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	args := []string{"image", "compare", "--starts", "0", "--format", "{{.Packages}} {{.PackageList}}"}
	var want []string
	for name, image := range map[string]struct{ path, content, want string }{
		"apk":     {"lib/apk/db/installed", installed, "2 apk [busybox musl]"},
		"rpm":     {"usr/lib/sysimage/rpm/rpmdb.sqlite", string(rpms), "2 rpm [bash glibc]"},
		"damaged": {"var/lib/rpm/rpmdb.sqlite", "SQLite format 3\x00", "rpm, not counted []"},
		"old":     {"var/lib/rpm/Packages", "\x00", "rpm, not counted []"},
	} {
		ref := imageName(t, s, name)
		s.Build(t, ref, map[string]string{"Dockerfile": "FROM busybox\nCOPY db /" + image.path + "\n", "db": image.content}).Want(t, 0)
		args, want = append(args, ref), append(want, image.want)
	}
	if out := s.OK(t, args...); out != strings.Join(want, "\n") {
		t.Errorf("compared: %s, want %q", out, want)
	}
}

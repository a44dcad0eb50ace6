package spec_test

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"lus/internal/service/engine/internal/spec"
	"lus/internal/service/engine/internal/union"
	"lus/test/need"
)

// tree writes files below dir.
func tree(t testing.TB, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// What is remembered of an image is never more than the image's part: whatever a
// container did to its users counts.
func TestRememberedUsersAreThoseOfTheContainer(t *testing.T) {
	need.Root(t)
	base := tree(t, t.TempDir(), map[string]string{"etc/passwd": "web:x:33:33::/:\n", "etc/group": "web:x:33:\n", "other/passwd": "web:x:44:44::/:\n", "other/group": ""})
	linked := t.TempDir()
	tree(t, linked, map[string]string{"real/passwd": "web:x:33:33::/:\n", "real/group": ""})
	if err := os.Symlink("real", filepath.Join(linked, "etc")); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]struct {
		image string
		do    func(upper string) error
		want  uint32 // 0: there is no such user
	}{
		"nothing":        {base, func(string) error { return nil }, 33},
		"something else": {base, func(u string) error { tree(t, u, map[string]string{"etc/hosts": ""}); return nil }, 33},
		"another passwd": {base, func(u string) error { tree(t, u, map[string]string{"etc/passwd": "web:x:7:7::/:\n"}); return nil }, 7},
		"no passwd": {base, func(u string) error {
			tree(t, u, map[string]string{"etc/x": ""})
			return unix.Mknod(u+"/etc/passwd", unix.S_IFCHR, 0)
		}, 0},
		"no etc": {base, func(u string) error { return unix.Mknod(u+"/etc", unix.S_IFCHR, 0) }, 0},
		"a new etc": {base, func(u string) error {
			tree(t, u, map[string]string{"etc/x": ""})
			return unix.Setxattr(u+"/etc", "trusted.overlay.opaque", []byte("y"), 0)
		}, 0},
		"etc is a link":      {base, func(u string) error { return os.Symlink("other", u+"/etc") }, 44},
		"behind a link":      {linked, func(u string) error { tree(t, u, map[string]string{"real/passwd": "web:x:8:8::/:\n"}); return nil }, 8},
		"nothing, by a link": {linked, func(string) error { return nil }, 33},
	} {
		var users spec.Users
		upper := t.TempDir()
		for round := range 2 { // what the first remembers must not mislead the second
			if u, err := users.Find(upper, []string{c.image}, "web", nil); err != nil || u.UID != 33 {
				t.Fatalf("%s, round %d before: %+v %v", what, round, u, err)
			}
		}
		if err := c.do(upper); err != nil {
			t.Fatal(err)
		}
		u, err := users.Find(upper, []string{c.image}, "web", nil)
		if (err != nil) != (c.want == 0) || u.UID != c.want {
			t.Errorf("%s: %+v %v, want %d", what, u, err, c.want)
		}
		files, ferr := union.Open([]string{upper, c.image})
		if ferr != nil {
			t.Fatal(ferr)
		}
		plain, ferr := spec.FindUser(files, "web", nil)
		files.Close()
		if plain.UID != u.UID || (err == nil) != (ferr == nil) {
			t.Errorf("%s: without memory it is %+v %v", what, plain, ferr)
		}
	}
}

func TestUsersAreFoundWhereAnImageHasNoFiles(t *testing.T) {
	var users spec.Users
	upper, image := t.TempDir(), t.TempDir()
	for range 2 {
		if u, err := users.Find(upper, []string{image}, "7:8", nil); err != nil || u.UID != 7 || u.GID != 8 {
			t.Errorf("%+v %v", u, err)
		}
	}
	tree(t, upper, map[string]string{"etc/passwd": "web:x:9:9::/:\n"})
	if u, err := users.Find(upper, []string{image}, "web", nil); err != nil || u.UID != 9 {
		t.Errorf("%+v %v", u, err)
	}
}

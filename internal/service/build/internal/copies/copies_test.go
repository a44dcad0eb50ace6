package copies

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cmount "github.com/containerd/containerd/v2/core/mount"
	fscopy "github.com/tonistiigi/fsutil/copy"
	"golang.org/x/sys/unix"

	"lus/test/need"
)

// A copy leaves in the layer what BuildKit's own leaves there.
func TestSameLayerAsBuildKit(t *testing.T) {
	need.Root(t)
	mode, at := 0o2751, time.Unix(1e9, 5)
	for _, c := range []struct {
		name    string
		below   []func(t *testing.T, dir string) // layers, lowest first; none: the copy is the first
		source  func(t *testing.T, dir string)
		dest    string
		owner   *fscopy.User
		mode    *int
		time    *time.Time
		special bool // BuildKit does it
	}{
		{name: "a new folder", below: layers(system), source: mixed, dest: "/new/folder"},
		{name: "with a slash", below: layers(system), source: mixed, dest: "/new/folder/"},
		{name: "the first layer", source: mixed, dest: "/app"},
		{name: "the root", below: layers(system), source: mixed, dest: "/"},
		{name: "the first layer's root", source: mixed, dest: "/"},
		{name: "an empty folder that is there", below: layers(system, folders("app")), source: mixed, dest: "/app"},
		{name: "a folder with other files", below: layers(system, files("app/x", "app/y/z")), source: mixed, dest: "/app"},
		{name: "files that are there", below: layers(system, files("app/a", "app/z")), source: mixed, dest: "/app"},
		{name: "a link that is there", below: layers(system, links("app/a", "/etc")), source: mixed, dest: "/app", special: true},
		{name: "a folder that is there", below: layers(system, files("app/dir/x")), source: mixed, dest: "/app"},
		{name: "folders in folders", below: layers(system, files("app/dir/deeper/setuid", "app/dir/deeper/mine", "app/with group/x")), source: mixed, dest: "/app"},
		{name: "folders of somebody", below: layers(system, owned("app/dir"), setgid("app/empty"), setgid("app/with group")), source: mixed, dest: "/app"},
		{name: "folders with a mode and an owner", below: layers(system, files("app/dir/x"), setgid("app/with group")), source: mixed, dest: "/app", mode: &mode, owner: &fscopy.User{UID: 7, GID: 8}},
		{name: "folders with a time", below: layers(system, files("app/dir/x")), source: mixed, dest: "/app", time: &at},
		{name: "folders in two layers", below: layers(files("app/dir/x", "app/dir/deeper/y"), files("app/dir/deeper/z"), whiteout("app/dir/deeper/y")), source: mixed, dest: "/app"},
		{name: "an emptied folder in a folder", below: layers(files("app/dir/x", "app/dir/big"), opaque("app/dir")), source: mixed, dest: "/app"},
		{name: "a link deep down", below: layers(system, links("app/dir/deeper", "/etc")), source: mixed, dest: "/app", special: true},
		{name: "a file in a folder's place", below: layers(system, files("app/dir")), source: mixed, dest: "/app", special: true},
		{name: "a folder in a file's place", below: layers(system, folders("app/a")), source: mixed, dest: "/app", special: true},
		{name: "a file in the way", below: layers(system, files("app")), source: mixed, dest: "/app", special: true},
		{name: "through a link", below: layers(system, links("srv", "/var/srv"), folders("var/srv")), source: mixed, dest: "/srv"},
		{name: "through a link to nowhere", below: layers(system, links("srv", "/var/srv")), source: mixed, dest: "/srv/app"},
		{name: "what was removed below", below: layers(files("app/a", "app/dir/x"), whiteout("app")), source: mixed, dest: "/app"},
		{name: "a file that was removed below", below: layers(files("app/a", "app/dir/x"), whiteout("app/a", "app/dir")), source: mixed, dest: "/app"},
		{name: "an emptied folder", below: layers(files("app/a", "app/dir/x"), opaque("app")), source: mixed, dest: "/app"},
		{name: "a folder whose group is inherited", below: layers(system, setgid("app")), source: mixed, dest: "/app"},
		{name: "an owner", below: layers(system), source: mixed, dest: "/app", owner: &fscopy.User{UID: 7, GID: 8}},
		{name: "a mode", below: layers(system), source: mixed, dest: "/app", mode: &mode},
		{name: "a time", below: layers(system, files("app/x")), source: mixed, dest: "/app/in/it", time: &at},
		{name: "nothing", below: layers(system), source: func(*testing.T, string) {}, dest: "/app"},
		{name: "many", below: layers(system), source: many, dest: "/app"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			source := filepath.Join(t.TempDir(), "source")
			build(t, source, c.source)
			how := copier{owner: c.owner, mode: c.mode, time: c.time, overlay: len(c.below) > 0}
			want, wantErr := inLayer(t, c.below, func(mounts []cmount.Mount) error {
				return byBuildKit(t, &how, mounts, source, c.dest)
			})
			special := false
			got, err := inLayer(t, c.below, func(mounts []cmount.Mount) error {
				l, err := openLayer(mounts)
				if err != nil {
					return err
				}
				own := copier{owner: how.owner, mode: how.mode, time: how.time, overlay: how.overlay}
				err = own.run(context.Background(), l, filepath.Dir(source), source, c.dest)
				special = errors.Is(err, errSpecial)
				return errors.Join(err, l.close())
			})
			if special != c.special {
				t.Fatalf("left to BuildKit: %v, want %v (%v)", special, c.special, err)
			}
			if special {
				return
			}
			if err != nil || wantErr != nil {
				t.Fatalf("error %v, BuildKit's %v", err, wantErr)
			}
			ours, theirs := strings.Split(got, "\n"), strings.Split(want, "\n")
			for i := range max(len(ours), len(theirs)) {
				if i >= len(ours) || i >= len(theirs) || ours[i] != theirs[i] {
					t.Fatalf("the layer is\n%s\nBuildKit's is\n%s", strings.Join(ours[min(i, len(ours)):], "\n"), strings.Join(theirs[min(i, len(theirs)):], "\n"))
				}
			}
		})
	}
}

// What would mean "nothing is here" to an overlay is refused, as the overlay does.
func TestWhiteoutIsNoFile(t *testing.T) {
	need.Root(t)
	source := filepath.Join(t.TempDir(), "source")
	build(t, source, func(t *testing.T, dir string) { do(t, unix.Mknod(filepath.Join(dir, "gone"), unix.S_IFCHR, 0)) })
	_, err := inLayer(t, layers(system), func(mounts []cmount.Mount) error {
		l, err := openLayer(mounts)
		if err != nil {
			return err
		}
		c := copier{overlay: true}
		err = c.run(context.Background(), l, filepath.Dir(source), source, "/app")
		return errors.Join(err, l.close())
	})
	if !errors.Is(err, unix.EPERM) {
		t.Fatalf("error %v, want EPERM", err)
	}
}

// The words of an overlay in somebody's folder are not words in the layer.
func TestForeignOverlayAttributes(t *testing.T) {
	need.Root(t)
	source := filepath.Join(t.TempDir(), "source")
	build(t, source, func(t *testing.T, dir string) {
		folders("dir")(t, dir)
		do(t, unix.Setxattr(filepath.Join(dir, "dir"), "trusted.overlay.opaque", []byte("y"), 0))
		do(t, unix.Setxattr(filepath.Join(dir, "dir"), "trusted.mine", []byte("m"), 0))
	})
	_, err := inLayer(t, layers(system), func(mounts []cmount.Mount) error {
		l, err := openLayer(mounts)
		if err != nil {
			return err
		}
		c := copier{overlay: true}
		if err := errors.Join(c.run(context.Background(), l, filepath.Dir(source), source, "/app"), l.close()); err != nil {
			return err
		}
		dir := filepath.Join(l.folder, "app/dir")
		if n, err := unix.Getxattr(dir, "trusted.overlay.opaque", nil); !errors.Is(err, unix.ENODATA) {
			t.Errorf("the copied folder hides what is below it: %d, %v", n, err)
		}
		if _, err := unix.Getxattr(dir, "trusted.mine", nil); err != nil {
			t.Errorf("an attribute is lost: %v", err)
		}
		return nil
	})
	do(t, err)
}

// A copy that is given up ends.
func TestCancelled(t *testing.T) {
	need.Root(t)
	source := filepath.Join(t.TempDir(), "source")
	build(t, source, many)
	_, err := inLayer(t, layers(system), func(mounts []cmount.Mount) error {
		l, err := openLayer(mounts)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithCancelCause(context.Background())
		cancel(os.ErrDeadlineExceeded)
		c := copier{overlay: true}
		return errors.Join(c.run(ctx, l, filepath.Dir(source), source, "/app"), l.close())
	})
	if err == nil {
		t.Fatal("a cancelled copy succeeded")
	}
}

// byBuildKit is the same copy by BuildKit, through the overlay.
func byBuildKit(t *testing.T, c *copier, mounts []cmount.Mount, source, dest string) error {
	root := t.TempDir()
	do(t, cmount.All(mounts, root))
	defer func() { do(t, unix.Unmount(root, 0)) }()
	return fscopy.Copy(context.Background(), filepath.Dir(source), "/source", root, dest, c.bare())
}

// inLayer makes the layers below, lets f write a new one, and returns what is in
// that and what is seen of all.
func inLayer(t *testing.T, below []func(*testing.T, string), f func([]cmount.Mount) error) (string, error) {
	dir := t.TempDir()
	upper, work := filepath.Join(dir, "upper"), filepath.Join(dir, "work")
	for _, d := range []string{upper, work} {
		do(t, os.Mkdir(d, 0o755))
	}
	var lower []string
	for i, fill := range below {
		d := filepath.Join(dir, fmt.Sprint(i))
		build(t, d, fill)
		lower = append([]string{d}, lower...)
	}
	m := cmount.Mount{Type: "bind", Source: upper, Options: []string{"rw", "rbind"}}
	if len(lower) > 0 {
		m = cmount.Mount{Type: "overlay", Source: "overlay", Options: []string{"index=off", "workdir=" + work, "upperdir=" + upper, "lowerdir=" + strings.Join(lower, ":")}}
	}
	if err := f([]cmount.Mount{m}); err != nil {
		return "", err
	}
	whole := t.TempDir()
	do(t, cmount.All([]cmount.Mount{m}, whole))
	defer func() { do(t, unix.Unmount(whole, 0)) }()
	return "layer\n" + show(t, upper) + "all\n" + show(t, whole), nil
}

// show tells of all files below dir.
func show(t *testing.T, dir string) string {
	var b strings.Builder
	first := map[uint64]string{}
	do(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		name := strings.TrimPrefix(p, dir)
		fmt.Fprintf(&b, "%s %o %d:%d %x", name, st.Mode, st.Uid, st.Gid, st.Rdev)
		if at := st.Mtim.Nano(); at < time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC).UnixNano() {
			fmt.Fprintf(&b, " %d", at) // else it was made now
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			text, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			fmt.Fprintf(&b, " %d %.20q links %d", len(text), text, st.Nlink)
			if first[st.Ino] != "" {
				fmt.Fprintf(&b, " as %s", first[st.Ino])
			}
			first[st.Ino] = name
		case unix.S_IFLNK:
			to, _ := os.Readlink(p)
			fmt.Fprintf(&b, " -> %s", to)
		}
		for _, a := range linkAttributes(p) {
			switch a.key {
			case "trusted.overlay.origin", "trusted.overlay.impure", "trusted.overlay.uuid":
				// Notes of the overlay to itself: where a file came from.
			default:
				fmt.Fprintf(&b, " %s=%d bytes: %.20q", a.key, len(a.value), a.value)
			}
		}
		b.WriteByte('\n')
		return nil
	}))
	return b.String()
}

func do(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var then = time.Unix(1234567890, 987654321)

// build makes a folder, fills it and sets the times in it.
func build(t *testing.T, dir string, fill func(*testing.T, string)) {
	do(t, os.MkdirAll(dir, 0o755))
	fill(t, dir)
	do(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		ts := unix.NsecToTimespec(then.UnixNano() + int64(len(p)))
		return unix.UtimesNanoAt(unix.AT_FDCWD, p, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	}))
}

func layers(l ...func(*testing.T, string)) []func(*testing.T, string) { return l }

func system(t *testing.T, dir string) { files("etc/passwd", "bin/sh")(t, dir) }

func folders(names ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, n := range names {
			do(t, os.MkdirAll(filepath.Join(dir, n), 0o750))
		}
	}
}

func files(names ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, n := range names {
			folders(filepath.Dir(n))(t, dir)
			do(t, os.WriteFile(filepath.Join(dir, n), []byte("old "+n), 0o600))
		}
	}
}

func links(name, to string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		folders(filepath.Dir(name))(t, dir)
		do(t, os.Symlink(to, filepath.Join(dir, name)))
	}
}

func whiteout(names ...string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		for _, n := range names {
			folders(filepath.Dir(n))(t, dir)
			do(t, unix.Mknod(filepath.Join(dir, n), unix.S_IFCHR, 0))
		}
	}
}

func opaque(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		folders(name)(t, dir)
		do(t, unix.Setxattr(filepath.Join(dir, name), "trusted.overlay.opaque", []byte("y"), 0))
	}
}

func owned(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		folders(name)(t, dir)
		do(t, os.Chown(filepath.Join(dir, name), 33, 34))
	}
}

func setgid(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		folders(name)(t, dir)
		do(t, os.Chown(filepath.Join(dir, name), 3, 4))
		do(t, os.Chmod(filepath.Join(dir, name), 0o775|fs.ModeSetgid))
	}
}

// mixed has every kind of file.
func mixed(t *testing.T, dir string) {
	p := func(name string) string { return filepath.Join(dir, name) }
	folders("dir/deeper/still", "empty", "with group")(t, dir)
	do(t, os.WriteFile(p("a"), []byte("a"), 0o644))
	do(t, os.WriteFile(p("none"), nil, 0o400))
	do(t, os.WriteFile(p("dir/big"), []byte(strings.Repeat("0123456789abcdef", 40_000)), 0o600))
	do(t, os.WriteFile(p("dir/deeper/setuid"), []byte("s"), 0o755))
	do(t, os.Chown(p("dir/deeper/setuid"), 11, 12))
	do(t, os.Chmod(p("dir/deeper/setuid"), 0o755|fs.ModeSetuid|fs.ModeSetgid))
	do(t, os.Link(p("dir/big"), p("dir/deeper/also big")))
	do(t, os.Link(p("dir/big"), p("zlink")))
	do(t, os.Symlink("a", p("link")))
	do(t, os.Symlink("/nowhere/at all", p("dir/dangling")))
	do(t, os.Lchown(p("link"), 5, 6))
	do(t, unix.Mkfifo(p("dir/pipe"), 0o640))
	do(t, unix.Mknod(p("dir/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	do(t, os.Chown(p("with group"), 1, 2))
	do(t, os.Chmod(p("with group"), 0o770|fs.ModeSetgid|fs.ModeSticky))
	do(t, os.WriteFile(p("with group/file"), []byte("g"), 0o664))
	do(t, unix.Setxattr(p("a"), "trusted.mine", []byte("value"), 0))
	do(t, unix.Setxattr(p("dir"), "trusted.long", []byte(strings.Repeat("v", 1000)), 0))
	capable := []byte{1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
	do(t, unix.Setxattr(p("none"), "security.capability", capable, 0))
	do(t, os.Chmod(p("dir/deeper"), 0o555))
}

func many(t *testing.T, dir string) {
	for i := range 300 {
		files(fmt.Sprintf("%d/%d", i%7, i))(t, dir)
	}
}

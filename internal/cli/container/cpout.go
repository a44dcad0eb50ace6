package container

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net/url"
	"os"
	slash "path"
	"path/filepath"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/base/tree"
	"lus/internal/client"
)

// out copies from the container to this machine.
func (c *copying) out(ctx context.Context, source, dest string) error {
	var err error
	if dest != "-" {
		if dest, err = local(dest); err != nil {
			return err
		}
		if err := checkOutput(dest); err != nil {
			return err
		}
	}
	_, base := splitEntry(source)
	called := base
	if c.follow {
		source, called = c.followed(ctx, source)
		_, base = splitEntry(source)
		if called == "" {
			called = base
		}
	}
	resp, err := c.e.Client.Send(ctx, client.Request{Method: "GET", Path: path(c.name, "archive"), Query: url.Values{"path": {source}}})
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if dest == "-" {
		_, err := io.Copy(c.e.Out, resp.Body)
		return err
	}
	st, err := statOf(resp)
	if err != nil {
		return err
	}
	to, err := destination(dest)
	if err != nil {
		return err
	}
	dir, name, err := arrange(base, st.Mode.IsDir(), to)
	if err != nil {
		return err
	}
	if name == "" {
		name = called
	}
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer closing(folder)
	o := tree.UnpackOptions{KeepKind: true, Mine: true, Rename: renaming(base, name)}
	if err := tree.Unpack(ctx, c.counted(resp.Body), tree.Beneath(folder), "/", o); err != nil {
		return err
	}
	c.told(dest)
	return nil
}

// followed is where a link at source leads, and the name the copy then bears
// where that differs.
func (c *copying) followed(ctx context.Context, source string) (target, called string) {
	st, err := c.stat(ctx, source)
	if err != nil || st.Mode&fs.ModeSymlink == 0 {
		return source, ""
	}
	to := st.LinkTarget
	if !slash.IsAbs(to) {
		dir, _ := splitEntry(source)
		to = slash.Join(dir, to)
	}
	return keepName(source, to)
}

// keepName lets what a link leads to bear the link's name.
func keepName(link, target string) (at, called string) {
	at = keepEnd(target, link)
	_, base := splitEntry(link)
	if _, other := splitEntry(at); base != other && base != "." {
		return at, base
	}
	return at, ""
}

// renaming calls what a tar calls from (with what is below it) to. Whatever else is
// in the tar was not asked for, and must not come to lie beside it.
func renaming(from, to string) func(string) (string, error) {
	return func(name string) (string, error) {
		clean := strings.TrimPrefix(slash.Clean("/"+name), "/")
		if from == "/" || from == "." {
			return slash.Join(to, clean), nil
		}
		if rest, ok := strings.CutPrefix(clean, from); ok && (rest == "" || rest[0] == '/') {
			return to + rest, nil
		}
		return "", errs.New(errs.Invalid, "the daemon sent %q, which was not asked for: nothing more of it is copied", name)
	}
}

// checkOutput refuses a destination that nothing can be written to.
func checkOutput(dest string) error {
	dir := filepath.Dir(filepath.Clean(dest))
	if _, err := os.Stat(dir); errors.Is(err, fs.ErrNotExist) {
		return errs.New(errs.Invalid, "invalid output path: directory %q does not exist", dir)
	}
	st, err := os.Stat(dest)
	if err == nil && !st.IsDir() && !st.Mode().IsRegular() {
		return errs.New(errs.Invalid, "invalid output path: %q must be a directory or a regular file", dest)
	}
	return nil
}

// destination looks at a path of this machine and follows a link there, also to
// what is not there yet.
func destination(dest string) (place, error) {
	at := dest
	for range maxLinks {
		st, err := os.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			dir, _ := splitEntry(at)
			parent, err := os.Stat(dir)
			if err != nil {
				return place{}, err
			}
			if !parent.IsDir() {
				return place{}, errNotDir
			}
			return place{path: at}, nil
		}
		if err != nil {
			return place{}, err
		}
		if st.Mode()&fs.ModeSymlink == 0 {
			return place{path: at, exists: true, isDir: st.IsDir()}, nil
		}
		to, err := os.Readlink(at)
		if err != nil {
			return place{}, err
		}
		if !filepath.IsAbs(to) {
			dir, _ := splitEntry(at)
			to = filepath.Join(dir, to)
		}
		at = to
	}
	return place{}, errs.New(errs.Invalid, "too many levels of symbolic links in %s", dest)
}

const maxLinks = 10

package container

import (
	"context"
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

// in copies from this machine into the container.
func (c *copying) in(ctx context.Context, source, dest string) error {
	to, mode := c.target(ctx, dest)
	if to.exists && !mode.IsDir() && !mode.IsRegular() {
		return errs.New(errs.Invalid, "destination \"%s:%s\" must be a directory or a regular file", c.name, dest)
	}
	if source == "-" {
		if !to.isDir {
			return errs.New(errs.Invalid, "destination \"%s:%s\" must be a directory", c.name, dest)
		}
		return c.send(ctx, to.path, c.e.In)
	}
	source, err := local(source)
	if err != nil {
		return err
	}
	source, called, err := c.located(source)
	if err != nil {
		return err
	}
	st, err := os.Lstat(source)
	if err != nil {
		return err
	}
	dir, base := splitEntry(source)
	if called == "" {
		called = base
	}
	into, name, err := arrange(base, st.IsDir(), to)
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
	r, w := io.Pipe()
	packed := make(chan struct{})
	go func() {
		defer close(packed)
		_ = w.CloseWithError(tree.Pack(ctx, w, folder, base, name, tree.PackOptions{}))
	}()
	err = c.send(ctx, into, c.counted(r))
	_ = r.Close() // ends the packing where the daemon wants no more
	<-packed
	if err == nil {
		c.told(c.name + ":" + to.path)
	}
	return err
}

// target looks at the destination in the container, and where it is a link at
// what that leads to. What cannot be looked at may still be made.
func (c *copying) target(ctx context.Context, dest string) (place, fs.FileMode) {
	to := place{path: dest}
	st, err := c.stat(ctx, dest)
	if err == nil && st.Mode&fs.ModeSymlink != 0 {
		link := st.LinkTarget
		if !slash.IsAbs(link) {
			dir, _ := splitEntry(dest)
			link = slash.Join(dir, link)
		}
		to.path = link
		st, err = c.stat(ctx, link)
	}
	if err != nil {
		return to, 0
	}
	to.exists, to.isDir = true, st.Mode.IsDir()
	return to, st.Mode
}

// located resolves the links along a path of this machine, and with -L the one
// at its end; then the copy may bear another name than what is read.
func (c *copying) located(source string) (at, called string, err error) {
	if c.follow {
		to, err := filepath.EvalSymlinks(source)
		if err != nil {
			return "", "", err
		}
		at, called = keepName(source, to)
		return at, called, nil
	}
	dir, last := filepath.Split(source)
	folder, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return "", "", err
	}
	at = keepEnd(filepath.Join(folder, last), source)
	if strings.HasSuffix(source, "/") && filepath.Base(source) != filepath.Base(at) {
		return at, filepath.Base(source), nil // a link to a folder, by its slash
	}
	return at, "", nil
}

func (c *copying) send(ctx context.Context, into string, tar io.Reader) error {
	q := url.Values{"path": {into}, "noOverwriteDirNonDir": {"true"}}
	if c.archive {
		q.Set("copyUIDGID", "true")
	}
	return c.e.Client.Call(ctx, client.Request{Method: "PUT", Path: path(c.name, "archive"), Query: q, Stream: tar, Type: "application/x-tar"}, nil)
}

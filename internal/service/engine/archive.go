package engine

import (
	"context"
	"errors"
	"io"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/decompress"
	"lus/internal/base/errs"
	"lus/internal/base/tree"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/mounts"
	"lus/internal/service/engine/internal/spec"
	"lus/internal/service/engine/internal/union"
)

// StatPath looks at one path in a container, without following a link at its end.
func (e *Engine) StatPath(ctx context.Context, name, at string) (*container.PathStat, error) {
	u, v, err := e.openFiles(ctx, name, at)
	if err != nil {
		return nil, err
	}
	defer v.close()
	return v.stat(u, name, at)
}

// openFiles finds a container and opens its files.
func (e *Engine) openFiles(ctx context.Context, name, at string) (*unit, *view, error) {
	if at == "" {
		return nil, nil, errs.New(errs.Invalid, "a path in the container is needed")
	}
	u, err := e.find(name)
	if err != nil {
		return nil, nil, err
	}
	v, err := e.view(ctx, u)
	return u, v, err
}

func (v *view) stat(u *unit, name, at string) (*container.PathStat, error) {
	full := absolute(at)
	st, err := v.tree().Lstat(full)
	if err != nil {
		return nil, pathError(err, name, at)
	}
	out := &container.PathStat{Name: path.Base(full), Size: st.Size, Mode: tree.Mode(&st), Mtime: time.Unix(st.Mtim.Unix())}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		out.LinkTarget = v.tree().Target(full)
	}
	return out, nil
}

// pathError words what is wrong with a path as Docker's clients expect it.
func pathError(err error, name, at string) error {
	var mine *errs.Error
	switch {
	case errors.As(err, &mine), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, unix.ENOENT):
		return errs.New(errs.NotFound, "Could not find the file %s in container %s", at, name)
	case errors.Is(err, unix.EROFS), errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENAMETOOLONG), errors.Is(err, unix.EBUSY):
		return errs.With(errs.Invalid, err)
	case errors.Is(err, unix.EACCES), errors.Is(err, unix.EPERM):
		return errs.With(errs.Denied, err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EDQUOT):
		return errs.New(errs.Unavailable, "the disk is full: %w", err)
	}
	return err
}

// ReadPath returns what lies at a path as a tar. Whoever has it closes it.
func (e *Engine) ReadPath(ctx context.Context, name, at string) (*container.Archive, error) {
	u, v, err := e.openFiles(ctx, name, at)
	if err != nil {
		return nil, err
	}
	st, err := v.stat(u, name, at)
	if err != nil {
		v.close()
		return nil, err
	}
	full := absolute(at)
	dir, base := path.Split(full)
	if st.Mode.IsDir() {
		dir, base = full, "."
	}
	folder, err := v.tree().Folder(dir)
	if err != nil {
		v.close()
		return nil, pathError(err, name, at)
	}
	rec := u.snapshot()
	e.tell(&rec, "archive-path")
	return &container.Archive{
		Stat: *st,
		Write: func(ctx context.Context, w io.Writer) error {
			as := path.Base(full)
			if full[len(full)-1] == '.' && base == "." {
				as = "."
			}
			return pathError(tree.Pack(ctx, w, folder, base, as, tree.PackOptions{}), name, at)
		},
		Close: func() {
			folder.Close()
			v.close()
		},
	}, nil
}

// WritePath unpacks a tar, compressed or not, into a folder of a container.
func (e *Engine) WritePath(ctx context.Context, name, at string, tar io.Reader, o container.ExtractOptions) error {
	u, v, err := e.openFiles(ctx, name, at)
	if err != nil {
		return err
	}
	defer v.close()
	folder, err := v.tree().Folder(absolute(at))
	if errors.Is(err, unix.ENOTDIR) {
		return errs.New(errs.Invalid, "extraction point is not a directory")
	}
	if err != nil {
		return pathError(err, name, at)
	}
	folder.Close()
	dest := v.tree().Target(absolute(at))
	if err := writable(u, v, dest); err != nil {
		return err
	}
	options := tree.UnpackOptions{KeepKind: o.NoOverwriteDirNonDir}
	if o.CopyUIDGID {
		if options.Owner, err = e.ownerOf(ctx, u); err != nil {
			return err
		}
	}
	plain, err := decompress.Reader(ctx, tar)
	if err != nil {
		return errs.With(errs.Invalid, err)
	}
	defer plain.Close()
	if err := tree.Unpack(ctx, plain, v.tree(), dest, options); err != nil {
		return pathError(err, name, at)
	}
	rec := u.snapshot()
	e.tell(&rec, "extract-to-dir")
	return nil
}

// writeInitial unpacks the files that a container is made with.
func (e *Engine) writeInitial(ctx context.Context, u *unit, tar io.Reader) error {
	v, err := e.view(ctx, u)
	if err != nil {
		return err
	}
	defer v.close()
	return pathError(tree.Unpack(ctx, tar, v.tree(), v.tree().Target("/"), tree.UnpackOptions{}), u.id, "/")
}

// writable refuses what is marked read-only, before anything is unpacked.
func writable(u *unit, v *view, dest string) error {
	u.mu.Lock()
	ms, rootReadOnly := u.mounts, u.rec.HostConfig.ReadonlyRootfs
	u.mu.Unlock()
	m := over(ms, dest)
	switch {
	case m == nil || m.Type == mounts.Tmpfs && !v.live:
		if rootReadOnly {
			return errs.New(errs.Invalid, "container rootfs is marked read-only")
		}
	case m.ReadOnly:
		return errs.New(errs.Invalid, "mounted volume is marked read-only")
	}
	return nil
}

// ownerOf is the user that a container runs as, by the container's own files;
// nil where none is named.
func (e *Engine) ownerOf(ctx context.Context, u *unit) (*tree.Owner, error) {
	rec := u.snapshot()
	if rec.Config.User == "" {
		return nil, nil
	}
	layers, err := e.Images.Layers(ctx, rec.Image)
	if err != nil {
		return nil, err
	}
	files, err := union.Open(append([]string{e.paths(u.id).upper}, layers.Dirs...))
	if err != nil {
		return nil, err
	}
	defer files.Close()
	who, err := spec.FindUser(files, rec.Config.User, nil)
	if err != nil {
		return nil, err
	}
	return &tree.Owner{UID: int(who.UID), GID: int(who.GID)}, nil
}

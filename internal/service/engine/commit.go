package engine

import (
	"context"
	"errors"
	"io"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/tree"
	"lus/internal/model/container"
	"lus/internal/model/image"
	"lus/internal/service/engine/internal/merge"
)

// CommitContainer makes an image of a container's changes and returns its id.
// The container stands still while its files are read, unless told otherwise,
// and goes on before the image is hashed.
func (e *Engine) CommitContainer(ctx context.Context, name string, o container.CommitOptions) (string, error) {
	u, err := e.find(name)
	if err != nil {
		return "", err
	}
	if _, err := e.layersOf(ctx, u); err != nil {
		return "", err
	}
	rec := u.snapshot()
	c := &image.Commit{
		Base: rec.Image, Ref: o.Ref, Author: o.Author, Message: o.Message, Changes: o.Changes,
		CreatedBy: strings.Join(rec.Config.Cmd, " "),
		Complete:  func(asked *container.Config) (*container.Config, error) { return merge.Config(asked, rec.Config) },
		Fill:      func(ctx context.Context, dir *os.File) error { return e.copyChanges(ctx, u, dir, o.Pause) },
	}
	if o.Config != nil {
		c.Asked = *o.Config
	}
	id, err := e.Images.CommitImage(ctx, c)
	if err != nil {
		return "", err
	}
	e.tell(&rec, "commit", "comment", o.Message, "imageID", id, "imageRef", o.Ref)
	return id, nil
}

// copyChanges copies a container's own folder into another.
func (e *Engine) copyChanges(ctx context.Context, u *unit, dir *os.File, pause bool) (err error) {
	if rec := u.snapshot(); pause && rec.State.Status == container.Running {
		err := e.PauseContainer(ctx, u.id)
		if err != nil && !errs.Is(err, errs.Conflict) { // it has ended, or somebody else has paused it
			return err
		}
		if err == nil {
			defer func() {
				// Whatever became of the commit, the container goes on.
				uerr := e.UnpauseContainer(context.WithoutCancel(ctx), u.id)
				if uerr != nil && !errs.Is(uerr, errs.Conflict) && !errs.Is(uerr, errs.NotFound) {
					err = errors.Join(err, uerr)
				}
			}()
		}
	}
	upper, err := os.Open(e.paths(u.id).upper)
	if err != nil {
		return err
	}
	defer upper.Close()
	r, w := io.Pipe()
	packed := make(chan struct{})
	go func() {
		defer close(packed)
		_ = w.CloseWithError(tree.Pack(ctx, w, upper, ".", "", tree.PackOptions{Exact: true, Skip: emptyStub}))
	}()
	err = tree.Unpack(ctx, r, tree.Beneath(dir), "/", tree.UnpackOptions{WriteOut: true})
	_ = r.Close()
	<-packed
	return err
}

// emptyStub are the files that were made to mount the container's own on. An
// image made of it would hide with them what images below it have there.
func emptyStub(name string, st *unix.Stat_t) bool {
	switch name {
	case "etc/hosts", "etc/hostname", "etc/resolv.conf", "dev/console":
		return st.Mode&unix.S_IFMT == unix.S_IFREG && st.Size == 0
	}
	return false
}

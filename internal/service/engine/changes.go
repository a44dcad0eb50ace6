package engine

import (
	"context"
	"io"

	"lus/internal/base/errs"
	"lus/internal/base/tree"
	"lus/internal/linux/mount"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/union"
)

// ContainerChanges tells what a container changed of its image.
func (e *Engine) ContainerChanges(ctx context.Context, name string) ([]container.Change, error) {
	u, err := e.find(name)
	if err != nil {
		return nil, err
	}
	dirs, err := e.layersOf(ctx, u)
	if err != nil {
		return nil, err
	}
	files, err := union.Open(dirs)
	if err != nil {
		return nil, err
	}
	defer files.Close()
	known := stubs()
	u.mu.Lock()
	for _, m := range u.mounts {
		known = append(known, m.Target)
	}
	u.mu.Unlock()
	return files.Changes(known)
}

// layersOf are a container's folders, its own first and the stubs last.
func (e *Engine) layersOf(ctx context.Context, u *unit) ([]string, error) {
	u.mu.Lock()
	rec, removing := u.rec, u.removing
	u.mu.Unlock()
	if removing {
		return nil, errs.New(errs.Conflict, "container %s is marked for removal", rec.Name)
	}
	layers, err := e.Images.Layers(ctx, rec.Image)
	if err != nil {
		return nil, err
	}
	below, err := e.onStubs(layers.Dirs)
	if err != nil {
		return nil, err
	}
	return append([]string{e.paths(u.id).upper}, below...), nil
}

// ExportContainer returns a container's files as a tar, as its image and it
// have them: what is mounted there is not its own.
func (e *Engine) ExportContainer(ctx context.Context, name string) (*container.Archive, error) {
	u, err := e.find(name)
	if err != nil {
		return nil, err
	}
	dirs, err := e.layersOf(ctx, u)
	if err != nil {
		return nil, err
	}
	// Its folder is a layer like the others here: nothing can be written, and the
	// container may run on.
	root, err := mount.Overlay{Lower: dirs}.Mount()
	if err != nil {
		return nil, err
	}
	folder, err := tree.Chroot(root).Folder("/")
	root.Close()
	if err != nil {
		return nil, err
	}
	rec := u.snapshot()
	e.tell(&rec, "export")
	return &container.Archive{
		Write: func(ctx context.Context, w io.Writer) error {
			return tree.Pack(ctx, w, folder, ".", "", tree.PackOptions{})
		},
		Close: func() { folder.Close() },
	}, nil
}

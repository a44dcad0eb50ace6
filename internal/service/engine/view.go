package engine

import (
	"context"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/base/tree"
	"lus/internal/linux/mount"
	"lus/internal/service/engine/internal/mounts"
)

// view is a container's files, volumes included, open to be read and written.
type view struct {
	root  *os.File
	live  bool // as its processes see them, with /proc and the like
	close func()
}

func (v *view) tree() tree.Root { return tree.Chroot(v.root) }

// view opens the files of a container: through the root of its process where
// it runs, else put together for the purpose, and then it cannot be started
// before the view is closed.
func (e *Engine) view(ctx context.Context, u *unit) (*view, error) {
	if v := e.liveView(ctx, u); v != nil {
		return v, nil
	}
	u.op.Lock()
	if v := e.liveView(ctx, u); v != nil { // started meanwhile
		u.op.Unlock()
		return v, nil
	}
	v, err := e.restingView(ctx, u)
	if err != nil {
		u.op.Unlock()
		return nil, err
	}
	unmount := v.close
	v.close = func() {
		unmount()
		u.op.Unlock()
	}
	return v, nil
}

func (e *Engine) liveView(ctx context.Context, u *unit) *view {
	if rec := u.snapshot(); !rec.State.Running() {
		return nil
	}
	root, err := e.Runtime.Rootfs(ctx, u.id)
	if err != nil {
		return nil // it has just ended
	}
	return &view{root: root, live: true, close: func() { root.Close() }}
}

func (e *Engine) restingView(ctx context.Context, u *unit) (*view, error) {
	u.mu.Lock()
	rec, ms, removing, cleaning := u.rec, u.mounts, u.removing, u.cleaning
	u.mu.Unlock()
	if removing {
		return nil, errs.New(errs.Conflict, "container %s is marked for removal: its files cannot be copied", rec.Name)
	}
	if cleaning != nil {
		<-cleaning // the former run lets go of the folders first
	}
	layers, err := e.Images.Layers(ctx, rec.Image)
	if err != nil {
		return nil, err
	}
	dirs, err := e.onStubs(layers.Dirs)
	if err != nil {
		return nil, err
	}
	found := &launch{e: e}
	defer func() {
		for _, part := range found.parts {
			part.Close()
		}
	}()
	held := &undo{}
	let := func() { e.warn("unmounting volumes", &rec, held.all(context.WithoutCancel(ctx))) }
	all, err := e.assemble(ctx, found, u, dirs, ms, held)
	if err != nil {
		let()
		return nil, err
	}
	return &view{root: all.Root, close: func() { all.Close(); let() }}, nil
}

// assemble puts a container's files together, volumes included; what these need
// to be mounted for is given back by held.
func (e *Engine) assemble(ctx context.Context, found *launch, u *unit, layers []string, ms []mounts.Mount, held *undo) (*mount.Assembled, error) {
	if err := e.holdVolumes(ms, held); err != nil {
		return nil, err
	}
	if err := e.holdImages(ctx, u.id, ms, held); err != nil {
		return nil, err
	}
	sources, err := found.sources(u.id, ms)
	if err != nil {
		return nil, err
	}
	p := e.paths(u.id)
	root, err := mount.Overlay{Lower: layers, Upper: p.upper, Work: p.work}.Mount()
	if err != nil {
		return nil, err
	}
	return mount.Assemble(root, append(placed(sources), p.placed()...))
}

// placed are the volumes and binds; a tmpfs ends with its container.
func placed(ms []mounts.Mount) []mount.Placed {
	var out []mount.Placed
	for _, m := range ms {
		if m.Type == mounts.Tmpfs {
			continue
		}
		b := mount.Bind{Source: m.Source, Recursive: !m.NonRecursive}
		if m.ReadOnly {
			b.Attributes = unix.MOUNT_ATTR_RDONLY
		}
		out = append(out, mount.Placed{Bind: b, Target: m.Target})
	}
	return out
}

// placed are the files of /etc that a start has written.
func (p paths) placed() []mount.Placed {
	var out []mount.Placed
	for source, target := range map[string]string{p.hostname: "/etc/hostname", p.hosts: "/etc/hosts", p.resolv: "/etc/resolv.conf"} {
		if _, err := os.Lstat(source); err == nil {
			out = append(out, mount.Placed{Bind: mount.Bind{Source: source}, Target: target})
		}
	}
	return out
}

// over is the mount that a path lies in; nil: the container's own files.
func over(ms []mounts.Mount, name string) *mounts.Mount {
	var found *mounts.Mount
	for i, m := range ms {
		if name == m.Target || strings.HasPrefix(name, m.Target+"/") {
			if found == nil || len(m.Target) > len(found.Target) {
				found = &ms[i]
			}
		}
	}
	return found
}

// absolute is a path from the container's root. That it asks for the content of
// a folder, by a slash or a dot at its end, stays.
func absolute(name string) string {
	clean := path.Join("/", name)
	switch {
	case clean == "/":
		return clean
	case strings.HasSuffix(name, "/."):
		return clean + "/."
	case strings.HasSuffix(name, "/"):
		return clean + "/"
	}
	return clean
}

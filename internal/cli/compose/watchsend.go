package compose

import (
	"archive/tar"
	"context"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/client"
	"lus/internal/model/container"
)

// maxArgs is how many paths one command gets: the kernel bounds them.
const maxArgs = 200

// sync copies files into the service's containers, and removes there what is gone
// here. pairs are paths of the host and of the container.
func (w *watching) sync(ctx context.Context, service string, pairs map[string]string) error {
	list, err := w.running(ctx, service)
	if err != nil || len(pairs) == 0 {
		return err
	}
	var gone, here []string
	for _, path := range slices.Sorted(maps.Keys(pairs)) {
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			gone = append(gone, pairs[path])
		} else {
			here = append(here, path)
		}
	}
	for _, c := range list {
		for some := range slices.Chunk(gone, maxArgs) {
			if err := w.exec(ctx, c, container.ExecConfig{User: "0", Cmd: append([]string{"rm", "-rf", "--"}, some...)}); err != nil {
				return err
			}
		}
		if len(here) == 0 {
			continue
		}
		if err := w.send(ctx, c, here, pairs); err != nil {
			return err
		}
	}
	return nil
}

// send writes files into a container as a tar.
func (w *watching) send(ctx context.Context, c summary, paths []string, pairs map[string]string) error {
	r, pipe := io.Pipe()
	go func() {
		t := tar.NewWriter(pipe)
		var err error
		for _, path := range paths {
			if err = packed(t, path, pairs[path]); err != nil {
				break
			}
		}
		if err == nil {
			err = t.Close()
		}
		pipe.CloseWithError(err)
	}()
	defer r.Close()
	resp, err := w.daemon.Send(ctx, client.Request{
		Method: "PUT", Path: "/containers/" + c.ID + "/archive", Query: map[string][]string{"path": {"/"}}, Stream: r, Type: "application/x-tar",
	})
	if err != nil {
		return errs.New(errs.KindOf(err), "cannot copy files into %s: %w", c.name(), err)
	}
	return resp.Body.Close()
}

// packed adds one file to a tar. One that went meanwhile is left out: its end is
// an event of its own. So is a socket, which no tar can hold.
func packed(t *tar.Writer, path, as string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil || info.Mode().Type() == fs.ModeSocket {
		return err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if link, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, link)
	if err != nil {
		return err
	}
	h.Name, h.Uid, h.Gid, h.Uname, h.Gname = strings.TrimPrefix(as, "/"), 0, 0, "", ""
	if !info.Mode().IsRegular() {
		return t.WriteHeader(h)
	}
	file, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer file.Close()
	if err := t.WriteHeader(h); err != nil {
		return err
	}
	// A file that grows meanwhile is cut at what was announced, and comes again.
	n, err := io.Copy(t, io.LimitReader(file, h.Size))
	if err == nil && n < h.Size {
		_, err = io.CopyN(t, zeros{}, h.Size-n)
	}
	return err
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

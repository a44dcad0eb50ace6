package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
)

// maxText bounds a Dockerfile that comes by standard input, in bytes.
const maxText = 8 << 20

// source finds the context and the Dockerfile.
func (b *buildFlags) source(e *command.Env, where string) (err error) {
	if b.file == "-" {
		if b.DockerfileText, err = io.ReadAll(io.LimitReader(e.In, maxText)); err != nil {
			return err
		}
		if len(bytes.TrimSpace(b.DockerfileText)) == 0 {
			return errs.New(errs.Invalid, "standard input is empty: pipe in a Dockerfile")
		}
	}
	switch {
	case where == "-":
		b.Tar = true
		b.Dockerfile = b.file
		b.Context, err = contextFrom(e.In)
		return err
	case isURL(where):
		b.Remote = where
		if b.file != "-" {
			b.Dockerfile = b.file
		}
		return nil
	}
	return b.folder(where)
}

// isURL reports whether a context is elsewhere: a Git repository or a file.
func isURL(where string) bool {
	return strings.Contains(where, "://") || strings.HasPrefix(where, "git@") || strings.HasPrefix(where, "github.com/")
}

// folder is a context on this host.
func (b *buildFlags) folder(where string) (err error) {
	if b.ContextDir, err = filepath.Abs(where); err != nil {
		return err
	}
	info, err := os.Stat(b.ContextDir)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errs.New(errs.NotFound, "unable to prepare context: path %q not found", where)
	case err != nil:
		return errs.New(errs.Invalid, "unable to prepare context: %w", err)
	case !info.IsDir():
		return errs.New(errs.Invalid, "unable to prepare context: %q is a file: give the folder, and the Dockerfile by -f", where)
	}
	if b.file == "" || b.file == "-" {
		return nil
	}
	if strings.HasPrefix(b.file, "https://") || strings.HasPrefix(b.file, "http://") {
		b.Dockerfile = b.file
		return nil
	}
	// As typed, from where the user stands.
	if b.Dockerfile, err = filepath.Abs(b.file); err != nil {
		return err
	}
	if _, err := os.Stat(b.Dockerfile); err != nil {
		return errs.New(errs.NotFound, "unable to read the Dockerfile: %w", err)
	}
	return nil
}

// tarBlock is as much of a stream as tells whether it is a tar.
const tarBlock = 512

// contextFrom returns a tar: the stream itself where it is one (or a compressed
// one), else a tar with the stream as its Dockerfile.
func contextFrom(in io.Reader) (io.Reader, error) {
	r := bufio.NewReaderSize(in, 4096)
	head, err := r.Peek(tarBlock)
	if len(head) == 0 {
		return nil, errs.New(errs.Invalid, "standard input is empty: pipe in a Dockerfile or a tar")
	}
	compressed := bytes.HasPrefix(head, []byte{0x1f, 0x8b}) || bytes.HasPrefix(head, []byte("BZh")) ||
		bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z'}) || bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd})
	if compressed || err == nil && isTar(head) {
		return r, nil
	}
	text, err := io.ReadAll(io.LimitReader(r, maxText))
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(text))}); err != nil {
		return nil, err
	}
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	return &b, w.Close()
}

func isTar(head []byte) bool {
	_, err := tar.NewReader(bytes.NewReader(head)).Next()
	return err == nil
}

package output

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
	"lus/internal/cli/interrupt"
	"lus/internal/cli/terminal"
	"lus/internal/client"
)

// Archive asks for a tar and writes it to a file, or to standard output where none
// is named.
func Archive(ctx context.Context, e *command.Env, file string, r client.Request) error {
	if file == "" && terminal.Is(e.Out) {
		return errs.New(errs.Invalid, "cowardly refusing to save to a terminal. Use the -o flag or redirect")
	}
	resp, err := e.Client.Send(ctx, r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if file == "" {
		_, err = io.Copy(e.Out, resp.Body)
		return err
	}
	return File(file, resp.Body)
}

// File writes r to a file that has its name only once it is whole. A link to a
// file is refused, as docker does: the name would no longer lead where it did.
func File(name string, r io.Reader) error {
	if err := noLink(name); err != nil {
		return err
	}
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		if st.IsDir() {
			return errs.New(errs.Invalid, "%s is a folder: name a file to write to", name)
		}
		f, err := os.OpenFile(name, os.O_WRONLY, 0) // a pipe, or /dev/null
		if err != nil {
			return err
		}
		_, err = io.Copy(f, r)
		return errors.Join(err, f.Close())
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".lus-")
	if err != nil {
		return errs.New(errs.Invalid, "cannot write %s: %w", name, err)
	}
	defer interrupt.Undo(func() { _ = os.Remove(f.Name()) })()
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Chmod(0o600)
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// noLink refuses a link, unless it leads to what is written in place: a pipe or a
// device, as /dev/stdout may be.
func noLink(name string) error {
	if st, err := os.Stat(name); err == nil && !st.Mode().IsRegular() {
		return nil
	}
	if to, err := os.Readlink(name); err == nil {
		return errs.New(errs.Invalid, "cannot write to a symbolic link directly: %s leads to %s, name that", name, to)
	}
	return nil
}

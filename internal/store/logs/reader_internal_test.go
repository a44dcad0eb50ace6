package logs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A reader's files are closed by whoever comes last of Close and a Next under way,
// however far the reading has come.
func TestAReadersFilesAreClosed(t *testing.T) {
	over, cancel := context.WithCancel(context.Background())
	cancel()
	always := context.Background()
	for name, read := range map[string]func(*Reader) error{
		"after the end": func(r *Reader) error {
			_, _ = r.Next(always)
			return expect(always, r, io.EOF)
		},
		"before the end":           func(r *Reader) error { r.Close(); return expect(always, r, errClosed) },
		"in the middle":            func(r *Reader) error { return expect(always, r, nil) },
		"unread":                   func(*Reader) error { return nil },
		"when its context is over": func(r *Reader) error { return expect(over, r, context.Canceled) },
		"while somebody waits": func(r *Reader) error {
			_, _ = r.Next(always)
			got := make(chan error)
			go func() { got <- expect(always, r, errClosed) }()
			r.Close()
			return <-got
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "output.log")
			w := NewWriter(path, 1<<20, 1)
			if err := w.Append(time.Now(), Stdout, []byte("a line\n")); err != nil {
				t.Fatal(err)
			}
			w.Close()
			o := Options{Tail: -1}
			if name == "while somebody waits" {
				o.Hub = NewHub()
				defer o.Hub.Close()
			}
			r, err := Open(path, o)
			if err != nil {
				t.Fatal(err)
			}
			file := r.files[0].f
			if err := read(r); err != nil {
				t.Error(err)
			}
			r.Close()
			r.Close()
			if _, err := file.Stat(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("its file: %v", err)
			}
		})
	}
}

func expect(ctx context.Context, r *Reader, want error) error {
	if _, err := r.Next(ctx); !errors.Is(err, want) {
		return fmt.Errorf("of Next: %w", err)
	}
	return nil
}

package logs

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A reader's files are closed once, whichever comes first: the end of what there is to
// read, or Close.
func TestAReadersFilesAreClosed(t *testing.T) {
	for name, closesFirst := range map[string]bool{"after the end": false, "before the end": true} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "output.log")
			w := NewWriter(path, 1<<20, 1)
			if err := w.Append(time.Now(), Stdout, []byte("a line\n")); err != nil {
				t.Fatal(err)
			}
			w.Close()
			r, err := Open(path, Options{Tail: -1})
			if err != nil {
				t.Fatal(err)
			}
			file := r.files[0].f
			want := io.EOF
			if closesFirst {
				r.Close()
				want = errClosed
			} else if _, err := r.Next(context.Background()); err != nil {
				t.Fatal(err)
			}
			if _, err := r.Next(context.Background()); !errors.Is(err, want) {
				t.Errorf("the end: %v", err)
			}
			r.Close()
			if _, err := file.Stat(); !errors.Is(err, os.ErrClosed) {
				t.Errorf("its file: %v", err)
			}
		})
	}
}

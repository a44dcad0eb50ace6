package logs_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lus/internal/store/logs"
)

var everything = logs.Options{Tail: -1}

func at(n int) time.Time { return time.Unix(1_700_000_000+int64(n), 0).UTC() }

// write appends one record for each line given, a second apart.
func write(t *testing.T, w *logs.Writer, from int, lines ...string) {
	t.Helper()
	for i, l := range lines {
		s := logs.Stdout
		if strings.HasPrefix(l, "err") {
			s = logs.Stderr
		}
		if err := w.Append(at(from+i), s, []byte(l)); err != nil {
			t.Fatal(err)
		}
	}
}

func read(t *testing.T, path string, opt logs.Options) []string {
	t.Helper()
	r, err := logs.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var got []string
	for {
		e, err := r.Next(context.Background())
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, string(e.Data))
	}
}

func same(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("%s: got %q, want %q", what, got, want)
	}
}

func TestWhatWasWrittenIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := logs.NewWriter(path, 0, 0)
	defer w.Close()
	binary := string([]byte{0, 255, '\n', 0, 1})
	write(t, w, 0, "one\n", "err two\n", "three\nfour\n", binary, "no end")

	same(t, "all", read(t, path, everything), "one\n", "err two\n", "three\nfour\n", binary, "no end")
	for name, c := range map[string]struct {
		opt  logs.Options
		want []string
	}{
		"stderr":     {logs.Options{Tail: -1, Stderr: true}, []string{"err two\n"}},
		"both":       {logs.Options{Tail: -1, Stderr: true, Stdout: true, Until: at(1)}, []string{"one\n", "err two\n"}},
		"since":      {logs.Options{Tail: -1, Since: at(3)}, []string{binary, "no end"}},
		"lines":      {logs.Options{Tail: -1, Lines: true, Since: at(2), Until: at(2)}, []string{"three\n", "four\n"}},
		"tail 0":     {logs.Options{Tail: 0}, nil},
		"tail 1":     {logs.Options{Tail: 1}, []string{"\x00\x01", "no end"}},
		"tail 3":     {logs.Options{Tail: 3, Lines: true}, []string{"four\n", "\x00\xff\n", "\x00\x01", "no end"}},
		"tail 99":    {logs.Options{Tail: 99, Until: at(0)}, []string{"one\n"}},
		"tail until": {logs.Options{Tail: 1, Until: at(2)}, []string{"four\n"}},
		"tail since": {logs.Options{Tail: 4, Since: at(3)}, []string{binary, "no end"}},
	} {
		same(t, name, read(t, path, c.opt), c.want...)
	}
}

func TestEntriesCarryTimeStreamAndWhetherTheLineGoesOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := logs.NewWriter(path, 0, 0)
	defer w.Close()
	write(t, w, 5, "err a")
	r, err := logs.Open(path, everything)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	e, err := r.Next(t.Context())
	if err != nil || !e.Time.Equal(at(5)) || e.Stream != logs.Stderr || !e.Partial {
		t.Errorf("got %+v, %v", e, err)
	}
}

func TestALogThatIsNotThereIsEmpty(t *testing.T) {
	same(t, "missing", read(t, filepath.Join(t.TempDir(), "log"), everything))
}

func TestRotationBoundsTheLog(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "log")
	for _, files := range []int{1, 2, 3} {
		w := logs.NewWriter(path, 200, files)
		for i := range 40 {
			write(t, w, i, fmt.Sprintf("line %d\n", i))
		}
		w.Close()
		entries, _ := os.ReadDir(dir)
		if len(entries) != files {
			t.Errorf("%d files, want %d", len(entries), files)
		}
		got := read(t, path, everything)
		if len(got) == 0 || got[len(got)-1] != "line 39\n" {
			t.Fatalf("the newest line is missing: %q", got)
		}
		for i, l := range got {
			if want := fmt.Sprintf("line %d\n", 40-len(got)+i); l != want {
				t.Fatalf("line %d is %q, want %q", i, l, want)
			}
		}
		same(t, "tail across files", read(t, path, logs.Options{Tail: len(got) - 1}), got[1:]...)
	}
}

func TestATornRecordIsSkippedAndRepaired(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := logs.NewWriter(path, 0, 0)
	write(t, w, 0, "first\n", "second\n", strings.Repeat("x", 5000))
	w.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	recordEnd := len(whole) - 5000 - 28
	for cut := recordEnd; cut < len(whole); cut += 7 {
		if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
			t.Fatal(err)
		}
		same(t, "torn", read(t, path, everything), "first\n", "second\n")
		same(t, "torn tail", read(t, path, logs.Options{Tail: 1}), "second\n")
		w := logs.NewWriter(path, 0, 0)
		write(t, w, 3, "third\n")
		w.Close()
		same(t, "repaired", read(t, path, everything), "first\n", "second\n", "third\n")
	}
	// Torn in the head of the file.
	if err := os.WriteFile(path, whole[:9], 0o600); err != nil {
		t.Fatal(err)
	}
	same(t, "torn head", read(t, path, everything))
	w = logs.NewWriter(path, 0, 0)
	defer w.Close()
	write(t, w, 0, "anew\n")
	same(t, "repaired head", read(t, path, everything), "anew\n")
}

func TestDamageInTheMiddleCostsOnlyWhatIsDamaged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := logs.NewWriter(path, 0, 0)
	write(t, w, 0, "first\n", strings.Repeat("x", 100_000), "last\n")
	w.Close()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 100), 24+28+6); err != nil {
		t.Fatal(err)
	}
	same(t, "damaged", read(t, path, everything), "first\n", "last\n")
}

func TestWhatAContainerPrintsCannotImitateARecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := logs.NewWriter(path, 0, 0)
	write(t, w, 0, "fake\n")
	w.Close()
	other, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path2 := filepath.Join(t.TempDir(), "log")
	w = logs.NewWriter(path2, 0, 0)
	write(t, w, 0, "true\n", string(other[24:])+strings.Repeat("y", 100))
	w.Close()
	b, _ := os.ReadFile(path2)
	// Killed right behind the imitation.
	if err := os.WriteFile(path2, b[:len(b)-108], 0o600); err != nil {
		t.Fatal(err)
	}
	w = logs.NewWriter(path2, 0, 0)
	write(t, w, 1, "next\n")
	w.Close()
	same(t, "imitation", read(t, path2, everything), "true\n", "next\n")
}

func TestAppendRefusesWhatIsTooLong(t *testing.T) {
	w := logs.NewWriter(filepath.Join(t.TempDir(), "log"), 0, 0)
	defer w.Close()
	if err := w.Append(at(0), logs.Stdout, make([]byte, logs.MaxData+1)); err == nil {
		t.Error("no error")
	}
	if err := w.Append(at(0), logs.Stdout, make([]byte, logs.MaxData)); err != nil {
		t.Error(err)
	}
}

// follow collects what a follower yields until its end.
func follow(t *testing.T, hub *logs.Hub, path string) (r *logs.Reader, wait func() string) {
	t.Helper()
	opt := everything
	opt.Hub = hub
	r, err := logs.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	done := make(chan error, 1)
	go func() {
		for {
			e, err := r.Next(context.Background())
			if err != nil {
				done <- err
				return
			}
			got.Write(e.Data)
		}
	}()
	return r, func() string {
		if err := <-done; !errors.Is(err, io.EOF) {
			t.Errorf("the follower ended with %v", err)
		}
		r.Close()
		return got.String()
	}
}

func TestFollowersSeeEverythingAcrossRotations(t *testing.T) {
	hub := logs.NewHub()
	defer hub.Close()
	path := filepath.Join(t.TempDir(), "log")
	var readers []*logs.Reader
	var waits []func() string
	for range 3 { // the first follow before there is a log
		r, wait := follow(t, hub, path)
		readers, waits = append(readers, r), append(waits, wait)
	}
	w := logs.NewWriter(path, 4096, 50)
	defer w.Close()
	var want strings.Builder
	for i := range 3000 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		write(t, w, i, line)
		if i == 1500 {
			r, wait := follow(t, hub, path)
			readers, waits = append(readers, r), append(waits, wait)
		}
	}
	for i, r := range readers {
		r.Drain()
		if got := waits[i](); got != want.String() {
			t.Errorf("follower %d got %d bytes, want %d", i, len(got), want.Len())
		}
	}
}

func TestAFollowerWakesWithoutBeingTold(t *testing.T) {
	hub := logs.NewHub()
	defer hub.Close()
	path := filepath.Join(t.TempDir(), "log")
	opt := everything
	opt.Hub = hub
	r, err := logs.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w := logs.NewWriter(path, 100, 3)
	defer w.Close()
	for i := range 20 {
		line := fmt.Sprintf("line %d\n", i)
		write(t, w, i, line)
		if e, err := r.Next(t.Context()); err != nil || string(e.Data) != line {
			t.Fatalf("got %q, %v; want %q", e.Data, err, line)
		}
	}
}

func TestAFollowerEnds(t *testing.T) {
	hub := logs.NewHub()
	dir := filepath.Join(t.TempDir(), "c")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "log")
	w := logs.NewWriter(path, 0, 0)
	write(t, w, 0, "line\n")
	w.Close()

	_, removed := follow(t, hub, path)
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	removed()

	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	_, closed := follow(t, hub, path)
	hub.Close()
	closed()

	opt := everything
	opt.Hub = logs.NewHub()
	defer opt.Hub.Close()
	r, err := logs.Open(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Next(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v after the context ended", err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		if _, err := r.Next(t.Context()); err == nil || errors.Is(err, io.EOF) {
			t.Errorf("got %v after Close", err)
		}
	})
	r.Close()
	wg.Wait()
	opt.Until = time.Now().Add(10 * time.Millisecond)
	same(t, "until", read(t, path, opt))
}

// A disk that changes a record's length takes that record and no other, though
// the file seems to end before it does.
func TestAWrongLengthHidesOneRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	w := logs.NewWriter(path, 0, 0)
	write(t, w, 0, "one\n", "two\n", "three\n")
	w.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const head, frame = 24, 28
	second := head + frame + len("one\n")
	binary.LittleEndian.PutUint32(data[second+4:], 1<<19)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	same(t, "damaged", read(t, path, everything), "one\n", "three\n")
	write(t, w, 3, "four\n")
	w.Close()
	same(t, "and written on", read(t, path, everything), "one\n", "three\n", "four\n")
	// Torn at its end as well: what is whole is kept.
	if err := os.Truncate(path, int64(len(data))+frame); err != nil {
		t.Fatal(err)
	}
	write(t, w, 4, "five\n")
	w.Close()
	same(t, "torn", read(t, path, everything), "one\n", "three\n", "five\n")
}

func FuzzReadersWithstandAnyFile(f *testing.F) {
	path := filepath.Join(f.TempDir(), "log")
	w := logs.NewWriter(path, 0, 0)
	_ = w.Append(at(0), logs.Stdout, []byte("line\nline"))
	_ = w.Append(at(1), logs.Stderr, []byte("line\n"))
	w.Close()
	b, _ := os.ReadFile(path)
	f.Add(b)
	f.Add(b[:len(b)-3])
	f.Add(b[:24])
	f.Fuzz(func(t *testing.T, b []byte) {
		path := filepath.Join(t.TempDir(), "log")
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		before := read(t, path, everything)
		read(t, path, logs.Options{Tail: 2, Lines: true})
		w := logs.NewWriter(path, 0, 0)
		defer w.Close()
		if err := w.Append(at(9), logs.Stdout, []byte("behind")); err != nil {
			t.Fatal(err)
		}
		same(t, "appended", read(t, path, everything), append(before, "behind")...)
	})
}

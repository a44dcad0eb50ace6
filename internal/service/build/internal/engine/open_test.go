package engine

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"lus/internal/model/build"
	"lus/internal/store/content"
)

// An engine that cannot be opened is opened at the next try, where what stood in the
// way is gone: nothing of the first holds it up.
func TestAnEngineIsOpenedAtTheNextTry(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	st, err := content.Open(t.Context(), filepath.Join(root, "images"), content.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	o := Options{Root: filepath.Join(root, "cache"), Provenance: filepath.Join(root, "provenance"), Store: st, Executor: &counting{}}
	for _, dir := range []string{o.Root, o.Provenance} {
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	for _, inTheWay := range []string{
		filepath.Join(o.Root, "mounts"),           // where the cache wants a folder
		filepath.Join(o.Provenance, "wrong.json"), // of what is asked for last
	} {
		if err := os.WriteFile(inTheWay, []byte("no JSON"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := opened(t, o); err == nil {
			t.Errorf("it opens over %s", inTheWay)
		}
		if err := os.Remove(inTheWay); err != nil {
			t.Fatal(err)
		}
		if err := opened(t, o); err != nil {
			t.Error(err)
		}
		if err := os.RemoveAll(filepath.Join(o.Root, "mounts")); err != nil {
			t.Fatal(err)
		}
	}
}

// opened opens an engine and closes it.
func opened(t *testing.T, o Options) error {
	t.Helper()
	done := make(chan error, 1)
	go func() {
		e, err := Open(t.Context(), o)
		if err == nil {
			err = e.Close()
		}
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("it waits for ever")
		return nil
	}
}

// What is wrong with an output is told before the solver is asked: who follows a
// build that it never began waits for some seconds.
func TestAWrongOutputIsToldAtOnce(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	st, err := content.Open(t.Context(), filepath.Join(root, "images"), content.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	e, err := Open(t.Context(), Options{Root: filepath.Join(root, "cache"), Store: st, Executor: &counting{}})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	e.control = nil // nobody is there to be asked
	for _, o := range []build.Output{
		{Type: "image", Attrs: map[string]string{"annotation-index.a": "b"}},
		{Type: "oci", Attrs: map[string]string{"dest": filepath.Join(root, "x.tar"), "compression": "none"}},
	} {
		if _, err := e.Solve(t.Context(), &Job{Attrs: map[string]string{}, Outputs: []build.Output{o}}); err == nil {
			t.Errorf("%v is taken", o)
		}
	}
}

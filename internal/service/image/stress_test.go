package image_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"sync"
	"testing"

	"lus/internal/base/errs"
)

// Everything at once: imports, pulls, look-ups, removals, sweeps and
// collections. What is named or handed out is there, and in the end nothing is.
func TestManyAtOnceAndNothingIsLeft(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	shared := layer(t, entry{name: "shared", text: "s"})
	var refs []string
	for i := range 3 {
		refs = append(refs, w.reg.push(fmt.Sprintf("app%d:1", i), imageOf(t, shared, layer(t, entry{name: "own", text: fmt.Sprint(i)}))))
	}
	before := w.files()
	stop := make(chan struct{})
	var collectors, workers sync.WaitGroup
	collectors.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				w.collect()
			}
		}
	})
	use := func(ref string) {
		i, err := w.Resolve(ctx, ref)
		if errs.Is(err, errs.NotFound) {
			return // somebody else removed the name first
		}
		if err != nil {
			t.Error(err)
			return
		}
		l, err := w.Layers(ctx, i.ID)
		if errs.Is(err, errs.NotFound) {
			return
		}
		if err != nil {
			t.Error(err)
			return
		}
		for _, dir := range l.Dirs {
			if _, err := os.Stat(dir); err != nil {
				t.Errorf("%s: a folder that was handed out is gone: %v", ref, err)
			}
		}
	}
	for g := range 4 {
		workers.Go(func() {
			for n := range 8 {
				ref := refs[(g+n)%len(refs)]
				if err := w.PullImage(ctx, ref, "", nil, nil); err != nil {
					t.Error(err)
				}
				use(ref)
				own := fmt.Sprintf("own%d:%d", g, n)
				if _, err := w.ImportImage(ctx, bytes.NewReader(tarOf(t, entry{name: "f", text: own})), own, "", "", nil); err != nil {
					t.Error(err)
				}
				use(own)
				for _, r := range []string{own, ref} {
					if _, err := w.RemoveImage(ctx, r, true, true); err != nil && !errs.Is(err, errs.NotFound) {
						t.Error(err)
					}
				}
			}
		})
	}
	workers.Wait()
	close(stop)
	collectors.Wait()
	for range 2 {
		if err := w.Sweep(ctx, nil); err != nil {
			t.Fatal(err)
		}
	}
	w.collect()
	w.same(before)
}

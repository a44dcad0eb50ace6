package runtime_test

import (
	"context"
	"os"
	"testing"

	"lus/internal/model/task"
)

// BenchmarkTrue is one container from nothing to its exit code: create, start,
// wait. Clean-up is not counted, as it comes after the answer.
func BenchmarkTrue(b *testing.B) {
	w := newBench(b)
	null, err := os.OpenFile("/dev/null", os.O_RDWR, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer null.Close()
	for b.Loop() {
		b.StopTimer()
		c := w.container("true")
		c.Streams.Kind = task.StreamGiven
		c.Given = [3]*os.File{null, null, null}
		c.Rootfs.Volatile = true
		b.StartTimer()
		p, err := w.rt.Create(context.Background(), c)
		if err != nil {
			b.Fatal(err)
		}
		if err := w.rt.Start(context.Background(), task.Key{Container: c.ID}); err != nil {
			b.Fatal(err)
		}
		w.parent.output(task.Key{Container: c.ID})
		b.StopTimer()
		_ = p.NetNS.Close()
		if err := w.rt.Delete(context.Background(), c.ID); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

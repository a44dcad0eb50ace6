package image_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sys/unix"

	"lus/internal/service/image"
	"lus/internal/store/content"
)

// BenchmarkPull pulls 128 MB of files, half of it noise, from a registry in this
// process, whose part of the processor's time counts too.
func BenchmarkPull(b *testing.B) {
	for _, shape := range []struct {
		name                string
		layers, files, size int
	}{{"big-files", 2, 64, 1 << 20}, {"small-files", 32, 200, 20 << 10}} {
		b.Run(shape.name, func(b *testing.B) {
			reg := newRegistry(b)
			var layers []v1.Layer
			for l := range shape.layers {
				var files []entry
				text := strings.Repeat("the quick brown fox jumps over the lazy dog\n", shape.size/88)
				for f := range shape.files {
					noise := make([]byte, shape.size/2)
					rand.NewChaCha8([32]byte{byte(l), byte(f)}).Read(noise)
					files = append(files, entry{name: fmt.Sprintf("d%d/e%d/f%d", l, f%10, f), text: string(noise) + text})
				}
				layers = append(layers, layer(b, files...))
			}
			ref := reg.push("app:1", imageOf(b, layers...))
			s, err := content.Open(context.Background(), b.TempDir(), content.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			w, err := image.New(image.Deps{Store: s})
			if err != nil {
				b.Fatal(err)
			}
			s.Ready()
			var before, after unix.Rusage
			_ = unix.Getrusage(unix.RUSAGE_SELF, &before)
			for b.Loop() {
				if err := w.PullImage(context.Background(), ref, "", nil, nil); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if _, err := w.RemoveImage(context.Background(), ref, true, true); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			_ = unix.Getrusage(unix.RUSAGE_SELF, &after)
			cpu := after.Utime.Nano() + after.Stime.Nano() - before.Utime.Nano() - before.Stime.Nano()
			b.ReportMetric(float64(cpu)/1e9/float64(b.N), "cpu-s/op")
		})
	}
}

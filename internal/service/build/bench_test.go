package build_test

import (
	"path/filepath"
	"strconv"
	"testing"

	"lus/internal/model/build"
	"lus/test/bench/build/big"
)

// small is the build of the speed table: four stages, each with a step.
const small = `FROM busybox AS one
RUN echo 1 > /1
FROM busybox AS two
RUN echo 2 > /2
FROM busybox AS three
COPY a /a
FROM busybox
COPY --from=one /1 /1
COPY --from=two /2 /2
COPY --from=three /a /3
RUN cat /1 /2 /3 > /all
CMD ["cat", "/all"]
`

func BenchmarkSmallBuild(b *testing.B) {
	for name, cold := range map[string]bool{"cold": true, "cached": false} {
		b.Run(name, func(b *testing.B) {
			s := newBuilder(b)
			dir := folder(b, map[string]string{"Dockerfile": small, "a": "A"})
			s.build(dir).ok(b)
			for b.Loop() {
				s.build(dir, func(q *build.Request) { q.NoCache = cold }).ok(b)
			}
		})
	}
}

// BenchmarkContext is a build of a context of 100,000 files in which nothing,
// or one file, has changed: none of its steps has anything to do.
func BenchmarkContext(b *testing.B) {
	s := newBuilder(b)
	dir := filepath.Join(b.TempDir(), "context")
	must(b, big.Tree(dir, 1000, 100, 100))
	must(b, big.Change(dir, "0"))
	image := func(q *build.Request) {
		q.DockerfileText = []byte("FROM busybox\nCOPY --exclude=changes . /context\n")
	}
	s.build(dir, image).ok(b)
	for _, name := range []string{"same", "changed"} {
		b.Run(name, func(b *testing.B) {
			for i := 0; b.Loop(); i++ {
				if name == "changed" {
					must(b, big.Change(dir, strconv.Itoa(i)))
				}
				s.build(dir, image).ok(b)
			}
		})
	}
}

// BenchmarkBig is the big build of the speed table.
func BenchmarkBig(b *testing.B) {
	s := newBuilder(b)
	dir := filepath.Join(b.TempDir(), "context")
	must(b, big.Write(dir))
	s.build(dir).ok(b)
	for _, name := range []string{"cold", "cached", "changed"} {
		b.Run(name, func(b *testing.B) {
			s.build(dir).ok(b)
			for i := 0; b.Loop(); i++ {
				if name == "changed" {
					must(b, big.Change(dir, strconv.Itoa(i)))
				}
				s.build(dir, func(q *build.Request) { q.NoCache = name == "cold" }).ok(b)
			}
		})
	}
}

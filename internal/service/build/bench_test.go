package build_test

import (
	"testing"

	"lus/internal/model/build"
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

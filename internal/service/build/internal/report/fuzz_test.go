package report_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"

	"lus/internal/service/build/internal/report"
)

// Dockerfiles and the names of steps come from outside. Whatever they are, a
// classic build tells each step once and in order.
func FuzzClassic(f *testing.F) {
	f.Add("FROM busybox\nRUN true\nCOPY a b\nCMD x\n", "[1/3] FROM busybox\n[2/3] RUN true\n[3/3] COPY a b", byte(0x1b))
	f.Add("ARG A=1\nFROM a AS b\nWORKDIR /x\nFROM b\nRUN <<E\nhi\nE\n", "[b 1/2] FROM a\n[stage-1 1/1] RUN x\n[b 9999999999999/2] RUN", byte(0xe4))
	f.Add("FROM a\nRUN b\n", "[1/2] FROM a\n[2/4] ONBUILD RUN c\n[-7/4] RUN\n[ 3/4] RUN b", byte(0xff))
	f.Add("FROM scratch\n", "[", byte(0))
	f.Add("# syntax=x\nFROM a\nLABEL x=y \\\n z=w\n", "] [1/1] ", byte(3))
	f.Fuzz(func(t *testing.T, dockerfile, names string, how byte) {
		report.External([]byte(dockerfile))
		plan, err := report.NewPlan([]byte(dockerfile), report.Asked{Labels: map[string]string{"l": "v"}})
		if err != nil {
			return
		}
		var out bytes.Buffer
		c := report.NewClassic(plan, report.ClassicOptions{Out: &out, Build: "b", NoCache: how&1 > 0, Known: &report.Known{}})
		at := time.Unix(1, 0)
		for i, name := range strings.Split(names, "\n") {
			d := digest.FromString(fmt.Sprint(i, name))
			c.Status(&client.SolveStatus{Vertexes: []*client.Vertex{{Digest: d, Name: name}}})
			v := &client.Vertex{Digest: d, Name: name, Started: &at, Cached: how>>(i%7)&2 > 0}
			if how>>(i%7)&1 > 0 {
				v.Completed = &at
			}
			c.Status(&client.SolveStatus{Vertexes: []*client.Vertex{v}, Logs: []*client.VertexLog{{Vertex: d, Stream: 1, Data: []byte("said\n")}}})
		}
		if how&4 > 0 {
			c.Failed(errors.New("x"))
			return
		}
		c.Done("sha256:" + strings.Repeat("0", 64))
		last, total := 0, 0
		for line := range strings.Lines(out.String()) {
			var n int
			if _, err := fmt.Sscanf(line, "Step %d/%d :", &n, &total); err == nil && strings.HasPrefix(line, "Step ") {
				if n == last+1 {
					last = n
				}
			}
		}
		if last == 0 || last != total && !strings.Contains(dockerfile, "Step ") {
			t.Fatalf("%q with %q tells %d of %d steps:\n%s", dockerfile, names, last, total, out.String())
		}
	})
}

package report_test

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	buildkiterrs "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/solver/pb"
	"golang.org/x/sys/unix"

	"lus/internal/service/build/internal/report"
)

// explained is what people are told of an error.
func explained(facts report.Facts, err error) string {
	w := report.New(io.Discard)
	w.Close()
	w.Facts = facts
	return w.Explain(context.Background(), err).Error()
}

// A base image that the full disk kept from being looked up may well be here.
func TestAFullDiskIsNoFaultOfTheRegistry(t *testing.T) {
	t.Parallel()
	got := explained(report.Facts{}, errors.New("busybox:1: failed to resolve source metadata for docker.io/library/busybox:1: write /images/meta.db: no space left on device"))
	want := "image busybox:1 cannot be looked up: write /images/meta.db: no space left on device\nhint: a disk is full; "
	if !strings.HasPrefix(got, want) {
		t.Errorf("people are told\n%s\ninstead of\n%s...", got, want)
	}
}

// A frontend that is an image says itself what lines are at fault: whatever it
// says, what is shown of them is bounded.
func TestAnyLinesMayBeAtFault(t *testing.T) {
	t.Parallel()
	at := func(line int32) *pb.Position { return &pb.Position{Line: line} }
	text := []byte("FROM busybox\n" + strings.Repeat("RUN --from=x true\n", 10_000))
	for name, ranges := range map[string][]*pb.Range{
		"no end":          {{Start: at(2)}},
		"no other ranges": {{Start: at(2), End: at(2)}, nil, {}},
		"all lines":       {{Start: at(1), End: at(10_000)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := explained(report.Facts{}, buildkiterrs.WithSource(errors.New("wrong"), &buildkiterrs.Source{
				Info: &pb.SourceInfo{Filename: "Dockerfile", Data: text}, Ranges: ranges,
			}))
			if n := strings.Count(got, "\n"); n > 300 || !strings.Contains(got, " >   2 | RUN --from=x true") {
				t.Errorf("people are told, in %d lines:\n%.1000s", n, got)
			}
		})
	}
	for name, ranges := range map[string][]*pb.Range{
		"lines without end":        {{Start: at(1), End: at(math.MaxInt32)}},
		"lines that are not there": {{Start: at(math.MaxInt32), End: at(math.MaxInt32)}, {Start: at(math.MinInt32), End: at(-1)}},
		"very many ranges":         make([]*pb.Range, 1_000_000),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if ranges[0] == nil {
				for i := range ranges {
					ranges[i] = &pb.Range{Start: at(1), End: at(10_000)}
				}
			}
			got := explained(report.Facts{}, buildkiterrs.WithSource(errors.New("wrong"), &buildkiterrs.Source{
				Info: &pb.SourceInfo{Filename: "Dockerfile", Data: text}, Ranges: ranges,
			}))
			if n := strings.Count(got, "\n"); n > 300 {
				t.Errorf("people are told, in %d lines:\n%.1000s", n, got)
			}
		})
	}
}

// A context that has a pipe where a folder is meant holds no explanation up.
func TestAPipeInAFoldersPlaceIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pipe := filepath.Join(dir, "src")
	if err := unix.Mkfifo(pipe, 0o644); err != nil {
		t.Fatal(err)
	}
	told := make(chan string, 1)
	go func() {
		told <- explained(report.Facts{Context: dir}, errors.New(`failed to calculate checksum of ref x::y: "/src/main.go": not found`))
	}()
	select {
	case got := <-told:
		if !strings.Contains(got, `"/src/main.go" is not in the build context`) {
			t.Errorf("people are told\n%s", got)
		}
	case <-time.After(time.Minute):
		t.Error("it waits for somebody who writes into the pipe")
		if f, err := os.OpenFile(pipe, os.O_WRONLY|unix.O_NONBLOCK, 0); err == nil {
			f.Close()
		}
		<-told
	}
}

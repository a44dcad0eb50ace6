// Package report tells people how a build goes and why it failed: progress as
// plain text while it runs, and an error with the file, the line, its text,
// what the step printed last, and what to do.
package report

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"sync"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/opencontainers/go-digest"
)

// keepOutput bounds what is remembered of a step's output, in bytes.
const keepOutput = 4 << 10

// Watch follows one build.
type Watch struct {
	out io.Writer
	ch  chan *client.SolveStatus
	end chan struct{}

	// Facts help to explain errors; set them before the build begins.
	Facts Facts

	mu     sync.Mutex
	steps  map[digest.Digest]*step
	failed digest.Digest
}

// step is what is known of one vertex.
type step struct {
	name string
	tail []byte
}

// New returns a Watch that writes progress to w. Close ends it.
func New(w io.Writer) *Watch {
	return start(w, (*Watch).show)
}

// NewJSON returns a Watch that writes each piece of news as one line of JSON,
// in the words of BuildKit.
func NewJSON(w io.Writer) *Watch {
	return start(w, func(r *Watch) {
		enc := json.NewEncoder(r.out)
		enc.SetEscapeHTML(false)
		for st := range r.ch {
			_ = enc.Encode(st) // whether anybody reads is not the build's concern
		}
	})
}

func start(w io.Writer, show func(*Watch)) *Watch {
	r := &Watch{out: w, ch: make(chan *client.SolveStatus, 16), end: make(chan struct{}), steps: map[digest.Digest]*step{}}
	go func() {
		defer close(r.end)
		show(r)
	}()
	return r
}

// show writes until the channel is closed. Whether anybody still reads is not
// the build's concern.
func (r *Watch) show() {
	d, err := progressui.NewDisplay(r.out, progressui.PlainMode)
	if err != nil {
		for range r.ch {
			continue
		}
		return
	}
	warnings, _ := d.UpdateFrom(context.Background(), r.ch)
	r.warn(warnings)
}

// warn lists what the Dockerfile had better not do.
func (r *Watch) warn(list []client.VertexWarning) {
	if len(list) == 0 {
		return
	}
	noun := "warnings"
	if len(list) == 1 {
		noun = "warning"
	}
	fmt.Fprintf(r.out, "\n %d %s found:\n", len(list), noun)
	for _, w := range list {
		fmt.Fprintf(r.out, " - %s\n", w.Short)
		for _, d := range w.Detail {
			fmt.Fprintf(r.out, "   %s\n", d)
		}
		if w.URL != "" {
			fmt.Fprintf(r.out, "   %s\n", w.URL)
		}
	}
}

// Status takes the news in the order in which it happened.
func (r *Watch) Status(st *client.SolveStatus) {
	r.note(st)
	r.ch <- st
}

// Close returns when all has been written.
func (r *Watch) Close() {
	close(r.ch)
	<-r.end
}

func (r *Watch) note(st *client.SolveStatus) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, v := range st.Vertexes {
		r.step(v.Digest).name = v.Name
		if v.Error != "" && !strings.Contains(v.Error, context.Canceled.Error()) {
			r.failed = v.Digest
		}
	}
	for _, l := range st.Logs {
		s := r.step(l.Vertex)
		s.tail = append(s.tail, l.Data...)
		if len(s.tail) > 2*keepOutput {
			s.tail = append([]byte(nil), s.tail[len(s.tail)-keepOutput:]...)
		}
	}
}

func (r *Watch) step(d digest.Digest) *step {
	s := r.steps[d]
	if s == nil {
		s = &step{}
		r.steps[d] = s
	}
	return s
}

// lastLines are the last lines that the failing step wrote.
func (r *Watch) lastLines(n int) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.steps[r.failed]
	if s == nil || len(s.tail) == 0 {
		return nil
	}
	lines := strings.Split(strings.TrimRight(strings.ReplaceAll(string(s.tail), "\r\n", "\n"), "\n"), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return lines
}

// Package buildview shows how a build goes on a terminal: every step on a line
// of its own that lives until the step is done, with what it prints below it.
package buildview

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"lus/internal/cli/output/live"
	"lus/internal/model/build"
)

// Options are what a View draws on.
type Options struct {
	Out io.Writer
	// Size is the terminal's height and width; zero where it is not known.
	Size  func() (rows, cols uint)
	Now   func() time.Time
	Color bool
}

// View is the display of one build.
type View struct {
	o     Options
	began time.Time
	stop  chan struct{}
	done  chan struct{}

	mu       sync.Mutex
	steps    []*step // in the order in which they began
	known    map[string]*step
	total    int // steps that are known, begun or not
	warnings []build.Warning
	area     live.Area
	dirty    bool
}

// step is what is known of one step.
type step struct {
	build.Step
	shown bool
	parts []*build.StepPart
	log   logTail
}

// frame is how long a picture stays at least.
const frame = 100 * time.Millisecond

// New returns a View that draws until Close.
func New(o Options) *View {
	v := &View{o: o, began: o.Now(), area: live.Area{Out: o.Out}, known: map[string]*step{}, stop: make(chan struct{}), done: make(chan struct{})}
	go v.run()
	return v
}

// run draws from time to time: clocks move even where nothing happens.
func (v *View) run() {
	defer close(v.done)
	t := time.NewTicker(frame)
	defer t.Stop()
	for n := 0; ; n++ {
		select {
		case <-v.stop:
			return
		case <-t.C:
		}
		v.mu.Lock()
		if v.dirty || n%5 == 0 {
			v.draw(v.picture(false))
		}
		v.mu.Unlock()
	}
}

// Status takes news.
func (v *View) Status(st *build.Status) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.dirty = true
	for i := range st.Steps {
		v.note(&st.Steps[i])
	}
	for i := range st.Parts {
		if s := v.known[st.Parts[i].Step]; s != nil {
			s.part(&st.Parts[i])
		}
	}
	for _, l := range st.Logs {
		if s := v.known[l.Step]; s != nil {
			s.log.add(l.Data)
		}
	}
	v.warnings = append(v.warnings, st.Warnings...)
}

func (v *View) note(n *build.Step) {
	s := v.known[n.Digest]
	if s == nil {
		s = &step{}
		v.known[n.Digest] = s
		v.total++
	}
	begun := s.Started
	s.Step = *n
	if s.Started == nil {
		s.Started = begun
	}
	if !s.shown && (s.Started != nil || s.Completed != nil) {
		s.shown = true
		v.steps = append(v.steps, s)
	}
}

// part notes how far a part of the step is.
func (s *step) part(n *build.StepPart) {
	for i, p := range s.parts {
		if p.ID == n.ID {
			s.parts[i] = n
			return
		}
	}
	s.parts = append(s.parts, n)
}

// Close draws the last picture, which stays, and the warnings of a build that
// went well.
func (v *View) Close(ok bool) {
	close(v.stop)
	<-v.done
	v.mu.Lock()
	defer v.mu.Unlock()
	v.draw(v.picture(true))
	v.area.End()
	if ok {
		fmt.Fprint(v.o.Out, Warnings(v.warnings))
	}
}

// Leave gives the terminal back to who comes next, where the program is about to
// end in the middle of the build. Nothing is drawn after it.
func (v *View) Leave() {
	v.mu.Lock() // and never unlocked: the next picture would take the cursor again
	v.area.End()
}

// Warnings is the text that tells what a Dockerfile had better not do, as
// docker words it.
func Warnings(list []build.Warning) string {
	if len(list) == 0 {
		return ""
	}
	var b strings.Builder
	noun := "warnings"
	if len(list) == 1 {
		noun = "warning"
	}
	fmt.Fprintf(&b, "\n %d %s found:\n", len(list), noun)
	for _, w := range list {
		fmt.Fprintf(&b, " - %s\n", clean(string(w.Short)))
		for _, d := range w.Detail {
			fmt.Fprintf(&b, "   %s\n", clean(string(d)))
		}
		if w.URL != "" {
			fmt.Fprintf(&b, "   %s\n", clean(w.URL))
		}
	}
	return b.String()
}

// draw replaces the last picture.
func (v *View) draw(lines []string) {
	v.dirty = false
	v.area.Draw("", lines)
}

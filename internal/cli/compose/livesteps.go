package compose

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"lus/internal/cli/output/live"
	"lus/internal/cli/terminal"
	"lus/internal/model/compose"
)

// frame is how long a picture of the steps under way stays.
const frame = 100 * time.Millisecond

// liveSteps shows the steps under way at the end of a terminal, with how long
// they take, below the lines of those that ended. What is over within a frame is
// never drawn.
type liveSteps struct {
	size  func() (rows, cols int)
	color bool
	stop  chan struct{}
	done  chan struct{}

	mu    sync.Mutex
	area  live.Area
	steps []*underWay // in the order in which they began
	above strings.Builder
	turn  int
}

// underWay is one step.
type underWay struct {
	kind, name, status, progress string
	began                        time.Time
}

func newLiveSteps(out *os.File, color bool) *liveSteps {
	s := &liveSteps{area: live.Area{Out: out}, color: color, stop: make(chan struct{}), done: make(chan struct{})}
	s.size = func() (rows, cols int) {
		cols, rows, err := term.GetSize(int(out.Fd()))
		if err != nil || cols <= 0 || rows <= 0 {
			return 24, 80
		}
		return rows, cols
	}
	go s.run()
	return s
}

func (s *liveSteps) run() {
	defer close(s.done)
	t := time.NewTicker(frame)
	defer t.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-t.C:
		}
		s.mu.Lock()
		s.turn++
		s.draw(s.picture())
		s.mu.Unlock()
	}
}

// event takes news; line is what stays of it.
func (s *liveSteps) event(e compose.Event, line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := -1
	for i, u := range s.steps {
		if u.kind == e.Kind && u.name == e.Name {
			at = i
		}
	}
	switch {
	case e.Kind == "" || e.Warning != "" || e.Status == "" && e.Progress == "":
	case e.Done && at >= 0:
		s.steps = append(s.steps[:at], s.steps[at+1:]...)
	case e.Done:
	case at < 0:
		s.steps = append(s.steps, &underWay{kind: e.Kind, name: e.Name, status: e.Status, progress: e.Progress, began: time.Now()})
		line = ""
	default:
		u := s.steps[at]
		if e.Status != "" && e.Status != u.status {
			u.status, u.began, u.progress = e.Status, time.Now(), ""
		}
		u.progress = e.Progress
		line = ""
	}
	if line == "" {
		return
	}
	line = terminal.Colored(strings.TrimSuffix(line, "\n")) + "\n" // others wrote what builds print
	s.above.WriteString(line)
	s.draw(s.picture())
}

// draw shows what came since, and the steps.
func (s *liveSteps) draw(picture []string) {
	s.area.Draw(s.above.String(), picture)
	s.above.Reset()
}

// picture is the steps that have taken a frame by now, as many as there is room
// for.
func (s *liveSteps) picture() []string {
	rows, cols := s.size()
	var lines []string
	for _, u := range s.steps {
		took := time.Since(u.began)
		if took < frame {
			continue
		}
		text := " " + spinner(s.turn) + " " + u.kind + " " + u.name + "  " + u.status
		if u.progress != "" {
			text += "  " + u.progress
		}
		lines = append(lines, s.paint(live.Line(text, fmt.Sprintf("%.1fs", took.Seconds()), cols)))
	}
	if room := max(1, rows-2); len(lines) > room {
		lines = append(lines[:room-1], live.Cut("   and others", cols))
	}
	return lines
}

func (s *liveSteps) paint(line string) string {
	if !s.color {
		return line
	}
	return "\x1b[36m" + line + "\x1b[0m"
}

func spinner(turn int) string { return string([]rune("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")[turn%10]) }

// close takes the steps away; what ended stays.
func (s *liveSteps) close() {
	close(s.stop)
	<-s.done
	s.mu.Lock()
	defer s.mu.Unlock()
	s.draw(nil)
	s.area.End()
}

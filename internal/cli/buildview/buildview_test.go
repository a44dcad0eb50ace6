package buildview_test

import (
	"bytes"
	"strings"
	"sync"
	"testing"
	"time"

	"lus/internal/cli/buildview"
	"lus/internal/model/build"
)

// screen is a terminal that knows what the display needs of one: lines, the
// cursor that goes up, and clearing a line.
type screen struct {
	mu    sync.Mutex
	lines []string
	row   int
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for text := string(p); text != ""; {
		switch {
		case strings.HasPrefix(text, "\x1b["):
			end := strings.IndexAny(text[2:], "AKhlm") + 2
			n := 0
			for _, d := range text[2:end] {
				if d >= '0' && d <= '9' {
					n = n*10 + int(d-'0')
				}
			}
			switch text[end] {
			case 'A':
				s.row = max(0, s.row-n)
			case 'K':
				s.set("")
			}
			text = text[end+1:]
		case text[0] == '\n':
			s.row++
			text = text[1:]
		case text[0] == '\r':
			text = text[1:]
		default:
			end := strings.IndexAny(text, "\x1b\r\n")
			if end < 0 {
				end = len(text)
			}
			s.set(s.get() + text[:end])
			text = text[end:]
		}
	}
	return len(p), nil
}

func (s *screen) get() string {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, "")
	}
	return s.lines[s.row]
}

func (s *screen) set(text string) {
	s.get()
	s.lines[s.row] = text
}

func (s *screen) shown() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.lines, "\n")
}

// waitFor waits until the screen shows a text.
func (s *screen) waitFor(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(5 * time.Minute); !strings.Contains(s.shown(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%q is not shown; the screen is\n%s", text, s.shown())
		}
	}
}

var began = time.Unix(1000, 0)

func at(seconds float64) *time.Time {
	t := began.Add(time.Duration(seconds * float64(time.Second)))
	return &t
}

// view is a display whose clock stands 10 seconds after the beginning of the
// build's first step.
func view(s *screen, rows uint) *buildview.View {
	return buildview.New(buildview.Options{
		Out: s, Size: func() (uint, uint) { return rows, 50 }, Now: func() time.Time { return *at(10) },
	})
}

func TestStepsAreShownWhileTheyRun(t *testing.T) {
	t.Parallel()
	s := &screen{}
	v := view(s, 24)
	v.Status(&build.Status{Steps: []build.Step{
		{Digest: "a", Name: "[1/3] FROM busybox", Started: at(0), Completed: at(1), Cached: true},
		{Digest: "b", Name: "[2/3] RUN make", Started: at(8)},
		{Digest: "c", Name: "[3/3] COPY a b"},
	}})
	v.Status(&build.Status{
		Logs:  []build.StepLog{{Step: "b", Data: []byte("one\n\x1b[31mtwo\x1b[0m\nold\rnew\x1b]0;title\x07\n")}},
		Parts: []build.StepPart{{Step: "b", ID: "reading", Current: 1000, Total: 4000, Started: at(8)}},
	})
	s.waitFor(t, "new")
	want := strings.TrimLeft(`
[+] Building 0.0s (1/3)
 => CACHED [1/3] FROM busybox                 1.0s
 => [2/3] RUN make                            2.0s
 => => reading 1kB / 4kB                      2.0s
 => => # one
 => => # two
 => => # new`, "\n")
	if got := strings.TrimRight(s.shown(), "\n"); got != want {
		t.Errorf("the screen shows\n%s\nwant\n%s", got, want)
	}
	v.Status(&build.Status{Steps: []build.Step{
		{Digest: "b", Name: "[2/3] RUN make", Started: at(8), Completed: at(9), Error: "exit code: 2"},
		{Digest: "c", Name: "[3/3] COPY a b", Started: at(8), Completed: at(9), Error: "context canceled"},
	}})
	v.Close(false)
	want = strings.TrimLeft(`
[+] Building 0.0s (3/3) FINISHED
 => CACHED [1/3] FROM busybox                 1.0s
 => ERROR [2/3] RUN make                      1.0s
 => => reading 1kB / 4kB                      2.0s
 => CANCELED [3/3] COPY a b                   1.0s`, "\n")
	if got := strings.TrimRight(s.shown(), "\n"); got != want {
		t.Errorf("at the end the screen shows\n%s\nwant\n%s", got, want)
	}
}

func TestAPictureFitsTheTerminal(t *testing.T) {
	t.Parallel()
	s := &screen{}
	v := view(s, 6)
	var st build.Status
	for i := range 20 {
		st.Steps = append(st.Steps, build.Step{Digest: string(rune('a' + i)), Name: "done " + string(rune('a'+i)), Started: at(1), Completed: at(2)})
	}
	st.Steps = append(st.Steps, build.Step{Digest: "run", Name: "RUN what takes long", Started: at(3)})
	v.Status(&st)
	s.waitFor(t, "RUN what takes long")
	if got := strings.Count(strings.TrimRight(s.shown(), "\n"), "\n") + 1; got > 5 {
		t.Errorf("%d lines are drawn on 6:\n%s", got, s.shown())
	}
	v.Close(true)
	if got := strings.Count(s.shown(), "done "); got != 20 {
		t.Errorf("at the end %d of 20 steps are shown:\n%s", got, s.shown())
	}
}

func TestWarningsComeAtTheEnd(t *testing.T) {
	t.Parallel()
	list := []build.Warning{{Short: []byte("JSONArgsRecommended: x (line 3)"), Detail: [][]byte{[]byte("why")}, URL: "https://example.com"}}
	want := "\n 1 warning found:\n - JSONArgsRecommended: x (line 3)\n   why\n   https://example.com\n"
	if got := buildview.Warnings(list); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var out bytes.Buffer
	v := buildview.New(buildview.Options{Out: &out, Size: func() (uint, uint) { return 24, 50 }, Now: time.Now})
	v.Status(&build.Status{Warnings: list})
	v.Close(true)
	if !strings.HasSuffix(out.String(), want) {
		t.Errorf("the display ends with %q", out.String())
	}
}

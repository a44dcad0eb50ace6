package live_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"lus/internal/cli/output/live"
)

// screen is a terminal as far as an Area uses one.
type screen struct {
	lines []string
	row   int
	t     *testing.T
}

func (s *screen) Write(p []byte) (int, error) {
	text := string(p)
	for text != "" {
		switch {
		case strings.HasPrefix(text, "\x1b[?25"):
			text = text[len("\x1b[?25l"):]
		case strings.HasPrefix(text, "\x1b[2K"):
			s.reach()
			s.lines[s.row], text = "", text[len("\x1b[2K"):]
		case strings.HasPrefix(text, "\x1b["):
			n, rest, ok := strings.Cut(text[2:], "A")
			up, err := strconv.Atoi(n)
			if !ok || err != nil || up > s.row {
				s.t.Fatalf("moves by %q in row %d", text[:min(8, len(text))], s.row)
			}
			s.row, text = s.row-up, rest
		case text[0] == '\n':
			s.row++
			s.reach()
			text = text[1:]
		case text[0] == '\r':
			text = text[1:]
		default:
			s.reach()
			s.lines[s.row] += text[:1]
			text = text[1:]
		}
	}
	return len(p), nil
}

func (s *screen) reach() {
	for len(s.lines) <= s.row {
		s.lines = append(s.lines, "")
	}
}

func (s *screen) shows(want ...string) {
	s.t.Helper()
	got := slices.DeleteFunc(slices.Clone(s.lines), func(l string) bool { return l == "" })
	if !slices.Equal(got, want) {
		s.t.Fatalf("the screen shows %q, want %q", got, want)
	}
}

func TestWhatStaysGoesAboveWhatChanges(t *testing.T) {
	s := &screen{t: t}
	a := &live.Area{Out: s}
	a.Draw("", []string{"one", "two"})
	s.shows("one", "two")
	a.Draw("", []string{"three"})
	s.shows("three")
	a.Draw("stays 1\nstays 2\nstays 3\n", []string{"four", "five"})
	s.shows("stays 1", "stays 2", "stays 3", "four", "five")
	a.Draw("stays 4\n", nil)
	s.shows("stays 1", "stays 2", "stays 3", "stays 4")
	a.Draw("", []string{"six"})
	a.End()
	fmt.Fprintln(s, "after")
	s.shows("stays 1", "stays 2", "stays 3", "stays 4", "six", "after")
}

func TestLinesFit(t *testing.T) {
	for cols := range 60 {
		line := live.Line("Container läuft-und-läuft-1  Starting", "12.5s", cols)
		if n := len([]rune(line)); n > cols {
			t.Errorf("%d of %d columns: %q", n, cols, line)
		}
		if cols >= 16 && !strings.HasSuffix(line, " 12.5s") {
			t.Errorf("%d columns: %q", cols, line)
		}
	}
}

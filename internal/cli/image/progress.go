package image

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/docker/go-units"

	"lus/internal/base/errs"
	"lus/internal/cli/output/live"
	"lus/internal/cli/terminal"
	"lus/internal/client"
	"lus/internal/model/image"
)

// show prints a stream of progress messages, or nothing where quiet, and returns
// the error it ends with. On a terminal each layer keeps its line and moves; else
// each step is a line.
func show(from io.Reader, to *os.File, quiet bool) error {
	s := screen{to: to, moves: terminal.Is(to), lines: map[string]int{}}
	if _, cols := terminal.Size(to); cols > 0 {
		s.cols = int(cols)
	}
	news := client.NewMessages(from)
	for {
		var m struct {
			image.Progress
			Aux json.RawMessage `json:"aux"`
		}
		if err := news.Next(&m); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return errs.New(errs.Unavailable, "the daemon's answer broke off: %w", err)
		}
		switch {
		case m.ErrorIn != nil && m.ErrorIn.Message != "":
			return errs.New(errs.Internal, "%s", m.ErrorIn.Message)
		case m.Error != "":
			return errs.New(errs.Internal, "%s", m.Error)
		case m.Aux != nil, quiet:
			// for programs, or for nobody
		case m.Stream != "":
			fmt.Fprint(to, terminal.Harmless(to, m.Stream))
		default:
			s.message(m.Progress)
		}
	}
}

// screen is where progress is drawn.
type screen struct {
	to    *os.File
	moves bool
	cols  int
	lines map[string]int // which line, counted from the first, an id has
}

func (s *screen) message(m image.Progress) {
	text := m.Status
	if m.ID != "" {
		text = m.ID + ": " + text
	}
	if s.moves {
		text = terminal.Printable(text)
	}
	if m.Detail != nil && (m.Detail.Current > 0 || m.Detail.Total > 0) {
		if !s.moves {
			return // a log is no place for a bar that moves
		}
		text += " " + bar(m.Detail)
	}
	if !s.moves || m.ID == "" {
		fmt.Fprintln(s.to, text)
		// What follows stands below: lines above are done moving.
		s.lines = map[string]int{}
		return
	}
	if s.cols > 0 {
		text = live.Cut(text, s.cols)
	}
	line, known := s.lines[m.ID]
	if !known {
		s.lines[m.ID] = len(s.lines)
		fmt.Fprintln(s.to, text)
		return
	}
	up := len(s.lines) - line
	fmt.Fprintf(s.to, "\x1b[%dA\r\x1b[2K%s\x1b[%dB\r", up, text, up)
}

// bar draws how far it is: [====>      ]  1.2MB/3MB.
func bar(d *image.ProgressDetail) string {
	if d.Total <= 0 || d.Current > d.Total {
		return units.HumanSize(float64(d.Current))
	}
	const width = 30
	done := min(max(int(float64(d.Current)/float64(d.Total)*width), 0), width) // whatever a daemon says
	return fmt.Sprintf("[%s>%s] %8s/%s", strings.Repeat("=", done), strings.Repeat(" ", width-done),
		units.HumanSize(float64(d.Current)), units.HumanSize(float64(d.Total)))
}

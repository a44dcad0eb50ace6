package buildview

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"lus/internal/cli/output/live"
	"lus/internal/model/build"
)

// Colours as people know them: done is blue, failed red, cut short yellow.
const (
	blue   = "\x1b[34m"
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	faint  = "\x1b[2m"
	plain  = "\x1b[0m"
)

// picture is the display in lines. A last one shows every step; one in between
// shows what fits, the running steps first.
func (v *View) picture(last bool) []string {
	rows, cols := v.o.Size()
	if cols == 0 {
		cols = 80
	}
	completed := 0
	for _, s := range v.steps {
		if s.Completed != nil {
			completed++
		}
	}
	head := fmt.Sprintf("[+] Building %.1fs (%d/%d)", v.o.Now().Sub(v.began).Seconds(), completed, v.total)
	if last && completed == v.total {
		head += " FINISHED"
	}
	out := []string{live.Cut(head, int(cols))}
	blocks, room := v.blocks(int(cols), last), 0
	for _, b := range blocks {
		room += len(b)
	}
	if !last && rows > 0 {
		// What is done goes first, the oldest before the others.
		for i := 0; i < len(blocks) && room > int(rows)-2; i++ {
			if v.steps[i].Completed != nil {
				room -= len(blocks[i])
				blocks[i] = nil
			}
		}
	}
	for _, b := range blocks {
		out = append(out, b...)
	}
	if !last && rows > 0 && len(out) > int(rows)-1 {
		out = out[:max(1, int(rows)-1)]
	}
	return out
}

// blocks are the lines of each step.
func (v *View) blocks(cols int, last bool) [][]string {
	var out [][]string
	for _, s := range v.steps {
		out = append(out, v.block(s, cols, last))
	}
	return out
}

func (v *View) block(s *step, cols int, last bool) []string {
	name, color := clean(s.Name), ""
	switch {
	case s.Error != "" && strings.Contains(s.Error, "context canceled"):
		name, color = "CANCELED "+name, yellow
	case s.Error != "":
		name, color = "ERROR "+name, red
	case s.Cached:
		name, color = "CACHED "+name, blue
	case s.Completed != nil:
		color = blue
	}
	out := []string{v.line(" => "+name, v.since(s.Started, s.Completed), cols, color)}
	for _, p := range s.parts {
		color := ""
		if p.Completed != nil {
			color = blue
		}
		out = append(out, v.line(" => => "+partName(p), v.since(p.Started, p.Completed), cols, color))
	}
	if s.Completed == nil && !last {
		for _, l := range s.log.last(logLines) {
			out = append(out, v.paint(live.Cut(" => => # "+l, cols), faint))
		}
	}
	return out
}

// partName is a part with how far it is.
func partName(p *build.StepPart) string {
	name := clean(p.ID)
	switch {
	case p.Total > 0:
		return fmt.Sprintf("%s %s / %s", name, units.HumanSize(float64(p.Current)), units.HumanSize(float64(p.Total)))
	case p.Current > 0:
		return fmt.Sprintf("%s %s", name, units.HumanSize(float64(p.Current)))
	}
	return name
}

// since is how long something took, or takes.
func (v *View) since(from, to *time.Time) string {
	if from == nil {
		return "0.0s"
	}
	end := v.o.Now()
	if to != nil {
		end = *to
	}
	return fmt.Sprintf("%.1fs", max(0, end.Sub(*from).Seconds()))
}

// line is a text with its time at the right edge.
func (v *View) line(text, took string, cols int, color string) string {
	return v.paint(live.Line(text, took, cols), color)
}

func (v *View) paint(text, color string) string {
	if color == "" || !v.o.Color {
		return text
	}
	return color + text + plain
}

// Package live keeps some lines at the end of a terminal that change, below
// what stays.
package live

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// What moves the cursor and clears.
const (
	hideCursor = "\x1b[?25l"
	showCursor = "\x1b[?25h"
	clearLine  = "\x1b[2K"
)

// Area is the lines at the end. Nobody else may write to the terminal meanwhile.
type Area struct {
	Out   io.Writer
	drawn int // lines of the last picture, which the next one replaces
}

// Draw writes above, whole lines that stay, and below them lines in place of
// those that were drawn before. No line may be wider than the terminal.
func (a *Area) Draw(above string, lines []string) {
	if above == "" && len(lines) == 0 && a.drawn == 0 {
		return
	}
	var b strings.Builder
	b.WriteString(hideCursor)
	if a.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", a.drawn)
	}
	height := len(lines)
	for l := range strings.Lines(above) {
		b.WriteString("\r" + clearLine + strings.TrimSuffix(l, "\n") + "\n")
		height++
	}
	for _, l := range lines {
		b.WriteString("\r" + clearLine + l + "\n")
	}
	// A picture that shrank leaves no lines of the last one below it.
	extra := max(0, a.drawn-height)
	for range extra {
		b.WriteString(clearLine + "\n")
	}
	if extra > 0 {
		fmt.Fprintf(&b, "\x1b[%dA", extra)
	}
	a.drawn = len(lines)
	_, _ = io.WriteString(a.Out, b.String())
}

// End leaves the last picture as it is.
func (a *Area) End() {
	a.drawn = 0
	_, _ = io.WriteString(a.Out, showCursor)
}

// Line is a text with another, such as a time, at the right edge.
func Line(text, right string, cols int) string {
	room := cols - utf8.RuneCountInString(right) - 1
	if room < 10 {
		return Cut(text, cols)
	}
	text = Cut(text, room)
	return text + strings.Repeat(" ", room-utf8.RuneCountInString(text)+1) + right
}

// Cut shortens a text to a number of characters.
func Cut(text string, n int) string {
	if utf8.RuneCountInString(text) <= n {
		return text
	}
	return string([]rune(text)[:max(0, n)])
}

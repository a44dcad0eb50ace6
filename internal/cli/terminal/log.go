package terminal

import (
	"io"
	"os"
	"strings"
	"unicode/utf8"
)

// maxSequence bounds what is held back of a sequence whose end has not come.
const maxSequence = 4 << 10

// Log passes on what programs print, such as the steps of a build: to a terminal
// with their colours and without all else that it would obey, to anything else as
// it is.
type Log struct {
	to      io.Writer
	filters bool
	held    string // the beginning of what is not whole yet
	colored bool
}

// NewLog is a Log that writes to w.
func NewLog(w io.Writer) *Log {
	f, ok := w.(*os.File)
	return &Log{to: w, filters: ok && Is(f)}
}

// Write passes p on.
func (l *Log) Write(p []byte) (int, error) {
	if !l.filters {
		return l.to.Write(p)
	}
	if _, err := io.WriteString(l.to, l.shown(l.held+string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Close gives the terminal its own colours back.
func (l *Log) Close() error {
	l.held = ""
	if !l.colored {
		return nil
	}
	l.colored = false
	_, err := io.WriteString(l.to, "\x1b[0m")
	return err
}

// Colored is a whole text as a Log shows it on a terminal, which has its own colours
// again at the end.
func Colored(text string) string {
	l := &Log{}
	if text = l.shown(text); l.colored {
		text += "\x1b[0m"
	}
	return text
}

// shown is what is written of a text; its end is held back where it may go on.
func (l *Log) shown(text string) string {
	var b strings.Builder
	for l.held = ""; text != ""; {
		r, size := utf8.DecodeRuneInString(text)
		whole := utf8.FullRuneInString(text)
		switch {
		case r == '\x1b':
			if size, whole = Sequence(text); whole && isColor(text[:size]) {
				b.WriteString(text[:size])
				l.colored = true
			}
		case r == '\r':
			// What would be written over what is there stands behind it.
			if whole = len(text) > 1; whole && text[1] != '\n' {
				b.WriteByte(' ')
			}
		case whole && !order(r):
			b.WriteRune(r)
		}
		if !whole && len(text) < maxSequence {
			l.held = text
			break
		}
		text = text[size:]
	}
	return b.String()
}

// Sequence is the length of the escape sequence that a text begins with, and
// whether its end is in the text. One that is broken off by another character
// ends before that.
func Sequence(text string) (n int, whole bool) {
	within := func(from, to byte) {
		for n < len(text) && text[n] >= from && text[n] <= to {
			n++
		}
	}
	n = 1
	if n == len(text) {
		return n, false
	}
	switch text[n] {
	case ']', 'P', 'X', '^', '_': // a title or the like, to its bell or ESC \
		i := strings.IndexAny(text[n:], "\a\n\x1b")
		switch {
		case i < 0:
			return len(text), false
		case text[n+i] == '\a':
			return n + i + 1, true
		case text[n+i] == '\n':
			return n + i, true
		}
		n += i
		if n+1 == len(text) {
			return len(text), false
		}
		if text[n+1] == '\\' {
			n += 2
		}
		return n, true
	case '[':
		n++
		within('0', '?')
	}
	within(' ', '/')
	if n == len(text) {
		return n, false
	}
	if text[n] >= '0' && text[n] <= '~' {
		n++
	}
	return n, true
}

// isColor reports whether a sequence sets nothing but how characters look.
func isColor(sequence string) bool {
	inner, ok := strings.CutPrefix(sequence, "\x1b[")
	inner, end := strings.CutSuffix(inner, "m")
	return ok && end && strings.Trim(inner, "0123456789;:") == ""
}

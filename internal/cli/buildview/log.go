package buildview

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"lus/internal/cli/terminal"
)

// logLines is how many lines of a running step's output are shown.
const logLines = 6

// keepLog bounds what is kept of a step's output, in bytes.
const keepLog = 8 << 10

// logTail is the end of what a step printed.
type logTail struct{ data []byte }

func (l *logTail) add(p []byte) {
	l.data = append(l.data, p...)
	if len(l.data) > 2*keepLog {
		l.data = append([]byte(nil), l.data[len(l.data)-keepLog:]...)
	}
}

// last are the last lines, as they would stand on a terminal.
func (l *logTail) last(n int) []string {
	text := strings.TrimRight(strings.ReplaceAll(string(l.data), "\r\n", "\n"), "\n")
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	lines = lines[max(0, len(lines)-n):]
	for i, line := range lines {
		// What comes after a carriage return stands over what was before it.
		line = strings.TrimRight(line, "\r")
		lines[i] = clean(line[strings.LastIndexByte(line, '\r')+1:])
	}
	return lines
}

// clean takes out of a text what would move the cursor or change the terminal:
// a step's name and output are written by whoever wrote the Dockerfile.
func clean(text string) string {
	var b strings.Builder
	for len(text) > 0 {
		r, size := utf8.DecodeRuneInString(text)
		switch {
		case r == '\x1b':
			size, _ = terminal.Sequence(text)
		case r == '\t':
			b.WriteString("    ")
		case r == '\n':
			b.WriteByte(' ')
		case unicode.IsPrint(r) && r != utf8.RuneError:
			b.WriteRune(r)
		}
		text = text[size:]
	}
	return b.String()
}

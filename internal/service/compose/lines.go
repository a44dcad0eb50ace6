package compose

import (
	"bytes"
	"io"
	"strings"
)

// maxLine bounds a line that is waited for: what is longer is told in parts, so
// that a program which never ends its line does not fill the daemon's memory.
const maxLine = 64 << 10

// lines cuts what is written into whole lines, each with a prefix.
type lines struct {
	emit   func(string)
	prefix string
	rest   []byte
}

var _ io.Writer = (*lines)(nil)

func (l *lines) Write(p []byte) (int, error) {
	n := len(p)
	if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
		l.tell(string(l.rest) + string(p[:i+1]))
		l.rest, p = l.rest[:0], p[i+1:]
	}
	for len(p) > 0 {
		more := min(len(p), maxLine-len(l.rest))
		l.rest, p = append(l.rest, p[:more]...), p[more:]
		if len(l.rest) == maxLine {
			l.flush()
		}
	}
	return n, nil
}

func (l *lines) tell(text string) {
	if l.prefix != "" {
		text = l.prefix + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n"+l.prefix) + "\n"
	}
	l.emit(text)
}

func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.tell(string(l.rest) + "\n")
		l.rest = l.rest[:0]
	}
}

package compose

import (
	"bytes"
	"io"
	"sync"
	"time"
)

// stamped takes the times off the lines of a stream, unless they are to be kept,
// and remembers the latest.
type stamped struct {
	w    io.Writer
	keep bool
	last time.Time
	head []byte // of a line, up to its time's end
	rest bool   // of a line is what comes
}

// stampSize is how long a time is before a line, with the blank behind it.
const stampSize = len("2006-01-02T15:04:05.000000000Z ")

func (s *stamped) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		if !s.rest {
			more := min(stampSize-len(s.head), len(b))
			s.head, b = append(s.head, b[:more]...), b[more:]
			if len(s.head) < stampSize {
				return n, nil
			}
			if t, err := time.Parse(time.RFC3339Nano, string(s.head[:stampSize-1])); err == nil && t.After(s.last) {
				s.last = t
			}
			if s.keep {
				if _, err := s.w.Write(s.head); err != nil {
					return n, err
				}
			}
			s.head, s.rest = s.head[:0], true
		}
		line := b
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			line, s.rest = b[:i+1], false
		}
		if _, err := s.w.Write(line); err != nil {
			return n, err
		}
		b = b[len(line):]
	}
	return n, nil
}

// shared lets several writers write whole lines to one.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

// maxLine bounds a line that is waited for: what is longer is cut there, so that a
// program which never ends its line does not fill the memory.
const maxLine = 1 << 20

// prefixed writes whole lines behind a prefix.
type prefixed struct {
	out    *shared
	prefix string
	rest   []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	n := len(b)
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\n')
		end := i + 1
		if i < 0 {
			end = min(len(b), maxLine-len(p.rest))
		}
		p.rest, b = append(p.rest, b[:end]...), b[end:]
		switch {
		case i >= 0:
			if err := p.line(p.rest); err != nil {
				return n, err
			}
			p.rest = p.rest[:0]
		case len(p.rest) >= maxLine:
			p.flush()
		}
	}
	return n, nil
}

func (p *prefixed) line(b []byte) error {
	p.out.mu.Lock()
	defer p.out.mu.Unlock()
	_, err := p.out.w.Write(append([]byte(p.prefix), b...))
	return err
}

func (p *prefixed) flush() {
	if len(p.rest) > 0 {
		_ = p.line(append(p.rest, '\n'))
		p.rest = nil
	}
}

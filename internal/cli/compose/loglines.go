package compose

import (
	"bufio"
	"encoding/binary"
	"io"
	"sync"
	"time"

	"lus/internal/base/errs"
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
		if i := indexNewline(b); i >= 0 {
			line, s.rest = b[:i+1], false
		}
		if _, err := s.w.Write(line); err != nil {
			return n, err
		}
		b = b[len(line):]
	}
	return n, nil
}

// maxFrame bounds one frame of the log stream: what is longer is not from a
// daemon that speaks this protocol.
const maxFrame = 16 << 20

// demux copies the payload of 8-byte framed output.
func demux(r io.Reader, out, errOut io.Writer) error {
	in := bufio.NewReaderSize(r, 64<<10)
	var head [8]byte
	for {
		if _, err := io.ReadFull(in, head[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		n := binary.BigEndian.Uint32(head[4:])
		if head[0] > 2 || n > maxFrame {
			return errs.New(errs.Internal, "the log stream is broken: frame of type %d and %d bytes", head[0], n)
		}
		w := out
		if head[0] == 2 {
			w = errOut
		}
		if _, err := io.CopyN(w, in, int64(n)); err != nil {
			return err
		}
	}
}

// shared lets several writers write whole lines to one.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

// prefixed writes whole lines behind a prefix.
type prefixed struct {
	out    *shared
	prefix string
	rest   []byte
}

func (p *prefixed) Write(b []byte) (int, error) {
	p.rest = append(p.rest, b...)
	for {
		i := indexNewline(p.rest)
		if i < 0 {
			return len(b), nil
		}
		if err := p.line(p.rest[:i+1]); err != nil {
			return len(b), err
		}
		p.rest = p.rest[i+1:]
	}
}

func indexNewline(b []byte) int {
	for i, c := range b {
		if c == '\n' {
			return i
		}
	}
	return -1
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

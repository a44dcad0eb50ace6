package docker

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

const (
	rawStream   = "application/vnd.docker.raw-stream"
	multiplexed = "application/vnd.docker.multiplexed-stream"
)

// streamType is the content type of output: since 1.42 it tells frames from a
// terminal's raw bytes.
func streamType(r *http.Request, tty bool) string {
	if tty || !atLeast(r, "1.42") {
		return rawStream
	}
	return multiplexed
}

// framer writes records as a client expects them: raw from a terminal, else
// behind 8 bytes that name stream and length.
type framer struct {
	w          io.Writer
	raw        bool
	timestamps bool
	details    []byte // stands before each line
	flush      func()
	ahead      []byte  // goes before the first record, in one write with it
	partial    [2]bool // the stream's last record had no newline
	buf        []byte
}

// begin writes what goes before the first record.
func (f *framer) begin() error {
	_, err := f.w.Write(f.ahead)
	f.ahead = nil
	return err
}

func (f *framer) copy(from container.LogReader) error {
	for {
		rec, err := from.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := f.write(rec); err != nil {
			return err
		}
		if f.flush != nil {
			f.flush()
		}
	}
}

func (f *framer) write(rec container.LogRecord) error {
	f.buf = append(f.buf[:0], f.ahead...)
	at := len(f.ahead)
	f.ahead = nil
	stream := 0
	if rec.Stderr {
		stream = 1
	}
	if !f.raw {
		f.buf = append(f.buf, byte(stream+1), 0, 0, 0, 0, 0, 0, 0)
	}
	if f.timestamps || f.details != nil {
		f.stamp(rec, stream)
	} else {
		f.buf = append(f.buf, rec.Data...)
	}
	if !f.raw {
		binary.BigEndian.PutUint32(f.buf[at+4:], uint32(len(f.buf)-at-8))
	}
	_, err := f.w.Write(f.buf)
	return err
}

// stampFormat is RFC 3339 with all nine digits, so that columns align.
const stampFormat = "2006-01-02T15:04:05.000000000Z07:00"

// stamp adds the record's data with its time and details before each line.
func (f *framer) stamp(rec container.LogRecord, stream int) {
	var at []byte
	if f.timestamps {
		at = append(rec.Time.UTC().AppendFormat(at, stampFormat), ' ')
	}
	at = append(at, f.details...)
	for line := range strings.SplitAfterSeq(string(rec.Data), "\n") {
		if line == "" {
			continue
		}
		if !f.partial[stream] {
			f.buf = append(f.buf, at...)
		}
		f.buf = append(f.buf, line...)
		f.partial[stream] = line[len(line)-1] != '\n'
	}
}

// lasting is the context of a stream. A client that has nothing more to write
// closes its side, which ends the request's own context; the stream goes on.
func lasting(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithCancel(context.WithoutCancel(r.Context()))
}

// hijack takes the connection over and joins it to a stream, until the output
// ends, the client detaches, or it goes away.
func (h *handler) hijack(w http.ResponseWriter, r *http.Request, s *container.Stream, keys []byte) error {
	conn, ahead, err := take(w)
	if err != nil {
		_ = s.Detach()
		return err
	}
	defer conn.Close()
	head := "HTTP/1.1 200 OK\r\nContent-Type: " + rawStream + "\r\n\r\n"
	if r.Header.Get("Upgrade") != "" {
		head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: " + streamType(r, s.Tty) + "\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
	}
	_, _ = io.WriteString(conn, head) // who is gone by now is noticed by carry, which ends the input
	h.carry(conn, ahead, s, keys, &framer{w: conn, raw: s.Tty}, func(<-chan struct{}) {})
	return nil
}

// take takes the connection over from HTTP, with what was read ahead on it.
func take(w http.ResponseWriter) (net.Conn, *bufio.Reader, error) {
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return nil, nil, errs.New(errs.Internal, "taking the connection over: %w", err)
	}
	if b, ok := w.(*watcher); ok {
		b.begun = true
	}
	return conn, buffered.Reader, nil
}

// carry copies both ways until the output ends, the client detaches, or it goes
// away. last is called after the output; gone is closed where nobody is there to
// hear more. The connection is closed in the end.
func (h *handler) carry(conn net.Conn, ahead *bufio.Reader, s *container.Stream, keys []byte, out *framer, last func(gone <-chan struct{})) {
	input := make(chan struct{})
	go func() {
		defer close(input)
		h.input(rest(conn, ahead), s, keys, func() {
			if s.Left != nil {
				s.Left()
			}
			_ = s.Detach()
			_ = conn.Close()
		})
		if hungUp(conn) {
			_ = s.Detach()
		}
	}()
	if s.Out != nil {
		_ = out.copy(s.Out)
	} else {
		<-input
	}
	last(input)
	if s.Out != nil { // not before the last word: files are closed, and watches taken off
		_ = s.Out.Close()
	}
	_ = s.Detach()
	// The input waits for a client that may never write again: end it.
	_ = conn.Close()
	<-input
}

// rest is what the client writes: what was read ahead, then the connection
// itself.
func rest(conn net.Conn, ahead *bufio.Reader) io.Reader {
	early, _ := ahead.Peek(ahead.Buffered())
	return io.MultiReader(bytes.NewReader(early), conn)
}

// hungUp waits, after the client closed its side, until it is gone altogether
// (true) or we close the connection ourselves.
func hungUp(conn net.Conn) bool {
	raw, err := conn.(syscall.Conn).SyscallConn()
	if err != nil {
		return false
	}
	gone := false
	err = raw.Read(func(fd uintptr) bool {
		p := []unix.PollFd{{Fd: int32(fd)}} // a hangup is always told
		_, err := unix.Poll(p, 0)
		gone = err == nil && p[0].Revents&(unix.POLLHUP|unix.POLLERR) != 0
		return gone
	})
	return err == nil && gone
}

// input copies what the client writes to the process. The client's end of
// writing is the end of the process's input, not of the stream; its going away
// is the end of both.
func (h *handler) input(from io.Reader, s *container.Stream, keys []byte, detach func()) {
	to := io.Discard
	if s.In != nil {
		to = s.In
		defer s.In.Close()
		if s.Tty {
			from = &keyReader{r: from, keys: keys, detach: detach}
		}
	}
	_, err := io.Copy(to, from)
	if err != nil && !errors.Is(err, errDetached) {
		h.Log.Debug("the input of a stream ended", "error", err)
	}
}

// errDetached ends the input of a client that typed the detach keys.
var errDetached = errors.New("detached")

// keyReader looks for the detach keys in what a terminal's user types. Keys
// that turn out not to be the sequence are passed on.
type keyReader struct {
	r      io.Reader
	keys   []byte
	seen   int // how much of the sequence was typed, held back
	typed  bool
	ready  []byte
	detach func()
}

func (k *keyReader) Read(p []byte) (int, error) {
	for {
		if len(k.ready) > 0 {
			n := copy(p, k.ready)
			k.ready = k.ready[n:]
			return n, nil
		}
		if k.typed {
			k.detach()
			return 0, errDetached
		}
		buf := make([]byte, max(1, len(p)))
		n, err := k.r.Read(buf)
		for _, b := range buf[:n] {
			if k.typed = k.next(b); k.typed {
				break // what was typed before is passed on first
			}
		}
		if err != nil && !k.typed {
			k.ready = append(k.ready, k.keys[:k.seen]...)
			k.seen = 0
			if len(k.ready) == 0 {
				return 0, err
			}
		}
	}
}

// next takes one byte and reports whether the sequence is complete.
func (k *keyReader) next(b byte) bool {
	if len(k.keys) == 0 {
		k.ready = append(k.ready, b)
		return false
	}
	if b != k.keys[k.seen] {
		k.ready = append(k.ready, k.keys[:k.seen]...)
		k.seen = 0
		if b != k.keys[0] {
			k.ready = append(k.ready, b)
			return false
		}
	}
	k.seen++
	return k.seen == len(k.keys)
}

// parseKeys reads a key sequence such as "ctrl-p,ctrl-q" or "a,ctrl-[". Empty
// is the default.
func parseKeys(s string) ([]byte, error) {
	if s == "" {
		return []byte{16, 17}, nil
	}
	var out []byte
	for part := range strings.SplitSeq(s, ",") {
		key, isCtrl := strings.CutPrefix(part, "ctrl-")
		if len(key) != 1 {
			return nil, errs.New(errs.Invalid, "invalid detach keys %q: write single characters or ctrl-x, separated by commas", s)
		}
		c := key[0]
		if !isCtrl {
			out = append(out, c)
			continue
		}
		switch {
		case c >= 'a' && c <= 'z':
			c -= 'a' - 1
		case c >= 'A' && c <= 'Z':
			c -= 'A' - 1
		case c == '@':
			c = 0
		case c >= '[' && c <= '_':
			c -= '@'
		default:
			return nil, errs.New(errs.Invalid, "invalid detach keys %q: ctrl-%c is no key", s, c)
		}
		out = append(out, c)
	}
	return out, nil
}

package logs

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"lus/internal/base/errs"
)

// Options say what to read.
type Options struct {
	// Since and Until bound the time of the records, both inclusive; zero is no bound.
	Since, Until time.Time
	// Tail begins this many lines from the end; negative reads everything.
	Tail int
	// Lines yields one line at a time (or a piece of one, Partial) instead of
	// whatever was drained at once, which is what a plain stream wants.
	Lines bool
	// Stdout and Stderr choose the streams; neither means both.
	Stdout, Stderr bool
	// Notices yields also the records that tell what was lost.
	Notices bool
	// Hub follows the log as it grows; nil ends at its end.
	Hub *Hub
}

func (o Options) wants(s Stream) bool {
	switch s {
	case Stdout:
		return o.Stdout || !o.Stderr
	case Stderr:
		return o.Stderr || !o.Stdout
	default:
		return o.Notices
	}
}

// Reader reads a log from its oldest file to its newest. Next is for one
// goroutine; Drain, Notify and Close are for any.
type Reader struct {
	path  string
	opt   Options
	files []*file // still to read, oldest first; the first is being read
	seq   uint64  // of the newest file seen
	win   window
	rest  Entry // what Next has not yet yielded of a record, with opt.Lines

	sub      *subscription
	draining atomic.Bool
	drained  chan struct{}
	once     sync.Once
	closed   chan struct{}
	closing  sync.Once
	reading  sync.Mutex // held by Next, which has the files then
}

// file is one file of a log, open.
type file struct {
	f    *os.File
	head head
	off  int64
}

// Open opens the log at path for reading. A log that does not exist yet is
// empty. The caller closes the reader.
func Open(path string, opt Options) (*Reader, error) {
	r := &Reader{path: path, opt: opt, drained: make(chan struct{}), closed: make(chan struct{})}
	if opt.Hub != nil {
		// First the watch, then the look: so nothing falls between.
		sub, err := opt.Hub.subscribe(path)
		if err != nil {
			return nil, err
		}
		r.sub = sub
	}
	err := r.find()
	if err == nil && opt.Tail >= 0 {
		err = r.seekTail(opt.Tail)
	}
	if err != nil {
		r.Close()
		return nil, err
	}
	return r, nil
}

// Close ends reading; a Next that waits returns.
func (r *Reader) Close() {
	r.closing.Do(func() {
		close(r.closed)
		if r.sub != nil {
			r.sub.close()
		}
	})
	r.letGo()
}

// letGo closes the files of a reader that is closed, unless a Next is under way, which
// does it then. The end of what there is to read closes nothing: that takes a while,
// and somebody waits for the end.
func (r *Reader) letGo() {
	select {
	case <-r.closed:
	default:
		return
	}
	if !r.reading.TryLock() {
		return
	}
	defer r.reading.Unlock()
	for _, f := range r.files {
		f.f.Close()
	}
	r.files = nil
}

// Drain tells a follower that the writer has ended: Next yields what is there
// and then io.EOF.
func (r *Reader) Drain() {
	r.once.Do(func() {
		r.draining.Store(true)
		close(r.drained)
	})
}

// Notify makes a follower look again. Needed only where the kernel does not
// tell, as on some network file systems.
func (r *Reader) Notify() {
	if r.sub != nil {
		r.sub.poke()
	}
}

// Next returns the next entry, waiting for it where the log is followed. It
// returns io.EOF at the end. What it returns is valid until the next call.
func (r *Reader) Next(ctx context.Context) (Entry, error) {
	r.reading.Lock()
	e, err := r.next(ctx)
	r.reading.Unlock()
	r.letGo()
	return e, err
}

func (r *Reader) next(ctx context.Context) (Entry, error) {
	for {
		if err := r.interrupted(ctx); err != nil {
			return Entry{}, err
		}
		if len(r.rest.Data) > 0 {
			return r.line(), nil
		}
		last := r.sub == nil || r.draining.Load()
		e, ok, err := r.record()
		if err != nil {
			return Entry{}, errs.New(errs.Internal, "cannot read the log %s: %w", r.path, err)
		}
		if ok {
			if r.after(e.Time) {
				return Entry{}, io.EOF
			}
			if !r.opt.wants(e.Stream) || e.Time.Before(r.opt.Since) {
				continue
			}
			if r.opt.Lines {
				r.rest = e
				continue
			}
			return e, nil
		}
		if last {
			return Entry{}, io.EOF
		}
		if err := r.wait(ctx); err != nil {
			return Entry{}, err
		}
	}
}

func (r *Reader) interrupted(ctx context.Context) error {
	select {
	case <-r.closed:
		return errClosed
	default:
		return ctx.Err()
	}
}

func (r *Reader) after(t time.Time) bool {
	return !r.opt.Until.IsZero() && t.After(r.opt.Until)
}

// line takes one line, or what there is of it, off the rest.
func (r *Reader) line() Entry {
	e := r.rest
	if i := bytes.IndexByte(e.Data, '\n'); i >= 0 {
		e.Data, r.rest.Data, e.Partial = e.Data[:i+1], e.Data[i+1:], false
	} else {
		r.rest.Data, e.Partial = nil, true
	}
	return e
}

// record returns the next record of the log, going on to younger files.
func (r *Reader) record() (Entry, bool, error) {
	for {
		e, ok, err := r.fromFirst()
		if ok || err != nil {
			return e, ok, err
		}
		if len(r.files) < 2 {
			grown, err := r.rotated()
			if err != nil || !grown {
				return Entry{}, false, err
			}
			// The file is complete now: once more for what came in between.
			if e, ok, err := r.fromFirst(); ok || err != nil {
				return e, ok, err
			}
		}
		if len(r.files) < 2 {
			return Entry{}, false, nil
		}
		r.files[0].f.Close()
		r.files = r.files[1:]
		r.openWindow()
	}
}

func (r *Reader) fromFirst() (Entry, bool, error) {
	if len(r.files) == 0 {
		return Entry{}, false, nil
	}
	f := r.files[0]
	e, end, err := r.win.next(f.head, f.off)
	if end == 0 && err == nil {
		// The end may have been seen half written: read it anew.
		r.win.forget()
		e, end, err = r.win.next(f.head, f.off)
	}
	if end == 0 || err != nil {
		r.win.forget()
		return Entry{}, false, err
	}
	f.off = end
	return e, true, nil
}

// rotated looks for files younger than those known.
func (r *Reader) rotated() (bool, error) {
	if r.sub == nil {
		return false, nil
	}
	if len(r.files) > 0 {
		mine, err := r.files[len(r.files)-1].f.Stat()
		if err != nil {
			return false, err
		}
		newest, err := os.Stat(r.path)
		if err != nil || os.SameFile(mine, newest) {
			return false, gentle(err)
		}
	}
	known := len(r.files)
	err := r.find()
	return len(r.files) > known, err
}

func (r *Reader) openWindow() {
	r.win.forget()
	if len(r.files) > 0 {
		r.win.src = r.files[0].f
	}
}

// wait returns when there may be more to read.
func (r *Reader) wait(ctx context.Context) error {
	var until <-chan time.Time
	if !r.opt.Until.IsZero() {
		t := time.NewTimer(time.Until(r.opt.Until))
		defer t.Stop()
		until = t.C
	}
	select {
	case <-r.sub.wake:
	case <-r.drained:
	case <-until:
		r.Drain()
	case <-r.sub.gone:
		r.Drain()
	case <-r.closed:
	case <-ctx.Done():
	}
	return r.interrupted(ctx)
}

// gentle takes a missing file for what it is while a log rotates: nothing.
func gentle(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

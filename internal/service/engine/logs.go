package engine

import (
	"context"
	"errors"
	"io"
	"sync"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/service/engine/internal/spec"
	"lus/internal/store/logs"
)

// Logs reads what the container has written, and with Follow what it writes
// until it ends for good, or until the run under way does.
func (e *Engine) Logs(ctx context.Context, name string, o container.LogOptions) (container.LogReader, bool, error) {
	u, err := e.find(name)
	if err != nil {
		return nil, false, err
	}
	if !o.Stdout && !o.Stderr {
		return nil, false, errs.New(errs.Invalid, "you must choose at least one stream")
	}
	opt := logs.Options{Since: o.Since, Until: o.Until, Tail: o.Tail, Lines: o.Timestamps, Stdout: o.Stdout, Stderr: o.Stderr, Notices: true}
	follow := o.Follow
	u.mu.Lock()
	r, tty, none := u.run, u.rec.Config.Tty, unlogged(u.rec.HostConfig)
	active := u.rec.State.Running() || u.launching || u.rec.State.Status == container.Restarting && !o.Run
	u.mu.Unlock()
	if none {
		return nil, false, notKept()
	}
	if follow && active {
		opt.Hub = e.hub
	}
	reader, err := e.open(ctx, u, opt)
	if err != nil {
		return nil, false, err
	}
	if opt.Hub != nil {
		reader.until(func(ctx context.Context) {
			if o.Run {
				r.awaitEnd(ctx)
				return
			}
			out := make(chan container.Exit, 1)
			e.waitStopped(ctx, u, r, out)
		})
	}
	return reader, tty, nil
}

// unlogged reports whether what the container writes is for those alone who are
// attached to it, and not kept.
func unlogged(h *container.HostConfig) bool { return h.LogConfig.Type == spec.NoLog }

func notKept() error {
	return errs.New(errs.Unsupported, "configured logging driver does not support reading")
}

// dropPassing removes what an unlogged container wrote, once those who were
// attached to that run have read it. Nobody opens it meanwhile: whoever attaches
// to the next run waits for this.
func (e *Engine) dropPassing(u *unit, r *run) {
	await(&r.attached)
	rec := u.snapshot()
	e.warn("removing output that is not kept", &rec, e.paths(u.id).dropLog())
}

// reader gives a log's entries as the API wants them. Its context ends with
// the caller's or with Close.
type reader struct {
	ctx    context.Context
	cancel context.CancelFunc
	log    *logs.Reader
	once   sync.Once
	wg     sync.WaitGroup
	done   func()
	ended  func() // called where Next gives no more; nil: nobody waits for that
}

func (e *Engine) open(ctx context.Context, u *unit, opt logs.Options) (*reader, error) {
	u.readers.Add(1)
	l, err := logs.Open(e.paths(u.id).log, opt)
	if err != nil {
		u.readers.Done()
		return nil, err
	}
	r := &reader{log: l, done: u.readers.Done}
	r.ctx, r.cancel = context.WithCancel(ctx)
	return r, nil
}

// until ends the following when wait returns: what has been written by then is
// still read.
func (r *reader) until(wait func(context.Context)) {
	r.wg.Go(func() {
		wait(r.ctx)
		r.log.Drain()
	})
}

// Next implements container.LogReader.
func (r *reader) Next() (container.LogRecord, error) {
	en, err := r.log.Next(r.ctx)
	if err != nil {
		if r.ended != nil {
			r.ended()
		}
		if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			err = io.EOF
		}
		return container.LogRecord{}, err
	}
	return container.LogRecord{Time: en.Time, Stderr: en.Stream != logs.Stdout, Data: en.Data}, nil
}

// Close implements container.LogReader.
func (r *reader) Close() error {
	r.once.Do(func() {
		r.cancel()
		r.log.Close()
		r.wg.Wait()
		r.done()
	})
	return nil
}

// Package stall ends a request whose other side stands still: it neither sends nor
// takes anything, or so little that the end would never come.
package stall

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
)

// Err is what a request ends with.
var Err = errors.New("the other side stopped sending")

const (
	// silence is how many times the limit an answer may take to what was sent
	// whole: some put a layer together only then.
	silence = 5
	// crawl is how many bytes for each second of the limit must come while
	// somebody waits for them.
	crawl = 1 << 10
)

// Transport sends requests by Next. Limit is how long the other side may send or
// take nothing. While we ourselves produce what is sent, or do something else than
// wait for what comes, no time passes.
type Transport struct {
	Next  http.RoundTripper
	Limit time.Duration
}

// RoundTrip implements http.RoundTripper.
func (t Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(r.Context())
	watch := time.AfterFunc(t.Limit, func() { cancel(Err) })
	sent := r.WithContext(ctx)
	if r.Body != nil && r.Body != http.NoBody {
		sent.Body = t.outgoing(r.Body, watch)
		if get := r.GetBody; get != nil {
			sent.GetBody = func() (io.ReadCloser, error) {
				b, err := get()
				if err != nil {
					return nil, err
				}
				return t.outgoing(b, watch), nil
			}
		}
	}
	resp, err := t.Next.RoundTrip(sent)
	if err != nil {
		err = why(ctx, err)
		watch.Stop()
		cancel(nil)
		return nil, err
	}
	watch.Stop()
	resp.Body = &incoming{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, watch: watch, limit: t.Limit}
	return resp, nil
}

// why tells our own cancelling from the caller's.
func why(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), Err) {
		return Err
	}
	return err
}

// outgoing is what we send. It is read when the other side takes more.
type outgoing struct {
	io.ReadCloser
	watch *time.Timer
	limit time.Duration
}

func (t Transport) outgoing(b io.ReadCloser, watch *time.Timer) io.ReadCloser {
	return &outgoing{b, watch, t.Limit}
}

// Read implements io.Reader.
func (o *outgoing) Read(p []byte) (int, error) {
	o.watch.Stop()
	n, err := o.ReadCloser.Read(p)
	if err != nil {
		o.watch.Reset(silence * o.limit)
	} else {
		o.watch.Reset(o.limit)
	}
	return n, err
}

// incoming is what comes. Each stretch of waiting as long as the limit must bring
// its due.
type incoming struct {
	io.ReadCloser
	ctx    context.Context
	cancel context.CancelCauseFunc
	watch  *time.Timer
	limit  time.Duration

	waited time.Duration // in this stretch
	came   int64         // in this stretch
}

// Read implements io.Reader.
func (i *incoming) Read(p []byte) (int, error) {
	begin := time.Now()
	i.watch.Reset(i.limit - i.waited)
	n, err := i.ReadCloser.Read(p)
	i.watch.Stop()
	i.waited += time.Since(begin)
	i.came += int64(n)
	if due := int64(i.limit.Seconds() * crawl); i.came >= due {
		i.waited, i.came = 0, 0
	}
	if err != nil && !errors.Is(err, io.EOF) {
		err = why(i.ctx, err)
	}
	return n, err
}

// Close implements io.Closer.
func (i *incoming) Close() error {
	err := i.ReadCloser.Close()
	i.watch.Stop()
	i.cancel(nil)
	return err
}

package docker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"lus/internal/base/errs"
)

// download opens what lies at a URL; one without a scheme is of HTTP, as in
// Docker. It ends when a server that has begun to answer sends nothing for a
// while, or with ctx.
func download(ctx context.Context, src string) (io.ReadCloser, error) {
	if !strings.Contains(src, "://") {
		src = "http://" + src
	}
	if !strings.HasPrefix(src, "http://") && !strings.HasPrefix(src, "https://") {
		return nil, errs.New(errs.Invalid, "invalid source %q: a tar is imported from standard input or from a URL of http or https", src)
	}
	ctx, cancel := context.WithCancel(ctx)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, src, http.NoBody)
	if err != nil {
		cancel()
		return nil, errs.New(errs.Invalid, "invalid URL %q: %w", src, err)
	}
	d := &downloaded{cancel: cancel, stalled: time.AfterFunc(stallDownload, cancel)}
	resp, err := http.DefaultClient.Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		err = errors.New(resp.Status)
	}
	if err != nil {
		d.stalled.Stop()
		cancel()
		return nil, errs.New(errs.Unavailable, "download %s: %w", src, err)
	}
	d.ReadCloser = resp.Body
	return d, nil
}

// stallDownload is how long a server may say nothing.
const stallDownload = 60 * time.Second

// downloaded is a body that ends when it stalls.
type downloaded struct {
	io.ReadCloser
	cancel  context.CancelFunc
	stalled *time.Timer
}

// Read implements io.Reader.
func (d *downloaded) Read(b []byte) (int, error) {
	n, err := d.ReadCloser.Read(b)
	d.stalled.Reset(stallDownload)
	return n, err
}

// Close implements io.Closer.
func (d *downloaded) Close() error {
	d.stalled.Stop()
	d.cancel()
	return d.ReadCloser.Close()
}

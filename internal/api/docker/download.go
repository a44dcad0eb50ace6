package docker

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/stall"
)

// stallDownload is how long a server may stand still.
const stallDownload = 60 * time.Second

// download opens what lies at a URL; one without a scheme is of HTTP, as in
// Docker. It ends where the server stands still for longer than limit, or with ctx.
func download(ctx context.Context, src string, limit time.Duration) (io.ReadCloser, error) {
	if !strings.Contains(src, "://") {
		src = "http://" + src
	}
	if !strings.HasPrefix(src, "http://") && !strings.HasPrefix(src, "https://") {
		return nil, errs.New(errs.Invalid, "invalid source %q: a tar is imported from standard input or from a URL of http or https", src)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, src, http.NoBody)
	if err != nil {
		return nil, errs.New(errs.Invalid, "invalid URL %q: %w", src, err)
	}
	client := &http.Client{Transport: stall.Transport{Next: http.DefaultTransport, Limit: limit}}
	resp, err := client.Do(req)
	if err == nil && resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close() // of a refusal
		err = errors.New(resp.Status)
	}
	if err != nil {
		return nil, errs.New(errs.Unavailable, "download %s: %w", src, err)
	}
	return resp.Body, nil
}

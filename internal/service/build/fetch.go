package build

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"lus/internal/base/errs"
	"lus/internal/base/stall"
	"lus/internal/base/version"
)

const (
	// maxFetched bounds a Dockerfile that lies elsewhere, as buildx does.
	maxFetched = 512 << 10
	// fetchTime bounds how long it may take to come.
	fetchTime = time.Minute
)

// elsewhere reports whether a Dockerfile is named by its URL.
func elsewhere(name string) bool {
	return strings.HasPrefix(name, "http://") || strings.HasPrefix(name, "https://")
}

// fetchDockerfile reads a Dockerfile from its URL.
func (s *Service) fetchDockerfile(ctx context.Context, from string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, fetchTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, errs.New(errs.Invalid, "the Dockerfile's URL: %w", err)
	}
	shown := r.URL.Redacted()
	r.Header.Set("User-Agent", "lus/"+version.String())
	client := &http.Client{Transport: stall.Transport{Next: http.DefaultTransport, Limit: s.d.Stall}}
	resp, err := client.Do(r)
	if err != nil {
		var request *url.Error
		if errors.As(err, &request) {
			err = request.Err // without the URL, which may hold a password
		}
		return nil, errs.New(errs.Unavailable, "the Dockerfile %s cannot be had: %w: check the URL and the network", shown, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, errs.New(errs.Invalid, "the Dockerfile %s cannot be had: its server answers %s", shown, resp.Status)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxFetched+1))
	switch {
	case err != nil:
		return nil, errs.New(errs.Unavailable, "the Dockerfile %s did not come whole: %w: try again", shown, err)
	case len(text) > maxFetched:
		return nil, errs.New(errs.Invalid, "the Dockerfile %s is larger than %d kB: is it one?", shown, maxFetched>>10)
	case len(text) == 0:
		return nil, errs.New(errs.Invalid, "the Dockerfile %s is empty", shown)
	}
	return text, nil
}

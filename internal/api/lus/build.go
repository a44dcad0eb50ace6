package lus

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"path/filepath"
	"sync"

	"lus/internal/base/errs"
	"lus/internal/model/build"
)

// maxBody bounds a request: a build's arguments, and a Dockerfile in it. A
// context that comes behind it is as large as it is.
const maxBody = 16 << 20

// Builder builds an image and writes its progress, as text or as build.Status.
type Builder interface {
	Build(ctx context.Context, req *build.Request, progress io.Writer) (imageID string, err error)
}

// line is one line of a build's answer: news and output as they come, then the
// result or the error.
type line struct {
	Text   string          `json:"text,omitempty"`
	Status json.RawMessage `json:"status,omitempty"` // build.Status, where it was asked for
	Data   []byte          `json:"data,omitempty"`   // for the client's standard output
	Result *build.Result   `json:"result,omitempty"`
	Image  string          `json:"image,omitempty"`
	Done   bool            `json:"done,omitempty"` // all went well, and no image was asked for
	Error  string          `json:"error,omitempty"`
	Kind   errs.Kind       `json:"kind,omitempty"`
}

func (d Deps) build(w http.ResponseWriter, r *http.Request) {
	req, err := buildRequest(w, r)
	if err != nil {
		fail(w, err)
		return
	}
	out := &lines{w: w, enc: json.NewEncoder(w)}
	out.enc.SetEscapeHTML(false)
	defer func() {
		if p := recover(); p != nil {
			d.Log.Error("a build ended in a panic", "context", req.ContextDir, "panic", p)
			out.send(line{Error: "an internal fault; the daemon's log tells more"})
		}
	}()
	progress := news(func(p []byte) { out.send(line{Text: string(p)}) })
	if req.StatusJSON {
		progress = func(p []byte) { out.send(line{Status: bytes.TrimSpace(p)}) }
	}
	req.Stdout = news(func(p []byte) { out.send(line{Data: p}) })
	req.Result = func(res build.Result) { out.send(line{Result: &res}) }
	id, err := d.Builder.Build(r.Context(), req, progress)
	if err != nil {
		if errs.KindOf(err) == errs.Internal && r.Context().Err() == nil {
			d.Log.Info("a build failed", "context", req.ContextDir, "error", err)
		}
		out.send(line{Error: err.Error(), Kind: errs.KindOf(err)})
		return
	}
	out.send(line{Image: id, Done: id == ""})
}

// buildRequest reads the request and checks what would lead it astray.
func buildRequest(w http.ResponseWriter, r *http.Request) (*build.Request, error) {
	body := &bounded{r: r.Body, left: maxBody}
	req, dec := new(build.Request), json.NewDecoder(body)
	if err := dec.Decode(req); err != nil {
		return nil, errs.New(errs.Invalid, "the request is not a build: %w", err)
	}
	given := 0
	for _, is := range []bool{req.ContextDir != "", req.Remote != "", req.Tar} {
		if is {
			given++
		}
	}
	if given != 1 || req.Remote == build.InSession {
		return nil, errs.New(errs.Invalid, "a build needs one context: a folder, a URL or a tar")
	}
	if req.ContextDir != "" && !filepath.IsAbs(req.ContextDir) {
		return nil, errs.New(errs.Invalid, "the context %q is not an absolute path", req.ContextDir)
	}
	if req.Tar {
		// Steps are told while the context still comes.
		_ = http.NewResponseController(w).EnableFullDuplex()
		// The tar begins right behind the object, where the decoder may have read on.
		ahead, err := io.ReadAll(dec.Buffered())
		if err != nil {
			return nil, err
		}
		req.Context = io.MultiReader(bytes.NewReader(ahead), r.Body)
	}
	return req, nil
}

// bounded fails a reader that gives more than it may.
type bounded struct {
	r    io.Reader
	left int
}

// Read implements io.Reader.
func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, errs.New(errs.Invalid, "it is larger than %d MiB", maxBody>>20)
	}
	n, err := b.r.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// news is a writer that hands on each piece.
type news func([]byte)

// Write implements io.Writer.
func (n news) Write(p []byte) (int, error) {
	n(p)
	return len(p), nil
}

// lines sends lines as they come. BuildKit's steps write side by side.
type lines struct {
	mu  sync.Mutex
	w   http.ResponseWriter
	enc *json.Encoder
}

func (l *lines) send(m line) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.w.Header().Set("Content-Type", "application/x-ndjson")
	// A client that went away ends the request through its context.
	_ = l.enc.Encode(m)
	_ = http.NewResponseController(l.w).Flush()
}

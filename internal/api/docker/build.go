package docker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/image"
)

func (h *handler) builds() {
	h.handle("POST /build", h.build)
	h.handle("POST /build/cancel", h.cancelBuild)
	h.handle("POST /build/prune", h.pruneBuild)
	h.handle("POST /grpc", h.upgraded(func(ctx context.Context, conn net.Conn, _ http.Header) error {
		return h.Builder.ServeControl(ctx, conn)
	}))
	h.handle("POST /session", h.upgraded(func(ctx context.Context, conn net.Conn, head http.Header) error {
		return h.Builder.ServeSession(ctx, conn, head)
	}))
}

// upgraded is an endpoint whose connection the client and the builder use for
// HTTP/2 once both have said so.
func (h *handler) upgraded(serve func(ctx context.Context, conn net.Conn, head http.Header) error) action {
	return func(w http.ResponseWriter, r *http.Request) error {
		switch proto := r.Header.Get("Upgrade"); proto {
		case "h2c":
		case "":
			return errs.New(errs.Invalid, "no upgrade proto in request")
		default:
			return errs.New(errs.Invalid, "protocol %s not supported", proto)
		}
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return errs.New(errs.Internal, "taking the connection over: %w", err)
		}
		defer conn.Close()
		if b, ok := w.(*watcher); ok {
			b.begun = true
		}
		if _, err := io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"); err != nil {
			return err
		}
		return serve(r.Context(), readAhead{conn, rest(conn, buffered.Reader)}, r.Header)
	}
}

// readAhead is a connection of which some was read already.
type readAhead struct {
	net.Conn
	from io.Reader
}

// Read implements net.Conn.
func (r readAhead) Read(p []byte) (int, error) { return r.from.Read(p) }

// build answers the build endpoint: a tar of the context comes in, the steps go
// out as a stream of text, the image's id last. With version=2 the context is
// in the client's session, and the stream is BuildKit's.
func (h *handler) build(w http.ResponseWriter, r *http.Request) error {
	req, err := buildRequest(r)
	if err != nil {
		return err
	}
	if req.Context != nil {
		req.Context = h.unhurried(w, r, stallUpload)
	}
	ctx, done := h.running.begin(r.Context(), r.FormValue("buildid"))
	defer done()
	out := newProgress(w)
	switch v := r.FormValue("version"); v {
	case "2":
		return h.buildInSession(ctx, req, out)
	case "", "1":
	default:
		return errs.New(errs.Invalid, "invalid version %q", v)
	}
	req.Classic = true
	text := &streamWriter{p: out, later: req.Quiet}
	id, err := h.Builder.Build(ctx, req, text)
	if err != nil {
		text.release()
		h.hearOut(w, r)
		return out.end(err)
	}
	out.send(image.Progress{Aux: map[string]string{"ID": id}})
	if req.Quiet {
		out.send(image.Progress{Stream: id + "\n"})
		return nil
	}
	out.send(image.Progress{Stream: "Successfully built " + shortID(id) + "\n"})
	for _, t := range req.Tags {
		out.send(image.Progress{Stream: "Successfully tagged " + withTag(t) + "\n"})
	}
	return nil
}

// buildInSession builds for a client that has BuildKit's client in it (docker
// 18.09 to 22): progress goes out as BuildKit's messages.
func (h *handler) buildInSession(ctx context.Context, req *build.Request, out *progress) error {
	var one sync.Mutex
	req.Trace = func(status []byte) {
		one.Lock()
		defer one.Unlock()
		out.send(image.Progress{ID: "moby.buildkit.trace", Aux: status})
	}
	id, err := h.Builder.Build(ctx, req, nil)
	if err == nil && id != "" {
		out.send(image.Progress{ID: "moby.image.id", Aux: map[string]string{"ID": id}})
	}
	return out.end(err)
}

// cancelBuild ends the build to which its client gave this id.
func (h *handler) cancelBuild(w http.ResponseWriter, r *http.Request) error {
	id := r.FormValue("id")
	if id == "" {
		return errs.New(errs.Invalid, "build ID not provided")
	}
	h.running.cancel(id)
	return reply(w, http.StatusOK, nil)
}

// builds are those that run under an id of their client's, which may give the same
// to several.
type builds struct {
	mu   sync.Mutex
	ends map[string]map[context.Context]context.CancelFunc
}

func (b *builds) begin(ctx context.Context, id string) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	if id == "" {
		return ctx, cancel
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ends == nil {
		b.ends = map[string]map[context.Context]context.CancelFunc{}
	}
	if b.ends[id] == nil {
		b.ends[id] = map[context.Context]context.CancelFunc{}
	}
	b.ends[id][ctx] = cancel
	return ctx, func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		cancel()
		if delete(b.ends[id], ctx); len(b.ends[id]) == 0 {
			delete(b.ends, id)
		}
	}
}

func (b *builds) cancel(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, end := range b.ends[id] {
		end()
	}
}

// withTag is a name with the tag that is meant where it has none.
func withTag(name string) string {
	if strings.Contains(name[strings.LastIndexByte(name, '/')+1:], ":") {
		return name
	}
	return name + ":latest"
}

// shortID is the twelve digits of an image's id.
func shortID(id string) string {
	const prefix = len("sha256:")
	if len(id) < prefix+12 {
		return id
	}
	return id[prefix : prefix+12]
}

// keptQuiet bounds what a quiet build keeps of its output, in bytes.
const keptQuiet = 1 << 20

// streamWriter sends text as messages. With later it keeps them, for a quiet
// build speaks only when it fails.
type streamWriter struct {
	p     *progress
	later bool
	kept  []string
	size  int
}

// Write implements io.Writer.
func (s *streamWriter) Write(b []byte) (int, error) {
	if !s.later {
		s.p.send(image.Progress{Stream: string(b)})
		return len(b), nil
	}
	s.kept, s.size = append(s.kept, string(b)), s.size+len(b)
	for s.size > keptQuiet {
		s.size -= len(s.kept[0])
		s.kept = s.kept[1:]
	}
	return len(b), nil
}

// release sends what was kept.
func (s *streamWriter) release() {
	for _, text := range s.kept {
		s.p.send(image.Progress{Stream: text})
	}
	s.kept = nil
}

func buildRequest(r *http.Request) (*build.Request, error) {
	if err := r.ParseForm(); err != nil {
		return nil, errs.New(errs.Invalid, "invalid query: %w", err)
	}
	req := &build.Request{
		Context: r.Body, Remote: r.FormValue("remote"), Dockerfile: r.FormValue("dockerfile"),
		Tags: r.Form["t"], Target: r.FormValue("target"), NoCache: flag(r, "nocache"), Pull: flag(r, "pull"),
		Platform: r.FormValue("platform"), NetworkMode: r.FormValue("networkmode"), Quiet: flag(r, "q"),
	}
	if req.Remote != "" {
		req.Context = nil
	}
	shm, err := number(r, "shmsize")
	if err != nil {
		return nil, err
	}
	req.ShmSize = int64(shm)
	var cacheFrom []string
	var limits []ulimit
	for key, to := range map[string]any{
		"buildargs": &req.Args, "labels": &req.Labels, "cachefrom": &cacheFrom, "ulimits": &limits, "outputs": &req.Outputs,
	} {
		if text := r.FormValue(key); text != "" {
			if err := json.Unmarshal([]byte(text), to); err != nil {
				return nil, errs.New(errs.Invalid, "%s is not the JSON that it should be: %w", key, err)
			}
		}
	}
	for _, ref := range cacheFrom {
		req.CacheFrom = append(req.CacheFrom, build.Output{Type: "registry", Attrs: map[string]string{"ref": ref}})
	}
	for _, l := range limits {
		req.Ulimits = append(req.Ulimits, fmt.Sprintf("%s=%d:%d", l.Name, l.Soft, l.Hard))
	}
	if err := refused(r); err != nil {
		return nil, err
	}
	req.ExtraHosts, req.Session = r.Form["extrahosts"], r.FormValue("session")
	if head := r.Header.Get("X-Registry-Config"); head != "" {
		data, err := base64.URLEncoding.DecodeString(head)
		if err == nil {
			err = json.Unmarshal(data, &req.Auth)
		}
		if err != nil {
			return nil, errs.New(errs.Invalid, "X-Registry-Config is not base64 of JSON: %w", err)
		}
	}
	return req, nil
}

// ulimit is one of a build's limits as clients send them.
type ulimit struct {
	Name       string
	Soft, Hard int64
}

// refused names what cannot be had, rather than to build something else.
func refused(r *http.Request) error {
	if flag(r, "squash") {
		return errs.New(errs.Unsupported, "squash is not supported: steps that belong together go into one RUN, or into a stage of their own")
	}
	for _, key := range []string{"memory", "memswap", "cpushares", "cpuperiod", "cpuquota", "cpusetcpus", "cpusetmems", "cgroupparent", "isolation"} {
		switch v := r.FormValue(key); v {
		case "", "0", "default":
		default:
			return errs.New(errs.Unsupported, "%s=%s: build steps have no limits of their own; limit the daemon as a whole", key, v)
		}
	}
	return nil
}

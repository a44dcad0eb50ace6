package docker

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net"
	"net/http"

	"lus/internal/base/errs"
	"lus/internal/model/build"
	"lus/internal/model/image"
)

func (h *handler) builds() {
	h.handle("POST /build", h.build)
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

// build answers the classic build endpoint: a tar of the context comes in, the
// steps go out as a stream of text, the image's id last.
func (h *handler) build(w http.ResponseWriter, r *http.Request) error {
	if r.FormValue("version") == "2" {
		return errs.New(errs.Unsupported, "BuildKit sessions are not served yet: set DOCKER_BUILDKIT=0, or use `lus build`")
	}
	req, err := buildRequest(r)
	if err != nil {
		return err
	}
	out := newProgress(w)
	text := streamWriter{out}
	if req.Quiet {
		text.p = nil
	}
	id, err := h.Builder.Build(r.Context(), req, text)
	if err != nil {
		return out.end(err)
	}
	out.send(image.Progress{Aux: map[string]string{"ID": id}})
	if req.Quiet {
		out.send(image.Progress{Stream: id + "\n"})
	} else {
		out.send(image.Progress{Stream: "Successfully built " + shortID(id) + "\n"})
		for _, t := range req.Tags {
			out.send(image.Progress{Stream: "Successfully tagged " + t + "\n"})
		}
	}
	return nil
}

// shortID is the twelve digits of an image's id.
func shortID(id string) string {
	const prefix = len("sha256:")
	if len(id) < prefix+12 {
		return id
	}
	return id[prefix : prefix+12]
}

// streamWriter sends text as messages.
type streamWriter struct{ p *progress }

func (s streamWriter) Write(b []byte) (int, error) {
	if s.p != nil {
		s.p.send(image.Progress{Stream: string(b)})
	}
	return len(b), nil
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
	for key, to := range map[string]any{"buildargs": &req.Args, "labels": &req.Labels} {
		if text := r.FormValue(key); text != "" {
			if err := json.Unmarshal([]byte(text), to); err != nil {
				return nil, errs.New(errs.Invalid, "%s is not a JSON object: %w", key, err)
			}
		}
	}
	req.ExtraHosts = r.Form["extrahosts"]
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

package docker

import (
	"errors"
	"io"
	"net/http"

	"golang.org/x/net/websocket"

	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// attachSocket joins a container's streams over a WebSocket: the process's
// output as it comes, without frames, in binary messages.
func (h *handler) attachSocket(w http.ResponseWriter, r *http.Request) error {
	o := container.AttachOptions{
		Stdin: flag(r, "stdin"), Stdout: flag(r, "stdout"), Stderr: flag(r, "stderr"),
		Logs: flag(r, "logs"), Stream: flag(r, "stream"), DetachKeys: r.FormValue("detachKeys"),
	}
	keys, err := parseKeys(o.DetachKeys)
	if err != nil {
		return err
	}
	if r.Header.Get("Sec-WebSocket-Key") == "" {
		return errs.New(errs.Invalid, "this endpoint wants a WebSocket: the request asks for none")
	}
	ctx, cancel := lasting(r)
	defer cancel()
	s, err := h.Containers.Attach(ctx, r.PathValue("name"), o)
	if err != nil {
		return err
	}
	server := websocket.Server{Handler: func(conn *websocket.Conn) {
		conn.PayloadType = websocket.BinaryFrame
		h.join(conn, s, keys)
	}}
	server.ServeHTTP(w, r)
	_ = s.Detach() // where the handshake failed
	return nil
}

// join copies both ways until the output ends or the client goes away.
func (h *handler) join(conn *websocket.Conn, s *container.Stream, keys []byte) {
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		h.input(conn, s, keys, func() { _ = s.Detach(); _ = conn.Close() })
		// A WebSocket has no half: what is closed is closed for both.
		_ = s.Detach()
	}()
	if s.Out != nil {
		out := &framer{w: conn, raw: true}
		if err := out.copy(s.Out); err != nil && !errors.Is(err, io.EOF) {
			h.Log.Debug("the output of a stream ended", "error", err)
		}
		_ = s.Out.Close()
	} else {
		<-gone
	}
	_ = s.Detach()
	_ = conn.Close()
	<-gone
}

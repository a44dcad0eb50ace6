package docker

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"net/http"
	"strings"

	"lus/internal/api/status"
	"lus/internal/base/errs"
	"lus/internal/model/container"
)

// atOnce reports whether the client wants what it asks to be made run as well,
// and its output and its end on the same connection.
func atOnce(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), container.RunProtocol)
}

// runHead begins the answer to who asked for it. It goes with the first frame.
const runHead = "HTTP/1.1 101 UPGRADED\r\nContent-Type: " + multiplexed + "\r\nConnection: Upgrade\r\nUpgrade: " + container.RunProtocol + "\r\n\r\n"

// runContainer makes a container, joins it, starts it and tells its end: what four
// requests of Docker's do, each of them done as there. One that asks for none of
// its streams is left to itself once it runs.
func (h *handler) runContainer(w http.ResponseWriter, r *http.Request, req *container.CreateRequest) error {
	keys, err := parseKeys(r.FormValue("detachKeys"))
	if err != nil {
		return err
	}
	req.Starts = true
	made, err := h.makeContainer(r, req)
	if err != nil {
		return err
	}
	conn, ahead, err := take(w)
	if err != nil {
		return err
	}
	defer conn.Close()
	ctx, cancel := lasting(r)
	defer cancel()
	if _, err := conn.Write(frame([]byte(runHead), container.FrameCreated, made)); err != nil {
		// Whoever wanted it is gone, and nobody knows of it.
		return h.Containers.RemoveContainer(ctx, made.ID, container.RemoveOptions{Volumes: true})
	}
	c := &req.Config
	if !c.AttachStdin && !c.AttachStdout && !c.AttachStderr {
		h.tellStart(conn, r, h.Containers.StartContainer(ctx, made.ID), true)
		return nil
	}
	s, exits, err := h.startJoined(ctx, made.ID, req)
	h.tellStart(conn, r, err, c.Tty)
	if err != nil {
		return nil
	}
	h.carry(conn, ahead, s, keys, &framer{w: conn}, func(gone <-chan struct{}) {
		select {
		case exit, ok := <-exits:
			if ok {
				_, _ = conn.Write(frame(nil, container.FrameEnded, container.RunEnd{StatusCode: exit.Code}))
			}
		case <-gone:
		}
	})
	return nil
}

// startJoined attaches to a container and waits for it, so that nothing of it can
// be missed, and starts it.
func (h *handler) startJoined(ctx context.Context, id string, req *container.CreateRequest) (*container.Stream, <-chan container.Exit, error) {
	c := &req.Config
	s, err := h.Containers.Attach(ctx, id, container.AttachOptions{Stream: true, Stdin: c.AttachStdin, Stdout: c.AttachStdout, Stderr: c.AttachStderr})
	if err != nil {
		return nil, nil, err
	}
	until := "next-exit"
	if req.HostConfig.AutoRemove {
		until = "removed"
	}
	exits, err := h.Containers.WaitContainer(ctx, id, until)
	if err == nil {
		err = h.Containers.StartContainer(ctx, id)
	}
	if err != nil {
		_ = s.Detach()
	}
	return s, exits, err
}

// runExec makes an exec, starts it and tells its end. The head of the answer goes
// with the first word of the process, unless the client has to say something
// first: for who runs many short commands that is a quarter less to be woken for.
func (h *handler) runExec(w http.ResponseWriter, r *http.Request, cfg *container.ExecConfig) error {
	keys, err := parseKeys(cfg.DetachKeys)
	if err != nil {
		return err
	}
	id, err := h.Containers.CreateExec(r.Context(), r.PathValue("name"), cfg)
	if err != nil {
		return err
	}
	ctx, cancel := lasting(r)
	defer cancel()
	s, err := h.startStream(ctx, id, cfg.Tty, cfg.ConsoleSize)
	if err != nil {
		return err
	}
	conn, ahead, err := take(w)
	if err != nil {
		_ = s.Detach()
		return err
	}
	defer conn.Close()
	out := &framer{w: conn, ahead: frame([]byte(runHead), container.FrameCreated, container.CreateResponse{ID: id})}
	if cfg.Tty || cfg.AttachStdin {
		_ = out.begin() // who is gone by now is noticed by what follows
	}
	h.carry(conn, ahead, s, keys, out, func(gone <-chan struct{}) { h.tellEnd(ctx, id, out, gone) })
	return nil
}

// tellEnd tells how an exec has ended, once it has.
func (h *handler) tellEnd(ctx context.Context, id string, out *framer, gone <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends with ctx
		select {
		case <-gone:
			cancel()
		case <-ctx.Done():
		}
	}()
	e, err := h.Containers.WaitExec(ctx, id)
	if err != nil || e.ExitCode == nil {
		return // it was left running, and the client sees the stream end
	}
	_, _ = out.w.Write(frame(out.ahead, container.FrameEnded, container.RunEnd{StatusCode: *e.ExitCode}))
}

// tellStart tells the client that the start failed, or where told is set that it
// did not. A client that is gone is no reason to leave what was joined for it as it
// is: carry notices, and ends its input.
func (h *handler) tellStart(to io.Writer, r *http.Request, err error, told bool) {
	switch {
	case err != nil:
		h.logFailure(r, err)
		_, _ = to.Write(frame(nil, container.FrameFailed, container.RunFailure{Status: status.Of(errs.KindOf(err)), Message: err.Error()}))
	case told:
		_, _ = to.Write(frame(nil, container.FrameStarted, nil))
	}
}

// frame adds a frame of v in JSON (nil: none) to p.
func frame(p []byte, kind byte, v any) []byte {
	var text []byte
	if v != nil {
		text, _ = json.Marshal(v) // structs of words and numbers
	}
	p = append(p, kind, 0, 0, 0)
	p = binary.BigEndian.AppendUint32(p, uint32(len(text)))
	return append(p, text...)
}

package compose

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// maxSaid bounds what a hook that fails is quoted with.
const maxSaid = 2048

// preStop are the hooks of the service that a container belongs to.
func (r *runner) preStop(c *container.Container) []compose.Hook {
	if c.Config.Labels[compose.LabelOneoff] == "True" {
		return nil
	}
	name := c.Config.Labels[compose.LabelService]
	i := slices.IndexFunc(r.project.Services, func(s compose.Service) bool { return s.Name == name })
	if i < 0 {
		return nil
	}
	return r.project.Services[i].PreStop
}

// hooks runs commands in a container, one after the other; the first that fails
// ends it.
func (r *runner) hooks(ctx context.Context, id, kind string, hooks []compose.Hook) error {
	for i := range hooks {
		code, said, err := r.hook(ctx, id, &hooks[i])
		if err != nil {
			return fmt.Errorf("%s hook %s: %w", kind, strings.Join(hooks[i].Cmd, " "), err)
		}
		if code != 0 {
			return errs.New(errs.Conflict, "%s hook %s ended with exit code %d%s", kind, strings.Join(hooks[i].Cmd, " "), code, said)
		}
	}
	return nil
}

// hook runs one command and returns its exit code and the end of what it wrote.
func (r *runner) hook(ctx context.Context, id string, h *compose.Hook) (code int, said string, err error) {
	exec, err := r.Engine.CreateExec(ctx, id, &container.ExecConfig{
		Cmd: h.Cmd, User: h.User, Privileged: h.Privileged, Env: h.Env, WorkingDir: h.WorkingDir, AttachStdout: true, AttachStderr: true,
	})
	if err != nil {
		return 0, "", err
	}
	stream, err := r.Engine.StartExec(ctx, exec, false, false, nil)
	if err != nil {
		return 0, "", err
	}
	stop := context.AfterFunc(ctx, func() { _ = stream.Out.Close() })
	defer stop()
	defer func() { _ = stream.Out.Close() }() // it was only read
	var tail []byte
	for {
		rec, err := stream.Out.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if ctx.Err() != nil {
			return 0, "", context.Cause(ctx)
		}
		if err != nil {
			return 0, "", err
		}
		tail = append(tail, rec.Data...)
		tail = tail[max(0, len(tail)-maxSaid):]
	}
	done, err := r.Engine.InspectExec(ctx, exec)
	if err != nil {
		return 0, "", err
	}
	if done.ExitCode == nil {
		return 0, "", errs.New(errs.Internal, "its output ended before it did")
	}
	if text := strings.TrimSpace(string(tail)); text != "" {
		said = ": " + text
	}
	return *done.ExitCode, said, nil
}

// initial is the tar of the files that a service's containers are made with; nil
// where there are none.
func initial(files []compose.File) (io.Reader, error) {
	if len(files) == 0 {
		return nil, nil
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{
			Name: strings.TrimPrefix(f.Target, "/"), Size: int64(len(f.Data)), Mode: int64(f.Mode), Uid: f.UID, Gid: f.GID,
		})
		if err == nil {
			_, err = w.Write(f.Data)
		}
		if err != nil {
			return nil, errs.New(errs.Internal, "file %s: %w", f.Target, err)
		}
	}
	return &b, w.Close()
}

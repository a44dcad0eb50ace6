package compose

import (
	"context"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/client"
	"lus/internal/model/compose"
	"lus/internal/model/container"
)

// hook runs a rule's command in the service's containers.
func (w *watching) hook(ctx context.Context, service string, h compose.Hook) error {
	list, err := w.running(ctx, service)
	if err != nil {
		return err
	}
	for _, c := range list {
		cfg := container.ExecConfig{Cmd: h.Cmd, User: h.User, Privileged: h.Privileged, WorkingDir: h.WorkingDir, Env: h.Env}
		if err := w.exec(ctx, c, cfg); err != nil {
			return err
		}
	}
	return nil
}

// exec runs a command in a container to its end. It asks the daemon and not lus,
// whose arguments everybody on the host can read.
func (w *watching) exec(ctx context.Context, c summary, cfg container.ExecConfig) error {
	failed := func(err error) error {
		return errs.New(errs.KindOf(err), "%s in %s: %w", strings.Join(cfg.Cmd, " "), c.name(), err)
	}
	cfg.AttachStdout, cfg.AttachStderr = true, true
	body, err := w.daemon.Do(ctx, "POST", "/containers/"+c.ID+"/exec", cfg)
	if err != nil {
		return failed(err)
	}
	made, err := decode[struct{ ID string }](body)
	if err != nil {
		return failed(err)
	}
	out, err := w.daemon.Hijack(ctx, client.Request{Method: "POST", Path: "/exec/" + made.ID + "/start", Body: struct{ Detach, Tty bool }{}})
	if err != nil {
		return failed(err)
	}
	defer func() { _ = out.Close() }() // it was only read
	stop := context.AfterFunc(ctx, func() { _ = out.Close() })
	defer stop()
	if err := client.Demultiplex(w.Out, w.Err, out); err != nil {
		return failed(err)
	}
	end, err := get[struct{ ExitCode int }](ctx, w.daemon, "/exec/"+made.ID+"/json")
	if err == nil && end.ExitCode != 0 {
		err = errs.New(errs.Conflict, "it ended with exit code %d", end.ExitCode)
	}
	if err != nil {
		return failed(err)
	}
	return nil
}

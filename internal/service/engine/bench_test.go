package engine_test

import (
	"context"
	"testing"

	"lus/internal/model/container"
)

// BenchmarkRunRm is `run --rm` from the request to the exit code.
func BenchmarkRunRm(b *testing.B) {
	for _, network := range []string{"none", "bridge"} {
		b.Run(network, func(b *testing.B) {
			h := start(b)
			ctx := context.Background()
			for b.Loop() {
				req := request("")
				req.Cmd = container.Strings{"true"}
				req.HostConfig.NetworkMode, req.HostConfig.AutoRemove = network, true
				res, err := h.engine.CreateContainer(ctx, "", req)
				must(b, err)
				gone, err := h.engine.WaitContainer(ctx, res.ID, "removed")
				must(b, err)
				must(b, h.engine.StartContainer(ctx, res.ID))
				if x := <-gone; x.Code != 0 {
					b.Fatalf("%+v", x)
				}
			}
			b.StopTimer()
			must(b, h.engine.Settle(ctx))
		})
	}
}

// BenchmarkExec is an exec from the request to the exit code.
func BenchmarkExec(b *testing.B) {
	h := start(b)
	h.run("host", "sleep 1000")
	ctx := context.Background()
	for b.Loop() {
		id, err := h.engine.CreateExec(ctx, "host", &container.ExecConfig{Cmd: container.Strings{"true"}, AttachStdout: true, AttachStderr: true})
		must(b, err)
		s, err := h.engine.StartExec(ctx, id, false, false, nil)
		must(b, err)
		readAll(b, s.Out)
		must(b, s.Detach())
	}
}

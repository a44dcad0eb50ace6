package content

import (
	"context"
	"io"
	"log/slog"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// handOver makes containerd's messages ours: it logs with logrus to whatever
// logger the context has.
func handOver(to *slog.Logger) *log.Entry {
	l := logrus.New()
	l.SetOutput(io.Discard)
	l.SetLevel(logrus.DebugLevel)
	l.AddHook(&hook{to: to})
	return logrus.NewEntry(l)
}

type hook struct{ to *slog.Logger }

// Levels implements logrus.Hook.
func (h *hook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire passes a message on. What containerd calls news is detail here.
func (h *hook) Fire(e *logrus.Entry) error {
	level := slog.LevelDebug
	if e.Level <= logrus.WarnLevel {
		level = slog.LevelWarn
	}
	ctx := context.Background()
	if !h.to.Enabled(ctx, level) {
		return nil
	}
	args := make([]any, 0, 2*len(e.Data))
	for k, v := range e.Data {
		args = append(args, k, v)
	}
	h.to.Log(ctx, level, e.Message, args...)
	return nil
}

package engine

import (
	"context"
	"io"
	"log/slog"
	"strings"

	"github.com/moby/buildkit/util/bklog"
	"github.com/sirupsen/logrus"
)

// withLog lets what BuildKit and containerd log under ctx go to ours, at debug
// level below warnings: what concerns people is in the build's own output.
func withLog(ctx context.Context, log *slog.Logger) context.Context {
	l := logrus.New()
	l.SetOutput(io.Discard)
	l.SetLevel(logrus.InfoLevel)
	l.AddHook(logHook{log: log})
	return bklog.WithLogger(ctx, logrus.NewEntry(l))
}

// logHook hands logrus entries to slog.
type logHook struct{ log *slog.Logger }

// Levels implements logrus.Hook.
func (logHook) Levels() []logrus.Level { return logrus.AllLevels }

// Fire implements logrus.Hook.
func (h logHook) Fire(e *logrus.Entry) error {
	level := slog.LevelDebug
	if e.Level <= logrus.WarnLevel && !everyday(e.Message) {
		level = slog.LevelWarn
	}
	args := make([]any, 0, 2*len(e.Data))
	for k, v := range e.Data {
		args = append(args, k, v)
	}
	h.log.Log(context.Background(), level, "buildkit: "+e.Message, args...)
	return nil
}

// everyday tells what BuildKit warns of in every build that a client ends as
// it should.
func everyday(message string) bool {
	return strings.HasPrefix(message, "healthcheck failed") || message == "no trace recorder found, skipping"
}

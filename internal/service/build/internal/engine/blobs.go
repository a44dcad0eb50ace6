package engine

import (
	"context"

	ccontent "github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// forgetting is a content store that drops what was written and is not what it
// was to be. Left there, the next try would go on from it and fail for ever.
type forgetting struct{ ccontent.Store }

// Writer implements content.Ingester.
func (f forgetting) Writer(ctx context.Context, opts ...ccontent.WriterOpt) (ccontent.Writer, error) {
	var o ccontent.WriterOpts
	for _, opt := range opts {
		if err := opt(&o); err != nil {
			return nil, err
		}
	}
	w, err := f.Store.Writer(ctx, opts...)
	if err != nil {
		return nil, err
	}
	return forgettingWriter{Writer: w, store: f.Store, ref: o.Ref}, nil
}

type forgettingWriter struct {
	ccontent.Writer
	store ccontent.Store
	ref   string
}

// Commit implements content.Writer.
func (w forgettingWriter) Commit(ctx context.Context, size int64, expected digest.Digest, opts ...ccontent.Opt) error {
	err := w.Writer.Commit(ctx, size, expected, opts...)
	if errdefs.IsFailedPrecondition(err) {
		_ = w.Close() // what counts is the error above
		_ = w.store.Abort(ctx, w.ref)
	}
	return err
}

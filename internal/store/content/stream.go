package content

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Once is the blobs for whoever reads each once and from its beginning: a layer
// that has no blob comes straight from its folder, and none is made.
func (s *Store) Once() content.Store { return once{s.content, s} }

type once struct {
	content.Store
	store *Store
}

// ReaderAt implements content.Provider.
func (o once) ReaderAt(ctx context.Context, desc ocispec.Descriptor) (content.ReaderAt, error) {
	ctx = o.store.Context(ctx)
	if _, err := o.store.content.inner.Info(ctx, desc.Digest); !errdefs.IsNotFound(err) {
		return o.Store.ReaderAt(ctx, desc)
	}
	l, ok := o.store.virtual(ctx, desc.Digest)
	if !ok {
		return o.Store.ReaderAt(ctx, desc) // it says that there is none
	}
	r, w := io.Pipe()
	s := &stream{PipeReader: r, size: l.Size, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		w.CloseWithError(o.store.WriteLayer(ctx, l.Snapshot, w))
	}()
	return s, nil
}

// stream is a layer that is read from its beginning.
type stream struct {
	*io.PipeReader
	size int64
	at   int64
	done chan struct{} // closed when nobody reads the folder any more
}

// Reader is what content.NewReader asks for.
func (s *stream) Reader() io.Reader { return s.PipeReader }

// Size implements content.ReaderAt.
func (s *stream) Size() int64 { return s.size }

// ReadAt implements content.ReaderAt for reads that follow each other.
func (s *stream) ReadAt(p []byte, off int64) (int, error) {
	if off != s.at {
		return 0, fmt.Errorf("read a layer at %d after %d bytes of it: %w", off, s.at, errdefs.ErrNotImplemented)
	}
	n, err := io.ReadFull(s.PipeReader, p)
	s.at += int64(n)
	if n < len(p) && errors.Is(err, io.ErrUnexpectedEOF) {
		err = io.EOF
	}
	return n, err
}

// Close ends the reading of the folder.
func (s *stream) Close() error {
	err := s.PipeReader.Close()
	<-s.done
	return err
}

// Package decompress reads what is compressed by gzip, zstd, bzip2 or xz as if
// it were not.
package decompress

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"lus/internal/base/errs"
)

// maxWindow bounds the memory that a zstd stream may make us take; the format
// allows far more than any tool uses by itself.
const maxWindow = 128 << 20

// maxXZ does so for xz, whose highest level needs a quarter of it.
const maxXZ = "256MiB"

// Reader tells gzip, zstd, bzip2 and xz by their first bytes and returns
// the content; anything else is taken as it is. What it returns must be closed.
func Reader(ctx context.Context, r io.Reader) (io.ReadCloser, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(6)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("read gzip: %w", err)
		}
		return z, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}), len(head) >= 4 && head[0]&0xf0 == 0x50 && bytes.Equal(head[1:4], []byte{0x2a, 0x4d, 0x18}):
		z, err := zstd.NewReader(b, zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, fmt.Errorf("read zstd: %w", err)
		}
		return z.IOReadCloser(), nil
	case bytes.HasPrefix(head, []byte("BZh")):
		return io.NopCloser(bzip2.NewReader(b)), nil
	case bytes.HasPrefix(head, []byte{0xfd, '7', 'z', 'X', 'Z', 0}):
		return unxz(ctx, b)
	}
	return io.NopCloser(b), nil
}

// unxz lets the xz program decompress: Go has no library for it of its own.
func unxz(ctx context.Context, r io.Reader) (io.ReadCloser, error) {
	program, err := exec.LookPath("xz")
	if err != nil {
		return nil, errs.New(errs.Unsupported, "this tar is compressed by xz and the program xz is not installed: apt-get install xz-utils, or decompress it first")
	}
	cmd := exec.CommandContext(ctx, program, "-d", "-c", "-q", "-M", maxXZ)
	cmd.Stdin = r
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start xz: %w", err)
	}
	return &process{out: out, cmd: cmd, said: &said}, nil
}

// process is the output of a program; its end is EOF only if it ended well.
type process struct {
	out  io.ReadCloser
	cmd  *exec.Cmd
	said *bytes.Buffer
	done bool
	err  error
}

func (p *process) Read(b []byte) (int, error) {
	n, err := p.out.Read(b)
	if errors.Is(err, io.EOF) {
		if werr := p.wait(); werr != nil {
			return n, werr
		}
	}
	return n, err
}

func (p *process) wait() error {
	if !p.done {
		p.done = true
		if err := p.cmd.Wait(); err != nil {
			p.err = errs.New(errs.Invalid, "xz could not decompress it: %w: %s", err, bytes.TrimSpace(p.said.Bytes()))
		}
	}
	return p.err
}

// Close ends the program if it still runs.
func (p *process) Close() error {
	if !p.done {
		_ = p.cmd.Process.Kill()
		_ = p.wait()
	}
	return nil
}

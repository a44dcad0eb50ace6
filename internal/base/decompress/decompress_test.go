package decompress_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"lus/internal/base/decompress"
	"lus/internal/base/errs"
	"lus/test/need"
)

// packed is data as a program writes it.
func packed(t *testing.T, data []byte, program, pkg string) []byte {
	t.Helper()
	cmd := exec.Command(need.Program(t, program, pkg), "-c")
	cmd.Stdin = bytes.NewReader(data)
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func unpacked(data []byte) (string, error) {
	r, err := decompress.Reader(context.Background(), bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	defer r.Close()
	text, err := io.ReadAll(r)
	return string(text), err
}

func gzipped(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write(data)
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestEachPackingIsToldByItsBeginning(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("what is in it, ", 10_000)
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{
		"plain":                    []byte(text),
		"gzip":                     gzipped(t, []byte(text)),
		"gzip of two":              append(gzipped(t, []byte(text[:99])), gzipped(t, []byte(text[99:]))...),
		"zstd":                     z.EncodeAll([]byte(text), nil),
		"zstd behind a frame":      append([]byte{0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, 'a', 'b', 'c'}, z.EncodeAll([]byte(text), nil)...),
		"bzip2":                    packed(t, []byte(text), "bzip2", "bzip2"),
		"xz":                       packed(t, []byte(text), "xz", "xz-utils"),
		"what looks like its half": []byte{0x1f},
		"nothing":                  nil,
	} {
		want := text
		if len(data) < 2 {
			want = string(data)
		}
		if got, err := unpacked(data); err != nil || got != want {
			t.Errorf("%s: %d bytes, want %d: %v", name, len(got), len(want), err)
		}
		if name == "plain" || len(data) < 2 {
			continue
		}
		if got, err := unpacked(data[:len(data)-3]); err == nil {
			t.Errorf("%s without its end: %d bytes and no error", name, len(got))
		}
	}
}

// A stream says how much memory it takes to unpack: none may take all there is.
func TestOneStreamDoesNotTakeAllMemory(t *testing.T) {
	t.Parallel()
	data := packed(t, []byte("small"), "xz", "xz-utils")
	// In front is the stream's header of 12 bytes, then that of the block: its
	// size, flags, the filter and how much that needs.
	block := data[12:]
	size := int(block[0]+1) * 4
	if block[2] != 0x21 || block[3] != 1 {
		t.Fatalf("the block begins %x", block[:size])
	}
	block[4] = 36 // 1 GB
	binary.LittleEndian.PutUint32(block[size-4:], crc32.ChecksumIEEE(block[:size-4]))
	if _, err := unpacked(data); !errs.Is(err, errs.Invalid) || !strings.Contains(err.Error(), "emory") {
		t.Errorf("a stream that wants a gigabyte: %v", err)
	}
}

package image

import (
	"io"

	"lus/internal/base/errs"
)

// bounded fails when more comes out of a layer than its packed size explains.
type bounded struct {
	r     io.Reader
	left  int64
	limit int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		var one [1]byte
		n, err := b.r.Read(one[:])
		if n > 0 {
			return 0, errs.New(errs.Invalid, "a layer unpacks to more than %d bytes, which its packed size does not explain: it looks like a decompression bomb and was refused", b.limit)
		}
		return 0, err
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := b.r.Read(p)
	b.left -= int64(n)
	return n, err
}

// bound is how much a layer of the given packed size may unpack to.
func (l Limits) bound(packed int64) int64 { return max(l.Free, packed*l.Ratio) }

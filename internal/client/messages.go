package client

import (
	"encoding/json"
	"io"

	"lus/internal/base/errs"
)

// maxPiece bounds one piece of news in an answer that goes on.
const maxPiece = 64 << 20

// Messages reads an answer of one JSON document after the other, as it comes.
type Messages struct {
	dec  *json.Decoder
	from *piece
}

// NewMessages returns a reader of the documents in from.
func NewMessages(from io.Reader) *Messages {
	p := &piece{from: from}
	return &Messages{dec: json.NewDecoder(p), from: p}
}

// Next reads one document into v; io.EOF where there are no more.
func (m *Messages) Next(v any) error {
	m.from.left = maxPiece
	return m.dec.Decode(v)
}

// piece is what may be read until one document is whole.
type piece struct {
	from io.Reader
	left int
}

// Read reads, and fails where a document does not end.
func (p *piece) Read(b []byte) (int, error) {
	if p.left <= 0 {
		return 0, errs.New(errs.Internal, "a message of the daemon's does not end: %d MB of it were read", maxPiece>>20)
	}
	n, err := p.from.Read(b)
	p.left -= n
	return n, err
}

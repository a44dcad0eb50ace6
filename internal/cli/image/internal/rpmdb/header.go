package rpmdb

import (
	"bytes"
	"encoding/binary"
)

// A package's record is a header as in its file, less the first eight bytes: how many
// entries there are and how many bytes of data, the entries, and the data.
const (
	entrySize  = 16 // tag, type, offset in the data, count
	tagName    = 1000
	typeString = 6
)

// nameIn is the package's name in its record.
func nameIn(record []byte) (string, error) {
	if len(record) < 8 {
		return "", errDamaged
	}
	entries, size := binary.BigEndian.Uint32(record), binary.BigEndian.Uint32(record[4:])
	record = record[8:]
	if uint64(entries)*entrySize+uint64(size) > uint64(len(record)) {
		return "", errDamaged
	}
	data := record[entries*entrySize:][:size]
	for i := range entries {
		e := record[i*entrySize:]
		if binary.BigEndian.Uint32(e) != tagName {
			continue
		}
		offset := binary.BigEndian.Uint32(e[8:])
		if binary.BigEndian.Uint32(e[4:]) != typeString || offset >= size {
			return "", errDamaged
		}
		name, _, ended := bytes.Cut(data[offset:], []byte{0})
		if !ended || len(name) == 0 {
			return "", errDamaged
		}
		return string(name), nil
	}
	return "", errDamaged
}

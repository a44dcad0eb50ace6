package rpmdb

import (
	"encoding/binary"

	"lus/internal/base/errs"
)

// A hash of Berkeley DB is pages of one size. Those of the table have entries, by turns
// a key and what it stands for; what is long lies on a chain of pages of its own.
// Numbers are as the machine had them that wrote it.
const (
	hashMagic = 0x061561

	// of the first page
	metaMagic   = 12
	metaVersion = 16
	metaPage    = 20
	metaCipher  = 24
	metaType    = 25
	metaFlags   = 26 // one is that pages have sums, behind their heads
	metaSize    = 72

	// of the head of each other page
	pageNext    = 16
	pageEntries = 20
	pageLength  = 22 // of what is on a page of a chain
	pageType    = 25
	pageHead    = 26

	// types of pages
	unsortedHash = 2
	overflow     = 7
	hashMeta     = 8
	sortedHash   = 13

	// types of entries
	onPage     = 1
	offPage    = 3
	offPageLen = 12 // type and three bytes, first page, length
)

// hash is such a database.
type hash struct {
	data  []byte
	order binary.ByteOrder
	page  int
	seen  []bool // pages of chains: each belongs to one
}

// berkeleyOrder is how the numbers of a hash of Berkeley DB are written; nil: it is
// none.
func berkeleyOrder(db []byte) binary.ByteOrder {
	if len(db) < metaSize {
		return nil
	}
	for _, order := range []binary.ByteOrder{binary.LittleEndian, binary.BigEndian} {
		if order.Uint32(db[metaMagic:]) == hashMagic {
			return order
		}
	}
	return nil
}

func berkeleyNames(db []byte, tell func(name string) error) error {
	order := berkeleyOrder(db)
	size, version := order.Uint32(db[metaPage:]), order.Uint32(db[metaVersion:])
	switch {
	case version < 7 || version > 10 || db[metaCipher] != 0 || db[metaFlags]&1 != 0:
		return errs.New(errs.Invalid, "the rpm database is a hash of Berkeley DB of version %d, or with sums or a cipher, as rpm makes none", version)
	case db[metaType] != hashMeta || size < 512 || size > 1<<16 || size&(size-1) != 0:
		return errDamaged
	}
	h := &hash{data: db, order: order, page: int(size)}
	h.seen = make([]bool, len(db)/h.page)
	for n := 1; n < len(h.seen); n++ {
		page := h.at(n)
		if page[pageType] != unsortedHash && page[pageType] != sortedHash {
			continue // free, or of a chain
		}
		if err := h.table(page, tell); err != nil {
			return err
		}
	}
	return nil
}

func (h *hash) at(n int) []byte { return h.data[n*h.page:][:h.page] }

// table tells of the packages on a page of the table.
func (h *hash) table(page []byte, tell func(name string) error) error {
	entries := int(h.order.Uint16(page[pageEntries:]))
	if entries%2 != 0 || pageHead+2*entries > len(page) {
		return errDamaged
	}
	for i := 0; i < entries; i += 2 {
		k, err := h.entry(page, i)
		if err != nil {
			return err
		}
		if len(k) != 4 {
			return errDamaged
		}
		if h.order.Uint32(k) == 0 {
			continue // which stands for the number of the next package
		}
		record, err := h.entry(page, i+1)
		if err != nil {
			return err
		}
		name, err := nameIn(record)
		if err == nil {
			err = tell(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// entry is what the nth entry of a page says. Entries are laid down from the page's
// end on, each up to where the one before begins.
func (h *hash) entry(page []byte, n int) ([]byte, error) {
	list := page[pageHead:]
	start, end := int(h.order.Uint16(list[2*n:])), len(page)
	if n > 0 {
		end = int(h.order.Uint16(list[2*n-2:]))
	}
	if start < pageHead || start >= end || end > len(page) {
		return nil, errDamaged
	}
	e := page[start:end]
	switch {
	case e[0] == onPage:
		return e[1:], nil
	case e[0] == offPage && len(e) >= offPageLen:
		return h.chain(h.order.Uint32(e[4:]), h.order.Uint32(e[8:]))
	}
	return nil, errDamaged // or what rpm does not write, as several values of a key
}

// chain is what lies on a chain of pages.
func (h *hash) chain(first, length uint32) ([]byte, error) {
	if int64(length) > int64(len(h.data)) {
		return nil, errDamaged
	}
	out := make([]byte, 0, length)
	for n := first; len(out) < int(length); {
		if n == 0 || int64(n) >= int64(len(h.seen)) || h.seen[n] {
			return nil, errDamaged
		}
		h.seen[n] = true
		page := h.at(int(n))
		has := int(h.order.Uint16(page[pageLength:]))
		if page[pageType] != overflow || has > len(page)-pageHead || len(out)+has > int(length) {
			return nil, errDamaged
		}
		out = append(out, page[pageHead:][:has]...)
		n = h.order.Uint32(page[pageNext:])
	}
	return out, nil
}

package rpmdb

import (
	"encoding/binary"

	"lus/internal/base/errs"
)

// rpm's own format: a head, then a table of slots that says where each package's
// record is, counted in blocks, then the records. All numbers have the low bytes
// first.
const (
	ndbMagic   = "RpmP"
	ndbPage    = 4096
	ndbHead    = 32 // magic, version, generation, pages of slots, next package, nothing
	ndbSlot    = 16 // magic, package, first block, blocks; no package: it is free
	ndbBlock   = 16
	ndbRecord  = 16 // magic, package, generation, length; before the record itself
	slotMagic  = "Slot"
	blockMagic = "BlbS"
)

func ndbNames(db []byte, tell func(name string) error) error {
	if len(db) < ndbHead {
		return errDamaged
	}
	if v := number(db, 4); v != 0 {
		return errs.New(errs.Invalid, "the rpm database is one of version %d, which is not known here", v)
	}
	end := number(db, 12) * ndbPage
	if end < ndbHead || end > uint64(len(db)) {
		return errDamaged
	}
	room := uint64(len(db)) - end // for records, which do not lie upon each other
	for at := uint64(ndbHead); at < end; at += ndbSlot {
		slot := db[at:][:ndbSlot]
		if string(slot[:4]) != slotMagic {
			return errDamaged
		}
		which := number(slot, 4)
		if which == 0 {
			continue
		}
		first, size := number(slot, 8)*ndbBlock, number(slot, 12)*ndbBlock
		if first < end || size < ndbRecord || size > room || first+size > uint64(len(db)) {
			return errDamaged
		}
		room -= size
		record := db[first:][:size]
		length := number(record, 12)
		if string(record[:4]) != blockMagic || number(record, 4) != which || length > size-ndbRecord {
			return errDamaged
		}
		name, err := nameIn(record[ndbRecord:][:length])
		if err == nil {
			err = tell(name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// number is one of four bytes, wide enough to be reckoned with.
func number(b []byte, at int) uint64 { return uint64(binary.LittleEndian.Uint32(b[at:])) }

package rpmdb

import (
	"encoding/binary"

	"lus/internal/base/errs"
)

const (
	magic      = "SQLite format 3\x00"
	headerSize = 100 // bytes, of the first page
)

// sqliteNames reads the table that has the packages' names.
func sqliteNames(db []byte, tell func(name string) error) error {
	f, err := open(db)
	if err != nil {
		return err
	}
	// The first page begins with the table of tables: type, name, table, root, text.
	root := int64(0)
	err = f.walk(1, 0, func(cell []byte) error {
		row, err := columns(cell, 4)
		if err != nil {
			return err
		}
		if row[0].text == "table" && row[1].text == "Name" {
			root = row[3].number
		}
		return nil
	})
	if err != nil {
		return err
	}
	if root == 0 {
		return errs.New(errs.Invalid, "the rpm database has no table of names")
	}
	return f.walk(root, 0, func(cell []byte) error {
		row, err := columns(cell, 1)
		if err != nil {
			return err
		}
		return tell(row[0].text)
	})
}

// file is a database of SQLite: pages of one size, counted from one.
type file struct {
	data   []byte
	page   int // bytes
	usable int // of each page
	seen   []bool
}

func open(db []byte) (*file, error) {
	if len(db) < headerSize {
		return nil, errDamaged
	}
	f := &file{data: db, page: int(binary.BigEndian.Uint16(db[16:]))}
	if f.page == 1 {
		f.page = 1 << 16 // which two bytes cannot say
	}
	f.usable = f.page - int(db[20])
	if f.page < 512 || f.page&(f.page-1) != 0 || f.usable < 480 || binary.BigEndian.Uint32(db[56:]) != 1 {
		return nil, errDamaged // or in UTF-16, which rpm does not write
	}
	f.seen = make([]bool, len(db)/f.page+1)
	return f, nil
}

// The kinds of pages of a table.
const (
	interior = 0x05
	leaf     = 0x0d
)

// deepest is more than any table needs.
const deepest = 20

// walk tells of each row of the table whose tree begins at a page.
func (f *file) walk(number int64, depth int, row func(cell []byte) error) error {
	if number < 1 || number >= int64(len(f.seen)) || f.seen[number] || depth > deepest {
		return errDamaged // a page that is not there, or twice in the tree
	}
	f.seen[number] = true
	page := f.data[(number-1)*int64(f.page):][:f.usable]
	at := 0
	if number == 1 {
		at = headerSize
	}
	kind, count := page[at], int(binary.BigEndian.Uint16(page[at+3:]))
	list := at + 8
	if kind == interior {
		list = at + 12
	}
	if kind != interior && kind != leaf || list+2*count > len(page) {
		return errDamaged
	}
	for i := range count {
		start := int(binary.BigEndian.Uint16(page[list+2*i:]))
		if start < list || start+4 > len(page) {
			return errDamaged
		}
		cell := page[start:]
		var err error
		if kind == interior {
			err = f.walk(int64(binary.BigEndian.Uint32(cell)), depth+1, row)
		} else {
			err = row(cell)
		}
		if err != nil {
			return err
		}
	}
	if kind == interior {
		return f.walk(int64(binary.BigEndian.Uint32(page[at+8:])), depth+1, row)
	}
	return nil
}

// value is one column of a row.
type value struct {
	text   string
	number int64
}

// columns reads the first columns of a row, all of which lie on its page: what is
// too long for that lies behind them.
func columns(cell []byte, n int) ([]value, error) {
	r := &reader{b: cell}
	r.varint() // the length of the row
	r.varint() // its number
	header := &reader{b: r.b}
	size := header.varint()
	if header.bad || size > int64(len(r.b)) || size < 0 {
		return nil, errDamaged
	}
	end := len(r.b) - int(size)
	body := &reader{b: r.b[size:]}
	out := make([]value, 0, n)
	for range n {
		if len(header.b) <= end {
			return nil, errDamaged // more columns than the row has
		}
		out = append(out, body.value(header.varint()))
	}
	if r.bad || header.bad || body.bad {
		return nil, errDamaged
	}
	return out, nil
}

// reader takes values off the beginning of b, until it is bad.
type reader struct {
	b   []byte
	bad bool
}

// varint is a number of one to nine bytes, the high bits first.
func (r *reader) varint() (v int64) {
	for i := range 9 {
		if i >= len(r.b) {
			break
		}
		c := r.b[i]
		if i == 8 {
			r.b = r.b[9:]
			return v<<8 | int64(c)
		}
		v = v<<7 | int64(c&0x7f)
		if c < 0x80 {
			r.b = r.b[i+1:]
			return v
		}
	}
	r.bad = true
	return 0
}

// value is a column of a type: a number, a text, or something that is passed over.
func (r *reader) value(kind int64) (v value) {
	sizes := []int64{0, 1, 2, 3, 4, 6, 8, 8, 0, 0}
	size := int64(0)
	switch {
	case kind >= 12:
		size = (kind - 12) / 2
	case kind >= 0 && kind < int64(len(sizes)):
		size = sizes[kind]
	default:
		r.bad = true
	}
	if r.bad || size > int64(len(r.b)) {
		r.bad = true
		return v
	}
	raw := r.b[:size]
	r.b = r.b[size:]
	switch {
	case kind >= 13 && kind%2 == 1:
		v.text = string(raw)
	case kind == 9:
		v.number = 1
	case kind >= 1 && kind <= 6:
		for _, c := range raw {
			v.number = v.number<<8 | int64(c)
		}
	}
	return v
}

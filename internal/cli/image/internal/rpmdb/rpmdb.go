// Package rpmdb tells which packages are in rpm's database, in each of the formats
// that it had: one of SQLite (rpmdb.sqlite: Fedora from 33 on, Enterprise Linux from 9
// on), rpm's own (Packages.db: SUSE) and a hash of Berkeley DB (Packages: all before).
// It reads what it needs of them and links none of those libraries: the file comes out
// of an image, and may say anything.
package rpmdb

import (
	"bytes"
	"slices"

	"lus/internal/base/errs"
)

const (
	// most is how many packages are read: no machine has as many.
	most = 1 << 20

	// key is rpm's name for a key that somebody trusts, which is no package.
	key = "gpg-pubkey"
)

var errDamaged = errs.New(errs.Invalid, "the rpm database is damaged")

// Names returns the names of the packages in a database, sorted, each once.
func Names(db []byte) ([]string, error) {
	read := berkeleyNames
	switch {
	case bytes.HasPrefix(db, []byte(magic)):
		read = sqliteNames
	case bytes.HasPrefix(db, []byte(ndbMagic)):
		read = ndbNames
	case berkeleyOrder(db) == nil:
		return nil, errs.New(errs.Invalid, "the rpm database is none of SQLite, Berkeley DB or rpm's own")
	}
	var out []string
	total := 0
	err := read(db, func(name string) error {
		if total += 1 + len(name); total > len(db) || len(out) > most {
			return errDamaged // records lie upon each other
		}
		if name != key {
			out = append(out, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

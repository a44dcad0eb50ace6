package rpmdb_test

import (
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	_ "modernc.org/sqlite" // the driver

	"lus/internal/base/errs"
	"lus/internal/cli/image/internal/rpmdb"
)

// database is one as rpm makes it, of as many packages.
func database(t testing.TB, page, packages int) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "rpmdb.sqlite")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	do := func(text string, args ...any) {
		t.Helper()
		if _, err := db.Exec(text, args...); err != nil {
			t.Fatal(err)
		}
	}
	do(fmt.Sprintf("PRAGMA page_size = %d", page))
	do("CREATE TABLE IF NOT EXISTS 'Packages' (hnum INTEGER PRIMARY KEY AUTOINCREMENT,blob BLOB NOT NULL)")
	do("CREATE TABLE IF NOT EXISTS 'Name' (key 'TEXT' NOT NULL, hnum INTEGER NOT NULL, idx INTEGER NOT NULL, FOREIGN KEY (hnum) REFERENCES 'Packages'(hnum))")
	do("CREATE INDEX 'Name_key_idx' ON 'Name'(key ASC)")
	do("CREATE TABLE 'Other' (comment TEXT /* " + strings.Repeat("long ", 2*page/5) + " */)")
	do("BEGIN")
	for i := range packages {
		do("INSERT INTO Packages VALUES(?, ?)", i+1, make([]byte, i*37%5000))
		do("INSERT INTO Name VALUES(?, ?, 0)", fmt.Sprint("package-", i), i+1)
	}
	do("INSERT INTO Name VALUES('gpg-pubkey', 1, 0)")
	do("INSERT INTO Name VALUES('removed', 2, 0)")
	do("INSERT INTO Name SELECT key, hnum, 1 FROM Name WHERE key = 'package-0'") // two versions of one
	do("DELETE FROM Name WHERE key = 'removed'")
	do("COMMIT")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestNamesOfPackages(t *testing.T) {
	t.Parallel()
	for _, page := range []int{512, 4096, 65536} {
		for _, n := range []int{0, 1, 5000} {
			got, err := rpmdb.Names(database(t, page, n))
			if err != nil {
				t.Fatalf("pages of %d, %d packages: %v", page, n, err)
			}
			want := make([]string, 0, n)
			for i := range n {
				want = append(want, fmt.Sprint("package-", i))
			}
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("pages of %d: %d names for %d packages", page, len(got), n)
			}
		}
	}
}

func TestWhatIsNoDatabase(t *testing.T) {
	t.Parallel()
	whole := database(t, 512, 300)
	for what, data := range map[string][]byte{
		"nothing": nil, "a text": []byte("Package: no"), "its beginning": []byte("SQLite format 3\x00"),
		"of Berkeley": append(make([]byte, 12), 0x61, 0x15, 6, 0), "half of it": whole[:len(whole)/2],
	} {
		if _, err := rpmdb.Names(data); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for range 2000 { // whatever is changed, it ends
		data := slices.Clone(whole)
		for range 1 + rand.IntN(20) {
			data[rand.IntN(len(data))] = byte(rand.IntN(256))
		}
		_, _ = rpmdb.Names(data)
	}
}

func FuzzNames(f *testing.F) {
	f.Add(database(f, 512, 3))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = rpmdb.Names(data) })
}

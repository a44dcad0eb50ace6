package rpmdb_test

import (
	"bytes"
	"database/sql"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/cli/image/internal/rpmdb"
	"lus/test/need"
)

// record is that of a package in the database: a header with some entries, of which
// the name is one, and as much else as is asked for.
func record(name string, more int) []byte {
	data := append([]byte("C\x00"+name+"\x00"), make([]byte, more)...)
	var out []byte
	for _, n := range []int{
		3, len(data),
		100, 8, 0, 1, // the languages
		1000, 6, 2, 1,
		1004, 6, 2 + len(name) + 1, 1,
	} {
		out = binary.BigEndian.AppendUint32(out, uint32(n))
	}
	return append(out, data...)
}

// ndb is rpm's own format, laid out as rpm's documents it: nobody here writes it. The
// records come in the order of their numbers, the second slot was freed.
func ndb(records [][]byte) []byte {
	var little = binary.LittleEndian
	const page, block = 4096, 16
	pages := 1 + (len(records)+3)*16/page
	out := make([]byte, pages*page)
	copy(out, "RpmP")
	little.PutUint32(out[8:], 7) // changes so far
	little.PutUint32(out[12:], uint32(pages))
	little.PutUint32(out[16:], uint32(len(records)+1))
	for at := 32; at < len(out); at += 16 {
		copy(out[at:], "Slot")
	}
	for i, r := range records {
		slot := out[32+16*(i+min(i, 1)):]
		first := len(out) / block
		blob := append([]byte("BlbS"), make([]byte, 12)...)
		little.PutUint32(blob[4:], uint32(i+1))
		little.PutUint32(blob[8:], 7)
		little.PutUint32(blob[12:], uint32(len(r)))
		blob = append(blob, r...)
		blob = append(blob, make([]byte, 12)...) // sum, length, "BlbE"
		blob = append(blob, make([]byte, -len(blob)&(block-1))...)
		for k, n := range []int{i + 1, first, len(blob) / block} {
			little.PutUint32(slot[4+4*k:], uint32(n))
		}
		out = append(out, blob...)
	}
	return out
}

// berkeley is a hash of Berkeley DB, made by its own program.
func berkeley(t testing.TB, page, order int, records [][]byte) []byte {
	t.Helper()
	load := need.Program(t, "db5.3_load", "db5.3-util")
	var text bytes.Buffer
	fmt.Fprintf(&text, "VERSION=3\nformat=bytevalue\ntype=hash\ndb_pagesize=%d\ndb_lorder=%d\nHEADER=END\n 00000000\n %08x\n", page, order, len(records))
	for i, r := range records {
		k := binary.LittleEndian.AppendUint32(nil, uint32(i+1))
		fmt.Fprintf(&text, " %x\n %x\n", k, r)
	}
	text.WriteString("DATA=END\n")
	path := filepath.Join(t.TempDir(), "Packages")
	cmd := exec.Command(load, path)
	cmd.Stdin = &text
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func packages(n int) (names []string, records [][]byte) {
	for i := range n {
		names = append(names, fmt.Sprint("package-", i))
		records = append(records, record(names[i], i*i%30000))
	}
	names = append(names, names[:min(n, 1)]...) // two versions of one
	records = append(records, records[:min(n, 1)]...)
	records = append(records, record("gpg-pubkey", 10))
	slices.Sort(names)
	return slices.Compact(names), records
}

func TestNamesInOtherFormats(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 400} {
		want, records := packages(n)
		files := map[string][]byte{"rpm's own": ndb(records)}
		for _, page := range []int{512, 4096, 65536} {
			files[fmt.Sprintf("Berkeley, pages of %d", page)] = berkeley(t, page, 1234, records)
			files[fmt.Sprintf("Berkeley of the other order, pages of %d", page)] = berkeley(t, page, 4321, records)
		}
		for what, data := range files {
			if got, err := rpmdb.Names(data); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %d names for %d packages: %v", what, len(got), n, err)
			}
		}
	}
}

// What rpm itself writes, and what it can read.
func TestNamesAsRpmSaysThem(t *testing.T) {
	t.Parallel()
	rpm, build := need.Program(t, "rpm", "rpm"), need.Program(t, "rpmbuild", "rpm")
	dir := t.TempDir()
	run := func(program string, args ...string) string {
		t.Helper()
		out, err := exec.Command(program, args...).Output()
		if err != nil {
			t.Fatalf("%s %q: %v: %s", program, args, err, out)
		}
		return string(out)
	}
	want := []string{"alpha", "beta-tools", "gamma"}
	for i, name := range want {
		spec := filepath.Join(dir, name+".spec")
		text := "Name: " + name + "\nVersion: 1\nRelease: 1\nSummary: s\nLicense: l\nBuildArch: noarch\n%description\n" + strings.Repeat("long ", 5000*i) + "\n%files\n"
		if err := os.WriteFile(spec, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		run(build, "-bb", "--quiet", "--define", "_topdir "+dir+"/top", "--define", "_rpmdir "+dir+"/made", spec)
	}
	made, _ := filepath.Glob(dir + "/made/noarch/*.rpm")
	run(rpm, append([]string{"--dbpath", dir + "/db", "-i", "--justdb", "--nodeps", "--force-debian"}, made...)...)
	db, err := sql.Open("sqlite", dir+"/db/rpmdb.sqlite")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var records [][]byte
	rows, err := db.Query("SELECT blob FROM Packages ORDER BY hnum")
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var r []byte
		if err := rows.Scan(&r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	if _, err := db.Exec("PRAGMA wal_checkpoint(TRUNCATE)"); err != nil || rows.Err() != nil {
		t.Fatal(err, rows.Err())
	}
	one, err := os.ReadFile(dir + "/db/rpmdb.sqlite")
	if err != nil {
		t.Fatal(err)
	}
	hash := berkeley(t, 4096, 1234, records)
	for what, data := range map[string][]byte{"sqlite": one, "hash": hash, "own": ndb(records)} {
		if got, err := rpmdb.Names(data); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", what, got, err)
		}
	}
	// And the hash is one that rpm takes.
	if err := os.MkdirAll(dir+"/old", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/old/Packages", hash, 0o600); err != nil {
		t.Fatal(err)
	}
	says := strings.Fields(run(rpm, "--define", "_db_backend bdb_ro", "--dbpath", dir+"/old", "-qa", "--qf", "%{NAME}\\n"))
	slices.Sort(says)
	if !slices.Equal(says, want) {
		t.Errorf("rpm reads %q", says)
	}
}

func TestDamagedDatabasesOfOtherFormats(t *testing.T) {
	t.Parallel()
	_, records := packages(60)
	for what, whole := range map[string][]byte{"own": ndb(records), "hash": berkeley(t, 512, 1234, records)} {
		if _, err := rpmdb.Names(whole[:len(whole)/2]); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: half of it: %v", what, err)
		}
		for n := range 200 { // however short, it ends
			_, _ = rpmdb.Names(whole[:n])
		}
		for range 3000 { // and whatever is changed
			data := slices.Clone(whole)
			for range 1 + rand.IntN(20) {
				data[rand.IntN(len(data))] = byte(rand.IntN(256))
			}
			_, _ = rpmdb.Names(data)
		}
	}
}

// Many slots of one long record would take hours to read.
func TestRecordsThatLieUponEachOther(t *testing.T) {
	t.Parallel()
	data := ndb([][]byte{record("one", 100)})
	first, other := 32, 64
	copy(data[other:][:16], data[first:][:16])
	if got, err := rpmdb.Names(data); !errs.Is(err, errs.Invalid) {
		t.Errorf("two slots of one record: %q, %v", got, err)
	}
}

func FuzzNDB(f *testing.F) {
	_, records := packages(3)
	f.Add(ndb(records))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = rpmdb.Names(data) })
}

func FuzzBerkeley(f *testing.F) {
	_, records := packages(30)
	f.Add(berkeley(f, 512, 1234, records))
	f.Add(berkeley(f, 512, 4321, records[:2]))
	f.Fuzz(func(_ *testing.T, data []byte) { _, _ = rpmdb.Names(data) })
}

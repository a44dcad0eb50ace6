package sqlite_test

import (
	"bufio"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lus/internal/base/errs"
	"lus/internal/store/sqlite"
	"lus/test/need"
)

var things = []sqlite.Migration{{Name: "things 1", SQL: "CREATE TABLE things(id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT"}}

func open(t *testing.T, path string) *sqlite.DB {
	t.Helper()
	db, err := sqlite.Open(path, things)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func insert(name string) func(*sql.Tx) error {
	return func(tx *sql.Tx) error {
		_, err := tx.Exec("INSERT INTO things(name) VALUES(?)", name)
		return err
	}
}

func names(t *testing.T, db *sqlite.DB) []string {
	t.Helper()
	var out []string
	err := db.Read(context.Background(), func(tx *sql.Tx) error {
		rows, err := tx.Query("SELECT name FROM things ORDER BY id")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var s string
			if err := rows.Scan(&s); err != nil {
				return err
			}
			out = append(out, s)
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "deep", "x.db")
	db, err := sqlite.Open(path, things)
	if err != nil {
		t.Fatal(err)
	}
	for i, d := range []sqlite.Durability{sqlite.Crash, sqlite.Power} {
		if err := db.Write(context.Background(), d, insert(fmt.Sprint("n", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Sync(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, db); len(got) != 2 {
		t.Fatalf("read %v", got)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, open(t, path)); len(got) != 2 {
		t.Fatalf("after closing and opening: %v", got)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Fatalf("the file must be its owner's alone: %v %v", st.Mode(), err)
	}
	if err := db.Write(context.Background(), sqlite.Crash, insert("late")); !errs.Is(err, errs.Unavailable) {
		t.Fatalf("writing to a closed database: %v", err)
	}
}

func TestOneFailingWriteTakesNoOtherAlong(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.db"))
	boom := errors.New("boom")
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			err := db.Write(context.Background(), sqlite.Crash, func(tx *sql.Tx) error {
				if err := insert(fmt.Sprint("n", i))(tx); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					return boom
				case 2:
					panic("in a write")
				}
				return nil
			})
			switch i % 4 {
			case 1:
				if !errors.Is(err, boom) {
					t.Errorf("write %d: %v, want its own error", i, err)
				}
			case 2:
				if err == nil {
					t.Errorf("write %d panicked and was taken for good", i)
				}
			default:
				if err != nil {
					t.Errorf("write %d: %v", i, err)
				}
			}
		})
	}
	wg.Wait()
	if got := len(names(t, db)); got != 100 {
		t.Fatalf("%d rows, want the 100 good ones", got)
	}
}

func TestAReaderSeesOneState(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.db"))
	err := db.Read(context.Background(), func(tx *sql.Tx) error {
		count := func() (n int) {
			if err := tx.QueryRow("SELECT count(*) FROM things").Scan(&n); err != nil {
				t.Fatal(err)
			}
			return n
		}
		before := count()
		if err := db.Write(context.Background(), sqlite.Crash, insert("x")); err != nil {
			return err
		}
		if after := count(); after != before {
			t.Errorf("the reader saw %d, then %d", before, after)
		}
		if _, err := tx.Exec("DELETE FROM things"); err == nil {
			t.Error("a reader could write")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestACancelledWriteIsNotMade(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "x.db"))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := db.Write(ctx, sqlite.Crash, insert("x")); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if got := names(t, db); len(got) != 0 {
		t.Fatalf("it was written: %v", got)
	}
}

func TestMigrations(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sqlite.Open(path, things)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Write(context.Background(), sqlite.Crash, insert("old")); err != nil {
		t.Fatal(err)
	}
	db.Close()

	bad := append(append([]sqlite.Migration{}, things...), sqlite.Migration{Name: "things 2", SQL: "ALTER TABLE things ADD COLUMN size INTEGER; nonsense"})
	if _, err := sqlite.Open(path, bad); err == nil || !strings.Contains(err.Error(), "things 2") {
		t.Fatalf("a broken step: %v, want an error that names it", err)
	}
	good := append(append([]sqlite.Migration{}, things...), sqlite.Migration{Name: "things 2", SQL: "ALTER TABLE things ADD COLUMN size INTEGER NOT NULL DEFAULT 7"})
	for range 2 { // the second time there is nothing to do
		db, err = sqlite.Open(path, good)
		if err != nil {
			t.Fatal(err)
		}
		var size int
		if err := db.Read(context.Background(), func(tx *sql.Tx) error {
			return tx.QueryRow("SELECT size FROM things WHERE name = 'old'").Scan(&size)
		}); err != nil || size != 7 {
			t.Fatalf("size %d, %v", size, err)
		}
		db.Close()
	}
	if _, err := sqlite.Open(path, things); !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "newer") {
		t.Fatalf("records of a newer program: %v", err)
	}
}

func TestADamagedFileIsNamed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	if err := os.WriteFile(path, []byte(strings.Repeat("this is no database. ", 500)), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := sqlite.Open(path, things)
	if !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "damaged") {
		t.Fatalf("got %v", err)
	}
}

func TestAFullDiskIsNamedAndSurvived(t *testing.T) {
	need.Root(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=512k"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	db, err := sqlite.Open(filepath.Join(dir, "x.db"), things)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	big := strings.Repeat("x", 20<<10)
	kept := 0
	for err == nil {
		if err = db.Write(context.Background(), sqlite.Crash, insert(fmt.Sprint(kept, big))); err == nil {
			kept++
		}
		if kept > 1000 {
			t.Fatal("the disk does not get full")
		}
	}
	if !errs.Is(err, errs.Unavailable) || !strings.Contains(err.Error(), "full") {
		t.Errorf("got %v", err)
	}
	if got := len(names(t, db)); got != kept {
		t.Errorf("%d rows, want the %d that were written", got, kept)
	}
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT, "size=4m"); err != nil {
		t.Fatal(err)
	}
	if err := db.Write(context.Background(), sqlite.Power, insert("after")); err != nil {
		t.Errorf("with room again: %v", err)
	}
}

// The child writes numbered rows, tells of each one that was acknowledged, and
// is killed in the middle. Every row it told of must be there.
// The commit that begins the write-ahead file anew after a checkpoint waits for
// the disk, for as long as that takes: 20 ms beside what a build left to write.
func TestARestIsPaidForBeforeTheNextWrite(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lus.db")
	db := open(t, path)
	header := func() string {
		f, err := os.ReadFile(path + "-wal")
		if err != nil || len(f) < 32 {
			t.Fatalf("the write-ahead file: %d bytes, %v", len(f), err)
		}
		return string(f[:32])
	}
	write := func(name string) {
		if err := db.Write(context.Background(), sqlite.Crash, insert(name)); err != nil {
			t.Fatal(err)
		}
	}
	write("before")
	first := header()
	for begin := time.Now(); header() == first; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 5*time.Minute {
			t.Fatal("minutes of rest, and the file is not begun anew")
		}
	}
	rested := header()
	write("after")
	if header() != rested {
		t.Error("the first write after a rest began the file anew")
	}
	if got := names(t, db); !slices.Equal(got, []string{"before", "after"}) {
		t.Errorf("rows: %q", got)
	}
}

func TestRowsSurviveTheDeathOfTheWriter(t *testing.T) {
	if path := os.Getenv("LUS_SQLITE_CHILD"); path != "" {
		child(path)
		return
	}
	path := filepath.Join(t.TempDir(), "x.db")
	seen := 0
	for round := range 3 {
		cmd := exec.Command(os.Args[0], "-test.run=^TestRowsSurviveTheDeathOfTheWriter$")
		cmd.Env = append(os.Environ(), "LUS_SQLITE_CHILD="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		var told []string
		for lines.Scan() {
			told = append(told, lines.Text())
			if len(told) == 50*(round+1) {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		_ = cmd.Wait() // killed
		db, err := sqlite.Open(path, things)
		if err != nil {
			t.Fatal(err)
		}
		have := map[string]bool{}
		for _, n := range names(t, db) {
			have[n] = true
		}
		db.Close()
		for _, n := range told {
			if !have[n] {
				t.Fatalf("round %d: row %s was acknowledged and is gone", round, n)
			}
		}
		seen += len(told)
	}
	if seen < 300 {
		t.Fatalf("only %d rows were told of", seen)
	}
}

// Who rests once everything is tidied up is told when: after each rest in which there
// was something to tidy.
func TestItTellsThatItHasTidiedUp(t *testing.T) {
	t.Parallel()
	db := open(t, filepath.Join(t.TempDir(), "x.db"))
	tidied := make(chan struct{}, 9)
	db.OnTidied(func() { tidied <- struct{}{} })
	for i := range 2 {
		if err := db.Write(context.Background(), sqlite.Crash, insert(fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
		select {
		case <-tidied:
		case <-time.After(time.Minute):
			t.Fatal("it never does")
		}
	}
}

func child(path string) {
	db, err := sqlite.Open(path, things)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := 0; ; i++ {
				n := fmt.Sprintf("%d-%d-%d", os.Getpid(), g, i)
				if err := db.Write(context.Background(), sqlite.Durability(i%16 == 0), insert(n)); err != nil {
					return
				}
				mu.Lock()
				fmt.Println(n)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

func BenchmarkWrite(b *testing.B) {
	for _, d := range []sqlite.Durability{sqlite.Crash, sqlite.Power} {
		b.Run(fmt.Sprintf("power=%v", d), func(b *testing.B) {
			db, err := sqlite.Open(filepath.Join(b.TempDir(), "x.db"), things)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			for i := range b.N {
				if err := db.Write(context.Background(), d, insert(fmt.Sprint(i))); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

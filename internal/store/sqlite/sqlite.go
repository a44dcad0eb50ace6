// Package sqlite keeps records: one SQLite database in write-ahead mode, with
// ordered migrations, one writer that commits what waits in groups, and readers
// that never wait for it. Nothing else of Lus knows which database this is.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the driver

	"lus/internal/base/errs"
)

// Durability says what a written row survives.
type Durability bool

const (
	// Crash: it survives the death of this process, not that of the power. No fsync.
	Crash Durability = false
	// Power: it is on disk when Write returns.
	Power Durability = true
)

// The caches, in KiB: records are few and small, and memory is dear.
const (
	writerCache = 512
	readerCache = 256
	readers     = 2
)

// DB is an open database. Its methods are safe for concurrent use.
type DB struct {
	path   string
	writer *sql.DB // one connection, used by the writer's goroutine alone
	reader *sql.DB
	work   chan *write
	stop   chan struct{}
	done   chan struct{}
	once   sync.Once
	wal    *os.File // to fsync what was committed
	tidied atomic.Pointer[func()]
}

// OnTidied has fn called after each tidying up, which follows when nothing was
// written for a while.
func (db *DB) OnTidied(fn func()) { db.tidied.Store(&fn) }

// Open opens the database at path, making it where there is none, and applies
// the migrations it has not seen yet, in order. One process may have it open.
func Open(path string, migrations []Migration) (*DB, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, explain(path, err)
	}
	db := &DB{path: path, work: make(chan *write, 64), stop: make(chan struct{}), done: make(chan struct{})}
	if err := db.connect(); err != nil {
		return nil, explain(path, err)
	}
	if err := db.migrate(migrations); err != nil {
		return nil, explain(path, errors.Join(err, db.disconnect()))
	}
	if err := db.openWAL(); err != nil {
		return nil, explain(path, errors.Join(err, db.disconnect()))
	}
	go db.run()
	return db, nil
}

func (db *DB) connect() error {
	var err error
	// No checkpoint inside a commit: it would fsync in somebody's hot path. The
	// writer makes one when it has nothing else to do.
	db.writer, err = open(db.path, url.Values{
		"_txlock": {"immediate"},
		"_pragma": {"journal_mode(WAL)", "synchronous(NORMAL)", "wal_autocheckpoint(0)", "busy_timeout(5000)", "foreign_keys(1)", cacheSize(writerCache)},
	}, 1)
	if err != nil {
		return err
	}
	if err = db.writer.Ping(); err == nil {
		err = os.Chmod(db.path, 0o600)
	}
	if err != nil {
		return errors.Join(err, db.writer.Close())
	}
	db.reader, err = open(db.path, url.Values{
		"_pragma": {"query_only(1)", "busy_timeout(5000)", cacheSize(readerCache)},
	}, readers)
	if err != nil {
		return errors.Join(err, db.writer.Close())
	}
	return nil
}

func (db *DB) disconnect() error { return errors.Join(db.reader.Close(), db.writer.Close()) }

func open(path string, params url.Values, conns int) (*sql.DB, error) {
	u := url.URL{Scheme: "file", Path: path, RawQuery: params.Encode()}
	h, err := sql.Open("sqlite", u.String())
	if err != nil {
		return nil, err
	}
	h.SetMaxOpenConns(conns)
	h.SetMaxIdleConns(1)
	if conns > 1 {
		h.SetConnMaxIdleTime(time.Minute)
	}
	return h, nil
}

// openWAL finds the write-ahead file and makes sure that its name survives the
// power, so that later only its content needs to be synced.
func (db *DB) openWAL() error {
	f, err := os.OpenFile(db.path+"-wal", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	db.wal = f
	dir, err := os.Open(filepath.Dir(db.path))
	if err != nil {
		f.Close()
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Read calls fn in a read-only transaction: it sees one state of the database
// and disturbs no writer.
func (db *DB) Read(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := db.reader.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return explain(db.path, err)
	}
	defer func() { _ = tx.Rollback() }() // it wrote nothing
	return explain(db.path, fn(tx))
}

// Sync makes everything committed so far survive the power.
func (db *DB) Sync() error { return explain(db.path, db.wal.Sync()) }

// Close waits for the writes under way, tidies up and closes the database.
func (db *DB) Close() error {
	db.once.Do(func() { close(db.stop) })
	<-db.done
	rerr := db.reader.Close()
	werr := db.writer.Close() // the last connection: checkpoints and removes the write-ahead file
	db.wal.Close()
	if werr == nil {
		werr = rerr
	}
	return explain(db.path, werr)
}

var errClosed = errs.New(errs.Unavailable, "the records database is closed: the daemon is stopping")

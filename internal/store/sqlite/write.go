package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"time"
)

const (
	groupMax  = 128              // writes in one transaction
	idleAfter = 2 * time.Second  // then a small checkpoint does not disturb anybody
	walPages  = 4096             // more than this and the file is tidied even under load
	lateAfter = 10 * time.Second // closing gives up on a checkpoint
)

// write is one caller's function, waiting for its group.
type write struct {
	ctx   context.Context
	fn    func(*sql.Tx) error
	power bool
	err   error
	done  chan struct{}
}

// Write calls fn inside a transaction and returns once it is committed and as
// durable as asked. Writes that wait together are committed together; one that
// fails takes no other with it.
func (db *DB) Write(ctx context.Context, d Durability, fn func(*sql.Tx) error) error {
	w := &write{ctx: ctx, fn: fn, power: d == Power, done: make(chan struct{})}
	select {
	case db.work <- w:
	case <-db.stop:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-w.done:
		return explain(db.path, w.err)
	case <-db.done: // closed before our turn came, or just after it
		select {
		case <-w.done:
			return explain(db.path, w.err)
		default:
			return errClosed
		}
	}
}

// run is the writer: the only goroutine that changes the database.
func (db *DB) run() {
	defer close(db.done)
	idle := time.NewTimer(idleAfter)
	defer idle.Stop()
	dirty := false
	for {
		select {
		case w := <-db.work:
			db.commit(db.gather(w))
			dirty = true
			idle.Reset(idleAfter)
		case <-idle.C:
			if dirty {
				db.checkpoint()
				dirty = false
				if fn := db.tidied.Load(); fn != nil {
					(*fn)()
				}
			}
		case <-db.stop:
			for {
				select {
				case w := <-db.work:
					db.commit(db.gather(w))
				default:
					return
				}
			}
		}
	}
}

// gather takes what else is waiting already, without waiting for more.
func (db *DB) gather(first *write) []*write {
	group := []*write{first}
	for len(group) < groupMax {
		select {
		case w := <-db.work:
			group = append(group, w)
		default:
			return group
		}
	}
	return group
}

func (db *DB) commit(group []*write) {
	err := db.transact(group)
	if err == nil && needsPower(group) {
		err = db.wal.Sync()
	}
	for _, w := range group {
		if w.err == nil {
			w.err = err
		}
		close(w.done)
	}
}

func needsPower(group []*write) bool {
	for _, w := range group {
		if w.power && w.err == nil {
			return true
		}
	}
	return false
}

// transact runs the whole group in one transaction, each write behind a save
// point of its own. The error it returns is everybody's.
func (db *DB) transact(group []*write) error {
	tx, err := db.writer.Begin()
	if err != nil {
		return err
	}
	if len(group) == 1 { // alone it needs no save point: the transaction is its own
		w := group[0]
		if w.err = w.ctx.Err(); w.err == nil {
			w.err = guard(tx, w.fn)
		}
		if w.err != nil {
			return tx.Rollback()
		}
		return db.finish(tx)
	}
	for _, w := range group {
		if w.err = w.ctx.Err(); w.err != nil {
			continue
		}
		if err := inSavepoint(tx, w); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return db.finish(tx)
}

// finish commits. What a failed commit leaves open is closed, for there is one
// connection and the next transaction needs it.
func (db *DB) finish(tx *sql.Tx) error {
	err := tx.Commit()
	if err != nil {
		_, _ = db.writer.Exec("ROLLBACK") // fails where nothing is open any more
	}
	return err
}

// inSavepoint runs one write; what it returns is fatal for the transaction.
func inSavepoint(tx *sql.Tx, w *write) error {
	if _, err := tx.Exec("SAVEPOINT w"); err != nil {
		return err
	}
	w.err = guard(tx, w.fn)
	end := "RELEASE w"
	if w.err != nil {
		end = "ROLLBACK TO w; RELEASE w"
	}
	_, err := tx.Exec(end)
	return err
}

// guard keeps a panic in one caller's function from ending the writer, and with
// it everybody's: the caller gets an error that names it.
func guard(tx *sql.Tx, fn func(*sql.Tx) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked{p}
		}
	}()
	return fn(tx)
}

// checkpoint moves what was committed into the main file. A reader in the way
// only makes it smaller.
func (db *DB) checkpoint() {
	ctx, cancel := context.WithTimeout(context.Background(), lateAfter)
	defer cancel()
	mode := "PASSIVE"
	if st, err := db.wal.Stat(); err == nil && st.Size() > walPages*4096 {
		mode = "TRUNCATE"
	}
	if _, err := db.writer.ExecContext(ctx, "PRAGMA wal_checkpoint("+mode+")"); err != nil {
		return // tried again at the next rest
	}
	// The first commit after a checkpoint begins the file anew and waits until
	// its header is on disk: better one of ours now than the next caller's.
	_, _ = db.writer.ExecContext(ctx, "PRAGMA user_version = 1")
}

func cacheSize(kib int) string { return "cache_size(-" + strconv.Itoa(kib) + ")" }

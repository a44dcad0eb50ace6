package engine

import (
	"context"
	"database/sql"
	"encoding/json"
	"maps"
	"sync"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/container"
	"lus/internal/model/network"
	"lus/internal/model/volume"
	"lus/internal/service/engine/internal/mounts"
	"lus/internal/store/sqlite"
)

// Migrations are the engine's tables.
func Migrations() []sqlite.Migration {
	return []sqlite.Migration{{Name: "engine 1: containers, networks, volumes", SQL: `
		CREATE TABLE containers(id TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
		CREATE TABLE networks(id TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;
		CREATE TABLE volumes(name TEXT PRIMARY KEY, record BLOB NOT NULL) STRICT, WITHOUT ROWID;`}}
}

// row is what is kept of a container.
type row struct {
	Container  container.Container
	Mounts     []mounts.Mount
	Generation uint64
	Started    bool   // it has run at least once
	Begun      bool   // of its last start nobody has written yet how it went
	Boot       string `json:",omitempty"` // the boot.ID in which that began
}

// records writes what changed in memory, a moment later and many at once. A
// container is written as it is at that moment, so the order of changes cannot
// be confused. Nothing here waits for the disk, except that containers that
// stay are synced soon after.
type records struct {
	e     *Engine
	mu    sync.Mutex
	dirty map[string]bool // id -> it is to survive the power
	wait  []chan error    // of the next batch
	wake  chan struct{}
	stop  chan struct{}
	done  chan struct{}
}

const (
	syncAfter  = 500 * time.Millisecond // containers made together are synced together
	retryAfter = time.Second            // a full disk may get room
	soon       = 20 * time.Millisecond
)

func newRecords(e *Engine) *records {
	r := &records{e: e, dirty: map[string]bool{}, wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
	go r.run()
	return r
}

// touch says that the container changed.
func (r *records) touch(u *unit) {
	r.mark(u)
	r.poke()
}

// touchSoon says the same of a change that the keeper knows as well: it may be
// written with the next one. So a process that ends at once is written once.
func (r *records) touchSoon(u *unit) {
	r.mark(u)
	time.AfterFunc(soon, r.poke)
}

func (r *records) mark(u *unit) {
	keep := !u.autoRemove()
	r.mu.Lock()
	r.dirty[u.id] = r.dirty[u.id] || keep
	r.mu.Unlock()
}

func (r *records) poke() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// flush returns once everything touched so far is written.
func (r *records) flush(ctx context.Context) error {
	ch := make(chan error, 1)
	r.mu.Lock()
	r.wait = append(r.wait, ch)
	r.mu.Unlock()
	r.poke()
	select {
	case err := <-ch:
		return err
	case <-r.done:
		select {
		case err := <-ch:
			return err
		default:
			return errs.New(errs.Unavailable, "the daemon is stopping")
		}
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (r *records) close() error {
	err := r.flush(context.Background())
	close(r.stop)
	<-r.done
	if serr := r.e.DB.Sync(); err == nil {
		err = serr
	}
	return err
}

func (r *records) run() {
	defer close(r.done)
	var syncAt, retry <-chan time.Time
	for {
		select {
		case <-r.wake:
		case <-retry:
			retry = nil
		case <-syncAt:
			syncAt = nil
			if err := r.e.DB.Sync(); err != nil {
				r.e.Log.Error("syncing records", "err", err)
			}
			continue
		case <-r.stop:
			return
		}
		keep, err := r.batch()
		if err != nil {
			r.e.Log.Error("writing records", "err", err)
			retry = time.After(retryAfter)
		} else if keep && syncAt == nil {
			syncAt = time.After(syncAfter)
		}
	}
}

// batch writes what is dirty now. On failure it stays dirty.
func (r *records) batch() (keep bool, err error) {
	r.mu.Lock()
	dirty, wait := r.dirty, r.wait
	r.dirty, r.wait = map[string]bool{}, nil
	r.mu.Unlock()
	if len(dirty) > 0 {
		err = r.e.DB.Write(context.Background(), sqlite.Crash, func(tx *sql.Tx) error { return r.write(tx, dirty) })
	}
	if err != nil {
		r.mu.Lock()
		for id, k := range dirty {
			r.dirty[id] = r.dirty[id] || k
		}
		r.mu.Unlock()
	}
	for _, ch := range wait {
		ch <- err
	}
	for _, k := range dirty {
		keep = keep || k
	}
	return keep, err
}

func (r *records) write(tx *sql.Tx, dirty map[string]bool) error {
	for id := range maps.Keys(dirty) {
		u := r.e.unitByID(id)
		if u == nil {
			if _, err := tx.Exec("DELETE FROM containers WHERE id = ?", id); err != nil {
				return err
			}
			continue
		}
		w := u.row()
		if w.Begun {
			w.Boot = r.e.boot
		}
		data, err := json.Marshal(w)
		if err != nil {
			return err
		}
		if _, err := tx.Exec("INSERT INTO containers(id, record) VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET record = excluded.record", id, data); err != nil {
			return err
		}
	}
	return nil
}

// load reads all records.
func (e *Engine) load(ctx context.Context) error {
	return e.DB.Read(ctx, func(tx *sql.Tx) error {
		err := each(tx, "SELECT record FROM containers", func(w *row) {
			u := newUnit(&w.Container, w.Mounts)
			u.made.Store(true)
			u.gen, u.wasStarted, u.begun = w.Generation, w.Started, w.Begun
			u.begunNow = w.Boot == e.boot
			e.units[u.id] = u
			e.names[w.Container.Name] = u
		})
		if err != nil {
			return err
		}
		if err := each(tx, "SELECT record FROM networks", func(n *network.Network) { e.networks[n.ID] = n }); err != nil {
			return err
		}
		return each(tx, "SELECT record FROM volumes", func(v *keptVolume) {
			v.Volume.Anonymous = v.Anonymous
			e.volumes[v.Name] = &volumeEntry{Volume: v.Volume}
		})
	})
}

// keptVolume carries what the API's form of a volume does not show.
type keptVolume struct {
	volume.Volume
	Anonymous bool
}

func each[T any](tx *sql.Tx, query string, fn func(*T)) error {
	rows, err := tx.Query(query)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&data); err != nil {
			return err
		}
		v := new(T)
		if err := json.Unmarshal(data, v); err != nil {
			return errs.New(errs.Unavailable, "a record of this root cannot be read: %w", err)
		}
		fn(v)
	}
	return rows.Err()
}

// saveNetwork and the like are rare and survive the power.

func (e *Engine) saveNetwork(ctx context.Context, n *network.Network) error {
	return e.put(ctx, sqlite.Power, "INSERT INTO networks(id, record) VALUES(?, ?) ON CONFLICT(id) DO UPDATE SET record = excluded.record", n, n.ID)
}

func (e *Engine) forgetNetwork(ctx context.Context, id string) error {
	return e.DB.Write(ctx, sqlite.Power, func(tx *sql.Tx) error {
		_, err := tx.Exec("DELETE FROM networks WHERE id = ?", id)
		return err
	})
}

func (e *Engine) saveVolume(ctx context.Context, v *volume.Volume) error {
	durability := sqlite.Power
	if v.Anonymous {
		durability = sqlite.Crash // it belongs to a container, and is synced with it
	}
	return e.put(ctx, durability, "INSERT INTO volumes(name, record) VALUES(?, ?) ON CONFLICT(name) DO UPDATE SET record = excluded.record", keptVolume{*v, v.Anonymous}, v.Name)
}

func (e *Engine) forgetVolume(ctx context.Context, name string) error {
	return e.DB.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		_, err := tx.Exec("DELETE FROM volumes WHERE name = ?", name)
		return err
	})
}

func (e *Engine) put(ctx context.Context, d sqlite.Durability, query string, v any, key string) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.DB.Write(ctx, d, func(tx *sql.Tx) error {
		_, err := tx.Exec(query, key, data)
		return err
	})
}

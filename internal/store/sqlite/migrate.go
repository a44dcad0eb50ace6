package sqlite

import (
	"database/sql"
	"fmt"
	"time"

	"lus/internal/base/errs"
)

// Migration is one step of a schema. Its name never changes and its SQL is not
// edited once released: a later step mends it.
type Migration struct {
	Name string // "engine 1: containers"
	SQL  string
}

const history = `CREATE TABLE IF NOT EXISTS migrations (
	name TEXT PRIMARY KEY,
	applied_at TEXT NOT NULL
) STRICT`

// migrate applies what is new, each step in a transaction of its own. A
// database that knows steps this program does not is from a newer one.
func (db *DB) migrate(steps []Migration) error {
	if _, err := db.writer.Exec(history); err != nil {
		return err
	}
	applied, err := db.applied()
	if err != nil {
		return err
	}
	for _, m := range steps {
		if applied[m.Name] {
			delete(applied, m.Name)
			continue
		}
		if err := db.apply(m); err != nil {
			return fmt.Errorf("migration %q of %s: %w", m.Name, db.path, err)
		}
	}
	for name := range applied {
		return errs.New(errs.Unavailable, "the records in %s were written by a newer Lus (it knows %q): install that version again, or use another root", db.path, name)
	}
	return nil
}

func (db *DB) applied() (map[string]bool, error) {
	rows, err := db.writer.Query("SELECT name FROM migrations")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	names := map[string]bool{}
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		names[name] = true
	}
	return names, rows.Err()
}

func (db *DB) apply(m Migration) error {
	tx, err := db.writer.Begin()
	if err != nil {
		return err
	}
	if err := step(tx, m); err != nil {
		_ = tx.Rollback()
		return err
	}
	return tx.Commit()
}

func step(tx *sql.Tx, m Migration) error {
	if _, err := tx.Exec(m.SQL); err != nil {
		return err
	}
	_, err := tx.Exec("INSERT INTO migrations(name, applied_at) VALUES(?, ?)", m.Name, time.Now().UTC().Format(time.RFC3339))
	return err
}

// Package history keeps what each deployment of a project changed: who asked
// for it, from which commit, with which images, the resolved project and how it
// ended.
package history

import (
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"

	"lus/internal/base/errs"
	"lus/internal/model/compose"
	"lus/internal/store/sqlite"
)

// Keep is how many deployments of one project are kept.
const Keep = 50

// maxRecord bounds what one record may unpack to, in bytes.
const maxRecord = 256 << 20

// Migrations are the tables. A deployment's config is apart from the rest, so
// that lists need not read it.
func Migrations() []sqlite.Migration {
	return []sqlite.Migration{{Name: "compose 1: deployments", SQL: `
		CREATE TABLE deployments(id INTEGER PRIMARY KEY AUTOINCREMENT, project TEXT NOT NULL, record BLOB NOT NULL, config BLOB NOT NULL) STRICT;
		CREATE INDEX deployments_project ON deployments(project, id);`}}
}

// History is the records of all projects.
type History struct{ DB *sqlite.DB }

// Recover closes what a daemon that ended in the middle left open.
func (h *History) Recover(ctx context.Context) error {
	list, err := h.List(ctx, "")
	if err != nil {
		return err
	}
	for _, d := range list {
		if d.Outcome == compose.Underway {
			err := h.Change(ctx, d.ID, func(d *compose.Deployment) {
				d.Outcome, d.Error = compose.Interrupted, "the daemon ended in the middle"
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// Add keeps a new deployment, gives it its number and forgets the oldest of
// the project that are too many.
func (h *History) Add(ctx context.Context, d *compose.Deployment) error {
	config, err := pack(d.Config)
	if err != nil {
		return err
	}
	return h.DB.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		res, err := tx.Exec("INSERT INTO deployments(project, record, config) VALUES(?, ?, ?)", d.Project, []byte("{}"), config)
		if err != nil {
			return err
		}
		if d.ID, err = res.LastInsertId(); err != nil {
			return err
		}
		if err := put(tx, d); err != nil {
			return err
		}
		_, err = tx.Exec(`DELETE FROM deployments WHERE project = ? AND id NOT IN
			(SELECT id FROM deployments WHERE project = ? ORDER BY id DESC LIMIT ?)`, d.Project, d.Project, Keep)
		return err
	})
}

// Change changes what is kept of a deployment, but for its config. Several may
// do so at once. One that is forgotten meanwhile stays so.
func (h *History) Change(ctx context.Context, id int64, change func(*compose.Deployment)) error {
	return h.DB.Write(ctx, sqlite.Crash, func(tx *sql.Tx) error {
		var data []byte
		err := tx.QueryRow("SELECT record FROM deployments WHERE id = ?", id).Scan(&data)
		if errors.Is(err, sql.ErrNoRows) {
			return errs.New(errs.NotFound, "no such deployment: %d", id)
		}
		d := new(compose.Deployment)
		if err = cmp.Or(err, json.Unmarshal(data, d)); err != nil {
			return err
		}
		change(d)
		return put(tx, d)
	})
}

func put(tx *sql.Tx, d *compose.Deployment) error {
	plain := *d
	plain.Config = nil
	data, err := json.Marshal(plain)
	if err != nil {
		return err
	}
	_, err = tx.Exec("UPDATE deployments SET record = ? WHERE id = ?", data, d.ID)
	return err
}

// List tells the deployments of a project, or of all where it is empty, newest
// first and without their configs.
func (h *History) List(ctx context.Context, project string) ([]*compose.Deployment, error) {
	out := []*compose.Deployment{}
	err := h.DB.Read(ctx, func(tx *sql.Tx) error {
		rows, err := tx.Query("SELECT record FROM deployments WHERE ? = '' OR project = ? ORDER BY id DESC", project, project)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var data []byte
			if err := rows.Scan(&data); err != nil {
				return err
			}
			d := new(compose.Deployment)
			if err := json.Unmarshal(data, d); err != nil {
				return err
			}
			out = append(out, d)
		}
		return rows.Err()
	})
	return out, err
}

// Get returns one deployment whole.
func (h *History) Get(ctx context.Context, id int64) (*compose.Deployment, error) {
	return h.one(ctx, "SELECT record, config FROM deployments WHERE id = ?", id)
}

// Before returns the deployment of the project that came before the one with
// that number; nil where there is none.
func (h *History) Before(ctx context.Context, project string, id int64) (*compose.Deployment, error) {
	d, err := h.one(ctx, "SELECT record, config FROM deployments WHERE project = ? AND id < ? ORDER BY id DESC LIMIT 1", project, id)
	if errs.Is(err, errs.NotFound) {
		return nil, nil
	}
	return d, err
}

func (h *History) one(ctx context.Context, query string, args ...any) (*compose.Deployment, error) {
	var record, config []byte
	err := h.DB.Read(ctx, func(tx *sql.Tx) error { return tx.QueryRow(query, args...).Scan(&record, &config) })
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errs.New(errs.NotFound, "no such deployment: %v; `lus deploy ls` lists them", args[len(args)-1])
	}
	if err != nil {
		return nil, err
	}
	d := new(compose.Deployment)
	if err := json.Unmarshal(record, d); err != nil {
		return nil, err
	}
	d.Config, err = unpack(config)
	return d, err
}

// Former returns a function that looks for a service of a project as it was
// when its sum was hash; nil where no deployment that is kept has it. It reads
// nothing before it is asked, and everything once.
func (h *History) Former(ctx context.Context, project string) func(service, hash string) *compose.Service {
	var rows [][]byte
	var read []*compose.Project
	asked := false
	return func(service, hash string) *compose.Service {
		if !asked {
			asked, rows = true, h.configs(ctx, project)
		}
		for i := 0; i < len(read) || i < len(rows); i++ {
			if i == len(read) {
				p, err := unpack(rows[i])
				if err != nil {
					p = &compose.Project{} // another may have it
				}
				read = append(read, p)
			}
			for k := range read[i].Services {
				if s := &read[i].Services[k]; s.Name == service && s.Hash == hash {
					return s
				}
			}
		}
		return nil
	}
}

// configs are the packed configs of a project, newest first. What cannot be
// read only makes reasons less precise.
func (h *History) configs(ctx context.Context, project string) [][]byte {
	var out [][]byte
	_ = h.DB.Read(ctx, func(tx *sql.Tx) error {
		rows, err := tx.Query("SELECT config FROM deployments WHERE project = ? ORDER BY id DESC", project)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var data []byte
			if err := rows.Scan(&data); err != nil {
				return err
			}
			out = append(out, data)
		}
		return rows.Err()
	})
	return out
}

// Images are the ids of the images that the newest deployments of each of the
// projects need.
func (h *History) Images(ctx context.Context, projects map[string]bool, newest int) (map[string]bool, error) {
	list, err := h.List(ctx, "")
	if err != nil {
		return nil, err
	}
	out, seen := map[string]bool{}, map[string]int{}
	for _, d := range list {
		if seen[d.Project]++; !projects[d.Project] || seen[d.Project] > newest {
			continue
		}
		for _, pin := range d.Images {
			out[pin.ID] = true
		}
	}
	return out, nil
}

func pack(p *compose.Project) ([]byte, error) {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := json.NewEncoder(w).Encode(p); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func unpack(data []byte) (*compose.Project, error) {
	r := flate.NewReader(bytes.NewReader(data))
	defer r.Close()
	p := new(compose.Project)
	return p, json.NewDecoder(io.LimitReader(r, maxRecord)).Decode(p)
}

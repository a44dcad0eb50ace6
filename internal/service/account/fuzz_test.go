package account_test

import (
	"path/filepath"
	"testing"
	"time"

	"lus/internal/base/errs"
	model "lus/internal/model/account"
	"lus/internal/service/account"
	"lus/internal/store/sqlite"
)

// Nothing is a bearer token but what was handed out, to the letter.
func FuzzBearer(f *testing.F) {
	dir, now := f.TempDir(), time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	db, err := sqlite.Open(filepath.Join(dir, "x.db"), account.Migrations())
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	s, err := account.New(f.Context(), account.Deps{DB: db, Dir: filepath.Join(dir, "account"), Now: func() time.Time { return now }})
	if err != nil {
		f.Fatal(err)
	}
	token, _, err := s.Bearer(model.Identity{}, "here", nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(token)
	f.Add("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiIwIn0.")
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		id, grants, err := s.Verify(text, "here")
		switch {
		case text == token && err != nil:
			t.Fatal(err)
		case text != token && (err == nil || !errs.Is(err, errs.Unauthenticated)):
			t.Fatalf("%q: %+v, %v, %v", text, id, grants, err)
		}
	})
}

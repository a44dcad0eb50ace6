package account_test

import (
	"net/netip"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"lus/internal/base/errs"
	model "lus/internal/model/account"
	"lus/internal/service/account"
	"lus/internal/store/sqlite"
)

// world is accounts with a clock that only moves when told to.
type world struct {
	*account.Service
	t   *testing.T
	dir string
	db  *sqlite.DB

	mu  sync.Mutex
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	t.Parallel()
	w := &world{t: t, dir: t.TempDir(), now: time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)}
	w.open()
	t.Cleanup(func() { w.db.Close() })
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.db, err = sqlite.Open(filepath.Join(w.dir, "x.db"), account.Migrations()); err != nil {
		w.t.Fatal(err)
	}
	w.Service, err = account.New(w.t.Context(), account.Deps{DB: w.db, Dir: filepath.Join(w.dir, "account"), Now: w.clock})
	if err != nil {
		w.t.Fatal(err)
	}
}

// reopen is what a restart is.
func (w *world) reopen() {
	w.t.Helper()
	if err := w.db.Close(); err != nil {
		w.t.Fatal(err)
	}
	w.open()
}

func (w *world) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

const secret = "a good password"

func (w *world) user(name string) {
	w.t.Helper()
	if _, err := w.Create(w.t.Context(), model.NewUser{Name: name, Password: secret}); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) token(user string, scopes ...string) model.NewToken {
	w.t.Helper()
	r := model.TokenRequest{Name: "a test"}
	for _, text := range scopes {
		s, err := model.ParseScope(text)
		if err != nil {
			w.t.Fatal(err)
		}
		r.Scopes = append(r.Scopes, s)
	}
	tok, err := w.CreateToken(w.t.Context(), user, r)
	if err != nil {
		w.t.Fatal(err)
	}
	return tok
}

func (w *world) grant(who, actions, resource string) {
	w.t.Helper()
	a, err := model.ParseActions(actions)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.Grant(w.t.Context(), model.Rule{Who: who, Resource: model.Pattern(resource), Actions: a}); err != nil {
		w.t.Fatal(err)
	}
}

func here() netip.Addr { return netip.MustParseAddr("192.0.2.1") }

// login expects the secret to be right.
func (w *world) login(name, secret string) model.Identity {
	w.t.Helper()
	id, err := w.Login(w.t.Context(), name, secret, here())
	if err != nil {
		w.t.Fatalf("%s: %v", name, err)
	}
	return id
}

// out expects it not to be.
func (w *world) out(what, name, secret string) {
	w.t.Helper()
	if id, err := w.Login(w.t.Context(), name, secret, here()); !errs.Is(err, errs.Unauthenticated) || !id.Anonymous() {
		w.t.Errorf("%s: %+v, %v", what, id, err)
	}
	w.later(time.Hour) // guesses are held up; that is not what is asked here
}

func (w *world) may(id model.Identity, a model.Actions, repository string, want bool) {
	w.t.Helper()
	if got := w.Allowed(id, a, model.Repository(repository)); got != want {
		w.t.Errorf("%q may %s %s: %v", id.Name, a, repository, got)
	}
}

package account_test

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lus/internal/base/errs"
	model "lus/internal/model/account"
	"lus/internal/service/account"
	"lus/internal/store/sqlite"
)

func TestWhoIsWho(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	if id := w.login("ada", secret); id.Name != "ada" || id.Anonymous() {
		t.Errorf("%+v", id)
	}
	w.out("a wrong password", "ada", "another one")
	w.out("none", "ada", "")
	w.out("nobody", "bob", secret)
	w.out("no name", "", secret)
	w.out("another case", "Ada", secret)
	w.out("a password without end", "ada", strings.Repeat("x", 1<<20))
	w.reopen()
	w.login("ada", secret)
}

func TestUsersThatCannotBeMade(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	for what, c := range map[string]struct {
		user model.NewUser
		want errs.Kind
	}{
		"there is one":     {model.NewUser{Name: "ada", Password: secret}, errs.Conflict},
		"a short password": {model.NewUser{Name: "bob", Password: "short"}, errs.Invalid},
		"a word of rules":  {model.NewUser{Name: "anonymous", Password: secret}, errs.Invalid},
		"a path":           {model.NewUser{Name: "../bob", Password: secret}, errs.Invalid},
	} {
		if _, err := w.Create(t.Context(), c.user); errs.KindOf(err) != c.want {
			t.Errorf("%s: %v", what, err)
		}
	}
	if n := len(w.List()); n != 1 {
		t.Errorf("%d users", n)
	}
}

func TestWhatEndsAnIdentity(t *testing.T) {
	yes, no, other := true, false, "eve"
	next := "another password"
	for _, c := range []struct {
		what string
		do   func(w *world) error
		// What works afterwards.
		password, token bool
	}{
		{"disabled", func(w *world) error {
			_, err := w.Change(t.Context(), "ada", model.Changes{Disabled: &yes})
			return err
		}, false, false},
		{"disabled and enabled", func(w *world) error {
			_, err := w.Change(t.Context(), "ada", model.Changes{Disabled: &yes})
			if err == nil {
				_, err = w.Change(t.Context(), "ada", model.Changes{Disabled: &no})
			}
			return err
		}, true, true},
		{"a new password", func(w *world) error {
			_, err := w.Change(t.Context(), "ada", model.Changes{Password: &next})
			return err
		}, false, true},
		{"renamed", func(w *world) error {
			_, err := w.Change(t.Context(), "ada", model.Changes{Name: &other})
			return err
		}, false, false},
		{"removed", func(w *world) error { return w.Remove(t.Context(), "ada") }, false, false},
		{"removed, and another of that name", func(w *world) error {
			if err := w.Remove(t.Context(), "ada"); err != nil {
				return err
			}
			_, err := w.Create(t.Context(), model.NewUser{Name: "ada", Password: next, TakeOver: true})
			return err
		}, false, false},
	} {
		t.Run(c.what, func(t *testing.T) {
			w := newWorld(t)
			w.user("ada")
			tok := w.token("ada", "all")
			before := w.login("ada", secret)
			byToken := w.login("ada", tok.Secret)
			bearer, _, err := w.Bearer(before, "here", nil)
			if err != nil {
				t.Fatal(err)
			}
			w.may(before, model.Write, "ada/app", true)
			w.may(byToken, model.Write, "ada/app", true)
			if err := c.do(w); err != nil {
				t.Fatal(err)
			}
			w.may(before, model.Write, "ada/app", false)
			w.may(byToken, model.Write, "ada/app", false)
			if _, _, err := w.Verify(bearer, "here"); !errs.Is(err, errs.Unauthenticated) {
				t.Errorf("a bearer token from before: %v", err)
			}
			for s, want := range map[string]bool{secret: c.password, tok.Secret: c.token} {
				_, err := w.Login(t.Context(), "ada", s, here())
				if (err == nil) != want {
					t.Errorf("signing in with %.10s: %v", s, err)
				}
			}
		})
	}
}

func TestANameIsNotGivenAwayUnasked(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	w.user("bob")
	carl := "carl"
	if _, err := w.Change(t.Context(), "bob", model.Changes{Name: &carl}); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"ada", "bob"} {
		_, err := w.Create(t.Context(), model.NewUser{Name: name, Password: secret})
		if !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "--take-over") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := w.Change(t.Context(), "carl", model.Changes{Name: &name}); !errs.Is(err, errs.Conflict) {
			t.Errorf("renamed to %s: %v", name, err)
		}
		if _, err := w.Create(t.Context(), model.NewUser{Name: name, Password: secret, TakeOver: true}); err != nil {
			t.Error(err)
		}
	}
	// Who was renamed by mistake gets the name back.
	back, was := "dan", "carl"
	if _, err := w.Change(t.Context(), was, model.Changes{Name: &back}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Change(t.Context(), back, model.Changes{Name: &was}); !errs.Is(err, errs.Conflict) || !strings.Contains(err.Error(), "--take-over") {
		t.Errorf("back, unasked: %v", err)
	}
	if u, err := w.Change(t.Context(), back, model.Changes{Name: &was, TakeOver: true}); err != nil || u.Name != was {
		t.Errorf("back: %+v, %v", u, err)
	}
	// Who has a name keeps it.
	if _, err := w.Change(t.Context(), was, model.Changes{Name: new("ada"), TakeOver: true}); !errs.Is(err, errs.Conflict) {
		t.Errorf("another's: %v", err)
	}
}

func TestTokens(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	w.user("bob")
	push := w.token("ada", "registry:ada/app:write")
	if !strings.HasPrefix(push.Secret, "lus_"+push.ID+"_") {
		t.Errorf("the secret is %q", push.Secret)
	}
	id := w.login("ada", push.Secret)
	w.may(id, model.Write, "ada/app", true)
	w.may(id, model.Read, "ada/app", true)
	w.may(id, model.Delete, "ada/app", false)
	w.may(id, model.Write, "ada/app/sub", false)
	w.may(id, model.Write, "ada/other", false)
	// A token is no more than its user.
	everything := w.login("ada", w.token("ada", "all").Secret)
	w.may(everything, model.Read, "bob/app", false)
	// Without scopes it may read.
	plain := w.login("ada", w.token("ada").Secret)
	w.may(plain, model.Read, "ada/app", true)
	w.may(plain, model.Write, "ada/app", false)

	w.out("under another's name", "bob", push.Secret)
	w.out("another secret", "ada", push.Secret[:len(push.Secret)-1]+"0")
	w.out("the id alone", "ada", "lus_"+push.ID+"_")
	w.out("the kept hash", "ada", "lus_"+push.ID)

	if list, err := w.Tokens("ada"); err != nil || len(list) != 3 || list[0].Used.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
	if err := w.RemoveToken(t.Context(), push.ID); err != nil {
		t.Fatal(err)
	}
	w.may(id, model.Read, "ada/app", false)
	w.out("removed", "ada", push.Secret)
	if err := w.RemoveToken(t.Context(), push.ID); !errs.Is(err, errs.NotFound) {
		t.Errorf("again: %v", err)
	}
}

func TestATokenEnds(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	tok, err := w.CreateToken(t.Context(), "ada", model.TokenRequest{Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	id := w.login("ada", tok.Secret)
	bearer, _, err := w.Bearer(id, "here", nil)
	if err != nil {
		t.Fatal(err)
	}
	w.later(time.Hour - time.Second)
	w.login("ada", tok.Secret)
	w.later(time.Second)
	w.may(id, model.Read, "ada/app", false)
	if _, _, err := w.Verify(bearer, "here"); err == nil {
		t.Error("a bearer token outlives what it came from")
	}
	w.out("over", "ada", tok.Secret)
}

func TestWhenATokenWasUsedIsKept(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	tok := w.token("ada")
	w.later(time.Hour)
	w.login("ada", tok.Secret)
	when := w.clock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Run(ctx); err != nil { // what it does at its end
		t.Fatal(err)
	}
	w.reopen()
	list, err := w.Tokens("ada")
	if err != nil || len(list) != 1 || !list[0].Used.Equal(when) {
		t.Errorf("%+v, %v", list, err)
	}
}

func TestNoSecretIsKept(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	tok := w.token("ada", "all")
	id := w.login("ada", secret)
	login, err := w.Remember(t.Context(), id, "docker")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(w.dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // a folder
		}
		for _, s := range []string{secret, tok.Secret, login} {
			if strings.Contains(string(data), s) || strings.Contains(string(data), s[max(0, len(s)-52):]) {
				t.Errorf("%s holds %.12s...", f, s)
			}
		}
	}
	st, err := os.Stat(filepath.Join(w.dir, "account/token.key"))
	if err != nil || st.Mode().Perm() != 0o600 || st.Size() != 32 {
		t.Errorf("the key: %v, %v", st, err)
	}
	w.open()
}

func TestRules(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	w.user("bob")
	ada, bob, nobody := w.login("ada", secret), w.login("bob", secret), model.Identity{}

	// Without rules everybody has what is below their name, and nothing else.
	w.may(ada, model.All, "ada/app", true)
	w.may(ada, model.All, "ada/deep/er", true)
	w.may(ada, model.Read, "ada", false)
	w.may(ada, model.Read, "adam/app", false)
	w.may(ada, model.Read, "bob/app", false)
	w.may(ada, model.Read, "x", false)
	w.may(nobody, model.Read, "ada/app", false)

	w.grant("bob", "write", "registry:ada/app")
	w.may(bob, model.Read|model.Write, "ada/app", true)
	w.may(bob, model.Delete, "ada/app", false)
	w.may(bob, model.Read, "ada/app/sub", false)
	w.may(bob, model.Read, "ada/app2", false)
	w.grant("users", "read", "registry:team/*")
	w.may(bob, model.Read, "team/a/b", true)
	w.may(bob, model.Write, "team/a/b", false)
	w.may(nobody, model.Read, "team/a/b", false)
	w.grant("anonymous", "read", "registry:pub/*")
	w.may(nobody, model.Read, "pub/a", true)
	w.may(ada, model.Read, "pub/a", true)
	w.may(nobody, model.Write, "pub/a", false)

	w.grant("loopback", "all", "registry:*")
	here := model.Identity{Local: true}
	w.may(here, model.All, "ada/app", true)
	w.may(nobody, model.Read, "ada/app", false)
	bob.Local = true
	w.may(bob, model.All, "ada/app", true)
	bob.Local = false
	if err := w.Revoke(t.Context(), "loopback", "registry:*"); err != nil {
		t.Fatal(err)
	}
	w.may(here, model.Read, "ada/app", false)

	// A rule is set, not added to.
	w.grant("bob", "read", "registry:ada/app")
	w.may(bob, model.Write, "ada/app", false)
	w.may(bob, model.Read, "ada/app", true)
	w.reopen()
	w.may(bob, model.Read, "ada/app", true)
	if err := w.Revoke(t.Context(), "bob", "registry:ada/app"); err != nil {
		t.Fatal(err)
	}
	w.may(bob, model.Read, "ada/app", false)
	if err := w.Revoke(t.Context(), "bob", "registry:ada/app"); !errs.Is(err, errs.NotFound) {
		t.Errorf("again: %v", err)
	}

	// The rules of who is removed go with them, and are not the next one's.
	w.grant("bob", "all", "registry:*")
	if err := w.Remove(t.Context(), "bob"); err != nil {
		t.Fatal(err)
	}
	if n := len(w.Rules()); n != 2 {
		t.Errorf("%v", w.Rules())
	}
	if _, err := w.Create(t.Context(), model.NewUser{Name: "bob", Password: secret, TakeOver: true}); err != nil {
		t.Fatal(err)
	}
	w.may(w.login("bob", secret), model.Read, "ada/app", false)
}

// A registry that nobody was let into yet is this host's, until there are users.
func TestWithoutUsersItIsThisHosts(t *testing.T) {
	w := newWorld(t)
	here, elsewhere := model.Identity{Local: true}, model.Identity{}
	w.may(here, model.All, "app", true)
	w.may(elsewhere, model.Read, "app", false)
	if r := w.Rules(); len(r) != 1 || r[0].Who != model.Loopback {
		t.Errorf("%+v", r)
	}
	w.reopen()
	w.may(here, model.All, "app", true)
	w.user("ada")
	w.may(here, model.Read, "app", false)
	if err := w.Remove(t.Context(), "ada"); err != nil {
		t.Fatal(err)
	}
	w.reopen()
	w.may(here, model.Read, "app", false)
	// What somebody asked for stays.
	w.grant("loopback", "all", "registry:*")
	w.user("bob")
	w.may(here, model.Write, "app", true)
}

func TestRulesThatAreRefused(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	for _, r := range []model.Rule{
		{Who: "bob", Resource: "registry:*", Actions: model.Read},
		{Who: "ada", Resource: "registry:a*", Actions: model.Read},
		{Who: "ada", Resource: "registry:*", Actions: 0},
		{Who: "ada", Resource: "registry:*", Actions: 8},
		{Who: "everyone", Resource: "registry:*", Actions: model.Read},
		{Who: "ada", Resource: "git:*", Actions: model.Read},
	} {
		if err := w.Grant(t.Context(), r); err == nil {
			t.Errorf("%+v is a rule", r)
		}
	}
	if n := len(w.Rules()); n != 0 {
		t.Errorf("%v", w.Rules())
	}
}

func TestAdminsMayDoEverything(t *testing.T) {
	w := newWorld(t)
	yes, no := true, false
	w.user("ada")
	if _, err := w.Change(t.Context(), "ada", model.Changes{Admin: &yes}); err != nil {
		t.Fatal(err)
	}
	id := w.login("ada", secret)
	w.may(id, model.All, "x", true)
	w.may(id, model.All, "bob/app", true)
	if _, err := w.Change(t.Context(), "ada", model.Changes{Admin: &no}); err != nil {
		t.Fatal(err)
	}
	w.may(id, model.Read, "x", false)
	w.may(w.login("ada", secret), model.Read, "x", false)
}

func TestTheReasonIsTold(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	w.grant("users", "read", "registry:team/*")
	for _, c := range []struct {
		who, resource string
		a             model.Actions
		want          bool
		says          string
	}{
		{"ada", "registry:ada/app", model.Write, true, "ada/ is ada's"},
		{"ada", "registry:team/app", model.Read, true, "a rule"},
		{"users", "registry:team/app", model.Read, true, "a rule"},
		{"users", "registry:app", model.Read, false, "no rule"},
		{"anonymous", "registry:team/app", model.Read, false, "lus account grant anonymous read registry:team/app"},
	} {
		d, err := w.Explain(c.who, c.a, c.resource)
		if err != nil || d.Allowed != c.want || !strings.Contains(d.Reason, c.says) {
			t.Errorf("%s %s: %+v, %v", c.who, c.resource, d, err)
		}
	}
	for _, resource := range []string{"registry:*", "registry:a/*", "*", "x", ""} {
		if _, err := w.Explain("ada", model.Read, resource); !errs.Is(err, errs.Invalid) {
			t.Errorf("%s: %v", resource, err)
		}
	}
}

func TestAStateThatWasKeptIsReadAgain(t *testing.T) {
	// Rows as the first step made them, whatever later steps do.
	path := filepath.Join(t.TempDir(), "x.db")
	db, err := sqlite.Open(path, account.Migrations()[:1])
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), sqlite.Power, func(tx *sql.Tx) error {
		_, err := tx.Exec(`
			INSERT INTO account_users(id, name, password, admin, disabled, created) VALUES(7, 'ada', '', 0, 0, 1767268800), (8, 'bob', '', 1, 1, 1767268800);
			INSERT INTO account_tokens(id, user, name, hash, scopes, login, created, expires) VALUES('t', 7, 'ci', x'00', '[{"resource":"registry:ada/*","actions":"read,write"}]', 0, 1767268800, 0);
			INSERT INTO account_rules(user, others, resource, actions) VALUES(7, '', 'registry:x', 3), (NULL, 'anonymous', 'registry:pub/*', 1);`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	if db, err = sqlite.Open(path, account.Migrations()); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	s, err := account.New(t.Context(), account.Deps{DB: db, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := s.Tokens("ada")
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal([]any{s.List(), tokens, s.Rules()})
	if err != nil {
		t.Fatal(err)
	}
	const want = `[[{"name":"ada","admin":false,"disabled":false,"password":false,"created":"2026-01-01T12:00:00Z","tokens":1},` +
		`{"name":"bob","admin":true,"disabled":true,"password":false,"created":"2026-01-01T12:00:00Z","tokens":0}],` +
		`[{"id":"t","user":"ada","name":"ci","scopes":[{"resource":"registry:ada/*","actions":"read,write"}],"created":"2026-01-01T12:00:00Z"}],` +
		`[{"who":"anonymous","resource":"registry:pub/*","actions":"read"},{"who":"ada","resource":"registry:x","actions":"read,write"}]]`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestChangesAtOnce(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := 0
	for i := range 16 {
		wg.Go(func() { // one of them makes bob
			if _, err := w.Create(t.Context(), model.NewUser{Name: "bob"}); err == nil {
				mu.Lock()
				made++
				mu.Unlock()
			} else if !errs.Is(err, errs.Conflict) {
				t.Error(err)
			}
		})
		wg.Go(func() {
			w.grant("ada", "read", fmt.Sprintf("registry:x%d", i%4))
			w.may(model.Identity{}, model.Read, "x1", false)
			tok := w.token("ada")
			id := w.login("ada", tok.Secret)
			w.may(id, model.Read, fmt.Sprintf("x%d", i%4), true)
			if err := w.RemoveToken(t.Context(), tok.ID); err != nil {
				t.Error(err)
			}
			w.may(id, model.Read, "x1", false)
		})
	}
	wg.Wait()
	if made != 1 || len(w.Rules()) != 4 {
		t.Errorf("bob was made %d times; %v", made, w.Rules())
	}
}

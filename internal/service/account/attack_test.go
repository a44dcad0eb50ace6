package account_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"lus/internal/base/errs"
	model "lus/internal/model/account"
	"lus/internal/service/account"
)

func grants(name string, a model.Actions) []model.Grant {
	return []model.Grant{{Resource: model.Repository(name), Actions: a}}
}

func TestABearerTokenSaysWhatItGrants(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	id := w.login("ada", secret)
	token, life, err := w.Bearer(id, "here", grants("ada/app", model.Read))
	if err != nil || life < time.Minute {
		t.Fatal(err, life)
	}
	got, access, err := w.Verify(token, "here")
	if err != nil || got != id || len(access) != 1 || access[0] != grants("ada/app", model.Read)[0] {
		t.Errorf("%+v, %+v, %v", got, access, err)
	}
	w.reopen() // and the next daemon takes it
	if _, _, err := w.Verify(token, "here"); err != nil {
		t.Error(err)
	}
	w.later(life)
	if _, _, err := w.Verify(token, "here"); !errs.Is(err, errs.Unauthenticated) || !strings.Contains(err.Error(), "over") {
		t.Errorf("when it is over: %v", err)
	}
	// Nobody in particular gets one too.
	token, _, err = w.Bearer(model.Identity{}, "here", nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, _, err := w.Verify(token, "here"); err != nil || !got.Anonymous() {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestForgedTokens(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	id := w.login("ada", secret)
	token, _, err := w.Bearer(id, "here", grants("ada/app", model.Read))
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(filepath.Join(w.dir, "account/token.key"))
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	b64 := base64.RawURLEncoding.EncodeToString
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	wider := strings.Replace(string(payload), "ada/app", "bob/app", 1)
	sign := func(method jwt.SigningMethod, key any, change func(jwt.MapClaims)) string {
		c := jwt.MapClaims{}
		if _, _, err := jwt.NewParser().ParseUnverified(token, c); err != nil {
			t.Fatal(err)
		}
		change(c)
		s, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	same := func(jwt.MapClaims) {}
	if _, _, err := w.Verify(sign(jwt.SigningMethodHS256, key, same), "here"); err != nil {
		t.Fatalf("the test's own way of signing: %v", err)
	}
	for what, forged := range map[string]string{
		"nothing":               "",
		"dots":                  "..",
		"no signature":          parts[0] + "." + parts[1] + ".",
		"two parts":             parts[0] + "." + parts[1],
		"another's signature":   parts[0] + "." + b64([]byte(wider)) + "." + parts[2],
		"alg none":              b64([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + b64([]byte(wider)) + ".",
		"alg None":              b64([]byte(`{"alg":"None","typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"signed none":           sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, same),
		"no alg":                b64([]byte(`{"typ":"JWT"}`)) + "." + parts[1] + "." + parts[2],
		"another algorithm":     sign(jwt.SigningMethodHS512, key, same),
		"an empty key":          sign(jwt.SigningMethodHS256, []byte{}, same),
		"a key of zeros":        sign(jwt.SigningMethodHS256, make([]byte, 32), same),
		"another audience":      sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { c["aud"] = "there" }),
		"no audience":           sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { delete(c, "aud") }),
		"another issuer":        sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { c["iss"] = "them" }),
		"without end":           sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { delete(c, "exp") }),
		"not yet good":          sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { c["nbf"] = w.clock().Add(time.Hour).Unix() }),
		"a user who is not":     sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { c["sub"] = "99" }),
		"a user below zero":     sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { c["sub"] = "-1" }),
		"no user":               sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { c["sub"] = "ada" }),
		"a token that is not":   sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { c["tid"] = "x" }),
		"another generation":    sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { c["gen"] = 2 }),
		"actions that are none": sign(jwt.SigningMethodHS256, key, func(c jwt.MapClaims) { c["access"] = []any{map[string]any{"actions": "own"}} }),
		"a megabyte":            token + strings.Repeat("x", 1<<20),
		"a byte more":           token + "A",
		"padding":               token + "=",
		"a personal token":      w.token("ada").Secret,
	} {
		if got, access, err := w.Verify(forged, "here"); !errs.Is(err, errs.Unauthenticated) {
			t.Errorf("%s: %+v, %+v, %v", what, got, access, err)
		}
	}
	if _, _, err := w.Bearer(id, "here", make([]model.Grant, 1000)); !errs.Is(err, errs.Invalid) {
		t.Errorf("a thousand repositories: %v", err)
	}
}

func TestGuessingIsHeldUp(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	for _, name := range []string{"ada", "nobody"} { // who is there cannot be told
		from := netip.MustParseAddr("198.51.100.1")
		var err error
		tries := 0
		for ; tries < 100; tries++ {
			if _, err = w.Login(t.Context(), name, fmt.Sprint("guess no ", tries), from); !errs.Is(err, errs.Unauthenticated) {
				break
			}
		}
		var wait model.Wait
		if tries != 10 || !errs.Is(err, errs.TooMany) || !errors.As(err, &wait) || wait.Seconds() < 1 {
			t.Errorf("%s: after %d tries %v", name, tries, err)
		}
		if _, err := w.Login(t.Context(), name, secret, from); !errs.Is(err, errs.TooMany) {
			t.Errorf("%s: the right password tells that it is, while guesses are held up: %v", name, err)
		}
	}
	w.login("ada", secret) // from elsewhere
}

func TestClientsThatKeepATokenInsteadOfThePassword(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	id := w.login("ada", secret)
	kept, err := w.Remember(t.Context(), id, "docker\n of <b>ada</b>")
	if err != nil {
		t.Fatal(err)
	}
	list, err := w.Tokens("ada")
	if err != nil || len(list) != 1 || !list[0].Login || list[0].Name != "dockerof<b>ada</b>" || list[0].Expires.IsZero() {
		t.Errorf("%+v, %v", list, err)
	}
	again, err := w.Refresh(kept, here())
	if err != nil || again.Name != "ada" {
		t.Errorf("%+v, %v", again, err)
	}
	w.may(again, model.Write, "ada/app", true)
	if _, err := w.Remember(t.Context(), again, "docker"); !errs.Is(err, errs.Invalid) {
		t.Errorf("a token that makes tokens: %v", err)
	}
	if _, err := w.Remember(t.Context(), model.Identity{}, "docker"); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("nobody in particular: %v", err)
	}
	for range 50 { // a script that signs in again and again
		if _, err := w.Remember(t.Context(), id, "docker"); err != nil {
			t.Fatal(err)
		}
	}
	if list, _ := w.Tokens("ada"); len(list) > 20 {
		t.Errorf("%d tokens of one client", len(list))
	}
	if _, err := w.Refresh(kept, here()); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("the oldest is still good: %v", err)
	}
	next := "another password"
	if _, err := w.Change(t.Context(), "ada", model.Changes{Password: &next}); err != nil {
		t.Fatal(err)
	}
	if list, _ := w.Tokens("ada"); len(list) != 0 {
		t.Errorf("a new password leaves %d clients signed in", len(list))
	}
}

func TestABrokenKeyIsSaid(t *testing.T) {
	w := newWorld(t)
	path := filepath.Join(w.dir, "account/token.key")
	if err := os.WriteFile(path, []byte("short"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := account.New(t.Context(), account.Deps{DB: w.db, Dir: filepath.Dir(path)}); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("%v", err)
	}
}

// How long an answer takes is how many hashes it takes: one, for everybody.
func TestWhoIsThereCannotBeTold(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	w.user("disabled")
	yes := true
	if _, err := w.Change(t.Context(), "disabled", model.Changes{Disabled: &yes}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Create(t.Context(), model.NewUser{Name: "robot"}); err != nil {
		t.Fatal(err)
	}
	answers := map[string]bool{}
	for _, c := range [][2]string{{"ada", "wrong password"}, {"nobody", "wrong password"}, {"disabled", secret}, {"disabled", "wrong password"}, {"robot", ""}, {"nobody", ""}, {"", ""}} {
		before := w.Hashes()
		_, err := w.Login(t.Context(), c[0], c[1], here())
		if n := w.Hashes() - before; n != 1 || !errs.Is(err, errs.Unauthenticated) {
			t.Errorf("%q: %d hashes, %v", c, n, err)
		}
		answers[err.Error()] = true
	}
	if len(answers) != 1 {
		t.Errorf("the answers tell them apart: %v", answers)
	}
}

// Who is changed while they sign in with what was right before gets nothing to keep.
func TestAChangeEndsASignInUnderWay(t *testing.T) {
	w := newWorld(t)
	var meanwhile func()
	var err error
	w.Service, err = account.New(t.Context(), account.Deps{DB: w.db, Dir: filepath.Join(w.dir, "account"), Now: func() time.Time {
		if do := meanwhile; do != nil {
			meanwhile = nil
			do()
		}
		return w.clock()
	}})
	if err != nil {
		t.Fatal(err)
	}
	next, yes := "another password", true
	for name, c := range map[string]model.Changes{"ada": {Password: &next}, "bob": {Disabled: &yes}} {
		w.user(name)
		id := w.login(name, secret)
		meanwhile = func() {
			if _, err := w.Change(t.Context(), name, c); err != nil {
				t.Error(err)
			}
		}
		if _, err := w.Remember(t.Context(), id, "docker"); !errs.Is(err, errs.Unauthenticated) {
			t.Errorf("%s: %v", name, err)
		}
		if list, err := w.Tokens(name); err != nil || len(list) != 0 {
			t.Errorf("%s has the tokens %+v, %v", name, list, err)
		}
	}
}

// Nobody guesses a token: guesses at the same address hold up who has one no more
// than who guesses passwords is let in.
func TestATokenIsTakenWhileGuessesAreHeldUp(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	tok := w.token("ada", "all")
	kept, err := w.Remember(t.Context(), w.login("ada", secret), "docker")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		_, _ = w.Login(t.Context(), "ada", fmt.Sprint("guess no ", i), here())
		_, _ = w.Refresh(fmt.Sprint("lus_guess_", i), here())
	}
	if id, err := w.Login(t.Context(), "ada", tok.Secret, here()); err != nil || id.Name != "ada" || id.Token != tok.ID {
		t.Errorf("a token: %+v, %v", id, err)
	}
	if id, err := w.Refresh(kept, here()); err != nil || id.Name != "ada" {
		t.Errorf("what a client keeps: %+v, %v", id, err)
	}
	for range 20 {
		_, _ = w.Login(t.Context(), "ada", "another guess", here())
		_, _ = w.Refresh("lus_guess_again", here())
	}
	if _, err := w.Login(t.Context(), "ada", secret, here()); !errs.Is(err, errs.TooMany) {
		t.Errorf("the password: %v", err)
	}
	if _, err := w.Refresh(kept+"0", here()); !errs.Is(err, errs.TooMany) {
		t.Errorf("a forged token: %v", err)
	}
	if _, err := w.Login(t.Context(), "bob", tok.Secret, here()); !errs.Is(err, errs.Unauthenticated) {
		t.Errorf("a token under another name: %v", err)
	}
}

// Who comes with the right password many times at once is no guesser.
func TestManyAtOnceWithTheRightPassword(t *testing.T) {
	w := newWorld(t)
	w.user("ada")
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			if _, err := w.Login(t.Context(), "ada", secret, here()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	// Guesses at once are no more than one after the other.
	var mu sync.Mutex
	refused := 0
	for i := range 32 {
		all.Go(func() {
			if _, err := w.Login(t.Context(), "ada", fmt.Sprint("guess no ", i), here()); errs.Is(err, errs.Unauthenticated) {
				mu.Lock()
				refused++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if refused != 10 {
		t.Errorf("%d guesses were looked at", refused)
	}
}

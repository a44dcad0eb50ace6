package token_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"lus/internal/api/token"
	"lus/internal/base/errs"
	"lus/internal/model/account"
	"lus/internal/model/registry"
)

// accounts has one user, ada, whose password is right, and who may do what is
// below ada/; anybody may read pub/*. Its bearer tokens say what they grant in
// the clear.
type accounts struct{ kept string }

func (a *accounts) Login(_ context.Context, name, secret string, _ netip.Addr) (account.Identity, error) {
	switch {
	case name == "ada" && secret == "right":
		return account.Identity{ID: 1, Name: "ada"}, nil
	case secret == "again":
		return account.Identity{}, errs.With(errs.TooMany, account.Wait{For: 1500 * time.Millisecond})
	}
	return account.Identity{}, errs.New(errs.Unauthenticated, "unauthorized: incorrect username or password")
}

func (a *accounts) Refresh(secret string, from netip.Addr) (account.Identity, error) {
	if secret != "kept" {
		return account.Identity{}, errs.New(errs.Unauthenticated, "unauthorized")
	}
	return account.Identity{ID: 1, Name: "ada", Token: "t"}, nil
}

func (a *accounts) Remember(_ context.Context, _ account.Identity, purpose string) (string, error) {
	a.kept = purpose
	return "kept", nil
}

func (a *accounts) Bearer(id account.Identity, audience string, grants []account.Grant) (string, time.Duration, error) {
	data, err := json.Marshal(struct {
		ID     account.Identity
		Grants []account.Grant
	}{id, grants})
	return string(data), time.Minute, err
}

func (a *accounts) Verify(text, audience string) (account.Identity, []account.Grant, error) {
	var v struct {
		ID     account.Identity
		Grants []account.Grant
	}
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return account.Identity{}, nil, errs.New(errs.Unauthenticated, "invalid token")
	}
	return v.ID, v.Grants, nil
}

func (a *accounts) Allowed(id account.Identity, what account.Actions, r account.Resource) bool {
	return id.ID == 1 && strings.HasPrefix(r.Name, "ada/") || what == account.Read && strings.HasPrefix(r.Name, "pub/")
}

type answer struct {
	Token        string `json:"token"`
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	Scope        string `json:"scope"`
	ExpiresIn    int    `json:"expires_in"`
	Errors       []struct{ Code, Message string }
}

func serve(t *testing.T, a *accounts, r *http.Request) (*httptest.ResponseRecorder, answer) {
	t.Helper()
	w := httptest.NewRecorder()
	token.New(a, slog.New(slog.DiscardHandler)).ServeHTTP(w, r)
	var got answer
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatalf("%s: %v", w.Body, err)
	}
	return w, got
}

func get(query, user, password string) *http.Request {
	r := httptest.NewRequest("GET", "/token?"+query, nil)
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	return r
}

func TestExactlyWhatOneMayHaveIsGranted(t *testing.T) {
	for _, c := range []struct{ scopes, user, want string }{
		{"repository:ada/app:pull,push", "ada", "repository:ada/app:pull,push"},
		{"repository:ada/app:*", "ada", "repository:ada/app:pull,push,delete"},
		{"repository:ada/app:pull", "", ""},
		{"repository:pub/app:pull,push,delete", "", "repository:pub/app:pull"},
		{"repository:ada/app:pull repository:bob/app:pull repository:pub/x:pull", "ada", "repository:ada/app:pull repository:pub/x:pull"},
		{"repository(plugin):ada/app:pull", "ada", "repository:ada/app:pull"},
		{"repository:ada/app:fly", "ada", ""},
		{"repository:ada/../bob:pull", "ada", ""},
		{"repository:ada/*:pull", "ada", ""},
		{"repository:ADA/app:pull", "ada", ""},
		{"registry:catalog:*", "", "registry:catalog:*"},
		{"repository:ada/app", "ada", ""},
		{":::", "ada", ""},
		{"git:ada/app:pull", "ada", ""},
	} {
		q := url.Values{"scope": {c.scopes}, "service": {token.Audience}}
		w, got := serve(t, &accounts{}, get(q.Encode(), c.user, "right"))
		if w.Code != http.StatusOK || got.Scope != c.want || got.Token == "" || got.Token != got.AccessToken || got.ExpiresIn < 60 {
			t.Errorf("%s as %q: %d %q, want %q", c.scopes, c.user, w.Code, got.Scope, c.want)
		}
		if w.Header().Get("Cache-Control") != "no-store" {
			t.Error("a token may be kept by a cache")
		}
	}
	many := url.Values{"scope": {strings.Repeat("repository:ada/app:pull ", 5000)}}
	if w, got := serve(t, &accounts{}, get(many.Encode(), "ada", "right")); w.Code != http.StatusOK || len(strings.Fields(got.Scope)) > 64 {
		t.Errorf("%d scopes", len(strings.Fields(got.Scope)))
	}
}

func TestHowTokensAreRefused(t *testing.T) {
	post := func(form string) *http.Request {
		r := httptest.NewRequest("POST", "/token", strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		return r
	}
	for what, c := range map[string]struct {
		r    *http.Request
		code int
		word string
	}{
		"a wrong password":       {get("", "ada", "wrong"), 401, "UNAUTHORIZED"},
		"one by form":            {post("grant_type=password&username=ada&password=wrong"), 401, "UNAUTHORIZED"},
		"too many":               {get("", "ada", "again"), 429, "TOOMANYREQUESTS"},
		"a forged refresh token": {post("grant_type=refresh_token&refresh_token=forged"), 401, "UNAUTHORIZED"},
		"no grant":               {post("username=ada&password=right"), 400, "UNSUPPORTED"},
		"another service":        {get("service=elsewhere", "ada", "right"), 400, "UNSUPPORTED"},
		"another method":         {httptest.NewRequest("PUT", "/token", nil), 405, "UNSUPPORTED"},
		"a form without end":     {post("grant_type=password&x=" + strings.Repeat("x", 1<<20)), 400, "UNSUPPORTED"},
	} {
		w, got := serve(t, &accounts{}, c.r)
		if w.Code != c.code || len(got.Errors) != 1 || got.Errors[0].Code != c.word || got.Token != "" {
			t.Errorf("%s: %d %s", what, w.Code, w.Body)
		}
		if (w.Header().Get("Retry-After") == "2") != (c.code == 429) {
			t.Errorf("%s: Retry-After %q", what, w.Header().Get("Retry-After"))
		}
	}
}

func TestClientsMayKeepATokenInstead(t *testing.T) {
	a := &accounts{}
	if _, got := serve(t, a, get("", "ada", "right")); got.RefreshToken != "" {
		t.Error("one that nobody asked for")
	}
	if _, got := serve(t, a, get("offline_token=true", "", "")); got.RefreshToken != "" {
		t.Error("one for nobody")
	}
	_, got := serve(t, a, get("offline_token=true&client_id=docker", "ada", "right"))
	if got.RefreshToken != "kept" || !strings.HasPrefix(a.kept, "docker@") {
		t.Errorf("%+v %q", got, a.kept)
	}
	named := get("offline_token=true&client_id=containerd-client", "ada", "right")
	named.Header.Set("User-Agent", "lus/1.2 (linux)")
	if serve(t, a, named); !strings.HasPrefix(a.kept, "lus@") {
		t.Errorf("it is kept for %q: the program has a name", a.kept)
	}
	r := httptest.NewRequest("POST", "/token", strings.NewReader("grant_type=refresh_token&refresh_token=kept&access_type=offline&scope=repository:ada/app:push"))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if _, got := serve(t, a, r); got.RefreshToken != "kept" || got.Scope != "repository:ada/app:push" {
		t.Errorf("%+v", got)
	}
}

func TestWhereTheChallengeLeads(t *testing.T) {
	e := token.New(&accounts{}, slog.New(slog.DiscardHandler))
	for what, c := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"plain":           {func(*http.Request) {}, `realm="http://example.com/token"`},
		"with TLS":        {func(r *http.Request) { r.TLS = &tls.ConnectionState{} }, `realm="https://example.com/token"`},
		"behind TLS":      {func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https") }, `realm="https://example.com/token"`},
		"a port":          {func(r *http.Request) { r.Host = "[::1]:5000" }, `realm="http://[::1]:5000/token"`},
		"a host of words": {func(r *http.Request) { r.Host = `x",scope="y` }, `realm="http://localhost/token"`},
	} {
		r := httptest.NewRequest("GET", "/v2/ada/app/tags/list", nil)
		c.change(r)
		got := e.Challenge(r, "ada/app", registry.Read)
		if !strings.Contains(got, c.want) || !strings.HasSuffix(got, `scope="repository:ada/app:pull"`) {
			t.Errorf("%s: %s", what, got)
		}
	}
	r := httptest.NewRequest("GET", "/v2/", nil)
	if got := e.Challenge(r, `a",x="`, registry.Read); strings.Contains(got, "x=") {
		t.Errorf("a name leads out of its place: %s", got)
	}
}

func TestWhoComesFromThisHost(t *testing.T) {
	for from, loopback := range map[string]bool{"127.0.0.1:5": true, "[::1]:5": true, "[::ffff:127.0.0.1]:5": true, "10.0.0.1:5": false, "@": false} {
		for _, proxy := range []string{"", "X-Forwarded-For", "Forwarded", "Via"} {
			here := &local{}
			r := httptest.NewRequest("GET", "/v2/x/tags/list", nil)
			r.RemoteAddr, r.Host = from, "localhost:5000"
			if proxy != "" {
				r.Header.Set(proxy, "127.0.0.1")
			}
			e := token.New(here, slog.New(slog.DiscardHandler))
			who, err := e.Authenticate(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = e.Allowed(t.Context(), who, "x", registry.Read)
			if here.was != (loopback && proxy == "") {
				t.Errorf("%s by %q is taken for this host: %v", from, proxy, here.was)
			}
		}
	}
}

// A web page in a browser on this host reaches the registry too, by a name of its own
// that it has lead here, and is nobody on this host.
func TestAWebPageIsNobodyOnThisHost(t *testing.T) {
	name, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for host, want := range map[string]bool{
		"localhost:5000": true, "LOCALHOST": true, "localhost.:5000": true, "hub.localhost:5000": true, "127.0.0.1:5000": true, "127.9.9.9": true, "[::1]:5000": true, "[::1]": true,
		name + ":5000": true, "evil.example:5000": false, "localhost.evil.example": false, "127.0.0.1.evil.example": false, "notlocalhost:5000": false, "": true,
	} {
		for _, how := range []string{"", "TLS", "Origin"} {
			here := &local{}
			r := httptest.NewRequest("GET", "/v2/x/tags/list", nil)
			r.RemoteAddr, r.Host = "127.0.0.1:5", host
			want := want
			switch how {
			case "TLS": // whose certificate is for none of the page's names
				r.TLS, want = &tls.ConnectionState{}, true
			case "Origin":
				r.Header.Set("Origin", "http://localhost:8080")
				want = false
			}
			e := token.New(here, slog.New(slog.DiscardHandler))
			who, err := e.Authenticate(r)
			if err != nil {
				t.Fatal(err)
			}
			_ = e.Allowed(t.Context(), who, "x", registry.Read)
			if here.was != want {
				t.Errorf("%q %s is taken for this host: %v", host, how, here.was)
			}
		}
	}
}

// local notes whether somebody is taken for one on this host.
type local struct {
	accounts
	was bool
}

func (l *local) Allowed(id account.Identity, _ account.Actions, _ account.Resource) bool {
	l.was = id.Local
	return false
}

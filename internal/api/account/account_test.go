package account_test

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	api "lus/internal/api/account"
	"lus/internal/base/errs"
	model "lus/internal/model/account"
)

// accounts refuses everything, and notes what got through to it.
type accounts struct {
	api.Accounts
	reached []string
}

func (a *accounts) Get(name string) (model.User, error) {
	a.reached = append(a.reached, name)
	return model.User{}, errs.New(errs.NotFound, "there is no user %q", name)
}

func ask(t *testing.T, h http.Handler, method, path, body string) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	if w.Code == http.StatusOK && w.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("%s %s may be kept by a cache", method, path)
	}
	return w.Code, w.Body.String()
}

// What cannot be understood reaches nobody: the embedded interface is nil, and a
// call of it would panic.
func TestRequestsThatMakeNoSense(t *testing.T) {
	h := api.New(&accounts{})
	for _, c := range []struct{ method, path, body, says string }{
		{"POST", "/lus/v1/accounts", "", "cannot be read"},
		{"POST", "/lus/v1/accounts", "[]", "cannot be read"},
		{"POST", "/lus/v1/accounts", `{"name":"ada","root":true}`, `unknown field`},
		{"POST", "/lus/v1/accounts", `{"name":"` + strings.Repeat("x", 1<<17) + `"}`, "too large"},
		{"PATCH", "/lus/v1/accounts/ada", `{"admin":"yes"}`, "cannot be read"},
		{"POST", "/lus/v1/accounts/ada/tokens", `{"scopes":[{"resource":"registry:a*","actions":"read"}]}`, "no name"},
		{"POST", "/lus/v1/accounts/ada/tokens", `{"scopes":[{"resource":"*","actions":"own"}]}`, "no action"},
		{"PUT", "/lus/v1/rules", `{"who":"ada","resource":"x","actions":"read"}`, "no kind of thing"},
		{"GET", "/lus/v1/rules/decision?who=ada&resource=registry:a&actions=", "", "no action"},
	} {
		if code, body := ask(t, h, c.method, c.path, c.body); code != http.StatusBadRequest || !strings.Contains(body, c.says) {
			t.Errorf("%s %s %.60s: %d %s", c.method, c.path, c.body, code, body)
		}
	}
	if code, _ := ask(t, h, "PUT", "/lus/v1/accounts", "{}"); code != http.StatusMethodNotAllowed {
		t.Errorf("a method that is not there: %d", code)
	}
}

func TestErrorsHaveTheirStatus(t *testing.T) {
	a := &accounts{}
	h := api.New(a)
	code, body := ask(t, h, "GET", "/lus/v1/accounts/a%2Fb", "")
	if code != http.StatusNotFound || !strings.Contains(body, `"message"`) || len(a.reached) != 1 || a.reached[0] != "a/b" {
		t.Errorf("%d %s %q", code, body, a.reached)
	}
	for _, p := range api.Prefixes() {
		if !strings.HasPrefix(p, "/lus/v1/") || filepath.Clean(p) != strings.TrimSuffix(p, "/") {
			t.Errorf("%q", p)
		}
	}
}

package account_test

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"lus/internal/model/account"
)

func TestWhatAPatternMeans(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"registry:a/b", "a/b", true},
		{"registry:a/b", "a/b/c", false},
		{"registry:a/b", "a/bc", false},
		{"registry:a/b", "a", false},
		{"registry:a/*", "a/b", true},
		{"registry:a/*", "a/b/c", true},
		{"registry:a/*", "a", false},
		{"registry:a/*", "ab/c", false},
		{"registry:a/*", "a/", false},
		{"registry:a/b/*", "a/b", false},
		{"registry:a/b/*", "a/b/c", true},
		{"registry:a/b/*", "a/bb/c", false},
		{"registry:*", "a", true},
		{"registry:*", "", false},
		{"*", "a/b", true},
		{"git:*", "a", false},
		{"registry", "registry", false},
		{"", "a", false},
	} {
		if got := account.Pattern(c.pattern).Matches(account.Repository(c.name)); got != c.want {
			t.Errorf("%s matches %q: %v", c.pattern, c.name, got)
		}
	}
}

func TestPatternsThatAreNone(t *testing.T) {
	for _, s := range []string{
		"", "a/b", "registry", "registry:", "registry:/", "registry:/*", "registry:a/", "registry:a//b", "registry:a*", "registry:a/*/b", "registry:**",
		"registry:*/a", "registry:a/**", "registry:../a", "registry:A", "git:a", "registry:a b", "registry:a\n", "registry:a:b", "registry:" + strings.Repeat("a", 256), ":*", "**",
	} {
		if p, err := account.ParsePattern(s); err == nil {
			t.Errorf("%q is taken as %q", s, p)
		}
	}
	var p account.Pattern
	if err := json.Unmarshal([]byte(`"registry:a*"`), &p); err == nil {
		t.Error("JSON brings in what no pattern is")
	}
}

func TestOwnersAreNamedByTheFirstPart(t *testing.T) {
	for name, want := range map[string]string{"me/app": "me", "me/a/b": "me", "me": "", "me/": "", "": "", "/app": ""} {
		if got := account.Repository(name).Owner(); got != want {
			t.Errorf("%q belongs to %q, want %q", name, got, want)
		}
	}
}

func TestScopes(t *testing.T) {
	for in, want := range map[string]string{
		"read": "*:read", "write": "*:read,write", "registry:me/*:read,write": "registry:me/*:read,write",
		"registry:me/app:delete": "registry:me/app:read,delete", "*:all": "*:read,write,delete", "registry:*:read": "registry:*:read",
	} {
		s, err := account.ParseScope(in)
		if err != nil || s.String() != want {
			t.Errorf("%q is %q (%v), want %q", in, s, err, want)
		}
	}
	for _, in := range []string{"", ":", "push", "registry:me/app", "registry:me/app:", "registry:me/app:read,", "registry:a*:read", "read,,write"} {
		if s, err := account.ParseScope(in); err == nil {
			t.Errorf("%q is taken as %q", in, s)
		}
	}
}

func TestUserNames(t *testing.T) {
	// As the distribution specification has the parts of repositories' names.
	reference := regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*$`)
	names := []string{
		"ada", "a", "0", "a.b", "a_b", "a__b", "a-b", "a---b", "a..b", "a___b", "a._b", "a.", ".a", "-a", "a-", "A", "a b", "ä", "", "a-_b", "a.-b", "a:b", "a\x00b",
	}
	for _, n := range names {
		if _, err := account.ParseUser(n); (err == nil) != reference.MatchString(n) {
			t.Errorf("%q: %v", n, err)
		}
	}
	for _, n := range []string{"users", "anonymous", "everyone", "library", "a/b", strings.Repeat("a", 65)} {
		if _, err := account.ParseUser(n); err == nil {
			t.Errorf("%q is taken for a user's name", n)
		}
	}
	for _, who := range []string{"users", "anonymous", "ada"} {
		if _, err := account.ParseWho(who); err != nil {
			t.Error(err)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, s := range []string{"*", "registry:a/b/*", "registry:*", "registry:a--b:read"} {
		f.Add(s, "a/b/c")
	}
	f.Fuzz(func(t *testing.T, s, name string) {
		p, err := account.ParsePattern(s)
		if err != nil {
			return
		}
		if p.Matches(account.Repository(name)) && !strings.ContainsRune(s, '*') && s != "registry:"+name {
			t.Errorf("%q matches %q", s, name)
		}
		_, _ = account.ParseScope(s)
	})
}

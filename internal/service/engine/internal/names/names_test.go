package names_test

import (
	"strings"
	"testing"

	"lus/internal/base/errs"
	"lus/internal/service/engine/internal/names"
)

func TestValid(t *testing.T) {
	for name, want := range map[string]bool{
		"web": true, "web-1": true, "A.b_c-9": true, "0db": true,
		"": false, "a": false, "-x": false, ".x": false, "_x": false,
		"a b": false, "a/b": false, "../x": false, "naïve": false, "a\n": false, "a:b": false,
		strings.Repeat("x", 255): true, strings.Repeat("x", 256): false,
	} {
		if names.Valid(name) != want {
			t.Errorf("Valid(%q) is %v", name, !want)
		}
	}
	err := names.Check("container", "a b")
	if !errs.Is(err, errs.Invalid) || err.Error() != "Invalid container name (a b), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed" {
		t.Errorf("got %v", err)
	}
}

func TestRandomNamesAreValidAndFree(t *testing.T) {
	taken := map[string]bool{}
	for range 20000 { // more than there are pairs of words
		n := names.Random(func(s string) bool { return taken[s] })
		if taken[n] || !names.Valid(n) {
			t.Fatalf("bad name %q", n)
		}
		taken[n] = true
	}
}

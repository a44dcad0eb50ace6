package ids_test

import (
	"strings"
	"testing"

	"lus/internal/base/ids"
)

func TestNewIsUniqueHex(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := ids.New()
		if len(id) != 64 || strings.Trim(id, "0123456789abcdef") != "" {
			t.Fatalf("%q is not 64 hexadecimal digits", id)
		}
		if seen[id] {
			t.Fatalf("%q came twice", id)
		}
		seen[id] = true
	}
}

func TestShort(t *testing.T) {
	for in, want := range map[string]string{"": "", "abc": "abc", "0123456789abcdef": "0123456789ab"} {
		if got := ids.Short(in); got != want {
			t.Errorf("Short(%q) = %q, want %q", in, got, want)
		}
	}
}

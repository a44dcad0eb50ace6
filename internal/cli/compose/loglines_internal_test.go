package compose

import (
	"strings"
	"testing"
)

func TestPrefixedWritesWholeLines(t *testing.T) {
	var b strings.Builder
	p := &prefixed{out: &shared{w: &b}, prefix: "web | "}
	for _, part := range []string{"a", "b\nc\n", "\nd", "e"} {
		if n, err := p.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("%q: %d, %v", part, n, err)
		}
	}
	p.flush()
	if got := b.String(); got != "web | ab\nweb | c\nweb | \nweb | de\n" {
		t.Errorf("wrote %q", got)
	}
}

// A container that never ends its line does not fill the memory.
func TestALineWithoutEndIsPrintedInParts(t *testing.T) {
	var b strings.Builder
	p := &prefixed{out: &shared{w: &b}}
	part := []byte(strings.Repeat("x", 10_000))
	for range 1000 {
		_, _ = p.Write(part)
	}
	if len(p.rest) >= maxLine || strings.Count(b.String(), "x")+len(p.rest) != 10_000_000 {
		t.Errorf("%d bytes are held back, and %d were printed", len(p.rest), b.Len())
	}
}

package compose

import (
	"strings"
	"testing"
)

func TestLinesAreToldWhole(t *testing.T) {
	var told []string
	l := &lines{prefix: "p | ", emit: func(text string) { told = append(told, text) }}
	for _, part := range []string{"a", "b\nc\nd", "", "e\n", "end"} {
		if n, err := l.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("%q: %d, %v", part, n, err)
		}
	}
	l.flush()
	if got := strings.Join(told, "|"); got != "p | ab\np | c\n|p | de\n|p | end\n" {
		t.Errorf("told %q", got)
	}
}

// A program that never ends its line does not fill the memory.
func TestALineWithoutEndIsToldInParts(t *testing.T) {
	told := 0
	l := &lines{emit: func(text string) { told += len(strings.TrimSuffix(text, "\n")) }}
	part := []byte(strings.Repeat("x", 1000))
	for range 1000 {
		_, _ = l.Write(part)
	}
	if len(l.rest) >= maxLine || told+len(l.rest) != 1000*1000 {
		t.Errorf("%d bytes are held back, and %d were told", len(l.rest), told)
	}
}

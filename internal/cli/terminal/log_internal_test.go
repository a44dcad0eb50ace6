package terminal

import (
	"strings"
	"testing"
)

func TestALogOnATerminalHasColoursAndNoOrders(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"plain\tgrößer 大\n":                         "plain\tgrößer 大\n",
		"\x1b[1;31mred\x1b[0m\x1b[38:5:9m.\x1b[m":   "\x1b[1;31mred\x1b[0m\x1b[38:5:9m.\x1b[m",
		"\x1b[2Jclear\x1b[10;5Hmove\x1b[?25lhide":   "clearmovehide",
		"\x1b[>4;2mkeys\x1b[ mspace":                "keysspace",
		"\x1b]0;title\atext \x1b]8;;u\x1b\\link":    "text link",
		"\x1b]52;c;cGFzdGU=\nnext line":             "\nnext line",
		"\x1bPq\x1b\x1b[31mred":                     "\x1b[31mred",
		"\x1bccharset\x1b(B.\x1b7":                  "charset.",
		"10%\r20%\rdone\r\nnext\r\n":                "10% 20% done\nnext\n",
		"back\b\x00\x7f\u009b31m\u202eturned\u2066": "back31mturned",
		"\xff.":           "\ufffd.",
		"\x1b[31\nbroken": "\nbroken",
		"\x1b[31":         "",
	} {
		for piece := 1; piece <= len(text); piece++ {
			var b strings.Builder
			l := &Log{to: &b, filters: true}
			for rest := text; rest != ""; {
				n := min(piece, len(rest))
				if k, err := l.Write([]byte(rest[:n])); k != n || err != nil {
					t.Fatalf("%d, %v", k, err)
				}
				rest = rest[n:]
			}
			if got := b.String(); got != want {
				t.Errorf("%q in pieces of %d gives %q, want %q", text, piece, got, want)
				break
			}
		}
	}
}

func TestALogGivesTheColoursBack(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	l := &Log{to: &b, filters: true}
	_, _ = l.Write([]byte("\x1b[31mred\x1b["))
	_ = l.Close()
	_ = l.Close()
	if b.String() != "\x1b[31mred\x1b[0m" {
		t.Errorf("%q", b.String())
	}
}

func TestALogElsewhereIsAsItCame(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	l := NewLog(&b)
	_, _ = l.Write([]byte("a\r\x1b[2J\xff"))
	_ = l.Close()
	if b.String() != "a\r\x1b[2J\xff" {
		t.Errorf("%q", b.String())
	}
}

func TestASequenceWithoutAnEndIsGivenUp(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	l := &Log{to: &b, filters: true}
	_, _ = l.Write([]byte("\x1b]"))
	for range 100 {
		_, _ = l.Write([]byte(strings.Repeat("1", 1000)))
		if len(l.held) > maxSequence {
			t.Fatalf("%d bytes are held back", len(l.held))
		}
	}
	_, _ = l.Write([]byte("\nafter\n"))
	if !strings.HasSuffix(b.String(), "\nafter\n") || strings.Contains(b.String(), "\x1b") {
		t.Errorf("what comes after it ends in %q", b.String()[max(0, b.Len()-20):])
	}
}

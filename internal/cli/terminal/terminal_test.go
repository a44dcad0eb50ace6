package terminal_test

import (
	"strings"
	"testing"

	"lus/internal/cli/terminal"
)

func TestDetachKeysAreFoundHoweverTheyArrive(t *testing.T) {
	for _, c := range []struct {
		keys   string
		typed  []string
		pass   string
		detach bool
	}{
		{"", []string{"ls\r"}, "ls\r", false},
		{"", []string{"a\x10\x11b"}, "a", true},
		{"", []string{"a\x10", "\x11"}, "a", true},
		{"", []string{"\x10", "x"}, "\x10x", false},
		{"", []string{"\x10\x10\x11"}, "\x10", true},
		{"", []string{"\x11\x10"}, "\x11", false}, // held back until it is clear
		{"ctrl-a,d", []string{"\x01", "d"}, "", true},
		{"ctrl-a,d", []string{"\x01\x01x"}, "\x01\x01x", false},
		{"q", []string{"abq"}, "ab", true},
		{"ctrl-[,ctrl-@", []string{"\x1b\x00"}, "", true},
		{"a,a,b", []string{"aab"}, "", true},
	} {
		k, err := terminal.ParseKeys(c.keys)
		if err != nil {
			t.Fatal(err)
		}
		pass, detach := "", false
		for _, p := range c.typed {
			var got []byte
			got, detach = k.Typed([]byte(p))
			pass += string(got)
		}
		if pass != c.pass || detach != c.detach {
			t.Errorf("%q typed as %q: passed on %q, detached %v; want %q, %v", c.keys, c.typed, pass, detach, c.pass, c.detach)
		}
	}
}

func TestKeysThatAreNone(t *testing.T) {
	for _, s := range []string{"ctrl-", "ctrl-ab", "ab", ",", "a,", "ctrl-1"} {
		if _, err := terminal.ParseKeys(s); err == nil {
			t.Errorf("%q was taken", s)
		}
	}
}

func TestOrdersToTheTerminalAreNotPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"plain":                           "plain",
		"a\tb\nc":                         "a\tb\nc",
		"größer, 大 and 👩‍💻":               "größer, 大 and 👩‍💻",
		"\x1b]0;title\aand \x1b[31mred":   "?]0;title?and ?[31mred",
		"of Windows\r\n":                  "of Windows\n",
		"over\rwritten\b":                 "over?written?",
		"\u009b31m":                       "?31m",
		"\x9b31m":                         "\ufffd31m",
		"\u202egpj.exe":                   "?gpj.exe",
		strings.Repeat("x", 100) + "\x00": strings.Repeat("x", 100) + "?",
	} {
		if got := terminal.Printable(text); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

package terminal

import (
	"io"
	"os"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Harmless is a text that others wrote (a label, a registry's answer) as it can be
// written to w: on a terminal without what would move its cursor, change it, or
// turn round what is read. What goes to a file or a program stays as it is.
func Harmless(w io.Writer, text string) string {
	if f, ok := w.(*os.File); ok && Is(f) {
		return Printable(text)
	}
	return text
}

// Printable has a question mark for each character that is an order to a terminal,
// but for tabs and line ends.
func Printable(text string) string {
	text = strings.ReplaceAll(text, "\r\n", "\n")
	if strings.IndexFunc(text, order) < 0 && utf8.ValidString(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if order(r) {
			return '?'
		}
		return r // bytes that are no character have become one that says so
	}, text)
}

// order reports whether a terminal obeys a character instead of showing it.
func order(r rune) bool {
	switch {
	case r == '\n' || r == '\t':
		return false
	case unicode.IsControl(r):
		return true
	}
	return r >= '\u202a' && r <= '\u202e' || r >= '\u2066' && r <= '\u2069' // which turn text round
}

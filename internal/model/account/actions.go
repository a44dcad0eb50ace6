package account

import (
	"encoding/json"
	"strings"

	"lus/internal/base/errs"
)

// Actions are what can be done with a resource, as a set.
type Actions uint8

// The actions there are. Who may write or delete may read: nobody pushes an
// image without asking what of it is there already.
const (
	Read   Actions = 1 << iota
	Write          // make and change
	Delete         // take away
	All    = Read | Write | Delete
)

// Has reports whether every action of b is in a.
func (a Actions) Has(b Actions) bool { return a&b == b }

// String is the list as people write it: read,write,delete.
func (a Actions) String() string {
	var out []string
	for _, w := range actionWords() {
		if a.Has(w.action) {
			out = append(out, w.word)
		}
	}
	return strings.Join(out, ",")
}

// ParseActions reads a list such as read,write; "all" is all of them.
func ParseActions(s string) (Actions, error) {
	var a Actions
	for word := range strings.SplitSeq(s, ",") {
		b, ok := actionOf(word)
		if !ok {
			return 0, errs.New(errs.Invalid, "%q is no action: write read, write, delete or all, separated by commas", clip(word))
		}
		a |= b
	}
	return a | Read, nil
}

type actionWord struct {
	word   string
	action Actions
}

func actionWords() []actionWord {
	return []actionWord{{"read", Read}, {"write", Write}, {"delete", Delete}}
}

func actionOf(word string) (Actions, bool) {
	if word == "all" {
		return All, true
	}
	for _, w := range actionWords() {
		if w.word == word {
			return w.action, true
		}
	}
	return 0, false
}

// MarshalJSON writes the list as text.
func (a Actions) MarshalJSON() ([]byte, error) { return json.Marshal(a.String()) }

// UnmarshalJSON reads the list as text.
func (a *Actions) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	got, err := ParseActions(s)
	*a = got
	return err
}

// clip shortens what somebody wrote, to be shown in a message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

package rtnl

import (
	"errors"
	"slices"
	"testing"
)

// TestWholeLists: what the kernel tells in each list, whether it says that the
// list changed meanwhile, what is there at the end, and what counts.
func TestWholeLists(t *testing.T) {
	torn := func(s string) answer { return answer{links: s, torn: true} }
	for name, c := range map[string]struct {
		answers []answer
		there   string // at the end; empty: not asked for
		want    string
		asked   string // for these alone
	}{
		"a list in one piece is taken as it is": {
			answers: []answer{{links: "abc"}}, want: "abc"},
		"one that is torn is asked for again": {
			answers: []answer{torn("ac"), {links: "abc"}}, want: "abc"},
		"and what had gone by then is not in it": {
			answers: []answer{torn("abx"), {links: "abc"}}, want: "abc"},
		"what the last of all lacks and another had counts": {
			answers: []answer{torn("ab"), torn("bc"), torn("a"), torn("bc"), torn("b")}, want: "bca"},
		"unless it is gone": {
			answers: []answer{torn("ab"), torn("bx"), torn("ax"), torn("bc"), torn("b")}, there: "abc", want: "bca", asked: "cax"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := ""
			var look func(string) (string, bool, error)
			if c.there != "" {
				look = func(s string) (string, bool, error) {
					asked += s
					return s, slices.Contains(split(c.there), s), nil
				}
			}
			got, err := whole(same[string], func(add func(string)) (bool, error) {
				now := c.answers[0]
				c.answers = c.answers[1:]
				for _, s := range split(now.links) {
					add(s)
				}
				return now.torn, nil
			}, look)
			if err != nil || !slices.Equal(got, split(c.want)) || asked != c.asked || len(c.answers) != 0 {
				t.Errorf("%q, %v, asked for %q, %d lists not asked for", got, err, asked, len(c.answers))
			}
		})
	}
}

// TestAnErrorIsNoList: neither half of a list nor what others had is told.
func TestAnErrorIsNoList(t *testing.T) {
	broken := errors.New("broken")
	n := 0
	got, err := whole(same[string], func(add func(string)) (bool, error) {
		add("a")
		if n++; n == 2 {
			return true, broken
		}
		return true, nil
	}, nil)
	if !errors.Is(err, broken) || got != nil {
		t.Errorf("%q, %v", got, err)
	}
}

type answer struct {
	links string
	torn  bool
}

func split(s string) (out []string) {
	for _, r := range s {
		out = append(out, string(r))
	}
	return out
}

package output_test

import (
	"strconv"
	"strings"
	"testing"

	"lus/internal/cli/output"
)

// counted counts how often it is written to.
type counted struct {
	strings.Builder
	writes int
}

func (c *counted) Write(p []byte) (int, error) {
	c.writes++
	return c.Builder.Write(p)
}

type numbered int

func (n numbered) ID() string { return strconv.Itoa(int(n)) }

// A terminal, or a pipe, is written to in large pieces.
func TestAListIsWrittenAtOnce(t *testing.T) {
	rows := make([]numbered, 1000)
	for i := range rows {
		rows[i] = numbered(i)
	}
	for _, format := range []string{"", "{{.ID}}", "json"} {
		var out counted
		if err := output.List(&out, format, "{{.ID}}\t{{.ID}}", output.Headers{"ID": "ID"}, rows); err != nil {
			t.Fatal(err)
		}
		if lines := strings.Count(out.String(), "\n"); lines < len(rows) || out.writes > 3 {
			t.Errorf("%q: %d lines in %d writes", format, lines, out.writes)
		}
	}
}

// What could be printed before something went wrong is printed.
func TestAListThatBreaksOffShowsWhatCame(t *testing.T) {
	var out strings.Builder
	err := output.List(&out, "{{.ID}}{{if eq .ID \"1\"}}{{.None}}{{end}}", "", nil, []numbered{0, 1, 2})
	if err == nil || !strings.HasPrefix(out.String(), "0\n") {
		t.Errorf("%q, %v", out.String(), err)
	}
}

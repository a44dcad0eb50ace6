package output

import (
	"io"

	"github.com/spf13/pflag"
)

// Listing is what the flags of a verb that lists say.
type Listing struct {
	format string
	id     string // the field of a row that -q prints
	quiet  bool
	raw    Lines // of the format raw; nil: there is none
}

// Raw gives the list a format of that name.
func (l *Listing) Raw(lines ...string) *Listing {
	l.raw = lines
	return l
}

// ListFlags registers --format and, where id is not empty, -q, which prints only
// that field of each row; names is what people call it, as "ids".
func ListFlags(f *pflag.FlagSet, id, names string) *Listing {
	l := &Listing{id: id}
	f.StringVar(&l.format, "format", "", "Print by a Go template: table, table TEMPLATE, json, or TEMPLATE")
	if id != "" {
		f.BoolVarP(&l.quiet, "quiet", "q", false, "Only print "+names)
	}
	return l
}

// Unless sets the format that the user has chosen once for all, which holds where
// neither --format nor -q was given.
func (l *Listing) Unless(chosen string) {
	if l.format == "" && !l.quiet {
		l.format = chosen
	}
}

// Rows prints list as List does, each as row makes it.
func Rows[T, R any](w io.Writer, l *Listing, columns string, headers Headers, list []T, row func(T) R) error {
	rows := make([]R, 0, len(list))
	for _, v := range list {
		rows = append(rows, row(v))
	}
	format := l.format
	only := ""
	if l.quiet {
		only = l.id
	}
	switch {
	case format == Raw && l.raw != nil:
		format = l.raw.Template(only)
	case l.quiet && format == "":
		format = "{{." + l.id + "}}"
	}
	return List(w, format, columns, headers, rows)
}

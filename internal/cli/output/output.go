// Package output prints lists and objects as Docker does: as a table, as JSON,
// or by a template of the user's.
package output

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"strings"
	"text/tabwriter"
	"text/template"

	"lus/internal/cli/terminal"
)

// Headers are a table's headings by field.
type Headers map[string]string

// Label is the heading of one label's column.
func (Headers) Label(name string) string {
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		name = name[i+1:]
	}
	return strings.ReplaceAll(name, "-", " ")
}

// List prints rows by format: empty or "table" is the default columns,
// "table TEMPLATE" other columns, "json" one object a line, else a template a
// row. A row's fields are its methods.
func List[R any](w io.Writer, format, columns string, headers Headers, rows []R) error {
	// A table is made of thousands of small pieces.
	all := bufio.NewWriterSize(w, 64<<10)
	err := listTo(all, format, columns, headers, rows, shown(w, format))
	return errors.Join(err, all.Flush())
}

// shown is what is written to w of what a template gives. On a terminal that is
// printable, unless the user's own template gives orders to it.
func shown(w io.Writer, format string) func(string) string {
	if f, ok := w.(*os.File); ok && terminal.Is(f) && terminal.Printable(format) == format {
		return terminal.Printable
	}
	return func(text string) string { return text }
}

func listTo[R any](w io.Writer, format, columns string, headers Headers, rows []R, shown func(string) string) error {
	format = strings.TrimSpace(format)
	table := false
	switch rest, isTable := strings.CutPrefix(format, "table"); {
	case format == "" || format == "table":
		format, table = columns, true
	case isTable && strings.TrimLeft(rest, " \t") != rest:
		format, table = strings.TrimSpace(rest), true
	case format == "json":
		format = "{{json .}}"
	}
	format = strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format)
	t, err := parse(format)
	if err != nil {
		return err
	}
	out := w
	if table {
		tw := tabwriter.NewWriter(w, 10, 1, 3, ' ', 0)
		defer tw.Flush()
		out = tw
		h, err := t.Clone()
		if err != nil {
			return err
		}
		if err := execute(out, h.Funcs(template.FuncMap{"json": func(s any) any { return s }}), headers, shown); err != nil {
			return err
		}
	}
	for _, r := range rows {
		if err := execute(out, t, r, shown); err != nil {
			return err
		}
	}
	return nil
}

func parse(text string) (*template.Template, error) {
	t, err := template.New("").Funcs(functions()).Option("missingkey=error").Parse(text)
	if err != nil {
		return nil, fmt.Errorf("template parsing error: %w", err)
	}
	return t, nil
}

// execute writes what is shown of one row and a line's end, or nothing where it
// fails.
func execute(w io.Writer, t *template.Template, data any, shown func(string) string) error {
	var b strings.Builder
	if err := t.Execute(&b, data); err != nil {
		return fmt.Errorf("template parsing error: %w", err)
	}
	_, err := io.WriteString(w, shown(b.String())+"\n")
	return err
}

func functions() template.FuncMap {
	return template.FuncMap{
		"json": func(v any) (string, error) {
			var b bytes.Buffer
			enc := json.NewEncoder(&b)
			enc.SetEscapeHTML(false)
			if m := fields(v); m != nil {
				row, err := json.Marshal(m) // docker's rows have < and > escaped, other values not
				return string(row), err
			}
			if err := enc.Encode(v); err != nil {
				return "", err
			}
			return strings.TrimSpace(b.String()), nil
		},
		"split": strings.Split,
		"join":  join,
		"title": func(s string) string {
			if s == "" {
				return s
			}
			return strings.ToUpper(s[:1]) + s[1:]
		},
		"lower": strings.ToLower,
		"upper": strings.ToUpper,
		"pad": func(s string, before, after int) string {
			return strings.Repeat(" ", before) + s + strings.Repeat(" ", after)
		},
		"truncate": func(s string, n int) string { return s[:min(len(s), n)] },
	}
}

// join takes the lists of decoded JSON too.
func join(list any, sep string) (string, error) {
	switch l := list.(type) {
	case []string:
		return strings.Join(l, sep), nil
	case []any:
		out := make([]string, len(l))
		for i, v := range l {
			out[i] = fmt.Sprint(v)
		}
		return strings.Join(out, sep), nil
	}
	return "", fmt.Errorf("join needs a list, not %T", list)
}

// fields collects a row's methods without arguments; nil where v is no row.
func fields(v any) map[string]any {
	if v == nil {
		return nil
	}
	r := reflect.ValueOf(v)
	if r.NumMethod() == 0 || r.Kind() == reflect.Map || r.Kind() == reflect.String {
		return nil
	}
	out := map[string]any{}
	for i := range r.NumMethod() {
		m := r.Method(i)
		if m.Type().NumIn() == 0 && m.Type().NumOut() == 1 {
			out[r.Type().Method(i).Name] = m.Call(nil)[0].Interface()
		}
	}
	return out
}

// Objects prints what inspect found: JSON documents as one list, or each by a
// template.
func Objects(w io.Writer, format string, docs []json.RawMessage) error {
	if format == "" || format == "json" {
		return list(w, format, docs)
	}
	t, err := parse(strings.NewReplacer(`\t`, "\t", `\n`, "\n").Replace(format))
	if err != nil {
		return err
	}
	for _, d := range docs {
		err := object(w, t, d, true, shown(w, format))
		if err != nil {
			// What is asked of a field that is not there fails by the field's name.
			err = object(w, t, d, false, shown(w, format))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// object writes what a template gives of a document; filled: with what Docker's
// types have where it leaves something out.
func object(w io.Writer, t *template.Template, doc []byte, filled bool, shown func(string) string) error {
	o := orders{}
	v, err := o.decode(doc)
	if err != nil {
		return err
	}
	if m, ok := v.(map[string]any); ok && filled {
		shapeOf(m).fill(m)
	}
	rename(v)
	return execute(w, t.Funcs(template.FuncMap{"json": o.encode}), v, shown)
}

func list(w io.Writer, format string, docs []json.RawMessage) error {
	if docs == nil {
		docs = []json.RawMessage{}
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if format == "" {
		enc.SetIndent("", "    ")
	}
	if err := enc.Encode(docs); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// Ellipsis cuts s to so many characters, the last of them a dot-dot-dot.
func Ellipsis(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

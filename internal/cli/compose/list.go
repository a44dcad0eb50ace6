package compose

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"lus/internal/base/ids"
)

// printJSON prints a value on one line, as docker compose does.
func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// tableOrJSON refuses formats of commands that print no templates.
func tableOrJSON(verb, format string) error {
	if format == "" || format == "table" || format == "json" {
		return nil
	}
	return wrongUse(verb, "format value %q could not be parsed: write table or json", format)
}

func table(w io.Writer, header string, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, header)
	for _, r := range rows {
		fmt.Fprintln(t, strings.Join(r, "\t"))
	}
	return t.Flush()
}

// named sorts a project's containers by name and keeps those of the services
// asked for.
func named(list []summary, services []string) []summary {
	list = slices.DeleteFunc(list, func(c summary) bool {
		return len(services) > 0 && !slices.Contains(services, c.service())
	})
	slices.SortFunc(list, func(a, b summary) int { return cmp.Compare(a.name(), b.name()) })
	return list
}

func (c summary) name() string {
	if len(c.Names) == 0 {
		return ids.Short(c.ID)
	}
	return strings.TrimPrefix(c.Names[0], "/")
}

func (c summary) ports() string {
	var out []string
	for _, p := range c.Ports {
		s := fmt.Sprintf("%d/%s", p.PrivatePort, p.Type)
		if p.PublicPort != 0 {
			host := p.IP
			if strings.Contains(host, ":") {
				host = "[" + host + "]"
			}
			s = fmt.Sprintf("%s:%d->%s", host, p.PublicPort, s)
		}
		out = append(out, s)
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

package container

import (
	"bufio"
	"os"
	"strings"
	"unicode/utf8"

	"lus/internal/base/errs"
	"lus/internal/cli/command"
)

// environment gives the variables of the files, then those of the flags.
func environment(files, flags []string) ([]string, error) {
	var out []string
	for _, name := range files {
		lines, err := readLines(name)
		if err != nil {
			return nil, err
		}
		for _, line := range lines {
			key, _, has := strings.Cut(line, "=")
			if !has {
				// Of a file's NAME only one that is set is passed on.
				value, ok := os.LookupEnv(key)
				if !ok {
					continue
				}
				line += "=" + value
			}
			out = append(out, line)
		}
	}
	for _, e := range flags {
		key, _, has := strings.Cut(e, "=")
		if key == "" {
			return nil, errs.New(errs.Invalid, "invalid environment variable: %q: write NAME=value", e)
		}
		if !has {
			if value, ok := os.LookupEnv(key); ok {
				e += "=" + value
			}
		}
		out = append(out, e)
	}
	return out, nil
}

// addProxies adds the proxies that the user chose for what the daemon runs. A
// flag wins over them, they win over a file, as docker has it.
func (o *options) addProxies(e *command.Env) {
	given := map[string]bool{}
	for _, v := range o.env {
		name, _, _ := strings.Cut(v, "=")
		given[name] = true
	}
	for _, v := range e.Config().ProxyVariables(e.Client.Host()) {
		if !given[v.Name] {
			o.env = append(o.env, v.Name+"="+v.Value)
		}
	}
}

// labels gives the labels of the files and the flags; the last of a key counts.
func labels(files, flags []string) (map[string]string, error) {
	all := []string{}
	for _, name := range files {
		lines, err := readLines(name)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	out := map[string]string{}
	for _, l := range append(all, flags...) {
		key, value, _ := strings.Cut(l, "=")
		if key == "" {
			return nil, errs.New(errs.Invalid, "invalid label %q: write key=value", l)
		}
		out[key] = value
	}
	return out, nil
}

// readLines reads a file of NAME=value lines: blanks before a line are cut,
// empty lines and comments left out.
func readLines(name string) ([]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, errs.New(errs.NotFound, "%w", err)
	}
	defer f.Close()
	var out []string
	in := bufio.NewScanner(f)
	for n := 1; in.Scan(); n++ {
		text := in.Text()
		if n == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if !utf8.ValidString(text) {
			return nil, errs.New(errs.Invalid, "%s:%d: this line is not UTF-8", name, n)
		}
		text = strings.TrimLeft(text, " \t")
		if text == "" || text[0] == '#' {
			continue
		}
		key, _, _ := strings.Cut(text, "=")
		if key == "" {
			return nil, errs.New(errs.Invalid, "%s:%d: no variable name on line %q", name, n, text)
		}
		if strings.ContainsAny(key, " \t") {
			return nil, errs.New(errs.Invalid, "%s:%d: variable %q contains whitespaces", name, n, key)
		}
		out = append(out, text)
	}
	if err := in.Err(); err != nil {
		return nil, errs.New(errs.Invalid, "%s: %w", name, err)
	}
	return out, nil
}

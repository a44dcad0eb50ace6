package composefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"lus/internal/base/errs"
	"lus/internal/base/spelling"
)

// explain turns the library's error into one that names file, line and key,
// shows the line, and says what to do.
func explain(err error, files []string) error {
	var missing *fs.PathError
	if errors.As(err, &missing) && os.IsNotExist(missing) {
		return absent(missing.Path, files)
	}
	msg := strings.TrimSuffix(strings.TrimSpace(err.Error()), ": invalid compose project")
	f := find(msg, files)
	if f.text == "" {
		f.text = msg
	}
	if msg == "empty compose file" {
		f.hint = "it has no services: write services: and below it what is to run"
	}
	if msg == "top-level object must be a mapping" && f.hint == "" {
		f.hint = "a Compose file begins with services:; another kind of file is named with -f"
	}
	return errs.New(errs.Invalid, "%s", f)
}

// absent is a file that the user or another file names and that is not there.
func absent(path string, files []string) error {
	if slices.Contains(files, path) || len(files) == 0 {
		return errs.New(errs.NotFound, "no such file: %s; name the Compose file with -f", path)
	}
	f := parse(files).scalar(filepath.Base(path))
	f.text, f.hint = "no such file: "+path, "correct the path: it starts from the folder of the file that names it"
	return errs.New(errs.Invalid, "%s", f)
}

// finding is where an error stands and what to say of it.
type finding struct {
	file string
	line int
	text string // replaces the library's message
	hint string
}

// find works out which key of which file a message speaks of.
func find(msg string, files []string) finding {
	if len(files) == 0 {
		return finding{}
	}
	if rest, ok := strings.CutPrefix(msg, "failed to parse "); ok {
		return broken(rest, files)
	}
	if strings.HasPrefix(msg, "yaml: ") { // the library looked for the project's name
		return broken(msg, files)
	}
	if rest, ok := strings.CutPrefix(msg, "validating "); ok {
		return invalid(rest)
	}
	docs := parse(files)
	if path, ok := interpolated(msg); ok {
		f := docs.at(path...)
		f.text = cast(fmt.Sprintf("%s: %s", strings.Join(path, "."), strings.Join(strings.Fields(afterColon(msg, strings.Join(path, "."))), " ")))
		if strings.Contains(msg, "invalid interpolation") {
			f.text = fmt.Sprintf("%s: invalid interpolation %s", strings.Join(path, "."), lastLine(msg))
			f.hint = "write ${NAME}, ${NAME:-default} or ${NAME:?message}; a dollar sign itself is $$"
		}
		return f
	}
	return semantic(msg, docs)
}

// broken reads "FILE: yaml: ... line N ...".
func broken(rest string, files []string) finding {
	file, text, _ := strings.Cut(rest, ": ")
	if !filepath.IsAbs(file) {
		file, text = files[0], rest
	}
	f := finding{file: file, text: strings.Join(strings.Fields(text), " ")}
	if strings.Contains(f.text, "node visit limit") {
		f.text, f.hint = "this has more keys and values than are read (100,000), each use of an anchor counted", "write several projects, or fewer aliases (*a)"
		return f
	}
	if at, complaint, ok := strings.Cut(f.text, "mapping key "); ok {
		f.line, f.text = lastNumber(at), "key "+complaint
		f.hint = "a key may stand only once in a mapping: remove one of the two"
		return f
	}
	f.line = lastNumber(f.text)
	switch {
	case strings.Contains(f.text, "while scanning"):
		// "while scanning a simple key at line 4, ...: line 5: ..." begins at 4.
		f.line = lastNumber(strings.SplitN(f.text, ",", 2)[0])
	case strings.Contains(f.text, "while parsing") && f.line > 0:
		f.line++ // the library's parser counts lines from 0, its scanner from 1
	}
	if i := strings.LastIndex(f.text, "line "); i >= 0 {
		_, f.text, _ = strings.Cut(f.text[i:], ": ")
	}
	f.text = strings.TrimPrefix(f.text, "yaml: ")
	f.hint = "check the indentation: spaces only, and a space after each colon"
	switch {
	case strings.Contains(f.text, "control characters") || strings.Contains(f.text, "UTF-8"):
		f.hint = "this looks like another kind of file: name the Compose file with -f"
	case strings.Contains(f.text, "max depth"):
		f.hint = "nobody nests lists and mappings so deeply: this file is broken, or meant to do harm"
	case strings.Contains(f.text, "excessive aliasing"):
		f.hint = "anchors (&a) and aliases (*a) that multiply each other are not expanded: write out what is meant"
	case strings.Contains(f.text, "unknown anchor"):
		f.hint = "name it with & before the * that uses it; a text that begins with * goes in quotes"
	case strings.Contains(f.text, "did not find expected ','") && strings.Contains(lineOf(f.file, f.line), "${"):
		f.hint = `a variable within braces or brackets goes in quotes: "${NAME}"`
	case strings.Contains(f.text, "did not find expected ','"):
		f.hint = "a { or [ is not closed, or a comma is missing"
	case strings.HasPrefix(lineOf(f.file, f.line+1), "\t"):
		f.line++
		f.hint = "this line begins with a tab: indent with spaces"
	case strings.HasPrefix(lineOf(f.file, f.line), "\t"):
		f.hint = "this line begins with a tab: indent with spaces"
	}
	f.text = "this is not YAML: " + f.text
	return f
}

// lastNumber reads the last "line N" of a text; 0 where there is none.
func lastNumber(text string) int {
	words, line := strings.Fields(text), 0
	for i, w := range words {
		if w == "line" && i+1 < len(words) {
			if n, err := strconv.Atoi(strings.Trim(words[i+1], ":,")); err == nil {
				line = n
			}
		}
	}
	return line
}

// invalid reads "FILE: services.web.foo must be ...".
func invalid(rest string) finding {
	file, text, _ := strings.Cut(rest, ": ")
	path, complaint, _ := strings.Cut(text, " ")
	docs := parse([]string{file})
	f := docs.at(strings.Split(path, ".")...)
	f.file = file
	f.text = text
	if said, hint := mistyped(path, complaint); said != "" {
		f.text, f.hint = said, hint
		return f
	}
	if complaint == "false schema" || strings.Contains(complaint, "additional properties") {
		key := path[strings.LastIndexByte(path, '.')+1:]
		// The keys too many stand in quotes where the path is that of their mapping.
		if quoted := strings.Split(complaint, "'"); len(quoted) > 1 {
			key, path = quoted[1], strings.TrimPrefix(path+"."+quoted[1], ".")
			f = docs.at(strings.Split(path, ".")...)
		}
		f.text = fmt.Sprintf("%s: unknown key %q", path, key)
		if near := spelling.Nearest(key, siblingsOf(path)); near != "" {
			f.hint = fmt.Sprintf("did you mean %s?", near)
		} else if !strings.Contains(path, ".") {
			f.hint = "at the top stand name, services, networks, volumes, secrets, configs and include; a service goes below services:"
		} else if parts := strings.Split(path, "."); len(parts) == 2 && parts[0] == "services" {
			f.text = fmt.Sprintf("services: %q cannot be a service's name", key)
			f.hint = "a name has letters, digits, dots, hyphens and underscores"
		}
	}
	return f
}

// interpolated reads the path out of an interpolation error.
func interpolated(msg string) ([]string, bool) {
	for _, mark := range []string{"error while interpolating ", "invalid interpolation format for "} {
		if _, rest, ok := strings.Cut(msg, mark); ok {
			path := strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '\n' || r == ':' })[0]
			return strings.Split(strings.TrimSuffix(path, "."), "."), true
		}
	}
	return nil, false
}

func afterColon(msg, path string) string {
	_, rest, _ := strings.Cut(msg, path)
	return strings.TrimLeft(rest, ": ")
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

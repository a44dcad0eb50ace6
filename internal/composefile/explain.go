package composefile

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"lus/internal/base/errs"
)

// explain turns the library's error into one that names file, line and key,
// shows the line, and says what to do.
func explain(err error, files []string) error {
	msg := strings.TrimSuffix(strings.TrimSpace(err.Error()), ": invalid compose project")
	if os.IsNotExist(err) {
		return errs.New(errs.NotFound, "%w; name the file with -f", err)
	}
	f := find(msg, files)
	if f.text != "" {
		msg = f.text
	}
	f.text = msg
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
	if rest, ok := strings.CutPrefix(msg, "validating "); ok {
		return invalid(rest)
	}
	docs := parse(files)
	if path, ok := interpolated(msg); ok {
		f := docs.at(path...)
		f.text = fmt.Sprintf("%s: %s", strings.Join(path, "."), strings.Join(strings.Fields(afterColon(msg, strings.Join(path, "."))), " "))
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
	case strings.Contains(f.text, "while parsing"):
		f.line++ // the library's parser counts lines from 0, its scanner from 1
	}
	if i := strings.LastIndex(f.text, "line "); i >= 0 {
		_, f.text, _ = strings.Cut(f.text[i:], ": ")
	}
	f.text = "this is not YAML: " + f.text
	f.hint = "check the indentation: spaces only, and a space after each colon"
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
	if complaint == "false schema" || strings.Contains(complaint, "additional properties") {
		key := path[strings.LastIndexByte(path, '.')+1:]
		f.text = fmt.Sprintf("%s: unknown key %q", path, key)
		if near := nearest(key, siblingsOf(path)); near != "" {
			f.hint = fmt.Sprintf("did you mean %s?", near)
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

// semantic finds errors that name services rather than places.
func semantic(msg string, docs documents) finding {
	if rest, ok := strings.CutPrefix(msg, "dependency cycle detected: "); ok {
		first, _, _ := strings.Cut(rest, " -> ")
		f := docs.at("services", first, "depends_on")
		f.hint = "a service cannot wait for itself: remove one of these depends_on"
		return f
	}
	quoted := strings.Split(msg, `"`)
	if rest, ok := strings.CutPrefix(msg, "services.scale: can't set container_name and "); ok {
		service, _, _ := strings.Cut(rest, " ")
		f := docs.at("services", service, "container_name")
		f.text = fmt.Sprintf("services.%s: container_name can be given to one container only", service)
		f.hint = "remove container_name, or scale to 1"
		return f
	}
	if strings.HasPrefix(msg, "service ") && len(quoted) >= 3 {
		service := quoted[1]
		switch {
		case strings.Contains(msg, "depends on undefined service"):
			f := docs.at("services", service, "depends_on")
			f.hint = "define it under services:, or correct the name"
			return f
		case strings.Contains(msg, "undefined volume"):
			f := docs.at("services", service, "volumes")
			f.hint = "name it under the top-level volumes:"
			return f
		case strings.Contains(msg, "undefined network"):
			f := docs.at("services", service, "networks")
			f.hint = "name it under the top-level networks:"
			return f
		case strings.Contains(msg, "neither an image nor a build"):
			f := docs.at("services", service)
			f.hint = "give it image: or build:"
			return f
		}
		return docs.at("services", service)
	}
	for _, what := range []string{"hostPort", "containerPort"} {
		if strings.Contains(msg, what) {
			f := docs.scalar(strings.TrimSpace(msg[strings.LastIndexByte(msg, ':')+1:]))
			f.hint = "a port is a number from 1 to 65535, as in \"8080:80\""
			return f
		}
	}
	return finding{file: docs.first()}
}

func afterColon(msg, path string) string {
	_, rest, _ := strings.Cut(msg, path)
	return strings.TrimLeft(rest, ": ")
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(lines[len(lines)-1])
}

// documents are the files' syntax trees, in the order they are merged.
type documents []document

type document struct {
	file string
	root *yaml.Node
}

func parse(files []string) documents {
	var docs documents
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		var n yaml.Node
		if yaml.Unmarshal(data, &n) != nil || len(n.Content) == 0 {
			docs = append(docs, document{file: f})
			continue
		}
		docs = append(docs, document{file: f, root: n.Content[0]})
	}
	return docs
}

func (d documents) first() string {
	if len(d) == 0 {
		return ""
	}
	return d[0].file
}

// at finds the key a path leads to, in the last file that has it, or as much of
// the path as there is.
func (d documents) at(path ...string) finding {
	best, depth := finding{file: d.first()}, 0
	for _, doc := range d {
		// A later file wins where it has the whole path, the first one otherwise.
		if line, deep := descend(doc.root, path); deep > depth || deep == len(path) {
			best, depth = finding{file: doc.file, line: line}, deep
		}
	}
	return best
}

func descend(n *yaml.Node, path []string) (line, depth int) {
	for _, key := range path {
		next, at := child(n, key)
		if next == nil {
			return line, depth
		}
		n, line, depth = next, at, depth+1
	}
	return line, depth
}

func child(n *yaml.Node, key string) (*yaml.Node, int) {
	if n == nil {
		return nil, 0
	}
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1], n.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(strings.Trim(key, "[]")); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i].Line
		}
	}
	return nil, 0
}

// scalar finds the first value that holds text.
func (d documents) scalar(text string) finding {
	for _, doc := range d {
		if line := search(doc.root, text); line > 0 {
			return finding{file: doc.file, line: line}
		}
	}
	return finding{file: d.first()}
}

func search(n *yaml.Node, text string) int {
	if n == nil || text == "" {
		return 0
	}
	if n.Kind == yaml.ScalarNode && strings.Contains(n.Value, text) {
		return n.Line
	}
	for _, c := range n.Content {
		if line := search(c, text); line > 0 {
			return line
		}
	}
	return 0
}

func lineOf(file string, n int) string {
	data, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	lines := strings.Split(string(data), "\n")
	if n > len(lines) {
		return ""
	}
	return strings.TrimRight(lines[n-1], "\r ")
}

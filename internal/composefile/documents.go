package composefile

import (
	"os"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// documents are the files' syntax trees, in the order they are merged.
type documents []document

type document struct {
	file string
	root *yaml.Node
}

func parse(files []string) documents {
	var docs documents
	for _, f := range files {
		data, err := regular(f)
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

// child is the value of a key, or of a place in a list, and its line; of a key
// that is merged into a mapping (<<), where it is written.
func child(n *yaml.Node, key string) (*yaml.Node, int) {
	return childOnce(n, key, map[*yaml.Node]bool{})
}

// childOnce looks into each mapping once: they may be merged into themselves.
func childOnce(n *yaml.Node, key string, seen map[*yaml.Node]bool) (*yaml.Node, int) {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || seen[n] {
		return nil, 0
	}
	switch n.Kind {
	case yaml.MappingNode:
		seen[n] = true
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1], n.Content[i].Line
			}
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Tag != "!!merge" {
				continue
			}
			from := []*yaml.Node{n.Content[i+1]}
			if from[0].Kind == yaml.SequenceNode {
				from = from[0].Content
			}
			for _, m := range from {
				if v, line := childOnce(m, key, seen); v != nil {
					return v, line
				}
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
	if n < 1 || n > len(lines) {
		return ""
	}
	line := []rune(strings.TrimRight(lines[n-1], "\r "))
	if len(line) > 200 {
		return string(line[:199]) + "…"
	}
	return string(line)
}

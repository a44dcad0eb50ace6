package composefile

import (
	"fmt"
	"slices"
	"strings"

	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"

	"lus/internal/base/errs"
)

// modes are the words after a volume's second colon. Those of the last row are
// for other hosts and mean nothing here.
var modes = []string{
	"ro", "rw", "nocopy", "z", "Z",
	"private", "rprivate", "shared", "rshared", "slave", "rslave",
	"cached", "delegated", "consistent",
}

// volumeModes refuses a word that the library passes over in silence: what was
// meant to be read-only would be written to.
func volumeModes(p *types.Project, files []string, docs func() documents) error {
	mounts := slices.ContainsFunc(services(p), func(name string) bool { return len(p.Services[name].Volumes) > 0 })
	if !mounts || !slices.ContainsFunc(files, oddModesIn) {
		return nil
	}
	for _, doc := range docs() {
		all, _ := child(doc.root, "services")
		for name, service := range pairs(all) {
			volumes, _ := child(service, "volumes")
			for _, v := range items(volumes) {
				if bad := unknownMode(v.Value); bad != "" {
					at := finding{file: doc.file, line: v.Line}
					at.text = fmt.Sprintf("services.%s.volumes: %q has no meaning in %q", name, bad, v.Value)
					at.hint = "write ro or rw there, or leave it out"
					return errs.New(errs.Invalid, "%s", at)
				}
			}
		}
	}
	return nil
}

// unknownMode is the word of a volume's short form that means nothing; empty:
// there is none, or it is a variable's.
func unknownMode(volume string) string {
	parts := strings.Split(volume, ":")
	if len(parts) < 3 || strings.Contains(volume, "$") {
		return ""
	}
	for word := range strings.SplitSeq(parts[len(parts)-1], ",") {
		if !slices.Contains(modes, word) {
			return word
		}
	}
	return ""
}

// oddModesIn reports whether a file may have a volume with a word that means
// nothing. Most have none, and need not be parsed to know it: that takes a third of
// the time of a command.
func oddModesIn(file string) bool {
	text, err := regular(file)
	return err == nil && oddModes(string(text))
}

// oddModes looks behind each colon that follows a place in a container.
func oddModes(text string) bool {
	if strings.ContainsRune(text, '\\') {
		return true // it may be written otherwise
	}
	for line := range strings.Lines(text) {
		for _, rest, ok := strings.Cut(line, ":/"); ok; _, rest, ok = strings.Cut(rest, ":/") {
			_, behind, two := strings.Cut(rest, ":")
			if !two || strings.HasPrefix(rest, "/") || strings.HasPrefix(behind, "/") {
				continue // of a URL, or of the next volume
			}
			word := behind
			if end := strings.IndexAny(behind, " \t\r\n\"']}#"); end >= 0 {
				word = behind[:end]
			}
			if word == "" {
				continue
			}
			for w := range strings.SplitSeq(word, ",") {
				if w != "" && !slices.Contains(modes, w) {
					return true
				}
			}
		}
	}
	return false
}

// pairs are the keys and values of a mapping.
func pairs(n *yaml.Node) func(yield func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

// items are the plain values of a list.
func items(n *yaml.Node) (out []*yaml.Node) {
	if n != nil && n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	for _, v := range n.Content {
		if v.Kind == yaml.AliasNode {
			v = v.Alias
		}
		if v.Kind == yaml.ScalarNode {
			out = append(out, v)
		}
	}
	return out
}

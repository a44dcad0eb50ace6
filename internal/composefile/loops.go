package composefile

import (
	"bytes"
	"context"
	"fmt"

	"github.com/compose-spec/compose-go/v2/cli"
	"go.yaml.in/yaml/v3"

	"lus/internal/base/errs"
)

// The library follows an alias that is merged into what it stands for
// (a: &a {<<: *a}) a hundred thousand times, on a path that grows with each,
// before it gives up: that takes it from seconds to a minute. So what stands
// inside of itself is refused before the library sees it.

// loops refuses files in which an alias stands inside of what it stands for.
// What cannot be read or is no YAML is left for the library to tell.
func loops(files []string) error {
	for _, file := range files {
		data, err := regular(file)
		if err != nil || bytes.IndexByte(data, '&') < 0 || bytes.IndexByte(data, '*') < 0 {
			continue
		}
		for d := yaml.NewDecoder(bytes.NewReader(data)); ; {
			var document yaml.Node
			if d.Decode(&document) != nil {
				break
			}
			if alias := loopIn(&document, map[*yaml.Node]bool{}); alias != nil {
				return errs.New(errs.Invalid, "%s", finding{
					file: file, line: alias.Line,
					text: fmt.Sprintf("the alias *%s stands inside of what it stands for, &%[1]s of line %d", alias.Value, alias.Alias.Line),
					hint: "nothing can contain itself: write out what is meant",
				})
			}
		}
	}
	return nil
}

// loopIn finds an alias inside of what it stands for. Every way that leads back to
// where it began passes one: any other alias stands for what was ended before it.
func loopIn(n *yaml.Node, around map[*yaml.Node]bool) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		if around[n.Alias] {
			return n
		}
		return nil
	}
	around[n] = true
	defer delete(around, n)
	for _, c := range n.Content {
		if alias := loopIn(c, around); alias != nil {
			return alias
		}
	}
	return nil
}

// guard looks at the files that others include or extend before the library reads
// them. To the library it is a reader of remote files: it accepts none but those
// that it refuses.
type guard struct {
	more    *others
	options *cli.ProjectOptions
	seen    int // of more.written
	looking bool
	err     error
}

func (g *guard) Accept(string) bool {
	// To find a file the library is asked for the project's folder, and asks here.
	if g.options == nil || g.looking {
		return false
	}
	if g.seen < len(g.more.written) {
		g.looking, g.seen = true, len(g.more.written)
		g.err = loops(g.more.all(g.options))
		g.looking = false
	}
	return g.err != nil
}

func (g *guard) Load(context.Context, string) (string, error) { return "", g.err }

func (g *guard) Dir(path string) string { return path }

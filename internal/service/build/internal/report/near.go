package report

import (
	"bytes"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/containerd/platforms"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
	buildkiterrs "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/suggest"
)

// Facts are what an explanation may know of a build beside its error.
type Facts struct {
	Context  string // the folder of the context, where it is on this host
	Platform string // what is built for, where it was asked for
}

// mostEntries bounds how many names of a folder are compared.
const mostEntries = 10_000

// missingHint says why a file may be missing that COPY or ADD names.
func (f Facts) missingHint(name string, src *buildkiterrs.Source) string {
	if from := copyFrom(src); from != "" {
		return fmt.Sprintf("paths are those of %s, from its root", from)
	}
	const usual = "paths are relative to the context's folder; look whether the file is there and not excluded by .dockerignore"
	if f.Context == "" {
		return usual
	}
	root, err := os.OpenRoot(f.Context)
	if err != nil {
		return usual
	}
	defer root.Close()
	rel := strings.TrimPrefix(path.Clean("/"+name), "/")
	if _, err := root.Lstat(rel); err == nil {
		return "it is in the context's folder: .dockerignore excludes it"
	}
	// The first part of the path that is not there is the one to look at.
	dir := "."
	for part := range strings.SplitSeq(rel, "/") {
		next := path.Join(dir, part)
		if _, err := root.Lstat(next); err == nil {
			dir = next
			continue
		}
		if near, ok := nearest(part, entries(root, dir)); ok {
			return fmt.Sprintf("did you mean %s?", path.Join(dir, near))
		}
		break
	}
	return usual
}

// entries are the names in a folder.
func entries(root *os.Root, dir string) []string {
	f, err := root.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	names, _ := f.Readdirnames(mostEntries) // what could be read
	return names
}

// nearest finds the name that somebody meant who typed another.
func nearest(typed string, names []string) (string, bool) {
	for _, n := range names {
		if n != typed && strings.EqualFold(n, typed) {
			return n, true
		}
	}
	if len(typed) < 3 {
		return "", false
	}
	return suggest.Search(typed, names, true)
}

// copyFrom is what the line at fault copies from; empty: the build context.
func copyFrom(src *buildkiterrs.Source) string {
	if src == nil {
		return ""
	}
	lines := strings.Split(string(src.Info.Data), "\n")
	for n := int(src.Ranges[0].Start.Line); n <= len(lines) && n <= max(int(src.Ranges[0].End.Line), int(src.Ranges[0].Start.Line)); n++ {
		if n < 1 {
			continue
		}
		for word := range strings.FieldsSeq(lines[n-1]) {
			if from, ok := strings.CutPrefix(word, "--from="); ok {
				return from
			}
			if _, options, ok := strings.Cut(word, "--mount="); ok {
				for o := range strings.SplitSeq(options, ",") {
					if from, ok := strings.CutPrefix(o, "from="); ok {
						return from
					}
				}
			}
		}
	}
	return ""
}

// nearStage finds the stage that somebody meant whose name was taken for that of
// an image.
func nearStage(image string, src *buildkiterrs.Source) string {
	if src == nil {
		return ""
	}
	ast, err := parser.Parse(bytes.NewReader(src.Info.Data))
	if err != nil {
		return ""
	}
	stages, _, err := instructions.Parse(ast.AST, nil)
	if err != nil {
		return ""
	}
	var names []string
	for _, s := range stages {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	name, _, _ := strings.Cut(image, ":")
	near, _ := nearest(name, names)
	return near
}

// platformHint says what to do about a program for another kind of machine.
func (f Facts) platformHint() string {
	here := platforms.Format(platforms.Normalize(platforms.DefaultSpec()))
	if f.Platform != "" {
		return fmt.Sprintf("this machine runs %s, and RUN of an image for %s needs a machine of that kind; without RUN (COPY, ADD, ENV and the like) it builds here too", here, f.Platform)
	}
	return fmt.Sprintf("the program is for another kind of machine, or is a script without #!; this machine runs %s", here)
}

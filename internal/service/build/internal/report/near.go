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
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/suggest"
	"golang.org/x/sys/unix"
)

// Facts are what an explanation may know of a build beside its error.
type Facts struct {
	Context  string // the folder of the context, where it is on this host
	Platform string // what is built for, where it was asked for
	// Dockerfile gives the Dockerfile's name and text, where it is on this host;
	// nil: it is elsewhere.
	Dockerfile func() (name string, text []byte)
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
	if climbs(src) {
		return "COPY and ADD see only the context's folder: build from a folder further up, or add one with --build-context NAME=PATH and COPY --from=NAME"
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
	parts := strings.Split(rel, "/")
	for i, part := range parts {
		next := path.Join(dir, part)
		if _, err := root.Lstat(next); err == nil {
			dir = next
			continue
		}
		near, ok := nearest(part, entries(root, dir))
		if !ok {
			break
		}
		meant := path.Join(dir, near)
		if whole := path.Join(append([]string{meant}, parts[i+1:]...)...); exists(root, whole) {
			meant = whole
		}
		return fmt.Sprintf("did you mean %s?", meant)
	}
	return usual
}

// entries are the names in a folder. What is none is not opened: a pipe would wait
// for somebody who writes into it.
func entries(root *os.Root, dir string) []string {
	f, err := root.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
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
	for _, n := range names {
		if oneSlip(typed, n) {
			return n, true
		}
	}
	if len(typed) < 5 {
		return "", false // two slips in a short word make it another word
	}
	return suggest.Search(typed, names, true)
}

// oneSlip reports whether one slip of the fingers makes b of a: two letters
// swapped, or one too many, too few or wrong.
func oneSlip(a, b string) bool {
	if len(a) < 3 || a == b {
		return false
	}
	i := 0
	for i < len(a) && i < len(b) && a[i] == b[i] {
		i++
	}
	x, y := a[i:], b[i:]
	switch {
	case len(x) > 1 && len(y) > 1 && x[0] == y[1] && x[1] == y[0] && x[2:] == y[2:]:
		return true
	case len(x) > 0 && x[1:] == y, len(y) > 0 && y[1:] == x:
		return true
	}
	return len(x) > 0 && len(y) > 0 && x[1:] == y[1:]
}

func exists(root *os.Root, name string) bool {
	_, err := root.Lstat(name)
	return err == nil
}

// climbs reports whether the line at fault wants to leave the context.
func climbs(src *buildkiterrs.Source) bool {
	for _, word := range words(src) {
		if word == ".." || strings.HasPrefix(word, "../") {
			return true
		}
	}
	return false
}

// words are those of the lines at fault.
func words(src *buildkiterrs.Source) (out []string) {
	if src == nil {
		return nil
	}
	lines := strings.Split(string(src.Info.Data), "\n")
	first, last := span(src.Ranges[0])
	for n := max(first, 1); n <= min(len(lines), last); n++ {
		out = append(out, strings.Fields(lines[n-1])...)
	}
	return out
}

// copyFrom is what the line at fault copies from; empty: the build context.
func copyFrom(src *buildkiterrs.Source) string {
	for _, word := range words(src) {
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
	return ""
}

// missingInStage is the error of a file that COPY --from does not find.
func missingInStage(text string, src *buildkiterrs.Source) string {
	name, from := between(text, "lstat ", ": no such file or directory"), copyFrom(src)
	if name == "" || from == "" {
		return ""
	}
	return fmt.Sprintf("%q is not in %s", name, from)
}

// find is the place of an error that BuildKit gives none for, where the text
// tells what stands there.
func (f Facts) find(text string) *buildkiterrs.Source {
	if f.Dockerfile == nil {
		return nil
	}
	var needle string
	switch {
	case strings.Contains(text, `Get "`):
		needle = between(text, `Get "`, `"`)
	case strings.Contains(text, "invalid stage index "):
		needle = "--from=" + after(text, "invalid stage index ")
	case strings.Contains(text, "network.host is not allowed"):
		needle = "--network=host"
	case strings.Contains(text, "security.insecure is not allowed"):
		needle = "--security=insecure"
	case strings.Contains(text, deviceRefused):
		needle = "--device=" + between(text, "device ", deviceRefused)
	case strings.Contains(text, "invalid escape token"):
		needle = "escape"
	}
	name, data := f.Dockerfile()
	for i, line := range strings.Split(string(data), "\n") {
		if needle != "" && strings.Contains(line, needle) {
			at := &pb.Position{Line: int32(i + 1)}
			return &buildkiterrs.Source{Info: &pb.SourceInfo{Filename: name, Data: data}, Ranges: []*pb.Range{{Start: at, End: at}}}
		}
	}
	return nil
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

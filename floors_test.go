// Package lus_test keeps the house: imports flow down only, every package says
// what it is.
package lus_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// floors lists, for each place in the tree, what it may import of our own. The
// longest prefix that matches a package decides; a package may always import
// what lies inside itself.
var floors = map[string][]string{
	"cmd/lus":         {"internal/cli", "internal/base"},
	"cmd/lus-compose": {"internal/cli/compose", "internal/base"},
	"cmd/lusd":        {"internal/daemon", "internal/base"},
	"cmd/lus-keeper":  {"internal/keeper", "internal/base"},
	"cmd/lus-dns":     {"internal/linux/dns", "internal/base"},

	"internal/cli":         {"internal/cli", "internal/client", "internal/model", "internal/base"},
	"internal/cli/compose": {"internal/composefile", "internal/cli/output", "internal/cli/terminal", "internal/client", "internal/model", "internal/base"},
	"internal/composefile": {"internal/model", "internal/base"},
	"internal/client":      {"internal/model", "internal/base"},
	"internal/daemon":      {"internal"},
	"internal/api/status":  {"internal/base"},
	"internal/api":         {"internal/api/status", "internal/model", "internal/base"},
	"internal/web":         {"internal/model", "internal/base"},
	"internal/service":     {"internal/store", "internal/linux", "internal/model", "internal/base"},
	"internal/store":       {"internal/model", "internal/base"},
	"internal/keeper":      {"internal/keeper", "internal/linux", "internal/store/logs", "internal/model", "internal/base"},
	"internal/linux":       {"internal/linux", "internal/model", "internal/base"},
	"internal/model":       {"internal/model", "internal/base"},
	"internal/base":        {"internal/base"},
	"test":                 {"internal/base", "internal/model", "test"},
}

// light lists the programs that must start in milliseconds or stay small, and
// what they must therefore not link.
var light = map[string][]string{
	"cmd/lus":        {"github.com/moby/buildkit", "github.com/containerd/containerd", "github.com/compose-spec", "modernc.org/sqlite", "google.golang.org/grpc", "github.com/opencontainers/go-digest"},
	"cmd/lus-keeper": {"net/http", "os/exec", "github.com/spf13/cobra", "github.com/moby/buildkit", "github.com/containerd/containerd", "github.com/vishvananda/netlink", "github.com/google/nftables"},
	"cmd/lus-dns":    {"net/http", "os/exec", "github.com/spf13/cobra", "github.com/moby/buildkit", "github.com/containerd/containerd", "github.com/google/nftables"},
}

// behind lists libraries whose types stay in one place.
var behind = map[string]string{
	"github.com/compose-spec": "internal/composefile",
}

const module = "lus/"

// pkg is one package as its files show it.
type pkg struct {
	imports map[string]string // import path -> a file that has it
	doc     bool
}

// tree parses every non-test file below the module's root.
func tree(t *testing.T) map[string]*pkg {
	t.Helper()
	pkgs := map[string]*pkg{}
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if base := d.Name(); base != "." && (strings.HasPrefix(base, ".") || base == "testdata" || base == "bin" || base == "node_modules") {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := path.Dir(filepath.ToSlash(name))
		if pkgs[dir] == nil {
			pkgs[dir] = &pkg{imports: map[string]string{}}
		}
		note(pkgs[dir], file, name)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return pkgs
}

func note(p *pkg, file *ast.File, name string) {
	p.doc = p.doc || file.Doc.Text() != ""
	for _, imp := range file.Imports {
		if s, err := strconv.Unquote(imp.Path.Value); err == nil {
			p.imports[s] = name
		}
	}
}

// floor returns the place that decides for dir, and what may be imported there.
func floor(dir string) (place string, allowed []string) {
	for p, a := range floors {
		if within(dir, p) && len(p) > len(place) {
			place, allowed = p, a
		}
	}
	return place, allowed
}

func within(dir, place string) bool { return dir == place || strings.HasPrefix(dir, place+"/") }

// home is the service a package belongs to: services may import what is in
// their own folder and no other service.
func home(dir string) string {
	parts := strings.Split(dir, "/")
	if len(parts) >= 3 && parts[0] == "internal" && parts[1] == "service" {
		return strings.Join(parts[:3], "/")
	}
	return dir
}

func allowed(dir, target string, may []string) bool {
	if within(target, home(dir)) {
		return true
	}
	return slices.ContainsFunc(may, func(p string) bool { return within(target, p) })
}

func TestImportsFlowDown(t *testing.T) {
	for dir, p := range tree(t) {
		place, may := floor(dir)
		if place == "" {
			if dir != "." && !within(dir, "scripts") && !within(dir, "examples") {
				t.Errorf("%s stands on no floor: give it one in floors_test.go", dir)
			}
			continue
		}
		for target, file := range p.imports {
			own, ok := strings.CutPrefix(target, module)
			if ok && !allowed(dir, own, may) {
				t.Errorf("%s imports %s: %s may only import %s", file, own, place, strings.Join(may, ", "))
			}
		}
	}
}

func TestTheRuleCanFail(t *testing.T) {
	for _, c := range []struct {
		dir, target string
		want        bool
	}{
		{"internal/service/engine", "internal/service/image", false},
		{"internal/service/engine", "internal/service/engine/internal/ipam", true},
		{"internal/service/engine", "internal/linux/runtime", true},
		{"internal/linux/mount", "internal/keeper", false},
		{"internal/api/docker", "internal/service/engine", false},
		{"internal/cli/container", "internal/client", true},
		{"internal/model/image", "internal/model/container", true},
		{"internal/base/ids", "internal/model/task", false},
	} {
		_, may := floor(c.dir)
		if got := allowed(c.dir, c.target, may); got != c.want {
			t.Errorf("%s importing %s: allowed is %v, want %v", c.dir, c.target, got, c.want)
		}
	}
}

func TestLightProgramsStayLight(t *testing.T) {
	pkgs := tree(t)
	for program, banned := range light {
		for _, chain := range reach(pkgs, program) {
			target := chain[len(chain)-1]
			for _, b := range banned {
				if within(target, b) {
					t.Errorf("%s links %s: %s", program, b, strings.Join(chain, " -> "))
				}
			}
		}
	}
}

func TestLibrariesStayBehindTheirPackages(t *testing.T) {
	for dir, p := range tree(t) {
		for target, file := range p.imports {
			for library, place := range behind {
				if within(target, library) && !within(dir, place) {
					t.Errorf("%s imports %s: only %s may", file, target, place)
				}
			}
		}
	}
}

// reach follows our own imports from start and returns, for each import found,
// one chain of packages that leads to it.
func reach(pkgs map[string]*pkg, start string) [][]string {
	var out [][]string
	seen := map[string]bool{start: true}
	queue := [][]string{{start}}
	for len(queue) > 0 {
		chain := queue[0]
		queue = queue[1:]
		p := pkgs[chain[len(chain)-1]]
		if p == nil {
			continue
		}
		for target := range p.imports {
			own := strings.TrimPrefix(target, module)
			if seen[own] {
				continue
			}
			seen[own] = true
			next := append(slices.Clone(chain), own)
			out = append(out, next)
			queue = append(queue, next)
		}
	}
	return out
}

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for dir, p := range tree(t) {
		if !p.doc {
			t.Errorf("%s has no package comment: say in one sentence what it is for", dir)
		}
	}
}

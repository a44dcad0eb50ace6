package need_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// A machine that has never seen the project gets what the tests need from
// scripts/need and from nowhere else: each package that a test asks for must
// stand there.
func TestEveryPackageThatTestsNeedIsInstalled(t *testing.T) {
	script, err := os.ReadFile("../../scripts/need")
	if err != nil {
		t.Fatal(err)
	}
	_, group, _ := strings.Cut(string(script), "\ntests() {")
	group, _, found := strings.Cut(group, "\n}\n")
	if !found {
		t.Fatal("scripts/need has no function tests")
	}
	// The groups that tests() calls count too.
	for _, part := range []string{"build", "images"} {
		_, body, _ := strings.Cut(string(script), "\n"+part+"() {")
		body, _, _ = strings.Cut(body, "\n}\n")
		group += body
	}
	installed := strings.Fields(group)
	asked := packagesAsked(t, "../..")
	if len(asked) < 5 {
		t.Fatalf("only %d packages asked for: the pattern is out of date", len(asked))
	}
	for name, file := range asked {
		if name == "docker-cli" {
			continue // scripts/need takes it out of another package
		}
		if !slices.Contains(installed, name) {
			t.Errorf("%s needs the package %s: add it to tests() in scripts/need", file, name)
		}
	}
}

// packagesAsked finds the Debian packages that test code names: in calls of
// need.Program and in messages that say what to install.
func packagesAsked(t *testing.T, root string) map[string]string {
	t.Helper()
	pattern := regexp.MustCompile(`need\.Program\(t, [^,]+, "([a-z0-9.+-]+)"\)|apt-get install ([a-z][a-z0-9.+-]*)`)
	asked := map[string]string{}
	for _, dir := range []string{"internal", "test", "cmd"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "need/need.go") ||
				!strings.HasSuffix(path, "_test.go") && !strings.Contains(path, "/test/") {
				return err
			}
			text, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			for _, m := range pattern.FindAllStringSubmatch(string(text), -1) {
				asked[m[1]+m[2]] = path
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return asked
}

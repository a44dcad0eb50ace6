package build_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each testdata/errors/NAME.Dockerfile cannot be built, and NAME.want is what
// people are told: where, what, and what to do. LUS_TEST_UPDATE=1 writes the
// latter anew; look at what changed.
func TestWhatPeopleAreTold(t *testing.T) {
	files, err := filepath.Glob("testdata/errors/*.Dockerfile")
	must(t, err)
	if len(files) < 30 {
		t.Fatalf("%d cases", len(files))
	}
	b := newBuilder(t)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".Dockerfile")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			must(t, err)
			r := b.file(string(text), map[string]string{
				"src/main.go": "package main\n", "README.md": "read me\n", "secret.log": "", ".dockerignore": "*.log\n",
			})
			if r.err == nil {
				t.Fatal("it was built")
			}
			got := steady(r.err.Error()) + "\n"
			file := strings.TrimSuffix(file, ".Dockerfile") + ".want"
			if os.Getenv("LUS_TEST_UPDATE") != "" {
				must(t, os.WriteFile(file, []byte(got), 0o600))
			}
			want, err := os.ReadFile(file)
			must(t, err)
			if got != string(want) {
				t.Errorf("people are told\n%s\nwant\n%s", got, want)
			}
			for _, inside := range []string{"failed to solve", "rpc error", "LLB", "checksum of ref"} {
				if strings.Contains(got, inside) {
					t.Errorf("the error speaks of the builder's inside: %q", inside)
				}
			}
		})
	}
}

// steady replaces what differs from run to run.
func steady(text string) string {
	text = regexp.MustCompile(`(cannot be pulled: )[^\n]*`).ReplaceAllString(text, "${1}WHY") // it depends on the network
	text = regexp.MustCompile(`sha256:[0-9a-f]{64}`).ReplaceAllString(text, "sha256:DIGEST")
	return regexp.MustCompile(`/tmp/[^ ,"]*`).ReplaceAllString(text, "/tmp/DIR")
}

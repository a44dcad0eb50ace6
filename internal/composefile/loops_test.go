package composefile_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lus/internal/composefile"
)

// The library follows such an alias for many seconds before it gives up.
func TestAnAliasInsideOfWhatItStandsForIsRefusedAtOnce(t *testing.T) {
	t.Parallel()
	const web = "services:\n  web: {image: nginx}\n"
	for _, c := range []struct {
		name, file string
		line       string
		others     map[string]string
	}{
		{name: "merged into itself", file: web + "x-a: &a\n  <<: *a\n  k: 1\n", line: "compose.yaml:4: the alias *a "},
		{name: "among others that are merged", file: web + "x-a: &a {k: 1}\nx-b: &b\n  <<: [*a, *b]\n", line: "compose.yaml:5: the alias *b "},
		{name: "deep inside", file: web + "x-a: &a {b: &b {c: [{<<: *b}, {<<: *a}]}}\n", line: "compose.yaml:3: the alias *b "},
		{name: "of a service", file: "services:\n  web: &web\n    image: nginx\n    <<: *web\n", line: "compose.yaml:4: the alias *web "},
		{name: "where the anchor's name is taken again", file: "services:\n  web: &w\n    image: nginx\n    <<: &w\n      tty: true\n      <<: *w\n", line: "compose.yaml:6: the alias *w "},
		{name: "in a second document", file: web + "---\nx-a: &a\n  <<: *a\n", line: "compose.yaml:5: the alias *a "},
		{
			name: "in a file that is included", file: "include: [sub/other.yaml]\n" + web,
			others: map[string]string{"sub/other.yaml": "services:\n  db: &db\n    image: b\n    <<: *db\n"}, line: "other.yaml:4: the alias *db ",
		},
		{
			name: "in a file that is extended", file: "services:\n  web:\n    extends: {file: sub/other.yaml, service: db}\n",
			others: map[string]string{"sub/other.yaml": "services:\n  db: &db\n    image: b\n    <<: *db\n"}, line: "other.yaml:4: the alias *db ",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, took, err := loadFiles(t, c.file, c.others)
			if err == nil || !strings.Contains(err.Error(), c.line) || !strings.Contains(err.Error(), "nothing can contain itself") {
				t.Errorf("got %v, want %q", err, c.line)
			}
			// The machine may be slow; the library takes many times as long.
			if took > 5*time.Second {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestAnchorsThatAreUsedAfterTheirEndAreRead(t *testing.T) {
	t.Parallel()
	l, _, err := loadFiles(t, "include: [sub/other.yaml]\nx-a: &a {tty: true}\nx-b: &b\n  <<: *a\n  init: true\n"+
		"services:\n  web: &web\n    image: nginx\n    <<: *b\n  again: *web\n  own: {<<: [*web, *a], image: other, extends: {file: sub/base.yaml, service: base}}\n",
		map[string]string{
			"sub/other.yaml": "x-h: &h {test: [CMD, ok]}\nservices:\n  db: {image: b, healthcheck: *h}\n",
			"sub/base.yaml":  "x-l: &l {from: base}\nservices:\n  base: {image: b, labels: *l}\n",
		})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(l.Project.Services); got != 4 {
		t.Errorf("%d services", got)
	}
}

// loadFiles loads a Compose file with others beside it.
func loadFiles(t *testing.T, file string, others map[string]string) (l *composefile.Loaded, took time.Duration, err error) {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{"compose.yaml": file}
	for name, text := range others {
		all[name] = text
	}
	for name, text := range all {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	began := time.Now()
	l, err = composefile.Load(context.Background(), composefile.Options{Files: []string{filepath.Join(dir, "compose.yaml")}, Name: "shop"})
	return l, time.Since(began), err
}

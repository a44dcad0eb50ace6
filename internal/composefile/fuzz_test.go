package composefile_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"lus/internal/composefile"
)

// Whatever stands in a file is read or refused, and nothing of it breaks the reader.
func FuzzLoad(f *testing.F) {
	for _, seed := range []string{shop, ",", "services: {a: {image: '${A:-${B?c}}', volumes: ['a:b:c']}}\n"} {
		f.Add(seed)
	}
	broken, err := filepath.Glob("testdata/broken/*.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range broken {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Setenv("XDG_CACHE_HOME", f.TempDir()) // what is remembered is remembered there
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "compose.yaml")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := composefile.Load(context.Background(), composefile.Options{Files: []string{file}, Name: "shop", Together: true})
		if err != nil {
			return
		}
		_ = l.Room()
		l.Watches()
		if _, err := l.Shown().Text("json"); err != nil {
			t.Error(err)
		}
	})
}

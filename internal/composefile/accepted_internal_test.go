package composefile

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// at loads a file and says whether the schema was left out.
func at(t *testing.T, file string) (l *Loaded, trusted bool) {
	t.Helper()
	l, err := Load(context.Background(), Options{Files: []string{file}, Name: "p", Access: access()})
	if err != nil {
		t.Fatal(err)
	}
	return l, l.trusted
}

func put(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheSchemaIsLeftOutOnlyForWhatItAcceptedBefore(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv("LUS_TEST_PORTS", "80")
	file := filepath.Join(t.TempDir(), "compose.yaml")
	put(t, file, "services:\n  web:\n    image: a\n    ports: [\"${LUS_TEST_PORTS}\"]\n")
	if _, trusted := at(t, file); trusted {
		t.Error("the first time was trusted")
	}
	if _, trusted := at(t, file); !trusted {
		t.Error("the second time was not")
	}
	t.Setenv("LUS_TEST_PORTS", "81")
	if _, trusted := at(t, file); trusted {
		t.Error("another variable was trusted")
	}
	put(t, file, "services:\n  web:\n    image: a\n    prots: [\"80\"]\n")
	_, err := Load(context.Background(), Options{Files: []string{file}, Name: "p", Access: access()})
	if err == nil || !strings.Contains(err.Error(), "did you mean ports?") {
		t.Errorf("a changed file got %v", err)
	}
}

func TestAMissingOrSpoiltMemoryCostsOnlyTime(t *testing.T) {
	cache := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", cache)
	file := filepath.Join(t.TempDir(), "compose.yaml")
	put(t, file, "services: {web: {image: a}}\n")
	at(t, file)
	kept, err := filepath.Glob(filepath.Join(cache, "lus/compose/*"))
	if err != nil || len(kept) != 2 {
		t.Fatalf("kept %q, %v", kept, err)
	}
	put(t, kept[0], "{")
	put(t, kept[1], "{")
	if _, trusted := at(t, file); trusted {
		t.Error("nonsense was trusted")
	}
	put(t, filepath.Join(cache, "blocked"), "")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(cache, "blocked"))
	at(t, file)
	at(t, file)
}

// What included and extended files hold is not part of what is remembered.
func TestFilesOutsideAreReadWithTheSchemaEachTime(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	dir := t.TempDir()
	file := filepath.Join(dir, "compose.yaml")
	put(t, filepath.Join(dir, "other.yaml"), "services: {db: {image: b}}\n")
	for _, text := range []string{
		"include: [other.yaml]\nservices: {web: {image: a}}\n",
		"services: {web: {extends: {file: other.yaml, service: db}}}\n",
	} {
		put(t, file, text)
		at(t, file)
		if _, trusted := at(t, file); trusted {
			t.Errorf("trusted: %s", text)
		}
	}
}

// The schema only judges: with and without it the same is read.
func TestTheSameIsReadWithAndWithoutTheSchema(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	trusted := 0
	for pattern, e := range keyExamples() {
		if e.want == "" {
			continue
		}
		file := write(t, pattern, e.with)
		put(t, file, "version: '3'\n"+string(must(os.ReadFile(file))))
		var text [2]string
		for i := range text {
			l, was := at(t, file)
			data, err := json.Marshal([]any{l.Project, l.Warnings})
			if err != nil {
				t.Fatal(err)
			}
			text[i] = string(data)
			if i == 1 && was {
				trusted++
			}
		}
		if text[0] != text[1] {
			t.Errorf("%s is read differently the second time:\n%s\n%s", e.with, text[0], text[1])
		}
	}
	if trusted < 100 {
		t.Errorf("only %d were read without the schema", trusted)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

package build_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lus/internal/model/build"
)

// stepLines returns the lines of a progress that tell of one step.
func stepLines(t *testing.T, output, command string) string {
	t.Helper()
	for line := range strings.Lines(output) {
		number, rest, ok := strings.Cut(line, " ")
		if !ok || !strings.HasPrefix(number, "#") || !strings.Contains(rest, command) {
			continue
		}
		var of []string
		for l := range strings.Lines(output) {
			if strings.HasPrefix(l, number+" ") {
				of = append(of, l)
			}
		}
		return strings.Join(of, "")
	}
	t.Fatalf("no step %q in:\n%s", command, output)
	return ""
}

func wantCached(t *testing.T, output, command string, want bool) {
	t.Helper()
	if got := strings.Contains(stepLines(t, output, command), "CACHED"); got != want {
		t.Errorf("step %q: cached is %v, want %v:\n%s", command, got, want, output)
	}
}

// B4, S51
func TestCache(t *testing.T) {
	b := newBuilder(t)
	dir := folder(t, map[string]string{
		"Dockerfile": "FROM busybox\nRUN echo early > /early\nCOPY a /a\nRUN cat /a > /late\n",
		"a":          "1",
	})
	first := b.build(dir).ok(t)
	for _, s := range []string{"RUN echo early", "COPY a", "RUN cat"} {
		wantCached(t, first.output, s, false)
	}
	t.Run("a second build runs nothing", func(t *testing.T) {
		again := b.build(dir).ok(t)
		for _, s := range []string{"RUN echo early", "COPY a", "RUN cat"} {
			wantCached(t, again.output, s, true)
		}
		if again.id != first.id {
			t.Errorf("the second image is %s, the first %s", again.id, first.id)
		}
	})
	t.Run("it makes no snapshot either", func(t *testing.T) {
		before, err := b.store.BackendKeys(t.Context())
		must(t, err)
		b.build(dir).ok(t)
		after, err := b.store.BackendKeys(t.Context())
		must(t, err)
		for name, key := range after {
			if before[name] != key {
				t.Errorf("snapshot %s (%s) is new", name, key)
			}
		}
	})
	t.Run("a changed file runs only what follows", func(t *testing.T) {
		must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("22"), 0o644))
		changed := b.build(dir).ok(t)
		wantCached(t, changed.output, "RUN echo early", true)
		wantCached(t, changed.output, "COPY a", false)
		wantCached(t, changed.output, "RUN cat", false)
		b.wantFile(changed.id, "late", "22")
	})
	t.Run("no-cache runs all", func(t *testing.T) {
		fresh := b.build(dir, func(q *build.Request) { q.NoCache = true }).ok(t)
		for _, s := range []string{"RUN echo early", "COPY a", "RUN cat"} {
			wantCached(t, fresh.output, s, false)
		}
	})
	t.Run("a touched file changes nothing", func(t *testing.T) {
		must(t, os.WriteFile(filepath.Join(dir, "a"), []byte("22"), 0o644))
		wantCached(t, b.build(dir).ok(t).output, "COPY a", true)
	})
}

func TestPrune(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM busybox\nRUN head -c 300000 /dev/urandom > /kept\n", nil).ok(t)
	b.file("FROM busybox\nRUN head -c 5000000 /dev/urandom > /left\n", nil, func(q *build.Request) { q.Tags = []string{"other"} }).ok(t)
	must(t, b.store.ImageStore().Delete(t.Context(), "docker.io/library/other:latest"))
	_, err := b.store.GarbageCollect(t.Context())
	must(t, err)
	pruned, err := b.Prune(t.Context(), build.Prune{All: true})
	must(t, err)
	if freed := pruned.Freed; freed < 5000000 || freed > 6000000 {
		t.Errorf("freed %d bytes, want the 5,000,000 that no image has", freed)
	}
	if _, err := b.read(r.id, "kept"); err != nil {
		t.Errorf("pruning the cache broke an image: %v", err)
	}
	again := b.file("FROM app\nRUN wc -c < /kept > /n\n", nil).ok(t)
	b.wantFile(again.id, "n", "300000")
}

func TestAnImageStaysWhenItsCacheGoes(t *testing.T) {
	b := newBuilder(t)
	r := b.file("FROM busybox\nCOPY --link a /a\nRUN echo b > /b\nCOPY --link a /c\n", map[string]string{"a": "A"}).ok(t)
	_, err := b.Prune(t.Context(), build.Prune{All: true})
	must(t, err)
	_, err = b.store.GarbageCollect(t.Context())
	must(t, err)
	for path, want := range map[string]string{"a": "A", "b": "b", "c": "A"} {
		b.wantFile(r.id, path, want)
	}
	// What push and save would read.
	for _, d := range b.config(r.id).RootFS.DiffIDs {
		if err := b.readBlob(d); err != nil {
			t.Errorf("layer %s: %v", d, err)
		}
	}
}

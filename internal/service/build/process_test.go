package build_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lus/internal/base/errs"
	"lus/internal/model/build"
)

// A test that needs a second life of the builder starts this program again:
// BuildKit keeps parts of its state in the process, as a daemon does.
const (
	envRoot    = "LUS_TEST_BUILD_ROOT"
	envContext = "LUS_TEST_BUILD_CONTEXT"
)

// TestHelperBuild is not a test by itself: where another test has started it, it
// builds what the environment says and prints the progress, then "image ID".
func TestHelperBuild(t *testing.T) {
	if os.Getenv(envRoot) == "" {
		return
	}
	b := openBuilder(t, os.Getenv(envRoot), nil)
	id, err := b.Build(t.Context(), &build.Request{ContextDir: os.Getenv(envContext), Tags: []string{"app"}}, os.Stdout)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println("image", id)
}

// elsewhere builds in another process.
func elsewhere(t *testing.T, root, dir string) (*exec.Cmd, *syncBuffer) {
	t.Helper()
	var out syncBuffer
	cmd := exec.Command(os.Args[0], "-test.run=^TestHelperBuild$", "-test.count=1")
	cmd.Env = append(os.Environ(), envRoot+"="+root, envContext+"="+dir)
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	return cmd, &out
}

func TestTheCacheSurvivesARestart(t *testing.T) {
	b := newBuilder(t)
	dir := folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo x > /x\nCOPY --link y /y\n", "y": "Y"})
	first := b.build(dir).ok(t)
	b.close()
	cmd, out := elsewhere(t, b.root, dir)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	wantCached(t, out.String(), "RUN echo x", true)
	wantCached(t, out.String(), "COPY --link", true)
	if !strings.Contains(out.String(), "image "+first.id) {
		t.Errorf("the image after the restart is not %s:\n%s", first.id, out)
	}
}

func TestKilledInMidBuild(t *testing.T) {
	b := newBuilder(t)
	b.close()
	before := overlays(t, b.root)
	dir := folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo one > /1\nRUN echo wai''ts; sleep 600\n"})
	cmd, out := elsewhere(t, b.root, dir)
	out.waitFor(t, "waits")
	must(t, cmd.Process.Signal(syscall.SIGKILL))
	_ = cmd.Wait()
	must(t, os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte("FROM busybox\nRUN echo one > /1\nRUN echo two > /2\n"), 0o644))
	again := openBuilder(t, b.root, nil)
	r := again.build(dir).ok(t)
	wantCached(t, r.output, "RUN echo one", true)
	again.wantFile(r.id, "1", "one")
	again.wantFile(r.id, "2", "two")
	again.close()
	if after := overlays(t, b.root); after != before {
		t.Errorf("%d overlays of the store are mounted, %d were before", after, before)
	}
	if left, _ := os.ReadDir(filepath.Join(b.root, "build", "steps")); len(left) > 0 {
		t.Errorf("folders of steps are left: %v", left)
	}
}

// overlays counts the mounts that use files below root.
func overlays(t *testing.T, root string) int {
	text, err := os.ReadFile("/proc/self/mountinfo")
	must(t, err)
	n := 0
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, root) {
			n++
		}
	}
	return n
}

func TestTwoBuildsOfOneTagAtOnce(t *testing.T) {
	b := newBuilder(t)
	var all sync.WaitGroup
	results := make([]built, 4)
	for i := range results {
		all.Go(func() {
			results[i] = b.file(fmt.Sprintf("FROM busybox\nRUN echo same > /s\nRUN echo %d > /n\n", i%2), nil)
		})
	}
	all.Wait()
	for i, r := range results {
		r.ok(t)
		b.wantFile(r.id, "n", fmt.Sprint(i%2))
		b.wantFile(r.id, "s", "same")
	}
	img, err := b.store.ImageStore().Get(t.Context(), "docker.io/library/app:latest")
	must(t, err)
	if id := img.Labels["lus/config"]; id != results[0].id && id != results[1].id {
		t.Errorf("the name stands for %s, none of what was built", id)
	}
}

func TestCancelInMidRun(t *testing.T) {
	b := newBuilder(t)
	b.file("FROM busybox\nRUN true\n", nil).ok(t) // all is open
	before := snapshotNames(t, b)
	ctx, cancel := context.WithCancel(t.Context())
	var out syncBuffer
	done := make(chan error, 1)
	dir := folder(t, map[string]string{"Dockerfile": "FROM busybox\nRUN echo wai''ts; sleep 600\n"})
	go func() {
		_, err := b.Build(ctx, &build.Request{ContextDir: dir, Tags: []string{"cancelled"}}, &out)
		done <- err
	}()
	out.waitFor(t, "waits")
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) || errs.KindOf(err) != errs.Internal && errs.KindOf(err) != errs.Unavailable {
			t.Errorf("the error of a cancelled build is %v", err)
		}
	case <-time.After(5 * time.Minute):
		t.Fatal("a cancelled build does not end")
	}
	if b.hasImage("cancelled:latest") {
		t.Error("a cancelled build left an image")
	}
	if left, _ := os.ReadDir(filepath.Join(b.root, "build", "steps")); len(left) > 0 {
		t.Errorf("folders of steps are left: %v", left)
	}
	noMountsBelow(t, filepath.Join(b.root, "build", "steps"))
	_, err := b.Prune(t.Context(), build.Prune{All: true})
	must(t, err)
	_, err = b.store.GarbageCollect(t.Context())
	must(t, err)
	for name := range snapshotNames(t, b) {
		if !before[name] && !strings.HasPrefix(name, "sha256:") {
			t.Errorf("snapshot %s is left", name)
		}
	}
}

func snapshotNames(t *testing.T, b *builder) map[string]bool {
	keys, err := b.store.BackendKeys(t.Context())
	must(t, err)
	out := map[string]bool{}
	for name := range keys {
		out[name] = true
	}
	return out
}

func TestAClosedBuilderBuildsNothing(t *testing.T) {
	b := newBuilder(t)
	must(t, b.Close())
	r := b.file("FROM busybox\n", nil)
	wantKind(t, r.err, errs.Unavailable, "stopping")
}

func TestIndependentStagesRunAtOnce(t *testing.T) {
	b := newBuilder(t)
	// Each stage waits for the other through a shared cache: one after the
	// other they would wait for ever.
	r := b.file(`FROM busybox AS a
RUN --mount=type=cache,target=/c,id=meet touch /c/a; until [ -e /c/b ]; do sleep 0.01; done; touch /a
FROM busybox AS b
RUN --mount=type=cache,target=/c,id=meet touch /c/b; until [ -e /c/a ]; do sleep 0.01; done; touch /b
FROM busybox
COPY --from=a /a /a
COPY --from=b /b /b
`, nil).ok(t)
	for _, f := range []string{"a", "b"} {
		if _, err := b.read(r.id, f); err != nil {
			t.Errorf("/%s: %v", f, err)
		}
	}
}

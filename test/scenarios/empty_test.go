package scenarios

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lus/test/stack"
)

// stored lists what the image store keeps on the disk: blobs and snapshots.
func stored(t *testing.T, s *stack.Stack) (out []string) {
	t.Helper()
	root := filepath.Join(s.Root, "images")
	err := filepath.WalkDir(root, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, p)
		switch parent := filepath.Dir(rel); {
		case strings.Contains(parent, "blobs/sha256"), strings.HasSuffix(parent, "/ingest"):
			out = append(out, rel)
		case strings.HasSuffix(parent, "overlayfs/snapshots"):
			out = append(out, rel)
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What is removed gives its space back at once, to the last manifest: also that
// of an image that ran a moment ago, and of a base image.
func TestPruneLeavesNothing(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nCOPY f /f\nRUN cat /f >/g\n", "f": strings.Repeat("f", 100_000)})
	s.OK(t, "build", "-q", "-t", "app", dir)
	s.OK(t, "run", "--rm", "app", "true")
	s.OK(t, "run", "--name", "stopped", "busybox", "true")
	if len(stored(t, s)) == 0 {
		t.Fatal("the test finds nothing where the images are")
	}
	s.OK(t, "system", "prune", "-a", "-f")
	if left := stored(t, s); len(left) > 0 {
		t.Errorf("after a prune of all there is still %v", left)
	}
}

// All that nobody uses is pruned every 60 ms, beside builds, runs and pulls. Each
// of them either works or says that the image is gone; in the end nothing is left.
func TestPruneBesideEverything(t *testing.T) {
	t.Parallel()
	s := stack.Start(t)
	s.OK(t, "create", "--name", "keeps-the-base", "busybox")
	registry := stack.Registry(t)
	refs := []string{registry + "/one:1", registry + "/two:1"}
	for i, ref := range refs {
		stack.PushFile(t, ref, "own", []byte(strings.Repeat(fmt.Sprint(i), 10_000)))
	}
	stop := make(chan struct{})
	var pruner, workers sync.WaitGroup
	pruner.Go(func() {
		tick := time.NewTicker(60 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
			}
			for _, what := range []string{"image", "builder"} {
				if r := s.Lus(what, "prune", "-a", "-f"); r.Code != 0 {
					t.Errorf("%s prune: %s", what, r.All())
				}
			}
		}
	})
	works := func(args ...string) {
		t.Helper()
		if r := s.Lus(args...); r.Code != 0 {
			t.Errorf("%s: exit code %d: %s", strings.Join(args, " "), r.Code, r.All())
		}
	}
	worksOrIsGone := func(args ...string) {
		t.Helper()
		if r := s.Lus(args...); r.Code != 0 && !strings.Contains(r.All(), "No such image") {
			t.Errorf("%s: exit code %d: %s", strings.Join(args, " "), r.Code, r.All())
		}
	}
	const rounds = 4
	for n := range 2 {
		dir := stack.Folder(t, map[string]string{"Dockerfile": "FROM busybox\nARG N\nCOPY f /f\nRUN echo $N >/n; cat /f >/g\nCOPY --from=busybox /bin/true /x\n", "f": fmt.Sprint(n)})
		workers.Go(func() {
			for i := range rounds {
				app := fmt.Sprintf("app%d:%d", n, i)
				works("build", "-q", "--build-arg", fmt.Sprint("N=", i/2), "-t", app, dir)
				worksOrIsGone("run", "--rm", "--pull", "never", app, "cat", "/f", "/g", "/n")
			}
		})
		workers.Go(func() {
			for range rounds {
				works("pull", "-q", refs[n])
				worksOrIsGone("run", "--rm", "--pull", "never", refs[n], "cat", "/own")
				works("run", "--rm", "busybox", "true")
			}
		})
	}
	workers.Wait()
	close(stop)
	pruner.Wait()
	s.OK(t, "rm", "keeps-the-base")
	s.OK(t, "system", "prune", "-a", "-f")
	if left := stored(t, s); len(left) > 0 {
		t.Errorf("in the end there is still %v", left)
	}
}
